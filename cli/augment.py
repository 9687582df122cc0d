"""`soundloom augment`: make encoded training examples of recordings: many variants, many captions."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .command import Command, CommandError
from .options import NAMES, add_count, add_device, add_force, add_quiet, choose_device, count, number
from .terminal import progress_bar


def add_augment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="sounds with captions, any depth")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="folder to write for training")
    parser.add_argument(
        "--codec", metavar="NAME", help=f"encodes the clips: {NAMES} (default: none, they stay sound)"
    )
    parser.add_argument("--clips", type=count, metavar="N", help="clips to make; needed unless --plain")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="no augmentation and no pairs, for measuring; without --clips each recording once",
    )
    parser.add_argument("--single", action="store_true", help="no pairs of sounds, for a classifier")
    parser.add_argument(
        "--known-classes",
        action="store_true",
        help="leave out recordings that are of no class which the Foley corpus or its mix knows",
    )
    parser.add_argument(
        "--trim-start",
        action="store_true",
        help="let every clip begin with its sound: a language model that learns to begin with silence may "
        "stay in it",
    )
    parser.add_argument(
        "--seconds", type=number, default=5.0, metavar="SECONDS", help="length of a clip (default: 5)"
    )
    add_count(parser, "--sample-rate", 16000, "Hz of clips that stay sound")
    add_count(parser, "--captions", 12, "wordings of a clip")
    add_count(parser, "--codebooks", None, "take only the codec's first N (default: all)")
    add_count(parser, "--max-repeats", 60, "most clips of one recording")
    parser.add_argument(
        "--renderings",
        type=number,
        default=0.0,
        metavar="SHARE",
        help="share of the clips that the Foley corpus renders, of classes where it sounds like recordings "
        "(default: 0)",
    )
    parser.add_argument(
        "--split",
        default="train",
        metavar="NAME",
        help="leave out recordings whose table says another split (default: train)",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="take only recordings whose table says so; may be given several times",
    )
    parser.add_argument(
        "--part",
        choices=("train", "validation", "all"),
        default="train",
        help="validation: the other recordings, about 5 %%; all: both (default: train)",
    )
    parser.add_argument(
        "--exclude-prompts",
        metavar="FILE",
        help="table of prompts that must not become captions (default: those of evaluate --prompts)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other clips (default: 0)")
    add_count(parser, "--jobs", os.cpu_count() or 1, "processes")
    add_device(parser, "where to encode: ")
    add_force(parser, "replace what was written to OUT earlier")
    add_quiet(parser)


def run_augment(options: argparse.Namespace) -> int:
    """Make the clips, and say what became of the classes."""
    where = dict(_condition(text) for text in options.where)
    if options.clips is None and not options.plain:
        raise CommandError(
            "--clips is not given: say how many clips to make, or give --plain for one of each"
        )
    from ..evaluation.prompts import BUNDLED_PROMPTS, read_prompts
    from ..recipes.data.augmentation import Augmentation
    from ..recipes.data.augmented_clips import MixSettings
    from ..recipes.data.augmented_folder import write_augmented
    from ..recipes.data.recordings import read_recordings

    alone: dict[str, Any] = {"compositions": {"single": 1.0}} if options.single or options.plain else {}
    if options.plain:
        alone["augmentation"] = Augmentation.off()
    settings = MixSettings(
        clips=options.clips,
        seconds=options.seconds,
        seed=options.seed,
        captions=options.captions,
        max_repeats=options.max_repeats,
        renderings=options.renderings,
        part=options.part,
        known_classes=options.known_classes,
        trim_start=options.trim_start,
        **alone,
    )
    excluded = [row.prompt for row in read_prompts(options.exclude_prompts or BUNDLED_PROMPTS)]
    recordings = read_recordings(options.folders, split=options.split, where=where)
    with progress_bar(enabled=not options.quiet, desc="augmenting", unit="clips") as progress:
        shares = write_augmented(
            options.output,
            recordings,
            settings,
            codec=options.codec,
            codebooks=options.codebooks,
            sample_rate=options.sample_rate,
            excluded=excluded,
            jobs=options.jobs,
            device=choose_device(options.device),
            force=options.force,
            progress=progress,
        )
    if not options.quiet:
        least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
        print(
            f"wrote {options.output}: {sum(shares.values())} clips of {len(shares)} classes, from "
            f"{shares[least]} ({least}) to {shares[most]} ({most})"
        )
    return 0


def _condition(text: str) -> tuple[str, str]:
    """A pair out of COLUMN=VALUE."""
    column, equals, value = text.partition("=")
    if not equals or not column.strip():
        raise CommandError(f"--where is {text!r}; give it as COLUMN=VALUE, such as caption_quality=good")
    return column.strip().lower(), value.strip()


COMMANDS = (
    Command(
        name="augment",
        summary="make training examples of recordings: varied, mixed, balanced, captioned in many words",
        description="""\
Make clips of fixed length out of captioned recordings and encode them, for training an AudioGen. Every clip
has a recording in front, at another level, speed and colour, in another room or from afar, over a background
or together with a second one. Classes share the clips evenly. Captions are the written ones in many wordings.
Recordings whose table says split "test" are left out, and about 5 % for validation (--part validation).
A call that is interrupted goes on from where it was when it is given again.""",
        examples="""\
  soundloom augment mysounds/ -o mix/train --codec seanet-16khz --clips 20000 --jobs 2
  soundloom augment mysounds/ -o mix/validation --codec seanet-16khz --clips 500 --part validation
  soundloom augment mysounds/ -o mix/train --codec seanet-16khz --clips 20000 --renderings 0.5
  soundloom augment mysounds/ -o classes/train --clips 20000 --single --known-classes     (for a classifier)
""",
        add_arguments=add_augment_arguments,
        run=run_augment,
    ),
)
