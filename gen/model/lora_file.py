"""LoRA adapters as small files of their own: safetensors, with the configuration in the file's metadata.

Names are those of peft and diffusers: `lm.LAYER.lora_A.weight` `[r, I]`, `lm.LAYER.lora_B.weight` `[O, r]`,
and `lora_adapter_metadata`, JSON with rank, alpha and layers. Beside it stand what the adapter was trained on
(a name, and a fingerprint that tells models apart) and the version of soundloom.

Letters: r rank, I inputs and O outputs of a layer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ...core.atomic import atomic_path
from ...core.errors import ModelError
from ...core.files import check_file_destination, check_source
from ...core.safetensors_files import load_safetensors, write_safetensors
from ...core.version import __version__
from .adapted_linear import AdaptedLinear, LowRank
from .lora import LoRALinear, lora_layers
from .quantized_linear import QuantizedLinear

SUFFIX = ".safetensors"
METADATA = "lora_adapter_metadata"  # of diffusers
MAX_ALPHA = 1e6  # what is beyond makes weights that are not finite
PREFIX = "lm"  # of what is adapted: the language model
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, kw_only=True)
class LoRAWeights:
    """A LoRA adapter of a language model.

    Attributes:
        layers: by dotted name of a layer, A `[r, I]` and B `[O, r]`; the layer's weight grows by
            alpha / rank * B A.
        rank, alpha: r, and what the product is scaled by, times r.
        base: fingerprint of the model that it was trained on, see `base_fingerprint`.
        base_model: what that was called; "" if unknown.
    """

    layers: Mapping[str, tuple[Tensor, Tensor]] = field(repr=False)
    rank: int
    alpha: float
    base: str
    base_model: str = ""

    @classmethod
    def of(cls, model: nn.Module, base_model: str = "") -> Self:
        """The adapter that a model was trained to, as `add_lora` put it beside its layers.

        Raises:
            ModelError: it has none.
        """
        found: dict[str, LoRALinear] = dict(lora_layers(model))
        if not found:
            raise ModelError(
                "the model was not trained with LoRA, so there is no adapter to write: it is written whole"
            )
        first = next(iter(found.values()))
        rank = len(first.lora_down)
        return cls(
            layers={
                name: (layer.lora_down.detach(), layer.lora_up.detach()) for name, layer in found.items()
            },
            rank=rank,
            alpha=first.scale * rank,
            base=base_fingerprint(model),
            base_model=base_model,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `save` wrote; nothing in it can run code.

        Raises:
            FileNotFoundError, IsADirectoryError: there is no such file.
            ModelError: it is damaged, is no LoRA adapter, or says of itself what it does not hold.
        """
        file = check_source(path, "LoRA file")
        if file.suffix != SUFFIX:
            raise ModelError(
                f"{file} is no {SUFFIX} file; other formats, such as pickles (.bin, .pt, .ckpt), are not "
                "opened, as reading one could run code. Of a checkpoint: soundloom export CHECKPOINT "
                f"NAME{SUFFIX} --lora"
            )
        tensors = load_safetensors(file)
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
        if METADATA not in metadata:
            raise ModelError(
                f"{file} says nothing of LoRA ({METADATA} is not in its metadata): it is another model's "
                "file, or was written by another program. Write one with soundloom export --lora"
            )
        try:
            settings = _settings(metadata)
            layers = _layers(tensors, settings["rank"])
        except (ValueError, RecursionError) as error:
            raise ModelError(
                f"{file} is no LoRA adapter that can be used: {error}; copy, download or export it again"
            ) from None
        return cls(layers=layers, **settings)

    def save(self, path: str | os.PathLike[str], *, license: str | None = None, force: bool = False) -> Path:
        """Write a file that `load` reads; it is complete or not there.

        Args:
            path: ends in .safetensors.
            license: of the weights, such as "apache-2.0"; None: nothing is said.
            force: an existing file may be replaced.

        Raises:
            OSError: it cannot be written, or exists.
            ModelError: the name ends otherwise, or a value is too large for half precision.
        """
        file = check_file_destination(path, force=force, example=f"lora{SUFFIX}")
        if file.suffix != SUFFIX:
            raise ModelError(f"{file} does not end in {SUFFIX}, which a LoRA file is: {file.stem}{SUFFIX}")
        tensors: dict[str, Tensor] = {}
        for name, (down, up) in self.layers.items():
            for suffix, value in ((_DOWN, down), (_UP, up)):
                half = value.detach().to("cpu", torch.float16).contiguous()
                if not torch.isfinite(half).all():
                    raise ModelError(
                        f"LoRA of {name} has values that are not finite; train with a lower rate"
                    )
                tensors[f"{PREFIX}.{name}{suffix}"] = half
        config = {"r": self.rank, "lora_alpha": self.alpha, "target_modules": sorted(self.layers)}
        metadata = {
            METADATA: json.dumps({f"{PREFIX}.{key}": value for key, value in config.items()}, sort_keys=True),
            "base_model": self.base_model,
            "base_fingerprint": self.base,
            "soundloom_version": __version__,
        }
        metadata |= {"license": license} if license else {}
        with atomic_path(file) as partial:
            write_safetensors(tensors, partial, metadata)
        return file

    def check_fits(self, model: nn.Module, name: str) -> None:
        """Raise ModelError, which names the adapter, unless it was trained on the weights of this model."""
        for layer, (down, up) in self.layers.items():
            try:
                module: Any = model.get_submodule(layer)
            except AttributeError:
                module = None
            module = module.base if isinstance(module, AdaptedLinear) else module
            if not isinstance(module, nn.Linear | QuantizedLinear):
                raise self._foreign(name, f"it has no layer {layer!r}")
            sizes = module.out_features, module.in_features
            if (len(up), down.shape[1]) != sizes:
                raise self._foreign(
                    name, f"{layer} is {list(sizes)} there and {[len(up), down.shape[1]]} in the adapter"
                )
        if (found := base_fingerprint(model)) != self.base:
            raise self._foreign(name, f"its fingerprint is {found}, not {self.base}")

    def _foreign(self, name: str, reason: str) -> ModelError:
        named = f", {self.base_model!r}," if self.base_model else ""
        return ModelError(
            f"the LoRA adapter {name} was trained on another model{named} than this one ({reason}); load it "
            "into the model that it was trained on"
        )

    def parts(self, strength: float) -> Iterator[tuple[str, LowRank]]:
        """Of each layer what an AdaptedLinear takes, at a strength: 1 is as it was trained."""
        for name, (down, up) in self.layers.items():
            yield name, (down, up, strength * self.alpha / self.rank)


