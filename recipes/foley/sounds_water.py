"""Water: waves on a shore, a stream, bubbles, and drops. Most of it is bubbles ringing (Minnaert 1933)."""

from __future__ import annotations

import numpy as np

from . import granular, synth
from .events import Sound, between, choose, how_many
from .repeat import repeated
from .sound_classes import sound_class
from .synth import Array, Rng


@sound_class(
    name="sea_waves",
    kind="texture",
    surroundings="field",
    tags=("Waves, surf", "Ocean"),
    subjects=("the sea", "the ocean", "the surf", "waves on a beach", "ocean waves"),
    verbs=(
        "washes ashore",
        "is washing ashore",
        "breaks on the shore",
        "rolls onto the sand",
        "rolls up the beach",
    ),
    nouns=(
        "sea waves",
        "ocean waves",
        "ocean surf",
        "waves breaking on a beach",
        "the surf",
        "waves on the shore",
    ),
    attributes={"strength": {"calm": ("calm", "gentle", "gently"), "rough": ("rough", "stormy", "crashing")}},
)
def sea_waves(rng: Rng, sample_rate: int, seconds: float, *, strength: str | None = None) -> Sound:
    """Swells: each grows, breaks with a broad roar, and hisses back over the sand."""
    n = synth.length_of(seconds, sample_rate)
    t = synth.time_axis(n, sample_rate)
    force = choose(rng, strength, {"calm": (0.15, 0.35), "rough": (0.7, 1.0)}, "strength")
    period = between(rng, 4.0, 8.5)
    # the first break lies inside even a short clip
    breaks = [rng.uniform(0.25, 0.6) * min(seconds, period)]
    while breaks[-1] < seconds + 3:
        breaks.append(breaks[-1] + period * rng.uniform(0.75, 1.25))
    breaks.insert(0, breaks[0] - period * rng.uniform(0.8, 1.2))
    roar, wash = np.full(n, 0.07), np.full(n, 0.035)
    for moment in breaks:
        height, rise, fall = rng.uniform(0.6, 1), rng.uniform(0.5, 1.3), rng.uniform(0.6, 1.3)
        behind = t - moment
        shape = np.where(behind < 0, np.exp(-((behind / rise) ** 2)), np.exp(-np.maximum(behind, 0) / fall))
        roar += height * shape
        late = behind - rng.uniform(0.15, 0.4)
        wash += height * np.where(
            late < 0, np.exp(-((late / (0.5 * rise)) ** 2)), np.exp(-np.maximum(late, 0) / (1.6 * fall))
        )
    deep = synth.shaped_noise(rng, n, sample_rate, (30, 90, 400, 1800, 8000), (-16, -2, 0, -14, -36))
    foam = synth.shaped_noise(rng, n, sample_rate, (150, 700, 2500, 6000, 16000), (-30, -7, 0, -4, -14))
    out = deep * roar * (0.35 + 0.75 * force) + foam * wash * (0.5 + 0.15 * force)
    out *= synth.smooth_curve(rng, n, sample_rate, 7, 0.8, 1.1)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="stream",
    kind="texture",
    surroundings="field",
    tags=("Stream", "Waterfall", "Trickle, dribble", "Gurgling", "Water"),
    subjects=("a stream", "a brook", "a creek", "a babbling brook", "a mountain stream"),
    verbs=("flows", "is flowing", "babbles", "gurgles along", "is running over stones", "ripples"),
    nouns=(
        "a stream",
        "a babbling brook",
        "flowing water",
        "a running stream",
        "water running over stones",
        "a gurgling creek",
    ),
    attributes={"size": {"small": ("small", "little", "tiny"), "large": ("wide", "rushing", "big")}},
)
def stream(rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None) -> Sound:
    """Many overlapping bubbles between 400 and 2500 Hz on a bed of rushing water."""
    n = synth.length_of(seconds, sample_rate)
    scale = choose(rng, size, {"small": (0.12, 0.3), "large": (0.7, 1.0)}, "size")
    activity = 0.5 + rng.random(max(int(seconds * 4), 2))
    times = granular.poisson_times(rng, (70 + 130 * scale) * activity, seconds)
    centre = between(rng, 800, 1150) * (1.25 - 0.4 * scale)
    frequencies = np.clip(rng.lognormal(np.log(centre), 0.42, len(times)), 350, 3000)
    gains = rng.lognormal(0, 0.75, len(times)) * (centre / frequencies) ** 0.6
    out = 0.45 * _bubble_cloud(rng, n, sample_rate, times, frequencies, gains, 40.0, 0.12)
    rush = synth.shaped_noise(rng, n, sample_rate, (120, 400, 1200, 4000, 9000), (-26, -6, 0, -9, -20))
    out += (0.07 + 0.55 * scale**1.5) * rush * synth.smooth_curve(rng, n, sample_rate, 3, 0.7, 1.1)
    return synth.finish(synth.soften(out, 1.4), sample_rate, seconds)


