"""Two files side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from soundloom.codecs.container import Compressed, ContainerError
from soundloom.codecs.registry import load_codec
from soundloom.core.audio import AudioError, write_audio
from soundloom.evaluation.compare_files import compare_files, comparison_table
from soundloom.evaluation.report import to_json
from tests.evaluation.bench.stand_ins import RATE, sound


def test_two_files(tmp_path: Path) -> None:
    original, gain = sound(1.0), 0.5
    a, b = (
        write_audio(tmp_path / "a.wav", original, RATE),
        write_audio(tmp_path / "b.flac", gain * original, RATE),
    )
    found = compare_files(a, b)
    assert found["mel_distance"] == pytest.approx(6.02, rel=0.03)
    assert (found["sample_rate"], found["channels"], found["notes"]) == (RATE, 1, [])
    facts = found["files"][0]
    assert facts["bytes"] == a.stat().st_size
    assert facts["kbps"] == pytest.approx(256.4, abs=0.1)
    assert facts["peak_db"] - found["files"][1]["peak_db"] == pytest.approx(6.02, abs=0.01)
    printed = comparison_table(found)
    for part in (str(a), str(b), f"{found['mel_distance']:.2f} dB", "16000 Hz, mono"):
        assert part in printed


def test_files_of_other_rates_and_channels_meet_in_the_middle(tmp_path: Path) -> None:
    t = torch.arange(48000) / 48000
    tone = 0.3 * torch.sin(2 * torch.pi * 440 * t)
    a = write_audio(tmp_path / "a.wav", torch.stack([tone, tone]), 48000)
    b = write_audio(tmp_path / "b.wav", tone[None, ::3], RATE)
    found = compare_files(a, b)
    assert (found["sample_rate"], found["channels"]) == (RATE, 1)
    assert "48000 and 16000 Hz" in found["notes"][0]
    assert "2 and 1" in found["notes"][1]
    assert found["si_sdr"] > 40


def test_files_of_other_lengths_are_refused_or_cut(tmp_path: Path) -> None:
    original = sound(1.0)
    a, b = (write_audio(tmp_path / f"{n}.wav", original[:, :n], RATE) for n in (16000, 12000))
    with pytest.raises(AudioError, match="16000 samples at 16000 Hz.*12000.*--trim"):
        compare_files(a, b)
    found = compare_files(a, b, trim=True)
    assert found["si_sdr"] > 60
    assert found["notes"] == ["the longer one was cut by 4000 samples at its end"]


def test_a_compressed_file_is_decoded_first(tmp_path: Path) -> None:
    original = write_audio(tmp_path / "a.wav", sound(0.5), RATE)
    codec = load_codec("seanet-16khz")
    coded = codec.compress(sound(0.5), RATE).save(tmp_path / "a.loom")
    found = compare_files(original, coded)
    decoded, _ = codec.decompress(Compressed.load(coded))
    by_hand = write_audio(tmp_path / "b.wav", decoded, RATE)
    assert found["mel_distance"] == pytest.approx(compare_files(original, by_hand)["mel_distance"], rel=0.01)
    assert found["files"][1]["kbps"] == pytest.approx(coded.stat().st_size * 8 / 500)
    coded.write_bytes(coded.read_bytes()[:-5])
    with pytest.raises(ContainerError, match="a.loom"):
        compare_files(original, coded)


def test_silent_and_missing_files(tmp_path: Path) -> None:
    a = write_audio(tmp_path / "a.wav", torch.zeros(1, 9000), RATE)
    found = compare_files(a, a)
    assert json.loads(to_json(found))["si_sdr"] is None
    assert "–" in comparison_table(found)
    with pytest.raises(FileNotFoundError, match="gone"):
        compare_files(a, tmp_path / "gone.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match="text"):
        compare_files(tmp_path / "text.wav", a)
