"""Contenders of a codec comparison: this package's codecs and Opus, all through the bytes of a file."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...codecs.base import Codec
from ...codecs.container import Compressed
from ...codecs.frames.storage import Storage, choose_storage, storages
from .opus import CLOCK, MIN_KBPS, Opus, find_opus


class Contender(ABC):
    """A codec at one setting.

    Attributes:
        name: shown in the table.
        family: points of a family are joined in the plot.
        sample_rate: Hz at which it works; it cannot return anything above half of that.
    """

    name: str
    family: str
    sample_rate: int

    @abstractmethod
    def encode(self, samples: Tensor, sample_rate: int) -> bytes:
        """Sound `[C, N]` -> the whole file that would be stored."""

    @abstractmethod
    def decode(self, data: bytes, sample_rate: int, length: int) -> Tensor:
        """The file -> sound `[C, length]` at `sample_rate` Hz."""


class CodecContender(Contender):
    """One of this package's codecs, through `compress` and the bytes of its file.

    Args:
        codec: the codec; several contenders may share it.
        family: its name.
        storage: what of it is stored; None: what `compress` chooses by itself.
    """

    def __init__(self, codec: Codec, family: str, storage: Storage | None = None) -> None:
        self.codec, self.family, self.sample_rate = codec, family, codec.sample_rate
        self.name = family
        self.settings: dict[str, Any] = {}
        if storage is not None:
            self.name = f"{family} {storage.bitrate / 1000:.3g}"
            if storage.kind == "codes":
                self.settings = {"codebooks": storage.shape[0]}
            else:
                self.name += f" {storage.precision}"
                self.settings = {"precision": storage.precision}

    def encode(self, samples: Tensor, sample_rate: int) -> bytes:
        name = self.codec.name or "unnamed"  # a codec from a folder has none; what is stored is not kept
        return self.codec.compress(samples, sample_rate, name=name, **self.settings).to_bytes()

    def decode(self, data: bytes, sample_rate: int, length: int) -> Tensor:
        samples, rate = self.codec.decompress(Compressed.from_bytes(data))
        if rate != sample_rate or samples.shape[-1] != length:
            got = f"{samples.shape[-1]} samples at {rate} Hz"
            raise RuntimeError(f"{self.name} returned {got}, not {length} at {sample_rate} Hz")
        return samples


def codec_contenders(name: str, codec: Codec, rates: Sequence[float] | None = None) -> list[Contender]:
    """A contender for every bit rate at which a codec can store sound.

    Args:
        name: shown in the report.
        codec: the codec.
        rates: kbit/s; of what the codec has, the nearest below each is taken. None: all that it has.

    Raises:
        ValueError: a rate below all that the codec has.
    """
    offered = storages(codec)
    if rates is not None:
        chosen = [choose_storage(codec, bitrate=1000 * rate) for rate in rates]
        offered = [storage for storage in offered if storage in chosen]
    return [CodecContender(codec, name, storage) for storage in offered]


def parse_codecs(text: str) -> list[tuple[str, list[float] | None]]:
    """Read "seanet-16khz,encodec-24khz:3:6": names of codecs, each with the kbit/s to try, or None.

    Raises:
        ValueError: an empty name, one that is given twice, or a bit rate that is no number above 0.
    """
    chosen: dict[str, list[float] | None] = {}
    for part in text.split(","):
        name, *rates = (word.strip() for word in part.split(":"))
        if not name or name in chosen:
            raise ValueError(
                f"{text!r} has an empty name or one given twice; use for example seanet-16khz,encodec-24khz:6"
            )
        chosen[name] = parse_rates(":".join(rates), ":") if rates else None
    return list(chosen.items())


def parse_rates(text: str, separator: str = ",") -> list[float]:
    """Read "6,12,24": bit rates in kbit/s.

    Raises:
        ValueError: something that is no number above 0, or a number given twice.
    """
    rates: list[float] = []
    for word in text.split(separator):
        try:
            rate = float(word)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf or rate in rates:
            raise ValueError(
                f"{text!r} is no list of bit rates: {word!r} must be a number of kbit/s above 0, once"
            )
        rates.append(rate)
    return rates


class OpusContender(Contender):
    """Opus at a target bit rate."""

    family = "Opus"
    sample_rate = CLOCK

    def __init__(self, opus: Opus, kbps: float) -> None:
        self.opus, self.kbps, self.name = opus, kbps, f"Opus {kbps:g}"

    def encode(self, samples: Tensor, sample_rate: int) -> bytes:
        return self.opus.encode(samples, sample_rate, self.kbps)

    def decode(self, data: bytes, sample_rate: int, length: int) -> Tensor:
        return self.opus.decode(data, sample_rate, length)


def opus_contenders(tool: str, rates: Sequence[float], channels: int) -> tuple[list[Contender], list[str]]:
    """Opus at several bit rates, and what a reader of the report has to know about it.

    Args:
        tool: "auto", "opusenc" or "libsndfile".
        rates: kbit/s; those below 6 for each channel are left out, as Opus has none.
        channels: of the sounds.
    """
    if not rates:
        return [], []
    opus = find_opus(tool)
    if opus is None:
        wanted = "opusenc and opusdec are" if tool == "opusenc" else "no Opus encoder is"
        return [], [f"Opus was left out: {wanted} not installed (Debian: apt-get install opus-tools)"]
    lowest = MIN_KBPS * channels
    notes = [f"Opus by {opus.tool}"]
    if low := [f"{rate:g}" for rate in rates if rate < lowest]:
        notes.append(
            f"Opus at {', '.join(low)} kbit/s was left out: it begins at {MIN_KBPS} kbit/s for each channel"
        )
    return [OpusContender(opus, rate) for rate in rates if rate >= lowest], notes
