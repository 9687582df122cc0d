"""Steps per second of a language model in float32, bf16, int8 and int4, beside Hugging Face's MusicGen.

    python benchmarks/quantization.py                       # AudioGen-medium's sizes: 16 GB free, 5 minutes
    python benchmarks/quantization.py --json benchmarks/results/quantization.json
    python benchmarks/quantization.py --cpu-time            # on a machine that is not idle
    python benchmarks/quantization.py --size tiny --steps 4 # seconds, to try the script

All have the sizes of AudioGen-medium (1.84 billion weights) with random weights, one matrix for each shape
repeated in memory; the condition is 16 random states as wide as T5-large's. One prompt with guidance: two
rows a step, then top-k sampling by soundloom's sampler, the same for all. One model is in memory at a time.
Every step of the first `--steps` is timed, without the first five; 50 steps make a second of sound.

"bandwidth" is the best of six reads of 1 GB just before a model's steps: sums, and products of a matrix and a
vector. "weights" is what a step has to read of them: every matrix of the layers once, but not the text's keys
and values, and the heads. Their product with the steps per second is the share of the bandwidth.

The last line is the wait for the first sound of `AudioGen.stream` (0.2 s of sound) in int4, with a T5-large
and an EnCodec of the published sizes, random as well.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine import align, describe_machine
from torch import Tensor, nn

from soundloom.core.files import check_file_destination
from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.quantized_linear import QuantizedLinear
from soundloom.gen.model.schemes import load_quantized, stored_weights
from soundloom.gen.sampling import Sampler, guide
from soundloom.gen.settings import GenerationSettings

MEDIUM = AudioLMConfig(
    num_codebooks=4, codebook_size=2048, dim=1536, num_layers=48, num_heads=24, text_dim=1024
)
SIZES = {
    "medium": MEDIUM,
    "tiny": AudioLMConfig(num_codebooks=4, codebook_size=64, dim=64, num_layers=2, num_heads=2, text_dim=32),
}
MODELS = ("huggingface float32", "huggingface bf16", "float32", "bf16", "int8", "int4")
BASELINE = "huggingface bf16"
TOKENS = 16  # of the condition
UNTIMED = 5
TARGETS = {"int8": (2.2, 60.0), "int4": (3.3, 45.0), "bf16": (None, 75.0)}
FIRST_SOUND_TARGET = 2.5

CLOCK = time.perf_counter

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One model.

    Attributes:
        name: one of MODELS.
        steps_per_second: median.
        milliseconds: of every timed step.
        weight_bytes: that a step reads.
        bandwidth: bytes per second, measured just before.
        build_seconds: to make the model.
    """

    name: str
    steps_per_second: float
    milliseconds: list[float]
    weight_bytes: int
    bandwidth: float
    build_seconds: float

    @property
    def share(self) -> float:
        """Percentage of the bandwidth that the weights take."""
        return 100 * self.weight_bytes * self.steps_per_second / self.bandwidth


def read_bandwidth(size: int = 250_000_000) -> float:
    """Bytes per second that torch reads from memory at best."""
    width = int(size**0.5)
    matrix, vector = torch.ones(width, width), torch.ones(width)
    best = 0.0
    for work in (matrix.sum, lambda: torch.mv(matrix, vector)):
        work()
        for _ in range(3):
            begin = CLOCK()
            work()
            best = max(best, matrix.nbytes / (CLOCK() - begin))
    return best


def random_weights(model: nn.Module) -> Iterator[tuple[str, Tensor, None]]:
    """Weights of a model, one random tensor for each shape."""
    generator = torch.Generator().manual_seed(0)
    made: dict[torch.Size, Tensor] = {}
    for name, parameter in model.state_dict().items():
        if "norm" in name:
            yield name, torch.full(parameter.shape, float(name.endswith("weight"))), None
            continue
        if parameter.shape not in made:
            made[parameter.shape] = torch.empty(parameter.shape).normal_(
                std=parameter.shape[-1] ** -0.5, generator=generator
            )
        yield name, made[parameter.shape], None


