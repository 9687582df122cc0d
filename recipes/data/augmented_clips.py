"""Clips of a training mix: augmented recordings and renderings, alone or in pairs, with many captions.

    clips = AugmentedClips(read_recordings(["mysounds"]), MixSettings(clips=20000), sample_rate=16000)
    clip = clips[0]             # audio float32 [N], captions ["a dog barks", "dog barking", ...]

Clip i depends on the settings, the recordings and i alone, so clips can be made in any order by any number of
processes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ...core.audio import AudioError
from ...core.failures import Failure, attempt
from ...gen.training.mixing import REFERENCE_DB, at_level
from ..foley.corpus import FoleyCorpus
from ..foley.grammar import labels
from ..foley.mixing_classes import mixing_classes
from ..foley.scene import PEAK
from ..foley.sound_classes import CLASSES
from .augmentation import Augmentation, frame_levels
from .balance import deal, even_shares
from .folder import Recording, read_part
from .paraphrases import VARIANTS, Heard, Wording, comparable, draw_captions, wording_of
from .recordings import HELD_OUT, class_of, held_out

PARTS = ("train", "validation", "all")
_QUIET_DB = -50.0  # a stretch of a recording whose loudest frame is below is drawn again
_REDRAWS = 3
_TRIES = 20  # recordings that are tried for a clip before the folder counts as broken
_LATEST = 0.5  # share of a clip in which the second of two sounds begins, as in AudioGen
_FIRST_ENDS = (0.35, 0.6)  # share of a clip after which the first of two sounds in turn is over
# Captions of things that can pass by a listener.
_PASSES = re.compile(
    r"\b(cars?|engine|trucks?|motorbike|motorcycle|trains?|helicopter|airplane|plane|jet|siren|ambulance|bus|tram"
    r"|snowmobile|bee|bumblebee|mosquito|tractor|scooter)\b"
)
_MIXES: Mapping[str, float] = {"single": 0.75, "while": 0.1, "background": 0.07, "then": 0.08}


@dataclass(frozen=True)
class MixSettings:
    """What a training mix is to be.

    Args:
        clips: how many; None: one of each recording, without balance.
        seconds: length of each, s.
        seed: another seed, other clips.
        captions: wordings a clip.
        max_repeats: clips in which one recording may be in front.
        renderings: share of a class' clips that are rendered, for the classes of the Foley corpus whose
            renderings are heard as well as recordings; all of them for those whose are heard far better;
            0: recordings only.
        compositions: weights of "single", "while", "background" and "then".
        part: "train"; "validation": the other recordings, about 5 %; "all": both.
        known_classes: leave out recordings of a class that `foley.mixing_classes` does not know.
        trim_start: let every clip begin with its sound: silence before it goes behind it. A language model
            that has learned to begin with silence may stay in it.
        augmentation: of the recordings.

    Raises:
        ValueError: a value is out of range.
    """

    clips: int | None
    seconds: float = 5.0
    seed: int = 0
    captions: int = VARIANTS
    max_repeats: int = 60
    renderings: float = 0.0
    compositions: Mapping[str, float] = field(default_factory=lambda: dict(_MIXES))
    part: str = "train"
    known_classes: bool = False
    trim_start: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ("clips", "captions", "max_repeats"):
            if (getattr(self, name) or 0) < 1 and (name != "clips" or self.clips is not None):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0.5 <= self.seconds <= 600:
            raise ValueError(f"seconds is {self.seconds}; allowed are 0.5 to 600")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be 0 or more")
        if not 0.0 <= self.renderings <= 1.0:
            raise ValueError(f"renderings is {self.renderings}; allowed are 0 to 1")
        if self.part not in PARTS:
            raise ValueError(f"part is {self.part!r}; it must be {' or '.join(PARTS)}")
        if self.clips is None and self.renderings:
            raise ValueError("renderings are a share of the clips; say how many clips there are to be")
        unknown = sorted(set(self.compositions) - set(_MIXES))
        weights = list(self.compositions.values())
        if unknown or not weights or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(
                f"compositions is {dict(self.compositions)}; give weights of 0 or more to {', '.join(_MIXES)}"
            )


@dataclass(frozen=True)
class Source:
    """A recording of the mix: the file, its class, and what it can be called."""

    recording: Recording
    sound_class: str
    wording: Wording

    @property
    def passes(self) -> bool:
        """Whether it is of something that can pass by."""
        return any(_PASSES.search(text.lower()) for text in self.wording.written)


@dataclass
class MixedClip:
    """A clip: float32 `[N]`, its captions, and its line of metadata."""

    audio: np.ndarray
    captions: list[str]
    entry: dict[str, Any]


class AugmentedClips:
    """The clips of a training mix by index.

    Args:
        recordings: with captions; those of the other part are left out here.
        settings: of the mix.
        sample_rate: Hz.
        excluded: prompts that must not become captions.

    Attributes:
        shares: how many clips each class has.

    Raises:
        ValueError: no recording is of the part, or they do not suffice for so many clips.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        settings: MixSettings,
        *,
        sample_rate: int,
        excluded: Collection[str] = (),
    ) -> None:
        self.settings, self.sample_rate = settings, sample_rate
        self.samples = round(settings.seconds * sample_rate)
        self.excluded = frozenset(comparable(prompt) for prompt in excluded)
        if settings.known_classes:
            known = mixing_classes()
            recordings = [recording for recording in recordings if class_of(recording) in known]
        words: dict[tuple[str, ...], Wording] = {}
        self.sources: list[Source] = []
        for recording, held in zip(recordings, held_out(recordings), strict=True):
            if settings.part == "all" or held == (settings.part == "validation"):
                if recording.captions not in words:
                    words[recording.captions] = wording_of(recording.captions)
                self.sources.append(Source(recording, class_of(recording), words[recording.captions]))
        if not self.sources:
            raise ValueError(
                f"none of the {len(recordings)} recordings is of the part {settings.part!r}; about "
                f"{HELD_OUT:.0%} are of validation, so give more recordings"
            )
        self._of_class: dict[str, list[int]] = defaultdict(list)
        for number, source in enumerate(self.sources):
            self._of_class[source.sound_class].append(number)
        self._names = sorted(self._of_class)
        self._plan()

    def _plan(self) -> None:
        """Decide which class, and which recording of it (or -1: a rendering), is in front of each clip."""
        settings = self.settings
        if settings.clips is None:
            self.plan = [(source.sound_class, number) for number, source in enumerate(self.sources)]
            self.shares = {name: len(numbers) for name, numbers in self._of_class.items()}
            return
        known = mixing_classes()
        rendered = {name for name, mixed in known.items() if mixed.renderings}
        if settings.renderings == 0:
            rendered = set()
        own = {name: len(numbers) for name, numbers in self._of_class.items()}
        counts = {**dict.fromkeys(rendered, 0), **own}
        self.shares = even_shares(
            counts, settings.clips, max_repeats=settings.max_repeats, unbounded=rendered
        )
        rng = np.random.default_rng(np.random.SeedSequence([settings.seed, 0, PARTS.index(settings.part)]))
        plan: list[tuple[str, int]] = []
        for name, share in self.shares.items():
            numbers = self._of_class.get(name, [])
            part = settings.renderings if name in rendered else 0.0
            if part and not known[name].recordings:
                part = 1.0
            from_renderings = round(share * part)
            recorded = min(share - from_renderings, settings.max_repeats * len(numbers))
            dealt = [numbers[item] for item in deal(rng, len(numbers), recorded)]
            plan += [(name, number) for number in dealt]
            plan += [(name, -1)] * (share - recorded)
        self.plan = [plan[place] for place in rng.permutation(len(plan))]

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> MixedClip:
        """Clip `index`.

        Raises:
            AudioError: none of the recordings that were tried in turn can be read.
        """
        settings = self.settings
        seed = [settings.seed, 1, PARTS.index(settings.part), index]
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        name, number = self.plan[index]
        weights = np.array(list(settings.compositions.values()), dtype=np.float64)
        composition = list(settings.compositions)[
            int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(), side="right"))
        ]
        cut = rng.uniform(*_FIRST_ENDS) if composition == "then" else 1.0
        audio, heard, entry = self._sound(rng, name, number, cut)
        parts, classes = [heard], [name]
        if composition != "single":
            name, number = self._another(rng, name)
            other, more, _ = self._sound(rng, name, number, 1.0 - cut if composition == "then" else 1.0)
            audio = _put_together(rng, audio, other, composition, cut)
            parts.append(more)
            classes.append(name)
        if settings.trim_start:
            audio = without_lead(audio)
        written = entry.pop("captions", None)
        if composition == "single" and written is not None:
            allowed = [text for text in written if comparable(text) not in self.excluded]
            captions = list(dict.fromkeys(allowed))[: settings.captions] or written[:1]
        else:
            captions = draw_captions(
                rng, parts, composition, number=settings.captions, excluded=self.excluded
            )
        return MixedClip(
            audio,
            captions,
            {
                "caption": captions[0],
                "captions": captions,
                "file_name": entry["file_name"],
                "classes": classes,
                "composition": composition,
                "attributes": [dict(part.attributes) for part in parts],
                "counts": [part.count for part in parts],
            },
        )

    def _another(self, rng: np.random.Generator, name: str) -> tuple[str, int]:
        """A class, any but `name` if there is another, and a recording of it."""
        others = [other for other in self._names if other != name] or self._names
        chosen = others[int(rng.integers(len(others)))]
        numbers = self._of_class[chosen]
        return chosen, numbers[int(rng.integers(len(numbers)))]

    def _sound(
        self, rng: np.random.Generator, name: str, number: int, cut: float
    ) -> tuple[np.ndarray, Heard, dict[str, Any]]:
        """A clip of one sound: float32 `[N]`, what can be said of it, and where it comes from."""
        if number < 0:
            return self._rendering(rng, name, cut)
        failure: Failure | None = None
        for _ in range(_TRIES):
            source = self.sources[number]
            sound = attempt(source.recording.name, self._read, rng, source.recording)
            if not isinstance(sound, Failure):
                break
            failure = sound
            number = self._of_class[name][int(rng.integers(len(self._of_class[name])))]
        else:
            assert failure is not None
            raise AudioError(f"{_TRIES} recordings cannot be read, the last: {failure}") from failure.error
        background = None
        if rng.random() < self.settings.augmentation.background:
            other = self.sources[self._another(rng, name)[1]].recording
            found = attempt(other.name, self._read, rng, other)
            background = None if isinstance(found, Failure) else found
        made = self.settings.augmentation(
            rng, sound, self.sample_rate, self.samples, background=background, passes=source.passes, cut=cut
        )
        return (
            made.audio,
            Heard(source.wording, made.attributes, made.count),
            {"file_name": source.recording.name},
        )

    def _read(self, rng: np.random.Generator, recording: Recording) -> np.ndarray:
        """A stretch of a recording, float32 `[n]`; of a long one a place at which something is heard."""
        needed = self.settings.augmentation.needed(self.samples)
        place, best = float(rng.random()), np.zeros(0, dtype=np.float32)
        for _ in range(_REDRAWS):
            seconds = needed / self.sample_rate
            sound = read_part(recording.path, self.sample_rate, 1, seconds=seconds, place=place)[0].numpy()
            if not len(best) or _loudest(sound, self.sample_rate) > _loudest(best, self.sample_rate):
                best = sound
            if _loudest(best, self.sample_rate) > _QUIET_DB or len(sound) < needed:
                break
            place = float(rng.random())
        return best

    def _rendering(
        self, rng: np.random.Generator, name: str, cut: float
    ) -> tuple[np.ndarray, Heard, dict[str, Any]]:
        corpus = _corpus(name, self.sample_rate, self.settings.seconds, self.settings.part)
        index = int(rng.integers(2**31))
        clip = corpus[index]
        audio = clip.audio
        if cut < 1.0:
            ends = round(self.samples * cut)
            fade = min(ends, round(0.05 * self.sample_rate))
            audio = audio.copy()
            audio[ends - fade : ends] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
            audio[ends:] = 0.0
        sound = CLASSES[name]
        wording = Wording(labels(sound), sound.nouns, (), (clip.caption,))
        captions = corpus.caption_variants(index, self.settings.captions)
        return audio, Heard(wording), {"file_name": f"{name}-{index}", "captions": captions}


