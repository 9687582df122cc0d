"""The files that hold encoded sound: written by encoding.py, read by sources.py.

An encoded folder holds codes.npy, int16 `[n, K, T]`; metadata.jsonl with a line for each of the n items
(captions, frames that are no padding, file_name); prepared.json, which says what encoded them; and, if the
captions were encoded, text.npy, float16 `[positions, D]`, where the "text" of a line says from where to where
each of its captions reaches. Shards hold the same as one KEY.safetensors ("codes" `[K, T]`, "text.0"
`[L, D]`, "text.1", …) and one KEY.json an item.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from safetensors.numpy import save

from ...codecs.base import Codec
from ...core.atomic import atomic_write
from ...gen.text.encoder import TextEncoder
from .shards import ShardWriter

CODES, TEXT, PREPARED = "codes.npy", "text.npy", "prepared.json"


def describe(
    codec: Codec | None,
    name: str | None,
    text_encoder: TextEncoder | None = None,
    text_name: str | None = None,
) -> dict[str, Any]:
    """What prepared.json says about the encoders."""
    found: dict[str, Any] = {"version": 1, "codec": None, "text_encoder": None}
    if codec is not None:
        found |= {
            "codec": name,
            "sample_rate": codec.sample_rate,
            "channels": codec.channels,
            "frame_rate": codec.frame_rate,
            "num_codebooks": codec.num_codebooks,
            "codebook_size": codec.codebook_size,
        }
    if text_encoder is not None:
        found |= {"text_encoder": text_name, "text_dim": text_encoder.dim}
    return found


def write_prepared(folder: Path, content: dict[str, Any]) -> None:
    """Write prepared.json, whole or not at all."""
    with atomic_write(folder / PREPARED) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


class Sink(Protocol):
    """Where encoded items go. A context manager: complete when it is left without an error, else given up."""

    def wants(self, captions: Sequence[str]) -> list[str]:
        """Those captions whose states `write` will need."""
        ...

    def write(
        self, key: str, codes: np.ndarray, entry: dict[str, Any], states: dict[str, np.ndarray] | None
    ) -> None:
        """Add an item: codes int16 `[K, t]`, its metadata, and float16 `[L, D]` for its wanted captions."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None: ...


class FolderSink:
    """Writes codes.npy, metadata.jsonl and text.npy into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Both are closed and removed by __exit__.
        self._raw = open(folder / ".codes.raw", "w+b")  # noqa: SIM115
        self._text = open(folder / ".text.raw", "w+b")  # noqa: SIM115
        self._shapes: list[tuple[int, ...]] = []
        self._entries: list[dict[str, Any]] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._positions = self._width = 0

    def wants(self, captions: Sequence[str]) -> list[str]:
        return [caption for caption in dict.fromkeys(captions) if caption not in self._places]

    def write(
        self, key: str, codes: np.ndarray, entry: dict[str, Any], states: dict[str, np.ndarray] | None
    ) -> None:
        self._raw.write(codes.tobytes())
        self._shapes.append(codes.shape)
        if states is not None:
            for caption, state in states.items():
                self._text.write(state.tobytes())
                self._places[caption] = (self._positions, self._positions + len(state))
                self._positions += len(state)
                self._width = state.shape[1]
            entry = {**entry, "text": [self._places[caption] for caption in entry["captions"]]}
        self._entries.append(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            for file in (self._raw, self._text):
                file.close()
                Path(file.name).unlink()

    def _complete(self) -> None:
        """Write the files out of what was collected."""
        books = max((shape[0] for shape in self._shapes), default=0)
        longest = max((shape[1] for shape in self._shapes), default=0)
        self._raw.seek(0)
        codes = np.lib.format.open_memmap(
            self.folder / CODES, mode="w+", dtype=np.int16, shape=(len(self._shapes), books, longest)
        )
        for row, shape in zip(codes, self._shapes, strict=True):
            row[:, : shape[1]] = np.frombuffer(self._raw.read(2 * math.prod(shape)), np.int16).reshape(shape)
        codes.flush()
        if self._places:
            self._text.flush()
            shape = (self._positions, self._width)
            raw = np.memmap(self.folder / ".text.raw", np.float16, "r", shape=shape)
            np.save(self.folder / TEXT, raw)
        with open(self.folder / "metadata.jsonl", "w", encoding="utf-8", errors="backslashreplace") as lines:
            lines.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in self._entries)


class ShardSink:
    """Writes encoded items to shards."""

    def __init__(self, writer: ShardWriter) -> None:
        self.writer = writer
        self._states: dict[str, np.ndarray] = {}

    def wants(self, captions: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(captions))

    def write(
        self, key: str, codes: np.ndarray, entry: dict[str, Any], states: dict[str, np.ndarray] | None
    ) -> None:
        tensors = {"codes": np.ascontiguousarray(codes)}
        if states is not None:
            tensors |= {f"text.{n}": states[caption] for n, caption in enumerate(entry["captions"])}
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self.writer.write(key, {".safetensors": save(tensors), ".json": line})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()
