"""`soundloom augment`: write a training mix as an encoded folder, or as sound in a rendered one.

Clips are made and encoded in chunks, each of which is a pair of files beside the folder until all are there.
A call that was interrupted goes on with the chunks that are missing; how many processes make them changes
nothing. What is written is what encoded_files.py describes, or the audio.npy of foley/render_dataset.py.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...codecs.base import Codec
from ...codecs.registry import load_codec
from ...core.atomic import atomic_folder, atomic_write
from ...core.files import check_folder_destination
from ...core.progress import Progress
from ..foley.render_dataset import AUDIO, METADATA, one_thread_a_process
from .augmented_clips import AugmentedClips, MixSettings
from .encoded_files import CODES, PREPARED, describe, write_prepared
from .encoding import encode_batch
from .folder import Recording

CHUNK = 32  # clips
SETTINGS = "settings.json"
_OUR_FILES = {CODES, PREPARED, AUDIO, METADATA}

_worker: tuple[AugmentedClips, Codec | None, str, int | None] | None = None


def write_augmented(
    out: str | Path,
    recordings: Sequence[Recording],
    settings: MixSettings,
    *,
    codec: str | None,
    codebooks: int | None = None,
    sample_rate: int = 16000,
    excluded: Collection[str] = (),
    jobs: int = 1,
    device: str = "cpu",
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Make the clips of a training mix, encode them, and write them into a folder.

    Args:
        out: folder to make. Until it is complete, what is done lies beside it, in .NAME.parts, from which the
            same call goes on.
        recordings: with captions, see `recordings.read_recordings`.
        settings: of the mix.
        codec: name, folder or hub id; None: write sound.
        codebooks: how many of the codec's are written; None: all.
        sample_rate: Hz of sound that is written; codes are at the rate of their codec.
        excluded: prompts that must not become captions, such as those of an evaluation.
        jobs: processes; with more than one the caller's main module must be importable.
        device: where the codec runs.
        force: replace a folder that was written before, and parts of other settings.
        progress: called with (clips done, clips).

    Returns:
        How many clips each class has.

    Raises:
        FileExistsError: `out` exists, or parts of other settings, and `force` is off.
        ValueError: an argument is out of range; see also `AugmentedClips`.
    """
    out = Path(out)
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; it must be 1 or more")
    check_folder_destination(out, force=force)
    others = {path.name for path in out.iterdir()} - _OUR_FILES if out.is_dir() else set()
    if others:
        raise FileExistsError(f"{out} holds {min(others)}, which was not made here; choose another folder")
    loaded = None if codec is None else load_codec(codec)
    if codebooks is not None and not 1 <= codebooks <= (loaded.num_codebooks if loaded else 0):
        has = f"{codec} has 1 to {loaded.num_codebooks}" if loaded else "it needs a codec"
        raise ValueError(f"codebooks is {codebooks}; {has}")
    rate = sample_rate if loaded is None else loaded.sample_rate
    clips = AugmentedClips(recordings, settings, sample_rate=rate, excluded=excluded)
    parts = _open_parts(
        out, _fingerprint(recordings, settings, codec, codebooks, rate, excluded), force=force
    )
    chunks = [range(start, min(start + CHUNK, len(clips))) for start in range(0, len(clips), CHUNK)]
    missing = [chunk for chunk in chunks if not _array_of(parts, chunk).is_file()]
    done = len(clips) - sum(map(len, missing))
    arguments = (parts, recordings, settings, codec, codebooks, rate, excluded, device)
    for chunk in _made(arguments, missing, jobs):
        done += len(chunk)
        if progress is not None:
            progress(done, len(clips))
    with atomic_folder(out) as folder:
        _join(folder / (AUDIO if loaded is None else CODES), parts, chunks, len(clips))
        if loaded is not None:
            content = describe(loaded, codec) | {"samples": len(clips)}
            content |= {"seconds": len(clips) * settings.seconds}
            write_prepared(folder, content | ({"num_codebooks": codebooks} if codebooks else {}))
    shutil.rmtree(parts)
    return clips.shares


