"""SEANetCodec: shapes, files, bad input."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn.utils import parametrize

from soundloom.codecs import load_codec
from soundloom.codecs.seanet.model import SEANetCodec

TINY = {"n_filters": 2, "dimension": 6, "ratios": (4, 2), "lstm": 1, "codebook_size": 16, "num_codebooks": 3}


@pytest.fixture
def codec() -> SEANetCodec:
    torch.manual_seed(0)
    return SEANetCodec(**TINY, causal=True).eval()


@pytest.mark.parametrize("samples", [1, 7, 8, 9, 800])
def test_shapes_and_rates(codec, samples):
    audio = torch.randn(2, 1, samples)
    codes = codec.encode(audio)
    assert codes.shape == (2, 3, math.ceil(samples / 8))
    assert codes.dtype == torch.int64
    assert codec.decode(codes).shape == (2, 1, 8 * codes.shape[2])
    assert codec.decode(codes, length=samples).shape == audio.shape
    assert codec.frame_rate == 16000 / 8
    assert codec.bitrate == 3 * 4 * 2000


def test_fewer_codebooks_decode(codec):
    codes = codec.encode(torch.randn(1, 1, 80))
    assert codec.decode(codes[:, :1]).shape == (1, 1, 80)


def test_a_batch_gives_each_item_what_it_gets_alone(codec):
    audio = torch.randn(3, 1, 200)
    together = codec.encode(audio)
    for i in range(3):
        assert torch.equal(codec.encode(audio[i : i + 1]), together[i : i + 1])


def test_folding_keeps_the_output(codec):
    audio = torch.randn(1, 1, 160)
    codes = codec.encode(audio)
    before = codec.decode(codes)
    codec.fold_weight_norm()
    assert codec.config["norm"] == "none"
    assert torch.equal(codec.encode(audio), codes)
    torch.testing.assert_close(codec.decode(codes), before, atol=1e-6, rtol=1e-5)


def test_folding_a_copy_leaves_the_original_as_it_is(codec):
    audio = torch.randn(1, 1, 160)
    before = codec.encode(audio)
    assert codec.config["norm"] == "weight_norm"
    copy.deepcopy(codec).fold_weight_norm()
    assert torch.equal(codec.encode(audio), before)
    assert any(parametrize.is_parametrized(module, "weight") for module in codec.modules())


@pytest.mark.parametrize("fold", [False, True])
def test_save_and_load_give_the_same_output(codec, tmp_path, fold):
    if fold:
        codec.fold_weight_norm()
    codec.save_pretrained(tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert isinstance(loaded, SEANetCodec)
    codes = codec.encode(torch.randn(1, 1, 100))
    assert torch.equal(loaded.decode(codes), codec.decode(codes))
    assert not loaded.training


def test_half_precision_weights_load_as_float32(codec, tmp_path):
    codec.fold_weight_norm().to(torch.bfloat16).save_pretrained(tmp_path / "codec")
    assert SEANetCodec.from_pretrained(tmp_path / "codec").dtype == torch.float32


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.randn(1, 100), "is wanted"),
        (torch.randn(1, 2, 100), "is wanted"),
        (torch.zeros(1, 1, 0), "is wanted"),
        (torch.full((1, 1, 100), float("nan")), "NaN"),
        (torch.full((1, 1, 100), float("inf")), "infinite"),
    ],
)
def test_bad_audio_is_refused(codec, audio, message):
    with pytest.raises(ValueError, match=message):
        codec.encode(audio)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(1, 3, 4), "integer"),
        (torch.zeros(1, 4, 4, dtype=torch.long), "1..3"),
        (torch.zeros(1, 0, 4, dtype=torch.long), "1..3"),
        (torch.zeros(1, 3, 0, dtype=torch.long), "1 sound and 1 frame"),
        (torch.full((1, 3, 4), 16), "0 to 15"),
        (torch.full((1, 3, 4), -1), "0 to 15"),
    ],
)
def test_bad_codes_are_refused(codec, codes, message):
    with pytest.raises(ValueError, match=message):
        codec.decode(codes)


def test_silence_and_loud_input_stay_finite(codec):
    for audio in (torch.zeros(1, 1, 64), 10 * torch.ones(1, 1, 64)):
        assert torch.isfinite(codec.decode(codec.encode(audio))).all()


def test_truncated_published_file_is_named(tmp_path):
    (tmp_path / "compression_state_dict.bin").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(OSError, match=r"compression_state_dict\.bin"):
        SEANetCodec.from_pretrained(tmp_path)


def test_settings_that_came_later_leave_the_digits_of_older_files_alone():
    from soundloom.codecs import load_codec
    from soundloom.codecs.container import config_hash

    assert config_hash(load_codec("seanet-16khz")) == "2f9d5245b92dc4f9"  # as in files of version 0.1.0
    spectral = {
        **TINY,
        "causal": True,
        "lstm": 0,
        "ratios": (2,),
        "transform": "spectral",
        "transform_hop": 8,
    }
    plain = config_hash(SEANetCodec(**spectral))
    assert config_hash(SEANetCodec(**spectral, look_ahead=0, griffin_lim_rounds=0)) == plain
    assert config_hash(SEANetCodec(**spectral, griffin_lim_rounds=2)) != plain
