"""The option --lora, FILE or FILE:STRENGTH, of every command that generates."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ..core.errors import ArgumentError
from ..core.hub import HUB_ID
from ..gen.settings import check_strength
from .command import CommandError

if TYPE_CHECKING:
    from ..gen.pipeline import AudioGen

SUFFIX = ".safetensors"  # that of gen/model/lora_file.py, which waits for torch


def add_lora(parser: argparse.ArgumentParser) -> None:
    """--lora, beside --model; given several times, all adapters are used at once."""
    parser.add_argument(
        "--lora",
        type=lora_with_strength,
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="a LoRA adapter of the model, as soundloom export --lora writes it, or its folder or hub id, "
        "and its strength (default: 1, as it was trained); given several times, all are used",
    )


def lora_with_strength(text: str) -> tuple[str, float]:
    """FILE or FILE:STRENGTH as name and strength.

    What is behind the last colon is the strength if it is a number; if not, the colon belongs to the name,
    unless what is before it names an adapter by itself. A file that is there under the whole text as its
    name is taken as it is, at strength 1.
    """
    name, colon, strength = text.rpartition(":")
    if not colon or os.path.exists(text):
        name, strength = text, "1"
    try:
        value = float(strength)
    except ValueError:  # the colon belongs to the name, as in C:\\bell.safetensors
        if not strength:
            raise argparse.ArgumentTypeError(
                f"{text!r} ends with a colon: give a strength behind it, as in {text}0.8"
            ) from None
        if _names_adapter(name) and not strength.endswith(SUFFIX):
            raise argparse.ArgumentTypeError(
                f"the strength of {name} is {strength!r}, which is no number; give it as in {name}:0.8"
            ) from None
        name, value = text, 1.0
    if not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} names no file; give it as in bell.safetensors:0.8")
    try:
        return name, check_strength(name, value)
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names_adapter(text: str) -> bool:
    """Whether a text can be all that names an adapter: its file or folder, or a hub id."""
    return text.endswith(SUFFIX) or os.path.exists(text) or HUB_ID.fullmatch(text) is not None


def load_adapters(model: AudioGen, options: argparse.Namespace) -> None:
    """Load what --lora names into a model.

    Raises:
        CommandError: the same file is given twice.
    """
    seen = set()
    for name, strength in options.lora:
        file = os.path.realpath(name)
        if file in seen:
            raise CommandError(
                f"--lora is given {name} twice; give it once, at the strength that it is to have in all, as "
                f"in --lora {name}:0.8"
            )
        seen.add(file)
        model.load_lora_weights(name, strength=strength)
