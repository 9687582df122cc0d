"""AudioSeal's watermark, with a package of the same interface in its place: the real one is not installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from soundloom.core.audio import read_audio, write_audio
from soundloom.core.errors import ModelError
from soundloom.core.sound_tags import GENERATED
from soundloom.gen import watermark as module
from soundloom.gen.watermark import Watermark
from tests.cli.running import refused, run

CARD = "nbits: 16\ncheckpoint: https://example.org/never.pth\n"


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def get_watermark(self, sound: Tensor) -> Tensor:
        """A tone at 7 kHz."""
        assert sound.shape[:2] == (1, 1)
        assert torch.compiler.is_compiling() is False
        time = torch.arange(sound.shape[-1]) / 16000
        return (self.weight * torch.sin(2 * torch.pi * 7000 * time)).expand_as(sound)


class Detector(Generator):
    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Marked: where a tone at 7 kHz is."""
        time = torch.arange(sound.shape[-1]) / 16000
        strength = (sound * torch.sin(2 * torch.pi * 7000 * time)).mean() * 2
        marked = (strength > self.weight / 2).float().expand(1, sound.shape[-1])
        return torch.stack([1 - marked, marked], dim=1), torch.zeros(1, 16)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package, builder, loader = (ModuleType(f"audioseal{part}") for part in ("", ".builder", ".loader"))
    contents: dict[Any, dict[str, Any]] = {
        package: {"AudioSeal": SimpleNamespace(parse_config=lambda found, config_type, nbits: found)},
        builder: {
            "AudioSealWMConfig": dict,
            "AudioSealDetectorConfig": dict,
            "create_generator": lambda config: Generator(),
            "create_detector": lambda config: Detector(),
        },
        loader: {"load_state_dict": lambda network, state: network.load_state_dict(state, strict=False)},
    }
    for each, content in contents.items():
        vars(each).update(content)
        monkeypatch.setitem(sys.modules, each.__name__, each)
    cards = tmp_path / "package" / "cards"
    cards.mkdir(parents=True)
    for _, card in (module.GENERATOR, module.DETECTOR):
        (cards / card).write_text(CARD)
    monkeypatch.setattr(module, "files", lambda name: tmp_path / "package")
    weights = tmp_path / "weights"
    weights.mkdir()
    torch.save({"model": {"weight": torch.full((1,), 0.02)}}, weights / "generator_base.pth")
    torch.save({"best_state": {"model": {"weight": torch.full((1,), 0.02)}}}, weights / "detector_base.pth")
    return weights


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2)])
def test_put_and_found(folder: Path, rate: int, channels: int) -> None:
    watermark = Watermark(folder)
    sound = 0.3 * torch.sin(torch.arange(rate) / 40).expand(2, channels, -1)
    marked = watermark.put(sound, rate)
    assert marked.shape == sound.shape
    assert 0.005 < float((marked - sound).abs().max()) < 0.03
    assert watermark.share(sound[0], rate) == 0.0
    assert watermark.share(marked[0], rate) == 1.0


def test_full_scale_is_kept(folder: Path) -> None:
    assert float(Watermark(folder).put(torch.ones(1, 1, 8000), 16000).abs().max()) <= 1.0


def test_what_is_not_here_and_what_is_no_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        Watermark(tmp_path / "gone")
    (folder / "detector_base.pth").unlink()
    with pytest.raises(ModelError, match=r"detector_base\.pth is missing"):
        Watermark(folder).share(torch.zeros(1, 100), 16000)
    torch.save({"other": torch.zeros(1)}, folder / "detector_base.pth")
    with pytest.raises(ModelError, match="does not hold all weights"):
        Watermark(folder).share(torch.zeros(1, 100), 16000)
    torch.save({"model": Path("code")}, folder / "detector_base.pth")
    with pytest.raises(ModelError, match="could run code"):
        Watermark(folder).share(torch.zeros(1, 100), 16000)
    monkeypatch.setitem(sys.modules, "audioseal", None)
    with pytest.raises(ModelError, match=r"pip install \"soundloom\[watermark\]\""):
        Watermark(folder)


def test_the_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "plain.wav", torch.zeros(1, 8000), 16000)
    marked = Watermark(folder).put(torch.zeros(1, 1, 8000), 16000)[0]
    write_audio(tmp_path / "marked.wav", marked, 16000, tags={"comment": GENERATED})
    names = [tmp_path / "plain.wav", tmp_path / "marked.wav"]
    assert run("detect", *names, "--watermark", folder) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "tags: say nothing, watermark: not found (in 0% of the samples)" in first
    assert "tags: generated by AI, watermark: found (in 100% of the samples)" in second
    assert run("detect", *names) == 0
    assert "watermark" not in capsys.readouterr().out
    assert "1 of 2 files" in refused(capsys, "detect", names[0], tmp_path / "gone.wav")
    assert read_audio(names[1])[0].shape == (1, 8000)
