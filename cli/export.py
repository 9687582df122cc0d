"""`soundloom export`: a checkpoint becomes a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .command import Command
from .options import add_force, add_quiet


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .ckpt file of a training run")
    parser.add_argument("output", metavar="OUT", help="folder to write; with --lora a .safetensors file")
    parser.add_argument(
        "--lora",
        action="store_true",
        help="of a run that trained nothing but LoRA: write that alone, a small file for generate --lora",
    )
    parser.add_argument(
        "--weights",
        choices=["float", "int8"],
        default="float",
        help="float32, or int8 for language models, SEANet codecs and Music2Latent2, a quarter of the size "
        "(default: float)",
    )
    parser.add_argument(
        "--ema",
        action=argparse.BooleanOptionalAction,
        help="take the moving average of the weights, or the weights as trained (default: the average where "
        "the checkpoint has one)",
    )
    add_force(parser, "write into a folder that is not empty, or replace a file")
    add_quiet(parser, "no summary")


def run_export(options: argparse.Namespace) -> None:
    """Write the folder and say what is in it."""
    from ..gen.training.export_checkpoint import export_checkpoint, export_lora

    if options.lora:
        done = export_lora(options.checkpoint, options.output, ema=options.ema, force=options.force)
    else:
        done = export_checkpoint(
            options.checkpoint, options.output, weights=options.weights, ema=options.ema, force=options.force
        )
    if not options.quiet:
        kind = "moving average" if done.averaged else "weights as trained"
        print(f"{done.folder}  {done.size / 1e6:.1f} MB, {done.step} steps, {kind} ({done.module})")
    if newer := newer_last(Path(options.checkpoint)):
        print(f"note: {newer} is newer: it is of a later start of the run", file=sys.stderr)


def newer_last(checkpoint: Path) -> Path | None:
    """The newest `last*.ckpt` beside a `last*.ckpt`, where it is newer.

    Lightning keeps the last checkpoint of an earlier start and calls that of the next one last-v1.ckpt.
    """
    if not checkpoint.stem.startswith("last"):
        return None
    newest = max(checkpoint.parent.glob("last*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
    if newest is None or newest.stat().st_mtime <= checkpoint.stat().st_mtime:
        return None
    return newest


COMMANDS = (
    Command(
        name="export",
        summary="turn a checkpoint of a training run into a model folder",
        description="""\
Write the model in a checkpoint of `soundloom fit` as a folder that --model or --codec takes: a language
model with text encoder and codec, a codec, or the classifier.
With --lora only an adapter of the language model, a small file.""",
        examples="""\
  soundloom export runs/audiogen_finetune/checkpoints/last.ckpt mymodel
  soundloom export last.ckpt mymodel --weights int8           (a quarter of the size)
  soundloom generate "a small bell" --model mymodel
  soundloom export last.ckpt bell.safetensors --lora          (what LoRA learned, and nothing else)
  soundloom generate "a small bell" --lora bell.safetensors:0.8
""",
        add_arguments=add_export_arguments,
        run=run_export,
    ),
)
