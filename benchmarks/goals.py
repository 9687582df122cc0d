"""Every goal of speed and memory in one table, with its peers, measured in one run.

    python benchmarks/goals.py --json benchmarks/results/goals.json        # 15 minutes, on an idle machine
    python benchmarks/goals.py --only foley memory

Runs the scripts beside it, one after the other, each in a process of its own (their tops say how they
measure), and puts what they wrote beside the goals. A peer is Hugging Face's implementation of the same sizes
in the same run; Music2Latent2's sizes are compared with real time. "busy" makes its neighbour itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import align, describe_machine

from soundloom.core.atomic import atomic_write
from soundloom.core.files import check_file_destination

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure and what it should be.

    Attributes:
        figure: what was measured.
        value: of it, in `unit`.
        peer: what a ratio is to, with its own figure; empty where the value stands for itself.
        goal: least value, or with `at_most` the largest.
    """

    figure: str
    value: float
    goal: float
    unit: str = "x"
    peer: str = ""
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def language_model(values: dict[str, Any]) -> list[Goal]:
    """Of quantization.py: steps beside Hugging Face's, share of the bandwidth, wait for the first sound."""
    models = {one["name"]: one for one in values["models"]}
    peer = models["huggingface bf16"]["steps_per_second"]
    told = f"transformers {values['machine']['transformers']}, bf16: {peer:.2f} steps/s"
    found = []
    for name, ratio, share in (("bf16", None, 75), ("int8", 2.2, 60), ("int4", 3.3, 45)):
        speed = models[name]["steps_per_second"]
        figure = f"AudioGen-medium's sizes, {name}"
        if ratio is not None:
            found.append(
                Goal(figure=f"{figure}, {speed:.2f} steps/s", value=speed / peer, goal=ratio, peer=told)
            )
        found.append(
            Goal(figure=f"{figure}, of the bandwidth", value=models[name]["share"], goal=share, unit="%")
        )
    if waits := values["first_sound_seconds"]:
        wait = statistics.median(waits)
        found.append(
            Goal(figure="the same in int4, first sound", value=wait, goal=2.5, unit="s", at_most=True)
        )
    return found


def codecs(values: dict[str, Any]) -> list[Goal]:
    """Of codecs.py: speed beside Hugging Face's EnCodec with the same weights."""
    peer = f"transformers {values['machine']['transformers']}"
    return [
        Goal(
            figure=f"{row['model']}, {row['work']}, {row['ours']:.1f} x real time",
            value=row["ratio"],
            goal=1.5,
            peer=f"{peer}: {row['theirs']:.1f} x real time",
        )
        for row in values["rows"]
    ]


def music2latent2(values: dict[str, Any]) -> list[Goal]:
    """Of music2latent2.py: times real time at CoDiCodec's sizes."""
    goals = {"encode": 5.0, "decode, two-step": 1.0}
    return [
        Goal(figure=f"CoDiCodec's sizes, {name}, {work}", value=factor, goal=goals[work], unit="x real time")
        for name, row in values["rows"].items()
        for work, factor in row.items()
    ]


def foley(values: dict[str, Any]) -> list[Goal]:
    """Of generate.py with the threads that its environment chose."""
    threads = values["machine"]["torch_threads"]
    return [
        Goal(
            figure=f"foley, 5 s of sound, {threads} thread{'s' * (threads > 1)}",
            value=values["warm_median"],
            goal=20.0 if threads > 1 else 10.0,
            unit="x real time",
        )
    ]


def stream(values: dict[str, Any]) -> list[Goal]:
    """Of generate.py --stream."""
    wait = 1000 * statistics.median(values["later_seconds"])
    return [Goal(figure="foley, first chunk of a stream", value=wait, goal=150, unit="ms", at_most=True)]


def busy(values: dict[str, Any]) -> list[Goal]:
    """Of busy.py: what is left of the speed beside one neighbour."""
    (cell,) = [one for one in values["cells"] if one["neighbours"] == 1]
    return [
        Goal(
            figure="foley beside a neighbour, of its idle speed", value=100 * cell["ratio"], goal=45, unit="%"
        )
    ]


def memory(values: dict[str, Any]) -> list[Goal]:
    """Of memory.py --command."""
    peak = values["command_peak"]
    return [
        Goal(figure="soundloom generate, memory at its peak", value=peak, goal=350, unit="MB", at_most=True)
    ]


@dataclass(frozen=True)
class Part:
    """A script, its words, its environment, and what makes goals of its JSON."""

    script: str
    words: Sequence[str]
    goals: Callable[[dict[str, Any]], list[Goal]]
    threads: int | None = None


PARTS: dict[str, list[Part]] = {
    "lm": [Part("quantization.py", ["--steps", "40"], language_model)],
    "codecs": [Part("codecs.py", ["--seconds", "5", "--repeats", "5"], codecs)],
    "music2latent2": [
        Part(
            "music2latent2.py",
            ["--columns", "encode", "decode, two-step", "--dtypes", "float32", "int8"],
            music2latent2,
        )
    ],
    "foley": [
        Part("generate.py", ["--runs", "0", "--warm-runs", "9"], foley, threads=1),
        Part("generate.py", ["--runs", "0", "--warm-runs", "9"], foley, threads=2),
        Part("generate.py", ["--stream", "--warm-runs", "9"], stream),
    ],
    "busy": [Part("busy.py", ["--work", "generate", "--settings", "default"], busy)],
    "memory": [Part("memory.py", ["--command"], memory)],
}


def measure(part: Part) -> tuple[list[Goal], dict[str, Any]]:
    """Run a script; the goals and all values of its JSON.

    Raises:
        SystemExit: it failed; the message ends with what it said.
    """
    environment = dict(os.environ)
    if part.threads is not None:
        environment |= {"OMP_NUM_THREADS": str(part.threads)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "values.json")
        command = [sys.executable, str(FOLDER / part.script), *part.words, "--json", str(file)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr[-2000:]}")
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return part.goals(values), values


def table(goals: Sequence[Goal], machine: dict[str, Any]) -> str:
    """One line a goal."""
    rows = [("figure", "measured", "goal", "reached", "peer")]
    rows += [
        (
            goal.figure,
            f"{goal.value:.3g} {goal.unit}",
            f"{'<=' if goal.at_most else '>='} {goal.goal:g} {goal.unit}",
            "yes" if goal.reached else "no",
            goal.peer,
        )
        for goal in goals
    ]
    return align(rows, machine)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all, print the table, keep the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values to this file")
    options = parser.parse_args(arguments)
    if options.json is not None:
        try:
            check_file_destination(options.json, force=True)
        except OSError as error:
            parser.error(f"--json: {error}")
    machine = describe_machine("cpu")
    goals, runs = [], []
    for part in (part for name in options.only for part in PARTS[name]):
        print(f"{part.script} {' '.join(part.words)} ...", file=sys.stderr, flush=True)
        found, values = measure(part)
        goals += found
        runs.append({"script": part.script, "words": list(part.words), "threads": part.threads} | values)
    print(table(goals, machine))
    if options.json is not None:
        told = [asdict(goal) | {"reached": goal.reached} for goal in goals]
        content = json.dumps({"machine": machine, "goals": told, "runs": runs}, indent=2)
        with atomic_write(options.json) as file:
            file.write(f"{content}\n".encode())


if __name__ == "__main__":
    main()
