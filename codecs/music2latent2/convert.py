"""Convert the published CoDiCodec checkpoint (`codicodec.pt`).

The weights are Sony CSL Paris's, under CC BY-NC 4.0. The file is `{"gen_state_dict": {name: tensor}}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.checkpoint import read_config, read_torch
from ...core.errors import ModelError
from .music2latent2_config import Music2Latent2Config

PUBLISHED_FILE = "codicodec.pt"

# Stage code of the published settings -> (frequency, time) stride.
STRIDES = {0: (2, 2), 1: (4, 1), 2: (2, 1), 3: (1, 2)}

# Sizes of the published model, in the words of its own settings.
PUBLISHED_SETTINGS: dict[str, Any] = {
    "sample_rate": 48000,
    "stereo": True,
    "hop": 1024,
    "fac": 2,
    "spec_length": 32,
    "alpha_rescale": 0.65,
    "beta_rescale": 0.34,
    "frontend_base_channels": 64,
    "frontend_multipliers_list": [1, 2, 4, 8],
    "frontend_encoder_layers_list": [3, 3, 3, 1],
    "frontend_layers_list": [3, 3, 3, 1],
    "frontend_freq_downsample_list": [0, 1, 0],
    "dim": 512,
    "head_dim": 128,
    "mlp_mult": 4,
    "num_layers_encoder": 12,
    "num_layers": 12,
    "cond_channels": 512,
    "num_latents": 128,
    "num_more_latents": 8,
    "fsq_levels": [11, 11, 11, 11],
    "sigma_data": 0.5,
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "rho": 7.0,
    "default_denoising_steps_ar": 2,
    "default_denoising_steps_parallel": 5,
    "default_time_prompt": 0.4,
}

# In the checkpoint, but without effect on the output.
UNUSED = re.compile(
    r"(encoder|pre_decoder|decoder)\.linear_input\.|pre_decoder\.norm_output\.|(pre_decoder|decoder)\.linear_output\."
    r"|frontend_pre_decoder_up\.(norm_out|conv_out)\."
)
# Fixed kernels of the resampling shortcuts, and the FSQ's constants: computed here, so only compared.
FIXED = re.compile(r"\.(down|up)\.weight$|^fsq\._(levels|basis)_tensor$")

# Published name -> ours; the first pattern that matches the whole name counts. Applied to parts, see
# `rename`.
PREFIXES = (
    (r"latents", "encoder.summary"),
    (r"more_latents_encoder", "encoder.registers"),
    (r"more_latents_pre_decoder", "upsampler.registers"),
    (r"more_latents_decoder", "consistency.registers"),
    (r"mask_embedding", "upsampler.mask"),
    (r"gain_encoder", "encoder.gain"),
    (r"emb_proj\.0\.", "consistency.noise.embed.0."),
    (r"emb_proj\.2\.", "consistency.noise.embed.1."),
    (r"emb_proj\.4\.", "consistency.noise.embed.2."),
    (r"gain_decoder\.0\.", "consistency.noise.gain.0."),
    (r"gain_decoder\.2\.", "consistency.noise.gain.1."),
    (r"gain_decoder\.4\.", "consistency.noise.gain_out."),
    (r"lat2patch_pre_decoder\.", "upsampler.latent_in."),
    (r"lat2patch\.", "consistency.latent_in."),
    (r"frontend_encoder_down\.", "encoder.frontend."),
    (r"frontend_pre_decoder_up\.", "upsampler.frontend."),
    (r"frontend_decoder_down\.", "consistency.down."),
    (r"frontend_decoder_up\.", "consistency.up."),
    (r"encoder\.linear_output\.", "encoder.head."),
    (r"encoder\.", "encoder.transformer."),
    (r"pre_decoder\.", "upsampler.transformer."),
    (r"decoder\.", "consistency.transformer."),
)
PARTS = (
    (r"\.conv_inp\.", ".conv_in."),
    (r"\.(?:down|up)_layers\.", ".layers."),
    (r"\.ff\.ff([12])\.", r".conv\1."),
    (r"\.c\.weight$", ".conv.weight"),
    (r"\.cond_proj\.", ".condition."),
    (r"\.pe$", ".positions"),
    (r"\.norm_input\.", ".input_norm."),
    (r"\.norm_output\.", ".output_norm."),
    (r"\.attn\.mha\.to_qkv\.", ".attention.qkv."),
    (r"\.attn\.mha\.to_out\.", ".attention.out."),
    (r"\.attn\.mha\.q_norm\.g$", ".attention.query_gain"),
    (r"\.attn\.mha\.k_norm\.g$", ".attention.key_gain"),
    (r"\.attn\.norm\.", ".attention_norm."),
    (r"\.mlp\.norm\.", ".mlp_norm."),
    (r"_norm\.norm\.g$", "_norm.weight"),
    (r"\.mlp\.ff\.to_mlp\.", ".mlp.up."),
    (r"\.mlp\.ff\.to_out\.", ".mlp.down."),
)


def rename(name: str) -> str:
    """Our name of a published tensor.

    Raises:
        ValueError: the published model has no tensor of that name.
    """
    for pattern, prefix in PREFIXES:
        match = re.match(pattern, name)
        if match and (match.end() == len(name) or pattern.endswith(".")):
            ours = prefix + name[match.end() :]
            break
    else:
        raise ModelError(f"{PUBLISHED_FILE} has a tensor {name!r}, which no CoDiCodec checkpoint has")
    for pattern, replacement in PARTS:
        ours = re.sub(pattern, replacement, ours)
    return ours


def config_from_published(settings: Mapping[str, Any]) -> Music2Latent2Config:
    """Our settings from those of a published config.json; what it leaves out has the published model's value.

    Raises:
        ValueError: an unknown stage code, or sizes that do not fit together.
    """
    value = {**PUBLISHED_SETTINGS, **settings}
    codes = value["frontend_freq_downsample_list"]
    unknown = [code for code in codes if code not in STRIDES]
    if unknown:
        raise ModelError(f"frontend_freq_downsample_list holds {unknown}; known codes: {sorted(STRIDES)}")
    return Music2Latent2Config(
        sample_rate=value["sample_rate"],
        channels=2 if value["stereo"] else 1,
        hop=value["hop"],
        overlap=value["fac"],
        frames_per_chunk=value["spec_length"],
        companding="parts",
        companding_scale=value["beta_rescale"],
        companding_power=value["alpha_rescale"],
        base_channels=value["frontend_base_channels"],
        multipliers=tuple(value["frontend_multipliers_list"]),
        encoder_blocks=tuple(value["frontend_encoder_layers_list"]),
        decoder_blocks=tuple(value["frontend_layers_list"]),
        strides=tuple(STRIDES[code] for code in codes),
        dim=value["dim"],
        head_dim=value["head_dim"],
        mlp_ratio=value["mlp_mult"],
        encoder_layers=value["num_layers_encoder"],
        upsampler_layers=value["num_layers"],
        decoder_layers=value["num_layers"],
        noise_dim=value["cond_channels"],
        num_latents=value["num_latents"],
        latent_dim=len(value["fsq_levels"]),
        num_registers=value["num_more_latents"],
        latents_in_decoder=True,
        fsq_levels=tuple(value["fsq_levels"]),
        sigma_data=value["sigma_data"],
        sigma_min=value["sigma_min"],
        sigma_max=value["sigma_max"],
        rho=value["rho"],
        decoding="autoregressive",
        steps=value["default_denoising_steps_ar"],
        parallel_steps=value["default_denoising_steps_parallel"],
        prompt_time=value["default_time_prompt"],
    )


def convert_state(published: Mapping[str, Tensor], config: Music2Latent2Config) -> dict[str, Tensor]:
    """Our state dict from a published one; float32.

    Raises:
        ValueError: a tensor of unknown name, or a fixed kernel that is not what this family fixes it to.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in published.items():
        if UNUSED.match(name):
            continue
        if FIXED.search(name):
            _compare(name, tensor, published, config)
            continue
        ours = rename(name)
        tensor = tensor.float()
        if ours == "consistency.transformer.positions":
            # [1, 2 * n, D] -> [2, n, D]: the left and the right place of a pair
            tensor = tensor.unflatten(1, (2, -1))[0]
        state[ours] = tensor
    return state


