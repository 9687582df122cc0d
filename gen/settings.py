"""Generation settings: length, seed, guidance and sampling, as one object that checks itself.

`GenerationSettings` is the one list of them: `AudioGen` takes it, or its fields as keywords, and the command
line and the demo build their options from what `OPTIONS` says of each field. To add a way of sampling, add a
field here and use it in `Sampler` (sampling.py). Nothing heavy is imported, because `--help` reads this.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Self

from ..core.errors import ArgumentError
from .text.check_prompts import Prompts, list_prompts

MAX_SECONDS = 3600.0
MAX_GUIDANCE = 100.0
MAX_SEED = 2**63 - 1
# Keeps 0.58 s at 50 frames a second from being 28.999 frames, which would be cut to 28.
ROUNDING = 1e-6

# The guidance scale at a position of the sound: 0 is the first new frame, 1 the last.
Schedule = Callable[[float], float]
# One number, (start, end) to move between evenly, or a function of the position.
Guidance = float | tuple[float, float] | Schedule
Seeds = int | Sequence[int] | None


def check_number(name: str, value: float, low: float, high: float, meaning: str) -> float:
    """Return a number as float; TypeError if it is none, ValueError unless it lies in `[low, high]`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a number from {low:g} to {high:g} ({meaning})")
    if not math.isfinite(value) or not low <= value <= high:
        raise ArgumentError(f"{name} is {value}; allowed are {low:g} to {high:g} ({meaning})")
    return float(value)


def check_strength(name: str, value: float) -> float:
    """The strength of a LoRA adapter as float; errors as of `check_number`."""
    return check_number(f"the strength of {name}", value, -10.0, 10.0, "1 is as it was trained, 0 without it")


def check_integer(name: str, value: int, low: int, high: int | None = None, meaning: str = "") -> int:
    """Return an integer as int; TypeError if it is none, ValueError unless it lies in `[low, high]`."""
    rule = f"it must be an integer {f'of at least {low}' if high is None else f'from {low} to {high}'}"
    rule += f" ({meaning})" if meaning else ""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}; {rule}")
    if value < low or (high is not None and value > high):
        raise ArgumentError(f"{name} is {value}; {rule}")
    return int(value)


def count_frames(name: str, seconds: float, frame_rate: float) -> int:
    """Whole frames in a number of seconds; TypeError or ValueError unless it is one frame to 3600 s."""
    meaning = "seconds, at least one frame of the codec"
    return int(check_number(name, seconds, 1.0 / frame_rate, MAX_SECONDS, meaning) * frame_rate + ROUNDING)


def check_guidance(guidance_scale: Guidance) -> float | Schedule:
    """Return guidance as a number, or as a function of the position in the sound whose results are checked.

    Raises:
        TypeError, ValueError: it is, or its start or end is, no number of 0 to 100; what a function gives is
            checked when it is called.
    """
    if callable(guidance_scale):
        schedule: Schedule = guidance_scale
        return lambda position: _check_scale(schedule(position), f"guidance_scale({position:.3f})")
    if not isinstance(guidance_scale, (tuple, list)):
        return _check_scale(guidance_scale)
    if len(guidance_scale) != 2:
        raise ArgumentError(
            f"guidance_scale is {guidance_scale!r}; a pair is its value at the start and at the end"
        )
    start, end = guidance_scale
    start, end = _check_scale(start), _check_scale(end, "the end of guidance_scale")
    return start if start == end else lambda position: start + (end - start) * position


def _check_scale(value: float, name: str = "guidance_scale") -> float:
    return check_number(name, value, 0.0, MAX_GUIDANCE, "0 ignores the prompt, 1 follows it as trained")


