"""Measure where a generated sound meets itself: loops at their seams, and prompts that change on the way.

Beside every seam stand places within the same sounds where nothing meets, and sounds that were simply put one
after the other.

Letters: C channels, N samples, T frames, D width of a latent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.progress import Progress
from ..gen.generated_audio import GeneratedAudio
from ..gen.pipeline import AudioGen
from .edits import Asked, Figures, add_heard
from .embedders import Classifier
from .joins import latent_step, latents_of
from .tags import Tagger

TIMES = 5  # a loop is repeated
LOOP_SECONDS = 3.0
PART_SECONDS = 2.0  # of each of the three parts of a sequence


def measure_loops(
    model: AudioGen,
    prompts: Sequence[str],
    *,
    loops: int = 40,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make loops, repeat each five times, and measure the seams.

    Args:
        model: makes them, and plain sounds with the same prompts and seeds to compare with.
        prompts: taken in turn.
        loops: number of them.
        seed: of the first; the others count up from it.
        progress: called with the number of loops done and to do.

    Returns:
        Of "loop", of "not a loop" (a plain sound that is repeated) and of places "within" a loop: "clicks",
        and the steps of spectrum (dB) and latents, see `Figures.report`.
    """
    figures: dict[str, Figures] = defaultdict(Figures)
    for number in range(loops):
        prompt = prompts[number % len(prompts)]
        for name, looped in (("loop", True), ("not a loop", False)):
            made = model.generate(prompt, duration=LOOP_SECONDS, seed=seed + number, loop=looped)
            length, rate = made.samples.shape[-1], made.sample_rate
            repeated = made.samples[0].repeat(1, TIMES)
            latents = latents_of(model.codec, made.codes[0]).repeat(1, 2)  # [D, 2 T]
            frames = latents.shape[-1] // 2
            for turn in range(1, TIMES):
                figures[name].add_join(repeated, turn * length, rate)
            figures[name].add("latent step", latent_step(latents, frames))
            for part in (1, 2, 3) if looped else ():
                figures["within"].add_join(repeated, length + part * length // 4, rate)
                figures["within"].add("latent step", latent_step(latents, part * frames // 4))
        if progress is not None:
            progress(number + 1, loops)
    return {name: found.report() for name, found in figures.items()}


def measure_sequences(
    model: AudioGen,
    asked: Sequence[Asked],
    classifier: Classifier,
    *,
    tagger: Tagger | None = None,
    sequences: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make sounds whose prompt changes to another one and back, and measure both joins.

    Args:
        model: makes them, and sounds of the same prompts alone to compare with.
        asked: two of them at a time, in turn; at least 2.
        classifier, tagger: hear the part in the middle.
        sequences: number of them.
        seed: of the first; the others count up from it.
        progress: called with the number of sequences done and to do.

    Returns:
        "joins": of the "sequence" where the prompt changes, of places "within" its parts, and of a "hard cut"
        between sounds of the same prompts: see `measure_loops`. "heard": as of `measure_edits`, in the middle
        part of a "sequence" and in a sound of that prompt "alone". "lengths kept": share of sequences that
        are as long as was asked for.
    """
    figures: dict[str, Figures] = defaultdict(Figures)
    heard: dict[str, Figures] = defaultdict(Figures)
    kept = 0
    for number in range(sequences):
        first, other = asked[number % len(asked)], asked[(number + 1) % len(asked)]
        texts = [(0.0, first.prompt), (PART_SECONDS, other.prompt), (2 * PART_SECONDS, first.prompt)]
        made = model.generate(prompts_at=texts, duration=3 * PART_SECONDS, seed=seed + number)
        alone = model.generate([first.prompt, other.prompt], duration=PART_SECONDS, seed=seed + number)
        rate, part = made.sample_rate, alone.samples.shape[-1]
        kept += made.samples.shape[-1] == round(3 * PART_SECONDS * rate)
        cut = torch.cat([alone.samples[0], alone.samples[1], alone.samples[0]], dim=-1)
        for place in (part, 2 * part):
            figures["sequence"].add_join(made.samples[0], place, rate)
            figures["hard cut"].add_join(cut, place, rate)
        for place in (part // 2, 3 * part // 2, 5 * part // 2):
            figures["within"].add_join(made.samples[0], place, rate)
        _add_latent_steps(model, figures, made)
        middle = made.samples[..., part : 2 * part]
        for name, sound in (("sequence", middle), ("alone", alone.samples[1:])):
            add_heard(heard[name], sound, rate, other, classifier, tagger)
        if progress is not None:
            progress(number + 1, sequences)
    return {
        "sequences": sequences,
        "lengths kept": kept / sequences,
        "joins": {name: found.report() for name, found in figures.items()},
        "heard": {name: found.means() for name, found in heard.items()},
    }


def _add_latent_steps(model: AudioGen, figures: dict[str, Figures], made: GeneratedAudio) -> None:
    """How far the latents move where the prompt changes, and halfway between."""
    latents: Tensor = latents_of(model.codec, made.codes[0])
    for sixth in range(1, 6):
        name = "within" if sixth % 2 else "sequence"
        figures[name].add("latent step", latent_step(latents, sixth * latents.shape[-1] // 6))
