"""Rain, wind, thunder and fire: sounds made of noise and of very many small events."""

from __future__ import annotations

import numpy as np

from . import granular, parametric, synth
from .events import Sound, between, choose, option
from .sound_classes import sound_class
from .synth import Array, Rng


@sound_class(
    name="rain",
    kind="texture",
    surroundings="field",
    tags=("Rain", "Raindrop", "Rain on surface"),
    subjects=("rain", "a rain shower", "the rain", "rainfall", "a shower of rain"),
    verbs=("falls", "is falling", "patters down", "is pattering down", "comes down"),
    nouns=(
        "rain",
        "falling rain",
        "rainfall",
        "raindrops falling",
        "a rain shower",
        "rain pattering",
        "rainy weather",
    ),
    attributes={
        "strength": {"light": ("light", "gentle", "lightly"), "heavy": ("heavy", "heavily", "pouring")},
        "surface": {
            "roof": ("on a tin roof", "on a metal roof", "on a metal sheet"),
            "leaves": ("on leaves", "in a forest", "on foliage"),
        },
    },
)
def rain(
    rng: Rng, sample_rate: int, seconds: float, *, strength: str | None = None, surface: str | None = None
) -> Sound:
    """A pitchless bed of hiss under dense drops, each a few milliseconds of filtered click."""
    n = synth.length_of(seconds, sample_rate)
    p = parametric.draw(rng, "rain")
    if strength is not None:
        p["drop_rate"] = choose(rng, strength, {"light": (60, 200), "heavy": (1500, 4000)}, "strength")
        p["drops"] = max(p["drops"], 0.6) if strength == "light" else min(p["drops"], 0.5)
        p["slow_depth"] = 0.0
    if surface is not None:
        surface = option(rng, surface, ("roof", "leaves"), "surface")
        p["drop_centre"] = between(rng, 1200, 3000) if surface == "roof" else between(rng, 450, 1000)
    out = parametric.texture(rng, sample_rate, p, n)
    out = synth.filtered(out, sample_rate, low=250, order=1)
    if surface == "roof":  # every drop rings another spot of the metal, so that no pitch stands out
        times = granular.poisson_times(rng, float(np.clip(p["drop_rate"], 60, 180)), seconds)
        tones = np.exp(rng.uniform(np.log(600), np.log(4200), len(times)))
        t60s, gains = rng.uniform(0.012, 0.035, len(times)), rng.lognormal(0, 0.7, len(times))
        grains = granular.ringing_grains(rng, sample_rate, tones, t60s, gains)
        out += granular.scatter(n, sample_rate, times, grains)
    return synth.finish(synth.soften(out, 2.0), sample_rate, seconds)


