"""Convert the EnCodec checkpoints that AudioCraft published (`compression_state_dict.bin`).

The file is a torch.save of a plain dict: `best_state` (the state dict) and `xp.cfg` (the training run's YAML,
unresolved). Only the keys that describe the network are read, through `PublishedConfig`.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ...core.audiocraft import PublishedConfig
from ...core.checkpoint import read_torch
from ...core.errors import ModelError
from ..weights_hash import fold_weight_norm

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
    "encodec": "autoencoder quantizer sample_rate channels causal renormalize renorm",
    "seanet": (
        "channels norm norm_params activation activation_params disable_norm_outer_blocks encoder decoder "
        + " ".join(_NETWORK_KEYS)
    ),
}


def load_published(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a published codec: keyword arguments for SEANetCodec and its state dict (float32, norms folded).

    Raises:
        OSError: the file cannot be read or is not a complete checkpoint.
        ValueError: it describes a codec that is not SEANet with residual vector quantization.
    """
    package = read_torch(path)
    if not isinstance(package, dict) or "xp.cfg" not in package:
        raise ModelError(f"{path} is not a published codec: it has no key 'xp.cfg'")
    if "best_state" not in package:
        other = package.get("pretrained")
        raise ModelError(
            f"{path} holds no weights but names another codec ({other!r}); load that one instead"
        )
    settings = parse_settings(package["xp.cfg"], str(path))
    return settings, fold_state(package["best_state"])


def parse_settings(text: str, where: str) -> dict[str, Any]:
    """Turn the YAML text of `xp.cfg` into keyword arguments for SEANetCodec.

    Raises:
        ValueError: a value that this implementation does not cover; the message names key and value.
    """
    config = PublishedConfig(text, where)
    number = partial(config.number, strict=True)
    if odd := config.unknown(_KNOWN_KEYS):
        logger.warning(
            "%s: its configuration has settings that this version of soundloom does not know and leaves "
            "out of account: %s. If the result sounds wrong, this may be why",
            where,
            ", ".join(f"{key} = {value!r}" for key, value in odd.items()),
        )
    config.require("compression_model", "encodec", ("encodec",))
    config.require("encodec.autoencoder", "seanet", ("seanet",))
    config.require("encodec.quantizer", "rvq", ("rvq",))
    config.require("encodec.renormalize", False, (False, None))
    config.require("seanet.norm", "weight_norm", ("weight_norm", "none"))
    config.require("seanet.activation", "ELU", ("ELU",))
    config.require("seanet.disable_norm_outer_blocks", 0, (0,))
    settings: dict[str, Any] = {
        "sample_rate": number("encodec.sample_rate", number("sample_rate", 16000)),
        "channels": number("encodec.channels", number("channels", 1)),
        "num_codebooks": number("rvq.n_q", 4),
        "codebook_size": number("rvq.bins", 2048),
        "elu_alpha": number("seanet.activation_params.alpha", 1.0),
        "norm": "none",
    }
    for key in _NETWORK_KEYS:
        value = config.read(f"seanet.{key}", None, strict=True)
        if value is not None:
            settings[key] = value
    for side in ("encoder", "decoder"):
        own = config.read(f"seanet.{side}", None, strict=True) or {}
        if not isinstance(own, dict):
            raise ModelError(f"{where}: seanet.{side} is {own!r}, not a mapping of settings")
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
