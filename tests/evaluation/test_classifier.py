"""The classifier: any duration, batch = single, save -> load, and it learns to tell sounds apart."""

from __future__ import annotations

import json
import time
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from soundloom.core.int8_storage import save_int8
from soundloom.evaluation.classifier import LogMel, SoundClassifier
from soundloom.evaluation.classifier_module import SoundClassifierModule, confusion_figure, masked
from soundloom.gen.text.encoder import TextStates

NAMES = ["hum", "noise", "whine"]


@pytest.fixture
def model() -> SoundClassifier:
    torch.manual_seed(0)
    return SoundClassifier(class_names=NAMES, widths=(4, 8, 8, 8)).eval()


def sounds(batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Half-second clips of the three classes, audio `[B, N]` and class `[B]`."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(batch) % 3
    t = torch.arange(8000) / 16000
    noise = torch.randn(batch, 8000, generator=generator)
    hertz = torch.where(label == 0, 150.0, 3000.0)[:, None] * (
        0.8 + 0.4 * torch.rand(batch, 1, generator=generator)
    )
    audio = torch.where(label[:, None] == 1, noise, torch.sin(2 * torch.pi * hertz * t))
    return 0.2 * audio, label


def test_size_and_shapes() -> None:
    full = SoundClassifier(class_names=[f"class {i}" for i in range(60)])
    assert sum(p.numel() for p in full.parameters()) <= 600_000
    full.eval()
    assert full(torch.randn(2, 16000)).shape == (2, 60)
    assert full.features(torch.randn(2, 16000)).shape == (2, 256)
    assert full.class_names[59] == "class 59"
    assert full.sample_rate == 16000


@pytest.mark.parametrize("samples", [1, 100, 1024, 16000, 160001])
def test_any_duration(model: SoundClassifier, samples: int) -> None:
    logits = model(torch.randn(1, samples))
    assert logits.shape == (1, 3)
    assert logits.isfinite().all()


def test_silence_is_finite(model: SoundClassifier) -> None:
    assert model(torch.zeros(1, 16000)).isfinite().all()


def test_batch_is_single(model: SoundClassifier) -> None:
    audio = torch.randn(3, 12000)
    single = torch.cat([model(row[None]) for row in audio])
    torch.testing.assert_close(model(audio), single, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(16000,), (1, 1, 16000), (2, 0)])
def test_wrong_shape(model: SoundClassifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[B, N\]"):
        model(torch.zeros(shape))


@pytest.mark.parametrize("names", [[], ["rain", "rain"]])
def test_class_names_must_be_distinct(names: list[str]) -> None:
    with pytest.raises(ValueError, match="distinct"):
        SoundClassifier(class_names=names)


def test_save_and_load(model: SoundClassifier, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "classifier")
    loaded = SoundClassifier.from_pretrained(tmp_path / "classifier")
    audio = torch.randn(2, 16000)
    assert torch.equal(loaded(audio), model(audio))
    assert loaded.class_names == NAMES
    assert not loaded.training


@pytest.mark.parametrize("text_dim", [0, 6])
def test_int8_storage(tmp_path: Path, text_dim: int) -> None:
    torch.manual_seed(0)
    model = SoundClassifier(class_names=NAMES, widths=(4, 8, 8, 8), text_dim=text_dim).eval()
    save_int8(model, tmp_path / "small")
    loaded = SoundClassifier.from_pretrained(tmp_path / "small")
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    audio = torch.randn(2, 16000)
    torch.testing.assert_close(loaded(audio), model(audio), atol=0.02, rtol=0.02)
    assert not torch.equal(loaded(audio), model(audio))
    loaded.save_pretrained(tmp_path / "again")  # float32, and said to be so
    assert torch.equal(SoundClassifier.from_pretrained(tmp_path / "again")(audio), loaded(audio))


def test_an_unknown_storage_is_refused(model: SoundClassifier, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"weights": "int2"}))
    with pytest.raises(ValueError, match="weights are stored as 'int2'; known is 'int8'"):
        SoundClassifier.from_pretrained(tmp_path)


def test_vectors_beside_captions_have_unit_length() -> None:
    torch.manual_seed(0)
    model = SoundClassifier(class_names=NAMES, widths=(4, 8, 8, 8), text_dim=6).eval()
    made = model.caption_vectors(model.features(torch.randn(2, 16000)))
    torch.testing.assert_close(made.norm(dim=1), torch.ones(2))
    mask = torch.tensor([[True, True], [False, False]])
    states = TextStates(torch.randn(2, 2, 6) * mask[:, :, None], mask)
    lengths = model.prompt_vectors(states).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1.0, 0.0]))


def test_a_classifier_without_captions_says_so(model: SoundClassifier) -> None:
    with pytest.raises(ValueError, match="knows no captions"):
        model.caption_vectors(model.features(torch.randn(1, 16000)))


