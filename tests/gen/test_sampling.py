"""Sampling: guidance, top-k, top-p, draws, and one stream an item."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.gen.sampling import (
    Sampler,
    check_codebook_temperatures,
    draw,
    guide,
    keep_top_k,
    keep_top_p,
    row_seeds,
    sample_together,
    variation_seed,
)
from soundloom.gen.settings import MAX_SEED, GenerationSettings


def sampler_of(*, seeds: list[int], num_codebooks: int, size: int = 64, **settings: Any) -> Sampler:
    chosen = GenerationSettings(**settings)
    return Sampler(chosen, seeds=seeds, num_codebooks=num_codebooks, codebook_size=size)


ROWS = st.lists(st.integers(0, 6), min_size=2, max_size=12).filter(any)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.integers(1, 12))
def test_top_k_keeps_the_k_largest_and_their_ties(counts: list[int], k: int) -> None:
    k = min(k, len(counts))
    row = torch.tensor(counts, dtype=torch.float32) / sum(counts)
    kth = sorted(counts, reverse=True)[k - 1]
    expected = [value / sum(counts) if value >= kth else 0.0 for value in counts]
    assert keep_top_k(row, k).tolist() == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.integers(1, 9))
def test_top_p_keeps_while_the_sum_before_is_at_most_p(counts: list[int], tenths: int) -> None:
    # Powers of two as total keep every sum exact, so that the border is the same here and there.
    total = 2 ** math.ceil(math.log2(sum(counts)))
    counts = [*counts, total - sum(counts)]
    row = torch.tensor(counts, dtype=torch.float32) / total
    order = sorted(range(len(counts)), key=lambda index: (-counts[index], index))
    expected, before = [0.0] * len(counts), 0.0
    for index in order:
        if before <= torch.tensor(tenths / 10, dtype=torch.float32).item():
            expected[index] = counts[index] / total
        before += counts[index] / total
    assert keep_top_p(row, tenths / 10).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(ROWS, st.floats(0, 1, exclude_max=True, width=32))
def test_draw_inverts_the_cumulative_sum(counts: list[int], uniform: float) -> None:
    index = int(draw(torch.tensor(counts, dtype=torch.float32), torch.tensor(uniform, dtype=torch.float32)))
    assert counts[index] > 0
    below = sum(counts[:index]) / sum(counts)
    assert below - 1e-6 <= uniform <= below + counts[index] / sum(counts) + 1e-6


def test_draw_never_takes_what_has_no_weight() -> None:
    weights = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0]]).repeat(3, 1)
    assert draw(weights, torch.tensor([0.0, 0.5, 1.0])).tolist() == [1, 3, 3]


def test_draws_follow_the_probabilities() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 1, 6)
    sampler = sampler_of(seeds=[3], num_codebooks=1, temperature=0.8, top_k=4)
    counts = torch.zeros(6)
    for _ in range(4000):
        counts[sampler(logits)[0, 0]] += 1
    expected = keep_top_k(torch.softmax(logits[0, 0] / 0.8, dim=-1), 4)
    expected = expected / expected.sum()
    assert counts[expected == 0].sum() == 0
    kept = expected > 0
    chi_square = ((counts - 4000 * expected)[kept] ** 2 / (4000 * expected[kept])).sum()
    assert chi_square < 16.3  # 0.1 % point at 3 degrees of freedom


def test_top_p_replaces_top_k_and_zero_turns_both_off() -> None:
    logits = torch.tensor([[[0.0, 0.1, 0.2, 5.0]]])
    narrow = sampler_of(seeds=[0], num_codebooks=1, top_k=4, top_p=0.5)
    assert {int(narrow(logits)) for _ in range(200)} == {3}
    flat = torch.zeros(1, 1, 4)
    free = sampler_of(seeds=[0], num_codebooks=1, top_k=0, top_p=0.0)
    assert {int(free(flat)) for _ in range(200)} == {0, 1, 2, 3}


def test_greedy_takes_the_largest_and_no_random_numbers() -> None:
    logits = torch.randn(2, 3, 7)
    sampler = sampler_of(seeds=[0, 1], num_codebooks=3, temperature=0.0)
    states = [stream.get_state() for stream in sampler.streams]
    assert torch.equal(sampler(logits), logits.argmax(-1))
    assert all(torch.equal(a, s.get_state()) for a, s in zip(states, sampler.streams, strict=True))


@pytest.mark.parametrize("temperature", [1e-30, 1e-6, 100.0])
def test_extreme_temperatures_stay_finite(temperature: float) -> None:
    logits = torch.tensor([[[1.0, 3.0, 2.0]]])
    found = int(sampler_of(seeds=[0], num_codebooks=1, temperature=temperature, top_k=0)(logits))
    assert found == 1 if temperature < 1 else found in (0, 1, 2)


def test_an_item_draws_the_same_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    steps = torch.randn(20, 3, 4, 50)
    seeds = [11, 5, 11]
    batch = sampler_of(seeds=seeds, num_codebooks=4, top_k=20)
    together = torch.stack([batch(logits) for logits in steps])
    for row, seed in enumerate(seeds):
        alone = sampler_of(seeds=[seed], num_codebooks=4, top_k=20)
        assert torch.equal(torch.stack([alone(x[row : row + 1]) for x in steps])[:, 0], together[:, row])


def test_guidance_is_the_papers_formula() -> None:
    conditional, unconditional = torch.randn(2, 5), torch.randn(2, 5)
    for scale in (0.0, 1.0, 3.0, 7.5):
        expected = unconditional + scale * (conditional - unconditional)
        torch.testing.assert_close(guide(conditional, unconditional, scale), expected)
    assert torch.equal(guide(conditional, conditional, 3.0), conditional)


def test_variation_seeds_differ_and_the_first_is_the_seed() -> None:
    seeds = {variation_seed(seed, index) for seed in (0, 1, MAX_SEED) for index in range(20)}
    assert len(seeds) == 60
    assert variation_seed(7, 0) == 7
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


def test_more_codes_than_there_are_cannot_be_kept() -> None:
    sampler_of(seeds=[0], num_codebooks=1, top_k=64)
    with pytest.raises(
        ValueError, match=r"top_k is 65; it must be an integer from 0 to 64 \(0 is off, 64 are all"
    ):
        sampler_of(seeds=[0], num_codebooks=1, top_k=65)


def test_every_row_has_a_seed() -> None:
    assert row_seeds(7, 2, 2) == row_seeds([7, 7], 2, 2)
    assert row_seeds([7, 8], 2, 2)[::2] == [7, 8]
    assert len(set(row_seeds(None, 3, 2))) == 6
    with pytest.raises(ValueError, match="seed has 2 entries for 3 prompts; give one each, or one integer"):
        row_seeds([7, 8], 3, 1)


def test_each_codebook_is_drawn_at_its_own_temperature() -> None:
    logits = torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(0)).expand(2000, -1, -1)
    chosen = GenerationSettings(temperature=0.5, top_k=0)
    sampler = Sampler(
        chosen,
        seeds=range(2000),
        num_codebooks=3,
        codebook_size=16,
        codebook_temperatures=(4.0, 1.0, 0.02),
    )
    drawn = sampler(logits)
    for codebook, temperature in enumerate([2.0, 0.5, 0.01]):
        share = drawn[:, codebook].bincount(minlength=16) / 2000
        expected = torch.softmax(logits[0, codebook] / temperature, dim=-1)
        assert (share - expected).abs().max() < 0.04


def test_samplers_with_and_without_temperatures_of_codebooks_draw_together_as_alone() -> None:
    logits = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0))

    def samplers() -> list[Sampler]:
        ways: list[tuple[float, ...] | None] = [None, (1.0, 0.5, 0.5, 0.2)]
        return [
            Sampler(
                GenerationSettings(top_k=8),
                seeds=[3],
                num_codebooks=4,
                codebook_size=16,
                codebook_temperatures=way,
            )
            for way in ways
        ]

    together = sample_together(samplers(), [logits[:1], logits[1:]])
    alone = [sampler(part) for sampler, part in zip(samplers(), [logits[:1], logits[1:]], strict=True)]
    assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    ("temperatures", "error", "message"),
    [
        ([1.0, 0.5], ValueError, "has 2 entries for 3 codebooks; give one each"),
        ([1.0, 0.5, 0.0], ValueError, "allowed are 0.01 to 100"),
        ([1.0, 0.5, float("nan")], ValueError, "codebook_temperatures is nan"),
        ([1.0, 0.5, "hot"], ValueError, "codebook_temperatures is 'hot'"),
        ("hot", ValueError, "must be a list of 3 numbers"),
        (0.5, ValueError, "must be a list of 3 numbers"),
    ],
    ids=str,
)
def test_bad_temperatures_of_codebooks_are_named(
    temperatures: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_codebook_temperatures(temperatures, 3)


def test_temperatures_of_codebooks_that_change_nothing_count_as_none() -> None:
    assert check_codebook_temperatures([1, 1.0], 2) is None
