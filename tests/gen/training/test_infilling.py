"""Training to fill gaps: which items get one, the loss, and that the others are left as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from soundloom.gen.model.infill import lay_out_gaps
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.text.encoder import TextStates
from soundloom.gen.training.infilling import Infilling, entropies_with_gaps, gap_entropies
from soundloom.gen.training.objective import summed_entropies

SETTINGS: dict[str, Any] = {
    "num_codebooks": 2,
    "codebook_size": 12,
    "dim": 16,
    "num_layers": 2,
    "num_heads": 2,
    "text_dim": 4,
    "infill_frames": 8,
}
LENGTHS = torch.tensor([8, 8, 5, 1])


def make() -> tuple[AudioLM, Tensor, TextStates]:
    torch.manual_seed(0)
    lm = AudioLM(**SETTINGS)
    codes = torch.randint(0, 12, (4, 2, 8))
    return lm, codes, TextStates(torch.randn(4, 3, 4), torch.ones(4, 3, dtype=torch.bool))


def test_gaps_lie_within_their_items_in_every_length_and_place() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([6] * 3000 + [2] * 500 + [1] * 10 + [0] * 10)
    chosen, gaps = Infilling(share=0.5, frames=4).draw(lengths)
    assert not chosen[-10:].any()
    assert abs(chosen[:3500].float().mean() - 0.5) < 0.03
    start, size = gaps[:3500, 0], gaps[:3500, 1] - gaps[:3500, 0]
    assert (start >= 0).all()
    assert (gaps[:3510, 1] <= lengths[:3510]).all()
    counts = torch.bincount(size[:3000])
    assert counts.tolist()[0] == 0
    assert len(counts) == 5  # 1 to 4 frames, as often each
    assert counts[1:].min() > 650
    places = torch.bincount(start[:3000][size[:3000] == 4])
    assert len(places) == 3
    assert places.min() > 200


def test_no_share_and_all() -> None:
    assert not Infilling(share=0.0).draw(torch.full((50,), 9))[0].any()
    assert Infilling(share=1.0).draw(torch.full((50,), 9))[0].all()
    with pytest.raises(ValueError, match="infill share is 1.5; allowed are 0 to 1"):
        Infilling(share=1.5)
    with pytest.raises(ValueError, match="infill frames is 0; it must be 1 or more"):
        Infilling(frames=0)


def test_validation_has_always_the_same_gaps() -> None:
    assert Infilling(frames=4).middle_thirds(torch.tensor([9, 30, 2, 1])).tolist() == [
        [3, 6],
        [13, 17],
        [0, 1],
        [0, 1],
    ]


@torch.no_grad()
def test_the_loss_is_that_of_every_code_that_is_no_padding() -> None:
    lm, codes, text = make()
    gaps = torch.tensor([[2, 5], [0, 3], [4, 5], [0, 1]])
    sums, counts = gap_entropies(lm, codes, LENGTHS, text, gaps)
    assert counts.tolist() == [22.0, 22.0]
    expected = torch.zeros(2)
    for row, length in enumerate(LENGTHS.tolist()):  # each alone, without padding
        own = codes[row : row + 1, :, :length]
        laid = lay_out_gaps(lm.pattern, own, gaps[row : row + 1], special=lm.special_token)
        logits = lm(own, text.states[row : row + 1], None, gaps=laid).logits
        for k in range(2):
            expected[k] += F.cross_entropy(logits[0, k], own[0, k], reduction="sum")
    torch.testing.assert_close(sums, expected, rtol=1e-4, atol=1e-4)
    noisy = codes.clone()
    noisy[2, :, 5:] = 3
    torch.testing.assert_close(gap_entropies(lm, noisy, LENGTHS, text, gaps)[0], sums)


def test_without_a_gap_the_loss_is_todays_bit_by_bit() -> None:
    lm, codes, text = make()
    expected = summed_entropies(lm, codes, LENGTHS, text)
    found = entropies_with_gaps(lm, codes, LENGTHS, text, Infilling(share=0.0))
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    found[0].sum().backward()
    assert lm.infill is not None
    assert lm.infill.weight.grad is not None
    assert not lm.infill.weight.grad.any()


def test_a_batch_of_both_is_the_sum_of_its_items() -> None:
    lm, codes, text = make()
    infilling = Infilling(share=0.5, frames=8)
    torch.manual_seed(1)
    chosen, gaps = infilling.draw(LENGTHS)
    assert chosen.any()
    assert not chosen.all()
    torch.manual_seed(1)
    sums, counts = entropies_with_gaps(lm, codes, LENGTHS, text, infilling)
    expected, number = torch.zeros(2), torch.zeros(2)
    for row in range(4):
        one = slice(row, row + 1)
        own = TextStates(text.states[one], text.mask[one])
        if chosen[row]:
            found = gap_entropies(lm, codes[one], LENGTHS[one], own, gaps[one])
        else:
            found = summed_entropies(lm, codes[one], LENGTHS[one], own)
        expected, number = expected + found[0], number + found[1]
    torch.testing.assert_close(sums, expected)
    assert torch.equal(counts, number)
    sums.sum().backward()
    assert lm.infill is not None
    assert lm.infill.weight.grad is not None
    assert lm.infill.weight.grad.any()


def test_training_learns_to_arrive_at_what_follows() -> None:
    """The first codebook counts up from anywhere: what is after a gap tells what is in it."""
    torch.manual_seed(0)
    lm = AudioLM(**(SETTINGS | {"num_codebooks": 1, "dim": 32}))
    optimizer = torch.optim.AdamW(lm.parameters(), lr=3e-3)
    text = TextStates(torch.zeros(32, 1, 4), torch.zeros(32, 1, dtype=torch.bool))

    def batch() -> Tensor:
        return ((torch.randint(12, (32, 1)) + torch.arange(8)) % 12)[:, None]

    @torch.no_grad()
    def loss(codes: Tensor, gaps: Tensor) -> Tensor:
        """Nats of the code that is in a gap at the beginning."""
        laid = lay_out_gaps(lm.pattern, codes, gaps, special=lm.special_token)
        logits = lm(codes, text.states, text.mask, gaps=laid).logits
        return F.cross_entropy(logits[:, 0, 0], codes[:, 0, 0])

    gaps = torch.tensor([[0, 2]]).expand(32, 2)
    before = float(loss(batch(), gaps))
    for _ in range(150):
        sums, counts = entropies_with_gaps(lm, batch(), None, text, Infilling(share=0.5, frames=8))
        optimizer.zero_grad()
        (sums / counts).mean().backward()
        optimizer.step()
    assert before > 2.0
    assert float(loss(batch(), gaps)) < 0.5
