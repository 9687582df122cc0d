"""The spectral envelope as principal components: what makes a small model trainable in hours on a CPU.

Without it a consistency network has to learn from noise alone how loud every bin is. Here latents begin as
the principal components of the logarithm of the modulus, and every bin's expected size, which comes back from
them by the inverse projection, scales the diffusion process in that bin. The networks add to both, from zero
on: what they learn is what the linear projection cannot say. Not in the papers; switched on by `envelope` in
Music2Latent2Config.

Letters: B chunks, P parts, C audio channels, F bins, M frames, S latents of D channels; G groups of
neighbouring frames that a latent describes (summary embeddings: one group, ordered latents: one each), n
values of a group.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..principal_components import principal_components
from .music2latent2_config import Music2Latent2Config

# Added to a modulus before its logarithm. Digital silence has modulus 0, the loudest sines have some 10.
MODULUS_FLOOR = 0.003
SMALLEST_SCALE = 5e-4
LOG_RANGE = (-8.0, 4.0)
# Standard deviation of the projections before the bottleneck: well within the straight part of a tanh.
LATENT_STD = 0.4
LARGEST_LATENT = 0.9999


def log_modulus(spectrogram: Tensor) -> Tensor:
    """Natural logarithm of the modulus, `[B, P, F, M]` -> `[B, C, F, M]`."""
    # [B, P, F, M] -> [B, C, 2, F, M]
    parts = spectrogram.float().unflatten(1, (-1, 2))
    return (parts.square().sum(2).sqrt() + MODULUS_FLOOR).log()


def scale_of(envelope: Tensor) -> Tensor:
    """Expected sizes of the values `[B, P, F, M]` from their logarithms `[B, C, F, M]`."""
    scale = (envelope.exp() - MODULUS_FLOOR).clamp_min(SMALLEST_SCALE)
    return scale.repeat_interleave(2, dim=1)


def envelope_loss(envelope: Tensor, clean: Tensor) -> Tensor:
    """How badly an envelope `[B, C, F, M]` fits to what it describes, `[B, P, F, M]`.

    Returns:
        Scalar: the mean of `log s + |z| / (s * sqrt(pi / 2))`, s the size told and |z| the modulus, both with
        the floor: the negative logarithm of a density that has heavier tails than the normal one. For normal
        values its minimum is at their standard deviation.
    """
    ratio = (log_modulus(clean) - envelope).exp()
    return (envelope + ratio / math.sqrt(math.pi / 2)).mean()


def with_logarithm(spectrogram: Tensor, logarithm: Tensor) -> Tensor:
    """Append a logarithm `[B, C, F, M]`, brought to unit scale, to a spectrogram `[B, P, F, M]`."""
    return torch.cat((spectrogram, logarithm / 2 + 1), dim=1)


class _LinearMap(nn.Module):
    """What both directions share: how examples are cut into groups of frames, mean and weight."""

    def __init__(self, config: Music2Latent2Config) -> None:
        super().__init__()
        self.groups = 1 if config.layout == "summary" else config.time_tokens
        self.shape = (config.channels, config.bins, config.frames_per_chunk // self.groups)
        self.latents = (config.num_latents, config.latent_dim)
        values, coded = math.prod(self.shape), math.prod(self.latents) // self.groups
        self.mean = nn.Parameter(torch.full((values,), math.log(config.sigma_data)))
        self.weight = nn.Parameter(torch.zeros(coded, values))

    def split(self, logarithm: Tensor) -> Tensor:
        """`[B, C, F, M]` -> `[B, G, n]`."""
        # [B, C, F, M] -> [B, C, F, G, M / G] -> [B, G, C, F, M / G] -> [B, G, n]
        return logarithm.unflatten(3, (self.groups, -1)).permute(0, 3, 1, 2, 4).flatten(2)

    def join(self, values: Tensor) -> Tensor:
        """`[B, G, n]` -> `[B, C, F, M]`."""
        # [B, G, n] -> [B, G, C, F, M / G] -> [B, C, F, G, M / G] -> [B, C, F, M]
        return values.unflatten(-1, self.shape).permute(0, 2, 3, 1, 4).flatten(3)


class EnvelopeReader(_LinearMap):
    """Logarithm of the modulus `[B, C, F, M]` -> raw latents `[B, S, D]`; zero until fitted.

    The weight is kept times the root of n, so that a step of an optimizer that moves all weights alike is a
    small one.
    """

    def forward(self, logarithm: Tensor) -> Tensor:
        centred = (self.split(logarithm) - self.mean) / math.sqrt(len(self.mean))
        # [B, G, n] -> [B, G, S * D / G] -> [B, S, D]
        return F.linear(centred.to(self.weight.dtype), self.weight).reshape(-1, *self.latents)


class EnvelopeWriter(_LinearMap):
    """Latents `[B, S, D]` in -1 to 1 -> envelope, float32 `[B, C, F, M]`; `sigma_data` until fitted.

    The upsampler's finest map `[B, width, F, M]` adds to the logarithm.
    """

    def __init__(self, config: Music2Latent2Config) -> None:
        super().__init__(config)
        self.correction = nn.Conv2d(config.widths[0], config.channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.correction.weight)

    def forward(self, latents: Tensor, finest: Tensor) -> Tensor:
        raw = latents.float().clamp(-LARGEST_LATENT, LARGEST_LATENT).atanh()
        # [B, S, D] -> [B, S * D] -> [B, G, S * D / G]
        grouped = raw.flatten(1).unflatten(1, (self.groups, -1)).to(self.weight.dtype)
        # What the projection says, and what the upsampler adds to it.
        logarithm = self.join(grouped @ self.weight + self.mean) + self.correction(finest)
        return logarithm.float().clamp(*LOG_RANGE)


@torch.no_grad()
def fit_principal_components(reader: EnvelopeReader, writer: EnvelopeWriter, logarithm: Tensor) -> None:
    """Set both maps to the principal components of examples `[N, C, F, M]` of the logarithm.

    Raises:
        ValueError: fewer examples than components.
    """
    values = reader.split(logarithm).flatten(0, 1)  # [N * G, n]
    coded = len(reader.weight)
    if len(values) <= coded:
        raise ValueError(f"{len(values)} examples are not enough for {coded} principal components; give more")
    mean, components = principal_components(values, coded)
    gain = LATENT_STD / ((values - mean) @ components.T).std(0).clamp_min(1e-4)[:, None]
    # Strong components and weak ones are dealt out to the latents of a group in turn.
    slots = reader.latents[0] // reader.groups
    order = torch.arange(coded, device=values.device).view(-1, slots).T.flatten()
    reader.mean.copy_(mean)
    writer.mean.copy_(mean)
    reader.weight.copy_((gain * components)[order] * math.sqrt(len(mean)))
    writer.weight.copy_((components / gain)[order])
