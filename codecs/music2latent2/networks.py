"""The networks of Music2Latent2: encoder, upsampler and consistency network, each over chunks.

Letters: B chunks, P parts, F bins, M frames, S latents of D channels, n tokens of width `dim`, E width of the
noise embedding. Sources: Music2Latent2 (arXiv 2501.17578), CoDiCodec (arXiv 2509.09836) and its published
model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .chunk_transformer import KeyValue, Transformer
from .envelope import EnvelopeReader, EnvelopeWriter, log_modulus, scale_of, with_logarithm
from .frontends import DownFrontend, UpFrontend, xavier_init, zero_init
from .music2latent2_config import Music2Latent2Config


@dataclass
class Context:
    """What the consistency network is told of a chunk; computed once a chunk.

    Attributes:
        features: the upsampler's maps, finest first.
        tokens: latents and registers as tokens `[B, n, dim]`; None where the model shows it features only.
        envelope: logarithm of the expected size of every bin, float32 `[B, C, F, M]`; None without.
    """

    features: list[Tensor]
    tokens: Tensor | None
    envelope: Tensor | None = None

    @property
    def scale(self) -> Tensor | None:
        """Expected sizes of the values `[B, P, F, M]`."""
        return None if self.envelope is None else scale_of(self.envelope)

    @staticmethod
    def cat(contexts: Sequence[Context]) -> Context:
        """Stack contexts on the batch axis."""
        if len(contexts) == 1:
            return contexts[0]
        features = [torch.cat(maps) for maps in zip(*(c.features for c in contexts), strict=True)]
        tokens = [c.tokens for c in contexts if c.tokens is not None]
        envelopes = [c.envelope for c in contexts if c.envelope is not None]
        return Context(
            features=features,
            tokens=torch.cat(tokens) if tokens else None,
            envelope=torch.cat(envelopes) if envelopes else None,
        )

    def take(self, chunks: Tensor) -> Context:
        """The contexts of some of the chunks, by their numbers `[n]`; a chunk may be taken several times."""
        return Context(
            features=[feature[chunks] for feature in self.features],
            tokens=None if self.tokens is None else self.tokens[chunks],
            envelope=None if self.envelope is None else self.envelope[chunks],
        )

    def detach(self) -> Context:
        """The same values without gradient."""
        return Context(
            features=[feature.detach() for feature in self.features],
            tokens=None if self.tokens is None else self.tokens.detach(),
            envelope=None if self.envelope is None else self.envelope.detach(),
        )


@dataclass
class NoiseCondition:
    """What the consistency network is told of a noise level.

    Attributes:
        embedding: `[B or 1, E]`, for the norms.
        gain_in, gain_out: `[B or 1, 1, F, 1]`, one gain per bin.
    """

    embedding: Tensor
    gain_in: Tensor
    gain_out: Tensor


def _frontend_sizes(config: Music2Latent2Config, *, encoder: bool = False) -> dict[str, Any]:
    blocks = config.encoder_blocks if encoder else config.decoder_blocks
    return {"widths": config.widths, "blocks": blocks, "strides": config.strides}


def _parts_in(config: Music2Latent2Config) -> int:
    return config.parts + config.channels * config.envelope


def _transformer(config: Music2Latent2Config, tokens: int, layers: int, **options: Any) -> Transformer:
    return Transformer(
        tokens=tokens,
        dim=config.dim,
        head_dim=config.head_dim,
        mlp_ratio=config.mlp_ratio,
        layers=layers,
        **options,
    )


def learned_tokens(count: int, dim: int) -> nn.Parameter | None:
    """Tokens `[1, count, dim]` that are the same for every chunk; None for none."""
    return nn.Parameter(torch.randn(1, count, dim) * dim**-0.5) if count else None


def append_tokens(tokens: Tensor, *learned: Tensor | None) -> Tensor:
    """Tokens `[B, n, dim]`, followed by learned ones that are the same for every item."""
    return torch.cat((tokens, *(t.expand(len(tokens), -1, -1) for t in learned if t is not None)), dim=1)


def to_tokens(grid: Tensor) -> Tensor:
    """Map `[B, dim, F', M']` -> tokens `[B, F' * M', dim]`, all times of the lowest frequency first."""
    # [B, dim, F', M'] -> [B, dim, F' * M'] -> [B, F' * M', dim]
    return grid.flatten(2).transpose(1, 2)


class Encoder(nn.Module):
    """Spectrogram of a chunk `[B, P, F, M]` -> raw latents `[B, S, D]`, not bounded yet.

    Summary embeddings are read from learned tokens beside the audio tokens; ordered latents from the audio
    tokens, each from those of its time step.
    """

    def __init__(self, config: Music2Latent2Config) -> None:
        super().__init__()
        self.config = config
        summary = config.layout == "summary"
        self.frontend = DownFrontend(parts=_parts_in(config), **_frontend_sizes(config, encoder=True))
        self.gain = nn.Parameter(torch.ones(1, 1, config.bins, 1))
        self.summary = learned_tokens(config.num_latents, config.dim) if summary else None
        self.registers = learned_tokens(config.num_registers, config.dim)
        count = config.tokens + config.num_latents * summary + config.num_registers
        self.transformer = _transformer(config, count, config.encoder_layers)
        read = config.dim if summary else config.dim * config.frequency_tokens
        self.head = zero_init(nn.Linear(read, config.latent_dim))
        self.envelope = EnvelopeReader(config) if config.envelope else None

    def tokens(self, spectrogram: Tensor) -> Tensor:
        """The frontend's audio tokens, `[B, F' * M', dim]`."""
        if self.config.envelope:
            spectrogram = with_logarithm(spectrogram, log_modulus(spectrogram))
        return to_tokens(self.frontend(spectrogram.to(self.gain.dtype), self.gain).output)

    def sequence(self, tokens: Tensor) -> Tensor:
        """Audio tokens followed by summary embeddings and registers."""
        return append_tokens(tokens, self.summary, self.registers)

    def features(self, spectrogram: Tensor) -> Tensor:
        """What every latent is read from, `[B, S, W]`; W is `dim`, or `F' * dim` of ordered latents."""
        config = self.config
        sequence = self.sequence(self.tokens(spectrogram))
        if self.summary is not None:
            keep = slice(config.tokens, config.tokens + config.num_latents)
            return self.transformer(sequence, keep=keep)[0]
        return self.columns(self.transformer(sequence, keep=slice(config.tokens))[0])

    def forward(self, spectrogram: Tensor) -> Tensor:
        raw = self.head(self.features(spectrogram))
        return raw if self.envelope is None else raw + self.envelope(log_modulus(spectrogram))

    def columns(self, tokens: Tensor) -> Tensor:
        """Audio tokens `[B, F' * M', dim]`, those of each time step in one vector, `[B, M', F' * dim]`."""
        # [B, F' * M', dim] -> [B, F', M', dim]
        grid = tokens.unflatten(1, (self.config.frequency_tokens, self.config.time_tokens))
        # [B, M', F', dim] -> [B, M', F' * dim]: one latent for each time step
        return grid.transpose(1, 2).flatten(2)


