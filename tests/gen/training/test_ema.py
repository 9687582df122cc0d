"""The moving average of the weights: its formula, when it is in use, and what a checkpoint keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor, nn
from torch.utils.data import DataLoader

from soundloom.gen.training.ema import CURRENT_KEY, ExponentialMovingAverage


class Toy(lightning.LightningModule):
    """One trained and one frozen weight; remembers the weight of every step and validation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.frozen = nn.Parameter(torch.tensor([7.0]), requires_grad=False)
        self.trained: list[float] = []
        self.validated: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.weight * (self.global_step + 1)).sum()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.trained.append(self.weight.item())

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(self.weight.item())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.weight], lr=1.0)


def run(folder: Path, steps: int, *callbacks: lightning.Callback, resume: Path | None = None) -> Any:
    torch.manual_seed(0)
    model = Toy()
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        max_steps=steps,
        val_check_interval=2,
        callbacks=list(callbacks),
    )
    data: Any = [torch.zeros(1)] * 8
    loaders = [DataLoader(data, batch_size=None), DataLoader(data[:1], batch_size=None)]
    trainer.fit(model, *loaders, ckpt_path=resume)
    return trainer, model


def averages(values: list[float], decay: float, every: int) -> list[float]:
    """The average after each step, by the formula."""
    found: list[float] = []
    mean: float | None = None
    for step, value in enumerate(values, start=1):
        if step % every == 0:
            mean = value if mean is None else decay * mean + (1 - decay) * value
        found.append(values[0] if mean is None else mean)
    return found


@pytest.mark.parametrize(("decay", "every"), [(0.5, 1), (0.9, 2)])
def test_validation_and_the_result_have_the_average(tmp_path: Path, decay: float, every: int) -> None:
    _, model = run(tmp_path, 6, ExponentialMovingAverage(decay, every))
    assert model.trained == [0.0, -2.0, -5.0, -9.0, -14.0, -20.0]  # untouched by the average
    expected = averages(model.trained, decay, every)
    assert model.validated[1:] == pytest.approx(expected[1::2])  # after the check before training
    assert model.weight.item() == pytest.approx(expected[-1])
    assert model.frozen.item() == 7.0


def test_a_run_without_an_update_keeps_its_weights(tmp_path: Path) -> None:
    _, model = run(tmp_path, 3, ExponentialMovingAverage(0.5, 10))
    assert model.weight.item() == model.trained[-1] == -5.0


class SaveAt(lightning.Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: lightning.Trainer, *others: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("first", [ExponentialMovingAverage, EMAWeightAveraging])
def test_a_checkpoint_has_both_and_a_resumed_run_goes_on_the_same(tmp_path: Path, first: Any) -> None:
    def callback(kind: Any) -> lightning.Callback:
        return kind(0.5, 1) if kind is ExponentialMovingAverage else kind(decay=0.5, use_buffers=False)

    path = tmp_path / "four.ckpt"
    _, whole = run(tmp_path, 6, callback(first), SaveAt(4, path))
    package = torch.load(path, weights_only=True)
    expected = averages(whole.trained, 0.5, 1)
    assert package["state_dict"]["weight"].item() == pytest.approx(expected[3])
    assert package[CURRENT_KEY]["weight"].item() == whole.trained[3]
    _, resumed = run(tmp_path, 6, callback(ExponentialMovingAverage), resume=path)
    assert resumed.weight.item() == pytest.approx(whole.weight.item())


def test_a_checkpoint_of_the_finished_run_has_both_too(tmp_path: Path) -> None:
    trainer, model = run(tmp_path, 4, ExponentialMovingAverage(0.5, 1))
    average = model.weight.item()
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    package = torch.load(tmp_path / "end.ckpt", weights_only=True)
    assert package["state_dict"]["weight"].item() == average != model.trained[-1]
    assert package[CURRENT_KEY]["weight"].item() == model.trained[-1]
    trainer.validate(model, DataLoader([torch.zeros(1)], batch_size=None), verbose=False)  # type: ignore[arg-type]
    assert model.validated[-1] == model.weight.item() == average


def test_validating_a_checkpoint_measures_its_average(tmp_path: Path) -> None:
    path = tmp_path / "four.ckpt"
    run(tmp_path, 4, ExponentialMovingAverage(0.5, 1), SaveAt(4, path))
    average = torch.load(path, weights_only=True)["state_dict"]["weight"].item()
    model = Toy()
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[ExponentialMovingAverage(0.5, 1)],
    )
    data: Any = DataLoader([torch.zeros(1)], batch_size=None)  # type: ignore[arg-type]
    trainer.validate(model, data, ckpt_path=path, verbose=False)
    assert model.validated == [average]
    assert model.weight.item() == average


def test_a_checkpoint_without_an_average_starts_one(tmp_path: Path) -> None:
    path = tmp_path / "plain.ckpt"
    run(tmp_path, 4, SaveAt(4, path))
    assert CURRENT_KEY not in torch.load(path, weights_only=True)
    _, model = run(tmp_path, 6, ExponentialMovingAverage(0.5, 1), resume=path)
    assert model.weight.item() == pytest.approx((model.trained[-2] + model.trained[-1]) / 2)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        ExponentialMovingAverage(decay=1.0)
    with pytest.raises(ValueError, match="every_n_steps is 0"):
        ExponentialMovingAverage(every_n_steps=0)
