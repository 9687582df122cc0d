"""The little English the caption grammar needs: articles, agreement, number words, participles."""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_DETERMINERS = ("a", "an", "the", "some", "one", "several", "many", "two", "three", "someone's", "somebody's")
_PRONOUNS = ("someone", "somebody", "something", "people", "everyone", "everybody")
_PREPOSITIONS_TEXT = "of on in at up from with over through to into by near under against for behind being"
_PREPOSITIONS = frozenset(_PREPOSITIONS_TEXT.split())
_SINGULAR_IN_S = ("bus", "gas", "glass", "series", "chorus", "news", "tennis")
_PLURAL_NOT_IN_S = ("people", "children", "men", "women", "geese", "mice", "feet", "cattle")
_MANNER_TEXT = (
    "loudly quietly softly faintly gently slowly quickly rapidly steadily heavily lightly briefly "
    "fast hard furiously sharply calmly vigorously frantically irregularly regularly"
)
_MANNER = frozenset(_MANNER_TEXT.split())
_AN_DESPITE_CONSONANT = re.compile(r"(hour|honest|honour|heir|8|11|18)")
_A_DESPITE_VOWEL = re.compile(r"(uni(?!n|m)|use|usu|eu|one\b|once\b|ukulele|u\b)")


def article(phrase: str) -> str:
    """Return "a" or "an", whichever belongs before `phrase`."""
    text = phrase.lower()
    if _AN_DESPITE_CONSONANT.match(text):
        return "an"
    if _A_DESPITE_VOWEL.match(text):
        return "a"
    return "an" if text[:1] in "aeiou" else "a"


def split_determiner(phrase: str) -> tuple[str, str]:
    """Split "a dog" into ("a", "dog"); a phrase without determiner gives ("", phrase)."""
    first, _, rest = phrase.partition(" ")
    return (first, rest) if rest and first.lower() in _DETERMINERS else ("", phrase)


def takes_adjective(phrase: str) -> bool:
    """Whether an adjective can stand before the noun ("a dog": yes; "someone", "someone's steps": no)."""
    first = phrase.split(" ", 1)[0].lower()
    return first not in _PRONOUNS and not first.endswith("'s")


def with_adjectives(phrase: str, adjectives: Sequence[str]) -> str:
    """Put adjectives before the noun and correct the article: ("a dog", ["old"]) -> "an old dog"."""
    if not adjectives:
        return phrase
    determiner, noun = split_determiner(phrase)
    noun = f"{' '.join(adjectives)} {noun}"
    if determiner in ("a", "an"):
        determiner = article(noun)
    return f"{determiner} {noun}".strip()


def has_preposition(phrase: str) -> bool:
    """Whether the phrase goes on behind its noun ("a man on a gravel path")."""
    return any(word in _PREPOSITIONS for word in phrase.split())


def is_modifier_after(words: str) -> bool:
    """Whether an attribute's words stand behind what they describe ("on gravel", "slowly")."""
    first = words.split(" ", 1)[0]
    return first in _PREPOSITIONS or is_manner(words)


def is_manner(words: str) -> bool:
    """Whether the words say how something is done ("slowly") and so need a verb."""
    return words in _MANNER


def is_plural(subject: str) -> bool:
    """Guess whether a noun phrase takes a plural verb ("waves of the sea": yes; "a pair of shoes": no)."""
    determiner, noun = split_determiner(subject.lower())
    if determiner in ("a", "an", "one"):
        return False
    head = re.split(rf"\s(?:{'|'.join(sorted(_PREPOSITIONS))})\s", noun)[0]
    if " and " in head:
        return True
    last = head.split()[-1]
    if last in _PLURAL_NOT_IN_S:
        return True
    return last.endswith("s") and not last.endswith(("ss", "us", "'s")) and last not in _SINGULAR_IN_S


def agree(subject: str, verb: str) -> str:
    """Bring the first word of a present-tense predicate into the number of its subject."""
    first, _, rest = verb.partition(" ")
    if first.endswith("ly") and rest:
        return f"{first} {agree(subject, rest)}"
    first = _plural_verb(first) if is_plural(subject) else _singular_verb(first)
    return f"{first} {rest}".strip()


def _plural_verb(word: str) -> str:
    irregular = {"is": "are", "has": "have", "does": "do", "goes": "go", "was": "were"}
    if word in irregular:
        return irregular[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _singular_verb(word: str) -> str:
    irregular = {"are": "is", "have": "has", "do": "does", "go": "goes", "were": "was"}
    if word in irregular:
        return irregular[word]
    if (word.endswith("s") and not word.endswith("ss")) or word in ("can", "will", "may"):
        return word
    if word.endswith(("ch", "sh", "ss", "x", "zz")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def participle(verb: str) -> str | None:
    """Return "barking" for "is barking", None for a predicate that has no such form."""
    first, _, rest = verb.partition(" ")
    return rest if first in ("is", "are") and rest.split(" ", 1)[0].endswith("ing") else None


def names_action(noun: str) -> bool:
    """Whether "... three times" behind the noun counts the sound: "dog barking" yes, "a barking dog" no."""
    words = noun.split()
    following = (*words[1:], "")
    return any(
        word.endswith("ing")
        and len(word) > 4
        and (not after or after in _PREPOSITIONS or after in _DETERMINERS)
        for word, after in zip(words, following, strict=True)
    )


def times(count: int, digits: bool = False) -> tuple[str, ...]:
    """Ways to say how often: 2 -> ("twice", "two times"); `digits` gives ("2 times",)."""
    if digits and count > 1:
        return (f"{count} times",)
    if count == 1:
        return ("once", "one time", "just once", "only once")
    if count == 2:
        return ("twice", "two times")
    return (f"{NUMBER_WORDS[count]} times",)


def number(count: int, digits: bool = False) -> str:
    """Return a number word up to ten, or its digits."""
    return str(count) if digits or count >= len(NUMBER_WORDS) else NUMBER_WORDS[count]
