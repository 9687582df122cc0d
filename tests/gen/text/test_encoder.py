"""The T5 text encoder and the helpers around text states."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch

from soundloom.core.checkpoint import BUNDLED_MODELS
from soundloom.gen.text.embedded import EmbeddedTextEncoder
from soundloom.gen.text.encoder import TextEncoder, TextStates
from soundloom.gen.text.loader import TEXT_ENCODERS, load_text_encoder
from soundloom.gen.text.t5 import T5TextEncoder

T5 = Path(__file__).resolve().parents[2] / "fixtures" / "audiogen_tiny" / "t5"


@pytest.fixture(scope="module")
def encoder() -> T5TextEncoder:
    return T5TextEncoder.from_pretrained(T5)


def test_loading_draws_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    T5TextEncoder.from_pretrained(T5)
    assert capfd.readouterr() == ("", "")


def test_rows_without_text_are_zero_and_masked(encoder: T5TextEncoder) -> None:
    text = encoder(["a dog barks", "", "  \n\t"])
    assert text.states.dtype == torch.float32
    assert text.states.shape == (*text.mask.shape, encoder.dim)
    assert text.mask.dtype == torch.bool
    assert bool(text.mask[0].all())
    assert not bool(text.mask[1:].any())
    assert not bool(text.states[1:].any())
    assert bool(torch.isfinite(text.states).all())


def test_a_prompt_alone_and_beside_a_longer_one(encoder: T5TextEncoder) -> None:
    alone = encoder(["a dog barks"])
    both = encoder(["a dog barks", "heavy rain falls on a tin roof"])
    length = alone.states.shape[1]
    torch.testing.assert_close(both.states[0, :length], alone.states[0], atol=1e-5, rtol=1e-5)
    assert int(both.mask[0].sum()) == length
    assert not bool(both.states[0, length:].any())


def test_long_prompts_are_cut_with_a_warning_that_names_the_limit(
    encoder: T5TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ids, mask = encoder.tokenize(["rain " * 2000])
    assert ids.shape == mask.shape == (1, 512)
    assert int(ids[0, -1]) == 1  # the end of the sentence stays
    assert "longer than 512 tokens" in caplog.text
    caplog.clear()
    short = T5TextEncoder(encoder.model, encoder.tokenizer, max_tokens=4)
    ids, _ = short.tokenize(["a dog barks loudly", "a"])
    assert ids.shape == (2, 4)
    assert "longer than 4 tokens" in caplog.text


@pytest.mark.parametrize("prompt", ["🐕🔊", "лает собака", "犬が吠える", "a\x00b", "\ud83d"])
def test_any_string_can_be_encoded(encoder: T5TextEncoder, prompt: str) -> None:
    text = encoder([prompt])
    assert bool(text.mask.any())
    assert bool(torch.isfinite(text.states).all())


def test_what_is_no_string_is_named(encoder: T5TextEncoder) -> None:
    with pytest.raises(TypeError, match="prompt 1 is 7"):
        encoder(["a", 7])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="give a list"):
        encoder("a dog")


def test_it_is_frozen_whatever_its_owner_does(encoder: T5TextEncoder) -> None:
    owner = torch.nn.ModuleList([encoder]).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in owner.parameters())
    assert not encoder(["a"]).states.requires_grad


def test_save_and_load(encoder: T5TextEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    loaded = load_text_encoder(tmp_path)
    assert isinstance(loaded, T5TextEncoder)
    assert torch.equal(loaded(["a dog"]).states, encoder(["a dog"]).states)


def test_an_unknown_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"'t5-nowhere'.*text_encoder="):
        load_text_encoder("t5-nowhere", local_files_only=True)
    with pytest.raises(OSError, match="text_encoder="):
        load_text_encoder(tmp_path)


def test_a_damaged_encoder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "t5"
    shutil.copytree(T5, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(OSError, match=f"cannot load the T5 text encoder '{folder}'"):
        load_text_encoder(folder)


def test_a_t5_that_is_nowhere_is_told_in_our_words() -> None:
    with pytest.raises(OSError, match="'no-such-t5' \\(there is no such folder") as caught:
        load_text_encoder("no-such-t5", local_files_only=True)
    assert "http" not in str(caught.value)


def test_states_repeat_row_by_row_and_have_a_null() -> None:
    text = TextStates(torch.randn(2, 3, 4), torch.tensor([[True] * 3, [True, False, False]]))
    twice = text.repeat(2)
    assert torch.equal(twice.states[1], text.states[0])
    assert torch.equal(twice.mask[2], text.mask[1])
    null = text.null()
    assert null.states.shape == text.states.shape
    assert not bool(null.states.any() or null.mask.any())


def test_the_contract_alone_encodes_nothing() -> None:
    with pytest.raises(NotImplementedError, match="TextEncoder"):
        TextEncoder()(["a"])


@pytest.mark.parametrize(
    "name", ["foley", BUNDLED_MODELS / "foley", BUNDLED_MODELS / "foley" / "text_encoder"]
)
def test_the_encoder_of_a_model_goes_by_the_model(name: str | Path) -> None:
    wanted = EmbeddedTextEncoder.from_pretrained(BUNDLED_MODELS / "foley" / "text_encoder")
    loaded = load_text_encoder(name)
    assert isinstance(loaded, EmbeddedTextEncoder)
    assert torch.equal(loaded(["a dog"]).states, wanted(["a dog"]).states)
    assert EmbeddedTextEncoder.from_pretrained(name).dim == wanted.dim


def test_a_folder_of_the_name_goes_first_only_if_it_holds_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foley").mkdir()
    assert isinstance(load_text_encoder("foley"), EmbeddedTextEncoder)
    shutil.copytree(T5, tmp_path / "foley", dirs_exist_ok=True)
    assert isinstance(load_text_encoder("foley"), T5TextEncoder)


def test_a_folder_of_another_kind_is_named_with_the_kinds_there_are() -> None:
    with pytest.raises(ValueError, match=r"'AudioLM', which is no known text encoder; known: Embedded.*T5"):
        load_text_encoder(BUNDLED_MODELS / "foley" / "lm")


@pytest.mark.parametrize("name", ["foley", T5])
def test_every_kind_takes_the_same_arguments(name: str | Path) -> None:
    encoder = load_text_encoder(name, revision=None, local_files_only=True)
    assert type(encoder).__name__ in TEXT_ENCODERS
    assert not encoder.training