def without_lead(audio: np.ndarray) -> np.ndarray:
    """A clip `[N]` whose digital silence at the beginning, if it has some, went to its end."""
    sounding = np.flatnonzero(audio)
    return np.roll(audio, -int(sounding[0])) if len(sounding) else audio


def _put_together(
    rng: np.random.Generator, first: np.ndarray, second: np.ndarray, composition: str, cut: float
) -> np.ndarray:
    """Two clips `[N]` as one: in turn, one under the other, or at once as AudioGen mixes them."""
    if composition == "then":
        start, ratio_db = round(cut * len(first)), rng.uniform(-4.0, 4.0)
    elif composition == "background":
        start, ratio_db = 0, rng.uniform(6.0, 14.0)
    else:
        start, ratio_db = round(rng.uniform(0.0, _LATEST) * len(first)), rng.uniform(-5.0, 5.0)
    mix = _at(first, REFERENCE_DB)
    mix[start:] += _at(second[: len(second) - start], REFERENCE_DB - ratio_db)
    return _at(mix, rng.uniform(-26.0, -16.0), peak=PEAK)


def _at(sound: np.ndarray, db: float, peak: float | None = None) -> np.ndarray:
    return at_level(torch.from_numpy(np.ascontiguousarray(sound))[None], db, peak)[0].numpy().copy()


def _loudest(sound: np.ndarray, sample_rate: int) -> float:
    return float(frame_levels(sound, sample_rate).max())


@lru_cache(maxsize=256)
def _corpus(name: str, sample_rate: int, seconds: float, part: str) -> FoleyCorpus:
    return FoleyCorpus(
        sample_rate=sample_rate,
        seconds=seconds,
        seed=7_000_000,
        split="validation" if part == "validation" else "train",
        compositions={"single": 1.0},
        classes=[name],
    )
