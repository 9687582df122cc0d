"""Opus by every tool."""

from __future__ import annotations

import math
import shutil
import stat
import sys
from pathlib import Path

import pytest
import torch

from soundloom.evaluation.bench import opus
from soundloom.evaluation.bench.contenders import OpusContender, opus_contenders
from soundloom.evaluation.bench.opus import Opus, OpusLibrary, OpusTools, find_opus
from soundloom.evaluation.bench.run import run_bench
from soundloom.evaluation.spectral_distance import align, reconstruction_metrics, si_sdr
from tests.evaluation.bench.stand_ins import RATE, sound, sounds

# Stand-ins for machines without opus-tools: the same command lines, real Opus by libsndfile.
FAKE_OPUSENC = """#!{python}
import sys, soundfile, soxr
if "--version" in sys.argv:
    sys.exit(print("opusenc opus-tools 0.0 (using libopus 1.0)"))
kbps = float(sys.argv[sys.argv.index("--bitrate") + 1])
samples, rate = soundfile.read(sys.argv[-2], always_2d=True, dtype="float32")
level = (256 - kbps / samples.shape[1]) / 250
samples = soxr.resample(samples, rate, 48000)
soundfile.write(sys.argv[-1], samples, 48000, format="OGG", subtype="OPUS", compression_level=level)
"""
FAKE_OPUSDEC = """#!{python}
import sys, soundfile
samples, rate = soundfile.read(sys.argv[-2], dtype="float32")
assert rate == 48000 == int(sys.argv[sys.argv.index("--rate") + 1])
soundfile.write(sys.argv[-1], samples, rate, subtype="FLOAT")
"""


def install(folder: Path, **scripts: str) -> None:
    for name, text in scripts.items():
        script = folder / name
        script.write_text(text.replace("{python}", sys.executable))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(params=["opusenc", "libsndfile"])
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opus:
    if request.param == "opusenc" and not (shutil.which("opusenc") and shutil.which("opusdec")):
        install(tmp_path, opusenc=FAKE_OPUSENC, opusdec=FAKE_OPUSDEC)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = find_opus(request.param)
    assert found is not None
    return found


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("length", [1, 20003])
def test_opus_restores_the_length_to_the_sample(tool: Opus, rate: int, length: int) -> None:
    samples = 0.1 * torch.randn(1, length, generator=torch.Generator().manual_seed(0))
    data = tool.encode(samples, rate, 24)
    assert data[:4] == b"OggS"
    assert b"OpusHead" in data[:64]
    assert tool.decode(data, rate, length).shape == (1, length)


def test_opus_is_in_time_and_better_with_more_bits(tool: Opus) -> None:
    samples = sound(2.0)
    sizes, distances = [], []
    for kbps in (6, 12, 64):
        data = tool.encode(samples, RATE, kbps)
        decoded = tool.decode(data, RATE, samples.shape[1])
        sizes.append(len(data) * 8 / 2000)
        distances.append(reconstruction_metrics(decoded, samples, RATE)["mel_distance"])
    assert sizes == sorted(sizes)
    assert 4 < sizes[0] < 14
    assert 9 < sizes[1] < 25
    assert distances == sorted(distances, reverse=True)
    assert float(si_sdr(align(decoded, samples, RATE), samples)) > 15


def test_opus_keeps_two_channels_apart(tool: Opus) -> None:
    samples = torch.cat([sound(1.0, 0), sound(1.0, 5)])
    data = tool.encode(samples, RATE, 96)
    assert 50 < len(data) * 8 / 1000 < 140  # for both together
    decoded = tool.decode(data, RATE, RATE)
    assert decoded.shape == (2, RATE)
    assert float(si_sdr(align(decoded, samples, RATE), samples)) > 10


@pytest.mark.parametrize(("kbps", "channels"), [(5.9, 1), (257, 1), (11, 2), (math.nan, 1)])
def test_opus_refuses_rates_that_it_does_not_have(tool: Opus, kbps: float, channels: int) -> None:
    with pytest.raises(ValueError, match=f"for {channels} channels it has {6 * channels} to"):
        tool.encode(sound(0.1, channels=channels), RATE, kbps)


def test_opus_of_another_length_is_an_error(tool: Opus) -> None:
    data = tool.encode(sound(0.5), RATE, 24)
    with pytest.raises(RuntimeError, match="returned 8000 samples of 16000 Hz instead of 9000"):
        tool.decode(data, RATE, 9000)


def test_the_tool_says_its_version(tool: Opus) -> None:
    assert any(digit.isdigit() for digit in tool.tool)
    assert tool.tool.startswith("opusenc" if isinstance(tool, OpusTools) else "libsndfile")


def test_a_tool_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "#!{python}\nimport sys\nif '--version' in sys.argv: sys.exit()\nsys.exit('no such device')\n"
    install(tmp_path, opusenc=script, opusdec=script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tool = find_opus("opusenc")
    assert tool is not None
    assert "version unknown" in tool.tool
    with pytest.raises(RuntimeError, match="opusenc failed: no such device"):
        tool.encode(sound(0.1), RATE, 12)


def test_without_any_tool_opus_is_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_opus("opusenc") is None
    assert isinstance(find_opus("auto"), OpusLibrary)
    contenders, notes = opus_contenders("opusenc", [6.0], 1)
    assert contenders == []
    assert "left out" in notes[0]
    assert "apt-get install opus-tools" in notes[0]
    monkeypatch.setattr(opus.soundfile, "available_subtypes", lambda _: {"VORBIS": ""})
    assert find_opus("auto") is None
    assert "left out" in opus_contenders("auto", [6.0], 1)[1][0]
    with pytest.raises(ValueError, match="'lame'"):
        find_opus("lame")


def test_opus_contenders_leave_out_what_opus_lacks() -> None:
    contenders, notes = opus_contenders("libsndfile", [6.0, 12.0, 24.0], 2)
    assert [contender.name for contender in contenders] == ["Opus 12", "Opus 24"]
    assert "libsndfile" in notes[0]
    assert "6 kbit/s was left out: it begins at 6 kbit/s" in notes[1]
    assert opus_contenders("auto", [], 1) == ([], [])


def test_opus_takes_part(tool: Opus) -> None:
    result = run_bench([OpusContender(tool, 12), OpusContender(tool, 48)], sounds(1.0), RATE)
    low, high = result.rows
    assert low.family == high.family == "Opus"
    assert low.name == "Opus 12"
    assert low.kbps < high.kbps
    assert low.figures["mel_distance"] > high.figures["mel_distance"]
