"""`soundloom serve`: the HTTP interface in server/."""

from __future__ import annotations

import argparse
import sys

from .command import Command
from .demo import port
from .options import add_count, add_model, load_model, number, whole


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 lets other machines in (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=port, default=8000, metavar="N", help="port (default: 8000)")
    add_count(parser, "--max-batch", 8, "sounds that are made at once")
    parser.add_argument(
        "--max-queue",
        type=whole,
        default=64,
        metavar="N",
        help="sounds that may wait beside those (default: 64)",
    )
    parser.add_argument(
        "--max-seconds",
        type=number,
        default=30.0,
        metavar="SECONDS",
        help="longest sound that may be asked for (default: 30)",
    )
    parser.add_argument(
        "--auth",
        metavar="VARIABLE",
        help="environment variable that holds the API key, or several with commas between (default: no key)",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that the server may be addressed by, beside localhost and IP addresses",
    )
    parser.add_argument("--no-demo", action="store_true", help="only the HTTP interface, no page")
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="offer the demo's functions as MCP tools (pip install 'gradio[mcp]')",
    )


def run_serve(options: argparse.Namespace) -> None:
    from ..gen.engine.engine import Engine
    from ..server.launch import ServerSettings, read_keys, serve

    keys = read_keys(options.auth) if options.auth else []
    print(f"loading {options.model!r} …", flush=True)
    settings = ServerSettings(
        host=options.host,
        port=options.port,
        name=options.model,
        keys=keys,
        hosts=options.allowed_host,
        demo=not options.no_demo,
        mcp=options.mcp,
    )

    def started(address: str) -> None:
        print(f"soundloom is listening on {address}  (stop it with Ctrl+C)")
        print(f"the interface is described at {address}/docs", flush=True)
        if not keys and options.host not in ("127.0.0.1", "::1", "localhost"):
            print(
                "soundloom: warning: other machines can use this server without a key; see --auth",
                file=sys.stderr,
            )

    engine = Engine(
        load_model(options),
        max_batch=options.max_batch,
        max_queue=options.max_queue,
        max_seconds=options.max_seconds,
        max_total_seconds=(options.max_batch + options.max_queue) * options.max_seconds,
    )
    with engine:
        serve(engine, settings, started)


COMMANDS = (
    Command(
        name="serve",
        summary="serve a model over HTTP, to programs and browsers",
        description="Serve a model over HTTP: POST /v1/audio/generations, with the demo beside it. Sounds of "
        "several clients are made together. Ctrl+C or SIGTERM stops it when the open requests are done.",
        examples="""\
  soundloom serve
  curl http://127.0.0.1:8000/v1/audio/generations -H 'Content-Type: application/json' \\
    -d '{"prompt": "a dog barks", "duration": 5, "seed": 7}' -o dog.wav
  SOUNDLOOM_KEY=secret soundloom serve --host 0.0.0.0 --auth SOUNDLOOM_KEY --no-demo
""",
        add_arguments=add_serve_arguments,
        run=run_serve,
    ),
)
