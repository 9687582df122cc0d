"""Training of a whole codec through its texture network: all moves, sound has a gradient, exports load."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from soundloom.codecs.seanet.joint_module import JointModule, JointSettings
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from tests.codecs.seanet.texture_training import SMALL, Listener, noises, trainer
from tests.codecs.seanet.tiny import TINY


def make_module(**settings) -> JointModule:
    torch.manual_seed(0)
    codec = SEANetCodec(**{**TINY, "transform_hop": 32}, sample_rate=16000)
    codec.quantizer.start(
        codec.encode_latent(torch.stack(noises(8))).detach().mT.flatten(0, 1), batch_vectors=128
    )
    defaults = {
        "blocks": 2,
        "width": 12,
        "listener": Listener(),
        "adversary": SMALL,
        "optimizer": partial(torch.optim.Adam, lr=1e-3),
        "codebooks": (1, 3),
        "joint": JointSettings(scheduler=LearningRateSchedule(warmup_steps=0)),
    }
    return JointModule(codec, **{**defaults, **settings})


def test_every_part_moves_and_the_sound_comes_nearer(tmp_path):
    module = make_module(adversary=replace(SMALL, start=1000), codebooks=(3,))
    audio = torch.stack(noises(8))[:, 0]
    before = {name: value.clone() for name, value in module.codec.state_dict().items()}
    module.eval()
    first = float(module.mel_loss(module.with_network(*module.plain(audio[:, None], 3)), audio))
    trainer(tmp_path, 24).fit(module.train(), DataLoader(noises(96), batch_size=4))
    module.eval()
    last = float(module.mel_loss(module.with_network(*module.plain(audio[:, None], 3)), audio))
    assert last < 0.9 * first
    moved = {n for n, value in module.codec.state_dict().items() if not torch.equal(value, before[n])}
    for part in (
        "encoder.",
        "decoder.",
        "quantizer.vq.layers.0",
        "quantizer.vq.layers.2",
        "spectral.texture.",
    ):
        assert any(name.startswith(part) for name in moved), part


def test_the_encoder_hears_of_the_sound_at_the_end():
    module = make_module(joint=JointSettings(description=0.0, commitment=0.0), codebooks=(3,)).train()
    nn.init.normal_(module.texture.output.weight, std=0.1)
    nn.init.normal_(module.texture.latent.weight, std=0.1)
    real = torch.stack(noises(2))[:, 0]
    made, losses = module.made_of(real)
    assert made.shape == real.shape
    assert set(losses) == {"description", "commitment"}
    module.mel_loss(made, real).backward()
    for part in (module.codec.encoder, module.codec.decoder, module.texture):
        norms = [p.grad.norm() for p in part.parameters() if p.grad is not None]
        assert norms
        assert torch.stack(norms).max() > 0


def test_the_pass_of_training_is_what_the_codec_decodes():
    module = make_module(codebooks=(3,))
    nn.init.normal_(module.texture.output.weight, std=0.1)
    module.eval()
    audio = torch.stack(noises(2))
    with torch.no_grad():
        made, _ = module.made_of(audio[:, 0])
        decoded = module.codec.decode(module.codec.encode(audio), audio.shape[-1])
    inside = slice(512, -512)  # at its ends a whole sound has other neighbours
    torch.testing.assert_close(made[:, inside], decoded[:, 0, inside], atol=1e-4, rtol=0)


def test_learning_rates_are_shares_of_the_optimisers():
    module = make_module(joint=JointSettings(codec_rate=0.5))
    rates = {group["lr"] for group in module.trained_parameters()}
    assert rates == {1e-3, 5e-4, 5e-5} or rates == {1e-3, 5e-4}
    counted = sum(p.numel() for group in module.trained_parameters() for p in group["params"])
    assert counted == sum(p.numel() for p in module.codec.parameters())


def test_what_is_exported_loads(tmp_path):
    module = make_module(export_to=str(tmp_path / "model"))
    fit = trainer(tmp_path, 2)
    fit.fit(module, DataLoader(noises(), batch_size=2))
    fit.save_checkpoint(tmp_path / "last.ckpt")
    audio = torch.stack(noises(2))
    exported = SEANetCodec.from_pretrained(tmp_path / "model")
    codes = exported.encode(audio)
    torch.testing.assert_close(codes, module.eval().codec.encode(audio))
    again = JointModule.from_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    torch.testing.assert_close(again.codec.decode(codes), exported.decode(codes), atol=1e-6, rtol=0)
    assert [set(one.sounds) for one in again.examples(audio)] == [
        {"original", "decoded_without", "decoded"}
    ] * 2


def test_numbers_of_codebooks_that_there_are_not_are_said():
    with pytest.raises(ValueError, match=r"codebooks is \[4\]; the codec has 1 to 3"):
        make_module(codebooks=(4,))
