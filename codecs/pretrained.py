"""Codecs that are built from a dataclass of settings, saved and loaded as diffusers saves models."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..core.checkpoint import CONFIG_FILE, brief, fill, read_config, read_weights
from ..core.diffusers_classes import ConfigMixin, ModelMixin
from ..core.errors import ModelError
from ..core.int8_storage import STORAGE_KEY, is_int8, load_int8
from ..core.push_to_hub import PushToHub
from ..core.safetensors_files import SharedWeights
from .base import Codec
from .registry import codec_folder


# ConfigMixin last: its way to look attributes up would hide nn.Module's.
class PretrainedCodec(PushToHub, SharedWeights, ModelMixin, Codec, ConfigMixin):
    """A codec with `save_pretrained` and `from_pretrained`; config.json holds its settings, flat.

    A subclass gives `config_class`, builds its networks from `self.settings`, and passes its settings on:

        def __init__(self, **settings: Any) -> None:
            super().__init__(MyConfig(**settings))

    Args:
        settings: an instance of `config_class`.

    Attributes:
        config_class: the dataclass of the settings; it checks them.
        settings: of this codec.
    """

    config_name = CONFIG_FILE
    card_kind = "codec"
    config_class: ClassVar[type]
    # Of diffusers, whose annotations mypy does not follow.
    register_to_config: Callable[..., None]
    enable_gradient_checkpointing: Callable[..., None]

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.register_to_config(**asdict(settings))

    # ModelMixin's own looks at every module first, which takes milliseconds.
    device = Codec.device

    @staticmethod
    def _get_init_keys(input_class: type[PretrainedCodec]) -> set[str]:
        """ConfigMixin asks for the constructor's arguments: they are the fields of the settings."""
        return {"self", *(field.name for field in fields(input_class.config_class))}

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load from a folder, a bundled name or a hub id, float32, in evaluation mode.

        Args:
            name: see `resolve_model`. The folder holds our config.json and safetensors, or, for codecs that
                others published, what they did.
            revision: branch, tag or commit of a hub model.
            local_files_only: take hub models from the local cache only.

        Raises:
            ModelError: unknown name, a checkpoint of another kind of codec, or settings that are not known.
            OSError: a file is missing or damaged.
        """
        return cls.load_folder(codec_folder(name, revision=revision, local_files_only=local_files_only))

    @classmethod
    def load_folder(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Self:
        """Load a folder that `save_pretrained` wrote, weights as `dtype`; errors as for `from_pretrained`.

        A codec that others published reads their files here too.
        """
        config, known = read_config(folder), cls._get_init_keys(cls) | {STORAGE_KEY}
        unknown = [key for key in config if key not in known and not key.startswith("_")]
        if unknown:
            raise ModelError(
                f"{folder / CONFIG_FILE} has settings that {cls.__name__} does not know: "
                f"{', '.join(sorted(unknown))}; a newer version of soundloom made it: install that one"
            )
        codec = cls(**{key: value for key, value in config.items() if key in known - {"self", STORAGE_KEY}})
        # The random weights of the new codec go before those of the folder come.
        codec.load_state_dict(
            {name: tensor.to("meta") for name, tensor in codec.state_dict().items()}, assign=True
        )
        if is_int8(config):
            load_int8(codec, folder, codec.complete)
        else:
            fill(codec, read_weights(folder), folder)
        return nn.Module.to(codec, dtype).eval()  # that of diffusers warns of every change of type

    def complete(self, state: dict[str, Tensor]) -> None:
        """Add to weights that were read what was not stored since it can be worked out."""

    @classmethod
    def load_state(
        cls,
        settings: Mapping[str, Any],
        state: Mapping[str, Tensor],
        where: str | Path,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Build a codec of these settings and weights, which others published in the file `where`.

        Raises:
            ModelError: the weights are not those of the settings.
        """
        codec = cls(**settings)
        try:
            codec.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, assign=True)
        except RuntimeError as error:
            raise ModelError(
                f"{where}: the weights are not those of its configuration ({brief(error)}); fetch it again"
            ) from error
        return codec.eval()
