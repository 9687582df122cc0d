"""A step of several decodings is each one's own step, wherever each of them is."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from soundloom.gen.model.lm import AudioLM, DecodeState
from soundloom.gen.model.lora import LoRASettings, add_lora
from soundloom.gen.model.shared_step import MOST_ROWS, SharedStep, _group, count_rows_alike


def make(dim: int = 32, **settings: object) -> AudioLM:
    torch.manual_seed(0)
    lm = AudioLM(
        num_codebooks=2, codebook_size=16, dim=dim, num_layers=2, num_heads=4, text_dim=8, **settings
    )
    for parameter in lm.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return lm.eval()


def decoding(lm: AudioLM, rows: int, steps: int, seed: int) -> tuple[Tensor, DecodeState]:
    """A decoding of so many rows that has made so many steps, and its next tokens."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, 3 + seed, 8, generator=generator)
    mask = torch.ones(states.shape[:2], dtype=torch.bool)
    mask[-1] = False  # a row without a text
    state = lm.start(states, mask, 20)
    tokens = torch.randint(0, 16, (max(1, rows // 2), 2, steps + 1), generator=generator)
    lm.step(tokens[..., :-1], state)
    return tokens[..., -1:], state


SIZES = [(2, 3), (1, 9), (2, 1), (4, 12), (2, 7), (1, 2), (10, 5)]  # rows and steps


@torch.inference_mode()
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", ["plain", "biases", "modules"])
def test_every_decoding_gets_its_own_logits(kind: str, exact: bool) -> None:
    lm = make(bias_attention=kind == "biases", bias_ffn=kind == "biases", bias_heads=kind == "biases")
    if kind == "modules":
        add_lora(lm, LoRASettings(rank=2, targets=["linear1", "in_proj"]))
    expected = [lm.step(*decoding(lm, *size, seed)) for seed, size in enumerate(SIZES)]
    tokens, states = zip(*(decoding(lm, *size, seed) for seed, size in enumerate(SIZES)), strict=True)
    found = SharedStep(lm, exact=exact)(tokens, states)
    for (_, steps), state, alone, logits in zip(SIZES, states, expected, found, strict=True):
        torch.testing.assert_close(logits, alone, rtol=1e-5, atol=2e-5)
        assert state.cache.steps == steps + 1


@torch.inference_mode()
@pytest.mark.parametrize("dim", [32, 64, 256])
def test_exactly_the_same_whoever_else_is_there(dim: int) -> None:
    lm = make(dim)
    shared = SharedStep(lm)
    alone = [shared([tokens], [state])[0] for tokens, state in decodings(lm, range(len(SIZES)))]
    for order in ([0, 2, 4], [4, 1, 3, 0], [5, 6, 2], list(reversed(range(len(SIZES))))):
        tokens, states = zip(*decodings(lm, order), strict=True)
        for index, logits in zip(order, shared(tokens, states), strict=True):
            assert torch.equal(logits, alone[index])
    for index, (tokens, state) in enumerate(decodings(lm, range(len(SIZES)))):
        if state.rows > 1:  # one row alone is multiplied by another kernel
            assert torch.equal(lm.step(tokens, state), alone[index])


def decodings(lm: AudioLM, indices: Iterable[int]) -> list[tuple[Tensor, DecodeState]]:
    return [decoding(lm, *SIZES[index], seed=index) for index in indices]


def test_groups_are_whole_decodings() -> None:
    assert _group([2, 2, 2, 2, 2], 8) == [8, 2]
    assert _group([2, 1, 4, 2, 10, 1], 8) == [7, 2, 10, 1]
    assert _group([2, 2, 1], 2) == [2, 2, 1]


def test_how_many_rows_round_alike_is_found_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = make()
    assert 2 <= count_rows_alike(lm) <= MOST_ROWS
    real = torch.mm

    def other_from_five_rows(x: Tensor, matrix: Tensor) -> Tensor:
        return real(x, matrix) * (1 if len(x) < 5 else 1 + 1e-6)

    monkeypatch.setattr(torch, "mm", other_from_five_rows)
    assert count_rows_alike(lm) <= 4


@torch.inference_mode()
def test_a_full_decoding_says_so() -> None:
    lm = make()
    tokens, state = decoding(lm, 2, 19, 0)
    shared = SharedStep(lm)
    shared([tokens], [state])
    other = decoding(lm, 2, 3, 1)
    with pytest.raises(ValueError, match="20 of 20 steps, 1 more do not fit"):
        shared([tokens, other[0]], [state, other[1]])
