"""Turn sound into codec tokens: `python -m soundloom.recipes.encode FOLDER --codec NAME`.

A rendered folder (audio.npy, metadata.jsonl) gains codes.npy, int16 `[n, K, T]`. With --audio-folder SRC the
sound comes from an AudioFolder instead (sound files beside a metadata.csv or metadata.jsonl with file_name
and text): FOLDER is made and gets codes.npy and metadata.jsonl, an item for every piece of at most --seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..codecs.audio import mix, read_audio, resample
from ..codecs.base import Codec, load_codec
from .datasets import RenderedFolder, read_metadata

logger = logging.getLogger(__name__)

CODES = "codes.npy"
MIN_PIECE_SECONDS = 0.1  # a shorter rest of a long recording is left out
Progress = Callable[[int, int], None]


def encode_batch(codec: Codec, audio: Tensor, device: str = "cpu", autocast: bool = False) -> np.ndarray:
    """Encode float32 `[B, 1, N]` to int16 `[B, K, T]`; `autocast` computes in bfloat16."""
    if codec.channels > 1:
        audio = audio.expand(-1, codec.channels, -1)
    with torch.inference_mode(), torch.autocast(device.split(":")[0], torch.bfloat16, enabled=autocast):
        return codec.encode(audio.to(device)).to(torch.int16).cpu().numpy()


def encode_rendered(
    folder: str | Path,
    codec: Codec,
    *,
    batch_size: int = 16,
    device: str = "cpu",
    autocast: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write FOLDER/codes.npy from FOLDER/audio.npy.

    Args:
        folder: as written by recipes/foley/render.py.
        codec: on `device`; its sample rate must be the folder's.
        batch_size: clips at once.
        autocast: compute in bfloat16.
        force: replace an existing codes.npy.
        progress: called with (clips done, clips).

    Raises:
        FileExistsError: codes.npy exists and `force` is off.
        ValueError: the sample rates differ, or the codebook does not fit int16.
    """
    path = Path(folder) / CODES
    _check(path, codec, batch_size, force)
    rendered = RenderedFolder(folder)
    if rendered.sample_rate != codec.sample_rate:
        raise ValueError(
            f"{folder} is at {rendered.sample_rate} Hz but the codec works at {codec.sample_rate} Hz; "
            f"render the folder with --sample-rate {codec.sample_rate}"
        )

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(rendered), batch_size):
            stop = min(start + batch_size, len(rendered))
            audio = np.stack([rendered.read(i, 0, rendered.length(i)) for i in range(start, stop)])
            yield encode_batch(codec, torch.from_numpy(audio)[:, None], device, autocast)

    _write_codes(path, batches(), len(rendered), progress)
    return path


