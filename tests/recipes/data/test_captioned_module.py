"""CaptionedSoundDataModule: captions, classes, splits, and rare classes more often."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundloom.core.audio import write_audio
from soundloom.recipes.data import CaptionedSoundDataModule

RATE = 8000


def make_folder(folder: Path, header: str, rows: list[str]) -> str:
    folder.mkdir()
    lines = [header]
    for n, row in enumerate(rows):
        write_audio(folder / f"{n}.wav", torch.full((1, 400 + n), 0.25), RATE)
        lines.append(f"{n}.wav,{row}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder)


def module_of(folder: str) -> CaptionedSoundDataModule:
    data = CaptionedSoundDataModule([folder], segment_seconds=0.1, batch_size=2, sample_rate=RATE)
    data.setup()
    return data


def test_batches_hold_sound_class_and_caption(tmp_path: Path) -> None:
    rows = ["a bark,dog,train", "a woof,dog,", "drops,rain,train", "pouring,rain,validation", "no,dog,test"]
    data = module_of(make_folder(tmp_path / "sounds", "file_name,text,sound_class,split", rows))
    assert data.class_names == ["dog", "rain"]
    assert sorted(data.captions) == ["a bark", "a woof", "drops"]
    [batch] = data.val_dataloader()
    assert batch["audio"].shape == (1, 800)
    assert (batch["audio"][0, :403] > 0).all()
    assert (batch["audio"][0, 403:] == 0).all()
    assert (batch["label"].tolist(), batch["captions"]) == ([1], ["pouring"])
    for batch in data.train_dataloader():
        assert batch["audio"].shape == (2, 800)
        names = {"a bark": 0, "a woof": 0, "drops": 1}
        assert [names[caption] for caption in batch["captions"]] == batch["label"].tolist()


def test_a_table_without_classes_has_one_and_some_groups_are_held_out(tmp_path: Path) -> None:
    data = module_of(make_folder(tmp_path / "sounds", "file_name,text", [f"sound {n}" for n in range(80)]))
    assert data.class_names == ["sound"]
    assert len(data.train_set) + len(data.val_set) == 80
    assert 1 <= len(data.val_set) <= 12


def test_rare_classes_are_met_more_often_than_they_are_there(tmp_path: Path) -> None:
    rows = [*["a dog,dog,train"] * 9, "rain,rain,train", "rain,rain,validation"]
    data = module_of(make_folder(tmp_path / "sounds", "file_name,text,sound_class,split", rows))
    labels = [data.train_set[index].label for index in range(len(data.train_set))]  # type: ignore[attr-defined]
    assert sorted(labels) == [0] * 9 + [1] * 3


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"folders": []}, "folders is empty"),
        ({"folders": ["x"], "segment_seconds": 0.0}, "segment_seconds must be"),
        ({"folders": ["x"], "batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_impossible_arguments(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        CaptionedSoundDataModule(**arguments)  # type: ignore[arg-type]


def test_a_folder_of_which_nothing_measures_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "sounds", "file_name,text", ["rain"])
    with pytest.raises(ValueError, match="1 recordings to train on and 0 to validate; mark some rows"):
        module_of(folder)
