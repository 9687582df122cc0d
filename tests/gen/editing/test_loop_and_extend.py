"""Loops of sounds that are there, and longer sounds: what was given stays, to the sample."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundloom.core.audio import AudioError, write_audio
from soundloom.core.errors import ArgumentError
from soundloom.core.loop_points import LoopPoints, read_loop_points
from soundloom.gen.generation import GenerationCancelled
from soundloom.gen.origin import Record
from soundloom.gen.pipeline import AudioGen


def sound(seconds: float, sample_rate: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.4 * torch.rand(channels, round(seconds * sample_rate), generator=generator) - 0.2


@pytest.mark.parametrize(("sample_rate", "channels"), [(16000, 1), (44100, 2)])
def test_only_the_end_of_a_loop_is_new(
    model: AudioGen, sample_rate: int, channels: int, tmp_path: Path
) -> None:
    samples = sound(1.2, sample_rate, channels)
    found = model.loop((samples, sample_rate), 0.3, seed=1, num_samples=2)
    assert found.samples.shape == (2, channels, samples.shape[-1])
    assert found.codes.shape == (2, 4, 60)
    first = samples.shape[-1] - round(0.3 * sample_rate)
    assert torch.equal(found.samples[..., :first], samples[..., :first].expand(2, -1, -1))
    assert float((found.samples[0, :, first:] != samples[:, first:]).float().mean()) > 0.99
    assert not torch.equal(found.samples[0], found.samples[1])
    file = found.save(tmp_path / "loop.wav")
    assert read_loop_points(file) == LoopPoints(0, samples.shape[-1] - 1)
    assert found.record().edit == {"loop": 0.3}
    told = Record.read(found.record().tags(), "x")
    assert told is not None
    assert "  edit  loop 0.3" in told.lines()


def test_the_end_of_a_loop_is_what_leads_to_its_beginning(tiny_model: AudioGen) -> None:
    """As a gap between the end and the beginning is filled: the same as filling it in the turned sound."""
    samples = sound(1.5, 16000, 1)
    found = tiny_model.loop((samples, 16000), 0.5, seed=3)
    first = 8000  # of the seam once it is in the middle
    turned = samples.roll(first - 16000, dims=-1)
    expected = tiny_model.inpaint((turned, 16000), [(0.5, 1.0)], seed=3)
    assert torch.equal(found.samples, expected.samples.roll(16000 - first, dims=-1))
    short = tiny_model.loop((samples, 16000), 3.0, seed=3)  # a third of the sound at most
    assert torch.equal(short.samples, found.samples)


@pytest.mark.parametrize(("sample_rate", "channels"), [(16000, 1), (44100, 2), (11025, 1)])
def test_what_was_there_stays_in_a_longer_sound(
    model: AudioGen, sample_rate: int, channels: int, tmp_path: Path
) -> None:
    samples = sound(1.013, sample_rate, channels)
    heard: list[int] = []

    def scorer(audio: Tensor, rate: int, prompts: list[str]) -> Tensor:
        heard.append(audio.shape[-1])
        return torch.tensor([0.0, 1.0])

    progress: list[tuple[int, int]] = []
    found = model.extend(
        write_audio(tmp_path / "x.wav", samples, sample_rate, subtype="FLOAT"),
        2.5,  # more than the window holds
        "a dog",
        seed=1,
        candidates=2,
        rerank=scorer,
        progress=lambda done, total: progress.append((done, total)),
    )
    more = round(2.5 * sample_rate)
    assert found.samples.shape == (1, channels, samples.shape[-1] + more)
    assert heard == [more]
    assert torch.equal(found.samples[0, :, : samples.shape[-1]], samples)
    assert float(found.samples[0, :, samples.shape[-1] :].square().mean()) > 0
    assert progress[-1][0] == progress[-1][1]
    assert found.record().edit == {"extend": 2.5}


def test_what_cannot_be_is_refused(tiny_model: AudioGen) -> None:
    samples = sound(1.0, 16000, 1)
    with pytest.raises(ArgumentError, match="seconds is 0.0; allowed are"):
        tiny_model.loop((samples, 16000), 0.0)
    with pytest.raises(AudioError, match="^sample_rate is '16k'; it must be a whole number"):
        tiny_model.loop((samples, "16k"))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="a loop needs at least 3 frames"):
        tiny_model.loop((samples[:, :900], 16000))
    with pytest.raises(ArgumentError, match="seconds is 0.0; allowed are"):
        tiny_model.extend((samples, 16000), 0.0)
    with pytest.raises(GenerationCancelled):
        tiny_model.extend((samples, 16000), 1.0, cancel=lambda: True)
    with pytest.raises(TypeError, match="keeps its length"):
        tiny_model.loop((samples, 16000), duration=3.0)
