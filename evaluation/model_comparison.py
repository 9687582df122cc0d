"""Compare two models, before and after a fine-tuning, beside recordings: `soundloom compare-models`.

Both models generate from the captions of recordings that were kept out of the training; recordings and
generated sounds are compared at equal length (a short recording is followed by silence, as a generated
sound should be). FAD and KL are those of `soundloom evaluate`. "group" is the share of sounds whose nearest
group is the one that was asked for: a group is all recordings whose captions hold certain words, its centre
the mean of the classifier's features over those that the model was trained on, and the share the mean over
groups. The recordings themselves, and what the codec leaves of them, are measured alike: a model cannot be
expected to do better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from ..codecs.base import Codec
from ..core.pictures import SHEET, Spectrogram, spectrogram_figure
from ..core.progress import Progress
from ..gen.pipeline import AudioGen
from .embedders import LogMelStatistics, NamedClassifier
from .evaluate_sounds import Example, spread
from .evaluation import Evaluation
from .frechet import FrechetAudioDistance
from .interruption import Interruption
from .mono import mono

BATCH = 16
BEFORE, AFTER, CODED, REAL = "before", "after", "recordings through the codec", "recordings"


@dataclass(frozen=True)
class Sounds:
    """Mono sounds `[B, N]` of equal length at `sample_rate` Hz; B is a multiple of the number of examples."""

    audio: Tensor
    sample_rate: int


def recorded(examples: Sequence[Example], duration: float, sample_rate: int) -> Sounds:
    """The beginnings of recordings; silence follows those that are shorter than `duration` seconds."""
    samples = round(duration * sample_rate)
    rows = []
    for example in examples:
        audio, rate = example.read()
        start = mono(audio[None], rate, sample_rate)[0, :samples]
        rows.append(F.pad(start, (0, samples - len(start))))
    return Sounds(torch.stack(rows), sample_rate)


def coded(sounds: Sounds, codec: Codec) -> Iterator[Tensor]:
    """Yield what a codec leaves of each sound, `[N]`."""
    for row in sounds.audio:
        prepared = codec.prepare(row[None], sounds.sample_rate)
        with torch.inference_mode():
            decoded = codec.decode(codec.encode(prepared), length=prepared.shape[-1])
        yield mono(decoded.float(), codec.sample_rate, sounds.sample_rate)[0]


def generated(
    model: AudioGen,
    examples: Sequence[Example],
    duration: float,
    sample_rate: int,
    *,
    seed: int = 0,
    samples: int = 1,
) -> Iterator[Tensor]:
    """Make sounds from all captions, `samples` times in turn, with default settings; the seed counts up.

    Yields:
        Mono sounds `[N]`.
    """
    captions = [example.caption for example in examples] * samples
    for start in range(0, len(captions), BATCH):
        prompts = captions[start : start + BATCH]
        seeds = [seed + start + i for i in range(len(prompts))]
        audio = model.generate(prompts, duration=duration, seed=seeds)
        yield from mono(audio.samples, audio.sample_rate, sample_rate)


def group_of(caption: str, groups: Sequence[str]) -> int | None:
    """The first of the groups whose words occur in a caption."""
    return next((i for i, words in enumerate(groups) if words.lower() in caption.lower()), None)


class NearestGroup:
    """Tells which group of recordings a sound is most like, in the classifier's features.

    Features are scaled to unit spread over the recordings, sounds to equal peaks.

    Args:
        groups: words; captions that hold them make a group.
        sounds: recordings, of which the groups are made.
        captions: one for each of them.
        classifier: gives the features.

    Raises:
        ValueError: fewer than 2 groups, or one that no caption belongs to.
    """

    def __init__(
        self, groups: Sequence[str], sounds: Sounds, captions: Sequence[str], classifier: NamedClassifier
    ) -> None:
        if len(groups) < 2:
            raise ValueError(f"groups is {list(groups)}; telling them apart wants 2 or more")
        members: list[list[int]] = [[] for _ in groups]
        for row, caption in enumerate(captions):
            group = group_of(caption, groups)
            if group is not None:
                members[group].append(row)
        for words, rows in zip(groups, members, strict=True):
            if not rows:
                raise ValueError(
                    f"the group {words!r} holds no known recording: no caption has these words, or those "
                    "that have belong to a group named earlier"
                )
        self.groups, self.classifier = list(groups), classifier
        chosen = [row for rows in members for row in rows]
        features = self._features(Sounds(sounds.audio[chosen], sounds.sample_rate))
        self._mean, self._spread = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
        parts = ((features - self._mean) / self._spread).split([len(rows) for rows in members])
        self._centres = torch.stack([part.mean(0) for part in parts])

    @torch.no_grad()
    def _features(self, sounds: Sounds) -> Tensor:
        audio = mono(sounds.audio[:, None], sounds.sample_rate, self.classifier.sample_rate)
        audio = 0.9 * audio / audio.abs().amax(1, keepdim=True).clamp_min(1e-4)
        return torch.cat([self.classifier.embed(part) for part in audio.split(BATCH)])

    def report(self, sounds: Sounds, captions: Sequence[str]) -> dict[str, Any]:
        """How many sounds are nearest to the group of their caption.

        Returns:
            "accuracy": the mean over groups; "sounds"; "chance"; "groups": accuracy and number of sounds of
            each that has any.

        Raises:
            ValueError: no caption belongs to a group.
        """
        wanted = [group_of(caption, self.groups) for caption in captions]
        wanted *= len(sounds.audio) // len(wanted)
        rows = [row for row, group in enumerate(wanted) if group is not None]
        if not rows:
            raise ValueError(f"none of the {len(captions)} captions holds one of {', '.join(self.groups)}")
        features = self._features(Sounds(sounds.audio[rows], sounds.sample_rate))
        nearest = torch.cdist((features - self._mean) / self._spread, self._centres).argmin(1).tolist()
        found: dict[str, dict[str, Any]] = {}
        for index, words in enumerate(self.groups):
            heard = [near for near, row in zip(nearest, rows, strict=True) if wanted[row] == index]
            if heard:
                found[words] = {"accuracy": heard.count(index) / len(heard), "sounds": len(heard)}
        return {
            "accuracy": sum(row["accuracy"] for row in found.values()) / len(found),
            "sounds": len(rows),
            "chance": 1 / len(self.groups),
            "groups": found,
        }


def measure(
    sounds: Sounds,
    references: Sounds,
    captions: Sequence[str],
    classifier: NamedClassifier,
    nearest: NearestGroup | None,
) -> dict[str, Any]:
    """FAD by classifier and by log-mel statistics, KL and nearest group of sounds beside their recordings."""
    evaluation, spectral = Evaluation(classifier), FrechetAudioDistance(LogMelStatistics())
    for row, sound in enumerate(sounds.audio):
        reference = references.audio[row % len(references.audio)]
        evaluation.add(sound[None], sounds.sample_rate)
        evaluation.add_pair(sound[None], sounds.sample_rate, reference[None], references.sample_rate)
    for reference in references.audio:
        evaluation.add_reference(reference[None], references.sample_rate)
    spectral.update(sounds.audio[:, None], sounds.sample_rate, real=False)
    spectral.update(references.audio[:, None], references.sample_rate, real=True)
    report = evaluation.report()
    return {
        "fad": report["fad"],
        "fad_log_mel": spectral.report(),
        "kl": report["kl"],
        "nearest_group": None if nearest is None else nearest.report(sounds, captions),
    }


def _rows_to_draw(captions: Sequence[str], groups: Sequence[str], most: int) -> list[int]:
    """Examples for the picture: the first of each group, or some spread over all."""
    if not groups:
        return spread(range(len(captions)), most)
    wanted = [group_of(caption, groups) for caption in captions]
    return [wanted.index(group) for group in range(len(groups)) if group in wanted][:most]


@dataclass(frozen=True)
class ModelComparison:
    """What `compare_models` found.

    Attributes:
        figures: of each set of sounds, see `measure`.
        captions: of the recordings that the models were asked for.
        sounds: the sets: "recordings", "recordings through the codec", "before", "after".
        stopped: whether Ctrl+C ended it; then sets are missing, or smaller.
        notes: what to say of that.
    """

    figures: dict[str, dict[str, Any]]
    captions: list[str]
    sounds: dict[str, Sounds]
    stopped: bool
    notes: list[str]

    def draw(self, groups: Sequence[str] = (), columns: int = 5) -> Figure:
        """Spectrograms of at most `columns` recordings and of what both models make of their captions."""
        rows = _rows_to_draw(self.captions, groups, columns)
        shown = {"recording": REAL, "before": BEFORE, "after": AFTER}
        sheet = [
            Spectrogram(sounds.audio[row], sounds.sample_rate, f"{title}: {self.captions[row]}")
            for title, sounds in ((title, self.sounds[name]) for title, name in shown.items())
            for row in rows
        ]
        return spectrogram_figure(sheet, columns=len(rows), range_db=70, style=SHEET)


def table(found: ModelComparison) -> list[str]:
    """The figures as a Markdown table, a row for each set of sounds; what was stopped says so."""
    lines = ["| sounds | FAD, classifier | FAD, log-mel | KL | group |", "|---|---|---|---|---|"]
    for name, row in found.figures.items():
        group = row["nearest_group"]
        share = "" if group is None else f"{100 * group['accuracy']:.0f} %"
        called = f"{name} ({len(found.sounds[name].audio)} sounds)" if found.stopped else name
        lines.append(
            f"| {called} | {row['fad']['value']:.1f} | {row['fad_log_mel']['value']:.2f} | "
            f"{row['kl']['value']:.2f} | {share} |"
        )
    return lines + [f"note: {note}" for note in found.notes]


def compare_models(
    before: AudioGen,
    after: AudioGen,
    examples: Sequence[Example],
    classifier: NamedClassifier,
    *,
    known: Sequence[Example] = (),
    groups: Sequence[str] = (),
    duration: float = 2.0,
    samples: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModelComparison:
    """Let two models generate from the captions of recordings, and measure both.

    Args:
        before, after: the models.
        examples: recordings with captions, kept out of the training.
        classifier: its features measure distances.
        known: recordings that were trained on, of which `groups` are made.
        groups: words of captions that make a group; none: groups are not told apart.
        duration: of all sounds, s.
        samples: generated from each caption.
        seed: of the first generated sound; the others count up from it.
        progress: called with the number of sounds done and to do.

    Raises:
        ValueError: groups that cannot be told apart, see `NearestGroup`.
        KeyboardInterrupt: Ctrl+C, before the first sound; later ones end it with what was measured so far.
    """
    rate = classifier.sample_rate
    captions = [example.caption for example in examples]
    nearest = None
    if groups:
        texts = [example.caption for example in known]
        nearest = NearestGroup(groups, recorded(known, duration, rate), texts, classifier)
    real = recorded(examples, duration, rate)
    how = {"seed": seed, "samples": samples}
    making = {
        BEFORE: generated(before, examples, duration, rate, **how),
        AFTER: generated(after, examples, duration, rate, **how),
        CODED: coded(real, after.codec),
    }
    rows: dict[str, list[Tensor]] = {name: [] for name in making}
    done, total = 0, (1 + 2 * samples) * len(examples)
    interruption = Interruption()
    with interruption.until_stopped(lambda: done):
        for name in (CODED, BEFORE, AFTER):
            for row in making[name]:
                rows[name].append(row)
                done += 1
                if progress is not None:
                    progress(done, total)
    # Every caption as often as any other, or the figures would be those of other captions.
    whole = {name: made[: len(made) // len(examples) * len(examples)] for name, made in rows.items()}
    sets = {name: Sounds(torch.stack(made), rate) for name, made in whole.items() if made} | {REAL: real}
    figures: dict[str, dict[str, Any]] = {}
    with interruption.until_stopped(lambda: figures):
        for name, sounds in sets.items():
            figures[name] = measure(sounds, real, captions, classifier, nearest)
    notes = interruption.notes(done, total, "sounds")
    return ModelComparison(figures, captions, sets, interruption.stopped, notes)
