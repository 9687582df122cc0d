"""Measure the wall time of `soundloom generate`, the speed of later prompts, and the wait in streaming.

    python benchmarks/generate.py                       # the model that ships, 5 s of sound
    python benchmarks/generate.py --runs 5 --json out.json
    python benchmarks/generate.py --stream              # time to the first chunk of AudioGen.stream

Cold: wall time of the whole command, from starting Python to the written file; a new process each run, so
imports and loading count, while the operating system may still hold the files in memory (the first run is
listed by itself). Warm: seconds of sound per second of work in a process that has generated once before, a
new prompt each run; above 1 is faster than real time. Streamed: seconds from the call of `stream` to its
first chunk, in a loaded model; and the spare time of a player that starts with the first chunk, the least
over all later ones (below 0 it would have had to wait).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import align, describe_machine

from soundloom.core.files import check_file_destination

COLD_PROMPT = "a dog barks"
WARM_PROMPTS = (
    "heavy rain on a tin roof",
    "three knocks on a door",
    "a church bell, then an owl hoots",
    "a train passes in the distance",
    "sea waves while birds sing",
)
COLD_TARGET_SECONDS = 20.0
WARM_TARGET_SPEED = 1.0
CHUNK_TARGET_SECONDS = 0.15


@dataclass(frozen=True, kw_only=True)
class Result:
    """Measurements of one model on one machine.

    Attributes:
        model: name or folder.
        duration: seconds of sound asked for.
        cold_seconds: wall time of each `soundloom generate`.
        load_seconds: `AudioGen.from_pretrained()` in this process, imports before it not counted.
        first_seconds: the first `generate` in this process.
        warm_speeds: seconds of sound per second, each later `generate`.
        machine: what it ran on.
    """

    model: str
    duration: float
    cold_seconds: list[float]
    load_seconds: float
    first_seconds: float
    warm_speeds: list[float]
    machine: dict[str, Any]

    @property
    def cold_median(self) -> float | None:
        """Median wall time of the command in seconds; None when it was not measured."""
        return statistics.median(self.cold_seconds) if self.cold_seconds else None

    @property
    def warm_median(self) -> float:
        """Median seconds of sound per second of work."""
        return statistics.median(self.warm_speeds)


def cold_runs(model: str, duration: float, seed: int, runs: int) -> list[float]:
    """Wall seconds of `runs` new processes, each writing one file.

    Raises:
        RuntimeError: the command failed or wrote a sound of another length; its error output is quoted.
    """
    from soundloom.core.audio import read_audio

    script = Path(sys.executable).with_name("soundloom")
    # The console script is what a user starts; without it, do what it does.
    start = [str(script)] if script.is_file() else [sys.executable, "-c", _CONSOLE_SCRIPT]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            out = Path(folder) / f"out-{run}.wav"
            command = [*start, "generate", COLD_PROMPT, "-o", str(out), "--duration", str(duration)]
            command += ["--seed", str(seed), "--model", model]
            begin = time.perf_counter()
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds.append(time.perf_counter() - begin)
            if finished.returncode != 0:
                raise RuntimeError(
                    f"{' '.join(command)} ended with status {finished.returncode}:\n{finished.stderr[-2000:]}"
                )
            samples, sample_rate = read_audio(out)
            if abs(samples.shape[-1] / sample_rate - duration) > 0.1:
                raise RuntimeError(
                    f"asked for {duration} s, the file holds {samples.shape[-1] / sample_rate:.2f} s"
                )
    return seconds


_CONSOLE_SCRIPT = "import sys; from soundloom.cli import main; sys.exit(main(sys.argv[1:]))"


def warm_runs(
    model: str, duration: float, seed: int, runs: int, device: str
) -> tuple[float, float, list[float]]:
    """Seconds to load, seconds of the first sound, and the speed of each of `runs` later ones."""
    from soundloom.gen.pipeline import AudioGen

    begin = time.perf_counter()
    audiogen = AudioGen.from_pretrained(model, device=device)
    load_seconds = time.perf_counter() - begin

    begin = time.perf_counter()
    audiogen.generate(COLD_PROMPT, duration=duration, seed=seed)
    first_seconds = time.perf_counter() - begin

    speeds = []
    for run in range(runs):
        begin = time.perf_counter()
        # The samples come back on the CPU, so a GPU's work is finished when generate returns.
        audio = audiogen.generate(
            WARM_PROMPTS[run % len(WARM_PROMPTS)], duration=duration, seed=seed + 1 + run
        )
        speeds.append(audio.duration / (time.perf_counter() - begin))
    return load_seconds, first_seconds, speeds


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """How soon sound comes.

    Attributes:
        model: name or folder.
        duration: seconds of sound asked for.
        first_seconds: to the first chunk of the first call in the process.
        later_seconds: to the first chunk of each later call.
        spare_seconds: of each call, see the top of this file.
        machine: what it ran on.
    """

    model: str
    duration: float
    first_seconds: float
    later_seconds: list[float]
    spare_seconds: list[float]
    machine: dict[str, Any]


def stream_runs(model: str, duration: float, seed: int, runs: int, device: str) -> StreamResult:
    """Measure one first and `runs` later calls of `stream`."""
    from soundloom.gen.pipeline import AudioGen

    machine = describe_machine(device)
    audiogen = AudioGen.from_pretrained(model, device=device)
    waits, spares = [], []
    for run, prompt in enumerate((COLD_PROMPT, *(WARM_PROMPTS[i % len(WARM_PROMPTS)] for i in range(runs)))):
        begin = time.perf_counter()
        arrivals, lengths = [], []
        for chunk in audiogen.stream(prompt, duration=duration, seed=seed + run):
            arrivals.append(time.perf_counter() - begin)
            lengths.append(chunk.duration)
        waits.append(arrivals[0])
        played = [arrivals[0] + sum(lengths[:index]) for index in range(1, len(arrivals))]
        spares.append(min((due - came for due, came in zip(played, arrivals[1:], strict=True)), default=0.0))
    return StreamResult(
        model=model,
        duration=duration,
        first_seconds=waits[0],
        later_seconds=waits[1:],
        spare_seconds=spares,
        machine=machine,
    )


def stream_table(result: StreamResult) -> str:
    """The result of `stream_runs` as aligned text."""
    target = f"<= {CHUNK_TARGET_SECONDS:g} s"
    later = result.later_seconds
    rows = [
        ("what", "median", "range", "runs", "target"),
        ("first chunk, first call in a process", f"{result.first_seconds:.3f} s", "", "1", target),
        (
            "first chunk, later calls",
            f"{statistics.median(later):.3f} s",
            f"{min(later):.3f}..{max(later):.3f}",
            str(len(later)),
            target,
        ),
        (
            "a player's spare time",
            f"{statistics.median(result.spare_seconds):.3f} s",
            f"{min(result.spare_seconds):.3f}..{max(result.spare_seconds):.3f}",
            str(len(result.spare_seconds)),
            "> 0 s",
        ),
    ]
    return align(rows, result.machine)


def table(result: Result) -> str:
    """The result as aligned text, targets beside the figures that have one."""
    rows = [("what", "median", "range", "runs", "target")]
    if result.cold_median is not None:
        rows.append(
            (
                f"soundloom generate, {result.duration:g} s of sound, cold process",
                f"{result.cold_median:.2f} s",
                f"{min(result.cold_seconds):.2f}..{max(result.cold_seconds):.2f}",
                str(len(result.cold_seconds)),
                f"<= {COLD_TARGET_SECONDS:g} s",
            )
        )
        rows.append(("  of these the first", f"{result.cold_seconds[0]:.2f} s", "", "1", ""))
    rows.append(("AudioGen.from_pretrained, imports done", f"{result.load_seconds:.2f} s", "", "1", ""))
    rows.append(("first generate in a process", f"{result.first_seconds:.2f} s", "", "1", ""))
    rows.append(
        (
            "later prompts, seconds of sound per second",
            f"{result.warm_median:.2f}",
            f"{min(result.warm_speeds):.2f}..{max(result.warm_speeds):.2f}",
            str(len(result.warm_speeds)),
            f"> {WARM_TARGET_SPEED:g}",
        )
    )
    return align(rows, result.machine)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and the JSON."""
    parser = argparse.ArgumentParser(
        description="Wall time of `soundloom generate` and speed of later prompts in the same process."
    )
    parser.add_argument("--model", default="foley", help="bundled name, folder or hub id (default foley)")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of sound (default 5)")
    parser.add_argument("--seed", type=int, default=7, help="of the first sound (default 7)")
    parser.add_argument("--runs", type=int, default=3, help="cold processes; 0 leaves them out (default 3)")
    parser.add_argument("--warm-runs", type=int, default=5, help="later prompts, at least 1 (default 5)")
    parser.add_argument("--device", default="cpu", help="of the warm runs: cpu, cuda, ... (default cpu)")
    parser.add_argument(
        "--threads", type=int, help="CPU threads of torch, cold runs too (default: what soundloom chooses)"
    )
    parser.add_argument(
        "--stream", action="store_true", help="measure streaming instead: --warm-runs calls after the first"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON to this file")
    options = parser.parse_args(arguments)
    if options.runs < 0 or options.warm_runs < 1:
        parser.error(
            f"--runs is {options.runs}, must be >= 0; --warm-runs is {options.warm_runs}, must be >= 1"
        )
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads is {options.threads}, must be at least 1")
    if options.json is not None:
        try:
            check_file_destination(options.json, force=True)
        except OSError as error:
            parser.error(f"--json: {error}")

    if options.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)  # read by torch here and in the cold processes
    if options.stream:
        streamed = stream_runs(
            options.model, options.duration, options.seed, options.warm_runs, options.device
        )
        _report(stream_table(streamed), asdict(streamed), options.json)
        return
    machine = describe_machine(options.device)  # before the load of our own runs
    cold = cold_runs(options.model, options.duration, options.seed, options.runs) if options.runs else []
    load_seconds, first_seconds, speeds = warm_runs(
        options.model, options.duration, options.seed, options.warm_runs, options.device
    )
    result = Result(
        model=options.model,
        duration=options.duration,
        cold_seconds=cold,
        load_seconds=load_seconds,
        first_seconds=first_seconds,
        warm_speeds=speeds,
        machine=machine,
    )
    values = asdict(result) | {"cold_median": result.cold_median, "warm_median": result.warm_median}
    _report(table(result), values, options.json)


def _report(text: str, values: dict[str, Any], file: Path | None) -> None:
    report = json.dumps(values, indent=2)
    print(text)
    print()
    print(report)
    if file is not None:
        file.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
