"""Sample tokens from logits: guidance, temperature, top-k, top-p, and one random stream for every item.

Letters: B items, K codebooks, V codes a codebook.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..core.errors import ArgumentError
from .settings import GenerationSettings, Seeds, check_integer, check_number


def guide(conditional: Tensor, unconditional: Tensor, guidance_scale: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022) on raw logits: `u + guidance_scale * (c - u)`."""
    return torch.lerp(unconditional, conditional, guidance_scale)


def keep_top_k(probabilities: Tensor, k: int) -> Tensor:
    """Zero what is below the k-th largest probability of the last axis; ties with it stay. Not normalised."""
    if probabilities.is_cpu and probabilities.dtype == torch.float32:
        # NumPy selects in a third of the time that topk takes, which also sorts the k above the one wanted.
        rank = probabilities.shape[-1] - k  # of the k-th largest among the values from small to large
        kth = torch.from_numpy(np.partition(probabilities.detach().numpy(), rank)[..., rank, None])
    else:
        kth = probabilities.topk(k, dim=-1).values[..., -1:]
    return probabilities.masked_fill(probabilities < kth, 0.0)


def keep_top_p(probabilities: Tensor, p: float) -> Tensor:
    """Keep the likeliest of the last axis while the sum before each is at most p. Not renormalised."""
    ordered, index = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = ordered.masked_fill(before > p, 0.0)
    return torch.zeros_like(probabilities).scatter_(-1, index, kept)


def draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """Draw one index from each row of weights by inverting its cumulative sum.

    Args:
        weights: `[..., V]`, not negative, at least one of each row above 0; they need not sum to 1.
        uniform: `[...]` in [0, 1).

    Returns:
        int64 `[...]`; an index of weight 0 never comes out.
    """
    cumulative = weights.cumsum(dim=-1)
    # With the largest float32 below 1 the product is still below the total, so some index is above it.
    target = uniform.clamp(max=1 - 2**-24).unsqueeze(-1) * cumulative[..., -1:]
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1)


def variation_seed(seed: int, variation: int) -> int:
    """The seed of the n-th variation of a prompt: the seed itself for the first, else derived from both."""
    if variation == 0:
        return seed
    return int(np.random.SeedSequence([seed, variation]).generate_state(1)[0])


def row_seeds(seed: Seeds, prompts: int, num_samples: int) -> list[int]:
    """One seed for every row, the samples of a prompt next to each other; drawn at random where seed is None.

    Raises:
        ValueError: several seeds, but not one for each prompt.
    """
    if seed is None:
        own: Sequence[int] = [secrets.randbits(32) for _ in range(prompts)]
    elif isinstance(seed, Sequence):
        own = seed
        if len(own) != prompts:
            raise ArgumentError(
                f"seed has {len(own)} entries for {prompts} prompts; give one each, or one integer"
            )
    else:
        own = [seed] * prompts
    return [variation_seed(int(value), index) for value in own for index in range(num_samples)]


def check_codebook_temperatures(
    temperatures: Sequence[float] | None, num_codebooks: int
) -> tuple[float, ...] | None:
    """One number above 0 for each codebook, or None where they change nothing.

    Raises:
        ValueError: they are no numbers, too small or too large, or too few or too many.
    """
    if temperatures is None:
        return None
    name, meaning = "codebook_temperatures", "times the temperature, one for each codebook"
    if isinstance(temperatures, (str, bytes)) or not isinstance(temperatures, Sequence):
        raise ArgumentError(f"{name} is {temperatures!r}; it must be a list of {num_codebooks} numbers")
    if len(temperatures) != num_codebooks:
        raise ArgumentError(
            f"{name} has {len(temperatures)} entries for {num_codebooks} codebooks; give one each"
        )
    try:
        factors = tuple(check_number(name, value, 0.01, 100.0, meaning) for value in temperatures)
    except TypeError as error:  # of what a model's config.json says: no fault of the program
        raise ArgumentError(str(error)) from None
    return None if all(factor == 1 for factor in factors) else factors


