"""The table of sound classes: what each is called, how it varies, and the function that renders it.

A class registers itself by decorating its render function::

    @sound_class(
        name="dog",
        kind="event",
        tags=("Dog", "Bark"),                               # AudioSet's names for it
        subjects=("a dog", "a puppy"),                      # noun phrases that do something
        verbs=("barks", "is barking"),                      # what they do, third person singular
        nouns=("dog barking", "the bark of a dog"),         # the sound named by itself
        attributes={"pitch": {"low": ("deep", "big"), "high": ("small", "high-pitched")}},
        countable=True,
    )
    def dog(rng, sample_rate, seconds, *, pitch=None, count=None): ...

Every attribute value maps to the words a caption may use for it. An attribute that is left out (None) is
drawn freely by the render function and then not mentioned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["event", "texture"]
Surroundings = Literal["field", "quiet", "none"]


# Renders one sound from (rng, sample_rate, seconds, **attributes): float32 `[N]`, N = round(seconds *
# sample_rate), peak at most 1.
Render = Callable[..., np.ndarray]


@dataclass(frozen=True, kw_only=True)
class SoundClass:
    """One class of the corpus.

    Attributes:
        name: label, snake_case, unique.
        kind: "event" has a beginning and an end and can be repeated; "texture" fills the time it is given.
        tags: AudioSet's classes that are right for it (see evaluation/tags.py); () when nobody said.
        subjects: noun phrases with article ("a dog"), the first is the plainest.
        verbs: predicates for the subjects ("barks", "is barking").
        nouns: stand-alone names of the sound ("dog barking"), usable after "the sound of".
        attributes: attribute name -> value -> words (adjectives that fit before the bare noun of a subject).
        countable: whether `count=n` (1..5) renders n separated occurrences that a listener could count.
        unit: what is counted, singular and plural ("bark", "barks"); needed when countable.
        render: the render function.
        surroundings: how it is recorded: in the "field", with a room or an open place and a background; in
            the "quiet", close to the microphone; or "none", as a test tone, which is not in the air.
        rendered: whether its renderings are heard as well as recordings of it (`soundloom evaluate
            --renderings`). Training mixes leave out those of other classes; see `mixing_classes`.
    """

    name: str
    kind: Kind
    tags: tuple[str, ...] = ()
    subjects: tuple[str, ...]
    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, tuple[str, ...]]]
    countable: bool
    unit: tuple[str, str] | None
    render: Render
    surroundings: Surroundings = "quiet"
    rendered: bool = True


CLASSES: dict[str, SoundClass] = {}


def sound_class(
    *,
    name: str,
    kind: Kind,
    subjects: tuple[str, ...],
    verbs: tuple[str, ...],
    nouns: tuple[str, ...],
    attributes: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None,
    countable: bool = False,
    unit: tuple[str, str] | None = None,
    tags: tuple[str, ...] = (),
    surroundings: Surroundings = "quiet",
    rendered: bool = True,
) -> Callable[[Render], Render]:
    """Register the decorated render function under `name`; see SoundClass for the arguments.

    Raises:
        ValueError: the name is taken, or a countable class names no unit.
    """

    def register(render: Render) -> Render:
        if name in CLASSES:
            raise ValueError(f"sound class {name!r} is defined twice")
        if countable and unit is None:
            raise ValueError(f"countable sound class {name!r} needs a unit such as ('bark', 'barks')")
        CLASSES[name] = SoundClass(
            name=name,
            kind=kind,
            subjects=subjects,
            verbs=verbs,
            nouns=nouns,
            attributes=attributes or {},
            countable=countable,
            unit=unit,
            render=render,
            tags=tags,
            surroundings=surroundings,
            rendered=rendered,
        )
        return render

    return register
