"""AudioGen: text in, sound out.

prompts -> TextEncoder -> AudioLM (step by step, see generation.py) -> codes `[B, K, T]` -> Codec -> audio
`[B, C, N]`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, Unpack

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.audio import Audio
from ..core.checkpoint import MAX_SHARD_BYTES
from ..core.errors import ModelError
from ..core.progress import Progress
from .decoding import LimitedDecoder, decode_codes, decode_while
from .job import CodeSettings, Job, Options, Settings
from .loading import Parts, load_parts, save_parts
from .model.lm import AudioLM
from .request import (
    AudioSource,
    Guidance,
    Prompts,
    Seeds,
    check_codes,
    check_count,
    check_frames,
    count_frames,
    list_prompts,
    plan_chunks,
    read_source,
)
from .rerank import Scorer, keep_best
from .text.encoder import TextEncoder

DEFAULT_TOP_K = 250


@dataclass(eq=False)
class GeneratedAudio(Audio):
    """Generated sounds, one row for each prompt and variation, the variations of a prompt next to each other.

    Attributes:
        codes: int64 `[B, K, T]`, the codec's codes of the samples.
        seeds: one for each row; generating that row's prompt alone with it gives the same row.
        prompts: one for each row.
        scores: what the scorer gave each row, higher is better; None unless there was one.
    """

    codes: Tensor
    seeds: list[int] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    scores: list[float] | None = None


class AudioGen:
    """A language model over codes together with its text encoder and codec.

    Usually made with `AudioGen.from_pretrained()`.

    Args:
        lm: the language model.
        text_encoder: gives the states that it was trained with.
        codec: turns its codes into sound.
        max_seconds: longest window; longer sounds are made of several.
        extend_stride: seconds from the start of one window to the next in longer sounds.
        guidance_scale, top_k: what `generate` uses unless told otherwise.
        codec_name: how `save_pretrained` refers to the codec; without it, it stores the codec itself.

    Raises:
        ValueError: the parts do not fit together.
    """

    def __init__(
        self,
        lm: AudioLM,
        text_encoder: TextEncoder,
        codec: Codec,
        *,
        max_seconds: float = 10.0,
        extend_stride: float = 2.0,
        guidance_scale: float = 3.0,
        top_k: int = DEFAULT_TOP_K,
        codec_name: str | None = None,
    ) -> None:
        if text_encoder.dim != lm.text_dim:
            raise ModelError(
                f"the text encoder gives states of width {text_encoder.dim}, the language model wants "
                f"{lm.text_dim}; use the text encoder that it was trained with"
            )
        if codec.codebook_size != lm.codebook_size or codec.num_codebooks < lm.num_codebooks:
            raise ModelError(
                f"the codec has {codec.num_codebooks} codebooks of {codec.codebook_size}, the language model "
                f"wants {lm.num_codebooks} of {lm.codebook_size}; use the codec that it was trained with"
            )
        self.lm = lm
        self.text_encoder = text_encoder
        self.codec = codec
        self.max_seconds = max_seconds
        self.extend_stride = extend_stride
        self.guidance_scale = guidance_scale
        self.top_k = top_k
        self.codec_name = codec_name

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "foley",
        *,
        text_encoder: str | os.PathLike[str] | TextEncoder | None = None,
        codec: str | os.PathLike[str] | Codec | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        revision: str | None = None,
        local_files_only: bool = False,
        **settings: Any,
    ) -> Self:
        """Load a model by name: an existing folder, else one that ships with the package, else a hub id.

        Two kinds of folder are known: ours (`save_pretrained`), and the one that AudioCraft published
        (`state_dict.bin` and `compression_state_dict.bin`, for example "facebook/audiogen-medium"). The
        weights of the latter are converted once, to a cache folder that the environment variable
        SOUNDLOOM_CACHE may name, and memory-mapped from there.

        Args:
            name: folder, bundled name or hub id.
            text_encoder: another one than the model names: folder, hub id or encoder.
            codec: another one than the model names: folder, bundled name, hub id or codec.
            dtype: of the language model's weights, for example torch.bfloat16 for half the memory; text
                encoder and codec stay float32.
            device: where everything runs.
            revision: of a hub model.
            local_files_only: never go online.
            settings: replace what the model says about `max_seconds`, `extend_stride`, `guidance_scale`,
                `top_k`.

        Raises:
            ValueError: no such model (the nearest names are listed), or a damaged file (named).
            FileNotFoundError: the folder is incomplete; the missing file is named.
            OSError: the hub or the text encoder cannot be reached, or the cache cannot be written.
        """
        parts = load_parts(
            name,
            text_encoder=text_encoder,
            codec=codec,
            dtype=dtype,
            revision=revision,
            local_files_only=local_files_only,
        )
        return cls(parts.lm, parts.text_encoder, parts.codec, **(parts.settings | settings)).to(device)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        weights: str = "float",
        max_shard_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        """Write a folder that `from_pretrained` reads: config.json, lm/, text_encoder/, perhaps codec/.

        Args:
            folder: made if it does not exist.
            weights: "float" stores the language model as it is, "int8" with one scale a row, a quarter of the
                size of float32; the loaded model then runs with the rounded weights.
            max_shard_bytes: size of the largest weight file.
        """
        settings = {
            "max_seconds": self.max_seconds,
            "extend_stride": self.extend_stride,
            "guidance_scale": self.guidance_scale,
            "top_k": self.top_k,
            "codec_name": self.codec_name,
        }
        parts = Parts(self.lm, self.text_encoder, self.codec, settings)
        save_parts(parts, Path(folder), weights=weights, max_shard_bytes=max_shard_bytes)

    def to(self, device: torch.device | str) -> Self:
        """Move every part to a device."""
        self.lm.to(device)
        self.text_encoder.to(device)
        if isinstance(self.codec, torch.nn.Module):
            self.codec.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the language model's weights are."""
        return self.lm.device

    def count_samples(self, duration: float) -> int:
        """Samples of the sound that `generate` makes for a duration in seconds; errors as there."""
        codec = self.codec
        return round(count_frames(duration, codec.frame_rate) * codec.sample_rate / codec.frame_rate)

    def generate(
        self,
        prompts: Prompts = "",
        duration: float = 5.0,
        guidance_scale: Guidance | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 0.0,
        seed: Seeds = None,
        continue_from: AudioSource | None = None,
        num_samples: int = 1,
        progress: Progress | None = None,
        *,
        negative_prompt: Prompts | None = None,
        candidates: int = 1,
        rerank: Scorer | None = None,
        cancel: Callable[[], bool] | None = None,
        extend_stride: float | None = None,
        reference_padding: bool = False,
    ) -> GeneratedAudio:
        """Generate sounds, within full scale: `codecs.limiter.Limiter` takes off what is beyond.

        Args:
            prompts: one sentence or several; an empty one leaves the choice to the model.
            duration: seconds of the result, what it continues included: from one frame of the codec to 3600,
                cut to whole frames. Beyond `max_seconds` the sound is made in overlapping windows.
            guidance_scale: 0 (ignore the prompt) to 100, 1 = as trained; None: the model's own, usually 3. A
                pair moves evenly from the first to the second on the way; a function is given the place in
                the sound, 0 at the first new frame and 1 at the last, and returns the scale there.
            temperature: 0 (always the likeliest) to 100, 1 = as trained.
            top_k: draw from the k likeliest codes, 0 = all; None: the model's own, usually 250.
            top_p: draw from the likeliest codes up to this probability, 0 = off; replaces top_k.
            seed: an integer for all prompts, or one for each. Same seed and prompt give the same sound
                whatever else is in the batch; the same prompt twice with one integer gives the same sound
                twice. None: random.
            continue_from: sound to continue: a path, an Audio, or samples and their rate, resampled and mixed
                as the codec needs it. One sound serves all prompts, a batch gives each its own.
            num_samples: different sounds for each prompt.
            progress: called with the number of frames done and the number to do.
            negative_prompt: what to lead away from, one for all prompts or one for each: it takes the place
                of "no prompt" in guidance, so guidance_scale must be above 1.
            candidates: sounds that are made for each one that is returned; needs `rerank`.
            rerank: scores candidates, of which the best is kept: called with audio `[B, C, N]`, its sample
                rate and B prompts, returns B numbers, for example a `JudgeScorer`.
            cancel: asked before every step, for example `threading.Event().is_set`; when it says true the
                generation ends with `GenerationCancelled`.
            extend_stride: seconds between windows for long sounds; None: the model's own.
            reference_padding: let the padding of shorter prompts take part in cross attention, as AudioCraft
                does; results then depend on the other prompts of the batch.

        Returns:
            `[prompts * num_samples, C, N]` with codes, seeds, prompts and scores of every row.

        Raises:
            TypeError, ValueError: an argument is of a wrong type or out of range; the message names the
                range.
            FileNotFoundError, AudioError: the sound to continue cannot be read.
            GenerationCancelled: `cancel` said so.
        """
        texts = list_prompts(prompts)
        frames = count_frames(duration, self.codec.frame_rate)
        if check_count("candidates", candidates) > 1 and rerank is None:
            raise ModelError(
                f"candidates is {candidates}, but rerank is None; give a scorer that chooses, for example "
                "JudgeScorer()"
            )
        options = Options(
            guidance_scale=guidance_scale,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            num_samples=check_count("num_samples", num_samples) * candidates,
            negative_prompt=negative_prompt,
            cancel=cancel,
            extend_stride=extend_stride,
            reference_padding=reference_padding,
            progress=progress,
        )
        with torch.inference_mode():
            job = Job.start(self, texts, frames, self._encode(continue_from), options)
            codes = job.run()
            samples = decode_codes(self.codec, codes)
        found = self._result(samples, codes, job)
        return found if rerank is None else keep_best(found, candidates, rerank)

    def stream(
        self,
        prompts: Prompts = "",
        duration: float = 5.0,
        *,
        continue_from: AudioSource | None = None,
        chunk_seconds: float = 0.5,
        first_chunk_seconds: float = 0.2,
        **settings: Unpack[Settings],
    ) -> Iterator[GeneratedAudio]:
        """Generate sounds and give them out chunk by chunk while the rest is still being made.

        The chunks one after the other are what `generate` returns for the same arguments and seed, up to
        rounding (1e-5; docs/compression.md tells of a codec that decides between equal maxima). Closing the
        iterator, or leaving it to be collected, ends the work and gives its memory back.

        Args:
            prompts, duration, continue_from: as for `generate`.
            chunk_seconds: length of a chunk, at least one frame of the codec.
            first_chunk_seconds: length of the first, short so that it comes soon.
            settings: the others of `generate`, but for `candidates` and `rerank`, which need whole sounds.

        Returns:
            Yields chunks `[prompts * num_samples, C, n]`, their lengths about as asked. `codes` are those
            that were decoded for the chunk; the sound may lag behind them by the codec's latency. What
            is continued comes as part of the first chunk.

        Raises:
            TypeError, ValueError, FileNotFoundError: as `generate`, at the call.
            GenerationCancelled: `cancel` said so, from the iterator.
        """
        texts = list_prompts(prompts)
        frames = count_frames(duration, self.codec.frame_rate)
        first, size = plan_chunks(first_chunk_seconds, chunk_seconds, self.codec.frame_rate)
        with torch.inference_mode():
            job = Job.start(self, texts, frames, self._encode(continue_from), Options(**settings))
        return self._stream(job, first, size)

    @torch.inference_mode()
    def _stream(self, job: Job, first: int, size: int) -> Iterator[GeneratedAudio]:
        with closing(job.generator):
            decoder = LimitedDecoder(self.codec)
            for samples, codes in decode_while(decoder, job.codes, job.steps(), first=first, size=size):
                yield self._result(samples, codes, job)

    def generate_codes(
        self,
        prompts: Prompts = "",
        frames: int = 250,
        guidance_scale: Guidance | None = None,
        temperature: float = 0.0,
        prompt_codes: Tensor | None = None,
        **settings: Unpack[CodeSettings],
    ) -> Tensor:
        """Generate codes without decoding them; greedy by default.

        Args:
            frames: T, those of `prompt_codes` included.
            prompt_codes: int64 `[K, P]`, `[1, K, P]` or `[B, K, P]` to continue, P < T.
            settings: the others of `generate`, but for `candidates` and `rerank`, which need sounds.

        Returns:
            int64 `[B, K, T]`.
        """
        options = Options(guidance_scale=guidance_scale, temperature=temperature, **settings)
        if prompt_codes is not None:
            prompt_codes = check_codes(prompt_codes, self.lm.num_codebooks, self.lm.codebook_size)
        frames = check_frames(frames, self.codec.frame_rate)
        with torch.inference_mode():
            codes = Job.start(self, list_prompts(prompts), frames, prompt_codes, options).run()
        return codes.clone()

    def _result(self, samples: Tensor, codes: Tensor, job: Job) -> GeneratedAudio:
        with torch.inference_mode(False):  # so that the result can be used in training
            return GeneratedAudio(
                samples.clone(), self.codec.sample_rate, codes.clone(), job.seeds, job.prompts
            )

    def _encode(self, source: AudioSource | None) -> Tensor | None:
        """Codes `[B, K, P]` of a sound to continue."""
        if source is None:
            return None
        audio = self.codec.prepare(*read_source(source))
        return self.codec.encode(audio.to(self.device))[:, : self.lm.num_codebooks]
