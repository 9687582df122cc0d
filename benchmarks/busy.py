"""Measure speed beside 0, 1, 2 ... processes that compute, by number of threads.

    python benchmarks/busy.py                            # generate, codecs and training, 0 and 1 neighbours
    python benchmarks/busy.py --neighbours 0 1 2 --rounds 7 --json busy.json
    python benchmarks/busy.py --work generate --settings default 1 2

Each setting is a process of its own that does one piece of work when it is asked to: "default" is what
`soundloom` itself chooses, a number is that many threads of torch whose waiting members spin (what torch does
by itself), a number with "p" (2p) the same with OMP_WAIT_POLICY=PASSIVE. All of them take turns in every
round, so that whatever else the machine does meets all alike; the column "others" says how many cores other
processes took meanwhile, the neighbours not counted. Speeds are medians in seconds of sound per second
(training: steps per second), with the ratio to the same setting without neighbours. A neighbour is a Python
loop.

On a machine that is never idle, `--realtime` (Linux, root) gives work without neighbours real-time priority,
so that nothing else gets a core that it wants; start all of it under `nice -n -20`, so that with neighbours
these are what it shares the cores with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import align, describe_machine

SECONDS = 5.0
SETTINGS = ("default", "1", "2", "2p")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
)


def generate() -> Callable[[], float]:
    """A sound of the model that ships."""
    from soundloom.gen import AudioGen

    audiogen = AudioGen.from_pretrained()

    def work() -> float:
        return audiogen.generate("a dog barks", duration=SECONDS, seed=7).duration

    return work


def codec(name: str, direction: str) -> Callable[[], float]:
    """Encode or decode with a codec that ships."""
    import torch

    from soundloom.codecs import load_codec

    model = load_codec(name)
    audio = torch.randn(1, model.channels, int(SECONDS * model.sample_rate)).mul(0.1)
    coded = model.encode(audio)

    def work() -> float:
        if direction == "encode":
            model.encode(audio)
        else:
            model.decode(coded)
        return SECONDS

    return work


def train() -> Callable[[], float]:
    """Steps of a language model of the shipped one's size, 8 clips of 5 s."""
    import torch
    from torch.nn import functional as F

    from soundloom.gen.model.lm import AudioLM

    lm = AudioLM(dim=256, num_layers=6, num_heads=4).train()
    optimizer = torch.optim.AdamW(lm.parameters())
    codes = torch.randint(0, 1024, (8, 4, 250))
    states = torch.randn(8, 8, 256)

    def work() -> float:
        optimizer.zero_grad()
        logits = lm(codes, states).logits
        F.cross_entropy(logits.flatten(0, 2), codes.flatten()).backward()
        optimizer.step()
        return 1.0

    return work


WORK: dict[str, Callable[[], Callable[[], float]]] = {
    "generate": generate,
    "seanet-16khz encode": lambda: codec("seanet-16khz", "encode"),
    "seanet-16khz decode": lambda: codec("seanet-16khz", "decode"),
    "music2latent2 encode": lambda: codec("music2latent2", "encode"),
    "music2latent2 decode": lambda: codec("music2latent2", "decode"),
    "train": train,
}


def serve(works: Sequence[str]) -> None:
    """Do what standard input names, a line each; answer with amount of work, seconds and CPU seconds."""
    from soundloom.cli.sleep_while_waiting import sleep_while_waiting

    if os.environ.get("SOUNDLOOM_BENCHMARK") == "default":
        sleep_while_waiting()
    made = {name: WORK[name]() for name in works}
    for work in made.values():
        work()  # warm
    print("ready", flush=True)
    for line in sys.stdin:
        name, priority = line.rstrip("\n").split("\t")
        if hasattr(os, "sched_setscheduler"):
            set_priority(realtime=priority == "realtime")
        begin, cpu = time.perf_counter(), time.process_time()
        amount = made[name]()
        print(amount, time.perf_counter() - begin, time.process_time() - cpu, flush=True)


def set_priority(realtime: bool) -> None:
    """Let the threads of this process run before all others, or as usual (Linux, root)."""
    policy, priority = (os.SCHED_RR, 1) if realtime else (os.SCHED_OTHER, 0)
    if os.sched_getscheduler(0) != policy:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), policy, os.sched_param(priority))


