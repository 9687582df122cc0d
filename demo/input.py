"""Check and read sound files that were uploaded."""

from __future__ import annotations

import math
import os
from pathlib import Path

from torch import Tensor

from ..core.audio import AudioError, check_sound
from ..core.sound_reader import open_sound

BLOCK_SECONDS = 10.0  # that are read at once where only a look at a sound is wanted


def say_seconds(seconds: float) -> str:
    """A length for people: "12.5 s"; from two minutes on "10 minutes" or, rounded up, "10 min 1 s"."""
    if seconds < 120:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} minutes"


def read_upload(path: str | os.PathLike[str], *, limit: float) -> tuple[Tensor, int]:
    """Read a sound file that is at most `limit` seconds long.

    Returns:
        Samples float32 `[C, N]` and their rate in Hz.

    Raises:
        AudioError: no sound, a damaged one, or one that is too long.
    """
    name = Path(path).name
    with open_sound(path, name=name) as sound:
        longest = math.floor(limit * sound.sample_rate)
        # One sample more tells that there are more, also where the header does not.
        samples = sound.read(0, longest + 1 if sound.about is None or sound.about <= longest else 0)
        if samples.shape[-1] > longest or (sound.about or 0) > longest:
            raise _too_long(name, sound.seconds, limit)
        if not samples.shape[-1]:
            raise AudioError(f"{name} holds 0 samples; use a file that is not empty")
        check_sound(samples, name)
        return samples, sound.sample_rate


def check_upload(path: str | os.PathLike[str], *, limit: float) -> None:
    """Raise AudioError unless a file is a sound of at most `limit` seconds; memory does not grow with it."""
    name = Path(path).name
    with open_sound(path, name=name) as sound:
        longest, count = math.floor(limit * sound.sample_rate), 0
        if (sound.about or 0) > longest:
            raise _too_long(name, sound.seconds, limit)
        for block in sound.blocks(round(BLOCK_SECONDS * sound.sample_rate)):
            check_sound(block, name)
            count += block.shape[-1]
            if count > longest:
                raise _too_long(name, None, limit)
        if not count:
            raise AudioError(f"{name} holds 0 samples; use a file that is not empty")


def _too_long(name: str, seconds: float | None, limit: float) -> AudioError:
    lasts = f"more than {say_seconds(limit)}" if seconds is None else say_seconds(seconds)
    return AudioError(
        f"{name} lasts {lasts}; here at most {say_seconds(limit)} are allowed: cut it, or use the "
        "command line, which takes any length"
    )
