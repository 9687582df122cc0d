"""Training: the loss, caption dropout, frozen and trained encoders, schedules, averaging, export."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor
from torch.utils.data import DataLoader

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.t5 import T5TextEncoder
from soundloom.gen.training.module import AudioGenModule
from soundloom.gen.training.objective import CodeBatch, Objective
from soundloom.gen.training.parts import TextSettings

T5 = str(Path(__file__).resolve().parents[2] / "fixtures" / "audiogen_tiny" / "t5")
LM = AudioLMConfig(num_codebooks=2, codebook_size=16, dim=16, num_layers=1, num_heads=2)


def make(**changed: Any) -> AudioGenModule:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "lm": LM,
        "text": TextSettings(T5),
        "scheduler": LearningRateSchedule(warmup_steps=2),
    }
    return AudioGenModule(**(settings | changed))


def adamw(**settings: Any) -> Any:
    return partial(torch.optim.AdamW, **settings)


def batch(rows: int = 3, frames: int = 10) -> CodeBatch:
    codes = torch.randint(0, 16, (rows, 2, frames), generator=torch.Generator().manual_seed(rows))
    lengths = torch.tensor([frames, frames - 4, 3, frames][:rows])
    return {"codes": codes, "prompts": ["a dog", "rain", ""][:rows], "lengths": lengths}


def loader(items: int = 8) -> DataLoader[Any]:
    rows = [batch(3) for _ in range(items)]
    return DataLoader(rows, batch_size=None)  # type: ignore[arg-type]


def trainer(folder: Path, **settings: Any) -> lightning.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": folder,
        "max_steps": 3,
    }
    return lightning.Trainer(**(defaults | settings))


def test_loss_is_the_mean_over_codebooks_of_the_mean_over_what_is_predicted() -> None:
    module = make().eval()
    data = batch()
    with torch.no_grad():
        found = module.cross_entropies(data, data["prompts"])
        text = module.encode_text(data["prompts"])
        log_probabilities = module.lm(data["codes"], text.states, text.mask).logits.log_softmax(-1)
    for k in range(2):
        terms = []
        for row, length in enumerate(data["lengths"].tolist()):
            for frame in range(length - k):  # the last k frames of codebook k are not predicted
                terms.append(-log_probabilities[row, k, frame, data["codes"][row, k, frame]].item())
        assert found[k].item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    step = module.validation_step(data, 0)
    assert step.item() == pytest.approx(found.mean().item(), rel=1e-6)


def test_without_lengths_every_frame_counts() -> None:
    module = make().eval()
    data = batch()
    full: CodeBatch = {"codes": data["codes"], "prompts": data["prompts"]}
    padded: CodeBatch = {**full, "lengths": torch.tensor([10, 10, 10])}
    with torch.no_grad():
        assert torch.equal(
            module.cross_entropies(full, full["prompts"]), module.cross_entropies(padded, full["prompts"])
        )
        changed = data["codes"].clone()
        changed[2, :, 3:] = 0  # behind the end of item 2
        hidden: CodeBatch = {**data, "codes": changed}
        torch.testing.assert_close(
            module.cross_entropies(hidden, data["prompts"]), module.cross_entropies(data, data["prompts"])
        )


def gradients(module: AudioGenModule, loss: Tensor) -> list[Tensor]:
    """Gradients of all trained parameters, flat."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [gradient.flatten() for gradient in found if gradient is not None]


