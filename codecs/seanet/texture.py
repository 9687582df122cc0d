"""Texture: a small network that gives a decoded sound the fine structure that its codes do not hold.

A decoder that is trained to describe magnitudes says the mean of all sounds that its codes could stand for,
and between the few numbers that a frame has, every sound could have many textures: what comes out is smooth.
This network hears the sound, sees the latents that it was made of, and says, for every bin of its short-time
spectrum, by how much to turn it up or down and what to add. It is trained against discriminators and the
features of listeners (texture_module.py), which ask whether a sound could be real, not whether it is the very
same.

Bins are log magnitudes beside companded real and imaginary parts, so a frame's network is a few products of
matrices: ConvNeXt blocks over time, as Vocos has. From zero weights on the network leaves every sound as it
is.

Letters: B sounds, F bins, T frames, D width, L width of a latent. Sources: Kaneko et al., "Generative
adversarial network-based postfilter for statistical parametric speech synthesis" (2017); ConvNeXt (Liu et al.
2022, arXiv 2201.03545); Vocos (Siuzdak 2023, arXiv 2306.00814).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Conv, StreamState

SILENCE = 2e-4  # magnitude below which bins are not told apart
COMPANDING = 0.3  # power of the magnitude in the companded parts
LARGEST_GAIN = 3.0  # nepers, up or down
AROUND = 2  # bins and frames on either side whose mean power is the unit of what is added
KERNEL = 7  # frames that a block sees, of which one is ahead


class TextureBlock(nn.Module):
    """ConvNeXt block over time, `[B, T, D]` to the same.

    Args:
        width: D.
        expansion: width of the layer in between, in D.
    """

    def __init__(self, width: int, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = Conv(width, width, KERNEL, groups=width, causal=True, look_ahead=1, norm="none")
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        y = self.depthwise(x, state)
        if state is not None:
            waiting = state.get(self)
            x = x if waiting is None else torch.cat([waiting, x], dim=1)
            state.set(self, x[:, y.shape[1] :].clone())
            x = x[:, : y.shape[1]]
        return x + self.scale * self.contract(F.gelu(self.expand(self.norm(y))))


class TextureNetwork(nn.Module):
    """Complex spectrum `[B, F, T]` and latents `[B, L, T]` -> that of a sound with texture, `[B, F, T]`.

    Args:
        bins: F.
        latent_dim: L.
        width: D.
        blocks: how many; each looks one frame ahead.
    """

    def __init__(self, bins: int, latent_dim: int, *, width: int = 384, blocks: int = 8) -> None:
        super().__init__()
        self.input = nn.Linear(3 * bins, width)
        self.input_norm = nn.LayerNorm(width)
        self.latent = nn.Linear(latent_dim, width)
        nn.init.zeros_(self.latent.weight)
        nn.init.zeros_(self.latent.bias)
        self.blocks = nn.ModuleList(TextureBlock(width) for _ in range(blocks))
        self.output_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 3 * bins)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @property
    def look_ahead(self) -> int:
        """Frames after one that it depends on."""
        return max(AROUND, len(self.blocks))

    def forward(self, spectrum: Tensor, latent: Tensor) -> Tensor:
        return apply_changes(spectrum, padded_power(spectrum), self.changes(spectrum, latent))

    def changes(self, spectrum: Tensor, latent: Tensor, state: StreamState | None = None) -> Tensor:
        """What is to become of the bins of a complex spectrum `[B, F, T]`: `[B, 3 F, T]`.

        With a state fewer frames come out than go in, those that see all that they look ahead to.
        """
        magnitude = spectrum.abs().clamp_min(SILENCE)
        companded = spectrum * magnitude ** (COMPANDING - 1)
        level = 0.5 * (torch.log10(magnitude) + 2)
        features = torch.cat([level, companded.real, companded.imag], dim=1).transpose(1, 2)  # [B, T, 3 F]
        x = self.input_norm(self.input(features)) + self.latent(latent.transpose(1, 2))
        for block in self.blocks:
            x = block(x, state)
        return self.output(self.output_norm(x)).float().transpose(1, 2)


class TextureStream:
    """A texture network frame by frame: what it gives lags `look_ahead` frames behind what it gets.

    It equals the network's output of the whole spectrum, but for the last frames, which never come: push as
    many more.

    Args:
        network: the network.
    """

    def __init__(self, network: TextureNetwork) -> None:
        self._network = network
        self._state = StreamState()
        self._latent: Tensor | None = None  # frames whose spectrum is still to come
        self._waiting: list[Tensor] | None = None  # spectrum, its power and changes that are not used up yet

    def push(self, spectrum: Tensor, latent: Tensor) -> Tensor:
        """Push frames that follow those before.

        Args:
            spectrum: complex `[B, F, t]`.
            latent: `[B, L, n]`; it may be ahead of the spectrum, never behind.

        Returns:
            The frames that are complete by now, `[B, F, t']`, t' >= 0.
        """
        if self._latent is not None:
            latent = torch.cat([self._latent, latent], dim=-1)
        count = spectrum.shape[-1]
        latent, self._latent = latent[..., :count], latent[..., count:].clone()
        if not count:
            return spectrum
        changes = self._network.changes(spectrum, latent, self._state)
        first = AROUND if self._waiting is None else 0
        new = [spectrum, padded_power(spectrum, before=first, after=0), changes]
        if self._waiting is not None:
            new = [torch.cat(pair, dim=-1) for pair in zip(self._waiting, new, strict=True)]
        spectrum, power, changes = new
        count = max(0, min(changes.shape[-1], power.shape[-1] - 2 * AROUND))
        self._waiting = [each[..., count:].clone() for each in new]
        if not count:
            return spectrum[..., :0]
        return apply_changes(spectrum[..., :count], power[..., : count + 2 * AROUND], changes[..., :count])


def padded_power(spectrum: Tensor, *, before: int = AROUND, after: int = AROUND) -> Tensor:
    """Power of a complex `[B, F, T]` with its edges repeated: `[B, F + 2 AROUND, before + T + after]`."""
    power = spectrum.abs().square()[:, None]
    return F.pad(power, (before, after, AROUND, AROUND), mode="replicate")[:, 0]


def apply_changes(spectrum: Tensor, power: Tensor, changes: Tensor) -> Tensor:
    """Change a spectrum.

    Args:
        spectrum: complex `[B, F, T]`.
        power: see `padded_power`.
        changes: `[B, 3 F, T]`: log gain, real and imaginary part of what is added.
    """
    gain, real, imaginary = changes.chunk(3, dim=1)
    gain = LARGEST_GAIN * torch.tanh(gain / LARGEST_GAIN)
    size = F.avg_pool2d(power[:, None], 2 * AROUND + 1, stride=1)[:, 0].clamp_min(1e-12).sqrt()
    return spectrum * gain.exp() + torch.complex(size * real, size * imaginary)
