"""Measure the bundled models on held-out corpus clips, judged by the classifier.

    python -m soundloom.recipes.foley.evaluate prompts    sounds generated from held-out captions
    python -m soundloom.recipes.foley.evaluate codec      codec reconstructions of held-out renderings

Captions and renderings come from the corpus split "test": no caption of it occurs in training. Every class
gets the same number of clips, each naming one sound. Results are printed as a table and written as JSON with
--json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio
from tqdm import tqdm

from ...codecs.base import Codec, load_codec
from ...codecs.seanet.losses import MultiScaleMelLoss
from ...gen.judge import SoundClassifier
from ...gen.pipeline import AudioGen
from .corpus import Clip, FoleyCorpus

TEST_SEED = 90_000


def held_out_clips(per_class: int, *, sample_rate: int = 16000, seconds: float = 5.0) -> list[Clip]:
    """Held-out clips of one sound each, `per_class` of every class, in the order of the classes' names."""
    clips = []
    for number, name in enumerate(FoleyCorpus().class_names):
        corpus = FoleyCorpus(
            sample_rate=sample_rate,
            seconds=seconds,
            seed=TEST_SEED + number,
            split="test",
            compositions={"single": 1.0},
            classes=[name],
        )
        clips += [corpus[i] for i in range(per_class)]
    return clips


def stack(clips: Sequence[Clip]) -> Tensor:
    """Sounds of equal length as float32 `[B, 1, N]`."""
    return torch.from_numpy(np.stack([clip.audio for clip in clips])).float().unsqueeze(1)


def accuracy_table(truth: Sequence[str], judged: Sequence[str]) -> dict[str, Any]:
    """Share of right judgements over all and per class, with the commonest mistake of each class."""
    classes: dict[str, Any] = {}
    for name in sorted(set(truth)):
        answers = [j for t, j in zip(truth, judged, strict=True) if t == name]
        wrong = [answer for answer in answers if answer != name]
        classes[name] = {
            "accuracy": 1 - len(wrong) / len(answers),
            "clips": len(answers),
            "mistaken for": max(set(wrong), key=wrong.count) if wrong else None,
        }
    right = sum(t == j for t, j in zip(truth, judged, strict=True))
    return {"accuracy": right / len(truth), "clips": len(truth), "classes": classes}


def evaluate_prompts(
    model: AudioGen, judge: SoundClassifier, clips: Sequence[Clip], *, seed: int = 0, batch_size: int = 16
) -> dict[str, Any]:
    """Generate from each clip's caption with default settings and let the judge name the sounds."""
    judged: list[str] = []
    seconds = len(clips[0].audio) / clips[0].sample_rate
    for start in tqdm(range(0, len(clips), batch_size), desc="generating", file=sys.stderr):
        batch = clips[start : start + batch_size]
        seeds = [seed + start + i for i in range(len(batch))]
        audio = model.generate([clip.caption for clip in batch], duration=seconds, seed=seeds)
        judged += judge.classify(audio.samples.mean(1))
    return accuracy_table([clip.classes[0] for clip in clips], judged)


def evaluate_codec(
    codec: Codec, judge: SoundClassifier, clips: Sequence[Clip], *, batch_size: int = 16
) -> dict[str, Any]:
    """Judge originals and reconstructions; mean multi-scale mel loss and SI-SDR (dB) beside it."""
    mel = MultiScaleMelLoss(sample_rate=codec.sample_rate)
    truth = [clip.classes[0] for clip in clips]
    originals: list[str] = []
    reconstructions: list[str] = []
    distances, ratios = [], []
    for start in tqdm(range(0, len(clips), batch_size), desc="coding", file=sys.stderr):
        audio = stack(clips[start : start + batch_size])
        decoded = codec.decode(codec.encode(audio), length=audio.shape[-1])
        originals += judge.classify(audio[:, 0])
        reconstructions += judge.classify(decoded[:, 0])
        distances += [float(mel(d, a)) for d, a in zip(decoded, audio, strict=True)]
        ratios.append(scale_invariant_signal_distortion_ratio(decoded, audio).flatten())
    result = accuracy_table(truth, reconstructions)
    agree = sum(o == r for o, r in zip(originals, reconstructions, strict=True))
    return {
        "accuracy": result["accuracy"],
        "accuracy of originals": accuracy_table(truth, originals)["accuracy"],
        "judged as the original": agree / len(clips),
        "mel distance": float(np.mean(distances)),
        "si-sdr": float(torch.cat(ratios).median()),
        "bitrate": codec.bitrate,
        "clips": len(clips),
        "classes": result["classes"],
    }


def print_table(result: dict[str, Any]) -> None:
    """Print overall figures and a line for every class, worst first."""
    for key, value in result.items():
        if key != "classes":
            print(f"{key:28s} {value:.3f}" if isinstance(value, float) else f"{key:28s} {value}")
    for name, row in sorted(result["classes"].items(), key=lambda item: item[1]["accuracy"]):
        mistaken = f"  mistaken for {row['mistaken for']}" if row["mistaken for"] else ""
        print(f"  {name:26s} {row['accuracy']:.2f}{mistaken}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m soundloom.recipes.foley.evaluate", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("what", choices=["prompts", "codec"], help="what to measure")
    parser.add_argument("--model", default="foley", help="AudioGen to judge (default: foley)")
    parser.add_argument("--codec", default="seanet-16khz", help="codec to judge (default: seanet-16khz)")
    parser.add_argument("--judge", default="foley-judge", help="classifier (default: foley-judge)")
    parser.add_argument("--per-class", type=int, default=4, help="clips of each class (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the generated sounds (default: 0)")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args(argv)
    if options.per_class < 1:
        parser.error(f"--per-class is {options.per_class}; at least 1")
    judge = SoundClassifier.from_pretrained(options.judge)
    clips = held_out_clips(options.per_class, sample_rate=judge.sample_rate)
    if options.what == "prompts":
        model = AudioGen.from_pretrained(options.model)
        result = evaluate_prompts(model, judge, clips, seed=options.seed)
    else:
        result = evaluate_codec(load_codec(options.codec), judge, clips)
    print_table(result)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
