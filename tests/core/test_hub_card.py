"""Cards: what ships can be read by the hub, what is there is kept, values are those of reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from soundloom.core.errors import ArgumentError, ModelError
from soundloom.core.hub import BUNDLED_MODELS, GEN_MODELS
from soundloom.core.hub_card import KINDS, card_text, eval_results, model_card, read_report
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.gen.push_model import stage_model
from tests.hub_stand_in import TASKS, card_errors

SHIPPED = sorted(path.parent for root in (BUNDLED_MODELS, GEN_MODELS) for path in root.glob("*/config.json"))
REPORT: dict[str, Any] = {
    "subject": {"model": "mine", "captions": "held-out Foley, 4 a class"},
    "fad": {"value": 12.34567, "embedder": "foley-classifier"},
    "kl": {"value": None, "classifier": "foley-classifier"},
    "prompt_accuracy": {"accuracy": 0.5, "classifier": "foley-classifier"},
}


def data_of(card: ModelCard) -> Any:
    """What a card tells the hub, whose fields the class does not declare."""
    return card.data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SoundClassifier(class_names=["dog", "rain"], widths=(2, 2, 2, 2)).save_pretrained(tmp_path / "ears")
    return tmp_path / "ears"


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_values_of_a_shipped_card_stand_in_its_text(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert card_errors(text) == []
    card = ModelCard(text)
    data: Any = card.data
    assert data.model_name == folder.name
    assert (data.license, data.library_name) == ("apache-2.0", "soundloom")
    assert sorted(data.metrics) == sorted({result.metric_type for result in data.eval_results})
    said = set(re.findall(r"(?<![\d.])-?\d+(?:\.\d+)?(?![\d.]*\d)", card.text))
    for result in data.eval_results:
        value = result.metric_value * 100 if result.metric_type == "accuracy" else result.metric_value
        assert f"{value:g}" in said, result
        count = result.dataset_name.split()[0]
        assert count in said


def test_every_kind_has_a_task_of_the_hub() -> None:
    assert {kind.task for kind in KINDS.values()} == TASKS


def test_a_new_card_tells_what_the_files_say(folder: Path) -> None:
    card = model_card(folder, "classifier", "me/ears", license="mit")
    assert card_errors(str(card)) == []
    assert card.data.to_dict() == {
        "library_name": "soundloom",
        "license": "mit",
        "pipeline_tag": "audio-classification",
        "tags": ["soundloom", "audio", "sound-classification"],
    }
    count = sum(value.numel() for value in SoundClassifier.from_pretrained(folder).state_dict().values())
    assert f"- SoundClassifier: 16000 Hz, {count:,} values stored (F32, I64)" in card.text
    assert 'SoundClassifier.from_pretrained("me/ears")' in card.text


def test_what_somebody_wrote_is_kept_and_completed(folder: Path) -> None:
    (folder / "README.md").write_text(
        "---\nlicense: cc-by-4.0\ndatasets:\n- you/sounds\ntags:\n- barks\n---\n\n# Ears\n\nThey hear dogs.\n"
    )
    card = model_card(folder, "classifier", "me/ears")
    assert data_of(card).license == "cc-by-4.0"
    assert data_of(card).datasets == ["you/sounds"]
    assert data_of(card).tags == ["barks", "soundloom", "audio", "sound-classification"]
    assert card.text.strip().startswith("# Ears\n\nThey hear dogs.\n\n## Use")
    assert data_of(model_card(folder, "classifier", "me/ears", license="mit")).license == "mit"
    (folder / "README.md").write_text(str(card))
    assert str(model_card(folder, "classifier", "me/ears")) == str(card)


def test_the_licence_of_a_model_goes_with_what_is_made_of_it(tmp_path: Path) -> None:
    stage_model("foley", "me/foley", tmp_path / "foley")
    (tmp_path / "foley" / "README.md").unlink()
    config = json.loads((tmp_path / "foley" / "config.json").read_text())
    assert config["license"] == "apache-2.0"
    assert data_of(model_card(tmp_path / "foley", "audiogen", "me/foley")).license == "apache-2.0"


def test_an_old_card_without_front_matter_is_text(folder: Path) -> None:
    assert card_text(folder) == ""
    (folder / "MODEL_CARD.md").write_text("# Ears\n\nThey hear dogs.\n")
    assert card_text(folder) == "# Ears\n\nThey hear dogs.\n"
    assert model_card(folder, "classifier", "me/ears").text.strip().startswith("# Ears")
    (folder / "README.md").write_text("Dogs.\n\n---\n\nAnd rain.\n")  # a rule is no front matter
    assert card_text(folder) == "Dogs.\n\n---\n\nAnd rain.\n"


@pytest.mark.parametrize("bad", ["a: b: c", "model-index: 1", "- 1\n- 2"])
def test_front_matter_that_nobody_can_read_is_named(folder: Path, bad: str) -> None:
    (folder / "README.md").write_text(f"---\n{bad}\n---\n\n# Ears\n")
    with pytest.raises(ModelError, match=r"front matter of .*README.md is not what the hub reads"):
        model_card(folder, "classifier", "me/ears")


def test_values_come_from_reports_and_replace_older_ones(folder: Path) -> None:
    card = model_card(folder, "classifier", "me/ears", license="mit", reports=[REPORT])
    assert card_errors(str(card)) == []
    found = {(result.metric_type, result.metric_value) for result in data_of(card).eval_results}
    assert found == {("frechet_audio_distance", 12.3457), ("accuracy", 0.5)}
    assert {result.dataset_name for result in data_of(card).eval_results} == {"held-out Foley, 4 a class"}
    assert data_of(card).metrics == ["accuracy", "frechet_audio_distance"]
    (folder / "README.md").write_text(str(card))
    better = {**REPORT, "prompt_accuracy": {**REPORT["prompt_accuracy"], "accuracy": 0.75}}
    again = data_of(model_card(folder, "classifier", "me/ears", reports=[better])).eval_results
    assert sorted(result.metric_value for result in again) == [0.75, 12.3457]


@pytest.mark.parametrize(
    ("wrong", "meant"), [("Apache-2.0", "apache-2.0"), ("apache-3.0", "apache-2.0"), ("cc-by", "cc-by-")]
)
def test_only_licences_of_the_hub_get_into_a_card(folder: Path, wrong: str, meant: str) -> None:
    with pytest.raises(ArgumentError, match=f"licence is '{wrong}'.*did you mean .*{meant}"):
        model_card(folder, "classifier", "me/ears", license=wrong)
    (folder / "README.md").write_text(f"---\nlicense: {wrong}\n---\n\n# Ears\n")
    with pytest.raises(ArgumentError, match="which the hub does not know"):
        model_card(folder, "classifier", "me/ears")
    assert data_of(model_card(folder, "classifier", "me/ears", license="other")).license == "other"
    (folder / "README.md").write_text("---\nlicense: [mit, apache-2.0]\n---\n\n# Ears\n")
    assert data_of(model_card(folder, "classifier", "me/ears")).license == ["mit", "apache-2.0"]


def test_what_acts_in_a_terminal_gets_into_no_card(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_class_name": "Sound\x1b[31mClassifier"}))
    report = {
        "subject": {"model": "mine", "captions": "red\x1b[31m\nring\x07"},
        "kl": {"value": 1.0, "classifier": "ears\u202e"},
    }
    card = model_card(
        folder, "lora", "me/ears", license="mit", reports=[report], base_model="you/base\x1b]0;title\x07"
    )
    text = str(card) + repr(data_of(card).to_dict())
    assert all(char.isprintable() or char == "\n" for char in text)
    [result] = data_of(card).eval_results
    assert result.dataset_name == "red\\x1b[31m ring\\x07"


def test_other_files_are_no_reports(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="none of a model or a codec"):
        eval_results({"rows": []}, "text-to-audio")
    file = tmp_path / "report.json"
    for content in ("{", "[]", "[" * 100_000):
        file.write_text(content)
        with pytest.raises(ArgumentError, match="report.json is no report of soundloom evaluate"):
            read_report(file)
    with pytest.raises(FileNotFoundError):
        read_report(tmp_path / "none.json")
