"""Read the language model of an AudioGen that AudioCraft published (`state_dict.bin`).

core/audiocraft.py reads the file. Sizes come from the tensors; only settings that the tensors do not show are
read from the configuration, and only those that change the computation are required to have the values that
this implementation covers. The first load converts the weights to safetensors in the cache (core/cache.py),
later ones map those into memory.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from ..core.audiocraft import PublishedConfig, read_published, warn_of_unknown
from ..core.cache import converted
from ..core.checkpoint import MAX_SHARD_BYTES, read_json, write_shards
from ..core.errors import ModelError, ModelNotFoundError
from ..core.unfilled import unfilled
from .model.config import AudioLMConfig
from .model.fastest import fastest_scheme
from .model.lm import AudioLM
from .model.schemes import AUTO, write_quantized

logger = logging.getLogger(__name__)

PUBLISHED_FILE = "state_dict.bin"
# Of Meta's weights; somebody else's in the same format may have another.
PUBLISHED_LICENSE = "cc-by-nc-4.0"
# Published codecs sit beside the language model under this name.
PUBLISHED_CODEC_FILE = "compression_state_dict.bin"
# Beside a converted model: what else its configuration says.
USAGE_FILE = "usage.json"

# Sections of the configuration in which every key may change the computation, and the keys that are known
# not to or are read here. Values that switch something off are harmless whatever their key.
KNOWN_KEYS = {
    "transformer_lm": (
        "dim num_heads num_layers hidden_scale n_q card dropout emb_lr activation norm_first bias_ff "
        "bias_attn bias_proj past_context causal custom memory_efficient attention_as_float32 layer_scale "
        "positional_embedding xpos checkpointing weight_init depthwise_init zero_bias_init norm "
        "cross_attention qk_layer_norm qk_layer_norm_cross attention_dropout kv_repeat two_step_cfg "
        "q_modeling"
    ),
    "codebooks_pattern": "modeling delay unroll music_lm coarse_first",
    "codebooks_pattern.delay": "delays flatten_first empty_initial",
    "fuser": "cross_attention_pos_emb cross_attention_pos_emb_scale sum prepend cross input_interpolate",
}

_TEXT_PROJECTION = re.compile(r"condition_provider\.conditioners\.(.+)\.output_proj\.weight")
_LAYER = re.compile(r"transformer\.layers\.(\d+)\.(.+)")


@dataclass
class PublishedLM:
    """A published language model and what its configuration says about using it.

    Attributes:
        lm: the model.
        text_encoder: name of the T5 that it was trained with, usually a hub id.
        max_seconds: longest single window in seconds.
        guidance_scale: default guidance.
    """

    lm: AudioLM
    text_encoder: str
    max_seconds: float
    guidance_scale: float


@dataclass
class PublishedFiles:
    """A converted language model, and what else its configuration says; see `PublishedLM`."""

    folder: Path
    text_encoder: str
    max_seconds: float
    guidance_scale: float


def load_published_lm(folder: Path, dtype: torch.dtype = torch.float32) -> PublishedLM:
    """Load the model of a folder's `state_dict.bin`, whatever type its weights are stored in.

    The weights are mapped into memory from the cache; arguments and errors as for `convert_once`.
    """
    found = convert_once(folder, dtype)
    lm = AudioLM.from_pretrained(found.folder, torch_dtype=dtype, mapped=True)
    return PublishedLM(lm, found.text_encoder, found.max_seconds, found.guidance_scale)


def convert_once(
    folder: Path, dtype: torch.dtype = torch.float32, quantization: str | None = None
) -> PublishedFiles:
    """The language model of a folder's `state_dict.bin` in the cache, where the first call puts it.

    Args:
        folder: of the published model.
        dtype: of the weights.
        quantization: a scheme instead of a type, or "auto"; see `AudioGen.from_pretrained`.

    Raises:
        FileNotFoundError: the folder has no such file.
        ValueError: the file is truncated or no such checkpoint, or describes a model that is not covered
            here; the message names the file and the key.
        OSError: the cache cannot be written.
    """
    path = folder / PUBLISHED_FILE
    if not path.is_file():
        raise ModelNotFoundError(f"weight file {path} is missing; download the model again")
    if quantization == AUTO:
        quantization = fastest_scheme(_sizes(*read_published(path, "AudioGen model"), path))
    kind = quantization or str(dtype).removeprefix("torch.")
    cached = converted(
        path, f"lm-{kind}", lambda target: convert_published_lm(path, target, dtype, quantization)
    )
    usage: dict[str, Any] = dict(read_json(cached / USAGE_FILE))
    warn_of_unknown(str(path), usage.pop("unknown"))
    return PublishedFiles(cached, **usage)


def _sizes(state: dict[str, Tensor], config: PublishedConfig, path: Path) -> AudioLM:
    """A published model on the meta device; errors as for `convert_once`."""
    try:
        settings = read_settings(config, state)
        with unfilled():  # only names and shapes are needed
            return AudioLM(settings)
    except RuntimeError as error:
        raise _misfit(path, error) from error


def _misfit(path: Path, error: RuntimeError) -> ModelError:
    return ModelError(f"{path}: the weights do not fit together ({shorten(str(error), 400)})")


def convert_published_lm(
    path: Path, target: Path, dtype: torch.dtype, quantization: str | None = None
) -> None:
    """Write a published `state_dict.bin` as an AudioLM folder, shard by shard.

    Args:
        path: the file; it is mapped into memory, not read as a whole.
        target: the folder; besides the model it gets `usage.json`, the other attributes of PublishedLM
            and the settings that are not known.
        dtype: of the weights written.
        quantization: the scheme to write them in instead, or None.

    Raises:
        ValueError: as for `load_published_lm`.
    """
    state, config = read_published(path, "AudioGen model")
    lm = _sizes(state, config, path)
    try:
        tensors = convert_state(state, str(path))
        lm.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise _misfit(path, error) from error

    size = sum(tensor.numel() for tensor in tensors.values()) * dtype.itemsize
    kind = quantization or str(dtype).removeprefix("torch.")
    logger.warning("%s: writing its weights once, as %s, to %s", path, kind, target.parent)
    # Small enough that a shard in memory does not matter beside the model, few enough files.
    shard_bytes = max(MAX_SHARD_BYTES, min(256_000_000, size // 32))
    if quantization is None:
        write_shards(((name, tensor.to(dtype)) for name, tensor in tensors.items()), target, shard_bytes)
        lm.save_config(target)
    else:
        items = ((name, tensor, None) for name, tensor in tensors.items())
        write_quantized(lm, items, target, quantization, MAX_SHARD_BYTES)
    usage: dict[str, Any] = {
        "text_encoder": str(
            config.read(f"conditioners.{_text_condition(state, str(path))}.t5.name", "t5-large")
        ),
        "max_seconds": config.number("dataset.segment_duration", 10.0),
        "guidance_scale": config.number("classifier_free_guidance.inference_coef", 3.0),
    }
    usage["unknown"] = config.unknown(KNOWN_KEYS)
    (target / USAGE_FILE).write_text(json.dumps(usage, indent=2) + "\n", encoding="utf-8")


def read_settings(config: PublishedConfig, state: dict[str, Tensor]) -> AudioLMConfig:
    """The configuration of AudioLM from a published configuration and state dict.

    Raises:
        ValueError: a setting that is not supported; the message names key and value.
    """
    for key, default, allowed in (
        ("lm_model", "transformer_lm", ("transformer_lm",)),
        ("transformer_lm.norm_first", True, (True,)),
        ("transformer_lm.norm", "layer_norm", ("layer_norm",)),
        ("transformer_lm.activation", "gelu", ("gelu",)),
        ("transformer_lm.causal", True, (True,)),
        ("transformer_lm.positional_embedding", "sin", ("sin",)),
        ("transformer_lm.qk_layer_norm", False, (False,)),
        ("transformer_lm.qk_layer_norm_cross", False, (False,)),
        ("transformer_lm.layer_scale", None, (None,)),
        ("transformer_lm.past_context", None, (None,)),
        ("transformer_lm.kv_repeat", 1, (1,)),
        ("codebooks_pattern.delay.flatten_first", 0, (0,)),
        ("codebooks_pattern.delay.empty_initial", 0, (0,)),
        ("fuser.sum", [], ([],)),
        ("fuser.prepend", [], ([],)),
        ("fuser.input_interpolate", [], ([],)),
        ("fuser.cross_attention_pos_emb", False, (False,)),
        ("interleave_stereo_codebooks.use", False, (False,)),
    ):
        config.require(key, default, allowed)
    condition = _text_condition(state, config.where)
    config.require("fuser.cross", [condition], ([condition],))
    config.require(f"conditioners.{condition}.model", "t5", ("t5",))
    config.require(f"conditioners.{condition}.t5.finetune", False, (False,))
    config.require(f"conditioners.{condition}.t5.normalize_text", False, (False,))

    codebooks = len(_numbered(state, "emb", "weight"))
    heads = _numbered(state, "linears", "weight")
    linear1 = state.get("transformer.layers.0.linear1.weight")
    num_heads = config.number("transformer_lm.num_heads", 0)
    if not codebooks or len(heads) != codebooks or linear1 is None:
        raise ModelError(
            f"{config.where}: the state dict has {codebooks} token tables and {len(heads)} heads; "
            "it is incomplete"
        )
    if not num_heads:
        raise ModelError(
            f"{config.where}: transformer_lm.num_heads is missing, and the tensors do not show it"
        )
    dim, size = linear1.shape[1], heads[0].shape[0]
    layers = {int(found[1]) for key in state if (found := _LAYER.fullmatch(key))}
    for key, shown in (("dim", dim), ("num_layers", len(layers)), ("n_q", codebooks), ("card", size)):
        said = config.read(f"transformer_lm.{key}", shown)
        if said != shown:
            raise ModelError(
                f"{config.where}: transformer_lm.{key} is {said!r}, but the tensors say {shown}; the file is "
                "damaged or was put together from two models, download it again"
            )
    if dim % num_heads:
        raise ModelError(
            f"{config.where}: transformer_lm.num_heads is {num_heads}; it must divide the width {dim}"
        )
    modeling = config.read("codebooks_pattern.modeling", None)
    if modeling not in (None, "delay", "parallel"):
        raise ModelError(
            f"{config.where}: codebooks_pattern.modeling is {modeling!r}, which is not supported; "
            "supported: 'delay', 'parallel'"
        )
    delays = config.read("codebooks_pattern.delay.delays", None) if modeling != "parallel" else None
    return AudioLMConfig(
        num_codebooks=codebooks,
        codebook_size=size,
        dim=dim,
        ffn_dim=linear1.shape[0],
        num_layers=len(layers),
        num_heads=num_heads,
        text_dim=state[f"condition_provider.conditioners.{condition}.output_proj.weight"].shape[1],
        pattern="parallel" if modeling == "parallel" else "delay",
        delays=delays,
        bias_attention=any(key.endswith("in_proj_bias") for key in state),
        bias_ffn="transformer.layers.0.linear1.bias" in state,
        bias_heads="linears.0.bias" in state,
    )


def convert_state(state: dict[str, Tensor], where: str = "the state dict") -> dict[str, Tensor]:
    """Rename and pack a published state dict into AudioLM's.

    Raises:
        ValueError: AudioLM has no such tensor; the message names it.
    """
    result: dict[str, Tensor] = {"embedding.weight": torch.cat(_numbered(state, "emb", "weight"))}
    for kind in ("weight", "bias"):
        parts = _numbered(state, "linears", kind)
        if parts:
            result[f"heads.{kind}"] = torch.cat(parts)
    condition = _text_condition(state, where)
    for key, tensor in state.items():
        found = _LAYER.fullmatch(key)
        if found is not None:
            result.update(_convert_layer(int(found[1]), found[2], tensor, where))
        elif key.startswith("out_norm."):
            result[f"transformer.{key}"] = tensor
        elif key.startswith(f"condition_provider.conditioners.{condition}.output_proj."):
            result[f"text_projection.{key.rpartition('.')[2]}"] = tensor
        elif not re.fullmatch(r"(emb|linears)\.\d+\.(weight|bias)", key):
            raise ModelError(
                f"{where}: the tensor {key!r} belongs to a part of the model that is not supported"
            )
    return result


def _convert_layer(index: int, name: str, tensor: Tensor, where: str) -> dict[str, Tensor]:
    """Names and values in AudioLM of one tensor of layer `index`."""
    stem = f"transformer.layers.{index}."
    # One of the reference's attention variants wraps torch's module and so sits one level deeper.
    module, _, rest = name.replace(".mha.", ".").partition(".")
    packed = {"in_proj_weight": "weight", "in_proj_bias": "bias"}.get(rest)
    if module == "self_attn":
        return {f"{stem}self_attention.{f'in_proj.{packed}' if packed else rest}": tensor}
    if module == "cross_attention" and packed:
        query, key_value = tensor.split([tensor.shape[0] // 3, tensor.shape[0] - tensor.shape[0] // 3])
        part = f"{stem}cross_attention."
        return {f"{part}query.{packed}": query, f"{part}key_value.{packed}": key_value}
    if module in ("cross_attention", "norm1", "norm_cross", "norm2", "linear1", "linear2"):
        return {f"{stem}{module}.{rest}": tensor}
    raise ModelError(f"{where}: the tensor of {module!r} in layer {index} is not supported")


def _numbered(state: dict[str, Tensor], group: str, kind: str) -> list[Tensor]:
    """Tensors `group.0.kind`, `group.1.kind`, ... in order."""
    found: list[Tensor] = []
    while (tensor := state.get(f"{group}.{len(found)}.{kind}")) is not None:
        found.append(tensor)
    return found


def _text_condition(state: dict[str, Tensor], where: str) -> str:
    """Name of the one text condition of a published state dict."""
    names = [found[1] for key in state if (found := _TEXT_PROJECTION.fullmatch(key))]
    if len(names) != 1:
        raise ModelError(
            f"{where}: the model has the conditions {names or 'none'}; "
            "supported is exactly one text condition"
        )
    return names[0]
