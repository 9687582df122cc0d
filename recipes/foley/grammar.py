"""Captions for Foley clips, drawn from a grammar that keeps training and held-out captions apart.

A caption belongs to exactly one split. Three things decide it, all by a stable hash (BLAKE2b, never Python's
salted hash()): the caption's own text, the sentence pattern, and the (subject, verb) pair or noun inside.
Training captions have a training text and no held-out ingredient; validation and test captions have a text of
their split, whatever their ingredients. So no held-out caption can occur in training, and some patterns and
word pairs are new as well. The plainest names ("dog", "a dog barks") are always for training: they are what
people type.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from . import english
from .sound_classes import SoundClass
from .templates import CORE, TEMPLATES

Split = Literal["train", "validation", "test"]
Composition = Literal["single", "then", "while", "background"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
COMPOSITIONS: tuple[Composition, ...] = ("single", "then", "while", "background")

# value -> (adjectives, words after the verb or noun); corpus.py turns them into gain, filter and echo
LOUDNESS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "loud": (("loud", "very loud", "noisy"), ("loudly", "very loudly", "at high volume")),
    "quiet": (("quiet", "soft", "faint"), ("quietly", "softly", "at low volume")),
}
DISTANCE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "distant": (("distant", "faraway"), ("in the distance", "far away", "from afar")),
    "nearby": (("nearby", "close"), ("nearby", "close by", "close to the microphone")),
}
COMMON: Mapping[str, Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "loudness": LOUDNESS,
    "distance": DISTANCE,
}

_TRAIN_SHARE, _VALIDATION_SHARE = 0.8, 0.9  # of caption texts: 80 % / 10 % / 10 %
_HELD_OUT_INGREDIENTS = 0.12
_MAX_TRIES = 5000

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One sound of a clip as far as a caption can tell: its class, drawn attribute values, and count."""

    sound: SoundClass
    attributes: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None


def stable_fraction(text: str) -> float:
    """Map a text to [0, 1), the same in every process, Python version and machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2.0**64


def normalise(caption: str) -> str:
    """Lower case, no full stop at the end: what two captions share if a listener would call them the same."""
    return " ".join(caption.lower().split()).rstrip(".")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Draw one of `options` uniformly (much faster than Generator.choice)."""
    return options[int(rng.random() * len(options))]