class Upsampler(nn.Module):
    """Latents of a chunk `[B, S, D]` -> maps, finest first, one per block of the consistency frontend.

    Also the envelope `[B, C, F, M]` (see envelope.py), or None for models that have none.

    Summary latents are tokens beside the grid of mask tokens, which reads them; ordered ones are added to the
    mask tokens of their time step.
    """

    def __init__(self, config: Music2Latent2Config) -> None:
        super().__init__()
        self.config = config
        self.latent_in = xavier_init(nn.Linear(config.latent_dim, config.dim))
        self.mask = nn.Parameter(torch.randn(1, config.frequency_tokens, 1, config.dim) * config.dim**-0.5)
        self.registers = learned_tokens(config.num_registers, config.dim)
        count = config.tokens + config.num_latents * (config.layout == "summary") + config.num_registers
        self.transformer = _transformer(config, count, config.upsampler_layers, output_norm=False)
        self.frontend = UpFrontend(parts=None, **_frontend_sizes(config))
        self.envelope = EnvelopeWriter(config) if config.envelope else None

    def sequence(self, latents: Tensor) -> Tensor:
        """The tokens that the transformer begins with."""
        projected = self.latent_in(latents.to(self.mask.dtype))
        if self.config.layout == "ordered":
            # Each latent spreads over the tokens of its time step.
            return append_tokens((self.mask + projected[:, None]).flatten(1, 2), self.registers)
        mask = self.mask.expand(len(latents), -1, self.config.time_tokens, -1).flatten(1, 2)
        return append_tokens(torch.cat((mask, projected), dim=1), self.registers)

    def tokens(self, latents: Tensor) -> Tensor:
        """The transformer's audio tokens, `[B, F' * M', dim]`."""
        return self.transformer(self.sequence(latents), keep=slice(self.config.tokens))[0]

    def forward(self, latents: Tensor) -> tuple[list[Tensor], Tensor | None]:
        grid = self.tokens(latents).transpose(1, 2)  # [B, dim, F' * M']
        shape = (self.config.frequency_tokens, self.config.time_tokens)
        maps = self.frontend(grid.unflatten(-1, shape))
        return maps.skips, None if self.envelope is None else self.envelope(latents, maps.output)


