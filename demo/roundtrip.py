"""Compress and decompress an uploaded sound, with all figures that the page shows.

Nothing here holds a whole sound with all its channels: ten minutes take little memory.
"""

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
from ..core.audio import mix
from ..core.audio_blocks import FileWriter
from ..core.pictures import Spectrogram
from ..core.progress import Advance
from ..core.resampler import Resampler
from ..core.sound_description import describe_sound
from ..core.sound_reader import open_sound
from ..evaluation.spectral_distance import MIN_RATE, reconstruction_metrics
from .input import BLOCK_SECONDS, check_upload, say_seconds
from .stoppable import Cancel, check

PageProgress = Callable[[float, str], None]  # share done from 0 to 1, and what is being done
MAX_SECONDS = 600.0
COMPARED_SECONDS = 120.0  # of a sound that are compared with what came back
# What browsers play as it is, as libsndfile calls it.
PLAYED_FORMATS = ("WAV", "FLAC", "OGG", "MP3", "MPEG")
PLAYED_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "VORBIS", "OPUS", "MPEG_LAYER_III")


def never() -> bool:
    """Nobody cancels."""
    return False


@dataclass
class RoundTrip:
    """A sound, its compressed file, and what came back.

    Attributes:
        codec: its name.
        storage: what was stored.
        original: file of the sound with all its channels, as browsers play it.
        restored: file of what came back.
        sample_rate: Hz of both.
        length: samples of both.
        source_channels, channels: of the two; what has more than the codec comes back mono.
        source_bytes, compressed_bytes: sizes of the two files.
        encode_seconds, decode_seconds: how long it took.
        compared_rate: Hz at which `metrics` were measured; 0 if they could not be.
        metrics: see `reconstruction_metrics`; of the first two minutes.
    """

    codec: str
    storage: Storage
    original: Path
    restored: Path
    sample_rate: int
    length: int
    source_channels: int
    channels: int
    source_bytes: int
    compressed_bytes: int
    encode_seconds: float
    decode_seconds: float
    compared_rate: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.length / self.sample_rate

    @property
    def pcm_bytes(self) -> int:
        """Size of what comes back as plain 16 bit samples."""
        return 2 * self.length * self.channels

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
    cancel: Cancel = never,
) -> RoundTrip:
    """Compress a sound file, decompress it, and measure both.

    Args:
        source: a sound of at most `MAX_SECONDS`.
        compressed: file to write, suffix .loom.
        restored: sound file to write.
        codec: does both.
        storage: what of the codec to store.
        progress: called on the way.
        cancel: asked on the way whether to stop.

    Raises:
        AudioError, ValueError, OSError: the sound cannot be read or is too long, or a file cannot be written.
        Stopped: `cancel` said so.
    """
    progress(0.0, "reading")
    check_upload(source, limit=MAX_SECONDS)
    original = playable(source, restored.with_name("original.wav"))
    with open_sound(source) as sound:
        seconds = sound.count() / sound.sample_rate
    started = time.perf_counter()
    written = encode_file(
        source,
        compressed,
        codec,
        codebooks=storage.shape[0] if storage.kind == "codes" else None,
        precision=storage.precision,
        progress=add_up(progress, seconds, 0.0, 0.45, "compressing", cancel),
    )
    encoded = time.perf_counter()
    decode_file(
        compressed,
        restored,
        codec,
        progress=add_up(progress, seconds, 0.45, 0.9, "decompressing", cancel),
    )
    decoded = time.perf_counter()
    with open_sound(restored) as back:
        trip = RoundTrip(
            codec.name,
            storage,
            original,
            restored,
            back.sample_rate,
            back.count(),
            written.source_channels,
            back.channels,
            source.stat().st_size,
            compressed.stat().st_size,
            encoded - started,
            decoded - encoded,
        )
    progress(0.9, "measuring")
    check(cancel)
    measure(trip, codec)
    return trip


def playable(source: Path, converted: Path) -> Path:
    """A file that browsers play with the whole sound: the source itself, or a wav file that is written."""
    about = describe_sound(source)
    if about.format in PLAYED_FORMATS and about.subtype in PLAYED_SUBTYPES:
        return source
    with open_sound(source) as sound:
        writer = FileWriter(
            converted, ".wav", sample_rate=sound.sample_rate, channels=sound.channels, shown=converted
        )
        for block in sound.blocks(round(BLOCK_SECONDS * sound.sample_rate)):
            writer.write(block)
        writer.close()
    return converted


