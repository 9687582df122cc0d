"""Run small networks on one CPU thread, where more would only wait for each other.

A small network's operators take microseconds each. Spread over two threads on two cores they are at best a
little faster, for the threads wait for each other at every one; and as soon as another process wants one of
the cores, each such wait may last until the system gives it back, and everything is several times slower. One
thread loses next to nothing while any core is free. docs/speed.md has the figures.

What decides is the size of the work, never how busy the machine is: sums are rounded differently by another
number of threads, and the same seed shall give the same sound.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Parameters, or parameters times rows where rows share a product, below which one thread is used.
SMALL_NETWORK = 30_000_000
SMALL_STEP = 100_000_000

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_lock = threading.Lock()
_limited: set[int] = set()  # Python threads that are inside of `one_thread`


def is_small(network: nn.Module, rows: int | None = None) -> bool:
    """Whether a network's work is too little to be spread: on a CPU, and below the sizes above.

    Args:
        network: what runs.
        rows: of a language model's step; None for codecs, whose time grows with the sound.
    """
    parameters = list(network.parameters())
    if any(parameter.device.type != "cpu" for parameter in parameters):
        return False
    size = sum(parameter.numel() for parameter in parameters)
    return size < SMALL_NETWORK if rows is None else size * rows < SMALL_STEP


def _torchs_own() -> int:
    """The number of threads in a process in which nobody has chosen; 0 where somebody already has."""
    count, cores = torch.get_num_threads(), os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    # One a core, and where two share an arithmetic unit one for both; macOS counts its fast cores alone.
    usual = {cores, allowed, cores // 2, allowed // 2}
    return count if count in usual or sys.platform == "darwin" else 0


_USUAL = _torchs_own()


@contextmanager
def one_thread(when: bool = True) -> Iterator[None]:
    """Run torch's CPU operators of this Python thread on one thread, then as before, whatever happens.

    Nothing is changed unless `when` is true, nor where a number of threads was chosen: by OMP_NUM_THREADS or
    MKL_NUM_THREADS, or by `torch.set_num_threads` (seen by a number other than the usual one).
    """
    me, before = threading.get_ident(), torch.get_num_threads()
    with _lock:
        # A Python thread that first uses torch while another is in here begins with that one's number.
        inherited = before == 1 and bool(_limited) and me not in _limited
        free = before == _USUAL or inherited
        limit = when and free and _USUAL > 1 and not any(name in os.environ for name in _VARIABLES)
        if limit:
            _limited.add(me)
    if not limit:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _limited.discard(me)
        torch.set_num_threads(_USUAL)
