"""Autoregressive, two-step and parallel decoding: contexts of chunks -> spectrogram chunks.

Every decoder takes the chunks of a sound in order and gives spectrogram chunks back as soon as they are done,
so offline and streaming use is the same code, and memory does not grow with the sound's length. A chunk's
context is computed once, by the caller.

Letters: B sounds, P parts, F bins, M frames of a chunk. Sources: Music2Latent2 (arXiv 2501.17578) for the
two-step procedure, CoDiCodec (arXiv 2509.09836) for the others.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .chunk_transformer import KeyValue
from .consistency import NoiseSchedule
from .networks import Context

NoiseSource = torch.Generator | Sequence[torch.Generator] | Iterator[Tensor]


def draw_noise(source: NoiseSource, shape: Sequence[int], device: torch.device) -> Tensor:
    """Draw standard normal noise `[B, ...]`; the only place where decoding draws any.

    Args:
        source: one generator for the whole batch; or one for each item, so that an item gets what it would
            get alone; or an iterator over recorded noise, to replay it.
        shape: wanted shape.
        device: where the result goes. Generators on the CPU give the same noise on every device.

    Raises:
        ValueError: as many generators as items are wanted; or recorded noise ends or has another shape.
    """
    if isinstance(source, torch.Generator):
        return torch.randn(*shape, generator=source, device=source.device).to(device)
    if isinstance(source, Sequence):
        if len(source) != shape[0]:
            raise ValueError(f"{len(source)} generators for a batch of {shape[0]}; give one for each item")
        return torch.stack([torch.randn(*shape[1:], generator=g, device=g.device) for g in source]).to(device)
    recorded = next(source, None)
    if recorded is None or list(recorded.shape) != list(shape):
        found = "it has ended" if recorded is None else f"the next one is {list(recorded.shape)}"
        raise ValueError(f"recorded noise of shape {list(shape)} is wanted, but {found}")
    return recorded.to(device)


def to_generators(seed: int | Sequence[int], batch: int) -> list[torch.Generator]:
    """A generator for each item of a batch: all of one seed, or each of its own.

    Raises:
        ValueError: as many seeds as items are wanted, or whole numbers.
    """
    seeds = list(seed) if isinstance(seed, Sequence) else [seed] * batch
    if len(seeds) != batch:
        raise ValueError(f"{len(seeds)} seeds for a batch of {batch}; give one number, or one for each item")
    try:
        return [torch.Generator().manual_seed(operator.index(value)) for value in seeds]
    except (TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"seed is {seed!r}; a whole number below 2 ** 63 is wanted") from error


class Denoiser(Protocol):
    """What a decoder needs of the model; chunks are `[B, P, F, M]` and noise levels numbers."""

    schedule: NoiseSchedule

    def context(self, latents: Tensor) -> Context:
        """Context of chunks of latents `[B, S, D]`."""

    def denoise(
        self, noisy: Tensor, sigma: float, context: Context, past: list[KeyValue] | None = None
    ) -> tuple[Tensor, list[KeyValue]]:
        """Denoise left chunks, or right ones given the `past` of the left; also returns their own `past`."""

    def remember(self, noisy: Tensor, sigma: float, context: Context) -> list[KeyValue]:
        """The `past` of left chunks whose own output is not wanted."""

    def denoise_pair(self, noisy: Tensor, sigma: float, context: Context) -> Tensor:
        """Denoise pairs of chunks: all left chunks, then all right ones, on the batch axis."""


class ChunkDecoder(ABC):
    """Takes contexts of consecutive chunks and gives finished spectrogram chunks in the same order.

    Args:
        denoiser: the model.
        noise: see `draw_noise`.
        shape: of a chunk, `(B, P, F, M)`.
        device: where the model is.

    Attributes:
        held: chunks, at most, that were pushed and are not done.
    """

    held = 0

    def __init__(
        self, denoiser: Denoiser, noise: NoiseSource, shape: Sequence[int], device: torch.device
    ) -> None:
        self.denoiser, self.schedule = denoiser, denoiser.schedule
        self.noise, self.shape, self.device = noise, tuple(shape), device

    @abstractmethod
    def push(self, context: Context) -> list[Tensor]:
        """Take the next chunk; return the chunks that are now done, each `[B, P, F, M]`."""

    @abstractmethod
    def flush(self) -> list[Tensor]:
        """The sound has ended: return what is left."""

    def draw(self) -> Tensor:
        """Noise for a chunk."""
        return draw_noise(self.noise, self.shape, self.device)


class AutoregressiveDecoder(ChunkDecoder):
    """Each chunk is denoised in `steps` steps, to the right of the chunk before it, which is re-noised once.

    The left chunk does not change between the steps and does not see the right one, so it goes through the
    network once per chunk. Noise is drawn in this order: start, (re-noised left chunk), one before every
    further step.

    Args:
        steps: network passes per chunk.
        prompt_time: place on the schedule to which the previous chunk is re-noised.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        noise: NoiseSource,
        shape: Sequence[int],
        device: torch.device,
        *,
        steps: int,
        prompt_time: float,
    ) -> None:
        super().__init__(denoiser, noise, shape, device)
        self.ladder = self.schedule.ladder(steps)
        self.prompt_sigma = _prompt_sigma(self.schedule, prompt_time)
        self.previous: tuple[Tensor, Context] | None = None

    def push(self, context: Context) -> list[Tensor]:
        x = self.ladder[0] * self.draw()
        past = None
        if self.previous is not None:
            clean, left_context = self.previous
            prompt = self.schedule.renoise(clean, self.prompt_sigma, self.draw())
            past = self.denoiser.remember(prompt, self.prompt_sigma, left_context)
        for step, sigma in enumerate(self.ladder):
            if step:
                x = self.schedule.renoise(x, sigma, self.draw())
            x = self.denoiser.denoise(x, sigma, context, past)[0]
        self.previous = (x, context)
        return [x]

    def flush(self) -> list[Tensor]:
        self.previous = None
        return []


