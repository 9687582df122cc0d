"""What holds for every test of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audio import write_audio
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.gen.pipeline import AudioGen
from soundloom.recipes.foley import FoleyCorpus

RATE = 16000


@pytest.fixture(autouse=True)
def tiny_by_default(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make `--model foley` the tiny model; every other name is looked up as always."""
    real = AudioGen.from_pretrained

    def load(name: str = "foley", **settings: Any) -> AudioGen:
        return request.getfixturevalue("tiny_model") if name == "foley" else real(name, **settings)

    monkeypatch.setattr(AudioGen, "from_pretrained", load)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny classifier of all classes and a tiny codec, both of random weights."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    SoundClassifier(class_names=FoleyCorpus().class_names, widths=(4, 4, 4, 4)).save_pretrained(
        folder / "classifier"
    )
    SEANetCodec(n_filters=2, dimension=4, lstm=0, codebook_size=8, num_codebooks=2).save_pretrained(
        folder / "codec"
    )
    return folder


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    t = torch.arange(RATE // 2) / RATE
    for index, name in enumerate(("bell", "dog", "rain")):
        write_audio(folder / f"{name}.wav", 0.3 * torch.sin(2 * torch.pi * 200 * (index + 1) * t)[None], RATE)
    (folder / "metadata.csv").write_text(
        "file_name,text\nbell.wav,a church bell\ndog.wav,a dog barks\nrain.wav,heavy rain\n"
    )
    return folder
