"""Model cards: a README.md whose YAML front matter the hub reads: licence, library, task, tags, values.

What a card says of a model is read from the model's own folder: its config.json, the headers of its weight
files, the card that is there, and reports of `soundloom evaluate`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint import read_config
from .errors import ArgumentError, ModelError
from .files import check_source
from .hub import HUB_ID
from .hub_licenses import check_license
from .safetensors_files import read_header
from .sound_tags import printable

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

CARD_FILE = "README.md"
OLD_CARD_FILE = "MODEL_CARD.md"
LIBRARY = "soundloom"
_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class ModelKind:
    """What is said of every model of a kind.

    Attributes:
        title: what it is, for the first sentence of a card.
        task: the hub's name of what it does.
        tags: further words to find it by.
        python, shell: how it is used, with {name} for its name.
    """

    title: str
    task: str
    tags: tuple[str, ...]
    python: str
    shell: str


KINDS = {
    "audiogen": ModelKind(
        "a model that turns text into sound, an AudioGen",
        "text-to-audio",
        ("audiogen", "audio", "sound-effects"),
        "from soundloom import AudioGen\n\n"
        'AudioGen.from_pretrained("{name}").generate("rain").save("rain.wav")',
        'soundloom generate "rain" --model {name} -o rain.wav',
    ),
    "codec": ModelKind(
        "a neural audio codec",
        "audio-to-audio",
        ("neural-audio-codec", "audio-compression", "audio"),
        "from soundloom import load_codec, read_audio\n\n"
        'codec = load_codec("{name}")\ncodec.compress(*read_audio("sound.wav")).save("sound.loom")',
        "soundloom encode sound.wav sound.loom --codec {name}",
    ),
    "classifier": ModelKind(
        "a classifier of sounds",
        "audio-classification",
        ("audio", "sound-classification"),
        "from soundloom.evaluation.classifier import SoundClassifier\n\n"
        'classifier = SoundClassifier.from_pretrained("{name}")  # audio [B, N] -> logits [B, classes]',
        "soundloom evaluate mysounds/ --classifier {name}",
    ),
    "lora": ModelKind(
        "a LoRA adapter of a model that turns text into sound",
        "text-to-audio",
        ("lora", "audiogen", "audio"),
        "from soundloom import AudioGen\n\n"
        'model = AudioGen.from_pretrained("{base}")\nmodel.load_lora_weights("{name}", strength=0.8)',
        'soundloom generate "rain" --model {base} --lora {name}:0.8 -o rain.wav',
    ),
}
# Of config.json, what a card tells, and in which words.
_FACTS = {
    "sample_rate": "{} Hz",
    "channels": "{} channel(s)",
    "num_codebooks": "{} codebooks",
    "codebook_size": "{} codes each",
    "num_latents": "{} embeddings a chunk",
    "latent_dim": "{} values each",
    "max_seconds": "{:g} s at a time",
    "num_layers": "{} layers",
    "dim": "of width {}",
}


def card_text(folder: Path) -> str:
    """What the card of a model's folder says to people, in Markdown; empty if there is none."""
    for name in (CARD_FILE, OLD_CARD_FILE):
        if (folder / name).is_file():
            return _FRONT_MATTER.sub("", (folder / name).read_text(encoding="utf-8"), count=1).strip() + "\n"
    return ""


def model_card(
    folder: Path,
    kind: str,
    name: str,
    *,
    license: str | None = None,
    reports: Sequence[Mapping[str, Any]] = (),
    base_model: str = "",
) -> ModelCard:
    """The card of a model's folder: the one that it holds, completed, or a new one.

    Args:
        folder: of the model.
        kind: one of KINDS.
        name: what it will be called: a hub id.
        license: one of `core.hub_licenses.LICENSES`; None: as the card, or config.json, says.
        reports: of `soundloom evaluate`, whose values become those of the model.
        base_model: of an adapter: what it was trained on.

    Raises:
        ModelError: the card's front matter is not what the hub reads.
        ArgumentError: a licence that the hub does not know, or a report of something else.
    """
    from huggingface_hub import ModelCard, ModelCardData

    about = KINDS[kind]
    found = {}
    if (folder / CARD_FILE).is_file():
        try:
            found = ModelCard.load(folder / CARD_FILE).data.to_dict()
        except Exception as error:  # of YAML's many, and of huggingface_hub
            raise ModelError(
                f"the front matter of {folder / CARD_FILE} is not what the hub reads: {error}"
            ) from error
    for said in (found.get("license"), read_config(folder).get("license")):
        license = said if license is None else license
    for one in license if isinstance(license, list) else [license]:
        if one is not None:
            check_license(one)
    known = {
        "license": license,
        "library_name": LIBRARY,
        "pipeline_tag": about.task,
        "base_model": base_model if HUB_ID.fullmatch(base_model) else None,
    }
    data = {**{key: value for key, value in known.items() if value is not None}, **found}
    data |= {"license": license} if license else {}
    data["tags"] = list(dict.fromkeys([*(found.get("tags") or []), LIBRARY, *about.tags]))
    card = ModelCardData(**data)
    if results := [result for report in reports for result in eval_results(report, about.task)]:
        replaced = {_measured(result) for result in results}
        card.eval_results = [r for r in card.eval_results or [] if _measured(r) not in replaced] + results
        card.model_name = card.model_name or name.rpartition("/")[2]
        card.metrics = sorted({*(card.metrics or []), *(result.metric_type for result in results)})
    text = card_text(folder) or _new_text(folder, about, name, base_model)
    if f'"{name}"' not in text:
        text = f"{text.rstrip()}\n\n{_usage(about, name, base_model)}"
    return ModelCard(f"---\n{card.to_yaml()}\n---\n\n{text}")


