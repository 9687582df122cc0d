"""Step-wise decoding of codes (autoregressive generation): one window, or several for longer sounds.

Letters: B items, K codebooks, V codes a codebook, T frames, P frames of a prompt of codes, S steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..core.errors import ArgumentError, SoundloomError
from ..core.progress import Progress
from ..core.threads import is_small, one_thread
from .model.lm import AudioLM
from .origin import Origin
from .sampling import Sampler, guide
from .settings import MAX_SECONDS, ROUNDING, Schedule, check_number
from .text.encoder import TextStates

Sample = Callable[[Tensor], Tensor]
Cancel = Callable[[], bool]


class GenerationCancelled(SoundloomError, RuntimeError):
    """The caller's `cancel` asked to stop; nothing of the sound is kept."""


def plan_windows(
    frames: int, frame_rate: float, max_seconds: float, extend_stride: float | None
) -> tuple[int, int]:
    """Frames of the longest window that is needed, and frames from one window to the next.

    Args:
        frames: T, of the whole sound.
        frame_rate: of the codec in Hz.
        max_seconds: the model's longest window.
        extend_stride: seconds from one window to the next.

    Raises:
        TypeError, ValueError: the stride does not fit windows of `max_seconds`, and more than one is needed.
    """
    assert extend_stride is not None  # settings.fill has put the model's own there
    check_number("extend_stride", extend_stride, 0.0, MAX_SECONDS, "seconds")
    longest = int(max_seconds * frame_rate + ROUNDING)
    stride = int(extend_stride * frame_rate + ROUNDING)
    if frames <= longest:
        return frames, max(1, stride)
    if not 1 <= stride < longest:
        raise ArgumentError(
            f"extend_stride is {extend_stride} s; a sound longer than one window of {max_seconds} s needs at "
            f"least one frame ({1.0 / frame_rate} s) and less than the window"
        )
    return longest, stride


@dataclass
class NextStep:
    """What a generation feeds to the language model next.

    Attributes:
        tokens: int64 `[S, B, K]`: the steps of a prompt at once, then one at a time.
        position: in the sound of what is predicted, 0 the first new frame, 1 the last; for guidance.
    """

    tokens: Tensor
    position: float


# Yields what is to be fed, and is sent the tokens [B, K] that were drawn for the step after it.
Steps = Generator[NextStep, Tensor, None]


