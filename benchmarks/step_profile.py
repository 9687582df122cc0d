"""Where a language model's step goes: products, attention, norms, sampling and the rest, on one thread.

    python benchmarks/step_profile.py foley path/to/another/model --seconds 5 --repeats 5

Guidance is on, one prompt: two rows. The parts are run by themselves, as often as in a step, with a cache
that is half full; "rest" is what a whole step takes beyond them: Python, views and copies. Times are CPU time
of the thread, medians, so that it need not be idle; compare models of one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine import align, describe_machine
from torch import Tensor
from torch.profiler import profile

from soundloom import AudioGen
from soundloom.gen.model.step import gelu_
from soundloom.gen.sampling import guide
from soundloom.gen.settings import GenerationSettings


@dataclass
class Profile:
    """Milliseconds of CPU time a step, if not said otherwise.

    Attributes:
        model: its name.
        step: a whole step without sampling.
        products, attention, norms, gelu, sampling: parts of it, and what chooses the tokens.
        weights, cache: megabytes that the products and, on average, self attention read.
        operators: of torch, called in a step.
        steps: a second of sound.
        decoding: milliseconds for a second of sound.
        real_time: seconds of sound per second of the whole.
    """

    model: str
    step: float
    products: float
    attention: float
    norms: float
    gelu: float
    sampling: float
    weights: float
    cache: float
    operators: int
    steps: float
    decoding: float
    real_time: float


def timed(work: Callable[[], Any], repeats: int, times: int = 20) -> float:
    """Median milliseconds of one call."""
    taken = []
    for _ in range(repeats + 1):
        begin = time.thread_time()
        for _ in range(times):
            work()
        taken.append((time.thread_time() - begin) / times * 1000)
    return statistics.median(taken[1:])


@torch.inference_mode()
def measure(name: str, quantization: str | None, seconds: float, repeats: int) -> Profile:
    """The profile of one model."""
    model = AudioGen.from_pretrained(name, quantization=quantization)
    lm, rate = model.lm, model.codec.frame_rate
    frames, dim = round(seconds * rate), lm.embedding.weight.shape[1]
    text = model.text_encoder(["a dog barks", ""])
    state = lm.start(text.states, text.mask, frames + lm.num_codebooks)
    tokens = torch.zeros(1, lm.num_codebooks, 1, dtype=torch.int64)
    sampler = model.sampler(model.fill_settings(GenerationSettings(seed=1)), [1])
    single, memory = state.single, state.memory
    assert single is not None, "this model has no written-out step"

    def step() -> Tensor:
        state.cache.steps = frames // 2
        return lm.step(tokens, state)

    logits = step()
    hidden = torch.randn(2, single.layers[0].linear1(torch.randn(2, dim)).shape[1])
    row, packed = torch.randn(2, dim), torch.randn(2, 3 * dim, dtype=state.cache.whole.dtype)
    query = packed[:, :dim].contiguous()

    def products() -> None:
        for layer in single.layers:
            layer.in_proj(row)
            layer.out_proj.add_to(row.clone(), row)
            layer.query(row)
            layer.cross_out_proj.add_to(row.clone(), row)
            layer.linear1(row)
            layer.linear2.add_to(row.clone(), hidden)
        lm.heads(row)

    def attention() -> None:
        for index in range(len(single.layers)):
            memory.attend(index, packed)
            memory.attend_condition(index, query)

    def norms() -> None:
        for layer in single.layers:
            layer.norm1(row), layer.norm_cross(row), layer.norm2(row)
        single.out_norm(row)

    def gelus() -> None:
        for _ in single.layers:
            gelu_(hidden.t())

    with profile() as record:
        step()
    operators = sum(event.count for event in record.key_averages() if event.key.startswith("aten::"))
    codes = torch.randint(0, lm.codebook_size, (1, lm.num_codebooks, frames))
    decoding = timed(lambda: model.codec.decode(codes), repeats, 1) / seconds
    whole, choosing = (
        timed(step, repeats),
        timed(lambda: sampler(guide(logits[:1], logits[1:], 3.0)), repeats),
    )
    steps = (frames + lm.num_codebooks - 1) / seconds
    read = [*lm.transformer.layers.state_dict().values(), *lm.heads.state_dict().values()]
    weights = sum(part.numel() * part.element_size() for part in read)
    return Profile(
        model=Path(name).name + (f", {quantization}" if quantization else ""),
        step=whole,
        products=timed(products, repeats),
        attention=timed(attention, repeats),
        norms=timed(norms, repeats),
        gelu=timed(gelus, repeats),
        sampling=choosing,
        weights=weights / 1e6,
        cache=len(single.layers) * 2 * 2 * (frames // 2) * dim * 4 / 1e6,
        operators=operators,
        steps=steps,
        decoding=decoding,
        real_time=1000 / (steps * (whole + choosing) + decoding),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", help="names or folders, as AudioGen.from_pretrained takes them")
    parser.add_argument(
        "--quantization", nargs="+", default=["none"], choices=["none", "bf16", "int8", "int4"]
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the sound")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all values to this file")
    options = parser.parse_args(argv)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        profiles = [
            measure(name, None if scheme == "none" else scheme, options.seconds, options.repeats)
            for name in options.models
            for scheme in options.quantization
        ]
        machine = describe_machine("cpu")
    finally:
        torch.set_num_threads(before)
    values = [asdict(one) for one in profiles]
    table = [["a step", *(one.model for one in profiles)]]
    for key in list(values[0])[1:]:
        table.append(
            [key, *(f"{one[key]:.2f}" if isinstance(one[key], float) else f"{one[key]}" for one in values)]
        )
    rest = [one.step - one.products - one.attention - one.norms - one.gelu for one in profiles]
    table.insert(6, ["rest", *(f"{value:.2f}" for value in rest)])
    print(align(table, machine))
    if options.json:
        content = json.dumps({"machine": machine, "seconds": options.seconds, "models": values}, indent=2)
        options.json.write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
