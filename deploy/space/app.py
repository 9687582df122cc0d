"""soundloom's browser demo as a Space: the package lies beside this file, the model in it."""

from __future__ import annotations

import os
import sys

from soundloom.cli import main

# Names under which the Space is reached; the demo refuses all others.
HOSTS = [name for name in os.environ.get("SPACE_HOST", "").split(",") if name]
WORDS = ["demo", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]

if __name__ == "__main__":
    sys.exit(main([*WORDS, *(word for name in HOSTS for word in ("--allowed-host", name))]))
