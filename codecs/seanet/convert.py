"""Reading the EnCodec checkpoints that AudioCraft published (`compression_state_dict.bin`).

The file is a torch.save of a plain dict: `best_state` (the state dict) and `xp.cfg` (the training run's YAML,
unresolved). Only the keys that describe the network are looked at; interpolations elsewhere are never
resolved.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from ..weights import fold_weight_norm

logger = logging.getLogger(__name__)

PUBLISHED_FILE = "compression_state_dict.bin"

_NETWORK_KEYS = (
    "dimension",
    "n_filters",
    "ratios",
    "n_residual_layers",
    "kernel_size",
    "residual_kernel_size",
    "last_kernel_size",
    "dilation_base",
    "compress",
    "true_skip",
    "lstm",
    "causal",
    "pad_mode",
)
# Sections in which every key may change the computation, and the keys that are read here or known not to.
_KNOWN_KEYS = {
    "encodec": ("autoencoder", "quantizer", "sample_rate", "channels", "causal", "renormalize", "renorm"),
    "seanet": (
        *_NETWORK_KEYS,
        "channels",
        "norm",
        "norm_params",
        "activation",
        "activation_params",
        "disable_norm_outer_blocks",
        "encoder",
        "decoder",
    ),
}


def load_published(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a published codec: keyword arguments for SEANetCodec and its state dict (float32, norms folded).

    Raises:
        OSError: the file cannot be read or is not a complete checkpoint.
        ValueError: it describes a codec that is not SEANet with residual vector quantization.
    """
    try:
        package = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise OSError(f"{path} is not a readable checkpoint (truncated or damaged?): {error}") from error
    if not isinstance(package, dict) or "xp.cfg" not in package:
        raise OSError(f"{path} is not a published codec: it has no key 'xp.cfg'")
    if "best_state" not in package:
        other = package.get("pretrained")
        raise ValueError(
            f"{path} holds no weights but names another codec ({other!r}); load that one instead"
        )
    settings = parse_settings(package["xp.cfg"], str(path))
    return settings, fold_state(package["best_state"])


def parse_settings(text: str, where: str) -> dict[str, Any]:
    """Turn the YAML text of `xp.cfg` into keyword arguments for SEANetCodec.

    Raises:
        ValueError: a value that this implementation does not cover; the message names key and value.
    """
    config = OmegaConf.create(text)

    def read(key: str, default: Any) -> Any:
        try:
            value = OmegaConf.select(config, key, default=default, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise ValueError(f"{where}: cannot read {key!r} of xp.cfg: {error}") from error
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value

    def require(key: str, default: Any, allowed: tuple[Any, ...]) -> Any:
        value = read(key, default)
        if value not in allowed:
            raise ValueError(f"{where}: {key} is {value!r}; supported: {', '.join(map(repr, allowed))}")
        return value

    for section, known in _KNOWN_KEYS.items():
        values = read(section, None) or {}
        odd = {f"{section}.{key}": value for key, value in values.items() if key not in known and value}
        if odd:
            logger.warning(
                "%s: its configuration has settings that this version of soundloom does not know and leaves "
                "out of account: %s. If the result sounds wrong, this may be why",
                where,
                ", ".join(f"{key} = {value!r}" for key, value in odd.items()),
            )
    require("compression_model", "encodec", ("encodec",))
    require("encodec.autoencoder", "seanet", ("seanet",))
    require("encodec.quantizer", "rvq", ("rvq",))
    require("encodec.renormalize", False, (False, None))
    require("seanet.norm", "weight_norm", ("weight_norm", "none"))
    require("seanet.activation", "ELU", ("ELU",))
    require("seanet.disable_norm_outer_blocks", 0, (0,))
    settings: dict[str, Any] = {
        "sample_rate": int(read("encodec.sample_rate", read("sample_rate", 16000))),
        "channels": int(read("encodec.channels", read("channels", 1))),
        "num_codebooks": int(read("rvq.n_q", 4)),
        "codebook_size": int(read("rvq.bins", 2048)),
        "elu_alpha": float(read("seanet.activation_params.alpha", 1.0)),
        "norm": "none",
    }
    for key in _NETWORK_KEYS:
        value = read(f"seanet.{key}", None)
        if value is not None:
            settings[key] = value
    for side in ("encoder", "decoder"):
        own = read(f"seanet.{side}", None) or {}
        readable = (*_NETWORK_KEYS, "trim_right_ratio", "final_activation")
        overrides = {key: value for key, value in own.items() if key in readable}
        if overrides:
            settings[f"{side}_overrides"] = overrides
    return settings


def fold_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold `weight_g` and `weight_v` into `weight` (norm over all axes but the first), rename wrappers."""
    folded: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith("weight_v"):
            stem = key.removesuffix("weight_v")
            key, value = stem + "weight", fold_weight_norm(state[stem + "weight_g"], value)
        elif key.endswith("weight_g"):
            continue
        key = key.replace(".conv.conv.", ".conv.").replace(".convtr.convtr.", ".convtr.")
        folded[key] = value.float()
    return folded
