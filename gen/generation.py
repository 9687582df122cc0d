"""Decoding codes step by step: one window, or many that follow one another for longer sounds.

Letters: B items, K codebooks, T frames, S steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .lm import AudioLM
from .sampling import guide
from .text import TextStates

Sample = Callable[[Tensor], Tensor]
Progress = Callable[[int, int], None]


class CodeGenerator:
    """Generates codes for one batch of encoded prompts.

    Texts are projected and the cache is claimed once, however many windows are then decoded. Guidance runs
    prompts and "no prompt" together as 2 B rows; where one half cannot matter (scale 0 or 1, no prompt at
    all) it is left out.

    Args:
        lm: the language model.
        text: B encoded prompts.
        max_frames: frames of the longest window.
        guidance_scale: 1 follows the prompt as trained, more follows it more closely, 0 ignores it.
        attend_padding: see `AudioLM.condition`.
    """

    def __init__(
        self,
        lm: AudioLM,
        text: TextStates,
        *,
        max_frames: int,
        guidance_scale: float = 3.0,
        attend_padding: bool = False,
    ) -> None:
        self.lm = lm
        self.max_frames = max_frames
        self.guidance_scale = guidance_scale
        self.batch = text.states.shape[0]
        states, mask = text.states, text.mask
        null = text.null()
        self.guided = guidance_scale not in (0.0, 1.0) and bool(mask.any())
        if self.guided:
            states, mask = torch.cat([states, null.states]), torch.cat([mask, null.mask])
        elif guidance_scale == 0.0:
            states, mask = null.states, null.mask
        steps = lm.pattern.num_steps(max_frames) - 1
        self.state = lm.start(states, mask, steps, attend_padding=attend_padding)

    def close(self) -> None:
        """Give the cache's memory back."""
        self.state.close()

    def window(
        self,
        frames: int,
        sample: Sample,
        *,
        prompt: Tensor | None = None,
        on_frames: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Generate one window.

        Args:
            frames: T, frames of the window, those of the prompt included; at most max_frames.
            sample: turns logits `[B, K, V]` into tokens `[B, K]`, for example a `Sampler`.
            prompt: int64 `[B, K, P]`, the first P < T frames.
            on_frames: called after every step with the number of complete frames.

        Returns:
            int64 `[B, K, T]`, the prompt included.
        """
        pattern = self.lm.pattern
        device = self.lm.device
        if prompt is None:
            prompt = torch.empty(self.batch, pattern.num_codebooks, 0, dtype=torch.long, device=device)
        given = prompt.shape[-1]
        sequence = pattern.build(prompt.to(device), frames, special=self.lm.special_token)
        # Steps one after the other in memory, so that a step's tokens are read and written in one piece.
        steps = sequence.permute(2, 0, 1).contiguous()
        settled = steps >= 0
        start = pattern.first_step_after(given)
        self.state.reset()
        logits = self._step(steps[:start])
        for step in range(start, len(steps)):
            torch.where(settled[step], steps[step], sample(logits), out=steps[step])
            if on_frames is not None:
                on_frames(pattern.complete_frames(step + 1))
            if step + 1 < len(steps):
                logits = self._step(steps[step : step + 1])
        return pattern.revert(steps.permute(1, 2, 0), frames)

    def long(
        self,
        frames: int,
        stride: int,
        sample: Sample,
        *,
        prompt: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Generate any number of frames, in windows of at most max_frames.

        Each window starts `stride` frames after the one before and continues what that one made, so
        `max_frames - stride` frames are its context.

        Args:
            frames: T, those of the prompt included.
            stride: frames from window to window, less than max_frames.
            sample: see `window`.
            prompt: int64 `[B, K, P]`, P < T.
            progress: called with the number of new frames done and to do.

        Returns:
            int64 `[B, K, T]`, the prompt included.
        """
        if prompt is None:
            prompt = torch.empty(
                self.batch, self.lm.num_codebooks, 0, dtype=torch.long, device=self.lm.device
            )
        given = prompt.shape[-1]
        parts = [prompt]
        context, offset = prompt, 0
        if frames > self.max_frames <= given:  # a prompt longer than a window: its end is the first context
            offset = given - (self.max_frames - stride)
            context = prompt[:, :, offset:]
        while offset + context.shape[-1] < frames:
            length = min(frames - offset, self.max_frames)
            report = None
            if progress is not None:
                report = _reporter(progress, offset, offset + context.shape[-1], given, frames - given)
            window = self.window(length, sample, prompt=context, on_frames=report)
            parts.append(window[:, :, context.shape[-1] :])
            context, offset = window[:, :, stride:], offset + stride
        return torch.cat(parts, dim=-1)

    def _step(self, steps: Tensor) -> Tensor:
        """Feed steps `[S, B, K]`; guided logits `[B, K, V]` of the next."""
        logits = self.lm.step(steps.permute(1, 2, 0), self.state)
        if not self.guided:
            return logits
        return guide(logits[: self.batch], logits[self.batch :], self.guidance_scale)


def _reporter(progress: Progress, offset: int, known: int, given: int, total: int) -> Callable[[int], None]:
    """A callback for one window that reports the frames of the whole: never fewer than the `known` ones."""

    def report(frames: int) -> None:
        progress(max(offset + frames, known) - given, total)

    return report
