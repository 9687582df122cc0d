"""LoRA adapters of an AudioGen: strengths, several at once, quantized models, tags, what is refused."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundloom.core.errors import ArgumentError, ModelError, ModelNotFoundError
from soundloom.gen.again import make_again
from soundloom.gen.model.adapted_linear import adapted_layers
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.lora import LoRASettings, add_lora, lora_layers, merge_lora
from soundloom.gen.model.lora_file import LoRAWeights, base_fingerprint
from soundloom.gen.model.shared_step import SharedStep
from soundloom.gen.pipeline import AudioGen
from tests.conftest import TINY

SCHEMES = (None, "bf16", "int8", "int4")


@functools.cache
def loaded(quantization: str | None) -> AudioGen:
    return AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5", quantization=quantization)


def load(quantization: str | None = None) -> AudioGen:
    """A model whose language model nobody else has."""
    known = loaded(quantization)
    return AudioGen(copy.deepcopy(known.lm), known.text_encoder, known.codec, name="tiny")


def trained(lm: AudioLM, seed: int, size: float = 0.2) -> AudioLM:
    """A copy of a language model as LoRA might have trained it."""
    model = copy.deepcopy(lm)
    add_lora(model, LoRASettings(rank=2, alpha=3.0))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in lora_layers(model):
            layer.lora_down.copy_(torch.randn(layer.lora_down.shape, generator=generator))
            layer.lora_up.copy_(size * torch.randn(layer.lora_up.shape, generator=generator))
    return model.half().float()  # files hold half precision


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters of the tiny model."""
    folder, lm = tmp_path_factory.mktemp("lora"), load().lm
    # Weights that half precision holds stay what they are; the model below is untouched.
    return [
        LoRAWeights.of(trained(lm, seed), "tiny").save(folder / f"{name}.safetensors")
        for seed, name in enumerate(("bell", "dog"))
    ]


def logits(lm: AudioLM) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    codes = torch.randint(0, lm.codebook_size, (2, lm.num_codebooks, 6), generator=generator)
    with torch.no_grad():
        return lm(codes, torch.randn(2, 3, lm.text_dim, generator=generator)).logits.float()


def codes(model: AudioGen, prompts: object = "a dog") -> Tensor:
    return model.generate_codes(prompts, frames=12, temperature=1.0, seed=3)


