"""Linear probes: what they read, which recordings they take, and that they find what is there."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.cli import main
from soundloom.cli import probe as command
from soundloom.core.audio import write_audio
from soundloom.evaluation.linear_probe import (
    balanced_accuracy,
    clip_vector,
    fit_linear,
    log_mel,
    probe,
    probe_clips,
    probe_codecs,
    probe_table,
    representations,
)
from tests.tiny_codecs import music2latent2, seanet, sound

RATE = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Low and high tones and noise, 24 to train and 6 to test of each; some rows that no probe takes."""
    rows = ["file_name,split,sound_class,group"]
    time = torch.arange(RATE // 4) / RATE
    generator = torch.Generator().manual_seed(0)
    for kind, low in (("low", 200.0), ("high", 1500.0), ("noise", 0.0)):
        for index in range(30):
            name = f"{kind}{index}.wav"
            pitch = low * (1 + 0.3 * float(torch.rand((), generator=generator)))
            noise = torch.randn(len(time), generator=generator)
            tone = 0.3 * torch.sin(2 * torch.pi * pitch * time) + 0.001 * noise if low else 0.1 * noise
            write_audio(tmp_path / name, tone[None], RATE)
            rows.append(f"{name},{'test' if index < 6 else 'train'},{kind},{kind}{index // 2}")
    for index, row in enumerate(("train,other", "test,other", "train,rare", ",low")):
        write_audio(tmp_path / f"more{index}.wav", sound(0.1, RATE), RATE)
        rows.append(f"more{index}.wav,{row},g{index}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_clips_of_both_splits_and_of_classes_with_enough(folder: Path) -> None:
    clips, names = probe_clips(folder)
    assert names == ["high", "low", "noise"]
    assert len(clips) == 90
    assert all(clip.recording.name.startswith(names[clip.label]) for clip in clips)
    assert sum(clip.test for clip in clips) == 18
    few, _ = probe_clips(folder, per_class=10)
    assert (sum(clip.test for clip in few), len(few)) == (18, 48)
    with pytest.raises(ValueError, match="0 classes of .* have 50 recordings to train and 5 to test"):
        probe_clips(folder, least=(50, 5))


def test_what_is_read_of_a_clip(folder: Path) -> None:
    clip = probe_clips(folder)[0][0]
    model, frames = music2latent2(), seanet()
    found = {
        one.name: one for one in [log_mel(), *representations("m", model), *representations("s", frames)]
    }
    assert list(found) == ["log-mel", "m, latents", "m, features", "s, latents"]
    sizes = {name: len(clip_vector(one, clip.recording, 0.2)) for name, one in found.items()}
    assert sizes == {"log-mel": 128, "m, latents": 2 * 8, "m, features": 2 * 2 * 8, "s, latents": 2 * 4}
    audio = torch.stack([sound(0.2, RATE)])
    latents = model.encode(audio)[0].flatten(1)
    torch.testing.assert_close(found["m, latents"].describe(audio), latents)
    with pytest.raises(ValueError, match="x is a str; latents of"):
        representations("x", "no codec")  # type: ignore[arg-type]


def vectors_of(labels: Tensor, distance: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = distance * torch.eye(3, 20)
    return centres[labels] + torch.randn(len(labels), 20, generator=generator)


def test_a_classifier_finds_what_is_there(folder: Path) -> None:
    labels = torch.arange(300) % 3
    classify = fit_linear(vectors_of(labels, 8.0, 0), labels, 3, 1e-3)
    assert float((classify(vectors_of(labels, 8.0, 1)).argmax(1) == labels).float().mean()) > 0.98
    # Rare classes count as much as common ones.
    uneven = torch.cat((torch.zeros(500), torch.ones(10), torch.full((10,), 2))).long()
    classify = fit_linear(vectors_of(uneven, 4.0, 0), uneven, 3, 1e-1)
    assert balanced_accuracy(classify(vectors_of(labels, 4.0, 1)).argmax(1), labels) > 0.8


def test_a_probe_is_at_chance_where_nothing_is(folder: Path) -> None:
    clips, names = probe_clips(folder)
    labels = torch.tensor([clip.label for clip in clips])
    good = probe(vectors_of(labels, 8.0, 0), clips, len(names))
    assert good["balanced_accuracy"] == good["accuracy"] > 0.9
    nothing = probe(vectors_of(labels, 0.0, 0), clips, len(names))
    assert 0.1 < nothing["balanced_accuracy"] < 0.6


def test_the_balance_is_over_classes() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    assert balanced_accuracy(torch.tensor([0, 0, 0, 0]), labels) == 0.5
    assert balanced_accuracy(torch.tensor([0, 0, 1, 1]), labels) == pytest.approx((2 / 3 + 1) / 2)


def test_ctrl_c_keeps_the_rows_that_are_complete(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(after: int) -> Any:
        def progress(done: int, total: int) -> None:
            if done == after:
                raise KeyboardInterrupt

        return progress

    codecs = {"tiny": music2latent2()}
    whole = probe_codecs(codecs, folder, seconds=0.2)
    assert not whole["stopped"]
    assert whole["notes"] == []
    count, rows = whole["train"] + whole["test"], len(whole["rows"])
    report = probe_codecs(codecs, folder, seconds=0.2, progress=stopping(count + 1))
    assert report["stopped"]
    assert report["rows"] == whole["rows"][:1]  # the second had only begun
    assert probe_table(report).endswith(f"note: stopped after 1 of {rows} rows")
    assert "note" not in probe_table(whole)
    with pytest.raises(KeyboardInterrupt):
        probe_codecs(codecs, folder, seconds=0.2, progress=stopping(count - 1))

    class Bar:
        def __enter__(self) -> Any:
            return stopping(count + 1)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(command, "progress_bar", lambda **_: Bar())
    copy.deepcopy(music2latent2()).save_pretrained(tmp_path / "model")
    assert main(["probe", str(folder), str(tmp_path / "model"), "--seconds", "0.2"]) == 130
    assert "note: stopped after 1 of" in capsys.readouterr().out


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy.deepcopy(music2latent2()).save_pretrained(tmp_path / "model")
    words = ["probe", str(folder), str(tmp_path / "model"), "--per-class", "24", "--seconds", "0.2", "-q"]
    assert main([*words, "-o", str(tmp_path / "probe.json")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "3 classes, 72 recordings to train and 18 to test; chance has a balanced accuracy"
    )
    report = json.loads((tmp_path / "probe.json").read_text())
    rows = {row["name"].rpartition("/")[2]: row for row in report["rows"]}
    assert list(rows) == ["log-mel", "model, latents", "model, features"]
    assert rows["log-mel"]["balanced_accuracy"] == 1.0, "tones and noise are plain in a spectrogram"
    assert main([*words[:1], str(tmp_path / "none"), str(tmp_path / "model")]) == 2
