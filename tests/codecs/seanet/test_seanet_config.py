"""The configuration of SEANet codecs: what it refuses, what a folder holds of it, what older folders lack."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from soundloom.codecs import SEANetCodec, load_codec
from soundloom.codecs.container import config_hash
from soundloom.codecs.seanet.seanet_config import NetworkConfig, SEANetConfig
from tests.codecs.seanet.tiny import TINY


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 3}, "channels is 3; allowed: 1, 2"),
        ({"n_filters": 0}, "n_filters is 0; it must be at least 1"),
        ({"lstm": -1}, "lstm is -1; it must be at least 0"),
        ({"ratios": []}, r"ratios are \[\]; give strides"),
        ({"norm": "batch"}, "norm is 'batch'; allowed: weight_norm, none"),
        ({"pad_mode": "zero"}, "pad_mode is 'zero'; allowed: constant, reflect"),
        ({"transform": "mel"}, "transform is 'mel'; allowed: 'none', 'spectral'"),
        ({"transform": "spectral", "channels": 2}, "for 1 channel, not 2"),
        ({"encoder_overrides": {"final_activation": "Tanh"}}, "encoder_overrides has .'final_activation'."),
        (
            {"decoder_overrides": {"n_filter": 3}},
            r"decoder_overrides has \['n_filter'\]; known are .*n_filters",
        ),
        ({"decoder_overrides": {"n_filters": 0}}, "n_filters is 0"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SEANetConfig(**settings)


def test_a_setting_that_does_not_exist_is_named() -> None:
    with pytest.raises(TypeError, match="n_filter"):
        SEANetCodec(**TINY, n_filter=3)


def test_networks_get_the_sizes_of_the_codec_and_their_own() -> None:
    config = SEANetConfig(
        n_filters=4, decoder_overrides={"n_filters": 8, "trim_right_ratio": 0.5}, causal=True
    )
    assert config.encoder_network() == NetworkConfig(n_filters=4, causal=True)
    assert config.decoder_network(10) == NetworkConfig(n_filters=8, causal=True, channels=10)
    assert config.decoder_ending() == {"trim_right_ratio": 0.5}


def test_config_json_is_flat_and_older_ones_load(tmp_path: Path) -> None:
    codec = SEANetCodec(**TINY)
    codec.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    found = json.loads(path.read_text())
    assert {key for key in found if key[0] != "_"} == {one.name for one in fields(SEANetConfig)}
    for later in SEANetCodec.LATER_SETTINGS:  # a folder of the time before them
        del found[later]
    path.write_text(json.dumps(found))
    loaded = load_codec(tmp_path)
    assert isinstance(loaded, SEANetCodec)
    assert loaded.settings == codec.settings
    assert config_hash(loaded) == config_hash(codec)
    found["look_back"] = 3
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="SEANetCodec does not know: look_back"):
        load_codec(tmp_path)


def test_folded_weights_are_said_in_the_settings() -> None:
    codec = SEANetCodec(**{**TINY, "norm": "weight_norm"}).fold_weight_norm()
    assert codec.settings.norm == codec.config["norm"] == "none"
