"""Samples for the page's player: of a sound while it is being generated, and afterwards of its file.

gr.Audio(streaming=True) would encode with ffmpeg, and shows the finished sound in a second player. Here the
page fetches plain samples as they come, see sound_player.py. Letters: C channels, n samples of each.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from torch import Tensor

from ..core.audio_blocks import to_pcm

# How long a question for more samples is left open. Not longer: browsers have six connections to a server for
# all of its pages, and Stop needs one, too.
WAIT_SECONDS = 0.2
KEEP_SECONDS = 60.0  # how long samples stay in memory for a page that has fallen behind
PART_SECONDS = 5.0  # at most so much goes out in one answer
NOTHING = {"samples": "", "rate": 0, "channels": 1, "total": 0, "done": True}


class LiveSound:
    """One sound that grows; its samples are of 16 bit, those that a file of it holds.

    Args:
        total: samples of a channel that it will have.
        sample_rate: Hz.
        channels: C.
    """

    def __init__(self, total: int, sample_rate: int, channels: int = 1) -> None:
        self.total, self.sample_rate, self.channels = total, sample_rate, channels
        self.done = False
        self.ended = 0.0
        self.file: Path | None = None  # that holds the samples when they have left the memory
        self._pieces: list[np.ndarray] = []
        self._lock = threading.Lock()

    def add(self, samples: Tensor) -> None:
        """Append samples float `[C, n]`."""
        piece = np.frombuffer(to_pcm(samples.cpu()), "<i2").reshape(-1, samples.shape[0])
        with self._lock:
            self._pieces.append(piece)

    def finish(self, file: Path | None = None) -> None:
        """No more samples will come; the file that has them all, if there is one."""
        self.file, self.done, self.ended = file, True, time.monotonic()

    def forget(self) -> None:
        """Give the memory back; the samples are read from the file."""
        with self._lock:
            self._pieces = []

    @property
    def lost(self) -> bool:
        """Whether it ended, and its samples are nowhere any more."""
        return self.done and not self._pieces and not (self.file and self.file.is_file())

    def read(self, start: int, limit: int) -> np.ndarray:
        """At most `limit` samples from `start` on, int16 `[n, C]`; n is 0 while there are none."""
        with self._lock:
            # One piece, so that a long sound is not joined again for every question.
            self._pieces = [np.concatenate(self._pieces)] if self._pieces else []
            if self._pieces:
                return self._pieces[0][start : start + limit]
        if self.file is None:
            return np.zeros((0, self.channels), "<i2")
        with soundfile.SoundFile(self.file) as sound:
            sound.seek(min(start, sound.frames))
            return sound.read(limit, dtype="int16", always_2d=True).astype("<i2")


class LiveSounds:
    """Sounds that pages can hear, each under a name that only its own page gets to know."""

    def __init__(self) -> None:
        self._sounds: dict[str, LiveSound] = {}

    def start(self, total: int, sample_rate: int, channels: int = 1) -> tuple[str, LiveSound]:
        """Begin a sound, see `LiveSound`; those whose samples are gone are forgotten."""
        self._tidy()
        name = secrets.token_urlsafe(16)
        self._sounds[name] = LiveSound(total, sample_rate, channels)
        return name, self._sounds[name]

    def _tidy(self) -> None:
        now = time.monotonic()
        for name, sound in list(self._sounds.items()):
            if sound.done and now - sound.ended > KEEP_SECONDS:
                sound.forget()
                if sound.lost:
                    self._sounds.pop(name, None)

    async def listen(self, question: Any) -> dict[str, Any]:
        """Answer a page that asks `[name, start]`, as soon as there is something new.

        Returns:
            `samples`: 16 bit little-endian, interleaved, base64; `rate`: Hz; `channels`; `total`: samples of
            the whole, 0 of a sound that is not known; `done`: nothing follows.
        """
        match question:
            case [str(name), int(start)] if start >= 0 and name in self._sounds:
                sound = self._sounds[name]
            case _:
                return NOTHING
        if sound.lost:
            return NOTHING
        limit = int(PART_SECONDS * sound.sample_rate)
        for _ in range(round(WAIT_SECONDS / 0.02)):
            done = sound.done  # before reading: what is added in between is not lost
            part = sound.read(start, limit)
            if len(part) or done:
                break
            await asyncio.sleep(0.02)
        return {
            "samples": base64.b64encode(part.tobytes()).decode(),
            "rate": sound.sample_rate,
            "channels": sound.channels,
            "total": sound.total,
            "done": done and len(part) < limit,
        }
