"""Data modules and the encoding of folders: right shapes, right sound, clear errors."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from soundloom import cli
from soundloom.codecs.base import Codec
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.evaluation.classifier_module import SoundClassifierModule
from soundloom.recipes.data import AudioDataModule, AudioGenDataModule, ClipDataModule, TokenDataModule
from soundloom.recipes.data import encoding as encode
from soundloom.recipes.data.crops import SILENCE_RMS
from soundloom.recipes.data.rendering import RenderSettings
from soundloom.recipes.data.sources import AudioFiles, RenderedFolder
from soundloom.recipes.foley.corpus import FoleyCorpus
from soundloom.recipes.foley.render_dataset import render_dataset
from soundloom.recipes.foley.sound_classes import SoundClass

RATE = 8000


def write_rendered(folder: Path, toys: dict[str, SoundClass], clips: int, split: str = "train") -> Path:
    """What render_dataset.py writes, from the toy classes."""
    corpus = FoleyCorpus(sample_rate=RATE, seconds=1.0, split=split, registry=toys)
    folder.mkdir(parents=True)
    rendered = [corpus[i] for i in range(clips)]
    np.save(folder / "audio.npy", np.stack([np.round(c.audio * 32767).astype(np.int16) for c in rendered]))
    with open(folder / "metadata.jsonl", "w") as lines:
        for i, clip in enumerate(rendered):
            entry = {
                "caption": clip.caption,
                "captions": corpus.caption_variants(i, 4),
                "classes": clip.classes,
                "composition": clip.composition,
                "sample_rate": RATE,
            }
            lines.write(json.dumps(entry) + "\n")
    return folder


def write_codes(folder: Path, items: int, length: int, books: int = 2, **more: object) -> Path:
    folder.mkdir(parents=True)
    codes = np.arange(items * books * length, dtype=np.int16).reshape(items, books, length)
    np.save(folder / "codes.npy", codes)
    with open(folder / "metadata.jsonl", "w") as lines:
        for i in range(items):
            lines.write(json.dumps({"caption": f"a{i}", "captions": [f"a{i}", f"b{i}"], **more}) + "\n")
    return folder


@pytest.fixture
def rendered(tmp_path: Path, toys: dict[str, SoundClass]) -> Path:
    return write_rendered(tmp_path / "train", toys, 60)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A stereo wav at another rate, a short flac, and a silent ogg in a folder below."""
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    t = np.arange(3 * 16000) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 440 * t)
    soundfile.write(folder / "tone.wav", np.stack([tone, tone], 1), 16000)
    soundfile.write(folder / "short.flac", 0.5 * np.ones(400) * (-1) ** np.arange(400), RATE)
    soundfile.write(folder / "deep" / "silence.ogg", np.zeros(3 * RATE), RATE)
    (folder / "notes.txt").write_text("no sound")
    return folder


# ------------------------------------------------------------------ AudioDataModule


def test_audio_batches_from_both_kinds_of_folder(rendered: Path, files: Path) -> None:
    data = AudioDataModule(
        [str(rendered), str(files)],
        segment_seconds=0.25,
        batch_size=8,
        sample_rate=RATE,
        samples_per_epoch=64,
    )
    data.prepare_data()
    data.setup()
    batches = list(data.train_dataloader())
    assert len(batches) == 8
    for batch in batches:
        assert batch.shape == (8, 1, 2000)
        assert batch.dtype == torch.float32
        assert batch.abs().max() <= 1.0
    rms = torch.cat(batches).square().mean((1, 2)).sqrt()
    assert rms.min() > 0.5 * SILENCE_RMS  # -6 dB of gain after the check
    assert len(data.val_set) == 4  # items 0, 20, 40 of the clips and file 0


def test_what_a_table_keeps_for_tests_is_not_trained_on(files: Path) -> None:
    write = (files / "metadata.csv").write_text
    write("file_name,split\ntone.wav,test\nshort.flac,train\n")
    data = AudioDataModule([str(files)], segment_seconds=0.05, sample_rate=RATE)
    data.setup()
    (source,) = data.train_set.sources
    assert isinstance(source, AudioFiles)
    assert source.names == ["silence.ogg", "short.flac"], "what names no split is taken"
    data = AudioDataModule([str(files)], val_folders=[str(files)], segment_seconds=0.05, sample_rate=RATE)
    data.setup()
    assert len(data.val_set) == 3, "a folder for validation is taken as it is"
    write("file_name,split\ntone.wav,test\nshort.flac,test\ndeep/silence.ogg,test\n")
    with pytest.raises(ValueError, match=r"is of the split 'train'; there are: \['test'\]"):
        data.setup()