def _compare(name: str, tensor: Tensor, published: Mapping[str, Tensor], config: Music2Latent2Config) -> None:
    """Check a tensor whose value this family fixes."""
    levels = config.fsq_levels or ()
    expected: Callable[[], Tensor]
    if name.endswith("_levels_tensor"):
        expected = lambda: torch.tensor(levels)  # noqa: E731
    elif name.endswith("_basis_tensor"):
        expected = lambda: torch.tensor((1, *levels[:-1])).cumprod(0)  # noqa: E731
    elif name.endswith(".down.weight"):
        expected = lambda: torch.full_like(tensor, 1 / tensor[0].numel())  # noqa: E731
    else:
        wide, narrow = published[name.replace(".up.weight", ".c.weight")].shape[:2]
        expected = lambda: torch.full_like(tensor, narrow / wide)  # noqa: E731
    if tensor.shape != expected().shape or not torch.allclose(tensor.float(), expected().float(), atol=1e-6):
        raise ModelError(
            f"{name} in {PUBLISHED_FILE} is not the constant that a CoDiCodec checkpoint has there"
        )


def is_published(folder: Path) -> bool:
    """Whether a folder holds a published checkpoint and not one in our own format."""
    return (folder / PUBLISHED_FILE).is_file() and "_class_name" not in read_config(folder)


def load_published(folder: Path) -> tuple[Music2Latent2Config, dict[str, Tensor]]:
    """Settings and state dict of the published checkpoint in a folder.

    Raises:
        ValueError: the checkpoint is not CoDiCodec's, or its config.json does not fit it.
        OSError: the file is damaged.
    """
    path = folder / PUBLISHED_FILE
    content = read_torch(path)
    published = content.get("gen_state_dict") if isinstance(content, dict) else None
    if not isinstance(published, dict):
        raise ModelError(f"{path} has no 'gen_state_dict'; it is not a CoDiCodec checkpoint")
    config = config_from_published(read_config(folder))
    return config, convert_state(published, config)
