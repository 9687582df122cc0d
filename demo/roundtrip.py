"""Compress and decompress an uploaded sound, with all figures that the page shows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..codecs.compression import decode_file, encode_file
from ..codecs.frames.storage import Storage
from ..core.audio import mix, read_audio, resample
from ..core.progress import Advance
from ..evaluation.spectral_distance import MIN_RATE, reconstruction_metrics
from .input import read_upload, say_seconds

PageProgress = Callable[[float, str], None]  # share done from 0 to 1, and what is being done
MAX_SECONDS = 600.0


@dataclass
class RoundTrip:
    """A sound, its compressed file, and what came back.

    Attributes:
        original, restored: float32 `[C, N]` of the same shape.
        sample_rate: Hz of both.
        source_channels: of the file; more than the codec has are mixed to one.
        storage: what was stored.
        source_bytes, compressed_bytes: sizes of the two files.
        encode_seconds, decode_seconds: how long it took.
        compared_rate: Hz at which `metrics` were measured; 0 if they could not be.
        metrics: see `reconstruction_metrics`.
    """

    original: Tensor
    restored: Tensor
    sample_rate: int
    source_channels: int
    storage: Storage
    source_bytes: int
    compressed_bytes: int
    encode_seconds: float
    decode_seconds: float
    compared_rate: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.original.shape[-1] / self.sample_rate

    @property
    def pcm_bytes(self) -> int:
        """Size of what comes back as plain 16 bit samples."""
        return 2 * self.original.numel()

    @property
    def kbps(self) -> float:
        """Bit rate of the whole compressed file, header and index included, in kbit/s."""
        return 8 * self.compressed_bytes / self.seconds / 1000


def round_trip(
    source: Path,
    compressed: Path,
    restored: Path,
    codec: Codec,
    storage: Storage,
    progress: PageProgress,
) -> RoundTrip:
    """Compress a sound file, decompress it, and measure both.

    Args:
        source: a sound of at most `MAX_SECONDS`.
        compressed: file to write, suffix .loom.
        restored: sound file to write.
        codec: does both.
        storage: what of the codec to store.
        progress: called on the way.

    Raises:
        AudioError, ValueError, OSError: the sound cannot be read or is too long, or a file cannot be written.
    """
    progress(0.0, "reading")
    original, rate = read_upload(source, limit=MAX_SECONDS)
    seconds = original.shape[-1] / rate
    started = time.perf_counter()
    encode_file(
        source,
        compressed,
        codec,
        codebooks=storage.shape[0] if storage.kind == "codes" else None,
        precision=storage.precision,
        progress=add_up(progress, seconds, 0.0, 0.45, "compressing"),
    )
    encoded = time.perf_counter()
    decode_file(compressed, restored, codec, progress=add_up(progress, seconds, 0.45, 0.9, "decompressing"))
    decoded = time.perf_counter()
    back, _ = read_audio(restored)
    progress(0.9, "measuring")
    trip = RoundTrip(
        mix(original, back.shape[0]),
        back,
        rate,
        original.shape[0],
        storage,
        source.stat().st_size,
        compressed.stat().st_size,
        encoded - started,
        decoded - encoded,
    )
    measure(trip, codec)
    return trip


def add_up(progress: PageProgress, seconds: float, first: float, last: float, what: str) -> Advance:
    """What to call with the seconds that were done since the last call, of so many.

    Args:
        progress: told of the whole, of which this is the part from `first` to `last`.
        seconds: to do.
        first, last: shares, 0 to 1.
        what: is being done.
    """
    done = 0.0

    def step(more: float) -> None:
        nonlocal done
        done += more
        progress(first + (last - first) * min(done / seconds, 1.0), what)

    return step


def measure(trip: RoundTrip, codec: Codec) -> None:
    """Fill in the metrics, measured where the codec has something to say: at most at its own rate."""
    rate = min(trip.sample_rate, codec.sample_rate)
    if rate < MIN_RATE:
        return
    with torch.inference_mode():
        restored, original = (resample(s, trip.sample_rate, rate) for s in (trip.restored, trip.original))
        trip.metrics = reconstruction_metrics(restored, original, rate)
    trip.compared_rate = rate


def figures(trip: RoundTrip) -> str:
    """What there is to know about a round trip, as a Markdown table and a line below it."""
    channels = say_channels(trip.source_channels)
    if trip.source_channels != trip.restored.shape[0]:
        channels += f", comes back {say_channels(trip.restored.shape[0])}"
    rows = [
        ("Sound", f"{say_seconds(trip.seconds)}, {trip.sample_rate} Hz, {channels}"),
        ("File as it came", say_bytes(trip.source_bytes)),
        ("What comes back, as 16 bit samples", say_bytes(trip.pcm_bytes)),
        ("**Compressed file**", f"**{say_bytes(trip.compressed_bytes)}**"),
        ("Smaller than these samples", f"{trip.pcm_bytes / trip.compressed_bytes:.3g} times"),
        (
            "Bit rate really stored",
            f"{trip.kbps:.3g} kbit/s (nominal {trip.storage.bitrate / 1000:.3g})",
        ),
        ("Time to compress, to decompress", f"{trip.encode_seconds:.1f} s, {trip.decode_seconds:.1f} s"),
    ]
    if trip.metrics:
        found = trip.metrics
        rows += [
            ("Mel distance (0 is perfect)", f"{found['mel_distance']:.2f} dB"),
            ("Log-spectral distance (0 is perfect)", f"{found['log_spectral_distance']:.2f} dB"),
            (
                "SI-SDR (higher is better)",
                "undefined for silence" if math.isnan(found["si_sdr"]) else f"{found['si_sdr']:.1f} dB",
            ),
        ]
        note = f"Distances are measured at {trip.compared_rate} Hz."
        if found["si_sdr"] < 0:
            note += (
                " A negative SI-SDR only says that the waveform is another one: codecs that make up phases "
                "score so even where they sound right."
            )
    else:
        note = f"Distances are measured from {MIN_RATE} Hz on; this sound has {trip.sample_rate} Hz."
    if trip.compared_rate < trip.sample_rate:
        note += f" This codec keeps nothing above {trip.compared_rate / 2000:g} kHz."
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"| | |\n|---|---:|\n{table}\n\n{note}"


def say_channels(count: int) -> str:
    """A number of channels for people."""
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")


def say_bytes(size: int) -> str:
    """A file size for people: thousands are set apart."""
    return f"{size:,} bytes".replace(",", " ")
