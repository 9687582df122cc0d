"""What steers a generation: guidance schedules, negative prompts, cancelling, candidates; steady memory."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.gen.generation import CodeGenerator, GenerationCancelled
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.encoder import TextStates


@pytest.fixture(scope="module")
def model(tiny_model: AudioGen) -> AudioGen:
    return tiny_model


def test_a_schedule_of_one_value_is_that_value(model: AudioGen) -> None:
    expected = model.generate_codes("a dog", 25, guidance_scale=2.5)
    assert torch.equal(model.generate_codes("a dog", 25, guidance_scale=(2.5, 2.5)), expected)
    assert torch.equal(model.generate_codes("a dog", 25, guidance_scale=lambda position: 2.5), expected)
    unguided = model.generate_codes("a dog", 25, guidance_scale=1.0)
    assert torch.equal(model.generate_codes("a dog", 25, guidance_scale=lambda position: 1.0), unguided)
    ignored = model.generate_codes("a dog", 25, guidance_scale=0.0)
    assert torch.equal(model.generate_codes("a dog", 25, guidance_scale=lambda position: 0.0), ignored)


@pytest.mark.parametrize(("given", "max_seconds"), [(0, 10.0), (5, 10.0), (5, 0.2)])
def test_a_schedule_sees_every_position_once_from_0_to_1(
    model: AudioGen, given: int, max_seconds: float
) -> None:
    short = AudioGen(
        model.lm, model.text_encoder, model.codec, max_seconds=max_seconds, extend_stride=max_seconds / 2
    )
    positions: list[float] = []
    prompt = torch.zeros(4, given, dtype=torch.long) if given else None
    short.generate_codes(
        "a dog", 30, guidance_scale=lambda position: positions.append(position) or 3.0, prompt_codes=prompt
    )
    new = 30 - given
    assert positions[0] == 0.0
    assert positions[-1] == 1.0
    assert {round(position * (new - 1)) for position in positions} == set(range(new))
    if max_seconds == 10.0:
        assert positions == sorted(positions)
        assert positions[:new] == pytest.approx([index / (new - 1) for index in range(new)])


def test_a_pair_moves_evenly(model: AudioGen) -> None:
    pair = model.generate_codes("a dog", 25, guidance_scale=(1.0, 5.0))
    assert torch.equal(
        pair, model.generate_codes("a dog", 25, guidance_scale=lambda position: 1.0 + 4.0 * position)
    )
    assert not torch.equal(pair, model.generate_codes("a dog", 25, guidance_scale=(5.0, 1.0)))


def test_the_position_of_a_single_frame_is_the_start(model: AudioGen) -> None:
    positions: list[float] = []
    model.generate_codes("a dog", 1, guidance_scale=lambda position: positions.append(position) or 3.0)
    assert set(positions) <= {0.0, 1.0}
    assert positions[0] == 0.0


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        ((1.0,), ValueError, "a pair is its value at the start and at the end"),
        ((1.0, 200.0), ValueError, "guidance_scale is 200.0; allowed are 0 to 100"),
        (("a", 1.0), TypeError, "guidance_scale is 'a'"),
        (lambda position: -1.0, ValueError, r"guidance_scale\(0.000\) is -1.0; allowed are 0 to 100"),
        (lambda position: None, TypeError, r"guidance_scale\(0.000\) is None"),
        ("3", TypeError, "guidance_scale is '3'"),
    ],
)
def test_bad_schedules_are_named(model: AudioGen, scale: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model.generate_codes("a dog", 5, guidance_scale=scale)


@torch.inference_mode()
def test_a_negative_prompt_takes_the_position_of_no_prompt_in_guidance() -> None:
    """Every greedy code maximises `n + scale * (c - n)`, recomputed from scratch without the cache."""
    torch.manual_seed(0)
    lm = AudioLM(num_codebooks=2, codebook_size=16, dim=16, num_layers=2, num_heads=2, text_dim=8).eval()
    text, negative = (TextStates(torch.randn(2, 4, 8), torch.ones(2, 4, dtype=torch.bool)) for _ in range(2))
    negative.mask[0] = False  # an empty one
    generator = CodeGenerator(lm, text, max_frames=8, guidance_scale=2.5, negative=negative)
    found = generator.generate(8, lambda logits: logits.argmax(dim=-1))
    c, n = (lm(found, each.states, each.mask) for each in (text, negative))
    guided = n.logits + 2.5 * (c.logits - n.logits)
    assert torch.equal(guided.argmax(dim=-1)[c.mask], found[c.mask])


def test_negative_prompts_one_for_all_or_one_for_each(model: AudioGen) -> None:
    plain = model.generate_codes("a dog", 25)
    shared = model.generate_codes(["a dog", "wind"], 25, negative_prompt="rain")
    assert not torch.equal(shared[:1], plain)
    assert torch.equal(shared[:1], model.generate_codes("a dog", 25, negative_prompt="rain"))
    own = model.generate_codes(["a dog", "a dog"], 25, negative_prompt=["", "rain"], num_samples=2)
    assert torch.equal(own[:2], plain.expand(2, -1, -1))
    assert torch.equal(own[2:], shared[:1].expand(2, -1, -1))
    for nothing in ("", "  ", ["", ""]):
        empty = model.generate_codes(["a dog", "a dog"], 25, negative_prompt=nothing)
        assert torch.equal(empty[:1], plain)


def test_away_from_something_towards_nothing(model: AudioGen) -> None:
    free = model.generate_codes("", 25)
    assert not torch.equal(model.generate_codes("", 25, negative_prompt="rain"), free)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"negative_prompt": ["a", "b"]}, ValueError, "negative_prompt has 2 entries for 1 prompts"),
        ({"negative_prompt": 7}, TypeError, "negative_prompt is 7"),
        ({"negative_prompt": []}, ValueError, "negative_prompt is empty"),
        ({"negative_prompt": "rain", "guidance_scale": 1.0}, ValueError, "needs more than 1"),
        ({"candidates": 0}, ValueError, "candidates is 0; it must be an integer of at least 1"),
        ({"candidates": 2}, ValueError, "rerank is None"),
    ],
)
def test_bad_input_is_named(
    model: AudioGen, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.generate("a dog", 0.1, **settings)


def test_cancelling_ends_between_steps_and_leaves_the_model_usable(model: AudioGen) -> None:
    expected = model.generate("a dog", 0.6, seed=1)
    stop = threading.Event()
    calls: list[int] = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if done == 10:
            stop.set()

    with pytest.raises(GenerationCancelled, match="before the sound was complete"):
        model.generate("a dog", 0.6, seed=1, progress=progress, cancel=stop.is_set)
    assert calls[-1] == 10
    assert torch.equal(model.generate("a dog", 0.6, seed=1).samples, expected.samples)
    with pytest.raises(GenerationCancelled):
        model.generate_codes("a dog", 5, cancel=lambda: True)


def loudest(audio: Tensor, sample_rate: int, prompts: list[str]) -> Tensor:
    assert audio.shape[0] == len(prompts)
    assert sample_rate == 16000
    return audio.square().mean(dim=(1, 2))


def test_the_best_candidate_is_kept_and_can_be_made_again(model: AudioGen) -> None:
    prompts = ["a dog", "rain"]
    found = model.generate(prompts, 0.3, seed=[3, 4], num_samples=2, candidates=3, rerank=loudest)
    everything = model.generate(prompts, 0.3, seed=[3, 4], num_samples=6)
    levels = loudest(everything.samples, 16000, everything.prompts).view(4, 3)
    assert found.prompts == ["a dog", "a dog", "rain", "rain"]
    assert found.scores == pytest.approx(levels.amax(dim=1).tolist())
    for row in range(4):
        index = 3 * row + int(levels[row].argmax())
        assert found.seeds[row] == everything.seeds[index]
        assert torch.equal(found.codes[row], everything.codes[index])
        again = model.generate(found.prompts[row], 0.3, seed=found.seeds[row])
        assert torch.equal(again.codes[0], found.codes[row])
    assert len({*found.seeds}) == 4


def test_of_equal_candidates_the_first_is_kept_and_one_candidate_is_only_scored(model: AudioGen) -> None:
    def equal(audio: Tensor, sample_rate: int, prompts: list[str]) -> Tensor:
        return torch.zeros(len(prompts))

    plain = model.generate("a dog", 0.2, seed=5)
    assert plain.scores is None
    assert torch.equal(model.generate("a dog", 0.2, seed=5, candidates=4, rerank=equal).codes, plain.codes)
    scored = model.generate("a dog", 0.2, seed=5, rerank=equal)
    assert scored.scores == [0.0]
    assert torch.equal(scored.samples, plain.samples)


@pytest.mark.parametrize("scores", [torch.zeros(2), torch.zeros(3, 1), torch.tensor([0.0, 1.0, torch.nan])])
def test_a_scorer_that_gives_something_else_is_named(model: AudioGen, scores: Tensor) -> None:
    with pytest.raises(ValueError, match="one finite number each"):
        model.generate("a dog", 0.1, candidates=3, rerank=lambda *_: scores)


def count_tensors() -> int:
    gc.collect()
    return sum(isinstance(each, Tensor) for each in gc.get_objects())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures by Linux' /proc")
def test_memory_does_not_grow_over_calls(model: AudioGen) -> None:
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    def work() -> None:
        model.generate("a dog", 0.2, seed=0, candidates=2, rerank=loudest)
        next(iter(model.stream("a dog", 5.0, seed=0)))
        with pytest.raises(GenerationCancelled):
            model.generate("a dog", 1.0, cancel=lambda: True)

    for _ in range(3):
        work()
    tensors, memory = count_tensors(), resident()
    for _ in range(12):
        work()
    assert count_tensors() == tensors
    # MiB. The cache of one of the streams alone takes 0.8, of all together 10.
    assert resident() - memory < 5.0
