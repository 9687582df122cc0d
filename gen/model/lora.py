"""LoRA: fine-tuning a language model through small matrices beside its frozen large ones.

Source: LoRA (Hu et al. 2021, arXiv 2106.09685). A linear layer `y = W x` becomes
`y = W x + alpha / r * B A x` with `A` `[r, in]` and `B` `[out, r]`; only A and B are trained, B starts at
zero, so training starts at the model as it was, and `W + alpha / r * B A` is a plain layer again when it is
exported.

The library for this is peft, and it was weighed. It would bring accelerate and psutil beside itself, import
all of transformers, and rename every weight below the layers that it wraps, so that a checkpoint needs it to
be read. Used here would be one formula, on one kind of layer, of one model: the 60 lines of `LoRALinear` and
`add_lora`. Should other methods of fine-tuning be wanted some day, peft is the place to get them from.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.unfilled import unfilled
from .adapted_linear import adapted_layers
from .lm import AudioLM
from .schemes import check_trainable, check_writable

# Every large matrix of a transformer layer.
DEFAULT_TARGETS = ("in_proj", "query", "key_value", "out_proj", "linear1", "linear2")


@dataclass(frozen=True)
class LoRASettings:
    """How a language model is given LoRA layers.

    Args:
        rank: r, columns of the added matrices; capacity, and size of the checkpoint.
        alpha: the added part is scaled by alpha / rank, so that the rank can change without the learning
            rate; default: 2 * rank.
        dropout: chance that an input of the added part is dropped in training.
        targets: which linear layers, by a part of their dotted names: "query", "cross_attention",
            "layers.3", "heads", "text_projection"; `AudioLM.named_modules` lists them.

    Raises:
        ValueError: a value is out of range.
    """

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    targets: Sequence[str] = DEFAULT_TARGETS

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; it must be 1 or more (8 to 64 are usual)")
        if self.alpha is not None and not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"alpha is {self.alpha}; it must be more than 0 (usual: twice the rank)")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout is {self.dropout}; allowed are 0 to 1 (1 excluded)")
        if isinstance(self.targets, str) or not self.targets:
            raise ValueError(
                f"targets is {self.targets!r}; give a list of names, such as ['query', 'out_proj']"
            )

    @property
    def scale(self) -> float:
        """Factor of the added part."""
        return 2.0 if self.alpha is None else self.alpha / self.rank


class LoRALinear(nn.Linear):
    """A linear layer whose weights are frozen, and a trained low-rank part beside it.

    The frozen weights keep their names ("weight", "bias"); the added ones are "lora_down" `[r, in]` (A) and
    "lora_up" `[out, r]` (B).

    Args:
        linear: the layer to take the place of; its parameters are used, not copied, and frozen.
        settings: rank, scale and dropout.
    """

    def __init__(self, linear: nn.Linear, settings: LoRASettings) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight = linear.weight
        self.weight.requires_grad_(False)
        if linear.bias is not None:
            self.bias = linear.bias
            self.bias.requires_grad_(False)
        self.scale, self.dropout = settings.scale, settings.dropout
        like: dict[str, Any] = {"device": linear.weight.device, "dtype": torch.float32}
        self.lora_down = nn.Parameter(torch.empty(settings.rank, linear.in_features, **like))
        self.lora_up = nn.Parameter(torch.zeros(linear.out_features, settings.rank, **like))
        if not self.lora_down.is_meta:
            nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        """`[..., in]` -> `[..., out]`."""
        dropped = F.dropout(input, self.dropout) if self.training and self.dropout > 0 else input
        added = F.linear(F.linear(dropped, self.lora_down), self.lora_up)
        return F.linear(input, self.weight, self.bias) + self.scale * added

    def merged_weight(self) -> Tensor:
        """`W + alpha / r * B A`, of the type of W; computed in float32."""
        added = self.lora_up.detach().float() @ self.lora_down.detach().float()
        return (self.weight.detach().float() + self.scale * added).to(self.weight.dtype)


def add_lora(model: AudioLM, settings: LoRASettings) -> list[str]:
    """Freeze a model and put LoRA beside the layers that the settings name.

    Returns:
        The dotted names of those layers.

    Raises:
        ValueError: a target fits no linear layer; the message lists the names there are. Or the model has
            LoRA already, or is quantized.
    """
    check_trainable(model)
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if any(isinstance(module, LoRALinear) for module in linear.values()):
        raise ValueError("the model has LoRA layers already; merge them first (save_pretrained does)")
    for target in settings.targets:
        if not any(_fits(name, target) for name in linear):
            known = sorted({part for name in linear for part in name.split(".") if not part.isdigit()})
            raise ValueError(
                f"targets holds {target!r}, which is part of no linear layer's name; parts there are: "
                f"{', '.join(known)}"
            )
    chosen = [name for name in linear if any(_fits(name, target) for target in settings.targets)]
    model.requires_grad_(False)
    for name in chosen:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, LoRALinear(linear[name], settings))
    return chosen


def _fits(name: str, target: str) -> bool:
    """Whether the target is a run of whole parts of a dotted name: "layers.1" in "a.layers.1.b", not 11."""
    return f".{target}." in f".{name}."


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Dotted names and modules of the LoRA layers."""
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            yield name, module