def encode_audio_folder(
    source: str | Path,
    folder: str | Path,
    codec: Codec,
    *,
    seconds: float = 5.0,
    batch_size: int = 16,
    device: str = "cpu",
    autocast: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Make an encoded folder from captioned sound files.

    Each file is cut into pieces of `seconds`; the last one is padded with silence, and its "frames" in
    metadata.jsonl says how many frames are sound.

    Args:
        source: AudioFolder: sound files and a metadata.csv or metadata.jsonl with file_name and text.
        folder: made if needed.

    Raises:
        FileNotFoundError: no metadata, or a file it names.
        ValueError: the metadata lacks a column or is empty.
    """
    if not 0.1 <= seconds <= 600:
        raise ValueError(f"seconds must be 0.1..600, got {seconds}")
    folder, source = Path(folder), Path(source)
    path = folder / CODES
    _check(path, codec, batch_size, force)
    rows = read_audio_folder(source)
    pieces, entries = _pieces(source, rows, codec, round(seconds * codec.sample_rate))

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(pieces), batch_size):
            audio = torch.stack(pieces[start : start + batch_size])
            yield encode_batch(codec, audio[:, None], device, autocast)

    folder.mkdir(parents=True, exist_ok=True)
    _write_codes(path, batches(), len(pieces), progress)
    temporary = folder / ".metadata.jsonl.partial"
    with open(temporary, "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    os.replace(temporary, folder / "metadata.jsonl")
    return path


def read_audio_folder(source: Path) -> list[dict[str, Any]]:
    """Read the metadata of an AudioFolder: dicts with at least file_name and text.

    Raises:
        FileNotFoundError: neither metadata.csv nor metadata.jsonl is there.
        ValueError: it is empty, or a row lacks file_name or text.
    """
    table = source / "metadata.csv"
    if table.is_file():
        with open(table, encoding="utf-8", newline="") as lines:
            rows: list[dict[str, Any]] = list(csv.DictReader(lines))
    elif (source / "metadata.jsonl").is_file():
        rows = read_metadata(source)
    else:
        raise FileNotFoundError(
            f"{source} holds neither metadata.csv nor metadata.jsonl; write one (file_name, text)"
        )
    if not rows:
        raise ValueError(f"the metadata in {source} has no rows; it needs file_name and text for every sound")
    for number, row in enumerate(rows, start=1):
        if not row.get("file_name") or not row.get("text"):
            raise ValueError(f"the metadata in {source}, row {number}, lacks file_name or text: {row}")
    return rows


def _pieces(
    source: Path, rows: Sequence[dict[str, Any]], codec: Codec, samples: int
) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Cut all files into pieces `[samples]`, with a line of metadata each."""
    pieces: list[Tensor] = []
    entries: list[dict[str, Any]] = []
    for row in rows:
        audio, rate = read_audio(source / row["file_name"])
        audio = resample(mix(audio, 1), rate, codec.sample_rate)[0]
        for start in range(0, audio.shape[0], samples):
            piece = audio[start : start + samples]
            if start and piece.shape[0] < MIN_PIECE_SECONDS * codec.sample_rate:
                continue
            pieces.append(torch.nn.functional.pad(piece, (0, samples - piece.shape[0])))
            entries.append(
                {
                    "caption": row["text"],
                    "captions": [row["text"]],
                    "frames": math.ceil(piece.shape[0] / codec.sample_rate * codec.frame_rate),
                    "file_name": row["file_name"],
                    "start_seconds": start / codec.sample_rate,
                    "sample_rate": codec.sample_rate,
                }
            )
    return pieces, entries


def _check(path: Path, codec: Codec, batch_size: int, force: bool) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; replace it with --force")
    if codec.codebook_size > np.iinfo(np.int16).max + 1:
        raise ValueError(f"codes are stored as int16, which a codebook of {codec.codebook_size} does not fit")


def _write_codes(path: Path, batches: Iterator[np.ndarray], total: int, progress: Progress | None) -> None:
    """Collect `[b, K, T]` batches in a file that gets its name when complete."""
    temporary = path.with_name(".codes.partial.npy")
    codes: np.ndarray | None = None
    done = 0
    try:
        for batch in batches:
            if codes is None:
                shape = (total, *batch.shape[1:])
                codes = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.int16, shape=shape)
            codes[done : done + len(batch)] = batch
            done += len(batch)
            if progress is not None:
                progress(done, total)
        assert isinstance(codes, np.memmap)
        codes.flush()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog="python -m soundloom.recipes.encode",
        description="Encode the sound of FOLDER (audio.npy, as rendered) into FOLDER/codes.npy, int16 "
        "[n, K, T]; or, with --audio-folder, captioned sound files into a new FOLDER.",
        epilog="example: python -m soundloom.recipes.encode data/foley/train --codec seanet-16khz",
    )
    parser.add_argument("folder", metavar="FOLDER", help="rendered folder, or the folder to make")
    parser.add_argument("--codec", required=True, help="name, folder or hub id of the codec")
    parser.add_argument("--batch-size", type=int, default=16, help="clips at once (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: %(default)s)")
    parser.add_argument("--autocast", action="store_true", help="compute in bfloat16")
    parser.add_argument(
        "--audio-folder", metavar="SRC", help="sound files with metadata.csv (file_name, text)"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="longest piece, with --audio-folder (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing codes.npy")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends with a message on stderr and status 2."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    with tqdm(unit="clip", disable=not sys.stderr.isatty(), leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        shared: dict[str, Any] = {
            "batch_size": options.batch_size,
            "device": options.device,
            "autocast": options.autocast,
            "force": options.force,
            "progress": report,
        }
        try:
            codec = load_codec(options.codec)
            if isinstance(codec, torch.nn.Module):
                codec = codec.to(options.device)
            if options.audio_folder is not None:
                encode_audio_folder(
                    options.audio_folder, options.folder, codec, seconds=options.seconds, **shared
                )
            else:
                encode_rendered(options.folder, codec, **shared)
        except (ValueError, OSError) as error:
            bar.close()
            parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
