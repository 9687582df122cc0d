"""`soundloom prepare`: check a folder of sounds before a training does, and encode it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .command import Command, CommandError
from .options import NAMES, add_count, add_device, add_force, add_quiet, choose_device, number
from .terminal import progress_bar


def add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="sounds (.wav, .flac, .ogg, .mp3), any depth")
    parser.add_argument("-o", "--output", metavar="OUT", help="folder to write for training")
    parser.add_argument("--codec", metavar="NAME", help=f"encode the sounds: {NAMES}")
    parser.add_argument(
        "--text-encoder",
        metavar="NAME",
        help="encode the captions too, with a T5 (t5-base, …) or the (frozen) encoder of a bundled model",
    )
    parser.add_argument("--shards", action="store_true", help="write WebDataset shards (tar files)")
    parser.add_argument(
        "--shard-size", type=number, default=500.0, metavar="MB", help="of one shard (default: 500)"
    )
    parser.add_argument(
        "--seconds",
        type=number,
        default=30.0,
        metavar="SECONDS",
        help="longest piece that is encoded; longer recordings are cut (default: 30)",
    )
    parser.add_argument(
        "--tail-seconds",
        type=number,
        default=0.0,
        metavar="SECONDS",
        help="silence that is encoded after each sound, so that a model learns where it ends (default: 0)",
    )
    parser.add_argument(
        "--min-seconds",
        type=number,
        default=0.1,
        metavar="SECONDS",
        help="shorter is too short (default: 0.1)",
    )
    parser.add_argument(
        "--silence-db",
        type=number,
        default=-60.0,
        metavar="DB",
        help="a sound is silent when its peak is below this, in dB of full scale (default: -60)",
    )
    parser.add_argument(
        "--no-captions", action="store_true", help="captions are not needed (codecs, unconditional training)"
    )
    parser.add_argument(
        "--normalize-captions",
        action="store_true",
        help="reduce written captions to key words, as the AudioGen paper does",
    )
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON")
    add_count(parser, "--jobs", os.cpu_count() or 1, "files read at the same time")
    add_count(parser, "--batch-size", 16, "pieces encoded at once")
    add_device(parser, "where to encode: ")
    add_force(parser, "replace the report and what was written to OUT earlier")
    add_quiet(parser)


def run_prepare(options: argparse.Namespace) -> int:
    """Check, report and write; the exit status is that of the command's description."""
    if (Path(options.folder) / "audio.npy").is_file():
        return encode_rendered_folder(options)
    _check(options)
    from ..core.files import check_file_destination
    from ..recipes.data.prepare_folder import check_folder, check_output, load_encoders, prepare_folder

    if options.report is not None:
        try:
            check_file_destination(options.report, force=options.force)
        except FileExistsError:
            raise CommandError(
                f"{options.report} exists: give --force to replace it, or another name with --report"
            ) from None
    if options.output is not None:
        check_output(options.folder, options.output, force=options.force)
    device = choose_device(options.device) if options.codec else "cpu"
    # Before the check, which may take long.
    loaded = load_encoders(options.codec, options.text_encoder, device) if options.codec else None
    with progress_bar(enabled=not options.quiet, desc="reading", unit="files") as progress:
        report = check_folder(
            options.folder,
            captions=not options.no_captions,
            min_seconds=options.min_seconds,
            silence_db=options.silence_db,
            jobs=options.jobs,
            progress=progress,
        )
    if not options.quiet:
        print("\n".join(report.lines()))
    if options.report is not None:
        report.write(Path(options.report))
    if options.output is not None:
        with progress_bar(enabled=not options.quiet, desc="writing", unit="files") as progress:
            prepare_folder(
                report,
                options.output,
                codec=options.codec,
                text_encoder=options.text_encoder,
                shards=options.shards,
                shard_bytes=round(options.shard_size * 1e6),
                normalize=options.normalize_captions,
                force=options.force,
                seconds=options.seconds,
                tail_seconds=options.tail_seconds,
                batch_size=options.batch_size,
                device=device,
                loaded=loaded,
                progress=progress,
            )
        if not options.quiet:
            print(f"wrote {options.output}")
    if not report.usable:
        return 2
    return 1 if report.problems else 0


def encode_rendered_folder(options: argparse.Namespace) -> int:
    """Write the codes of a folder that `soundloom render` made beside its sounds."""
    if not options.codec or options.output is not None:
        raise CommandError(
            f"{options.folder} was rendered, so there is nothing to check: give --codec, without -o, and its "
            "codes are written into it"
        )
    from ..codecs.registry import load_codec
    from ..recipes.data.encoding import encode_rendered

    device = choose_device(options.device)
    codec = load_codec(options.codec)
    codec.to(device)  # type: ignore[attr-defined]
    with progress_bar(enabled=not options.quiet, desc="encoding", unit="clips") as progress:
        path = encode_rendered(
            options.folder,
            codec,
            name=options.codec,
            batch_size=options.batch_size,
            device=device,
            force=options.force,
            progress=progress,
        )
    if not options.quiet:
        print(f"wrote {path}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    for name in ("codec", "text_encoder", "shards"):
        if getattr(options, name) and options.output is None:
            raise CommandError(f"--{name.replace('_', '-')} needs a folder to write to: give one with -o")
    if options.output is not None and not (options.codec or options.shards):
        raise CommandError("-o is given, but not what to write: add --codec NAME, --shards, or both")
    if options.tail_seconds and not options.codec:
        raise CommandError("--tail-seconds needs --codec: the silence is encoded along with the sounds")
    if options.text_encoder and not options.codec:
        raise CommandError("--text-encoder needs --codec: captions are encoded along with the sounds")
    if not 0 < options.shard_size < float("inf"):
        raise CommandError(f"--shard-size is {options.shard_size}: it must be a number of MB above 0")


COMMANDS = (
    Command(
        name="prepare",
        summary="check a folder of sounds before training on it; encode it",
        description="""\
Decode every sound in a folder and list what is unreadable, silent, too short, there twice or without a
caption (metadata.csv or metadata.jsonl with file_name and text, or a .json or .txt beside each sound).
With -o, write the others for training: encoded, as shards, or both. A folder of `soundloom render` gets its
codes beside its sounds (--codec, without -o).
Exit status: 0 all is well, 1 some sounds were left out, 2 nothing could be done.""",
        examples="""\
  soundloom prepare mysounds/                              (list what is wrong)
  soundloom prepare mysounds/ --report report.json         (the whole list, for a program)
  soundloom prepare mysounds/ -o encoded/ --codec seanet-16khz
  soundloom prepare mysounds/ -o shards/ --shards          (tar files of the sounds as they are)
  soundloom prepare mysounds/ -o shards/ --shards --codec seanet-16khz --text-encoder t5-base
""",
        add_arguments=add_prepare_arguments,
        run=run_prepare,
    ),
)