def check_seeds(seed: Seeds) -> None:
    """Raise TypeError or ValueError unless it is None, or one or several integers from 0 to 2^63 - 1."""
    if isinstance(seed, (str, bytes)) or not isinstance(seed, (Integral, Sequence, type(None))):
        raise TypeError(f"seed is {seed!r}; it must be an integer, a list of integers or None")
    for value in seed if isinstance(seed, Sequence) else [] if seed is None else [seed]:
        check_integer("seed", value, 0, MAX_SEED)


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is said of a setting where it is offered, and which values it takes.

    Attributes:
        help: what it does, in one line.
        kind: of its values: float, int, str or bool.
        low, high: the least and the largest number; an integer has no largest.
        meaning: what these numbers mean, for messages.
        check: checks a value that need not be one number; raises what is wrong.
        default_help: what `--help` says of the default where that is more than the value.
        metavar: what stands for the value in `--help`.
        label: its name in the demo; empty: the demo does not offer it.
        slider: first value, last value and step of the demo's slider.
        default: the field's.
    """

    help: str
    kind: type
    low: float = 0.0
    high: float = math.inf
    meaning: str = ""
    check: Callable[[Any], object] | None = None
    default_help: str = ""
    metavar: str = "X"
    label: str = ""
    slider: tuple[float, float, float] | None = None
    default: Any = None

    def validate(self, name: str, value: Any) -> None:
        """Raise TypeError or ValueError unless the setting may have this value; the message names it."""
        if value is None and self.default is None:
            return
        if self.check is not None:
            self.check(value)
        elif self.kind is float:
            check_number(name, value, self.low, self.high, self.meaning)
        elif self.kind is int:
            check_integer(name, value, int(self.low), meaning=self.meaning)
        elif value not in (True, False):
            raise TypeError(f"{name} is {value!r}; it must be True or False")


def _about(help: str, kind: type, **option: Any) -> dict[str, Option]:
    """What a field of `GenerationSettings` carries as metadata."""
    return {"option": Option(help=help, kind=kind, **option)}


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """How sounds are generated. None stands for the model's own value.

    Attributes:
        duration: seconds of the result, what it continues included: from one frame of the codec to 3600, cut
            to whole frames. Beyond the model's `max_seconds` the sound is made in overlapping windows.
        seed: an integer for all prompts, or one for each. Same seed and prompt give the same sound whatever
            else is in the batch; the same prompt twice with one integer gives the same sound twice. None:
            random.
        num_samples: different sounds for each prompt.
        candidates: sounds that are made for each one that is returned; needs a scorer (`rerank`).
        negative_prompt: what to lead away from, one for all prompts or one for each: it takes the place of
            "no prompt" in guidance, so guidance_scale must be above 1.
        guidance_scale: 0 (ignore the prompt) to 100, 1 = as trained; usually 3. A pair moves evenly from the
            first to the second on the way; a function is called with the position in the sound, 0 at the
            first new frame and 1 at the last, and returns the scale there.
        temperature: 0 (always the likeliest) to 100, 1 = as trained.
        top_k: draw from the k likeliest codes, 0 = all; usually 250.
        top_p: draw from the likeliest codes up to this probability, 0 = off; replaces top_k.
        extend_stride: seconds from one window to the next in sounds that take several; usually 2.
        loop: let the end run into the beginning: the last second, at most a third of the sound, is made so
            that it leads there (see editing/close_loop.py).
        reference_padding: let the padding of shorter prompts take part in cross attention, as AudioCraft
            does; results then depend on the other prompts of the batch.

    Raises:
        TypeError, ValueError: a value is of a wrong type or out of range; the message names it and the range.
    """

    duration: float = field(
        default=5.0,
        metadata=_about(
            "length of the result, what it continues included",
            float,
            high=MAX_SECONDS,
            meaning="seconds, at least one frame of the codec",
            metavar="SECONDS",
            default_help="5; at most 3600",
            label="Duration (seconds)",
            slider=(0.5, 30, 0.5),
        ),
    )
    seed: Seeds = field(
        default=None,
        metadata=_about(
            "same seed, same sound",
            int,
            check=check_seeds,
            metavar="N",
            default_help="a new one, printed",
            label="Seed",
        ),
    )
    num_samples: int = field(default=1, metadata=_about("sounds a prompt", int, low=1, metavar="N"))
    candidates: int = field(
        default=1,
        metadata=_about(
            "make N for each sound and keep the one that sounds most like the prompt, as two small networks "
            "hear it",
            int,
            low=1,
            metavar="N",
            label="Best of",
            slider=(1, 8, 1),
        ),
    )
    negative_prompt: Prompts | None = field(
        default=None,
        metadata=_about(
            "what to lead away from, for example noise; needs guidance above 1",
            str,
            check=lambda prompts: list_prompts(prompts, "negative_prompt"),
            metavar="PROMPT",
            default_help="none",
            label="Negative prompt",
        ),
    )
    guidance_scale: Guidance | None = field(
        default=None,
        metadata=_about(
            "how closely to follow the prompt: 1 as trained, more is closer, 0 ignores it",
            float,
            check=check_guidance,
            default_help="the model's own, usually 3",
            label="Guidance",
            slider=(0, 10, 0.1),
        ),
    )
    temperature: float = field(
        default=1.0,
        metadata=_about(
            "how varied: 1 as trained, 0 always takes the likeliest code",
            float,
            high=100.0,
            meaning="0 is greedy, 1 samples as trained",
            label="Temperature",
            slider=(0, 2, 0.05),
        ),
    )
    top_k: int | None = field(
        default=None,
        metadata=_about(
            "draw from the K likeliest codes, 0 from all",
            int,
            meaning="0 is off",
            metavar="K",
            default_help="the model's own, usually 250",
            label="Top-k",
        ),
    )
    top_p: float = field(
        default=0.0,
        metadata=_about(
            "draw from the likeliest codes whose probabilities sum to P, up to 1; replaces top-k",
            float,
            high=1.0,
            meaning="0 turns it off",
            metavar="P",
            default_help="0, off",
            label="Top-p",
            slider=(0, 1, 0.01),
        ),
    )
    extend_stride: float | None = field(
        default=None,
        metadata=_about(
            "from one window to the next in sounds longer than the model's window; less keeps more context",
            float,
            high=MAX_SECONDS,
            meaning="seconds",
            metavar="SECONDS",
            default_help="the model's own, usually 2",
        ),
    )
    loop: bool = field(
        default=False,
        metadata=_about("let the end run into the beginning; a .wav gets the points of the loop", bool),
    )
    reference_padding: bool = field(
        default=False,
        metadata=_about(
            "let the padding of shorter prompts take part in attention, as AudioCraft does", bool
        ),
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            option.validate(name, getattr(self, name))
        if self.guidance_scale is not None and self.negatives():
            scale = check_guidance(self.guidance_scale)
            if not callable(scale) and scale <= 1.0:
                raise ArgumentError(
                    f"guidance_scale is {scale}; a negative prompt needs more than 1, because guidance is "
                    "what leads away from it"
                )

    @classmethod
    def of(cls, settings: GenerationSettings | float | None, overrides: Mapping[str, Any]) -> Self:
        """The settings that a call was made with.

        Args:
            settings: an object; a number is its duration in seconds; None: the defaults.
            overrides: of its fields.

        Raises:
            TypeError: neither settings nor a number, or an override that is no setting.
            ValueError: as the class.
        """
        for name in overrides:
            if name not in OPTIONS:
                near = difflib.get_close_matches(name, OPTIONS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPTIONS)}"
                raise TypeError(f"there is no setting {name!r} here; {hint}")
        if settings is None or isinstance(settings, Real):
            return cls(**({} if settings is None else {"duration": settings}) | dict(overrides))
        if not isinstance(settings, cls):
            raise TypeError(
                f"settings is {settings!r}; give GenerationSettings(...), or a duration in seconds"
            )
        return replace(settings, **overrides)

    @classmethod
    def of_edit(cls, settings: GenerationSettings | float | None, overrides: Mapping[str, Any]) -> Self:
        """As `of`, for an edit of a sound, which has a length already.

        Raises:
            TypeError: as `of`, or a duration, or a loop.
            ValueError: as the class.
        """
        chosen = (
            None if isinstance(settings, Real) or "duration" in overrides else cls.of(settings, overrides)
        )
        if chosen is None or chosen.loop:
            raise TypeError(
                "an edited sound keeps its length: give no duration and no loop; settings go by name: seed=7"
            )
        return chosen

    def fill(self, **own: Any) -> Self:
        """The settings with a model's own values where they are None."""
        return replace(self, **{name: own[name] for name in own if getattr(self, name) is None})

    def frames(self, frame_rate: float) -> int:
        """Whole frames of the duration at a codec's frame rate in Hz; ValueError below one frame."""
        return count_frames("duration", self.duration, frame_rate)

    def refuse_candidates(self, method: str) -> None:
        """Raise ValueError for candidates and loops, which need whole sounds, that a method does not have."""
        if self.candidates > 1:
            raise ArgumentError(
                f"candidates is {self.candidates}, but {method} has no whole sounds to choose from; use "
                "generate, or candidates=1"
            )
        if self.loop:
            raise ArgumentError(
                f"loop is True, but {method} has no whole sounds whose end could lead to their beginning; "
                "use generate, or loop=False"
            )

    def check_scorer(self, rerank: object) -> None:
        """Raise ValueError if there are candidates to choose from, but nothing that chooses."""
        if self.candidates > 1 and rerank is None:
            raise ArgumentError(
                f"candidates is {self.candidates}, but rerank is None; give a scorer that chooses, for "
                "example AudioTextScorer()"
            )

    def negatives(self, prompts: int | None = None) -> list[str]:
        """The negative prompt of each of so many prompts, or as they are; empty if there is none at all.

        Raises:
            ValueError: neither one for all prompts nor one for each.
        """
        if self.negative_prompt is None:
            return []
        texts = list_prompts(self.negative_prompt, "negative_prompt")
        if prompts is not None and len(texts) not in (1, prompts):
            raise ArgumentError(
                f"negative_prompt has {len(texts)} entries for {prompts} prompts; give one, or one for each"
            )
        texts = texts * prompts if len(texts) == 1 and prompts is not None else texts
        return texts if any(text.strip() for text in texts) else []


# What is said of each setting, by its name.
OPTIONS: dict[str, Option] = {
    each.name: replace(each.metadata["option"], default=each.default) for each in fields(GenerationSettings)
}
