"""Codecs side by side: what is counted, and what goes wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.core.audio import AudioError
from soundloom.evaluation.bench.contenders import codec_contenders
from soundloom.evaluation.bench.run import BenchSound, run_bench
from soundloom.evaluation.report import to_json
from soundloom.evaluation.spectral_distance import reconstruction_metrics
from tests.evaluation.bench.stand_ins import RATE, Stub, Toy, sounds


def test_what_is_counted_is_what_would_be_stored() -> None:
    coarse, fine = codec_contenders("toy", Toy())
    assert (coarse.name, fine.name, coarse.family) == ("toy 8", "toy 16", "toy")
    tones = [
        BenchSound(f"{hertz} Hz", 0.5 * torch.sin(hertz * torch.arange(size) / RATE)[None])
        for hertz, size in ((700.0, 16000), (1500.0, 8000))
    ]
    result = run_bench([coarse, fine], tones, RATE)
    assert (result.sounds, result.seconds, result.sample_rate, result.channels) == (2, 1.5, RATE, 1)
    for contender, row in zip((coarse, fine), result.rows, strict=True):
        stored = sum(len(contender.encode(tone.samples, RATE)) for tone in tones)
        assert row.kbps == pytest.approx(stored * 8 / 1.5 / 1000)
    low, high = result.rows
    assert 1 < low.kbps < high.kbps < 18  # 8 and 16 kbit/s, less what is predictable, and headers
    assert high.figures["mel_distance"] < low.figures["mel_distance"]
    assert high.figures["si_sdr"] > low.figures["si_sdr"] + 15
    assert high.encode_speed > 0
    assert high.decode_speed > 0


def test_figures_are_means_over_sounds_and_the_median_of_si_sdr() -> None:
    class Noisy(Stub):
        def decode(self, data: bytes, sample_rate: int, length: int) -> Tensor:
            noise = torch.randn(self.held.shape, generator=torch.Generator().manual_seed(9))
            return self.held + next(levels) * noise

    values = [0.001, 0.03, 0.1]
    levels = iter([1.0, *values])  # the first is the warm-up
    three = sounds(0.5, 0.5, 0.5)
    (row,) = run_bench([Noisy()], three, RATE).rows
    levels = iter(values)
    noisy = Noisy()
    singles = []
    for one in three:
        noisy.encode(one.samples, RATE)
        singles.append(reconstruction_metrics(noisy.decode(b"", RATE, 0), one.samples, RATE))
    for key in ("mel_distance", "log_spectral_distance"):
        assert row.figures[key] == pytest.approx(sum(single[key] for single in singles) / 3, rel=1e-3)
    assert row.figures["si_sdr"] == pytest.approx(singles[1]["si_sdr"], abs=0.01)


def test_speeds_are_medians_of_seconds_of_sound_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: Iterator[float] = iter([0, 0.5, 0.75, 10, 10.1, 10.2, 20, 20.25, 20.5])
    monkeypatch.setattr("soundloom.evaluation.bench.run.time.perf_counter", lambda: next(ticks))
    (row,) = run_bench([Stub()], sounds(1.0, 1.0, 1.0), RATE).rows
    assert row.encode_speed == pytest.approx(4.0)  # of 2, 10 and 4
    assert row.decode_speed == pytest.approx(4.0)  # of 4, 10 and 4


def test_a_small_delay_is_taken_back_and_silence_has_no_si_sdr() -> None:
    late = Stub(change=lambda x: torch.nn.functional.pad(x, (2, 0))[:, :-2])
    (row,) = run_bench([late], sounds(0.5), RATE).rows
    assert row.figures["si_sdr"] > 20
    silent = [BenchSound("silence", torch.zeros(1, 4000))]
    (row,) = run_bench([Stub()], silent, RATE).rows
    assert row.figures["si_sdr"] is None
    assert row.figures["mel_distance"] == 0.0
    assert "| – |" in " ".join(run_bench([Stub()], silent, RATE).table().split())
    (row,) = run_bench([Stub()], [*silent, *sounds(0.5)], RATE).rows
    assert row.figures["si_sdr"] > 60


class Counting:
    made = 0

    def __init__(self) -> None:
        Counting.made += 1
        self.seen = 0

    def update(self, estimate: Tensor, target: Tensor, sample_rate: int) -> None:
        assert estimate.shape == target.shape
        assert sample_rate == RATE
        self.seen += 1

    def report(self) -> dict[str, float]:
        return {"fad": float(self.seen), "same_class": math.nan}

    def notes(self) -> list[str]:
        return [f"counted {self.seen}"]


def test_further_figures_are_those_of_each_contender() -> None:
    done: list[str] = []
    result = run_bench(
        [Stub("a"), Stub("b")], sounds(0.2, 0.2), RATE, scorer=Counting, notes=["hello"], progress=done.append
    )
    assert Counting.made == 2
    assert done == ["s0", "s1"]
    assert [row.figures["fad"] for row in result.rows] == [2.0, 2.0]
    assert result.rows[0].figures["same_class"] is None
    assert result.notes == ("hello", "counted 2")
    assert json.loads(to_json(result.to_dict()))["rows"][1]["name"] == "b"


@pytest.mark.parametrize(
    ("contenders", "given", "error", "words"),
    [
        ([], sounds(0.1), ValueError, "at least one"),
        ([Stub("a"), Stub("a")], sounds(0.1), ValueError, "each once"),
        ([Stub()], [], ValueError, "no sounds"),
        ([Stub()], [BenchSound("bad.wav", torch.full((1, 9), math.nan))], AudioError, "bad.wav holds 9 NaN"),
        ([Stub(change=lambda x: x[:, 1:])], sounds(0.1), RuntimeError, "stub failed on s0: the estimate"),
        ([Stub(change=lambda x: x * math.nan)], sounds(0.1), RuntimeError, "stub failed on s0: the estimate"),
    ],
)
def test_what_goes_wrong_is_named(contenders: Any, given: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        run_bench(contenders, given, RATE)


def test_ctrl_c_keeps_the_sounds_that_all_have_had() -> None:
    class Slow(Stub):
        def encode(self, samples: Tensor, sample_rate: int) -> bytes:
            if float(samples.abs().max()) > 0.9:
                raise KeyboardInterrupt
            return super().encode(samples, sample_rate)

    quick = Stub()
    quiet, loud = sounds(0.5, 0.25)
    loud = BenchSound(loud.name, loud.samples / loud.samples.abs().max())
    result = run_bench([quick, Slow("slow")], [quiet, loud], RATE)
    assert result.stopped
    assert (result.sounds, result.seconds) == (1, 0.5)
    assert "stopped before all sounds were tried" in result.table()
    assert all(row.kbps == result.rows[0].kbps for row in result.rows)
    with pytest.raises(KeyboardInterrupt):
        run_bench([Slow()], [loud], RATE)
