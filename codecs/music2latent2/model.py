"""Music2Latent2: a consistency autoencoder with summary embeddings; it also is CoDiCodec, by its settings.

Letters: B sounds, C channels, N samples, T chunks of S latents of D channels, K = S codes per chunk, P parts,
F bins, M frames. Sources: Music2Latent2 (Pasini et al. 2025, arXiv 2501.17578), CoDiCodec (Pasini et al.
2025, arXiv 2509.09836).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor

from ...core.errors import ArgumentError, ModelError
from ...core.hub import BUNDLED_MODELS, resolve_model
from ...core.safetensors_files import SharedWeights, check_folder
from ...core.threads import is_small, one_thread
from ..base import Codec
from ..precision import gives_audio, takes_audio
from .bottleneck import FSQ, Tanh
from .chunk_decoders import AutoregressiveDecoder, ChunkDecoder, NoiseSource, ParallelDecoder, TwoStepDecoder
from .chunk_transformer import KeyValue
from .config import Decoding, Music2Latent2Config
from .consistency import NoiseSchedule
from .convert import PUBLISHED_FILE, is_published, load_published
from .inputs import check_audio, to_generators, to_latents
from .int8 import is_quantized, quantize_layers
from .networks import ConsistencyNetwork, Context, Encoder, Upsampler
from .representation import Representation
from .streaming import StreamDecoder, StreamEncoder

_LARGEST_HEAP_BLOCK = 2**25 - 2**16  # bytes; glibc never takes blocks of 32 MB from the heap
FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", PUBLISHED_FILE)


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next chunk, where it would return it and fault in new pages.

    It keeps up to twice the largest block below 32 MB that was ever freed: here is one, not touched.
    """
    torch.empty(_LARGEST_HEAP_BLOCK, dtype=torch.uint8)


class Music2Latent2(SharedWeights, ModelMixin, ConfigMixin, Codec):
    """Audio `[B, C, N]` <-> latents `[B, T, S, D]` in -1 to 1, with FSQ also <-> codes `[B, K, T]`.

    Args:
        settings: as Music2Latent2Config's.
    """

    config_name = "config.json"
    _supports_gradient_checkpointing = True
    _repeated_blocks: ClassVar[list[str]] = ["ConvBlock", "Downsample", "Upsample", "Layer"]

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        _keep_freed_memory()
        self.settings = Music2Latent2Config(**settings)
        self.register_to_config(**asdict(self.settings))
        self.representation = Representation(self.settings)
        self.schedule = NoiseSchedule(self.settings)
        self.encoder = Encoder(self.settings)
        self.bottleneck: FSQ | Tanh = FSQ(self.settings.fsq_levels) if self.settings.fsq_levels else Tanh()
        self.upsampler = Upsampler(self.settings)
        self.consistency = ConsistencyNetwork(self.settings)

    @property
    def device(self) -> torch.device:
        """Where the weights are. ModelMixin's own looks at every module first, which takes milliseconds."""
        return next(self.parameters()).device

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """ConfigMixin asks for the constructor's arguments: they are the fields of the settings."""
        return {"self", *(field.name for field in fields(Music2Latent2Config))}

    # The contract of a codec

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
        discrete = self._want_discrete(discrete)
        audio = audio.float()
        if exact_edges:
            chunks: Iterable[Tensor] = (
                self.representation.analyse_chunks(audio, t, t + 1).to(self.device)
                for t in range(self.representation.chunks(audio.shape[-1]))
            )
        else:
            spectrogram = self.representation.analyse(audio.to(self.device))
            chunks = self.representation.to_chunks(spectrogram).split(len(audio))
        return self.encode_spectrograms(
            chunks, batch=len(audio), discrete=discrete, chunks_at_once=chunks_at_once
        )

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

    def stream_encoder(self, *, discrete: bool | None = None) -> StreamEncoder:  # type: ignore[override]
        """A StreamEncoder; `discrete` as in `encode`."""
        return StreamEncoder(self, discrete=self._want_discrete(discrete))

    def stream_decoder(  # type: ignore[override]
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

    # The steps of encoding and decoding

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
        if chunks_at_once is None:
            chunks_at_once = 1 if self.device.type == "cpu" else 16
        if chunks_at_once < 1:
            raise ArgumentError(f"chunks_at_once is {chunks_at_once}; it must be at least 1")
        config = self.settings
        encoded: list[Tensor] = []
        waiting = iter(chunks)
        with one_thread(is_small(self)):
            while group := list(itertools.islice(waiting, chunks_at_once)):
                latents = self.bottleneck(self.encoder(torch.cat(group)).float())
                if discrete:
                    assert isinstance(self.bottleneck, FSQ)
                    latents = self.bottleneck.to_indices(latents)
                encoded += latents.chunk(len(group))
        if discrete:
            empty = torch.zeros(batch, config.num_latents, 0, dtype=torch.int64, device=self.device)
            return torch.stack(encoded, dim=2) if encoded else empty
        nothing = torch.zeros(batch, 0, config.num_latents, config.latent_dim, device=self.device)
        return torch.stack(encoded, dim=1) if encoded else nothing

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
        level = torch.as_tensor(sigma, dtype=torch.float32, device=noisy.device).reshape(-1)
        scalings = self.schedule.scalings(level[:, None, None, None], context.scale)
        output, memory = self.consistency(
            scalings.in_ * noisy, self.consistency.noise(level), context, past=past, pair=pair
        )
        return scalings.skip * noisy + scalings.out * output.float(), memory

    def check_audio(self, audio: Tensor) -> None:
        """Raise ValueError unless audio is float `[B, C, N]` with N >= 1 and finite samples."""
        check_audio(audio, self.channels)

    def to_latents(self, codes: Tensor) -> Tensor:
        """Latents float32 `[B, T, S, D]` of codes, integer `[B, K, T]`; latents are checked and pass.

        Raises:
            ValueError: another shape or type, values out of range.
        """
        return to_latents(codes, self.settings, self.bottleneck).to(self.device)

    def _want_discrete(self, discrete: bool | None) -> bool:
        if discrete and not self.discrete:
            raise ArgumentError(
                "this model has no codes (its bottleneck is a tanh); encode with discrete=False"
            )
        return self.discrete if discrete is None else discrete

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

    # Loading and saving

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:  # type: ignore[override]
        """Write config.json and safetensors; arguments as in diffusers.

        Raises:
            ValueError: the model was loaded with dtype=torch.int8, which is for running only.
        """
        if is_quantized(self):
            raise ValueError("this model runs in int8; save one that was loaded with a floating dtype")
        super().save_pretrained(save_directory, **options)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name: str | Path = "music2latent2",
        *,
        dtype: torch.dtype = torch.float32,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Music2Latent2:
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
        folder = resolve_model(
            str(name),
            BUNDLED_MODELS,
            revision=revision,
            local_files_only=local_files_only,
            allow_patterns=FILES,
        )
        if is_published(folder):
            settings, state = load_published(folder)
            published = cls(**asdict(settings))
            try:
                published.load_state_dict(
                    {name: tensor.to(dtype) for name, tensor in state.items()}, assign=True
                )
            except RuntimeError as error:
                raise ModelError(
                    f"{folder / PUBLISHED_FILE} does not have the sizes that its config.json tells (without "
                    f"one: the published sizes): {error}"
                ) from error
            return published.eval()
        check_folder(folder)
        model = super().from_pretrained(
            folder, use_safetensors=True, low_cpu_mem_usage=False, torch_dtype=dtype
        )
        assert isinstance(model, Music2Latent2)
        return model.eval()
