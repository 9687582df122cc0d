"""`soundloom prepare`: look through a folder of sounds before a training does, and encode or pack it.

Every file is decoded to its end, so that what is broken shows here and not in the third epoch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...codecs.base import Codec
from ...codecs.registry import load_codec
from ...core.atomic import atomic_folder, atomic_write
from ...core.audio import AudioError, check_sound
from ...core.failures import Failure, attempt, failure_lines
from ...core.files import check_folder_destination
from ...core.progress import Progress
from ...core.sound_reader import open_sound
from ...gen.text.encoder import TextEncoder
from ...gen.training.parts import build_text_encoder
from .captions import normalize_caption
from .encoded_files import CODES, PREPARED, TEXT, FolderSink, ShardSink, Sink, describe, write_prepared
from .encoding import MIN_PIECE_SECONDS, encode_recordings
from .folder import (
    DUPLICATE,
    NO_CAPTION,
    SILENT,
    TOO_SHORT,
    UNREADABLE,
    Problem,
    Recording,
    list_folder,
)
from .shards import MAX_SHARD_BYTES, ShardWriter

logger = logging.getLogger(__name__)

SILENCE_DB = -60.0
REPORT = "report.json"
_BLOCK = 65536
_WINDOW = 1000  # files that wait for a thread at a time
_OUR_FILES = (CODES, TEXT, PREPARED, REPORT, "metadata.jsonl", "shard-*.tar")


@dataclass
class Report:
    """What a folder holds.

    Attributes:
        folder: what was looked at.
        files: number of sound files.
        usable: those without any problem.
        seconds: how long the usable ones are together.
        problems: everything that is wrong, sorted by file.
        settings: limits that were applied.
    """

    folder: Path
    files: int
    usable: list[Recording]
    seconds: float
    problems: list[Problem]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many problems there are of each kind."""
        return dict(sorted(Counter(problem.kind for problem in self.problems).items()))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "folder": str(self.folder),
            "files": self.files,
            "usable": len(self.usable),
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "problems": [
                {"file": problem.file, "problem": problem.kind, "detail": problem.detail}
                for problem in self.problems
            ],
            "settings": self.settings,
        }

    def write(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        with atomic_write(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))  # see filenames.py

    def lines(self, most: int = 20) -> list[str]:
        """The report as text; of each kind of problem at most `most` files are named."""
        minutes = self.seconds / 60
        lines = [f"{self.folder}: {len(self.usable)} of {self.files} sounds usable, {minutes:.1f} minutes"]
        for kind, count in self.counts.items():
            lines.append(f"{kind}: {count}")
            named = [Failure(p.file, p.detail) for p in self.problems if p.kind == kind]
            lines += failure_lines(named, most, "all in the JSON report (--report FILE)")
        return lines


