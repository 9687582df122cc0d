"""Schemes of quantization: which matrices of a language model are kept how, on disk and in memory.

| scheme | layers | heads |
|---|---|---|
| bf16 | bfloat16 | float32 |
| int8 | int8, a scale for each output | int8 |
| int4 | 4 bits, scale and offset for 32 inputs of an output; int8 where the sizes do not fit | int8 |

The rest is float32; keys and values of attention are bfloat16. A folder says in config.json how it is stored:
`"quantization": {"scheme": "int4", "version": 1}`; `x.weight` then holds what `quantize_matrix` gives, and
`x.weight_scale` its scales. Tensors are read one after the other, and each is packed before the next is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.checkpoint import CONFIG_FILE, each_weight, write_shards
from ...core.errors import ArgumentError, ModelError
from ...core.int8_storage import SCALE_SUFFIX, dequantize_matrix
from ...core.memory import release_freed
from .products import check_kernels, int4_values
from .quantized_linear import QuantizedLinear, fitting_kind, quantize_matrix

SCHEMES = ("bf16", "int8", "int4")
AUTO = "auto"
QUANTIZATION_KEY = "quantization"
VERSION = 1

# What goes into attention, whose keys and values are read again at every step.
_INTO_ATTENTION = ("in_proj", "query", "key_value")
_FAMILY = {torch.bfloat16: "bf16", torch.int8: "int8", torch.uint8: "int4"}

Stored = tuple[str, Tensor, Tensor | None]


def check_scheme(scheme: str | None, *, auto: bool = True) -> str | None:
    """Return a name of a scheme, None or (where allowed) "auto".

    Raises:
        ArgumentError: it is none of these.
    """
    allowed = (*SCHEMES, AUTO) if auto else SCHEMES
    if scheme is not None and scheme not in allowed:
        raise ArgumentError(
            f"quantization is {scheme!r}; use {', '.join(map(repr, allowed))}, or None for float32"
        )
    return scheme


def for_device(scheme: str | None, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return a scheme, checked to run on a device; "auto" for CPUs only, of which there are many kinds.

    Raises:
        ArgumentError: it is not known, or runs on CPUs only, or another type than float32 is wanted as well.
    """
    check_scheme(scheme)
    if scheme is not None and dtype != torch.float32:
        raise ArgumentError(
            f"dtype is {dtype}, and quantization {scheme!r}; leave one of both out (a quantization says what "
            "the weights are)"
        )
    if device.type == "cpu":
        return scheme
    if scheme in ("int8", "int4"):
        raise ArgumentError(
            f"quantization is {scheme!r}, which runs on the CPU only, and the device is {device}; use 'bf16' "
            "or None there"
        )
    return "bf16" if scheme == AUTO else scheme


def stored_scheme(config: Mapping[str, Any], where: Path) -> str | None:
    """The scheme that a config.json says its weights are stored in; None: not in one.

    Raises:
        ModelError: the entry is not understood.
    """
    entry = config.get(QUANTIZATION_KEY)
    if entry is None:
        return None
    known = isinstance(entry, dict) and entry.get("scheme") in SCHEMES and entry.get("version") == VERSION
    if not known:
        raise ModelError(
            f"{where} says that its weights are quantized as {json.dumps(entry)[:200]}; known are the "
            f"schemes {', '.join(SCHEMES)} in version {VERSION}. Update soundloom, or convert the original "
            "model again"
        )
    return str(entry["scheme"])


def quantized_layers(model: nn.Module, scheme: str) -> dict[str, str]:
    """Dotted names of the Linear modules that a scheme quantizes, and the precision of each."""
    found = {}
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | QuantizedLinear):
            continue
        kind = "int8" if name == "heads" and scheme == "int4" else scheme
        if name == "text_projection":
            found[name] = "float32"
        elif name.startswith("transformer.") or (name == "heads" and scheme != "bf16"):
            found[name] = fitting_kind(kind, module.in_features, module.out_features)
    return found


