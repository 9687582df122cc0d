"""Run a codec comparison: distances, bits really stored and speed of all contenders on the same sounds.

Every contender gets the same sound, at the rate at which it is compared, and gives back what a listener would
hear after storing it in a file.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ...core.audio import check_finite, check_rate
from ..interruption import Interruption
from ..spectral_distance import LogSpectralDistance, MultiResolutionMelDistance, align, si_sdr
from .contenders import Contender
from .result import BenchResult, BenchRow

STOPPED = "stopped before all sounds were tried"


@dataclass(frozen=True)
class BenchSound:
    """A sound to try codecs on: its name and samples `[C, N]` at the rate of the comparison."""

    name: str
    samples: Tensor


class Scorer(Protocol):
    """Further figures about a codec from all its reconstructions, such as `gen.metrics.ClassifierScores`."""

    def update(self, estimate: Tensor, target: Tensor, sample_rate: int) -> None:
        """Take in a reconstruction and its original, `[C, N]` each."""
        ...

    def report(self) -> dict[str, float]:
        """Figures by name; those in `FIGURES` appear in table and plot."""
        ...

    def notes(self) -> list[str]:
        """What a reader of the figures has to know."""
        ...


def run_bench(
    contenders: Sequence[Contender],
    sounds: Iterable[BenchSound],
    sample_rate: int,
    *,
    scorer: Callable[[], Scorer] | None = None,
    notes: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> BenchResult:
    """Store every sound with every contender, and measure what comes back.

    The mean over sounds for the two distances, the median for SI-SDR; each sound counts once whatever its
    length. Before anything is measured a reconstruction is aligned, see `metrics.align`. When Ctrl+C ends it,
    the figures are those of the sounds that all contenders have had, and "stopped" is true.

    Args:
        contenders: codecs at their settings.
        sounds: read once, one after the other.
        sample_rate: Hz of all sounds, and of the comparison.
        scorer: makes a further measure for each contender.
        notes: for the report.
        progress: called with the name of each sound when it is done.

    Raises:
        ValueError: no contenders, two of one name, no sounds, or a sound with NaN or infinite samples.
        RuntimeError: a contender failed; the message names it and the sound.
    """
    check_rate(sample_rate)
    names = [contender.name for contender in contenders]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"contenders are {names}; give at least one, each once")
    tallies = [_Tally(contender, sample_rate, scorer() if scorer else None) for contender in contenders]
    count, length, channels, interruption = 0, 0, 1, Interruption()
    with interruption.until_stopped(lambda: count):
        for sound in sounds:
            check_finite(sound.samples, sound.name)
            stored = [_store(tally.contender, sound, sample_rate, count == 0) for tally in tallies]
            for tally, one in zip(tallies, stored, strict=True):
                with _named(tally.contender, sound):
                    tally.add(sound.samples, one)
            channels = sound.samples.shape[0]
            count, length = count + 1, length + sound.samples.shape[-1]
            if progress is not None:
                progress(sound.name)
    if not count:
        raise ValueError("there are no sounds to try the codecs on; give a folder with at least one")
    seconds = length / sample_rate
    rows = tuple(tally.row(seconds) for tally in tallies)
    first = tallies[0].scorer
    every = (*notes, *(first.notes() if first is not None else ()), *[STOPPED] * interruption.stopped)
    return BenchResult(rows, sample_rate, channels, count, seconds, every, interruption.stopped)


@dataclass(frozen=True)
class _Stored:
    """What came of a sound: samples `[C, N]`, bytes in between, and seconds that both ways took."""

    decoded: Tensor
    size: int
    seconds: tuple[float, float]


@contextmanager
def _named(contender: Contender, sound: BenchSound) -> Iterator[None]:
    """Say in errors which contender failed on which sound."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"{contender.name} failed on {sound.name}: {error}") from error


def _store(contender: Contender, sound: BenchSound, sample_rate: int, warm_up: bool) -> _Stored:
    """Encode and decode a sound."""
    samples, length = sound.samples, sound.samples.shape[-1]
    with _named(contender, sound):
        if warm_up:  # the first run of a network is slower than those that follow
            contender.decode(contender.encode(samples, sample_rate), sample_rate, length)
        started = time.perf_counter()
        data = contender.encode(samples, sample_rate)
        stored = time.perf_counter()
        decoded = contender.decode(data, sample_rate, length)
        ended = time.perf_counter()
        times = stored - started, ended - stored
        return _Stored(align(decoded.float(), samples, sample_rate), len(data), times)


class _Tally:
    """What one contender has done so far."""

    def __init__(self, contender: Contender, sample_rate: int, scorer: Scorer | None) -> None:
        self.contender, self.sample_rate, self.scorer = contender, sample_rate, scorer
        self.mel, self.spectral = MultiResolutionMelDistance(sample_rate), LogSpectralDistance()
        self.ratios: list[float] = []
        self.speeds: tuple[list[float], list[float]] = ([], [])
        self.bytes = 0

    def add(self, samples: Tensor, stored: _Stored) -> None:
        rate, decoded = self.sample_rate, stored.decoded
        self.bytes += stored.size
        for speeds, seconds in zip(self.speeds, stored.seconds, strict=True):
            speeds.append(samples.shape[-1] / rate / max(seconds, 1e-9))
        self.mel.update(decoded, samples)
        self.spectral.update(decoded, samples)
        ratio = float(si_sdr(decoded, samples))
        if not math.isnan(ratio):  # one side is silent
            self.ratios.append(ratio)
        if self.scorer is not None:
            self.scorer.update(decoded, samples, rate)

    def row(self, seconds: float) -> BenchRow:
        figures = {
            "mel_distance": float(self.mel.compute()),
            "log_spectral_distance": float(self.spectral.compute()),
            "si_sdr": statistics.median(self.ratios) if self.ratios else math.nan,
            **(self.scorer.report() if self.scorer is not None else {}),
        }
        encode_speed, decode_speed = (statistics.median(speeds) for speeds in self.speeds)
        return BenchRow(
            name=self.contender.name,
            family=self.contender.family,
            sample_rate=self.contender.sample_rate,
            kbps=self.bytes * 8 / seconds / 1000,
            figures={key: None if math.isnan(value) else value for key, value in figures.items()},
            encode_speed=encode_speed,
            decode_speed=decode_speed,
        )
