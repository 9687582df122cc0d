"""A codec is a folder and one entry of the registry: one that is added has all that the others have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundloom.codecs import Codec, load_codec
from soundloom.codecs.compression import describe_file
from soundloom.codecs.registry import CODECS, CodecEntry, find_trainer
from soundloom.core.audio import read_audio, write_audio
from tests.cli.running import run
from tests.codecs.toy.model import ToyCodec
from tests.codecs.toy.module import ToyModule

RECIPE = """\
seed_everything: 1
model:
  class_path: tests.codecs.toy.module.ToyModule
  init_args:
    settings: {hop: 4}
    export_to: ${trainer.default_root_dir}/model
data:
  class_path: soundloom.recipes.data.AudioDataModule
  init_args:
    folders: [sounds]
    val_folders: [sounds]
    segment_seconds: 0.1
    batch_size: 2
    samples_per_epoch: 8
    sample_rate: 8000
    channels: 1
trainer:
  accelerator: cpu
  max_steps: 4
  default_root_dir: runs/toy
  enable_progress_bar: false
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODECS, "ToyCodec", CodecEntry("tests.codecs.toy.model"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    codec = ToyCodec(levels=64)
    with torch.no_grad():  # every sample is what the code says
        codec.writer.weight.fill_(1.0)
        codec.writer.bias.zero_()
    codec.save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


def hum(seconds: float = 0.5, rate: int = 8000) -> Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    return 0.5 * torch.sin(2 * torch.pi * 30 * time)[None]


def test_it_is_found_by_name_on_a_device(folder: Path) -> None:
    codec = load_codec(folder, device="cpu")
    assert isinstance(codec, ToyCodec)
    assert (codec.name, codec.settings.levels, codec.device) == ("toy", 64, torch.device("cpu"))
    assert load_codec(folder, device="meta").device.type == "meta"


def test_it_compresses_and_comes_back(folder: Path) -> None:
    codec = load_codec(folder)
    decoded, rate = codec.decompress(codec.compress(hum(rate=16000), 16000).to_bytes())
    assert (rate, decoded.shape) == (16000, (1, 8000))
    assert float((decoded - hum(rate=16000)).abs().mean()) < 0.05
    part, _ = codec.decompress(codec.compress(hum(), 8000), start=0.1, stop=0.2)
    whole, _ = codec.decompress(codec.compress(hum(), 8000))
    torch.testing.assert_close(part, whole[:, 800:1600])


def test_a_stream_gives_what_the_whole_sound_gives(folder: Path) -> None:
    codec, audio = load_codec(folder), hum()[None]
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    codes = torch.cat([*[encoder.push(part) for part in audio.split(37, dim=-1)], encoder.flush()], dim=-1)
    assert torch.equal(codes, codec.encode(audio))
    sound = torch.cat([*[decoder.push(part) for part in codes.split(5, dim=-1)], decoder.flush()], dim=-1)
    assert torch.equal(sound, codec.decode(codes))


def test_the_command_line_takes_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio("hum.wav", hum(), 8000)
    assert run("encode", "hum.wav", "hum.loom", "--codec", "toy", "-q") == 0
    assert describe_file("hum.loom").header.codec == "toy"
    assert run("decode", "hum.loom", "back.wav", "--codec", "toy", "-q") == 0
    assert read_audio("back.wav")[0].shape[-1] == hum().shape[-1]


def test_its_inputs_are_checked_as_those_of_all_codecs(folder: Path) -> None:
    codec = load_codec(folder)
    for audio, words in ((hum(), r"\[B, 1, N\]"), (torch.full((1, 1, 9), torch.nan), "NaN")):
        with pytest.raises(ValueError, match=words):
            codec.encode(audio)
    for codes, words in (
        (torch.full((1, 1, 3), 64), "allowed: 0 to 63"),
        (torch.zeros(1, 2, 3).long(), "B, 1, T"),
    ):
        with pytest.raises(ValueError, match=words):
            codec.decode(codes)
    with pytest.raises(ValueError, match="has no latents"):
        codec.stream_encoder(discrete=False)
    with pytest.raises(ValueError, match="num_codebooks is 2; this codec has 1"):
        codec.stream_encoder(num_codebooks=2)


def test_settings_that_it_does_not_know_are_named(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"hop"', '"stride": 3,\n  "hop"'))
    with pytest.raises(ValueError, match="ToyCodec does not know: stride"):
        load_codec(folder)


def test_it_is_trained_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_trainer("ToyModule") is ToyModule
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sounds").mkdir()
    for index in range(2):
        write_audio(tmp_path / "sounds" / f"{index}.wav", hum(), 8000)
    (tmp_path / "toy.yaml").write_text(RECIPE)
    assert run("fit", "--config", "toy.yaml") == 0
    fitted = load_codec("runs/toy/model")
    assert isinstance(fitted, ToyCodec)
    assert fitted.settings.hop == 4
    assert not torch.equal(fitted.reader.weight, ToyCodec(hop=4).reader.weight), "it was trained"
    assert run("export", "runs/toy/checkpoints/last.ckpt", "exported", "-q") == 0
    exported = load_codec("exported")
    assert isinstance(exported, Codec)
    assert torch.equal(exported.encode(hum()[None]), fitted.encode(hum()[None]))
