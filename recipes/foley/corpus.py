"""The Foley corpus: an endless, deterministic sequence of captioned clips.

    corpus = FoleyCorpus(seed=1, split="train")
    clip = corpus[0]            # Clip(audio float32 [N], caption="a dog barks twice, then rain", ...)

Clip i of a (seed, split) never depends on any other clip, so the corpus can be rendered in any order by any
number of processes. What is said (captions) and what is heard (audio) draw from separate random streams of
the same plan.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .grammar import COMMON, COMPOSITIONS, SPLITS, Composition, Grammar, Part, Split, pick
from .scene import place_sound, record_clip, set_level, sum_parts
from .sound_classes import CLASSES, SoundClass

DEFAULT_COMPOSITIONS: Mapping[Composition, float] = {
    "single": 0.7,
    "then": 0.15,
    "while": 0.1,
    "background": 0.05,
}
MAX_COUNT = 5
VARIANTS = 8

_PLAN, _AUDIO, _CAPTION = 0, 1, 2  # random streams of a clip; captions use _CAPTION + variant


@dataclass(frozen=True)
class Clip:
    """A rendered clip and its ground truth.

    Attributes:
        audio: float32 `[N]`, peak below 1.
        sample_rate: Hz.
        caption: the text in the corpus' split.
        classes: class names; order of time for "then", the one in front first for "background".
        composition: "single", "then", "while" or "background".
        counts: for each class the number of occurrences, None where it was left open.
        attributes: for each class the drawn attribute values (those left open are absent).
        seed: the corpus seed.
        split: "train", "validation" or "test".
    """

    audio: np.ndarray
    sample_rate: int
    caption: str
    classes: tuple[str, ...]
    composition: str
    counts: tuple[int | None, ...]
    attributes: tuple[dict[str, str], ...]
    seed: int
    split: str


@dataclass(frozen=True)
class Plan:
    """What a clip contains, before anything is rendered."""

    composition: Composition
    parts: tuple[Part, ...]


class FoleyCorpus:
    """Captioned sound effects by index; `corpus[i]` works for every i >= 0.

    Args:
        sample_rate: Hz.
        seconds: length of every clip, s.
        seed: non-negative; clips of different seeds are independent.
        split: decides audio and captions; held-out captions never occur in training (see grammar.py).
        compositions: weights of "single", "then", "while", "background"; default DEFAULT_COMPOSITIONS.
        classes: names of the classes to use; default all.
        registry: the classes by name; default all registered sounds.

    Raises:
        ValueError: an argument is out of range; the message names the allowed values.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        seconds: float = 5.0,
        seed: int = 0,
        split: str = "train",
        compositions: Mapping[str, float] | None = None,
        classes: Sequence[str] | None = None,
        *,
        registry: Mapping[str, SoundClass] | None = None,
    ) -> None:
        registry = CLASSES if registry is None else registry
        if not registry:
            raise ValueError("no sound classes are registered; import soundloom.recipes.foley first")
        if not 4000 <= sample_rate <= 192000:
            raise ValueError(f"sample_rate must be 4000..192000 Hz, got {sample_rate}")
        if not 0.5 <= seconds <= 600:
            raise ValueError(f"seconds must be 0.5..600, got {seconds}")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        names = sorted(registry) if classes is None else sorted(set(classes))
        for name in names:
            if name not in registry:
                near = difflib.get_close_matches(name, registry, n=3) or sorted(registry)
                raise ValueError(f"unknown sound class {name!r}; nearest: {', '.join(near)}")
        if not names:
            raise ValueError("classes is empty; name at least one class, or pass None for all")
        self.sample_rate, self.seconds, self.seed = sample_rate, float(seconds), seed
        self.split: Split = SPLITS[SPLITS.index(split)]
        self.class_names = names
        self.compositions = _weights(compositions, len(names))
        self._sounds = [registry[name] for name in names]
        self._textures = [sound for sound in self._sounds if sound.kind == "texture"]
        self._grammar = Grammar(registry)

    @property
    def samples(self) -> int:
        """N, samples in a clip."""
        return round(self.seconds * self.sample_rate)

    def __getitem__(self, index: int) -> Clip:
        plan = self.plan(index)
        return Clip(
            audio=self._render(plan, index),
            sample_rate=self.sample_rate,
            caption=self._caption(plan, index, 0),
            classes=tuple(part.sound.name for part in plan.parts),
            composition=plan.composition,
            counts=tuple(part.count for part in plan.parts),
            attributes=tuple(dict(part.attributes) for part in plan.parts),
            seed=self.seed,
            split=self.split,
        )

    def caption(self, index: int, variant: int = 0) -> str:
        """Return a phrasing for clip `index` without rendering it.

        Variant 0 is `self[index].caption` and mentions every attribute and count; others may leave some out.
        """
        return self._caption(self.plan(index), index, variant)

    def caption_variants(self, index: int, variants: int = VARIANTS) -> list[str]:
        """Return phrasings 0..variants-1 for clip `index` without rendering it."""
        plan = self.plan(index)
        return [self._caption(plan, index, variant) for variant in range(variants)]

    def plan(self, index: int) -> Plan:
        """Return what clip `index` contains: composition, classes, attributes and counts."""
        rng = self._rng(index, _PLAN)
        names = tuple(self.compositions)
        edges = np.cumsum(list(self.compositions.values()))
        composition = names[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
        first = pick(rng, self._sounds)
        if composition == "single":
            return Plan(composition, (self._part(rng, first, single=True),))
        pool = self._sounds
        if composition == "background" or (composition == "while" and rng.random() < 0.6):
            pool = [
                s for s in self._textures if s is not first
            ] or self._sounds  # a steady sound lies under the other
        second = pick(rng, [sound for sound in pool if sound is not first])
        return Plan(
            composition,
            (
                self._part(rng, first, single=False),
                self._part(rng, second, single=False, underneath=composition == "background"),
            ),
        )

    def _part(
        self, rng: np.random.Generator, sound: SoundClass, *, single: bool, underneath: bool = False
    ) -> Part:
        attributes: dict[str, str] = {}
        for name, values in sound.attributes.items():
            if rng.random() < (0.35 if single else 0.15) and len(attributes) < (2 if single else 1):
                attributes[name] = pick(rng, tuple(values))
        chances = {"loudness": 0.16, "distance": 0.14} if single else {"loudness": 0.04, "distance": 0.05}
        for name, chance in chances.items():
            if rng.random() < chance and name not in sound.attributes and not underneath:
                attributes[name] = pick(rng, tuple(COMMON[name]))
        count = None
        if sound.countable and not underneath and rng.random() < (0.45 if single else 0.2):
            most = MAX_COUNT if single else 3
            count = 1 + int(rng.random() * min(most, max(1, int(self.seconds))))
        return Part(sound, attributes, count)

    def _render(self, plan: Plan, index: int) -> np.ndarray:
        rng = self._rng(index, _AUDIO)
        n, rate = self.samples, self.sample_rate
        starts, ends = [0] * len(plan.parts), [n] * len(plan.parts)
        if plan.composition == "then":
            gap = round(rng.uniform(0.0, 0.15) * rate)
            starts[1] = round(n * rng.uniform(0.42, 0.58))
            ends[0] = starts[1] - gap
        elif plan.parts[0].sound.kind == "event":
            starts[0] = round(rng.uniform(0.0, min(0.3, self.seconds / 10)) * rate)
        rendered = []
        for i, (part, start, end) in enumerate(zip(plan.parts, starts, ends, strict=True)):
            sound = self._render_part(rng, part, end - start)
            if part.sound.surroundings != "none":
                field = part.sound.surroundings == "field"
                sound = place_sound(rng, sound, rate, part.attributes, cut=end < n, field=field)
            offset_db = rng.uniform(-14.0, -8.0) if plan.composition == "background" and i == 1 else 0.0
            sound = set_level(rng, sound, rate, part.attributes, offset_db)
            rendered.append((start, sound))
        clip = sum_parts(rendered, n)
        surroundings = {part.sound.surroundings for part in plan.parts}
        if "none" in surroundings:
            return clip
        return record_clip(rng, clip, rate, field=surroundings == {"field"})

    def _render_part(self, rng: np.random.Generator, part: Part, n: int) -> np.ndarray:
        own = {k: v for k, v in part.attributes.items() if k in part.sound.attributes}
        if part.count is not None:
            own_count: dict[str, object] = {"count": part.count}
        else:
            own_count = {}
        sound = np.asarray(part.sound.render(rng, self.sample_rate, n / self.sample_rate, **own, **own_count))
        what = f"sound class {part.sound.name!r} with {own | own_count} for {n / self.sample_rate:.3f} s"
        if sound.ndim != 1 or abs(len(sound) - n) > 1:
            raise ValueError(f"{what} rendered shape {sound.shape}, expected ({n},)")
        sound = np.pad(sound, (0, max(0, n - len(sound))))[:n].astype(np.float32)
        if not np.isfinite(sound).all() or not sound.any():
            raise ValueError(
                f"{what} rendered {'silence' if np.isfinite(sound).all() else 'NaN or infinity'}"
            )
        return sound

    def _caption(self, plan: Plan, index: int, variant: int) -> str:
        if variant < 0:
            raise ValueError(f"variant must be 0 or more, got {variant}")
        rng = self._rng(index, _CAPTION + variant)
        return self._grammar.caption(rng, plan.parts, plan.composition, self.split, complete=variant == 0)

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        if index < 0:
            raise IndexError(f"clip index must be 0 or more, got {index}")
        entropy = (self.seed, SPLITS.index(self.split), index, stream)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def _weights(compositions: Mapping[str, float] | None, classes: int) -> dict[Composition, float]:
    if compositions is None:
        weights = dict(DEFAULT_COMPOSITIONS)
        return weights if classes > 1 else {"single": 1.0}
    for name, weight in compositions.items():
        if name not in COMPOSITIONS:
            raise ValueError(f"unknown composition {name!r}; allowed: {', '.join(COMPOSITIONS)}")
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"the weight of composition {name!r} must be 0 or more, got {weight}")
    weights = {name: float(compositions[name]) for name in COMPOSITIONS if compositions.get(name, 0.0) > 0}
    if not weights:
        raise ValueError("at least one composition needs a weight above 0")
    if classes < 2 and any(name != "single" for name in weights):
        raise ValueError("compositions of two sounds need at least two classes")
    return weights
