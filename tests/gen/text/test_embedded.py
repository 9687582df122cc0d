"""The embedded text encoder on a small made-up table: masks, batches, odd prompts, saving and loading."""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from soundloom.core.errors import ModelError
from soundloom.gen.text.embedded import EmbeddedTextEncoder
from soundloom.gen.text.encoder import TextEncoder, TextStates

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "dog",
    "bark",
    "##s",
    "rain",
    "sea",
    "surf",
    "waves",
    "then",
    ",",
)
TABLE_DIM = 8


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    """A table of 14 tokens in which `surf` and `waves` are neighbours and all other words are at random."""
    folder = tmp_path / "table"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    generator = torch.Generator().manual_seed(3)
    table = torch.randint(-127, 128, (len(WORDS), TABLE_DIM), generator=generator).to(torch.int8)
    table[WORDS.index("waves")] = table[WORDS.index("surf")] // 2
    scale = torch.rand(len(WORDS), generator=generator).add(0.5).div(64).to(torch.bfloat16).float()
    save_file({"table": table, "scale": scale}, folder / "table.safetensors")
    return folder


@pytest.fixture
def make_encoder(table_folder: Path) -> Callable[..., EmbeddedTextEncoder]:
    def make(**settings: object) -> EmbeddedTextEncoder:
        torch.manual_seed(0)
        small = {"dim": 16, "num_layers": 2, "num_heads": 2, "max_tokens": 12}
        return EmbeddedTextEncoder.from_table(table_folder, **(small | settings)).eval()

    return make


def test_states_and_mask(make_encoder: Callable[..., EmbeddedTextEncoder]) -> None:
    encoder = make_encoder()
    result = encoder(["a dog barks", "rain"])
    assert isinstance(encoder, TextEncoder)
    assert isinstance(result, TextStates)
    assert encoder.dim == 16
    assert result.states.shape == (2, 4, 16)
    assert result.states.dtype == torch.float32
    assert result.mask.tolist() == [[True] * 4, [True, False, False, False]]
    assert (result.states[1, 1:] == 0).all()
    assert (result.states[result.mask].abs().sum(dim=-1) > 0).all()


def test_static_vectors_are_the_scaled_rows(
    table_folder: Path, make_encoder: Callable[..., EmbeddedTextEncoder]
) -> None:
    stored = load_file(table_folder / "table.safetensors")
    dog = WORDS.index("dog")
    vector = make_encoder().static_vectors(torch.tensor([dog]))
    assert torch.equal(vector[0], stored["table"][dog].float() * stored["scale"][dog])


def test_order_matters_but_nothing_is_random(make_encoder: Callable[..., EmbeddedTextEncoder]) -> None:
    encoder = make_encoder()
    first, again = encoder(["a dog then rain"]).states, encoder(["a dog then rain"]).states
    swapped = encoder(["rain then a dog"]).states
    assert torch.equal(first, again)
    assert not torch.allclose(first.mean(dim=1), swapped.mean(dim=1), atol=1e-3)


@pytest.mark.parametrize("training", [False, True])
def test_a_prompt_does_not_depend_on_its_batch(
    make_encoder: Callable[..., EmbeddedTextEncoder], training: bool
) -> None:
    encoder = make_encoder().train(training)
    with torch.no_grad():
        alone = encoder(["a dog barks"]).states[0]
        batch = encoder(["", "rain then rain, then a dog barks", "a dog barks"])
    torch.testing.assert_close(batch.states[2, :4], alone, atol=1e-5, rtol=0)
    assert not batch.mask[2, 4:].any()


@pytest.mark.parametrize("prompt", ["", " ", "\n\t  \r\n", "\x00\x01\x7f", "\u200b\u202e"])
def test_prompt_without_a_word_is_unconditional(
    make_encoder: Callable[..., EmbeddedTextEncoder], prompt: str
) -> None:
    encoder = make_encoder()
    for prompts in ([prompt], [prompt, "a dog barks"]):
        result = encoder(prompts)
        assert not result.mask[0].any()
        assert result.mask.shape[1] >= 1
        assert (result.states[0] == 0).all()
        assert result.states.isfinite().all()


def test_empty_prompt_gives_no_nan_gradient(make_encoder: Callable[..., EmbeddedTextEncoder]) -> None:
    encoder = make_encoder().train()
    encoder(["", "a dog barks"]).states.pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.trainable_parameters())


@pytest.mark.parametrize(
    "prompt", ["🐶🌧️ a dog", "犬が吠える", "собака лает", "a \ud83d dog", "[CLS] [PAD] \\ <s>", "d" * 10_000]
)
def test_odd_prompts_give_finite_states(
    make_encoder: Callable[..., EmbeddedTextEncoder], prompt: str
) -> None:
    result = make_encoder()([prompt])
    assert result.mask.any()
    assert result.states.isfinite().all()


