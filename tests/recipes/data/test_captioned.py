"""Captioned items and AudioGenDataModule: right sound under the right caption, from every kind of folder."""

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
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.numpy import save

from soundloom import cli
from soundloom.core.audio import AudioError
from soundloom.gen.training.mixing import Mixing
from soundloom.recipes.data import AudioDataModule
from soundloom.recipes.data.audiogen_module import (
    AudioGenDataModule,
    CaptionSettings,
    SegmentSettings,
    ShardSettings,
)
from soundloom.recipes.data.folder import read_folder
from soundloom.recipes.data.items import ItemDataset, collate_items
from soundloom.recipes.data.shards import ShardWriter, held_out
from soundloom.recipes.data.sources import Item, RecordingSource, hold_out

RATE = 8000


def levels(folder: Path, count: int, seconds: float = 1.0, rate: int = RATE) -> Path:
    """Recordings of a constant level, n / 100 in file n, which its caption names."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file_name,text"]
    for number in range(count):
        samples = np.full(round(seconds * rate), number / 100, np.float32)
        soundfile.write(folder / f"{number:03d}.wav", samples, rate, subtype="FLOAT")
        rows.append(f"{number:03d}.wav,level {number}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


HALF_SECOND = SegmentSettings(0.5)


def dataset(folder: Path, samples: int = 4000, **changed: Any) -> ItemDataset:
    recordings = read_folder(folder, captions=False)
    source = RecordingSource(recordings, RATE, 1, samples)
    options: dict[str, Any] = {"repeats": [1], "training": True} | changed
    return ItemDataset([source], [range(len(recordings))], **options)


def module(*folders: object, **changed: Any) -> AudioGenDataModule:
    options: dict[str, Any] = {"segment": HALF_SECOND, "batch_size": 4, "sample_rate": RATE} | changed
    data = AudioGenDataModule([str(folder) for folder in folders], **options)
    data.prepare_data()
    data.setup()
    return data


# ------------------------------------------------------------------ items


def test_starts_and_captions_vary_in_training_only(tmp_path: Path) -> None:
    ramp = np.arange(2 * RATE) / 32768
    soundfile.write(tmp_path / "ramp.wav", ramp, RATE)
    (tmp_path / "ramp.txt").write_text("a ramp\nrising\n")
    training, fixed = dataset(tmp_path), dataset(tmp_path, training=False)
    items = [training[0] for _ in range(40)]
    starts = {round(float(item.audio[0, 0]) * 32768) for item in items}  # type: ignore[index]
    assert len(starts) > 30
    assert max(starts) <= RATE * 2 - 4000
    assert {item.caption for item in items} == {"a ramp", "rising"}
    again = [fixed[0] for _ in range(3)]
    assert all(float(item.audio[0, 0]) == 0 and item.caption == "a ramp" for item in again)  # type: ignore[index]


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    data = dataset(levels(tmp_path, 3, seconds=2.0))

    def draw() -> list[Item]:
        torch.manual_seed(4)
        return [data[index] for index in (0, 1, 2, 0)]

    for one, other in zip(draw(), draw(), strict=True):
        assert one.caption == other.caption
        assert torch.equal(one.audio, other.audio)


def test_a_file_that_breaks_later_is_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = dataset(levels(tmp_path, 4))
    (tmp_path / "001.wav").write_bytes(b"broken")
    (tmp_path / "003.wav").unlink()
    with caplog.at_level(logging.WARNING):
        found = [[data[index].caption for index in range(4)] for _ in range(3)]
    assert found == [["level 0", "level 2", "level 2", "level 0"]] * 3
    assert ["001.wav" in message for message in caplog.messages] == [True, False]
    assert "003.wav" in caplog.messages[1]


def test_what_replaces_a_bad_item_does_not_depend_on_what_was_known(tmp_path: Path) -> None:
    levels(tmp_path, 2)
    soundfile.write(tmp_path / "001.wav", np.arange(2 * RATE) / 32768, RATE)
    (tmp_path / "000.wav").write_bytes(b"broken")
    data = dataset(tmp_path)
    torch.manual_seed(1)
    first = data[0]
    torch.manual_seed(1)
    assert torch.equal(data[0].audio, first.audio)  # type: ignore[arg-type]


def test_when_all_are_bad_that_is_an_error(tmp_path: Path) -> None:
    data = dataset(levels(tmp_path, 2))
    for path in tmp_path.glob("*.wav"):
        path.write_bytes(b"broken")
    for _ in range(2):
        with pytest.raises(AudioError, match=r"none of the 2 sounds .*000\.wav"):
            data[0]


def test_repeats_and_edits(tmp_path: Path) -> None:
    one, two = levels(tmp_path / "one", 2), levels(tmp_path / "two", 1)
    sources = [RecordingSource(read_folder(folder), RATE, 1, 80) for folder in (one, two)]
    data = ItemDataset(sources, [[0, 1], [0]], [1, 3], training=False, edit=str.upper)
    assert [data[n].caption for n in range(5)] == ["LEVEL 0", "LEVEL 1", *["LEVEL 0"] * 3]
    with pytest.raises(IndexError):
        data[5]


def test_pieces_of_a_recording_are_held_out_together() -> None:
    class Pieces:
        def __len__(self) -> int:
            return 90

        def group(self, item: int) -> int:
            return item // 2

        def read(self, item: int, generator: Any) -> Item:
            raise NotImplementedError

    train, held = hold_out(Pieces())
    assert held == [0, 1, 40, 41, 80, 81]
    assert sorted(train + held) == list(range(90))
    assert held_out("00000017-000") == held_out("00000017-003") == held_out("00000017")
    share = sum(held_out(f"{number:08d}") for number in range(4000)) / 4000
    assert 0.03 < share < 0.07


def test_collating_pads_and_counts() -> None:
    items = [Item("a", audio=torch.ones(2, 5)), Item("", audio=torch.ones(2, 8))]
    batch = collate_items(items, 8)
    assert batch["audio"].shape == (2, 2, 8)
    assert batch["audio"][0, :, 5:].abs().max() == 0
    assert batch["audio_lengths"].tolist() == [5, 8]
    assert batch["prompts"] == ["a", ""]
    assert collate_items(items, 8, tail=2)["audio_lengths"].tolist() == [7, 8], "a tail of silence counts"
    states = [torch.ones(3, 6), torch.ones(0, 6)]
    items = [Item("x", codes=torch.ones(4, n, dtype=torch.int64), states=states[n - 2]) for n in (2, 3)]
    batch = collate_items(items, 3)
    assert batch["codes"].shape == (2, 4, 3)
    assert batch["lengths"].tolist() == [2, 3]
    assert batch["text_states"].shape == (2, 3, 6)
    assert batch["text_mask"].tolist() == [[True] * 3, [False] * 3]


# ------------------------------------------------------------------ the data module


def test_recordings_become_batches_of_sound(tmp_path: Path) -> None:
    data = module(levels(tmp_path, 30, seconds=0.3), num_workers=0)
    batches = list(data.train_dataloader())
    assert len(batches) == 28 // 4
    for batch in batches:
        assert batch["audio"].shape == (4, 1, 4000)
        assert batch["audio"].dtype == torch.float32
        assert batch["audio_lengths"].tolist() == [2400] * 4
        for audio, prompt in zip(batch["audio"], batch["prompts"], strict=True):
            assert f"level {round(float(audio[0, 0]) * 100)}" == prompt
            assert not audio[0, 2400:].any()
    trained = {prompt for batch in batches for prompt in batch["prompts"]}
    held = [prompt for batch in data.val_dataloader() for prompt in batch["prompts"]]
    assert held == ["level 0", "level 20"]
    assert not trained & set(held)
    assert len(trained) == 28
    data = module(tmp_path, segment=SegmentSettings(0.5, tail_seconds=0.1))
    lengths = [batch["audio_lengths"] for batch in (*data.train_dataloader(), *data.val_dataloader())]
    assert torch.cat(lengths).tolist() == [3200] * 30


def test_stereo_and_other_rates(tmp_path: Path) -> None:
    data = module(levels(tmp_path, 4, rate=44100), channels=2, sample_rate=16000, batch_size=2)
    batch = next(iter(data.train_dataloader()))
    assert batch["audio"].shape == (2, 2, 8000)
    assert batch["audio_lengths"].tolist() == [8000, 8000]


def test_epochs_repeat_by_seed_and_resume(tmp_path: Path) -> None:
    data = module(levels(tmp_path, 30), batch_size=3, mixing=Mixing(keep=0.6))

    def batches(epoch: int, state: dict[str, int] | None = None) -> list[tuple[list[str], float]]:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        if state is not None:
            loader.load_state_dict(state)
        return [(batch["prompts"], float(batch["audio"].sum())) for batch in loader]

    assert len(batches(0)) == 28 // 5
    assert batches(0) == batches(0) != batches(1)
    assert batches(2, {"epoch": 2, "batches": 3}) == batches(2)[3:]


def test_sound_without_captions(tmp_path: Path) -> None:
    levels(tmp_path, 3)
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(ValueError, match="none of the 3 sounds"):
        module(tmp_path)
    data = module(tmp_path, caption=CaptionSettings(required=False), batch_size=2)
    assert next(iter(data.train_dataloader()))["prompts"] == ["", ""]


def test_normalized_captions(tmp_path: Path) -> None:
    levels(tmp_path, 3)
    (tmp_path / "metadata.csv").write_text(
        "file_name,text\n" + "".join(f"00{n}.wav,A dog is barking at the park\n" for n in range(3))
    )
    data = module(tmp_path, caption=CaptionSettings(normalize=True), batch_size=2)
    assert next(iter(data.train_dataloader()))["prompts"] == ["dog bark park"] * 2


def encoded(folder: Path, items: int = 30, books: int = 2, text: bool = False, rate: float = 50.0) -> Path:
    """What `soundloom prepare` writes; every code of an item is its number."""
    folder.mkdir(parents=True)
    codes = np.zeros((items, books, 40), np.int16) + np.arange(items, dtype=np.int16)[:, None, None]
    np.save(folder / "codes.npy", codes)
    with open(folder / "metadata.jsonl", "w") as lines:
        for number in range(items):
            captions = [f"item {number}", f"piece {number}"]
            entry: dict[str, Any] = {"caption": captions[0], "captions": captions, "frames": 40 - number}
            if text:
                entry["text"] = [[2 * number, 2 * number + 1], [2 * number + 1, 2 * number + 2]]
            lines.write(json.dumps(entry) + "\n")
    if text:
        np.save(folder / "text.npy", np.arange(2 * items, dtype=np.float16)[:, None].repeat(3, 1))
    prepared = {
        "codec": "tiny",
        "text_encoder": "tiny" if text else None,
        "frame_rate": rate,
        "num_codebooks": books,
        "codebook_size": 64,
        "samples": items,
    } | ({"text_dim": 3} if text else {})
    (folder / "prepared.json").write_text(json.dumps(prepared))
    return folder


def test_codes_with_text_states(tmp_path: Path) -> None:
    data = module(encoded(tmp_path / "a", text=True), segment=SegmentSettings(0.3))
    seen = set()
    for batch in data.train_dataloader():
        assert batch["codes"].shape == (4, 2, 15)
        assert batch["text_states"].shape == (4, 1, 3)
        rows = zip(batch["codes"], batch["lengths"], batch["prompts"], batch["text_states"], strict=True)
        for codes, length, prompt, states in rows:
            word, number = prompt.split()
            assert int(length) == min(15, 40 - int(number))
            assert (codes[:, :length] == int(number)).all()
            assert (codes[:, length:] == 0).all()
            assert float(states[0, 0]) == 2 * int(number) + (word == "piece")
            seen.add(word)
    assert seen == {"item", "piece"}


def test_encoded_shards(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, max_samples=20) as writer:
        for number in range(60):
            entry = {"caption": f"item {number}", "captions": [f"item {number}"], "file_name": "x"}
            tensors = {
                "codes": np.full((2, 9), number, np.int16),
                "text.0": np.full((2, 3), number, np.float16),
            }
            writer.write(
                f"{number // 3:08d}-{number % 3:03d}",
                {".safetensors": save(tensors), ".json": json.dumps(entry).encode()},
            )
    prepared = {"codec": "c", "text_encoder": "t", "frame_rate": 50.0, "num_codebooks": 2, "samples": 60}
    (tmp_path / "prepared.json").write_text(json.dumps(prepared | {"codebook_size": 64}))
    data = module(tmp_path, segment=SegmentSettings(0.1), shards=ShardSettings(shuffle_buffer=10))
    loader = data.train_dataloader()
    assert len(loader) == 15
    trained = set()
    for batch in loader:
        for codes, states, prompt in zip(batch["codes"], batch["text_states"], batch["prompts"], strict=True):
            number = int(prompt.split()[1])
            assert codes.tolist() == [[number] * 5] * 2
            assert states.tolist() == [[number] * 3] * 2
            trained.add(number)
    held = {int(p.split()[1]) for batch in data.val_dataloader() for p in batch["prompts"]}
    assert held
    assert not trained & held
    assert trained | held == set(range(60))
    assert {number // 3 * 3 + k for number in held for k in range(3)} == held


def raw_shards(folder: Path, sounds: Path) -> Path:
    folder.mkdir()
    with ShardWriter(folder, max_samples=5) as writer:
        for path in sorted(sounds.glob("*.wav")):
            members = {".wav": path.read_bytes()}
            if path.stem != "001":
                members[".txt"] = f"level {int(path.stem)}".encode()
            writer.write(path.stem, members)
    return folder


def test_raw_shards(tmp_path: Path) -> None:
    shards = raw_shards(tmp_path / "shards", levels(tmp_path / "sounds", 12))
    data = module(shards, val_folders=[str(shards)], shards=ShardSettings(44, 3))
    prompts = []
    for batch in data.train_dataloader():
        assert batch["audio"].shape == (4, 1, 4000)
        for audio, prompt in zip(batch["audio"], batch["prompts"], strict=True):
            assert f"level {round(float(audio[0, 0]) * 100)}" == prompt
        prompts += batch["prompts"]
    assert len(prompts) == 44
    assert set(prompts) == {f"level {n}" for n in range(12) if n != 1}
    assert [p for b in data.val_dataloader() for p in b["prompts"]][:3] == ["level 0", "level 2", "level 3"]


def test_a_codec_trains_on_shards_too(tmp_path: Path) -> None:
    shards = raw_shards(tmp_path / "shards", levels(tmp_path / "sounds", 12))
    data = AudioDataModule(
        [str(shards)],
        val_folders=[str(shards)],
        segment_seconds=0.1,
        batch_size=4,
        sample_rate=RATE,
        channels=2,
        samples_per_epoch=16,
        val_samples=6,
    )
    data.setup()
    batches = list(data.train_dataloader())
    assert [batch.shape for batch in batches] == [(4, 2, 800)] * 4
    assert all(float(crop.abs().max()) > 1e-3 for batch in batches for crop in batch)  # file 0 is silent
    held = torch.cat(list(data.val_dataloader()))
    assert held[:, 0, 0].mul(100).round().tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="leave weights out"):
        AudioDataModule([str(shards)], weights=[1.0])
    with pytest.raises(ValueError, match="cannot be mixed with folders"):
        AudioDataModule([str(shards), str(tmp_path / "sounds")], sample_rate=RATE).setup()


def test_what_does_not_fit_together_is_named(tmp_path: Path) -> None:
    sounds, one, two = levels(tmp_path / "sounds", 4), encoded(tmp_path / "one"), tmp_path / "two"
    shards = raw_shards(tmp_path / "shards", sounds)
    for folders, changed, message in (
        ((sounds, one), {}, r"sound and codes .*one \(codes\).*soundloom prepare"),
        ((sounds, shards), {}, r"shards and folders .*shards \(shards\)"),
        (
            (one, encoded(two, rate=25.0)),
            {},
            r"rate of the codes is \[25\.0, 50\.0\]; set segment\.frames",
        ),
        ((one, encoded(tmp_path / "three", text=True)), {}, "prepare them all alike"),
        ((one, encoded(tmp_path / "four", books=3)), {}, "different numbers of codebooks"),
        ((one,), {"mixing": Mixing()}, "mixing needs sound"),
        ((tmp_path / "three",), {"caption": CaptionSettings(normalize=True)}, "--normalize-captions"),
        ((shards,), {}, r"set shards\.samples_per_epoch"),
        ((shards,), {"shards": ShardSettings(9), "repeats": [2]}, r"repeats is \[2\]"),
        ((sounds,), {"repeats": [0]}, "1 numbers of 1 or more"),
        ((sounds,), {"channels": 3}, "channels must be 1 or 2"),
        ((), {}, "folders is empty"),
        ((levels(tmp_path / "single", 1),), {}, "one recording only"),
    ):
        with pytest.raises(ValueError, match=message):
            module(*folders, **changed)
    with pytest.raises(FileNotFoundError, match="check its spelling"):
        module(tmp_path / "none")


def test_settings_out_of_range_are_named() -> None:
    for kind, changed, message in (
        (SegmentSettings, {"seconds": 0.0}, r"segment\.seconds must be 0.02..600, got 0.0"),
        (SegmentSettings, {"tail_seconds": -1.0}, r"segment\.tail_seconds must be 0..600, got -1"),
        (SegmentSettings, {"frames": 0}, r"segment\.frames must be 1 or more, got 0"),
        (ShardSettings, {"samples_per_epoch": 0}, r"shards\.samples_per_epoch must be 1 or more"),
        (ShardSettings, {"shuffle_buffer": 0}, r"shards\.shuffle_buffer must be 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            kind(**changed)


class Model(lightning.LightningModule):
    """Notes the prompts it sees; may stop in the middle of an epoch."""

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[str, ...]] = []
        for name, part in parts.items():
            setattr(self, name, part)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        self.seen.append(tuple(batch["prompts"]))
        return self.weight.square()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(model: Model, data: Any, folder: Path, steps: int, checkpoint: Path | None = None) -> None:
    every = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        callbacks=[every],
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        default_root_dir=folder,
    )
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_a_resumed_run_sees_what_it_would_have_seen(tmp_path: Path, kind: str) -> None:
    folder: Path = levels(tmp_path / "sounds", 12)
    options: dict[str, Any] = {"batch_size": 2, "val_folders": [str(folder)]}
    if kind == "shards":
        folder = raw_shards(tmp_path / "shards", folder)
        options |= {"val_folders": [str(folder)], "shards": ShardSettings(10, 3)}

    def data() -> AudioGenDataModule:
        return AudioGenDataModule([str(folder)], segment=SegmentSettings(0.1), sample_rate=RATE, **options)

    straight = Model()
    fit(straight, data(), tmp_path / "straight", 14)
    assert len(straight.seen) == 14
    assert len(set(straight.seen)) > 7
    for step in (5, 6, 8, 12):  # epochs of 6 batches (folder) or 5 (shards)
        resumed = Model()
        fit(resumed, data(), tmp_path / "resumed", 14, tmp_path / "straight" / f"step={step}.ckpt")
        assert resumed.seen == straight.seen[step:], step


def test_codes_that_do_not_fit_the_model_are_refused_before_training(tmp_path: Path) -> None:
    class Part:
        num_codebooks, codebook_size, text_dim = 2, 32, 3

    data = AudioGenDataModule([str(encoded(tmp_path / "codes"))], sample_rate=RATE)
    with pytest.raises(ValueError, match="encoded with 64 codes a codebook .* model has 32"):
        fit(Model(lm=Part()), data, tmp_path, 1)


RECIPE = """\
seed_everything: 3
model:
  class_path: soundloom.gen.training.module.AudioGenModule
  init_args:
    lm: {{codebook_size: 64, dim: 12, num_layers: 1}}
    text: {{encoder: {tiny}/t5}}
    codec: {tiny}
data:
  class_path: soundloom.recipes.data.AudioGenDataModule
  init_args: {{folders: [{folder}], segment_seconds: 0.5, batch_size: 2, mixing: {{snr_db: [-3, 3]}}}}
trainer: {{fast_dev_run: 2, accelerator: cpu, enable_progress_bar: false, enable_model_summary: false}}
"""


def test_a_recipe_trains_on_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Path(__file__).resolve().parents[2] / "fixtures" / "audiogen_tiny"
    recipe = tmp_path / "own.yaml"
    recipe.write_text(RECIPE.format(tiny=tiny, folder=levels(tmp_path / "sounds", 8, rate=16000)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # written by Lightning; taken back afterwards
    assert cli.lightning(["fit", "--config", str(recipe)]) == 0
