"""Engine: one model, many callers. Sounds are generated side by side; requests join and leave between steps.

    with Engine(AudioGen.from_pretrained()) as engine:
        handles = [engine.submit(prompt, duration=5, seed=7) for prompt in prompts]
        sounds = [handle.result() for handle in handles]

submit -> FairQueue -> running batch (this thread: shared_step.py) -> codes -> DecodeThread -> handle.
"""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from ...core.errors import ArgumentError, SoundloomError
from ...core.progress import Progress
from ...core.threads import is_small, one_thread
from ..continuation import AudioSource, encode_source
from ..decoding import plan_chunks
from ..generated_audio import GeneratedAudio
from ..generation import Cancel, GenerationCancelled
from ..model.shared_step import SharedStep
from ..pipeline import AudioGen
from ..rerank import Scorer
from ..settings import MAX_SECONDS, GenerationSettings, check_integer, check_number
from ..text.check_prompts import Prompts, list_prompts
from .decode_thread import DecodeThread
from .fair_queue import FairQueue
from .generation_handle import CANCELLED, GenerationHandle
from .request import Request, RunningRequest
from .running_batch import RunningBatch

logger = logging.getLogger(__name__)


class QueueFullError(SoundloomError, RuntimeError):
    """There is no place for another request now.

    Attributes:
        retry_after: seconds, at least 1, after which there may be one.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EngineClosedError(SoundloomError, RuntimeError):
    """The engine was closed: it takes no requests, and those that it had are not finished."""


@dataclass(frozen=True, kw_only=True)
class EngineLoad:
    """How much an engine has to do.

    Attributes:
        running, waiting: sounds that are being made, and that wait for a place.
        seconds: of sound that are running or waiting.
        step_seconds: what a step of the batch takes at present; 0 before the first.
    """

    running: int
    waiting: int
    seconds: float
    step_seconds: float


class Engine:
    """Generates the sounds of many callers at once; every method may be called from any thread.

    A request gets what `AudioGen.generate` or `stream` would give it, whatever else is running: its random
    numbers, positions, cache and codec stream are its own, and only products of weights are shared. With
    `exact` its samples do not depend on the other requests, to the bit. docs/serving.md has the details.

    Memory is bounded: at most `max_batch` sounds have a cache, of one window each, and the sounds of all
    requests that have not ended come to `max_total_seconds`.

    Args:
        model: what generates; it should not be used for other things meanwhile.
        max_batch: sounds that are made at once.
        max_queue: sounds that may wait for a place beside those.
        max_seconds: longest sound that may be asked for.
        max_total_seconds: of all sounds that are made or wait.
        exact: see `SharedStep`.
    """

    def __init__(
        self,
        model: AudioGen,
        *,
        max_batch: int = 8,
        max_queue: int = 64,
        max_seconds: float = 30.0,
        max_total_seconds: float = 600.0,
        exact: bool = True,
    ) -> None:
        self.model, self.lm, self.codec = model, model.lm, model.codec
        self.guidance_scale, self.top_k = model.guidance_scale, model.top_k
        self.max_batch = check_integer("max_batch", max_batch, 1, 1024, "sounds at once")
        self.max_queue = check_integer("max_queue", max_queue, 0, 1_000_000, "sounds that wait")
        self.max_seconds = check_number("max_seconds", max_seconds, 0.0, MAX_SECONDS, "seconds of a sound")
        most = check_number("max_total_seconds", max_total_seconds, 0.0, math.inf, "seconds of all sounds")
        self.max_total_seconds = max(self.max_seconds, most)
        self._changed = threading.Condition()  # guards all below
        self._waiting: FairQueue[Request] = FairQueue()
        self._sounds, self._seconds = 0, 0.0  # of all requests that have not ended
        self._closing = False
        self._step_seconds = 0.0
        self._decoder = DecodeThread(self._end)
        self._batch = RunningBatch(SharedStep(model.lm, exact=exact), self._decoder.put, self._end)
        self._thread = threading.Thread(target=self._run, name="soundloom engine", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop: requests that have not ended fail with `EngineClosedError`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._decoder.close()
        atexit.unregister(self.close)

    @property
    def alive(self) -> bool:
        """Whether it takes requests."""
        return self._thread.is_alive() and not self._closing

    @property
    def load(self) -> EngineLoad:
        """How much there is to do."""
        with self._changed:
            waiting = sum(request.handle.sounds for request in self._waiting)
            return EngineLoad(
                running=self._sounds - waiting,
                waiting=waiting,
                seconds=self._seconds,
                step_seconds=self._step_seconds,
            )

    def count_samples(self, duration: float) -> int:
        """Samples of the sound that is made for a duration in seconds."""
        return self.model.count_samples(duration)

    def submit(
        self,
        prompts: Prompts = "",
        settings: GenerationSettings | float | None = None,
        *,
        client: str = "",
        stream: bool = False,
        chunk_seconds: float = 0.5,
        first_chunk_seconds: float = 0.2,
        continue_from: AudioSource | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        rerank: Scorer | None = None,
        **overrides: Any,
    ) -> GenerationHandle:
        """Ask for sounds; returns at once.

        Args:
            prompts, settings, continue_from, rerank, overrides: as of `AudioGen.generate`.
            client: who asks. Clients take turns, so that one with many requests does not keep others waiting.
            stream: give the sound out while it is being made; `for chunk in handle` gets it.
            chunk_seconds, first_chunk_seconds: as of `AudioGen.stream`.
            progress, cancel: as of `AudioGen.generate`; called from a thread of the engine.

        Raises:
            TypeError, ValueError, FileNotFoundError, AudioError: as `AudioGen.generate`; or the sounds are
                more or longer than the engine makes.
            QueueFullError: too many requests wait already; it says when to come again.
            EngineClosedError: the engine was closed.
        """
        chosen = GenerationSettings.of(settings, overrides)
        if stream:
            chosen.refuse_candidates("stream")
        if chosen.loop:
            raise ArgumentError("loop is not for an engine; ask AudioGen.generate for a loop")
        chosen.check_scorer(rerank)
        texts, frames = list_prompts(prompts), chosen.frames(self.codec.frame_rate)
        cut = plan_chunks(first_chunk_seconds, chunk_seconds, self.codec) if stream else None
        handle = GenerationHandle(
            client=client,
            sounds=len(texts) * chosen.num_samples * chosen.candidates,
            seconds=len(texts) * chosen.num_samples * chosen.candidates * chosen.duration,
            frames=frames,
            on_cancel=self._cancel,
        )
        self.check_size(handle.sounds, chosen.duration)
        self._reserve(handle)  # before any work: a full engine should refuse at once
        try:
            with torch.inference_mode():
                known = encode_source(continue_from, self.codec, self.lm)
                prepared = self.model.prepare(texts, frames, chosen, known)
            if stream:
                prepared.origin = replace(prepared.origin, streamed=(first_chunk_seconds, chunk_seconds))
        except BaseException:
            self._release(handle)
            raise
        request = Request(
            handle=handle,
            prepared=prepared,
            cut=cut,
            candidates=chosen.candidates,
            rerank=rerank,
            progress=progress,
            cancel=cancel,
        )
        with self._changed:
            if self._closing:
                self._fail(request, EngineClosedError("the engine was closed"))
            else:
                self._waiting.put(client, request)
            self._changed.notify_all()
        return handle

    def generate(
        self, prompts: Prompts = "", settings: GenerationSettings | float | None = None, **options: Any
    ) -> GeneratedAudio:
        """Wait for whole sounds; arguments as of `submit`, results and errors as of `AudioGen.generate`."""
        handle = self.submit(prompts, settings, **options)
        try:
            return handle.result()
        finally:
            handle.cancel()  # where the caller was interrupted

    def stream(
        self, prompts: Prompts = "", settings: GenerationSettings | float | None = None, **options: Any
    ) -> Generator[GeneratedAudio, None, None]:
        """Give sounds out while they are made; arguments as of `submit`, chunks as of `AudioGen.stream`."""
        handle = self.submit(prompts, settings, stream=True, **options)

        def chunks() -> Generator[GeneratedAudio, None, None]:
            try:
                yield from handle
            finally:
                handle.cancel()

        return chunks()

    # --- places ------------------------------------------------------------------------------------------

    def check_size(self, sounds: int, duration: float) -> None:
        """Raise ValueError for what is never made here.

        Args:
            sounds: that are asked for at once.
            duration: of each, in seconds.
        """
        if duration > self.max_seconds:
            raise ArgumentError(
                f"duration is {duration:g} s; at most {self.max_seconds:g} s are made here at once"
            )
        if sounds > self.max_batch:
            raise ArgumentError(
                f"{sounds} sounds are asked for at once (prompts x num_samples x candidates); at most "
                f"{self.max_batch} are made here"
            )
        seconds, most = sounds * duration, self.max_total_seconds
        if seconds > most:
            raise ArgumentError(
                f"{seconds:g} s of sound are asked for at once; at most {most:g} s are made here"
            )

    def _reserve(self, handle: GenerationHandle) -> None:
        with self._changed:
            if self._closing:
                raise EngineClosedError("the engine was closed; make another one")
            most = self.max_batch + self.max_queue
            if self._sounds + handle.sounds > most:
                full = f"{self._sounds} sounds are being made or wait, of at most {most}"
            elif self._seconds + handle.seconds > self.max_total_seconds:
                full = (
                    f"{self._seconds:g} s of sound are being made or wait, of at most "
                    f"{self.max_total_seconds:g} s, and {handle.seconds:g} s more are asked for"
                )
            else:
                self._sounds += handle.sounds
                self._seconds += handle.seconds
                return
            wait = self._seconds_to_a_place()
            raise QueueFullError(f"the queue is full: {full}; try again in about {wait} s", wait)

    def _release(self, handle: GenerationHandle) -> None:
        with self._changed:
            self._sounds -= handle.sounds
            self._seconds = self._seconds - handle.seconds if self._sounds else 0.0
            self._changed.notify_all()

    def _seconds_to_a_place(self) -> int:
        """About when the first of the running requests ends."""
        left = [done.batch.codes.shape[-1] - done.complete for done in self._batch.requests]
        return min(60, max(1, math.ceil(min(left, default=0) * self._step_seconds)))

    def _cancel(self, handle: GenerationHandle) -> None:
        """Take a cancelled request out of the queue; a running one is met before its next step."""
        with self._changed:
            waiting = next((request for request in self._waiting if request.handle is handle), None)
            if waiting is not None:
                self._waiting.remove(waiting)
                self._fail(waiting, GenerationCancelled(CANCELLED))
            self._changed.notify_all()

    def _fail(self, request: Request, error: Exception) -> None:
        """End a request that is not running."""
        self._release(request.handle)
        request.handle.fail(error)

    def _end(self, running: RunningRequest, error: Exception | None) -> None:
        """End a request that is running or being decoded."""
        running.close()
        self._release(running.request.handle)
        if error is None:
            running.request.handle.finish()
        else:
            running.request.handle.fail(error)

    # --- the thread that steps ---------------------------------------------------------------------------

    def _run(self) -> None:
        closed: Exception = EngineClosedError("the engine was closed before the sound was complete")
        try:
            self._serve()
        except Exception as error:
            logger.exception("the engine stopped")
            closed = error
        with self._changed:
            self._closing = True
            while len(self._waiting):
                self._fail(self._waiting.pop(), closed)
        self._batch.drop(self._batch.requests, closed)

    def _serve(self) -> None:
        small = is_small(self.lm, rows=2)  # as a request alone, so that sums are rounded as they are there
        with torch.inference_mode(), one_thread(small):
            while True:
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._closing or self._batch.requests or len(self._waiting)
                    )
                    if self._closing:
                        return
                    admitted = self._admit()
                self._begin(admitted)
                if self._batch.requests:
                    started = time.perf_counter()
                    self._batch.step()
                    took = time.perf_counter() - started
                    self._step_seconds = 0.9 * self._step_seconds + 0.1 * took if self._step_seconds else took

    def _admit(self) -> list[Request]:
        """Take from the queue what there is room for; who is next is not overtaken by smaller ones."""
        admitted: list[Request] = []
        room = self.max_batch - self._batch.sounds
        for request in list(self._waiting):
            try:
                request.check_cancelled()
            except Exception as error:  # a callback may raise what it likes
                self._waiting.remove(request)
                self._fail(request, error)
        while (first := self._waiting.first()) is not None and first.handle.sounds <= room:
            admitted.append(self._waiting.pop())
            room -= first.handle.sounds
        return admitted

    def _begin(self, admitted: Sequence[Request]) -> None:
        for request in admitted:
            try:
                running = RunningRequest(request, self.model)
            except Exception as error:
                logger.debug("a request could not begin", exc_info=True)
                self._fail(request, error)
            else:
                self._batch.requests.append(running)
