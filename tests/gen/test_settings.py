"""GenerationSettings: what it accepts and refuses, and that all faces take their options from it."""

from __future__ import annotations

import argparse
import inspect
import math
from dataclasses import FrozenInstanceError, fields, replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import soundloom
from soundloom.cli.generate import add_generate_arguments
from soundloom.demo.generate_tab import GenerateTab
from soundloom.demo.generation_controls import control, more_controls
from soundloom.demo.sound_maker import chosen_settings
from soundloom.gen import GenerationSettings
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import MAX_SEED, OPTIONS, count_frames

SEEDS = st.integers(0, MAX_SEED)
# Above 1, so that any of them goes with a negative prompt.
SCALES = st.floats(1, 100, exclude_min=True)
GOOD = {
    "duration": st.floats(0, 3600),
    "seed": st.none() | SEEDS | st.lists(SEEDS, min_size=1, max_size=3),
    "num_samples": st.integers(1, 9),
    "candidates": st.integers(1, 9),
    "negative_prompt": st.none()
    | st.text(max_size=9)
    | st.lists(st.text(max_size=9), min_size=1, max_size=3),
    "guidance_scale": st.none() | SCALES | st.tuples(SCALES, SCALES),
    "temperature": st.floats(0, 100),
    "top_k": st.none() | st.integers(0, 5000),
    "top_p": st.floats(0, 1),
    "extend_stride": st.none() | st.floats(0, 3600),
    "reference_padding": st.booleans(),
}
NUMBERS = [name for name, option in OPTIONS.items() if option.kind in (int, float)]


@hypothesis.settings(max_examples=25)
@given(st.fixed_dictionaries({}, optional=GOOD), st.fixed_dictionaries({}, optional=GOOD))
def test_what_is_in_range_is_kept_and_overridden(first: dict[str, Any], second: dict[str, Any]) -> None:
    settings = GenerationSettings(**first)
    for name, option in OPTIONS.items():
        assert getattr(settings, name) == first.get(name, option.default)
    assert GenerationSettings.of(None, first) == GenerationSettings.of(settings, {}) == settings
    assert GenerationSettings.of(settings, second) == GenerationSettings(**first | second)


@given(
    st.sampled_from(NUMBERS),
    st.sampled_from([-1, -0.5, math.nan, math.inf, True, "3", b"7", {}, object()]),
)
def test_what_is_no_number_of_the_range_is_named(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name) as caught:
        GenerationSettings(**{name: value})
    assert " it must be " in str(caught.value) or "allowed are" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"duration": -1}, ValueError, "duration is -1; allowed are 0 to 3600 .seconds, at least one frame"),
        ({"duration": None}, TypeError, "duration is None"),
        ({"temperature": 100.5}, ValueError, "temperature is 100.5; allowed are 0 to 100 .0 is greedy"),
        ({"temperature": "hot"}, TypeError, "temperature is 'hot'; it must be a number from 0 to 100"),
        ({"top_k": 2.5}, TypeError, "top_k is 2.5; it must be an integer of at least 0 .0 is off"),
        ({"top_p": 1.5}, ValueError, "top_p is 1.5; allowed are 0 to 1 .0 turns it off"),
        ({"num_samples": 0}, ValueError, "num_samples is 0; it must be an integer of at least 1"),
        ({"num_samples": 1.5}, TypeError, "num_samples is 1.5; it must be an integer of at least 1"),
        ({"seed": [7, -1]}, ValueError, "seed is -1; it must be an integer from 0 to 9223372036854775807"),
        ({"seed": "7"}, TypeError, "seed is '7'; it must be an integer, a list of integers or None"),
        ({"guidance_scale": (1, 200)}, ValueError, "guidance_scale is 200; allowed are 0 to 100"),
        (
            {"guidance_scale": 1, "negative_prompt": "x"},
            ValueError,
            "guidance_scale is 1.0; a negative prompt",
        ),
        ({"negative_prompt": ["x", 7]}, TypeError, "prompt 1 is 7"),
        ({"reference_padding": "yes"}, TypeError, "reference_padding is 'yes'; it must be True or False"),
    ],
    ids=str,
)
def test_refusals_name_value_range_and_fix(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        GenerationSettings(**changed)


def test_it_is_frozen_and_numpys_numbers_are_numbers() -> None:
    settings = GenerationSettings(duration=np.float32(0.5), top_k=np.int64(3), seed=[np.int32(1)])
    assert settings.frames(50) == 25
    with pytest.raises(FrozenInstanceError):
        settings.duration = 1.0  # type: ignore[misc]


@given(st.integers(1, 100_000), st.sampled_from([25, 31.25, 50, 75, 86.1328125, 150]))
def test_whole_frames_stay_whole(frames: int, rate: float) -> None:
    if frames / rate <= 3600:
        assert count_frames("duration", frames / rate, rate) == frames
        assert count_frames("duration", (frames + 0.5) / rate, rate) == frames or (frames + 0.5) / rate > 3600


def test_the_models_own_values_fill_what_is_none_and_are_checked_with_the_rest() -> None:
    settings = GenerationSettings(top_k=0, negative_prompt="wind")
    filled = settings.fill(top_k=250, guidance_scale=3.0, extend_stride=2.0)
    assert filled == replace(settings, guidance_scale=3.0, extend_stride=2.0)
    with pytest.raises(ValueError, match=r"guidance_scale is 1.0; a negative prompt needs more than 1"):
        settings.fill(guidance_scale=1.0)
    GenerationSettings(negative_prompt="  ").fill(guidance_scale=1.0)  # says nothing


@given(st.lists(st.sampled_from(["", " ", "wind"]), min_size=1, max_size=3), st.integers(1, 3))
def test_negative_prompts_are_one_for_all_or_one_for_each(texts: list[str], prompts: int) -> None:
    settings = GenerationSettings(negative_prompt=texts)
    if len(texts) not in (1, prompts):
        with pytest.raises(ValueError, match=f"{len(texts)} entries for {prompts} prompts; give one, or one"):
            settings.negatives(prompts)
    elif "wind" in texts:
        assert settings.negatives(prompts) == (texts * prompts if len(texts) == 1 else texts)
    else:
        assert settings.negatives(prompts) == []


def test_a_call_takes_an_object_a_number_or_keywords(tiny_model: AudioGen) -> None:
    settings = GenerationSettings(duration=0.2, seed=3, temperature=0.5)
    found = tiny_model.generate("rain", settings)
    for again in (
        tiny_model.generate("rain", 0.2, seed=3, temperature=0.5),
        tiny_model.generate("rain", duration=0.2, seed=3, temperature=0.5),
        tiny_model.generate("rain", GenerationSettings(seed=3), temperature=0.5, duration=0.2),
    ):
        assert torch.equal(found.codes, again.codes)
    (chunk,) = tiny_model.stream("rain", settings, first_chunk_seconds=0.2)
    assert torch.equal(chunk.codes, found.codes)
    assert torch.equal(tiny_model.generate_codes("rain", 10, settings), found.codes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.generate("a", top_n=3), "there is no setting 'top_n' here; did you mean top_"),
        (
            lambda model: model.generate("a", zz=3),
            "no setting 'zz' here; there are duration, seed, num_samples",
        ),
        (lambda model: model.generate("a", "5"), "settings is '5'; give GenerationSettings"),
        (lambda model: model.stream("a", rerank=print), "no setting 'rerank' here"),
        (lambda model: model.generate_codes("a", 5, 2.5), "counts frames: give frames="),
        (lambda model: model.generate_codes("a", duration=1), "counts frames: give frames="),
    ],
)
def test_what_a_call_does_not_take_is_named(call: Any, message: str, tiny_model: AudioGen) -> None:
    with pytest.raises(TypeError, match=message):
        call(tiny_model)


