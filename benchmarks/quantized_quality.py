"""How far quantized language models are from float32: what they predict on real codes.

    python benchmarks/quantized_quality.py                              # foley, 56 held-out sounds, a minute
    python benchmarks/quantized_quality.py --model mymodel --per-class 4 --json quality.json

Codes are those of held-out renderings of the Foley corpus, with their captions. Every code
is predicted from the ones before it, in float32 and in each scheme; printed are the mean Kullback-Leibler
divergence of the two distributions (nats a code, from float32 to the scheme), how often the likeliest code is
the same, and the mean loss on the true codes. What is heard of it: `soundloom evaluate --quantization`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from machine import align, describe_machine
from torch import Tensor
from torch.nn import functional as F

from soundloom.core.files import check_file_destination
from soundloom.evaluation.held_out_examples import held_out_examples
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.schemes import SCHEMES
from soundloom.gen.pipeline import AudioGen


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Means over codes.

    Attributes:
        scheme: "float32" or one of SCHEMES.
        divergence: of the predicted distributions from those of float32, nats a code.
        agreement: part of the codes of which the likeliest is that of float32.
        loss: cross entropy of the true codes, nats.
        codes: how many.
    """

    scheme: str
    divergence: float
    agreement: float
    loss: float
    codes: int


def compare(expected: Tensor, found: Tensor, codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """KL divergence, agreement and loss of each predicted code.

    Args:
        expected, found: logits `[B, K, T, V]` of float32 and of the other.
        codes: the true ones, `[B, K, T]`.
        mask: `[B, K, T]`, false where nothing is predicted.
    """
    a, b = expected[mask].log_softmax(-1), found[mask].log_softmax(-1)  # [codes, V]
    divergence = (a.exp() * (a - b)).sum(-1)
    return divergence, a.argmax(-1) == b.argmax(-1), F.nll_loss(b, codes[mask], reduction="none")


@torch.inference_mode()
def measure(model: str, per_class: int, schemes: Sequence[str]) -> list[Quality]:
    """Compare a model in each scheme with itself in float32."""
    audiogen = AudioGen.from_pretrained(model)
    examples = held_out_examples(per_class)
    coded = []
    for example in examples:
        samples, rate = example.read()
        codes = audiogen.codec.encode(audiogen.codec.prepare(samples, rate))[:, : audiogen.lm.num_codebooks]
        text = audiogen.text_encoder([example.caption])
        output = audiogen.lm(codes, text.states, text.mask)
        coded.append((codes, text, output))
    found = []
    for scheme in ("float32", *schemes):
        lm = (
            audiogen.lm if scheme == "float32" else AudioLM.from_pretrained(model, quantization=scheme).eval()
        )
        parts = []
        for codes, text, output in coded:
            logits = lm(codes, text.states, text.mask).logits
            parts.append(compare(output.logits, logits, codes, output.mask))
        divergence, agreement, loss = (torch.cat(part).float() for part in zip(*parts, strict=True))
        found.append(
            Quality(
                scheme=scheme,
                divergence=divergence.mean().item(),
                agreement=agreement.mean().item(),
                loss=loss.mean().item(),
                codes=len(loss),
            )
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="foley", help="bundled name or folder (default foley)")
    parser.add_argument("--per-class", type=int, default=1, help="held-out sounds of each class (default 1)")
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES), help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values to this file")
    options = parser.parse_args(arguments)
    if options.per_class < 1:
        parser.error(f"--per-class is {options.per_class}; it must be 1 or more")
    if options.json is not None:
        check_file_destination(options.json, force=True)
    found, machine = measure(options.model, options.per_class, options.schemes), describe_machine("cpu")
    rows = [("weights", "KL, nats a code", "same likeliest code", "loss, nats", "codes")]
    for one in found:
        shown = (f"{one.divergence:.5f}", f"{100 * one.agreement:.1f} %", f"{one.loss:.4f}", str(one.codes))
        rows.append((one.scheme, *shown))
    print(align(rows, machine))
    if options.json is not None:
        values = {"model": options.model, "machine": machine, "schemes": [asdict(one) for one in found]}
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