def test_the_model_is_what_was_trained(files: list[Path]) -> None:
    model = load()
    wanted = logits(merge_lora(trained(model.lm, 0)))
    assert model.load_lora_weights(files[0]) == "bell"
    torch.testing.assert_close(logits(model.lm), wanted, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits(load().lm), wanted, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("quantization", SCHEMES)
def test_without_adapters_it_is_the_model_to_the_bit(quantization: str | None, files: list[Path]) -> None:
    model = load(quantization)
    before = logits(model.lm)
    model.load_lora_weights(files[0], strength=0.7)
    assert not torch.equal(logits(model.lm), before)
    model.set_adapters("bell", 0.0)
    assert torch.equal(logits(model.lm), before)
    model.set_adapters([])
    assert torch.equal(logits(model.lm), before)
    model.unload_lora_weights()
    assert torch.equal(logits(model.lm), before)
    assert not list(adapted_layers(model.lm))
    assert model.get_list_adapters() == []


def test_several_add_up_and_strengths_scale(files: list[Path]) -> None:
    model = load()
    for file in files:
        model.load_lora_weights(file)
    model.set_adapters(["bell", "dog"], [0.5, -0.25])
    assert model.active_adapters == {"bell": 0.5, "dog": -0.25}
    by_hand = copy.deepcopy(load().lm)
    for file, strength in zip(files, (0.5, -0.25), strict=True):
        for name, (down, up, factor) in LoRAWeights.load(file).parts(strength):
            with torch.no_grad():
                by_hand.get_submodule(name).weight.add_(factor * up @ down)
    torch.testing.assert_close(logits(model.lm), logits(by_hand), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(merge_lora(model.lm)), logits(by_hand), rtol=1e-4, atol=1e-4)


def test_one_twice_at_half_strength_is_one(files: list[Path]) -> None:
    model, other = load(), load()
    model.load_lora_weights(files[0], strength=0.5)
    model.load_lora_weights(files[0], adapter_name="again", strength=0.5)
    other.load_lora_weights(files[0])
    torch.testing.assert_close(logits(model.lm), logits(other.lm), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("quantization", SCHEMES[1:])
def test_a_quantized_model_is_near_the_float_one(quantization: str, files: list[Path]) -> None:
    model, exact, plain = load(quantization), load(), load(quantization)
    for each in (model, exact):
        each.load_lora_weights(files[0])
    wanted = logits(exact.lm)
    error = (logits(model.lm) - wanted).std()
    assert error < 0.25 * wanted.std()
    assert error < 0.5 * (logits(plain.lm) - wanted).std()  # what the adapter does is mostly there
    assert base_fingerprint(plain.lm) == base_fingerprint(exact.lm)


@pytest.mark.parametrize("quantization", SCHEMES)
def test_single_steps_are_those_of_a_whole_pass(quantization: str | None, files: list[Path]) -> None:
    model = load(quantization)
    model.load_lora_weights(files[0])
    lm = model.lm
    states, steps = torch.randn(2, 3, lm.text_dim, generator=torch.Generator().manual_seed(1)), 5
    tokens = torch.randint(0, lm.codebook_size, (2, lm.num_codebooks, steps))
    with torch.no_grad():
        one, all_at_once = lm.start(states, None, steps), lm.start(states, None, steps)
        assert one.single is not None  # the fast way, not the transformer's own
        for step in range(steps):
            last = lm.step(tokens[..., step : step + 1], one)
        whole = lm.step(tokens, all_at_once).float()
    error = (last.float() - whole).std() / whole.std()
    assert error < (0.1 if quantization else 1e-5)


@pytest.mark.parametrize("quantization", SCHEMES)
def test_a_batch_gives_each_prompt_what_it_gets_alone(quantization: str | None, files: list[Path]) -> None:
    model = load(quantization)
    model.load_lora_weights(files[0])
    together = model.generate_codes(["a dog", "heavy rain"], frames=12, temperature=1.0, seed=3)
    assert torch.equal(together[:1], codes(model))


def test_many_requests_at_once_hear_it_too(files: list[Path]) -> None:
    model = load()
    model.load_lora_weights(files[0])
    lm = model.lm
    states = torch.randn(2, 3, lm.text_dim, generator=torch.Generator().manual_seed(1))
    tokens = torch.zeros(2, lm.num_codebooks, 1, dtype=torch.long)
    with torch.no_grad():
        shared = SharedStep(lm)
        alone = lm.step(tokens, lm.start(states, None, 2))
        both = shared([tokens, tokens], [lm.start(states, None, 2) for _ in range(2)])
    torch.testing.assert_close(both[1], alone, rtol=1e-4, atol=1e-4)


def test_what_is_saved_has_the_adapters_in_its_weights(files: list[Path], tmp_path: Path) -> None:
    model = load()
    model.load_lora_weights(files[0], strength=0.5)
    model.save_pretrained(tmp_path / "merged")
    merged = AudioGen.from_pretrained(tmp_path / "merged")
    assert not merged.active_adapters
    torch.testing.assert_close(logits(merged.lm), logits(model.lm), rtol=1e-4, atol=1e-4)
    with pytest.raises(ModelError, match="has LoRA beside its weights: save the AudioGen, which merges it"):
        model.lm.save_pretrained(tmp_path / "lm")
    quantized = load("int8")
    quantized.load_lora_weights(files[0])
    with pytest.raises(ModelError, match="a quantized model cannot be written"):
        quantized.save_pretrained(tmp_path / "int8")


def test_tags_tell_and_a_sound_is_made_again_with_the_same_adapters(files: list[Path]) -> None:
    model = load()
    model.load_lora_weights(files[0], strength=0.5)
    audio = model.generate("rain", duration=0.2, seed=1)
    record = audio.record(0)
    assert record.lora == {"bell": 0.5}
    assert "  LoRA  bell 0.5" in record.lines()
    assert torch.equal(make_again(record, model, name="x.wav").samples, audio.samples)
    model.set_adapters("bell", 0.6)
    with pytest.raises(ArgumentError, match=r"made with LoRA: give --lora bell.safetensors:0.5"):
        make_again(record, model, name="x.wav")
    model.unload_lora_weights()
    plain = model.generate("rain", duration=0.2, seed=1).record(0)
    assert "lora" not in plain.told()
    assert plain.weights != record.weights
    model.load_lora_weights(files[0])
    with pytest.raises(ArgumentError, match="made without LoRA: leave out --lora"):
        make_again(plain, model, name="x.wav")


def test_a_stream_goes_on_with_the_adapters_that_it_began_with(files: list[Path]) -> None:
    model = load()
    whole = model.generate("rain", duration=0.4, seed=1).codes
    stream = model.stream("rain", duration=0.4, seed=1, chunk_seconds=0.1, first_chunk_seconds=0.1)
    parts = [next(stream).codes]
    model.load_lora_weights(files[0], strength=2.0)
    parts += [chunk.codes for chunk in stream]
    assert torch.equal(torch.cat(parts, -1), whole)


def test_an_adapter_of_another_model_is_refused(files: list[Path]) -> None:
    model = load()
    with torch.no_grad():
        model.lm.embedding.weight.add_(1.0)
    with pytest.raises(ModelError, match=r"bell.safetensors was trained on another model, 'tiny', than this"):
        model.load_lora_weights(files[0])
    assert model.get_list_adapters() == []
    adapter = LoRAWeights.load(files[0])
    other = AudioLM(num_codebooks=1, codebook_size=4, dim=8, num_layers=1, num_heads=2, text_dim=4)
    with pytest.raises(ModelError, match=r"is \[16, 8\] there and \[128, 64\] in the adapter"):
        adapter.check_fits(other, "bell")


def test_a_folder_holds_one_under_the_name_of_diffusers(files: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "bell-lora"
    folder.mkdir()
    model = load()
    with pytest.raises(ModelNotFoundError, match=r"bell-lora holds no LoRA adapter \(pytorch_lora_weights"):
        model.load_lora_weights(folder)
    (folder / "pytorch_lora_weights.safetensors").write_bytes(files[0].read_bytes())
    assert model.load_lora_weights(folder) == "bell-lora"


def test_wrong_names_and_strengths_are_named(files: list[Path], tmp_path: Path) -> None:
    model = load()
    model.load_lora_weights(files[0])
    with pytest.raises(ArgumentError, match="'bell' is loaded already"):
        model.load_lora_weights(files[0])
    with pytest.raises(ArgumentError, match="strength of dog is nan; allowed are -10 to 10"):
        model.load_lora_weights(files[1], strength=float("nan"))
    with pytest.raises(ArgumentError, match="no adapter 'cat'; loaded are: 'bell'"):
        model.set_adapters(["cat"])
    with pytest.raises(ArgumentError, match="no adapter 'cat'"):
        model.delete_adapters("cat")
    with pytest.raises(ArgumentError, match="1 adapters and 2 strengths"):
        model.set_adapters(["bell"], [1, 2])
    with pytest.raises(ArgumentError, match="can't be called 'a/b'"):
        model.load_lora_weights(files[1], adapter_name="a/b")
    with pytest.raises(FileNotFoundError, match="no such file"):
        model.load_lora_weights(tmp_path / "none.safetensors")
    with pytest.raises(ModelNotFoundError, match="no such file: none; give an adapter's .safetensors"):
        model.load_lora_weights("none")
    assert model.active_adapters == {"bell": 1.0}
    model.delete_adapters("bell")
    assert torch.equal(logits(model.lm), logits(load().lm))
