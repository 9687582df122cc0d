"""Converted models, and whole AudioGens that run quantized: also from Meta's files, by every way in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundloom.core.errors import ArgumentError, ModelError
from soundloom.gen.conversion import convert_model
from soundloom.gen.model.schemes import SCHEMES, is_quantized
from soundloom.gen.pipeline import AudioGen

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"
T5 = TINY / "t5"
PROMPTS = ["a dog barks", "", "heavy rain falls on a tin roof while thunder rumbles far away"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_way_to_a_quantized_model_gives_the_same_sounds(scheme: str, tmp_path: Path) -> None:
    published = AudioGen.from_pretrained(TINY, text_encoder=T5, quantization=scheme)
    assert is_quantized(published.lm)
    AudioGen.from_pretrained(TINY, text_encoder=T5).save_pretrained(tmp_path / "float")
    ways = [published]
    for source in (TINY, tmp_path / "float"):
        out = tmp_path / f"from-{source.name}"
        done = convert_model(source, out, quantization=scheme, text_encoder=T5)
        assert done.size > done.weights > 0
        assert sorted(path.name for path in (out / "lm").iterdir())[0] == "config.json"
        assert not (out / "lm" / "usage.json").exists()
        ways.append(AudioGen.from_pretrained(out))
    AudioGen.from_pretrained(tmp_path / "float").save_pretrained(tmp_path / "saved", quantization=scheme)
    ways.append(AudioGen.from_pretrained(tmp_path / "saved"))
    ways.append(AudioGen.from_pretrained(tmp_path / "from-float", quantization=scheme))
    # A folder that is in the scheme already is copied.
    convert_model(tmp_path / "from-float", tmp_path / "copy", quantization=scheme)
    ways.append(AudioGen.from_pretrained(tmp_path / "copy"))
    codes = [model.generate_codes(PROMPTS, frames=12, temperature=1.0, seed=3) for model in ways]
    assert all(torch.equal(found, codes[0]) for found in codes[1:])
    assert ways[1].max_seconds == published.max_seconds


@pytest.mark.parametrize("scheme", SCHEMES)
def test_seeds_repeat_and_a_batch_is_what_each_is_alone(scheme: str) -> None:
    model = AudioGen.from_pretrained(TINY, text_encoder=T5, quantization=scheme)
    seeds = [4, 5, 6]
    batch = model.generate_codes(PROMPTS, frames=20, temperature=1.0, seed=seeds)
    assert torch.equal(batch, model.generate_codes(PROMPTS, frames=20, temperature=1.0, seed=seeds))
    assert not torch.equal(batch, model.generate_codes(PROMPTS, frames=20, temperature=1.0, seed=[1, 2, 3]))
    for prompt, seed, row in zip(PROMPTS, seeds, batch, strict=True):
        alone = model.generate_codes(prompt, frames=20, temperature=1.0, seed=seed)
        assert torch.equal(alone[0], row)


def test_streamed_is_whole(tmp_path: Path) -> None:
    model = AudioGen.from_pretrained(TINY, text_encoder=T5, quantization="int8")
    whole = model.generate("a dog", duration=0.6, seed=2)
    parts = list(model.stream("a dog", duration=0.6, seed=2, chunk_seconds=0.1))
    assert torch.equal(torch.cat([part.codes for part in parts], dim=-1), whole.codes)


def test_windows_continue_in_a_quantized_model() -> None:
    model = AudioGen.from_pretrained(TINY, text_encoder=T5, quantization="int4", max_seconds=0.4)
    settings = {"frames": 50, "temperature": 1.0, "seed": 1, "extend_stride": 0.2}
    first, again = (model.generate_codes("rain", **settings) for _ in range(2))
    assert first.shape == (1, 4, 50)
    assert torch.equal(first, again)


def test_what_cannot_be_converted_is_named(tmp_path: Path) -> None:
    convert_model(TINY, tmp_path / "int8", quantization="int8", text_encoder=T5)
    with pytest.raises(ModelError, match="stored as int8, and quantization is 'int4'"):
        convert_model(tmp_path / "int8", tmp_path / "int4", quantization="int4")
    with pytest.raises(ArgumentError, match="quantization is 'auto'"):
        convert_model(TINY, tmp_path / "int4", quantization="auto", text_encoder=T5)
    with pytest.raises(FileExistsError, match="int8"):
        convert_model(TINY, tmp_path / "int8", quantization="int8", text_encoder=T5)
    with pytest.raises(ArgumentError, match="runs on the CPU only"):
        AudioGen.from_pretrained(TINY, text_encoder=T5, quantization="int8", device="cuda")
    assert not (tmp_path / "int4").exists()
    next((tmp_path / "int8" / "lm").glob("*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match=r"safetensors is missing"):
        AudioGen.from_pretrained(tmp_path / "int8")


def test_a_quantized_model_is_not_trained(tmp_path: Path) -> None:
    from soundloom.gen.model.config import AudioLMConfig
    from soundloom.gen.training.parts import Start

    convert_model(TINY, tmp_path / "int4", quantization="int4", text_encoder=T5)
    start = Start(str(tmp_path / "int4"))
    with pytest.raises(ModelError, match="only floating weights can be trained"):
        start.language_model(AudioLMConfig(), text_dim=start.text_encoder.dim)
