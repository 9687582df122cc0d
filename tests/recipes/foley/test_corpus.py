"""Clips are deterministic, keep their ground truth, and are as loud and as ordered as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from soundloom.recipes.foley import CLASSES, Clip, FoleyCorpus
from soundloom.recipes.foley.scene import active_level, place_sound, record_clip, set_level, sum_parts
from soundloom.recipes.foley.sound_classes import SoundClass

Toys = dict[str, SoundClass]


def db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(x)) + 1e-12))


def test_same_index_same_clip_in_any_order(toys: Toys) -> None:
    first, second = FoleyCorpus(seed=3, registry=toys), FoleyCorpus(seed=3, registry=toys)
    forward = [first[i] for i in range(8)]
    backward = [second[i] for i in reversed(range(8))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert np.array_equal(a.audio, b.audio)
        assert replace(a, audio=b.audio) == b


def test_seed_split_and_index_all_matter(toys: Toys) -> None:
    clips = [
        FoleyCorpus(seed=0, registry=toys)[0],
        FoleyCorpus(seed=1, registry=toys)[0],
        FoleyCorpus(seed=0, split="validation", registry=toys)[0],
        FoleyCorpus(seed=0, split="test", registry=toys)[0],
        FoleyCorpus(seed=0, registry=toys)[1],
    ]
    assert len({clip.audio.tobytes() for clip in clips}) == len(clips)


def test_clip_fields(toys: Toys) -> None:
    corpus = FoleyCorpus(sample_rate=8000, seconds=2.5, seed=4, split="test", registry=toys)
    assert corpus.class_names == ["dog", "door_knock", "noise", "power_hum"]
    for i in range(40):
        clip = corpus[i]
        assert clip.audio.shape == (20000,)
        assert clip.audio.dtype == np.float32
        assert (clip.sample_rate, clip.seed, clip.split) == (8000, 4, "test")
        wanted = 1 if clip.composition == "single" else 2
        assert len(clip.classes) == len(clip.counts) == len(clip.attributes) == wanted
        assert len(set(clip.classes)) == wanted
        assert clip.caption == corpus.caption(i) == corpus.caption_variants(i, 3)[0]
        assert corpus.caption_variants(i, 3)[2] == corpus.caption(i, 2)


def test_default_composition_shares(toys: Toys) -> None:
    corpus = FoleyCorpus(registry=toys)
    plans = [corpus.plan(i) for i in range(2000)]
    share = {name: sum(p.composition == name for p in plans) / 2000 for name in corpus.compositions}
    assert share == pytest.approx({"single": 0.7, "then": 0.15, "while": 0.1, "background": 0.05}, abs=0.03)
    for plan in plans:
        if plan.composition == "background":
            assert plan.parts[1].sound.kind == "texture"
        for part in plan.parts:
            assert part.count is None or (part.sound.countable and 1 <= part.count <= 5)


def test_then_keeps_its_order() -> None:
    """First class in the first half, second in the second: tones of different pitch tell them apart."""

    def tone(hertz: float) -> SoundClass:
        def render(rng: np.random.Generator, sample_rate: int, seconds: float) -> np.ndarray:
            t = np.arange(round(seconds * sample_rate)) / sample_rate
            return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)

        return SoundClass(
            name=f"tone_{hertz:.0f}",
            kind="texture",
            subjects=("a tone", "a whine", "a hum"),
            verbs=("sounds", "is sounding"),
            nouns=(f"tone of {hertz:.0f}", f"a {hertz:.0f} hertz tone"),
            attributes={},
            countable=False,
            unit=None,
            render=render,
        )

    registry = {sound.name: sound for sound in (tone(300), tone(1500))}
    corpus = FoleyCorpus(compositions={"then": 1.0}, registry=registry)
    for i in range(10):
        clip = corpus[i]
        for half, name in zip((clip.audio[:30000], clip.audio[50000:]), clip.classes, strict=True):
            peak = np.fft.rfftfreq(30000, 1 / 16000)[np.abs(np.fft.rfft(half)).argmax()]
            assert name == f"tone_{round(peak, -2):.0f}"


def test_events_begin_early(toys: Toys) -> None:
    corpus = FoleyCorpus(compositions={"single": 1.0}, classes=["door_knock"], registry=toys)
    for i in range(20):
        audio = np.abs(corpus[i].audio)
        assert np.argmax(audio > 0.05 * audio.max()) <= 0.31 * 16000


def test_levels(toys: Toys) -> None:
    corpus = FoleyCorpus(seed=1, compositions={"single": 1.0}, classes=["noise"], registry=toys)
    levels: dict[tuple[str | None, str | None], list[float]] = {}
    for i in range(250):
        clip = corpus[i]
        assert np.abs(clip.audio).max() <= 0.971
        key = (clip.attributes[0].get("loudness"), clip.attributes[0].get("distance"))
        levels.setdefault(key, []).append(db(clip.audio))
    mean = {key: np.mean(values) for key, values in levels.items()}
    assert mean[None, None] == pytest.approx(-20.0, abs=1.0)
    assert -19.0 < mean["loud", None] < -14.0  # -15, but for brown noise, whose peaks would go beyond 1
    assert mean["quiet", None] == pytest.approx(-28.5, abs=1.0)
    assert mean[None, "distant"] < mean[None, None] - 4
    assert mean[None, "nearby"] > mean[None, None] + 1
    assert min(map(min, levels.values())) > -40
    assert max(map(max, levels.values())) < -12


def test_distant_is_dull_and_reverberant() -> None:
    rng = np.random.default_rng(0)
    click = np.zeros(16000, dtype=np.float32)
    click[:200] = rng.standard_normal(200)
    near = place_sound(np.random.default_rng(1), click.copy(), 16000, {"distance": "nearby"}, cut=False)
    far = place_sound(np.random.default_rng(1), click.copy(), 16000, {"distance": "distant"}, cut=False)
    assert db(near[1000:]) < db(far[1000:]) - 6  # hardly any room
    assert db(far[1000:6000]) > db(far) - 20  # a tail

    def treble(x: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(x)) ** 2
        return float(power[4000:].sum() / power.sum())

    assert treble(far) < 0.3 * treble(near)


def test_pauses_do_not_count_for_the_level() -> None:
    sound = np.zeros(80000, dtype=np.float32)
    sound[:8000] = 0.1 * np.sign(np.sin(np.arange(8000)))
    assert active_level(sound, 16000) == pytest.approx(-20.0, abs=0.2)
    assert set_level(np.random.default_rng(0), sound, 16000, {}).max() <= 0.8


def test_sum_does_not_clip() -> None:
    one = np.full(100, 0.9, dtype=np.float32)
    clip = sum_parts([(0, one), (50, one)], 150)
    assert clip.max() == pytest.approx(0.97)
    assert clip[0] == pytest.approx(0.97 / 2)


def test_a_defective_sound_is_named(toys: Toys) -> None:
    def silent(rng: np.random.Generator, sample_rate: int, seconds: float) -> np.ndarray:
        return np.zeros(round(sample_rate * seconds), dtype=np.float32)

    def wrong_length(rng: np.random.Generator, sample_rate: int, seconds: float) -> np.ndarray:
        return np.ones(100, dtype=np.float32)

    for render, message in ((silent, "silence"), (wrong_length, "expected")):
        broken = {"noise": replace(toys["noise"], render=render, attributes={})}
        with pytest.raises(ValueError, match=f"noise.*{message}"):
            FoleyCorpus(registry=broken)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 100}, "4000..192000"),
        ({"seconds": 0.0}, "0.5..600"),
        ({"seconds": float("nan")}, "0.5..600"),
        ({"seed": -1}, "0 or more"),
        ({"split": "dev"}, "train, validation, test"),
        ({"classes": ["dgo"]}, "nearest: dog"),
        ({"classes": []}, "at least one class"),
        ({"compositions": {"after": 1.0}}, "allowed: single"),
        ({"compositions": {"single": -1.0}}, "0 or more"),
        ({"compositions": {"single": 0.0}}, "weight above 0"),
        ({"compositions": {"then": 1.0}, "classes": ["dog"]}, "two classes"),
    ],
)
def test_bad_arguments(toys: Toys, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FoleyCorpus(registry=toys, **arguments)  # type: ignore[arg-type]


def test_negative_index(toys: Toys) -> None:
    with pytest.raises(IndexError, match="0 or more"):
        FoleyCorpus(registry=toys)[-1]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_real_class_renders(name: str) -> None:
    corpus = FoleyCorpus(seed=2, classes=[name])
    clip = corpus[0]
    assert isinstance(clip, Clip)
    assert clip.classes == (name,)
    assert -50 < db(clip.audio) < -10


def test_a_recording_keeps_the_level_and_adds_a_background() -> None:
    rng = np.random.default_rng(0)
    clip = np.zeros(80000, dtype=np.float32)
    clip[20000:40000] = 0.1 * rng.standard_normal(20000)
    for seed in range(10):
        made = record_clip(np.random.default_rng(seed), clip, 16000, field=True)
        assert made.shape == clip.shape
        assert made.dtype == np.float32
        assert np.abs(made).max() <= 0.971
        assert db(made) == pytest.approx(db(clip), abs=0.5)
        assert -68 < db(made[60000:]) < -41  # where the clip is silent
        quiet = record_clip(np.random.default_rng(seed), clip, 16000)
        assert db(quiet) == pytest.approx(db(clip), abs=0.5)
        assert db(quiet[60000:]) < -78
    again = record_clip(np.random.default_rng(9), clip, 16000, field=True)
    np.testing.assert_array_equal(made, again)
    assert not np.array_equal(made, record_clip(np.random.default_rng(10), clip, 16000, field=True))


def test_a_room_adds_a_tail_and_less_of_it_to_a_nearby_sound() -> None:
    click = np.zeros(16000, dtype=np.float32)
    click[:100] = np.random.default_rng(0).standard_normal(100)

    def tail(seed: int, distance: dict[str, str]) -> float:
        made = place_sound(np.random.default_rng(seed), click.copy(), 16000, distance, cut=False, field=True)
        return max(db(made[1500:8000]) - db(made[:200]), -90.0)  # what the convolution leaves is less

    usual = [tail(seed, {}) for seed in range(40)]
    assert np.mean([level > -60 for level in usual]) > 0.4  # the others are outdoors
    for seed in range(40):
        assert tail(seed, {"distance": "nearby"}) <= usual[seed] + 1e-6
