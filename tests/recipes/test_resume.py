"""A run that is killed goes on as if it had not been: the same losses, the same weights at the end."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from soundloom import cli
from soundloom.cli import recipe
from soundloom.recipes.resume import (
    EpochOrder,
    ResumableLoader,
    SeededItems,
    StepSeed,
    WholeFileIO,
    mixed_seed,
    run_seed,
)

T5 = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny" / "t5"
STEPS, EVERY, KILLED_AT = (
    12,
    2,
    8,
)  # five steps an epoch: the kill and the checkpoint before it are inside one
RECIPE = f"""\
seed_everything: 3
model:
  class_path: soundloom.gen.training.module.AudioGenModule
  init_args:
    lm: {{num_codebooks: 2, codebook_size: 16, dim: 16, num_layers: 1, num_heads: 2, dropout: 0.1}}
    text: {{encoder: {T5}}}
    objective: {{caption_dropout: 0.3}}
    optimizer:
      class_path: torch.optim.AdamW
      init_args: {{lr: 1.0e-2, betas: [0.9, 0.95], weight_decay: 0.1}}
    scheduler: {{warmup_steps: 3}}
data:
  class_path: soundloom.recipes.data.TokenDataModule
  init_args:
    train_dirs: [data/train]
    val_dirs: [data/val]
    frames: 12
    batch_size: 4
trainer:
  max_steps: {STEPS}
  accelerator: cpu
  devices: 1
  gradient_clip_val: 1.0
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 1
  default_root_dir: runs/whole
  logger:
    class_path: lightning.pytorch.loggers.CSVLogger
    init_args: {{save_dir: "${{trainer.default_root_dir}}", name: null, flush_logs_every_n_steps: 1}}
  callbacks:
    - class_path: soundloom.gen.training.ema.ExponentialMovingAverage
      init_args: {{decay: 0.9, every_n_steps: 2}}
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args:
        dirpath: ${{trainer.default_root_dir}}/checkpoints
        every_n_train_steps: {EVERY}
        save_last: true
        save_top_k: 1
"""
# Kills the process without warning when half of a checkpoint file is written.
KILLER = f"""\
import os, signal, torch
from lightning import Callback

