"""What a training of AudioGen starts from: another model, a text encoder, a codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...codecs.base import Codec
from ...codecs.registry import load_codec
from ..loading import load_parts
from ..model.lm import AudioLM
from ..model.transformer import TransformerLayer
from ..text.embedded import TABLE_FILE, EmbeddedTextEncoder
from ..text.encoder import TextEncoder
from ..text.loader import load_text_encoder


class Start:
    """The model that a fine-tuning starts from. Copies of a module that holds it share it.

    Args:
        name: bundled name, folder or hub id, of any kind that `AudioGen.from_pretrained` reads; int8 weights
            are read as the float32 values that they stand for.

    Attributes:
        text_encoder, codec: its parts.
        settings: `max_seconds`, `guidance_scale` and the like, and `codec_name`: how it refers to its codec,
            None when the codec is part of the model.
    """

    def __init__(self, name: str) -> None:
        parts = load_parts(name)
        self.name = name
        self.text_encoder, self.codec, self.settings = parts.text_encoder, parts.codec, dict(parts.settings)
        self._lm: AudioLM | None = parts.lm

    def __deepcopy__(self, memo: dict[int, Any]) -> Start:
        return self

    def language_model(self, *, text_dim: int, dropout: float) -> AudioLM:
        """Give away the language model, ready to train; once only.

        Raises:
            ValueError: the text encoder has another width than the model wants.
        """
        lm, self._lm = self._lm, None
        assert lm is not None
        if lm.text_dim != text_dim:
            raise ValueError(
                f"the text encoder gives states of width {text_dim}, but {self.name!r} was trained with "
                f"{lm.text_dim}; leave text_encoder out to take its own"
            )
        for parameter in lm.parameters():
            # A copy: what was read may be a file that is mapped into memory.
            parameter.data = parameter.data.to(torch.float32, copy=True)
        for layer in lm.transformer.layers:
            assert isinstance(layer, TransformerLayer)
            layer.dropout = dropout
        return lm.requires_grad_(True).train()


class Unregistered:
    """Holds a frozen module outside of its owner's children.

    The owner then neither saves it, nor moves or averages it: averaging callbacks deep-copy the whole owner,
    which would double the memory of a large text encoder, so a copy of this holder shares the module.
    """

    def __init__(self, module: Any) -> None:
        self.module = module.eval().requires_grad_(False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Unregistered:
        return self


def fitting_codec(codec: str | Codec, lm: AudioLM) -> Codec:
    """Load the codec that a module names.

    Raises:
        ValueError: its codes are not those of the language model.
    """
    found = load_codec(codec) if isinstance(codec, str) else codec
    if found.num_codebooks < lm.num_codebooks or found.codebook_size != lm.codebook_size:
        raise ValueError(
            f"the codec has {found.num_codebooks} codebooks of {found.codebook_size} codes, the language "
            f"model {lm.num_codebooks} of {lm.codebook_size}; set num_codebooks and codebook_size accordingly"
        )
    return found


def build_text_encoder(
    source: str | TextEncoder | None, settings: dict[str, Any] | None = None
) -> TextEncoder:
    """Find or build the text encoder that `AudioGenModule` names; see there.

    Raises:
        ValueError: no encoder is named, or settings for one that can't be new.
    """
    if source is None:
        raise ValueError(
            "text_encoder is not set; name a folder or a T5, or a model to start from (init_from)"
        )
    if isinstance(source, TextEncoder):
        if settings:
            raise ValueError(f"text_encoder_settings is {settings}, but text_encoder is an encoder already")
        return source
    if (Path(source) / TABLE_FILE).is_file():
        return EmbeddedTextEncoder.from_table(source, **(settings or {}))
    encoder = load_text_encoder(source)
    if not settings:
        return encoder
    if not isinstance(encoder, EmbeddedTextEncoder):
        raise ValueError(
            f"text_encoder_settings is {settings}, but {source!r} is a {type(encoder).__name__}; "
            "only a new embedded encoder has settings"
        )
    return encoder.untrained(**settings)
