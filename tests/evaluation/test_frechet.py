"""Metrics of generated sound: closed forms, streaming = at once, what is refused, what a report says."""

from __future__ import annotations

import json
import logging
import math

import pytest
import scipy.linalg
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from soundloom.core.audio import AudioError
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.classifier_scores import ClassifierScores
from soundloom.evaluation.embedders import LogMelStatistics, NamedClassifier
from soundloom.evaluation.evaluation import Evaluation, named_class, report_lines
from soundloom.evaluation.frechet import FrechetAudioDistance, frechet_distance
from soundloom.evaluation.kl_divergence import KLDivergence
from soundloom.evaluation.prompt_accuracy import PromptAccuracy

RATE = 16000


class Means:
    """An embedder whose features are the means of F equal parts of a sound: what goes in comes out."""

    name, sample_rate = "means", RATE

    def __init__(self, features: int) -> None:
        self.num_features = features

    def embed(self, audio: Tensor) -> Tensor:
        return audio.reshape(len(audio), self.num_features, -1).mean(2)


class Loudest:
    """A classifier of three classes that reads its logits off the first three samples."""

    name, sample_rate, class_names = "loudest", RATE, ["a", "b", "c"]

    def logits(self, audio: Tensor) -> Tensor:
        return audio[:, :3]


def points(features: Tensor) -> Tensor:
    """Features `[B, F]` -> sounds `[B, 1, 10 F]` that `Means` embeds as them."""
    return features.repeat_interleave(10, dim=1)[:, None]


