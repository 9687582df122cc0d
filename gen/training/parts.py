"""Text encoder, codec and start model of a training of AudioGen, and what it exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ...codecs.base import Codec
from ...codecs.registry import load_codec
from ...core.hub import DEFAULT_CODEC
from ..loading import load_parts
from ..model.config import AudioLMConfig
from ..model.lm import AudioLM
from ..model.schemes import check_trainable
from ..model.transformer import TransformerLayer
from ..text.embedded import TABLE_FILE, EmbeddedTextEncoder
from ..text.encoder import TextEncoder
from ..text.loader import load_text_encoder
from .flat_settings import AUDIOGEN


@dataclass(frozen=True)
class TextSettings:
    """Which text encoder a training takes.

    Args:
        encoder: a folder with a distilled token table (a new embedded encoder is built over it), a folder of
            a trained encoder, a bundled model, a T5 by folder or hub id, or an encoder; None: that of the
            model that training starts from.
        settings: for a new embedded encoder: dim, num_layers, num_heads, dropout, word_dropout.
        train: off freezes an embedded encoder too.
    """

    encoder: str | TextEncoder | None = None
    settings: dict[str, Any] | None = None
    train: bool = True


@dataclass(frozen=True)
class ExportSettings:
    """What the exported model is given; None: that of the model that training started from, else a default.

    Args:
        codec: the codec that it names, or holds when it is a folder; default: seanet-16khz.
        max_seconds: length of its window, s.
        extend_stride: by how much the window moves on for longer sounds, s.
        guidance_scale: of classifier-free guidance.
        top_k: of sampling.
        codebook_temperatures: of sampling, see `TextToCodes`.
    """

    codec: str | None = None
    max_seconds: float | None = None
    extend_stride: float | None = None
    guidance_scale: float | None = None
    top_k: int | None = None
    codebook_temperatures: list[float] | None = None

    def pipeline_settings(self) -> dict[str, Any]:
        """Those of `AudioGen` that are set."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        found.pop("codec", None)
        return found


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

    def language_model(self, settings: AudioLMConfig, *, text_dim: int) -> AudioLM:
        """Give away the language model, ready to train with the dropouts of `settings`; once only.

        Raises:
            ValueError: the text encoder has another width than the model wants, or the model is quantized.
        """
        lm, self._lm = self._lm, None
        assert lm is not None
        check_trainable(lm)
        if lm.text_dim != text_dim:
            raise ValueError(
                f"the text encoder gives states of width {text_dim}, but {self.name!r} was trained with "
                f"{lm.text_dim}; leave text.encoder out to take its own"
            )
        for parameter in lm.parameters():
            # A copy: what was read may be a file that is mapped into memory.
            parameter.data = parameter.data.to(torch.float32, copy=True)
        for layer in lm.transformer.layers:
            assert isinstance(layer, TransformerLayer)
            layer.dropout = settings.dropout
        lm.token_dropout = settings.token_dropout
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
            f"model {lm.num_codebooks} of {lm.codebook_size}; set those of model.lm accordingly"
        )
    return found


def exported_codec(codec: str | Codec | None, start: Start | None) -> tuple[Codec, dict[str, Any]]:
    """The codec of an exported model, and the settings that it begins with (`codec_name` and the like).

    Args:
        codec: see `AudioGenModule.save_pretrained`.
        start: the model that training started from.
    """
    known: dict[str, Any] = {"codec_name": DEFAULT_CODEC} if start is None else start.settings
    if isinstance(codec, str) and Path(codec).is_dir():
        codec = load_codec(codec)  # stored: a folder of this machine would be a name for nobody else
    if codec is not None:
        known = known | {"codec_name": codec if isinstance(codec, str) else None}
    elif start is not None:
        codec = start.codec
    return codec if isinstance(codec, Codec) else load_codec(codec or DEFAULT_CODEC), known


def build_text_encoder(
    source: str | TextEncoder | None, settings: dict[str, Any] | None = None
) -> TextEncoder:
    """Find or build the text encoder that `AudioGenModule` names; see there.

    Raises:
        ValueError: no encoder is named, or settings for one that can't be new.
    """
    if source is None:
        raise ValueError(
            "text.encoder is not set; name a folder or a T5, or a model to start from (init_from)"
        )
    if isinstance(source, TextEncoder):
        if settings:
            raise ValueError(f"text.settings is {settings}, but text.encoder is an encoder already")
        return source
    if (Path(source) / TABLE_FILE).is_file():
        return EmbeddedTextEncoder.from_table(source, **(settings or {}))
    encoder = load_text_encoder(source)
    if not settings:
        return encoder
    if not isinstance(encoder, EmbeddedTextEncoder):
        raise ValueError(
            f"text.settings is {settings}, but {source!r} is a {type(encoder).__name__}; "
            "only a new embedded encoder has settings"
        )
    return encoder.untrained(**settings)


def checkpoint_settings(checkpoint: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of AudioGenModule that a checkpoint holds, under today's names.

    Args:
        checkpoint: as torch.load gives it.
        changed: arguments in place of those in it, such as the optimiser, which it lacks.

    Raises:
        ValueError: nothing says which text encoder it was trained with.
    """
    settings = AUDIOGEN.nested(checkpoint.get("hyper_parameters") or {}) | dict(changed)
    if not (settings_of(TextSettings, settings.get("text")).encoder or settings.get("init_from")):
        raise ValueError(
            "the checkpoint does not say which text encoder it was trained with; load it from Python: "
            "AudioGenModule.load_from_checkpoint(path, text=TextSettings(...)).save_pretrained(folder)"
        )
    if "optimizer" not in changed:  # that of a checkpoint is in its state
        settings.pop("optimizer", None)
    return settings


def settings_of(kind: type[Any], value: Any) -> Any:
    """Settings as they were given, out of the mapping that a checkpoint holds, or (None) the default ones."""
    return kind(**(value or {})) if value is None or isinstance(value, Mapping) else value


def name_of(value: Any) -> str | None:
    """A model as a checkpoint can name it: objects cannot be named."""
    return value if isinstance(value, str) else None
