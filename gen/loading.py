"""Load and save an AudioGen's parts: language model, text encoder and codec.

Two kinds of folder are known: ours, and the one that AudioCraft published (see published.py).
"""

from __future__ import annotations

import functools
import gc
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..codecs.base import Codec
from ..codecs.frames.succession import understands
from ..codecs.registry import CODECS, load_codec
from ..codecs.weights_hash import weights_hash
from ..core.atomic import atomic_write
from ..core.cache import converted
from ..core.checkpoint import BUNDLED_MODELS, CONFIG_FILE, MAX_SHARD_BYTES, MODEL_FILES, read_json
from ..core.errors import ModelError
from ..core.hub import resolve_model
from ..core.int8_storage import save_int8
from ..core.memory import release_freed
from ..core.safetensors_files import add_metadata, read_header
from ..core.version import __version__
from .model.lm import AudioLM
from .model.lora import merge_lora
from .model.schemes import check_scheme, check_writable, write_quantized
from .published import PUBLISHED_CODEC_FILE, PUBLISHED_FILE, PUBLISHED_LICENSE, convert_once
from .text.encoder import TextEncoder
from .text.loader import load_text_encoder

logger = logging.getLogger(__name__)

# In the metadata of a language model's files: `weights_hash` of the codec whose codes it speaks.
CODEC_FINGERPRINT = "codec_fingerprint"
# What a model's config.json may say about using it.
SETTINGS = ("max_seconds", "extend_stride", "guidance_scale", "top_k", "codebook_temperatures", "license")


@dataclass
class Parts:
    """What an AudioGen is made of.

    Attributes:
        lm, text_encoder, codec: on the CPU, ready for inference.
        settings: further arguments of AudioGen, as the model's files give them.
    """

    lm: AudioLM
    text_encoder: TextEncoder
    codec: Codec
    settings: dict[str, Any] = field(default_factory=dict)


