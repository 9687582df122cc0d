"""Sentence patterns of the caption grammar, with their weights.

Slots: `{s}` a clause ("a dog barks twice"), `{np}` a noun phrase ("a dog barking", "three barks"), `{bare}` a
noun phrase without article or count ("dog barking"), `{tag}` a label ("dog", "3 dog barks"). Compositions
number them by time (then, while) or by importance (background: 1 is in front). Patterns named in CORE are
never held out.
"""

from __future__ import annotations

from collections.abc import Mapping

SINGLE: Mapping[str, float] = {
    "{s}": 5.0,
    "{np}": 5.0,
    "{tag}": 2.5,
    "the sound of {np}": 1.5,
    "sound of {np}": 0.7,
    "a recording of {np}": 0.8,
    "a field recording of {np}": 0.4,
    "a clip of {np}": 0.4,
    "an audio clip of {np}": 0.4,
    "audio of {np}": 0.4,
    "a sound effect of {np}": 0.5,
    "{bare} sound effect": 0.5,
    "{bare} sound": 0.5,
    "{bare} sounds": 0.3,
    "the noise of {np}": 0.5,
    "you can hear {np}": 0.8,
    "we hear {np}": 0.5,
    "I hear {np}": 0.4,
    "one hears {np}": 0.2,
    "{np} can be heard": 0.6,
    "listen to {np}": 0.3,
    "just {np}": 0.3,
    "only {np}": 0.3,
    "nothing but {np}": 0.3,
    "{np} and nothing else": 0.3,
    "there is the sound of {np}": 0.3,
    "it sounds like {np}": 0.2,
    "somebody recorded {np}": 0.2,
    "make the sound of {np}": 0.3,
    "play {np}": 0.2,
    "somewhere {s}": 0.3,
    "here {s}": 0.2,
    "in this recording {s}": 0.3,
    "{s} and nothing else happens": 0.2,
}

THEN: Mapping[str, float] = {
    "{s1}, then {s2}": 3.0,
    "{np1}, then {np2}": 2.5,
    "{np1} then {np2}": 2.0,
    "{np1} followed by {np2}": 2.0,
    "{s1}, followed by {np2}": 1.5,
    "{s1} and then {s2}": 1.5,
    "{np1} and then {np2}": 1.2,
    "first {np1}, then {np2}": 1.2,
    "first {s1} and then {s2}": 1.0,
    "first {s1}, then {s2}": 1.0,
    "{np2} after {np1}": 1.0,
    "{s2} after {np1}": 0.8,
    "after {np1}, {s2}": 0.8,
    "after {np1} comes {np2}": 0.4,
    "{np1} before {np2}": 0.8,
    "{s1} before {s2}": 0.8,
    "{np1}, after that {np2}": 0.6,
    "{s1}; afterwards {s2}": 0.5,
    "{s1}. then {s2}": 0.6,
    "{np1}, next {np2}": 0.4,
    "{np1} and later {np2}": 0.4,
    "to begin with {np1}, and finally {np2}": 0.3,
    "the sound of {np1} followed by the sound of {np2}": 0.6,
    "you can hear {np1} and then {np2}": 0.5,
    "we hear {np1}, then {np2}": 0.4,
    "{tag1}, then {tag2}": 1.2,
    "{tag1} then {tag2}": 1.0,
    "{tag1} followed by {tag2}": 0.6,
}

WHILE: Mapping[str, float] = {
    "{s1} while {s2}": 3.0,
    "{np1} while {s2}": 1.5,
    "{s1} as {s2}": 1.2,
    "while {s1}, {s2}": 0.8,
    "{np1} and {np2}": 2.0,
    "{s1} and {s2}": 1.0,
    "{np1} and {np2} at the same time": 1.5,
    "{s1} and {s2} at the same time": 0.8,
    "{np1} together with {np2}": 1.0,
    "{np1} mixed with {np2}": 0.8,
    "{np1} along with {np2}": 0.6,
    "{np1} during {np2}": 0.3,
    "both {np1} and {np2}": 0.6,
    "the sound of {np1} and of {np2} together": 0.4,
    "you can hear {np1} and {np2}": 0.6,
    "at once {np1} and {np2}": 0.2,
    "{tag1} and {tag2}": 1.2,
    "{tag1}, {tag2}": 0.8,
    "{tag1} with {tag2}": 0.5,
}

BACKGROUND: Mapping[str, float] = {
    "{np1} with {np2} in the background": 3.0,
    "{s1} with {np2} in the background": 2.5,
    "{s1}, with {np2} in the background": 1.0,
    "{np1} over {np2}": 1.0,
    "{s1} over {np2}": 0.6,
    "{np1} against a background of {np2}": 0.8,
    "{s1} against a background of {np2}": 0.6,
    "{s1}, and in the background {s2}": 0.8,
    "in the background {s2}, in front {s1}": 0.5,
    "{np2} in the background, {np1} in the foreground": 0.6,
    "{np1} in front of {np2}": 0.4,
    "{np1} and {np2} behind it": 0.4,
    "{s1} and {s2} in the background": 1.0,
    "you can hear {np1} and, in the background, {np2}": 0.5,
    "the sound of {np1} above a bed of {np2}": 0.3,
    "{tag1} with {tag2} in the background": 1.0,
    "{tag1}, {tag2} in the background": 0.8,
    "{tag1} over {tag2}": 0.5,
}

TEMPLATES: Mapping[str, Mapping[str, float]] = {
    "single": SINGLE,
    "then": THEN,
    "while": WHILE,
    "background": BACKGROUND,
}

CORE = frozenset(
    {
        "{s}",
        "{np}",
        "{tag}",
        "the sound of {np}",
        "{s1}, then {s2}",
        "{np1} then {np2}",
        "{np1} followed by {np2}",
        "{s1}, followed by {np2}",
        "{tag1}, then {tag2}",
        "{s1} while {s2}",
        "{np1} and {np2}",
        "{np1} with {np2} in the background",
        "{s1} with {np2} in the background",
    }
)
