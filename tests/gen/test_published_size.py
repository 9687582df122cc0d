"""The published format at full size, without the weights: names, shapes, counts, hub ids, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from soundloom.codecs.seanet.convert import fold_state, parse_settings
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audiocraft import PublishedConfig
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.published import PUBLISHED_CODEC_FILE, PUBLISHED_FILE, convert_state, read_settings

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"
FULL = {"dim": 1536, "num_layers": 48, "num_heads": 24, "card": 2048}
LM_PARAMETERS = 1_839_131_136
CODEC_PARAMETERS = 56_819_138


def tensor(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def published_lm(
    dim: int, num_layers: int, card: int, codebooks: int = 4, text: int = 1024
) -> dict[str, Any]:
    """Names and shapes of a published language model."""
    state: dict[str, Tensor] = {}
    for k in range(codebooks):
        state[f"emb.{k}.weight"] = tensor(card + 1, dim)
        state[f"linears.{k}.weight"] = tensor(card, dim)
    for i in range(num_layers):
        stem = f"transformer.layers.{i}."
        for name in ("norm1", "norm_cross", "norm2"):
            state |= {f"{stem}{name}.weight": tensor(dim), f"{stem}{name}.bias": tensor(dim)}
        for name in ("self_attn", "cross_attention"):
            state[f"{stem}{name}.in_proj_weight"] = tensor(3 * dim, dim)
            state[f"{stem}{name}.out_proj.weight"] = tensor(dim, dim)
        state |= {
            f"{stem}linear1.weight": tensor(4 * dim, dim),
            f"{stem}linear2.weight": tensor(dim, 4 * dim),
        }
    state |= {"out_norm.weight": tensor(dim), "out_norm.bias": tensor(dim)}
    output = "condition_provider.conditioners.description.output_proj."
    return state | {f"{output}weight": tensor(dim, text), f"{output}bias": tensor(dim)}


def conv(name: str, inputs: int, outputs: int, kernel: int) -> dict[str, Tensor]:
    return {
        f"{name}.conv.conv.weight_g": tensor(outputs, 1, 1),
        f"{name}.conv.conv.weight_v": tensor(outputs, inputs, kernel),
        f"{name}.conv.conv.bias": tensor(outputs),
    }


def residual(name: str, width: int) -> dict[str, Tensor]:
    return conv(f"{name}.block.1", width, width // 2, 3) | conv(f"{name}.block.3", width // 2, width, 1)


def lstm(name: str, width: int) -> dict[str, Tensor]:
    state = {}
    for layer in (0, 1):
        for kind in ("ih", "hh"):
            state[f"{name}.lstm.weight_{kind}_l{layer}"] = tensor(4 * width, width)
            state[f"{name}.lstm.bias_{kind}_l{layer}"] = tensor(4 * width)
    return state


def published_codec(filters: int = 64, dimension: int = 128, bins: int = 2048) -> dict[str, Tensor]:
    """Names and shapes of a published codec with the strides 8, 5, 4, 2."""
    state = conv("encoder.model.0", 1, filters, 7)
    width = filters
    for place, ratio in zip((1, 4, 7, 10), (2, 4, 5, 8), strict=True):
        state |= residual(f"encoder.model.{place}", width)
        state |= conv(f"encoder.model.{place + 2}", width, 2 * width, 2 * ratio)
        width *= 2
    state |= lstm("encoder.model.13", width) | conv("encoder.model.15", width, dimension, 7)
    state |= conv("decoder.model.0", dimension, width, 7) | lstm("decoder.model.1", width)
    for place, ratio in zip((3, 6, 9, 12), (8, 5, 4, 2), strict=True):
        name = f"decoder.model.{place}.convtr.convtr."
        state[f"{name}weight_g"] = tensor(width, 1, 1)
        state[f"{name}weight_v"] = tensor(width, width // 2, 2 * ratio)
        state[f"{name}bias"] = tensor(width // 2)
        width //= 2
        state |= residual(f"decoder.model.{place + 1}", width)
    state |= conv("decoder.model.15", width, 1, 7)
    for k in range(4):
        name = f"quantizer.vq.layers.{k}._codebook."
        state |= {f"{name}embed": tensor(bins, dimension), f"{name}embed_avg": tensor(bins, dimension)}
        state |= {f"{name}cluster_size": tensor(bins), f"{name}inited": tensor(1)}
    return state


def yaml(file: str, changes: dict[str, Any]) -> str:
    """The configuration of the tiny fixture with other sizes."""
    config = OmegaConf.create(torch.load(TINY / file, weights_only=True)["xp.cfg"])
    for key, value in changes.items():
        OmegaConf.update(config, key, value)
    return OmegaConf.to_yaml(config)


def count(tensors: Any) -> int:
    return sum(each.numel() for each in tensors)


def test_the_full_language_model_has_the_published_names_and_shapes() -> None:
    state = published_lm(FULL["dim"], FULL["num_layers"], FULL["card"])
    assert len(state) == 588
    assert count(state.values()) == LM_PARAMETERS
    sizes = {f"transformer_lm.{key}": value for key, value in FULL.items()}
    settings = read_settings(PublishedConfig(yaml(PUBLISHED_FILE, sizes), "file"), state)
    with torch.device("meta"):
        lm = AudioLM(settings)
    lm.load_state_dict(convert_state(state), strict=True, assign=True)
    assert count(lm.parameters()) == LM_PARAMETERS
    assert (lm.num_codebooks, lm.codebook_size, lm.text_dim) == (4, 2048, 1024)
    assert lm.pattern.offsets == (0, 1, 2, 3)


def test_the_full_codec_has_the_published_names_and_shapes() -> None:
    state = published_codec()
    buffers = {name: each for name, each in state.items() if "_codebook" in name}
    assert len(state) == 116
    assert count(state.values()) - count(buffers.values()) == CODEC_PARAMETERS
    assert count(buffers.values()) == 2_105_348
    sizes = {"seanet.n_filters": 64, "seanet.dimension": 128, "rvq.bins": 2048}
    settings = parse_settings(PublishedConfig(yaml(PUBLISHED_CODEC_FILE, sizes), "file"))
    with torch.device("meta"):
        codec = SEANetCodec(**settings)
        trained = SEANetCodec(**{**settings, "norm": "weight_norm"})
    assert count(trained.parameters()) == CODEC_PARAMETERS
    assert count(trained.encoder.parameters()) == 28_409_216
    assert count(trained.decoder.parameters()) == 28_409_922
    codec.load_state_dict(fold_state(state), strict=True, assign=True)
    assert (codec.sample_rate, codec.frame_rate, codec.bitrate) == (16000, 50.0, 2200.0)


def test_a_hub_id_loads_offline_from_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "models--facebook--audiogen-medium"
    snapshot, blobs = repository / "snapshots" / ("0" * 40), repository / "blobs"
    for folder in (snapshot, blobs, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    for number, file in enumerate((PUBLISHED_FILE, PUBLISHED_CODEC_FILE), start=1):
        blob = blobs / (str(number) * 64)
        blob.write_bytes((TINY / file).read_bytes())
        (snapshot / file).symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    name = "facebook/audiogen-medium"
    model = AudioGen.from_pretrained(name, text_encoder=TINY / "t5", local_files_only=True)
    known = AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5")
    found, expected = (each.generate("a dog", 0.2, seed=1).samples for each in (model, known))
    assert torch.equal(found, expected)


MEASURE = """
import sys, torch
from soundloom.gen.pipeline import AudioGen