class Killer(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.global_step == {KILLED_AT}:
            def save(package, file):
                file.write(b"half of it")
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            torch.save = save
"""


def losses(folder: Path) -> dict[int, tuple[str, str]]:
    """Step -> (training loss, validation loss), as text, of the latest run in a folder."""
    files = sorted(folder.glob("version_*/metrics.csv"))
    found: dict[int, tuple[str, str]] = {}
    with open(files[-1], newline="") as lines:
        for row in csv.DictReader(lines):
            step = int(row["step"])
            old = found.get(step, ("", ""))
            found[step] = (row.get("train/loss") or old[0], row.get("val/loss") or old[1])
    return found


def fit(*words: str) -> None:
    assert cli.lightning(["fit", "--config", "tiny.yaml", *words]) == 0


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are rounded differently by another number of threads; the killed process has one, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    rng = np.random.default_rng(0)
    for name, count in (("train", 22), ("val", 4)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        np.save(folder / "codes.npy", rng.integers(0, 16, (count, 2, 20)).astype(np.int16))
        lines = [
            {"captions": [f"sound {n}", f"a {n}"], "frames": int(rng.integers(5, 20))} for n in range(count)
        ]
        (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    (tmp_path / "killer.py").write_text(KILLER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # written by Lightning; taken back afterwards
    return tmp_path


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_the_same(workplace: Path) -> None:
    fit()
    whole = losses(workplace / "runs" / "whole")
    assert len(whole) == STEPS
    assert all(train for train, _ in whole.values())
    assert len({train for train, _ in whole.values()}) == STEPS

    again = "--trainer.default_root_dir=runs/again"
    words = ["fit", "--config", "tiny.yaml", again, "--trainer.callbacks+=killer.Killer"]
    path = os.pathsep.join([str(workplace), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [sys.executable, "-c", "from soundloom.cli import main; main()", *words],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    checkpoints = workplace / "runs" / "again" / "checkpoints"
    assert any(file.name.endswith(".part") for file in checkpoints.iterdir())  # what was being written
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["global_step"] == KILLED_AT - EVERY
    before = losses(workplace / "runs" / "again")
    assert {step: before[step][0] for step in range(KILLED_AT - 1)} == {
        step: whole[step][0] for step in range(KILLED_AT - 1)
    }

    fit(again, "--ckpt_path", "last")
    after = losses(workplace / "runs" / "again")
    assert sorted(after) == list(range(KILLED_AT - EVERY, STEPS))
    assert after == {step: whole[step] for step in after}
    results = [
        torch.load(workplace / "runs" / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "again")
    ]
    for part in ("state_dict", "current_model_state"):
        for name, value in results[0][part].items():
            assert torch.equal(value, results[1][part][name]), name


STOPPER = """\
import os, signal
from lightning import Callback

class AtStep(Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)

class InValidation(Callback):
    def on_validation_batch_start(self, trainer, module, batch, index, dataloader_idx=0):
        if not trainer.sanity_checking and trainer.global_step > 3:
            os.kill(os.getpid(), signal.SIGTERM)

class Twice(Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_stopped_run_keeps_what_it_has_and_goes_on_the_same(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(workplace)
    (workplace / "stopper.py").write_text(STOPPER)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    few = ["--trainer.callbacks.init_args.every_n_train_steps=100"]  # none is due before the stop
    fit(*few)
    whole = losses(workplace / "runs" / "whole")
    assert len(whole) == STEPS
    last = workplace / "runs" / "whole" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == STEPS  # though 100 was never reached

    for name, signum, step in (("AtStep", signal.SIGINT, 2), ("InValidation", signal.SIGTERM, 5)):
        root = f"--trainer.default_root_dir=runs/{name}"
        words = ["--config", "tiny.yaml", root, *few, f"--trainer.callbacks+=stopper.{name}"]
        capsys.readouterr()
        assert cli.lightning(["fit", *words]) == 128 + signum
        said = capsys.readouterr().err
        assert f"stopped at step {step}; all of it is kept in runs/{name}/checkpoints/last.ckpt" in said
        assert f"--ckpt_path last\nTo try what there is: soundloom export runs/{name}/" in said
        assert {number: signal.getsignal(number) for number in handlers} == handlers
        fit(root, *few, "--ckpt_path", "last")
        after = losses(workplace / "runs" / name)
        assert sorted(after)[-1] == STEPS - 1
        assert len(after) >= STEPS - step
        assert {at: train for at, (train, _) in after.items()} == {at: whole[at][0] for at in after}

    words = ["--config", "tiny.yaml", "--trainer.default_root_dir=runs/twice", *few]
    assert cli.lightning(["fit", *words, "--trainer.callbacks+=stopper.Twice"]) == 130
    assert "stopped at once" in capsys.readouterr().err
    assert {number: signal.getsignal(number) for number in handlers} == handlers


class Draws(Dataset[tuple[int, float]]):
    """Items that are random."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[int, float]:
        assert 0 <= index < self.size
        return index, float(torch.rand(()))


def noisy(rows: list[tuple[int, float]]) -> tuple[list[int], list[float], float]:
    return [row[0] for row in rows], [row[1] for row in rows], float(torch.rand(()))


def epoch(loader: ResumableLoader, number: int) -> list[Any]:
    loader.order.set_epoch(number)
    return list(loader)


def test_an_epoch_is_every_item_once_and_another_one_another_order() -> None:
    loader = ResumableLoader(Draws(12), 4, seed=1, collate_fn=noisy)
    first, second = epoch(loader, 0), epoch(loader, 1)
    for batches in (first, second):
        assert sorted(index for batch in batches for index in batch[0]) == list(range(12))
    assert [batch[0] for batch in first] != [batch[0] for batch in second]
    draws = [{value for batch in batches for value in batch[1]} for batches in (first, second)]
    assert len(draws[0]) == len(draws[1]) == 12
    assert not draws[0] & draws[1]
    assert epoch(loader, 0) == first  # a function of the epoch, whatever was drawn in between
    other = ResumableLoader(Draws(12), 4, seed=2, collate_fn=noisy)
    assert [batch[0] for batch in epoch(other, 0)] != [batch[0] for batch in first]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_loader_goes_on_where_its_state_was_taken(workers: int, done: int) -> None:
    def make() -> ResumableLoader:
        return ResumableLoader(Draws(14), 4, seed=1, collate_fn=noisy, num_workers=workers)

    loader = make()
    assert len(loader) == 3  # the incomplete batch is left out
    whole = epoch(loader, 5)
    loader.order.set_epoch(5)
    batches = iter(loader)
    assert [next(batches) for _ in range(done)] == whole[:done]
    state = loader.state_dict()
    assert state == {"epoch": 5, "batches": done} or done == 0

    resumed = make()
    resumed.load_state_dict({"epoch": 5, "batches": done})
    assert list(resumed) == whole[done:]
    assert epoch(resumed, 6) == epoch(loader, 6)
    late = make()
    late.load_state_dict({"epoch": 5, "batches": 3})
    late.order.set_epoch(6)  # the epoch was over: nothing of the next one is left out
    assert len(list(late)) == 3


def test_the_caller_s_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(ResumableLoader(Draws(8), 4, seed=1))
    assert torch.equal(torch.rand(3), expected)


def test_processes_share_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shares.append(epoch(ResumableLoader(Draws(16), 2, seed=1, collate_fn=noisy), 3))
    monkeypatch.undo()
    alone = epoch(ResumableLoader(Draws(16), 4, seed=1, collate_fn=noisy), 3)
    for one, two, whole in zip(*shares, alone, strict=True):
        both = sorted(zip(one[0] + two[0], one[1] + two[1], strict=True))
        assert both == sorted(zip(whole[0], whole[1], strict=True))  # the same items with the same draws


def test_few_items_are_given_twice_rather_than_leave_a_process_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    assert len(list(EpochOrder(Draws(2), seed=0))) == 1


def test_an_item_s_draws_depend_on_seed_epoch_and_item_alone() -> None:
    items = SeededItems(Draws(4), seed=1)
    assert items[2] == items[2]
    found = {SeededItems(Draws(4), seed)[index][1][1] for seed in (1, 2) for index in range(12)}
    assert len(found) == 24


def test_a_step_s_draws_depend_on_seed_step_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop:
        total_batch_idx = 0

    class Run:
        epoch_loop = Loop()

    class Trainer:
        fit_loop, global_rank = Run(), 0

    trainer: Any = Trainer()

    def draw(seed: int, step: int, rank: int) -> float:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        Loop.total_batch_idx, trainer.global_rank = step, rank
        StepSeed().on_train_batch_start(trainer, None, None, 0)  # type: ignore[arg-type]
        return float(torch.rand(()))

    places = [(seed, step, rank) for seed in (0, 1) for step in (0, 1, 2) for rank in (0, 1)]
    first = [draw(*place) for place in places]
    assert len(set(first)) == len(places)
    assert [draw(*place) for place in reversed(places)] == first[::-1]


def test_seeds_are_mixed_well() -> None:
    seeds = {mixed_seed(*numbers) for numbers in np.ndindex(20, 20, 20)} | {mixed_seed(0), mixed_seed(0, 0)}
    assert len(seeds) == 8002
    assert all(0 <= seed < 2**63 for seed in seeds)
    low_bits = np.bincount([seed % 16 for seed in seeds], minlength=16)
    assert low_bits.min() > 400  # evenly spread: 500 expected


def test_without_a_seed_the_seed_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert run_seed() == 0


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, path = WholeFileIO(), tmp_path / "checkpoints" / "last.ckpt"
    writer.save_checkpoint({"step": torch.tensor(1)}, path)
    real = torch.save

    def fail(package: dict[str, Tensor], file: Any) -> None:
        real(package, file)
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        writer.save_checkpoint({"step": torch.tensor(2)}, path)
    monkeypatch.undo()
    assert writer.load_checkpoint(path, weights_only=True)["step"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    with pytest.raises(TypeError, match="storage_options"):
        writer.save_checkpoint({}, path, storage_options={"a": 1})


def test_lightning_fit_always_uses_both(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Recorder(recipe.RecipeCLI):
        def before_fit(self) -> None:
            seen.append(self.trainer)

    monkeypatch.setattr(recipe, "RecipeCLI", Recorder)
    fit("--trainer.fast_dev_run=1")
    [trainer] = seen
    assert any(isinstance(callback, StepSeed) for callback in trainer.callbacks)
    assert isinstance(trainer.strategy.checkpoint_io, WholeFileIO)
