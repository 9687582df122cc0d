"""Language models in bf16, int8 and int4: cached as uncached, batch as alone, folders, bad input."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from soundloom.core.errors import ArgumentError, ModelError
from soundloom.core.int8_storage import dequantize, quantize_int8
from soundloom.gen.loading import save_lm
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.lora import LoRASettings, add_lora
from soundloom.gen.model.quantized_linear import QuantizedLinear
from soundloom.gen.model.schemes import SCHEMES, for_device, is_quantized

SIZES = {"num_codebooks": 2, "codebook_size": 24, "num_layers": 2, "num_heads": 2, "text_dim": 8}
# How far a logit may be from float32's, in standard deviations of those.
FAR = {"bf16": 0.06, "int8": 0.1, "int4": 0.6}


def make(dim: int = 64, bias: bool = False) -> AudioLM:
    torch.manual_seed(0)
    lm = AudioLM(dim=dim, bias_attention=bias, bias_ffn=bias, bias_heads=bias, **SIZES)
    for parameter in lm.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.2)
    return lm.eval()


def saved(folder: Path, scheme: str, lm: AudioLM | None = None) -> AudioLM:
    """A model as a folder of the scheme gives it."""
    save_lm(lm or make(), folder, quantization=scheme)
    return AudioLM.from_pretrained(folder)


def example(rows: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(rows, 5, dtype=torch.bool)
    mask[-1] = False
    codes = torch.randint(0, 24, (rows, 2, 9), generator=generator)
    return codes, torch.randn(rows, 5, 8, generator=generator), mask


@torch.inference_mode()
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("dim", "bias"), [(64, False), (20, True)]
)  # 20: too narrow for int4 and int8 kernels
def test_logits_are_near_those_of_float32(scheme: str, dim: int, bias: bool, tmp_path: Path) -> None:
    lm = make(dim, bias)
    expected, found = lm(*example()).logits, saved(tmp_path, scheme, lm)(*example()).logits
    assert found.dtype == torch.float32
    far = (found - expected).abs().max() / expected.std()
    assert 0 < far < FAR[scheme]


@torch.inference_mode()
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("known", [1, 4])
def test_cached_is_uncached(scheme: str, known: int, tmp_path: Path) -> None:
    lm = saved(tmp_path, scheme, make(bias=True))
    codes, states, mask = example()
    whole = lm(codes, states, mask).logits  # [B, K, T, V]
    tokens = lm.pattern.build(codes, special=lm.special_token)
    fast, slow = (lm.start(states, mask, tokens.shape[-1]) for _ in range(2))
    assert fast.single is not None
    slow.single = None
    assert fast.cache.memory[0].dtype == torch.bfloat16
    step = known
    for part in tokens[:, :, :8].split([known, *[1] * (8 - known)], dim=-1):
        a, b = lm.step(part, fast), lm.step(part, slow)
        torch.testing.assert_close(a, b, atol=0.02, rtol=0.02)
        torch.testing.assert_close(
            a[:, 0], whole[:, 0, step - 1], atol=0.02, rtol=0.02
        )  # codebook 0 has no delay
        step += 1


@torch.inference_mode()
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_batch_is_what_each_row_is_alone(scheme: str, tmp_path: Path) -> None:
    lm = saved(tmp_path, scheme)
    codes, states, mask = example(rows=6)
    batch, pair = lm.start(states, mask, 9), lm.start(states[1:3], mask[1:3], 9)
    for step in range(9):
        tokens = codes[:, :, step : step + 1]
        found, expected = lm.step(tokens, batch)[1:3], lm.step(tokens[1:3], pair)
        if scheme == "bf16":  # whose heads are float32
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(found, expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_loading_a_float_folder_is_loading_a_quantized_one(scheme: str, tmp_path: Path) -> None:
    lm = make(bias=True)
    lm.save_pretrained(tmp_path / "float")
    stored, at_load = (
        saved(tmp_path / "stored", scheme, lm),
        AudioLM.from_pretrained(tmp_path / "float", quantization=scheme),
    )
    again = AudioLM.from_pretrained(tmp_path / "stored", quantization=scheme)
    with torch.inference_mode():
        logits = [model(*example()).logits for model in (stored, at_load, again, copy.deepcopy(stored))]
    assert all(torch.equal(found, logits[0]) for found in logits[1:])


def test_int8_storage_for_float32_is_run_with_the_very_same_weights(tmp_path: Path) -> None:
    lm = make()
    save_lm(lm, tmp_path, weights="int8")
    assert not is_quantized(AudioLM.from_pretrained(tmp_path))  # what ships stays float32
    quantized = AudioLM.from_pretrained(tmp_path, quantization="int8")
    values = dequantize(quantize_int8(lm.state_dict()))
    assert torch.equal(quantized.embedding.weight, values["embedding.weight"])
    x = torch.eye(64)
    for name in ("heads", "transformer.layers.1.linear1"):
        torch.testing.assert_close(
            quantized.get_submodule(name)(x).float().t(), values[f"{name}.weight"], rtol=0.01, atol=1e-6
        )


@pytest.mark.parametrize(
    ("scheme", "least", "most"), [("bf16", 1.9, 2.1), ("int8", 3.5, 4.1), ("int4", 5.5, 8.0)]
)
def test_how_much_smaller_the_layers_are(scheme: str, least: float, most: float, tmp_path: Path) -> None:
    lm = make()
    saved(tmp_path, scheme, lm)

    def layers(state: dict[str, Tensor]) -> int:
        return sum(value.nbytes for name, value in state.items() if "linear" in name)

    ratio = layers(lm.state_dict()) / layers(load_file(next(tmp_path.glob("*.safetensors"))))
    assert least < ratio < most


def damage(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        [file] = folder.glob("*.safetensors")
        state = load_file(file)
        change(state)
        save_file(state, file)
        (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(
            json.dumps({"weight_map": dict.fromkeys(state, file.name)}), encoding="utf-8"
        )

    return work


def entry(value: object) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(
            json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"quantization": value}),
            encoding="utf-8",
        )

    return work


LINEAR = "transformer.layers.0.linear1.weight"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            entry({"scheme": "int3", "version": 1}),
            "quantized as .*int3.*known are the schemes bf16, int8, int4",
        ),
        (entry({"scheme": "int8", "version": 2}), "in version 1. Update soundloom"),
        (entry("int8"), "quantized as"),
        (damage(lambda state: state.pop(LINEAR)), "there is the weight or its scale, not both"),
        (damage(lambda state: state.pop(LINEAR + "_scale")), "there is the weight or its scale, not both"),
        (damage(lambda state: state.pop("embedding.weight")), "embedding.weight are missing"),
        (damage(lambda state: state.update(odd=torch.ones(2))), "odd is none of its weights"),
        (
            damage(lambda state: state.update({LINEAR: state[LINEAR][:5].clone()})),
            r"linear1.weight has shape \[5, 64\], not \[256, 64\]",
        ),
        (
            damage(lambda state: state.update({LINEAR + "_scale": torch.ones(3)})),
            r"linear1.weight_scale has shape \[3\], not \[256\]",
        ),
        (
            damage(lambda state: state.update({"embedding.weight": torch.full((50, 64), torch.nan)})),
            "embedding.weight holds NaN",
        ),
        (
            damage(lambda state: state[LINEAR + "_scale"].fill_(torch.inf)),
            "linear1.weight_scale holds NaN or infinite values",
        ),
        (
            damage(lambda state: state.update({LINEAR + "_scale": state[LINEAR + "_scale"].int()})),
            "linear1.weight_scale is torch.int32, no floating type",
        ),
        (
            damage(lambda state: state.update({LINEAR: state[LINEAR].short()})),
            "linear1.weight is torch.int16; known are torch.int8, and two of 4 bits in torch.uint8",
        ),
    ],
)
def test_damaged_folders_are_named(break_it: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    saved(tmp_path, "int8")
    break_it(tmp_path)
    with pytest.raises(ModelError, match=message):
        AudioLM.from_pretrained(tmp_path)


def test_scales_of_four_bits_are_what_the_kernel_takes_whatever_they_are_stored_in(tmp_path: Path) -> None:
    saved(tmp_path, "int4")
    damage(lambda state: state.update({LINEAR + "_scale": state[LINEAR + "_scale"].double()}))(tmp_path)
    with torch.inference_mode():
        found = AudioLM.from_pretrained(tmp_path)(*example()).logits
        assert torch.equal(found, saved(tmp_path, "int4")(*example()).logits)
    for value in (torch.nan, 1e39):  # the second is beyond bfloat16
        scale = torch.full((2, 256, 2), value, dtype=torch.float64)
        damage(lambda state, scale=scale: state.update({LINEAR + "_scale": scale}))(tmp_path)
        with pytest.raises(ModelError, match=r"linear1\.weight_scale holds NaN or infinite values"):
            AudioLM.from_pretrained(tmp_path)


def test_what_is_asked_for_and_cannot_be(tmp_path: Path) -> None:
    lm = saved(tmp_path, "int4")
    with pytest.raises(
        ArgumentError, match="quantization is 'int5'; use 'bf16', 'int8', 'int4', 'auto', or None"
    ):
        AudioLM.from_pretrained(tmp_path, quantization="int5")
    with pytest.raises(ModelError, match="stored as int4, and quantization is 'int8'; leave that out"):
        AudioLM.from_pretrained(tmp_path, quantization="int8")
    with pytest.raises(ModelError, match="are int4; leave dtype out"):
        AudioLM.from_pretrained(tmp_path, torch_dtype=torch.float16)
    with pytest.raises(ModelError, match="cannot be written again"):
        lm.save_pretrained(tmp_path / "again")
    with pytest.raises(ModelError, match="cannot be written again"):
        save_lm(lm, tmp_path / "again", quantization="int8")
    with pytest.raises(ModelError, match="leave one of both out"):
        save_lm(make(), tmp_path / "again", weights="int8", quantization="int8")
    with pytest.raises(ArgumentError, match="quantization is 'auto'"):
        save_lm(make(), tmp_path / "again", quantization="auto")
    with pytest.raises(ModelError, match="is quantized, and only floating weights can be trained"):
        add_lora(lm, LoRASettings(rank=2))
    with pytest.raises(ModelError, match="int[48] weights run on the CPU only, not on meta"):
        lm.to("meta")
    assert not (tmp_path / "again").exists()


def test_other_devices_have_bf16_only() -> None:
    cuda, float32 = torch.device("cuda"), torch.float32
    for scheme in ("int8", "int4"):
        assert for_device(scheme, torch.device("cpu"), float32) == scheme
        with pytest.raises(ArgumentError, match=f"{scheme}.*runs on the CPU only, and the device is cuda"):
            for_device(scheme, cuda, float32)
    assert for_device("auto", cuda, float32) == for_device("bf16", cuda, float32) == "bf16"
    assert for_device(None, cuda, torch.bfloat16) is None
    with pytest.raises(ArgumentError, match="leave one of both out"):
        for_device("bf16", cuda, torch.bfloat16)


def test_bf16_follows_to_another_device_and_types_stay(tmp_path: Path) -> None:
    lm = saved(tmp_path, "bf16", make(bias=True))
    assert nn.Module.to(lm, torch.float64).transformer.layers[0].linear1.weight.dtype == torch.bfloat16
    moved = nn.Module.to(lm, "meta").transformer.layers[0].linear1
    assert isinstance(moved, QuantizedLinear)
    assert moved.weight.is_meta
    assert moved(torch.ones(2, 64, device="meta")).is_meta


MEMORY = r"""
import re, sys, torch
from pathlib import Path
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.products import check_kernels
torch.set_num_threads(1)
check_kernels("int8"), check_kernels("int4")
def kilobytes(what):  # not ru_maxrss, which begins with that of the process that started this one
    return int(re.search(what + r":\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
before = kilobytes("VmRSS")
lm = AudioLM.from_pretrained(sys.argv[1])
print((kilobytes("VmHWM") - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of a process's memory on Linux only")
def test_loading_takes_at_most_a_quarter_more_memory_than_the_weights(tmp_path: Path) -> None:
    with torch.device("meta"):
        lm = AudioLM(num_codebooks=4, codebook_size=256, dim=1024, num_layers=16, num_heads=16, text_dim=64)
    lm = nn.Module.to_empty(lm, device="cpu")
    for parameter in lm.parameters():
        nn.init.uniform_(parameter, -0.03, 0.03)
    for scheme in SCHEMES:
        save_lm(lm, tmp_path / scheme, quantization=scheme)
    for scheme in SCHEMES:
        folder = tmp_path / scheme
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        found = subprocess.run(
            [sys.executable, "-c", MEMORY, str(folder)], capture_output=True, text=True, check=True
        )
        print(f"{scheme}: {int(found.stdout) / size:.2f} times {size / 1e6:.0f} MB")
        assert 0.9 * size < int(found.stdout) < 1.25 * size