def test_crops_are_repeatable_by_seed_and_new_every_epoch(rendered: Path) -> None:
    data = AudioDataModule([str(rendered)], segment_seconds=0.1, sample_rate=RATE, samples_per_epoch=16)
    data.setup()

    def epochs() -> list[Tensor]:
        lightning.seed_everything(3, verbose=False)
        loader = data.train_dataloader()
        first = next(iter(loader))
        loader.sampler.set_epoch(1)
        return [first, next(iter(loader))]

    (first, second), (again, _) = epochs(), epochs()
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    fixed = [next(iter(data.val_dataloader())) for _ in range(2)]
    assert torch.equal(*fixed)


def test_training_leaves_held_out_items_alone(tmp_path: Path) -> None:
    folder = tmp_path / "marked"
    folder.mkdir()
    marks = np.repeat(np.arange(1, 41, dtype=np.int16)[:, None] * 500, 100, axis=1)
    np.save(folder / "audio.npy", marks)
    (folder / "metadata.jsonl").write_text((json.dumps({"sample_rate": 4000}) + "\n") * 40)
    data = AudioDataModule([str(folder)], segment_seconds=0.02, sample_rate=4000, samples_per_epoch=400)
    data.setup()
    data.train_set.gain_db = (0.0, 0.0)
    seen = {round(float(data.train_set[i].mean()) * 32767) // 500 for i in range(400)}
    held = {round(float(data.val_set[i].mean()) * 32767) // 500 for i in range(len(data.val_set))}
    assert held == {1, 21}
    assert not seen & held
    assert len(seen) == 38


def test_weights_choose_the_folder(rendered: Path, files: Path) -> None:
    data = AudioDataModule(
        [str(rendered), str(files)],
        weights=[0.0, 1.0],
        val_folders=[str(rendered)],
        segment_seconds=0.25,
        sample_rate=RATE,
        samples_per_epoch=30,
        batch_size=10,
    )
    data.setup()
    for batch in data.train_dataloader():
        for crop in batch[:, 0]:
            peak = torch.fft.rfft(crop).abs().argmax() * RATE / 2000
            padded_click = bool((crop == 0).sum() > 1500)
            assert padded_click or abs(float(peak) - 440) < 5
    assert len(data.val_set) == 60


def test_files_are_resampled_mixed_and_padded(files: Path) -> None:
    source = AudioFiles(files, RATE)
    assert source.read(2, 0, 5).shape == (1, 5)
    assert AudioFiles(files, RATE, channels=2).length(2) == 3 * RATE
    assert source.names == ["silence.ogg", "short.flac", "tone.wav"]
    assert source.length(2) == 3 * RATE
    crop = source.read(2, 1000, 9000)
    assert np.abs(np.fft.rfft(crop)).argmax() == 440
    assert np.abs(crop).max() == pytest.approx(0.5, abs=0.01)


def test_stereo_stays_stereo_and_mono_is_doubled(rendered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stereo"
    folder.mkdir()
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    for number in range(2):
        soundfile.write(folder / f"{number}.wav", np.stack([tone, tone / 2], 1), RATE)
    common: dict[str, Any] = {"segment_seconds": 0.1, "sample_rate": RATE, "samples_per_epoch": 8}
    for place, share in ((folder, 0.5), (rendered, 1.0)):
        data = AudioDataModule([str(place)], channels=2, **common)
        data.setup()
        for batch in (next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))):
            assert batch.shape[1:] == (2, 800)
            torch.testing.assert_close(batch[:, 1], batch[:, 0] * share, atol=1e-4, rtol=0)
    data = AudioDataModule([str(folder)], **common)
    data.setup()
    assert data.val_set[0].shape == (1, 800)


def test_files_that_cannot_be_read_are_left_out(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    (files / "broken.wav").write_text("no sound")
    soundfile.write(files / "empty.flac", np.zeros(0), RATE)
    with caplog.at_level(logging.WARNING):
        source = AudioFiles(files, RATE)
    assert source.names == ["silence.ogg", "short.flac", "tone.wav"]
    assert len(source) == 3
    assert [any(name in m for m in caplog.messages) for name in ("broken.wav", "empty.flac")] == [True] * 2
    for path in files.rglob("*.*"):
        path.write_text("no sound")
    with pytest.raises(ValueError, match=r"none of the 5 sound files .*broken\.wav"):
        AudioFiles(files, RATE)


def test_memory_guard(files: Path) -> None:
    with pytest.raises(ValueError, match="max_gigabytes"):
        AudioFiles(files, RATE, max_gigabytes=1e-5)


def test_other_sample_rate_is_an_error(rendered: Path) -> None:
    with pytest.raises(ValueError, match="--sample-rate 16000"):
        AudioDataModule([str(rendered)], sample_rate=16000).setup()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folders": []}, "folders is empty"),
        ({"folders": ["a"], "weights": [1.0, 2.0]}, "1 numbers"),
        ({"folders": ["a"], "weights": [0.0]}, "0 or more"),
        ({"folders": ["a"], "segment_seconds": float("nan")}, "segment_seconds"),
        ({"folders": ["a"], "batch_size": 0}, "batch_size"),
        ({"folders": ["a"], "channels": 3}, "channels must be 1 or 2"),
    ],
)
def test_bad_audio_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AudioDataModule(**arguments)  # type: ignore[arg-type]


