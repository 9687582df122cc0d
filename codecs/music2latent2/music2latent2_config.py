"""The configuration of a Music2Latent2 or CoDiCodec, checked when it is built, with what follows from it.

It covers Music2Latent2 (Pasini et al. 2025, arXiv 2501.17578: tanh latents that reach the consistency network
through its cross-connections only) and CoDiCodec (Pasini et al. 2025, arXiv 2509.09836: finite scalar
quantization, latents and register tokens inside the consistency transformer as well).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

Companding = Literal["parts", "modulus"]
Layout = Literal["summary", "ordered"]
Decoding = Literal["autoregressive", "two_step", "parallel"]


@dataclass(frozen=True, kw_only=True)
class Music2Latent2Config:
    """Sizes and constants of a model; frozen, checked when built.

    Args:
        sample_rate: Hz.
        channels: audio channels, 1 or 2.
        hop: samples between two frames of the spectrogram.
        overlap: frames that cover each sample; the window has `overlap * hop` samples, and all of its
            `overlap * hop / 2` bins but the highest are kept.
        frames_per_chunk: spectrogram frames in a chunk; a chunk is coded on its own.
        companding: what the power law acts on: the real and imaginary "parts", or the "modulus" with the
            phase kept.
        companding_scale, companding_power: `c(x) = scale * |x| ** power`.
        base_channels: channels of the first convolution.
        multipliers: channels of every stage, in units of `base_channels`; the last stage has width `dim`.
        encoder_blocks, decoder_blocks: convolution blocks per stage.
        strides: `(frequency, time)` strides between the stages.
        dim: width of the transformers; `head_dim`: width of a head.
        mlp_ratio: width of the gated MLP's input projection, in units of `dim`.
        encoder_layers, upsampler_layers, decoder_layers: depths of the three transformers.
        noise_dim: width of the noise embedding.
        layout: "summary": learned summary embeddings read a whole chunk. "ordered": one latent per time step
            of the token grid (the paper's point of comparison).
        num_latents: S, latents per chunk; "ordered" wants the number of time steps of the token grid.
        latent_dim: D, channels of a latent.
        num_registers: further learned tokens that every transformer sees and nothing reads.
        latents_in_decoder: put latents (and registers) into the consistency transformer's sequence too.
        fsq_levels: levels of every latent channel: the bottleneck is finite scalar quantization, which gives
            continuous and discrete latents; None: it is a tanh, for continuous latents only.
        envelope: for small models, not in the papers; see envelope.py. The encoder sees the logarithm of the
            modulus too, and the upsampler gives the expected size of every bin in place of `sigma_data`, so
            that what has no more structure than its envelope is decoded right by a network of zeros.
        sigma_data, sigma_min, sigma_max, rho: constants of the diffusion process (Karras et al. 2022).
        decoding: default way of decoding.
        steps, parallel_steps: default network passes per chunk, autoregressive and parallel.
        prompt_time: place on the noise schedule (0 to 1) of the re-noised previous chunk.

    Raises:
        ValueError: sizes that do not fit together; the message names the value and what is allowed.
    """

    sample_rate: int = 44100
    channels: int = 1
    hop: int = 1024
    overlap: int = 2
    frames_per_chunk: int = 32
    companding: Companding = "modulus"
    companding_scale: float = 0.34
    companding_power: float = 0.65
    base_channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    encoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    strides: tuple[tuple[int, int], ...] = ((2, 2), (4, 1), (2, 2))
    dim: int = 512
    head_dim: int = 128
    mlp_ratio: int = 4
    encoder_layers: int = 12
    upsampler_layers: int = 12
    decoder_layers: int = 12
    noise_dim: int = 512
    layout: Layout = "summary"
    num_latents: int = 8
    latent_dim: int = 64
    num_registers: int = 0
    latents_in_decoder: bool = False
    fsq_levels: tuple[int, ...] | None = None
    envelope: bool = False
    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    decoding: Decoding = "two_step"
    steps: int = 2
    parallel_steps: int = 5
    prompt_time: float = 0.4

    def __post_init__(self) -> None:
        # JSON and YAML know lists only.
        for name in ("multipliers", "encoder_blocks", "decoder_blocks", "fsq_levels"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "strides", tuple((int(f), int(t)) for f, t in self.strides))
        self._check()

    def _check(self) -> None:
        def want(holds: bool, message: str) -> None:
            if not holds:
                raise ValueError(message)

        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and field.name != "num_registers":
                want(value >= 1, f"{field.name} is {value}; it must be at least 1")
        want(self.channels in (1, 2), f"channels is {self.channels}; allowed: 1, 2")
        want(self.overlap >= 2, f"overlap is {self.overlap}; a signal can be restored from 2 or more")
        for name, allowed in (
            ("companding", ("parts", "modulus")),
            ("layout", ("summary", "ordered")),
            ("decoding", ("autoregressive", "two_step", "parallel")),
        ):
            value = getattr(self, name)
            want(value in allowed, f"{name} is {value!r}; allowed: {', '.join(allowed)}")
        stages = len(self.multipliers)
        for name, count in (("encoder_blocks", stages), ("decoder_blocks", stages), ("strides", stages - 1)):
            given = len(getattr(self, name))
            want(given == count, f"{name} has {given} entries; {stages} multipliers want {count}")
        want(
            self.base_channels * self.multipliers[-1] == self.dim,
            f"the last stage has {self.base_channels * self.multipliers[-1]} channels (base_channels times "
            f"the last multiplier); it must equal dim = {self.dim}",
        )
        for width in self.widths:
            groups = min(width // 4, 32)
            want(groups > 0 and width % groups == 0, f"a stage has {width} channels; use multiples of 4")
        for narrow, wide in zip(self.widths, self.widths[1:], strict=False):
            want(wide % narrow == 0, f"stage widths {narrow} and {wide}: each must divide the next")
        want(self.dim % self.head_dim == 0, f"head_dim {self.head_dim} must divide dim {self.dim}")
        want(
            self.noise_dim % 2 == 0 and self.noise_dim >= 4, f"noise_dim is {self.noise_dim}; use 4, 6, 8, …"
        )
        want((self.dim * self.mlp_ratio) % 2 == 0, f"dim {self.dim} times mlp_ratio {self.mlp_ratio} is odd")
        down_frequency = math.prod(f for f, _ in self.strides)
        down_time = math.prod(t for _, t in self.strides)
        want(
            self.bins % down_frequency == 0,
            f"{self.bins} bins (hop * overlap / 2) are not a multiple of the frequency strides' product "
            f"{down_frequency}",
        )
        want(
            self.frames_per_chunk % down_time == 0,
            f"frames_per_chunk {self.frames_per_chunk} is not a multiple of the time strides' "
            f"product {down_time}",
        )
        if self.fsq_levels is not None:
            want(
                len(self.fsq_levels) == self.latent_dim and all(level >= 2 for level in self.fsq_levels),
                f"fsq_levels is {self.fsq_levels}; give latent_dim = {self.latent_dim} numbers of at least 2",
            )
        if self.layout == "ordered":
            want(
                self.num_latents == self.time_tokens,
                f"num_latents is {self.num_latents}; layout 'ordered' wants one per time step: "
                f"{self.time_tokens}",
            )
        want(
            0 < self.sigma_min < self.sigma_max,
            f"sigma_min {self.sigma_min} and sigma_max {self.sigma_max}: want 0 < sigma_min < sigma_max",
        )
        want(0 <= self.prompt_time <= 1, f"prompt_time is {self.prompt_time}; it is a place from 0 to 1")

    @property
    def n_fft(self) -> int:
        """Samples in an analysis window."""
        return self.hop * self.overlap

    @property
    def bins(self) -> int:
        """Frequency bins that are kept."""
        return self.n_fft // 2

    @property
    def parts(self) -> int:
        """Channels of the spectrogram: real and imaginary part of every audio channel."""
        return 2 * self.channels

    @property
    def edge(self) -> int:
        """Samples at either end of a signal that fewer than `overlap` frames cover."""
        return (self.overlap - 1) * self.hop

    @property
    def chunk_samples(self) -> int:
        """Samples by which one chunk follows another."""
        return self.frames_per_chunk * self.hop

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the convolution stages."""
        return tuple(self.base_channels * multiplier for multiplier in self.multipliers)

    @property
    def frequency_tokens(self) -> int:
        """Rows of the token grid of a chunk."""
        return self.bins // math.prod(f for f, _ in self.strides)

    @property
    def time_tokens(self) -> int:
        """Columns of the token grid of a chunk."""
        return self.frames_per_chunk // math.prod(t for _, t in self.strides)

    @property
    def tokens(self) -> int:
        """Audio tokens of a chunk."""
        return self.frequency_tokens * self.time_tokens

    @property
    def compression(self) -> float:
        """Audio samples (all channels) per latent value."""
        return self.channels * self.chunk_samples / (self.num_latents * self.latent_dim)

    @property
    def codebook_size(self) -> int:
        """Values that the index of one latent can take; 0 without FSQ."""
        return math.prod(self.fsq_levels) if self.fsq_levels else 0
