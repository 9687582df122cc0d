"""Reading published configurations: interpolations, overrides, what is refused."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs.seanet.convert import load_published, parse_settings
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audiocraft import PublishedConfig

YAML = """
sample_rate: 16000
channels: 1
compression_model: encodec
solver_user: ${oc.env:USER}
device: cuda
encodec: {autoencoder: seanet, quantizer: rvq, sample_rate: "${sample_rate}", channels: "${channels}",
  causal: false}
seanet:
  dimension: 32
  channels: ${channels}
  causal: ${encodec.causal}
  n_filters: 4
  ratios: [8, 5, 4, 2]
  activation: ELU
  activation_params: {alpha: 1.0}
  norm: weight_norm
  lstm: 2
  decoder: {trim_right_ratio: 1.0, final_activation: null}
rvq: {n_q: 4, bins: 64}
"""


def test_settings_are_resolved_without_touching_the_environment(monkeypatch):
    monkeypatch.delenv("USER", raising=False)
    settings = parse_settings(PublishedConfig(YAML, "file"))
    assert settings["ratios"] == [8, 5, 4, 2]
    assert settings["causal"] is False
    assert settings["sample_rate"] == 16000
    assert settings["codebook_size"] == 64
    assert settings["decoder_overrides"] == {"trim_right_ratio": 1.0, "final_activation": None}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("compression_model: encodec", "compression_model: dac"),
        ("quantizer: rvq", "quantizer: no_quant"),
        ("norm: weight_norm", "norm: time_group_norm"),
        ("activation: ELU", "activation: Snake"),
    ],
)
def test_other_networks_are_refused_by_name(old, new):
    with pytest.raises(ValueError, match=new.split(": ")[1]):
        parse_settings(PublishedConfig(YAML.replace(old, new), "file"))


def test_missing_mandatory_values_are_named():
    with pytest.raises(ValueError, match="dimension"):
        parse_settings(PublishedConfig(YAML.replace("dimension: 32", "dimension: ???"), "file"))


def test_a_file_that_names_another_codec_says_which(tmp_path):
    path = tmp_path / "compression_state_dict.bin"
    torch.save({"xp.cfg": YAML, "pretrained": "facebook/other"}, path)
    with pytest.raises(ValueError, match="facebook/other"):
        load_published(path)


def test_pickled_code_is_never_run(tmp_path):
    path = tmp_path / "compression_state_dict.bin"
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save({"xp.cfg": YAML, "best_state": Evil()}, path)
    with pytest.raises(OSError, match="compression_state_dict"):
        load_published(path)
    assert not marker.exists()


def test_unknown_settings_that_may_matter_are_listed(caplog):
    parse_settings(PublishedConfig(YAML, "file"))
    assert caplog.text == ""
    parse_settings(PublishedConfig(YAML.replace("lstm: 2", "lstm: 2\n  swing: 3\n  sleepy: null"), "file"))
    assert "seanet.swing = 3. If" in caplog.text
    assert "sleepy" not in caplog.text


def test_weights_that_do_not_fit_the_configuration_are_named(tmp_path):
    state = {"encoder.model.0.conv.conv.bias": torch.zeros(4)}
    torch.save({"best_state": state, "xp.cfg": YAML}, tmp_path / "compression_state_dict.bin")
    with pytest.raises(ValueError, match=r"compression_state_dict\.bin: the weights are not those of"):
        SEANetCodec.from_pretrained(tmp_path)