def _fingerprint(
    recordings: Sequence[Recording],
    settings: MixSettings,
    codec: str | None,
    codebooks: int | None,
    sample_rate: int,
    excluded: Collection[str],
) -> dict[str, Any]:
    """What chunks must have in common: settings, and a digest of what they are made of."""
    digest = hashlib.blake2b(digest_size=16)
    for recording in recordings:
        row = [recording.name, recording.captions, sorted(recording.columns.items())]
        digest.update(json.dumps([*row, recording.path.stat().st_size]).encode("utf-8", "backslashreplace"))
    digest.update(json.dumps(sorted(excluded)).encode())
    return {
        "settings": json.loads(json.dumps(asdict(settings))),
        "codec": codec,
        "codebooks": codebooks,
        "sample_rate": sample_rate,
        "recordings": digest.hexdigest(),
    }


def _open_parts(out: Path, fingerprint: dict[str, Any], *, force: bool) -> Path:
    """The folder of chunks, which is new or holds chunks with the same fingerprint."""
    parts = out.with_name(f".{out.name}.parts")
    path = parts / SETTINGS
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before == fingerprint:
            return parts
        changed = [key for key in fingerprint if before.get(key) != fingerprint[key]]
        if not force:
            raise FileExistsError(
                f"{parts} holds clips of an earlier call with other {' and '.join(changed)}; give the same "
                "again to go on with it, or --force to begin anew"
            )
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(fingerprint, indent=1).encode())
    return parts


def _array_of(parts: Path, chunk: range) -> Path:
    """The codes, or the sound, of a chunk; the file is there when the chunk is whole."""
    return parts / f"{chunk.start:08d}.npy"


def _made(arguments: tuple[Any, ...], chunks: list[range], jobs: int) -> Iterator[range]:
    """Make chunks, in order; yields each that is done."""
    jobs = min(jobs, len(chunks))
    if jobs <= 1:
        _start_worker(*arguments)
        try:
            for chunk in chunks:
                yield _make_chunk(arguments[0], chunk)
        finally:
            _stop_worker()
        return
    context = multiprocessing.get_context("spawn")
    with one_thread_a_process():
        pool = context.Pool(jobs, initializer=_start_worker, initargs=arguments)
    with pool:
        work = [(arguments[0], chunk) for chunk in chunks]
        yield from pool.imap_unordered(_make_given_chunk, work)


def _start_worker(
    parts: Path,
    recordings: Sequence[Recording],
    settings: MixSettings,
    codec: str | None,
    codebooks: int | None,
    sample_rate: int,
    excluded: Collection[str],
    device: str,
) -> None:
    global _worker
    loaded = None if codec is None else load_codec(codec)
    if isinstance(loaded, torch.nn.Module):
        loaded = torch.nn.Module.to(loaded.eval(), device)
    clips = AugmentedClips(recordings, settings, sample_rate=sample_rate, excluded=excluded)
    _worker = (clips, loaded, device, codebooks)


def _stop_worker() -> None:
    global _worker
    _worker = None


def _make_given_chunk(work: tuple[Path, range]) -> range:
    return _make_chunk(*work)


def _make_chunk(parts: Path, chunk: range) -> range:
    """Write a chunk: its metadata, then its codes int16 `[clips, K, T]`, or its sound int16 `[clips, N]`."""
    assert _worker is not None
    clips, codec, device, codebooks = _worker
    made = [clips[index] for index in chunk]
    audio = np.stack([clip.audio for clip in made])
    more: dict[str, Any] = {"sample_rate": clips.sample_rate}
    if codec is None:
        array = np.round(audio * 32767.0).astype(np.int16)
    else:
        array = encode_batch(codec, torch.from_numpy(audio)[:, None], device)[:, :codebooks]
        more["frames"] = array.shape[2]
    lines = [json.dumps({**clip.entry, **more}, ensure_ascii=False) for clip in made]
    with atomic_write(parts / f"{chunk.start:08d}.jsonl") as file:
        file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
    with atomic_write(_array_of(parts, chunk)) as file:
        np.save(file, array)
    return chunk


def _join(path: Path, parts: Path, chunks: Sequence[range], clips: int) -> None:
    """Put all chunks together: their arrays at `path`, their metadata beside it."""
    first = np.load(_array_of(parts, chunks[0]), mmap_mode="r")
    whole = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(clips, *first.shape[1:]))
    with open(path.with_name(METADATA), "wb") as metadata:
        for chunk in chunks:
            whole[chunk.start : chunk.stop] = np.load(_array_of(parts, chunk))
            metadata.write((parts / f"{chunk.start:08d}.jsonl").read_bytes())
    whole.flush()
