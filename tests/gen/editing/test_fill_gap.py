"""Filling a gap in codes: both sides are heard, rows are their own, nothing outside changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.gen.editing import fill_gap
from soundloom.gen.editing.fill_gap import Filling, fit_of_drafts, longest_gap
from soundloom.gen.generation import GenerationCancelled
from soundloom.gen.model.infill import lay_out_gaps
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import GenerationSettings


def filling(model: AudioGen, **settings: Any) -> Filling:
    return Filling(model, model.fill_settings(GenerationSettings(**settings)))


def random_codes(model: AudioGen, rows: int = 1, frames: int = 60, seed: int = 0) -> Tensor:
    shape, generator = (rows, model.lm.num_codebooks, frames), torch.Generator().manual_seed(seed)
    return torch.randint(0, model.lm.codebook_size, shape, generator=generator)


@torch.inference_mode()
@pytest.mark.parametrize("gap", [(20, 30), (0, 10), (50, 60), (29, 30)])
def test_only_the_gap_changes_and_a_row_is_what_it_is_alone(model: AudioGen, gap: tuple[int, int]) -> None:
    codes = random_codes(model, rows=2)
    found = codes.clone()
    texts = ["a dog", ""]
    filling(model).fill(found, *gap, texts, [5, 6])
    assert torch.equal(found[:, :, : gap[0]], codes[:, :, : gap[0]])
    assert torch.equal(found[:, :, gap[1] :], codes[:, :, gap[1] :])
    assert not torch.equal(found, codes)
    assert 0 <= int(found.min()) <= int(found.max()) < model.lm.codebook_size
    for row, text in enumerate(texts):
        alone = codes[row : row + 1].clone()
        filling(model).fill(alone, *gap, [text], [5 + row])
        assert torch.equal(alone[0], found[row])


@torch.inference_mode()
def test_both_sides_matter(model: AudioGen) -> None:
    first, other = random_codes(model), random_codes(model, seed=1)
    results = []
    for side in (slice(0, 0), slice(0, 20), slice(30, 60)):
        codes = first.clone()
        codes[:, :, side] = other[:, :, side]
        filling(model, temperature=0.2, top_k=0).fill(codes, 20, 30, ["a dog"], [3])
        results.append(codes[:, :, 20:30])
    assert not torch.equal(results[0], results[1])
    if model.lm.infill_frames:  # a continuation is chosen by what follows, which may choose the same one
        assert not torch.equal(results[0], results[2])


@torch.inference_mode()
def test_greedy_filling_is_what_teacher_forcing_finds_likeliest(filler: AudioGen) -> None:
    codes = random_codes(filler, frames=30)
    filling(filler, temperature=0.0, guidance_scale=1.0).fill(codes, 10, 20, ["a dog"], [0])
    laid = lay_out_gaps(filler.lm.pattern, codes, torch.tensor([[10, 20]]), special=filler.lm.special_token)
    text = filler.text_encoder(["a dog"])
    logits = filler.lm(codes, text.states, text.mask, gaps=laid).logits
    assert torch.equal(logits.argmax(dim=-1)[:, :, 10:20], codes[:, :, 10:20])


@torch.inference_mode()
def test_the_draft_is_kept_that_fits_best(tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def judge(model: AudioGen, codes: Tensor, first: int, last: int, texts: list[str]) -> Tensor:
        seen.append((codes[:, :, first:last], fit_of_drafts(model, codes, first, last, texts)))
        return seen[-1][1]

    monkeypatch.setattr(fill_gap, "fit_of_drafts", judge)
    codes = random_codes(tiny_model, rows=2)
    filling(tiny_model).fill(codes, 20, 30, ["a dog", ""], [1, 2])
    drafts, scores = seen[0]
    assert len(drafts) == 2 * fill_gap.DRAFTS
    for row, choice in enumerate((fill_gap.DRAFTS, fill_gap.DRAFTS // 2)):  # without a prompt it just goes on
        own = slice(row * fill_gap.DRAFTS, row * fill_gap.DRAFTS + choice)
        assert torch.equal(drafts[own][scores[own].argmax()], codes[row, :, 20:30])
    filling(tiny_model).fill(codes, 50, 60, ["", ""], [1, 2])
    assert len(seen) == 1  # nothing follows, and nothing was asked for: there is nothing to choose by


@torch.inference_mode()
def test_a_trained_model_keeps_its_best_draft_too(filler: AudioGen, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor, list[str]]] = []

    def judge(model: AudioGen, codes: Tensor, first: int, last: int, texts: list[str]) -> Tensor:
        scores = torch.arange(len(codes)).remainder(5).float()
        seen.append((codes[:, :, first:last].clone(), scores, texts))
        return scores

    monkeypatch.setattr(fill_gap, "fit_of_drafts", judge)
    codes = random_codes(filler, rows=2)
    filling(filler).fill(codes, 20, 30, ["a dog", ""], [1, 2])
    [(drafts, scores, texts)] = seen
    assert texts == ["a dog", ""]
    assert len(drafts) == 2 * fill_gap.DRAFTS
    assert len(drafts.flatten(1).unique(dim=0)) > fill_gap.DRAFTS
    for row in range(2):
        own = slice(row * fill_gap.DRAFTS, (row + 1) * fill_gap.DRAFTS)
        assert torch.equal(drafts[own][scores[own].argmax()], codes[row, :, 20:30])


@torch.inference_mode()
def test_how_well_a_draft_fits_is_what_teacher_forcing_says(tiny_model: AudioGen) -> None:
    lm, codes = tiny_model.lm, random_codes(tiny_model, rows=4, frames=20)
    texts = ["a dog", "rain"]  # of two drafts each
    found = fit_of_drafts(tiny_model, codes, 8, 14, texts)
    for row in range(4):
        text = tiny_model.text_encoder([texts[row // 2], ""])
        both = codes[row : row + 1].expand(2, -1, -1)
        output = lm(both, text.states, text.mask)
        logs = output.logits.log_softmax(-1).gather(-1, both[..., None])[..., 0] * output.mask
        asked, plain = logs.sum(dim=1)
        expected = 3 * (asked[8:14] - plain[8:14]).sum() + plain[14:].sum()
        assert float(found[row]) == pytest.approx(float(expected), abs=1e-3)


@torch.inference_mode()
def test_long_sounds_are_seen_through_a_window(model: AudioGen) -> None:
    frames = 3 * model.max_frames
    codes = random_codes(model, frames=frames)
    gap = (model.max_frames + 10, model.max_frames + 20)
    found = codes.clone()
    filling(model).fill(found, *gap, [""], [1])
    far = codes.clone()
    far[:, :, 0] = far[:, :, -1] = 0  # beyond the window
    filling(model).fill(far, *gap, [""], [1])
    assert torch.equal(far[:, :, slice(*gap)], found[:, :, slice(*gap)])


@torch.inference_mode()
def test_the_longest_gap_can_be_filled(model: AudioGen) -> None:
    gap = round(longest_gap(model) * model.codec.frame_rate)
    codes = random_codes(model, frames=gap + 20)
    filling(model).fill(codes, 10, gap + 10, ["a dog"], [1])
    assert gap < model.max_frames


@torch.inference_mode()
def test_progress_and_cancelling(model: AudioGen) -> None:
    calls: list[tuple[int, int]] = []
    settings = model.fill_settings(GenerationSettings())
    Filling(model, settings, progress=lambda *call: calls.append(call)).fill(
        random_codes(model), 20, 30, [""], [1]
    )
    assert calls[-1] == (10, 10)
    assert calls == sorted(calls)
    with pytest.raises(GenerationCancelled):
        Filling(model, settings, cancel=lambda: True).fill(random_codes(model), 20, 30, [""], [1])
