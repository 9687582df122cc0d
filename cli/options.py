"""Options that several commands share, and the kinds of value that options take."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.errors import ArgumentError
from ..gen.settings import OPTIONS
from .command import CommandError
from .lora_option import add_lora, load_adapters

if TYPE_CHECKING:
    from ..gen.pipeline import AudioGen

NAMES = "bundled name, folder or Hugging Face id"
# Of gen/model/schemes.py, which would import torch.
SCHEMES = ("bf16", "int8", "int4")


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; give a whole number, 1 or more")
    return int(text)


def whole(text: str) -> int:
    """A whole number; its limits are checked where it is used."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def number(text: str) -> float:
    """A number; its limits are checked where it is used."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, such as 2 or 0.5") from None


def span(text: str) -> tuple[float | None, float | None]:
    """A part of a sound, START:END in seconds; what is left out is the beginning or the end."""
    start, colon, end = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is no part of a sound, such as 1.2:2.0 (seconds)")
    return number(start) if start else None, number(end) if end else None


def prompt_at(text: str) -> tuple[float, str]:
    """A prompt and when it begins, SECONDS:PROMPT."""
    seconds, colon, prompt = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} does not say when it begins; give it as in 2:{text!r}")
    return number(seconds), prompt


def add_count(parser: argparse.ArgumentParser, name: str, default: int | None, help: str) -> None:
    """An option that takes a whole number of 1 or more; the default, unless None, is added to its help."""
    said = "" if default is None else f" (default: {default})"
    parser.add_argument(name, type=count, default=default, metavar="N", help=help + said)


def add_device(parser: argparse.ArgumentParser, help: str = "") -> None:
    """--device, see `choose_device`."""
    choices = "cpu, cuda, cuda:1, … (default: auto: cuda if there is one, else cpu)"
    parser.add_argument("--device", default="auto", help=f"{help}{choices}")


def add_duration(parser: argparse.ArgumentParser, help: str) -> None:
    """--duration, of sounds that a model makes."""
    add_setting(parser, "duration", help)


def add_force(parser: argparse.ArgumentParser, help: str = "overwrite existing files") -> None:
    """-f, --force."""
    parser.add_argument("-f", "--force", action="store_true", help=help)


def add_classifier(parser: argparse.ArgumentParser, help: str) -> None:
    """--classifier, and its old name --judge."""
    parser.add_argument(
        "--classifier",
        default="foley-classifier",
        metavar="NAME",
        help=f"{help}: bundled name or folder (default: foley-classifier)",
    )
    parser.add_argument("--judge", dest="classifier", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def add_model(parser: argparse.ArgumentParser) -> None:
    """--model, --text-encoder, --device, --quantization, --lora: what `load_model` asks for."""
    parser.add_argument("--model", default="foley", metavar="NAME", help=f"{NAMES} (default: foley)")
    add_text_encoder(parser)
    add_device(parser)
    add_quantization(parser)
    add_lora(parser)


def add_quantization(parser: argparse.ArgumentParser) -> None:
    """--quantization, beside --model."""
    parser.add_argument(
        "--quantization",
        choices=[*SCHEMES, "auto"],
        help="keep the language model's weights in so many bits, which is less memory and mostly faster; "
        "auto: the fastest of float32, bf16 and int8, measured once on this machine (default: as the model "
        "is stored)",
    )


def add_setting(parser: argparse.ArgumentParser, name: str, help: str = "") -> None:
    """The option of one of the generation settings, as gen/settings.py describes it, or with other help."""
    option, flag = OPTIONS[name], _flag(name)
    help = help or option.help
    if option.kind is bool:
        parser.add_argument(flag, action="store_true", help=help)
        return
    kinds: dict[type, Callable[[str], Any]] = {float: number, int: count if option.low == 1 else whole}
    parser.add_argument(
        flag,
        type=kinds.get(option.kind, str),
        default=option.default,
        metavar=option.metavar,
        help=f"{help} (default: {option.default_help or format(option.default, 'g')})",
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run_with(options: argparse.Namespace, run: Callable[[argparse.Namespace], int | None]) -> int | None:
    """Run a command; errors that name a generation setting by its field name the command's option instead."""
    try:
        return run(options)
    except ArgumentError as error:
        from ..gen.prompt_table import TableError

        if isinstance(error, TableError):  # it speaks of columns
            raise
        # A name of one word is also a word of sentences: it is the setting where the message begins with it.
        own = [re.escape(name) for name in OPTIONS if hasattr(options, name)]
        names = [name if "_" in name else f"^{name}(?= is )" for name in own]
        if not names:
            raise
        said = re.sub(rf"(?<![\w-])({'|'.join(names)})(?!\w)", lambda found: _flag(found[1]), str(error))
        raise CommandError(said) from error


def add_text_encoder(parser: argparse.ArgumentParser) -> None:
    """--text-encoder, beside --model."""
    parser.add_argument(
        "--text-encoder",
        metavar="NAME",
        help="where the model's text encoder is: a folder with T5-large for example, or foley's (default: as "
        "the model says)",
    )


def add_split(parser: argparse.ArgumentParser) -> None:
    """--split: which sounds of a folder are measured, as its table says."""
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="take only sounds whose row in metadata.csv has this in its column split, test for example",
    )


def add_part(parser: argparse.ArgumentParser) -> None:
    """--limit and --seconds: how much of a folder of sounds is measured."""
    add_count(parser, "--limit", None, "take only N sounds, spread evenly over the folder (default: all)")
    parser.add_argument(
        "--seconds",
        type=number,
        default=30.0,
        metavar="SECONDS",
        help="take only the beginning of each sound (default: 30)",
    )


def add_metadata(parser: argparse.ArgumentParser, help: str) -> None:
    """--no-metadata."""
    parser.add_argument("--no-metadata", dest="metadata", action="store_false", help=help)


def add_subtype(parser: argparse.ArgumentParser, default: str = "PCM_16") -> None:
    """--subtype, of sounds that are written; `default` says which it is without."""
    parser.add_argument(
        "--subtype",
        type=str.upper,
        metavar="NAME",
        help="encoding of the samples, as libsndfile calls it: PCM_16, PCM_24, PCM_32 or FLOAT in .wav, "
        f"PCM_16 or PCM_24 in .flac (default: {default})",
    )


def add_quiet(parser: argparse.ArgumentParser, help: str = "no progress bar, no summary") -> None:
    """-q, --quiet."""
    parser.add_argument("-q", "--quiet", action="store_true", help=help)


def choose_device(name: str) -> str:
    """Return a torch device name; "auto" means the first CUDA device where there is one, else the CPU.

    Raises:
        CommandError: `name` is no device, or one that this machine or this build of torch lacks.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError:
        raise CommandError(f"there is no device {name!r}: use cpu, cuda, cuda:1 or auto") from None
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise CommandError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}): use cpu or auto"
        ) from None
    return name


def load_model(options: argparse.Namespace) -> AudioGen:
    """The AudioGen that --model and the options beside it name, with the adapters of --lora."""
    from ..gen.pipeline import AudioGen

    device = choose_device(options.device)
    model = AudioGen.from_pretrained(
        options.model,
        text_encoder=options.text_encoder,
        device=device,
        quantization=options.quantization,
    )
    load_adapters(model, options)
    return model