class _Weighted:
    """Draws patterns by weight."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.items = tuple(weights)
        self.edges = np.cumsum(list(weights.values()))
        self.total = float(self.edges[-1])

    def draw(self, rng: np.random.Generator) -> str:
        return self.items[int(np.searchsorted(self.edges, rng.random() * self.total, side="right"))]


class Grammar:
    """Draw captions for one or two parts.

    Args:
        classes: every class of the corpus by name. Their plainest names are reserved for training.
    """

    def __init__(self, classes: Mapping[str, SoundClass]) -> None:
        self._reserved = frozenset(text for sound in classes.values() for text in plain_names(sound))
        self._reserved_pairs = frozenset(_pair(s, s.subjects[0], s.verbs[0]) for s in classes.values())
        self._templates = {name: _Weighted(weights) for name, weights in TEMPLATES.items()}

    def split_of_text(self, caption: str) -> Split:
        """Return the only split in which a caption with this text may occur."""
        text = normalise(caption)
        if text in self._reserved:
            return "train"
        fraction = stable_fraction(text)
        if fraction < _TRAIN_SHARE:
            return "train"
        return "validation" if fraction < _VALIDATION_SHARE else "test"

    def is_held_out(self, ingredient: str) -> bool:
        """Whether a pattern or a "class|subject|verb" pair never occurs in training captions."""
        if ingredient in CORE or ingredient in self._reserved_pairs:
            return False
        return stable_fraction("ingredient:" + ingredient) < _HELD_OUT_INGREDIENTS

    def caption(
        self,
        rng: np.random.Generator,
        parts: Sequence[Part],
        composition: Composition = "single",
        split: Split = "train",
        complete: bool = True,
    ) -> str:
        """Draw one caption.

        Args:
            rng: source of randomness.
            parts: one part for "single", two for the others (order of time; background: the one in front
                first).
            composition: how the parts are put together.
            split: the split that the caption has to belong to.
            complete: mention every attribute and count; otherwise some are left out at random.

        Raises:
            ValueError: the number of parts does not fit, or the split has no caption for them.
        """
        wanted = 1 if composition == "single" else 2
        if len(parts) != wanted:
            raise ValueError(f"a {composition!r} caption needs {wanted} part(s), got {len(parts)}")
        for _ in range(_MAX_TRIES):
            drawn = self._draw(rng, parts, composition, complete)
            if drawn is None or self.split_of_text(drawn[0]) != split:
                continue
            text, ingredients = drawn
            # the plainest names stay in training whichever pattern they came from
            free = split != "train" or normalise(text) in self._reserved
            if not free and any(self.is_held_out(item) for item in ingredients):
                continue
            return _style(rng, text)
        names = " and ".join(repr(part.sound.name) for part in parts)
        raise ValueError(
            f"the grammar found no {split!r} caption for {names} in {_MAX_TRIES} draws; give the class more "
            "subjects, verbs or nouns"
        )

    def _draw(
        self, rng: np.random.Generator, parts: Sequence[Part], composition: Composition, complete: bool
    ) -> tuple[str, list[str]] | None:
        """Return a text and its ingredients, or None if an attribute found no place in it."""
        counted = any(part.count is not None for part in parts)
        template = self._templates[composition].draw(rng)
        while counted and "{bare}" in template:
            template = self._templates[composition].draw(rng)
        ingredients = [template]
        text = template
        for position, part in enumerate(parts, start=1):
            suffix = "" if composition == "single" else str(position)
            phrase = _Phrase(rng, part, complete, ingredients)
            for slot, build in (("s", phrase.clause), ("np", phrase.noun_phrase), ("tag", phrase.tag)):
                if f"{{{slot}{suffix}}}" in text:
                    text = text.replace(f"{{{slot}{suffix}}}", build())
            if "{bare}" in text:
                text = text.replace("{bare}", phrase.bare())
            if phrase.dropped:
                return None
        return text, ingredients


class _Phrase:
    """Builds the words for one part; what it used is appended to `ingredients`."""

    def __init__(self, rng: np.random.Generator, part: Part, complete: bool, ingredients: list[str]) -> None:
        self.rng, self.part, self.sound, self.ingredients = rng, part, part.sound, ingredients
        self.count = part.count if complete or rng.random() < 0.8 else None
        self.dropped = False  # some attribute's words did not fit the chosen form
        self.attributes = {k: v for k, v in part.attributes.items() if complete or rng.random() < 0.75}

    def clause(self) -> str:
        """Such as "a small dog barks loudly three times in the distance"."""
        before, manner, place = self._modifiers(verbal=True)
        subject = self._subject(before)
        verbs = self.sound.verbs
        if self.count is not None:  # "barks twice" rather than "is barking twice"
            verbs = tuple(v for v in verbs if english.participle(v) is None) or verbs
        verb = pick(self.rng, verbs)
        self.ingredients.append(_pair(self.sound, subject[1], verb))
        words = [subject[0], english.agree(subject[1], verb), *manner, *self._times(), *place]
        return " ".join(words)

    def noun_phrase(self) -> str:
        """Such as "distant dog barking", "a dog barking in the distance", "three barks", "a dog"."""
        form = self.rng.random()
        if self.count is not None and form < 0.6:
            return self._counted()
        participles = [v for v in self.sound.verbs if english.participle(v)]
        if participles and form < 0.5:
            before, manner, place = self._modifiers(verbal=True)
            subject, plain = self._subject(before)
            verb = pick(self.rng, participles)
            self.ingredients.append(_pair(self.sound, plain, verb))
            words = str(english.participle(verb)).split()
            if (
                words[0] in subject.split() and self.count is None
            ):  # "a barking dog", not "a barking dog barking"
                words = words[1:]
            return " ".join([subject, *words, *manner, *self._times(), *place])
        before, _, place = self._modifiers(verbal=False)
        special = any(name not in COMMON for name in self.attributes) and bool(before)
        nouns = [n for n in self.sound.nouns if not special or " of " not in n]
        if before:
            nouns = [n for n in nouns if english.takes_adjective(n)]
        if (
            self.count is not None
        ):  # "a dog three times" counts dogs, "a dog barking three times" counts barks
            nouns = [n for n in nouns if english.names_action(n)]
            if not nouns:
                return self._counted()
        things = [s for s in self.sound.subjects if english.takes_adjective(s)]
        if not nouns or (things and self.count is None and form > 0.93):
            if not things:
                self.dropped = True
                return ""
            phrase, _ = self._subject(before)
        else:
            noun = pick(self.rng, nouns)
            self.ingredients.append(_pair(self.sound, noun))
            phrase = english.with_adjectives(noun, before)
        return " ".join([phrase, *self._times(), *place])

    def bare(self) -> str:
        """A noun phrase without article, for "{bare} sound effect"."""
        before, _, _ = self._modifiers(verbal=False, only_before=True)
        return english.with_adjectives(self._label(), before)

    def tag(self) -> str:
        """A label: "dog", "small dog", "dog barking", "3 barks", "dog bark, twice"."""
        before, _, _ = self._modifiers(verbal=False, only_before=True)
        if self.count is not None:
            assert self.sound.unit is not None
            if self.rng.random() < 0.5:
                unit = english.with_adjectives(self.sound.unit[self.count != 1], before)
                return f"{english.number(self.count, digits=self.rng.random() < 0.5)} {unit}"
            return f"{english.with_adjectives(self._label(), before)}, {self._times()[0]}"
        if before and self.rng.random() < 0.25:
            return ", ".join([self._label(), *before])
        return english.with_adjectives(self._label(), before)

    def _label(self) -> str:
        label = pick(self.rng, labels(self.sound))
        self.ingredients.append(_pair(self.sound, label))
        return label

    def _subject(self, before: Sequence[str]) -> tuple[str, str]:
        """A subject with its adjectives, and the subject alone."""
        fitting = [s for s in self.sound.subjects if english.takes_adjective(s)] if before else ()
        plain = pick(self.rng, fitting or self.sound.subjects)
        self.dropped |= bool(before) and not fitting
        return english.with_adjectives(plain, before if fitting else ()), plain

    def _counted(self) -> str:
        before, _, place = self._modifiers(verbal=False)
        assert self.sound.unit is not None
        assert self.count is not None
        unit = english.with_adjectives(self.sound.unit[self.count != 1], before)
        if self.count == 1:
            amount = pick(self.rng, ("one", "a single", english.article(unit)))
        elif self.count == 2 and self.rng.random() < 0.2:
            amount = "a pair of"
        else:
            amount = english.number(self.count, digits=self.rng.random() < 0.15)
        tail = ["in a row"] if self.count > 2 and self.rng.random() < 0.1 else []
        return " ".join([amount, unit, *tail, *place])

    def _times(self) -> list[str]:
        if self.count is None:
            return []
        return [pick(self.rng, english.times(self.count, digits=self.rng.random() < 0.15))]

    def _modifiers(self, verbal: bool, only_before: bool = False) -> tuple[list[str], list[str], list[str]]:
        """Words for the attributes: adjectives, adverbs after a verb, and phrases at the end."""
        before: list[str] = []
        manner: list[str] = []
        place: list[str] = []
        for name, value in self.attributes.items():
            if name in self.sound.attributes:
                words = pick(self.rng, self.sound.attributes[name][value])
                if english.is_manner(words):
                    manner.append(words)
                    self.dropped |= not verbal
                elif english.is_modifier_after(words):
                    place.append(words)
                    self.dropped |= only_before
                else:
                    before.append(words)
                continue
            adjectives, after = COMMON[name][value]
            trailing = after if verbal or name == "distance" else ()
            if trailing and not only_before and self.rng.random() < 0.55:
                words = pick(self.rng, trailing)
                (place if name == "distance" or words.startswith("at ") else manner).append(words)
            else:
                before.insert(0, pick(self.rng, adjectives))
        return before, manner, place


def labels(sound: SoundClass) -> tuple[str, ...]:
    """Short names without article: the class name, the bare subjects that name a thing alone, short nouns."""
    return _labels(sound.name, sound.subjects, sound.nouns)


@functools.lru_cache(maxsize=1024)
def _labels(name: str, subjects: tuple[str, ...], nouns: tuple[str, ...]) -> tuple[str, ...]:
    found = {name.replace("_", " "): None}
    for phrase in (*(s for s in subjects if not english.has_preposition(s)), *nouns):
        bare = english.split_determiner(phrase)[1]
        if english.takes_adjective(bare) and " of " not in bare and len(bare.split()) <= 4:
            found[bare] = None
    return tuple(found)


def plain_names(sound: SoundClass) -> tuple[str, ...]:
    """The names that people type first; their captions are always for training."""
    subject, verb, noun = sound.subjects[0], sound.verbs[0], sound.nouns[0]
    bare = english.split_determiner(subject)[1]
    names = [sound.name.replace("_", " "), noun, f"{subject} {english.agree(subject, verb)}"]
    if english.takes_adjective(bare) and not english.has_preposition(bare):
        names.append(bare)
    return tuple(normalise(name) for name in names)


def _pair(sound: SoundClass, *words: str) -> str:
    return "|".join((sound.name, *words))


def _style(rng: np.random.Generator, text: str) -> str:
    """Mostly as it is (lower case), sometimes as a sentence with a capital and a full stop."""
    draw = rng.random()
    if draw < 0.72:
        return text
    if draw < 0.80:
        return text + "."
    text = ". ".join(part[0].upper() + part[1:] for part in text.split(". "))
    return text if draw < 0.88 else text + "."