class NoiseEmbedding(nn.Module):
    """Noise levels `[B]` -> NoiseCondition: sinusoids of log(sigma)/4, an MLP for norms, one for gains."""

    def __init__(self, noise_dim: int, bins: int) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.embed = nn.ModuleList(xavier_init(nn.Linear(noise_dim, noise_dim)) for _ in range(3))
        self.gain = nn.ModuleList(nn.Linear(noise_dim, noise_dim) for _ in range(2))
        self.gain_out = zero_init(nn.Linear(noise_dim, 2 * bins))

    def sinusoids(self, sigma: Tensor) -> Tensor:
        """Float32 `[B, E]`, sines then cosines."""
        half = self.noise_dim // 2
        powers = torch.arange(half, device=sigma.device, dtype=torch.float32) / (half - 1)
        angles = (sigma.float().log() / 4)[:, None] * torch.exp(-math.log(10000.0) * powers)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def forward(self, sigma: Tensor) -> NoiseCondition:
        weight = self.gain_out.weight
        hidden = embedding = self.sinusoids(sigma).to(weight.dtype)
        for layer in self.embed:
            embedding = nn.functional.silu(layer(embedding))
        for layer in self.gain:
            hidden = nn.functional.silu(layer(hidden))
        gains = (1 + self.gain_out(hidden))[:, None, :, None]  # [B, 1, 2 * F, 1]
        gain_in, gain_out = gains.chunk(2, dim=2)
        return NoiseCondition(embedding=embedding, gain_in=gain_in, gain_out=gain_out)


class ConsistencyNetwork(nn.Module):
    """Noisy spectrograms of chunks, their contexts and noise levels -> the raw network output F."""

    def __init__(self, config: Music2Latent2Config) -> None:
        super().__init__()
        self.tokens = config.tokens
        self.grid = (config.frequency_tokens, config.time_tokens)
        sizes = _frontend_sizes(config)
        self.noise = NoiseEmbedding(config.noise_dim, config.bins)
        self.down = DownFrontend(parts=_parts_in(config), noise_dim=config.noise_dim, **sizes)
        extra = 0
        self.latent_in = self.registers = None
        if config.latents_in_decoder:
            extra = config.num_latents + config.num_registers
            self.latent_in = xavier_init(nn.Linear(config.latent_dim, config.dim))
            self.registers = learned_tokens(config.num_registers, config.dim)
        self.transformer = _transformer(
            config, config.tokens + extra, config.decoder_layers, places=2, noise_dim=config.noise_dim
        )
        self.up = UpFrontend(parts=config.parts, noise_dim=config.noise_dim, **sizes)

    def latent_tokens(self, latents: Tensor) -> Tensor | None:
        """Latents `[B, S, D]` as this network's own tokens, with the registers; None where it takes none."""
        if self.latent_in is None:
            return None
        return append_tokens(self.latent_in(latents.to(self.latent_in.weight.dtype)), self.registers)

    def forward(
        self,
        x: Tensor,
        noise: NoiseCondition,
        context: Context,
        *,
        past: list[KeyValue] | None = None,
        pair: bool = False,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Run on chunks `x [B, P, F, M]` that are scaled to unit variance.

        Args:
            noise: of each chunk, or one for all.
            past: of the left chunks, where these are right ones.
            pair: the batch holds all left chunks, then all right ones.

        Returns:
            F `[B, P, F, M]`, and what `past` wants of these chunks if they are left ones.
        """
        tokens, skips = self._enter(x, noise, context)
        tokens, memory = self.transformer(
            tokens, noise.embedding, past=past, pair=pair, keep=slice(self.tokens)
        )
        # [B, F' * M', dim] -> [B, dim, F' * M'] -> [B, dim, F', M']
        grid = tokens.transpose(1, 2).unflatten(-1, self.grid)
        return self.up(grid, noise.gain_out, noise.embedding, skips).output, memory

    def remember(self, x: Tensor, noise: NoiseCondition, context: Context) -> list[KeyValue]:
        """What right chunks need of their left chunks `x`, whose own output is not wanted."""
        tokens, _ = self._enter(x, noise, context)
        return self.transformer.remember(tokens, noise.embedding)

    def _enter(self, x: Tensor, noise: NoiseCondition, context: Context) -> tuple[Tensor, list[Tensor]]:
        if context.envelope is not None:
            x = with_logarithm(x, context.envelope)
        # [B, P, F, M] -> map [B, dim, F', M'] -> tokens, and what is told of the chunk beside them
        maps = self.down(x.to(noise.embedding.dtype), noise.gain_in, noise.embedding, context.features)
        tokens = to_tokens(maps.output)
        if context.tokens is not None:
            tokens = torch.cat((tokens, context.tokens), dim=1)
        return tokens, maps.skips
