"""Evaluate a model by prompts and the tags that are right for each: `soundloom evaluate --prompts`.

A table has a row for each prompt:

    prompt,tags
    my dog barking at the mailman,Dog;Bark;Bow-wow

`tags` are names of AudioSet's classes as YAMNet knows them, with ";" between them. The table that ships,
prompts.csv, was written by hand; none of its prompts is a caption of training data, and none may become one.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core.progress import Progress
from ..gen.pipeline import AudioGen
from .audio_text_scorer import AudioTextScorer
from .embedders import NamedClassifier
from .evaluate_sounds import Example, Work
from .evaluation import Evaluation, named_class
from .tags import TagAccuracy, check_tags, first_tags
from .yamnet import YAMNet

BUNDLED_PROMPTS = Path(__file__).with_name("prompts.csv")


@dataclass(frozen=True)
class TaggedPrompt:
    """A prompt, and the tags of which one should be heard in its sound."""

    prompt: str
    tags: tuple[str, ...]


def read_prompts(path: str | Path = BUNDLED_PROMPTS) -> list[TaggedPrompt]:
    """Read a table of prompts and their tags, UTF-8.

    Raises:
        OSError: it cannot be read.
        ValueError: a column is missing, a row has no prompt or no tag, or there are no rows.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is no table of prompts ({error}); it must be CSV in UTF-8") from error
    if missing := {"prompt", "tags"} - set(columns):
        raise ValueError(
            f"{path} has no column {' and '.join(sorted(missing))}; its first line must be: prompt,tags"
        )
    prompts = []
    for number, row in enumerate(rows, start=1):
        tags = tuple(tag.strip() for tag in (row["tags"] or "").split(";") if tag.strip())
        prompt = (row["prompt"] or "").strip()
        if not prompt or not tags:
            raise ValueError(
                f"{path}, row {number}: {row} needs a prompt and a tag; several go as 'Dog;Bark'"
            )
        prompts.append(TaggedPrompt(prompt, tags))
    if not prompts:
        raise ValueError(f"{path} holds no prompts; add a row for each: prompt,tags")
    return prompts


def evaluate_prompts(
    model: AudioGen,
    prompts: Sequence[TaggedPrompt],
    classifier: NamedClassifier,
    tagger: YAMNet,
    *,
    references: Sequence[Example] = (),
    duration: float = 5.0,
    seed: int = 0,
    candidates: int = 1,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Generate a sound from every prompt, with default settings, and tell whether a right tag is heard in it.

    Args:
        model: what is measured.
        prompts: with their tags.
        classifier: for the prompts that name exactly one of its classes.
        tagger: hears the sounds; its features are those of FAD and KAD.
        references: sounds to be near to, for FAD and KAD.
        duration: seconds of each generated sound.
        seed: of the first sound; the others count up from it.
        candidates: sounds made for each one, of which the shipped scorer keeps the best.
        batch_size: sounds generated at once; results do not depend on it.
        progress: called with the number of sounds done and to do.

    Returns:
        See `Evaluation.report`; also "wanted_tags", see `TagAccuracy.report`, "prompts" with what was heard
        in each, "beyond_full_scale", the share of sounds with a sample beyond 1, and what is needed to repeat
        it.

    Raises:
        ValueError: a tag that the tagger does not know.
    """
    for prompt in prompts:
        check_tags(tagger, prompt.tags)
    evaluation, accuracy = Evaluation(classifier, tagger), TagAccuracy(tagger)
    choice: dict[str, Any] = {"candidates": candidates, "rerank": AudioTextScorer()} if candidates > 1 else {}
    work = Work(progress, len(prompts) + len(references))
    rows: list[dict[str, Any]] = []
    beyond = 0

    def measure_one(samples: Tensor, sample_rate: int, prompt: TaggedPrompt) -> None:
        nonlocal beyond
        label = named_class(prompt.prompt, classifier.class_names)
        evaluation.add(samples, sample_rate, label=label)
        heard = first_tags(tagger, samples[None], sample_rate)
        accuracy.update(heard, [prompt.tags])
        beyond += int(samples.abs().max() > 1)
        rows.append({"prompt": prompt.prompt, "tags": list(prompt.tags), "heard": heard[0]})

    with work.until_stopped():
        for start in range(0, len(prompts), batch_size):
            batch = prompts[start : start + batch_size]
            seeds = [seed + start + i for i in range(len(batch))]
            audio = model.generate(
                [prompt.prompt for prompt in batch], duration=duration, seed=seeds, **choice
            )
            for samples, prompt in zip(audio.samples, batch, strict=True):
                measure_one(samples, audio.sample_rate, prompt)
                work.done += 1
                work.step()
    known = work.go_through(references, lambda reference: evaluation.add_reference(*reference.read()))
    return {
        "sounds": len(rows),
        "references": known,
        "duration": duration,
        "seed": seed,
        "candidates": candidates,
        "beyond_full_scale": beyond / max(1, len(rows)),
        **work.report(evaluation),
        "wanted_tags": accuracy.report(),
        "prompts": rows,
    }
