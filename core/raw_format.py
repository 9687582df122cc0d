"""Samples without a header, as `--raw s16le:44100:2` names them."""

from __future__ import annotations

from dataclasses import dataclass

from .samples import AudioError

RAW_SUBTYPES = {
    "u8": "PCM_U8",
    "s8": "PCM_S8",
    "s16le": "PCM_16",
    "s24le": "PCM_24",
    "s32le": "PCM_32",
    "f32le": "FLOAT",
    "f64le": "DOUBLE",
}


@dataclass(frozen=True)
class RawFormat:
    """Headerless samples.

    Attributes:
        encoding: a key of RAW_SUBTYPES, for example "s16le".
        sample_rate: Hz; used for reading only.
        channels: used for reading only.
    """

    encoding: str
    sample_rate: int = 0
    channels: int = 0

    @classmethod
    def parse(cls, text: str, *, reading: bool) -> RawFormat:
        """Read "ENCODING:RATE:CHANNELS", or "ENCODING" alone for writing, as in "s16le:44100:2".

        Raises:
            AudioError: something else.
        """
        encoding, *numbers = text.split(":")
        example = "s16le:44100:2" if reading else "s16le"
        if encoding not in RAW_SUBTYPES:
            raise AudioError(
                f"raw format {text!r}: use one of {', '.join(RAW_SUBTYPES)} as the encoding, as in {example}"
            )
        if len(numbers) != (2 if reading else 0) or not all(number.isdecimal() for number in numbers):
            wanted = "encoding, sample rate and channels" if reading else "only the encoding"
            raise AudioError(f"raw format {text!r} is not understood; give {wanted}, as in {example}")
        return cls(encoding, *map(int, numbers))
