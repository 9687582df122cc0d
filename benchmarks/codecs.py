"""Speed of EnCodec and SEANet beside Hugging Face's EncodecModel: the same random weights, in the same run.

    python benchmarks/codecs.py --seconds 10 --repeats 5 --threads 2 --json codecs.json
    python benchmarks/codecs.py --models audiogen --threads 1 --cpu-time        # a machine that is not idle

Models: EnCodec's two published configurations (`encodec-24khz`, `encodec-48khz`), and `audiogen`, the one of
AudioGen's codec (16 kHz, not causal, 4 codebooks of 2048), which here is a SEANetCodec. Hugging Face's
model draws the weights; ours reads them from its folder. Both encode and decode one sound, their turns
alternate, and the median of the repeats counts. Printed are seconds of sound per second of work, how many
times Hugging Face's speed that is, and in how many of its codes and how far in its sound ours differs.
Streams get `--chunk` seconds at a time; Hugging Face has none, so they are compared with its whole sound.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine import align, describe_machine
from torch import Tensor

from soundloom.codecs.base import Codec
from soundloom.codecs.encodec.convert import SAFETENSORS, rename
from soundloom.codecs.encodec.model import EnCodec
from soundloom.codecs.seanet.convert import fold_state
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.safetensors_files import load_safetensors

# Arguments of transformers' EncodecConfig; its own defaults are those of the model at 24 kHz.
MODELS: dict[str, dict[str, Any]] = {
    "encodec-24khz": {"target_bandwidths": [6.0]},
    "encodec-48khz": {
        "target_bandwidths": [6.0],
        "sampling_rate": 48000,
        "audio_channels": 2,
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
        "use_causal_conv": False,
        "norm_type": "time_group_norm",
    },
    "audiogen": {
        "target_bandwidths": [2.2],
        "sampling_rate": 16000,
        "num_filters": 64,
        "use_causal_conv": False,
        "use_conv_shortcut": False,
        "codebook_size": 2048,
    },
}
TARGET = 1.5


@dataclass
class Row:
    """One piece of work of one model.

    Attributes:
        model, work: what was done.
        theirs, ours: seconds of sound per second, of Hugging Face's model and of this package.
        differs: share of codes that are others, or the largest difference of samples over the largest sample.
    """

    model: str
    work: str
    theirs: float
    ours: float
    differs: float

    @property
    def ratio(self) -> float:
        """How many times as fast as Hugging Face's."""
        return self.ours / self.theirs


def build(name: str, settings: dict[str, Any]) -> tuple[Any, Codec]:
    """Hugging Face's model with random weights, and ours with the same ones."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    theirs = EncodecModel(EncodecConfig(**settings)).eval()
    for key, tensor in theirs.state_dict().items():
        if key.endswith("codebook.embed"):
            tensor.normal_()  # zeros otherwise: every code the same
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        if name != "audiogen":
            return theirs, EnCodec.from_pretrained(folder, bandwidth=settings["target_bandwidths"][0])
        state = fold_state(rename(load_safetensors(Path(folder) / SAFETENSORS)))
    config = theirs.config
    ours = SEANetCodec(
        sample_rate=config.sampling_rate,
        num_codebooks=theirs.quantizer.get_num_quantizers_for_bandwidth(settings["target_bandwidths"][0]),
        codebook_size=config.codebook_size,
        n_filters=config.num_filters,
        dimension=config.hidden_size,
        ratios=config.upsampling_ratios,
        lstm=config.num_lstm_layers,
        causal=False,
        true_skip=True,
        pad_mode="reflect",
        norm="none",
        transform="none",
    )
    wanted = ours.state_dict()
    ours.load_state_dict({key: state.get(key, value) for key, value in wanted.items()})
    missing = [key for key in wanted if key not in state]
    assert not missing, missing
    return theirs, ours.eval()


def alternate(works: Sequence[Callable[[], Any]], repeats: int, clock: Callable[[], float]) -> list[float]:
    """Median seconds of each, one call after the other, after one of each that is not counted."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, taken in zip(works, times, strict=True):
            begin = clock()
            work()
            taken.append(clock() - begin)
    return [statistics.median(taken[1:]) for taken in times]


