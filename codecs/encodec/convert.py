"""Convert published EnCodec weights: Meta's own `.th` files and transformers' folders.

Both hold the same network under other names. Weight normalisation is folded in, which changes no output.
"""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.checkpoint import read_config, read_torch
from ...core.errors import ModelError, ModelNotFoundError
from ...core.safetensors_files import load_safetensors
from ..weights_hash import fold_weight_norm

# Settings of the two published models, by the name that load_codec takes.
PUBLISHED: dict[str, dict[str, Any]] = {
    "encodec-24khz": {},
    "encodec-48khz": {
        "sample_rate": 48000,
        "channels": 2,
        "bandwidths": [3.0, 6.0, 12.0, 24.0],
        "causal": False,
        "norm": "time_group_norm",
        "normalize": True,
        "segment": 1.0,
        "overlap": 0.01,
    },
}
LICENCE_NOTE = (
    "%s: EnCodec's weights are Meta's, published under CC BY-NC 4.0 (no commercial use), whatever the "
    "licence of this code"
)
_ORIGINAL_FILES = {
    "encodec_24khz-d7cc33bc.th": "encodec-24khz",
    "encodec_48khz-7e698e3e.th": "encodec-48khz",
}
# Meta's files carry the first digits of their SHA-256 in their names.
_ORIGINAL_NAME = re.compile(r"encodec_\w+-([0-9a-f]{8})\.th")
SAFETENSORS = "model.safetensors"

# What transformers takes when its config.json does not say.
_BANDWIDTHS = (1.5, 3.0, 6.0, 12.0, 24.0)
# transformers' config.json -> EnCodec's settings
_TRANSFORMERS_KEYS = {
    "sampling_rate": "sample_rate",
    "audio_channels": "channels",
    "target_bandwidths": "bandwidths",
    "hidden_size": "dimension",
    "num_filters": "n_filters",
    "upsampling_ratios": "ratios",
    "codebook_size": "codebook_size",
    "use_causal_conv": "causal",
    "normalize": "normalize",
    "chunk_length_s": "segment",
}
# What transformers could change and the published models have as it is.
_TRANSFORMERS_FIXED = {
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "num_residual_layers": 1,
    "dilation_growth_rate": 2,
    "num_lstm_layers": 2,
    "compress": 2,
    "pad_mode": "reflect",
    "trim_right_ratio": 1.0,
    "use_conv_shortcut": True,
}


def is_ours(path: Path) -> bool:
    """Whether a path is a folder that EnCodec.save_pretrained wrote."""
    return path.is_dir() and read_config(path).get("_class_name") == "EnCodec"


def find_checkpoint(path: Path) -> Path:
    """The weight file that a path means: the file itself, or the one that a folder holds.

    Raises:
        FileNotFoundError: a folder without weights that are known here, or with several.
    """
    if path.is_file():
        return path
    if read_config(path).get("model_type") == "encodec":
        if not (path / SAFETENSORS).is_file():
            raise ModelNotFoundError(
                f"{path} holds no {SAFETENSORS}; fetch it (pytorch_model.bin, a pickle, is not read)"
            )
        return path / SAFETENSORS
    found = sorted(file for file in path.glob("*.th") if _ORIGINAL_NAME.fullmatch(file.name))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise ModelNotFoundError(
            f"{path} holds no single EnCodec model (found: {names}); give a file such as "
            f"encodec_24khz-d7cc33bc.th, or a folder with config.json of type 'encodec' and {SAFETENSORS}"
        )
    return found[0]


