"""Augmentation of recordings: speed, equaliser, place in time, room, distance, passing by, background, level.

A few thousand recordings, each heard in dozens of ways, teach a model what a sound is rather than which
files there are. Every choice comes from the generator that is passed in, so a clip is the same whenever and
in whichever process it is made. Where a choice can be heard and named ("far away", "twice"), it is returned
as an attribute for the captions.

Letters: N samples of a clip, n samples of a recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy import fft

from ...core.audio import resample
from ..foley.scene import PEAK, from_afar, in_a_room, set_level
from ..foley.synth import coloured_noise

_SHORT = 0.45  # of a clip: a sound that takes less can be heard more than once in it
_FADE_IN, _FADE_OUT = 0.002, 0.02  # s, at both ends of a recording that lies in silence
_FRAME = 0.05  # s, of which the level is looked at
_STEADY_DB = 15.0
_SOUND_SPEED = 340.0  # m/s


@dataclass(frozen=True)
class Augmentation:
    """Makes a clip of fixed length out of a recording.

    Args:
        speed: a recording is played at most this share faster or slower, with its pitch.
        equaliser_db: spread of each of three wide humps of the spectrum, dB; its slope an octave is at most
            half of it.
        repeat: chance that a sound that is short against the clip is heard two to four times in it.
        room: chance of a room, a hall or an echo off the ground.
        distant: chance that it is heard from afar.
        passing: chance that a steady sound passes by, if it is one that can.
        background: chance of another sound under it.
        background_db: how far that is below, dB.

    Raises:
        ValueError: a value is out of range.
    """

    speed: float = 0.04
    equaliser_db: float = 2.5
    repeat: float = 0.5
    room: float = 0.35
    distant: float = 0.08
    passing: float = 0.15
    background: float = 0.25
    background_db: tuple[float, float] = (14.0, 32.0)

    def __post_init__(self) -> None:
        for name in ("repeat", "room", "distant", "passing", "background"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed are 0 to 1")
        if not 0.0 <= self.speed <= 0.5:
            raise ValueError(f"speed is {self.speed}; allowed are 0 to 0.5")
        if self.equaliser_db < 0:
            raise ValueError(f"equaliser_db is {self.equaliser_db}; it must be 0 or more")
        low, high = self.background_db
        if not low <= high:
            raise ValueError(f"background_db is {(low, high)}; the first number must not be above the second")

    @classmethod
    def off(cls) -> Self:
        """None of it: a recording is cut or put into silence, and set to the usual level."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def needed(self, samples: int) -> int:
        """n: how much of a recording a clip of N samples may take."""
        return round(samples * (1 + self.speed)) + 1

    def __call__(
        self,
        rng: np.random.Generator,
        sound: np.ndarray,
        sample_rate: int,
        samples: int,
        *,
        background: np.ndarray | None = None,
        passes: bool = False,
        cut: float = 1.0,
    ) -> Augmented:
        """Make a clip.

        Args:
            rng: source of randomness.
            sound: float32 `[n]`, of which at most the first `needed(samples)` are heard.
            sample_rate: Hz of both.
            samples: N.
            background: what may lie under it, `[N]` or shorter; None, or nothing steady: noise lies there.
            passes: whether it is the sound of something that can pass by.
            cut: share of the clip that the sound may take from its beginning; the rest is silence.
        """
        attributes: dict[str, str] = {}
        room = max(1, round(samples * cut))
        sound = self.coloured(rng, self.at_another_speed(rng, sound, sample_rate))
        clip = np.zeros(samples, dtype=np.float32)
        clip[:room], count = self.placed(rng, sound, sample_rate, room)
        if passes and rng.random() < self.passing and is_steady(clip[:room], sample_rate):
            clip[:room] = pass_by(rng, clip[:room], sample_rate)
            attributes["motion"] = "passing"
        elif rng.random() < self.distant:
            clip = from_afar(rng, clip, sample_rate)
            attributes["distance"] = "distant"
        elif rng.random() < self.room:
            clip = in_a_room(rng, clip, sample_rate, wet_db=0.0)
        clip = set_level(rng, clip, sample_rate, attributes)
        if rng.random() < self.background:
            low, high = self.background_db
            clip = clip + _below(rng, clip, background, sample_rate, rng.uniform(low, high))
        peak = float(np.abs(clip).max())
        clip = clip * np.float32(PEAK / peak) if peak > PEAK else clip
        return Augmented(clip.astype(np.float32), attributes, count)

    def at_another_speed(self, rng: np.random.Generator, sound: np.ndarray, sample_rate: int) -> np.ndarray:
        """Play `[n]` a little faster or slower."""
        rate = round(sample_rate * (1 + rng.uniform(-self.speed, self.speed)))
        return resample(sound, rate, sample_rate).numpy()

    def coloured(self, rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
        """An equaliser of a slope and three wide humps over seven octaves; the energy of `[n]` stays."""
        size = fft.next_fast_len(len(sound), real=True)
        octaves = np.log2(np.linspace(1 / 128, 1.0, size // 2 + 1, dtype=np.float32))  # 0 is the highest
        level = np.float32(self.equaliser_db * rng.uniform(-0.5, 0.5)) * (octaves + 3.5)
        for _ in range(3):
            centre, width = rng.uniform(-7.0, 0.0), rng.uniform(0.4, 1.5)
            level += np.float32(rng.normal(0.0, self.equaliser_db)) * np.exp(
                -(((octaves - centre) / width) ** 2)
            )
        spectrum = fft.rfft(sound, size)
        gain = np.float32(10.0) ** (np.clip(level, -24.0, 24.0) / 20)
        before, after = np.square(np.abs(spectrum)).sum(), np.square(np.abs(spectrum * gain)).sum()
        spectrum *= gain * np.sqrt(before / max(float(after), 1e-20))
        return fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)

    def placed(
        self, rng: np.random.Generator, sound: np.ndarray, sample_rate: int, samples: int
    ) -> tuple[np.ndarray, int | None]:
        """Put a sound `[n]` into silence `[N]`: its loudest stretch, or all of it once or several times.

        Returns:
            The clip, and how often the sound is in it; None where a stretch of it fills the clip.
        """
        if len(sound) >= samples:
            return sound[:samples].astype(np.float32), None
        sound = faded(sound, sample_rate)
        clip = np.zeros(samples, dtype=np.float32)
        count = 1
        if len(sound) < _SHORT * samples and rng.random() < self.repeat:
            count = int(rng.integers(2, 1 + min(4, samples // len(sound))))
        # The pauses share what is left of the time; little of it lies before the first.
        free = samples - count * len(sound)
        shares = rng.uniform(0.5, 1.5, count + 1)
        shares[0] *= rng.uniform(0.0, 0.3)
        starts = np.cumsum(shares / shares.sum() * free)[:count].astype(int) + np.arange(count) * len(sound)
        for start in starts:
            clip[start : start + len(sound)] += sound * np.float32(10 ** (rng.uniform(-2.0, 2.0) / 20))
        return clip, count


@dataclass
class Augmented:
    """A clip made of a recording.

    Attributes:
        audio: float32 `[N]`, peak below 1.
        attributes: what was done that a caption may say: "distance" (distant), "motion" (passing).
        count: how often the recording is heard; None where it goes on all the time.
    """

    audio: np.ndarray
    attributes: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None


def faded(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Fade `[n]` in and out, so that it can begin and end in silence."""
    sound = sound.astype(np.float32).copy()
    for seconds, edge, back in ((_FADE_IN, slice(None), False), (_FADE_OUT, slice(None, None, -1), True)):
        length = min(len(sound) // 4, round(seconds * sample_rate))
        if length:
            part = sound[edge] if back else sound
            part[:length] *= np.linspace(0.0, 1.0, length, dtype=np.float32)
    return sound


def frame_levels(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """RMS of frames of 50 ms of `[n]`, dBFS; at least one."""
    hop = max(1, round(_FRAME * sample_rate))
    frames = sound[: len(sound) // hop * hop].reshape(-1, hop) if len(sound) >= hop else sound[None]
    return 10 * np.log10(np.square(frames, dtype=np.float64).mean(1) + 1e-12)


def is_steady(sound: np.ndarray, sample_rate: int) -> bool:
    """Whether `[n]` goes on all the time, at about one level."""
    low, high = np.percentile(frame_levels(sound, sample_rate), (10, 90))
    return bool(high > -70 and high - low < _STEADY_DB)


def pass_by(rng: np.random.Generator, sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Let a steady sound `[n]` come, pass and go: level by distance, pitch by Doppler's law."""
    n = len(sound)
    speed = rng.uniform(6.0, 28.0) * rng.choice((-1.0, 1.0))  # m/s
    nearest = rng.uniform(2.0, 8.0)  # m
    time = np.arange(n) / sample_rate - rng.uniform(0.35, 0.65) * n / sample_rate
    distance = np.hypot(speed * time, nearest)
    # What is heard now left its source earlier, by the time that it took on its way.
    heard = np.arange(n) - (distance - distance[0]) * (sample_rate / _SOUND_SPEED)
    heard -= heard[0]
    period = max(n - 1, 1)
    folded = np.abs((heard + period) % (2 * period) - period)  # back and forth, where the sound is too short
    moved = np.interp(folded, np.arange(n), sound)
    return (moved * (nearest / distance)).astype(np.float32)


def _below(
    rng: np.random.Generator, clip: np.ndarray, other: np.ndarray | None, sample_rate: int, db: float
) -> np.ndarray:
    """A background `[N]` for a clip `[N]`, `db` below it: the other sound, or noise if that is not steady."""
    if other is None or not len(other) or not is_steady(other, sample_rate):
        other = coloured_noise(rng, len(clip), sample_rate, slope_db=rng.uniform(-6.0, -1.0), low=60.0)
    back_and_forth = np.concatenate([other, other[::-1]])
    background = np.resize(back_and_forth, len(clip)).astype(np.float32)
    level = np.sqrt(np.square(clip).mean() / max(float(np.square(background).mean()), 1e-20))
    return background * np.float32(level * 10 ** (-db / 20))