def streamed(stream: Any, whole: Tensor, size: int) -> Tensor:
    """What a stream makes of samples or codes that come `size` at a time."""
    return torch.cat([*(stream.push(part) for part in whole.split(size, dim=-1)), stream.flush()], dim=-1)


@torch.inference_mode()
def measure(name: str, seconds: float, chunk: float, repeats: int, clock: Callable[[], float]) -> list[Row]:
    """All pieces of work of one model."""
    settings = MODELS[name]
    theirs, built = build(name, settings)
    ours: Any = built
    rate, bandwidth = ours.sample_rate, settings["target_bandwidths"][0]
    generator = torch.Generator().manual_seed(1)
    audio = 0.1 * torch.randn(1, ours.channels, round(seconds * rate), generator=generator)
    frames = round(chunk * rate) // ours.hop_length  # of the network
    step = ours.segment_stride if getattr(ours, "segment_length", None) else frames * ours.hop_length

    def their_codes() -> Any:
        return theirs.encode(audio, bandwidth=bandwidth)

    found = their_codes()
    codes = ours.encode(audio)

    def their_sound() -> Tensor:
        ends = {"last_frame_pad_length": found.last_frame_pad_length}
        return theirs.decode(found.audio_codes, found.audio_scales, **ends)[0]

    wanted_codes, wanted_sound = found.audio_codes, their_sound()
    size = ours.frames_per_segment if getattr(ours, "segment_length", None) else frames
    works = {
        "encode": (their_codes, lambda: ours.encode(audio)),
        "encode, streamed": (their_codes, lambda: streamed(ours.stream_encoder(), audio, step)),
        "decode": (their_sound, lambda: ours.decode(codes)),
        "decode, streamed": (their_sound, lambda: streamed(ours.stream_decoder(), codes, size)),
    }
    rows = []
    for work, (their_work, our_work) in works.items():
        made = our_work()
        if work.startswith("encode"):
            differs = difference_of_codes(wanted_codes, made, ours)
        else:
            shared = min(made.shape[-1], wanted_sound.shape[-1])
            differs = float((made[..., :shared] - wanted_sound[..., :shared]).abs().max())
            differs /= float(wanted_sound.abs().max())
        their_time, our_time = alternate([their_work, our_work], repeats, clock)
        rows.append(Row(name, work, seconds / their_time, seconds / our_time, differs))
    return rows


def difference_of_codes(theirs: Tensor, ours: Tensor, codec: Any) -> float:
    """Share of codes `[segments, B, K, T]` of theirs that ours `[B, K, T]` do not repeat."""
    parts = []
    for index, segment in enumerate(theirs):
        own = ours
        if len(theirs) > 1:  # each segment begins with its loudness here
            per = codec.frames_per_segment
            own = ours[..., index * per + 1 : (index + 1) * per]
        parts.append((own != segment[..., : own.shape[-1]]).float().flatten())
    return float(torch.cat(parts).mean())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the sound")
    parser.add_argument("--chunk", type=float, default=0.5, help="seconds that a stream gets at a time")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="of the process, on a machine that is busy")
    parser.add_argument("--json", type=Path, help="write all values to this file")
    options = parser.parse_args(argv)
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    try:
        rows = [
            row
            for name in options.models
            for row in measure(name, options.seconds, options.chunk, options.repeats, clock)
        ]
        import transformers

        machine = describe_machine("cpu") | {"transformers": transformers.__version__}
    finally:
        torch.set_num_threads(before)
    table = [["model", "work", "Hugging Face", "soundloom", "ratio", "differs by"]]
    table += [
        [
            row.model,
            row.work,
            f"{row.theirs:.1f}x",
            f"{row.ours:.1f}x",
            f"{row.ratio:.2f}",
            f"{row.differs:.1e}",
        ]
        for row in rows
    ]
    print(align(table, machine))
    print(f"transformers {machine['transformers']}; at least {TARGET} times Hugging Face's speed is wanted")
    if options.json:
        values = {
            "machine": machine,
            "seconds": options.seconds,
            "chunk": options.chunk,
            "cpu_time": options.cpu_time,
            "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
        }
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