def gaussian(count: int, features: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(features, features, generator=generator)
    shift = torch.randn(features, generator=generator)
    return torch.randn(count, features, generator=generator) @ mixing + shift


@pytest.fixture(scope="module")
def classifier() -> NamedClassifier:
    torch.manual_seed(0)
    return NamedClassifier(
        SoundClassifier(class_names=["hum", "noise", "whine"], widths=(4, 4, 4, 4)).eval(), "tiny"
    )


def sounds(count: int, seed: int, length: int = 8000) -> Tensor:
    return 0.1 * torch.randn(count, 1, length, generator=torch.Generator().manual_seed(seed))


def test_gaussians_in_one_dimension() -> None:
    """|m1 - m2|^2 + (s1 - s2)^2 for normal distributions on a line."""
    one, two = (torch.tensor([m]).double() for m in (1.0, 4.0))
    distance = frechet_distance(one, torch.tensor([[4.0]]).double(), two, torch.tensor([[0.25]]).double())
    assert float(distance) == pytest.approx(9 + 1.5**2)


def test_gaussians_that_share_their_axes() -> None:
    """Covariances that commute: |m1 - m2|^2 + |S1^(1/2) - S2^(1/2)|^2 (Frobenius)."""
    generator = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    first, second = (torch.rand(6, generator=generator, dtype=torch.float64) * 3 for _ in range(2))
    shift = torch.randn(6, generator=generator, dtype=torch.float64)
    distance = frechet_distance(shift * 0, axes * first @ axes.T, shift, axes * second @ axes.T)
    expected = shift.square().sum() + (first.sqrt() - second.sqrt()).square().sum()
    assert float(distance) == pytest.approx(float(expected), rel=1e-9)


def test_the_trace_of_the_root_is_that_of_the_matrix_root() -> None:
    a, b = (torch.cov(gaussian(50, 5, seed).T.double()) for seed in (1, 2))
    zero = torch.zeros(5).double()
    root = scipy.linalg.sqrtm((a @ b).numpy()).real
    expected = float(a.trace() + b.trace()) - 2 * root.trace()
    assert float(frechet_distance(zero, a, zero, b)) == pytest.approx(expected, rel=1e-8)
    assert float(frechet_distance(zero, b, zero, a)) == pytest.approx(expected, rel=1e-8)


def test_fad_is_the_closed_form_of_the_samples_gaussians() -> None:
    generated, real = gaussian(300, 4, 1), gaussian(200, 4, 2)
    metric = FrechetAudioDistance(Means(4))
    for batch in generated.split(37):
        metric.update(points(batch), RATE, real=False)
    for batch in real.split(11):
        metric.update(points(batch), RATE, real=True)
    expected = frechet_distance(
        *(f(x.double()) for x in (generated, real) for f in (lambda x: x.mean(0), lambda x: torch.cov(x.T)))
    )
    assert float(metric.compute()) == pytest.approx(float(expected), rel=1e-5)
    assert metric.compute().dtype == torch.float64


@pytest.mark.parametrize("count", [6, 300])  # also fewer sounds than features
def test_the_distance_is_that_of_torchmetrics(count: int) -> None:
    class Same(torch.nn.Module):
        num_features = 8

        def forward(self, features: Tensor) -> Tensor:
            return features

    ours, theirs = FrechetAudioDistance(Means(8)), FrechetInceptionDistance(Same())
    for real in (False, True):
        sounds = points(gaussian(count, 8, int(real)) + real)
        ours.update(sounds, RATE, real=real)
        theirs.update(Means(8).embed(sounds[:, 0]).double(), real=real)
    assert float(ours.compute()) == pytest.approx(float(theirs.compute()), rel=1e-5)


def test_streaming_keeps_its_precision_far_from_zero() -> None:
    small = gaussian(500, 3, 3) * 0.01 + 100.0
    metric = FrechetAudioDistance(Means(3))
    for batch in small.split(50):
        metric.update(points(batch), RATE, real=False)
        metric.update(points(batch), RATE, real=True)
    _, covariance = metric._gaussian(0)
    expected = torch.cov(Means(3).embed(points(small)[:, 0]).double().T)
    torch.testing.assert_close(covariance, expected, rtol=1e-5, atol=1e-9)
    assert float(metric.compute()) == pytest.approx(0.0, abs=1e-8)


def test_fad_without_full_rank_is_finite_and_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    metric = FrechetAudioDistance(Means(8))
    metric.update(points(gaussian(3, 8, 1)), RATE, real=False)
    metric.update(points(gaussian(100, 8, 1)), RATE, real=True)
    with caplog.at_level(logging.WARNING):
        assert 0 < float(metric.compute()) < math.inf
    assert "only 3 pieces" in caplog.text
    assert "8 features" in caplog.text
    assert "only 3 pieces" in metric.report()["warning"]
    metric.update(points(gaussian(97, 8, 3)), RATE, real=False)
    caplog.clear()
    metric._computed = None
    metric.compute()
    assert caplog.text == ""
    assert metric.report()["warning"] is None


@pytest.mark.parametrize(
    ("generated", "real", "side"), [(0, 5, "generated"), (1, 5, "generated"), (5, 1, "real")]
)
def test_fad_needs_two_sounds_on_each_side(generated: int, real: int, side: str) -> None:
    metric = FrechetAudioDistance(Means(2))
    for count, is_real in ((generated, False), (real, True)):
        if count:
            metric.update(points(gaussian(count, 2, 0)), RATE, real=is_real)
    with pytest.raises(ValueError, match=f"at least 2 {side} sounds"):
        metric.compute()


def test_long_sounds_are_cut_into_windows(classifier: NamedClassifier) -> None:
    metric = FrechetAudioDistance(classifier, window_seconds=1.0)
    metric.update(sounds(2, 0, 3 * RATE + RATE // 2), RATE, real=False)  # a rest of half a window counts
    metric.update(sounds(2, 1, 3 * RATE + 100), RATE, real=True)  # a shorter one does not
    metric.update(sounds(1, 2, 50), RATE, real=True)  # unless it is all there is
    report = metric.report()
    assert (report["sounds"], report["pieces"]) == (2, 8)
    assert (report["reference_sounds"], report["reference_pieces"]) == (3, 7)
    whole = FrechetAudioDistance(classifier, window_seconds=None)
    whole.update(sounds(2, 0, 3 * RATE), RATE, real=False)
    assert int(whole.counts[0]) == 2
    with pytest.raises(ValueError, match="window_seconds"):
        FrechetAudioDistance(classifier, window_seconds=0)


def test_the_report_says_all_that_is_needed_to_compare(classifier: NamedClassifier) -> None:
    metric = FrechetAudioDistance(classifier)
    metric.update(sounds(5, 0), RATE, real=False)
    metric.update(sounds(4, 1), RATE, real=True)
    report = json.loads(json.dumps(metric.report()))
    assert report["value"] == pytest.approx(float(metric.compute()))
    expected = {"embedder": "tiny", "features": 8, "sample_rate": 16000, "sounds": 5, "reference_sounds": 4}
    assert expected.items() <= report.items()


@pytest.mark.parametrize("make", [lambda: LogMelStatistics(n_mels=8), lambda: None])
def test_embedders_tell_sets_apart(make, classifier: NamedClassifier) -> None:
    """Two halves of one kind of sound are nearer to each other than to another kind."""
    embedder = make() or classifier
    t = torch.arange(8000) / RATE
    tones = 0.1 * torch.sin(2 * torch.pi * torch.linspace(200, 400, 40)[:, None] * t)[:, None]

    def distance(a: Tensor, b: Tensor) -> float:
        metric = FrechetAudioDistance(embedder)
        metric.update(a, RATE, real=False)
        metric.update(b, RATE, real=True)
        return float(metric.compute())

    near, far = distance(tones[::2], tones[1::2]), distance(tones[::2], sounds(20, 0))
    assert far > 5 * near
    assert embedder.embed(tones[:, 0]).shape == (40, embedder.num_features)


def test_rates_and_channels_are_brought_to_the_embedder(classifier: NamedClassifier) -> None:
    t = torch.arange(24000) / 48000
    tone = 0.1 * torch.sin(2 * torch.pi * 440 * t)
    metric = FrechetAudioDistance(classifier)
    metric.update(torch.stack([tone, tone])[None], 48000, real=False)
    metric.update(tone[None, None, ::3], 16000, real=True)
    torch.testing.assert_close(metric.sums[0], metric.sums[1], rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (torch.zeros(10), "[B, C, N]"),
        (torch.zeros(1, 10), "[B, C, N]"),
        (torch.zeros(1, 1, 0), "at least 1 sample"),
        (torch.full((1, 1, 10), math.nan), "NaN"),
    ],
)
def test_bad_audio_is_refused_everywhere(audio: Tensor, words: str, classifier: NamedClassifier) -> None:
    for update in (
        lambda: FrechetAudioDistance(classifier).update(audio, RATE, real=True),
        lambda: KLDivergence(classifier).update(audio, RATE, audio),
        lambda: PromptAccuracy(classifier).update(audio, RATE, ["hum"]),
    ):
        with pytest.raises(AudioError) as error:
            update()
        assert words in str(error.value)


def test_an_embedder_that_gives_nonsense_is_named() -> None:
    class Broken(Means):
        name = "broken"

        def embed(self, audio: Tensor) -> Tensor:
            return super().embed(audio) * math.nan

    with pytest.raises(ValueError, match=r"broken gave features of shape \[3, 2\], 6 of them not finite"):
        FrechetAudioDistance(Broken(2)).update(points(gaussian(3, 2, 0)), RATE, real=True)


def test_kl_by_hand() -> None:
    p, q = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.1, 0.6, 0.3]])
    metric = KLDivergence(Loudest())
    metric.update(q.log()[None], RATE, p.log()[None])
    expected = float((p * (p / q).log()).sum())
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)
    assert metric.report()["same_class"] == 0.0
    metric.update(p.log()[None], RATE, p.log()[None])
    assert float(metric.compute()) == pytest.approx(expected / 2, rel=1e-6)
    expected_report = {"classifier": "loudest", "sample_rate": RATE, "pairs": 2, "same_class": 0.5}
    assert expected_report.items() <= metric.report().items()


