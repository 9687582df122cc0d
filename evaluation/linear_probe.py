"""Linear probes: how much of what a sound is can be read from a codec's latents by a straight line.

Each clip becomes one vector, the means and deviations over time of its latents, features or mel bands; a
linear classifier is trained on the recordings of the split "train" and asked for the class of those of the
split "test". Both splits and the classes are columns of the folder's table. As in Music2Latent (arXiv
2408.06500) and Music2Latent2 (arXiv 2501.17578), whose latents are probed for downstream tasks.

Letters: C channels, N samples, T times, F values, n clips.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..codecs.base import Codec
from ..codecs.music2latent2 import Music2Latent2
from ..codecs.seanet.model import SEANetCodec
from ..core.progress import Progress
from ..recipes.data.folder import Recording, read_folder, read_part
from ..recipes.data.recordings import group_of
from .classifier import LogMel
from .evaluate_sounds import spread
from .interruption import Interruption
from .report import markdown_table

CLASS = "sound_class"
OTHER = "other"  # no class but the rest
MEL_RATE = 16000
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
HELD_OUT_EVERY = 5  # of the recordings to train on, those that choose the penalty


@dataclass(frozen=True)
class ProbeClip:
    """A recording, its class as a number and whether it is one to test with."""

    recording: Recording
    label: int
    test: bool


@dataclass(frozen=True)
class Representation:
    """What a probe reads: a name, the rate and channels of its sound, and audio `[1, C, N]` -> `[T, F]`."""

    name: str
    sample_rate: int
    channels: int
    describe: Callable[[Tensor], Tensor]


def log_mel() -> Representation:
    """64 bands of a log-mel spectrogram, every 20 ms: what a codec has to beat."""
    spectrogram = LogMel(sample_rate=MEL_RATE, n_fft=1024, hop=320, n_mels=64)
    return Representation("log-mel", MEL_RATE, 1, lambda audio: spectrogram(audio[:, 0])[0, 0].T)


def representations(name: str, codec: Codec) -> list[Representation]:
    """What can be probed of a codec: latents, and of a Music2Latent2 the features before the bottleneck.

    Raises:
        ValueError: a codec without latents.
    """
    kinds: dict[str, Callable[[Tensor], Tensor]]
    if isinstance(codec, Music2Latent2):
        kinds = {
            "latents": lambda audio: codec.encode(audio, discrete=False)[0].flatten(1),
            "features": lambda audio: codec.features(audio)[0].flatten(1),
        }
    elif isinstance(codec, SEANetCodec):
        kinds = {"latents": lambda audio: codec.encode_latent(audio)[0].T}
    else:
        raise ValueError(
            f"{name} is a {type(codec).__name__}; latents of a Music2Latent2 or SEANetCodec can be probed"
        )
    return [
        Representation(f"{name}, {kind}", codec.sample_rate, codec.channels, describe)
        for kind, describe in kinds.items()
    ]


def probe_clips(
    folder: str | Path, *, per_class: int = 60, least: tuple[int, int] = (20, 5)
) -> tuple[list[ProbeClip], list[str]]:
    """The clips of a folder to train a probe and to test it, and the names of their classes.

    Args:
        folder: with a table that has the columns file_name, split ("train", "test") and sound_class.
        per_class: at most so many of each class and split, spread evenly.
        least: recordings to train and to test that a class must have to be taken. "other" never is.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        ValueError: fewer than two classes have as many recordings.
    """
    found: dict[tuple[str, bool], list[Recording]] = defaultdict(list)
    for recording in read_folder(folder, captions=False):
        split, name = (recording.columns.get(key, "").strip().lower() for key in ("split", CLASS))
        if split in ("train", "test") and name not in ("", OTHER):
            found[name, split == "test"].append(recording)
    counts = {name: (len(found[name, False]), len(found[name, True])) for name, _ in list(found)}
    names = sorted(name for name, (train, test) in counts.items() if train >= least[0] and test >= least[1])
    if len(names) < 2:
        raise ValueError(
            f"{len(names)} classes of {folder} have {least[0]} recordings to train and {least[1]} to test; a "
            f"metadata.csv must say split (train, test) and {CLASS} of each file_name"
        )
    clips = [
        ProbeClip(recording, label, test)
        for label, name in enumerate(names)
        for test in (False, True)
        for recording in spread(found[name, test], per_class)
    ]
    return clips, names


@torch.no_grad()
def clip_vector(representation: Representation, recording: Recording, seconds: float) -> Tensor:
    """Means and deviations over time of the beginning of a recording, float32 `[2 F]`."""
    rate, channels = representation.sample_rate, representation.channels
    audio = read_part(recording.path, rate, channels, seconds=seconds)
    described = representation.describe(audio[None]).float()  # [T, F]
    return torch.cat((described.mean(0), described.std(0, correction=0)))


def fit_linear(vectors: Tensor, labels: Tensor, classes: int, penalty: float) -> Callable[[Tensor], Tensor]:
    """Multinomial logistic regression, every class counting the same.

    Args:
        vectors: `[n, F]`.
        labels: int64 `[n]`.
        classes: number of classes.
        penalty: of the mean square of the weights.

    Returns:
        A function from vectors `[m, F]` to logits `[m, classes]`.
    """
    mean, deviation = vectors.mean(0), vectors.std(0).clamp_min(1e-6)
    scaled = (vectors - mean) / deviation
    weight = torch.zeros(vectors.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    counts = torch.bincount(labels, minlength=classes).clamp_min(1)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(scaled @ weight + bias, labels, weight=1 / counts.float())
        value = value + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found_weight, found_bias = weight.detach(), bias.detach()
    return lambda others: (others - mean) / deviation @ found_weight + found_bias


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Mean over the classes that occur of the share of their clips that are named right."""
    right = predicted == labels
    return float(torch.stack([right[labels == label].float().mean() for label in labels.unique()]).mean())


