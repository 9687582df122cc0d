"""Reconstruction losses and the balancer that weighs them by their gradients.

Source: EnCodec (Defossez et al. 2022), section 3.4; scales and weights as AudioGen's codec was trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.spectra import MelSpectrogram


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
