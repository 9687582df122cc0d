"""Reading the published checkpoint format: what is refused, and what is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundloom.codecs.music2latent2 import Music2Latent2
from soundloom.codecs.music2latent2.convert import config_from_published, rename
from tests.fixture_paths import FIXTURES

FIXTURE = FIXTURES / "codicodec_tiny"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("codicodec.pt", "config.json"):
        shutil.copyfile(FIXTURE / name, tmp_path / name)
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    state = torch.load(folder / "codicodec.pt", weights_only=True)["gen_state_dict"]
    change(state)
    torch.save({"gen_state_dict": state}, folder / "codicodec.pt")


def test_our_own_format_comes_first(folder: Path) -> None:
    model = Music2Latent2.from_pretrained(folder)
    model.save_pretrained(folder)
    (folder / "codicodec.pt").write_bytes(b"no longer read")
    again = Music2Latent2.from_pretrained(folder)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])


def test_half_precision(folder: Path) -> None:
    model = Music2Latent2.from_pretrained(folder, dtype=torch.bfloat16)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert all(weight.requires_grad for weight in model.parameters())


def test_without_config_the_published_sizes_are_meant(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match="without one: the published sizes"):
        Music2Latent2.from_pretrained(folder)
    published = config_from_published({})
    assert (published.dim, published.num_latents, published.tokens) == (512, 128, 512)
    assert published.fsq_levels == (11, 11, 11, 11)
    assert published.codebook_size == 14641


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda state: state.update(stranger=torch.zeros(1)), ValueError, "tensor 'stranger'"),
        (lambda state: state.pop("latents"), ValueError, "encoder.summary"),
        (
            lambda state: state["fsq._basis_tensor"].add_(1),
            ValueError,
            "_basis_tensor .* is not the constant",
        ),
        (
            lambda state: state["frontend_decoder_up.up_layers.1.up.weight"].mul_(2),
            ValueError,
            "up.weight .* is not the constant",
        ),
        (lambda state: state.update({"decoder.linear_input.weight": torch.zeros(1)}), None, ""),
    ],
    ids=["unknown", "missing", "basis", "kernel", "unused"],
)
def test_changed_checkpoints(
    folder: Path,
    change: Callable[[dict[str, Tensor]], None],
    error: type[Exception] | None,
    message: str,
) -> None:
    edit(folder, change)
    if error is None:
        Music2Latent2.from_pretrained(folder)
        return
    with pytest.raises(error, match=message):
        Music2Latent2.from_pretrained(folder)


def test_other_files_are_refused(folder: Path) -> None:
    torch.save({"state_dict": {}}, folder / "codicodec.pt")
    with pytest.raises(ValueError, match="no 'gen_state_dict'"):
        Music2Latent2.from_pretrained(folder)
    (folder / "codicodec.pt").write_bytes(b"PK but no checkpoint")
    with pytest.raises(OSError, match="damaged, or holds more than tensors"):
        Music2Latent2.from_pretrained(folder)
    torch.save({"gen_state_dict": Path("code")}, folder / "codicodec.pt")
    with pytest.raises(OSError, match="holds more than tensors"):
        Music2Latent2.from_pretrained(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable JSON"),
        ("[]", "should hold a JSON object"),
        (
            json.dumps({"frontend_freq_downsample_list": [0, 9, 0]}),
            r"holds \[9\]; known codes: \[0, 1, 2, 3\]",
        ),
        (json.dumps({"dim": 500}), "must equal dim = 500"),
    ],
)
def test_bad_settings(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Music2Latent2.from_pretrained(folder)


def test_names() -> None:
    assert rename("latents") == "encoder.summary"
    assert rename("pre_decoder.layers.3.mlp.norm.norm.g") == "upsampler.transformer.layers.3.mlp_norm.weight"
    assert rename("frontend_decoder_down.down_layers.2.c.weight") == "consistency.down.layers.2.conv.weight"
    with pytest.raises(ValueError, match="no CoDiCodec checkpoint has"):
        rename("latents_of_another_kind")
