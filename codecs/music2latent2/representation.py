"""STFT with companding: waveform <-> complex spectrogram in chunks, as the networks see it.

Letters: B sounds, C audio channels, N samples, P = 2C parts (real and imaginary of every channel), F bins,
M frames. Source: Music2Latent (arXiv 2408.06500, section 3.1) and CoDiCodec (arXiv 2509.09836).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .music2latent2_config import Music2Latent2Config

_TINY = 1e-12


def compand(spectrum: Tensor, *, scale: float, power: float, kind: str) -> Tensor:
    """Compress the range of a spectrum.

    Args:
        spectrum: `[B, C, 2, F, M]`, axis 2 holds real and imaginary part.
        scale, power: of the power law.
        kind: "parts" or "modulus"; see Music2Latent2Config.
    """
    if kind == "parts":
        return scale * spectrum.sign() * spectrum.abs() ** power
    modulus = spectrum.norm(dim=2, keepdim=True).clamp_min(_TINY)
    return spectrum * (scale * modulus ** (power - 1))


def expand(spectrum: Tensor, *, scale: float, power: float, kind: str) -> Tensor:
    """Undo `compand`; same shapes."""
    if kind == "parts":
        return spectrum.sign() * (spectrum.abs() / scale) ** (1 / power)
    # The root of zero has no slope.
    modulus = spectrum.norm(dim=2, keepdim=True).clamp_min(_TINY) / scale
    return spectrum / scale * modulus ** (1 / power - 1)


class Representation:
    """Audio `[B, C, N]` <-> companded spectrogram `[B, P, F, M]`; no weights.

    Frames are not centred. In the first and last `edge` samples of what was analysed fewer frames overlap, so
    the inverse there gives a faded signal. `analyse_chunks` therefore moves chunk t's frames `edge` samples
    ahead (zeros before the sound's first sample): every sample is then covered fully and restored exactly,
    and chunk t still needs no sample beyond `(t + 1) * chunk_samples`.
    """

    def __init__(self, config: Music2Latent2Config) -> None:
        self.config = config
        self.law: dict[str, Any] = {
            "scale": config.companding_scale,
            "power": config.companding_power,
            "kind": config.companding,
        }

    def window(self, device: torch.device) -> Tensor:
        """The periodic Hann window, `[n_fft]`."""
        return torch.hann_window(self.config.n_fft, periodic=True, device=device)

    def dual_window(self, device: torch.device) -> Tensor:
        """The window whose overlap-add inverts the analysis where all frames overlap, `[n_fft]`."""
        window = self.window(device)
        power = (
            (window**2).view(self.config.overlap, self.config.hop).sum(0)
        )  # [hop]: what all windows that cover a sample add up to
        return window / power.repeat(self.config.overlap)

    def chunks(self, length: int) -> int:
        """Number of chunks that hold `length` samples."""
        return max(1, -(-(length + self.config.edge) // self.config.chunk_samples))

    def analyse(self, audio: Tensor) -> Tensor:
        """Spectrogram of audio as it is: `[B, C, N]` -> `[B, P, F, 1 + (N - n_fft) // hop]`.

        Raises:
            ValueError: fewer than n_fft samples.
        """
        config = self.config
        if audio.shape[-1] < config.n_fft:
            raise ValueError(
                f"{audio.shape[-1]} samples are less than one window; give at least {config.n_fft}"
            )
        frames = audio.unfold(-1, config.n_fft, config.hop) * self.window(audio.device)  # [B, C, M, n_fft]
        spectrum = torch.fft.rfft(frames)[..., : config.bins].transpose(-1, -2)  # [B, C, F, M]
        parts = torch.stack((spectrum.real, spectrum.imag), dim=2)  # [B, C, 2, F, M]
        # [B, C, 2, F, M] -> [B, P, F, M]
        return compand(parts, **self.law).flatten(1, 2)

    def analyse_chunks(self, audio: Tensor, first: int, last: int) -> Tensor:
        """Spectrograms of the chunks `first` to `last - 1` of a whole sound.

        Args:
            audio: `[B, C, N]`; zeros are taken before and after it.

        Returns:
            `[(last - first) * B, P, F, M]`, chunk by chunk (all sounds' first chunk, then the second, …).
        """
        size, edge = self.config.chunk_samples, self.config.edge
        start, end = first * size - edge, last * size
        piece = audio[..., max(start, 0) : end]
        before = max(-start, 0)
        piece = F.pad(piece, (before, end - start - before - piece.shape[-1]))
        return self.to_chunks(self.analyse(piece))

    def to_chunks(self, spectrogram: Tensor) -> Tensor:
        """Cut `[B, P, F, T * frames]` into chunks on the batch axis, chunk-major: `[T * B, P, F, frames]`.

        A last chunk that is not full is filled with zeros.
        """
        size = self.config.frames_per_chunk
        spectrogram = F.pad(spectrogram, (0, -spectrogram.shape[-1] % size))
        return torch.cat(spectrogram.split(size, dim=-1))

    def frames(self, spectrogram: Tensor) -> Tensor:
        """Windowed time-domain frames `[B, C, M, n_fft]` of a spectrogram `[B, P, F, M]`, to overlap."""
        parts = expand(spectrogram.float().unflatten(1, (-1, 2)), **self.law)  # [B, C, 2, F, M]
        spectrum = torch.complex(parts[:, :, 0], parts[:, :, 1]).transpose(-1, -2)  # [B, C, M, F]
        # The highest bin, which was left out, is zero: [B, C, M, F + 1] -> [B, C, M, n_fft]
        frames = torch.fft.irfft(F.pad(spectrum, (0, 1)), n=self.config.n_fft)
        return frames * self.dual_window(spectrogram.device)

    def synthesise(self, spectrogram: Tensor) -> Tensor:
        """Audio `[B, C, (M + overlap - 1) * hop]` within -1 to 1; faded in `edge` samples at either end."""
        overlap = OverlapAdd(self)
        return torch.cat((overlap.push(spectrogram), overlap.flush()), dim=-1)


class OverlapAdd:
    """Turns consecutive pieces of a spectrogram into consecutive pieces of audio.

    However the spectrogram is cut, the samples are the same to the last bit: contributions to a sample are
    always added oldest first.
    """

    def __init__(self, representation: Representation) -> None:
        self.representation = representation
        self.tail: Tensor | None = None

    def push(self, spectrogram: Tensor) -> Tensor:
        """Take `[B, P, F, M]`; return the samples that are now complete, `[B, C, M * hop]`."""
        hop, overlap = self.representation.config.hop, self.representation.config.overlap
        frames = self.representation.frames(spectrogram).unflatten(
            -1, (overlap, hop)
        )  # [B, C, M, overlap, hop]
        batch, channels, count = frames.shape[:3]
        audio = frames.new_zeros(batch, channels, count + overlap - 1, hop)  # [B, C, M + overlap - 1, hop]
        if self.tail is not None:
            audio[:, :, : overlap - 1] = self.tail
        # Add the hops of the frames, each `part` hops after its frame's start.
        for part in reversed(range(overlap)):
            audio[:, :, part : part + count] += frames[:, :, :, part]
        self.tail = audio[:, :, count:].clone()
        # [B, C, M, hop] -> [B, C, M * hop]
        return audio[:, :, :count].flatten(2).clamp_(-1, 1)

    def flush(self) -> Tensor:
        """The samples that no frame will add to any more, `[B, C, edge]`; the state begins anew."""
        if self.tail is None:
            raise RuntimeError("nothing was pushed, so there is nothing to flush")
        audio = self.tail.flatten(2).clamp(-1, 1)
        self.tail = None
        return audio
