"""Easy consistency tuning: its stages, its targets, and a run that goes on in the stage that it was in."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from soundloom.codecs.music2latent2.consistency import ConsistencyObjective, NoiseLevels, NoiseSchedule
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from soundloom.recipes.resume import ResumableLoader, StepSeed
from tests.codecs.music2latent2.tiny_training import TINY, module, tones

ECT = NoiseLevels(schedule="ect", denoising=0.4, stages=3)


def objective(total_steps: int = 100, levels: NoiseLevels = ECT) -> ConsistencyObjective:
    return ConsistencyObjective(NoiseSchedule(TINY), levels, total_steps=total_steps)


def test_denoising_comes_first_and_then_stages_of_equal_length() -> None:
    stages = [objective().stage(step) for step in range(110)]
    assert stages == [0] * 40 + [1] * 20 + [2] * 20 + [3] * 30
    assert {objective(levels=NoiseLevels(schedule="ect", denoising=1.0)).stage(step) for step in (0, 99)} == {
        0
    }
    assert objective(levels=NoiseLevels()).stage(0) is None, "the published way has no stages"


def test_the_lower_level_rises_from_clean_towards_the_higher_one() -> None:
    """Equation 10 of the paper: r = t (1 - 2^-n (1 + 8 sigmoid(-t)))."""
    schedule = NoiseSchedule(TINY)
    times = torch.linspace(0.1, 1, 30)
    sigma = schedule.sigma(times)
    levels = torch.stack([objective().lower_levels(times, step) for step in (0, 40, 60, 80)])
    assert (levels[0] == TINY.sigma_min).all(), "denoising"
    assert (levels.diff(dim=0) >= 0).all()
    assert (levels < sigma).all()
    for stage in (1, 2, 3):
        wanted = [t * (1 - 2**-stage * (1 + 8 / (1 + 2.718281828**t))) for t in sigma.tolist()]
        torch.testing.assert_close(
            levels[stage], torch.tensor(wanted).clamp_min(TINY.sigma_min), rtol=1e-4, atol=0
        )
    assert float(levels[1][-1]) == pytest.approx(40, rel=1e-3), "half of 80"


def test_targets_are_clean_until_the_lower_level_is_above_zero() -> None:
    clean = torch.randn(64, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    calls: list[Tensor] = []

    def teacher(noisy: Tensor, sigma: Tensor) -> Tensor:
        calls.append(sigma)
        return clean + 1

    torch.manual_seed(0)
    denoising = objective()(lambda noisy, sigma: clean, teacher, clean, 0)
    assert (denoising.stage, float(denoising.loss), calls) == (0, 0.0, []), "no teacher is asked"
    torch.manual_seed(0)
    first = objective()(lambda noisy, sigma: clean, teacher, clean, 40)
    low = calls[0]
    assert first.stage == 1
    assert (low > TINY.sigma_min).any()
    assert (low == TINY.sigma_min).any()
    assert torch.equal(first.items > 0, low > TINY.sigma_min)
    gap = first.sigma - low
    torch.manual_seed(0)
    off = objective()(lambda noisy, sigma: clean + 2, lambda noisy, sigma: clean, clean, 40)
    size = off.items * gap
    torch.testing.assert_close(size, size[:1].expand_as(size), rtol=1e-4, atol=0)  # weight 1 / (t - r)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"schedule": "easy"}, "noise.schedule is 'easy'; allowed: shrinking, ect"),
        ({"denoising": 1.5}, "noise.denoising is 1.5"),
        ({"stages": 0}, "noise.stages is 0"),
    ],
)
def test_settings_that_make_no_schedule_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NoiseLevels(**settings)


def fit(folder: Path, steps: int, *, stop: int | None = None, resume: Path | None = None) -> tuple[dict, Any]:
    """Train in a folder; the stage and loss of each step, and the trained weights."""
    part = module(noise=ECT, scheduler=LearningRateSchedule(warmup_steps=2, min_lr_ratio=0.1))
    lightning.seed_everything(1, verbose=False)

    class Stop(lightning.Callback):
        def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
            if trainer.global_step == stop:
                trainer.save_checkpoint(folder / "stopped.ckpt")
                trainer.should_stop = True

    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=lightning.pytorch.loggers.CSVLogger(folder, name=None),
        log_every_n_steps=1,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[StepSeed(), Stop()],
        default_root_dir=folder,
    )
    data: Any = list(tones(8))
    trainer.fit(part, ResumableLoader(data, 4), ckpt_path=resume, weights_only=True)
    logs: dict[int, tuple[float, str]] = {}
    with open(Path(trainer.logger.log_dir) / "metrics.csv", newline="") as lines:  # type: ignore[arg-type, union-attr]
        for row in csv.DictReader(lines):
            if row.get("train/stage"):
                stage = float(row["train/stage"])
                logs[int(row["step"])] = (stage, row["train/loss"])
                assert row[f"train_by_stage/{stage:.0f}"], "the loss is logged under its stage"
    return logs, part.codec.state_dict()


def test_a_run_goes_on_in_its_stage_with_the_same_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    whole, weights = fit(tmp_path / "whole", 10)
    assert [stage for stage, _ in whole.values()] == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    first, _ = fit(tmp_path / "part", 10, stop=7)
    rest, again = fit(tmp_path / "rest", 10, resume=tmp_path / "part" / "stopped.ckpt")
    assert {**first, **rest} == whole
    assert list(rest) == [7, 8, 9]
    assert all(torch.equal(weights[name], value) for name, value in again.items())
    longer, _ = fit(tmp_path / "longer", 20, resume=tmp_path / "part" / "stopped.ckpt")
    assert {step: stage for step, (stage, _) in longer.items() if step < 10} == {7: 2, 8: 3, 9: 3}
    assert {stage for step, (stage, _) in longer.items() if step >= 10} == {3}, (
        "a longer run stays at its end"
    )
    loader = DataLoader(list(tones(4)), batch_size=4)  # type: ignore[arg-type]
    part = module(noise=ECT)
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    found = lightning.Trainer(**quiet).validate(part, loader, verbose=False)  # type: ignore[arg-type]
    assert found[0]["val/loss"] > 0
