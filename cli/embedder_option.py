"""--embedder: what distances between sets of sounds are measured with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .command import did_you_mean

if TYPE_CHECKING:
    from ..evaluation.embedders import Embedder

EMBEDDERS = ("classifier", "log-mel", "yamnet")


def add_embedder(parser: argparse.ArgumentParser, figures: str) -> None:
    """Add --embedder; `figures` says what is measured with it, with the verb."""
    parser.add_argument(
        "--embedder",
        type=embedder,
        default="classifier",
        metavar="NAME",
        help=f"what {figures} measured with: the features of the classifier (classifier, the default), "
        "statistics of a spectrogram (log-mel), or YAMNet, which also tags the sounds (yamnet:FILE.onnx, "
        "yamnet:FOLDER, yamnet:HUB-ID, or yamnet for what the environment variable SOUNDLOOM_YAMNET names)",
    )


def embedder(text: str) -> str:
    """Check an embedder's name: classifier (judge, its old name), log-mel, yamnet or yamnet:NAME."""
    text = "classifier" if text == "judge" else text
    if text not in EMBEDDERS and not text.startswith("yamnet:"):
        choices = ", ".join(EMBEDDERS)
        raise argparse.ArgumentTypeError(
            f"{text!r} is unknown; use {choices} or yamnet:NAME{did_you_mean(text, EMBEDDERS)}"
        )
    return text


def load_embedder(text: str) -> Embedder | None:
    """The embedder of that name; None for the classifier."""
    from ..evaluation.embedders import LogMelStatistics
    from ..evaluation.yamnet import YAMNet

    kind, _, name = text.partition(":")
    if kind == "yamnet":
        return YAMNet.from_pretrained(name or None)
    return LogMelStatistics() if kind == "log-mel" else None
