"""Speed of the 150 M configurations with random weights: encode and decode, in several dtypes.

    python benchmarks/music2latent2.py --config codicodec --seconds 6 --repeats 3 --threads 2 --device cpu

Prints a Markdown table of real-time factors: seconds of sound per second of computation, the median of the
repeats. Run it on a machine that does nothing else, and give the processor's name with its figures. Threads
sleep while they wait for one another, as those of `soundloom` do; OMP_WAIT_POLICY=ACTIVE lets them spin.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from soundloom.cli.sleep_while_waiting import sleep_while_waiting

sleep_while_waiting()  # before torch is imported

import torch  # noqa: E402
from machine import describe_machine, processor  # noqa: E402

from soundloom.codecs.music2latent2 import Music2Latent2, Music2Latent2Config  # noqa: E402
from soundloom.codecs.music2latent2.convert import config_from_published  # noqa: E402
from soundloom.codecs.music2latent2.int8 import quantize_layers  # noqa: E402

CONFIGS = {
    "music2latent2": Music2Latent2Config(),
    "music2latent2-stereo": Music2Latent2Config(channels=2),
    "codicodec": config_from_published({}),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
# Column of the table -> settings of `decode`; None stands for encoding.
COLUMNS: dict[str, dict[str, Any] | None] = {
    "encode": None,
    "decode, autoregressive, 2 steps": {"decoding": "autoregressive", "steps": 2},
    "decode, two-step": {"decoding": "two_step"},
    "decode, parallel, 5 steps": {"decoding": "parallel", "steps": 5},
}


def measure(work: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Median seconds of a call, after one that is not counted."""
    times = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if repeat:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="codicodec")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the sound")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, help="default: all; on a GPU all but int8")
    parser.add_argument("--compile", action="store_true", help="a row more for each: blocks compiled")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtypes = options.dtypes or [name for name in DTYPES if name != "int8" or options.device == "cpu"]
    torch.manual_seed(0)
    device = torch.device(options.device)
    config = CONFIGS[options.config]
    model = Music2Latent2(**asdict(config)).eval().to(device)
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    samples = round(options.seconds * config.sample_rate)
    audio = 0.1 * torch.randn(1, config.channels, samples, device=device)

    place = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    print(
        f"{options.config}: {size:.0f} M random weights, {config.sample_rate} Hz, {config.channels} channels,"
    )
    print(f"{options.seconds:g} s of sound, {options.threads} threads, {place}, torch {torch.__version__}\n")
    print("| | " + " | ".join(options.columns) + " |")
    print("|---|" + "---|" * len(options.columns))
    rows: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        latents = model.encode(audio, discrete=False)
        for name in dtypes:
            used = copy.deepcopy(model)
            if DTYPES[name] == torch.int8:
                quantize_layers(used)
            else:
                torch.nn.Module.to(used, DTYPES[name])
            for compiled in [False, True] if options.compile else [False]:
                if compiled:
                    used.compile_repeated_blocks()
                factors = []
                for column in options.columns:
                    settings = COLUMNS[column]
                    if settings is None:
                        work = partial(used.encode, audio, discrete=False)
                    else:
                        work = partial(used.decode, latents, **settings)
                    factors.append(options.seconds / measure(work, options.repeats, device))
                row = " | ".join(f"{factor:.2f}x" for factor in factors)
                title = f"{name}{', compiled' * compiled}"
                rows[title] = dict(zip(options.columns, factors, strict=True))
                print(f"| {title} | {row} |", flush=True)
    if options.json is not None:
        values = {"config": options.config, "machine": describe_machine(options.device), "rows": rows}
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
