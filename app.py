"""`python app.py` in a clone: the browser demo, as `soundloom demo` opens it; its page is demo/page.py."""

from __future__ import annotations

import argparse
import sys

from soundloom.cli.command import run_guarded
from soundloom.cli.demo import add_demo_arguments, run_demo
from soundloom.cli.sleep_while_waiting import sleep_while_waiting


def main() -> int:
    """Run `python app.py`."""
    sleep_while_waiting()
    parser = argparse.ArgumentParser(description="Open soundloom's demo in the browser.")
    add_demo_arguments(parser)
    options = parser.parse_args()
    return run_guarded(lambda: run_demo(options), debug=False)


if __name__ == "__main__":
    sys.exit(main())
