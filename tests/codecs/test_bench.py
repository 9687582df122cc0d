"""Codecs side by side: Opus by every tool, what is counted, table and plot; two files compared."""

from __future__ import annotations

import json
import math
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs import opus
from soundloom.codecs.audio import AudioError, write_audio
from soundloom.codecs.base import Codec, load_codec
from soundloom.codecs.bench import BenchResult, BenchRow, BenchSound, run_bench
from soundloom.codecs.compare import compare_files, comparison_table
from soundloom.codecs.container import Compressed, ContainerError
from soundloom.codecs.contenders import (
    CodecContender,
    Contender,
    OpusContender,
    codec_contenders,
    opus_contenders,
    parse_codecs,
    parse_rates,
)
from soundloom.codecs.metrics import align, reconstruction_metrics, si_sdr
from soundloom.codecs.music2latent2.model import Music2Latent2
from soundloom.codecs.opus import Opus, OpusLibrary, OpusTools, find_opus
from soundloom.codecs.reports import check_report, markdown_table, to_json, write_report

RATE = 16000
LATENTS: dict[str, Any] = {
    "sample_rate": RATE,
    "channels": 1,
    "hop": 16,
    "frames_per_chunk": 4,
    "base_channels": 8,
    "multipliers": (1, 2),
    "encoder_blocks": (1, 1),
    "decoder_blocks": (1, 1),
    "strides": ((2, 2),),
    "dim": 16,
    "head_dim": 8,
    "encoder_layers": 1,
    "upsampler_layers": 1,
    "decoder_layers": 1,
    "noise_dim": 8,
    "num_latents": 2,
    "latent_dim": 4,
}

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


def sound(seconds: float = 1.0, seed: int = 0, channels: int = 1) -> Tensor:
    """A tone with some noise, `[C, N]`."""
    size = round(seconds * RATE)
    t = torch.arange(size) / RATE
    noise = torch.randn(channels, size, generator=torch.Generator().manual_seed(seed))
    return 0.3 * torch.sin(2 * torch.pi * (300 + 50 * seed) * t) + 0.02 * noise


@pytest.fixture(params=["opusenc", "libsndfile"])
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opus:
    if request.param == "opusenc" and not (shutil.which("opusenc") and shutil.which("opusdec")):
        install(tmp_path, opusenc=FAKE_OPUSENC, opusdec=FAKE_OPUSDEC)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = find_opus(request.param)
    assert found is not None
    return found


