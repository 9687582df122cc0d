"""Measure edits of a model: joins beside real ones, what is heard in filled parts, loops at their seams.

Every figure of an edit has beside it that of the same places of the recordings before the edit, which are
real joins, and clicks also that of hard cuts, which says how many a detector finds.

Letters: C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.progress import Progress
from ..core.resampler import resample
from ..core.samples import mix
from ..gen.generated_audio import GeneratedAudio
from ..gen.pipeline import AudioGen
from .embedders import Classifier
from .joins import CLICK, click, latent_step, latents_of, spectral_step
from .mono import mono
from .tags import Tagger, first_tags

SHORTEST, LONGEST = 0.4, 1.2  # seconds of the regions that are replaced
EDGE = 0.6  # seconds that are left before and after a region, at the least
TIMES = 5  # a loop is repeated
LOOP_SECONDS = 3.0


@dataclass(frozen=True)
class Asked:
    """What is asked for: a prompt, the class that a classifier should hear, and tags that are right."""

    prompt: str
    label: str
    tags: tuple[str, ...] = ()


class Figures:
    """Lists of numbers by name; `report` gives the median and the mean of each."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, value: float) -> None:
        self.values[name].append(value)

    def report(self) -> dict[str, dict[str, float]]:
        return {
            name: {
                "median": statistics.median(values),
                "mean": statistics.fmean(values),
                "largest": max(values),
                "number": len(values),
            }
            for name, values in self.values.items()
        }


