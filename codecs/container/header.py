"""The header of a compressed-audio file, every value checked; its bytes are in header_bytes.py.

Every number is checked here once, for files to be written and for files that were read, so that nothing
behind this module has to expect a hostile value.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from ...core.hub import CODEC_NAME
from .fields import ContainerError
from .tag_settings import is_tag_setting, pack_tags, unpack_tags

SUFFIX = ".loom"
MIME_TYPE = "audio/x-soundloom"

KINDS = {"codes": 1, "latents": 2}
PRECISIONS = {"codes": {"exact": 0}, "latents": {"float16": 1, "int8": 2}}
ENTROPY_CODERS = {"none": 0, "adaptive": 1}

MAX_VALUES = 2**20  # codes or latent numbers in a chunk: bounds the memory that a chunk can ask for
MAX_CODED = 4096  # codes in a chunk that the adaptive coder takes: its time grows with the square of them
MAX_CHUNKS = 2**21  # bounds the index; 24 days in chunks of 1 second
MAX_LENGTH = 2**48
MAX_SAMPLE_RATE = 1_000_000
MAX_CODEBOOKS = 1024
MAX_CODEBOOK_SIZE = 2**31
MAX_FRAME_RATE = 1_000_000
MAX_SETTINGS = 32
MAX_GAIN_DB = 60.0
MAX_PEAK = 1e6

CONFIG_HASH = re.compile(r"[0-9a-f]{16}")
WEIGHTS_HASH = re.compile(r"[0-9a-f]{8}")
SETTING_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# No separators: a setting is never a path.
SETTING_TEXT = re.compile(r"[A-Za-z0-9 ._+-]{0,255}")

Setting = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Header:
    """Everything that a decoder has to know before the first chunk; checked when it is made.

    Attributes:
        codec: what `load_codec` takes: a bundled name or a hub id "owner/name", never a path; at most 96
            characters.
        config_hash: 16 hexadecimal digits, see `config_hash`.
        sample_rate: Hz of the sound that decoding restores.
        channels: 1 or 2, of the sound that decoding restores.
        length: samples at `sample_rate`; None while unknown (a pipe): the end of the file then has it.
        kind: "codes" or "latents".
        shape: of one frame: `(K,)` for codes, `(S, D)` for latents.
        codebook_size: values that a code can take, 2 to 2**31; 0 for latents.
        frame_rate: frames per second of the coded sequence.
        frames_per_chunk: frames stored, checked and decoded together.
        precision: codes: "exact"; latents: "float16", or "int8" with a step per channel and chunk.
        entropy: "none", or the coder that chunks of codes may use.
        scale: loudness factor applied before encoding; decoding divides by it. 1.0 means none.
        settings: what else there is to know for decoding, by name: numbers, booleans, short texts. "weights",
            "gain_db", "peak" and "tags_00" and on have meanings of their own, see there.

    Raises:
        ContainerError: a value outside of what a file can hold.
    """

    codec: str
    config_hash: str
    sample_rate: int
    channels: int
    length: int | None
    kind: str
    shape: tuple[int, ...]
    codebook_size: int = 0
    frame_rate: Fraction
    frames_per_chunk: int
    precision: str
    entropy: str = "none"
    scale: float = 1.0
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_text("codec", self.codec, CODEC_NAME, "a bundled name or a hub id 'owner/name', never a path")
        if len(self.codec) > 96 or ".." in self.codec:
            raise ContainerError(f"codec is {self.codec!r}; use at most 96 characters and no '..'")
        _check_text("config_hash", self.config_hash, CONFIG_HASH, "16 lower-case hexadecimal digits")
        _check_int("sample_rate", self.sample_rate, 1, MAX_SAMPLE_RATE, "Hz")
        _check_int("channels", self.channels, 1, 2)
        if self.length is not None:
            _check_int("length", self.length, 0, MAX_LENGTH, "samples, or None while unknown")
        _check_choice("kind", self.kind, KINDS)
        _check_choice("precision", self.precision, PRECISIONS[self.kind])
        _check_choice("entropy", self.entropy, ENTROPY_CODERS)
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.kind == "codes":
            if len(self.shape) != 1:
                raise ContainerError(f"shape is {self.shape}; a frame of codes has the shape (K,)")
            _check_int("shape[0]", self.shape[0], 1, MAX_CODEBOOKS, "codebooks")
            _check_int("codebook_size", self.codebook_size, 2, MAX_CODEBOOK_SIZE)
        else:
            if len(self.shape) != 2:
                raise ContainerError(f"shape is {self.shape}; a frame of latents has the shape (S, D)")
            for place, size in enumerate(self.shape):
                _check_int(f"shape[{place}]", size, 1, MAX_VALUES)
            _check_int("codebook_size", self.codebook_size, 0, 0, "for latents")
            if self.entropy != "none":
                raise ContainerError(f"entropy is {self.entropy!r}; latents are stored with 'none'")
        self._check_time()
        if not isinstance(self.scale, float) or not 1e-9 <= self.scale <= 1e9:
            raise ContainerError(f"scale is {self.scale!r}; it must be a float from 1e-9 to 1e9")
        _check_settings(self.settings)
        object.__setattr__(self, "settings", dict(self.settings))

    def _check_time(self) -> None:
        rate = self.frame_rate
        if (
            not isinstance(rate, Fraction)
            or not 0 < rate <= MAX_FRAME_RATE
            or max(rate.numerator, rate.denominator) > 2**32
        ):
            raise ContainerError(
                f"frame_rate is {rate!r}; it must be a Fraction above 0 and at most {MAX_FRAME_RATE}, "
                "with numerator and denominator up to 2**32"
            )
        most = MAX_VALUES if self.entropy == "none" else MAX_CODED
        fitting = most // math.prod(self.shape)
        if fitting == 0:
            raise ContainerError(f"shape is {self.shape}; a frame has at most {most} values")
        _check_int(
            "frames_per_chunk",
            self.frames_per_chunk,
            1,
            fitting,
            f"with frames of shape {self.shape} and entropy {self.entropy!r}",
        )

    @property
    def weights(self) -> str | None:
        """8 hexadecimal digits of the weights that encoded, see `weights_hash`; None: not said."""
        found = self.settings.get("weights")
        return found if isinstance(found, str) else None

    @property
    def gain(self) -> float:
        """Factor on the decoded sound that gives it the level it had before encoding; 1.0 if not said."""
        return float(10 ** (self._number("gain_db", 0.0) / 20))

    @property
    def peak(self) -> float:
        """Largest absolute sample of the sound that was encoded, where it is beyond full scale; else 1.0."""
        return self._number("peak", 1.0)

    def _number(self, name: str, missing: float) -> float:
        found = self.settings.get(name)
        return found if isinstance(found, float) else missing

    def with_level(self, gain_db: float, peak: float) -> Header:
        """The same header with what `gain` and `peak` are read from; 0 dB and full scale are left out."""
        level = ({"gain_db": gain_db} if gain_db else {}) | ({"peak": peak} if peak > 1 else {})
        return replace(self, settings={**self.settings, **level})

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the sound that was encoded, see `core.sound_tags`."""
        return unpack_tags(self.settings)

    def with_tags(self, tags: Mapping[str, str], source: str) -> Header:
        """The same header with other tags, of the sound `source`; what has no room is left out."""
        kept = {name: value for name, value in self.settings.items() if not is_tag_setting(name)}
        return replace(self, settings=kept | pack_tags(tags, source))

    def with_length(self, length: int | None) -> Header:
        """The same header with another length."""
        return replace(self, length=length)

    def check_length(self, length: int, frames: int) -> None:
        """Raise ContainerError if `length` samples last longer than `frames`, with one frame to spare.

        A codec never makes fewer frames than its sound lasts, so a longer length is damage or an attempt to
        have gigabytes of silence made.
        """
        if length * self.frame_rate > (frames + 1) * self.sample_rate:
            longest = int((frames + 1) * self.sample_rate / self.frame_rate)
            raise ContainerError(
                f"length is {length} samples, but {frames} frames at {self.frame_rate} per second hold "
                f"at most {longest} at {self.sample_rate} Hz"
            )