def load_parts(
    name: str | os.PathLike[str],
    *,
    text_encoder: str | os.PathLike[str] | TextEncoder | None = None,
    codec: str | os.PathLike[str] | Codec | None = None,
    dtype: torch.dtype = torch.float32,
    quantization: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Parts:
    """Load the parts of a model; arguments and errors as for `AudioGen.from_pretrained`."""
    found = find_model(
        name, dtype=dtype, quantization=quantization, revision=revision, local_files_only=local_files_only
    )
    lm = AudioLM.from_pretrained(found.lm, torch_dtype=dtype, quantization=quantization, mapped=found.mapped)
    return other_parts(found, lm, text_encoder, codec, local_files_only)


@dataclass
class FoundModel:
    """Where the parts of a model are.

    Attributes:
        lm: folder of the language model.
        mapped: its files are in the cache and stay as they are, so that they can be used where they lie.
        text_encoder: name or folder.
        codec: a name, or a folder.
        settings: see `Parts`.
    """

    lm: Path
    mapped: bool
    text_encoder: str | Path
    codec: str | Path
    settings: dict[str, Any] = field(default_factory=dict)


def find_model(
    name: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    quantization: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> FoundModel:
    """Find the parts of a model, published ones converted; arguments and errors as for `load_parts`."""
    folder = resolve_model(
        name,
        BUNDLED_MODELS,
        local_files_only=local_files_only,
        revision=revision,
        allow_patterns=MODEL_FILES,
    )
    if (folder / PUBLISHED_FILE).is_file() or (folder / PUBLISHED_CODEC_FILE).is_file():
        show_licence(os.fspath(name))
        published = convert_once(folder, dtype, quantization)
        settings = {
            "max_seconds": published.max_seconds,
            "guidance_scale": published.guidance_scale,
            "license": PUBLISHED_LICENSE,
        }
        return FoundModel(published.folder, True, published.text_encoder, folder, settings)
    config = read_json(folder / CONFIG_FILE)
    if (kind := config.get("_class_name", "AudioGen")) != "AudioGen":
        call = "load_codec" if kind in CODECS else f"{kind}.from_pretrained"
        raise ModelError(
            f"{os.fspath(name)} is of the kind {kind}, which {call} loads, not an AudioGen, which makes "
            "sound of text; foley, which ships, is one"
        )
    return FoundModel(
        folder / "lm",
        False,
        folder / "text_encoder",
        str(config["codec"]) if config.get("codec") else folder / "codec",
        {key: config[key] for key in SETTINGS if key in config},
    )


def other_parts(
    found: FoundModel,
    lm: AudioLM,
    text_encoder: str | os.PathLike[str] | TextEncoder | None,
    codec: str | os.PathLike[str] | Codec | None,
    local_files_only: bool,
) -> Parts:
    """Load what belongs to a language model; arguments and errors as for `load_parts`."""
    settings, given = dict(found.settings), codec
    if codec is None:
        codec = _converted_codec(found.codec) if isinstance(found.codec, Path) else found.codec
    text_encoder = found.text_encoder if text_encoder is None else text_encoder
    if not isinstance(codec, Codec):
        settings["codec_name"] = codec if isinstance(codec, str) and not Path(codec).is_dir() else None
        named = codec is not given
        codec = load_codec(codec, local_files_only=local_files_only)
        if named:
            _check_fingerprint(found.lm, codec)
    if not isinstance(text_encoder, TextEncoder):
        text_encoder = load_text_encoder(text_encoder, local_files_only=local_files_only)
    gc.collect()  # diffusers leaves files mapped in circles of references
    release_freed()  # what was there on the way: random weights, integers, parts of files
    return Parts(lm, text_encoder, codec, settings)


def note_codec(lm: Path, codec: Codec) -> None:
    """Say in the metadata of a language model's files which codec's codes it speaks, unless they say it."""
    told = {CODEC_FINGERPRINT: weights_hash(codec) or "", "soundloom_version": __version__}
    for file in lm.glob("*.safetensors"):
        if CODEC_FINGERPRINT not in read_header(file)[1]:
            add_metadata(file, told)


def _check_fingerprint(lm: Path, codec: Codec) -> None:
    """Warn where a language model was trained over codes of other weights than those of its codec here."""
    file = next(iter(sorted(lm.glob("*.safetensors"))), None)
    wanted = None if file is None else read_header(file)[1].get(CODEC_FINGERPRINT)
    if wanted and not understands(codec, wanted):
        logger.warning(
            "%s was trained with other weights of its codec (%s) than those of %s here (%s): what it makes "
            "may be noise; give the codec that it was trained with",
            lm.parent,
            wanted,
            codec.name or type(codec).__name__,
            weights_hash(codec),
        )


@functools.cache
def show_licence(name: str) -> None:
    """Log the licence of Meta's weights, once in a process for each model."""
    logger.warning(
        "%s is in the format of Meta's AudioGen; Meta's weights are licensed CC BY-NC 4.0 "
        "(no commercial use), whatever the licence of this code",
        name,
    )


def _converted_codec(folder: Path) -> Path:
    """The folder of a published codec, converted once; any other folder itself, an incomplete one as well."""
    file = folder / PUBLISHED_CODEC_FILE
    if not file.is_file():
        return folder

    def build(target: Path) -> None:
        codec = load_codec(folder)
        codec.save_pretrained(target)

    return converted(file, "codec", build)


def save_parts(
    parts: Parts,
    folder: Path,
    *,
    weights: str = "float",
    quantization: str | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a folder that `load_parts` reads; arguments as for `AudioGen.save_pretrained`.

    Its config.json is written last, so that a folder whose writing was interrupted does not load.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    save_lm(
        parts.lm,
        folder / "lm",
        weights=weights,
        quantization=quantization,
        max_shard_bytes=max_shard_bytes,
    )
    save_other_parts(parts, folder)


def save_other_parts(parts: Parts, folder: Path) -> None:
    """Write text encoder, codec and config.json beside a language model; see `save_parts`.

    The language model's files are told which codec's codes they speak.
    """
    note_codec(folder / "lm", parts.codec)
    for part, name in ((parts.text_encoder, "text_encoder"), (parts.codec, "codec")):
        if name == "codec" and parts.settings.get("codec_name") is not None:
            continue
        save = getattr(part, "save_pretrained", None)
        if save is None:
            raise TypeError(
                f"{type(part).__name__} has no save_pretrained, so {folder / name} cannot be written"
            )
        save(folder / name)
    config = {key: parts.settings[key] for key in SETTINGS if parts.settings.get(key) is not None}
    config |= {"_class_name": "AudioGen", "codec": parts.settings.get("codec_name")}
    with atomic_write(folder / CONFIG_FILE) as file:
        file.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def save_lm(
    lm: AudioLM,
    folder: Path,
    *,
    weights: str = "float",
    quantization: str | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a language model's folder, LoRA merged; arguments as for `AudioGen.save_pretrained`."""
    lm = merge_lora(lm)
    if quantization is not None:
        check_scheme(quantization, auto=False)
        if weights != "float":
            raise ModelError(
                f"weights is {weights!r} and quantization {quantization!r}; leave one of both out"
            )
        check_writable(lm)
        items = ((name, tensor, None) for name, tensor in lm.state_dict().items())
        write_quantized(lm, items, folder, quantization, max_shard_bytes)
    elif weights == "int8":
        check_writable(lm)
        save_int8(lm, folder, max_shard_bytes)
    elif weights == "float":
        lm.save_pretrained(folder, max_shard_size=max_shard_bytes)
    else:
        raise ModelError(f"weights is {weights!r}; use 'float' or 'int8'")
