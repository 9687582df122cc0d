"""The scripts in examples/ run offline as they stand, and leave what they say."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

from soundloom import load_codec, read_audio

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FILES = {
    "generate_sound": ["a_dog_barks.wav", "heavy_rain.wav", "rain_then_dog.wav"],
    "stream_sound": ["rain.wav"],
    "edit_sound": [
        *("edited.png", "loop.wav", "looped.png", "rain_then_dog.wav", "varied.png", "wind_with_siren.wav")
    ],
    "compress_sound": ["pluck.wav", "pluck_music2latent2.loom", "pluck_seanet-16khz.loom"],
    "language_model_alone": [],
    "train_tiny_codec": ["tiny-codec", "tones"],
    "score_text_against_sound": [],
    "morph_sounds": ["half.wav", "mean.wav", "morph.wav", "swap.wav"],
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run an example as `python examples/NAME.py OUT` does, in an empty folder; what it printed and wrote."""

    def run(name: str) -> tuple[str, Path]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, "out"])
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        written = sorted(path.name for path in (tmp_path / "out").glob("*"))
        assert written == FILES[name]
        return capsys.readouterr().out, tmp_path / "out"

    return run


def test_every_example_is_run_here_and_named_in_the_readme() -> None:
    assert sorted(FILES) == [path.stem for path in EXAMPLES]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in FILES if f"examples/{name}.py" not in readme] == []


def test_generate_sound(run) -> None:
    printed, out = run("generate_sound")
    assert "samples [2, 1, 15360] at 16000 Hz, codes [2, 8, 12]" in printed
    assert "refused: duration is 0.0" in printed
    samples, rate = read_audio(out / "rain_then_dog.wav")
    assert (list(samples.shape), rate) == ([1, 32000], 16000)


def test_stream_sound(run) -> None:
    printed, out = run("stream_sound")
    assert "codes [1, 12, 25] in 21 pieces, the same as of the whole sound" in printed
    assert read_audio(out / "rain.wav")[0].shape == (1, 32000)


def test_edit_sound(run) -> None:
    printed, out = run("edit_sound")
    assert "samples changed from 1.00 to 2.00 s" in printed
    assert "'heavy rain, then a dog barks' lasts 2 s" in printed
    assert b"smpl" in (out / "loop.wav").read_bytes()


def test_compress_sound(run) -> None:
    printed, _ = run("compress_sound")
    distances = [
        float(line.split(": ")[1].split()[0]) for line in printed.splitlines() if " codebooks:" in line
    ]
    assert len(distances) == 4
    assert distances[0] > distances[-1]


def test_language_model_alone(run) -> None:
    printed, _ = run("language_model_alone")
    right = float(printed.rpartition(" nats, ")[2].partition("%")[0])
    assert right > 90  # chance: 6 %


def test_train_tiny_codec(run) -> None:
    printed, out = run("train_tiny_codec")
    line = next(line for line in printed.splitlines() if line.startswith("distance"))
    before, after = (
        float(word)
        for word in line.replace(",", " ").split()
        if word.replace(".", "").isdigit() and "." in word
    )
    assert after < before / 2
    assert load_codec(out / "tiny-codec").sample_rate == 8000


def test_score_text_against_sound(run) -> None:
    printed, _ = run("score_text_against_sound")
    rows = [
        [float(score) for score in line.partition(": ")[2].split()]
        for line in printed.splitlines()
        if line.startswith("made for")
    ]
    assert len(rows) == 3
    for index, row in enumerate(rows):
        assert max(row) == row[index]


def test_morph_sounds(run) -> None:
    printed, out = run("morph_sounds")
    assert "latents [1, 6, 8, 16]" in printed
    near, far = (float(number) for number in re.findall(r"\((-?\d\.\d+)\)", printed))
    assert near > 0.5 > far
    morph, rate = read_audio(out / "morph.wav")
    assert (list(morph.shape), rate) == ([1, 48000], 16000)
    hum, surf = morph[0, :8000], morph[0, -8000:]
    spectra = [torch.fft.rfft(part).abs() for part in (hum, surf)]
    low, high = (float(spectrum[:1000].sum() / spectrum.sum()) for spectrum in spectra)
    assert low > 0.6 > high, "the hum lies below 2 kHz, the surf everywhere"
