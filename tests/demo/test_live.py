"""Samples for a page that listens while they are made."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.demo import live
from soundloom.demo.live import LiveSound, LiveSounds
from soundloom.demo.sound_maker import make_sound
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import GenerationSettings


def samples_of(answer: dict[str, object]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(str(answer["samples"])), "<i2")


def test_a_page_gets_every_sample_once_and_in_order() -> None:
    sounds = LiveSounds(16000)
    name, sound = sounds.start(40_000)
    wave = torch.sin(torch.arange(40_000) / 50)

    def make() -> None:
        for piece in wave.split(3000):
            sound.add(torch.stack([piece, piece]))
            time.sleep(0.005)
        sound.finish()

    maker = threading.Thread(target=make)
    maker.start()
    heard, answers = np.zeros(0, "<i2"), []
    while not answers or not answers[-1]["done"]:
        answers.append(asyncio.run(sounds.listen([name, len(heard)])))
        heard = np.concatenate([heard, samples_of(answers[-1])])
    maker.join()
    assert {answer["total"] for answer in answers} == {40_000}
    assert len(answers) > 2  # in pieces, not only at the end
    np.testing.assert_allclose(heard / 32768, wave.numpy(), atol=4e-5)


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
        sound = LiveSound(16000)
        audio = make_sound(model, "a dog", settings, scorer=pytest.fail, heard=sound.add, **options)
        assert float(audio.samples.abs().max()) > 0.9
        held, _ = soundfile.read(audio.save(tmp_path / "x.wav", force=True), dtype="int16")
        np.testing.assert_array_equal(sound.read(0, 16000), held)


def test_a_page_that_fell_behind_gets_the_rest_in_parts() -> None:
    sounds = LiveSounds(100)
    name, sound = sounds.start(1200)
    sound.add(torch.linspace(-2, 2, 1200)[None])
    sound.finish()
    answers = [asyncio.run(sounds.listen([name, start])) for start in (0, 500, 1000, 1200)]
    assert [len(samples_of(answer)) for answer in answers] == [500, 500, 200, 0]
    assert [answer["done"] for answer in answers] == [False, False, True, True]
    assert samples_of(answers[0])[0] == -32768  # clipped, not wrapped


def test_an_answer_comes_even_if_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.1)
    sounds = LiveSounds(100)
    name, _ = sounds.start(1200)
    assert asyncio.run(sounds.listen([name, 0])) == {"samples": "", "total": 1200, "done": False}


@pytest.mark.parametrize(
    "question", [None, "x", [], ["x", 0], ["x"], [1, 2], {"name": 0}, ["x", -1], ["x", "0"]]
)
def test_a_question_that_makes_no_sense_is_answered_with_nothing(question: object) -> None:
    sounds = LiveSounds(100)
    sounds.start(10)
    assert asyncio.run(sounds.listen(question)) == {"samples": "", "total": 0, "done": True}


def test_old_sounds_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = LiveSounds(100)
    old, sound = sounds.start(10)
    sound.finish()
    going, _ = sounds.start(10)
    later = time.monotonic() + live.KEEP_SECONDS + 1
    with monkeypatch.context() as clock:  # not of the event loop
        clock.setattr(live, "time", SimpleNamespace(monotonic=lambda: later))
        sounds.start(10)
    assert asyncio.run(sounds.listen([old, 0]))["total"] == 0
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.02)
    assert asyncio.run(sounds.listen([going, 0]))["total"] == 10
