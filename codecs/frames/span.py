"""Plan the decoding of a part of a sound: the frames that it needs, and where it lies in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...core.audio import check_rate
from ...core.errors import ArgumentError
from ...core.limiter import Limiter
from ..container import Header
from ..frame_codec import FrameCodec

# Samples at the lower of two rates after which a resampler has settled.
RESAMPLER_SETTLES = 2048


@dataclass
class Span:
    """A part of a sound, and what has to be decoded for it.

    Attributes:
        first, stop: samples at `rate`; stop is None for the end.
        rate: Hz of what is given.
        codec_first: sample at the codec's rate at which resampling begins.
        resampled_first: the sample at `rate` at the same time.
        frame: first frame to decode.
    """

    first: int
    stop: int | None
    rate: int
    codec_first: int
    resampled_first: int
    frame: int


def plan_span(
    codec: FrameCodec, header: Header, start: float | None, stop: float | None, rate: int | None
) -> Span:
    """Find out what has to be decoded for the sound between two times in seconds.

    Raises:
        ValueError: times that are no part of the sound.
    """
    rate = header.sample_rate if rate is None else check_rate(rate)
    check_part(start, stop, None if header.length is None else header.length / header.sample_rate)
    first = round((start or 0.0) * rate)
    heard = max(0, first - Limiter(rate).memory)  # the limiter lets go of peaks that lie up to there
    common = math.gcd(codec.sample_rate, rate)
    # Resampling begins where both rates have a sample at the same time, early enough for the filter to
    # settle.
    settles = 0 if rate == codec.sample_rate else RESAMPLER_SETTLES * max(1, -(-codec.sample_rate // rate))
    step = codec.sample_rate // common
    codec_first = max(0, heard * codec.sample_rate // rate - settles) // step * step
    frame = math.floor(codec_first / codec.samples_per_frame) - codec.warm_up_frames
    return Span(
        first=first,
        stop=None if stop is None else round(stop * rate),
        rate=rate,
        codec_first=codec_first,
        resampled_first=codec_first * rate // codec.sample_rate,
        frame=max(0, frame) // codec.seek_frames * codec.seek_frames,
    )


def check_part(start: float | None, stop: float | None, seconds: float | None) -> None:
    """Raise ValueError unless there is a part between two times of a sound of that length, None: unknown."""
    for name, value in (("start", start), ("stop", stop)):
        if value is not None and (not math.isfinite(value) or value < 0):
            raise ArgumentError(f"{name} is {value}; it is a time in seconds, 0 or more")
    if start is not None and stop is not None and stop <= start:
        raise ArgumentError(f"stop is {stop} s, which is not after start, {start} s")
    if start is not None and seconds is not None and start >= seconds:
        raise ArgumentError(f"start is {start} s, but the sound ends at {seconds:g} s")