@sound_class(
    name="wind",
    kind="texture",
    tags=("Wind", "Wind noise (microphone)"),
    subjects=("the wind", "wind", "a wind", "a breeze", "a gust of wind"),
    verbs=("blows", "is blowing", "gusts", "sweeps by", "whooshes", "rushes past"),
    nouns=(
        "wind",
        "wind blowing",
        "whooshing wind",
        "a gust of wind",
        "blowing wind",
        "windy weather",
        "wind gusts",
    ),
    attributes={
        "strength": {"light": ("light", "gentle", "gently"), "strong": ("strong", "stormy", "howling")}
    },
)
def wind(rng: Rng, sample_rate: int, seconds: float, *, strength: str | None = None) -> Sound:
    """Low rushing noise in slow gusts, with a band that howls higher the stronger it blows."""
    n = synth.length_of(seconds, sample_rate)
    force = choose(rng, strength, {"light": (0.12, 0.3), "strong": (0.65, 1.0)}, "strength")
    gust = synth.smooth_curve(rng, n, sample_rate, rng.uniform(0.35, 0.9))
    gust = (1 - 0.85 * force) * 0.5 + gust * (0.35 + 0.65 * force)
    flutter = synth.smooth_curve(rng, n, sample_rate, 6, 1 - 0.35 * force, 1.0)
    corner = 130 + 220 * force * rng.uniform(0.8, 1.25)
    rumble = synth.shaped_noise(
        rng, n, sample_rate, (20, 60, corner, corner * 4, 8000), (-14, -2, 0, -21, -52 + 12 * force)
    )
    hiss = synth.band_noise(rng, n, sample_rate, 350, 900 + 900 * force, skirt_db=9)
    centre = between(rng, 260, 480) * (0.8 + 0.9 * gust * (0.4 + force))
    howl = synth.swept_noise(rng, sample_rate, centre, between(rng, 40, 120))
    out = (
        rumble * gust * flutter + 0.22 * hiss * gust**1.7 + rng.uniform(0.25, 0.75) * force * howl * gust**1.5
    )
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="thunder",
    kind="event",
    surroundings="field",
    tags=("Thunder", "Thunderstorm"),
    subjects=("thunder", "a thunderstorm", "the thunder", "a clap of thunder"),
    verbs=("rumbles", "is rumbling", "rolls", "is rolling", "booms", "crashes"),
    nouns=(
        "thunder",
        "a thunderclap",
        "rumbling thunder",
        "rolling thunder",
        "a clap of thunder",
        "a thunderstorm",
    ),
    attributes={"onset": {"sudden": ("sudden", "cracking", "sharp"), "slow": ("long", "drawn-out", "slow")}},
)
def thunder(rng: Rng, sample_rate: int, seconds: float, *, onset: str | None = None) -> Sound:
    """A stroke: an optional crack of dense clicks, then overlapping low booms that die away and darken."""
    n = synth.length_of(seconds, sample_rate)
    t = synth.time_axis(n, sample_rate)
    begin = rng.uniform(0.02, 0.12) * min(seconds, 5.0)
    crack = choose(rng, onset, {"slow": (0.02, 0.05), "sudden": (0.7, 1.3)})
    length = min(between(rng, 1.6, 4.5), max(seconds - begin, 0.3))
    rise = min(between(rng, 0.6, 1.5) * 0.08 / (0.05 + crack), 0.4 * length)
    grid = np.arange(0, seconds + 0.005, 0.005)  # loudness changes slowly: 200 points a second are enough
    since = np.maximum(grid - begin, 0)
    envelope = 0.3 * np.minimum(since / rise, 1) * np.exp(-3 * since / length)
    booms = int(rng.integers(5, 11))
    for delay in np.concatenate([[0.0], rng.uniform(0, 0.75, booms) ** 1.3 * length]):
        after = np.maximum(since - delay, 0)
        width = rng.uniform(0.12, 0.4) + 0.6 * rise
        height = rng.uniform(0.35, 1) * np.exp(-1.6 * delay / length)
        envelope += height * np.minimum(after / rise, 1) * np.exp(-after / width) * (after > 0)
    envelope = np.interp(t, grid, envelope)
    rumble = parametric.texture(rng, sample_rate, parametric.draw(rng, "thunder"), n)
    out = envelope * rumble
    if crack > 0.1:
        m = min(synth.length_of(rng.uniform(0.35, 0.8), sample_rate), n)
        times = np.sort(rng.exponential(0.11, 160) + rng.choice([0, 0.09, 0.21], 160))
        clicks = granular.impulses(m, sample_rate, times, rng.normal(0, 1, 160) * np.exp(-times / 0.18))
        snap = synth.filtered(clicks, sample_rate, 120, 2600, order=1)
        snap = synth.fit(snap / (np.abs(snap).max(initial=0) + 1e-9), n)
        out = out + crack * np.abs(out).max() * np.roll(snap, synth.length_of(begin, sample_rate)) * (
            t >= begin
        )
    return synth.finish(synth.soften(synth.fade(out, sample_rate, 0.005, 0.05), 1.5), sample_rate, seconds)


@sound_class(
    name="fire",
    kind="texture",
    surroundings="field",
    tags=("Fire", "Crackle"),
    subjects=("a fire", "a campfire", "a bonfire", "a log fire", "a wood fire"),
    verbs=("crackles", "is crackling", "burns", "is burning", "crackles and pops"),
    nouns=(
        "fire",
        "a crackling fire",
        "a campfire",
        "burning wood",
        "crackling flames",
        "a fire in a fireplace",
    ),
    attributes={"size": {"small": ("small", "little"), "large": ("big", "roaring", "large")}},
)
def fire(rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None) -> Sound:
    """The flutter of flames, low and soft, under sparse sharp crackles."""
    n = synth.length_of(seconds, sample_rate)
    p = parametric.draw(rng, "fire")
    if size is not None:
        scale = choose(rng, size, {"small": (0.4, 0.7), "large": (1.4, 2.2)}, "size")
        p["drop_rate"] = max(p["drop_rate"], 8.0) * scale
        p["drops"] = float(np.clip(p["drops"] / scale, 0.12, 0.9))
    return synth.finish(parametric.texture(rng, sample_rate, p, n), sample_rate, seconds)


def _sparse_convolve(n: int, sample_rate: int, clicks: Array, kernel: Array) -> Array:
    """Convolve a mostly silent signal with a short kernel by placing copies of it."""
    where = np.flatnonzero(clicks)
    if len(where) == 0:
        return np.zeros(n)
    return granular.scatter(n, sample_rate, where / sample_rate, clicks[where, None] * kernel[None])