def eval_results(report: Mapping[str, Any], task: str) -> list[EvalResult]:
    """The values of a report of `soundloom evaluate`, as a card's model-index has them.

    Raises:
        ArgumentError: it is another report.
    """
    from huggingface_hub import EvalResult

    subject = report.get("subject")
    if not isinstance(subject, Mapping):
        raise ArgumentError(
            "the report is none of a model or a codec: make it with soundloom evaluate -o FILE"
        )
    sounds = _line(subject.get("captions") or subject.get("sounds") or subject.get("prompts") or "sounds")
    dataset = re.sub(r"[^a-z0-9]+", "-", sounds.lower()).strip("-") or "sounds"
    return [
        EvalResult(
            task_type=task,
            dataset_type=dataset,
            dataset_name=sounds,
            metric_type=metric,
            metric_name=_line(what),
            metric_value=round(value, 4),
        )
        for metric, what, value in _values(report)
    ]


def _values(report: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Of each value of a report the hub's kind of metric, what it is in words, and itself."""
    accuracy, fad, kl = (report.get(key) or {} for key in ("prompt_accuracy", "fad", "kl"))
    tags, restored = report.get("wanted_tags") or {}, report.get("reconstruction") or {}
    found = [
        ("accuracy", f"heard as its class by {accuracy.get('classifier')}", accuracy.get("accuracy")),
        ("frechet_audio_distance", f"FAD, {fad.get('embedder')}", fad.get("value")),
        ("kl_divergence", f"KL in nats, {kl.get('classifier')}", kl.get("value")),
        ("accuracy", f"wanted tag first, {tags.get('tagger')}", tags.get("first")),
        ("accuracy", f"wanted tag among five, {tags.get('tagger')}", tags.get("among_five")),
        ("mel_distance", "mel distance in dB", restored.get("mel_distance")),
        ("log_spectral_distance", "log-spectral distance in dB", restored.get("log_spectral_distance")),
        ("si_sdr", "SI-SDR in dB, median", restored.get("si_sdr")),
    ]
    for metric, what, value in found:
        if isinstance(value, int | float) and math.isfinite(value):
            yield metric, what, value


def _measured(result: EvalResult) -> tuple[Any, ...]:
    return result.dataset_name, result.metric_type, result.metric_name


def _new_text(folder: Path, about: ModelKind, name: str, base_model: str) -> str:
    """A card's text for a model without one: what its files say of it."""
    of = f", trained on `{_line(base_model)}`" if base_model else ""
    parts = sorted({file.parent for file in folder.rglob("*.safetensors")})
    told = "\n".join(_part(part, part.relative_to(folder).as_posix()) for part in parts)
    return f"# {name.rpartition('/')[2]}\n\nThis is {about.title}{of}, made with soundloom.\n\n{told}\n"


def _part(folder: Path, where: str) -> str:
    """A line about a part of a model: its class, its sizes, its weights."""
    config = read_config(folder)
    files = sorted(folder.glob("*.safetensors"))
    tensors = [entry for file in files for entry in read_header(file)[0].values()]
    count = sum(math.prod(entry["shape"]) for entry in tensors)
    kinds = ", ".join(sorted({str(entry["dtype"]) for entry in tensors}))
    facts = [
        text.format(config[key]) for key, text in _FACTS.items() if isinstance(config.get(key), int | float)
    ]
    what = _line(config.get("_class_name") or files[0].stem)
    told = ", ".join([*facts, f"{count:,} values stored ({kinds})"])
    return f"- {'' if where == '.' else f'`{where}`: '}{what}: {told}"


def _line(text: object) -> str:
    """A text of a file on one line, without what could act in a terminal."""
    return printable(" ".join(str(text).split()))


def _usage(about: ModelKind, name: str, base_model: str) -> str:
    python, shell = (
        text.format(name=name, base=_line(base_model) or "foley") for text in (about.python, about.shell)
    )
    return f"## Use\n\n```python\n{python}\n```\n\n```sh\n{shell}\n```\n"


def read_report(path: Path) -> dict[str, Any]:
    """A report that `soundloom evaluate -o` wrote.

    Raises:
        OSError: there is no such file.
        ArgumentError: it is none.
    """
    try:
        content = json.loads(check_source(path, "report").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{path} is no report of soundloom evaluate -o: {error}") from error
    if not isinstance(content, dict):
        raise ArgumentError(f"{path} is no report of soundloom evaluate -o: it holds no JSON object")
    return content