@sound_class(
    name="bubbles",
    kind="texture",
    tags=("Gurgling", "Boiling", "Liquid", "Plop"),
    rendered=False,
    subjects=("bubbles", "air bubbles", "underwater bubbles", "bubbles in water", "a bubbling pot"),
    verbs=("rises", "is rising", "bubbles up", "gurgles", "is gurgling", "blubs"),
    nouns=(
        "bubbles",
        "bubbles rising in water",
        "bubbling",
        "underwater bubbles",
        "bubbling water",
        "air bubbles under water",
    ),
    attributes={
        "size": {"small": ("small", "little", "tiny"), "large": ("big", "large", "fat")},
        "speed": {"slow": ("slow", "slowly", "lazy"), "fast": ("fast-rising", "quickly", "rapid")},
    },
)
def bubbles(
    rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None, speed: str | None = None
) -> Sound:
    """Single bubbles, each a "bloop": a soft tone whose pitch rises by a fifth or more as it surfaces."""
    n = synth.length_of(seconds, sample_rate)
    centre = choose(rng, size, {"large": (260, 400), "small": (700, 1000)}, "size")
    rate = choose(rng, speed, {"slow": (2.5, 4.5), "fast": (10, 20)}, "speed")
    times = granular.poisson_times(rng, rate * (0.4 + 1.2 * rng.random(max(int(seconds * 2), 2))), seconds)
    times = np.append(times, rng.uniform(0, 0.5 * seconds))
    bloops = []
    for frequency, gain in zip(
        centre * rng.lognormal(0, 0.28, len(times)), rng.lognormal(-0.4, 0.5, len(times)), strict=True
    ):
        m = synth.length_of(between(rng, 0.06, 0.16) * (500 / centre) ** 0.3, sample_rate)
        sweep = frequency * (1 + rng.uniform(0.4, 1.1) * np.linspace(0, 1, m) ** 1.5)
        tone = synth.sine(np.minimum(sweep, 0.45 * sample_rate), sample_rate) * synth.bump(
            m, rng.uniform(0.2, 0.45)
        )
        bloops.append(gain * tone)
    out = granular.scatter(n, sample_rate, times, bloops)
    water = synth.shaped_noise(rng, n, sample_rate, (40, 120, 500, 2000), (-20, 0, -6, -36))
    out += rng.uniform(0.01, 0.05) * water * synth.smooth_curve(rng, n, sample_rate, 4, 0.4, 1)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="water_drops",
    kind="event",
    tags=("Drip", "Raindrop", "Plop", "Trickle, dribble"),
    subjects=("a leaky tap", "a dripping tap", "a leaky faucet", "dripping water", "a dripping faucet"),
    verbs=("drips", "is dripping", "drips into a sink", "drips into water", "lets a drop fall"),
    nouns=(
        "water drops",
        "dripping water",
        "water dripping",
        "a dripping tap",
        "drops of water",
        "a leaky faucet",
    ),
    attributes={
        "pitch": {"low": ("deep", "low-pitched", "dull"), "high": ("high-pitched", "bright", "tinkling")},
        "speed": {"slow": ("slow", "slowly"), "fast": ("fast-dripping", "quickly", "rapidly")},
    },
    countable=True,
    unit=("water drop", "water drops"),
)
def water_drops(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    *,
    pitch: str | None = None,
    speed: str | None = None,
    count: int | None = None,
) -> Sound:
    """Each drop: a faint tick, and a moment later the "plink" of the bubble that it pulls under."""
    n = synth.length_of(seconds, sample_rate)
    centre = choose(rng, pitch, {"low": (600, 950), "high": (1700, 2600)}, "pitch")
    interval = choose(rng, speed, {"slow": (0.95, 1.4), "fast": (0.32, 0.48)}, "speed")
    t60 = between(rng, 0.06, 0.16)

    def drop(length: float) -> Array:
        m = synth.length_of(length, sample_rate)
        ring = synth.length_of(min(t60, length), sample_rate)
        frequency = (
            centre * rng.uniform(0.9, 1.12) * (1 + rng.uniform(0.05, 0.25) * np.linspace(0, 1, ring) ** 2)
        )
        plink = synth.sine(frequency, sample_rate) * synth.decay(ring, sample_rate, t60, 0.004)
        tick = synth.band_noise(rng, max(synth.length_of(0.004, sample_rate), 16), sample_rate, 1500, 6000)
        delay = min(rng.uniform(0.008, 0.025), 0.2 * length)
        body = granular.scatter(
            m, sample_rate, (0.0, delay), (synth.fade(0.08 * tick, sample_rate, 0.0, 0.003), plink)
        )
        return rng.uniform(0.65, 1.0) * body

    if count is None and seconds / interval < 1.5:
        count = 1
    if count is None:
        starts = granular.periodic_times(rng, 1 / interval, seconds, jitter=rng.uniform(0.02, 0.2))
        starts = starts[starts < max(seconds - 0.1, 0.01)]
        starts = starts if len(starts) else np.array([0.1 * seconds])
        out = granular.scatter(n, sample_rate, starts, [drop(0.2) for _ in starts])
    else:
        total = how_many(rng, seconds, count)
        out = repeated(
            rng, sample_rate, seconds, total, 0.2, drop, gap=interval - 0.2, jitter=0.2, spacing=interval
        )
    basin = synth.reverberate(rng, out, sample_rate, rng.uniform(0.12, 0.4), rng.uniform(0.05, 0.3), 3500)
    return synth.finish(basin, sample_rate, seconds)


def _bubble_cloud(
    rng: Rng,
    n: int,
    sample_rate: int,
    times: Array,
    frequencies: Array,
    gains: Array,
    quality: float,
    rise: float,
) -> Array:
    """Overlapping ringing bubbles, `[N]`; a bubble of frequency f decays within `quality / f` seconds.

    Args:
        times, frequencies, gains: `[G]`, one for each bubble.
        rise: relative rise of pitch.
    """
    out = np.zeros(n)
    order = np.argsort(frequencies)
    # grains of one matrix share a length, so similar bubbles go together
    for group in np.array_split(order, 4):
        if len(group):
            t60s = quality / frequencies[group] * rng.uniform(0.5, 1.2, len(group))
            grains = granular.ringing_grains(rng, sample_rate, frequencies[group], t60s, gains[group], rise)
            grains *= np.minimum(np.arange(grains.shape[1]) / (0.002 * sample_rate), 1).astype(np.float32)
            out += granular.scatter(n, sample_rate, times[group], grains)
    return out
