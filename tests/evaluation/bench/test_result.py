"""The table and the plot of a comparison."""

from __future__ import annotations

from pathlib import Path

from soundloom.evaluation.bench.result import BenchResult, BenchRow
from tests.evaluation.bench.stand_ins import RATE


def example() -> BenchResult:
    def row(name: str, family: str, kbps: float, fad: float | None) -> BenchRow:
        figures = {"mel_distance": 3.0, "log_spectral_distance": 7.5, "si_sdr": -12.25, "fad": fad}
        return BenchRow(name, family, RATE, kbps, figures | {"same_class": 0.5}, 20.0, 1234.5)

    rows = (row("toy", "toy", 2.0, 5.0), row("Opus 6", "Opus", 6.5, 4.0), row("Opus 12", "Opus", 13.0, None))
    return BenchResult(rows, RATE, 1, 7, 30.5, ("a note",))


def test_the_table_is_markdown_with_everything_a_reader_needs() -> None:
    lines = example().table().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5]]
    assert cells[0][:3] == ["codec", "codec Hz", "kbit/s"]
    assert len({len(row) for row in cells}) == 1
    assert set(lines[1]) == set("|-:")
    assert cells[2] == ["toy", "16000", "2.00", "3.00", "7.50", "-12.25", "5.00", "50 %", "20", "1.23e+03"]
    assert cells[4][6] == "–"
    assert lines[6] == "- 7 sounds, 30.5 s, mono, compared at 16000 Hz"
    assert lines[-1] == "- a note"


def test_the_plot_has_a_panel_for_every_figure_and_a_line_for_every_family(tmp_path: Path) -> None:
    figure = example().plot()
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert [title.split(",")[0].split(" (")[0] for title in titles] == [
        "mel distance",
        "log-spectral distance",
        "SI-SDR",
        "Fréchet audio distance",
    ]
    lines = {line.get_label(): line for line in panels[0].lines}
    assert list(lines) == ["toy", "Opus"]
    assert lines["Opus"].get_xdata().tolist() == [6.5, 13.0]
    assert panels[3].lines[1].get_xdata().tolist() == [6.5]  # nothing is drawn where nothing was measured
    assert all(axes.get_xscale() == "log" for axes in panels)
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
