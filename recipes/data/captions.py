"""Captions out of what people write beside their sounds: sentences, lists of tags, titles.

Source of the rules for tags and of `normalize_caption`: AudioGen (Kreuk et al. 2023), section on data sets.
The tags of a sound are joined to a pseudo-sentence ("dog, bark, park" -> "dog bark park"); stop words and
numbers are removed, and every remaining word is replaced by its dictionary form ("a dog is barking at the
park" -> "dog bark park"). The published checkpoint was configured without that normalisation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

# Which entries hold what, in the order in which they are looked for; names are compared in lower case.
# A number at the end counts on: caption_1, caption_2, … (Clotho).
SENTENCE_KEYS = (
    "captions", "caption", "text", "description", "descriptions", "prompt", "transcription", "transcript",
    "sentence",
)  # fmt: skip
TAG_KEYS = ("keywords", "tags", "labels", "label")
TITLE_KEYS = ("title", "name")

_NUMBERED = re.compile(r"(.+?)[ _-]?(\d{1,3})")
_TAG_SEPARATORS = re.compile(r"[,;|\n]")
_NOT_WORDS = re.compile(r"[^\w'’-]+|_")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # letters only: what holds a digit is a number or a code
_WITH_DIGIT = re.compile(r"\S*\d\S*")

# English function words: they say how things stand to each other, not what sounds.
_STOP_WORDS = frozenset(
    _WORD.findall(
        """
        a an the this that these those some any each every both few more most other another such own
        same no nor not only so than too very just also again further then once here there when where
        why how all i me my mine myself we us our ours ourselves you your yours yourself yourselves he
        him his himself she her hers herself it its itself they them their theirs themselves what which
        who whom whose am is are was were be been being have has had having do does did doing can could
        will would shall should may might must and but or if because as until while of at by for with
        about against between into through during before after above below to from up down in out on off
        over under near onto upon within without across along around behind beside toward towards s t
        don doesn didn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn
        """
    )
)
_NUMBER_WORDS = frozenset(
    _WORD.findall(
        """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
        sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
        hundred thousand million
        """
    )
)
# The first part of speech whose lemma differs from the word wins; nouns first, since captions name things.
_PARTS_OF_SPEECH = ("NOUN", "PROPN", "VERB", "ADJ", "ADV")


def captions_of(entry: Mapping[Any, Any]) -> tuple[str, ...]:
    """The captions in a row of metadata or a side-car file, in order, without repeats.

    Sentences (`SENTENCE_KEYS`: a string, or a list of several captions) come first. Without any, a list of
    tags (`TAG_KEYS`: a list, or a string with commas) is joined by `join_tags`; without those, the title
    counts.
    """
    values = {str(key).strip().lower(): value for key, value in entry.items() if value}
    sentences = [text for key in _sentence_keys(values) for text in _texts(values[key])]
    if not sentences:
        tags = [tag for key in TAG_KEYS for text in _texts(values.get(key)) for tag in split_tags(text)]
        sentences = [join_tags(tags)] if tags else []
    if not any(sentences):
        sentences = [text for key in TITLE_KEYS for text in _texts(values.get(key))][:1]
    return tuple(dict.fromkeys(text for text in sentences if text))


def caption_keys(keys: Iterable[str]) -> list[str]:
    """Those of the keys, in lower case, that hold sentences, tags or titles, in the order of preference."""
    present = list(keys)
    return [*_sentence_keys(present), *(key for key in (*TAG_KEYS, *TITLE_KEYS) if key in present)]


def _sentence_keys(keys: Iterable[str]) -> list[str]:
    """Those that hold sentences, in order: "caption" before "caption_1", that before "caption_2"."""
    places = []
    for key in keys:
        numbered = _NUMBERED.fullmatch(key)
        name, number = (numbered[1], int(numbered[2])) if numbered else (key, -1)
        if name in SENTENCE_KEYS:
            places.append((SENTENCE_KEYS.index(name), number, key))
    return [key for _, _, key in sorted(places)]


def _texts(value: Any) -> list[str]:
    """Strings in a value that is a string or a list of them, without surplus white space."""
    items = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else []
    return [text for item in items if isinstance(item, str) and (text := " ".join(item.split()))]


def split_tags(text: str) -> list[str]:
    """Split "Dog, Bark|park" into its tags."""
    return [tag for part in _TAG_SEPARATORS.split(text) if (tag := part.strip())]


def join_tags(tags: Iterable[str]) -> str:
    """Join tags to a pseudo-sentence: ["Dog", "bark_(outdoors)", "dog"] -> "dog bark outdoors".

    Underscores, slashes and brackets separate words; a tag that is there already is left out.
    """
    cleaned = (" ".join(_NOT_WORDS.sub(" ", tag.lower()).split()) for tag in tags)
    return " ".join(dict.fromkeys(tag for tag in cleaned if tag))


def normalize_caption(text: str) -> str:
    """Reduce a caption to key words: no stop words, no numbers, every word in its dictionary form.

    "Two dogs are barking at the park" -> "dog bark park". English only. A caption of which nothing would be
    left comes back as it is, since an empty one would mean "no caption".

    Raises:
        ModuleNotFoundError: the package lemminflect is missing; the message says how to get it.
    """
    words = (word.replace("’", "'") for word in _WORD.findall(_WITH_DIGIT.sub(" ", text.lower())))
    words = (word.partition("'")[0] for word in words)  # "man's", "isn't"
    kept = [_lemma(word) for word in words if word not in _STOP_WORDS and word not in _NUMBER_WORDS]
    return " ".join(kept) or text


@lru_cache(maxsize=65536)
def _lemma(word: str) -> str:
    # Imported here: most runs do without, and its tables take half a second to load.
    try:
        from lemminflect import getAllLemmas
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "normalize_captions needs the package lemminflect; get it with: pip install 'soundloom[captions]'"
        ) from None
    found = getAllLemmas(word)
    lemmas = [found[part][0] for part in _PARTS_OF_SPEECH if found.get(part)]
    changed = [lemma for lemma in lemmas if lemma != word]
    return changed[0] if changed else word