def merge_lora(model: AudioLM) -> AudioLM:
    """The plain model that computes what `model` computes; `model` itself stays as it is.

    What has no LoRA is shared between the two. A model without LoRA is returned as it is.

    Raises:
        ModelError: it has adapters, and is quantized.
    """
    layers, adapted = dict(lora_layers(model)), dict(adapted_layers(model))
    if not layers and not adapted:
        return model
    check_writable(model, adapters=True)
    state = {name: tensor for name, tensor in model.state_dict().items() if ".lora_" not in name}
    for name, layer in layers.items():
        state[f"{name}.weight"] = layer.merged_weight()
    for name, beside in adapted.items():
        for leaf in beside.base.state_dict():
            state[f"{name}.{leaf}"] = state.pop(f"{name}.base.{leaf}")
        weight = state[f"{name}.weight"]
        added = beside.lora_up.detach().float() @ beside.lora_down.detach().float()
        state[f"{name}.weight"] = (weight.float() + added).to(weight.dtype)
    with unfilled():  # no memory for weights that are replaced at once
        plain = AudioLM(model.settings)
    plain.load_state_dict(state, strict=True, assign=True)
    return plain.eval()


def fingerprint(model: nn.Module) -> str:
    """16 hex digits that tell apart the frozen weights below LoRA: of names, shapes and some values."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if ".lora_" in name:
            continue
        flat = parameter.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 64)].float().cpu()
        digest.update(f"{name} {list(parameter.shape)}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:16]


def check_fingerprint(found: str, expected: str, start: str | None) -> None:
    """Refuse LoRA layers that were trained on other weights.

    Args:
        found: fingerprint of those that they were trained on.
        expected: fingerprint of those that are loaded.
        start: what these were loaded from.

    Raises:
        ValueError: they differ.
    """
    if found != expected:
        raise ValueError(
            f"the checkpoint continues from other weights ({found or 'none'}) than init_from ({start!r}) "
            f"holds now ({expected or 'none'}); name the model that the run started from, in the version of "
            "that time"
        )


def save_only_trained(module: nn.Module) -> None:
    """From now on leave frozen parameters out of a module's state dict, and do not miss them on loading it.

    A checkpoint of a LoRA run is then as small as what was trained; the rest comes from the model that the
    run started from.
    """
    module.register_state_dict_post_hook(_drop_frozen)
    module.register_load_state_dict_post_hook(_do_not_miss_frozen)


def _frozen(module: nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if not parameter.requires_grad]


def _drop_frozen(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    for name in _frozen(module):
        state.pop(prefix + name, None)


def _do_not_miss_frozen(module: nn.Module, keys: Any) -> None:
    frozen = tuple(_frozen(module))
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(frozen)]
