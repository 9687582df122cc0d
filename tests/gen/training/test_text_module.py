"""Training of a text encoder alone: what it is asked, what it learns, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch

from soundloom.core.learning_rate_schedule import LearningRateSchedule
from soundloom.gen.text.embedded import EmbeddedTextEncoder
from soundloom.gen.training.export_checkpoint import export_checkpoint
from soundloom.gen.training.objective import CodeBatch
from soundloom.gen.training.parts import TextSettings
from soundloom.gen.training.text_module import TextEncoderModule
from soundloom.recipes.data import AudioGenDataModule
from soundloom.recipes.data.audiogen_module import SegmentSettings
from tests.fixture_paths import FIXTURES

WORDS = ("rain", "dog", "piano", "engine")
SMALL = TextSettings(encoder="foley", settings={"num_layers": 1, "dim": 32, "num_heads": 2})


def module_of(**settings: Any) -> TextEncoderModule:
    torch.manual_seed(0)
    return TextEncoderModule(**{"text": SMALL, "num_codebooks": 2, "codebook_size": 16} | settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes of which each word has its own."""
    found = tmp_path_factory.mktemp("codes")
    rng = np.random.default_rng(0)
    numbers = np.arange(80) % len(WORDS)
    codes = 4 * numbers[:, None, None] + rng.integers(0, 4, (80, 2, 10))
    np.save(found / "codes.npy", codes.astype(np.int16))
    lines = [json.dumps({"caption": WORDS[number], "captions": [WORDS[number]]}) for number in numbers]
    (found / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return found


def test_it_learns_which_codes_a_caption_means(folder: Path, tmp_path: Path) -> None:
    module = module_of(
        optimizer=lambda values: torch.optim.Adam(values, lr=3e-3),
        scheduler=LearningRateSchedule(warmup_steps=10),
    )
    data = AudioGenDataModule(
        folders=[str(folder)], val_folders=[str(folder)], segment=SegmentSettings(frames=10), batch_size=16
    )
    trainer = lightning.Trainer(
        max_steps=120,
        accelerator="cpu",
        logger=False,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    # Four words of four codes each, of 16: with the caption log 4 nats are left of log 16.
    [found] = trainer.validate(module, data, verbose=False)
    assert found["val/loss"] == pytest.approx(np.log(4), abs=0.1)
    assert found["val/gain"] == pytest.approx(np.log(4), abs=0.1)

    checkpoint = tmp_path / "text.ckpt"
    trainer.save_checkpoint(checkpoint)
    made = export_checkpoint(checkpoint, tmp_path / "encoder")
    assert made.module == "TextEncoderModule"
    encoder = EmbeddedTextEncoder.from_pretrained(tmp_path / "encoder")
    with torch.inference_mode():
        assert torch.equal(encoder(["dog"]).states, module.eval().encoder(["dog"]).states)
    with pytest.raises(ValueError, match="int8"):
        export_checkpoint(checkpoint, tmp_path / "int8", weights="int8")


def test_padding_is_not_asked() -> None:
    module = module_of()
    codes = torch.randint(0, 16, (2, 2, 10))
    longer = torch.cat([codes, torch.zeros(2, 2, 5, dtype=torch.long)], -1)
    whole: CodeBatch = {"prompts": ["rain", ""], "codes": codes}
    padded: CodeBatch = {"prompts": ["rain", ""], "codes": longer, "lengths": torch.tensor([10, 10])}
    assert torch.equal(module.training_step(whole, 0), module_of().training_step(padded, 0))


def test_before_training_a_caption_saves_nothing() -> None:
    module = module_of(codebook_weights=[1.0, 0.5])
    codes = torch.randint(0, 16, (2, 2, 10), generator=torch.Generator().manual_seed(0))
    module.training_step({"prompts": ["rain", "dog"], "codes": codes}, 0)
    assert torch.equal(module.counts.sum(-1), torch.full((2,), 0.5 * 16 + 20))
    with torch.no_grad():
        found = module(module.encoder(["rain"]))
    torch.testing.assert_close(found[0], module.frequencies())


def test_an_encoder_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="only an encoder over a token table is trained"):
        module_of(text=TextSettings(encoder=str(FIXTURES / "audiogen_tiny" / "t5")))
