"""Examples with a gap: their layout, what each step is told, and that no step sees what it must predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.gen.model.infill import AFTER, BEFORE, MIDDLE, InfillSteps, lay_out_gaps
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.pattern import CodePattern, build_pattern

SPECIAL = 20
SETTINGS: dict[str, Any] = {
    "num_codebooks": 3,
    "codebook_size": SPECIAL,
    "dim": 32,
    "num_layers": 2,
    "num_heads": 4,
    "text_dim": 10,
}
PATTERNS = {
    "delay": build_pattern("delay", 3),
    "late first codebook": CodePattern.delayed((2, 0, 1)),
    "parallel": build_pattern("parallel", 3),
    "flattened": build_pattern("flattened", 3),
}
# A gap within, at the beginning, at the end, all there is, one frame.
GAPS = torch.tensor([[3, 7], [0, 4], [6, 9], [0, 5], [2, 3]])
LENGTHS = torch.tensor([9, 9, 9, 5, 4])


def make(**changed: Any) -> AudioLM:
    torch.manual_seed(0)
    return AudioLM(**(SETTINGS | {"infill_frames": 6} | changed)).eval()


def codes_of_batch(seed: int = 1) -> Tensor:
    return torch.randint(0, SPECIAL, (5, 3, 9), generator=torch.Generator().manual_seed(seed))


def lay_out(pattern: CodePattern, codes: Tensor, **options: Any) -> InfillSteps:
    return lay_out_gaps(pattern, codes, GAPS, LENGTHS, special=SPECIAL, **options)


def inside(lengths: Tensor = LENGTHS, frames: int = 9) -> Tensor:
    return (torch.arange(frames) < lengths[:, None])[:, None].expand(-1, 3, -1)


def test_the_layout_is_that_of_the_drawing() -> None:
    codes = torch.arange(6).expand(1, 2, 6)
    laid = lay_out_gaps(build_pattern("delay", 2), codes, torch.tensor([[2, 4]]), special=9)
    assert laid.tokens[0].tolist() == [
        [9, 4, 5, 9, 9, 0, 1, 9, 9, 2, 3, 9],
        [9, 9, 4, 5, 9, 9, 0, 1, 9, 9, 2, 3],
    ]
    assert laid.parts[0].tolist() == [AFTER] * 4 + [BEFORE] * 4 + [MIDDLE] * 4
    assert laid.left[0].tolist() == [2] * 9 + [1, 0, 0]
    assert laid.middle.tolist() == [8]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_the_codes_come_back(pattern: CodePattern) -> None:
    codes = codes_of_batch()
    laid = lay_out(pattern, codes)
    assert torch.equal(laid.mask, inside())
    assert torch.equal(laid.revert(), codes.masked_fill(~inside(), 0))
    # Each code once, and special tokens everywhere else.
    places = torch.where(laid.mask, laid.places, 0)
    for row in range(5):
        for k in range(3):
            taken = places[row, k][laid.mask[row, k]].tolist()
            assert len(set(taken)) == int(LENGTHS[row])
            free = sorted(set(range(laid.tokens.shape[2])) - set(taken))
            assert (laid.tokens[row, k, free] == SPECIAL).all()


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_each_part_is_laid_out_as_a_sequence_of_its_own(pattern: CodePattern) -> None:
    codes = codes_of_batch()
    laid = lay_out(pattern, codes)
    after, before, middle = codes[:1, :, 7:], codes[:1, :, :3], codes[:1, :, 3:7]
    parts = [pattern.build(part, special=SPECIAL) for part in (after, before, middle)]
    whole = torch.cat(parts, dim=2)
    assert torch.equal(laid.tokens[:1, :, : whole.shape[2]], whole)
    assert (laid.tokens[:1, :, whole.shape[2] :] == SPECIAL).all()


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_every_step_is_told_what_is_left_to_fill(pattern: CodePattern) -> None:
    laid = lay_out(pattern, codes_of_batch())
    for row, (start, stop) in enumerate(GAPS.tolist()):
        first = int(laid.middle[row])
        assert (laid.left[row, : first + 1] == stop - start).all()
        for step in range(first, laid.tokens.shape[2]):
            met = {t for t in range(start, stop) if (laid.places[row, :, t] <= step).any()}
            assert int(laid.left[row, step]) == stop - start - len(met)


def test_the_middle_can_be_left_to_be_found() -> None:
    pattern, codes = PATTERNS["delay"], codes_of_batch()
    known, laid = lay_out(pattern, codes), lay_out(pattern, codes, unknown=-1)
    found = laid.revert() == -1
    frame = torch.arange(9)
    expected = (frame >= GAPS[:, :1]) & (frame < GAPS[:, 1:])
    assert torch.equal(found, expected[:, None].expand(-1, 3, -1))
    assert torch.equal(torch.where(laid.tokens == -1, known.tokens, laid.tokens), known.tokens)
    assert torch.equal(laid.places, known.places)


@pytest.mark.parametrize("gap", [(3, 3), (4, 2), (-1, 2), (4, 10), (9, 12)])
def test_a_gap_outside_its_example_is_named(gap: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"gap {gap[0]}\.\.{gap[1]} does not fit an example of 9 frames"):
        lay_out_gaps(PATTERNS["delay"], codes_of_batch()[:1], torch.tensor([gap]), special=SPECIAL)


@torch.no_grad()
@pytest.mark.parametrize("name", ["delay", "parallel", "flattened"])
def test_a_prediction_depends_on_codes_at_earlier_steps_only(name: str) -> None:
    lm = make(pattern=name)
    codes, states = codes_of_batch(), torch.randn(5, 4, 10)
    laid = lay_out(lm.pattern, codes)
    before = lm(codes, states, gaps=laid).logits
    for row, k, t in ((0, 0, 4), (0, 2, 1), (0, 1, 8), (1, 2, 0), (4, 0, 2)):
        changed = codes.clone()
        changed[row, k, t] = (changed[row, k, t] + 1) % SPECIAL
        after = lm(changed, states, gaps=lay_out(lm.pattern, changed)).logits
        same = (before == after).all(dim=-1)
        may_differ = laid.places > laid.places[row, k, t]
        may_differ &= (torch.arange(5) == row)[:, None, None]
        assert same[~may_differ].all()
        assert not same[may_differ].any()  # and it does: what is known on both sides of a gap is heard


@torch.no_grad()
def test_steps_predict_what_teacher_forcing_predicts() -> None:
    lm, codes, states = make(), codes_of_batch(), torch.randn(5, 4, 10)
    laid = lay_out(lm.pattern, codes)
    expected = lm(codes, states, gaps=laid)
    assert torch.equal(expected.mask, inside())
    steps = laid.tokens.shape[2]
    state = lm.start(states, None, steps)
    outputs = [
        lm.step(laid.tokens[:, :, s : s + 1], state, (laid.parts[:, s : s + 1], laid.left[:, s : s + 1]))
        for s in range(steps)
    ]
    torch.testing.assert_close(laid.align(torch.stack(outputs, dim=1)), expected.logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_ordinary_examples_are_those_of_a_model_without_gaps(tmp_path: Path) -> None:
    trained, plain = make(), make(infill_frames=0)
    assert plain.infill is None
    assert not [name for name in plain.state_dict() if "infill" in name]
    plain.load_state_dict({k: v for k, v in trained.state_dict().items() if k != "infill.weight"})
    codes, states = codes_of_batch(), torch.randn(5, 4, 10)
    assert torch.equal(trained(codes, states).logits, plain(codes, states).logits)
    trained.save_pretrained(tmp_path)
    again = AudioLM.from_pretrained(tmp_path)
    assert again.infill_frames == 6
    laid = lay_out(trained.pattern, codes)
    assert torch.equal(again(codes, states, gaps=laid).logits, trained(codes, states, gaps=laid).logits)
    with pytest.raises(ValueError, match="not trained to fill gaps"):
        plain(codes, states, gaps=laid)


@torch.no_grad()
def test_a_longer_gap_than_the_longest_is_told_as_that() -> None:
    lm = make(infill_frames=2)
    parts = torch.full((1, 3), MIDDLE)
    vectors = lm.infill_vectors(parts, torch.tensor([[1, 2, 9]]))
    assert torch.equal(vectors[:, 1], vectors[:, 2])
    assert not torch.equal(vectors[:, 0], vectors[:, 1])
    with pytest.raises(ValueError, match="infill_frames is -1"):
        make(infill_frames=-1)