class CodeGenerator:
    """Generates codes for one batch of encoded prompts.

    Texts are projected and the cache is allocated once, however many windows are then decoded. Guidance runs
    prompts and "no prompt" (or negative prompts) together as 2 B rows; where one half cannot matter (scale 0
    or 1 throughout, no prompt at all) it is left out.

    Args:
        lm: the language model.
        text: B encoded prompts.
        max_frames: frames of the longest window.
        guidance_scale: 1 follows the prompt as trained, more follows it more closely, 0 ignores it; a
            function of the position in the sound changes it on the way.
        negative: B encoded prompts to lead away from, as long as those of `text`; None: no prompt.
        attend_padding: see `AudioLM.condition`.
        cancel: asked before every step; when it says true, `GenerationCancelled` is raised.
    """

    def __init__(
        self,
        lm: AudioLM,
        text: TextStates,
        *,
        max_frames: int,
        guidance_scale: float | Schedule = 3.0,
        negative: TextStates | None = None,
        attend_padding: bool = False,
        cancel: Cancel | None = None,
    ) -> None:
        self.lm = lm
        self.max_frames = max_frames
        self.guidance_scale = guidance_scale
        self.cancel = cancel
        self.batch = text.states.shape[0]
        # Which rows run: both halves [2 B, L, D], or the one that matters [B, L, D].
        states, mask = text.states, text.mask
        other = text.null() if negative is None else negative
        prompted = bool(mask.any()) or bool(other.mask.any())
        self.guided = guidance_scale not in (0.0, 1.0) and prompted
        if self.guided:
            states, mask = torch.cat([states, other.states]), torch.cat([mask, other.mask])
        elif guidance_scale == 0.0:
            states, mask = other.states, other.mask
        # The last step is only predicted, never an input, so the cache need not hold it.
        steps = lm.pattern.num_steps(max_frames) - 1
        self.small = is_small(lm, rows=len(states))
        with one_thread(self.small):
            self.state = lm.start(states, mask, steps, attend_padding=attend_padding)

    def close(self) -> None:
        """Give the cache's memory back."""
        self.state.close()

    def generate(
        self,
        frames: int,
        sample: Sample,
        *,
        stride: int = 1,
        prompt: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Generate any number of frames, in windows of at most max_frames; see `extend`.

        Args:
            frames: T, those of the prompt included.
            sample: turns logits `[B, K, V]` into tokens `[B, K]`, for example a `Sampler`.
            stride: frames from window to window, less than max_frames; without effect on a single window.
            prompt: int64 `[B, K, P]`, the first P < T frames.
            progress: called with the number of new frames done and to do.

        Returns:
            int64 `[B, K, T]`, the prompt included.
        """
        codes, known = self.buffer(frames, prompt)
        for _ in self.extend(codes, known, stride, sample, progress):
            pass
        return codes

    def buffer(self, frames: int, prompt: Tensor | None) -> tuple[Tensor, int]:
        """Codes `[B, K, T]` that begin with the prompt `[B, K, P]`, the rest still to be generated, and P."""
        shape = (self.batch, self.lm.num_codebooks, frames)
        codes = torch.zeros(shape, dtype=torch.long, device=self.lm.device)
        if prompt is None:
            return codes, 0
        codes[:, :, : prompt.shape[-1]] = prompt
        return codes, prompt.shape[-1]

    def extend(
        self, codes: Tensor, known: int, stride: int, sample: Sample, progress: Progress | None = None
    ) -> Iterator[int]:
        """Generate the codes after the first `known` frames, window by window, and say how far it is.

        Each window starts `stride` frames after the one before and continues what that one made, so
        `max_frames - stride` frames are its context. Cache and positions never reach beyond one window.

        Args:
            codes: int64 `[B, K, T]`, filled in place.
            known: P, frames that are there already.
            stride, sample, progress: see `generate`.

        Yields:
            After every step the number of frames of `codes` that are complete; it never falls, ends with T.
        """
        frames, complete = codes.shape[-1], known

        def report(now: int) -> None:
            nonlocal complete
            complete = now
            if progress is not None:
                progress(complete - known, frames - known)

        steps = self.steps(codes, known, stride, report)
        step: NextStep | None = next(steps)
        while step is not None:
            if self.cancel is not None and self.cancel():
                raise GenerationCancelled("generation was cancelled before the sound was complete")
            tokens = sample(self.guide(self.predict(step), step.position))
            try:
                step = steps.send(tokens)
            except StopIteration:
                step = None
            yield complete

    def steps(self, codes: Tensor, known: int, stride: int, report: Callable[[int], None]) -> Steps:
        """The steps of `extend`, for a caller that runs the language model and draws the tokens itself.

        Args:
            codes, known, stride: see `extend`.
            report: called after every step with the number of frames that are complete.
        """
        frames, prompt_frames, start = codes.shape[-1], known, 0
        if frames > self.max_frames <= known:  # a prompt longer than a window: its end is the first context
            start = known - (self.max_frames - stride)

        def position(frame: int) -> float:
            """Where a frame of the window is among the new ones of the sound: 0 the first, 1 the last."""
            return min(1.0, max(0.0, (start + frame - prompt_frames) / max(1, frames - prompt_frames - 1)))

        def report_window(done: int) -> None:
            report(max(known, start + done))

        while known < frames:
            end = min(start + self.max_frames, frames)
            yield from self._window(codes[:, :, start:end], known - start, position, report_window)
            known, start = end, start + stride

    def _window(
        self,
        codes: Tensor,
        known: int,
        position: Callable[[int], float],
        report: Callable[[int], None],
    ) -> Steps:
        """Fill `codes [B, K, T]` after the first `known` frames; reports the complete ones at every step."""
        pattern, frames = self.lm.pattern, codes.shape[-1]
        # Lay the codes out over the steps; what is still to be generated is -1.
        sequence = pattern.build(codes[:, :, :known], frames, special=self.lm.special_token)  # [B, K, S]
        # Steps one after the other in memory, so that a step's tokens are read and written in one piece.
        steps = sequence.permute(2, 0, 1).contiguous()  # [S, B, K]
        fixed = steps >= 0
        self.state.reset()
        first, complete = pattern.first_step_after(known), known
        for step in range(first, len(steps)):
            # The prompt's steps at once, then the newest step alone.
            fed = steps[:first] if step == first else steps[step - 1 : step]
            drawn = yield NextStep(fed, position(pattern.newest_frame(step)))
            # Keep what the prompt or the pattern fixes.
            torch.where(fixed[step], steps[step], drawn, out=steps[step])
            # Read out the frames of which the last codebook has just come.
            done = pattern.complete_frames(step + 1)
            if done > complete:
                sequence = steps.permute(1, 2, 0)  # [B, K, S]
                codes[:, :, complete:done] = pattern.revert(sequence, done, first=complete)
                complete = done
            report(done)

    def predict(self, step: NextStep) -> Tensor:
        """Run a step: logits `[rows, K, V]` of the one after it; with guidance both halves are rows."""
        # A step at a time: between two of them it is the caller's program that runs, with its own threads.
        with one_thread(self.small):
            return self.lm.step(step.tokens.permute(1, 2, 0), self.state)  # [S, B, K] -> [B, K, S]

    def guide(self, logits: Tensor, position: float) -> Tensor:
        """Logits `[rows, K, V]` -> guided ones `[B, K, V]`, at this position in the sound."""
        if not self.guided:
            return logits
        scale = self.guidance_scale(position) if callable(self.guidance_scale) else self.guidance_scale
        return guide(logits[: self.batch], logits[self.batch :], scale)


class Closable(Protocol):
    """What holds memory until it is closed."""

    def close(self) -> None: ...


@dataclass(kw_only=True)
class Batch(ABC):
    """Rows that are being generated.

    Attributes:
        prompts, seeds: one for each row.
        codes: int64 `[B, K, T]`, filled by `steps`.
        origin: what is told of how they were made; None: nothing.
        generator: holds the cache; to be closed at the end.
    """

    prompts: list[str]
    seeds: list[int]
    codes: Tensor
    origin: Origin | None
    generator: Closable

    @abstractmethod
    def steps(self) -> Iterator[int]:
        """Run the steps; gives the number of complete frames after every one."""

    def run(self) -> Tensor:
        """All codes `[B, K, T]`; the cache's memory is given back, whatever happens."""
        with closing(self.generator):
            for _ in self.steps():
                pass
        return self.codes


@dataclass(kw_only=True)
class PromptBatch(Batch):
    """Rows of one prompt each.

    Attributes:
        known: P, frames of a prompt of codes.
        stride: frames from window to window.
        sampler: draws the tokens.
        generator: see `Batch`.
        progress: see `CodeGenerator.generate`.
    """

    known: int
    stride: int
    sampler: Sampler
    generator: CodeGenerator
    progress: Progress | None = None

    def steps(self) -> Iterator[int]:
        return self.generator.extend(self.codes, self.known, self.stride, self.sampler, self.progress)


@dataclass(kw_only=True)
class Prepared:
    """Rows that can be generated: checked, their texts encoded, nothing allocated yet.

    Attributes:
        prompts, seeds, stride, sampler, origin: as of `PromptBatch`.
        lm: the language model.
        text, negative, guidance_scale, attend_padding, max_frames: as of `CodeGenerator`.
        frames: T.
        known: int64 `[B, K, P]` to continue, or None.
    """

    prompts: list[str]
    seeds: list[int]
    stride: int
    sampler: Sampler
    lm: AudioLM
    text: TextStates
    negative: TextStates | None
    guidance_scale: float | Schedule
    attend_padding: bool
    max_frames: int
    frames: int
    known: Tensor | None
    origin: Origin

    def start(self, progress: Progress | None = None, cancel: Cancel | None = None) -> PromptBatch:
        """Allocate the memory; see `CodeGenerator`."""
        generator = CodeGenerator(
            self.lm,
            self.text,
            max_frames=self.max_frames,
            guidance_scale=self.guidance_scale,
            negative=self.negative,
            attend_padding=self.attend_padding,
            cancel=cancel,
        )
        codes, known = generator.buffer(self.frames, self.known)  # [B, K, T]
        return PromptBatch(
            prompts=self.prompts,
            seeds=self.seeds,
            codes=codes,
            known=known,
            stride=self.stride,
            sampler=self.sampler,
            generator=generator,
            origin=self.origin,
            progress=progress,
        )