def test_codes_have_no_candidates(tiny_model: AudioGen) -> None:
    with pytest.raises(ValueError, match="candidates is 2, but generate_codes has no whole sounds"):
        tiny_model.generate_codes("a", 5, candidates=2)


def test_every_field_is_documented_and_exported() -> None:
    described = inspect.getdoc(GenerationSettings) or ""
    assert [each.name for each in fields(GenerationSettings)] == list(OPTIONS)
    for name, option in OPTIONS.items():
        assert f"    {name}: " in described
        assert option.help
        option.validate(name, option.default)
    assert soundloom.GenerationSettings is GenerationSettings


def test_the_command_line_has_every_setting_and_its_default() -> None:
    parser = argparse.ArgumentParser()
    add_generate_arguments(parser)
    options = vars(parser.parse_args(["a dog"]))
    assert GenerationSettings(**{name: options[name] for name in OPTIONS}) == GenerationSettings()
    words = "--seed 3 --top-k 9 --top-p 0.5 --extend-stride 1 --reference-padding --negative-prompt x"
    options = vars(parser.parse_args(["a dog", *words.split()]))
    assert GenerationSettings(**{name: options[name] for name in OPTIONS}) == GenerationSettings(
        seed=3, top_k=9, top_p=0.5, extend_stride=1.0, reference_padding=True, negative_prompt="x"
    )


def test_the_demo_offers_every_setting_that_has_a_label() -> None:
    model = SimpleNamespace(guidance_scale=2.5, top_k=250, lm=SimpleNamespace(codebook_size=64))
    with gr.Blocks():
        controls = {"duration": control("duration", model), **more_controls(model)}  # type: ignore[arg-type]
    assert controls.keys() == {name for name, option in OPTIONS.items() if option.label}
    shown = {name: component.value for name, component in controls.items()}
    expected = GenerationSettings(guidance_scale=2.5, top_k=64)
    assert chosen_settings(shown) == expected
    for name, component in controls.items():
        if isinstance(component, gr.Slider):
            for end in (component.minimum, component.maximum):
                chosen_settings(shown | {name: end, "negative_prompt": ""})
    named = inspect.signature(GenerateTab.make).parameters
    assert not named.keys() & OPTIONS.keys()  # so all of them arrive as values
