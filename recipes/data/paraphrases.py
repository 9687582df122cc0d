"""Many captions out of one: the same recording named in the ways in which people would ask for it.

A written caption is taken apart as far as its grammar is plain ("a dog barks", "a dog barking", "hitting
metal"), put into other forms ("a dog is barking", "dog barking"), joined by what people type for it
(synonyms.py), and set into the sentence patterns of the Foley corpus (foley/templates.py). What a clip adds
to a recording is said in words as well: that it is far away, passes by, is heard three times.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..foley import english
from ..foley.grammar import DISTANCE, normalise, pick
from ..foley.templates import TEMPLATES
from .synonyms import WORDS, labels_for

VARIANTS = 12  # captions a clip
_TRIES = 40  # draws for each of them

# Verbs that things and animals do in the finite form of captions; "a dog barks" is a sentence by this list.
_VERBS_TEXT = """
bangs barks bark bleats brays buzzes calls call caws chatters cheers chirps clicks closes clucks coos
crackles creaks cries croaks croak crows drops drips explodes falls fires flips flies gallops giggles
gobbles grinds groans growls grunts hisses honks hoots howls howl hums ignites jingles lands laughs
launches meows moos mumbles neighs opens passes pecks plays pops pounds pours purrs quacks quack rattle
rattles rings ricochets roars rolls runs rumbles screams screeches shuts sings sing slams snaps snarls
sneezes snores snorts sounds spins splashes squawks squeaks squeals starts stomps stops tears thumps ticks
tolls trumpets tweets whines whispers whistles yells
"""
_VERBS = frozenset(_VERBS_TEXT.split())
# Words in -ing that are no participle.
_NO_ACTION_TEXT = """
ring spring string thing king wing ping ting ling sing building morning evening ceiling during
"""
_NO_ACTION = frozenset(_NO_ACTION_TEXT.split())
# What only somebody does to something: "hitting metal" is "someone hitting metal" as well.
_DONE_BY_PEOPLE_TEXT = """
banging biting blowing chopping clapping closing cocking crumpling crunching crushing cutting digging
dragging drawing drilling drinking dropping eating erasing grinding hammering hitting inflating kicking
knocking lighting loading moving opening playing plucking popping pouring pulling pushing reloading
ringing ripping rubbing sawing scraping scratching shaking sharpening shooting slapping squeezing stomping
strumming swinging tapping tearing throwing turning typing using walking washing winding writing
"""
_DONE_BY_PEOPLE = frozenset(_DONE_BY_PEOPLE_TEXT.split())
# Nouns that name an action when they end a caption: "metal scrape" is "metal scraping" as well.
_SOUND_NOUNS_TEXT = """
bang bounce buzz clang clank clatter click crackle creak crunch drip drop growl hiss howl hum jingle knock
pop rattle ring roll rumble scrape scratch screech slam slap snap spin splash squeak squeal strike thump
tick tinkle whistle
"""
_SOUND_NOUNS = frozenset(_SOUND_NOUNS_TEXT.split())
_SOUND_WORDS = ("noise", "noises", "sound", "sounds", "tone", "ambience")
_DISTANT = DISTANCE["distant"]
_DISTANT_AFTER = (*_DISTANT[1], "far off", "a long way off")
_PASSING = ("passing by", "going past", "passing", "coming closer and going away")
_ON_WHEELS = ("driving past", "driving by")
_SAYS_IT_PASSES = re.compile(r"\b(pass(es|ing)?|past|by)\b")
# Patterns of two parts whose slots are labels or noun phrases, which every recording has.
_JOINED: Mapping[str, Mapping[str, float]] = {
    composition: {
        pattern: weight
        for pattern, weight in patterns.items()
        if "{s" not in pattern and composition != "single"
    }
    for composition, patterns in TEMPLATES.items()
}


@dataclass(frozen=True)
class Wording:
    """What a recording can be called.

    Attributes:
        labels: without article, as typed into a search box ("dog barking"); at least one.
        noun_phrases: what goes behind "the sound of" ("a dog barking"); at least one.
        clauses: sentences ("a dog is barking"); often none.
        written: the captions as written.
    """

    labels: tuple[str, ...]
    noun_phrases: tuple[str, ...]
    clauses: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heard:
    """One recording of a clip, for its captions.

    Attributes:
        wording: what it can be called.
        attributes: what was done to it, see `augmentation.Augmented`.
        count: how often it is heard; None: it goes on, or nobody counts.
    """

    wording: Wording
    attributes: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None


def wording_of(captions: Sequence[str]) -> Wording:
    """Find what a recording can be called, from the captions that somebody wrote for it.

    Raises:
        ValueError: there are none.
    """
    labels: dict[str, None] = {}
    noun_phrases: dict[str, None] = {}
    clauses: dict[str, None] = {}
    written = [text for caption in captions if (text := _tidy(caption))]
    if not written:
        raise ValueError("a recording without a caption cannot be paraphrased; write one for it")
    for caption in written:
        for text in (caption, *_with_other_words(caption)):
            found = _take_apart(text)
            labels.update(dict.fromkeys(found.labels))
            noun_phrases.update(dict.fromkeys(found.noun_phrases))
            clauses.update(dict.fromkeys(found.clauses))
        for label in labels_for(caption):
            labels[label] = None
            noun_phrases[label] = None
    return Wording(tuple(labels), tuple(noun_phrases), tuple(clauses), tuple(written))


def draw_captions(
    rng: np.random.Generator,
    parts: Sequence[Heard],
    composition: str = "single",
    *,
    number: int = VARIANTS,
    excluded: Collection[str] = (),
) -> list[str]:
    """Draw captions of a clip, all different, the plainest first.

    Args:
        rng: source of randomness.
        parts: one for "single", else two: in order of time for "then", the one in front first for
            "background".
        composition: as in the Foley corpus: "single", "then", "while" or "background".
        number: of captions; fewer come back where there are not as many.
        excluded: captions that must not come back, as `comparable` writes them: prompts of an evaluation.

    Returns:
        At least one caption.

    Raises:
        ValueError: everything that the clip can be called is excluded.
    """
    found: dict[str, str] = {}
    for attempt in range(_TRIES * number):
        text = _draw(rng, parts, composition, plain=attempt == 0)
        key = comparable(text)
        if key not in excluded:
            found.setdefault(key, text)
        if len(found) == number:
            break
    if not found:
        names = " and ".join(repr(part.wording.labels[0]) for part in parts)
        raise ValueError(f"every caption of {names} is excluded; give it another caption")
    return list(found.values())


def comparable(caption: str) -> str:
    """A caption without case, marks at its end and first article: equal ones are one prompt."""
    text = normalise(caption).rstrip(" .!?,")
    return re.sub(r"^(a|an|the) ", "", text)


def _draw(rng: np.random.Generator, parts: Sequence[Heard], composition: str, *, plain: bool) -> str:
    if composition == "single":
        return _styled(rng, _single(rng, parts[0], plain=plain))
    if composition == "while" and rng.random() < 0.25:  # AudioGen's mixing: one after the other, no more
        return " ".join(_label(rng, part) for part in parts)
    patterns = _JOINED[composition]
    weights = np.cumsum(list(patterns.values()))
    text = list(patterns)[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
    for number, part in enumerate(parts, start=1):
        text = text.replace(f"{{np{number}}}", _noun_phrase(rng, part))
        text = text.replace(f"{{tag{number}}}", _label(rng, part))
    return _styled(rng, text)


def _single(rng: np.random.Generator, part: Heard, *, plain: bool) -> str:
    bare = not part.attributes and part.count in (None, 1)
    if plain and bare:
        return part.wording.written[0]
    draw = rng.random()
    if draw < 0.15 and bare:
        return pick(rng, part.wording.written)
    if draw < 0.5:
        return _label(rng, part)
    if draw < 0.65 and part.wording.clauses:
        return _after(rng, part, pick(rng, part.wording.clauses))
    patterns = TEMPLATES["single"]
    weights = np.cumsum(list(patterns.values()))
    pattern = list(patterns)[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
    if "{s}" in pattern:
        if not part.wording.clauses:
            pattern = "{np}"
        else:
            return pattern.replace("{s}", _after(rng, part, pick(rng, part.wording.clauses)))
    for slot, build in (("{np}", _noun_phrase), ("{tag}", _label), ("{bare}", _bare)):
        if slot in pattern:
            return pattern.replace(slot, build(rng, part))
    raise AssertionError(f"a pattern without a slot: {pattern}")


def _bare(rng: np.random.Generator, part: Heard) -> str:
    """A label that another noun follows, which can say "distant" and no more."""
    text = pick(rng, part.wording.labels)
    return f"{pick(rng, _DISTANT[0])} {text}" if "distance" in part.attributes else text


def _label(rng: np.random.Generator, part: Heard) -> str:
    text = pick(rng, part.wording.labels)
    if "distance" in part.attributes and rng.random() < 0.4:
        return f"{pick(rng, _DISTANT[0])} {text}"
    return _after(rng, part, text)


def _noun_phrase(rng: np.random.Generator, part: Heard) -> str:
    return _after(rng, part, pick(rng, part.wording.noun_phrases))


def _after(rng: np.random.Generator, part: Heard, text: str) -> str:
    """Say behind a text what was done to its sound."""
    words = []
    if part.count is not None and part.count > 1 and rng.random() < 0.6:
        words.append(
            pick(rng, (*english.times(part.count), "several times", "repeatedly", "again and again"))
        )
    if "motion" in part.attributes and not _SAYS_IT_PASSES.search(text):
        wheels = re.search(r"\b(car|engine|motor|truck|vehicle)", text) is not None
        words.append(pick(rng, (*_PASSING, *_ON_WHEELS) if wheels else _PASSING))
    if "distance" in part.attributes:
        words.append(pick(rng, _DISTANT_AFTER))
    return " ".join([text, *words])


def _tidy(caption: str) -> str:
    """One line, lower case at the beginning unless the first word is a name, no mark at the end."""
    text = " ".join(caption.split()).rstrip(" .!,;")
    first = text.split(" ", 1)[0]
    return text[:1].lower() + text[1:] if first[1:].islower() or len(first) == 1 else text


def _with_other_words(caption: str) -> list[str]:
    """The caption with one of its words replaced, for each replacement."""
    words = caption.split()
    found = []
    for place, word in enumerate(words):
        for other in WORDS.get(word.lower(), ()):
            changed = [*words[:place], other, *words[place + 1 :]]
            if place and words[place - 1] in ("a", "an"):
                changed[place - 1] = english.article(other)
            found.append(" ".join(changed))
    return found


def _take_apart(caption: str) -> Wording:
    """The forms of one caption, as far as its grammar is plain; else the caption itself and its label."""
    words = caption.split()
    determiner, rest = english.split_determiner(caption)
    bare = rest if determiner in ("a", "an", "the", "some") else caption
    action = next(
        (
            i
            for i, word in enumerate(words)
            if word.endswith("ing") and len(word) > 4 and word not in _NO_ACTION
        ),
        None,
    )
    verb = next((i for i, word in enumerate(words) if i and word in _VERBS), None)
    if action == 0 and len(words) > 1 and words[-1] not in _SOUND_WORDS and words[0] in _DONE_BY_PEOPLE:
        someone = [f"someone {caption}", f"a person {caption}"]
        return Wording(
            (caption,), (caption, someone[0]), tuple(f"{s.split()[0]} is {caption}" for s in someone[:1])
        )
    # "a dog barking": a subject stands before. "a closing door", "the strange singing of a lake": none does.
    subject = words[: action or 0]
    named = action is not None and words[-1] in _SOUND_WORDS  # "an electronic drilling noise"
    if (
        action
        and not named
        and (determiner == "" or action > 1)
        and words[action - 1] not in ("strange", "of")
    ):
        noun = " ".join(subject)
        be = "are" if english.is_plural(noun) else "is"
        clause = " ".join([noun, be, *words[action:]])
        return Wording((bare,), (caption,), (clause,) if determiner or be == "are" else ())
    if verb is not None and action is None:
        noun, tail = " ".join(words[:verb]), words[verb + 1 :]
        agrees = words[verb].endswith("s") or english.is_plural(noun)  # "a rough call" is no sentence
        if english.has_preposition(noun) or not agrees:
            return Wording((bare,), (caption,))
        going = ing_form(words[verb])
        be = "are" if english.is_plural(noun) else "is"
        progressive = " ".join([noun, going, *tail])
        label = english.split_determiner(progressive)[1]
        return Wording((label,), (progressive,), (caption, " ".join([noun, be, going, *tail])))
    if len(words) > 1 and determiner == "" and words[-1] in _SOUND_NOUNS:
        going = " ".join([*words[:-1], ing_form(words[-1])])
        return Wording((caption, going), (caption, f"{english.article(caption)} {caption}", going))
    return Wording((bare,), (caption,))


def ing_form(verb: str) -> str:
    """The participle: "barks" or "bark" -> "barking", "closes" -> "closing", "slam" -> "slamming"."""
    base = verb if verb in _SOUND_NOUNS else _base(verb)
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return base[:-1] + "ing"
    # One vowel before one consonant, in a word of one syllable: that is doubled.
    if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", base):
        return base + base[-1] + "ing"
    return base + "ing"


def _base(verb: str) -> str:
    """The plain form of a third person: "barks" -> "bark", "cries" -> "cry", "closes" -> "close"."""
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if verb.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else verb


def _styled(rng: np.random.Generator, text: str) -> str:
    """Mostly as it is, sometimes as a sentence with a capital and a full stop."""
    draw = rng.random()
    if draw < 0.78:
        return text
    if draw < 0.84:
        return text + "."
    text = text[:1].upper() + text[1:]
    return text if draw < 0.92 else text + "."
