"""The batch of an engine: requests that are stepped together, each of which may end or fail by itself.

Letters: B rows, K codebooks, S steps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import Tensor

from ..generation import GenerationCancelled, NextStep
from ..model.shared_step import SharedStep
from ..sampling import sample_together
from .request import RunningRequest

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class RunningBatch:
    """Steps requests; used by one thread alone.

    Args:
        shared: runs the language model.
        decode: takes a request and its complete frames when they can be decoded, None when all are.
        ended: takes a request that could not go on, and why.

    Attributes:
        requests: that are running.
    """

    def __init__(
        self,
        shared: SharedStep,
        decode: Callable[[RunningRequest, int | None], None],
        ended: Callable[[RunningRequest, Exception], None],
    ) -> None:
        self.requests: list[RunningRequest] = []
        self._shared, self._decode, self._ended = shared, decode, ended

    @property
    def sounds(self) -> int:
        """Rows of all requests."""
        return sum(running.request.handle.sounds for running in self.requests)

    def step(self) -> None:
        """Run one step of every request, and hand on what can be decoded."""
        self._each(self.requests, RunningRequest.check)
        # Several steps of a prompt of codes at once: by itself, as it would be alone.
        long = [running for running in self.requests if len(_next(running).tokens) > 1]
        logits = self._each(long, lambda running: running.batch.generator.predict(_next(running)))
        logits |= self._step_together([one for one in self.requests if len(_next(one).tokens) == 1])
        guided = self._each(logits, lambda running: running.guide(logits[running]))
        samplers = [running.batch.sampler for running in guided]
        tokens = dict(zip(guided, sample_together(samplers, list(guided.values())), strict=True))
        self._each(tokens, lambda running: running.accept(tokens[running]))
        for running in self.requests:
            if running.step is None:
                self._decode(running, None)
            elif running.complete >= running.next_cut:
                running.next_cut = running.batch.codes.shape[-1] + 1  # until that is decoded
                self._decode(running, running.complete)
        self.requests = [running for running in self.requests if running.step is not None]

    def drop(self, requests: Iterable[RunningRequest], error: Exception) -> None:
        """End requests for a reason that is the same for all."""
        self._drop([(running, error) for running in requests])

    def _step_together(self, together: list[RunningRequest]) -> dict[RunningRequest, Tensor]:
        if not together:
            return {}
        tokens = [_next(running).tokens.permute(1, 2, 0) for running in together]  # [1, B, K] -> [B, K, 1]
        states = [running.batch.generator.state for running in together]
        try:
            return dict(zip(together, self._shared(tokens, states), strict=True))
        except Exception as error:  # of memory, for example: nobody's step was done
            logger.debug("a step failed", exc_info=True)
            self.drop(together, error)
            return {}

    def _each(
        self, requests: Iterable[RunningRequest], work: Callable[[RunningRequest], Result]
    ) -> dict[RunningRequest, Result]:
        """Do something for each request; those for which it fails are ended, the others go on."""
        done, failed = {}, []
        for running in requests:
            try:
                done[running] = work(running)
            except Exception as error:
                if not isinstance(error, GenerationCancelled):
                    logger.debug("a request failed", exc_info=True)
                failed.append((running, error))
        self._drop(failed)
        return done

    def _drop(self, failed: list[tuple[RunningRequest, Exception]]) -> None:
        gone = {running for running, _ in failed}
        self.requests = [running for running in self.requests if running not in gone]
        for running, error in failed:
            self._ended(running, error)


def _next(running: RunningRequest) -> NextStep:
    assert running.step is not None
    return running.step
