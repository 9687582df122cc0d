"""Folders, models and codecs through the evaluation: who is compared with whom, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.base import Codec
from soundloom.core.audio import AudioError, write_audio
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.embedders import LogMelStatistics, NamedClassifier
from soundloom.evaluation.evaluate_sounds import (
    Example,
    bench_sounds,
    evaluate_codec,
    evaluate_model,
    evaluate_sounds,
    folder_examples,
    spread,
)
from soundloom.gen.pipeline import AudioGen, GeneratedAudio

RATE = 16000


@pytest.fixture(scope="module")
def classifier() -> NamedClassifier:
    torch.manual_seed(0)
    return NamedClassifier(
        SoundClassifier(class_names=["hum", "noise", "dog"], widths=(4, 4, 4, 4)).eval(), "tiny"
    )


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE) -> Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * rate)) / rate)[None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four sounds; three have captions, of which two name a class of the classifier."""
    (tmp_path / "sub").mkdir()
    for index, name in enumerate(("a.wav", "b.flac", "sub/c.wav", "sub/d.ogg")):
        write_audio(tmp_path / name, tone(200 + 100 * index), RATE)
    (tmp_path / "metadata.csv").write_text(
        "file_name,text\na.wav,a low hum\nb.flac,a dog barks\nsub/c.wav,something else\n"
    )
    return tmp_path


class Exact(Codec):
    """Stereo at 8 kHz; loses nothing."""

    sample_rate, channels, frame_rate, num_codebooks, codebook_size = 8000, 2, 50.0, 1, 4  # type: ignore

    def encode(self, audio: Tensor) -> Tensor:
        return audio

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        return codes[..., :length]


def test_examples_of_a_folder(folder: Path) -> None:
    examples = folder_examples(folder, class_names=["hum", "dog"])
    assert [example.name for example in examples] == ["a", "b", "sub/c", "sub/d"]
    assert [example.caption for example in examples] == ["a low hum", "a dog barks", "something else", ""]
    assert [example.label for example in examples] == ["hum", "dog", None, None]
    samples, rate = examples[0].read()
    assert samples.shape == (1, 8000)
    assert rate == RATE
    short, _ = folder_examples(folder, seconds=0.1)[1].read()
    torch.testing.assert_close(short, folder_examples(folder)[1].read()[0][:, :1600])
    assert len(folder_examples(folder, captions=True)) == 3
    assert [example.name for example in folder_examples(folder, limit=2)] == ["a", "sub/c"]


def test_a_limit_spreads_over_everything() -> None:
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert spread([1, 2], 5) == spread([1, 2], None) == [1, 2]
    with pytest.raises(ValueError, match="limit is 0"):
        spread([1], 0)


def test_folders_without_what_is_needed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        folder_examples(tmp_path / "gone")
    with pytest.raises(ValueError, match="no sound file"):
        folder_examples(tmp_path)
    write_audio(tmp_path / "x.wav", tone(200), RATE)
    with pytest.raises(ValueError, match="none of the sounds in .* has a caption: write a metadata.csv"):
        folder_examples(tmp_path, captions=True)
    (tmp_path / "text.wav").write_text("no sound")
    (bad, _) = folder_examples(tmp_path, seconds=1.0)
    with pytest.raises(AudioError, match="text.wav"):
        bad.read()


