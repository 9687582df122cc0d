"""Inpainting: exact outside, new inside, in the sound's own form; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.core.audio import Audio, AudioError, read_audio, write_audio
from soundloom.core.errors import ArgumentError
from soundloom.gen.editing import sound_to_edit
from soundloom.gen.generated_audio import GeneratedAudio
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import GenerationSettings


def sound(seconds: float = 2.0, sample_rate: int = 16000, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.4 * torch.rand(channels, round(seconds * sample_rate), generator=generator) - 0.2


@pytest.mark.parametrize(("sample_rate", "channels"), [(16000, 1), (44100, 2), (8000, 1), (11025, 3)])
def test_outside_is_exact_inside_is_new(model: AudioGen, sample_rate: int, channels: int) -> None:
    samples = sound(2.0, sample_rate, channels)
    regions: list[Any] = [(1.5, None), (0.5, 0.9)]
    found = model.inpaint((samples, sample_rate), regions, "a dog", seed=1, num_samples=2)
    assert isinstance(found, GeneratedAudio)
    assert found.samples.shape == (2, channels, samples.shape[-1])
    assert found.sample_rate == sample_rate
    assert found.codes.shape == (2, 4, 100)
    assert found.prompts == ["a dog", "a dog"]
    assert len(set(found.seeds)) == 2
    assert not found.samples.is_inference()
    inside = torch.zeros(samples.shape[-1], dtype=torch.bool)
    for start, stop in ((0.5, 0.9), (1.5, 2.0)):
        inside[round(start * sample_rate) : round(stop * sample_rate)] = True
    for row in found.samples:
        assert torch.equal(row[:, ~inside], samples[:, ~inside])
        assert float((row[:, inside] != samples[:, inside]).float().mean()) > 0.99
    assert not torch.equal(found.samples[0], found.samples[1])


def test_the_same_seed_gives_the_same_sound_and_one_row_can_be_made_again(model: AudioGen) -> None:
    samples = sound()
    both = model.inpaint((samples, 16000), [(0.5, 0.9)], "a dog", seed=7, num_samples=2)
    for row, seed in enumerate(both.seeds):
        alone = model.inpaint((samples, 16000), [(0.5, 0.9)], "a dog", seed=seed)
        assert torch.equal(alone.codes[0], both.codes[row])
        torch.testing.assert_close(alone.samples[0], both.samples[row], atol=1e-5, rtol=0.0)


def test_any_source_and_settings_as_an_object(tiny_model: AudioGen, tmp_path: Path) -> None:
    samples = (sound() * 32768).round() / 32768
    file = write_audio(tmp_path / "sound.wav", samples, 16000)
    settings = GenerationSettings(seed=3, temperature=0.5)
    expected = tiny_model.inpaint((samples, 16000), [(0.5, 0.9)], "", settings)
    for source in (file, str(file), Audio(samples[None], 16000), (samples[0].numpy(), 16000)):
        assert torch.equal(tiny_model.inpaint(source, [(0.5, 0.9)], "", settings).samples, expected.samples)
    again = expected.save(tmp_path / "edited.wav")
    written = [read_audio(path)[0] for path in (file, again)]
    assert torch.equal(written[0][:, :8000], written[1][:, :8000])  # in the file, too


def test_one_prompt_for_all_regions_or_one_for_each(tiny_model: AudioGen) -> None:
    source, regions = (sound(), 16000), [(1.2, 1.5), (0.2, 0.5)]
    found = tiny_model.inpaint(source, regions, ["rain", "a dog"], seed=1, temperature=0.0)
    assert found.prompts == ["a dog, then rain"]  # in the order of time
    turned = tiny_model.inpaint(source, regions[::-1], ["a dog", "rain"], seed=1, temperature=0.0)
    assert torch.equal(found.samples, turned.samples)
    with pytest.raises(ArgumentError, match="2 prompts for 1 regions; give one for all, or one for each"):
        tiny_model.inpaint(source, regions[:1], ["a dog", "rain"])


def test_a_scorer_hears_the_regions(tiny_model: AudioGen) -> None:
    heard: list[tuple[list[int], list[str]]] = []

    def scorer(audio: Tensor, sample_rate: int, prompts: list[str]) -> Tensor:
        heard.append((list(audio.shape), prompts))
        return torch.arange(len(audio), dtype=torch.float32)

    found = tiny_model.inpaint(
        (sound(), 16000), [(0.5, 0.9), (1.0, 1.1)], "a dog", candidates=3, rerank=scorer, seed=1
    )
    assert heard == [([3, 1, 6400], ["a dog"] * 3), ([3, 1, 1600], ["a dog"] * 3)]
    assert found.samples.shape == (1, 1, 32000)
    assert found.scores == [4.0]
    with pytest.raises(ArgumentError, match="candidates is 3, but rerank is None"):
        tiny_model.inpaint((sound(), 16000), [(0.5, 0.9)], candidates=3)


def test_a_region_that_is_all_there_is(model: AudioGen) -> None:
    found = model.inpaint((sound(1.0), 16000), [(None, None)], "a dog", seed=1)
    assert found.samples.shape == (1, 1, 16000)
    assert torch.isfinite(found.samples).all()


def test_progress_counts_all_regions(model: AudioGen) -> None:
    calls: list[tuple[int, int]] = []
    model.inpaint(
        (sound(), 16000), [(0.5, 0.9), (1.0, 1.1)], seed=1, progress=lambda *call: calls.append(call)
    )
    assert calls[-1] == (25, 25)
    assert calls == sorted(calls)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ((torch.zeros(1, 16000), 16000), ["the sound is silent", "is 0", "-80 dB", "generate"]),
        ((torch.full((1, 16000), 1e-5), 16000), ["the sound is silent", "-100 dB"]),
        ((sound(0.01), 16000), ["lasts 0.01 s", "one frame of the codec (0.02 s)", "longer one"]),
        ((torch.zeros(2, 1, 16000), 16000), ["audio holds 2 sounds", "one is edited at a time"]),
        ((torch.full((1, 16000), float("nan")), 16000), ["NaN"]),
        ((torch.zeros(1, 0), 16000), ["at least 1 sample"]),
    ],
)
def test_bad_sounds_are_named(tiny_model: AudioGen, source: Any, parts: list[str]) -> None:
    for edit in (
        lambda: tiny_model.inpaint(source, [(0.0, None)]),
        lambda: tiny_model.variation(source, 0.5),
    ):
        with pytest.raises(AudioError) as caught:
            edit()
        for part in parts:
            assert part in str(caught.value)


def test_what_an_edit_does_not_take(tiny_model: AudioGen) -> None:
    source = (sound(), 16000)
    for settings, overrides in ((2.0, {}), (None, {"duration": 2.0}), (None, {"loop": True})):
        with pytest.raises(TypeError, match="an edited sound keeps its length"):
            tiny_model.inpaint(source, [(0.5, 0.9)], "", settings, **overrides)
    with pytest.raises(TypeError, match="audio is a int; give a path"):
        tiny_model.inpaint(3, [(0.5, 0.9)])
    with pytest.raises(FileNotFoundError):
        tiny_model.inpaint("gone.wav", [(0.5, 0.9)])


def test_long_sounds_are_encoded_in_pieces(tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = tiny_model.codec.prepare(sound(2.0), 16000)
    expected = tiny_model.codec.encode(audio)
    monkeypatch.setattr(sound_to_edit, "DECODE_SECONDS", 0.5)
    found = sound_to_edit.encode_in_pieces(tiny_model.codec, audio)
    assert float((found == expected).float().mean()) > 0.99  # a stream may decide between equals otherwise
