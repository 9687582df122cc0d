"""What `soundloom evaluate` measures: a folder of sounds, a model, or a codec, on real or on held-out sounds.

The figures are made in gen/metrics.py and codecs/metrics.py; here they meet the data.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import soundfile
import torch
from torch import Tensor

from ..codecs.audio import AudioError, mix, read_audio, resample
from ..codecs.base import Codec
from ..codecs.bench.run import BenchSound
from ..codecs.metrics import LogSpectralDistance, MultiResolutionMelDistance, si_sdr
from ..gen.embedders import Embedder, Judge
from ..gen.evaluation import Evaluation, named_class
from ..gen.metrics import PromptAccuracy
from ..gen.pipeline import AudioGen
from ..gen.rerank import JudgeScorer
from .folder import list_folder, read_part

Progress = Callable[[int, int], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Example:
    """A sound to evaluate with.

    Attributes:
        name: path below its folder without suffix, or what else tells it apart.
        read: gives samples `[C, N]` and their rate in Hz.
        caption: what it should sound like; "" when nobody said.
        label: the class that the judge should hear in it, or None.
    """

    name: str
    read: Callable[[], tuple[Tensor, int]]
    caption: str = ""
    label: str | None = None


def folder_examples(
    folder: str | Path,
    *,
    class_names: Sequence[str] = (),
    captions: bool = False,
    limit: int | None = None,
    seconds: float | None = None,
) -> list[Example]:
    """The sounds below a folder; captions as in `recipes.folder`, the first of each counts.

    Args:
        folder: searched with all folders below.
        class_names: of the judge; a caption that names exactly one of them makes it the label.
        captions: take only sounds that have one.
        limit: take only so many, spread evenly over the sorted names.
        seconds: read only so much of each.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        ValueError: it holds no sounds, none with a caption where one is needed, or the limit is below 1 or
            `seconds` not above 0.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"--seconds is {seconds:g}; it must be a number above 0")
    recordings = list_folder(folder).recordings
    if not recordings:
        raise ValueError(f"{folder} holds no sound file (.wav, .flac, .ogg, .mp3)")
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
        name = PurePosixPath(recording.name).with_suffix("").as_posix()
        label = named_class(caption, class_names)
        examples.append(Example(name, _reader(recording.path, seconds), caption, label))
    return examples


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
        try:
            info = soundfile.info(str(path))
        except soundfile.SoundFileError as error:
            raise AudioError(f"cannot read sound from {path} ({error}); convert it or take it out") from error
        rate = int(info.samplerate)
        return read_part(path, rate, info.channels, seconds=seconds), rate

    return read


def evaluate_sounds(
    examples: Sequence[Example],
    references: Sequence[Example],
    judge: Judge,
    *,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Judge sounds as they are: FAD and KAD to all references, KL to the one of the same name, accuracy.

    Returns:
        See `Evaluation.report`; also "sounds" and "references".
    """
    evaluation = Evaluation(judge, embedder)
    partners = {reference.name: reference for reference in references}
    step = Steps(progress, len(examples) + len(references))
    for example in examples:
        samples, rate = example.read()
        evaluation.add(samples, rate, label=example.label)
        if example.name in partners:
            evaluation.add_pair(samples, rate, *partners[example.name].read())
        step()
    for reference in references:
        evaluation.add_reference(*reference.read())
        step()
    return {"sounds": len(examples), "references": len(references), **evaluation.report()}


def evaluate_model(
    model: AudioGen,
    examples: Sequence[Example],
    judge: Judge,
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
        model: what is judged.
        examples: with captions; their sounds are the references.
        judge: for KL and prompt accuracy, and for FAD and KAD unless `embedder` is given.
        embedder: for FAD and KAD.
        duration: seconds of each generated sound.
        seed: of the first sound; the others count up from it.
        candidates: sounds made for each one, of which the shipped scorer keeps the best.
        batch_size: sounds generated at once; results do not depend on it.
        progress: called with the number of sounds done and to do.

    Returns:
        See `Evaluation.report`; also what is needed to repeat it.
    """
    evaluation = Evaluation(judge, embedder)
    step = Steps(progress, len(examples))
    choice: dict[str, Any] = {"candidates": candidates, "rerank": JudgeScorer()} if candidates > 1 else {}
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        seeds = [seed + start + i for i in range(len(batch))]
        audio = model.generate(
            [example.caption for example in batch], duration=duration, seed=seeds, **choice
        )
        for samples, example in zip(audio.samples, batch, strict=True):
            reference, rate = example.read()
            evaluation.add(samples, audio.sample_rate, label=example.label)
            evaluation.add_reference(reference, rate)
            evaluation.add_pair(samples, audio.sample_rate, reference, rate)
            step()
    return {
        "sounds": len(examples),
        "duration": duration,
        "seed": seed,
        "candidates": candidates,
        **evaluation.report(),
    }


def evaluate_codec(
    codec: Codec,
    examples: Sequence[Example],
    judge: Judge,
    *,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Encode and decode every example; compare at the codec's own rate and channels.

    Returns:
        See `Evaluation.report`; "reconstruction": mean distances and median SI-SDR in dB; "bitrate" in bits
        per second; and the accuracy of the originals beside that of the reconstructions.
    """
    evaluation, originals = Evaluation(judge, embedder), PromptAccuracy(judge)
    mel, spectral = MultiResolutionMelDistance(codec.sample_rate), LogSpectralDistance()
    ratios: list[float] = []
    step = Steps(progress, len(examples))
    for example in examples:
        audio = codec.prepare(*example.read())
        with torch.inference_mode():
            decoded = codec.decode(codec.encode(audio), length=audio.shape[-1]).float()
        rate = codec.sample_rate
        mel.update(decoded, audio)
        spectral.update(decoded, audio)
        ratios += si_sdr(decoded, audio).tolist()
        evaluation.add(decoded[0], rate, label=example.label)
        evaluation.add_reference(audio[0], rate)
        evaluation.add_pair(decoded[0], rate, audio[0])
        if example.label is not None:
            originals.update(audio, rate, [example.label])
        step()
    report = evaluation.report()
    defined = [ratio for ratio in ratios if not math.isnan(ratio)]
    reconstruction = {
        "mel_distance": float(mel.compute()),
        "log_spectral_distance": float(spectral.compute()),
        "si_sdr": statistics.median(defined) if defined else math.nan,
    }
    return {
        "sounds": len(examples),
        "sample_rate": codec.sample_rate,
        "bitrate": codec.bitrate,
        "reconstruction": reconstruction,
        **report,
        "accuracy_of_originals": originals.report() if report["prompt_accuracy"] else None,
    }


def bench_sounds(
    examples: Sequence[Example], sample_rate: int, channels: int, progress: Progress | None = None
) -> Iterator[BenchSound]:
    """Examples as `codecs.bench.run.run_bench` takes them: resampled and mixed, one at a time."""
    step = Steps(progress, len(examples))
    for example in examples:
        samples, rate = example.read()
        yield BenchSound(example.name, resample(mix(samples, channels), rate, sample_rate))
        step()


class Steps:
    """Counts what is done; calling it reports one step more."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)
