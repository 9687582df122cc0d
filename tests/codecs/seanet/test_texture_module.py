"""Training of texture networks: only they move, resuming is exact, and what is exported loads."""

from __future__ import annotations

from functools import partial

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from soundloom.codecs.adversary import AdversarySettings
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.texture_module import PooledMelLoss, TextureModule, with_texture
from tests.codecs.seanet.tiny import TINY

SMALL = AdversarySettings(start=2, ramp=2, widths=(2, 2, 2, 2))


class Listener(nn.Module):
    """Hears how loud a sound is, over time."""

    def forward(self, audio):
        return [audio.unfold(1, 64, 64).square().mean(-1, keepdim=True)]


def make_module(**settings) -> TextureModule:
    torch.manual_seed(0)
    codec = SEANetCodec(**{**TINY, "transform_hop": 32}, sample_rate=16000)
    defaults = {
        "blocks": 2,
        "width": 12,
        "listener": Listener(),
        "adversary": SMALL,
        "optimizer": partial(torch.optim.Adam, lr=3e-3),
        "codebooks": (1, 3),
    }
    return TextureModule(codec, **{**defaults, **settings})


def noises(count: int = 12) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.2 * torch.randn(1, 4096, generator=generator) for _ in range(count)]


def trainer(tmp_path, steps: int, **settings) -> lightning.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_checkpointing=False,
        max_steps=2 * steps,  # those of both networks count
        **quiet,
        **settings,
    )


def test_only_the_network_moves_and_the_distance_falls(tmp_path):
    module, data = make_module(), DataLoader(noises(64), batch_size=4)
    before = {name: value.clone() for name, value in module.codec.state_dict().items()}
    measure = lightning.Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    first = measure.validate(module, data, verbose=False)[0]
    assert first["val/mel"] == pytest.approx(first["val/mel_without"], rel=1e-3)
    trainer(tmp_path, 16).fit(module, data)
    assert module.steps_taken == 16
    last = measure.validate(module, data, verbose=False)[0]
    assert last["val/mel"] < 0.9 * first["val/mel"]
    assert last["val/mel_without"] == pytest.approx(first["val/mel_without"])
    moved = {
        name for name, value in module.codec.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved
    assert all(name.startswith("spectral.texture.") for name in moved)


def test_resuming_gives_the_same_weights_as_going_on(tmp_path):
    data = DataLoader(noises(), batch_size=2)

    def seeded(codebooks=(3,)):
        return make_module(codebooks=codebooks)

    straight = seeded()
    trainer(tmp_path, 4).fit(straight, data)
    half, fit = seeded(), trainer(tmp_path, 2)
    fit.fit(half, data)
    fit.save_checkpoint(tmp_path / "half.ckpt")
    rest = seeded()
    trainer(tmp_path, 4).fit(
        rest, DataLoader(noises(), batch_size=2), ckpt_path=tmp_path / "half.ckpt", weights_only=False
    )
    assert rest.steps_taken == 4
    checkpoint = torch.load(tmp_path / "half.ckpt", weights_only=False)
    assert checkpoint["steps_taken"] == 2


def test_what_is_exported_loads_and_codes_stay_what_they_were(tmp_path):
    module = make_module(export_to=str(tmp_path / "model"))
    codec = SEANetCodec(**{**TINY, "transform_hop": 32}, sample_rate=16000)
    audio = torch.stack(noises(2))
    codes = module.codec.eval().encode(audio)
    fit = trainer(tmp_path, 3)
    fit.fit(module, DataLoader(noises(), batch_size=2))
    fit.save_checkpoint(tmp_path / "last.ckpt")
    exported = SEANetCodec.from_pretrained(tmp_path / "model")
    assert exported.settings.texture_blocks == 2
    assert codec.settings.texture_blocks == 0
    torch.testing.assert_close(exported.encode(audio), codes)
    torch.testing.assert_close(exported.decode(codes), module.codec.eval().decode(codes), atol=1e-6, rtol=0)
    again = TextureModule.from_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    torch.testing.assert_close(again.codec.decode(codes), exported.decode(codes), atol=1e-6, rtol=0)
    again.export(tmp_path / "small", weights="int8")
    assert torch.isfinite(SEANetCodec.from_pretrained(tmp_path / "small").decode(codes)).all()
    shown = again.examples(audio)
    assert [set(one.sounds) for one in shown] == [{"original", "decoded_without", "decoded"}] * 2


def test_a_codec_that_has_a_network_goes_on_with_it():
    module = make_module()
    nn.init.normal_(module.texture.output.weight)
    assert with_texture(module.codec, 7, 30) is module.codec


def test_what_cannot_be_trained_is_said():
    with pytest.raises(ValueError, match="has no spectral transform"):
        TextureModule(SEANetCodec(n_filters=2, dimension=4, ratios=(2,), lstm=0, num_codebooks=1))
    with pytest.raises(ValueError, match=r"codebooks is \[4\]; the codec has 1 to 3"):
        make_module(codebooks=(4,))


def test_the_pooled_distance_sees_levels_but_hardly_texture():
    distance = PooledMelLoss(16000)
    one, other = (0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    assert float(distance(one, one)) == 0
    assert float(distance(one, other)) < 0.5 * float(distance(one, 2 * one))
