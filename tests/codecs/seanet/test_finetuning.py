"""Training a codec further: from one by name, and with an encoder that is kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import lightning
import pytest
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.module import SEANetModule

from .tiny import NO_DISCRIMINATOR, TINY


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with a codec whose codebooks are filled."""
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY).train()
    codec.describe(0.1 * torch.randn(8, 1, 320))
    codec.eval().save_pretrained(tmp_path / "codec")
    return tmp_path / "codec"


def fit(module: SEANetModule) -> SEANetModule:
    torch.manual_seed(1)
    data = torch.utils.data.DataLoader(list(0.1 * torch.randn(8, 1, 320)), batch_size=4)
    trainer = lightning.Trainer(
        max_steps=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    return module


@pytest.mark.parametrize("train_encoder", [True, False])
def test_training_goes_on_from_a_codec(trained: Path, train_encoder: bool) -> None:
    before = SEANetCodec.from_pretrained(trained)
    sound = 0.1 * torch.randn(1, 1, 640)
    module = SEANetModule(
        init_from=str(trained),
        train_encoder=train_encoder,
        discriminator=NO_DISCRIMINATOR,
        optimizer=partial(torch.optim.Adam, lr=1e-2),
    )
    assert torch.equal(module.codec.eval().encode(sound), before.encode(sound))
    after = fit(module).codec.eval()
    kept = before.state_dict()
    moved = {name for name, value in after.state_dict().items() if not torch.equal(value, kept[name])}
    assert any(name.startswith("decoder") for name in moved)
    # Codes keep their meaning exactly where the encoder is kept, codebooks and their statistics included.
    assert any(name.startswith(("encoder", "quantizer")) for name in moved) == train_encoder
    [example] = module.examples(sound)
    assert example.sounds["decoded"].shape == sound[0].shape


def test_where_it_starts_has_to_be_said_once(trained: Path) -> None:
    for settings in ({}, {"codec": SEANetCodec(**TINY), "init_from": str(trained)}):
        with pytest.raises(ValueError, match="set either codec, a new model, or init_from"):
            SEANetModule(discriminator=NO_DISCRIMINATOR, **settings)
    with pytest.raises(ValueError, match="train_encoder is false, but the codec is new"):
        SEANetModule(SEANetCodec(**TINY), train_encoder=False, discriminator=NO_DISCRIMINATOR)
    with pytest.raises(ValueError, match="init_from is 'music2latent2', a Music2Latent2"):
        SEANetModule(init_from="music2latent2", discriminator=NO_DISCRIMINATOR)
