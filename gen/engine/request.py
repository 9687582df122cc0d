"""A request on its way through the engine: prepared, run step by step, decoded.

Letters: B rows, K codebooks, S steps, T frames, V codes a codebook.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.progress import Progress
from ..decoding import ChunkedDecoder, LimitedDecoder
from ..generation import Cancel, GenerationCancelled, NextStep, Prepared, PromptBatch, Steps
from ..pipeline import AudioGen
from ..rerank import Scorer
from .generation_handle import CANCELLED, GenerationHandle


@dataclass(kw_only=True, eq=False)
class Request:
    """What was asked for, checked; it waits for a place.

    Attributes:
        handle: what the caller has.
        prepared: the rows to generate.
        cut: frames of the first chunk and of later ones; None: the sound is wanted whole.
        candidates, rerank, progress, cancel: as of `AudioGen.generate`.
    """

    handle: GenerationHandle
    prepared: Prepared
    cut: tuple[int, int] | None
    candidates: int
    rerank: Scorer | None
    progress: Progress | None
    cancel: Cancel | None

    def check_cancelled(self) -> None:
        """Raise GenerationCancelled if somebody wants it to stop."""
        if self.handle.cancelled or (self.cancel is not None and self.cancel()):
            raise GenerationCancelled(CANCELLED)


class RunningRequest:
    """A request whose codes are being generated and decoded.

    Args:
        request: that got a place.
        model: that makes it.

    Attributes:
        step: what is to be fed next; None: all codes are there.
        complete: frames that are complete.
        next_cut: complete frames from which on there is something to decode.
        error: what went wrong while it was decoded.
    """

    def __init__(self, request: Request, model: AudioGen) -> None:
        self.request, self.model = request, model
        self.batch: PromptBatch = request.prepared.start()
        batch = self.batch
        self.complete = self._seen = batch.known
        self._steps: Steps = batch.generator.steps(batch.codes, batch.known, batch.stride, self._report)
        self.step: NextStep | None = next(self._steps)
        self._chunks: ChunkedDecoder | None = None
        self.next_cut = batch.codes.shape[-1] + 1
        if request.cut is not None:
            first, size = request.cut
            decoder = LimitedDecoder(model.codec)
            self._chunks = ChunkedDecoder(decoder, batch.codes, first=first, size=size)
            self.next_cut = self._chunks.next_cut
        self.error: Exception | None = None
        request.handle.status = "running"

    def check(self) -> None:
        """Raise what speaks against going on.

        Raises:
            GenerationCancelled: somebody wants it to stop.
            Exception: what went wrong while it was decoded.
        """
        if self.error is not None:
            raise self.error
        self.request.check_cancelled()

    def guide(self, logits: Tensor) -> Tensor:
        """Logits `[rows, K, V]` of the step -> guided ones `[B, K, V]`."""
        assert self.step is not None
        return self.batch.generator.guide(logits, self.step.position)

    def accept(self, tokens: Tensor) -> None:
        """Take the tokens `[B, K]` that were drawn; `step` is then the next one."""
        try:
            self.step = self._steps.send(tokens)
        except StopIteration:
            self.step = None
            self.request.handle.status = "decoding"
            self.close()

    def close(self) -> None:
        """Give the cache's memory back."""
        self._steps.close()
        self.batch.generator.close()

    def _report(self, complete: int) -> None:
        self.complete = complete
        known, frames = self.batch.known, self.batch.codes.shape[-1]
        self.request.handle.progress = (complete - known, frames - known)
        if self.request.progress is not None:
            self.request.progress(complete - known, frames - known)

    # --- called by the thread that decodes ---------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, complete: int) -> None:
        """Decode what `complete` frames allow, in the chunks that `AudioGen.stream` would give."""
        assert self._chunks is not None
        # Number by number, so that how often it is called makes no difference.
        for count in range(self._seen, complete + 1):
            self._hand_out(self._chunks.advance(count))
        self._seen = complete + 1
        self.next_cut = self._chunks.next_cut

    @torch.inference_mode()
    def decode_last(self) -> None:
        """All codes are there: decode the rest."""
        handle = self.request.handle
        if self._chunks is None:
            handle.add(self.model.decode_result(self.batch, self.request.rerank, self.request.candidates))
        else:
            self.decode(self.batch.codes.shape[-1])
            self._hand_out(self._chunks.finish())

    def _hand_out(self, chunk: tuple[Tensor, Tensor] | None) -> None:
        if chunk is not None:
            self.request.handle.add(self.model.result(*chunk, self.batch))
