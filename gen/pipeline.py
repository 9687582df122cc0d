"""AudioGen: text to sound, from prompts to samples.

prompts -> TextEncoder -> AudioLM (step by step, see generation.py) -> codes `[B, K, T]` -> Codec -> audio
`[B, C, N]`. Letters: B rows (prompts x samples), C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.checkpoint import MAX_SHARD_BYTES
from ..core.errors import ArgumentError
from ..core.progress import Progress, part_of
from ..core.push_to_hub import PushToHub
from .continuation import AudioSource, check_codes, encode_source
from .decoding import LimitedDecoder, decode_codes, decode_while, plan_chunks
from .editing.change_prompts import PromptsAt, start_sequence
from .editing.close_loop import close_loop, plan_seam
from .editing.sound_editor import SoundEditor
from .generated_audio import GeneratedAudio
from .generation import Batch, Cancel
from .loading import Parts, load_parts, save_parts
from .lora_loader import LoRALoader
from .model.schemes import for_device
from .origin import model_name
from .rerank import Scorer
from .settings import MAX_SECONDS, GenerationSettings, check_integer
from .text.check_prompts import Prompts, list_prompts
from .text.encoder import TextEncoder


class AudioGen(LoRALoader, PushToHub, SoundEditor):
    """Text to sound: a language model over codes together with its text encoder and codec.

    Usually made with `AudioGen.from_pretrained()`.

    Args:
        lm: the language model.
        text_encoder: gives the states that it was trained with.
        codec: turns its codes into sound.
        max_seconds: longest window; longer sounds are made of several.
        extend_stride: seconds from the start of one window to the next in longer sounds.
        guidance_scale, top_k: what `generate` uses where its settings are None.
        codebook_temperatures: see `TextToCodes`.
        codec_name: how `save_pretrained` refers to the codec; without it, it stores the codec itself.
        name: what the model is called, for the tags of its sounds.
        license: of the weights, as the hub calls it ("apache-2.0"); None: not known.

    Raises:
        ValueError: the parts do not fit together.
    """

    card_kind = "audiogen"

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "foley",
        *,
        text_encoder: str | os.PathLike[str] | TextEncoder | None = None,
        codec: str | os.PathLike[str] | Codec | None = None,
        dtype: torch.dtype = torch.float32,
        quantization: str | None = None,
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
            quantization: how the language model's weights are kept in memory and multiplied: "bf16", "int8"
                or "int4" (these two on CPUs only); "auto": the fastest of float32, bf16 and int8, measured
                once on this machine and remembered in the cache; None: as the folder is stored, else float32.
            device: where everything runs.
            revision: of a hub model.
            local_files_only: never go online.
            settings: replace what the model says about `max_seconds`, `extend_stride`, `guidance_scale`,
                `top_k`, `codebook_temperatures`.

        Raises:
            ValueError: no such model (the nearest names are listed), or a damaged file (named); a
                quantization that is not possible here.
            FileNotFoundError: the folder is incomplete; the missing file is named.
            OSError: the hub or the text encoder cannot be reached, or the cache cannot be written.
        """
        quantization = for_device(quantization, torch.device(device), dtype)
        parts = load_parts(
            name,
            text_encoder=text_encoder,
            codec=codec,
            dtype=dtype,
            quantization=quantization,
            revision=revision,
            local_files_only=local_files_only,
        )
        settings = {"name": model_name(name)} | parts.settings | settings
        return cls(parts.lm, parts.text_encoder, parts.codec, **settings).to(device)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        weights: str = "float",
        quantization: str | None = None,
        max_shard_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        """Write a folder that `from_pretrained` reads: config.json, lm/, text_encoder/, perhaps codec/.

        LoRA adapters in use are merged into the weights, at their strengths.

        Args:
            folder: made if it does not exist.
            weights: "float" stores the language model as it is, "int8" with one scale a row, a quarter of the
                size of float32; the loaded model then runs with the rounded weights, as float32.
            quantization: "bf16", "int8" or "int4" stores it as it then runs, see `from_pretrained`; the
                folder is loaded without ever being float32.
            max_shard_bytes: size of the largest weight file.
        """
        save_parts(
            self._parts(),
            Path(folder),
            weights=weights,
            quantization=quantization,
            max_shard_bytes=max_shard_bytes,
        )

    def save_for_hub(self, folder: Path) -> None:
        """Write a folder that holds the codec, too, which another version of soundloom may lack."""
        parts = self._parts()
        save_parts(replace(parts, settings=parts.settings | {"codec_name": None}), folder)

    def _parts(self) -> Parts:
        settings = {
            "max_seconds": self.max_seconds,
            "extend_stride": self.extend_stride,
            "guidance_scale": self.guidance_scale,
            "top_k": self.top_k,
            "codebook_temperatures": self.codebook_temperatures,
            "license": self.license,
            "codec_name": self.codec_name,
        }
        return Parts(self.lm, self.text_encoder, self.codec, settings)

    def count_samples(self, duration: float) -> int:
        """Samples of the sound that `generate` makes for a duration in seconds; errors as there."""
        codec = self.codec
        frames = GenerationSettings(duration=duration).frames(codec.frame_rate)
        return round(frames * codec.sample_rate / codec.frame_rate)

    def generate(
        self,
        prompts: Prompts = "",
        settings: GenerationSettings | float | None = None,
        *,
        prompts_at: PromptsAt | None = None,
        continue_from: AudioSource | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        rerank: Scorer | None = None,
        **overrides: Any,
    ) -> GeneratedAudio:
        """Generate sounds, within full scale: `core.limiter.Limiter` takes off what is beyond.

        Args:
            prompts: one sentence or several; an empty one leaves the choice to the model.
            settings: how; a number is a duration in seconds; None: the defaults.
            prompts_at: in place of prompts: one sound whose prompt changes on the way, as (seconds, prompt),
                the first at 0.
            continue_from: sound to continue: a path, an Audio, or samples and their rate, resampled and mixed
                as the codec needs it. One sound serves all prompts, a batch gives each its own.
            progress: called with the number of frames done and the number to do.
            cancel: asked before every step, for example `threading.Event().is_set`; when it says true the
                generation ends with `GenerationCancelled`.
            rerank: scores candidates, of which the best is kept: called with audio `[B, C, N]`, its sample
                rate and B prompts, returns B numbers, for example an `AudioTextScorer`.
            overrides: fields of `GenerationSettings` by name, such as duration, seed or temperature; they go
                before those of `settings`.

        Returns:
            `[prompts * num_samples, C, N]` with codes, seeds, prompts and scores of every row.

        Raises:
            TypeError, ValueError: an argument is of a wrong type or out of range; the message names it.
            FileNotFoundError, AudioError: the sound to continue cannot be read.
            GenerationCancelled: `cancel` said so.
        """
        chosen = GenerationSettings.of(settings, overrides)
        chosen.check_scorer(rerank)
        frames, seam = chosen.frames(self.codec.frame_rate), 0
        with torch.inference_mode():
            known = encode_source(continue_from, self.codec, self.lm)
            new = frames - (0 if known is None else known.shape[-1])
            if chosen.loop:
                seam = plan_seam(self, frames, known)
            first = part_of(progress, 0, new + seam)
            batch = self._begin(prompts, prompts_at, frames, chosen, known, first, cancel)
            batch.run()
            found = self.decode_result(batch, rerank, chosen.candidates)
        if not seam:
            return found
        with torch.inference_mode():
            text = None if prompts_at is None else prompts_at[-1][1]
            last = part_of(progress, new, new + seam)
            found = close_loop(found, seam, self, chosen, text=text, progress=last, cancel=cancel)
        return found.ordinary()

    def stream(
        self,
        prompts: Prompts = "",
        settings: GenerationSettings | float | None = None,
        *,
        prompts_at: PromptsAt | None = None,
        continue_from: AudioSource | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        chunk_seconds: float = 0.5,
        first_chunk_seconds: float = 0.2,
        **overrides: Any,
    ) -> Iterator[GeneratedAudio]:
        """Generate sounds and give them out chunk by chunk while the rest is still being made.

        The chunks one after the other are what `generate` returns for the same arguments and seed, up to
        rounding (1e-5; docs/compression.md tells of a codec that decides between equal maxima). Closing the
        iterator, or leaving it to be collected, ends the work and gives its memory back.

        Args:
            prompts, settings, prompts_at, continue_from, progress, cancel, overrides: as for `generate`, but
                without `candidates` and `loop`, which need whole sounds.
            chunk_seconds: length of a chunk, at least one frame of the codec.
            first_chunk_seconds: length of the first, short so that it comes soon.

        Returns:
            Yields chunks `[prompts * num_samples, C, n]`, their lengths about as asked. `codes` are those
            that were decoded for the chunk; the sound may lag behind them by the codec's latency. What
            is continued comes as part of the first chunk.

        Raises:
            TypeError, ValueError, FileNotFoundError: as `generate`, at the call.
            GenerationCancelled: `cancel` said so, from the iterator.
        """
        chosen = GenerationSettings.of(settings, overrides)
        chosen.refuse_candidates("stream")
        frames = chosen.frames(self.codec.frame_rate)
        first, size = plan_chunks(first_chunk_seconds, chunk_seconds, self.codec)
        with torch.inference_mode():
            known = encode_source(continue_from, self.codec, self.lm)
            batch = self._begin(prompts, prompts_at, frames, chosen, known, progress, cancel)
        if batch.origin is not None:
            batch.origin = replace(batch.origin, streamed=(first_chunk_seconds, chunk_seconds))
        return self._stream(batch, first, size)

    @torch.inference_mode()
    def _stream(self, batch: Batch, first: int, size: int) -> Iterator[GeneratedAudio]:
        with closing(batch.generator):
            decoder = LimitedDecoder(self.codec)
            for samples, codes in decode_while(decoder, batch.codes, batch.steps(), first=first, size=size):
                yield self.result(samples, codes, batch)

    def generate_codes(
        self,
        prompts: Prompts = "",
        frames: int = 250,
        settings: GenerationSettings | None = None,
        *,
        prompt_codes: Tensor | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        **overrides: Any,
    ) -> Tensor:
        """Generate codes without decoding them; greedy by default.

        Args:
            prompts, progress, cancel: as for `generate`.
            frames: T, those of `prompt_codes` included, instead of a duration.
            settings: how; None: the defaults at temperature 0.
            prompt_codes: int64 `[K, P]`, `[1, K, P]` or `[B, K, P]` to continue, P < T.
            overrides: as for `generate`, but without `duration`, and `candidates` and `loop`, which need
                sounds.

        Returns:
            int64 `[B, K, T]`.

        Raises:
            TypeError, ValueError: as `generate`.
        """
        if isinstance(settings, Real) or "duration" in overrides:
            raise TypeError(
                "generate_codes counts frames: give frames=, and settings by name, as temperature=0"
            )
        chosen = GenerationSettings.of(settings or GenerationSettings(temperature=0.0), overrides)
        chosen.refuse_candidates("generate_codes")
        longest = int(MAX_SECONDS * self.codec.frame_rate)
        texts, frames = list_prompts(prompts), check_integer("frames", frames, 1, longest)
        if prompt_codes is not None:
            prompt_codes = check_codes(prompt_codes, self.lm.num_codebooks, self.lm.codebook_size)
        with torch.inference_mode():
            batch = self.prepare(texts, frames, chosen, prompt_codes).start(progress, cancel)
            batch.run()
        return batch.codes.clone()

    def _begin(
        self,
        prompts: Prompts,
        prompts_at: PromptsAt | None,
        frames: int,
        settings: GenerationSettings,
        known: Tensor | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> Batch:
        """Start a batch of prompts, or of one sound whose prompt changes; see `prepare`."""
        if prompts_at is None:
            return self.prepare(list_prompts(prompts), frames, settings, known).start(progress, cancel)
        if prompts != "":
            raise ArgumentError(f"prompts is {prompts!r} beside prompts_at; give the one or the other")
        return start_sequence(self, prompts_at, frames, settings, known, progress, cancel)

    def decode_result(self, batch: Batch, rerank: Scorer | None, candidates: int) -> GeneratedAudio:
        """The sounds of a batch whose codes are complete, of each `candidates` in a row the best."""
        found = self.result(decode_codes(self.codec, batch.codes), batch.codes, batch)
        if rerank is None:
            return found
        with torch.inference_mode(False):
            return found.best(rerank, candidates)

    def result(self, samples: Tensor, codes: Tensor, batch: Batch) -> GeneratedAudio:
        """Samples `[B, C, n]` and codes `[B, K, t]` of a batch as what callers get."""
        rate, seeds, prompts = self.codec.sample_rate, batch.seeds, batch.prompts
        return GeneratedAudio(samples, rate, codes, seeds, prompts, origin=batch.origin).ordinary()
