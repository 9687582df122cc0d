"""Loops: only the seam is new, the end runs into the beginning, and the file says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundloom.core.errors import ArgumentError
from soundloom.core.loop_points import LoopPoints, read_loop_points
from soundloom.gen.editing.close_loop import decode_loop, plan_seam
from soundloom.gen.pipeline import AudioGen
from tests import tiny_codecs


def test_only_the_last_part_of_a_loop_is_new(model: AudioGen) -> None:
    plain = model.generate(["a dog", "rain"], duration=1.2, seed=[1, 2], num_samples=2)
    found = model.generate(["a dog", "rain"], duration=1.2, seed=[1, 2], num_samples=2, loop=True)
    assert found.samples.shape == plain.samples.shape == (4, 1, 19200)
    assert found.seeds == plain.seeds
    assert found.loop
    assert not plain.loop
    assert torch.equal(found.codes[:, :, :40], plain.codes[:, :, :40])  # two thirds of 60 frames
    assert not torch.equal(found.codes[:, :, 40:], plain.codes[:, :, 40:])
    assert not found.samples.is_inference()
    alone = model.generate("rain", duration=1.2, seed=found.seeds[3], loop=True)
    assert torch.equal(alone.codes[0], found.codes[3])


def test_a_negative_prompt_for_each(model: AudioGen) -> None:
    both = model.generate(
        ["a dog", "rain"], duration=1.2, seed=1, negative_prompt=["wind", "noise"], loop=True
    )
    alone = model.generate("rain", duration=1.2, seed=1, negative_prompt="noise", loop=True)
    assert torch.equal(both.codes[1], alone.codes[0])


def test_a_loop_decodes_as_if_it_were_repeated_for_ever() -> None:
    codec = tiny_codecs.seanet()
    codes = torch.randint(0, 16, (2, 3, 50), generator=torch.Generator().manual_seed(0))
    found = decode_loop(codec, codes)
    repeated = codec.decode(codes.repeat(1, 1, 4))
    length = found.shape[-1]
    assert length == repeated.shape[-1] // 4
    torch.testing.assert_close(found, repeated[..., 2 * length : 3 * length], atol=1e-5, rtol=0.0)


def test_the_samples_run_on_across_the_seam(model: AudioGen) -> None:
    found = model.generate("a dog", duration=1.0, seed=1, loop=True)
    twice = model.codec.decode(found.codes.repeat(1, 1, 3))
    length = found.samples.shape[-1]
    seam = torch.cat([found.samples[..., -50:], found.samples[..., :50]], dim=-1)
    expected = twice[..., 2 * length - 50 : 2 * length + 50]
    torch.testing.assert_close(seam, expected, atol=1e-2, rtol=0.0)


def test_files_tell_of_the_loop(tiny_model: AudioGen, tmp_path: Path) -> None:
    found = tiny_model.generate("a dog", duration=0.5, seed=1, loop=True)
    assert read_loop_points(found.save(tmp_path / "loop.wav")) == LoopPoints(0, 7999)
    found.save(tmp_path / "loop.flac")  # has no place for it, and is written all the same
    plain = tiny_model.generate("a dog", duration=0.5, seed=1)
    assert read_loop_points(plain.save(tmp_path / "plain.wav")) is None


def test_going_on_from_a_sound_in_a_loop(model: AudioGen) -> None:
    start = model.generate("a dog", duration=0.4, seed=1)
    known = model.codec.encode(model.codec.prepare(start.samples[0], 16000))
    found = model.generate("rain", duration=1.2, seed=2, continue_from=start, loop=True)
    assert torch.equal(found.codes[:, :, :20], known)
    with pytest.raises(ArgumentError, match="takes 0.40 s of 0.50 s, but the last 0.16 s of a loop"):
        model.generate("rain", duration=0.5, continue_from=start, loop=True)


def test_how_long_the_seam_is(tiny_model: AudioGen) -> None:
    assert plan_seam(tiny_model, 250, None) == 50  # a second
    assert plan_seam(tiny_model, 60, None) == 20  # a third
    assert plan_seam(tiny_model, 3, None) == 1
    with pytest.raises(ArgumentError, match="duration is 0.04 s; a loop needs at least 3 frames .* 0.06 s"):
        tiny_model.generate("a", duration=0.04, loop=True)


def test_what_has_no_end_cannot_be_a_loop(tiny_model: AudioGen) -> None:
    with pytest.raises(ArgumentError, match="loop is True, but stream has no whole sounds"):
        tiny_model.stream("a", duration=1.0, loop=True)
    with pytest.raises(ArgumentError, match="loop is True, but generate_codes"):
        tiny_model.generate_codes("a", 20, loop=True)


def test_progress_counts_the_seam(model: AudioGen) -> None:
    calls: list[tuple[int, int]] = []
    model.generate("a", duration=1.2, seed=0, loop=True, progress=lambda *call: calls.append(call))
    assert calls[-1] == (80, 80)
    assert calls == sorted(calls)
