"""What a benchmark ran on, and its table: shared by the scripts beside it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

from soundloom.core.processor import processor_name as processor


def describe_machine(device: str) -> dict[str, Any]:
    """Processor, cores, thread count, load and versions, as plain values for JSON."""
    import torch

    from soundloom import __version__

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": processor(),
        "cores": allowed,
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "torch_threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "soundloom": __version__,
    }


def align(rows: Sequence[Sequence[str]], machine: dict[str, Any]) -> str:
    """Rows as aligned text, the first one as heading, and a line about the machine."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines.append("")
    lines.append(
        f"{machine['processor']}, {machine['cores']} cores, {machine['torch_threads']} threads, load"
        f" {machine['load_average']}, device {machine['device']}, torch {machine['torch']},"
        f" Python {machine['python']}"
    )
    return "\n".join(lines)