def test_sounds_meet_the_reference_of_their_name(
    folder: Path, classifier: NamedClassifier, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    write_audio(made / "a.ogg", tone(200), RATE)
    write_audio(made / "other.wav", tone(900), RATE)
    steps: list[tuple[int, int]] = []
    references = [e for e in folder_examples(folder) if not e.name.startswith("made")]
    report = evaluate_sounds(
        folder_examples(made), references, classifier, progress=lambda *step: steps.append(step)
    )
    assert (report["sounds"], report["references"]) == (2, 4)
    assert report["fad"]["sounds"] == 2
    assert report["fad"]["reference_sounds"] == 4
    assert report["kl"]["pairs"] == 1
    assert report["prompt_accuracy"] is None
    assert "no caption" in report["notes"][-1]
    assert steps == [(i, 6) for i in range(1, 7)]


def test_a_set_compared_with_itself_is_at_distance_zero(folder: Path, classifier: NamedClassifier) -> None:
    examples = folder_examples(folder, class_names=classifier.class_names)
    report = evaluate_sounds(examples, examples, classifier, embedder=LogMelStatistics())
    assert report["fad"]["value"] == pytest.approx(0.0, abs=1e-8)
    assert report["fad"]["embedder"] == "log-mel"
    assert report["kl"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert report["kl"]["same_class"] == 1.0
    assert report["prompt_accuracy"]["clips"] == 2


def test_a_model_is_asked_for_every_caption_with_its_own_seed(
    classifier: NamedClassifier, tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [
        Example(f"{i}", lambda i=i: (tone(200 + i), RATE), caption, label)
        for i, (caption, label) in enumerate([("a hum", "hum"), ("a dog", "dog"), ("rain", None)])
    ]
    settings: dict[str, Any] = {"duration": 0.2, "seed": 5}
    whole = evaluate_model(tiny_model, examples, classifier, **settings)
    assert (whole["sounds"], whole["duration"], whole["seed"]) == (3, 0.2, 5)
    assert whole["kl"]["pairs"] == 3
    assert whole["prompt_accuracy"]["clips"] == 2
    assert whole["fad"]["sounds"] == whole["fad"]["reference_sounds"] == 3
    asked: list[tuple[list[str], list[int]]] = []
    generate = tiny_model.generate

    def listen(prompts: list[str], **given: Any) -> GeneratedAudio:
        asked.append((prompts, given["seed"]))
        return generate(prompts, **given)

    with monkeypatch.context() as patch:
        patch.setattr(tiny_model, "generate", listen)
        parts = evaluate_model(tiny_model, examples, classifier, batch_size=2, **settings)
    assert asked == [(["a hum", "a dog"], [5, 6]), (["rain"], [7])]
    assert parts["fad"]["value"] == pytest.approx(whole["fad"]["value"], rel=1e-3)
    audio = tiny_model.generate("a dog", duration=0.2, seed=6)
    again = Example("", lambda: (audio.samples[0], audio.sample_rate), "a dog", None)
    alone = evaluate_model(tiny_model, [again], classifier, duration=0.2, seed=6)
    assert alone["kl"]["value"] == pytest.approx(0.0, abs=1e-9)


def test_a_codec_that_loses_nothing_scores_as_the_originals(classifier: NamedClassifier) -> None:
    examples = [
        Example(f"{i}", lambda i=i: (tone(200 + 90 * i).repeat(1 + i, 1), RATE), "", ["hum", "dog", None][i])
        for i in range(3)
    ]
    report = evaluate_codec(Exact(), examples, classifier)
    assert report["reconstruction"]["mel_distance"] == report["reconstruction"]["log_spectral_distance"] == 0
    assert report["reconstruction"]["si_sdr"] > 80
    assert report["kl"]["same_class"] == 1.0
    assert report["fad"]["value"] == pytest.approx(0.0, abs=1e-8)
    assert report["prompt_accuracy"]["accuracy"] == report["accuracy_of_originals"]["accuracy"]
    assert (report["sample_rate"], report["bitrate"], report["sounds"]) == (8000, 100.0, 3)


def test_a_codec_that_loses_half_is_told_apart(classifier: NamedClassifier) -> None:
    class Half(Exact):
        def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
            return 0.5 * codes[..., :length]

    examples = [Example(f"{i}", lambda i=i: (tone(300 + 50 * i), RATE)) for i in range(3)]
    report = evaluate_codec(Half(), examples, classifier)
    assert 1 < report["reconstruction"]["mel_distance"] < 6.1
    assert report["fad"]["value"] > 0
    assert report["prompt_accuracy"] is None


def test_sounds_for_the_bench_are_resampled_and_mixed() -> None:
    stereo = torch.cat([tone(300, rate=48000), torch.zeros(1, 24000)])
    (sound,) = bench_sounds([Example("x", lambda: (stereo, 48000))], RATE, 1)
    assert sound.name == "x"
    assert sound.samples.shape == (1, 8000)
    torch.testing.assert_close(sound.samples[:, 500:-500], tone(300)[:, 500:-500] / 2, atol=1e-3, rtol=0)