def mebibytes(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

tiny, folder, dtype = sys.argv[1:]
AudioGen.from_pretrained(tiny, text_encoder=tiny + "/t5").generate("a", 0.1)  # imports and lazy beginnings
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = mebibytes("VmRSS")
model = AudioGen.from_pretrained(folder, text_encoder=tiny + "/t5", dtype=getattr(torch, dtype))
model.generate("a", 0.1)
parts = (model.lm, model.text_encoder, model.codec)
weights = sum(each.nbytes for part in parts for each in [*part.parameters(), *part.buffers()]) / 2**20
print((mebibytes("VmHWM") - before) / weights)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures by Linux' /proc")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_first_and_later_loads_peak_below_1_3_times_the_weights(tmp_path: Path, dtype: str) -> None:
    sizes = {"dim": 1024, "num_layers": 6, "num_heads": 16, "card": 64}
    shapes = published_lm(sizes["dim"], sizes["num_layers"], sizes["card"], text=48)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: (0.02 * torch.randn(each.shape, generator=generator)).half() for name, each in shapes.items()
    }
    changes = {f"transformer_lm.{key}": value for key, value in sizes.items()}
    torch.save({"best_state": state, "xp.cfg": yaml(PUBLISHED_FILE, changes)}, tmp_path / PUBLISHED_FILE)
    (tmp_path / PUBLISHED_CODEC_FILE).write_bytes((TINY / PUBLISHED_CODEC_FILE).read_bytes())
    for _ in ("converted", "from the cache"):
        command = [sys.executable, "-c", MEASURE, str(TINY), str(tmp_path), dtype]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert float(done.stdout.split()[-1]) < 1.3