@pytest.mark.parametrize(
    ("file", "keep", "match"),
    [
        ("config.json", None, r"config\.json is missing"),
        ("config.json", 20, r"config\.json is damaged"),
        ("diffusion_pytorch_model.safetensors", None, "is missing"),
        ("diffusion_pytorch_model.safetensors", 300, "truncated or damaged"),
    ],
)
def test_missing_and_truncated_files_are_named(
    model: SoundClassifier, tmp_path: Path, file: str, keep: int | None, match: str
) -> None:
    model.save_pretrained(tmp_path)
    path = tmp_path / file
    content = path.read_bytes()
    path.unlink()
    if keep is not None:
        path.write_bytes(content[:keep])
    with pytest.raises((ValueError, OSError), match=match) as error:
        SoundClassifier.from_pretrained(tmp_path)
    assert file in str(error.value)


def test_another_kind_of_model_is_named() -> None:
    with pytest.raises(ValueError, match="foley is of the kind AudioGen, not a classifier"):
        SoundClassifier.from_pretrained("foley")


def test_unknown_name_is_an_error() -> None:
    with pytest.raises((ValueError, OSError), match="no-such-classifier"):
        SoundClassifier.from_pretrained("no-such-classifier")


def test_the_spectrogram_finds_a_tone() -> None:
    low, high = (
        LogMel(sample_rate=16000, n_fft=1024, hop=320, n_mels=64)(
            torch.sin(2 * torch.pi * hertz * torch.arange(16000) / 16000)[None]
        )
        .mean((0, 1, 3))
        .argmax()
        for hertz in (200.0, 4000.0)
    )
    assert low < 15
    assert 40 < high < 60


def test_faster_than_50_times_real_time() -> None:
    full = SoundClassifier(class_names=[f"class {i}" for i in range(60)]).eval()
    audio = torch.randn(4, 80000)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            full(audio)
            started = time.process_time()  # not wall time: other processes may be busy
            full(audio)
            seconds = time.process_time() - started
    finally:
        torch.set_num_threads(threads)
    assert 20.0 / seconds > 50


def test_augmentation_keeps_shape_and_sound() -> None:
    module = SoundClassifierModule(class_names=NAMES, widths=(4, 4, 4, 4), shift_seconds=0.1, gain_db=0.0)
    audio = torch.zeros(64, 8000)
    audio[:, 4000] = 1.0
    out = module.augment(audio)
    assert out.shape == audio.shape
    place = out.abs().argmax(1)
    assert ((place - 4000).abs() <= 1600).all()
    assert len(place.unique()) > 30
    assert (out.abs().amax(1) > 0.9).all()
    loud = SoundClassifierModule(class_names=NAMES, gain_db=10.0).augment(audio).abs().amax(1)
    assert loud.max() > 1.5
    assert loud.min() < 0.7
    assert loud.max() < 10**0.5 * 1.1


def test_it_learns_and_exports(tmp_path: Path) -> None:
    lightning.seed_everything(0)
    module = SoundClassifierModule(
        class_names=NAMES,
        widths=(8, 8, 8, 8),
        learning_rate=5e-3,
        export_to=str(tmp_path / "out"),
        shift_seconds=0.1,
    )
    trainer = lightning.Trainer(
        max_epochs=8,
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    train, val = (
        DataLoader(TensorDataset(*sounds(n, seed)), batch_size=12) for n, seed in ((48, 1), (24, 2))
    )
    trainer.fit(module, train, val)
    assert trainer.callback_metrics["val/accuracy"] > 0.9
    classifier = SoundClassifier.from_pretrained(tmp_path / "out")
    audio, label = sounds(12, 3)
    assert (classifier(audio).argmax(1) == label).sum() >= 11
    path = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    assert SoundClassifierModule.load_from_checkpoint(path).classifier.class_names == NAMES


@pytest.mark.parametrize("dim", [2, 3])
def test_masks_are_one_stretch_of_each_example(dim: int) -> None:
    torch.manual_seed(0)
    log_mel = torch.rand(64, 1, 16, 20) + 1
    out = masked(log_mel, 6, dim=dim)
    changed = (out != log_mel).any(dim=5 - dim)[:, 0]  # [B, places]
    assert changed.sum(1).max() in (5, 6)
    assert changed.sum(1).min() <= 1
    assert (changed.int().diff(dim=1).abs().sum(1) <= 2).all()
    assert (out[out != log_mel] - log_mel.mean()).abs().max() < 1e-6
    assert masked(log_mel, 0, dim=dim) is log_mel
    assert torch.isfinite(masked(log_mel, 1000, dim=dim)).all()


def test_mixup_asks_for_both_clips_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"class_names": NAMES, "widths": (4, 4, 4, 4), "label_smoothing": 0.0}
    module = SoundClassifierModule(**settings, mixup=1.0).eval()
    monkeypatch.setattr(module, "augment", lambda audio: audio)
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: torch.arange(n).roll(1))
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(0.3))
    monkeypatch.setattr(module, "log", lambda *values, **settings: None)
    audio, label = sounds(6, 1)
    loss = module.training_step((audio, label), 0)
    logits = module.classifier(0.3 * audio + 0.7 * audio.roll(1, 0))
    wanted = 0.3 * module.loss(logits, label) + 0.7 * module.loss(logits, label.roll(1, 0))
    torch.testing.assert_close(loss, wanted)


def test_class_names_are_needed() -> None:
    module = SoundClassifierModule()
    module._trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(ValueError, match="class_names"):
        module.configure_model()


def test_confusion_figure_shows_shares() -> None:
    figure = confusion_figure(torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), NAMES)
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
