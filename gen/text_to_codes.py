"""From prompts to codes: a language model, its text encoder and its codec, and how they begin a batch.

`AudioGen` (pipeline.py) adds what is done with the codes; what edits sounds (editing/) stands on this alone.
Letters: B rows (prompts x samples), K codebooks, T frames, P frames of a prompt of codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self, TypeVar

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.errors import ModelError
from ..core.threads import is_small, one_thread
from .continuation import repeat_codes
from .generation import Cancel, CodeGenerator, Prepared, plan_windows
from .model.lm import AudioLM
from .model.schemes import is_quantized
from .origin import Origin
from .sampling import Sampler, check_codebook_temperatures, row_seeds
from .settings import ROUNDING, GenerationSettings, Schedule, check_guidance
from .text.encoder import TextEncoder, TextStates, encode_each

DEFAULT_TOP_K = 250
Generating = TypeVar("Generating", bound=CodeGenerator)


class TextToCodes:
    """A language model over codes together with its text encoder and codec.

    Args:
        lm: the language model.
        text_encoder: gives the states that it was trained with.
        codec: turns its codes into sound.
        max_seconds: longest window; longer sounds are made of several.
        extend_stride: seconds from the start of one window to the next in longer sounds.
        guidance_scale, top_k: what is used where settings are None.
        codebook_temperatures: by how much the temperature is multiplied in each of the K codebooks. Late
            codebooks hold details that a small model knows least; drawn more surely, they fit together
            better. None: 1 in each.
        codec_name: how `save_pretrained` refers to the codec; without it, it stores the codec itself.
        name: what the model is called, for the tags of its sounds.
        license: of the weights, as the hub calls it ("apache-2.0"); None: not known.

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
        codebook_temperatures: Sequence[float] | None = None,
        codec_name: str | None = None,
        name: str = "",
        license: str | None = None,
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
        self.codebook_temperatures = check_codebook_temperatures(codebook_temperatures, lm.num_codebooks)
        self.codec_name = codec_name
        self.name = name
        self.license = license

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

    @property
    def active_adapters(self) -> Mapping[str, float]:
        """Strengths of the adapters that are loaded (see lora_loader.py), by name."""
        return {}

    @property
    def max_frames(self) -> int:
        """Frames of the longest window."""
        return int(self.max_seconds * self.codec.frame_rate + ROUNDING)

    def fill_settings(self, settings: GenerationSettings) -> GenerationSettings:
        """Settings with the model's own values where they are None."""
        return settings.fill(
            guidance_scale=self.guidance_scale,
            top_k=min(self.top_k, self.lm.codebook_size),
            extend_stride=self.extend_stride,
        )

    def sampler(self, settings: GenerationSettings, seeds: list[int]) -> Sampler:
        """What draws the codes of rows that have these seeds; of the settings none is None."""
        codebooks, size = self.lm.num_codebooks, self.lm.codebook_size
        return Sampler(
            settings,
            seeds=seeds,
            num_codebooks=codebooks,
            codebook_size=size,
            codebook_temperatures=self.codebook_temperatures,
        )

    def code_generator(
        self,
        kind: type[Generating],
        texts: list[str],
        settings: GenerationSettings,
        *,
        repeats: int = 1,
        max_frames: int,
        cancel: Cancel | None = None,
    ) -> Generating:
        """Encode texts and allocate the memory of their rows.

        Args:
            kind: `CodeGenerator`, or a class of that kind.
            texts: the prompts.
            settings: of which none is None; a negative prompt is one for all texts, or one for each.
            repeats: rows of each text.
            max_frames, cancel: see `CodeGenerator`.
        """
        text, negative = self._encode(texts, settings, repeats)
        return kind(
            self.lm,
            text,
            max_frames=max_frames,
            guidance_scale=_guidance(settings),
            negative=negative,
            attend_padding=settings.reference_padding,
            cancel=cancel,
        )

    def prepare(
        self, texts: list[str], frames: int, settings: GenerationSettings, known: Tensor | None
    ) -> Prepared:
        """Check what depends on the model and encode the texts; nothing is allocated yet.

        Args:
            texts: the prompts.
            frames: T.
            settings: as the caller gave them.
            known: int64 `[1, K, P]`, or one for each text, to continue; None for nothing.

        Raises:
            ValueError: a setting does not fit the model or the number of prompts; the message names it.
        """
        settings = self.fill_settings(settings)
        samples = settings.num_samples * settings.candidates
        settings.negatives(len(texts))  # before seeds are drawn: they have to fit
        seeds = row_seeds(settings.seed, len(texts), samples)
        sampler = self.sampler(settings, seeds)
        rate = self.codec.frame_rate
        max_frames, stride = plan_windows(frames, rate, self.max_seconds, settings.extend_stride)
        if known is not None:
            known = repeat_codes(known.to(self.device), len(texts), samples, frames, rate)
        text, negative = self._encode(texts, settings, samples)
        return Prepared(
            prompts=[text for text in texts for _ in range(samples)],
            seeds=seeds,
            stride=stride,
            sampler=sampler,
            lm=self.lm,
            text=text,
            negative=negative,
            guidance_scale=_guidance(settings),
            attend_padding=settings.reference_padding,
            max_frames=max_frames,
            frames=frames,
            known=known,
            origin=Origin.of(self, settings, seeds, known),
        )

    def _encode(
        self, texts: list[str], settings: GenerationSettings, repeats: int
    ) -> tuple[TextStates, TextStates | None]:
        """The states of texts and of negative prompts, if there are any, each `repeats` times."""
        negatives = settings.negatives(len(texts))
        # One batch, so that prompts and negative prompts are padded to one length; then a row for each sound.
        with one_thread(is_small(self.lm, rows=len(texts) + len(negatives))):  # its encoder is small, too
            encode = partial(encode_each, self.text_encoder) if is_quantized(self.lm) else self.text_encoder
            encoded = encode([*texts, *negatives]).repeat(repeats)
        rows = len(texts) * repeats
        return encoded.rows(0, rows), encoded.rows(rows, 2 * rows) if negatives else None


def _guidance(settings: GenerationSettings) -> float | Schedule:
    assert settings.guidance_scale is not None  # filled in
    return check_guidance(settings.guidance_scale)
