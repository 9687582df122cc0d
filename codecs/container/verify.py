"""Compare a finished file with the frames that were to be written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import torch
from torch import Tensor

from .fields import ContainerError
from .reader import ContainerReader

INT8_ERROR = 1 / 232  # of a channel's largest value in a chunk, see docs/format.md


def verify_frames(stream: BinaryIO, frames: Iterable[Tensor], *, name: str) -> None:
    """Read a file whole and compare what is in it with the frames that were encoded.

    Codes have to be equal, latents as near as their precision says.

    Args:
        stream: the finished file, which can seek.
        frames: what was written, in pieces of any length: codes `[K, T]`, latents `[T, S, D]`.
        name: of the file, for messages.

    Raises:
        ContainerError: the file is damaged, or holds something else.
    """
    reader = ContainerReader(stream, name=name)
    axis = 1 if reader.header.kind == "codes" else 0
    pieces = iter(frames)
    waiting: Tensor | None = None
    for first, found in reader.chunks():
        count = found.shape[axis]
        while waiting is None or waiting.shape[axis] < count:
            piece = next(pieces, None)
            if piece is None:
                raise _differs(name, first, "holds more frames than were encoded")
            waiting = piece.cpu() if waiting is None else torch.cat([waiting, piece.cpu()], dim=axis)
        expected, waiting = waiting.split([count, waiting.shape[axis] - count], dim=axis)
        if not _same(found, expected, reader.header.precision):
            raise _differs(name, first, "holds other frames than were encoded")
    if (waiting is not None and waiting.shape[axis]) or any(piece.shape[axis] for piece in pieces):
        raise _differs(name, reader.frames or 0, "holds fewer frames than were encoded")


def _same(found: Tensor, expected: Tensor, precision: str) -> bool:
    if precision == "exact":
        return torch.equal(found, expected.long())
    if precision == "float16":
        return torch.equal(found, expected.half().float())
    largest = expected.abs().amax(dim=(0, 1), keepdim=True)
    return bool(((found - expected).abs() <= largest * INT8_ERROR * (1 + 1e-5)).all())


def _differs(name: str, frame: int, what: str) -> ContainerError:
    return ContainerError(
        f"{name} {what}, from frame {frame} on: the disk or the memory may be faulty; encode it again, and "
        "report it if it happens twice"
    )