class Toy(Codec):
    """Samples of 2 kHz as 4 bits each, and 4 more that refine them: sizes are easy to foresee."""

    sample_rate, channels, num_codebooks, codebook_size = 2000, 1, 2, 16  # type: ignore[assignment]
    frame_rate, codebook_choices = 2000.0, (1, 2)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.config = {"toy": 1}

    def encode(self, audio: Tensor) -> Tensor:
        levels = ((audio.clamp(-1, 1) + 1) / 2 * 255).round().long()
        return torch.cat([levels // 16, levels % 16], dim=1)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        fine = codes[:, 1:] if codes.shape[1] > 1 else torch.full_like(codes, 8)
        return (codes[:, :1] * 16 + fine)[..., :length] / 255 * 2 - 1


class Stub(Contender):
    """A contender that returns what it is told to."""

    def __init__(self, name: str = "stub", size: int = 100, change: Any = lambda x: x) -> None:
        self.name, self.family, self.sample_rate, self.size, self.change = name, name, RATE, size, change

    def encode(self, samples: Tensor, sample_rate: int) -> bytes:
        self.held = samples
        return bytes(self.size)

    def decode(self, data: bytes, sample_rate: int, length: int) -> Tensor:
        return self.change(self.held)


def sounds(*seconds: float) -> list[BenchSound]:
    return [BenchSound(f"s{i}", sound(length, seed=i)) for i, length in enumerate(seconds)]


# Opus


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("length", [1, 20003])
def test_opus_restores_the_length_to_the_sample(tool: Opus, rate: int, length: int) -> None:
    samples = 0.1 * torch.randn(1, length, generator=torch.Generator().manual_seed(0))
    data = tool.encode(samples, rate, 24)
    assert data[:4] == b"OggS" and b"OpusHead" in data[:64]
    assert tool.decode(data, rate, length).shape == (1, length)


def test_opus_is_in_time_and_better_with_more_bits(tool: Opus) -> None:
    samples = sound(2.0)
    sizes, distances = [], []
    for kbps in (6, 12, 64):
        data = tool.encode(samples, RATE, kbps)
        decoded = tool.decode(data, RATE, samples.shape[1])
        sizes.append(len(data) * 8 / 2000)
        distances.append(reconstruction_metrics(decoded, samples, RATE)["mel_distance"])
    assert sizes == sorted(sizes) and 4 < sizes[0] < 14 and 9 < sizes[1] < 25
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
    assert tool is not None and "version unknown" in tool.tool
    with pytest.raises(RuntimeError, match="opusenc failed: no such device"):
        tool.encode(sound(0.1), RATE, 12)


def test_without_any_tool_opus_is_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_opus("opusenc") is None and isinstance(find_opus("auto"), OpusLibrary)
    contenders, notes = opus_contenders("opusenc", [6.0], 1)
    assert contenders == [] and "left out" in notes[0] and "apt-get install opus-tools" in notes[0]
    monkeypatch.setattr(opus.soundfile, "available_subtypes", lambda _: {"VORBIS": ""})
    assert find_opus("auto") is None
    assert "left out" in opus_contenders("auto", [6.0], 1)[1][0]
    with pytest.raises(ValueError, match="'lame'"):
        find_opus("lame")


def test_opus_contenders_leave_out_what_opus_lacks() -> None:
    contenders, notes = opus_contenders("libsndfile", [6.0, 12.0, 24.0], 2)
    assert [contender.name for contender in contenders] == ["Opus 12", "Opus 24"]
    assert "libsndfile" in notes[0] and "6 kbit/s was left out: it begins at 6 kbit/s" in notes[1]
    assert opus_contenders("auto", [], 1) == ([], [])


# The bench


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
    assert high.encode_speed > 0 and high.decode_speed > 0


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
    monkeypatch.setattr("soundloom.codecs.bench.time.perf_counter", lambda: next(ticks))
    (row,) = run_bench([Stub()], sounds(1.0, 1.0, 1.0), RATE).rows
    assert row.encode_speed == pytest.approx(4.0)  # of 2, 10 and 4
    assert row.decode_speed == pytest.approx(4.0)  # of 4, 10 and 4


def test_a_small_delay_is_taken_back_and_silence_has_no_si_sdr() -> None:
    late = Stub(change=lambda x: torch.nn.functional.pad(x, (2, 0))[:, :-2])
    (row,) = run_bench([late], sounds(0.5), RATE).rows
    assert row.figures["si_sdr"] > 20
    silent = [BenchSound("silence", torch.zeros(1, 4000))]
    (row,) = run_bench([Stub()], silent, RATE).rows
    assert row.figures["si_sdr"] is None and row.figures["mel_distance"] == 0.0
    assert "| – |" in " ".join(run_bench([Stub()], silent, RATE).table().split())
    (row,) = run_bench([Stub()], [*silent, *sounds(0.5)], RATE).rows
    assert row.figures["si_sdr"] > 60


class Counting:
    made = 0

    def __init__(self) -> None:
        Counting.made += 1
        self.seen = 0

    def update(self, estimate: Tensor, target: Tensor, sample_rate: int) -> None:
        assert estimate.shape == target.shape and sample_rate == RATE
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
    assert Counting.made == 2 and done == ["s0", "s1"]
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


def test_a_codec_that_loses_samples_is_named() -> None:
    class Short(Toy):
        def decompress(self, compressed: Compressed, **settings: Any) -> tuple[Tensor, int]:
            samples, rate = super().decompress(compressed)
            return samples[:, 1:], rate

    with pytest.raises(
        RuntimeError, match="toy failed on s0: toy returned 1599 samples at 16000 Hz, not 1600"
    ):
        run_bench([CodecContender(Short(), "toy")], sounds(0.1), RATE)


def test_the_rates_of_a_codec_can_be_chosen() -> None:
    assert [contender.name for contender in codec_contenders("toy", Toy(), [10.0])] == ["toy 8"]
    assert [contender.name for contender in codec_contenders("toy", Toy(), [17.0, 8.0])] == [
        "toy 8",
        "toy 16",
    ]
    with pytest.raises(ValueError, match="bitrate 5 kbit/s is too low for Toy"):
        codec_contenders("toy", Toy(), [5.0])


def test_latents_are_stored_at_both_precisions() -> None:
    torch.manual_seed(0)
    codec = Music2Latent2(**LATENTS).eval()
    contenders = codec_contenders("m2l2", codec)
    assert [contender.name.split()[-1] for contender in contenders] == ["int8", "float16"]
    small, large = run_bench(contenders, sounds(0.02), RATE).rows
    assert small.kbps < large.kbps


def test_lists_on_the_command_line() -> None:
    assert parse_rates("6,12.5") == [6.0, 12.5]
    assert parse_codecs("a, b:3:6,me/c") == [("a", None), ("b", [3.0, 6.0]), ("me/c", None)]
    for text in ("", "a,,b", "a,a", "a:x", "a:-1", "a:0", "a:nan", "a:inf", "a:3:3"):
        with pytest.raises(ValueError, match="kbit/s|name"):
            parse_codecs(text)


def test_opus_takes_part(tool: Opus) -> None:
    result = run_bench([OpusContender(tool, 12), OpusContender(tool, 48)], sounds(1.0), RATE)
    low, high = result.rows
    assert low.family == high.family == "Opus" and low.name == "Opus 12"
    assert low.kbps < high.kbps and low.figures["mel_distance"] > high.figures["mel_distance"]


def example() -> BenchResult:
    def row(name: str, family: str, kbps: float, fad: float | None) -> BenchRow:
        figures = {"mel_distance": 3.0, "log_spectral_distance": 7.5, "si_sdr": -12.25, "fad": fad}
        return BenchRow(name, family, RATE, kbps, figures | {"same_class": 0.5}, 20.0, 1234.5)

    rows = (row("toy", "toy", 2.0, 5.0), row("Opus 6", "Opus", 6.5, 4.0), row("Opus 12", "Opus", 13.0, None))
    return BenchResult(rows, RATE, 1, 7, 30.5, ("a note",))


def test_the_table_is_markdown_with_everything_a_reader_needs() -> None:
    lines = example().table().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5]]
    assert cells[0][:3] == ["codec", "codec Hz", "kbit/s"] and len({len(row) for row in cells}) == 1
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