def load_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a weight file: settings for EnCodec and the state of its `model`, norms folded, float32.

    Raises:
        OSError: the file cannot be read, is damaged, or is not the one that its name says.
        ValueError: it holds another network.
    """
    if file.suffix == ".safetensors":
        settings = transformers_settings(file.parent / "config.json")
        return settings, fold(rename(load_safetensors(file)))
    state = read_th(file)
    first = state.get("encoder.model.0.conv.conv.weight_v", state.get("encoder.model.0.conv.conv.weight"))
    if first is None or first.ndim != 3:
        raise ModelError(f"{file} is no EnCodec model: it has no 'encoder.model.0.conv.conv.weight'")
    name = "encodec-24khz" if first.shape[1] == 1 else "encodec-48khz"
    return dict(PUBLISHED[name]), fold(state)


def published_name(file: Path) -> str:
    """The name of a published model, if this is its original file (`read_th` checks the hash); else ""."""
    return _ORIGINAL_FILES.get(file.name, "")


def read_th(file: Path) -> dict[str, Tensor]:
    """Read one of Meta's `.th` files without running code from it; a name that says a hash must keep it.

    Raises:
        OSError: the file cannot be read, is damaged, or does not match the hash in its name.
        ValueError: it holds something other than named tensors.
    """
    match = re.fullmatch(r"\w+-([0-9a-f]{8})\.th", file.name)
    if match:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if not digest.startswith(match[1]):
            raise ModelError(
                f"{file} is damaged: its SHA-256 begins with {digest[:8]}, not {match[1]}; fetch it again"
            )
    state = read_torch(file)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{file} holds no plain dictionary of tensors, so it is no EnCodec model")
    return state


def transformers_settings(path: Path) -> dict[str, Any]:
    """EnCodec's settings from transformers' config.json.

    Raises:
        ValueError: the file says something that this implementation does not have.
    """
    config = read_config(path.parent)
    for key, only in _TRANSFORMERS_FIXED.items():
        if config.get(key, only) != only:
            raise ModelError(f"{path}: {key} is {config[key]!r}; only {only!r} is supported")
    settings = {ours: config[key] for key, ours in _TRANSFORMERS_KEYS.items() if key in config}
    # As in PUBLISHED, so that a file says the same about a model wherever its weights came from.
    settings["bandwidths"] = [float(value) for value in settings.get("bandwidths", _BANDWIDTHS)]
    if settings.get("segment") is not None:
        settings["segment"] = float(settings["segment"])
    norm = config.get("norm_type", "weight_norm")
    settings["norm"] = "none" if norm == "weight_norm" else norm
    if config.get("overlap") is not None:
        settings["overlap"] = config["overlap"]
    return settings


def rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Transformers' names -> the package's.

    `decoder.layers.3.conv.weight_v` -> `decoder.model.3.convtr.convtr.weight_v`, and so on: the package wraps
    every convolution twice and calls transposed ones otherwise, which only their place tells.
    """
    renamed = {}
    for key, value in state.items():
        key = key.replace(".parametrizations.weight.original0", ".weight_g")
        key = key.replace(".parametrizations.weight.original1", ".weight_v")
        key = re.sub(r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook.", key)
        match = re.fullmatch(r"(encoder|decoder)\.layers\.(\d+)\.(.*?)(conv|norm)\.(\w+)", key)
        if match:
            side, index, inner, kind, leaf = match.groups()
            wrapper = (
                "convtr" if side == "decoder" and not inner and _is_transposed(state, int(index)) else "conv"
            )
            inside = wrapper if kind == "conv" else "norm"
            key = f"{side}.model.{index}.{inner}{wrapper}.{inside}.{leaf}"
        else:
            key = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", key)
        renamed[key] = value
    return renamed


def _is_transposed(state: dict[str, Tensor], index: int) -> bool:
    """Whether the decoder's layer of that number is neither its first nor its last convolution."""
    numbers = [int(m[1]) for key in state if (m := re.match(r"decoder\.layers\.(\d+)\.conv\.", key))]
    return min(numbers) < index < max(numbers)


def fold(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights instead of `weight_g` and `weight_v` (weight = g v / |v|, norm over all axes but the first)."""
    folded = {}
    for key, value in state.items():
        if key.endswith("weight_g"):
            continue
        if key.endswith("weight_v"):
            stem = key.removesuffix("weight_v")
            if stem + "weight_g" not in state:
                raise ModelError(
                    f"the weights have {key!r} without {stem + 'weight_g'!r}; fetch the model again"
                )
            key, value = stem + "weight", fold_weight_norm(state[stem + "weight_g"], value)
        folded[key] = value.float()
    return folded


def randomize(model: nn.Module, seed: int = 0) -> None:
    """Give the package's EncodecModel random weights under which codes vary with the sound: for tests.

    PyTorch's own initialisation makes biases so large beside the weights that nearly all codes are the same.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name.endswith(("embed", "embed_avg")):
            made = torch.randn(tensor.shape, generator=generator)
        elif tensor.ndim > 1:
            gain = 2.0 if name.startswith("encoder.") else 1.0
            deviation = math.sqrt(gain / tensor[0].numel())
            made = torch.randn(tensor.shape, generator=generator) * deviation
        elif name.endswith("bias") or "lstm.bias" in name:
            made = torch.zeros(tensor.shape)
        else:
            continue
        tensor.data.copy_(made)
