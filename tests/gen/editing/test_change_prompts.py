"""Prompts that change on the way: each part goes on from the one before, and every length is kept."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from soundloom.core.errors import ArgumentError
from soundloom.gen.editing.change_prompts import plan_prompts
from soundloom.gen.editing.fill_gap import Filling
from soundloom.gen.generation import GenerationCancelled
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import GenerationSettings

SEQUENCE = [(0, "rain"), (0.3, "a dog barks"), (1.5, "rain")]  # 15, 60 and 15 of 90 frames


@torch.inference_mode()
def test_each_part_goes_on_from_the_one_before(tiny_model: AudioGen) -> None:
    greedy: dict[str, Any] = {"temperature": 0.0}
    found = tiny_model.generate(prompts_at=SEQUENCE, duration=1.8, **greedy)
    assert found.samples.shape == (1, 1, 28800)
    assert found.prompts == ["rain, then a dog barks, then rain"]
    filling = Filling(tiny_model, tiny_model.fill_settings(GenerationSettings(**greedy)))
    codes = torch.zeros(1, 4, 90, dtype=torch.long)
    codes[:, :, :15] = tiny_model.generate_codes("rain", 15, **greedy)
    # A second under the new prompt is the best of several drafts, from there it goes on as any sound.
    filling.go_on(codes, 15, 65, ["a dog barks"], [0])
    codes[:, :, :75] = tiny_model.generate_codes("a dog barks", 75, prompt_codes=codes[:, :, :65], **greedy)
    filling.go_on(codes, 75, 90, ["rain"], [0])
    assert torch.equal(found.codes, codes)


def test_one_prompt_is_the_plain_sound_and_seeds_make_samples(tiny_model: AudioGen) -> None:
    plain = tiny_model.generate("rain", duration=0.6, seed=3, num_samples=2)
    found = tiny_model.generate(prompts_at=[(0, "rain")], duration=0.6, seed=3, num_samples=2)
    assert torch.equal(found.codes, plain.codes)
    assert found.seeds == plain.seeds


def test_long_sequences_slide(tiny_model: AudioGen) -> None:
    short = AudioGen(
        tiny_model.lm, tiny_model.text_encoder, tiny_model.codec, max_seconds=0.6, extend_stride=0.2
    )
    found = short.generate(prompts_at=[(0, "rain"), (0.3, "wind"), (1.0, "a dog")], duration=1.7, seed=1)
    assert found.codes.shape[-1] == 85
    assert not torch.equal(found.codes[:, :, :15], found.codes[:, :, 15:30])


def test_streamed_it_is_the_same(tiny_model: AudioGen) -> None:
    whole = tiny_model.generate(prompts_at=SEQUENCE, duration=1.8, seed=4)
    chunks = list(tiny_model.stream(prompts_at=SEQUENCE, duration=1.8, seed=4, chunk_seconds=0.2))
    assert len(chunks) > 3
    torch.testing.assert_close(
        torch.cat([chunk.samples for chunk in chunks], dim=-1), whole.samples, atol=1e-4, rtol=0.0
    )
    assert torch.equal(torch.cat([chunk.codes for chunk in chunks], dim=-1), whole.codes)


def test_what_is_continued_takes_the_place_of_the_first_prompts(tiny_model: AudioGen) -> None:
    start = tiny_model.generate("wind", duration=0.7, seed=1)
    known = tiny_model.codec.encode(tiny_model.codec.prepare(start.samples[0], 16000))
    at = [(0, "rain"), (0.5, "a dog barks")]
    found = tiny_model.generate(prompts_at=at, duration=1.2, temperature=0.0, continue_from=start)
    assert torch.equal(found.codes, tiny_model.generate_codes("a dog barks", 60, prompt_codes=known))


def test_a_sequence_can_be_a_loop(tiny_model: AudioGen) -> None:
    found = tiny_model.generate(prompts_at=SEQUENCE, duration=1.8, seed=1, loop=True)
    plain = tiny_model.generate(prompts_at=SEQUENCE, duration=1.8, seed=1)
    assert found.loop
    assert torch.equal(found.codes[:, :, :60], plain.codes[:, :, :60])


def test_progress_and_cancelling(tiny_model: AudioGen) -> None:
    calls: list[tuple[int, int]] = []
    tiny_model.generate(prompts_at=SEQUENCE, duration=1.8, seed=0, progress=lambda *call: calls.append(call))
    assert calls[-1] == (90, 90)
    assert calls == sorted(calls)
    with pytest.raises(GenerationCancelled):
        tiny_model.generate(prompts_at=SEQUENCE, duration=1.8, cancel=lambda: len(calls) > 0)


@pytest.mark.parametrize(
    ("prompts_at", "parts"),
    [
        ([], ["prompts_at is empty", '(0, "rain")']),
        ([(1, "rain")], ["the first prompt, 'rain', begins at 1 s", "must begin at 0"]),
        ([(0, "rain"), (0, "dog")], ["'dog' begins at 0 s, not after 'rain' at 0 s", "0.02 s apart"]),
        ([(0, "rain"), (2, "dog"), (1, "wind")], ["'wind' begins at 1 s, not after 'dog' at 2 s"]),
        ([(0, "rain"), (5, "dog")], ["'dog' begins at 5 s", "lasts from 0 to 5 s", "longer duration"]),
        ([(0, "rain"), (math.nan, "dog")], ["'dog' begins at nan s"]),
        ([(-1, "rain")], ["'rain' begins at -1 s"]),
    ],
)
def test_bad_sequences_are_named(prompts_at: Any, parts: list[str]) -> None:
    with pytest.raises(ArgumentError) as caught:
        plan_prompts(prompts_at, 250, 50.0)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("prompts_at", ["rain", 3, [3], ["rain"], [(0,)], [("0", "rain")], [(0, 1)]])
def test_what_is_no_sequence(prompts_at: Any) -> None:
    with pytest.raises(TypeError):
        plan_prompts(prompts_at, 250, 50.0)


def test_prompts_beside_a_sequence(tiny_model: AudioGen) -> None:
    with pytest.raises(ArgumentError, match="prompts is 'wind' beside prompts_at; give the one or the other"):
        tiny_model.generate("wind", prompts_at=SEQUENCE)
