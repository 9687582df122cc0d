"""Memory of a process that makes sound, stage by stage: what each one takes at its peak and leaves behind.

    python benchmarks/memory.py                              # the model that ships, 5 s of sound
    python benchmarks/memory.py --quantization int8 --codec another/codec
    python benchmarks/memory.py --command                    # and `soundloom generate` as a whole

Megabytes (2^20) of resident memory, from Linux' /proc. "Peak" is the largest within the stage, "anonymous"
what belongs to this process alone, "files" pages of libraries and weights that are mapped, which processes
share. CPU time counts from the start of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

PROMPTS = ("a dog barks", "heavy rain on a tin roof")


@dataclass(frozen=True)
class Stage:
    """What a stage took; megabytes, and seconds of CPU time since the process began.

    Attributes:
        name: what was done.
        peak: the most that was resident within it.
        resident, anonymous, files: afterwards.
        cpu: CPU time so far.
    """

    name: str
    peak: float
    resident: float
    anonymous: float
    files: float
    cpu: float


class Watch:
    """Notes down stages, one after the other, in this process."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        """Do one stage's work, and return what it returns."""
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        result = work()
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak, resident, anonymous, files = (
            _megabytes(status, key) for key in ("VmHWM", "VmRSS", "RssAnon", "RssFile")
        )
        self.stages.append(Stage(name, peak, resident, anonymous, files, time.process_time()))
        return result


def _megabytes(status: str, key: str) -> float:
    return int(status.split(f"{key}:")[1].split()[0]) / 1024


def import_torch() -> None:
    """The largest import by itself."""
    import torch  # noqa: F401


def import_pipeline() -> type[Any]:
    """All that a program imports."""
    from soundloom.gen.pipeline import AudioGen

    return AudioGen


_COMMAND = """
import sys
from soundloom.cli import main
status = main(sys.argv[1:])
print(open("/proc/self/status").read(), file=sys.stderr)
sys.exit(status)
"""


def command_peak(options: argparse.Namespace) -> float:
    """Megabytes at the peak of a new process of `soundloom generate`."""
    words = ["generate", PROMPTS[0], "--duration", str(options.seconds), "--seed", "1", "--quiet"]
    words += ["--model", options.model]
    words += ["--quantization", options.quantization] if options.quantization else []
    words += ["--codec", options.codec] if options.codec else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _COMMAND, *words, "-o", os.path.join(folder, "out.wav")]
        done = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    return _megabytes(done.stderr, "VmHWM")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, perhaps write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="foley", help="name or folder, as from_pretrained takes it")
    parser.add_argument("--quantization", choices=["bf16", "int8", "int4", "auto"])
    parser.add_argument("--codec", help="another one than the model names")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each sound")
    parser.add_argument("--command", action="store_true", help="also run soundloom generate in a new process")
    parser.add_argument("--json", type=Path, help="write all values to this file")
    options = parser.parse_args(argv)
    watch = Watch()
    watch.run("Python", lambda: None)
    watch.run("import torch", import_torch)
    kind = watch.run("import soundloom.gen.pipeline", import_pipeline)
    model = watch.run(
        "from_pretrained",
        lambda: kind.from_pretrained(options.model, quantization=options.quantization, codec=options.codec),
    )
    for number, prompt in enumerate(PROMPTS, 1):
        watch.run(
            f"{options.seconds:g} s of sound, {number}",
            partial(model.generate, prompt, duration=options.seconds, seed=number),
        )
    parts = {"language model": model.lm, "text encoder": model.text_encoder, "codec": model.codec}
    weights = {
        name: sum(each.nbytes for each in [*part.parameters(), *part.buffers()]) / 2**20
        for name, part in parts.items()
    }
    # Only now, as this imports parts of the package.
    from machine import align, describe_machine

    machine = describe_machine("cpu")
    rows = [["stage", "peak MB", "resident", "anonymous", "files", "CPU s"]]
    for stage in watch.stages:
        values = (stage.peak, stage.resident, stage.anonymous, stage.files)
        rows.append([stage.name, *(f"{value:.0f}" for value in values), f"{stage.cpu:.2f}"])
    rows.append(["the whole, at its peak", f"{max(stage.peak for stage in watch.stages):.0f}", *[""] * 4])
    content = {"machine": machine, "stages": [asdict(stage) for stage in watch.stages], "weights": weights}
    if options.command:
        content["command_peak"] = command_peak(options)
        rows.append(["soundloom generate, a process of its own", f"{content['command_peak']:.0f}", *[""] * 4])
    print(align(rows, machine))
    print("weights in memory:", ", ".join(f"{name} {size:.1f} MB" for name, size in weights.items()))
    if options.json:
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
