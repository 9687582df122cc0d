"""Checkpoints become model folders: of every kind, averaged or not, complete or not at all."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from soundloom.codecs.music2latent2.model import Music2Latent2
from soundloom.codecs.music2latent2.module import Music2Latent2Module
from soundloom.codecs.music2latent2.music2latent2_config import Music2Latent2Config
from soundloom.codecs.registry import load_codec
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.module import DiscriminatorSettings, SEANetModule
from soundloom.core.exports_model import model_folder
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.classifier_module import SoundClassifierModule
from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.model.lora import LoRASettings
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.training.ema import ExponentialMovingAverage
from soundloom.gen.training.export_checkpoint import export_checkpoint, export_lora
from soundloom.gen.training.module import AudioGenModule
from soundloom.gen.training.parts import ExportSettings, TextSettings

T5 = Path(__file__).resolve().parents[2] / "fixtures" / "audiogen_tiny" / "t5"
FAST: dict[str, Any] = {
    "optimizer": partial(torch.optim.AdamW, lr=0.1),
    "scheduler": LearningRateSchedule(warmup_steps=0),
}
SMALL_M2L2: dict[str, Any] = {
    "sample_rate": 8000, "channels": 1, "hop": 32, "frames_per_chunk": 8, "base_channels": 8,
    "multipliers": (1, 2), "encoder_blocks": (1, 1), "decoder_blocks": (1, 1), "strides": ((4, 4),),
    "dim": 16, "head_dim": 8, "encoder_layers": 1, "upsampler_layers": 1, "decoder_layers": 1, "noise_dim": 8,
    "num_latents": 2, "latent_dim": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).save_pretrained(folder)
    return folder


def train(model: lightning.LightningModule, batch: Any, path: Path, *callbacks: lightning.Callback) -> None:
    """Train two steps and save a checkpoint."""
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=path.parent,
        max_steps=2,
        callbacks=[SaveAtTwo(path), *callbacks],
    )
    trainer.fit(model, DataLoader([batch] * 3, batch_size=None))  # type: ignore[arg-type]
    if not path.is_file():  # some modules count a step of each of two optimisers
        trainer.save_checkpoint(path)


class SaveAtTwo(lightning.Callback):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: lightning.Trainer, *others: Any) -> None:
        if trainer.global_step == 2:
            trainer.save_checkpoint(self.path)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory, codec_folder: Path) -> Path:
    """A checkpoint of a language model with a moving average, whose weights as trained differ."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    model = AudioGenModule(
        lm=AudioLMConfig(num_codebooks=2, codebook_size=16, dim=16, num_layers=1, num_heads=2),
        text=TextSettings(str(T5)),
        export=ExportSettings(str(codec_folder), max_seconds=1.5),
        **FAST,
    )
    batch = {"codes": torch.randint(0, 16, (2, 2, 8)), "prompts": ["a dog", "rain"]}
    train(model, batch, path, ExponentialMovingAverage(0.5, 1))
    return path


def weights(path: Path, key: str) -> torch.Tensor:
    return torch.load(path, weights_only=True)[key]["lm.heads.weight"]


@pytest.mark.parametrize(
    ("ema", "key"), [(None, "state_dict"), (True, "state_dict"), (False, "current_model_state")]
)
def test_a_language_model_exports_its_average_or_its_weights(
    language_model: Path, tmp_path: Path, ema: bool | None, key: str
) -> None:
    done = export_checkpoint(language_model, tmp_path / "out", ema=ema)
    assert (done.module, done.step, done.averaged) == ("AudioGenModule", 2, ema is not False)
    assert done.size == sum(file.stat().st_size for file in done.folder.rglob("*") if file.is_file())
    assert (tmp_path / "out" / "codec" / "config.json").is_file()  # that of a folder belongs to the model
    model = AudioGen.from_pretrained(tmp_path / "out")
    assert torch.equal(model.lm.heads.weight, weights(language_model, key))
    assert model.max_seconds == 1.5
    assert not torch.equal(
        weights(language_model, "state_dict"), weights(language_model, "current_model_state")
    )
    assert model.generate("a dog", duration=0.2, seed=3).samples.shape[-1] > 0


def test_int8_is_smaller_and_close(language_model: Path, tmp_path: Path) -> None:
    export_checkpoint(language_model, tmp_path / "float")
    export_checkpoint(language_model, tmp_path / "int8", weights="int8")
    sizes = [(tmp_path / kind / "lm").glob("*.safetensors") for kind in ("float", "int8")]
    large, small = (sum(file.stat().st_size for file in files) for files in sizes)
    assert small < 0.5 * large
    precise, rounded = (
        AudioGen.from_pretrained(tmp_path / kind).lm.heads.weight for kind in ("float", "int8")
    )
    step = precise.abs().amax(dim=1, keepdim=True) / 127
    assert ((precise - rounded).abs() <= 0.51 * step).all()