def test_kl_of_equal_sounds_is_zero_and_pairs_are_needed(classifier: NamedClassifier) -> None:
    metric = KLDivergence(classifier)
    metric.update(sounds(3, 0), RATE, sounds(3, 0), RATE)
    assert float(metric.compute()) == pytest.approx(0.0, abs=1e-12)
    metric.update(sounds(1, 1, 4000), RATE, sounds(1, 0, 16000), 32000)  # other lengths and rates are fine
    assert float(metric.compute()) >= 0
    with pytest.raises(ValueError, match="2 sounds and 3 references"):
        metric.update(sounds(2, 0), RATE, sounds(3, 0))


def test_prompt_accuracy_counts_right_answers_per_class() -> None:
    metric = PromptAccuracy(Loudest())
    heard = torch.eye(3)[[0, 1, 1, 1]]  # a, b, b, b
    metric.update(heard[:, None], RATE, ["a", "a", "b", "b"])
    assert float(metric.compute()) == 0.75
    report = metric.report()
    assert report["accuracy"] == 0.75
    assert report["clips"] == 4
    assert report["chance"] == pytest.approx(1 / 3)
    assert report["classes"] == {
        "a": {"accuracy": 0.5, "clips": 2, "mistaken for": "b"},
        "b": {"accuracy": 1.0, "clips": 2, "mistaken for": None},
    }
    with pytest.raises(ValueError, match=r"no class 'd'; its classes are a, b, c"):
        metric.update(heard[:1, None], RATE, ["d"])
    with pytest.raises(ValueError, match="4 sounds and 1 classes"):
        metric.update(heard[:, None], RATE, ["a"])