# Reports and two files


def test_reports_are_whole_json_without_nan(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_report(target, {"a": math.nan, "b": [1.5, math.inf], "c": {"d": "é"}})
    assert json.loads(target.read_text()) == {"a": None, "b": [1.5, None], "c": {"d": "é"}}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    with pytest.raises(TypeError):
        write_report(target, {"a": object()})
    assert "é" in target.read_text()
    with pytest.raises(FileExistsError, match="--force"):
        check_report(target)
    assert check_report(target, force=True) == target
    with pytest.raises(FileNotFoundError, match="mkdir"):
        check_report(tmp_path / "no" / "x.json")
    with pytest.raises(IsADirectoryError, match=r"report\.json"):
        check_report(tmp_path)
    assert markdown_table(["a", "b"], [["x", "10"]]).splitlines()[0] == "| a   |   b |"


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
    assert facts["bytes"] == a.stat().st_size and facts["kbps"] == pytest.approx(256.4, abs=0.1)
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
    assert "48000 and 16000 Hz" in found["notes"][0] and "2 and 1" in found["notes"][1]
    assert found["si_sdr"] > 40


def test_files_of_other_lengths_are_refused_or_cut(tmp_path: Path) -> None:
    original = sound(1.0)
    a, b = (write_audio(tmp_path / f"{n}.wav", original[:, :n], RATE) for n in (16000, 12000))
    with pytest.raises(AudioError, match="16000 samples at 16000 Hz.*12000.*--trim"):
        compare_files(a, b)
    found = compare_files(a, b, trim=True)
    assert found["si_sdr"] > 60 and found["notes"] == ["the longer one was cut by 4000 samples at its end"]


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
