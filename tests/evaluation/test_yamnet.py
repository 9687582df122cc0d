"""YAMNet as embedder and tagger: its spectrogram, its scores, and where its weights are looked for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from soundloom.evaluation.frechet import FrechetAudioDistance
from soundloom.evaluation.yamnet import ENVIRONMENT, SHORTEST, YAMNet, log_mel_patches, tag_names
from tests.tiny_yamnet import TinySession

RATE = 16000
# The weights with the script that is the reference, where a workplace has them.
PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "models" / "yamnet_float.onnx"


def sounds(count: int, samples: int, seed: int = 0) -> Tensor:
    """Noise of different colour, `[count, samples]`."""
    noise = torch.randn(count, samples, generator=torch.Generator().manual_seed(seed))
    return torch.stack([torch.cumsum(row, 0) * 0.01 if i % 2 else 0.1 * row for i, row in enumerate(noise)])


@pytest.fixture
def yamnet() -> YAMNet:
    return YAMNet(TinySession())


def test_patches_are_log_mel_of_half_overlapping_windows() -> None:
    seconds = np.arange(2 * RATE) / RATE
    patches = log_mel_patches(np.sin(2 * np.pi * 1000 * seconds).astype(np.float32))
    assert patches.shape == (3, 1, 96, 64)
    assert patches.dtype == np.float32
    np.testing.assert_array_equal(patches[0, 0, 48:], patches[1, 0, :48])
    # 1000 Hz is 1000 mel; the bands are centred at 185 + 39.8 (band + 1) mel, from 0, so it is in the 20th
    assert patches.mean((0, 1, 2)).argmax() == 19
    # A sine of amplitude 1 has a peak of 100 through a Hann window of 400, and its bins' weights add up.
    assert 4.4 < patches[0, 0, 10, 19] < 5.4
    np.testing.assert_allclose(log_mel_patches(np.zeros(RATE)), np.log(0.001), rtol=1e-6)


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (SHORTEST, 1), (22959, 1), (23280, 2), (80000, 9)])
def test_the_number_of_patches(samples: int, count: int) -> None:
    assert len(log_mel_patches(np.zeros(samples, np.float32))) == count


def test_the_largest_score_of_all_patches_counts_and_silence_never(yamnet: YAMNet) -> None:
    audio = sounds(2, 3 * RATE)
    scores, features = yamnet.hear(audio)
    assert scores.shape == (2, 521)
    assert features.shape == (2, 5, 1024)
    assert bool((scores >= 0).all())
    assert bool((scores <= 1).all())
    silence = yamnet.tag_names.index("Silence")
    assert bool((scores[:, silence] == 0).all())
    parts = [yamnet.tags(audio[:, start : start + SHORTEST]) for start in range(0, 5 * 7680, 7680)]
    torch.testing.assert_close(scores, torch.stack(parts).amax(0))
    torch.testing.assert_close(yamnet.embed(audio), features.flatten(0, 1))
    torch.testing.assert_close(yamnet.tags(audio[1:]), scores[1:])


def test_outputs_are_told_apart_by_their_size() -> None:
    audio = sounds(1, RATE)
    swapped = YAMNet(TinySession(outputs=(1024, 521)))
    torch.testing.assert_close(swapped.hear(audio), YAMNet(TinySession()).hear(audio))
    with pytest.raises(ValueError, match=r"gives \[\('out0', \[1, 521\]\)\]; a YAMNet is needed"):
        YAMNet(TinySession(outputs=(521,)))


def test_every_patch_is_a_point_of_a_distance(yamnet: YAMNet) -> None:
    distance = FrechetAudioDistance(yamnet)
    distance.update(sounds(3, 6 * RATE)[:, None], RATE, real=False)
    distance.update(sounds(2, RATE)[:, None], RATE, real=True)
    report = distance.report()
    assert (report["sounds"], report["pieces"], report["window_seconds"]) == (3, 3 * 11, None)
    assert (report["reference_sounds"], report["reference_pieces"], report["features"]) == (2, 2, 1024)


def test_the_tags_are_those_of_audioset() -> None:
    names = tag_names()
    assert len(names) == len(set(names)) == 521
    assert (names[0], names[67], names[494], names[520]) == ("Speech", "Animal", "Silence", "Field recording")


def test_where_weights_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with pytest.raises(ValueError, match=f"none ships: give the file as yamnet:FILE.onnx.*{ENVIRONMENT}"):
        YAMNet.from_pretrained()
    with pytest.raises(FileNotFoundError, match=r"no file gone/yamnet\.onnx; give the file"):
        YAMNet.from_pretrained("gone/yamnet.onnx")
    with pytest.raises(ValueError, match="no YAMNet is found as 'gone'; give the file"):
        YAMNet.from_pretrained("gone")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    with pytest.raises(ValueError, match=r"exactly one \.onnx file, it holds none"):
        YAMNet.from_pretrained()
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"it holds a\.onnx, b\.onnx"):
        YAMNet.from_pretrained()


def test_weights_are_read_with_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, int, list[str]]] = []

    class Options:
        intra_op_num_threads = 0

    class InferenceSession(TinySession):
        def __init__(self, path: str, options: Options, providers: list[str]) -> None:
            opened.append((path, options.intra_op_num_threads, providers))
            if Path(path).read_bytes() != b"weights":
                raise RuntimeError("Protobuf parsing failed")
            super().__init__()

    runtime: Any = type("onnxruntime", (), {"SessionOptions": Options, "InferenceSession": InferenceSession})
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", runtime)
    file = tmp_path / "yamnet.onnx"
    file.write_bytes(b"weights")
    assert YAMNet.from_pretrained(tmp_path, threads=2).tags(sounds(1, 100)).shape == (1, 521)
    assert opened == [(str(file), 2, ["CPUExecutionProvider"])]
    file.write_bytes(b"damaged")
    with pytest.raises(
        ValueError, match=r"yamnet\.onnx cannot be read .*Protobuf parsing failed.*; give the"
    ):
        YAMNet.from_pretrained(file)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install soundloom\[yamnet\]"):
        YAMNet.from_pretrained(file)


def reference_and_ours() -> tuple[Any, YAMNet]:
    """The published script with its weights and ours, or where they are not here both with a stand-in."""
    if not PUBLISHED.is_file():
        return None, YAMNet(TinySession())
    spec = importlib.util.spec_from_file_location("published_yamnet", PUBLISHED.with_name("yamnet.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, YAMNet.from_pretrained(PUBLISHED)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of the script
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_figures_are_those_of_the_published_script() -> None:
    module, ours = reference_and_ours()
    audio = torch.cat([sounds(4, 3 * RATE), sounds(4, 3 * RATE, seed=1).abs()])
    scores, features = ours.hear(audio)
    session = ours.session if module is None else module.YAMNet().session
    for row, (score, points) in enumerate(zip(scores, features, strict=True)):
        patches = (log_mel_patches if module is None else module.patches)(audio[row].numpy())
        runs = [session.run(None, {session.get_inputs()[0].name: patch[None]}) for patch in patches]
        expected = 1 / (1 + np.exp(-np.concatenate([run[0] for run in runs]).max(0)))
        expected[494] = 0
        np.testing.assert_allclose(score.numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(points.numpy(), np.concatenate([run[1] for run in runs]), atol=1e-5)
    if module is not None:
        whole_scores, whole_features = module.YAMNet()(audio[0].numpy())
        np.testing.assert_allclose(scores[0].numpy(), whole_scores, atol=1e-6)
        np.testing.assert_allclose(features[0].numpy(), whole_features, atol=1e-5)
