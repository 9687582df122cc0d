"""Consistency training: noise schedule, scalings and the loss of pairs of noise levels.

Letters: B chunks, t in 0 to 1 a place on the noise schedule, sigma a noise level. Sources: EDM (Karras et al.
2022, arXiv 2206.00364), consistency models (Song et al. 2023, arXiv 2303.01469), improved techniques (Song
and Dhariwal 2023, arXiv 2310.14189: pseudo-Huber, weight 1 / step), Music2Latent (arXiv 2408.06500:
continuous schedule with a shrinking step), easy consistency tuning (Geng et al. 2024, arXiv 2406.14548: from
plain denoising, by stages, to consistency).

diffusers' CMStochasticIterativeScheduler has the same scalings and the same ladder of noise levels (a test
compares them), but it keeps one level for the whole batch, on a grid, and draws its own noise. Here the two
chunks of a pair have levels of their own, training wants them continuous, and noise must be replayable; so it
is not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .music2latent2_config import Music2Latent2Config


@dataclass
class Scalings:
    """`D(x) = skip * x + out * F(in_ * x)`; each has the shape of sigma."""

    skip: Tensor
    out: Tensor
    in_: Tensor


class NoiseSchedule:
    """Noise levels and scalings of a model."""

    def __init__(self, config: Music2Latent2Config) -> None:
        self.data, self.min, self.max = config.sigma_data, config.sigma_min, config.sigma_max
        self.rho = config.rho

    def sigma(self, time: Tensor) -> Tensor:
        """Noise level at places on the schedule, same shape; `sigma_min` at 0 and `sigma_max` at 1."""
        low, high = self.min ** (1 / self.rho), self.max ** (1 / self.rho)
        return (low + time * (high - low)) ** self.rho

    def ladder(self, steps: int) -> list[float]:
        """The levels of `steps` denoising steps, from `sigma_max` down, equally spaced on the schedule."""
        if steps < 1:
            raise ValueError(f"steps is {steps}; denoising takes at least 1 step")
        times = torch.tensor([1 - step / steps for step in range(steps)], dtype=torch.float64)
        return self.sigma(times).tolist()

    def scalings(self, sigma: Tensor, scale: Tensor | None = None) -> Scalings:
        """At `sigma_min` D is the identity, so that a consistency model keeps clean input as it is.

        Args:
            sigma: noise level.
            scale: expected size of the clean values, in place of `sigma_data`; any shape that goes with
                sigma's. Without a network, D then is the exact consistency function of normal values of these
                sizes: their noise level falls, and they shrink to their size.
        """
        above = sigma - self.min
        if scale is not None:
            spread = (sigma**2 + scale**2).sqrt()
            skip = scale / (above**2 + scale**2).sqrt()
            return Scalings(skip=skip, out=scale * above / spread, in_=1 / spread)
        spread = (sigma**2 + self.data**2).sqrt()
        return Scalings(
            skip=self.data**2 / (above**2 + self.data**2), out=self.data * above / spread, in_=1 / spread
        )

    def renoise(self, clean: Tensor, sigma: float, noise: Tensor) -> Tensor:
        """Bring `clean`, taken to be at `sigma_min`, to level `sigma` with standard normal `noise`."""
        return clean + math.sqrt(max(sigma**2 - self.min**2, 0.0)) * noise


def pseudo_huber(prediction: Tensor, target: Tensor, factor: float = 0.00054) -> Tensor:
    """Pseudo-Huber distance of each item, `[B, ...]` -> `[B]`; the knee grows with the root of its size."""
    knee = factor * math.sqrt(prediction[0].numel())
    squared = (prediction - target).float().pow(2).flatten(1).sum(1)  # [B]
    return (squared + knee**2).sqrt() - knee


@dataclass
class ConsistencyLoss:
    """What a step of consistency training gives.

    Attributes:
        loss: scalar.
        items: `[B]`, the weighted loss of each chunk.
        sigma: `[B]`, the higher noise level of each.
        stage: of easy consistency tuning; None with the other schedule.
        envelope: the mean of `envelope_loss`, where the model has one.
    """

    loss: Tensor
    items: Tensor
    sigma: Tensor
    stage: int | None = None
    envelope: Tensor | None = None


@dataclass(frozen=True)
class Refinement:
    """When and how decodings are compared with the original; see refinement.py.

    Args:
        start: share of the training steps after which this loss takes the place of the consistency loss; 1:
            never.
        weight: of the loss beside that of the envelope.
        repulsion: 1 keeps all texture (the energy distance); 0 asks for the nearest sound, and makes one
            decoding where there would be two.
        windows: of the spectra that are compared, samples.

    Raises:
        ValueError: a start or a repulsion outside 0 to 1, or no windows.
    """

    start: float = 1.0
    weight: float = 30.0
    repulsion: float = 0.5
    windows: tuple[int, ...] = (256, 1024, 4096)

    def __post_init__(self) -> None:
        if not 0 <= self.start <= 1:
            raise ValueError(f"noise.refinement.start is {self.start}; it is a share of the steps, 0 to 1")
        if not 0 <= self.repulsion <= 1:
            raise ValueError(f"noise.refinement.repulsion is {self.repulsion}; it lies between 0 and 1")
        if not self.windows:
            raise ValueError("noise.refinement.windows is empty; give at least one size in samples")

    def begins(self, step: int, total_steps: int) -> bool:
        """Whether this loss is used at a training step."""
        return self.start < 1 and step >= self.start * total_steps


@dataclass(frozen=True)
class NoiseLevels:
    """Which pairs of noise levels consistency training compares.

    Args:
        schedule: "shrinking": the two lie a step apart that shrinks all the time, as Music2Latent was
            trained. "ect": easy consistency tuning. The lower one is zero at first, so that the target is the
            clean spectrogram, and then comes nearer to the higher one stage by stage.
        denoising: share of the training steps that go to the first stage of "ect", plain denoising.
        stages: further ones, all of the same number of steps. In stage n the lower level of t is
            `t * (1 - 2**-n * (1 + 8 * sigmoid(-t)))`, or zero.
        initial_step: distance (in t) of the two levels at first.
        step_exponent: it shrinks to `initial_step ** step_exponent` over the training (3 in Music2Latent, 2
            in CoDiCodec).
        mean, std: training visits a place t with the weight that a normal distribution of these parameters
            gives to ln sigma(t).
        refinement: from when on decodings are compared with the original instead.
        min_gap: least difference of the two noise levels that the weight 1 / difference sees.
        cells: resolution of that weighting.

    Raises:
        ValueError: another schedule, a share that is none, or no stages.
    """

    schedule: Literal["shrinking", "ect"] = "shrinking"
    denoising: float = 0.45
    stages: int = 3
    initial_step: float = 0.1
    step_exponent: float = 3.0
    mean: float = -1.1
    std: float = 2.0
    refinement: Refinement = Refinement()
    min_gap: float = 0.001
    cells: int = 9999

    def __post_init__(self) -> None:
        if self.schedule not in ("shrinking", "ect"):
            raise ValueError(f"noise.schedule is {self.schedule!r}; allowed: shrinking, ect")
        if not 0 <= self.denoising <= 1:
            raise ValueError(f"noise.denoising is {self.denoising}; it is a share of the steps, 0 to 1")
        if self.stages < 1:
            raise ValueError(f"noise.stages is {self.stages}; after denoising comes at least 1 stage")


class ConsistencyObjective:
    """Consistency training: what comes of a noisier and of a slightly less noisy input should agree.

    Args:
        schedule: of the model.
        levels: which noise levels are compared.
        total_steps: training steps over which the two levels come together.
    """

    def __init__(
        self, schedule: NoiseSchedule, levels: NoiseLevels = NoiseLevels(), *, total_steps: int
    ) -> None:
        if total_steps < 1:
            raise ValueError(f"total_steps is {total_steps}; give the number of training steps, at least 1")
        self.schedule, self.levels = schedule, levels
        self.total_steps = total_steps
        places = (torch.arange(levels.cells) + 0.5) / levels.cells
        self.weights = torch.exp(-0.5 * ((schedule.sigma(places).log() - levels.mean) / levels.std) ** 2)

    def step_size(self, step: int) -> float:
        """Distance between the two places on the schedule at a training step."""
        progress = min(step / self.total_steps, 1.0)
        return self.levels.initial_step ** (1 + (self.levels.step_exponent - 1) * progress)

    def stage(self, step: int) -> int | None:
        """Stage of easy consistency tuning at a training step; 0 is denoising, None another schedule."""
        levels = self.levels
        if levels.schedule != "ect":
            return None
        start = levels.denoising * self.total_steps
        if step < start or start == self.total_steps:
            return 0
        done = (step - start) / (self.total_steps - start)
        return 1 + min(int(done * levels.stages), levels.stages - 1)

    def lower_levels(self, high: Tensor, step: int) -> Tensor:
        """The noise level to compare with those at places `high [B]`; `sigma_min` is that of clean input."""
        stage = self.stage(step)
        if stage is None:
            return self.schedule.sigma((high - self.step_size(step)).clamp_min(0))
        sigma = self.schedule.sigma(high)
        lower = sigma * (1 - 2.0**-stage * (1 + 8 * torch.sigmoid(-sigma)))
        return lower.clamp_min(self.schedule.min)

    def sample_times(self, count: int, device: torch.device) -> Tensor:
        """Random places on the schedule, `[count]`."""
        cells = torch.multinomial(self.weights.to(device), count, replacement=True)
        return (cells + torch.rand(count, device=device)) / len(self.weights)

    def __call__(
        self,
        student: Callable[[Tensor, Tensor], Tensor],
        teacher: Callable[[Tensor, Tensor], Tensor],
        clean: Tensor,
        step: int,
    ) -> ConsistencyLoss:
        """Loss of one training step.

        Args:
            student, teacher: `(noisy [B, ...], sigma [B]) -> denoised [B, ...]`, the same weights; the
                teacher is called without gradient and is to use contexts without gradient.
            clean: `[B, ...]`; every chunk gets a noise level of its own.
            step: the training step.
        """
        # Two levels of noise for each chunk.
        high = self.sample_times(len(clean), clean.device)
        sigma_high, sigma_low = self.schedule.sigma(high), self.lower_levels(high, step)
        # The same noise at both levels: the less noisy prediction is the target.
        noise = torch.randn_like(clean)
        target, stage = clean, self.stage(step)
        if stage != 0:
            with torch.no_grad():
                target = teacher(clean + _per_item(sigma_low, clean) * noise, sigma_low)
        if stage is not None:
            # What is as good as clean is the clean spectrogram itself, without the last bit of noise.
            target = torch.where(_per_item(sigma_low <= self.schedule.min, clean), clean, target)
        # Distance of the two, the more weight the nearer the levels are.
        prediction = student(clean + _per_item(sigma_high, clean) * noise, sigma_high)
        items = pseudo_huber(prediction, target) / (sigma_high - sigma_low).clamp_min(self.levels.min_gap)
        return ConsistencyLoss(loss=items.mean(), items=items.detach(), sigma=sigma_high, stage=stage)


def _per_item(values: Tensor, like: Tensor) -> Tensor:
    # [B] -> [B, 1, ...]
    return values.view(-1, *[1] * (like.ndim - 1))