def config_hash(codec: Any) -> str:
    """Tell configurations apart: 16 hexadecimal digits of the SHA-256 of a codec's configuration.

    What is hashed is `codec.config` as JSON with sorted keys and no spaces. Keys that start with "_" are left
    out, and so are settings that a codec's class got later (`LATER_SETTINGS`, with the values that stand for
    what was before them) where they have these values: files that were written before still name their codec.

    Raises:
        TypeError: the codec has no `config` mapping, or one that JSON cannot hold.
    """
    config = getattr(codec, "config", None)
    if not isinstance(config, Mapping):
        raise TypeError(f"{type(codec).__name__} has no `config` mapping to tell its versions apart by")
    later = getattr(codec, "LATER_SETTINGS", {})
    kept = {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and not (key in later and later[key] == value)
    }
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _check_int(name: str, value: Any, low: int, high: int, what: str = "") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        allowed = f"{low} to {high}" if low < high else str(low)
        raise ContainerError(f"{name} is {value!r}; allowed: {allowed}{' ' + what if what else ''}")


def _check_float(name: str, value: Any, low: float, high: float) -> None:
    if not isinstance(value, float) or not low <= value <= high:
        raise ContainerError(f"{name} is {value!r}; it must be a float from {low:g} to {high:g}")


def _check_text(name: str, value: Any, pattern: re.Pattern[str], allowed: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ContainerError(f"{name} is {value!r}; it must be {allowed}")


def _check_choice(name: str, value: Any, known: Mapping[str, int]) -> None:
    if value not in known:
        raise ContainerError(f"{name} is {value!r}; allowed: {', '.join(known)}")


def _check_settings(settings: Any) -> None:
    if not isinstance(settings, Mapping) or len(settings) > MAX_SETTINGS:
        raise ContainerError(f"settings must be a mapping of at most {MAX_SETTINGS} names")
    for name, value in settings.items():
        _check_text("a setting's name", name, SETTING_NAME, "1 to 64 of a-z, 0-9 and _, a letter first")
        if name == "weights":
            _check_text("setting weights", value, WEIGHTS_HASH, "8 lower-case hexadecimal digits")
        elif name == "gain_db":
            _check_float("setting gain_db", value, -MAX_GAIN_DB, MAX_GAIN_DB)
        elif name == "peak":
            _check_float("setting peak", value, 1.0, MAX_PEAK)
        elif isinstance(value, str):
            _check_text(
                f"setting {name}", value, SETTING_TEXT, "at most 255 of A-Z, a-z, 0-9, space and . _ + -"
            )
        elif isinstance(value, bool):
            pass
        elif isinstance(value, int):
            _check_int(f"setting {name}", value, -(2**63), 2**63 - 1)
        elif not isinstance(value, float) or not math.isfinite(value):
            raise ContainerError(f"setting {name} is {value!r}; use a number, a boolean or a short text")
    unpack_tags(settings)