def repeated(pairs: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Stored weights with their scales, in memory of their own."""
    waiting: tuple[str, Tensor] | None = None
    for name, tensor in pairs:
        if waiting is not None and name == f"{waiting[0]}_scale":
            yield waiting[0], waiting[1].clone(), tensor.clone()
            waiting = None
            continue
        if waiting is not None:
            yield waiting[0], waiting[1].clone(), None
        waiting = (name, tensor)
    if waiting is not None:
        yield waiting[0], waiting[1].clone(), None


def soundloom_model(sizes: AudioLMConfig, scheme: str | None) -> AudioLM:
    """A language model in a scheme, never float32 where it is not to be."""
    with torch.device("meta"):
        lm = AudioLM(sizes)
    if scheme is None:
        state = {name: tensor.clone() for name, tensor, _ in random_weights(lm)}
        lm.load_state_dict(state, assign=True)
        return lm.eval()
    # What is quantized once serves all matrices of a shape.
    done: dict[tuple[torch.Size, str], list[tuple[str, Tensor]]] = {}

    def weights() -> Iterator[tuple[str, Tensor]]:
        for name, tensor, _ in random_weights(lm):
            key = (tensor.shape, name.rpartition(".")[0].rpartition(".")[2])
            if key not in done:
                stored = stored_weights(lm, [(name, tensor, None)], scheme)
                done[key] = [(found[len(name) :], value) for found, value in stored]
            for suffix, value in done[key]:
                yield name + suffix, value

    with torch.device("meta"):
        target = AudioLM(sizes)
    load_quantized(target, repeated(weights()), scheme, Path("random weights"))
    return target.eval()


def step_bytes(lm: AudioLM) -> int:
    """Bytes of weights that a step of the language model reads."""
    total = 0
    for name, module in lm.named_modules():
        if isinstance(module, QuantizedLinear):
            product = module._product
            tensors = [module.weight, *(getattr(product, "scale", torch.empty(0)),)]
        elif isinstance(module, nn.Linear):
            tensors = [module.weight]
        else:
            continue
        if (name.startswith("transformer.") and not name.endswith("key_value")) or name == "heads":
            total += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return total


def soundloom_step(lm: AudioLM, steps: int) -> Step:
    """Runs tokens `[1, K, 1]` and gives logits `[2, K, V]`."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(2, TOKENS, lm.text_dim, generator=generator)
    mask = torch.ones(2, TOKENS, dtype=torch.bool)
    mask[1] = False
    state = lm.start(states, mask, steps)
    return lambda tokens: lm.step(tokens, state)


def huggingface(sizes: AudioLMConfig, dtype: torch.dtype) -> tuple[Step, int]:
    """Hugging Face's decoder of the same sizes: its step, as of `soundloom_step`, and the bytes it reads."""
    from soundloom.core._torchaudio import shield_transformers

    shield_transformers()
    from transformers import DynamicCache, EncoderDecoderCache, MusicgenForCausalLM
    from transformers.initialization import no_init_weights
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    config = MusicgenDecoderConfig(
        vocab_size=sizes.codebook_size,
        num_hidden_layers=sizes.num_layers,
        ffn_dim=sizes.feed_forward_dim,
        num_attention_heads=sizes.num_heads,
        hidden_size=sizes.dim,
        num_codebooks=sizes.num_codebooks,
        audio_channels=1,
    )
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights():
            model = MusicgenForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    generator = torch.Generator().manual_seed(0)
    made: dict[torch.Size, Tensor] = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" in name:
                parameter.fill_(float(name.endswith("weight")))
                continue
            if parameter.shape not in made:
                made[parameter.shape] = torch.empty(parameter.shape).normal_(
                    std=parameter.shape[-1] ** -0.5, generator=generator
                )
            parameter.copy_(made[parameter.shape])
    made.clear()
    size = sum(
        parameter.nbytes
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and "embed" not in name and not name.endswith(_TEXT_SIDE)
    )
    states = torch.randn(2, TOKENS, sizes.dim, generator=generator).to(dtype)
    states[1] = 0
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    # Called past_key_values before transformers 5.20 or so.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def step(tokens: Tensor) -> Tensor:
        ids = tokens.repeat(2, 1, 1).flatten(0, 1)  # [2 K, 1]
        found = model(ids, encoder_hidden_states=states, use_cache=True, **{name: cache})
        return found.logits.view(2, sizes.num_codebooks, -1).float()

    return step, size


_TEXT_SIDE = ("encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight")


def time_steps(step: Step, sizes: AudioLMConfig, steps: int) -> list[float]:
    """Seconds of each step, guidance and sampling included."""
    sampler = Sampler(
        GenerationSettings(temperature=1.0, top_k=min(250, sizes.codebook_size)).fill(
            guidance_scale=3.0, top_k=min(250, sizes.codebook_size), extend_stride=2.0
        ),
        seeds=[7],
        num_codebooks=sizes.num_codebooks,
        codebook_size=sizes.codebook_size,
    )
    tokens = torch.zeros(1, sizes.num_codebooks, dtype=torch.long)
    times = []
    for _ in range(steps):
        begin = CLOCK()
        logits = step(tokens[..., None])
        tokens = sampler(guide(logits[:1], logits[1:], 3.0))
        times.append(CLOCK() - begin)
    return times


def measure(name: str, sizes: AudioLMConfig, steps: int) -> Measured:
    """Build one model, time its steps and forget it."""
    begin = CLOCK()
    if name.startswith("huggingface"):
        step, size = huggingface(sizes, torch.bfloat16 if name.endswith("bf16") else torch.float32)
    else:
        lm = soundloom_model(sizes, None if name == "float32" else name)
        step, size = soundloom_step(lm, steps), step_bytes(lm)
    gc.collect()
    build_seconds = CLOCK() - begin
    bandwidth = read_bandwidth()
    times = time_steps(step, sizes, steps)[UNTIMED if steps > 2 * UNTIMED else 1 :]
    return Measured(
        name=name,
        steps_per_second=1 / statistics.median(times),
        milliseconds=[round(1000 * seconds, 2) for seconds in times],
        weight_bytes=size,
        bandwidth=bandwidth,
        build_seconds=build_seconds,
    )


def first_sound(sizes: AudioLMConfig, scheme: str, runs: int, large: bool) -> list[float]:
    """Seconds from the call of `stream` to its first chunk, for prompt after prompt."""
    from soundloom.codecs.seanet.model import SEANetCodec
    from soundloom.core._torchaudio import shield_transformers
    from soundloom.gen.pipeline import AudioGen
    from soundloom.gen.text.encoder import TextEncoder, TextStates

    shield_transformers()
    from transformers import T5Config, T5EncoderModel
    from transformers.initialization import no_init_weights

    width = sizes.text_dim
    config = T5Config(
        d_model=width, d_ff=4 * width, num_layers=24 if large else 1, num_heads=width // 16 // 4, d_kv=64
    )
    with no_init_weights():
        t5 = T5EncoderModel(config).eval()
    filler = torch.empty(1_000_000).normal_(std=0.02, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in t5.parameters():
            parameter.view(-1).copy_(filler.repeat(parameter.numel() // len(filler) + 1)[: parameter.numel()])

    class RandomT5(TextEncoder):
        """Encodes every prompt as TOKENS tokens."""

        dim = width

        def forward(self, prompts: Sequence[str]) -> TextStates:
            ids = torch.arange(1, TOKENS + 1).expand(len(prompts), TOKENS)
            mask = torch.tensor([[bool(prompt)] * TOKENS for prompt in prompts])
            return TextStates(t5(input_ids=ids).last_hidden_state * mask[..., None], mask)

    codec = SEANetCodec(num_codebooks=sizes.num_codebooks, codebook_size=sizes.codebook_size).eval()
    model = AudioGen(soundloom_model(sizes, scheme), RandomT5(), codec)
    waits = []
    for run in range(runs + 1):
        begin = CLOCK()
        stream = model.stream("a dog barks", duration=5.0, seed=run)
        next(stream)
        waits.append(CLOCK() - begin)
        stream.close()  # type: ignore[attr-defined]
    return waits[1:]


def table(found: Sequence[Measured], waits: Sequence[float], machine: dict[str, Any]) -> str:
    """The measurements as aligned text."""
    base = next((one.steps_per_second for one in found if one.name == BASELINE), None)
    rows = [
        (
            "model",
            "steps/s",
            "range",
            "of HF bf16",
            "target",
            "weights a step",
            "bandwidth",
            "share",
            "target",
        )
    ]
    for one in found:
        ratio, share = TARGETS.get(one.name, (None, None))
        rows.append(
            (
                one.name,
                f"{one.steps_per_second:.2f}",
                f"{1000 / max(one.milliseconds):.2f}..{1000 / min(one.milliseconds):.2f}",
                f"{one.steps_per_second / base:.2f}x" if base else "",
                f">= {ratio:g}x" if ratio else "",
                f"{one.weight_bytes / 1e9:.3f} GB",
                f"{one.bandwidth / 1e9:.1f} GB/s",
                f"{one.share:.0f} %",
                f">= {share:g} %" if share else "",
            )
        )
    text = align(rows, machine)
    if waits:
        text += (
            f"\n\nfirst sound of a stream, int4: {statistics.median(waits):.2f} s "
            f"({min(waits):.2f}..{max(waits):.2f}; target <= {FIRST_SOUND_TARGET:g} s)"
        )
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all, print the table, keep the JSON."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], epilog="More at the top of this file."
    )
    parser.add_argument("--size", choices=SIZES, default="medium", help="default: medium")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--steps", type=int, default=40, help="of each model (default 40)")
    parser.add_argument("--runs", type=int, default=3, help="of the stream; 0 leaves it out (default 3)")
    parser.add_argument("--threads", type=int, help="of torch (default: one a core)")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="on one thread, count the CPU's time instead of the clock's: for a machine that others use, "
        "where it says how the models compare, not how long a sound takes",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values to this file")
    options = parser.parse_args(arguments)
    if options.steps < 3:
        parser.error(f"--steps is {options.steps}; it must be 3 or more")
    if options.runs < 0 or (options.threads is not None and options.threads < 1):
        parser.error(f"--runs is {options.runs}, must be >= 0; --threads is {options.threads}, must be >= 1")
    if options.json is not None:
        try:
            check_file_destination(options.json, force=True)
        except OSError as error:
            parser.error(f"--json: {error}")
    global CLOCK
    CLOCK = time.thread_time if options.cpu_time else time.perf_counter
    if options.cpu_time:
        options.threads = 1
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    begin, machine, sizes = CLOCK(), describe_machine("cpu"), SIZES[options.size]
    machine |= {"transformers": _version("transformers"), "clock": "CPU" if options.cpu_time else "wall"}
    found = []
    with torch.inference_mode():
        for name in options.models:
            found.append(measure(name, sizes, options.steps))
            gc.collect()
            print(f"{name}: {found[-1].steps_per_second:.2f} steps/s", flush=True)
        waits = first_sound(sizes, "int4", options.runs, options.size == "medium") if options.runs else []
    print()
    print(table(found, waits, machine))
    print(f"transformers {machine['transformers']}, {machine['clock']} time; {CLOCK() - begin:.0f} s in all")
    if options.json is not None:
        values = {
            "size": asdict(sizes),
            "machine": machine,
            "models": [asdict(one) | {"share": one.share} for one in found],
            "first_sound_seconds": waits,
        }
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    main()
