"""Evaluate a folder of sounds, a model or a codec: what `soundloom evaluate` does.

The figures are made in evaluation/frechet.py and evaluation/spectral_distance.py; here they meet the data. A
sound that cannot be read or measured is listed under "failed" in the report, with its reason; the figures are
those of the others. When Ctrl+C ends the work, "stopped" is true, and the figures are those of what was done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.audio import AudioError, check_finite, check_sound, mix, read_audio, resample
from ..core.failures import Failure, attempt, said
from ..core.filenames import same_name
from ..core.progress import Progress
from ..core.sound_reader import open_sound
from ..gen.pipeline import AudioGen
from ..recipes.data.folder import UNREADABLE, list_folder
from .audio_text_scorer import AudioTextScorer
from .bench.run import BenchSound
from .embedders import Embedder, NamedClassifier
from .evaluation import Evaluation, named_class
from .interruption import Interruption
from .prompt_accuracy import PromptAccuracy
from .reconstruction import Reconstruction

Item = TypeVar("Item")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Example:
    """A sound to evaluate with.

    Attributes:
        name: path below its folder without suffix, or what else tells it apart.
        read: gives samples `[C, N]` and their rate in Hz.
        caption: what it should sound like; "" when nobody said.
        label: the class that the classifier should hear in it, or None.
        file: what a list of failures calls it; "": its name.
    """

    name: str
    read: Callable[[], tuple[Tensor, int]]
    caption: str = ""
    label: str | None = None
    file: str = ""


def folder_examples(
    folder: str | Path,
    *,
    class_names: Sequence[str] = (),
    captions: bool = False,
    split: str | None = None,
    limit: int | None = None,
    seconds: float | None = None,
) -> list[Example]:
    """The sounds below a folder; captions as in `recipes.folder`, the first of each counts.

    Args:
        folder: searched with all folders below.
        class_names: of the classifier; a caption that names exactly one of them makes it the label.
        captions: take only sounds that have one.
        split: take only sounds of this split, where a table of the folder tells splits apart.
        limit: take only so many, spread evenly over the sorted names.
        seconds: read only so much of each.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        ValueError: it holds no sounds, none of the split or with a caption where one is needed, or the limit
            is below 1 or `seconds` not above 0.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"--seconds is {seconds:g}; it must be a number above 0")
    listing = list_folder(folder)
    listing.check()
    if split is not None:
        listing.keep_split(split, or_none=False)
    recordings = listing.recordings
    if captions:
        recordings = [recording for recording in recordings if recording.captions]
        if not recordings:
            raise ValueError(
                f"none of the sounds in {folder} has a caption: write a metadata.csv with file_name and "
                "text, or a .txt beside each sound"
            )
    examples = []
    for recording in spread(recordings, limit):
        caption = recording.captions[0] if recording.captions else ""
        name = same_name(PurePosixPath(recording.name).with_suffix("").as_posix())
        label = named_class(caption, class_names)
        examples.append(Example(name, _reader(recording.path, seconds), caption, label, str(recording.path)))
    return examples


def folder_failures(folder: str | Path) -> list[Failure]:
    """What in a folder cannot even be listed: links to nowhere, folders that may not be entered."""
    problems = [problem for problem in list_folder(folder).problems if problem.kind == UNREADABLE]
    return [Failure(str(Path(folder) / problem.file), problem.detail) for problem in problems]


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, evenly spread, in their order; all when `limit` is None.

    Raises:
        ValueError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"the limit is {limit}; it must be 1 or more")
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def _reader(path: Path, seconds: float | None) -> Callable[[], tuple[Tensor, int]]:
    def read() -> tuple[Tensor, int]:
        if seconds is None:
            return read_audio(path)
        with open_sound(path) as sound:
            samples = sound.read(0, max(1, round(seconds * sound.sample_rate)))
            if not samples.shape[-1]:
                raise AudioError(f"{path} holds 0 samples; take it out")
            check_sound(samples, sound.name)
            return samples, sound.sample_rate

    return read