def check_folder(
    folder: str | Path,
    *,
    captions: bool = True,
    min_seconds: float = MIN_PIECE_SECONDS,
    silence_db: float = SILENCE_DB,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Find what is wrong with the sounds in a folder and with their captions.

    Args:
        folder: see folder.py.
        captions: whether a sound without a caption is a problem.
        min_seconds: shorter sounds are too short.
        silence_db: sounds whose loudest sample is below, in dB relative to full scale, are silent.
        jobs: files that are read at the same time.
        progress: called with (files done, files).

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        ValueError: it holds no sound file, or an argument is out of range.
    """
    if not 0.0 <= min_seconds <= 600:
        raise ValueError(f"min_seconds must be 0..600, got {min_seconds}")
    if not -200.0 <= silence_db <= 0.0:
        raise ValueError(f"silence_db must be -200..0, got {silence_db}")
    if jobs < 1:
        raise ValueError(f"jobs must be 1 or more, got {jobs}")
    listing = list_folder(folder)
    listing.check()
    problems = list(listing.problems)
    usable: list[Recording] = []
    seen: dict[bytes, str] = {}
    seconds = 0.0
    for done, (recording, found) in enumerate(_decoded(listing.recordings, jobs), start=1):
        wrong: list[tuple[str, str]] = []
        if isinstance(found, str):
            wrong.append((UNREADABLE, found))
        else:
            if found.seconds < min_seconds:
                wrong.append((TOO_SHORT, f"{found.seconds:.3f} s, less than {min_seconds:g} s"))
            level = 20 * math.log10(found.peak) if found.peak > 0 else -math.inf
            if level < silence_db:
                wrong.append((SILENT, f"peak {level:.0f} dB, below {silence_db:g} dB"))
            first = seen.setdefault(found.digest, recording.name)
            if first != recording.name:
                wrong.append((DUPLICATE, f"the same sound as {first}"))
        if captions and not recording.captions:
            wrong.append((NO_CAPTION, recording.uncaptioned))
        problems += [Problem(recording.name, kind, detail) for kind, detail in wrong]
        if not wrong and not isinstance(found, str):
            usable.append(recording)
            seconds += found.seconds
        if progress is not None:
            progress(done, len(listing.recordings))
    problems.sort(key=lambda problem: problem.file)
    settings = {"captions": captions, "min_seconds": min_seconds, "silence_db": silence_db}
    return Report(Path(folder), len(listing.recordings), usable, seconds, problems, settings)


@dataclass(frozen=True)
class _Decoded:
    seconds: float
    peak: float
    digest: bytes


def _decoded(recordings: Sequence[Recording], jobs: int) -> Iterator[tuple[Recording, _Decoded | str]]:
    """Decode all files, several at once: libsndfile and hashlib work outside of Python's lock."""
    with ThreadPoolExecutor(jobs) as pool:
        for start in range(0, len(recordings), _WINDOW):
            part = recordings[start : start + _WINDOW]
            yield from zip(part, pool.map(_decode_or_say, part), strict=True)


def _decode_or_say(recording: Recording) -> _Decoded | str:
    found = attempt(recording.name, _decode, recording.path)
    return found.reason if isinstance(found, Failure) else found


def _decode(path: Path) -> _Decoded | str:
    """Decode a file to its end, block by block; a string says why that is not possible."""
    digest = hashlib.blake2b(digest_size=16)
    frames, peak = 0, 0.0
    try:
        with open_sound(path, name=path.name) as sound:
            rate = sound.sample_rate
            digest.update(f"{rate} {sound.channels}".encode())
            for block in sound.blocks(_BLOCK):
                check_sound(block, path.name)
                frames += block.shape[-1]
                peak = max(peak, float(block.abs().max()))
                digest.update(np.ascontiguousarray(block.T).data)
    except (AudioError, OSError, MemoryError) as error:
        return str(error)
    if not frames:
        return "it holds 0 samples"
    return _Decoded(frames / rate, peak, digest.digest())


def prepare_folder(
    report: Report,
    out: str | Path,
    *,
    codec: str | Codec | None = None,
    text_encoder: str | TextEncoder | None = None,
    shards: bool = False,
    shard_bytes: int = MAX_SHARD_BYTES,
    normalize: bool = False,
    force: bool = False,
    device: str = "cpu",
    loaded: tuple[Codec, TextEncoder | None] | None = None,
    progress: Progress | None = None,
    **encoding: Any,
) -> None:
    """Write the usable sounds of a folder for training: encoded, as shards, or both; and the report.

    What turns out to be broken now is added to the report.

    Args:
        report: of `check_folder`.
        out: folder to make.
        codec: encodes the sound, a name or a codec; None: shards hold the files as they are.
        text_encoder: encodes the captions too, a name or an encoder; wants a codec.
        shards: tar files in place of codes.npy.
        shard_bytes: size at which a shard is complete.
        normalize: reduce captions to key words, see `captions.normalize_caption`.
        force: replace the files of an earlier call.
        device: cpu, cuda, …
        loaded: what `load_encoders` made of codec and text encoder; None: that is done now.
        progress: called with (recordings done, recordings).
        encoding: see `encode.encode_recordings`.

    Raises:
        FileExistsError: `out` is not empty, and `force` is off or it holds other files.
        ValueError: nothing to do, nothing usable, or `out` lies inside the folder of sounds.
    """
    out = Path(out)
    if codec is None and not shards:
        raise ValueError("nothing to write: name a codec, or make shards, or both")
    if codec is None and text_encoder is not None:
        raise ValueError("a text encoder without a codec: encode the sounds as well")
    check_output(report.folder, out, force=force)
    if not report.usable:
        raise ValueError(f"none of the {report.files} sounds in {report.folder} is usable; see the report")
    recordings = report.usable
    if normalize:
        recordings = [
            replace(recording, captions=tuple(dict.fromkeys(map(normalize_caption, recording.captions))))
            for recording in recordings
        ]
    with atomic_folder(out) as partial:
        if codec is None:
            prepared = describe(None, None)
            with ShardWriter(partial, max_bytes=shard_bytes) as writer:
                left_out = write_raw_shards(recordings, writer, progress)
            prepared |= {"samples": len(recordings) - len(left_out), "seconds": report.seconds}
        else:
            coder, encoder = load_encoders(codec, text_encoder, device) if loaded is None else loaded
            prepared = describe(coder, _name(codec), encoder, _name(text_encoder))
            tars = ShardSink(ShardWriter(partial, max_bytes=shard_bytes)) if shards else None
            sink: Sink = tars or FolderSink(partial)
            with sink:
                counts = encode_recordings(
                    recordings, sink, coder, encoder, device=device, progress=progress, **encoding
                )
            left_out = counts.left_out
            prepared |= {"samples": counts.samples, "seconds": counts.seconds}
        report.problems += [Problem(file, UNREADABLE, why) for file, why in left_out.items()]
        report.usable = [found for found in report.usable if found.name not in left_out]
        write_prepared(partial, prepared)
        report.write(partial / REPORT)


def load_encoders(
    codec: str | Codec, text_encoder: str | TextEncoder | None, device: str = "cpu"
) -> tuple[Codec, TextEncoder | None]:
    """Load what encodes sounds and captions, and move it to a device: worth doing before a long check.

    Raises:
        ValueError, OSError: there is no such codec or text encoder, or it cannot be read or reached.
    """
    loaded = load_codec(codec) if isinstance(codec, str) else codec
    encoder = build_text_encoder(text_encoder) if isinstance(text_encoder, str) else text_encoder
    for module in (loaded, encoder):
        if isinstance(module, torch.nn.Module):
            torch.nn.Module.to(module.eval(), device)  # that of diffusers logs a warning for a changed type
    return loaded, encoder


def _name(model: str | Codec | TextEncoder | None) -> str | None:
    return model if isinstance(model, str) or model is None else type(model).__name__


def write_raw_shards(
    recordings: Sequence[Recording], writer: ShardWriter, progress: Progress | None = None
) -> dict[str, str]:
    """Copy sound files into shards as they are, with their captions.

    Returns:
        What had to be left out, with the reason, by name.
    """
    left_out: dict[str, str] = {}
    for number, recording in enumerate(recordings):
        if progress is not None:
            progress(number, len(recordings))
        content = attempt(recording.name, recording.path.read_bytes)
        if isinstance(content, Failure):
            left_out[recording.name] = content.reason
            logger.warning("left out: %s", content)
            continue
        entry = {"file_name": recording.name, "captions": recording.captions}
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace")  # see filenames.py
        writer.write(f"{number:08d}", {recording.path.suffix.lower(): content, ".json": line})
    if recordings and len(left_out) == len(recordings):
        raise ValueError(
            f"none of {len(recordings)} recordings can be read; the first: {min(left_out.values())}"
        )
    return left_out


def check_output(folder: str | Path, out: str | Path, *, force: bool = False) -> None:
    """Raise now what `prepare_folder` would raise later about its output.

    Raises:
        FileExistsError: `out` is not empty, and `force` is off or it holds files that were not made here.
        ValueError: it lies inside the folder of sounds.
    """
    folder, out = Path(folder), Path(out)
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out} lies inside {folder}, among the sounds; choose a place outside of it")
    check_folder_destination(out, force=force)
    present = set(out.iterdir()) if out.is_dir() else set()
    others = present - {path for pattern in _OUR_FILES for path in out.glob(pattern)}
    if others:
        raise FileExistsError(
            f"{out} holds {min(others).name}, which was not made here; choose another folder"
        )
