"""`soundloom generate`: sentences become sounds."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.progress import one_of
from ..core.slug import slug
from ..gen.settings import OPTIONS
from .command import Command, CommandError
from .generate_again import run_again
from .generate_table import add_table_arguments, run_table
from .generation_options import check_finish, chosen_settings, finish, read_sound, with_guidance_end
from .options import (
    add_force,
    add_metadata,
    add_model,
    add_quiet,
    add_setting,
    add_subtype,
    load_model,
    number,
    prompt_at,
    whole,
)
from .terminal import progress_bar, say, standard_output

if TYPE_CHECKING:
    from ..gen.generated_audio import GeneratedAudio
    from ..gen.pipeline import AudioGen

DEFAULT_MODEL = "foley"
TO_A_PLAYER = 'soundloom generate "rain" -o - --stream | aplay'


def add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help='what to hear; "" lets the model choose')
    parser.add_argument(
        "--at",
        type=prompt_at,
        action="append",
        metavar="SECONDS:PROMPT",
        help="in place of PROMPT: one sound whose prompt changes; given several times, the first at 0",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file (.wav, .flac, .ogg, .mp3), or an existing folder, which several sounds need, or - for "
        "wav on the standard output (default: a .wav named after the prompt in the current folder)",
    )
    add_force(parser)
    for name in OPTIONS:
        add_setting(parser, name)
    parser.add_argument(
        "--guidance-end",
        type=number,
        metavar="X",
        help="let the guidance scale move evenly to X by the end (default: it stays)",
    )
    parser.add_argument(
        "--loudness",
        type=number,
        metavar="LUFS",
        help="integrated loudness of the result (ITU-R BS.1770), for example -23 (default: as it is made)",
    )
    parser.add_argument(
        "--sample-rate",
        type=whole,
        metavar="HZ",
        help="of the result (default: the model's, 16000 for foley)",
    )
    add_subtype(parser)
    parser.add_argument(
        "--continue-from",
        metavar="FILE",
        help="a recording to go on from; with --again, the one that the sound goes on from or is an edit of",
    )
    parser.add_argument(
        "--stream", action="store_true", help="with -o -: send the sound on while it is being made"
    )
    add_table_arguments(parser)
    parser.add_argument(
        "--again",
        metavar="FILE",
        help="instead of prompts: make this sound again, to the last bit, from what its tags say",
    )
    parser.add_argument(
        "--watermark",
        metavar="FOLDER",
        help="put AudioSeal's watermark into the sound, with the weights in FOLDER (generator_base.pth)",
    )
    add_metadata(
        parser, "write neither prompt nor seed into the tags, only that the sound was generated, and by what"
    )
    add_model(parser)
    parser.set_defaults(model=None)  # --again takes the file's
    add_quiet(parser)


def run_generate(options: argparse.Namespace) -> None:
    """Check where the sounds go, make them, write them, and say what was made."""
    _check_prompts(options)
    ways = {
        "PROMPT": bool(options.prompts or options.at),
        "--batch": options.batch,
        "--again": options.again,
    }
    if sum(bool(way) for way in ways.values()) != 1:
        given = " and ".join(name for name, way in ways.items() if way) or "none"
        raise CommandError(
            "give prompts (or --at), --batch TABLE or --again FILE, one of the three (given: "
            f'{given}); a sound of the model\'s choice is the prompt ""'
        )
    if options.again:
        run_again(options)
        return
    options.model = DEFAULT_MODEL if options.model is None else options.model
    if options.batch:
        run_table(options)
        return
    files = _destinations(options)
    settings = chosen_settings(options)
    source = None if options.continue_from is None else read_sound(options.continue_from)
    model = load_model(options)
    check_finish(options, model)
    settings = with_guidance_end(settings, options, model)
    common: dict[str, Any] = {"settings": settings, "continue_from": source, "prompts_at": options.at}
    if options.stream:
        with progress_bar(enabled=not options.quiet, desc="generating", unit="frames") as progress:
            summary = _stream(model, options, common | {"progress": progress})
        if not options.quiet:
            print(f"(standard output)  {summary}", file=sys.stderr)
        return
    if settings.candidates > 1:
        from ..evaluation.audio_text_scorer import AudioTextScorer

        common["rerank"] = AudioTextScorer()
    done = 0
    with progress_bar(enabled=not options.quiet, desc="generating", unit="frames") as bar:
        # One prompt after the other, so that each sound can be made again without the others, to the bit.
        prompts = _prompts(options)
        for number, prompt in enumerate(prompts):
            common["progress"] = one_of(bar, number, len(prompts))
            audio = finish(model.generate(prompt, **common), options)
            for index, seed in enumerate(audio.seeds):
                summary = f"{audio.duration:.2f} s, seed {seed}"
                if not files:
                    _pipe(audio, options)
                    if not options.quiet:
                        say(f"(standard output)  {summary}", error=True)
                    continue
                audio.save(
                    files[done],
                    index=index,
                    force=options.force,
                    subtype=options.subtype,
                    metadata=options.metadata,
                )
                if not options.quiet:
                    say(f"{files[done]}  {summary}")
                done += 1


def _check_prompts(options: argparse.Namespace) -> None:
    """Raise CommandError where prompts are given in two ways."""
    if options.at and options.prompts:
        raise CommandError(
            f"--at stands in place of {options.prompts[0]!r}: give it as --at 0:{options.prompts[0]!r}"
        )


def _prompts(options: argparse.Namespace) -> list[str]:
    """What `AudioGen.generate` takes as prompts, one after the other, beside `prompts_at`."""
    return [""] if options.at else options.prompts


def _names(options: argparse.Namespace) -> list[str]:
    """What files in a folder are named after, one for each prompt."""
    return [" then ".join(prompt for _, prompt in options.at)] if options.at else options.prompts


def _destinations(options: argparse.Namespace) -> list[Path]:
    """The file of every sound; none for the standard output.

    Raises:
        CommandError: the sounds cannot be written there.
        AudioError: not with that subtype.
    """
    from ..core.audio import check_subtype

    if options.output != "-":
        if options.stream:
            raise CommandError(
                "--stream sends sound on while it is being made, which needs -o - and a reader: "
                f"{TO_A_PLAYER}"
            )
        files = plan_outputs(options.output, _names(options), options.num_samples, force=options.force)
        for file in files:
            check_subtype(file.suffix.lower(), options.subtype)
        return files
    check_subtype(".wav", options.subtype)
    if len(_names(options)) * options.num_samples > 1:
        raise CommandError(
            "-o - takes one sound: give one prompt and --num-samples 1, or -o a folder"
            f"{_quotes_hint(options.prompts)}"
        )
    if options.stream and options.loudness is not None:
        raise CommandError("the loudness of a sound is known at its end: leave out --stream, or --loudness")
    for name in ("sample_rate", "watermark"):
        if options.stream and getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise CommandError(f"--stream sends the model's sound as it comes: leave out --stream, or {flag}")
    if options.stream and options.loop:
        raise CommandError(
            "the end of a loop leads to its beginning, so it is made whole: leave out --stream"
        )
    if options.stream and options.candidates > 1:
        raise CommandError("--candidates chooses among finished sounds: leave out --stream, or --candidates")
    if sys.stdout.isatty():
        raise CommandError(
            "-o - writes a wav file to the standard output, which is this terminal: send it to a player or a "
            f"file, as in  {TO_A_PLAYER}"
        )
    return []


def plan_outputs(output: str | None, prompts: Sequence[str], num_samples: int, *, force: bool) -> list[Path]:
    """Return the file of every sound, in the order of generation, after checking that each can be written.

    Args:
        output: a file, an existing folder, or None for the current folder.
        prompts: the prompts, after which files in a folder are named.
        num_samples: sounds a prompt.
        force: allow existing files to be replaced.

    Raises:
        CommandError: several sounds are to go into one file.
        ValueError, OSError: as of `check_destination`.
    """
    from ..core.audio import check_destination

    sounds = len(prompts) * num_samples
    target = Path.cwd() if output is None else Path(output)
    files: list[Path] = []
    if target.is_dir():
        for stem in (slug(prompt) for prompt in prompts for _ in range(num_samples)):
            copies, file = 1, target / f"{stem}.wav"
            while file in files:
                copies += 1
                file = target / f"{stem}-{copies}.wav"
            files.append(file)
    elif sounds > 1:
        raise CommandError(
            f"{sounds} sounds need a folder, and {output!r} is not an existing one: make it "
            f"(mkdir -p sounds) and give -o sounds{_quotes_hint(prompts)}"
        )
    else:
        files.append(target)
    for file in files:
        check_destination(file, force=force)
    return files


def _quotes_hint(prompts: Sequence[str]) -> str:
    """What to add to a message about too many sounds, where the prompts look like one without quotes."""
    if len(prompts) < 2 or any(len(prompt.split()) != 1 for prompt in prompts):
        return ""
    return f'; one prompt of several words needs quotes: "{" ".join(prompts)}"'


def _pipe(audio: GeneratedAudio, options: argparse.Namespace) -> None:
    """Write a sound to the standard output, with the header and samples that a file would have."""
    with tempfile.TemporaryDirectory() as folder, standard_output() as stream:
        file = audio.save(Path(folder, "sound.wav"), subtype=options.subtype, metadata=options.metadata)
        stream.write(file.read_bytes())


def _stream(model: AudioGen, options: argparse.Namespace, common: dict[str, Any]) -> str:
    """Write a sound to the standard output while it is being made; returns what to say about it.

    Args:
        model: what generates.
        options: of the command.
        common: further arguments of `AudioGen.stream`.
    """
    from ..core.audio_blocks import PipeWriter

    chunks = model.stream(_prompts(options)[0], **common)
    rate, length = model.codec.sample_rate, model.count_samples(options.duration)
    wav: PipeWriter | None = None
    with standard_output() as stream:
        for chunk in chunks:
            if wav is None:  # the first chunk tells the seed, which stands before the samples
                told = chunk.record(weights=False)  # that would keep the listener waiting
                told = told if options.metadata else told.without_prompt()
                wav = PipeWriter(
                    stream,
                    sample_rate=rate,
                    channels=model.codec.channels,
                    length=length,
                    subtype=options.subtype,
                    tags=told.tags(),
                )
            wav.write(chunk.samples[0])
    return f"{length / rate:.2f} s, seed {chunk.seeds[0]}"


COMMANDS = (
    Command(
        name="generate",
        summary="write the sound of a sentence to a file",
        description="""\
Generate a sound for every prompt and write it to a file, whose tags tell that it was generated, and how.""",
        examples=f"""\
  soundloom generate "a dog barks, then rain" -o dog.wav --duration 5 --seed 7
  soundloom generate "a bell" "a siren" -o sounds/                    (one file a prompt)
  soundloom generate "three knocks" -o sounds/ --num-samples 4
  soundloom generate "a church bell" -o bell.wav --candidates 8       (the best of eight)
  soundloom generate "rain" --continue-from dog.wav -o more.wav --duration 9
  soundloom generate --batch prompts.csv -o sounds/                   (a sound for every line of a table)
  soundloom generate --again bell.wav -o same.wav                     (from its tags, to the last bit)
  soundloom generate --again edit.wav --continue-from bell.wav        (an edit, from what was edited)
  {TO_A_PLAYER}                     (heard while it is made)
""",
        add_arguments=add_generate_arguments,
        run=run_generate,
    ),
)
