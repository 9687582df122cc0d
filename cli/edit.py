"""`soundloom edit`: regions of a sound are filled anew, or it is looped, made longer, or varied."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..gen.settings import OPTIONS, GenerationSettings, check_number
from .command import Command, CommandError
from .generate import plan_outputs
from .options import (
    add_force,
    add_metadata,
    add_model,
    add_quiet,
    add_setting,
    add_subtype,
    load_model,
    number,
    span,
)
from .terminal import progress_bar

if TYPE_CHECKING:
    from ..gen.generated_audio import GeneratedAudio
    from ..gen.pipeline import AudioGen

OF_NEW_SOUNDS = ("duration", "loop")  # settings that an edit does not have
SEAM_SECONDS = 1.0  # that --loop fills unless it is told otherwise


def add_edit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sound", metavar="SOUND", help="the sound file to edit, which stays as it is")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a file (.wav, .flac, .ogg, .mp3), or an existing folder, which several sounds need",
    )
    add_force(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--replace",
        type=span,
        action="append",
        metavar="START:END",
        help="fill this part anew, in seconds, as in 1.2:2.0, :0.5 or 3: ; may be given several times",
    )
    what.add_argument(
        "--vary",
        type=number,
        metavar="X",
        help="draw a share of the codes again: 0 (the codec's copy) to 1 (a new sound), usually 0.2 to 0.6",
    )
    what.add_argument(
        "--loop",
        type=number,
        nargs="?",
        const=SEAM_SECONDS,
        metavar="SECONDS",
        help="make a loop of it: so much of its end, at most a third, is filled anew so that it leads to the "
        "beginning (default: 1); a .wav gets the points of the loop",
    )
    what.add_argument(
        "--extend",
        type=number,
        metavar="SECONDS",
        help="make it so much longer, and keep what is there",
    )
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="PROMPT",
        help="what to hear in it; with several parts, one for all or one for each (default: what fits)",
    )
    for name in OPTIONS:
        if name not in OF_NEW_SOUNDS:
            add_setting(parser, name)
    add_subtype(parser, "that of SOUND, where the format of OUT has it, else PCM_16")
    add_metadata(
        parser, "write neither prompt nor seed into the tags, only that the sound was generated, and by what"
    )
    add_model(parser)
    add_quiet(parser)


def run_edit(options: argparse.Namespace) -> None:
    """Check everything that can be checked, edit the sound, write what came of it, and say so."""
    prompts = options.prompt or [""]
    if options.vary is not None:
        check_number("--vary", options.vary, 0.0, 1.0, "0 is the codec's copy, 1 draws every code again")
    for name in ("loop", "extend"):
        seconds = getattr(options, name)
        if seconds is not None and not 0 < seconds < math.inf:
            raise CommandError(f"--{name} is {seconds:g}; it must be a number of seconds above 0")
    if options.replace is None and len(prompts) > 1:
        what = next(name for name in ("vary", "loop", "extend") if getattr(options, name) is not None)
        raise CommandError(f"--{what} takes one --prompt, not {len(prompts)}")
    names = [name for name in OPTIONS if name not in OF_NEW_SOUNDS]
    settings = GenerationSettings(**{name: getattr(options, name) for name in names})
    from ..core.audio import SUBTYPES, check_subtype, read_audio
    from ..core.sound_description import describe_sound

    source = read_audio(options.sound)
    files = plan_outputs(
        options.output, [Path(options.sound).stem], settings.num_samples, force=options.force
    )
    subtype, suffix = options.subtype, files[0].suffix.lower()
    if subtype is None and (kept := describe_sound(Path(options.sound)).subtype) in SUBTYPES[suffix]:
        subtype = kept
    check_subtype(suffix, subtype)
    model = load_model(options)
    with progress_bar(enabled=not options.quiet, desc="editing", unit="frames") as progress:
        common: dict[str, Any] = {"settings": settings, "progress": progress}
        if settings.candidates > 1:
            from ..evaluation.audio_text_scorer import AudioTextScorer

            common["rerank"] = AudioTextScorer()
        found = _edit(model, source, options, prompts, common)
    for index, file in enumerate(files):
        found.save(file, index=index, force=options.force, subtype=subtype, metadata=options.metadata)
        if not options.quiet:
            print(f"{file}  {found.duration:.2f} s, seed {found.seeds[index]}")


def _edit(
    model: AudioGen, source: Any, options: argparse.Namespace, prompts: list[str], common: dict[str, Any]
) -> GeneratedAudio:
    if options.vary is not None:
        return model.variation(source, options.vary, prompts[0], **common)
    if options.loop is not None:
        return model.loop(source, options.loop, prompts[0], **common)
    if options.extend is not None:
        return model.extend(source, options.extend, prompts[0], **common)
    return model.inpaint(source, options.replace, prompts, **common)


COMMANDS = (
    Command(
        name="edit",
        summary="fill parts of a sound anew, loop, extend or vary it",
        description="""\
Fill parts of a sound anew, so that they go on from what is before and arrive at what is after; the rest stays
as it is, sample by sample. Or make a loop of the sound, make it longer, or vary the whole. docs/editing.md
shows all of it.""",
        examples="""\
  soundloom edit street.wav --replace 1.2:2.0 --prompt "a dog barks" -o dog.wav
  soundloom edit street.wav --replace :0.5 --replace 3: --prompt rain -o wet.wav
  soundloom edit street.wav --replace 1.2:2 --prompt "a dog barks" --candidates 4 -o best.wav
  soundloom edit rain.wav --loop -o rain-loop.wav                              (the last second is new)
  soundloom edit rain.wav --extend 5 --prompt "rain, then a dog barks" -o longer.wav
  soundloom edit bell.wav --vary 0.3 --num-samples 4 -o bells/                  (a folder that exists)
""",
        add_arguments=add_edit_arguments,
        run=run_edit,
    ),
)
