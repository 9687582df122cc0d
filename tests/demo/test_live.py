"""Samples for a page that listens while they are made."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.demo import live
from soundloom.demo.live import LiveSound, LiveSounds
from soundloom.demo.sound_maker import make_sounds
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import GenerationSettings


def samples_of(answer: dict[str, object]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(str(answer["samples"])), "<i2")


def test_a_page_gets_every_sample_once_and_in_order() -> None:
    sounds = LiveSounds()
    name, sound = sounds.start(40_000, 16000, 2)
    wave = torch.sin(torch.arange(40_000) / 50)

    def make() -> None:
        for piece in wave.split(3000):
            sound.add(torch.stack([piece, -piece]))
            time.sleep(0.005)
        sound.finish()

    maker = threading.Thread(target=make)
    maker.start()
    heard, answers = np.zeros(0, "<i2"), []
    while not answers or not answers[-1]["done"]:
        answers.append(asyncio.run(sounds.listen([name, len(heard) // 2])))
        heard = np.concatenate([heard, samples_of(answers[-1])])
    maker.join()
    assert {answer["total"] for answer in answers} == {40_000}
    assert {(answer["rate"], answer["channels"]) for answer in answers} == {(16000, 2)}
    assert len(answers) > 2  # in pieces, not only at the end
    left, right = heard.reshape(-1, 2).T / 32768
    np.testing.assert_allclose(left, wave.numpy(), atol=4e-5)
    np.testing.assert_allclose(right, -wave.numpy(), atol=4e-5)


def test_what_is_heard_is_what_the_file_holds(tiny_model: AudioGen, tmp_path: Path) -> None:
    """To the sample, also where the limiter was at work."""
    codec = SEANetCodec(
        codebook_size=64, n_filters=4, dimension=16, lstm=0, causal=True, norm="none", ratios=(8, 5, 4, 2)
    ).eval()
    with torch.no_grad():
        for parameter in list(codec.decoder.parameters())[-2:]:
            parameter.mul_(1000)
    model = AudioGen(tiny_model.lm, tiny_model.text_encoder, codec)
    settings = GenerationSettings(duration=1.0, seed=7)
    for options in ({}, {"continue_from": (torch.ones(1, 4000) / 2, 16000)}):
        sounds = [LiveSound(16000, 16000) for _ in range(2)]

        def heard(chunk: torch.Tensor, sounds: list[LiveSound] = sounds) -> None:
            for sound, samples in zip(sounds, chunk, strict=True):
                sound.add(samples)

        two = replace(settings, num_samples=2)
        audio, cut_short = make_sounds(model, "a dog", two, scorer=pytest.fail, heard=heard, **options)
        assert not cut_short
        assert float(audio.samples.abs().max()) > 0.9
        for row, sound in enumerate(sounds):
            file = audio.save(tmp_path / "x.wav", row, force=True)
            held, _ = soundfile.read(file, dtype="int16", always_2d=True)
            np.testing.assert_array_equal(sound.read(0, 16000), held)
            sound.finish(file)
            sound.forget()  # then it is read from the file
            np.testing.assert_array_equal(sound.read(1000, 500), held[1000:1500])


def test_a_page_that_fell_behind_gets_the_rest_in_parts() -> None:
    sounds = LiveSounds()
    name, sound = sounds.start(1200, 100)
    sound.add(torch.linspace(-2, 2, 1200)[None])
    sound.finish()
    answers = [asyncio.run(sounds.listen([name, start])) for start in (0, 500, 1000, 1200)]
    assert [len(samples_of(answer)) for answer in answers] == [500, 500, 200, 0]
    assert [answer["done"] for answer in answers] == [False, False, True, True]
    assert samples_of(answers[0])[0] == -32768  # clipped, not wrapped


def test_an_answer_comes_even_if_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.1)
    sounds = LiveSounds()
    name, _ = sounds.start(1200, 100)
    answer = asyncio.run(sounds.listen([name, 0]))
    assert (answer["samples"], answer["total"], answer["done"]) == ("", 1200, False)


@pytest.mark.parametrize(
    "question", [None, "x", [], ["x", 0], ["x"], [1, 2], {"name": 0}, ["x", -1], ["x", "0"]]
)
def test_a_question_that_makes_no_sense_is_answered_with_nothing(question: object) -> None:
    sounds = LiveSounds()
    sounds.start(10, 100)
    assert asyncio.run(sounds.listen(question)) == live.NOTHING
    assert live.NOTHING["total"] == 0


def test_old_sounds_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = LiveSounds()
    old, sound = sounds.start(10, 100)
    sound.finish()
    going, _ = sounds.start(10, 100)
    later = time.monotonic() + live.KEEP_SECONDS + 1
    with monkeypatch.context() as clock:  # not of the event loop
        clock.setattr(live, "time", SimpleNamespace(monotonic=lambda: later))
        sounds.start(10, 100)
    assert asyncio.run(sounds.listen([old, 0]))["total"] == 0
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.02)
    assert asyncio.run(sounds.listen([going, 0]))["total"] == 10


def test_a_finished_sound_is_heard_as_long_as_its_file_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sounds = LiveSounds()
    name, sound = sounds.start(300, 100)
    sound.add(torch.linspace(-1, 1, 300)[None])
    file = tmp_path / "a.wav"
    soundfile.write(file, sound.read(0, 300), 100)
    sound.finish(file)
    before = asyncio.run(sounds.listen([name, 0]))
    later = time.monotonic() + live.KEEP_SECONDS + 1
    with monkeypatch.context() as clock:
        clock.setattr(live, "time", SimpleNamespace(monotonic=lambda: later))
        sounds.start(10, 100)
    assert asyncio.run(sounds.listen([name, 0])) == before
    file.unlink()
    assert asyncio.run(sounds.listen([name, 0])) == live.NOTHING
