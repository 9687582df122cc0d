"""Show what a fine-tuning changed: two models beside real recordings, in figures and in one picture.

    python -m soundloom.evaluation.finetune_report foley runs/audiogen_finetune/model data/heldout \
        --known data/mysounds --groups tabla hi-hat "user interface" -o finetuned.png --json finetuned.json

Both models generate from the captions of recordings that were kept out of the training; recordings and
generated sounds are compared at equal length (a short recording is followed by silence, as a generated
sound should be). FAD and KL are those of `soundloom evaluate`. "group" is the share of sounds whose nearest
group is the one that was asked for: a group is all recordings whose captions hold certain words, its place
the mean of the judge's features over those that the model was trained on, and the share the mean over
groups. The recordings themselves, and what the codec leaves of them, are measured alike: a model cannot be
expected to do better.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..codecs.base import Codec
from ..core.files import check_file_destination
from ..gen.pipeline import AudioGen
from ..recipes.foley.show import draw_sheet
from .embedders import Judge, LogMelStatistics
from .evaluate_sounds import Example, folder_examples, spread
from .evaluation import Evaluation
from .frechet import FrechetAudioDistance, mono
from .report import write_report

BATCH = 16
Step = Callable[[int], None]  # the number of sounds done since the last call


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


def coded(sounds: Sounds, codec: Codec, progress: Step | None = None) -> Sounds:
    """What a codec leaves of sounds."""
    rows = []
    for row in sounds.audio:
        prepared = codec.prepare(row[None], sounds.sample_rate)
        with torch.inference_mode():
            decoded = codec.decode(codec.encode(prepared), length=prepared.shape[-1])
        rows.append(mono(decoded.float(), codec.sample_rate, sounds.sample_rate)[0])
        if progress is not None:
            progress(1)
    return Sounds(torch.stack(rows), sounds.sample_rate)


def generated(
    model: AudioGen,
    examples: Sequence[Example],
    duration: float,
    sample_rate: int,
    *,
    seed: int = 0,
    samples: int = 1,
    progress: Step | None = None,
) -> Sounds:
    """Sounds made from all captions, `samples` times in turn, with default settings; the seed counts up."""
    rows = []
    captions = [example.caption for example in examples] * samples
    for start in range(0, len(captions), BATCH):
        prompts = captions[start : start + BATCH]
        seeds = [seed + start + i for i in range(len(prompts))]
        audio = model.generate(prompts, duration=duration, seed=seeds)
        rows += list(mono(audio.samples, audio.sample_rate, sample_rate))
        if progress is not None:
            progress(len(prompts))
    return Sounds(torch.stack(rows), sample_rate)


def group_of(caption: str, groups: Sequence[str]) -> int | None:
    """The first of the groups whose words occur in a caption."""
    return next((i for i, words in enumerate(groups) if words.lower() in caption.lower()), None)


class NearestGroup:
    """Tells which group of recordings a sound is most like, in the judge's features.

    Features are scaled to unit spread over the recordings, sounds to equal peaks.

    Args:
        groups: words; captions that hold them make a group.
        sounds: recordings, of which the groups are made.
        captions: one for each of them.
        judge: gives the features.

    Raises:
        ValueError: fewer than 2 groups, or one that no caption belongs to.
    """

    def __init__(self, groups: Sequence[str], sounds: Sounds, captions: Sequence[str], judge: Judge) -> None:
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
        self.groups, self.judge = list(groups), judge
        chosen = [row for rows in members for row in rows]
        features = self._features(Sounds(sounds.audio[chosen], sounds.sample_rate))
        self._mean, self._spread = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
        parts = ((features - self._mean) / self._spread).split([len(rows) for rows in members])
        self._places = torch.stack([part.mean(0) for part in parts])

    @torch.no_grad()
    def _features(self, sounds: Sounds) -> Tensor:
        audio = mono(sounds.audio[:, None], sounds.sample_rate, self.judge.sample_rate)
        audio = 0.9 * audio / audio.abs().amax(1, keepdim=True).clamp_min(1e-4)
        return torch.cat([self.judge.embed(part) for part in audio.split(BATCH)])

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
        nearest = torch.cdist((features - self._mean) / self._spread, self._places).argmin(1).tolist()
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
    sounds: Sounds, references: Sounds, captions: Sequence[str], judge: Judge, nearest: NearestGroup | None
) -> dict[str, Any]:
    """FAD by the judge and by log-mel statistics, KL and nearest group of sounds beside their recordings."""
    evaluation, spectral = Evaluation(judge), FrechetAudioDistance(LogMelStatistics())
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


def table(report: dict[str, dict[str, Any]]) -> list[str]:
    """The figures as a Markdown table, a row for each set of sounds."""
    lines = ["| sounds | FAD, judge | FAD, log-mel | KL | group |", "|---|---|---|---|---|"]
    for name, row in report.items():
        group = row["nearest_group"]
        share = "" if group is None else f"{100 * group['accuracy']:.0f} %"
        lines.append(
            f"| {name} | {row['fad']['value']:.1f} | {row['fad_log_mel']['value']:.2f} | "
            f"{row['kl']['value']:.2f} | {share} |"
        )
    return lines


def _rows_to_draw(captions: Sequence[str], groups: Sequence[str], most: int) -> list[int]:
    """Examples for the picture: the first of each group, or some spread over all."""
    if not groups:
        return spread(range(len(captions)), most)
    wanted = [group_of(caption, groups) for caption in captions]
    return [wanted.index(group) for group in range(len(groups)) if group in wanted][:most]


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog="python -m soundloom.evaluation.finetune_report",
        description="Compare two models on the captions of recordings that were kept out of the training.",
    )
    parser.add_argument("before", metavar="BEFORE", help="model that training started from, as foley")
    parser.add_argument("after", metavar="AFTER", help="folder of the fine-tuned model")
    parser.add_argument("sounds", metavar="SOUNDS", help="recordings with captions, kept out of the training")
    parser.add_argument("--known", metavar="FOLDER", help="recordings trained on, for --groups")
    parser.add_argument("--groups", nargs="+", metavar="WORDS", help="words of captions that make a group")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="picture: .png, .pdf or .svg")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--duration", type=float, default=2.0, help="s, of all sounds (default: %(default)g)")
    parser.add_argument("--samples", type=int, default=4, help="of each caption (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="use only so many of SOUNDS, evenly spread (default: all)")
    parser.add_argument(
        "--columns", type=int, default=5, help="captions in the picture (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first generated sound (default: 0)")
    parser.add_argument("--judge", default="foley-judge", help="classifier (default: foley-judge)")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends with a message on stderr and status 2."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not 0 < options.duration < math.inf:
        parser.error(f"--duration is {options.duration:g}; it must be a number of seconds above 0")
    for name in ("columns", "samples"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; it must be 1 or more")
    if bool(options.known) != bool(options.groups):
        parser.error("--known and --groups go together: the groups are those of the known recordings")
    if options.output is not None and options.output.suffix not in (".png", ".pdf", ".svg"):
        parser.error(f"-o is {options.output}; it must end in .png, .pdf or .svg")
    try:
        for path in filter(None, (options.output, options.json)):
            check_file_destination(path, force=options.force)
        _run(options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


def _run(options: argparse.Namespace) -> None:
    judge = Judge.from_pretrained(options.judge)
    rate, duration = judge.sample_rate, options.duration
    examples = folder_examples(options.sounds, captions=True, seconds=duration, limit=options.limit)
    captions = [example.caption for example in examples]
    nearest = None
    if options.groups:
        known = folder_examples(options.known, captions=True, seconds=duration)
        texts = [example.caption for example in known]
        nearest = NearestGroup(options.groups, recorded(known, duration, rate), texts, judge)
    before, after = (AudioGen.from_pretrained(name) for name in (options.before, options.after))
    with tqdm(
        total=(1 + 2 * options.samples) * len(examples),
        unit="sound",
        disable=not sys.stderr.isatty(),
        leave=False,
    ) as bar:
        real = recorded(examples, duration, rate)
        through = coded(real, after.codec, bar.update)
        made = [
            generated(
                model,
                examples,
                duration,
                rate,
                seed=options.seed,
                samples=options.samples,
                progress=bar.update,
            )
            for model in (before, after)
        ]
    sets = {"before": made[0], "after": made[1], "recordings through the codec": through, "recordings": real}
    report = {name: measure(sounds, real, captions, judge, nearest) for name, sounds in sets.items()}
    print("\n".join(table(report)))
    subject = {name: getattr(options, name) for name in ("before", "after", "sounds", "known")}
    settings = {name: getattr(options, name) for name in ("duration", "seed", "samples")}
    settings |= {"judge": judge.name, "captions": len(examples)}
    if options.json is not None:
        write_report(options.json, {"subject": subject, **settings, "figures": report})
    if options.output is not None:
        rows = _rows_to_draw(captions, options.groups or [], options.columns)
        shown = {"recording": real, "before": made[0], "after": made[1]}
        sheet = [
            (f"{name}: {captions[row]}", sounds.audio[row].numpy())
            for name, sounds in shown.items()
            for row in rows
        ]
        picture = io.BytesIO()
        figure = draw_sheet(sheet, rate, columns=len(rows))
        figure.savefig(picture, dpi=80, format=options.output.suffix[1:])
        write_report(options.output, picture.getvalue())


if __name__ == "__main__":
    sys.exit(main())