def read_mono(path: str | Path) -> tuple[Tensor, int]:
    """The mean of a file's channels, `[N]`, and its rate in Hz."""
    with open_sound(path) as sound:
        blocks = [block.mean(0) for block in sound.blocks(round(BLOCK_SECONDS * sound.sample_rate))]
        return torch.cat(blocks), sound.sample_rate


def read_beginning(path: Path, seconds: float, sample_rate: int, channels: int) -> Tensor:
    """At most so many seconds of a file, at another rate and mixed to so many channels: `[C, N]`."""
    with open_sound(path) as sound:
        resampler, left, parts = Resampler(sound.sample_rate, sample_rate, channels), seconds, []
        for block in sound.blocks(round(BLOCK_SECONDS * sound.sample_rate)):
            block = block[:, : math.ceil(left * sound.sample_rate)]
            parts.append(resampler.push(mix(block, channels)))
            left -= block.shape[-1] / sound.sample_rate
            if left <= 0:
                break
        return torch.cat([*parts, resampler.flush()], dim=-1)


def spectrograms(trip: RoundTrip) -> tuple[Spectrogram, Spectrogram]:
    """The pictures of the original and of what came back, one after the other."""
    original = Spectrogram(*read_mono(trip.original), "original")
    return original, Spectrogram(*read_mono(trip.restored), "restored")


def add_up(
    progress: PageProgress,
    seconds: float,
    first: float,
    last: float,
    what: str,
    cancel: Cancel = never,
) -> Advance:
    """What to call with the seconds that were done since the last call, of so many.

    Args:
        progress: told of the whole, of which this is the part from `first` to `last`.
        seconds: to do.
        first, last: shares, 0 to 1.
        what: is being done.
        cancel: asked every time; Stopped is raised when it says so.
    """
    done = 0.0

    def step(more: float) -> None:
        nonlocal done
        check(cancel)
        done += more
        progress(first + (last - first) * min(done / seconds, 1.0), what)

    return step


def measure(trip: RoundTrip, codec: Codec) -> None:
    """Fill in the metrics, measured where the codec has something to say: at most at its own rate."""
    rate = min(trip.sample_rate, codec.sample_rate)
    if rate < MIN_RATE:
        return
    with torch.inference_mode():
        restored, original = (
            read_beginning(path, COMPARED_SECONDS, rate, trip.channels)
            for path in (trip.restored, trip.original)
        )
        trip.metrics = reconstruction_metrics(restored, original, rate)
    trip.compared_rate = rate


def how_small(trip: RoundTrip) -> str:
    """One line in Markdown of what compressing gave."""
    times = say_number(trip.pcm_bytes / trip.compressed_bytes)
    return (
        f"**{say_bytes(trip.compressed_bytes)}** in place of {say_bytes(trip.pcm_bytes)} as 16 bit samples: "
        f"{times} times smaller."
    )


def figures(trip: RoundTrip) -> str:
    """What there is to know about a round trip, as a Markdown table and a line below it."""
    channels = say_channels(trip.source_channels)
    if trip.source_channels != trip.channels:
        channels += f", comes back {say_channels(trip.channels)}"
    rows = [
        ("Codec", f"{trip.codec}, {trip.storage}"),
        ("Sound", f"{say_seconds(trip.seconds)}, {trip.sample_rate} Hz, {channels}"),
        ("File as it came", say_bytes(trip.source_bytes)),
        ("What comes back, as 16 bit samples", say_bytes(trip.pcm_bytes)),
        ("**Compressed file**", f"**{say_bytes(trip.compressed_bytes)}**"),
        (
            "Bit rate really stored",
            f"{say_number(trip.kbps)} kbit/s (nominal {say_number(trip.storage.bitrate / 1000)})",
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
        note = f"Distances are measured at {trip.compared_rate} Hz"
        note += (
            f", over the first {say_seconds(COMPARED_SECONDS)}." if trip.seconds > COMPARED_SECONDS else "."
        )
        if trip.source_channels != trip.channels:
            note += f" What comes back is compared with the original mixed to {say_channels(trip.channels)}."
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


def say_number(value: float) -> str:
    """A number with three digits for people, never with an exponent: 0.0123, 1.5, 2 010."""
    if not value:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}".replace(",", " ")
    return text.rstrip("0").rstrip(".") if "." in text else text