class TwoStepDecoder(ChunkDecoder):
    """Music2Latent2's procedure: each chunk is estimated from noise once, and refined once as a left chunk.

    A pair is [re-noised estimate of the previous chunk | noise], and both halves of the result are kept: the
    left one is final, the right one is the next estimate. That is one pass of the pair network for each chunk
    and a delay of one chunk; the last chunk is refined alone.

    Args:
        prompt_time: place on the schedule to which an estimate is re-noised.
    """

    held = 1

    def __init__(
        self,
        denoiser: Denoiser,
        noise: NoiseSource,
        shape: Sequence[int],
        device: torch.device,
        *,
        prompt_time: float,
    ) -> None:
        super().__init__(denoiser, noise, shape, device)
        self.prompt_sigma = _prompt_sigma(self.schedule, prompt_time)
        self.previous: tuple[Tensor, Context] | None = None

    def push(self, context: Context) -> list[Tensor]:
        done, past = self._refine()
        start = self.schedule.max * self.draw()
        estimate = self.denoiser.denoise(start, self.schedule.max, context, past)[0]
        self.previous = (estimate, context)
        return done

    def flush(self) -> list[Tensor]:
        done, _ = self._refine()
        self.previous = None
        return done

    def _refine(self) -> tuple[list[Tensor], list[KeyValue] | None]:
        if self.previous is None:
            return [], None
        estimate, context = self.previous
        noisy = self.schedule.renoise(estimate, self.prompt_sigma, self.draw())
        final, past = self.denoiser.denoise(noisy, self.prompt_sigma, context)
        return [final], past


@dataclass
class _Waiting:
    """A chunk on its way through the steps: its state, the noise of the steps to come, its context."""

    x: Tensor
    noise: list[Tensor]
    context: Context


