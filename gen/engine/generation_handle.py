"""What `Engine.submit` returns: a sound that is being made, or waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from ..generated_audio import GeneratedAudio, join_chunks
from ..generation import GenerationCancelled

CANCELLED = "generation was cancelled before the sound was complete"


class GenerationHandle:
    """A request of an `Engine`. Every method may be called from any thread.

    Args:
        client: who asks, for fair turns.
        sounds: rows that are made at once.
        seconds: of all of them together.
        frames: new frames of each.
        on_cancel: called once, when it is cancelled first.

    Attributes:
        status: "waiting", "running", "decoding", "done", "cancelled" or "failed".
        progress: new frames that are done, and how many there will be.
    """

    def __init__(
        self,
        *,
        client: str,
        sounds: int,
        seconds: float,
        frames: int,
        on_cancel: Callable[[GenerationHandle], None],
    ) -> None:
        self.client, self.sounds, self.seconds = client, sounds, seconds
        self.status = "waiting"
        self.progress = (0, frames)
        self._chunks: list[GeneratedAudio] = []
        self._error: Exception | None = None
        self._ended = self._cancelled = False
        self._changed = threading.Condition()
        self._watchers: list[Callable[[], None]] = []
        self._on_cancel = on_cancel

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self._ended

    @property
    def cancelled(self) -> bool:
        """Whether somebody has called `cancel`."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop the work and give its place away; nothing happens where it has ended already."""
        with self._changed:
            if self._ended or self._cancelled:
                return
            self._cancelled = True
        self._on_cancel(self)

    def result(self, timeout: float | None = None) -> GeneratedAudio:
        """Wait for the whole sounds, `[prompts * num_samples, C, N]`; see `AudioGen.generate`.

        Args:
            timeout: seconds to wait at most; None: as long as it takes.

        Raises:
            TimeoutError: they are not ready by then; the work goes on.
            GenerationCancelled: it was cancelled.
            Exception: what went wrong with the request.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout):
                done, total = self.progress
                raise TimeoutError(
                    f"the sound is not complete after {timeout} s ({done} of {total} frames); wait longer, "
                    "or cancel it"
                )
        chunks, _ = self.ready(0)
        return chunks[0] if len(chunks) == 1 else join_chunks(chunks)

    def __iter__(self) -> Iterator[GeneratedAudio]:
        """Give the chunks as they come, as `AudioGen.stream` does; one of all, unless submitted to stream.

        Raises:
            GenerationCancelled: it was cancelled.
            Exception: what went wrong with the request.
        """
        index = 0
        while True:
            with self._changed:
                while not self._ended and len(self._chunks) <= index:
                    self._changed.wait()
            chunks, ended = self.ready(index)
            yield from chunks
            index += len(chunks)
            if ended:
                return

    def ready(self, index: int) -> tuple[list[GeneratedAudio], bool]:
        """The chunks from number `index` on that are there now, and whether they are the last.

        Raises:
            GenerationCancelled: it was cancelled.
            Exception: what went wrong with the request.
        """
        with self._changed:
            if self._error is not None:
                raise self._error
            return self._chunks[index:], self._ended

    def watch(self, callback: Callable[[], None]) -> None:
        """Call something whenever chunks were added or the request has ended; from a thread of the engine."""
        with self._changed:
            self._watchers.append(callback)
        callback()

    # --- what the engine tells it ------------------------------------------------------------------------

    def add(self, chunk: GeneratedAudio) -> None:
        """A chunk is there."""
        with self._changed:
            self._chunks.append(chunk)
        self._tell()

    def finish(self) -> None:
        """All chunks are there."""
        self._end("done", None)

    def fail(self, error: Exception) -> None:
        """There will be no more."""
        self._end("cancelled" if isinstance(error, GenerationCancelled) else "failed", error)

    def _end(self, status: str, error: Exception | None) -> None:
        with self._changed:
            self.status, self._error, self._ended = status, error, True
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()
