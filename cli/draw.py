"""`soundloom draw`: spectrograms of sounds, classes of the corpus or generated prompts, on one sheet."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Command, CommandError
from .options import add_count, add_force, add_model, load_model, number, whole

if TYPE_CHECKING:
    from ..core.pictures import Spectrogram

PICTURES = (".png", ".pdf", ".svg")


def add_draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", type=Path, metavar="PICTURE", help="file to write: .png, .pdf or .svg")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sounds", nargs="+", metavar="FILE", help="sound files")
    what.add_argument("--classes", nargs="+", metavar="NAME", help="classes of the Foley corpus, or 'all'")
    what.add_argument("--prompts", nargs="+", metavar="TEXT", help="prompts to generate")
    add_model(parser)
    parser.add_argument(
        "--seconds", type=number, default=5.0, metavar="SECONDS", help="of each sound (default: 5)"
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of renderings and prompts (default: 0)"
    )
    add_count(parser, "--columns", 4, "spectrograms beside each other")
    add_force(parser)


def run_draw(options: argparse.Namespace) -> None:
    """Draw the sheet and write it."""
    if options.picture.suffix not in PICTURES:
        raise CommandError(f"{options.picture} must end in {', '.join(PICTURES)}")
    from ..core.files import check_file_destination
    from ..core.pictures import SHEET, spectrogram_figure
    from ..evaluation.report import write_report

    check_file_destination(options.picture, force=options.force)
    if options.sounds:
        shown = [_of_file(file, options.seconds) for file in options.sounds]
    elif options.classes:
        shown = _of_classes(options.classes, options.seconds, options.seed)
    else:
        shown = _of_prompts(options)
    picture = io.BytesIO()
    figure = spectrogram_figure(shown, columns=options.columns, range_db=70, style=SHEET)
    figure.savefig(picture, dpi=SHEET.dpi, format=options.picture.suffix[1:])
    write_report(options.picture, picture.getvalue())


def _of_file(file: str, seconds: float) -> Spectrogram:
    from ..core.pictures import Spectrogram
    from ..core.sound_reader import open_sound

    with open_sound(file) as sound:
        samples = sound.read(0, max(1, round(seconds * sound.sample_rate)))
        return Spectrogram(samples.mean(0), sound.sample_rate, Path(file).name)


def _of_classes(names: list[str], seconds: float, seed: int) -> list[Spectrogram]:
    """The first clip of each class, rendered with the seed."""
    import torch

    from ..core.pictures import Spectrogram
    from ..recipes.foley.corpus import FoleyCorpus

    known = FoleyCorpus().class_names
    names = known if names == ["all"] else names
    if unknown := sorted(set(names) - set(known)):
        raise CommandError(f"unknown classes: {', '.join(unknown)}; known: {', '.join(known)}")
    corpora = {
        name: FoleyCorpus(seconds=seconds, seed=seed, compositions={"single": 1.0}, classes=[name])
        for name in names
    }
    return [
        Spectrogram(torch.from_numpy(corpus[0].audio), corpus.sample_rate, name)
        for name, corpus in corpora.items()
    ]


def _of_prompts(options: argparse.Namespace) -> list[Spectrogram]:
    from ..core.pictures import Spectrogram

    audio = load_model(options).generate(options.prompts, duration=options.seconds, seed=options.seed)
    return [
        Spectrogram(samples.mean(0), audio.sample_rate, prompt)
        for prompt, samples in zip(options.prompts, audio.samples, strict=True)
    ]


COMMANDS = (
    Command(
        name="draw",
        summary="draw spectrograms on one sheet",
        description="Draw spectrograms of sound files, classes of the Foley corpus or generated prompts.",
        examples="""\
  soundloom draw sheet.png --sounds dog.wav back.wav --columns 2
  soundloom draw corpus.png --classes dog rain church_bell
  soundloom draw made.png --prompts "a dog barks" "heavy rain" --model foley
""",
        add_arguments=add_draw_arguments,
        run=run_draw,
    ),
)