class ParallelDecoder(ChunkDecoder):
    """All chunks are denoised together, in alternating pairs: even steps (0,1)(2,3)…, odd ones (1,2)(3,4)….

    At odd steps the first and the last chunk are left chunks of nobody. A chunk can take step s as soon as
    its partner has taken step s - 1, so chunks pass through the steps in a wave: whenever `window` chunks
    have gathered, every step takes what is ready. The result does not depend on `window`. Each chunk draws
    its noise (start, then one for every further step) when it comes.

    Args:
        steps: network passes.
        blank: zero latents `[B, S, D]`, for the chunk that makes an odd number even.
        window: chunks that gather before a wave; bounds the memory together with `steps`.
        max_pairs: pairs in one network pass.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        noise: NoiseSource,
        shape: Sequence[int],
        device: torch.device,
        *,
        steps: int,
        blank: Tensor,
        window: int = 8,
        max_pairs: int = 4,
    ) -> None:
        super().__init__(denoiser, noise, shape, device)
        if window < 2 or max_pairs < 1:
            raise ValueError(f"window is {window} (at least 2) and max_pairs {max_pairs} (at least 1)")
        self.ladder = self.schedule.ladder(steps)
        self.blank, self.window, self.max_pairs = blank, window, max_pairs
        # Those that wait for a wave, and one at every further step, whose partner has not come.
        self.held = window - 1 + len(self.ladder) - 1
        self._reset()

    def _reset(self) -> None:
        self.waiting: list[list[_Waiting]] = [[] for _ in self.ladder]
        self.taken = [0] * len(self.ladder)
        self.pushed = 0

    def push(self, context: Context) -> list[Tensor]:
        noise = [self.draw() for _ in self.ladder]
        self.waiting[0].append(_Waiting(self.ladder[0] * noise[0], noise[1:], context))
        self.pushed += 1
        return self._wave(last=False) if len(self.waiting[0]) >= self.window else []

    def flush(self) -> list[Tensor]:
        padded = self.pushed % 2 == 1
        done = self.push(self.denoiser.context(self.blank)) if padded else []
        done += self._wave(last=True)
        self._reset()
        return done[:-1] if padded else done

    def _wave(self, last: bool) -> list[Tensor]:
        done: list[Tensor] = []
        for step in range(len(self.ladder)):
            queue = self.waiting[step]
            pairs: list[tuple[_Waiting, ...]] = []
            if step % 2 and self.taken[step] == 0 and queue:
                pairs.append((queue.pop(0),))
            while len(queue) >= 2:
                pairs.append((queue.pop(0), queue.pop(0)))
            if last and queue:
                pairs.append((queue.pop(0),))
            moved = self._denoise(pairs, step)
            self.taken[step] += len(moved)
            if step + 1 < len(self.ladder):
                for chunk in moved:
                    chunk.x = self.schedule.renoise(chunk.x, self.ladder[step + 1], chunk.noise.pop(0))
                self.waiting[step + 1] += moved
            else:
                done += [chunk.x for chunk in moved]
        return done

    def _denoise(self, pairs: list[tuple[_Waiting, ...]], step: int) -> list[_Waiting]:
        sigma = self.ladder[step]
        full = [pair for pair in pairs if len(pair) == 2]
        for start in range(0, len(full), self.max_pairs):
            group = full[start : start + self.max_pairs]
            chunks = [left for left, _ in group] + [right for _, right in group]
            noisy = torch.cat([chunk.x for chunk in chunks])
            clean = self.denoiser.denoise_pair(noisy, sigma, Context.cat([chunk.context for chunk in chunks]))
            for chunk, x in zip(chunks, clean.chunk(len(chunks)), strict=True):
                chunk.x = x
        for pair in pairs:
            if len(pair) == 1:
                pair[0].x = self.denoiser.denoise(pair[0].x, sigma, pair[0].context)[0]
        return [chunk for pair in pairs for chunk in pair]


def _prompt_sigma(schedule: NoiseSchedule, prompt_time: float) -> float:
    if not 0 <= prompt_time <= 1:
        raise ValueError(f"prompt_time is {prompt_time}; it is a place on the noise schedule from 0 to 1")
    return float(schedule.sigma(torch.tensor(prompt_time, dtype=torch.float64)))
