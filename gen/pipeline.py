"""AudioGen: text in, sound out.

prompts -> TextEncoder -> AudioLM (step by step, see generation.py) -> codes `[B, K, T]` -> Codec -> audio
`[B, C, N]`.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..codecs.audio import Audio, read_audio
from ..codecs.base import Codec, load_codec, resolve_model
from .convert import PUBLISHED_CODEC_FILE, PUBLISHED_FILE, load_published_lm
from .generation import CodeGenerator, Progress
from .lm import AudioLM
from .quantize import save_int8
from .request import (
    Options,
    Prompts,
    Seeds,
    check_codes,
    check_frames,
    check_guidance,
    count_frames,
    list_prompts,
    plan_windows,
    row_seeds,
    spread_codes,
)
from .sampling import Sampler, check_sampling
from .text import TextEncoder, load_text_encoder
from .weights import MAX_SHARD_BYTES, read_json

logger = logging.getLogger(__name__)

BUNDLED_MODELS = Path(__file__).resolve().parent / "models"
MODEL_FILES = ("*.json", "*.safetensors", "*/*.json", "*/*.safetensors", "*/*.model", "*.bin")
DEFAULT_TOP_K = 250

# A file, an Audio, or samples [N], [C, N] or [B, C, N] with their sample rate in Hz.
AudioSource = str | os.PathLike[str] | Audio | tuple[Tensor | np.ndarray, int]


@dataclass(eq=False)
class GeneratedAudio(Audio):
    """Generated sounds, one row for each prompt and variation, the variations of a prompt next to each other.

    Attributes:
        codes: int64 `[B, K, T]`, the codec's codes of the samples.
        seeds: one for each row; generating that row's prompt alone with it gives the same row.
        prompts: one for each row.
    """

    codes: Tensor
    seeds: list[int] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)


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
            raise ValueError(
                f"the text encoder gives states of width {text_encoder.dim}, the language model wants "
                f"{lm.text_dim}; use the text encoder that it was trained with"
            )
        if codec.codebook_size != lm.codebook_size or codec.num_codebooks < lm.num_codebooks:
            raise ValueError(
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
        (`state_dict.bin` and `compression_state_dict.bin`, for example "facebook/audiogen-medium").

        Args:
            name: folder, bundled name or hub id.
            text_encoder: another one than the model names: folder, hub id or encoder.
            codec: another one than the model names: folder, bundled name, hub id or codec.
            dtype: of the language model's weights; text encoder and codec stay float32.
            device: where everything runs.
            revision: of a hub model.
            local_files_only: never go online.
            settings: replace what the model says about `max_seconds`, `extend_stride`, `guidance_scale`,
                `top_k`.

        Raises:
            ValueError: no such model (the nearest names are listed), or a damaged file (named).
            FileNotFoundError: the folder is incomplete; the missing file is named.
        """
        folder = resolve_model(
            name,
            BUNDLED_MODELS,
            local_files_only=local_files_only,
            revision=revision,
            allow_patterns=MODEL_FILES,
        )
        if (folder / PUBLISHED_FILE).is_file() or (folder / PUBLISHED_CODEC_FILE).is_file():
            logger.warning(
                "%s is in the format of Meta's AudioGen; Meta's weights are licensed CC BY-NC 4.0 "
                "(no commercial use), whatever the licence of this code",
                name,
            )
            published = load_published_lm(folder, dtype)
            lm = published.lm
            text_encoder = text_encoder if text_encoder is not None else published.text_encoder
            codec = codec if codec is not None else folder
            found: dict[str, Any] = {
                "max_seconds": published.max_seconds,
                "guidance_scale": published.guidance_scale,
            }
        else:
            config = read_json(folder / "config.json")
            lm = AudioLM.from_pretrained(folder / "lm", torch_dtype=dtype)
            if text_encoder is None:
                text_encoder = folder / "text_encoder"
            if codec is None:
                codec = str(config["codec"]) if config.get("codec") else folder / "codec"
            names = ("max_seconds", "extend_stride", "guidance_scale", "top_k")
            found = {key: config[key] for key in names if key in config}
        if not isinstance(codec, Codec):
            found["codec_name"] = codec if isinstance(codec, str) and not Path(codec).is_dir() else None
            codec = load_codec(codec, local_files_only=local_files_only)
        if not isinstance(text_encoder, TextEncoder):
            text_encoder = load_text_encoder(text_encoder, local_files_only=local_files_only)
        return cls(lm, text_encoder, codec, **(found | settings)).to(device)

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
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_lm(self.lm, folder / "lm", weights=weights, max_shard_bytes=max_shard_bytes)
        for part, place in ((self.text_encoder, "text_encoder"), (self.codec, "codec")):
            if place == "codec" and self.codec_name is not None:
                continue
            save = getattr(part, "save_pretrained", None)
            if save is None:
                raise TypeError(
                    f"{type(part).__name__} has no save_pretrained, so {folder / place} cannot be written"
                )
            save(folder / place)
        config = {
            "_class_name": type(self).__name__,
            "codec": self.codec_name,
            "max_seconds": self.max_seconds,
            "extend_stride": self.extend_stride,
            "guidance_scale": self.guidance_scale,
            "top_k": self.top_k,
        }
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")

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

    def generate(
        self,
        prompts: Prompts = "",
        duration: float = 5.0,
        guidance_scale: float | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 0.0,
        seed: Seeds = None,
        continue_from: AudioSource | None = None,
        num_samples: int = 1,
        progress: Progress | None = None,
        *,
        extend_stride: float | None = None,
        reference_padding: bool = False,
    ) -> GeneratedAudio:
        """Generate sounds.

        Args:
            prompts: one sentence or several; an empty one leaves the choice to the model.
            duration: seconds of the result, what it continues included: from one frame of the codec to 3600,
                cut to whole frames. Beyond `max_seconds` the sound is made in overlapping windows.
            guidance_scale: 0 (ignore the prompt) to 100, 1 = as trained; None: the model's own, usually 3.
            temperature: 0 (always the likeliest) to 100, 1 = as trained.
            top_k: draw from the k likeliest codes, 0 = all; None: the model's own, usually 250.
            top_p: draw from the likeliest codes up to this probability, 0 = off; replaces top_k.
            seed: an integer for all prompts, or one for each. Same seed and prompt give the same sound
                whatever else is in the batch; the same prompt twice with one integer gives the same sound
                twice. None: random.
            continue_from: sound to continue: a path, an Audio, or samples and their rate. One sound serves
                all prompts, a batch gives each its own.
            num_samples: different sounds for each prompt.
            progress: called with the number of frames done and the number to do.
            extend_stride: seconds between windows for long sounds; None: the model's own.
            reference_padding: let the padding of shorter prompts take part in cross attention, as AudioCraft
                does; results then depend on the other prompts of the batch.

        Returns:
            `[prompts * num_samples, C, N]` with codes, seeds and prompts of every row.

        Raises:
            TypeError, ValueError: an argument is of a wrong type or out of range; the message names the
                range.
            FileNotFoundError, AudioError: the sound to continue cannot be read.
        """
        texts = list_prompts(prompts)
        frames = count_frames(duration, self.codec.frame_rate)
        options = Options(
            guidance_scale=guidance_scale,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            num_samples=num_samples,
            progress=progress,
            extend_stride=extend_stride,
            reference_padding=reference_padding,
        )
        prompt = None if continue_from is None else self._encode_source(continue_from)
        codes, seeds = self._generate(texts, frames, prompt, options)
        with torch.inference_mode():
            samples = self.codec.decode(codes).float().cpu()
        rows = [text for text in texts for _ in range(num_samples)]
        # Cloned outside inference mode, so that the result can be used in training.
        return GeneratedAudio(samples.clone(), self.codec.sample_rate, codes.clone(), seeds, rows)

    def generate_codes(
        self,
        prompts: Prompts = "",
        frames: int = 250,
        guidance_scale: float | None = None,
        temperature: float = 0.0,
        prompt_codes: Tensor | None = None,
        *,
        top_k: int | None = None,
        top_p: float = 0.0,
        seed: Seeds = None,
        num_samples: int = 1,
        progress: Progress | None = None,
        extend_stride: float | None = None,
        reference_padding: bool = False,
    ) -> Tensor:
        """Generate codes without decoding them; greedy by default.

        Args:
            frames: T, those of `prompt_codes` included.
            prompt_codes: int64 `[K, P]`, `[1, K, P]` or `[B, K, P]` to continue, P < T.
            Others as for `generate`.

        Returns:
            int64 `[B, K, T]`.
        """
        options = Options(
            guidance_scale=guidance_scale,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            num_samples=num_samples,
            progress=progress,
            extend_stride=extend_stride,
            reference_padding=reference_padding,
        )
        if prompt_codes is not None:
            prompt_codes = check_codes(prompt_codes, self.lm.num_codebooks, self.lm.codebook_size)
        frames = check_frames(frames, self.codec.frame_rate)
        codes, _ = self._generate(list_prompts(prompts), frames, prompt_codes, options)
        return codes.clone()

    @torch.inference_mode()
    def _generate(
        self, texts: list[str], frames: int, prompt: Tensor | None, options: Options
    ) -> tuple[Tensor, list[int]]:
        """Codes int64 `[B, K, T]` and the seed of every row, for checked prompts and frames."""
        rate, size = self.codec.frame_rate, self.lm.codebook_size
        guidance = self.guidance_scale if options.guidance_scale is None else options.guidance_scale
        guidance = check_guidance(guidance)
        top_k = min(self.top_k, size) if options.top_k is None else options.top_k
        check_sampling(options.temperature, top_k, options.top_p, size)
        seeds = row_seeds(options.seed, len(texts), options.num_samples)
        stride_seconds = self.extend_stride if options.extend_stride is None else options.extend_stride
        max_frames, stride = plan_windows(frames, rate, self.max_seconds, stride_seconds)
        if prompt is not None:
            prompt = spread_codes(prompt.to(self.device), len(texts), options.num_samples, frames, rate)

        text = self.text_encoder(texts).repeat(options.num_samples)
        sampler = Sampler(
            seeds=seeds,
            num_codebooks=self.lm.num_codebooks,
            temperature=options.temperature,
            top_k=top_k,
            top_p=options.top_p,
        )
        generator = CodeGenerator(
            self.lm,
            text,
            max_frames=max_frames,
            guidance_scale=guidance,
            attend_padding=options.reference_padding,
        )
        try:
            return generator.long(frames, stride, sampler, prompt=prompt, progress=options.progress), seeds
        finally:
            generator.close()

    @torch.inference_mode()
    def _encode_source(self, source: AudioSource) -> Tensor:
        """Codes `[B, K, P]` of a sound to continue."""
        samples: Tensor | np.ndarray
        if isinstance(source, Audio):
            samples, rate = source.samples, source.sample_rate
        elif isinstance(source, (str, os.PathLike)):
            samples, rate = read_audio(source)
        elif isinstance(source, tuple) and len(source) == 2:
            samples, rate = source
        else:
            raise TypeError(
                f"continue_from is a {type(source).__name__}; give a path, an Audio or (samples, sample_rate)"
            )
        audio = self.codec.prepare(samples, rate)
        return self.codec.encode(audio.to(self.device))[:, : self.lm.num_codebooks]


def save_lm(
    lm: AudioLM, folder: Path, *, weights: str = "float", max_shard_bytes: int = MAX_SHARD_BYTES
) -> None:
    """Write a language model's folder; `weights` is "float" or "int8" (see `AudioGen.save_pretrained`)."""
    if weights == "int8":
        save_int8(lm, folder, max_shard_bytes)
    elif weights == "float":
        lm.save_pretrained(folder, max_shard_size=max_shard_bytes)
    else:
        raise ValueError(f"weights is {weights!r}; use 'float' or 'int8'")
