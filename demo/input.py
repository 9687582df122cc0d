"""Sound files that somebody dropped on the page: checked before anything is computed from them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import soundfile
from torch import Tensor

from ..codecs.audio import AudioError, read_audio


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
    try:
        found = soundfile.info(str(path))
    except (soundfile.SoundFileError, TypeError):
        return read_audio(path)  # which says what is wrong with it
    if found.duration > limit:
        raise AudioError(
            f"{Path(path).name} lasts {say_seconds(found.duration)}; here at most {say_seconds(limit)} are "
            "allowed: cut it, or use the command line, which takes any length"
        )
    return read_audio(path)