def test_lora_is_merged_into_the_model_that_it_started_from(
    language_model: Path, tmp_path: Path, codec_folder: Path
) -> None:
    export_checkpoint(language_model, tmp_path / "start")
    torch.manual_seed(0)
    model = AudioGenModule(init_from=str(tmp_path / "start"), lora=LoRASettings(rank=2), **FAST)
    batch = {"codes": torch.randint(0, 16, (2, 2, 8)), "prompts": ["a dog", "rain"]}
    train(model, batch, tmp_path / "lora.ckpt")
    export_checkpoint(tmp_path / "lora.ckpt", tmp_path / "out")
    exported, start = AudioGen.from_pretrained(tmp_path / "out"), AudioGen.from_pretrained(tmp_path / "start")
    name = "transformer.layers.0.linear1"
    layer: Any = model.lm.get_submodule(name)
    torch.testing.assert_close(exported.lm.get_submodule(name).weight, layer.merged_weight())
    assert not torch.equal(exported.lm.get_submodule(name).weight, start.lm.get_submodule(name).weight)
    assert torch.equal(exported.lm.heads.weight, start.lm.heads.weight)
    with torch.no_grad():
        next(start.lm.parameters()).add_(1.0)
    start.save_pretrained(tmp_path / "start")  # the model is another one now
    with pytest.raises(ValueError, match="continues from other weights"):
        export_checkpoint(tmp_path / "lora.ckpt", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_lora_alone_is_a_small_file_that_does_the_same(
    language_model: Path, tmp_path: Path, codec_folder: Path
) -> None:
    export_checkpoint(language_model, tmp_path / "start")
    torch.manual_seed(0)
    model = AudioGenModule(init_from=str(tmp_path / "start"), lora=LoRASettings(rank=2), **FAST)
    batch = {"codes": torch.randint(0, 16, (2, 2, 8)), "prompts": ["a dog", "rain"]}
    train(model, batch, tmp_path / "lora.ckpt")
    export_checkpoint(tmp_path / "lora.ckpt", tmp_path / "merged")
    done = export_lora(tmp_path / "lora.ckpt", tmp_path / "dogs.safetensors")
    assert done.size == (tmp_path / "dogs.safetensors").stat().st_size
    assert (done.step, done.module) == (2, "AudioGenModule")
    with pytest.raises(FileExistsError):
        export_lora(tmp_path / "lora.ckpt", tmp_path / "dogs.safetensors")

    beside, merged = (
        AudioGen.from_pretrained(tmp_path / "start"),
        AudioGen.from_pretrained(tmp_path / "merged"),
    )
    plain = beside.lm(batch["codes"], torch.zeros(2, 1, beside.lm.text_dim)).logits
    beside.load_lora_weights(tmp_path / "dogs.safetensors")
    found, wanted = (
        each.lm(batch["codes"], torch.zeros(2, 1, each.lm.text_dim)).logits for each in (beside, merged)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)  # the file's are in half precision
    assert (plain - wanted).abs().max() > 10 * (found - wanted).abs().max()


def test_what_is_no_lora_is_not_exported_as_such(language_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "dogs.safetensors"
    with pytest.raises(ValueError, match="not trained with LoRA"):
        export_lora(language_model, target)
    model = SoundClassifierModule(["dog", "rain"], widths=(2, 2, 2, 2))
    package = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(package)
    torch.save(package, tmp_path / "ears.ckpt")
    with pytest.raises(ValueError, match="of a SoundClassifierModule; only language models have LoRA"):
        export_lora(tmp_path / "ears.ckpt", target)
    assert not target.exists()


def test_a_text_encoder_that_was_trained_too_is_not_left_out_silently(tmp_path: Path) -> None:
    model = AudioGenModule(init_from="foley", lora=LoRASettings(rank=1, targets=["query"]), **FAST)
    package = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(package)
    torch.save(package, tmp_path / "both.ckpt")
    with pytest.raises(ValueError, match="trained the text encoder too.*--model.text.train false"):
        export_lora(tmp_path / "both.ckpt", tmp_path / "dogs.safetensors")


def test_a_codec_exports(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0, ratios=(4, 2))
    model = SEANetModule(codec, discriminator=DiscriminatorSettings(n_filters=2, n_ffts=(64,)))
    train(model, torch.randn(2, 1, 1600) * 0.1, tmp_path / "codec.ckpt")
    done = export_checkpoint(tmp_path / "codec.ckpt", tmp_path / "out")
    assert (done.module, done.averaged) == ("SEANetModule", False)
    found = load_codec(tmp_path / "out")
    audio = torch.randn(1, 1, 800, generator=torch.Generator().manual_seed(1)) * 0.1
    with torch.no_grad():
        assert torch.equal(found.encode(audio), model.codec.eval().encode(audio))
        codes = found.encode(audio)
        torch.testing.assert_close(found.decode(codes), model.codec.decode(codes), rtol=1e-3, atol=1e-5)


def test_music2latent2_exports(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = Music2Latent2Config(**SMALL_M2L2)
    model = Music2Latent2Module(settings)
    samples = 2 * settings.chunk_samples + settings.edge
    train(model, torch.randn(2, 1, samples) * 0.1, tmp_path / "m.ckpt")
    assert export_checkpoint(tmp_path / "m.ckpt", tmp_path / "out").module == "Music2Latent2Module"
    found = Music2Latent2.from_pretrained(tmp_path / "out")
    expected = model.codec.state_dict()
    assert found.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.state_dict().items())


def test_the_judge_exports(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SoundClassifierModule(["dog", "rain"], widths=(2, 2, 2, 2))
    train(model, (torch.randn(2, 8000), torch.tensor([0, 1])), tmp_path / "judge.ckpt")
    assert export_checkpoint(tmp_path / "judge.ckpt", tmp_path / "out").module == "SoundClassifierModule"
    found = SoundClassifier.from_pretrained(tmp_path / "out")
    assert list(found.class_names) == ["dog", "rain"]
    audio = torch.randn(1, 8000)
    with torch.no_grad():
        torch.testing.assert_close(found.eval()(audio), model.classifier.eval()(audio))


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return os.mkdir, ("evil",)


def test_what_is_no_checkpoint_is_refused(
    language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = language_model.read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps({"state_dict": Evil()}))
    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil2.ckpt")
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    torch.save({"state_dict": {}, "soundloom": {"module": "os.system"}}, tmp_path / "stranger.ckpt")
    torch.save({"state_dict": {}, "hyper_parameters": {"_class_path": "a.B"}}, tmp_path / "theirs.ckpt")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "last.ckpt").write_bytes(b"")
    for name, words in (
        ("gone.ckpt", "no such checkpoint: gone.ckpt"),
        ("half.ckpt", "truncated"),
        ("text.ckpt", "truncated or damaged"),
        ("evil.ckpt", "could run"),
        ("evil2.ckpt", "could run"),
        ("other.ckpt", "no 'state_dict'"),
        ("stranger.ckpt", "known are those of AudioGenModule"),
        ("theirs.ckpt", "no checkpoint of a soundloom model"),
        ("runs", "is a folder; give the file.*last.ckpt"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            export_checkpoint(name, "out")
        assert not Path("out").exists(), name
    assert not Path("evil").exists()


def test_what_cannot_be_exported_so_is_refused(language_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights is 'int4'"):
        export_checkpoint(language_model, tmp_path / "out", weights="int4")
    torch.manual_seed(0)
    model = SoundClassifierModule(["dog", "rain"], widths=(2, 2, 2, 2))
    train(model, (torch.randn(2, 8000), torch.tensor([0, 1])), tmp_path / "judge.ckpt")
    with pytest.raises(ValueError, match="only language models"):
        export_checkpoint(tmp_path / "judge.ckpt", tmp_path / "out", weights="int8")
    with pytest.raises(ValueError, match="no moving average.*leave out --ema"):
        export_checkpoint(tmp_path / "judge.ckpt", tmp_path / "out", ema=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        export_checkpoint(language_model, tmp_path / "file" / "out")
    package = torch.load(language_model, weights_only=True)
    package["state_dict"].pop("lm.heads.weight")
    torch.save(package, tmp_path / "less.ckpt")
    with pytest.raises(ValueError, match=r"less\.ckpt do not fit.*heads"):
        export_checkpoint(tmp_path / "less.ckpt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_wants_force_and_keeps_the_rest(
    language_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "lm").mkdir(parents=True)
    (out / "README.md").write_text("mine")
    (out / "lm" / "diffusion_pytorch_model.safetensors.index.json").write_text("of an older, sharded model")
    with pytest.raises(FileExistsError, match="--force"):
        export_checkpoint(language_model, out)
    assert not (out / "config.json").exists()
    export_checkpoint(language_model, out, force=True)
    assert (out / "README.md").read_text() == "mine"
    assert AudioGen.from_pretrained(out).max_seconds == 1.5


def test_an_export_that_fails_changes_nothing(
    language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export_checkpoint(language_model, out)
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}

    def fail(self: AudioGenModule, folder: Path, **settings: Any) -> None:
        (folder / "config.json").write_text("{}")
        raise OSError("disk full")

    monkeypatch.setattr(AudioGenModule, "export", fail)
    with pytest.raises(OSError, match="disk full"):
        export_checkpoint(language_model, out, force=True)
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_while_files_are_moved_the_folder_is_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text("old")
    seen = []
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        seen.append((Path(target).name, (out / "config.json").exists()))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with model_folder(out) as folder:
        for name in ("config.json", "a.safetensors", "z.json"):
            (folder / name).write_text("new")
        assert (out / "config.json").read_text() == "old"
    assert seen == [("a.safetensors", False), ("z.json", False), ("config.json", False)]


def test_training_stops_before_it_begins_when_it_could_not_export(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = SoundClassifierModule(
        ["dog", "rain"], widths=(2, 2, 2, 2), export_to=str(tmp_path / "file" / "x")
    )
    with pytest.raises(NotADirectoryError, match="is a file"):
        train(model, (torch.randn(2, 8000), torch.tensor([0, 1])), tmp_path / "judge.ckpt")
    assert not (tmp_path / "judge.ckpt").exists()
