"""Write compressed-audio files, front to back, to any stream."""

from __future__ import annotations

from array import array
from types import TracebackType
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from .blocks import pack_chunk, pack_end
from .fields import ContainerError
from .header import MAX_CHUNKS, Header
from .header_bytes import header_seed, pack_header
from .packing import check_range


class ContainerWriter:
    """Writes a compressed-audio file front to back; it never seeks, so the stream may be a pipe.

    As a context manager it finishes the file, unless an error left the block: what was written then has no
    end block and reads as truncated. The stream stays open.

    Args:
        stream: binary stream to write to.
        header: what the file holds.
    """

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self.header = header
        self._stream = stream
        self._waiting: list[np.ndarray] = []
        self._frames = 0  # with those that wait
        self._sizes = array("Q")
        self._closed = False
        self._failed = False
        data = pack_header(header)
        self._seed = header_seed(data)
        self._put(data)

    def write(self, frames: Tensor) -> None:
        """Add frames, any number of them; they go out in whole chunks.

        Args:
            frames: codes, integers `[K, T]`, or latents, floats `[T, S, D]`.

        Raises:
            ContainerError: another shape or type, codes outside of the codebook, latents that are not finite
                or too large for the precision, more chunks than an index holds, or a finished file.
        """
        if self._closed or self._failed:
            raise ContainerError("the file is finished, or a write to it failed; start another one")
        added = self._check(frames)
        size = self.header.frames_per_chunk
        waiting = self._frames % size + len(added)
        self._waiting.append(added)
        self._frames += len(added)
        if waiting < size:
            return
        together = np.concatenate(self._waiting)
        whole = waiting - waiting % size
        self._failed = True  # until all is out: an end after half a chunk would make it look complete
        for start in range(0, whole, size):
            self._put_chunk(together[start : start + size])
        self._flush()
        self._failed = False
        self._waiting = [together[whole:].copy()]

    def close(self, length: int | None = None) -> None:
        """Write what waits and the end of the file; a second call does nothing.

        Args:
            length: samples of the sound at `header.sample_rate`; needed when the header has none.

        Raises:
            ContainerError: no length, another one than the header's, one that is longer than the frames last,
                or a write that failed before.
        """
        if self._closed:
            return
        if self._failed:
            raise ContainerError("a write to the file failed, so it cannot be finished; start another one")
        known = self.header.length
        if length is None and known is None:
            raise ContainerError("the header has no length; give close() the number of samples")
        if length is not None and known is not None and length != known:
            raise ContainerError(f"close() was given {length} samples, and the header says {known}")
        final = known if length is None else length
        assert final is not None
        self.header.check_length(final, self._frames)
        self._failed = True
        if self._frames % self.header.frames_per_chunk:
            self._put_chunk(np.concatenate(self._waiting))
        self._put(pack_end(self._sizes, self._frames, final, self._seed))
        self._flush()
        self._failed, self._closed = False, True

    def __enter__(self) -> ContainerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def _check(self, frames: Tensor) -> np.ndarray:
        """Frames that fit the header, as `[T, *shape]`."""
        header = self.header
        floats = frames.is_floating_point()
        if header.kind == "codes":
            if frames.ndim != 2 or frames.shape[0] != header.shape[0] or floats or frames.is_complex():
                raise ContainerError(
                    f"codes are {frames.dtype} {list(frames.shape)}; this file wants integers "
                    f"[{header.shape[0]}, T]"
                )
            codes = frames.detach().cpu().long().T.numpy()
            if codes.size and not 0 <= codes.min() <= codes.max() < header.codebook_size:
                raise ContainerError(
                    f"codes go from {codes.min()} to {codes.max()}; allowed: 0 to {header.codebook_size - 1}"
                )
            return codes
        if frames.ndim != 3 or tuple(frames.shape[1:]) != header.shape or not floats:
            raise ContainerError(
                f"latents are {frames.dtype} {list(frames.shape)}; this file wants floats "
                f"[T, {header.shape[0]}, {header.shape[1]}]"
            )
        latents = frames.detach().cpu().float()
        if not torch.isfinite(latents).all():
            raise ContainerError("latents hold NaN or infinite values; only finite ones can be stored")
        check_range(latents.numpy(), header.precision)
        return latents.numpy()

    def _put_chunk(self, frames: np.ndarray) -> None:
        if len(self._sizes) == MAX_CHUNKS:
            raise ContainerError(f"a file holds {MAX_CHUNKS} chunks at most; use more frames_per_chunk")
        block = pack_chunk(len(self._sizes), frames, self.header, self._seed)
        self._put(block)
        self._sizes.append(len(block))

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self._stream.write(view)
            if written is None:
                raise ContainerError("the stream takes no data now; give a blocking stream")
            view = view[written:]

    def _flush(self) -> None:
        if hasattr(self._stream, "flush"):
            self._stream.flush()