def measure_edits(
    model: AudioGen,
    recordings: Sequence[tuple[Tensor, int]],
    asked: Sequence[Asked],
    classifier: Classifier,
    *,
    tagger: Tagger | None = None,
    edits: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Replace a part of each recording, and measure both joins and what is heard in the part.

    Args:
        model: edits.
        recordings: samples `[C, N]` and their rate in Hz, at least 2 s each; taken in turn.
        asked: taken in turn.
        classifier: hears the filled part.
        tagger: hears it, too.
        edits: number of them.
        seed: of the first edit; the others count up from it. Places and lengths of regions follow from it.
        progress: called with the number of edits done and to do.

    Returns:
        "joins": of edits, of the recordings at the same places ("real") and of hard cuts: "clicks", how many
        joins click, and the steps of spectrum (dB) and latents, see `Figures.report`.
        "heard": share of parts in which the class, or a right tag first or among five, is heard; also of the
        parts before the edit ("before") and of sounds of that length that were generated alone ("alone").
        "exact": share of edits outside of whose region every sample is the recording's.
    """
    figures: dict[str, Figures] = defaultdict(Figures)
    heard: dict[str, Figures] = defaultdict(Figures)
    exact = 0
    for number in range(edits):
        samples, rate = recordings[number % len(recordings)]
        other = recordings[(number + 1) % len(recordings)]
        wanted = asked[number % len(asked)]
        start, stop = _draw_region(samples.shape[-1] / rate, seed + number)
        edited = model.inpaint((samples, rate), [(start, stop)], wanted.prompt, seed=seed + number)
        first, last = round(start * rate), round(stop * rate)
        outside = torch.ones(samples.shape[-1], dtype=torch.bool)
        outside[first:last] = False
        exact += bool(torch.equal(edited.samples[0][:, outside], samples[:, outside]))
        sounds = {
            "edit": edited.samples[0],
            "real": samples,
            "hard cut": _hard_cut(samples, rate, other, first, last),
        }
        for name, sound in sounds.items():
            for place in (first, last):
                figures[name].add("click", click(sound, place, rate))
                figures[name].add("spectral step", spectral_step(sound, place, rate))
        _add_latent_steps(model, figures, samples, rate, edited, (start, stop))
        alone = model.generate(
            wanted.prompt, duration=max(stop - start, 1 / model.codec.frame_rate), seed=seed + number
        )
        parts = {
            "edit": (edited.samples[..., first:last], rate),
            "before": (samples[None, :, first:last], rate),
            "alone": (alone.samples, alone.sample_rate),
        }
        for name, (part, part_rate) in parts.items():
            _add_heard(heard[name], part, part_rate, wanted, classifier, tagger)
        if progress is not None:
            progress(number + 1, edits)
    return {
        "edits": edits,
        "seed": seed,
        "exact": exact / edits,
        "joins": {name: _with_clicks(found) for name, found in figures.items()},
        "heard": {
            name: {key: row["mean"] for key, row in found.report().items()} for name, found in heard.items()
        },
    }


def measure_loops(
    model: AudioGen,
    prompts: Sequence[str],
    *,
    loops: int = 40,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make loops, repeat each five times, and measure the seams.

    Args:
        model: makes them, and plain sounds with the same prompts and seeds to compare with.
        prompts: taken in turn.
        loops: number of them.
        seed: of the first; the others count up from it.
        progress: called with the number of loops done and to do.

    Returns:
        Of "loop", of "not a loop" (a plain sound that is repeated) and of places "within" a loop: "clicks",
        the number of joins that click, and "spectral step" in dB.
    """
    figures: dict[str, Figures] = defaultdict(Figures)
    for number in range(loops):
        prompt = prompts[number % len(prompts)]
        for name, looped in (("loop", True), ("not a loop", False)):
            made = model.generate(prompt, duration=LOOP_SECONDS, seed=seed + number, loop=looped)
            length, rate = made.samples.shape[-1], made.sample_rate
            repeated = made.samples[0].repeat(1, TIMES)
            for turn in range(1, TIMES):
                figures[name].add("click", click(repeated, turn * length, rate))
            figures[name].add("spectral step", spectral_step(repeated, length, rate))
            if looped:
                for part in (1, 2, 3):
                    place = length + part * length // 4
                    figures["within"].add("click", click(repeated, place, rate))
                    figures["within"].add("spectral step", spectral_step(repeated, place, rate))
        if progress is not None:
            progress(number + 1, loops)
    return {name: _with_clicks(found) for name, found in figures.items()}


def _with_clicks(found: Figures) -> dict[str, Any]:
    clicks = found.values.pop("click", [])
    report: dict[str, Any] = dict(found.report())
    if clicks:
        number = sum(value >= CLICK for value in clicks)
        report["clicks"] = {"number": number, "of": len(clicks), "largest": max(clicks)}
    return report


def _draw_region(duration: float, seed: int) -> tuple[float, float]:
    """Start and end in seconds of a part of a sound."""
    draws = torch.rand(2, generator=torch.Generator().manual_seed(seed)).tolist()
    longest = min(LONGEST, duration - 2 * EDGE)
    length = min(longest, SHORTEST) + draws[0] * max(0.0, longest - SHORTEST)
    start = EDGE + draws[1] * (duration - 2 * EDGE - length)
    return start, start + length


def _hard_cut(samples: Tensor, rate: int, other: tuple[Tensor, int], first: int, last: int) -> Tensor:
    """The sound with a part of another one where the region was, and nothing done about its joins."""
    part = resample(mix(other[0], 1), other[1], rate)
    part = part.repeat(1, -(-samples.shape[-1] // part.shape[-1]))[:, first:last]
    return torch.cat([samples[:, :first], part.expand(len(samples), -1), samples[:, last:]], dim=-1)


def _add_latent_steps(
    model: AudioGen,
    figures: dict[str, Figures],
    samples: Tensor,
    rate: int,
    edited: GeneratedAudio,
    region: tuple[float, float],
) -> None:
    """How far the latents move across both joins, in what was filled and in the recording's own codes."""
    codec, frame_rate = model.codec, model.codec.frame_rate
    with torch.inference_mode():
        own = codec.encode(codec.prepare(samples, rate).to(codec.device))[0, : model.lm.num_codebooks]
    for name, codes in (("edit", edited.codes[0]), ("real", own)):
        latents = latents_of(codec, codes)
        for frame in (int(region[0] * frame_rate), int(region[1] * frame_rate) + 1):
            if 0 < frame < latents.shape[-1]:
                figures[name].add("latent step", latent_step(latents, frame))


def _add_heard(
    figures: Figures, part: Tensor, rate: int, wanted: Asked, classifier: Classifier, tagger: Tagger | None
) -> None:
    """Whether the class, and the tags, that were asked for are heard in a part `[1, C, n]`."""
    sound = mono(part, rate, classifier.sample_rate)
    heard = classifier.class_names[int(classifier.logits(sound).argmax(1))]
    figures.add("class", float(heard == wanted.label))
    if tagger is not None and wanted.tags:
        names = first_tags(tagger, part, rate)[0]
        figures.add("first tag", float(names[0] in wanted.tags))
        figures.add("among five tags", float(not set(names).isdisjoint(wanted.tags)))