def test_too_few_clips_to_render_are_refused() -> None:
    with pytest.raises(ValueError, match=r"render\.clips must be 40 or more \(or null\), got 3"):
        RenderSettings(3)


def test_a_missing_folder_names_the_setting_and_nothing_is_rendered_into_it(
    rendered: Path, tmp_path: Path
) -> None:
    none, here = str(tmp_path / "none"), str(rendered)
    for data, setting in (
        (AudioDataModule([none]), r"folders '\[FOLDER\]'"),
        (AudioDataModule([here], val_folders=[none]), r"val_folders '\[FOLDER\]'"),
        (AudioGenDataModule([none]), r"folders '\[FOLDER\]'"),
        (AudioGenDataModule([here], val_folders=[none]), r"val_folders '\[FOLDER\]'"),
        (ClipDataModule(none, here), "train_dir FOLDER"),
        (ClipDataModule(here, none), "val_dir FOLDER"),
    ):
        said = rf"none does not exist; check its spelling and the current folder, .*: --data\.{setting}$"
        with pytest.raises(FileNotFoundError, match=said):
            data.prepare_data()
    assert not Path(none).exists()


# ------------------------------------------------------------------ ClipDataModule


def test_clip_batches(rendered: Path, tmp_path: Path, toys: dict[str, SoundClass]) -> None:
    val = write_rendered(tmp_path / "val", toys, 30, "validation")
    data = ClipDataModule(str(rendered), str(val), batch_size=10, sample_rate=RATE)
    data.prepare_data()
    data.setup()
    assert data.class_names == sorted(toys)
    audio, label = next(iter(data.train_dataloader()))
    assert audio.shape == (10, RATE)
    assert audio.dtype == torch.float32
    assert label.dtype == torch.int64
    folder = RenderedFolder(rendered)
    single = [e["classes"][0] for e in folder.entries if e["composition"] == "single"]
    assert len(data.train_set) == len(single) < 60
    assert [data.class_names[data.train_set[i][1]] for i in range(len(single))] == single


def test_missing_clips_are_rendered(tmp_path: Path) -> None:
    folders = [str(tmp_path / "train"), str(tmp_path / "val")]
    data = ClipDataModule(*folders, sample_rate=RATE, render=RenderSettings(40, seconds=0.5))
    data.prepare_data()
    train, val = map(RenderedFolder, folders)
    assert (len(train), len(val), train.length(0)) == (40, 20, 4000)
    assert {e["split"] for e in train.entries} == {"train"}
    assert {e["split"] for e in val.entries} == {"validation"}
    assert {e["composition"] for e in train.entries} == {"single"}


