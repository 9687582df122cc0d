"""The result of a codec comparison: figures of every contender, as a table and as a plot."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..report import markdown_table, number

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
        stopped: whether Ctrl+C ended it.
    """

    rows: tuple[BenchRow, ...]
    sample_rate: int
    channels: int
    sounds: int
    seconds: float
    notes: tuple[str, ...] = field(default=())
    stopped: bool = False

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
