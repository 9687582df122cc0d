"""AudioTextModule: it learns which caption a sound has, its losses, its checkpoints and exports."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audio import write_audio
from soundloom.evaluation.audio_text_module import AudioTextModule, contrastive_loss, mixed
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.gen.training.export_checkpoint import export_checkpoint
from soundloom.recipes.data import CaptionedSoundDataModule

SMALL = {"widths": (8, 8, 8, 8), "mask": (0, 0), "learning_rate": 5e-3}
CAPTIONS = ("a deep hum", "a shrill whistle")


def make_folder(folder: Path, *, classes: bool) -> Path:
    """Half seconds of hums and whistles, each with one of two captions."""
    folder.mkdir()
    rows = ["file_name,text,split" + ",sound_class" * classes]
    time = torch.arange(8000) / 16000
    for n in range(30):
        hertz = (120.0, 3000.0)[n % 2] * (1 + n / 100)
        write_audio(folder / f"{n}.wav", 0.2 * torch.sin(2 * torch.pi * hertz * time)[None], 16000)
        row = f"{n}.wav,{CAPTIONS[n % 2]},{'train' if n < 24 else 'validation'}"
        rows.append(row + f",{('hum', 'whistle')[n % 2]}" * classes)
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("classes", [True, False])
def test_it_learns_and_exports(tmp_path: Path, classes: bool) -> None:
    lightning.seed_everything(0)
    module = AudioTextModule(**SMALL, export_to=str(tmp_path / "out"))
    data = CaptionedSoundDataModule(
        [str(make_folder(tmp_path / "sounds", classes=classes))], segment_seconds=0.5, batch_size=8
    )
    trainer = lightning.Trainer(
        max_epochs=8,
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, datamodule=data)
    assert trainer.callback_metrics["val/nearest"] > 0.8
    model = SoundClassifier.from_pretrained(tmp_path / "out")
    assert model.class_names == (["hum", "whistle"] if classes else ["sound"])
    states = module.text_encoder[0](CAPTIONS)
    torch.testing.assert_close(model.text_mean, states.mean().mean(dim=0), atol=1e-4, rtol=1e-4)
    assert not [name for name in module.state_dict() if name.startswith(("text_encoder", "codec"))]

    path = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    whole = export_checkpoint(path, tmp_path / "float")
    small = export_checkpoint(path, tmp_path / "int8", weights="int8")
    assert whole.module == small.module == "AudioTextModule"
    assert small.size < whole.size
    audio = next(iter(data.val_dataloader()))["audio"]
    first, second = (
        model.caption_vectors(model.features(audio))
        for model in (SoundClassifier.from_pretrained(one.folder) for one in (whole, small))
    )
    assert (first * second).sum(dim=1).min() > 0.98


def test_a_sound_that_is_nearest_to_its_caption_has_less_loss() -> None:
    wanted = torch.eye(3)
    assert contrastive_loss(wanted, wanted) < contrastive_loss(wanted.roll(1, 0), wanted)
    same = torch.ones(3, 1)  # captions that are the same: nothing to tell apart
    torch.testing.assert_close(contrastive_loss(same, same), torch.tensor(3.0).log())


def test_a_mixture_is_mostly_the_sound_itself() -> None:
    torch.manual_seed(0)
    log_mel = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 2, 3)
    classes = torch.eye(4)
    assert mixed(log_mel, classes, 0.0)[0] is log_mel
    changed = 0
    for _ in range(20):
        spectrum, shares = mixed(log_mel, classes, 0.4)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(4))
        assert (shares.diagonal() >= 0.5).all()
        torch.testing.assert_close(spectrum[:, 0, 0, 0], shares @ torch.arange(4.0))
        changed += spectrum is not log_mel
    assert 3 < changed < 17


def test_some_crops_go_through_the_codec(tmp_path: Path) -> None:
    SEANetCodec(sample_rate=8000, num_codebooks=2, codebook_size=8, n_filters=2, lstm=0).save_pretrained(
        tmp_path / "codec"
    )
    module = AudioTextModule(["a"], **SMALL, codec=str(tmp_path / "codec"))
    torch.manual_seed(0)
    audio = torch.randn(40, 8001) / 10
    heard = module.through_codec(audio)
    assert heard.shape == audio.shape
    changed = (heard != audio).any(dim=1)
    assert 8 <= int(changed.sum()) <= 24
    assert torch.equal(AudioTextModule(["a"], **SMALL).through_codec(audio), audio)
