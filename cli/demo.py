"""`soundloom demo`: the page in app.py."""

from __future__ import annotations

import argparse

from .command import Command
from .options import add_device, add_model, choose_device, whole


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `soundloom demo` (also those of `python app.py`) to `parser`."""
    add_model(parser)
    add_device(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 lets other machines in (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=whole,
        metavar="N",
        help="port to listen on (default: 7860, or the next one that is free)",
    )
    parser.add_argument("--share", action="store_true", help="also open a public link (needs the internet)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")


def run_demo(options: argparse.Namespace) -> None:
    """Load the model, start the demo and wait until it is stopped; see `add_demo_arguments`."""
    from ..app import build_demo, serve
    from ..gen.pipeline import AudioGen

    print(f"loading {options.model!r} …", flush=True)
    model = AudioGen.from_pretrained(options.model, device=choose_device(options.device))
    serve(
        build_demo(model, name=options.model),
        host=options.host,
        port=options.port,
        share=options.share,
        open_browser=not options.no_browser,
    )


COMMANDS = (
    Command(
        name="demo",
        summary="open the demo in the browser",
        description="Start the browser demo on this machine and open it. Ctrl+C stops it.",
        examples="""\
  soundloom demo
  soundloom demo --model mymodel/                                  (a model that you trained)
  soundloom demo --host 0.0.0.0 --port 8000 --no-browser           (for other machines in the network)
""",
        add_arguments=add_demo_arguments,
        run=run_demo,
    ),
)
