"""Compare two sound files: what each is, and how far the second is from the first."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..codecs.compression import CodecShelf
from ..codecs.container import SUFFIX, Compressed
from ..codecs.ecdc.ecdc_header import SUFFIX as ECDC_SUFFIX
from ..core.audio import AudioError, mix, read_audio, resample, rms_db
from .report import markdown_table, number
from .spectral_distance import reconstruction_metrics


def compare_files(
    original: str | os.PathLike[str], other: str | os.PathLike[str], *, trim: bool = False
) -> dict[str, Any]:
    """Measure how far a sound file is from its original.

    A compressed file (.loom, .ecdc) is decoded first; its codec has to be on this machine.
    Different sample rates are compared at the lower one, different numbers of channels as mono; "notes" says
    so.

    Args:
        original: the file to compare with.
        other: the file that is measured.
        trim: cut the longer sound at its end, instead of refusing different lengths.

    Returns:
        "files": name, bytes, kbit/s, Hz, channels, seconds, loudness (RMS) and peak in dB of both;
        "sample_rate" and "channels" of the comparison; the figures of `reconstruction_metrics`; "notes".

    Raises:
        OSError: a file cannot be opened.
        AudioError: no sound, or lengths that differ and `trim` is off.
        ContainerError: a damaged .loom file, or one whose codec is not here.
    """
    notes: list[str] = []
    sounds = [(Path(path), *_read(Path(path))) for path in (original, other)]
    facts = [_facts(*sound) for sound in sounds]
    (_, a, rate_a), (_, b, rate_b) = sounds
    rate, channels = min(rate_a, rate_b), a.shape[0]
    if rate_a != rate_b:
        notes.append(f"the sample rates differ ({rate_a} and {rate_b} Hz): compared at {rate} Hz")
    if a.shape[0] != b.shape[0]:
        notes.append(f"the channels differ ({a.shape[0]} and {b.shape[0]}): compared as mono")
        channels = 1
    a, b = (resample(mix(x, channels), r, rate) for x, r in ((a, rate_a), (b, rate_b)))
    lengths = a.shape[1], b.shape[1]
    length = min(lengths)
    if trim or (rate_a != rate_b and abs(lengths[0] - lengths[1]) <= 1):  # resampling rounds lengths up
        if length < max(lengths):
            notes.append(f"the longer one was cut by {max(lengths) - length} samples at its end")
    elif length < max(lengths):
        raise AudioError(
            f"{original} has {lengths[0]} samples at {rate} Hz, {other} has {lengths[1]}: only sounds of one "
            "length can be compared; if both begin together, --trim cuts the longer one at its end"
        )
    figures = reconstruction_metrics(b[:, :length], a[:, :length], rate)
    return {"files": facts, "sample_rate": rate, "channels": channels, **figures, "notes": notes}


def _read(path: Path) -> tuple[Tensor, int]:
    suffix = path.suffix.lower()
    if suffix == ECDC_SUFFIX:
        from ..codecs.ecdc.read_ecdc import read_ecdc  # brings EnCodec along

        sound = read_ecdc(path, lambda header: CodecShelf().find_encodec(header.codec, str(path)))
        return sound.samples[0], sound.sample_rate
    if suffix != SUFFIX:
        return read_audio(path)
    compressed = Compressed.load(path)
    return CodecShelf().find(compressed.header.codec, str(path)).decompress(compressed)


def _facts(path: Path, samples: Tensor, sample_rate: int) -> dict[str, Any]:
    size, seconds = path.stat().st_size, samples.shape[1] / sample_rate
    peak = float(samples.abs().max())
    return {
        "file": str(path),
        "bytes": size,
        "kbps": size * 8 / seconds / 1000,
        "sample_rate": sample_rate,
        "channels": samples.shape[0],
        "seconds": seconds,
        "rms_db": float(rms_db(samples.flatten())),
        "peak_db": 20 * math.log10(peak) if peak else -math.inf,
    }


def comparison_table(comparison: Mapping[str, Any]) -> str:
    """What `compare_files` found, to print."""
    facts = [
        ("bytes", lambda row: str(row["bytes"])),
        ("kbit/s", lambda row: number(row["kbps"], 1)),
        ("Hz", lambda row: str(row["sample_rate"])),
        ("channels", lambda row: str(row["channels"])),
        ("seconds", lambda row: number(row["seconds"], 3)),
        ("RMS dB", lambda row: number(row["rms_db"], 1)),
        ("peak dB", lambda row: number(row["peak_db"], 1)),
    ]
    header = ["file", *(name for name, _ in facts)]
    rows = [[row["file"], *(show(row) for _, show in facts)] for row in comparison["files"]]
    channels = "mono" if comparison["channels"] == 1 else f"{comparison['channels']} channels"
    lines = [
        markdown_table(header, rows),
        "",
        f"compared at {comparison['sample_rate']} Hz, {channels}:",
        f"  mel distance           {number(comparison['mel_distance'])} dB  (0 is perfect)",
        f"  log-spectral distance  {number(comparison['log_spectral_distance'])} dB  (0 is perfect)",
        f"  SI-SDR                 {number(comparison['si_sdr'])} dB  (higher is better)",
    ]
    return "\n".join(lines + [f"note: {note}" for note in comparison["notes"]])
