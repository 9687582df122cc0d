"""LoRA: it computes what it says, trains nothing else, makes small checkpoints and merges away."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.lora import (
    DEFAULT_TARGETS,
    LoRALinear,
    LoRASettings,
    add_lora,
    fingerprint,
    lora_layers,
    merge_lora,
)
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.loader import load_text_encoder
from soundloom.gen.training.ema import ExponentialMovingAverage
from soundloom.gen.training.module import AudioGenModule
from soundloom.gen.training.objective import CodeBatch, Objective
from soundloom.gen.training.parts import TextSettings

T5 = Path(__file__).resolve().parents[2] / "fixtures" / "audiogen_tiny" / "t5"


def small_lm(**changed: Any) -> AudioLM:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"num_codebooks": 2, "codebook_size": 16, "dim": 16, "text_dim": 48}
    return AudioLM(**(settings | {"num_layers": 2, "num_heads": 2} | changed)).eval()


def stirred(model: AudioLM) -> AudioLM:
    """Give the LoRA layers something to add."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, layer in lora_layers(model):
            layer.lora_up.copy_(0.3 * torch.randn(layer.lora_up.shape, generator=generator))
    return model


def logits(model: AudioLM) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    codes = torch.randint(0, 16, (2, 2, 6), generator=generator)
    states = torch.randn(2, 3, 48, generator=generator)
    with torch.no_grad():
        return model(codes, states).logits


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model to start from, with codec and text encoder of its own."""
    folder = tmp_path_factory.mktemp("start") / "model"
    codec = SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).eval()
    AudioGen(small_lm(), load_text_encoder(T5), codec, max_seconds=1.0, top_k=7).save_pretrained(folder)
    return folder


def module(start: Path, **changed: Any) -> AudioGenModule:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "init_from": str(start),
        "lora": LoRASettings(rank=2),
        "objective": Objective(caption_dropout=0.0),
        "optimizer": partial(torch.optim.AdamW, lr=0.05, betas=(0.9, 0.95), weight_decay=0.1),
        "scheduler": LearningRateSchedule(warmup_steps=0),
    }
    return AudioGenModule(**(settings | changed))


def batch() -> CodeBatch:
    codes = torch.randint(0, 16, (3, 2, 10), generator=torch.Generator().manual_seed(3))
    return {"codes": codes, "prompts": ["a dog", "rain", ""]}


def fit(model: AudioGenModule, folder: Path, steps: int, **settings: Any) -> lightning.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    run = lightning.Trainer(**(defaults | settings), default_root_dir=folder, max_steps=steps)
    data = DataLoader([batch()] * steps, batch_size=None)  # type: ignore[arg-type]
    run.fit(model, data)
    return run


def test_a_layer_computes_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(5, 3)
    layer = LoRALinear(copy.deepcopy(plain), LoRASettings(rank=2, alpha=6.0))
    x = torch.randn(4, 5)
    torch.testing.assert_close(layer(x), plain(x))  # B starts at zero
    nn.init.normal_(layer.lora_up)
    expected = x @ (plain.weight + 6.0 / 2 * layer.lora_up @ layer.lora_down).T + plain.bias
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.merged_weight(), plain.weight + 3.0 * layer.lora_up @ layer.lora_down)
    assert LoRASettings(rank=8).scale == LoRASettings(rank=64).scale == 2.0


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(50, 3), LoRASettings(rank=2, dropout=0.5))
    nn.init.normal_(layer.lora_up)
    x = torch.randn(1, 50)
    assert not torch.equal(layer.train()(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


def test_a_model_starts_as_it_was_and_merging_keeps_what_it_computes() -> None:
    plain, model = small_lm(), small_lm()
    names = add_lora(model, LoRASettings(rank=2))
    assert len(names) == 2 * 7  # in_proj, two out_proj, query, key_value, linear1, linear2 of each layer
    torch.testing.assert_close(logits(model), logits(plain), rtol=0, atol=0)
    stirred(model)
    before = logits(model)
    assert (before - logits(plain)).abs().max() > 0.1
    merged = merge_lora(model)
    assert not list(lora_layers(merged))
    assert merged.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(logits(merged), before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits(model), before, rtol=0, atol=0)  # merging changed nothing here
    assert merge_lora(plain) is plain


def test_cached_steps_agree_with_teacher_forcing() -> None:
    model = small_lm()
    add_lora(model, LoRASettings(rank=2))
    stirred(model)
    states = torch.randn(1, 3, 48, generator=torch.Generator().manual_seed(4))
    codes = torch.randint(0, 16, (1, 2, 4), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        whole = model(codes, states).logits[0, 0, 0]
        state = model.start(states, None, 8)
        step = model.step(torch.full((1, 2, 1), model.special_token), state)[0, 0]
    torch.testing.assert_close(step, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("targets", "count"),
    [(["heads"], 1), (["query", "key_value"], 4), (["cross_attention"], 6), (["layers.1"], 7)],
)
def test_targets_are_whole_parts_of_names(targets: list[str], count: int) -> None:
    model = small_lm(num_layers=2)
    assert len(add_lora(model, LoRASettings(rank=1, targets=targets))) == count
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert len(trained) == 2 * count
    assert all(".lora_" in name for name in trained)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"'attn'.*cross_attention.*linear1"):
        add_lora(small_lm(), LoRASettings(targets=["attn"]))
    with pytest.raises(ValueError, match="embedding"):
        add_lora(small_lm(), LoRASettings(targets=["embedding"]))
    model = small_lm()
    add_lora(model, LoRASettings())
    with pytest.raises(ValueError, match="already"):
        add_lora(model, LoRASettings())
    for wrong, words in (
        ({"rank": 0}, "rank is 0"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"targets": []}, "targets is"),
        ({"targets": "query"}, "targets is 'query'"),
    ):
        with pytest.raises(ValueError, match=words):
            LoRASettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="init_from is not"):
        AudioGenModule(text=TextSettings(str(T5)), lora=LoRASettings())


def test_training_moves_lora_alone_and_lowers_the_loss(start: Path, tmp_path: Path) -> None:
    model = module(start)
    assert isinstance(model.hparams["lora"], dict)
    before = {name: value.clone() for name, value in model.lm.named_parameters()}
    loss = model.eval().cross_entropies(batch(), batch()["prompts"]).mean().item()
    run = fit(model.train(), tmp_path, 40)
    groups = run.optimizers[0].param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(lora_layers(model.lm))) * 2
    for name, value in model.lm.named_parameters():
        assert torch.equal(value, before[name]) == (".lora_" not in name), name
    assert model.eval().cross_entropies(batch(), batch()["prompts"]).mean().item() < 0.8 * loss


@pytest.mark.parametrize("averaged", [False, True])
def test_a_checkpoint_holds_lora_alone_and_gives_it_back(start: Path, tmp_path: Path, averaged: bool) -> None:
    model = module(start)
    callbacks = [ExponentialMovingAverage(0.5, 1)] if averaged else []
    run = fit(model, tmp_path, 3, callbacks=callbacks)
    run.save_checkpoint(tmp_path / "run.ckpt")
    package = torch.load(tmp_path / "run.ckpt", weights_only=True)
    assert all(".lora_" in name for name in package["state_dict"])
    sizes = sum(value.numel() for value in package["state_dict"].values())
    assert sizes < 0.2 * sum(value.numel() for value in small_lm().parameters())

    loaded = AudioGenModule.load_from_checkpoint(tmp_path / "run.ckpt").eval()
    torch.testing.assert_close(logits(loaded.lm), logits(model.lm.eval()), rtol=0, atol=0)
    again = module(start)
    second = lightning.Trainer(
        accelerator="cpu", logger=False, max_steps=4, enable_progress_bar=False, callbacks=list(callbacks),
        enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    second.fit(again, DataLoader([batch()] * 4, batch_size=None), ckpt_path=tmp_path / "run.ckpt")  # type: ignore[arg-type]
    assert second.global_step == 4


def test_a_checkpoint_of_other_weights_is_refused(start: Path, tmp_path: Path) -> None:
    run = fit(module(start), tmp_path, 1)
    run.save_checkpoint(tmp_path / "run.ckpt")
    other = AudioGen.from_pretrained(start)
    with torch.no_grad():
        next(other.lm.parameters()).add_(1.0)
    other.save_pretrained(tmp_path / "other")
    assert fingerprint(other.lm) != fingerprint(AudioGen.from_pretrained(start).lm)
    with pytest.raises(ValueError, match=r"continues from other weights.*init_from"):
        AudioGenModule.load_from_checkpoint(tmp_path / "run.ckpt", init_from=str(tmp_path / "other"))


def test_the_exported_model_is_plain_and_computes_the_same(start: Path, tmp_path: Path) -> None:
    model = module(start, export_to=str(tmp_path / "out"))
    fit(model, tmp_path, 3)
    exported = AudioGen.from_pretrained(tmp_path / "out")
    assert not list(lora_layers(exported.lm))
    torch.testing.assert_close(logits(exported.lm), logits(model.lm.eval()), rtol=1e-4, atol=1e-5)
    assert (exported.max_seconds, exported.top_k) == (1.0, 7)  # those of the model it started from
    assert exported.generate("a dog", duration=0.2, seed=1).samples.shape[-1] > 0


def test_in_full_everything_trains_from_the_same_start(start: Path, tmp_path: Path) -> None:
    model = module(start, lora=None, lm=AudioLMConfig(dropout=0.25))
    torch.testing.assert_close(logits(model.lm.eval()), logits(small_lm()), rtol=0, atol=0)
    assert all(layer.dropout == 0.25 for layer in model.lm.transformer.layers)
    before = {name: value.clone() for name, value in model.lm.named_parameters()}
    fit(model.train(), tmp_path, 2)
    assert all(not torch.equal(value, before[name]) for name, value in model.lm.named_parameters())
    fresh = AudioGen.from_pretrained(start).lm  # the file was read, not written to
    assert all(torch.equal(value, before[name]) for name, value in fresh.named_parameters())


def test_int8_weights_are_a_start_like_any_other(start: Path, tmp_path: Path) -> None:
    small = AudioGen.from_pretrained(start)
    small.save_pretrained(tmp_path / "int8", weights="int8")
    model = module(tmp_path / "int8")
    assert {value.dtype for value in model.lm.parameters()} == {torch.float32}
    torch.testing.assert_close(
        logits(model.lm.eval()), logits(AudioGen.from_pretrained(tmp_path / "int8").lm)
    )


def test_another_text_encoder_must_fit(start: Path) -> None:
    wide = load_text_encoder(T5)
    wide.dim = 64
    with pytest.raises(ValueError, match=r"width 64.*leave text\.encoder out"):
        module(start, text=TextSettings(wide))


def test_checkpointing_changes_no_gradient(start: Path) -> None:
    gradients = []
    for on in (False, True):
        model = module(start, gradient_checkpointing=on)
        stirred(model.lm)
        model.train().cross_entropies(batch(), batch()["prompts"]).mean().backward()
        gradients.append([value.grad for value in model.parameters() if value.requires_grad])
        assert model.lm.transformer.gradient_checkpointing == on
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_the_default_covers_every_large_matrix_of_a_layer() -> None:
    layer = small_lm().transformer.layers[0]
    found = {name.rpartition(".")[2] for name, part in layer.named_modules() if isinstance(part, nn.Linear)}
    assert found == set(DEFAULT_TARGETS)
