"""How the threads of a command wait for one another."""

from __future__ import annotations

import os
import sys

# Whoever sets one of these has decided already. OMP_WAIT_POLICY is OpenMP's own, the others GCC's and LLVM's.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def sleep_while_waiting() -> None:
    """Let torch's threads sleep instead of spin while they wait for one another; before torch is imported.

    Spinning is a few microseconds faster on an idle machine. On a busy one the thread that all others wait
    for may have no core while they use theirs up. The environment is changed, so processes that are started
    inherit it; that is for commands to do, never for the library. Figures are in docs/speed.md.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
