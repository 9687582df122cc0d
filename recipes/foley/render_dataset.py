"""Write a part of the Foley corpus to disk: what `soundloom render OUT --clips 1000` does.

OUT/audio.npy is int16 `[clips, N]`, ready for numpy.load(..., mmap_mode="r"); OUT/metadata.jsonl has one line
a clip: index, caption, captions (variants), classes, composition, counts, attributes, seed, split,
sample_rate.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...core.atomic import atomic_folder
from ...core.files import check_folder_destination
from ...core.progress import Progress
from .corpus import VARIANTS, FoleyCorpus

AUDIO, METADATA = "audio.npy", "metadata.jsonl"
_CHUNK = 32  # clips a task
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_worker: tuple[FoleyCorpus, np.ndarray, int] | None = None  # what a worker process renders, and where to


def render_dataset(
    out: str | Path,
    *,
    clips: int,
    split: str = "train",
    seed: int = 0,
    seconds: float = 5.0,
    sample_rate: int = 16000,
    jobs: int = 1,
    variants: int = VARIANTS,
    compositions: Mapping[str, float] | None = None,
    classes: Sequence[str] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Render clips 0..clips-1 of a corpus into folder `out`.

    The files get their names only when complete, so an interrupted run leaves no half data set behind. The
    result does not depend on `jobs`.

    Args:
        out: folder to make; its parents are made as well.
        jobs: processes; with more than one the caller's main module must be importable (the usual
            `if __name__ == "__main__"`).
        variants: captions a clip.
        force: replace the data set in an existing folder (and drop its codes.npy, which would no longer fit).
        progress: called with (clips done, clips).

    Returns:
        The folder.

    Raises:
        FileExistsError: `out` exists and is not empty, and `force` is off.
        ValueError: an argument is out of range.
    """
    out = Path(out)
    for name, value in (("clips", clips), ("jobs", jobs), ("variants", variants)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, got {value}")
    check_folder_destination(out, force=force)
    settings: dict[str, Any] = {
        "sample_rate": sample_rate,
        "seconds": seconds,
        "seed": seed,
        "split": split,
        "compositions": dict(compositions) if compositions is not None else None,
        "classes": list(classes) if classes is not None else None,
    }
    corpus = FoleyCorpus(**settings)
    with atomic_folder(out, existing="merge", key_file=METADATA, outdated=("codes.npy",)) as partial:
        shape = (clips, corpus.samples)
        np.lib.format.open_memmap(partial / AUDIO, mode="w+", dtype=np.int16, shape=shape).flush()
        with open(partial / METADATA, "w", encoding="utf-8") as metadata:
            for done, lines in _rendered(settings, partial / AUDIO, clips, variants, jobs):
                metadata.writelines(lines)
                if progress is not None:
                    progress(done, clips)
    return out


def _rendered(
    settings: dict[str, Any], audio: Path, clips: int, variants: int, jobs: int
) -> Iterator[tuple[int, list[str]]]:
    """Render chunk by chunk, in order; yield (clips done, metadata lines of the chunk)."""
    chunks = [range(start, min(start + _CHUNK, clips)) for start in range(0, clips, _CHUNK)]
    jobs = min(jobs, len(chunks))
    done = 0
    if jobs == 1:
        _start_worker(settings, audio, variants)
        for chunk in chunks:
            lines = _render_chunk(chunk)
            done += len(chunk)
            yield done, lines
        _stop_worker()
        return
    context = multiprocessing.get_context("spawn")
    with one_thread_a_process():
        pool = context.Pool(jobs, initializer=_start_worker, initargs=(settings, audio, variants))
    with pool:
        for chunk, lines in zip(chunks, pool.imap(_render_chunk, chunks), strict=True):
            done += len(chunk)
            yield done, lines


def _start_worker(settings: dict[str, Any], audio: Path, variants: int) -> None:
    global _worker
    _worker = (FoleyCorpus(**settings), np.load(audio, mmap_mode="r+"), variants)


def _stop_worker() -> None:
    global _worker
    _worker = None


def _render_chunk(indices: range) -> list[str]:
    assert _worker is not None
    corpus, audio, variants = _worker
    lines = []
    for index in indices:
        clip = corpus[index]
        audio[index] = np.round(clip.audio * 32767.0)
        captions = [clip.caption, *corpus.caption_variants(index, variants)[1:]]
        entry = {
            "index": index,
            "caption": clip.caption,
            "captions": captions,
            "classes": clip.classes,
            "composition": clip.composition,
            "counts": clip.counts,
            "attributes": clip.attributes,
            "seed": clip.seed,
            "split": clip.split,
            "sample_rate": clip.sample_rate,
        }
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return lines


@contextmanager
def one_thread_a_process() -> Iterator[None]:
    """Let processes that are started meanwhile use one thread each; numpy reads this at import."""
    before = {name: os.environ.get(name) for name in _THREAD_SETTINGS}
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
