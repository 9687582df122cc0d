"""Music2Latent2: a consistency autoencoder with summary embeddings; it also is CoDiCodec, by its settings.

Letters: B sounds, C channels, N samples, T chunks of S latents of D channels, K = S codes per chunk. Sources:
Music2Latent2 (Pasini et al. 2025, arXiv 2501.17578), CoDiCodec (Pasini et al. 2025, arXiv 2509.09836).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ...core.errors import ArgumentError
from ..precision import gives_audio, takes_audio
from ..registry import codec_folder
from .chunk_decoders import (
    AutoregressiveDecoder,
    ChunkDecoder,
    NoiseSource,
    ParallelDecoder,
    TwoStepDecoder,
    to_generators,
)
from .consistency_autoencoder import ConsistencyAutoencoder
from .convert import PUBLISHED_FILE, is_published, load_published
from .int8 import is_quantized, quantize_layers
from .music2latent2_config import Decoding, Music2Latent2Config
from .streaming import StreamDecoder, StreamEncoder


class Music2Latent2(ConsistencyAutoencoder):
    """Audio `[B, C, N]` <-> latents `[B, T, S, D]` in -1 to 1, with FSQ also <-> codes `[B, K, T]`.

    Args:
        settings: as Music2Latent2Config's.
    """

    config_class = Music2Latent2Config
    trainer = "soundloom.codecs.music2latent2.module.Music2Latent2Module"

    def __init__(self, **settings: Any) -> None:
        super().__init__(Music2Latent2Config(**settings))

    @takes_audio
    @torch.no_grad()
    def encode(
        self,
        audio: Tensor,
        *,
        discrete: bool | None = None,
        exact_edges: bool = True,
        chunks_at_once: int | None = None,
    ) -> Tensor:
        """Encode sounds; memory does not grow with their length, but for the result.

        Args:
            audio: `[B, C, N]` at `sample_rate`, N >= 1.
            discrete: return codes rather than latents; None: codes where the model has them.
            exact_edges: place frames so that `decode` restores all samples; see Representation. False places
                them as the published CoDiCodec code does: the first frame begins with the sound, a tail of
                less than a hop is left out, and the ends of what is decoded are faded.
            chunks_at_once: chunks in a network pass; None: 1 on the CPU, where that is as fast, else 16.

        Returns:
            Codes int64 `[B, K, T]`, or latents float32 `[B, T, S, D]`.

        Raises:
            ValueError: wrong shape or type, NaN or infinite samples; too few samples for `exact_edges=False`;
                codes wanted of a model that has none.
        """
        self.check_audio(audio)
        discrete = self.wants_codes(discrete)
        return self.encode_spectrograms(
            self._spectrograms(audio.float(), exact_edges),
            batch=len(audio),
            discrete=discrete,
            chunks_at_once=chunks_at_once,
        )

    @takes_audio
    @torch.no_grad()
    def features(
        self, audio: Tensor, *, exact_edges: bool = True, chunks_at_once: int | None = None
    ) -> Tensor:
        """What the encoder knows of a sound before it is squeezed into latents; for classifiers and searches.

        Args:
            audio, exact_edges, chunks_at_once: as of `encode`.

        Returns:
            Float32 `[B, T, S, W]`, what every latent is read from: W is `settings.dim`, or with ordered
            latents `frequency_tokens * dim`. The envelope's share of the latents is not in it.

        Raises:
            ValueError: as of `encode`.
        """
        self.check_audio(audio)
        return self.features_of_spectrograms(
            self._spectrograms(audio.float(), exact_edges), batch=len(audio), chunks_at_once=chunks_at_once
        )

    def _spectrograms(self, audio: Tensor, exact_edges: bool) -> Iterable[Tensor]:
        """The chunks `[B, P, F, M]` of sounds `[B, C, N]`."""
        if exact_edges:
            return (
                self.representation.analyse_chunks(audio, t, t + 1).to(self.device)
                for t in range(self.representation.chunks(audio.shape[-1]))
            )
        spectrogram = self.representation.analyse(audio.to(self.device))
        return self.representation.to_chunks(spectrogram).split(len(audio))

    @gives_audio
    @torch.no_grad()
    def decode(
        self,
        codes: Tensor,
        length: int | None = None,
        *,
        decoding: Decoding | None = None,
        steps: int | None = None,
        prompt_time: float | None = None,
        seed: int | Sequence[int] = 0,
        noise: NoiseSource | None = None,
        exact_edges: bool = True,
    ) -> Tensor:
        """Decode latents or codes.

        Args:
            codes: codes, integer `[B, K, T]`, or latents, float `[B, T, S, D]`.
            length: samples wanted; None: all, `T * chunk_samples - edge`.
            decoding: "autoregressive", "two_step" or "parallel"; None: the model's own default.
            steps: network passes per chunk (autoregressive, parallel); None: the model's default.
            prompt_time: place on the noise schedule of the re-noised previous chunk; None: the model's
                default.
            seed: of the noise; one for all items (each then gets what it would get alone), or one for each.
            noise: a source of noise in place of seeds; see `draw_noise`.
            exact_edges: as `encode` had it; False gives `T * chunk_samples + edge` samples with faded ends.

        Returns:
            Float32 `[B, C, N]` within -1 to 1.

        Raises:
            ValueError: wrong shape or type, NaN or infinite latents, codes or settings out of range, or more
                samples wanted than there are.
        """
        latents = self.to_latents(codes)
        stream = self.stream_decoder(
            len(latents),
            decoding=decoding,
            steps=steps,
            prompt_time=prompt_time,
            seed=seed,
            noise=noise,
            exact_edges=exact_edges,
        )
        available = latents.shape[1] * self.settings.chunk_samples + self.settings.edge * (
            1 - 2 * exact_edges
        )
        if length is not None and not 0 <= length <= available:
            raise ArgumentError(
                f"length is {length}; {latents.shape[1]} chunks hold 0 to {available} samples"
            )
        pieces = [stream.push(chunk) for chunk in latents.split(1, dim=1)]
        return torch.cat((*pieces, stream.flush()), dim=-1)[..., :length]

    def stream_encoder(
        self, *, discrete: bool | None = None, num_codebooks: int | None = None
    ) -> StreamEncoder:
        """A StreamEncoder; `discrete` as in `encode`."""
        return StreamEncoder(self, discrete=self.wants_codes(discrete, num_codebooks))

    def stream_decoder(
        self,
        batch: int = 1,
        *,
        decoding: Decoding | None = None,
        steps: int | None = None,
        prompt_time: float | None = None,
        seed: int | Sequence[int] = 0,
        noise: NoiseSource | None = None,
        exact_edges: bool = True,
    ) -> StreamDecoder:
        """A StreamDecoder for `batch` sounds at once; the other arguments as in `decode`."""
        config = self.settings
        source: NoiseSource = to_generators(seed, batch) if noise is None else noise
        shape = (batch, config.parts, config.bins, config.frames_per_chunk)
        common = (self, source, shape, self.device)
        decoding = config.decoding if decoding is None else decoding
        prompt_time = config.prompt_time if prompt_time is None else prompt_time
        decoder: ChunkDecoder
        if decoding == "autoregressive":
            steps = config.steps if steps is None else steps
            decoder = AutoregressiveDecoder(*common, steps=steps, prompt_time=prompt_time)
        elif decoding == "two_step":
            if steps not in (None, 2):
                raise ArgumentError(f"steps is {steps}; two_step decoding always takes 2")
            decoder = TwoStepDecoder(*common, prompt_time=prompt_time)
        elif decoding == "parallel":
            steps = config.parallel_steps if steps is None else steps
            zeros = torch.zeros(batch, config.num_latents, config.latent_dim, device=self.device)
            max_pairs = 1 if self.device.type == "cpu" else 4
            decoder = ParallelDecoder(*common, steps=steps, blank=zeros, max_pairs=max_pairs)
        else:
            raise ArgumentError(f"decoding is {decoding!r}; allowed: autoregressive, two_step, parallel")
        return StreamDecoder(self, decoder, exact_edges=exact_edges)

    # --- saving and loading -----------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """Write config.json and safetensors; arguments as in diffusers.

        Raises:
            ValueError: the model was loaded with dtype=torch.int8, which is for running only.
        """
        if is_quantized(self):
            raise ValueError("this model runs in int8; save one that was loaded with a floating dtype")
        super().save_pretrained(save_directory, *args, **options)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "music2latent2",
        *,
        dtype: torch.dtype = torch.float32,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load from a folder, a bundled name or a hub id, in evaluation mode.

        The folder holds either our config.json and safetensors, or the published `codicodec.pt` (weights
        under CC BY-NC 4.0), with its config.json or with the published sizes.

        Args:
            name: folder, bundled name or hub id; see `resolve_model`.
            dtype: of the weights; torch.bfloat16 halves the memory, and the time where the processor has
                bfloat16 arithmetic. torch.int8 computes the wide layers in 8-bit integers, for inference on
                CPUs (see int8.py). Spectrograms and noise stay float32.
            revision: branch, tag or commit of a hub model.
            local_files_only: take hub models from the local cache only.

        Raises:
            ValueError: unknown name, a checkpoint that is not of this family, or int8 without oneDNN.
            OSError: a file is missing or damaged.
        """
        if dtype == torch.int8:
            model = cls.from_pretrained(name, revision=revision, local_files_only=local_files_only)
            quantize_layers(model)
            return model
        return cls.load_folder(
            codec_folder(name, revision=revision, local_files_only=local_files_only), dtype
        )

    @classmethod
    def load_folder(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Self:
        """Load a folder, ours or the published one."""
        if is_published(folder):
            settings, state = load_published(folder)
            where = f"{folder / PUBLISHED_FILE} (sizes of its config.json; without one: the published sizes)"
            return cls.load_state(asdict(settings), state, where, dtype)
        return super().load_folder(folder, dtype)