class Sampler:
    """Turns logits into tokens; every item draws from a random stream of its own.

    Each step takes one uniform number for each codebook from every item's stream, whatever the other items do
    and whether or not the token is then needed, so an item gets the same tokens alone and in any batch.

    Args:
        settings: how to draw; of them count temperature, top_k (None: off) and top_p.
        seeds: one seed for each item.
        num_codebooks: K.
        codebook_size: V.
        codebook_temperatures: see `check_codebook_temperatures`, which has checked them.

    Raises:
        ValueError: top_k is more than there are codes.
    """

    def __init__(
        self,
        settings: GenerationSettings,
        *,
        seeds: Sequence[int],
        num_codebooks: int,
        codebook_size: int,
        codebook_temperatures: tuple[float, ...] | None = None,
    ) -> None:
        self.temperature = settings.temperature
        self.codebook_temperatures = codebook_temperatures
        meaning = f"0 is off, {codebook_size} are all codes of this model"
        self.top_k = check_integer("top_k", settings.top_k or 0, 0, codebook_size, meaning)
        self.top_p = settings.top_p
        # Streams live on the CPU, so that a seed means the same on every device.
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.uniform = torch.empty(len(self.streams), num_codebooks)

    def next_uniform(self) -> Tensor:
        """One number in [0, 1) for each codebook of each item, `[B, K]`; overwritten by the next call."""
        for row, stream in zip(self.uniform, self.streams, strict=True):
            row.uniform_(generator=stream)
        return self.uniform

    def __call__(self, logits: Tensor) -> Tensor:
        """Choose tokens: logits `[B, K, V]` -> int64 `[B, K]`."""
        return sample_together([self], [logits])[0]


def sample_together(samplers: Sequence[Sampler], logits: Sequence[Tensor]) -> list[Tensor]:
    """What each sampler chooses of its logits; those that draw in the same way do so in one go.

    Args:
        samplers: one for each batch.
        logits: `[B, K, V]` of each.

    Returns:
        Tokens int64 `[B, K]` of each, the same as it would choose alone.
    """
    alike: dict[tuple[float, tuple[float, ...] | None, int, float], list[int]] = {}
    for index, sampler in enumerate(samplers):
        way = (sampler.temperature, sampler.codebook_temperatures, sampler.top_k, sampler.top_p)
        alike.setdefault(way, []).append(index)
    chosen = list(logits)
    for (temperature, factors, top_k, top_p), members in alike.items():
        joined = _joined([logits[index] for index in members])
        if temperature <= 0:
            tokens = joined.argmax(dim=-1)
        else:
            uniform = _joined([samplers[index].next_uniform() for index in members])
            each: float | Tensor = temperature
            if factors is not None:
                each = temperature * torch.tensor(factors, device=joined.device).unsqueeze(-1)  # [K, 1]
            tokens = _choose(joined, uniform, temperature=each, top_k=top_k, top_p=top_p)
        parts = tokens.split([len(logits[index]) for index in members])
        for index, part in zip(members, parts, strict=True):
            chosen[index] = part
    return chosen


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _choose(
    logits: Tensor, uniform: Tensor, *, temperature: float | Tensor, top_k: int, top_p: float
) -> Tensor:
    """Draw from logits `[B, K, V]` by numbers `[B, K]` in [0, 1), at `temperature` (of all, or `[K, 1]`)."""
    # Temperature.
    logits = logits.float()
    if isinstance(temperature, Tensor) or temperature != 1:
        # Taking off the maximum first keeps tiny temperatures from dividing up to infinity.
        logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    probabilities = torch.softmax(logits, dim=-1)  # [B, K, V]
    # Leave unlikely codes out.
    if top_p > 0:
        probabilities = keep_top_p(probabilities, top_p)
    elif top_k > 0:
        probabilities = keep_top_k(probabilities, top_k)
    return draw(probabilities, uniform.to(logits.device))
