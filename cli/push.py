"""`soundloom push`: a model goes to the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .command import Command
from .options import add_quiet


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="folder of a model, a LoRA file (.safetensors), or a bundled name"
    )
    parser.add_argument("repository", metavar="OWNER/NAME", help="where to; made if there is none")
    parser.add_argument(
        "--license",
        metavar="ID",
        help="of the weights, in the hub's words: apache-2.0, cc-by-4.0, … (default: as the model says)",
    )
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FILE",
        help="of soundloom evaluate -o, whose values go into the card; may be given several times",
    )
    parser.add_argument("--private", action="store_true", help="only you see a repository that is made")
    parser.add_argument("--create-pr", action="store_true", help="propose it as a pull request")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: main)")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")
    parser.add_argument(
        "--dry-run", metavar="FOLDER", help="upload nothing; write what would be uploaded to a new folder"
    )
    add_quiet(parser, "do not print the address")


def run_push(options: argparse.Namespace) -> None:
    """Upload the model, or write the folder, and say where it is."""
    from ..core.hub_card import read_report
    from ..gen.push_model import push_model, stage_model

    reports = [read_report(Path(file)) for file in options.report]
    common: dict[str, Any] = {"license": options.license, "reports": reports}
    if options.dry_run is not None:
        where = str(stage_model(options.model, options.repository, options.dry_run, **common))
    else:
        where = push_model(
            options.model,
            options.repository,
            private=options.private or None,
            create_pr=options.create_pr,
            revision=options.revision,
            commit_message=options.message,
            **common,
        )
    if not options.quiet:
        print(where)


COMMANDS = (
    Command(
        name="push",
        summary="upload a model to the Hugging Face hub",
        description="""\
Upload a model's folder, or a LoRA adapter, to the Hugging Face hub: its configuration, its .safetensors and
a README.md with what the hub shows and searches: licence, task, tags, measured values. Log in first with
hf auth login.""",
        examples="""\
  soundloom push mymodel me/mymodel --license cc-by-4.0
  soundloom push mymodel me/mymodel --dry-run look/            (what would be uploaded, and its card)
  soundloom push mymodel me/mymodel --report report.json       (of soundloom evaluate --model mymodel -o)
  soundloom push bell.safetensors me/bell-lora
  soundloom generate "a bell" --lora me/bell-lora:0.8
""",
        add_arguments=add_push_arguments,
        run=run_push,
    ),
)
