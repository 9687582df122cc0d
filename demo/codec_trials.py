"""All codecs at all their rates on one sound, Opus beside them: a table, and quality over rate as curves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.sound_reader import open_sound
from ..evaluation.bench.contenders import Contender, codec_contenders, opus_contenders
from ..evaluation.bench.opus import CLOCK
from ..evaluation.bench.result import BenchRow
from ..evaluation.bench.run import BenchSound, run_bench
from ..evaluation.spectral_distance import MIN_RATE
from .codecs import Codecs
from .input import check_upload
from .roundtrip import MAX_SECONDS, PageProgress, never, read_beginning, say_number
from .stoppable import Cancel, check

TRIED_SECONDS = 6.0  # of the sound, from its beginning
OPUS_RATES = (6.0, 8.0, 12.0, 24.0)  # kbit/s
HEADINGS = ["Codec", "kbit/s", "Mel distance, dB", "LSD, dB", "SI-SDR, dB", "Encode ×", "Decode ×"]


def contenders(codecs: Codecs) -> list[Contender]:
    """Every codec on offer at every rate that it has, and Opus, if an encoder is here."""
    found = [each for name in codecs.names for each in codec_contenders(name, codecs.get(name))]
    return [*found, *opus_contenders("auto", OPUS_RATES, 1)[0]]


def measure_codecs(
    source: Path, codecs: Codecs, progress: PageProgress, cancel: Cancel = never
) -> Iterator[BenchRow]:
    """Figures of one contender after the other, on the beginning of a sound at its own rate, mixed to mono.

    Raises:
        AudioError, ValueError, OSError: the sound cannot be used.
        Stopped: `cancel` said so.
    """
    check_upload(source, limit=MAX_SECONDS)
    with open_sound(source) as sound:
        rate = max(MIN_RATE, min(sound.sample_rate, CLOCK))
    all_of_them = contenders(codecs)
    samples = BenchSound(source.name, read_beginning(source, TRIED_SECONDS, rate, 1))
    for number, contender in enumerate(all_of_them):
        check(cancel)
        progress(number / len(all_of_them), f"trying {contender.name}")
        yield run_bench([contender], [samples], rate).rows[0]


def table(rows: list[BenchRow]) -> list[list[str]]:
    """The rows in words, under `HEADINGS`."""
    figures = ("mel_distance", "log_spectral_distance", "si_sdr")
    return [
        [
            row.name,
            say_number(row.kbps),
            *("–" if (value := row.figures.get(key)) is None else f"{value:.1f}" for key in figures),
            say_number(row.encode_speed),
            say_number(row.decode_speed),
        ]
        for row in sorted(rows, key=lambda row: row.kbps)
    ]


def curve(rows: list[BenchRow]) -> Any:
    """Mel distance over rate of every family of codecs, for gr.LinePlot."""
    import pandas

    points = [
        {"codec": row.family, "kbit/s": round(row.kbps, 3), "mel distance, dB": round(distance, 3)}
        for row in rows
        if (distance := row.figures.get("mel_distance")) is not None
    ]
    return pandas.DataFrame(points, columns=["codec", "kbit/s", "mel distance, dB"])


def as_data(rows: list[BenchRow]) -> list[dict[str, Any]]:
    """The rows for programs."""
    return [
        {
            "codec": row.family,
            "name": row.name,
            "kbps": row.kbps,
            **row.figures,
            "encode_speed": row.encode_speed,
            "decode_speed": row.decode_speed,
        }
        for row in rows
    ]