def is_quantized(model: nn.Module) -> bool:
    """Whether modules of a model are quantized."""
    return any(isinstance(module, QuantizedLinear) for module in model.modules())


def scheme_of(model: nn.Module) -> str | None:
    """The scheme that a model runs in; None: it is not quantized."""
    kinds = {module.kind for module in model.modules() if isinstance(module, QuantizedLinear)}
    return next((scheme for scheme in ("int4", "int8", "bf16") if scheme in kinds), None)


def check_writable(model: nn.Module, *, adapters: bool = False) -> None:
    """Raise ModelError where modules are quantized or, unless `adapters`, have LoRA beside them."""
    if not adapters and any(name.endswith(".lora_up") for name, _ in model.named_parameters()):
        raise ModelError(
            "the language model has LoRA beside its weights: save the AudioGen, which merges it, or take the "
            "adapters off first (unload_lora_weights)"
        )
    if is_quantized(model):
        raise ModelError(
            "a quantized model cannot be written again: its weights are packed for this processor. Copy "
            "its folder, or convert the original model (soundloom convert)"
        )


def check_trainable(model: nn.Module) -> None:
    """Raise ModelError where modules of a model are quantized."""
    if is_quantized(model):
        raise ModelError(
            "the language model is quantized, and only floating weights can be trained: start from the model "
            "that it was converted from"
        )


def stored_weights(model: nn.Module, weights: Iterable[Stored], scheme: str) -> Iterator[tuple[str, Tensor]]:
    """What a folder of a scheme holds of these weights, tensor by tensor, made as it is asked for.

    Args:
        model: of the sizes; its own weights do not matter.
        weights: names, tensors and scales, as `paired` gives them.
        scheme: one of SCHEMES.
    """
    kinds = quantized_layers(model, scheme)
    for name, weight, scale in weights:
        owner, _, leaf = name.rpartition(".")
        if owner not in kinds or leaf != "weight":
            yield name, _float(name, weight, scale)
            continue
        stored, scales = _as_kind(name, weight, scale, kinds[owner])
        yield name, stored
        if scales is not None:
            yield name + SCALE_SUFFIX, scales


def write_quantized(
    model: Any, weights: Iterable[Stored], folder: Path, scheme: str, shard_bytes: int
) -> None:
    """Write the folder of a language model in a scheme.

    Args:
        model: an AudioLM of the sizes; it may be on the meta device.
        weights: see `stored_weights`.
        folder: a new or empty one.
        scheme: one of SCHEMES.
        shard_bytes: see `write_shards`.
    """
    write_shards(stored_weights(model, weights, scheme), folder, shard_bytes)
    model.save_config(folder)
    file = folder / CONFIG_FILE
    config = json.loads(file.read_text(encoding="utf-8"))
    config[QUANTIZATION_KEY] = {"scheme": scheme, "version": VERSION}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_quantized(model: nn.Module, weights: Iterable[Stored], scheme: str, where: Path) -> None:
    """Fill a model on the meta device, its layers replaced by quantized ones.

    Args:
        model: an AudioLM.
        weights: see `stored_weights`: floats, or stored in this scheme.
        scheme: one of SCHEMES.
        where: for messages: where they are from.

    Raises:
        ModelError: names or shapes are not the model's, or torch lacks the kernels.
    """
    check_kernels(scheme)
    for name, kind in quantized_layers(model, scheme).items():
        parent, _, child = name.rpartition(".")
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        setattr(
            model.get_submodule(parent),
            child,
            QuantizedLinear(
                linear.in_features,
                linear.out_features,
                bias=linear.bias is not None,
                kind=kind,
                dtype=_result_type(child),
            ),
        )
    expected = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
    for name, weight, scale in weights:
        if name not in expected:
            raise _not_its_weights(where, f"{name} is none of its weights")
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        try:
            _place(module, leaf, name, weight, scale, expected.pop(name))
        except ValueError as error:
            raise _not_its_weights(where, str(error)) from error
        release_freed()  # else a model of 4 bits takes three times its size
    if expected:
        raise _not_its_weights(where, f"{', '.join(sorted(expected)[:5])} are missing")