@torch.no_grad()
def base_fingerprint(model: nn.Module) -> str:
    """16 hex digits that tell language models apart, the same in whatever precision one is loaded.

    Of embedding and norms, which LoRA leaves alone and which no quantization rounds, as bfloat16.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if name != "embedding.weight" and "norm" not in name:
            continue
        digest.update(f"{name} {list(parameter.shape)}".encode())
        digest.update(
            parameter.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
        )
    return digest.hexdigest()[:16]


def _settings(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Fields of `LoRAWeights` from a file's metadata; ValueError where it makes no sense."""
    config = json.loads(metadata[METADATA])
    if not isinstance(config, dict):
        raise ValueError(f"{METADATA} is no JSON object")
    rank, alpha = config.get(f"{PREFIX}.r"), config.get(f"{PREFIX}.lora_alpha")
    if type(rank) is not int or rank < 1:
        raise ValueError(f"its metadata says that the rank is {str(rank)[:40]}, which has to be 1 or more")
    if isinstance(alpha, bool) or not (isinstance(alpha, int | float) and 0 < alpha <= MAX_ALPHA):
        raise ValueError(
            f"its metadata says that alpha is {alpha!r:.40}, which has "
            f"to be more than 0, at most {MAX_ALPHA:g}"
        )
    base = metadata.get("base_fingerprint")
    if not base:
        raise ValueError("it does not say which model it was trained on (base_fingerprint)")
    return {"rank": rank, "alpha": alpha, "base": base, "base_model": metadata.get("base_model", "")}


def _layers(tensors: Mapping[str, Tensor], rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    """The matrices of each layer; ValueError where some are missing or of another rank."""
    downs, ups = ({_layer(name, end): name for name in tensors if name.endswith(end)} for end in (_DOWN, _UP))
    names = sorted(downs.keys() | ups.keys())
    if odd := sorted(set(tensors) - set(downs.values()) - set(ups.values())) or (not names and ["nothing"]):
        raise ValueError(f"it holds {odd[0][:80]!r}, which is none of a LoRA adapter's matrices")
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name in names:
        if name not in downs or name not in ups:
            raise ValueError(f"of {name!r} it holds only one of the two matrices")
        down, up = tensors[downs[name]].float(), tensors[ups[name]].float()
        if down.ndim != 2 or up.ndim != 2 or len(down) != rank or up.shape[1] != rank:
            raise ValueError(
                f"its matrices for {name} are {list(down.shape)} and {list(up.shape)}, and its metadata says "
                f"that the rank is {rank}"
            )
        if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
            raise ValueError(f"its matrices for {name} hold NaN or infinite values")
        found[name] = down, up
    return found


def _layer(name: str, end: str) -> str:
    prefix, _, layer = name.removesuffix(end).partition(".")
    if prefix != PREFIX:
        raise ValueError(f"it is for {prefix[:40]!r}; only language models ({PREFIX}) take adapters")
    return layer