def probe(vectors: Tensor, clips: Sequence[ProbeClip], classes: int) -> dict[str, float]:
    """Train on the clips to train with and test on the others.

    The penalty is the one that does best on a fifth of the recordings to train with.

    Args:
        vectors: `[n, F]`, one for each clip.
        clips: n.
        classes: number of classes.

    Returns:
        "accuracy", "balanced_accuracy" and the "penalty" that was chosen.
    """
    labels = torch.tensor([clip.label for clip in clips])
    test = torch.tensor([clip.test for clip in clips])
    groups: dict[str, int] = {}
    numbers = torch.tensor([groups.setdefault(group_of(clip.recording), len(groups)) for clip in clips])
    held = ~test & (numbers % HELD_OUT_EVERY == 0)

    def tried(train: Tensor, asked: Tensor, penalty: float) -> tuple[float, float]:
        classify = fit_linear(vectors[train], labels[train], classes, penalty)
        predicted, right = classify(vectors[asked]).argmax(1), labels[asked]
        return balanced_accuracy(predicted, right), float((predicted == right).float().mean())

    best = max(PENALTIES, key=lambda penalty: tried(~test & ~held, held, penalty))
    balanced, accuracy = tried(~test, test, best)
    return {"accuracy": accuracy, "balanced_accuracy": balanced, "penalty": best}


def probe_codecs(
    codecs: Mapping[str, Codec],
    folder: str | Path,
    *,
    per_class: int = 60,
    seconds: float = 4.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Probe a log-mel spectrogram and all that can be probed of codecs.

    Args:
        codecs: by the name that rows call them.
        folder, per_class: see `probe_clips`.
        seconds: beginning of each recording that is read.
        progress: called with the number of clips done and to do, over all representations.

    Returns:
        "rows", one for each representation: its name, number of values F and the figures of `probe`; and what
        they rest on. Ctrl+C ends it with the rows that are complete: "stopped" is true, and "notes" says it.

    Raises:
        KeyboardInterrupt: Ctrl+C, before the first row.
    """
    clips, names = probe_clips(folder, per_class=per_class)
    probed = [log_mel(), *(one for name, codec in codecs.items() for one in representations(name, codec))]
    rows: list[dict[str, Any]] = []
    interruption = Interruption()
    with interruption.until_stopped(lambda: rows):
        for representation in probed:
            vectors = []
            for clip in clips:
                vectors.append(clip_vector(representation, clip.recording, seconds))
                if progress is not None:
                    progress(len(rows) * len(clips) + len(vectors), len(clips) * len(probed))
            stacked = torch.stack(vectors)
            rows.append(
                {"name": representation.name, "values": stacked.shape[1], **probe(stacked, clips, len(names))}
            )
    splits = Counter("test" if clip.test else "train" for clip in clips)
    return {
        "rows": rows,
        "classes": names,
        "train": splits["train"],
        "test": splits["test"],
        "seconds": seconds,
        "stopped": interruption.stopped,
        "notes": interruption.notes(len(rows), len(probed), "rows"),
    }


def probe_table(report: Mapping[str, Any]) -> str:
    """A report of `probe_codecs` as Markdown."""
    rows = [
        [row["name"], str(row["values"]), f"{row['balanced_accuracy']:.1%}", f"{row['accuracy']:.1%}"]
        for row in report["rows"]
    ]
    classes = len(report["classes"])
    based = (
        f"{classes} classes, {report['train']} recordings to train and {report['test']} to test; chance "
        f"has a balanced accuracy of {1 / classes:.1%}"
    )
    table = markdown_table(["", "values", "balanced accuracy", "accuracy"], rows)
    return "\n".join([f"{based}:\n", table, *(f"note: {note}" for note in report["notes"])])