class Setting:
    """A process that works under one setting of threads; see the top of this file."""

    def __init__(self, name: str, works: Sequence[str]) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
        environment["SOUNDLOOM_BENCHMARK"] = name
        if name != "default":
            environment["OMP_NUM_THREADS"] = name.removesuffix("p")
        if name.endswith("p"):
            environment["OMP_WAIT_POLICY"] = "PASSIVE"
        command = [sys.executable, __file__, "--serve", *works]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("a process of the benchmark ended early; its error output is above")
        return answer

    def do(self, work: str, *, realtime: bool) -> tuple[float, float, float]:
        """Amount of work, wall seconds, CPU seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{work}\t{'realtime' if realtime else ''}\n")
        self.process.stdin.flush()
        amount, seconds, cpu = map(float, self._answer().split())
        return amount, seconds, cpu


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Processes that compute meanwhile."""
    loop = "while True: sum(range(10000))"
    processes = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
    try:
        if processes:
            time.sleep(0.3)  # until they run
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def busy_seconds() -> float:
    """CPU seconds of the whole machine so far; NaN where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return float("nan")
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(
    works: Sequence[str], names: Sequence[str], counts: Sequence[int], rounds: int, *, realtime: bool = False
) -> list[dict[str, Any]]:
    """Every round does every work under every setting beside every number of neighbours; one dict a cell."""
    settings = {name: Setting(name, works) for name in names}
    cells: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    try:
        for round_number in range(rounds):
            for count in counts:
                with neighbours(count):
                    for work in works:
                        # Each round begins with another setting, so that none always follows the same one.
                        shift = round_number % len(names)
                        for name in [*names[shift:], *names[:shift]]:
                            before, begin = busy_seconds(), time.perf_counter()
                            amount, seconds, cpu = settings[name].do(work, realtime=realtime and count == 0)
                            others = (busy_seconds() - before - cpu) / (time.perf_counter() - begin) - count
                            cell = cells.setdefault((work, name, count), {"speed": [], "others": []})
                            cell["speed"].append(amount / seconds)
                            cell["others"].append(max(0.0, others))
    finally:
        for setting in settings.values():
            setting.process.kill()
            setting.process.wait()
    found = []
    for (work, name, count), cell in cells.items():
        speed = statistics.median(cell["speed"])
        alone = statistics.median(cells[work, name, counts[0]]["speed"])
        found.append(
            {
                "work": work,
                "setting": name,
                "neighbours": count,
                "speed": speed,
                "speeds": cell["speed"],
                "ratio": speed / alone,
                "others": statistics.median(cell["others"]),
            }
        )
    return found


def table(cells: Sequence[dict[str, Any]], counts: Sequence[int], machine: dict[str, Any]) -> str:
    """One line a work and setting, the numbers of neighbours as columns."""
    head = ["work", "threads"]
    for count in counts:
        head += [f"{count} neighbours", *(["ratio"] if count != counts[0] else []), "others"]
    rows = [head]
    for cell in cells:
        if cell["neighbours"] != counts[0]:
            continue
        row = [cell["work"], cell["setting"]]
        for count in counts:
            (same,) = [
                other
                for other in cells
                if (other["work"], other["setting"], other["neighbours"])
                == (cell["work"], cell["setting"], count)
            ]
            ratio = [f"{same['ratio']:.2f}"] if count != counts[0] else []
            row += [f"{same['speed']:.2f}", *ratio, f"{same['others']:.1f}"]
        rows.append(row)
    return align(rows, machine)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, keep the JSON."""
    parser = argparse.ArgumentParser(description="Speed beside processes that compute, by number of threads.")
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK), help="default: all")
    parser.add_argument(
        "--settings", nargs="+", default=list(SETTINGS), metavar="S", help=f"default: {' '.join(SETTINGS)}"
    )
    parser.add_argument("--neighbours", nargs="+", type=int, default=[0, 1], metavar="N", help="default: 0 1")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--realtime", action="store_true", help="see above; with 0 neighbours only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON to this file")
    parser.add_argument("--serve", nargs="+", choices=WORK, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
        return
    machine = describe_machine("cpu")
    cells = measure(
        options.work, options.settings, options.neighbours, options.rounds, realtime=options.realtime
    )
    print(table(cells, options.neighbours, machine))
    if options.json is not None:
        options.json.write_text(
            json.dumps({"machine": machine, "cells": cells}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
