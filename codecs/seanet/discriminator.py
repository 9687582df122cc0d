"""Discriminators: one small 2-d convolutional network per FFT size, or one for magnitudes alone.

Source: EnCodec (Defossez et al. 2022), section 3.4 and figure 2. The one for magnitudes is not in the papers:
it serves codecs whose decoder makes no waveform in training (see spectral.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ...core.spectra import stft


@dataclass
class DiscriminatorOutput:
    """Per scale: `scores` (a map of logits) and `features` (the activations of every layer)."""

    scores: list[Tensor]
    features: list[list[Tensor]]


class STFTDiscriminator(nn.Module):
    """Judges the complex spectrogram of `[B, C, N]` at one FFT size; layout [time, frequency].

    Args:
        channels: audio channels.
        n_fft: window and FFT size in samples; the hop is a quarter of it.
        n_filters: channels of the hidden layers.
    """

    window: Tensor

    def __init__(self, *, channels: int = 1, n_fft: int = 1024, n_filters: int = 32) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        layers: list[nn.Module] = [nn.Conv2d(2 * channels, n_filters, (3, 9), padding=(1, 4))]
        for dilation in (1, 2, 4):
            layers.append(
                weight_norm(
                    nn.Conv2d(
                        n_filters,
                        n_filters,
                        (3, 9),
                        stride=(1, 2),
                        dilation=(dilation, 1),
                        padding=(dilation, 4),
                    )
                )
            )
        layers.append(weight_norm(nn.Conv2d(n_filters, n_filters, 3, padding=1)))
        self.layers = nn.ModuleList(layers)
        self.output = weight_norm(nn.Conv2d(n_filters, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        samples = audio.shape[-1]
        with torch.autocast(audio.device.type, enabled=False):
            audio = audio.float()
            if samples < self.n_fft:
                audio = F.pad(audio, (0, self.n_fft - samples))
            spectrum = stft(audio, self.window, padding="none", normalized=True)  # [B, C, bins, T]
        spectrum = spectrum.transpose(2, 3)  # [B, C, T, bins]
        x = torch.cat([spectrum.real, spectrum.imag], dim=1)  # [B, 2 C, T, bins]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.3)
            features.append(x)
        return self.output(x), features


class MultiScaleSTFTDiscriminator(nn.Module):
    """One STFTDiscriminator per FFT size.

    Args:
        channels: audio channels.
        n_ffts: FFT sizes in samples.
        n_filters: see STFTDiscriminator.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        n_ffts: Sequence[int] = (1024, 2048, 512, 256, 128),
        n_filters: int = 32,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            STFTDiscriminator(channels=channels, n_fft=n_fft, n_filters=n_filters) for n_fft in n_ffts
        )

    def forward(self, audio: Tensor) -> DiscriminatorOutput:
        """Judge `[B, C, N]`."""
        scores, features = zip(*[scale(audio) for scale in self.scales], strict=True)
        return DiscriminatorOutput(list(scores), list(features))


class MagnitudeDiscriminator(nn.Module):
    """Judges the power of every bin of a spectrogram, `[B, bins, T]`; layout [frequency, time].

    The lowest fifth of the bins is seen one by one, the next fifth in pairs, the rest in fours, all as
    logarithms; a second channel tells the network how high a row is.

    Args:
        n_filters: channels of the second layer; half of them in the first, twice as many in the last ones.
    """

    def __init__(self, *, n_filters: int = 32) -> None:
        super().__init__()
        widths = [2, max(1, n_filters // 2), n_filters, 2 * n_filters, 2 * n_filters]
        kernels = [(5, 3), (5, 3), (3, 3), (3, 3)]
        strides = [(2, 1), (2, 2), (2, 2), (2, 1)]
        self.layers = nn.ModuleList(
            weight_norm(
                nn.Conv2d(width, wider, kernel, stride=stride, padding=(kernel[0] // 2, kernel[1] // 2))
            )
            for width, wider, kernel, stride in zip(widths[:-1], widths[1:], kernels, strides, strict=True)
        )
        self.output = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, power: Tensor) -> DiscriminatorOutput:
        """Judge `[B, bins, T]`."""
        with torch.autocast(power.device.type, enabled=False):
            rows = self._rows(power.float())
            x = 0.25 * (rows + 1e-7).log10() + 1  # half decades around a magnitude of 0.01
            height = torch.linspace(-1, 1, x.shape[1], device=x.device)[None, :, None].expand_as(x)
        x = torch.stack([x, height], dim=1)  # [B, 2, rows, T]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return DiscriminatorOutput([self.output(x)], [features])

    @staticmethod
    def _rows(power: Tensor) -> Tensor:
        """`[B, bins, T]` -> `[B, rows, T]`, with wider rows the higher they are."""
        fifth = power.shape[1] // 5
        parts = [power[:, :fifth]]
        for first, last, width in ((fifth, 2 * fifth, 2), (2 * fifth, power.shape[1], 4)):
            part = power[:, first:last].transpose(1, 2)  # [B, T, bins of this part]: pooled over bins
            parts.append(F.avg_pool1d(part, width, ceil_mode=True).transpose(1, 2))
        return torch.cat(parts, dim=1)


def discriminator_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Hinge loss of the discriminator, averaged over scales."""
    losses = [
        F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean()
        for r, f in zip(real.scores, fake.scores, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(fake: DiscriminatorOutput) -> Tensor:
    """Hinge loss of the generator, averaged over scales."""
    return torch.stack([-score.float().mean() for score in fake.scores]).mean()


def feature_matching_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """L1 distance between the discriminator's activations, averaged over layers and scales.

    It is in units of the real ones' mean size.
    """
    losses = [
        F.l1_loss(f.float(), r.detach().float()) / r.detach().float().abs().mean().clamp_min(1e-6)
        for real_scale, fake_scale in zip(real.features, fake.features, strict=True)
        for r, f in zip(real_scale, fake_scale, strict=True)
    ]
    return torch.stack(losses).mean()
