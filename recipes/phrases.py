"""Phrases from which a small text encoder learns what a large one makes of words: captions, and WordNet.

The captions of a corpus say little of what people type. WordNet (Miller 1995, "WordNet: A Lexical Database for
English"; in Debian the package `wordnet-base`, in `/usr/share/wordnet`) knows the words: its nouns, verbs and
adjectives are put together at random to phrases like those of prompts, and its definitions and examples are
taken as they are. That many of them make no sense is no fault: what is learned is what words add up to.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
LONGEST = 14  # words of a definition or an example

# Files of WordNet's lexicographers: nouns that are seen and touched, places, verbs that somebody does.
_THINGS = {4, 5, 6, 8, 11, 13, 17, 18, 19, 20, 27}
_PLACES = {6, 15, 17}
_DEEDS = {29, 30, 32, 33, 34, 35, 36, 38, 39, 43}

_ARTICLES = ("a", "the", "some", "an old", "a big", "a small", "two", "many", "")
_PREPOSITIONS = (
    *("in", "on", "near", "at", "behind", "through", "over", "under", "against", "from", "with"),
    *("into", "across", "beside", "outside", "inside", "around"),
)
_PEOPLE = ("someone", "a man", "a woman", "a child", "people", "a person", "kids", "somebody")
_OPENINGS = ("sound of", "noise of", "the sound of", "recording of", "hearing", "a")


@dataclass(frozen=True)
class Lexicon:
    """Words of WordNet, and what it says of them.

    Attributes:
        things, places, deeds, qualities: nouns, nouns, verbs and adjectives.
        sentences: definitions and examples of at most LONGEST words.
    """

    things: list[str]
    places: list[str]
    deeds: list[str]
    qualities: list[str]
    sentences: list[str]


def read_wordnet(folder: str | Path = WORDNET) -> Lexicon:
    """Read the files `data.noun`, `data.verb`, `data.adj` and `data.adv` of a WordNet 3 database.

    Raises:
        FileNotFoundError: one is missing.
    """
    folder = Path(folder)
    lexicon = Lexicon([], [], [], [], [])
    for part in ("noun", "verb", "adj", "adv"):
        file = folder / f"data.{part}"
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is missing; name the folder of a WordNet 3 database (Debian: apt install wordnet-base)"
            )
        for kind, words, sentences in _entries(file):
            lexicon.sentences.extend(sentences)
            if part == "noun" and kind in _THINGS:
                lexicon.things.extend(words)
            if part == "noun" and kind in _PLACES:
                lexicon.places.extend(words)
            if part == "verb" and kind in _DEEDS:
                lexicon.deeds.extend(words)
            if part == "adj":
                lexicon.qualities.extend(words)
    return lexicon


def _entries(file: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    """Of every set of synonyms: its lexicographer's file, its words, and its definition and examples."""
    for line in file.read_text(encoding="latin1").splitlines():
        if line.startswith("  ") or " | " not in line:  # the licence at the top
            continue
        facts, _, gloss = line.partition(" | ")
        fields = facts.split()
        count = int(fields[3], 16)
        words = [re.sub(r"\(.*\)", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
        words = [word for word in words if re.fullmatch(r"[a-z][a-z' -]*", word) and word.count(" ") < 3]
        definition = re.sub(r"\([^)]*\)", "", re.split(r';\s*"', gloss)[0]).strip(" ;")
        told = [definition, *words[:1], *re.findall(r'"([^"]+)"', gloss)]
        yield int(fields[1]), words, [text for text in told if text and len(text.split()) <= LONGEST]


def present_participle(verb: str) -> str:
    """The -ing form of the first word, by the rules of spelling: "run up" -> "running up"."""
    head, *rest = verb.split(" ")
    if head.endswith("ie"):
        head = head[:-2] + "y"
    elif head.endswith("e") and not head.endswith(("ee", "oe", "ye")) and len(head) > 2:
        head = head[:-1]
    elif re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", head):
        head += head[-1]
    return " ".join([head + "ing", *rest])


class PhraseMaker:
    """Makes phrases at random.

    Args:
        lexicon: words.
        captions: of sounds; empty: phrases of the lexicon alone.
        seed: of what is made.
    """

    def __init__(self, lexicon: Lexicon, captions: Sequence[str] = (), *, seed: int = 0) -> None:
        self.lexicon, self.captions = lexicon, sorted(set(captions))
        self.words = sorted(
            {word for text in self.captions for word in re.findall(r"[a-z']{3,}", text.lower())}
        )
        self._random = random.Random(seed)

    def phrases(self, count: int) -> list[str]:
        """Distinct phrases in random order: a fifth captions, three tenths WordNet's own, the rest made.

        Raises:
            ValueError: count is not positive.
        """
        if count < 1:
            raise ValueError(f"count is {count}; it must be at least 1")
        own = sorted({*self.lexicon.sentences, *self.lexicon.things, *self.lexicon.deeds})
        found = set(self._some(self.captions, count // 5)) | set(self._some(own, 3 * count // 10))
        for _ in range(20 * count):  # few words make few phrases
            if len(found) >= count:
                break
            mixed = self.captions and self._random.random() < 0.5
            found.add(self._mixed() if mixed else self._made())
        chosen = sorted(found)
        self._random.shuffle(chosen)
        return chosen

    def _some(self, texts: Sequence[str], count: int) -> list[str]:
        return self._random.sample(texts, min(count, len(texts)))

    def _made(self) -> str:
        """A phrase of words of the lexicon."""
        pick, lexicon = self._random.choice, self.lexicon
        thing, quality = pick(lexicon.things), pick(lexicon.qualities)
        doing = present_participle(pick(lexicon.deeds))
        article, place = pick(_ARTICLES), f"{pick(('a', 'the', ''))} {pick(lexicon.places)}"
        return _joined(
            *pick(
                (
                    (article, thing, doing),
                    (article, thing, doing, pick(_PREPOSITIONS), place),
                    (doing, pick(_ARTICLES), thing),
                    (pick(_PEOPLE), doing, pick(_ARTICLES), thing),
                    (quality, thing),
                    (pick(_OPENINGS), thing, doing),
                    (thing, pick(_PREPOSITIONS), place),
                    (quality, thing, doing),
                )
            )
        )

    def _mixed(self) -> str:
        """A caption that was changed, or words of captions among those of the lexicon."""
        pick = self._random.choice
        caption, thing = pick(self.captions).rstrip("."), pick(self.lexicon.things)
        words = caption.split()
        swapped = list(words)
        swapped[self._random.randrange(len(words))] = pick(self.words)
        return _joined(
            *pick(
                (
                    (caption, pick(_PREPOSITIONS), pick(("a", "the")), pick(self.lexicon.places)),
                    (pick(self.lexicon.qualities), caption),
                    swapped,
                    (pick(self.words), pick(self.words)),
                    (thing, pick(self.words)),
                    (pick(self.words), pick(_PREPOSITIONS), pick(("a", "the", "")), thing),
                    (pick(_PEOPLE), pick(self.words), pick(("a", "the", "")), thing),
                )
            )
        )


def _joined(*parts: str) -> str:
    return " ".join(" ".join(parts).split())
