"""The networks of a Music2Latent2 and the steps of encoding and decoding, chunk by chunk.

Letters: B sounds, C channels, N samples, T chunks of S latents of D channels, K = S codes per chunk, P parts,
F bins, M frames. Sources: Music2Latent2 (Pasini et al. 2025, arXiv 2501.17578), CoDiCodec (Pasini et al.
2025, arXiv 2509.09836).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core.errors import ArgumentError
from ...core.threads import is_small, one_thread
from ..pretrained import PretrainedCodec
from .bottleneck import FSQ, Tanh
from .chunk_transformer import KeyValue
from .consistency import NoiseSchedule
from .music2latent2_config import Music2Latent2Config
from .networks import ConsistencyNetwork, Context, Encoder, Upsampler
from .representation import Representation

_LARGEST_HEAP_BLOCK = 2**25 - 2**16  # bytes; glibc never takes blocks of 32 MB from the heap


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next chunk, where it would return it and fault in new pages.

    It keeps up to twice the largest block below 32 MB that was ever freed: here is one, not touched.
    """
    torch.empty(_LARGEST_HEAP_BLOCK, dtype=torch.uint8)


class ConsistencyAutoencoder(PretrainedCodec):
    """Encoder, bottleneck, upsampler and consistency network; see Music2Latent2.

    Args:
        settings: sizes.
    """

    settings: Music2Latent2Config
    _supports_gradient_checkpointing = True
    _repeated_blocks: ClassVar[list[str]] = ["ConvBlock", "Downsample", "Upsample", "Layer"]

    def __init__(self, settings: Music2Latent2Config) -> None:
        super().__init__(settings)
        _keep_freed_memory()
        self.representation = Representation(settings)
        self.schedule = NoiseSchedule(settings)
        self.encoder = Encoder(settings)
        self.bottleneck: FSQ | Tanh = FSQ(settings.fsq_levels) if settings.fsq_levels else Tanh()
        self.upsampler = Upsampler(settings)
        self.consistency = ConsistencyNetwork(settings)

    # --- what kind of codec this is ---------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        return self.settings.sample_rate

    @property
    def channels(self) -> int:
        return self.settings.channels

    @property
    def frame_rate(self) -> float:
        """Chunks per second."""
        return self.sample_rate / self.settings.chunk_samples

    @property
    def num_codebooks(self) -> int:
        """K, codes per chunk; 0 where the latents are continuous only."""
        return self.settings.num_latents if self.discrete else 0

    @property
    def codebook_size(self) -> int:
        """Number of values that one code can take; 0 where the latents are continuous only."""
        return self.settings.codebook_size

    @property
    def bitrate(self) -> float:
        """Bits per second: of plainly packed codes, or of continuous latents in half precision."""
        if self.discrete:
            return super().bitrate
        return self.settings.num_latents * self.settings.latent_dim * 16 * self.frame_rate

    @property
    def latent_shape(self) -> tuple[int, int]:
        """S latents per chunk of D channels."""
        return self.settings.num_latents, self.settings.latent_dim

    @property
    def warm_up_frames(self) -> int:
        """Chunks before a place that a decoder must get: the one that overlaps, and prompts, the first."""
        return 1

    @property
    def discrete(self) -> bool:
        """Whether the model has codes beside latents."""
        return isinstance(self.bottleneck, FSQ)

    def to_latents(self, codes: Tensor) -> Tensor:
        """Latents float32 `[B, T, S, D]` of codes, integer `[B, K, T]`; latents are checked and pass.

        Raises:
            ArgumentError: another shape or type, values out of range.
        """
        if not isinstance(codes, Tensor) or not codes.is_floating_point():
            self.check_codes(codes)
            assert isinstance(self.bottleneck, FSQ)
            # [B, K, T] -> [B, T, K] -> [B, T, S, D]
            return self.bottleneck.from_indices(codes.transpose(1, 2)).to(self.device)
        if codes.ndim != 4 or codes.shape[2:] != self.latent_shape or codes.numel() == 0:
            count, width = self.latent_shape
            raise ArgumentError(f"latents have shape {list(codes.shape)}; [B, T, {count}, {width}] is wanted")
        if not torch.isfinite(codes).all():
            raise ArgumentError("latents have NaN or infinite values; check what made them")
        return codes.float().to(self.device)

    # --- the steps of encoding and decoding -------------------------------------------------------------

    @torch.no_grad()
    def encode_spectrograms(
        self, chunks: Iterable[Tensor], *, batch: int, discrete: bool, chunks_at_once: int | None = None
    ) -> Tensor:
        """Encode consecutive chunks, each `[B, P, F, M]` -> codes `[B, K, T]` or latents `[B, T, S, D]`.

        Args:
            chunks: taken as they are needed.
            batch: B.
            discrete, chunks_at_once: as in `encode`.
        """

        def encode(spectrograms: Tensor) -> Tensor:
            """`[chunks * B, P, F, M]` -> `[chunks * B, S, D]`, or `[chunks * B, S]` as codes."""
            latents = self.bottleneck(self.encoder(spectrograms).float())
            if not discrete:
                return latents
            assert isinstance(self.bottleneck, FSQ)
            return self.bottleneck.to_indices(latents)

        config = self.settings
        encoded = self._in_groups(chunks, encode, chunks_at_once)
        if discrete:
            empty = torch.zeros(batch, config.num_latents, 0, dtype=torch.int64, device=self.device)
            return torch.stack(encoded, dim=2) if encoded else empty
        nothing = torch.zeros(batch, 0, config.num_latents, config.latent_dim, device=self.device)
        return torch.stack(encoded, dim=1) if encoded else nothing

    @torch.no_grad()
    def features_of_spectrograms(
        self, chunks: Iterable[Tensor], *, batch: int, chunks_at_once: int | None = None
    ) -> Tensor:
        """Features of consecutive chunks, each `[B, P, F, M]` -> float32 `[B, T, S, W]`; see `features`."""
        found = self._in_groups(chunks, lambda group: self.encoder.features(group).float(), chunks_at_once)
        width = self.encoder.head.in_features
        nothing = torch.zeros(batch, 0, self.settings.num_latents, width, device=self.device)
        return torch.stack(found, dim=1) if found else nothing

    def _in_groups(
        self,
        chunks: Iterable[Tensor],
        network: Callable[[Tensor], Tensor],
        chunks_at_once: int | None,
    ) -> list[Tensor]:
        """What a network makes of chunks `[B, P, F, M]`, `chunks_at_once` in a pass; one tensor for each."""
        if chunks_at_once is None:
            chunks_at_once = 1 if self.device.type == "cpu" else 16
        if chunks_at_once < 1:
            raise ArgumentError(f"chunks_at_once is {chunks_at_once}; it must be at least 1")
        made: list[Tensor] = []
        waiting = iter(chunks)
        with one_thread(is_small(self)):
            while group := list(itertools.islice(waiting, chunks_at_once)):
                made += network(torch.cat(group)).chunk(len(group))  # one chunk of all sounds each
        return made

    def context(self, latents: Tensor) -> Context:
        """What the consistency network is told of chunks of latents `[B, S, D]`."""
        features, envelope = self.upsampler(latents)
        return Context(features, self.consistency.latent_tokens(latents), envelope)

    def denoise(
        self, noisy: Tensor, sigma: float | Tensor, context: Context, past: list[KeyValue] | None = None
    ) -> tuple[Tensor, list[KeyValue]]:
        """Denoise left chunks `[B, P, F, M]`, or with `past` the right chunks of pairs.

        Args:
            noisy: noisy spectrograms.
            sigma: noise level; a number, or `[B]`.
            context: of these chunks.
            past: what this method or `remember` returned for the left chunks.

        Returns:
            Clean spectrograms float32 `[B, P, F, M]`, and what `past` wants of these chunks if they are left
            ones.
        """
        return self._denoise(noisy, sigma, context, past=past)

    def denoise_pair(self, noisy: Tensor, sigma: float | Tensor, context: Context) -> Tensor:
        """Denoise pairs.

        Args:
            noisy: `[2B, P, F, M]`, all left chunks, then all right ones.
            sigma: noise level; a number, or `[2B]`.
            context: of all these chunks.

        Returns:
            Clean spectrograms, float32, in the same order.
        """
        return self._denoise(noisy, sigma, context, pair=True)[0]

    def remember(self, noisy: Tensor, sigma: float, context: Context) -> list[KeyValue]:
        """What right chunks need of left chunks `noisy [B, P, F, M]` whose own output is not wanted."""
        level = torch.tensor([sigma], device=noisy.device)
        scaled = self.schedule.scalings(level[:, None, None, None], context.scale).in_ * noisy
        return self.consistency.remember(scaled, self.consistency.noise(level), context)

    def _denoise(
        self,
        noisy: Tensor,
        sigma: float | Tensor,
        context: Context,
        past: list[KeyValue] | None = None,
        pair: bool = False,
    ) -> tuple[Tensor, list[KeyValue]]:
        level = torch.as_tensor(sigma, dtype=torch.float32, device=noisy.device).reshape(-1)  # [1] or [B]
        scalings = self.schedule.scalings(level[:, None, None, None], context.scale)
        # The network sees unit variance; skip and out make its output a clean spectrogram.
        output, memory = self.consistency(
            scalings.in_ * noisy, self.consistency.noise(level), context, past=past, pair=pair
        )
        return scalings.skip * noisy + scalings.out * output.float(), memory

    def compile_repeated_blocks(self, *args: Any, **options: Any) -> None:
        """Compile the blocks of all networks with `torch.compile`; the next calls of a kind do that work.

        What lies between two matrix products becomes one pass over memory. On a CPU it wants a C++ compiler.

        Args:
            args, options: as `torch.compile`'s. Where they say nothing else, every shape gets its own code
                (`dynamic=False`), there may be 64 of a kind of block (`recompile_limit=64`), and on a CPU the
                code that calls the passes is C++ too (`options={"cpp_wrapper": True}`).
        """
        defaults: dict[str, Any] = {"dynamic": False, "recompile_limit": 64}
        if self.device.type == "cpu" and not {"backend", "mode", "options"} & set(options):
            defaults["options"] = {"cpp_wrapper": True}
        super().compile_repeated_blocks(*args, **{**defaults, **options})
