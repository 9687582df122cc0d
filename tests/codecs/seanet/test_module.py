"""Training of the codec: the loss falls, checkpoints resume exactly, the export loads."""

from __future__ import annotations

import json
import math
from functools import partial

import lightning
import pytest
import torch
from diffusers.models import modeling_utils
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.module import DiscriminatorSettings, SEANetLosses, SEANetModule
from soundloom.core.learning_rate_schedule import LearningRateSchedule

from .tiny import NO_DISCRIMINATOR

TINY = {"n_filters": 4, "dimension": 8, "ratios": (4, 2), "lstm": 1, "codebook_size": 16, "num_codebooks": 2}


def make_module(**settings) -> SEANetModule:
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY, causal=True, threshold_dead=0.5, kmeans_iterations=4)
    defaults = {
        "optimizer": partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9)),
        "discriminator": DiscriminatorSettings(n_filters=2, n_ffts=(64,)),
        "losses": SEANetLosses(mel_floor=1e-2),
    }
    return SEANetModule(codec, **{**defaults, **settings})


def tones(n: int = 16) -> list[torch.Tensor]:
    time = torch.arange(1600) / 16000
    return [0.3 * torch.sin(2 * math.pi * 200 * (1 + i % 4) * time)[None] for i in range(n)]


def trainer(tmp_path, **settings) -> lightning.Trainer:
    defaults = {
        "default_root_dir": tmp_path,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "enable_checkpointing": False,
    }
    return lightning.Trainer(**{**defaults, **settings})


def test_the_loss_falls_and_all_stages_are_passed(tmp_path):
    module = make_module(
        losses=SEANetLosses(mel_floor=1e-2, quantizer_start=5),
        discriminator=DiscriminatorSettings(n_filters=2, n_ffts=(64,), start=10),
        scheduler=LearningRateSchedule("cosine", 3, 0.1, 60),
    )
    data = DataLoader(tones(64), batch_size=4)
    before = trainer(tmp_path).validate(module, data, verbose=False)[0]["val/mel"]
    trainer(tmp_path, max_steps=110).fit(module, data)
    assert module.steps_taken == 60  # two optimisers step from step 10 on, and Lightning counts both
    after = trainer(tmp_path).validate(module, data, verbose=False)[0]
    assert after["val/mel"] < 0.8 * before
    assert after["val/codes_used"] > 1


def test_what_is_saved_has_its_dtype_without_a_warning(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(modeling_utils.logger, "warning", said.append)
    make_module().save_pretrained(tmp_path, dtype=torch.bfloat16)
    saved = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in saved.values() if value.is_floating_point()} == {torch.bfloat16}
    assert said == []


def test_resuming_gives_the_same_weights_as_going_on(tmp_path):
    data = tones()

    def fit(module, steps, checkpoint=None):
        run = trainer(tmp_path, max_steps=steps)
        run.fit(module, DataLoader(data, batch_size=16), ckpt_path=checkpoint)
        return run

    settings = {"discriminator": NO_DISCRIMINATOR, "scheduler": LearningRateSchedule("cosine", 4, 0.1, 12)}
    whole = make_module(**settings)
    fit(whole, 8)
    half = make_module(**settings)
    fit(half, 4).save_checkpoint(tmp_path / "half.ckpt")
    resumed = make_module(**settings)
    torch.manual_seed(0)
    fit(resumed, 8, tmp_path / "half.ckpt")
    assert resumed.steps_taken == 8
    # Dead codes are drawn at random, so only what gradients and averages decide is compared.
    for a, b in zip(whole.codec.encoder.parameters(), resumed.codec.encoder.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)
    assert resumed.balancer.state_dict()["counts"].keys() == {"waveform", "mel"}


def test_the_export_loads_and_sounds_the_same(tmp_path):
    module = make_module()
    audio = torch.stack(tones(2))
    module.codec.eval()
    expected = module.codec.decode(module.codec.encode(audio))
    module.save_pretrained(tmp_path / "codec")
    loaded = SEANetCodec.from_pretrained(tmp_path / "codec")
    torch.testing.assert_close(loaded.decode(loaded.encode(audio)), expected, atol=1e-5, rtol=1e-4)


def test_the_export_in_int8_loads_as_the_values_that_were_stored(tmp_path):
    module = make_module()
    for weights in ("float", "int8"):
        (tmp_path / weights).mkdir()
        module.export(tmp_path / weights, weights=weights)
    sizes = {
        weights: sum(file.stat().st_size for file in (tmp_path / weights).glob("*.safetensors"))
        for weights in ("float", "int8")
    }
    assert sizes["int8"] < 0.5 * sizes["float"]  # the names and scales of a tiny codec weigh most
    loaded, exact = (SEANetCodec.from_pretrained(tmp_path / weights) for weights in ("int8", "float"))
    assert loaded.dtype == torch.float32
    assert not loaded.training
    for (name, value), other in zip(loaded.named_parameters(), exact.parameters(), strict=True):
        rows = other.flatten(1) if other.ndim > 1 else other
        step = rows.abs().amax(dim=-1, keepdim=True) / 127 if other.ndim > 1 else torch.zeros(1)
        difference = (value - other).flatten(1) if other.ndim > 1 else value - other
        assert (difference.abs() <= 0.51 * step).all(), name
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    codes = torch.randint(0, 8, (1, loaded.num_codebooks, 20))
    torch.testing.assert_close(SEANetCodec.from_pretrained(again).decode(codes), loaded.decode(codes))


def test_an_int8_export_does_without_the_averages_of_codebooks_and_trains_on(tmp_path):
    make_module().export(tmp_path, weights="int8")
    names = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert not any("embed_avg" in name for name in names)
    codec = SEANetCodec.from_pretrained(tmp_path)
    for codebook in codec.quantizer.codebooks:
        wanted = codebook.embed * codebook.cluster_size[:, None]
        torch.testing.assert_close(codebook.embed_avg, wanted)
    module = SEANetModule(init_from=str(tmp_path), discriminator=NO_DISCRIMINATOR)
    trainer(tmp_path, max_steps=2).fit(module, DataLoader(tones(8), batch_size=4))
    assert all(torch.isfinite(codebook.embed).all() for codebook in module.codec.quantizer.codebooks)


def test_a_tampered_int8_export_is_refused(tmp_path):
    make_module().export(tmp_path, weights="int8")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"weights": "int3"}))
    with pytest.raises(ValueError, match="weights are stored as 'int3'; known is 'int8'"):
        SEANetCodec.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_codebooks": config["num_codebooks"] + 1}))
    with pytest.raises(ValueError, match="are not those of its config.json"):
        SEANetCodec.from_pretrained(tmp_path)