def test_debug_run_renders_a_few_clips_elsewhere(tmp_path: Path) -> None:
    data = ClipDataModule(
        str(tmp_path / "train"),
        str(tmp_path / "val"),
        batch_size=8,
        render=RenderSettings(16000, seconds=0.5),
    )
    module = SoundClassifierModule(widths=(4, 4, 4, 4), export_to=str(tmp_path / "out"))
    trainer = lightning.Trainer(
        fast_dev_run=2, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train-debug", "val-debug"]
    assert len(RenderedFolder(tmp_path / "train-debug")) == 48


# ------------------------------------------------------------------ TokenDataModule


def test_token_batches(tmp_path: Path) -> None:
    short = write_codes(tmp_path / "short", 5, 6)
    long = write_codes(tmp_path / "long", 5, 20)
    data = TokenDataModule([str(short), str(long)], [str(long)], frames=10, batch_size=4, repeats=[1, 3])
    data.setup()
    assert len(data.train_set) == 20  # type: ignore[arg-type]
    lengths = set()
    for batch in data.train_dataloader():
        assert batch["codes"].shape == (4, 2, 10)
        assert batch["codes"].dtype == torch.int64
        assert len(batch["prompts"]) == 4
        assert all(p[0] in "ab" for p in batch["prompts"])
        for codes, length in zip(batch["codes"], batch["lengths"], strict=True):
            assert (codes[:, length:] == 0).all()
            assert (codes[:, 1:length] - codes[:, : length - 1] == 1).all()
            lengths.add(int(length))
    assert lengths == {6, 10}
    val = next(iter(data.val_dataloader()))
    assert val["prompts"] == ["a0", "a1", "a2", "a3"]
    assert val["codes"][0, 0].tolist() == list(range(10))


def test_prompts_vary(tmp_path: Path) -> None:
    data = TokenDataModule(
        [str(write_codes(tmp_path / "a", 1, 4))], [str(tmp_path / "a")], frames=4, batch_size=1
    )
    data.setup()
    torch.manual_seed(0)
    assert {data.train_set[0].caption for _ in range(30)} == {"a0", "b0"}


def test_frames_of_padded_items_are_known(tmp_path: Path) -> None:
    folder = write_codes(tmp_path / "a", 2, 8, frames=3)
    data = TokenDataModule([str(folder)], [str(folder)], frames=8, batch_size=2)
    data.setup()
    assert next(iter(data.val_dataloader()))["lengths"].tolist() == [3, 3]


def test_token_errors(tmp_path: Path) -> None:
    good = str(write_codes(tmp_path / "good", 2, 8))
    three = str(write_codes(tmp_path / "three", 2, 8, books=3))
    with pytest.raises(FileNotFoundError, match="soundloom prepare"):
        TokenDataModule([str(tmp_path / "none")], [good]).setup()
    with pytest.raises(ValueError, match="numbers of codebooks"):
        TokenDataModule([good], [three]).setup()
    with pytest.raises(ValueError, match="at least one"):
        TokenDataModule([], [good])
    with pytest.raises(ValueError, match="repeats"):
        TokenDataModule([good], [good], repeats=[0])
    np.save(tmp_path / "good" / "codes.npy", np.zeros((3, 2, 8), dtype=np.int16))
    with pytest.raises(ValueError, match="encode it anew"):
        TokenDataModule([good], [good]).setup()


# ------------------------------------------------------------------ encode


class PeakCodec(Codec):
    """A codec of one frame in 100 samples: codebook 0 holds the frame's peak in percent, codebook 1 is 7."""

    sample_rate, channels, frame_rate, num_codebooks, codebook_size = RATE, 1, RATE / 100, 2, 128

    def encode(self, audio: Tensor) -> Tensor:
        assert audio.ndim == 3
        assert audio.shape[1] == 1
        assert audio.dtype == torch.float32
        peaks = audio[:, 0, : audio.shape[2] // 100 * 100].unflatten(1, (-1, 100)).abs().amax(2)
        codes = (peaks * 100).round().long()
        return torch.stack([codes, torch.full_like(codes, 7)], dim=1)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        return (codes[:, :1] / 100).repeat_interleave(100, dim=2)[..., :length]


def test_encode_rendered_folder(rendered: Path) -> None:
    calls: list[tuple[int, int]] = []
    path = encode.encode_rendered(rendered, PeakCodec(), batch_size=7, progress=lambda *a: calls.append(a))
    codes = np.load(path)
    assert codes.shape == (60, 2, 80)
    assert codes.dtype == np.int16
    audio = np.load(rendered / "audio.npy") / 32767.0
    peaks = np.abs(audio).reshape(60, 80, 100).max(2)
    assert np.abs(codes[:, 0] - peaks * 100).max() <= 0.51
    assert calls[0] == (7, 60)
    assert calls[-1] == (60, 60)
    names = ["audio.npy", "codes.npy", "metadata.jsonl", "prepared.json"]
    assert sorted(p.name for p in rendered.iterdir()) == names
    with pytest.raises(FileExistsError, match="--force"):
        encode.encode_rendered(rendered, PeakCodec())
    data = TokenDataModule([str(rendered)], [str(rendered)], frames=80)
    data.setup()
    assert next(iter(data.val_dataloader()))["codes"].shape == (16, 2, 80)


def test_encode_errors(
    rendered: Path,
    tmp_path: Path,
) -> None:
    other = PeakCodec()
    other.sample_rate = 16000
    with pytest.raises(ValueError, match="--sample-rate 16000"):
        encode.encode_rendered(rendered, other)
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        encode.encode_rendered(tmp_path / "none", PeakCodec())


def test_prepare_writes_the_codes_of_a_rendered_folder_into_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds, codec = tmp_path / "set", tmp_path / "codec"
    render_dataset(sounds, clips=2, seconds=1.0, compositions={"single": 1.0})
    SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).save_pretrained(codec)
    assert cli.main(["prepare", str(sounds), "--codec", str(codec), "--device", "cpu"]) == 0
    assert np.load(sounds / "codes.npy").shape[:2] == (2, 2)
    assert f"wrote {sounds / 'codes.npy'}" in capsys.readouterr().out
    assert cli.main(["prepare", str(sounds), "--codec", str(codec)]) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main(["prepare", str(sounds), "-o", str(tmp_path / "out"), "--codec", str(codec)]) == 2
    assert "was rendered" in capsys.readouterr().err
