"""`soundloom generate --again`: a generated sound once more, from what its tags say."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.slug import slug
from ..gen.settings import OPTIONS
from .command import CommandError
from .generation_options import read_sound
from .terminal import progress_bar, say

if TYPE_CHECKING:
    from ..gen.origin import Record
    from ..gen.pipeline import AudioGen


def run_again(options: argparse.Namespace) -> None:
    """Read the tags of a file, make its sound again, compare it, and write it with the same tags."""
    from ..core.audio import SUBTYPES, check_destination
    from ..core.files import check_source
    from ..core.sound_description import stored_samples
    from ..core.sound_tags import printable
    from ..gen.again import check_record, check_sound, make_again
    from ..gen.origin import Record

    _refuse_others(options)
    path = check_source(options.again, "sound file")
    tags = _tags(path)
    record = told = check_record(Record.read(tags, str(path)), str(path))
    check_sound(record, str(path), given=options.continue_from is not None)
    if not record.samples:  # it was streamed: its own samples are what to compare with
        record = replace(record, samples=stored_samples(path) or "")
    target = _target(options.output, path, record.prompt or "")
    suffix, kept = target.suffix.lower(), (record.samples.split() or ["", ""])[1]
    subtype = options.subtype or (kept if kept in SUBTYPES.get(suffix, ()) else None)
    check_destination(target, force=options.force, subtype=subtype)
    source = None if options.continue_from is None else read_sound(options.continue_from)
    model = _model(options, record, str(path))
    with progress_bar(enabled=not options.quiet, desc="generating", unit="frames") as progress:
        audio = make_again(record, model, name=str(path), continue_from=source, progress=progress)
    audio.save(target, force=options.force, subtype=subtype, tags=told.tags() | tags)
    if not options.quiet:
        how = "the same samples" if record.samples else "nothing to compare it with in the file"
        say(f"{printable(str(target))}  {audio.duration:.2f} s, seed {record.seed}, {how}")


def _refuse_others(options: argparse.Namespace) -> None:
    """Raise CommandError if something is asked for that the file decides."""
    flags = {name: getattr(options, name) != option.default for name, option in OPTIONS.items()}
    others = ("guidance_end", "loudness", "sample_rate", "watermark")
    flags |= {name: getattr(options, name) is not None for name in others}
    flags |= {"stream": options.stream, "no_metadata": not options.metadata}
    if given := [f"--{name.replace('_', '-')}" for name, used in flags.items() if used]:
        raise CommandError(f"--again takes everything from the file: leave out {', '.join(given)}")
    if options.output == "-":
        raise CommandError("--again writes a file: give its name with -o")


def _tags(path: Path) -> dict[str, str]:
    from ..codecs.compression import describe_file
    from ..codecs.container import SUFFIX
    from ..core.sound_tags import read_tags

    return describe_file(path).tags if path.suffix.lower() == SUFFIX else read_tags(path)


def _target(output: str | None, path: Path, prompt: str) -> Path:
    """Where the sound goes: a file, a folder, or a name after the prompt in the current folder."""
    from ..core.audio import SUBTYPES

    suffix = path.suffix if path.suffix.lower() in SUBTYPES else ".wav"
    if output is None:
        return Path(f"{slug(prompt)}{suffix}")
    return Path(output, f"{path.stem}{suffix}") if Path(output).is_dir() else Path(output)


def _model(options: argparse.Namespace, record: Record, file: str) -> AudioGen:
    """The model that --model names, or the one that the file names if it is here: a file fetches nothing.

    Its weights are those of the file's tags: quantized, or of another type, unless --quantization is given.
    """
    from ..core.hub import CODEC_NAME
    from ..gen.pipeline import AudioGen
    from .lora_option import load_adapters
    from .options import choose_device

    name = record.model if options.model is None else options.model
    if options.model is None and not CODEC_NAME.fullmatch(name):
        raise CommandError(f"{file} does not name its model; give it: --model NAME or FOLDER")
    try:
        model = AudioGen.from_pretrained(
            name,
            text_encoder=options.text_encoder,
            device=choose_device(options.device),
            local_files_only=options.model is None,
            **_weights(options.quantization, record),
        )
    except (ValueError, OSError) as error:
        if options.model is not None:
            raise
        raise CommandError(
            f"{file} was made by the model {name!r}, which cannot be loaded here by its name; give it: "
            f"--model NAME or FOLDER ({error})"
        ) from error
    load_adapters(model, options)
    return model


def _weights(quantization: str | None, record: Record) -> dict[str, Any]:
    """How a language model's weights are loaded, so that it is the one of a record."""
    import torch

    from ..gen.model.schemes import SCHEMES

    kept = record.runtime.get("dtype")
    if quantization is not None or kept in SCHEMES:
        return {"quantization": quantization or kept}
    return {"dtype": getattr(torch, kept)} if kept in ("bfloat16", "float16") else {}
