"""Turn sound into codec tokens, and captions into text states, ahead of training.

`soundloom prepare` encodes recordings (see prepare_folder.py), and gives rendered folders (audio.npy,
metadata.jsonl) a codes.npy.

The files are described in encoded_files.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...codecs.base import Codec
from ...core.atomic import atomic_path
from ...core.failures import Failure, attempt
from ...core.files import check_file_destination
from ...core.progress import Progress
from ...gen.text.encoder import TextEncoder
from .encoded_files import CODES, Sink, describe, write_prepared
from .folder import Recording, read_part, sound_seconds
from .sources import RenderedFolder

logger = logging.getLogger(__name__)

MIN_PIECE_SECONDS = 0.1  # a shorter rest of a long recording is left out
TEXT_BATCH = 64


def encode_batch(codec: Codec, audio: Tensor, device: str = "cpu") -> np.ndarray:
    """Encode float32 `[B, 1 or C, N]` to int16 `[B, K, T]`."""
    if codec.channels > 1:
        audio = audio.expand(-1, codec.channels, -1)
    with torch.inference_mode():
        return codec.encode(audio.to(device)).to(torch.int16).cpu().numpy()


@dataclass
class Piece:
    """A stretch of a recording: its sound `[C, n]`, and its line of metadata."""

    key: str
    audio: Tensor
    entry: dict[str, Any]


@dataclass
class EncodedCounts:
    """What was encoded: items, seconds of sound, and what had to be left out, with the reason."""

    samples: int
    seconds: float
    left_out: dict[str, str]


def encode_recordings(
    recordings: Sequence[Recording],
    sink: Sink,
    codec: Codec,
    text_encoder: TextEncoder | None = None,
    *,
    seconds: float = 30.0,
    tail_seconds: float = 0.0,
    batch_size: int = 16,
    device: str = "cpu",
    progress: Progress | None = None,
) -> EncodedCounts:
    """Encode recordings into a folder or shards.

    Training takes stretches at random out of what is longer than its own segments, so long pieces bring
    variety. Each piece is encoded at its own length; neighbours of one length share a batch.

    Args:
        recordings: see folder.py.
        sink: `FolderSink` or `ShardSink`.
        codec: on `device`.
        text_encoder: on `device`, frozen; None: captions stay words.
        seconds: longest piece; longer recordings are cut.
        tail_seconds: silence that is encoded after each recording, so that a model learns where it ends.
        batch_size: pieces at once.
        device: cpu, cuda, …
        progress: called with (recordings begun, recordings).

    Raises:
        ValueError: an argument is out of range, the codebook does not fit int16, or none of the recordings
            can be read.
    """
    if not 0.1 <= seconds <= 600:
        raise ValueError(f"seconds must be 0.1..600, got {seconds}")
    if not 0 <= tail_seconds <= 600:
        raise ValueError(f"tail_seconds must be 0..600, got {tail_seconds}")
    _check(codec, batch_size)
    counts = EncodedCounts(0, 0.0, {})
    first: Exception | None = None

    def encode(pieces: list[Piece]) -> list[np.ndarray]:
        return list(encode_batch(codec, torch.stack([piece.audio for piece in pieces]), device))

    for batch in _batches(_pieces(recordings, codec, seconds, tail_seconds, counts, progress), batch_size):
        codes = attempt(batch[0].entry["file_name"], encode, batch)
        for number, piece in enumerate(batch):
            if isinstance(codes, Failure):  # whose fault was it?
                alone = attempt(piece.entry["file_name"], encode, [piece])
                if isinstance(alone, Failure):
                    first = first or alone.error
                    _leave_out(counts, alone, piece.entry["start_seconds"])
                    continue
                item = alone[0]
            else:
                item = codes[number]
            states = None
            if text_encoder is not None:
                states = encode_captions(text_encoder, sink.wants(piece.entry["captions"]))
            entry = {**piece.entry, "frames": item.shape[1]}
            sink.write(piece.key, item, entry, states)
            counts.samples += 1
            counts.seconds += piece.audio.shape[1] / codec.sample_rate
    if not counts.samples:
        if first is not None:  # the codec's doing, not that of the files
            raise first
        reason = next(iter(counts.left_out.values()), "there are none")
        raise ValueError(f"none of {len(recordings)} recordings can be encoded; the first: {reason}")
    return counts


def _leave_out(counts: EncodedCounts, failure: Failure, start: float) -> None:
    """Note that a recording is left out, or what comes after `start` seconds of it."""
    reason = f"from {start:g} s on: {failure.reason}" if start else failure.reason
    counts.left_out.setdefault(failure.file, reason)
    logger.warning("left out: %s: %s", failure.file, reason)


def encode_captions(encoder: TextEncoder, captions: Sequence[str]) -> dict[str, np.ndarray]:
    """Encode captions to float16 `[L, D]` each, without padding."""
    found = {}
    for start in range(0, len(captions), TEXT_BATCH):
        batch = list(captions[start : start + TEXT_BATCH])
        with torch.inference_mode():
            text = encoder(batch)
        for caption, states, mask in zip(batch, text.states, text.mask, strict=True):
            found[caption] = states[mask].to(torch.float16).cpu().numpy()
    return found


def _pieces(
    recordings: Sequence[Recording],
    codec: Codec,
    seconds: float,
    tail_seconds: float,
    counts: EncodedCounts,
    progress: Progress | None,
) -> Iterator[Piece]:
    """Cut all recordings into pieces of at most `seconds`, the last one with a tail of silence."""
    tail = round(tail_seconds * codec.sample_rate)
    for number, recording in enumerate(recordings):
        if progress is not None:
            progress(number, len(recordings))
        total = attempt(recording.name, sound_seconds, recording.path)
        if isinstance(total, Failure):
            _leave_out(counts, total, 0.0)
            continue
        pieces = max(1, math.ceil((total - MIN_PIECE_SECONDS) / seconds))
        for index in range(pieces):
            start = index * seconds
            audio = attempt(
                recording.name,
                read_part,
                recording.path,
                codec.sample_rate,
                codec.channels,
                seconds=seconds,
                start=start,
            )
            if isinstance(audio, Failure):
                _leave_out(counts, audio, start)
                break
            if index == pieces - 1:
                audio = F.pad(audio, (0, tail))
            captions = list(recording.captions)
            entry = {
                "caption": captions[0] if captions else "",
                "captions": captions,
                "file_name": recording.name,
                "start_seconds": start,
                "sample_rate": codec.sample_rate,
            }
            yield Piece(f"{number:08d}-{index:03d}", audio, entry)
    if progress is not None:
        progress(len(recordings), len(recordings))


def _batches(pieces: Iterator[Piece], batch_size: int) -> Iterator[list[Piece]]:
    """Neighbours of one length, at most `batch_size`."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and (len(batch) == batch_size or piece.audio.shape != batch[0].audio.shape):
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _check(codec: Codec, batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    if codec.codebook_size > np.iinfo(np.int16).max + 1:
        raise ValueError(f"codes are stored as int16, which a codebook of {codec.codebook_size} does not fit")


# ---------------------------------------------------------------------- rendered folders


def encode_rendered(
    folder: str | Path,
    codec: Codec,
    *,
    name: str | None = None,
    batch_size: int = 16,
    device: str = "cpu",
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write FOLDER/codes.npy and FOLDER/prepared.json from FOLDER/audio.npy.

    Args:
        folder: as written by recipes/foley/render_dataset.py.
        codec: on `device`; its sample rate must be the folder's.
        name: what the codec was loaded as, for prepared.json.
        batch_size: clips at once.
        device: cpu, cuda, …
        force: replace an existing codes.npy.
        progress: called with (clips done, clips).

    Raises:
        FileExistsError: codes.npy exists and `force` is off.
        ValueError: the sample rates differ, or the codebook does not fit int16.
    """
    path = Path(folder) / CODES
    _check(codec, batch_size)
    check_file_destination(path, force=force)
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
            yield encode_batch(codec, torch.from_numpy(audio)[:, None], device)

    _write_codes(path, batches(), len(rendered), progress)
    seconds = len(rendered) * rendered.length(0) / rendered.sample_rate
    write_prepared(path.parent, {**describe(codec, name), "samples": len(rendered), "seconds": seconds})
    return path


def _write_codes(path: Path, batches: Iterator[np.ndarray], total: int, progress: Progress | None) -> None:
    """Collect `[b, K, T]` batches in a file that gets its name when complete."""
    codes: np.ndarray | None = None
    done = 0
    with atomic_path(path) as temporary:
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
