"""Codecs side by side on the same sounds: distances, bits really stored, speed; a table and a plot.

Every contender gets the same sound, at the rate at which it is compared, and gives back what a listener would
hear after storing it in a file. `run_bench` measures, `BenchResult` prints and draws.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from .audio import check_finite, check_rate
from .contenders import Contender
from .metrics import LogSpectralDistance, MultiResolutionMelDistance, align, si_sdr
from .reports import markdown_table, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Key of a figure -> (heading of its column, title of its plot; None where there is none).
FIGURES = {
    "mel_distance": ("mel dB", "mel distance, dB (lower is better)"),
    "log_spectral_distance": ("LSD dB", "log-spectral distance, dB (lower is better)"),
    "si_sdr": ("SI-SDR dB", "SI-SDR, dB (higher is better)"),
    "fad": ("FAD", "Fréchet audio distance (lower is better)"),
    "same_class": ("same class", None),
}


@dataclass(frozen=True)
class BenchSound:
    """A sound to try codecs on: its name and samples `[C, N]` at the rate of the comparison."""

    name: str
    samples: Tensor


class Scorer(Protocol):
    """Further figures about a codec from all its reconstructions, such as `gen.metrics.JudgeScores`."""

    def update(self, estimate: Tensor, target: Tensor, sample_rate: int) -> None:
        """Take in a reconstruction and its original, `[C, N]` each."""
        ...

    def report(self) -> dict[str, float]:
        """Figures by name; those in `FIGURES` appear in table and plot."""
        ...

    def notes(self) -> list[str]:
        """What a reader of the figures has to know."""
        ...


@dataclass(frozen=True)
class BenchRow:
    """Figures of one contender over all sounds.

    Attributes:
        name, family, sample_rate: of the contender.
        kbps: bits of all files over seconds of all sounds, kbit/s; headers count.
        figures: by the names in `FIGURES`; None where one is undefined.
        encode_speed, decode_speed: seconds of sound per second of work, median over sounds.
    """

    name: str
    family: str
    sample_rate: int
    kbps: float
    figures: dict[str, float | None]
    encode_speed: float
    decode_speed: float


@dataclass(frozen=True)
class BenchResult:
    """What `run_bench` measured.

    Attributes:
        rows: one for every contender.
        sample_rate: Hz at which everything was compared.
        channels: of what was compared.
        sounds: number of sounds.
        seconds: their length in all.
        notes: what else a reader has to know.
    """

    rows: tuple[BenchRow, ...]
    sample_rate: int
    channels: int
    sounds: int
    seconds: float
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """What was compared, in one line."""
        channels = "mono" if self.channels == 1 else f"{self.channels} channels"
        return f"{self.sounds} sounds, {self.seconds:.1f} s, {channels}, compared at {self.sample_rate} Hz"

    def table(self) -> str:
        """A Markdown table with a row for every contender, and what was compared below it."""
        shown = [key for key in FIGURES if any(key in row.figures for row in self.rows)]
        header = ["codec", "codec Hz", "kbit/s", *(FIGURES[key][0] for key in shown), "encode ×", "decode ×"]
        rows = []
        for row in self.rows:
            figures = [
                number(None if (value := row.figures.get(key)) is None else 100 * value, 0) + " %"
                if key == "same_class"
                else number(row.figures.get(key))
                for key in shown
            ]
            speeds = [f"{speed:.3g}" for speed in (row.encode_speed, row.decode_speed)]
            rows.append([row.name, str(row.sample_rate), number(row.kbps), *figures, *speeds])
        notes = [
            self.summary(),
            "kbit/s: whole files, headers included; mel and LSD: mean over sounds; SI-SDR: median",
            "encode ×, decode ×: seconds of sound per second of work, median over sounds",
            *self.notes,
        ]
        return markdown_table(header, rows) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"

    def plot(self) -> Figure:
        """Every figure against the bits stored; points of a family are joined."""
        return draw(self)


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
    length. Before anything is measured a reconstruction is aligned, see `metrics.align`.

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
    count, length, channels = 0, 0, 1
    for sound in sounds:
        check_finite(sound.samples, sound.name)
        for tally in tallies:
            try:
                tally.add(sound.samples, warm_up=count == 0)
            except Exception as error:
                raise RuntimeError(f"{tally.contender.name} failed on {sound.name}: {error}") from error
        channels = sound.samples.shape[0]
        count, length = count + 1, length + sound.samples.shape[-1]
        if progress is not None:
            progress(sound.name)
    if not count:
        raise ValueError("there are no sounds to try the codecs on; give a folder with at least one")
    seconds = length / sample_rate
    rows = tuple(tally.row(seconds) for tally in tallies)
    first = tallies[0].scorer
    every = (*notes, *(first.notes() if first is not None else ()))
    return BenchResult(rows, sample_rate, channels, count, seconds, every)


class _Tally:
    """What one contender has done so far."""

    def __init__(self, contender: Contender, sample_rate: int, scorer: Scorer | None) -> None:
        self.contender, self.sample_rate, self.scorer = contender, sample_rate, scorer
        self.mel, self.spectral = MultiResolutionMelDistance(sample_rate), LogSpectralDistance()
        self.ratios: list[float] = []
        self.speeds: tuple[list[float], list[float]] = ([], [])
        self.bytes = 0

    def add(self, samples: Tensor, *, warm_up: bool) -> None:
        rate, length = self.sample_rate, samples.shape[-1]
        if warm_up:  # the first run of a network is slower than those that follow
            self.contender.decode(self.contender.encode(samples, rate), rate, length)
        started = time.perf_counter()
        data = self.contender.encode(samples, rate)
        stored = time.perf_counter()
        decoded = self.contender.decode(data, rate, length)
        ended = time.perf_counter()
        self.bytes += len(data)
        for speeds, seconds in zip(self.speeds, (stored - started, ended - stored), strict=True):
            speeds.append(length / rate / max(seconds, 1e-9))
        decoded = align(decoded.float(), samples, rate)
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


def draw(result: BenchResult) -> Figure:
    """Draw every figure of a result against kbit/s; see `BenchResult.plot`."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import FuncFormatter, NullLocator

    shown = [
        (key, title)
        for key, (_, title) in FIGURES.items()
        if title and any(row.figures.get(key) is not None for row in result.rows)
    ]
    lines = -(-len(shown) // 2)
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.1)
    figure = Figure(figsize=(9.0, 0.9 + 3.1 * lines), dpi=110, layout=layout)
    grid = figure.subplots(lines, 2, squeeze=False).flatten()
    families = list(dict.fromkeys(row.family for row in result.rows))
    low = min(row.kbps for row in result.rows) / 1.5
    high = max(row.kbps for row in result.rows) * 1.5
    ticks = [tick for tick in (0.5, 1, 2, 3, 6, 12, 24, 48, 96, 192, 384) if low <= tick <= high]
    for axes, (key, title) in zip(grid, shown, strict=False):
        for index, family in enumerate(families):
            points = sorted(
                (row.kbps, value)
                for row in result.rows
                if row.family == family and (value := row.figures.get(key)) is not None
            )
            if not points:
                continue
            colour = "#5b6470" if family == "Opus" else f"C{index}"
            axes.plot(
                *zip(*points, strict=True),
                marker="osD^vP"[index % 6],
                color=colour,
                label=family,
                markersize=6,
                linewidth=1.6,
            )
        axes.set_title(title, fontsize=10.5, loc="left")
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("kbit/s stored", fontsize=9)
        axes.grid(color="#e3e6ea", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.12)
        if key != "si_sdr":
            axes.set_ylim(bottom=0)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=10.5)
    figure.suptitle(result.summary(), fontsize=10.5, color="#3a4149")
    return figure
