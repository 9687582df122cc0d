"""`soundloom generate`: sentences become sounds."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.slug import slug
from ..gen.settings import OPTIONS, GenerationSettings
from .command import Command, CommandError
from .options import add_force, add_model, add_quiet, add_setting, load_model, number, prompt_at
from .terminal import progress_bar, standard_output

if TYPE_CHECKING:
    from ..core.audio import Audio
    from ..gen.pipeline import AudioGen

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
    parser.add_argument("--continue-from", metavar="FILE", help="a recording to go on from")
    parser.add_argument(
        "--stream", action="store_true", help="with -o -: send the sound on while it is being made"
    )
    add_model(parser)
    add_quiet(parser)


def run_generate(options: argparse.Namespace) -> None:
    """Check where the sounds go, make them, write them, and say what was made."""
    _check_prompts(options)
    files = _destinations(options)
    if options.loudness is not None:
        from ..core.loudness import check_loudness

        check_loudness(options.loudness)
    chosen = {name: getattr(options, name) for name in OPTIONS}
    # Checked before the model is loaded; whether guidance moves from the model's own value shows after that.
    settings = GenerationSettings(
        **chosen | ({} if options.guidance_end is None else {"guidance_scale": None})
    )
    source = None if options.continue_from is None else _read(options.continue_from)
    model = load_model(options)
    if options.guidance_end is not None:
        start = model.guidance_scale if options.guidance_scale is None else options.guidance_scale
        settings = replace(settings, guidance_scale=(start, options.guidance_end))
    with progress_bar(enabled=not options.quiet, desc="generating", unit="frames") as progress:
        common: dict[str, Any] = {"settings": settings, "continue_from": source, "progress": progress}
        common["prompts_at"] = options.at
        if options.stream:
            summary = _stream(model, options, common)
        else:
            if settings.candidates > 1:
                from ..evaluation.scorer import ClassifierScorer

                common["rerank"] = ClassifierScorer()
            audio = model.generate(_prompts(options), **common)
            if options.loudness is not None:
                audio = audio.at_loudness(options.loudness)
            summary = [f"{audio.duration:.2f} s, seed {seed}" for seed in audio.seeds]
    if not files:
        if not options.stream:
            _pipe(audio)
        if not options.quiet:
            print(f"(standard output)  {summary[0]}", file=sys.stderr)
    for index, file in enumerate(files):
        audio.save(file, index=index, force=options.force)
        if not options.quiet:
            print(f"{file}  {summary[index]}")


def _check_prompts(options: argparse.Namespace) -> None:
    """Raise CommandError unless there are prompts, or one sequence of them."""
    if options.at and options.prompts:
        raise CommandError(
            f"--at stands in place of {options.prompts[0]!r}: give it as --at 0:{options.prompts[0]!r}"
        )
    if not options.at and not options.prompts:
        raise CommandError('no PROMPT is given: say what to hear, as in  soundloom generate "a dog barks"')


def _prompts(options: argparse.Namespace) -> list[str] | str:
    """What `AudioGen.generate` takes as prompts beside `prompts_at`."""
    return "" if options.at else options.prompts


def _names(options: argparse.Namespace) -> list[str]:
    """What files in a folder are named after, one for each prompt."""
    return [" then ".join(prompt for _, prompt in options.at)] if options.at else options.prompts


def _destinations(options: argparse.Namespace) -> list[Path]:
    """The file of every sound; none for the standard output.

    Raises:
        CommandError: the sounds cannot be written there.
    """
    if options.output != "-":
        if options.stream:
            raise CommandError(
                "--stream sends sound on while it is being made, which needs -o - and a reader: "
                f"{TO_A_PLAYER}"
            )
        return plan_outputs(options.output, _names(options), options.num_samples, force=options.force)
    if len(_names(options)) * options.num_samples > 1:
        raise CommandError(
            "-o - takes one sound: give one prompt and --num-samples 1, or -o a folder"
            f"{_quotes_hint(options.prompts)}"
        )
    if options.stream and options.loudness is not None:
        raise CommandError("the loudness of a sound is known at its end: leave out --stream, or --loudness")
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


def _read(path: str) -> Audio:
    from ..core.audio import Audio, read_audio

    samples, sample_rate = read_audio(path)
    return Audio(samples=samples[None], sample_rate=sample_rate)


def _pipe(audio: Audio) -> None:
    """Write a sound to the standard output, with the header and samples that a file would have."""
    with tempfile.TemporaryDirectory() as folder, standard_output() as stream:
        stream.write(audio.save(Path(folder, "sound.wav")).read_bytes())


def _stream(model: AudioGen, options: argparse.Namespace, common: dict[str, Any]) -> list[str]:
    """Write a sound to the standard output while it is being made; returns what to say about it.

    Args:
        model: what generates.
        options: of the command.
        common: further arguments of `AudioGen.stream`.
    """
    from ..core.audio_blocks import PipeWriter

    chunks = model.stream(_prompts(options), **common)
    rate, length = model.codec.sample_rate, model.count_samples(options.duration)
    with standard_output() as stream:
        wav = PipeWriter(stream, sample_rate=rate, channels=model.codec.channels, length=length)
        for chunk in chunks:
            wav.write(chunk.samples[0])
    return [f"{length / rate:.2f} s, seed {chunk.seeds[0]}"]


COMMANDS = (
    Command(
        name="generate",
        summary="write the sound of a sentence to a file",
        description="Generate a sound for every prompt and write it to a file.",
        examples=f"""\
  soundloom generate "a dog barks, then rain" -o dog.wav --duration 5 --seed 7
  soundloom generate "a bell" "a siren" -o sounds/                    (one file a prompt)
  soundloom generate "three knocks" -o sounds/ --num-samples 4
  soundloom generate "a church bell" -o bell.wav --candidates 8       (the best of eight)
  soundloom generate "rain" --continue-from dog.wav -o more.wav --duration 9
  soundloom generate --at 0:rain --at 2:"a dog barks" --at 4:rain -o walk.wav --duration 6
  soundloom generate "heavy rain" --loop -o rain.wav                  (its end runs into its beginning)
  {TO_A_PLAYER}                     (heard while it is made)
""",
        add_arguments=add_generate_arguments,
        run=run_generate,
    ),
)
