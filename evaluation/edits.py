"""Measure edits of a model: joins beside real ones, and what is heard in filled parts; loops: see seams.py.

Every figure of an edit has beside it that of the same places of the recordings before the edit, which are
real joins, and clicks also that of hard cuts, which says how many a detector finds.

Letters: C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.progress import Progress
from ..core.resampler import resample
from ..core.samples import mix
from ..gen.editing.inpaint import with_regions
from ..gen.editing.regions import plan_regions
from ..gen.editing.sound_to_edit import read_sound_to_edit
from ..gen.pipeline import AudioGen
from .embedders import Classifier
from .joins import CLICK, click, latent_step, latents_of, spectral_step
from .mono import mono
from .tags import Tagger, first_tags

SHORTEST, LONGEST = 0.4, 1.2  # seconds of the regions that are replaced
EDGE = 0.6  # seconds that are left before and after a region, at the least


@contextmanager
def by_drafts(model: AudioGen) -> Iterator[None]:
    """Let a model fill gaps as one does that was not trained for it: by the best of several continuations."""
    trained, model.lm.infill_frames = model.lm.infill_frames, 0
    try:
        yield
    finally:
        model.lm.infill_frames = trained


@dataclass(frozen=True)
class Asked:
    """What is asked for: a prompt, the class that a classifier should hear, and tags that are right."""

    prompt: str
    label: str
    tags: tuple[str, ...] = ()


class Figures:
    """Lists of numbers by name."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, value: float) -> None:
        """Take in one more number."""
        self.values[name].append(value)

    def add_join(self, sound: Tensor, place: int, sample_rate: int) -> None:
        """Take in whether samples `[C, N]` click before sample `place`, and how far their spectrum moves."""
        self.add("click", click(sound, place, sample_rate))
        self.add("spectral step", spectral_step(sound, place, sample_rate))

    def report(self) -> dict[str, dict[str, float]]:
        """Median, mean, largest and number of each; under "clicks", how many places click of how many."""
        found: dict[str, dict[str, float]] = {
            name: {
                "median": statistics.median(values),
                "mean": statistics.fmean(values),
                "largest": max(values),
                "number": len(values),
            }
            for name, values in self.values.items()
            if name != "click"
        }
        if clicks := self.values.get("click"):
            number = sum(value >= CLICK for value in clicks)
            found["clicks"] = {"number": number, "of": len(clicks), "largest": max(clicks)}
        return found

    def means(self) -> dict[str, float]:
        """The mean of each."""
        return {name: statistics.fmean(values) for name, values in self.values.items()}


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
        "joins": of edits, of the recordings at the same places ("real"), of parts that are the codec's copy
        of themselves ("copy", as near as an edit can come) and of hard cuts: "clicks", how many joins click,
        and the steps of spectrum (dB) and latents, see `Figures.report`.
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
        known = read_sound_to_edit((samples, rate), model)
        [region] = plan_regions(
            [(start, stop)],
            length=samples.shape[-1],
            sample_rate=rate,
            frame_rate=model.codec.frame_rate,
            longest=stop - start,
        )
        outside = torch.ones(samples.shape[-1], dtype=torch.bool)
        outside[first:last] = False
        exact += bool(torch.equal(edited.samples[0][:, outside], samples[:, outside]))
        sounds = {
            "edit": edited.samples[0],
            "real": samples,
            "copy": with_regions(known, known.codes, [region], model)[0],
            "hard cut": _hard_cut(samples, rate, other, first, last),
        }
        for name, sound in sounds.items():
            for place in (first, last):
                figures[name].add_join(sound, place, rate)
        for name, codes in (("edit", edited.codes[0]), ("real", known.codes[0])):
            latents = latents_of(model.codec, codes)
            for frame in (region.first, region.last):
                if 0 < frame < latents.shape[-1]:
                    figures[name].add("latent step", latent_step(latents, frame))
        alone = model.generate(
            wanted.prompt, duration=max(stop - start, 1 / model.codec.frame_rate), seed=seed + number
        )
        parts = {
            "edit": (edited.samples[..., first:last], rate),
            "before": (samples[None, :, first:last], rate),
            "alone": (alone.samples, alone.sample_rate),
        }
        for name, (part, part_rate) in parts.items():
            add_heard(heard[name], part, part_rate, wanted, classifier, tagger)
        if progress is not None:
            progress(number + 1, edits)
    return {
        "edits": edits,
        "seed": seed,
        "exact": exact / edits,
        "joins": {name: found.report() for name, found in figures.items()},
        "heard": {name: found.means() for name, found in heard.items()},
    }


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


def add_heard(
    figures: Figures, part: Tensor, rate: int, wanted: Asked, classifier: Classifier, tagger: Tagger | None
) -> None:
    """Take in whether the class, and the tags, that were asked for are heard in a part `[1, C, n]`."""
    sound = mono(part, rate, classifier.sample_rate)
    heard = classifier.class_names[int(classifier.logits(sound).argmax(1))]
    figures.add("class", float(heard == wanted.label))
    if tagger is not None and wanted.tags:
        names = first_tags(tagger, part, rate)[0]
        figures.add("first tag", float(names[0] in wanted.tags))
        figures.add("among five tags", float(not set(names).isdisjoint(wanted.tags)))
