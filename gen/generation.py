"""Decoding codes step by step: one window, or many that follow one another for longer sounds.

Letters: B items, K codebooks, T frames, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..core.errors import SoundloomError
from ..core.progress import Progress
from ..core.threads import is_small, one_thread
from .model.lm import AudioLM
from .sampling import guide
from .text.encoder import TextStates

Sample = Callable[[Tensor], Tensor]
# The guidance scale at a place of the sound: 0 is the first new frame, 1 the last.
Schedule = Callable[[float], float]


class GenerationCancelled(SoundloomError, RuntimeError):
    """The caller's `cancel` asked to stop; nothing of the sound is kept."""


class CodeGenerator:
    """Generates codes for one batch of encoded prompts.

    Texts are projected and the cache is claimed once, however many windows are then decoded. Guidance runs
    prompts and "no prompt" (or negative prompts) together as 2 B rows; where one half cannot matter (scale 0
    or 1 throughout, no prompt at all) it is left out.

    Args:
        lm: the language model.
        text: B encoded prompts.
        max_frames: frames of the longest window.
        guidance_scale: 1 follows the prompt as trained, more follows it more closely, 0 ignores it; a
            function of the place in the sound changes it on the way.
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
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        self.lm = lm
        self.max_frames = max_frames
        self.guidance_scale = guidance_scale
        self.cancel = cancel
        self.batch = text.states.shape[0]
        states, mask = text.states, text.mask
        other = text.null() if negative is None else negative
        prompted = bool(mask.any()) or bool(other.mask.any())
        self.guided = guidance_scale not in (0.0, 1.0) and prompted
        if self.guided:
            states, mask = torch.cat([states, other.states]), torch.cat([mask, other.mask])
        elif guidance_scale == 0.0:
            states, mask = other.states, other.mask
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
        codes, given = self.room(frames, prompt)
        for done in self.extend(codes, given, stride, sample):
            if progress is not None:
                progress(done - given, frames - given)
        return codes

    def room(self, frames: int, prompt: Tensor | None) -> tuple[Tensor, int]:
        """Codes `[B, K, T]` that begin with the prompt `[B, K, P]`, the rest still to be found, and P."""
        shape = (self.batch, self.lm.num_codebooks, frames)
        codes = torch.zeros(shape, dtype=torch.long, device=self.lm.device)
        if prompt is None:
            return codes, 0
        codes[:, :, : prompt.shape[-1]] = prompt
        return codes, prompt.shape[-1]

    def extend(self, codes: Tensor, given: int, stride: int, sample: Sample) -> Iterator[int]:
        """Find the codes after the first `given` frames, window by window, and say how far it is.

        Each window starts `stride` frames after the one before and continues what that one made, so
        `max_frames - stride` frames are its context. Cache and positions never reach beyond one window.

        Args:
            codes: int64 `[B, K, T]`, filled in place.
            given: P, frames that are there already.
            stride, sample: see `generate`.

        Yields:
            After every step the number of frames of `codes` that are complete; it never falls, ends with T.
        """
        frames = codes.shape[-1]
        known, offset = given, 0
        if frames > self.max_frames <= given:  # a prompt longer than a window: its end is the first context
            offset = given - (self.max_frames - stride)

        def place(frame: int) -> float:
            return _place(offset + frame, given, frames)

        while known < frames:
            end = min(offset + self.max_frames, frames)
            for done in self._window(codes[:, :, offset:end], known - offset, sample, place):
                yield max(known, offset + done)
            known, offset = end, offset + stride

    def _window(
        self, codes: Tensor, given: int, sample: Sample, place: Callable[[int], float]
    ) -> Iterator[int]:
        """Fill `codes [B, K, T]` after the first `given` frames; yields the complete ones at every step."""
        pattern, frames = self.lm.pattern, codes.shape[-1]
        sequence = pattern.build(codes[:, :, :given], frames, special=self.lm.special_token)
        # Steps one after the other in memory, so that a step's tokens are read and written in one piece.
        steps = sequence.permute(2, 0, 1).contiguous()
        settled = steps >= 0
        start = pattern.first_step_after(given)
        self.state.reset()
        done = given
        for step in range(start, len(steps)):
            if self.cancel is not None and self.cancel():
                raise GenerationCancelled("generation was cancelled before the sound was complete")
            fed = steps[:start] if step == start else steps[step - 1 : step]
            logits = self._step(fed, place(pattern.newest_frame(step)))
            torch.where(settled[step], steps[step], sample(logits), out=steps[step])
            complete = pattern.complete_frames(step + 1)
            if complete > done:
                codes[:, :, done:complete] = pattern.revert(steps.permute(1, 2, 0), complete, first=done)
                done = complete
            yield complete

    def _step(self, steps: Tensor, place: float) -> Tensor:
        """Feed steps `[S, B, K]`; guided logits `[B, K, V]` of the next, which is at `place` in the sound."""
        # A step at a time: between two of them it is the caller's program that runs, with its own threads.
        with one_thread(self.small):
            logits = self.lm.step(steps.permute(1, 2, 0), self.state)
        if not self.guided:
            return logits
        scale = self.guidance_scale(place) if callable(self.guidance_scale) else self.guidance_scale
        return guide(logits[: self.batch], logits[self.batch :], scale)


def _place(frame: int, given: int, frames: int) -> float:
    """Where a frame is among the new ones of a sound: 0 at the first, 1 at the last."""
    return min(1.0, max(0.0, (frame - given) / max(1, frames - given - 1)))
