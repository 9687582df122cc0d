"""Whisper's encoder: the states of transformers from the same folder, clear errors, classifiers over it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lightning
import pytest
import torch
from safetensors.torch import load_file, save_file

from soundloom.core.audio import write_audio
from soundloom.core.int8_storage import save_int8
from soundloom.evaluation import whisper_encoder
from soundloom.evaluation.audio_text_module import AudioTextModule
from soundloom.evaluation.classifier import ClassifierFeatures, SoundClassifier
from soundloom.evaluation.whisper_encoder import WhisperEncoder, WhisperFeatures, WhisperLogMel
from soundloom.recipes.data import CaptionedSoundDataModule
from tests.evaluation.whisper_fixture import EVERY, FOLDER, SIZES, thirty_seconds


def test_spectrogram_and_states_are_those_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_encoder, "WINDOW", 3000)
    expected = load_file(FOLDER / "expected.safetensors")
    log_mel = WhisperLogMel()(thirty_seconds())
    torch.testing.assert_close(log_mel[:, 0, :, ::EVERY], expected["log_mel"], atol=2e-4, rtol=0)
    with torch.inference_mode():
        states = WhisperEncoder.from_pretrained(FOLDER, layers=2)(log_mel)
    assert [state.shape for state in states] == [(1, 1500, 16)] * 2
    for number, state in enumerate(states, 1):
        torch.testing.assert_close(state[:, ::EVERY], expected[f"state_{number}"], atol=1e-3, rtol=1e-3)


def test_parts_of_ten_seconds_stand_for_themselves() -> None:
    encoder = WhisperEncoder.from_pretrained(FOLDER, layers=1)
    log_mel = torch.randn(1, 1, 80, 1500)
    [whole] = encoder(log_mel)
    [first], [second] = encoder(log_mel[..., :1000]), encoder(log_mel[..., 1000:])
    torch.testing.assert_close(whole, torch.cat([first, second], dim=1))


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 3 layers, not 4"):
        WhisperEncoder.from_pretrained(FOLDER, layers=4)
    with pytest.raises(ValueError, match="no Whisper model"):
        WhisperEncoder.from_pretrained("foley-classifier")
    folder = shutil.copytree(FOLDER, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    save_file({name.removeprefix("model."): w for name, w in weights.items()}, folder / "model.safetensors")
    again = WhisperEncoder.from_pretrained(folder).state_dict()  # without its first part the name will do
    for key, value in WhisperEncoder.from_pretrained(FOLDER).state_dict().items():
        torch.testing.assert_close(again[key], value)
    del weights["model.encoder.layers.0.fc1.bias"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks the weight model\.encoder\.layers\.0\.fc1\.bias"):
        WhisperEncoder.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        WhisperEncoder.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_mel_bins": 128}), encoding="utf-8")
    with pytest.raises(ValueError, match="128 mel bands, not 80"):
        WhisperEncoder.from_pretrained(folder)
    del config["d_model"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match="does not say d_model"):
        WhisperEncoder.from_pretrained(folder)


def classifier() -> SoundClassifier:
    torch.manual_seed(0)
    whisper = {**SIZES, "encoder_layers": 1, "num_features": 12}
    return SoundClassifier(class_names=["hum", "hiss"], text_dim=6, whisper=whisper).eval()


@pytest.mark.parametrize("samples", [1, 399, 400, 16000, 170001])
def test_a_classifier_takes_any_duration(samples: int) -> None:
    model = classifier()
    audio = torch.randn(2, samples)
    logits = model(audio)
    assert logits.shape == (2, 2)
    assert logits.isfinite().all()
    assert model.features(audio).shape == (2, 12)
    torch.testing.assert_close(logits[1:], model(audio[1:]), atol=1e-5, rtol=1e-4)
    assert model(torch.zeros(1, samples)).isfinite().all()


def test_a_classifier_is_saved_and_loaded(tmp_path: Path) -> None:
    model, audio = classifier(), torch.randn(1, 16000)
    model.save_pretrained(tmp_path / "float")
    save_int8(model, tmp_path / "int8")
    torch.testing.assert_close(SoundClassifier.from_pretrained(tmp_path / "float")(audio), model(audio))
    torch.testing.assert_close(
        SoundClassifier.from_pretrained(tmp_path / "int8")(audio), model(audio), atol=0.05, rtol=0.1
    )
    with pytest.raises(ValueError, match="16000 Hz, not of 44100"):
        SoundClassifier(class_names=["hum"], sample_rate=44100, whisper=SIZES)


def test_listeners_pass_gradients_on(tmp_path: Path) -> None:
    classifier().save_pretrained(tmp_path)
    for listener in (WhisperFeatures(str(FOLDER), layers=2), ClassifierFeatures(str(tmp_path))):
        audio = torch.randn(2, 8000).requires_grad_()
        states = listener(audio)
        torch.testing.assert_close(states[0].mean(-1), torch.zeros(2, 25), atol=1e-5, rtol=0)
        sum(state.square().sum() + state[..., 0].sum() for state in states).backward()
        assert audio.grad is not None
        assert audio.grad.abs().sum() > 0


def test_a_classifier_is_trained_over_it(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    rows = ["file_name,text,split,sound_class"]
    time = torch.arange(8000) / 16000
    for n in range(24):
        tone = torch.sin(2 * torch.pi * (120.0, 3000.0)[n % 2] * (1 + n / 100) * time)
        write_audio(folder / f"{n}.wav", 0.2 * tone[None], 16000)
        text, name = (("a deep hum", "hum"), ("a shrill whistle", "whistle"))[n % 2]
        rows.append(f"{n}.wav,{text},{'train' if n < 16 else 'validation'},{name}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    lightning.seed_everything(0)
    name = shutil.copytree(FOLDER, tmp_path / "published")
    module = AudioTextModule(
        whisper=str(name), mask=(0, 0), learning_rate=5e-3, export_to=str(tmp_path / "out")
    )
    trainer = lightning.Trainer(
        max_epochs=20,
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, datamodule=CaptionedSoundDataModule([str(folder)], segment_seconds=0.5, batch_size=8))
    assert trainer.callback_metrics["val/accuracy"] > 0.8
    trained = SoundClassifier.from_pretrained(tmp_path / "out").audio_encoder
    assert trained is not None
    before = WhisperEncoder.from_pretrained(name, layers=1).state_dict()
    for key, value in trained.encoder.state_dict().items():  # it stayed as it was
        torch.testing.assert_close(value, before[key])
    shutil.rmtree(name)  # a checkpoint needs no Whisper model
    checkpoint = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)  # type: ignore[union-attr]
    again = AudioTextModule.from_checkpoint(checkpoint).classifier
    assert again.class_names == ["hum", "whistle"]
    assert again.audio_encoder is not None
