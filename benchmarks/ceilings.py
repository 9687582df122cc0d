"""How much of what prompts ask for gets through a text encoder and a codec, before any language model.

    SOUNDLOOM_YAMNET=yamnet.onnx python benchmarks/ceilings.py recordings/ --codecs seanet-12hz seanet-16khz

For every prompt of evaluation/prompts.csv the text encoder chooses the recording whose caption is nearest (by
the cosine of the means of states), and YAMNet tells whether a right tag is heard in it: as it is, and behind
each codec. A language model over this codec that is told of its prompt by this encoder hardly does better, so
the table tells which of the three holds it back. `recordings/` has captions as for training; rows of the
split "train" are taken, and those without a split.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from soundloom.codecs.base import Codec
from soundloom.codecs.registry import load_codec
from soundloom.core.atomic import atomic_write
from soundloom.core.audio import read_audio
from soundloom.core.version import __version__
from soundloom.evaluation.mono import mono
from soundloom.evaluation.prompts import BUNDLED_PROMPTS, TaggedPrompt, read_prompts
from soundloom.evaluation.tags import TagAccuracy, first_tags
from soundloom.evaluation.yamnet import YAMNet
from soundloom.gen.text.encoder import TextEncoder
from soundloom.gen.text.loader import load_text_encoder
from soundloom.recipes.data.folder import Recording
from soundloom.recipes.data.recordings import read_recordings


@torch.inference_mode()
def embed(encoder: TextEncoder, texts: Sequence[str], batch_size: int = 64) -> Tensor:
    """Unit vectors `[B, D]` of texts."""
    means = [encoder(texts[i : i + batch_size]).mean() for i in range(0, len(texts), batch_size)]
    return normalize(torch.cat(means), dim=-1)


def nearest(
    encoder: TextEncoder, prompts: Sequence[TaggedPrompt], recordings: Sequence[Recording]
) -> list[Recording]:
    """For every prompt the recording one of whose captions is nearest."""
    captions = [(text, recording) for recording in recordings for text in recording.captions]
    likeness = embed(encoder, [one.prompt for one in prompts]) @ embed(encoder, [t for t, _ in captions]).T
    return [captions[place][1] for place in likeness.argmax(dim=1).tolist()]


@torch.inference_mode()
def measure(
    prompts: Sequence[TaggedPrompt],
    chosen: Sequence[Recording],
    tagger: YAMNet,
    codec: Codec | None,
    seconds: float,
) -> dict[str, Any]:
    """Shares of prompts of which a right tag is heard, see `TagAccuracy.report`."""
    accuracy = TagAccuracy(tagger)
    rate = tagger.sample_rate if codec is None else codec.sample_rate
    for prompt, recording in zip(prompts, chosen, strict=True):
        audio, own = read_audio(recording.path)  # [C, N]
        samples = mono(audio[None, :, : round(seconds * own)], own, rate)[:, None]  # [1, 1, N]
        if codec is not None:
            samples = codec.decode(codec.encode(samples), samples.shape[-1])
        accuracy.update(first_tags(tagger, samples, rate), [prompt.tags])
    return accuracy.report()


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="+", help="folders of captioned recordings")
    parser.add_argument("--encoders", nargs="+", default=["foley"], help="text encoders, by name or folder")
    parser.add_argument("--codecs", nargs="*", default=["seanet-12hz"], help="codecs, by name or folder")
    parser.add_argument("--prompts", type=Path, default=BUNDLED_PROMPTS, help="table with prompt and tags")
    parser.add_argument("--seconds", type=float, default=5.0, help="beginning of each recording")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args(words)

    tagger, prompts = YAMNet.from_pretrained(), read_prompts(options.prompts)
    recordings = read_recordings(options.recordings)
    rows = []
    print(f"{len(prompts)} prompts, {len(recordings)} recordings\n")
    print("| text encoder | codec | first | among the first five |\n|---|---|---:|---:|")
    for name in options.encoders:
        chosen = nearest(load_text_encoder(name), prompts, recordings)
        for codec in [None, *options.codecs]:
            found = measure(
                prompts, chosen, tagger, None if codec is None else load_codec(codec), options.seconds
            )
            rows.append({"encoder": name, "codec": codec, **found})
            shown = f"{100 * found['first']:.1f} % | {100 * found['among_five']:.1f} %"
            print(f"| {name} | {codec or 'none'} | {shown} |", flush=True)
    if options.json:
        with atomic_write(options.json) as file:
            file.write((json.dumps({"version": __version__, "rows": rows}, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
