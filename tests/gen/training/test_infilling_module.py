"""AudioGenModule with gaps: when they are drawn, what is logged, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from soundloom.gen.training.module import AudioGenModule
from soundloom.gen.training.objective import Objective
from tests.gen.training.test_module import LM, batch, loader, make, trainer

GAPS = replace(LM, infill_frames=10)


def test_gaps_are_drawn_for_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    module, plain = make(lm=GAPS, objective=Objective(infill_share=1.0)), make(lm=GAPS)
    plain.load_state_dict(module.state_dict())
    data = batch()
    logged: dict[str, Any] = {}
    monkeypatch.setattr(AudioGenModule, "log_dict", lambda self, values, **_: logged.update(values))
    monkeypatch.setattr(AudioGenModule, "log", lambda self, name, value, **_: logged.update({name: value}))
    module.eval(), plain.eval()
    assert torch.equal(module.validation_step(data, 0), plain.validation_step(data, 0))
    assert logged["val/infill_loss"] > 0
    ordinary = plain.cross_entropies(data, data["prompts"])
    assert torch.equal(module.cross_entropies(data, data["prompts"]), ordinary)
    assert torch.equal(plain.cross_entropies(data, data["prompts"], gaps=True), ordinary)
    assert not torch.equal(module.cross_entropies(data, data["prompts"], gaps=True), ordinary)


def test_a_run_trains_the_vectors_of_gaps_and_its_checkpoint_loads(tmp_path: Path) -> None:
    module = make(lm=GAPS, objective=Objective(infill_share=0.5))
    assert module.lm.infill is not None
    before = module.lm.infill.weight.detach().clone()
    lightning.seed_everything(0)
    run = trainer(tmp_path, val_check_interval=1)
    run.fit(module, loader(), loader(1))
    assert "val/infill_loss" in run.callback_metrics
    assert not torch.equal(module.lm.infill.weight, before)
    run.save_checkpoint(tmp_path / "last.ckpt")
    again = AudioGenModule.from_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    assert again.objective.infill_share == 0.5
    assert again.lm.infill is not None
    assert torch.equal(again.lm.infill.weight, module.lm.infill.weight)


def test_gaps_want_a_model_with_weights_for_them() -> None:
    with pytest.raises(ValueError, match="no weights for gaps; set lm.infill_frames"):
        make(objective=Objective(infill_share=0.5))
    with pytest.raises(ValueError, match="infill_share is 1.5; allowed are 0 to 1"):
        Objective(infill_share=1.5)


def test_of_more_codebooks_than_the_model_has_the_first_count() -> None:
    module, data = make().eval(), batch()
    more = {**data, "codes": torch.cat([data["codes"], torch.zeros_like(data["codes"])], dim=1)}
    with torch.no_grad():
        expected = module.cross_entropies(data, data["prompts"])
        assert torch.equal(module.cross_entropies(more, data["prompts"]), expected)
