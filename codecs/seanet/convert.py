"""Convert the EnCodec checkpoints that AudioCraft published (`compression_state_dict.bin`).

core/audiocraft.py reads the file; of its configuration, only the keys that describe the network count.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ...core.audiocraft import PublishedConfig, read_published, warn_of_unknown
from ...core.errors import ModelError
from ..weights_hash import fold_weight_norm

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
    state, config = read_published(path, "codec")
    return parse_settings(config), fold_state(state)


def parse_settings(config: PublishedConfig) -> dict[str, Any]:
    """Keyword arguments for SEANetCodec from a published configuration.

    Raises:
        ValueError: a value that this implementation does not cover; the message names key and value.
    """
    number = partial(config.number, strict=True)
    warn_of_unknown(config.where, config.unknown(_KNOWN_KEYS))
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
            raise ModelError(f"{config.where}: seanet.{side} is {own!r}, not a mapping of settings")
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