def test_long_prompt_is_cut_with_a_warning(
    make_encoder: Callable[..., EmbeddedTextEncoder], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = make_encoder()
    with caplog.at_level(logging.WARNING, logger="soundloom"):
        long = encoder(["a dog " * 2_000])
    assert long.states.shape[1] == 12
    assert "4000 tokens" in caplog.text
    assert "first 12" in caplog.text
    torch.testing.assert_close(long.states, encoder(["a dog " * 6]).states)


def test_wrong_prompts(make_encoder: Callable[..., EmbeddedTextEncoder]) -> None:
    with pytest.raises(TypeError, match="give a list"):
        make_encoder()("a dog barks")
    with pytest.raises(TypeError, match="None"):
        make_encoder()(["a dog", None])
    with pytest.raises(ValueError, match="at least one"):
        make_encoder()([])


def test_mean_vectors_find_the_nearest_prompt(make_encoder: Callable[..., EmbeddedTextEncoder]) -> None:
    encoder = make_encoder()
    candidates = ["a dog barks", "rain", "waves"]
    scores = torch.cosine_similarity(encoder.mean_vectors(["surf"]), encoder.mean_vectors(candidates))
    assert candidates[int(scores.argmax())] == "waves"
    assert (encoder.mean_vectors([""]) == 0).all()


def test_only_the_transformer_learns(make_encoder: Callable[..., EmbeddedTextEncoder]) -> None:
    encoder = make_encoder().train()
    table, scale = encoder.table.clone(), encoder.scale.clone()
    parameters = list(encoder.trainable_parameters())
    assert sum(p.numel() for p in parameters) == sum(p.numel() for p in encoder.parameters())
    assert all(p is not encoder.table and p is not encoder.scale for p in parameters)
    before = encoder(["a dog barks"]).states.detach()
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)
    encoder(["a dog barks"]).states.pow(3).sum().backward()
    optimizer.step()
    assert not torch.allclose(encoder(["a dog barks"]).states, before, atol=1e-3)
    assert torch.equal(encoder.table, table)
    assert torch.equal(encoder.scale, scale)


def test_word_dropout_shortens_prompts_in_training_only(
    make_encoder: Callable[..., EmbeddedTextEncoder],
) -> None:
    encoder = make_encoder(word_dropout=0.5)
    prompts = ["a dog then rain, then a dog"] * 64
    assert (encoder(prompts).mask.sum(dim=1) == 8).all()
    torch.manual_seed(1)
    lengths = encoder.train()(prompts).mask.sum(dim=1).float()
    assert 3 < lengths.mean() < 5
    assert (encoder(["rain"] * 64).mask.sum(dim=1) == 1).all(), "a prompt keeps at least one token"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_then_load(
    make_encoder: Callable[..., EmbeddedTextEncoder], tmp_path: Path, dtype: torch.dtype
) -> None:
    encoder = make_encoder(word_dropout=0.1)
    prompts = ["a dog barks", "", "rain"]
    before, table, scale = encoder(prompts).states, encoder.table.clone(), encoder.scale.clone()
    encoder.to(dtype).save_pretrained(tmp_path / "saved")
    loaded = EmbeddedTextEncoder.from_pretrained(tmp_path / "saved")
    assert loaded.table.dtype == torch.int8
    assert torch.equal(loaded.table, table)
    assert loaded.scale.dtype == torch.float32
    assert torch.equal(loaded.scale, scale)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert not loaded.training
    assert loaded.config.word_dropout == 0.1
    tolerance = 0 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(loaded(prompts).states, before, atol=tolerance, rtol=0)
    weights = load_file(tmp_path / "saved" / "diffusion_pytorch_model.safetensors")
    assert weights["table"].dtype == torch.int8
    assert weights["project.weight"].dtype == dtype


def test_int8_is_the_same_up_to_rounding_and_a_quarter_of_it(
    make_encoder: Callable[..., EmbeddedTextEncoder], tmp_path: Path
) -> None:
    encoder = make_encoder(word_dropout=0.1)
    encoder.save_pretrained(tmp_path / "int8", weights="int8")
    loaded = EmbeddedTextEncoder.from_pretrained(tmp_path / "int8")
    assert not loaded.training
    assert loaded.config.word_dropout == 0.1
    assert torch.equal(loaded.table, encoder.table)
    assert torch.equal(loaded.scale, encoder.scale)
    for name, weight in encoder.named_parameters():
        assert loaded.get_parameter(name).dtype == torch.float32
        step = weight.detach().abs().amax(dim=-1, keepdim=True) / 127 if weight.ndim > 1 else 0 * weight
        assert ((loaded.get_parameter(name) - weight).abs() <= step / 2 + 1e-7).all(), name
    weights = load_file(tmp_path / "int8" / "diffusion_pytorch_model.safetensors")
    assert weights["project.weight"].dtype == torch.int8
    # Saved again as it then is, it gives the same states without rounding anew.
    loaded.save_pretrained(tmp_path / "float")
    again = EmbeddedTextEncoder.from_pretrained(tmp_path / "float")
    assert torch.equal(again(["a dog barks"]).states, loaded(["a dog barks"]).states)
    with pytest.raises(ModelError, match="int4"):
        encoder.save_pretrained(tmp_path / "other", weights="int4")