def test_codebooks_are_weighted_in_the_gradient_and_not_in_what_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, data = make(objective=Objective(codebook_weights=[3, 1])).eval(), batch()
    logged: dict[str, Any] = {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    loss = module.validation_step(data, 0)
    first, second = module.cross_entropies(data, data["prompts"])
    torch.testing.assert_close(loss, 0.75 * first + 0.25 * second)
    parts = zip(gradients(module, first), gradients(module, second), strict=True)
    for found, (one, two) in zip(gradients(module, loss), parts, strict=True):
        torch.testing.assert_close(found, 0.75 * one + 0.25 * two, atol=1e-7, rtol=1e-4)
    assert float(logged["val/ce_0"]) == first.item()
    assert float(logged["val/ce_1"]) == second.item()
    assert float(logged["val/loss"]) == pytest.approx((first.item() + second.item()) / 2)
    assert float(logged["val/perplexity"]) == pytest.approx(math.exp(logged["val/loss"]))
    assert float(logged["val/weighted_loss"]) == pytest.approx(loss.item())


def test_without_weights_the_loss_is_the_plain_mean_bit_for_bit() -> None:
    data = batch()
    plain, even = make().eval(), make(objective=Objective(codebook_weights=[2.0, 2.0])).eval()
    mean = plain.cross_entropies(data, data["prompts"]).mean()
    assert torch.equal(plain.validation_step(data, 0), mean)
    for found, expected in zip(
        gradients(plain, plain.validation_step(data, 0)), gradients(plain, mean), strict=True
    ):
        assert torch.equal(found, expected)
    torch.testing.assert_close(even.validation_step(data, 0), mean)


def test_a_codebook_of_weight_0_teaches_nothing() -> None:
    module = make(objective=Objective(codebook_weights=[1, 0]))
    module.training_step(batch(), 0).backward()
    heads = module.lm.heads.weight.grad
    assert heads is not None
    assert bool(heads[:16].any())
    assert not bool(heads[16:].any())


def test_weights_stay_in_full_precision_and_come_back_from_a_checkpoint(tmp_path: Path) -> None:
    module = make(objective=Objective(codebook_weights=[1, 0.12]))
    run = trainer(tmp_path, precision="bf16-mixed", max_steps=1)
    run.fit(module, loader(1))
    logged = run.callback_metrics
    expected = (logged["train/ce_0"] + 0.12 * logged["train/ce_1"]) / 1.12
    assert logged["train/weighted_loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    run.save_checkpoint(tmp_path / "run.ckpt")
    loaded = AudioGenModule.load_from_checkpoint(tmp_path / "run.ckpt")
    assert loaded.codebook_shares == module.codebook_shares == pytest.approx([1 / 1.12, 0.12 / 1.12])


@pytest.mark.parametrize(
    ("weights", "fix"),
    [
        ([1.0], "each of the model's 2 codebooks"),
        ([1.0, 1.0, 1.0], "each of the model's 2 codebooks"),
        ([1.0, -0.1], "0 or more"),
        ([1.0, math.nan], "0 or more"),
        ([1.0, math.inf], "0 or more"),
        ([0.0, 0.0], "one of them above 0"),
    ],
    ids=str,
)
def test_bad_codebook_weights_are_named(weights: list[float], fix: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"codebook_weights is {weights}") + f".*{fix}"):
        make(objective=Objective(codebook_weights=weights))


def test_captions_are_dropped_item_by_item() -> None:
    module = make(objective=Objective(0.3))
    torch.manual_seed(0)
    kept = [prompt for _ in range(200) for prompt in module.drop_captions(["a"] * 10)]
    assert kept.count("") / 2000 == pytest.approx(0.3, abs=0.03)
    mixed = [set(module.drop_captions(["a"] * 10)) for _ in range(50)]
    assert sum(len(found) == 2 for found in mixed) > 40
    assert make(objective=Objective(0.0)).drop_captions(["a", "b"]) == ["a", "b"]
    assert make(objective=Objective(1.0)).drop_captions(["a", "b"]) == ["", ""]


def test_a_frozen_encoder_is_neither_saved_nor_copied_nor_trained() -> None:
    module = make()
    assert isinstance(module.text_encoder, T5TextEncoder)
    assert all(name.startswith("lm.") for name in module.state_dict())
    assert copy.deepcopy(module).text_encoder is module.text_encoder
    module.train()
    assert not module.text_encoder.training
    assert not any(parameter.requires_grad for parameter in module.text_encoder.parameters())


def table_folder(folder: Path) -> Path:
    """A token table of random vectors, as the distilling script would write it."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = {"[UNK]": 0, "a": 1, "dog": 2, "rain": 3}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = torch.randint(-127, 127, (4, 8), dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    save_file({"table": table, "scale": torch.full((4,), 0.01)}, folder / "table.safetensors")
    return folder


EMBEDDED: dict[str, Any] = {"dim": 8, "num_layers": 1, "num_heads": 2}


@pytest.mark.parametrize("train", [True, False])
def test_an_embedded_encoder_trains_along_or_is_frozen(tmp_path: Path, train: bool) -> None:
    module = make(text=TextSettings(str(table_folder(tmp_path)), EMBEDDED, train))
    module.training_step(batch(), 0).backward()
    trained = [name for name, _ in module.named_parameters() if not name.startswith("lm.")]
    assert bool(trained) == train
    gradients = [parameter.grad for parameter in module.text_encoder.parameters()]
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients) == train


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    module = make(objective=Objective(caption_dropout=0.0), optimizer=adamw(lr=1e-2), lm=replace(LM, dim=32))
    data = batch()
    before = module.eval().cross_entropies(data, data["prompts"]).mean().item()
    run = trainer(tmp_path, max_steps=40)
    run.fit(module, DataLoader([data] * 40, batch_size=None))  # type: ignore[arg-type]
    after = module.eval().cross_entropies(data, data["prompts"]).mean().item()
    assert after < 0.5 * before


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_with_averaging_saves_loads_and_exports(tmp_path: Path, precision: Any) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    module = make(text=TextSettings(str(table_folder(folder)), EMBEDDED))
    average = EMAWeightAveraging(decay=0.5, use_buffers=False)
    run = trainer(tmp_path, precision=precision, callbacks=[average])
    run.fit(module, loader(3), loader(2))
    logged = run.callback_metrics
    for stage in ("train", "val"):
        assert {f"{stage}/{name}" for name in ("loss", "ce_0", "ce_1", "perplexity")} <= logged.keys()
        mean = (logged[f"{stage}/ce_0"] + logged[f"{stage}/ce_1"]) / 2
        assert logged[f"{stage}/loss"].item() == pytest.approx(mean.item(), rel=1e-5)
    assert logged["train/perplexity"].item() == pytest.approx(math.exp(logged["train/loss"].item()), rel=1e-5)
    run.save_checkpoint(tmp_path / "run.ckpt")

    loaded = AudioGenModule.load_from_checkpoint(tmp_path / "run.ckpt").eval()
    codec = SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).eval()
    pipeline = loaded.save_pretrained(tmp_path / "out", codec=codec, max_seconds=1.0)
    exported = AudioGen.from_pretrained(tmp_path / "out")
    assert exported.max_seconds == 1.0
    first = pipeline.generate_codes(["a dog", "rain"], 12)
    assert torch.equal(first, exported.generate_codes(["a dog", "rain"], 12))
    small = loaded.save_pretrained(tmp_path / "small", codec=codec, weights="int8")
    assert (tmp_path / "small" / "lm" / "diffusion_pytorch_model.safetensors").is_file()
    assert AudioGen.from_pretrained(tmp_path / "small").lm.config.dim == small.lm.config.dim


def test_predict_makes_sounds(tmp_path: Path) -> None:
    codec = SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).eval()
    module = make(codec=codec)
    for _ in range(2):  # the same each time
        [found] = trainer(tmp_path).predict(module, loader(1)) or []
        assert [example.row for example in found] == [{"text": text} for text in ("a dog", "rain", "")]
        generated = torch.stack([example.sounds["generated"] for example in found])
        assert generated.shape == (3, 1, 10 * codec.hop_length)
        assert torch.isfinite(generated).all()
        original = torch.stack([example.sounds["original"] for example in found])
        torch.testing.assert_close(original, codec.decode(batch(3)["codes"]))
    assert torch.equal(
        generated, torch.stack([each.sounds["generated"] for each in module.examples(batch(3))])
    )


def test_the_schedule_spans_the_run(tmp_path: Path) -> None:
    rates: list[float] = []

    class Spy(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    module = make(optimizer=adamw(lr=1.0), scheduler=LearningRateSchedule(warmup_steps=2, min_lr_ratio=0.0))
    trainer(tmp_path, max_steps=6, callbacks=[Spy()]).fit(module, loader())
    assert rates == pytest.approx(
        [0.5, 1.0, 1.0, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0.1464466], abs=1e-5
    )


def test_decay_and_betas_reach_the_optimiser(tmp_path: Path) -> None:
    module = make(optimizer=adamw(lr=2e-3, betas=(0.8, 0.9), weight_decay=0.3))
    run = trainer(tmp_path, max_steps=1)
    run.fit(module, loader(1))
    [group] = run.optimizers[0].param_groups
    assert group["weight_decay"] == 0.3
    assert tuple(group["betas"]) == (0.8, 0.9)
    assert group["initial_lr"] == 2e-3
    assert len(group["params"]) == len(list(module.lm.parameters()))


def test_bad_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"caption_dropout is 1\.5"):
        make(objective=Objective(1.5))
    with pytest.raises(ValueError, match="only a new embedded encoder"):
        make(text=TextSettings(T5, {"dim": 8}))
    with pytest.raises(ValueError, match=r"trainer\.max_steps or scheduler\.total_steps"):
        trainer(tmp_path, max_steps=-1, max_epochs=-1).fit(make(), loader())


def test_a_compiled_model_saves_under_the_same_names() -> None:
    assert make(compile=True).state_dict().keys() == make().state_dict().keys()


def test_a_model_that_is_trained_further_gets_the_dropouts_of_the_settings() -> None:
    module = AudioGenModule(init_from="foley", lm=AudioLMConfig(dropout=0.1, token_dropout=0.6))
    assert module.lm.token_dropout == 0.6
    assert {layer.dropout for layer in module.lm.transformer.layers} == {0.1}
