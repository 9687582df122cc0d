"""Discriminators of patches: small 2-d convolutional networks over log power spectrograms of a sound.

They see no phases, so they ask what a decoder that makes phases up can give: the texture of bins and bands.

Letters: B sounds, N samples, F bins or bands, M frames. Source: patches as in Isola et al. 2017 (arXiv
1611.07004); several resolutions as in UnivNet (Jang et al. 2021, arXiv 2106.07889).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ...core.spectra import mel_filters, power_spectrum
from .discriminator import DiscriminatorOutput

FLOOR = 3e-8  # added to powers; white noise of deviation 1 has a power of 1
WIDTHS = (32, 64, 96, 96)
MEL_BANDS = 80
SHORTEST = 8  # hops in which a patch lies


class PatchDiscriminator(nn.Module):
    """Judges the log power spectrogram of `[B, N]` at one resolution.

    Args:
        n_fft: window and FFT size, samples.
        hop: samples between frames.
        sample_rate: Hz; places the bands.
        n_mels: bands; None: the bins themselves, whose first layer then skips every second one.
        widths: channels of the four hidden layers.
    """

    window: Tensor
    filters: Tensor | None

    def __init__(
        self,
        n_fft: int,
        hop: int,
        *,
        sample_rate: int = 16000,
        n_mels: int | None = None,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        bank = None if n_mels is None else mel_filters(sample_rate, n_fft, n_mels, 50.0, sample_rate / 2)
        self.register_buffer("filters", bank, persistent=False)
        first = (2, 2) if n_mels is None else (1, 2)
        first_width, second, third, fourth = widths
        self.layers = nn.ModuleList(
            weight_norm(layer)
            for layer in (
                nn.Conv2d(1, first_width, 5, first, 2),
                nn.Conv2d(first_width, second, 4, 2, 1),
                nn.Conv2d(second, third, 4, 2, 1),
                nn.Conv2d(third, fourth, 3, 1, 1),
            )
        )
        self.output = weight_norm(nn.Conv2d(fourth, 1, 3, 1, 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def spectrogram(self, audio: Tensor) -> Tensor:
        """Sounds `[B, N]` -> `[B, 1, F, M]`, one unit to 30 dB."""
        with torch.autocast(audio.device.type, enabled=False):
            power = power_spectrum(audio.float(), self.window, hop=self.hop) / self.window.square().sum()
            power = power[:, :-1] if self.filters is None else self.filters @ power
            return ((power + FLOOR).log10()[:, None] + 3) / 3

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores of patches, and the activations of all layers but the first, which is close to the sound."""
        x = self.spectrogram(audio).contiguous(memory_format=torch.channels_last)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.output(x), features[1:]


class MultiScalePatchDiscriminator(nn.Module):
    """Three resolutions of bins and one of mel bands.

    Args:
        n_ffts: of the former, samples; their hops are a quarter.
        sample_rate: Hz.
        widths: see PatchDiscriminator.
    """

    def __init__(
        self,
        *,
        n_ffts: Sequence[int] = (256, 512, 1024),
        sample_rate: int = 16000,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__()
        scales = [PatchDiscriminator(n, n // 4, sample_rate=sample_rate, widths=widths) for n in n_ffts]
        window = n_ffts[len(n_ffts) // 2]
        hop = sample_rate // 100
        mel = PatchDiscriminator(window, hop, sample_rate=sample_rate, n_mels=MEL_BANDS, widths=widths)
        self.scales = nn.ModuleList([*scales, mel])
        self.shortest = SHORTEST * max(scale.hop for scale in (*scales, mel))

    def forward(self, audio: Tensor) -> DiscriminatorOutput:
        """Judge `[B, N]`.

        Raises:
            ValueError: too few samples for a patch of every resolution.
        """
        least = self.shortest
        if audio.shape[-1] < least:
            raise ValueError(
                f"the sounds have {audio.shape[-1]} samples; these discriminators want at least {least}"
            )
        scores, features = zip(*[scale(audio) for scale in self.scales], strict=True)
        return DiscriminatorOutput(list(scores), list(features))