def test_the_judge_that_ships_is_the_default() -> None:
    for metric in (KLDivergence(), PromptAccuracy()):
        assert metric.classifier.name == "foley-classifier"
    distance = FrechetAudioDistance()
    assert distance.embedder.name == "foley-classifier"
    distance.update(sounds(2, 0), RATE, real=False)
    assert int(distance.counts[0]) == 2


def test_a_judge_from_a_folder_is_called_by_its_folder(classifier: NamedClassifier, tmp_path) -> None:
    classifier.classifier.save_pretrained(tmp_path / "my-classifier")
    assert NamedClassifier.from_pretrained(tmp_path / "my-classifier").name == "my-classifier"


def test_metrics_of_several_processes_add_up(classifier: NamedClassifier) -> None:
    """What torchmetrics does across processes: every state is summed."""
    whole, parts = KLDivergence(classifier), [KLDivergence(classifier) for _ in range(2)]
    for part, seed in zip(parts, (1, 2), strict=True):
        part.update(sounds(2, seed), RATE, sounds(2, 9))
        whole.update(sounds(2, seed), RATE, sounds(2, 9))
    for metric in (*parts, FrechetAudioDistance(classifier), PromptAccuracy(classifier)):
        assert {reduction.__name__ for reduction in metric._reductions.values()} == {"dim_zero_sum"}
    total = sum(part.total for part in parts) / sum(part.pairs for part in parts)
    assert float(whole.compute()) == pytest.approx(float(total))


def test_judge_scores_of_a_codec(classifier: NamedClassifier) -> None:
    scores = ClassifierScores(classifier)
    first = sounds(1, 0)[0]
    scores.update(first, first, RATE)
    assert math.isnan(scores.report()["fad"])
    assert scores.report()["same_class"] == 1.0
    for seed in (1, 2):
        sound = sounds(1, seed)[0]
        scores.update(sound, sound, RATE)
    assert scores.report()["fad"] == pytest.approx(0.0, abs=1e-9)
    assert "tiny" in scores.notes()[0]
    assert "3 sounds" in scores.notes()[0]
    assert "only 3 pieces" in scores.notes()[1]


NAMES = ["dog", "door_knock", "doorbell", "bell_chimes", "church_bell", "noise", "rain", "sea_waves"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog barks", "dog"),
        ("two DOGS, barking", "dog"),
        ("the church bell rings", "church_bell"),
        ("Church-bells at noon", "church_bell"),
        ("a door knock", "door_knock"),
        ("the noise of rain", "rain"),
        ("white noise", "noise"),
        ("a dog in the rain", None),
        ("a hotdog stand", None),
        ("a bell", None),
        ("", None),
    ],
)
def test_a_caption_names_one_class_or_none(caption: str, expected: str | None) -> None:
    assert named_class(caption, NAMES) == expected


def test_an_evaluation_gives_what_can_be_measured_and_says_what_cannot(classifier: NamedClassifier) -> None:
    evaluation = Evaluation(classifier)
    evaluation.add(sounds(1, 0)[0], RATE)
    report = evaluation.report()
    assert report["fad"] is report["kl"] is report["prompt_accuracy"] is None
    assert [note.split(":")[0] for note in report["notes"]] == ["no FAD", "no KL", "no prompt accuracy"]

    evaluation.add(sounds(1, 1)[0], RATE, label="hum")
    for seed in (2, 3, 4):
        evaluation.add_reference(sounds(1, seed)[0], RATE)
    evaluation.add_pair(sounds(1, 0)[0], RATE, sounds(1, 2)[0])
    report = evaluation.report()
    assert report["fad"]["sounds"] == 2
    assert report["fad"]["reference_sounds"] == 3
    assert report["kl"]["pairs"] == 1
    assert report["prompt_accuracy"]["clips"] == 1
    assert len(report["notes"]) == 1
    assert "only 2 pieces" in report["notes"][0]
    printed = "\n".join(report_lines(report))
    for part in (
        "FAD",
        f"{report['fad']['value']:.3f}",
        "tiny",
        "16000 Hz",
        "2 sounds",
        "KL",
        "1 pairs",
        "hum",
    ):
        assert part in printed
