"""`soundloom demo`: the page in demo/page.py."""

from __future__ import annotations

import argparse
import os

from ..core.errors import ArgumentError
from .command import Command
from .options import add_model, load_model


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `soundloom demo` (also those of `python app.py`) to `parser`."""
    add_model(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 lets other machines in (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=port,
        metavar="N",
        help="port to listen on (default: 7860, or the next one that is free)",
    )
    parser.add_argument("--share", action="store_true", help="also open a public link (needs the internet)")
    parser.add_argument(
        "--auth",
        metavar="VARIABLE",
        help="environment variable that holds NAME:PASSWORD, for which the page then asks",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that the page may be addressed by, beside localhost and IP addresses",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")


def run_demo(options: argparse.Namespace) -> None:
    """Load the model, start the demo and wait until it is stopped; see `add_demo_arguments`."""
    from ..demo.page import build_demo, is_private, serve

    auth = read_login(options.auth) if options.auth else None
    private = is_private(options.host) and not options.share
    print(f"loading {options.model!r} …", flush=True)
    model = load_model(options)
    serve(
        build_demo(model, name=options.model, choice=private),
        host=options.host,
        port=options.port,
        share=options.share,
        open_browser=not options.no_browser,
        auth=auth,
        hosts=options.allowed_host,
    )


def read_login(variable: str) -> tuple[str, str]:
    """Name and password that an environment variable holds.

    Raises:
        ArgumentError: it is not set, or holds something else.
    """
    name, colon, password = os.environ.get(variable, "").partition(":")
    if not (name and colon and password):
        raise ArgumentError(
            f"the environment variable {variable} holds no NAME:PASSWORD; set it: export {variable}=me:secret"
        )
    return name, password


def port(text: str) -> int:
    """The number of a port."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 1 to 65535")
    return int(text)


COMMANDS = (
    Command(
        name="demo",
        summary="open the demo in the browser",
        description="Start the browser demo on this machine and open it. Ctrl+C stops it.",
        examples="""\
  soundloom demo
  soundloom demo --model mymodel/                                  (a model that you trained)
  soundloom demo --host 0.0.0.0 --port 8000 --no-browser           (for other machines in the network)
  LOGIN=me:secret soundloom demo --host 0.0.0.0 --auth LOGIN       (which are asked for a password)
""",
        add_arguments=add_demo_arguments,
        run=run_demo,
    ),
)