@pytest.mark.parametrize("lost", ["norm.weight", "project.weight", "project.weight_scale"])
def test_int8_weights_that_lack_a_tensor_are_refused(
    make_encoder: Callable[..., EmbeddedTextEncoder], tmp_path: Path, lost: str
) -> None:
    folder = tmp_path / "saved"
    make_encoder().save_pretrained(folder, weights="int8")
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    del weights[lost]
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match=re.escape(lost)):
        EmbeddedTextEncoder.from_pretrained(folder)


def test_bfloat16_runs_and_gives_float32_states(
    make_encoder: Callable[..., EmbeddedTextEncoder], tmp_path: Path
) -> None:
    make_encoder().save_pretrained(tmp_path / "saved")
    loaded = EmbeddedTextEncoder.from_pretrained(tmp_path / "saved", torch_dtype=torch.bfloat16)
    assert loaded.project.weight.dtype == torch.bfloat16
    assert loaded.table.dtype == torch.int8
    states = loaded(["a dog barks"]).states
    assert states.dtype == torch.float32
    torch.testing.assert_close(states, make_encoder()(["a dog barks"]).states, atol=0.1, rtol=0)


def test_saved_again_it_holds_no_path_of_this_machine(
    make_encoder: Callable[..., EmbeddedTextEncoder], tmp_path: Path
) -> None:
    make_encoder().save_pretrained(tmp_path / "one")
    EmbeddedTextEncoder.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    assert str(tmp_path) not in (tmp_path / "two" / "config.json").read_text()
    assert (tmp_path / "two" / "tokenizer.json").read_bytes() == (
        tmp_path / "one" / "tokenizer.json"
    ).read_bytes()


def test_deep_copy_gives_the_same_states(make_encoder: Callable[..., EmbeddedTextEncoder]) -> None:
    encoder = make_encoder()
    assert torch.equal(copy.deepcopy(encoder)(["a dog"]).states, encoder(["a dog"]).states)


@pytest.mark.parametrize("weights", ["float", "int8"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_broken_folder_is_named(
    make_encoder: Callable[..., EmbeddedTextEncoder], tmp_path: Path, weights: str, name: str, damage: str
) -> None:
    folder = tmp_path / "saved"
    make_encoder().save_pretrained(folder, weights=weights)
    content = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=str(folder)):
        EmbeddedTextEncoder.from_pretrained(folder)


def test_weights_that_lack_a_tensor_are_refused(
    make_encoder: Callable[..., EmbeddedTextEncoder], tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    make_encoder().save_pretrained(folder)
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    del weights["norm.weight"]
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(OSError, match=r"norm\.weight"):
        EmbeddedTextEncoder.from_pretrained(folder)


def test_tokenizer_of_another_model_is_refused(table_folder: Path) -> None:
    tokenizer = json.loads((table_folder / "tokenizer.json").read_text())
    del tokenizer["model"]["vocab"][","]
    (table_folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match="13 tokens, but the table has 14 rows"):
        EmbeddedTextEncoder.from_table(table_folder)


def test_from_table_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"soundloom distil-text"):
        EmbeddedTextEncoder.from_table(tmp_path)
    (tmp_path / "table.safetensors").write_bytes(b"\x10")
    with pytest.raises(OSError, match="damaged"):
        EmbeddedTextEncoder.from_table(tmp_path)
    save_file({"table": torch.zeros(4, 2)}, tmp_path / "table.safetensors")
    with pytest.raises(ValueError, match="int8"):
        EmbeddedTextEncoder.from_table(tmp_path)


def test_bare_constructor_says_what_to_do() -> None:
    encoder = EmbeddedTextEncoder(vocab_size=4, table_dim=2, dim=4, num_heads=2)
    with pytest.raises(RuntimeError, match="from_table"):
        encoder(["a dog"])


@pytest.mark.parametrize(
    "settings",
    [
        {"dim": 10, "num_heads": 4},
        {"num_heads": 0},
        {"max_tokens": 0},
        {"vocab_size": 0},
        {"dropout": 1.0},
        {"word_dropout": -0.1},
    ],
)
def test_settings_out_of_range(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(settings)))):
        EmbeddedTextEncoder(**({"vocab_size": 4, "table_dim": 2} | settings))  # type: ignore[arg-type]
