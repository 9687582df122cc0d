"""What the CPU is and can do."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def processor_name() -> str:
    """Name of the processor, where the system tells it; else of its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def has_vnni() -> bool:
    """Whether this CPU adds products of 8-bit integers in 32 bits."""
    able = torch.cpu.get_capabilities()
    return able["architecture"] != "x86_64" or able["avx512_vnni"] or able["avx_vnni"]