def paired(weights: Iterable[tuple[str, Tensor]]) -> Iterator[Stored]:
    """Names, tensors and scales of weights as they come; integers wait for their scales.

    Raises:
        ModelError: an integer tensor has no scale, or a scale no tensor.
    """
    waiting: dict[str, Tensor] = {}
    for name, tensor in weights:
        owner = name.removesuffix(SCALE_SUFFIX)
        if owner == name and tensor.is_floating_point():
            yield name, tensor, None
        elif (other := waiting.pop(owner, None)) is None:
            waiting[owner] = tensor
        else:
            weight, scale = (other, tensor) if owner != name else (tensor, other)
            yield owner, weight, scale
    if waiting:
        raise ModelError(
            f"of {', '.join(sorted(waiting)[:5])} there is the weight or its scale, not both; the weight "
            "files do not belong together, copy or download the model again"
        )


def folder_weights(folder: Path) -> Iterator[Stored]:
    """The weights of a folder, one after the other, none of them kept; errors as of `weight_files`."""
    return paired(each_weight(folder))


def _result_type(child: str) -> torch.dtype | None:
    if child == "heads":
        return torch.float32
    return torch.bfloat16 if child in _INTO_ATTENTION else None


def _as_kind(name: str, weight: Tensor, scale: Tensor | None, kind: str) -> tuple[Tensor, Tensor | None]:
    """A weight as it is stored in a precision: as it is where it was stored so, else rounded."""
    if _FAMILY.get(weight.dtype) == kind and (scale is None) == (kind == "bf16"):
        return _finite(name, weight), scale
    return quantize_matrix(_float(name, weight, scale), kind)


def _float(name: str, weight: Tensor, scale: Tensor | None) -> Tensor:
    """A weight as float32, finite."""
    if scale is None:
        value = weight.detach().to(torch.float32)
    elif weight.dtype == torch.int8:
        value = dequantize_matrix(name, weight, scale)
    elif weight.dtype == torch.uint8:
        value = int4_values(weight, scale)
    else:
        raise ValueError(f"{name} is {weight.dtype}; known are torch.int8, and two of 4 bits in torch.uint8")
    return _finite(name, value)


def _finite(name: str, value: Tensor) -> Tensor:
    if not torch.isfinite(value).all():
        raise ModelError(f"{name} holds NaN or infinite values; only finite weights can be quantized")
    return value


def _place(
    module: nn.Module, leaf: str, name: str, weight: Tensor, scale: Tensor | None, shape: list[int]
) -> None:
    """Give a module one of its weights."""
    if not isinstance(module, QuantizedLinear) or leaf != "weight":
        value = _float(name, weight, scale)
        _check_shape(name, value, shape)
        setattr(module, leaf, nn.Parameter(value.clone(), requires_grad=False))
        return
    inputs, outputs = module.in_features, module.out_features
    _check_shape(name, weight, [outputs, inputs // 2 if weight.dtype == torch.uint8 else inputs])
    stored, scales = _as_kind(name, weight, scale, module.kind)
    if scales is not None:
        wanted = [outputs] if module.kind == "int8" else [inputs // 32, outputs, 2]
        _check_shape(name + SCALE_SUFFIX, scales, wanted)
        if not scales.is_floating_point():
            raise ValueError(f"{name + SCALE_SUFFIX} is {scales.dtype}, no floating type")
        # In the type that the kernel takes.
        scales = scales.to(torch.float32 if module.kind == "int8" else torch.bfloat16)
        _finite(name + SCALE_SUFFIX, scales)
    module.set_weight(stored, scales)


def _check_shape(name: str, tensor: Tensor, shape: list[int]) -> None:
    if list(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {list(tensor.shape)}, not {shape}")


def _not_its_weights(where: Path, reason: str) -> ModelError:
    return ModelError(
        f"the weights in {where} are not those of its config.json ({reason}); copy or download the model "
        "again"
    )
