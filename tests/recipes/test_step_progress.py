"""One bar over all steps on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from soundloom.recipes.step_progress import StepProgress, duration


class Net(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        loss = self.layer(batch[0]).square().mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val/loss", self.layer(batch[0]).square().mean(), prog_bar=True)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def trained(stream: io.StringIO, line_seconds: float = 0.0, **settings: object) -> str:
    data = DataLoader(TensorDataset(torch.randn(6, 2)), batch_size=2)
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[StepProgress(stream, line_seconds)],
        num_sanity_val_steps=1,
        **settings,  # type: ignore[arg-type]
    )
    trainer.fit(Net(), data, data)
    trainer.test(trainer.lightning_module, data, verbose=False)
    return stream.getvalue()


@pytest.mark.parametrize("settings", [{"max_steps": 7}, {"max_epochs": 2}], ids=str)
def test_a_log_file_gets_lines_over_all_steps(settings: dict[str, int]) -> None:
    said = trained(io.StringIO(), **settings)
    total = settings.get("max_steps", 6)
    lines = said.splitlines()
    assert "\r" not in said
    assert "\x1b" not in said
    steps = [int(line.split()[2]) for line in lines if line.startswith("training: step")]
    assert steps == sorted(steps)
    assert set(steps) == set(range(1, total + 1))
    assert all(f" of {total} " in line for line in lines if line.startswith("training"))
    assert re.search(r"a second, \d+ s left: train/loss [\d.e-]+, val/loss", said)
    assert lines[-1].startswith("testing: batch 3 of 3 (100 %)")


def test_lines_are_few_where_steps_are_fast() -> None:
    said = trained(io.StringIO(), line_seconds=60.0, max_steps=6, check_val_every_n_epoch=2)
    steps = [line.split()[2] for line in said.splitlines() if line.startswith("training")]
    assert steps == ["1", "6", "6"]  # the first, the last, and after the validation


def test_a_terminal_gets_one_bar() -> None:
    said = trained(Terminal(), max_steps=6)
    assert "6/6" in said
    assert "/3 " not in said.partition("testing")[0].replace("6/6", "")
    assert said.partition("testing")[0].count("\n") == 1, "one bar, ended once"
    assert "validating" in said


def test_lengths_of_time_in_words() -> None:
    given = [0.4, 44, 90, 3599, 3600, 12_000, 50 * 3600]
    assert [duration(seconds) for seconds in given] == [
        "0 s",
        "44 s",
        "2 min",
        "1 h 0 min",
        "1 h 0 min",
        "3 h 20 min",
        "2 days 2 h",
    ]
