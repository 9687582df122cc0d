"""All figures about a set of sounds in one pass: FAD, KAD, KL, tags, prompt accuracy, as far as known.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..core.failures import Failure, failure_lines
from .embedders import Embedder, NamedClassifier
from .frechet import FrechetAudioDistance
from .kernel_distance import KernelAudioDistance
from .kl_divergence import KLDivergence
from .prompt_accuracy import PromptAccuracy
from .tags import TagAgreement
from .yamnet import YAMNet


class Evaluation:
    """Collects sounds, their references and what they should be; `report` gives all figures.

    Args:
        classifier: classifier for KL and prompt accuracy.
        embedder: for FAD and KAD; None: the classifier. With YAMNet, pairs are also compared by its tags.
    """

    def __init__(self, classifier: NamedClassifier, embedder: Embedder | None = None) -> None:
        self.classifier = classifier
        embedder = classifier if embedder is None else embedder
        self.distance, self.kernel = FrechetAudioDistance(embedder), KernelAudioDistance(embedder)
        self.divergence = KLDivergence(classifier)
        self.accuracy = PromptAccuracy(classifier)
        self.agreement = TagAgreement(embedder) if isinstance(embedder, YAMNet) else None

    def add(self, samples: Tensor, sample_rate: int, *, label: str | None = None) -> None:
        """Take in a sound to measure, `[C, N]`; `label` is the class that it should be, if there is one."""
        self.distance.update(samples[None], sample_rate, real=False)
        self.kernel.update(samples[None], sample_rate, real=False)
        if label is not None:
            self.accuracy.update(samples[None], sample_rate, [label])

    def add_reference(self, samples: Tensor, sample_rate: int) -> None:
        """Take in a sound of the set to compare with, `[C, N]`."""
        self.distance.update(samples[None], sample_rate, real=True)
        self.kernel.update(samples[None], sample_rate, real=True)

    def add_pair(
        self, samples: Tensor, sample_rate: int, reference: Tensor, reference_rate: int | None = None
    ) -> None:
        """Compare a sound `[C, N]` with its own reference `[C, M]`; for KL and tags, beside the others."""
        self.divergence.update(samples[None], sample_rate, reference[None], reference_rate)
        if self.agreement is not None:
            self.agreement.update(samples[None], sample_rate, reference[None], reference_rate)

    def report(self) -> dict[str, Any]:
        """Figures by name: "fad", "kad", "kl", "tags", "prompt_accuracy"; None where nothing can be measured.

        "notes" says why a figure is missing, and what a reader has to know about one that is there.
        """
        notes: list[str] = []
        result: dict[str, Any] = dict.fromkeys(("fad", "kad", "kl", "tags", "prompt_accuracy"))
        generated, real = (int(count) for count in self.distance.counts)
        if generated >= 2 and real >= 2:
            result["fad"] = self.distance.report()
            result["kad"] = self.kernel.report()
            notes += filter(None, [result["fad"].pop("warning")])
        else:
            notes.append(
                f"no FAD: it needs 2 sounds and 2 references, there are {generated} and {real} pieces; "
                "KAD does, too"
            )
        if int(self.divergence.pairs):
            result["kl"] = self.divergence.report()
            result["tags"] = self.agreement.report() if self.agreement is not None else None
        else:
            notes.append("no KL: no sound has a reference of its own (of the same name, or its original)")
        if int(self.accuracy.confmat.sum()):
            result["prompt_accuracy"] = self.accuracy.report()
        else:
            notes.append(f"no prompt accuracy: no caption names exactly one class of {self.classifier.name}")
        return {**result, "notes": notes}


def named_class(caption: str, class_names: Sequence[str]) -> str | None:
    """The one class whose name occurs in a caption, or None where there is none, or more than one.

    All words of a name must occur next to each other; plurals count. Of names within each other the longest
    counts: "church bell" is not "bell". "someone types on a keyboard" names no class "keyboard_typing":
    captions that are put otherwise than the names are left out, not guessed.
    """
    text = re.sub(r"\bnoises? of\b", " ", caption.lower())  # of something that is not the class "noise"
    words = [_stem(word) for word in re.findall(r"[a-z]+", text)]
    found: list[tuple[int, int, str]] = []
    for name in class_names:
        parts = [_stem(part) for part in re.findall(r"[a-z]+", name.lower())]
        for start in range(len(words) - len(parts) + 1):
            if parts and words[start : start + len(parts)] == parts:
                found.append((start, start + len(parts), name))
    outer = {
        name
        for start, stop, name in found
        if not any(a <= start and stop <= b and (a, b) != (start, stop) for a, b, _ in found)
    }
    return outer.pop() if len(outer) == 1 else None


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


UNITS = {
    "beyond_full_scale": "of the sounds, 0 to 1",
    "bitrate": "bit/s, codes as they are",
    "sample_rate": "Hz",
    "duration": "s",
    "mel_distance": "dB, mean; 0 is perfect",
    "log_spectral_distance": "dB, mean; 0 is perfect",
    "log_spectral_distance_512": "dB, mean, windows of 32 ms",
    "log_spectral_distance_4096": "dB, mean, windows of 256 ms",
    "tonality_error": "dB, mean; 0 is perfect",
    "energy_before_onsets": "dB above that of the original, mean; 0 is perfect",
    "si_sdr": "dB, median; higher is better",
}


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """A report as lines for a terminal: its figures with what they rest on, classes (worst first), notes."""
    lines = []

    def add(name: str, value: str, based: str = "") -> None:
        lines.append(f"{name.replace('_', ' '):24s} {value}  {based}".rstrip())

    for key, value in {**report, **report.get("reconstruction", {})}.items():
        if value is not None and not isinstance(value, (bool, Mapping, list)):
            add(key, _shown(value), UNITS.get(key, ""))
    if fad := report["fad"]:
        embedder = f"{fad['embedder']} ({fad['features']} features, {fad['sample_rate']} Hz)"
        sounds = f"{fad['sounds']} sounds ({fad['pieces']} pieces)"
        add("FAD", _shown(fad["value"]), f"{embedder}, {sounds} against {_references(fad)}")
    if kad := report["kad"]:
        pieces = f"{kad['pieces']} pieces against {kad['reference_pieces']}"
        add("KAD", _shown(kad["value"]), f"{kad['embedder']}, {pieces}")
    if tags := report["tags"]:
        based = f"{tags['tagger']}, {tags['sample_rate']} Hz, {tags['pairs']} pairs"
        add("same first tag", f"{100 * tags['same_first']:.1f} %", based)
        add("correlation of tags", _shown(tags["correlation"]), f"{tags['tags']} scores; 1 is the same")
    if wanted := report.get("wanted_tags"):
        based = f"{wanted['tagger']}, {wanted['sounds']} sounds"
        add("wanted tag first", f"{100 * wanted['first']:.1f} %", based)
        add("among the first five", f"{100 * wanted['among_five']:.1f} %", based)
    if kl := report["kl"]:
        based = f"{kl['classifier']}, {kl['sample_rate']} Hz, {kl['pairs']} pairs"
        add("KL", _shown(kl["value"]), f"nats; {based}")
        add("heard as the reference", f"{100 * kl['same_class']:.1f} %", based)
    for key, name in (("prompt_accuracy", "heard as its class"), ("accuracy_of_originals", "the originals")):
        if accuracy := report.get(key):
            based = (
                f"{accuracy['classifier']}, {accuracy['clips']} sounds of {len(accuracy['classes'])} classes"
            )
            add(
                name,
                f"{100 * accuracy['accuracy']:.1f} %",
                f"{based}; chance {100 * accuracy['chance']:.1f} %",
            )
    classes = report["prompt_accuracy"]["classes"] if report["prompt_accuracy"] else {}
    for name, row in sorted(classes.items(), key=lambda item: item[1]["accuracy"]):
        mistaken = f"  mistaken for {row['mistaken for']}" if row["mistaken for"] else ""
        lines.append(f"  {name:26s} {row['accuracy']:.2f} of {row['clips']}{mistaken}")
    lines += [f"note: {note}" for note in report["notes"]]
    return lines + failed_lines(report)


def failed_lines(report: Mapping[str, Any]) -> list[str]:
    """The sounds that a report leaves out, and why, as lines for a terminal."""
    failures = [Failure(entry["file"], entry["reason"]) for entry in report.get("failed", [])]
    return [f"left out: {len(failures)}", *failure_lines(failures)] if failures else []


def _references(fad: Mapping[str, Any]) -> str:
    return f"{fad['reference_sounds']} ({fad['reference_pieces']})"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "undefined"
    return str(value)
