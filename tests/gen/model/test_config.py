"""AudioLMConfig: what it refuses, and config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom.core.errors import ArgumentError, ModelError
from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.model.lm import AudioLM

SMALL: dict[str, Any] = {"codebook_size": 16, "dim": 16, "num_layers": 1, "num_heads": 2, "text_dim": 4}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim is 0; it must be a whole number of 1 or more"),
        ({"num_layers": 1.5}, "num_layers is 1.5"),
        ({"dim": 15}, r"dim is 15; it must be even and a multiple of num_heads \(2\)"),
        ({"num_heads": 3}, "multiple of num_heads"),
        ({"ffn_dim": 0}, "ffn_dim is 0; .* null for 4 dim"),
        ({"dropout": 1.0}, "dropout is 1.0; allowed are 0 to 1"),
        ({"pattern": "late"}, "pattern is 'late'; use 'delay', 'parallel' or 'flattened'"),
        ({"delays": [0, 1]}, "one entry for each of 4 codebooks"),
        ({"pattern": "parallel", "delays": [0, 0, 0, 0]}, "only the pattern 'delay' has delays"),
    ],
    ids=str,
)
def test_sizes_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        AudioLMConfig(**(SMALL | settings))


def test_keywords_go_before_the_configuration() -> None:
    config = AudioLMConfig(**SMALL)
    lm = AudioLM(config, num_layers=2)
    assert lm.settings == AudioLM(**(SMALL | {"num_layers": 2})).settings
    assert len(lm.transformer.layers) == 2
    assert lm.config.dim == 16
    with pytest.raises(TypeError, match="width"):
        AudioLM(config, width=3)


def test_config_json_is_flat_and_comes_back(tmp_path: Path) -> None:
    lm = AudioLM(AudioLMConfig(**SMALL, delays=(0, 2, 3, 5), bias_ffn=True)).eval()
    lm.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert {key: content[key] for key in SMALL} == SMALL
    assert content["delays"] == [0, 2, 3, 5]
    assert content["_class_name"] == "AudioLM"
    found = AudioLM.from_pretrained(tmp_path)
    assert found.settings == lm.settings
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), lm.parameters(), strict=True))


def test_a_folder_whose_config_json_is_of_another_kind_says_so(tmp_path: Path) -> None:
    AudioLM(**SMALL).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"rotary": True}))
    with pytest.raises(ModelError, match=r"config\.json has settings that .*: rotary \(known: .*num_layers"):
        AudioLM.from_pretrained(tmp_path)
    file.write_text(json.dumps(content | {"num_heads": 3}))
    with pytest.raises(ModelError, match=r"config\.json: dim is 16; .* num_heads \(3\)"):
        AudioLM.from_pretrained(tmp_path)
