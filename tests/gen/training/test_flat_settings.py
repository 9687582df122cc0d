"""Recipes and checkpoints of the time when the settings of AudioGenModule were all its own arguments.

tests/fixtures/flat_settings holds a recipe of that time and the checkpoint that it left after three steps.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from soundloom import cli
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.training.flat_settings import AUDIOGEN
from soundloom.gen.training.module import AudioGenModule
from soundloom.gen.training.objective import Objective

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
VAL_LOSS = 3.278956651687622  # as it was measured when the checkpoint was made


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what that recipe names, and its run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # written by Lightning; taken back afterwards
    shutil.copytree(FIXTURES / "audiogen_tiny" / "t5", tmp_path / "t5")
    shutil.copy(FIXTURES / "flat_settings" / "recipe.yaml", tmp_path)
    kept = tmp_path / "runs" / "audiogen_foley" / "checkpoints"
    kept.mkdir(parents=True)
    shutil.copy(FIXTURES / "flat_settings" / "last.ckpt", kept)
    rng = np.random.default_rng(0)
    for name in ("train", "validation"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        np.save(folder / "codes.npy", rng.integers(0, 16, (6, 2, 20)).astype(np.int16))
        lines = [json.dumps({"caption": f"sound {n}", "captions": [f"sound {n}"]}) for n in range(6)]
        (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    torch.manual_seed(0)
    codec = SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).eval()
    codec.save_pretrained(tmp_path / "codec")
    return tmp_path


def test_an_old_run_is_validated_exported_and_goes_on(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = workplace / "runs" / "audiogen_foley" / "checkpoints" / "last.ckpt"
    before = torch.load(checkpoint, weights_only=True)
    assert cli.main(["validate", "--config", "recipe.yaml", "--ckpt_path", str(checkpoint)]) == 0
    loss = re.search(r"val/loss\s*│\s*([\d.]+)", capsys.readouterr().out)
    assert loss is not None
    assert float(loss[1]) == pytest.approx(VAL_LOSS, rel=1e-5)

    assert cli.main(["export", str(checkpoint), "model", "-q"]) == 0
    model = AudioGen.from_pretrained(workplace / "model")
    assert model.max_seconds == 2.0
    assert torch.equal(model.lm.heads.weight, before["state_dict"]["lm.heads.weight"])

    words = ["--trainer.max_steps", "5", "--model.learning_rate", "1e-3", "--ckpt_path", "last"]
    assert cli.main(["fit", "--config", "recipe.yaml", *words]) == 0
    after = torch.load(checkpoint, weights_only=True)
    assert after["global_step"] == 5
    [state], [scheduler] = after["optimizer_states"], after["lr_schedulers"]
    assert state["state"][0]["step"] == 5, "the optimiser goes on, too"
    assert (state["param_groups"][0]["initial_lr"], scheduler["last_epoch"]) == (1e-3, 5)
    assert not torch.equal(after["state_dict"]["lm.heads.weight"], before["state_dict"]["lm.heads.weight"])
    assert after["hyper_parameters"]["lm"]["dim"] == 8, "what it writes now has today's names"
    assert "dim" not in after["hyper_parameters"]


def test_an_old_checkpoint_is_loaded_from_python(workplace: Path) -> None:
    path = workplace / "runs" / "audiogen_foley" / "checkpoints" / "last.ckpt"
    module = AudioGenModule.load_from_checkpoint(path)
    assert module.lm.settings == AudioLMConfig(
        num_codebooks=2, codebook_size=16, dim=8, num_layers=1, num_heads=2, text_dim=48
    )
    assert module.objective == Objective(caption_dropout=0.1, codebook_weights=[1.0, 0.25])
    assert module.scheduler == LearningRateSchedule("cosine", warmup_steps=2)
    assert module.export_settings.codec == "codec"


def test_every_old_name_has_a_place_and_new_ones_stay() -> None:
    old = {name: name for name in AUDIOGEN.paths} | {"export_settings": {"top_k": 3}, "codec": "mine"}
    found = AUDIOGEN.nested(old)
    assert found["lm"]["dim"] == "dim"
    assert found["optimizer"]["class_path"] == "torch.optim.AdamW"
    assert found["optimizer"]["init_args"]["lr"] == "learning_rate"
    assert found["export"] == {"codec": "export_codec", "top_k": 3}
    assert found["codec"] == "mine"
    assert AUDIOGEN.nested(found) == found
    assert AUDIOGEN.nested({"weight_decay": 0.3})["optimizer"]["init_args"] == {
        "lr": 5e-4, "betas": [0.9, 0.95], "weight_decay": 0.3,
    }  # fmt: skip
    assert AUDIOGEN.nested({"export_settings": None, "export_codec": "mine"}) == {"export": {"codec": "mine"}}
    layered = {"objective": {"codebook_weights": [1.0]}, "codebook_weights": None}
    assert AUDIOGEN.nested(layered) == {"objective": {}}, "null is the default"
    assert AUDIOGEN.present_name("export_settings.top_k") == "export.top_k"
    assert AUDIOGEN.present_name("lm.dim") == "lm.dim"
