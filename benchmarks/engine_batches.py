"""Measure an engine: tokens per second for 1, 2, 4, 8 and 16 prompts at once, and what one request waits.

    python benchmarks/engine_batches.py                 # the model that ships, 5 s of sound a prompt
    python benchmarks/engine_batches.py --json out.json
    python benchmarks/engine_batches.py --all-rows      # products of all rows at once (exact=False)

All prompts are submitted together. Tokens are codes: frames x codebooks of all sounds, decoded to sound, over
the time from the first submission to the last result. "CPU" is the process's processor time instead, all
threads together, which other programs on the machine disturb less. "First sound" is the time to the first
chunk of a stream that joins while the others run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import align, describe_machine

from soundloom.core.files import check_file_destination

SIZES = (1, 2, 4, 8, 16)
PROMPTS = ("a dog barks", "heavy rain on a tin roof", "three knocks on a door", "a church bell", "sea waves")


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """Medians of one number of prompts.

    Attributes:
        prompts: at once.
        tokens_per_second: codes of all prompts over wall time.
        tokens_per_cpu_second: over processor time.
        speed: seconds of sound, of all prompts together, per second.
        first_sound: seconds to the first chunk of a stream that joins.
    """

    prompts: int
    tokens_per_second: float
    tokens_per_cpu_second: float
    speed: float
    first_sound: float


def measure(model: Any, prompts: int, duration: float, runs: int, exact: bool) -> BatchResult:
    """Run `runs` batches of so many prompts."""
    from soundloom.gen.engine.engine import Engine

    tokens = prompts * int(duration * model.codec.frame_rate) * model.lm.num_codebooks
    walls, cpus, waits = [], [], []
    # One place more, for the stream that joins.
    with Engine(model, max_batch=prompts + 1, max_seconds=duration, exact=exact) as engine:
        for run in range(runs + 1):  # the first warms up
            cpu, wall = time.process_time(), time.perf_counter()
            handles = [
                engine.submit(PROMPTS[index % len(PROMPTS)], duration, seed=100 * run + index)
                for index in range(prompts)
            ]
            for handle in handles:
                handle.result()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            handles = [engine.submit(PROMPTS[0], duration, seed=index) for index in range(prompts)]
            while not all(handle.progress[0] for handle in handles):
                time.sleep(0.001)
            begin = time.perf_counter()
            stream = engine.stream(PROMPTS[1], duration, seed=run)
            next(stream)
            wait = time.perf_counter() - begin
            stream.close()
            for handle in handles:
                handle.cancel()
            if run:
                walls.append(wall)
                cpus.append(cpu)
                waits.append(wait)
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    return BatchResult(
        prompts=prompts,
        tokens_per_second=tokens / wall,
        tokens_per_cpu_second=tokens / cpu,
        speed=prompts * duration / wall,
        first_sound=statistics.median(waits),
    )


def table(results: Sequence[BatchResult], machine: dict[str, Any]) -> str:
    """The results as aligned text."""
    rows = [
        ("prompts", "tokens/s", "x one", "tokens/s CPU", "x one", "x real time", "first sound of one more")
    ]
    first = results[0]
    for result in results:
        rows.append(
            (
                str(result.prompts),
                f"{result.tokens_per_second:.0f}",
                f"{result.tokens_per_second / first.tokens_per_second:.2f}",
                f"{result.tokens_per_cpu_second:.0f}",
                f"{result.tokens_per_cpu_second / first.tokens_per_cpu_second:.2f}",
                f"{result.speed:.1f}",
                f"{result.first_sound:.2f} s",
            )
        )
    return align(rows, machine)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and the JSON."""
    parser = argparse.ArgumentParser(
        description="Tokens per second of an engine, for several prompts at once."
    )
    parser.add_argument("--model", default="foley", help="bundled name, folder or hub id (default foley)")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of each sound (default 5)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="prompts at once (1 2 4 8 16)")
    parser.add_argument("--runs", type=int, default=3, help="batches of each size (default 3)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default cpu)")
    parser.add_argument("--all-rows", action="store_true", help="multiply all rows at once (exact=False)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON to this file")
    options = parser.parse_args(arguments)
    if options.runs < 1 or min(options.sizes) < 1:
        parser.error(f"--runs is {options.runs}, --sizes are {options.sizes}; all must be at least 1")
    if options.json is not None:
        try:
            check_file_destination(options.json, force=True)
        except OSError as error:
            parser.error(f"--json: {error}")

    from soundloom.gen.pipeline import AudioGen

    model = AudioGen.from_pretrained(options.model, device=options.device)
    machine = describe_machine(options.device)
    results = [
        measure(model, prompts, options.duration, options.runs, not options.all_rows)
        for prompts in options.sizes
    ]
    values = {
        "model": options.model,
        "duration": options.duration,
        "exact": not options.all_rows,
        "results": [asdict(result) for result in results],
        "machine": machine,
    }
    print(table(results, machine))
    report = json.dumps(values, indent=2)
    print()
    print(report)
    if options.json is not None:
        options.json.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
