"""Int8 weights: error bound, round trip, folders in shards, damage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.errors import ModelError
from soundloom.core.int8_storage import dequantize, dequantize_each, is_int8, quantize_int8, save_int8
from soundloom.gen.model.lm import AudioLM


def make() -> AudioLM:
    torch.manual_seed(0)
    return AudioLM(
        num_codebooks=2, codebook_size=30, dim=32, num_layers=2, num_heads=2, text_dim=8, bias_heads=True
    ).eval()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.floats(1e-6, 1e6), st.integers(0, 99))
def test_rows_are_at_most_half_a_scale_away(rows: int, columns: int, size: float, seed: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * size
    state = quantize_int8({"w": weight})
    assert state["w"].dtype == torch.int8
    assert state["w_scale"].shape == (rows,)
    back = dequantize(state)["w"]
    assert bool(((back - weight).abs() <= state["w_scale"][:, None] * 0.5001).all())
    # The largest of each row is kept, and rounding twice changes nothing.
    assert torch.equal(dequantize(quantize_int8({"w": back}))["w"].argmax(), back.argmax())
    torch.testing.assert_close(back.abs().amax(dim=1), weight.abs().amax(dim=1))


def test_rows_of_zeros_and_tensors_that_are_no_matrices() -> None:
    state = {
        "zero": torch.zeros(2, 3),
        "bias": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "table": torch.tensor([[1, 2]], dtype=torch.int8),
        "kernel": torch.randn(2, 3, 4),
    }
    quantized = quantize_int8(state)
    assert quantized.keys() == {"zero", "zero_scale", "bias", "table", "kernel", "kernel_scale"}
    back = dequantize(quantized)
    assert back.keys() == state.keys()
    assert torch.equal(back["zero"], state["zero"])
    assert torch.equal(back["table"], state["table"])
    assert back["bias"].tolist() == [1.5, -2.0]
    torch.testing.assert_close(back["kernel"], state["kernel"], atol=0.02, rtol=0.0)


def test_weights_are_multiplied_out_as_they_come() -> None:
    state = quantize_int8({"a": torch.randn(2, 3), "bias": torch.ones(3), "b": torch.randn(4, 5)})
    expected, read = dequantize(state), []

    def stored(*names: str) -> Iterator[tuple[str, torch.Tensor]]:
        for name in names:
            read.append(name)
            yield name, state[name]

    found = dequantize_each(stored("a_scale", "bias", "a", "b", "b_scale"))
    assert next(found)[0] == "bias"
    name, value = next(found)
    assert read == ["a_scale", "bias", "a"]
    assert name == "a"
    assert torch.equal(value, expected["a"])
    [(name, value)] = found
    assert name == "b"
    assert torch.equal(value, expected["b"])
    # What waits in vain is given as it is.
    [(_, level), (_, scale)] = dequantize_each(stored("b_scale", "a"))
    assert level is state["a"]
    assert scale is state["b_scale"]


def test_what_cannot_be_quantized_is_named() -> None:
    with pytest.raises(ValueError, match="w holds NaN"):
        quantize_int8({"w": torch.full((2, 2), float("nan"))})
    with pytest.raises(ValueError, match="w_scale is already"):
        quantize_int8({"w": torch.ones(2, 2), "w_scale": torch.ones(2)})
    with pytest.raises(ValueError, match="w has 2 rows"):
        dequantize({"w": torch.ones(2, 2, dtype=torch.int8), "w_scale": torch.ones(3)})
    with pytest.raises(ValueError, match="'int4'"):
        is_int8({"weights": "int4"})


@torch.no_grad()
def test_an_int8_folder_loads_as_any_other_and_runs_with_what_is_stored(tmp_path: Path) -> None:
    lm = make()
    files = save_int8(lm, tmp_path, max_shard_bytes=10_000)
    assert len(files) > 1
    assert all(file.stat().st_size < 13_000 for file in files)
    stored = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert stored["heads.weight"].dtype == torch.int8

    loaded = AudioLM.from_pretrained(tmp_path)
    assert not loaded.training
    expected = dequantize(stored)
    assert expected.keys() == lm.state_dict().keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    codes, states = torch.randint(0, 30, (1, 2, 8)), torch.randn(1, 3, 8)
    exact = lm(codes, states).logits
    rounded = loaded(codes, states).logits
    assert 0 < (exact - rounded).abs().max() < 0.1 * exact.std()

    again = tmp_path / "again"
    save_int8(loaded, again)  # what was rounded once is stored as it is
    for name, tensor in AudioLM.from_pretrained(again).state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=0.0)
    assert AudioLM.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).dtype == torch.bfloat16


def test_saving_again_removes_the_shards_of_before(tmp_path: Path) -> None:
    save_int8(make(), tmp_path, max_shard_bytes=10_000)
    files = save_int8(make(), tmp_path)
    assert [file.name for file in files] == ["diffusion_pytorch_model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", files[0].name]


def test_damage_is_named(tmp_path: Path) -> None:
    [file] = save_int8(make(), tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"{file.name} is truncated"):
        AudioLM.from_pretrained(tmp_path)
    file.write_bytes(content)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_layers": 3}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"not those of its config\.json"):
        AudioLM.from_pretrained(tmp_path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"{file.name} is missing"):
        AudioLM.from_pretrained(tmp_path)


def test_scales_that_are_no_numbers_are_named() -> None:
    state = quantize_int8({"a.weight": torch.randn(3, 4)})
    state["a.weight_scale"][1] = float("nan")
    with pytest.raises(ValueError, match=r"a\.weight_scale holds NaN or infinite values"):
        dequantize(state)


def test_a_missing_scale_is_named(tmp_path: Path) -> None:
    [file] = save_int8(make(), tmp_path)
    state = load_file(file)
    del state["heads.weight_scale"]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack heads\.weight_scale, without which int8 is no number"):
        AudioLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("said", [{"weights": None}, {}])
def test_integers_that_nothing_is_said_of_are_no_weights(tmp_path: Path, said: dict[str, None]) -> None:
    """Else a codec's levels would be its weights, and what it decodes noise, without a word."""
    codec = SEANetCodec(num_codebooks=2, codebook_size=8, n_filters=2, dimension=4, lstm=0, sample_rate=8000)
    kept: dict[type[AudioLM | SEANetCodec], AudioLM | SEANetCodec] = {AudioLM: make(), SEANetCodec: codec}
    for kind, model in kept.items():
        folder = tmp_path / kind.__name__
        save_int8(model, folder)
        config = json.loads((folder / "config.json").read_text())
        del config["weights"]
        (folder / "config.json").write_text(json.dumps(config | said))
        with pytest.raises(ModelError, match="are stored as integers"):
            kind.from_pretrained(folder)
        model.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | said))
        loaded = kind.from_pretrained(folder).state_dict()
        assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())


def test_a_codec_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    codec = SEANetCodec(num_codebooks=2, codebook_size=8, n_filters=2, dimension=4, lstm=0, sample_rate=8000)
    codec.save_pretrained(tmp_path)
    [file] = tmp_path.glob("*.safetensors")
    state = load_file(file)
    name = sorted(name for name in state if name.startswith("decoder."))[0]
    del state[name]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f'Missing key.*"{name}"'):
        SEANetCodec.from_pretrained(tmp_path)
