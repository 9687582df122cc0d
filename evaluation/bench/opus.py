"""Opus, encoded and decoded by tools that are installed, to compare codecs with.

Two of them are known: opusenc and opusdec (Debian: opus-tools), and libsndfile, which comes with the
soundfile package. opusenc brings everything to 48 kHz first; libsndfile gives the encoder sound of 8, 12, 16,
24 or 48 kHz as it is.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from ...core.audio import resample

CLOCK = 48000  # Hz of the lengths in an Opus file, and of what decoders give
MIN_KBPS, MAX_KBPS = 6, 256  # per channel
_NATIVE_RATES = (8000, 12000, 16000, 24000, 48000)
_SECONDS_LIMIT = 600  # for one run of a tool


class Opus(ABC):
    """A pair of Opus encoder and decoder.

    Attributes:
        tool: what does the work, with its version, for reports.
    """

    tool: str

    @abstractmethod
    def encode(self, samples: Tensor, sample_rate: int, kbps: float) -> bytes:
        """Sound `[C, N]` -> a whole Ogg Opus file of about `kbps` kbit/s.

        Raises:
            ValueError: a bit rate that Opus does not have.
            RuntimeError: the encoder failed; the message holds what it said.
        """

    @abstractmethod
    def _decode(self, data: bytes) -> tuple[Tensor, int]:
        """An Ogg Opus file -> `[C, M]` and its rate in Hz, without what precedes and follows the sound."""

    def decode(self, data: bytes, sample_rate: int, length: int) -> Tensor:
        """An Ogg Opus file -> sound `[C, length]` at `sample_rate` Hz.

        Opus counts at 48 kHz, so that a length comes back rounded up to a whole number of its samples, or
        down: what is missing of the last sample is filled with silence.

        Raises:
            RuntimeError: the decoder failed, or its sound is shorter or longer than `length` beyond rounding.
        """
        samples, rate = self._decode(data)
        samples = resample(samples, rate, sample_rate)
        tolerance = -(-sample_rate // CLOCK) + 1
        if abs(samples.shape[-1] - length) > tolerance:
            raise RuntimeError(
                f"{self.tool} returned {samples.shape[-1]} samples of {sample_rate} Hz instead of {length}"
            )
        return torch.nn.functional.pad(samples, (0, max(0, length - samples.shape[-1])))[:, :length]


class OpusTools(Opus):
    """opusenc and opusdec, at their defaults: VBR, 20 ms frames, complexity 10; no tags are stored."""

    def __init__(self) -> None:
        self.tool = f"opusenc ({_version('opusenc')}), started anew for every sound"

    def encode(self, samples: Tensor, sample_rate: int, kbps: float) -> bytes:
        _check_kbps(kbps, samples.shape[0])
        with tempfile.TemporaryDirectory(prefix="soundloom-") as folder:
            source, target = Path(folder, "in.wav"), Path(folder, "out.opus")
            soundfile.write(str(source), samples.T.numpy(), sample_rate, subtype="FLOAT")
            bare = ("--discard-comments", "--padding", "0")  # else half a kilobyte is left free for tags
            _run("opusenc", "--quiet", "--bitrate", str(kbps), *bare, str(source), str(target))
            return target.read_bytes()

    def _decode(self, data: bytes) -> tuple[Tensor, int]:
        with tempfile.TemporaryDirectory(prefix="soundloom-") as folder:
            source, target = Path(folder, "in.opus"), Path(folder, "out.wav")
            source.write_bytes(data)
            _run("opusdec", "--quiet", "--float", "--rate", str(CLOCK), str(source), str(target))
            return _read(target.read_bytes())


class OpusLibrary(Opus):
    """libsndfile's Opus. The sound is given to it as it is where Opus has that rate, else at 48 kHz."""

    def __init__(self) -> None:
        self.tool = f"libsndfile {soundfile.__libsndfile_version__}"

    def encode(self, samples: Tensor, sample_rate: int, kbps: float) -> bytes:
        _check_kbps(kbps, samples.shape[0])
        rate = sample_rate if sample_rate in _NATIVE_RATES else CLOCK
        frames = resample(samples, sample_rate, rate).T.numpy()
        # libsndfile maps 0..1 to the bit rates of a channel, highest first
        level = (MAX_KBPS - kbps / samples.shape[0]) / (MAX_KBPS - MIN_KBPS)
        buffer = io.BytesIO()
        try:
            soundfile.write(buffer, frames, rate, format="OGG", subtype="OPUS", compression_level=level)
        except soundfile.SoundFileError as error:
            raise RuntimeError(f"{self.tool} cannot encode Opus: {error}") from error
        return buffer.getvalue()

    def _decode(self, data: bytes) -> tuple[Tensor, int]:
        return _read(data)


def find_opus(tool: str = "auto") -> Opus | None:
    """The Opus tools that are installed, or None.

    Args:
        tool: "opusenc", "libsndfile", or "auto": the first of these that is there.

    Raises:
        ValueError: another name.
    """
    if tool not in ("auto", "opusenc", "libsndfile"):
        raise ValueError(f"unknown Opus tool {tool!r}; use 'auto', 'opusenc' or 'libsndfile'")
    if tool != "libsndfile" and shutil.which("opusenc") and shutil.which("opusdec"):
        return OpusTools()
    if tool != "opusenc" and "OPUS" in soundfile.available_subtypes("OGG"):
        return OpusLibrary()
    return None


def _read(data: bytes) -> tuple[Tensor, int]:
    frames, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return torch.from_numpy(frames.T.copy()), int(rate)


def _check_kbps(kbps: float, channels: int) -> None:
    low, high = MIN_KBPS * channels, MAX_KBPS * channels
    if not low <= kbps <= high:
        raise ValueError(f"Opus at {kbps:g} kbit/s: for {channels} channels it has {low} to {high} kbit/s")


def _version(tool: str) -> str:
    """What a tool says about its version, for example "opus-tools 0.2, libopus 1.3.1"."""
    said = _run(tool, "--version")
    found = re.findall(r"(opus-tools|libopus) (\d[\w.]*)", said)
    return ", ".join(" ".join(pair) for pair in found) or "version unknown"


def _run(*command: str) -> str:
    """Run a tool and return what it printed."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS_LIMIT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} did not end within {_SECONDS_LIMIT} s") from None
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:] or done.returncode}")
    return done.stdout
