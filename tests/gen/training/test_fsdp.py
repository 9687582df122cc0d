"""Two processes on a CPU (gloo) train as one does: DDP and FSDP2, started as a user starts them.

Each run is a command of its own, which takes its time; hence `slow`.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.gen.pipeline import AudioGen

pytestmark = pytest.mark.slow

T5 = Path(__file__).resolve().parents[2] / "fixtures" / "audiogen_tiny" / "t5"
STEPS = 6
RECIPE = f"""\
seed_everything: 3
model:
  class_path: soundloom.gen.training.module.AudioGenModule
  init_args:
    lm: {{num_codebooks: 2, codebook_size: 16, dim: 16, num_layers: 2, num_heads: 2}}
    text: {{encoder: {T5}}}
    objective: {{caption_dropout: 0.0}}
    optimizer:
      class_path: torch.optim.AdamW
      init_args: {{lr: 1.0e-2, betas: [0.9, 0.95], weight_decay: 0.1}}
    scheduler: {{warmup_steps: 3}}
    export_to: ${{trainer.default_root_dir}}/model
    export: {{codec: codec}}
data:
  class_path: soundloom.recipes.data.TokenDataModule
  init_args:
    train_dirs: [data]
    val_dirs: [data]
    frames: 12
    batch_size: 4
trainer:
  max_steps: {STEPS}
  accelerator: cpu
  devices: 1
  gradient_clip_val: 1.0
  limit_val_batches: 2
  check_val_every_n_epoch: null
  val_check_interval: 4
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 1
  default_root_dir: runs/one
  logger:
    class_path: lightning.pytorch.loggers.CSVLogger
    init_args: {{save_dir: "${{trainer.default_root_dir}}", name: null}}
  callbacks:
    - class_path: soundloom.gen.training.ema.ExponentialMovingAverage
      init_args: {{decay: 0.9, every_n_steps: 2}}
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args:
        dirpath: ${{trainer.default_root_dir}}/checkpoints
        filename: "{{step}}"
        every_n_train_steps: 3
        save_last: true
        save_top_k: -1
"""
STRATEGIES = ("ddp", "fsdp2")


class Workplace:
    """A folder with data and a recipe; remembers runs by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir()
        rng = np.random.default_rng(0)
        np.save(folder / "data" / "codes.npy", rng.integers(0, 16, (40, 2, 20)).astype(np.int16))
        # Items of different length: their codes must count alike, however they are dealt out.
        lines = [{"captions": [f"sound {n}"], "frames": int(rng.integers(4, 13))} for n in range(40)]
        (folder / "data" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "tiny.yaml").write_text(RECIPE)
        codec = SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0)
        codec.save_pretrained(folder / "codec")

    def fit(self, name: str, *words: str) -> None:
        command = ["fit", "--config", "tiny.yaml", f"--trainer.default_root_dir=runs/{name}", *words]
        program = self.folder / "fit.py"  # Lightning starts the other processes from a file
        program.write_text("import sys\nfrom soundloom.cli import main\nsys.exit(main())\n")
        done = subprocess.run(
            [sys.executable, str(program), *command],
            cwd=self.folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def losses(self, name: str, column: str = "train/loss") -> dict[int, float]:
        file = sorted((self.folder / "runs" / name).glob("version_*/metrics.csv"))[-1]
        with open(file, newline="") as lines:
            return {int(row["step"]): float(row[column]) for row in csv.DictReader(lines) if row.get(column)}

    def weights(self, name: str, key: str, file: str = "last.ckpt") -> dict[str, torch.Tensor]:
        path = self.folder / "runs" / name / "checkpoints" / file
        return torch.load(path, weights_only=True)[key]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("distributed"))
    place.fit("one")
    for strategy in STRATEGIES:
        place.fit(strategy, "--trainer.strategy", strategy, "--trainer.devices=2", "--data.batch_size=2")
    return place


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_train_as_one_of_the_same_global_batch(workplace: Workplace, strategy: str) -> None:
    one, two = workplace.losses("one"), workplace.losses(strategy)
    assert sorted(one) == sorted(two) == list(range(STEPS))
    assert two == pytest.approx(one, abs=2e-5)
    assert workplace.losses(strategy, "val/loss") == pytest.approx(
        workplace.losses("one", "val/loss"), abs=0.1
    )
    for key in ("state_dict", "current_model_state"):
        expected = workplace.weights("one", key)
        found = workplace.weights(strategy, key)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=2e-4)
    assert not torch.equal(
        workplace.weights(strategy, "state_dict")["lm.heads.weight"],
        workplace.weights(strategy, "current_model_state")["lm.heads.weight"],
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_their_model_is_exported_whole(workplace: Workplace, strategy: str) -> None:
    model = AudioGen.from_pretrained(workplace.folder / "runs" / strategy / "model")
    expected = workplace.weights(strategy, "state_dict")
    for name, value in model.lm.state_dict().items():
        torch.testing.assert_close(value, expected[f"lm.{name}"], rtol=0, atol=0)


def test_lora_in_bfloat16_with_checkpointing_is_sharded_too(workplace: Workplace) -> None:
    words = (
        "--model.text.encoder=null", "--model.init_from=runs/one/model", "--model.lora.rank=2",
        "--model.gradient_checkpointing=true", "--trainer.precision=bf16-mixed",
    )  # fmt: skip
    workplace.fit("lora-one", *words)
    workplace.fit(
        "lora-two", *words, "--trainer.strategy=fsdp2", "--trainer.devices=2", "--data.batch_size=2"
    )
    assert workplace.losses("lora-two") == pytest.approx(workplace.losses("lora-one"), abs=2e-2)
    assert all(".lora_" in name for name in workplace.weights("lora-two", "state_dict"))
    start, model = (
        AudioGen.from_pretrained(workplace.folder / "runs" / name / "model").lm
        for name in ("one", "lora-two")
    )
    assert model.state_dict().keys() == start.state_dict().keys()
    changed = (model.transformer.layers[0].linear1.weight - start.transformer.layers[0].linear1.weight).abs()
    assert changed.max() > 1e-4
    assert torch.equal(model.heads.weight, start.heads.weight)


def test_a_sharded_run_goes_on_from_its_checkpoint_and_from_one_of_a_single_process(
    workplace: Workplace,
) -> None:
    for source in ("fsdp2", "one"):
        name = f"on-from-{source}"
        middle = workplace.folder / "runs" / source / "checkpoints" / "step=3.ckpt"
        words = ("--trainer.strategy=fsdp2", "--trainer.devices=2", "--data.batch_size=2")
        workplace.fit(name, *words, f"--ckpt_path={middle}")
        found = workplace.losses(name)
        assert sorted(found) == list(range(3, STEPS))
        assert found == pytest.approx({step: workplace.losses("one")[step] for step in found}, abs=2e-5)