def evaluate_sounds(
    examples: Sequence[Example],
    references: Sequence[Example],
    classifier: NamedClassifier,
    *,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure sounds as they are: FAD and KAD to all references, KL to the one of the same name, accuracy.

    Returns:
        See `Evaluation.report`; also "sounds" and "references".
    """
    evaluation = Evaluation(classifier, embedder)
    partners = {reference.name: reference for reference in references}
    work = Work(progress, len(examples) + len(references))

    def measure_one(example: Example) -> None:
        samples, rate = example.read()
        partner = partners.get(example.name)
        # A partner that cannot be read is named in its own turn, below.
        pair = None if partner is None else attempt(partner.name, partner.read)
        evaluation.add(samples, rate, label=example.label)
        if pair is not None and not isinstance(pair, Failure):
            evaluation.add_pair(samples, rate, *pair)

    sounds = work.go_through(examples, measure_one)
    known = work.go_through(references, lambda reference: evaluation.add_reference(*reference.read()))
    return {"sounds": sounds, "references": known, **work.report(evaluation)}


def evaluate_model(
    model: AudioGen,
    examples: Sequence[Example],
    classifier: NamedClassifier,
    *,
    embedder: Embedder | None = None,
    duration: float = 5.0,
    seed: int = 0,
    candidates: int = 1,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Generate from the caption of every example, with default settings, and compare with the example.

    Args:
        model: what is measured.
        examples: with captions; their sounds are the references.
        classifier: for KL and prompt accuracy, and for FAD and KAD unless `embedder` is given.
        embedder: for FAD and KAD.
        duration: seconds of each generated sound.
        seed: of the first sound; the others count up from it.
        candidates: sounds made for each one, of which the shipped scorer keeps the best.
        batch_size: sounds generated at once; results do not depend on it.
        progress: called with the number of sounds done and to do.

    Returns:
        See `Evaluation.report`; also what is needed to repeat it.
    """
    evaluation = Evaluation(classifier, embedder)
    work = Work(progress, len(examples))
    references: list[tuple[int, Example, tuple[Tensor, int]]] = []
    choice: dict[str, Any] = {"candidates": candidates, "rerank": AudioTextScorer()} if candidates > 1 else {}

    def measure_one(
        samples: Tensor, sample_rate: int, example: Example, reference: Tensor, rate: int
    ) -> None:
        evaluation.add(samples, sample_rate, label=example.label)
        evaluation.add_reference(reference, rate)
        evaluation.add_pair(samples, sample_rate, reference, rate)

    def measure_batch() -> None:
        """Generate for all examples whose references could be read."""
        prompts = [example.caption for _, example, _ in references]
        audio = attempt(
            "",
            model.generate,
            prompts,
            duration=duration,
            seed=[number for number, _, _ in references],
            **choice,
        )
        for place, (_, example, reference) in enumerate(references):
            if isinstance(audio, Failure):
                work.fail(example, audio)
            else:
                work.do(example, measure_one, audio.samples[place], audio.sample_rate, example, *reference)
            work.step()
        references.clear()

    with work.until_stopped():
        for number, example in enumerate(examples, start=seed):
            found = attempt(example.name, example.read)
            if isinstance(found, Failure):
                work.fail(example, found)
                work.step()
            else:
                references.append((number, example, found))
            if len(references) == batch_size or (references and number == seed + len(examples) - 1):
                measure_batch()
    settings = {"duration": duration, "seed": seed, "candidates": candidates}
    return {"sounds": work.done, **settings, **work.report(evaluation)}


def evaluate_codec(
    codec: Codec,
    examples: Sequence[Example],
    classifier: NamedClassifier,
    *,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Encode and decode every example; compare at the codec's own rate and channels.

    Returns:
        See `Evaluation.report`; "reconstruction": see `Reconstruction.report`; "bitrate" in bits
        per second; and the accuracy of the originals beside that of the reconstructions.
    """
    evaluation, originals = Evaluation(classifier, embedder), PromptAccuracy(classifier)
    reconstruction = Reconstruction(codec.sample_rate)
    work = Work(progress, len(examples))

    def measure_one(example: Example) -> None:
        audio = codec.prepare(*example.read())
        with torch.inference_mode():
            decoded = codec.decode(codec.encode(audio), length=audio.shape[-1]).float()
        rate = codec.sample_rate
        evaluation.add(decoded[0], rate, label=example.label)
        evaluation.add_reference(audio[0], rate)
        evaluation.add_pair(decoded[0], rate, audio[0])
        if example.label is not None:
            originals.update(audio, rate, [example.label])
        reconstruction.update(decoded, audio)

    sounds = work.go_through(examples, measure_one)
    report = work.report(evaluation)
    return {
        "sounds": sounds,
        "sample_rate": codec.sample_rate,
        "bitrate": codec.bitrate,
        "reconstruction": reconstruction.report(),
        **report,
        "accuracy_of_originals": originals.report() if report["prompt_accuracy"] else None,
    }


def bench_sounds(
    examples: Sequence[Example],
    sample_rate: int,
    channels: int,
    progress: Progress | None = None,
    failures: list[Failure] | None = None,
) -> Iterator[BenchSound]:
    """Examples as `codecs.bench.run.run_bench` takes them: resampled and mixed, one at a time.

    Those that cannot be read are left out and added to `failures`.
    """
    work = Work(progress, len(examples), failures)
    for example in examples:
        found = work.do(example, lambda example: _resampled(*example.read(), sample_rate, channels), example)
        work.step()
        if found is not None:
            yield BenchSound(example.name, found)
    work.check()


def _resampled(samples: Tensor, rate: int, sample_rate: int, channels: int) -> Tensor:
    audio = resample(mix(samples, channels), rate, sample_rate)
    check_finite(audio)
    return audio


class Work:
    """Work on one example after the other: counts what is done, and lists what fails.

    Attributes:
        done: examples that were measured.
        failures: those that were not.
    """

    def __init__(self, progress: Progress | None, total: int, failures: list[Failure] | None = None) -> None:
        self.failures = [] if failures is None else failures
        self.done, self._interruption = 0, Interruption()
        self._progress, self._total, self._steps = progress, total, 0

    @property
    def stopped(self) -> bool:
        """Whether the user ended it before all was done."""
        return self._interruption.stopped

    def step(self) -> None:
        """Report one example more, measured or not."""
        self._steps += 1
        if self._progress is not None:
            self._progress(self._steps, self._total)

    def fail(self, example: Example, failure: Failure) -> None:
        """Note that an example failed."""
        self.failures.append(replace(failure, file=example.file or example.name))

    def do(
        self,
        example: Example,
        work: Callable[Parameters, Result],
        *args: Parameters.args,
        **settings: Parameters.kwargs,
    ) -> Result | None:
        """The result of the work on an example; None if it failed."""
        found = attempt(example.file or example.name, work, *args, **settings)
        if isinstance(found, Failure):
            self.fail(example, found)
            return None
        self.done += 1
        return found

    def go_through(self, examples: Sequence[Example], work: Callable[[Example], None]) -> int:
        """Do the work on all examples; returns on how many it was done."""
        before = self.done
        with self.until_stopped():
            for example in () if self.stopped else examples:
                self.do(example, work, example)
                self.step()
        return self.done - before

    def until_stopped(self) -> AbstractContextManager[None]:
        """Let Ctrl+C end the work, not lose what was measured so far."""
        return self._interruption.until_stopped(lambda: self.done)

    def check(self) -> None:
        """Raise `ValueError` if nothing could be measured."""
        if self.failures and not self.done:
            count, first = len(self.failures), said(self.failures[0])
            raise ValueError(f"none of the {count} sounds can be measured; the first: {first}")

    def report(self, evaluation: Evaluation) -> dict[str, Any]:
        """What was measured, and `outcome`; raises as `check`."""
        self.check()
        report, outcome = evaluation.report(), self.outcome()
        return {**report, **outcome, "notes": report["notes"] + outcome["notes"]}

    def outcome(self) -> dict[str, Any]:
        """Whether it was "stopped", with a note if so, and "failed": what was not measured, with reasons."""
        return {
            "notes": self._interruption.notes(self._steps, self._total, "sounds"),
            "failed": [{"file": failure.file, "reason": failure.reason} for failure in self.failures],
            "stopped": self.stopped,
        }
