"""Reconstruction losses and the balancer that weighs them by their gradients.

Source: EnCodec (Defossez et al. 2022), section 3.4; scales and weights as AudioGen's codec was trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.spectra import mel_filters


class MelSpectrogram(nn.Module):
    """Mel spectrogram (magnitude) of `[..., N]` -> `[..., n_mels, frames]`.

    Args:
        n_fft: window and FFT size in samples; hop is a quarter of it.
        n_mels, sample_rate (Hz), f_min (Hz): of the filter bank, which ends at half the sample rate.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, *, n_fft: int, n_mels: int = 64, sample_rate: int = 16000, f_min: float = 64.0
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        bank = mel_filters(sample_rate, n_fft, n_mels, f_min, sample_rate / 2)
        self.register_buffer("filters", bank.T.contiguous(), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        hop = self.n_fft // 4
        flat = audio.reshape(-1, 1, audio.shape[-1])  # [everything else, 1, N]
        padding = (self.n_fft - hop) // 2
        mode = "reflect" if flat.shape[-1] > padding else "constant"
        flat = F.pad(flat, (padding, padding + max(0, self.n_fft - 2 * padding - flat.shape[-1])), mode=mode)
        spectrum = torch.stft(  # [everything else, bins, frames]
            flat[:, 0],
            self.n_fft,
            hop_length=hop,
            window=self.window,
            center=False,
            normalized=True,
            return_complex=True,
        )
        # The gradient of a magnitude is not finite at zero, where digital silence lies.
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()
        mel = (magnitude.transpose(1, 2) @ self.filters).transpose(1, 2)  # [everything else, n_mels, frames]
        return mel.view(*audio.shape[:-1], *mel.shape[1:])


class MultiScaleMelLoss(nn.Module):
    """L1 on mel plus squared error on log10 mel, over window sizes 2^first .. 2^last; scalar.

    Args:
        sample_rate: Hz.
        first, last: exponents of the window sizes in samples.
        n_mels: mel bands; fewer at small windows, where filters would be empty.
        floor: added before the logarithm.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        first: int = 6,
        last: int = 11,
        n_mels: int = 64,
        floor: float = 1e-5,
    ) -> None:
        super().__init__()
        self.floor = floor
        self.scales = nn.ModuleList(
            MelSpectrogram(n_fft=2**e, n_mels=min(n_mels, 2 ** (e - 3)), sample_rate=sample_rate)
            for e in range(first, last + 1)
        )

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        total = estimate.new_zeros(())
        for scale in self.scales:
            a, b = scale(estimate.float()), scale(target.float())
            log_a, log_b = torch.log10(self.floor + a), torch.log10(self.floor + b)
            total = total + F.l1_loss(a, b) + F.mse_loss(log_a, log_b)
        return total / (2 * len(self.scales))


class Balancer:
    """Replace each loss's gradient at the output by one of fixed share, whatever the loss's own scale.

    With `g_i` the gradient of loss i at the model's output, the backward pass receives
    `sum_i (w_i / sum w) * g_i / average(|g_i|)`, the average being an exponential moving one over steps of
    the norm per batch item. Source: EnCodec, section 3.4, "Balancer".

    Args:
        weights: name -> share.
        decay: of the moving average.
        epsilon: keeps the division finite.
    """

    def __init__(self, weights: Mapping[str, float], *, decay: float = 0.999, epsilon: float = 1e-12) -> None:
        self.weights = dict(weights)
        self.decay = decay
        self.epsilon = epsilon
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}

    def gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """Balanced gradient with the shape of `output [B, C, N]`.

        Raises:
            KeyError: a loss without a weight.
        """
        total = sum(self.weights[name] for name in losses)
        result = torch.zeros_like(output)
        for name, loss in losses.items():
            (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)  # [B, C, N]
            norm = float(gradient.flatten(1).norm(dim=1).mean())
            if not torch.isfinite(torch.tensor(norm)):
                continue
            self._sums[name] = self.decay * self._sums.get(name, 0.0) + (1 - self.decay) * norm
            self._counts[name] = self.decay * self._counts.get(name, 0.0) + (1 - self.decay)
            average = self._sums[name] / self._counts[name]
            result += self.weights[name] / total * gradient / (average + self.epsilon)
        return result

    def state_dict(self) -> dict[str, dict[str, float]]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
