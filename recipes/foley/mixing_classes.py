"""The classes of a training mix: which come from renderings, which from recordings, and what each is.

Renderings serve the classes of the registry, but for those that are marked `rendered=False`; recordings serve
these too, but for those of RENDERED_ONLY, and the classes of RECORDED, for which there is no renderer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .sound_classes import CLASSES


@dataclass(frozen=True)
class MixingClass:
    """A class of a training mix.

    Attributes:
        name: snake_case, unique.
        tags: AudioSet's classes that are right for it.
        renderings: whether renderings of the Foley corpus belong into it.
        recordings: whether recordings belong into a mix that has renderings.
        words: regular expression: a caption in which it is found is one of a recording of this class.
    """

    name: str
    tags: tuple[str, ...]
    renderings: bool = False
    recordings: bool = True
    words: str = ""


# Whose renderings a tagger that never heard them recognises clearly oftener than recordings, both through the
# codec seanet-12hz (`soundloom evaluate RECORDINGS --renderings --codec`, see docs/evaluation.md).
RENDERED_ONLY = frozenset(
    [
        "applause",
        "bee",
        "birds",
        "camera_shutter",
        "car_horn",
        "cat",
        "coin",
        "door_knock",
        "drum_beat",
        "explosion",
        "flute",
        "guitar",
        "gunshot",
        "heartbeat",
        "helicopter",
        "laser_zap",
        "noise",
        "organ",
        "piano",
        "rain",
        "sea_waves",
        "sine_tone",
        "siren",
        "stream",
        "thunder",
        "train",
        "vacuum_cleaner",
        "water_drops",
        "whistle",
        "wind",
    ]
)

# In the order in which they are tried: what is told by a rarer word goes first.
RECORDED = (
    MixingClass(
        "cry",
        ("Crying, sobbing", "Baby cry, infant cry", "Whimper"),
        words=r"\b(cry|cries|crying|sobs?|sobbing)\b",
    ),
    MixingClass("sneeze", ("Sneeze",), words=r"\bsneez"),
    MixingClass(
        "laugh",
        ("Laughter", "Giggle", "Chuckle, chortle", "Baby laughter", "Snicker"),
        words=r"\b(laugh|giggl|chuckl)",
    ),
    MixingClass("scream", ("Screaming", "Shout", "Yell"), words=r"\b(scream|shout|yell)"),
    MixingClass(
        "breathing", ("Breathing", "Pant", "Gasp", "Sigh"), words=r"\b(breath|pant(s|ing)|gasp|sigh)"
    ),
    MixingClass("grunt", ("Grunt", "Groan"), words=r"\b(grunt|groan|moan)"),
    MixingClass(
        "eating",
        ("Chewing, mastication", "Biting", "Crunch"),
        words=r"\b(eat(s|ing)|chew|bit(es?|ing)|munch)",
    ),
    MixingClass(
        "speech",
        ("Speech", "Conversation", "Chatter"),
        words=r"\b(speaks?|speaking|speech|talk(s|ing)|words?)\b",
    ),
    MixingClass(
        "crowd", ("Crowd", "Cheering", "Hubbub, speech noise, speech babble"), words=r"\b(crowd|cheer)"
    ),
    MixingClass(
        "clap", ("Clapping", "Hands", "Slap, smack", "Finger snapping"), words=r"\b(clap|slap|finger snap)"
    ),
    MixingClass("punch", ("Whack, thwack", "Thump, thud", "Slap, smack"), words=r"\b(punch|kick)"),
    MixingClass("thud", ("Thump, thud", "Thunk", "Bang"), words=r"\b(thud|thump|thunk|body fall)"),
    MixingClass("whoosh", ("Whoosh, swoosh, swish", "Arrow"), words=r"\b(whoosh|swoosh|swish|swing)"),
    MixingClass("whip", ("Whip",), words=r"\bwhip"),
    MixingClass("splash", ("Splash, splatter", "Slosh", "Water"), words=r"\b(splash|slosh)"),
    MixingClass("pour", ("Pour", "Fill (with liquid)", "Trickle, dribble", "Liquid"), words=r"\bpour"),
    MixingClass(
        "tap_water",
        ("Water tap, faucet", "Sink (filling or washing)", "Water"),
        words=r"\b(faucet|tap water|sink|shower|bath)",
    ),
    MixingClass("toilet", ("Toilet flush",), words=r"\b(toilet|flush)"),
    MixingClass("steam", ("Steam", "Hiss"), words=r"\b(steam|hiss)"),
    MixingClass("geyser", ("Water", "Steam", "Boiling", "Gurgling"), words=r"\b(geyser|hot spring|mud ?pot)"),
    MixingClass("sizzle", ("Frying (food)", "Sizzle"), words=r"\b(fry|fries|frying|sizzl)"),
    MixingClass("creak", ("Creak", "Squeak", "Door"), words=r"\b(creak|squeak(ing|s)? (door|hinge)|hinge)"),
    MixingClass(
        "door",
        ("Door", "Slam", "Thunk", "Sliding door", "Cupboard open or close"),
        words=r"\b(door|gate|drawer|cupboard)\b",
    ),
    MixingClass("squeak", ("Squeak", "Squeal"), words=r"\bsqueak"),
    MixingClass("saw", ("Sawing", "Filing (rasp)", "Wood"), words=r"\b(saw(s|ing)?)\b"),
    MixingClass("keys", ("Keys jangling", "Jingle, tinkle"), words=r"\b(key ?rings?|keys jingl|jingl)"),
    MixingClass("chain", ("Clatter", "Rattle", "Clang"), words=r"\bchain"),
    MixingClass("sword", ("Clang", "Chink, clink", "Scrape"), words=r"\b(sword|blade|knife|dagger)"),
    MixingClass(
        "metal",
        ("Clang", "Chink, clink", "Ding", "Clatter"),
        words=r"\b(metal|iron|steel|tin(foil)?|anvil)\b",
    ),
    MixingClass(
        "dishes",
        ("Dishes, pots, and pans", "Cutlery, silverware", "Chink, clink"),
        words=r"\b(dish|plate|cutlery|spoon|fork|pots?|pans?)\b",
    ),
    MixingClass("glass", ("Glass", "Chink, clink", "Ding"), words=r"\b(glass|bottles?)\b"),
    MixingClass(
        "paper",
        ("Crumpling, crinkling", "Rustle", "Tearing"),
        words=r"\b(paper|cardboard|pages?|newspaper|envelope)\b",
    ),
    MixingClass(
        "tearing", ("Tearing", "Crumpling, crinkling"), words=r"\b(tear(s|ing)?|ripp?(s|ing)?|velcro)\b"
    ),
    MixingClass(
        "crumple", ("Crumpling, crinkling", "Crunch", "Rustle"), words=r"\b(crumpl|crinkl|foil|plastic bag)"
    ),
    MixingClass("cloth", ("Rustle", "Shuffle"), words=r"\b(cloth|fabric|leather|curtain|rustl)"),
    MixingClass("balloon", ("Squeak", "Burst, pop", "Squeal"), words=r"\bballoon"),
    MixingClass("ball", ("Basketball bounce", "Bouncing", "Thump, thud"), words=r"\b(basketball|bounc|ball)"),
    MixingClass("toy", ("Squeak", "Boing", "Ratchet, pawl"), words=r"\btoys?\b"),
    MixingClass("spring", ("Boing", "Zing"), words=r"\b(boing|spring tube|coil|spring)"),
    MixingClass(
        "rattle", ("Rattle (instrument)", "Rattle", "Maraca"), words=r"\b(rattl|shaker|maraca|rainstick)"
    ),
    MixingClass(
        "stones", ("Crunch", "Crack", "Scrape"), words=r"\b(stones?|rocks?|pebbles?|gravel falling)\b"
    ),
    MixingClass("wood", ("Wood", "Chop", "Crack", "Wood block"), words=r"\b(wood|wooden|stick|branch|log)\b"),
    MixingClass("horse", ("Horse", "Neigh, whinny", "Clip-clop"), words=r"\b(horse|neigh|hoof|hooves)"),
    MixingClass("pig", ("Pig", "Oink"), words=r"\b(pig|oink|hog)"),
    MixingClass("wolf", ("Howl", "Canidae, dogs, wolves"), words=r"\b(wolf|wolves|coyotes?|howl)"),
    MixingClass(
        "big_cat",
        ("Roaring cats (lions, tigers)", "Roar", "Growling"),
        words=r"\b(lion|tiger|leopard|cougar|panther|roars?)\b",
    ),
)


def mixing_classes() -> dict[str, MixingClass]:
    """All classes of a mix by name: those of the registry, then those that only recordings serve."""
    rendered = [
        MixingClass(sound.name, sound.tags, sound.rendered, sound.name not in RENDERED_ONLY)
        for sound in CLASSES.values()
    ]
    return {mixed.name: mixed for mixed in (*rendered, *RECORDED)}


def class_of_recording(caption: str, sound_class: str = "") -> str | None:
    """The mixing class of a recording.

    Args:
        caption: what it sounds like.
        sound_class: its rough class, if somebody noted one. One of the registry goes before the caption's
            words, another one behind them.

    Returns:
        A name, or None where neither says.
    """
    if sound_class in CLASSES:
        return sound_class
    text = caption.lower()
    found = next((mixed.name for mixed in RECORDED if re.search(mixed.words, text)), None)
    return found or (sound_class if any(mixed.name == sound_class for mixed in RECORDED) else None)
