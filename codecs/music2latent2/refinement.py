"""Refinement: what two-step decoding puts out is brought nearer to the sound itself. Not in the papers.

A consistency loss compares spectrograms value by value, phases included, of which the latents say little:
the mean of all phases is silence. A distance of magnitudes does not care about phases, but its best answer is
the mean again, without texture. Therefore the energy distance (Gritsenko et al. 2020, arXiv 2008.01160, for
speech synthesis): two decodings of the same latents from different noise should be near the original *and* as
far from each other as they are from it, so that noise stays noise.

Letters: B pairs of chunks, C channels, N samples, P parts, F bins, M frames of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...core.spectra import decibels, stft
from .consistency import Refinement
from .consistency_autoencoder import ConsistencyAutoencoder
from .networks import Context

_FLOOR_DB = -80.0


class SpectralDistance(nn.Module):
    """Distance of magnitudes at several windows: in dB, and relative to the sum of the target's.

    Args:
        windows: sizes in samples.
    """

    def __init__(self, windows: Sequence[int]) -> None:
        super().__init__()
        for size in windows:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Distance of each of two `[B, C, N]` -> `[B]`, N at least the largest window."""
        total = estimate.new_zeros(len(estimate))
        windows = list(self.buffers())
        for window in windows:
            scale = window.shape[0] / 4  # magnitude of a full-scale sine
            a, b = (stft(x.float(), window, padding="none").abs() / scale for x in (estimate, target))
            level = (decibels(a, _FLOOR_DB) - decibels(b, _FLOOR_DB)).square().mean(-2)  # [B, C, frames]
            # Where both are silent the square root has no slope.
            log_distance = (level + 1e-4).sqrt().flatten(1).mean(1)
            relative = (a - b).abs().flatten(1).sum(1) / (b + 1e-4).flatten(1).sum(1)
            total = total + log_distance / 10 + relative
        return total / len(windows)


class RefinementLoss(nn.Module):
    """How far the model's decodings are from the original.

    Args:
        refinement: how they are compared.
        longest: samples of a chunk that can be compared.

    Raises:
        ValueError: a window that is longer.
    """

    def __init__(self, refinement: Refinement, longest: int) -> None:
        super().__init__()
        if refinement.start < 1 and max(refinement.windows) > longest:
            raise ValueError(
                f"noise.refinement.windows has {max(refinement.windows)}; a chunk gives {longest} samples to "
                "compare"
            )
        self.refinement = refinement
        self.distance = SpectralDistance(refinement.windows)

    def forward(self, codec: ConsistencyAutoencoder, audio: Tensor, context: Context) -> Tensor:
        """Mean over pairs of chunks, scalar.

        Args:
            codec: the model.
            audio: what was analysed, `[B, C, 2 * chunk_samples + edge]`.
            context: of its chunks, all left ones, then all right ones.
        """
        return self.of(self.decodings(codec, audio, context))

    def decodings(
        self, codec: ConsistencyAutoencoder, audio: Tensor, context: Context
    ) -> list[tuple[float, Tensor, Tensor]]:
        """Decode pairs of chunks as `forward`, whose arguments these are, does.

        Returns:
            Of pairs of chunks, then of the left chunks alone: how much they count, the decodings `[copies, B,
            C, N]`, and what they stand for `[B, C, N]`.
        """
        edge, size, pairs = codec.settings.edge, codec.settings.chunk_samples, len(audio)
        copies = 1 if self.refinement.repulsion == 0 else 2
        first, both = decode_pairs(codec, context, pairs, copies)
        found = []
        for spectrogram, end, share in ((both, 2 * size, 2 / 3), (first, size, 1 / 3)):
            made = codec.representation.synthesise(spectrogram)[..., edge:-edge]
            found.append((share, made.unflatten(0, (copies, pairs)), audio[..., edge:end]))
        return found

    def of(self, decodings: list[tuple[float, Tensor, Tensor]]) -> Tensor:
        """How far decodings are from what they stand for, scalar."""
        return torch.stack([share * self._energy(made, real) for share, made, real in decodings]).sum()

    def _energy(self, made: Tensor, original: Tensor) -> Tensor:
        """Scalar, of decodings `[copies, B, C, N]` and what they stand for, `[B, C, N]`."""
        near = torch.stack([self.distance(one, original) for one in made]).mean()
        if len(made) == 1:
            return near
        return near - self.refinement.repulsion / 2 * self.distance(made[0], made[1]).mean()


def decode_pairs(
    codec: ConsistencyAutoencoder, context: Context, pairs: int, copies: int
) -> tuple[Tensor, Tensor]:
    """Begin to decode pairs of chunks by the two-step procedure, each `copies` times from noise of its own.

    Args:
        codec: the model.
        context: of the B left chunks, then of the B right ones.
        pairs: B.
        copies: decodings of each pair.

    Returns:
        The first estimates of the left chunks `[copies * B, P, F, M]`; and the left chunks refined with the
        first estimates of the right ones behind them, `[copies * B, P, F, 2M]`.
    """
    settings, schedule = codec.settings, codec.schedule
    shape = (copies * pairs, settings.parts, settings.bins, settings.frames_per_chunk)
    device = next(codec.parameters()).device
    lefts = torch.arange(pairs, device=device).repeat(copies)
    left, right = context.take(lefts), context.take(lefts + pairs)
    highest = torch.full((copies * pairs,), schedule.max, device=device)
    prompt = schedule.sigma(torch.full_like(highest, settings.prompt_time))
    estimate, _ = codec.denoise(schedule.max * torch.randn(shape, device=device), highest, left)
    noise = torch.randn(shape, device=device)
    again = schedule.renoise(estimate.detach(), float(prompt[0]), noise)
    noisy = torch.cat((again, schedule.max * torch.randn(shape, device=device)))
    refined = codec.denoise_pair(noisy, torch.cat((prompt, highest)), Context.cat([left, right]))
    return estimate, torch.cat(refined.chunk(2), dim=-1)
