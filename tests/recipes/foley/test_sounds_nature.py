"""Nature, animals and people: the contract of every sound class, and the physics that makes it known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import signal

import soundloom.recipes.foley  # noqa: F401  (registers the classes)
from soundloom.recipes.foley.sound_classes import CLASSES

RATE = 16000
MODULES = ("weather", "water", "animals", "wildlife", "body", "steps")
NAMES = sorted(
    name for name, sound in CLASSES.items() if sound.render.__module__.rpartition("sounds_")[2] in MODULES
)
COUNTABLE = [name for name in NAMES if CLASSES[name].countable]
TEXTURES = [name for name in NAMES if CLASSES[name].kind == "texture" and name not in ("snoring", "bubbles")]
SEEDS = range(4)


def render(
    name: str, seed: int = 0, rate: int = RATE, seconds: float = 5.0, **attributes: object
) -> np.ndarray:
    return CLASSES[name].render(np.random.default_rng(seed), rate, seconds, **attributes)


def median_of(measure, name: str, **attributes: object) -> float:
    return float(np.median([measure(render(name, seed, **attributes)) for seed in SEEDS]))


def envelope(x: np.ndarray, step: float = 0.01) -> np.ndarray:
    """Rms in frames of `step` seconds."""
    m = int(step * RATE)
    return np.sqrt(np.mean(x[: len(x) // m * m].reshape(-1, m) ** 2, axis=1))


def onsets(x: np.ndarray, merge: float = 0.1, below_db: float = 18.0) -> np.ndarray:
    """Start times of stretches within `below_db` of the peak; silences up to `merge` s are bridged."""
    loud = envelope(x)
    active = np.flatnonzero(loud > loud.max() * 10 ** (-below_db / 20))
    return active[np.diff(active, prepend=-(10**6)) > merge / 0.01] * 0.01


def spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return signal.welch(x, RATE, nperseg=4096)


def centroid(x: np.ndarray) -> float:
    f, p = spectrum(x)
    return float((f * p).sum() / p.sum())


def share(x: np.ndarray, low: float, high: float) -> float:
    """Part of the energy between two frequencies."""
    f, p = spectrum(x)
    return float(p[(f >= low) & (f <= high)].sum() / p.sum())


def peak_frequency(x: np.ndarray) -> float:
    f, p = spectrum(x)
    return float(f[np.argmax(p)])


def loudest(x: np.ndarray, seconds: float = 0.1) -> np.ndarray:
    m = int(seconds * RATE)
    energy = np.cumsum(np.pad(x.astype(np.float64) ** 2, (1, 0)))
    begin = int(np.argmax(energy[m:] - energy[:-m]))
    return x[begin : begin + m]


def pitch(x: np.ndarray, low: float, high: float) -> float:
    """Fundamental of the loudest tenth of a second by autocorrelation: the first peak near the highest."""
    y = loudest(x) * np.hanning(int(0.1 * RATE))
    r = np.fft.irfft(np.abs(np.fft.rfft(y, 2 * len(y))) ** 2)[: len(y)]
    r = r / (r[0] * (1 - np.arange(len(r)) / len(r)) ** 1.5 + 1e-9)
    lags = np.arange(int(RATE / high), int(RATE / low))
    peaks = lags[(r[lags] > r[lags - 1]) & (r[lags] >= r[lags + 1])]
    good = peaks[r[peaks] > 0.85 * r[peaks].max()]
    return RATE / float(good[0])


def modulation_peak(x: np.ndarray, low: float, high: float) -> float:
    """Strongest frequency of the loudness between `low` and `high` Hz."""
    loud = np.abs(signal.hilbert(x))
    f, p = signal.welch(loud - loud.mean(), RATE, nperseg=min(len(x), RATE))
    band = (f >= low) & (f <= high)
    return float(f[band][np.argmax(p[band])])


def kurtosis(x: np.ndarray) -> float:
    x = x - x.mean()
    return float(np.mean(x**4) / np.mean(x**2) ** 2)


# ------------------------------------------------------------------------------ the contract


def test_all_classes_are_here() -> None:
    voices = {"birds", "crickets", "dog", "cat", "frog", "owl", "rooster", "cow", "sheep", "bee"}
    weather = {"rain", "wind", "thunder", "fire", "sea_waves", "stream", "bubbles", "water_drops"}
    people = {
        "footsteps_wood",
        "footsteps_gravel",
        "footsteps_snow",
        "heartbeat",
        "applause",
        "whistle",
        "snoring",
    }
    assert set(NAMES) == voices | weather | people


@pytest.mark.parametrize("name", NAMES)
def test_words(name: str) -> None:
    sound = CLASSES[name]
    assert len(set(sound.subjects)) >= 4
    assert len(set(sound.verbs)) >= 4
    assert len(set(sound.nouns)) >= 6
    assert all(words for values in sound.attributes.values() for words in values.values())
    assert (sound.unit is not None) == sound.countable


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rate", "seconds"), [(8000, 0.5), (16000, 5.0), (22050, 1.37), (48000, 2.2), (8000, 30.0)]
)
def test_length_and_level(name: str, rate: int, seconds: float) -> None:
    x = render(name, 3, rate, seconds)
    assert x.dtype == np.float32
    assert x.shape == (round(rate * seconds),)
    assert np.isfinite(x).all()
    assert 0.3 <= np.abs(x).max() <= 0.95
    assert abs(x.mean()) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_deterministic_and_varied(name: str) -> None:
    assert np.array_equal(render(name, 5), render(name, 5))
    assert abs(np.corrcoef(render(name, 5), render(name, 6))[0, 1]) < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_every_attribute_is_heard_and_checked(name: str) -> None:
    plain = render(name, 1, seconds=2.0)
    for attribute, values in CLASSES[name].attributes.items():
        versions = [plain, *(render(name, 1, seconds=2.0, **{attribute: value}) for value in values)]
        for i, a in enumerate(versions):
            assert not any(np.array_equal(a, b) for b in versions[i + 1 :])
        with pytest.raises(ValueError, match="purple"):
            render(name, 1, seconds=2.0, **{attribute: "purple"})


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_fill_the_time(name: str) -> None:
    for seed in SEEDS:
        parts = envelope(render(name, seed), 1.0)
        assert parts.min() > 0.03 * parts.max()


@pytest.mark.parametrize("name", COUNTABLE)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_count(name: str, count: int) -> None:
    slow = {"speed": "slow"} if "speed" in CLASSES[name].attributes else {}
    merge = 0.27 if name == "heartbeat" else 0.1  # a beat is two thumps
    for seed in SEEDS:
        assert len(onsets(render(name, seed, count=count, **slow), merge)) == count


@pytest.mark.parametrize("name", COUNTABLE)
@pytest.mark.parametrize("count", [0, -1])
def test_impossible_count(name: str, count: int) -> None:
    with pytest.raises(ValueError, match=str(count)):
        render(name, count=count)


@pytest.mark.parametrize("name", NAMES)
def test_faster_than_twenty_times_real_time(name: str) -> None:
    spent = []
    for seed in range(3):
        begin = time.process_time()
        render(name, seed)
        spent.append(time.process_time() - begin)
    assert min(spent) < 5.0 / 20


# ------------------------------------------------------------------------------ weather and water


def test_rain_has_no_pitch_and_no_bass() -> None:
    for seed in SEEDS:
        x = render("rain", seed, strength="heavy")
        f, p = spectrum(x)
        smooth = signal.medfilt(p, 65)
        band = (f > 500) & (f < 7000)
        assert (p[band] / smooth[band]).max() < 4  # nothing sticks out of the noise
        assert share(x, 0, 200) < 0.05
        assert centroid(x) > 1200


def test_light_rain_is_sparser_than_heavy_rain() -> None:
    assert median_of(kurtosis, "rain", strength="light") > 2 * median_of(kurtosis, "rain", strength="heavy")


def test_wind_is_low_and_slow() -> None:
    assert median_of(centroid, "wind") < 800
    assert median_of(kurtosis, "wind", strength="light") < 6  # no clicks
    # gusts: strong wind changes more from second to second
    changes = [
        median_of(lambda x: np.ptp(np.log(envelope(x, 0.5))), "wind", strength=s) for s in ("light", "strong")
    ]
    assert changes[1] > changes[0]


def test_thunder_rumbles_and_dies_away() -> None:
    for seed in SEEDS:
        x = render("thunder", seed)
        assert share(x, 0, 400) > 0.6
        loud = envelope(x, 0.25)
        assert loud[-2:].max() < 0.4 * loud.max()
        assert np.argmax(loud) < len(loud) * 0.7


def test_sudden_thunder_starts_faster() -> None:
    def rise(x: np.ndarray) -> float:
        loud = envelope(x, 0.02)
        return float(np.argmax(loud > 0.5 * loud.max()) - np.argmax(loud > 0.02 * loud.max()))

    assert median_of(rise, "thunder", onset="slow") > 2 * median_of(rise, "thunder", onset="sudden") + 1


def test_fire_crackles_over_a_rumble() -> None:
    for seed in SEEDS:
        x = render("fire", seed)
        high = signal.sosfilt(signal.butter(4, 1500, "highpass", fs=RATE, output="sos"), x)
        assert kurtosis(high) > 6
    assert median_of(lambda x: share(x, 0, 600), "fire") > 0.25


def test_sea_waves_swell() -> None:
    for seed in SEEDS:
        loud = envelope(render("sea_waves", seed, seconds=20), 0.25)
        assert loud.max() > 2.5 * np.percentile(loud, 10)
        crests = signal.find_peaks(np.convolve(loud, np.ones(5) / 5, "same"), prominence=0.25 * loud.max())[0]
        assert 1 <= len(crests) <= 6  # one every 3 to 9 seconds


def test_stream_is_made_of_bubbles_between_300_and_4000_hz() -> None:
    for seed in SEEDS:
        assert share(render("stream", seed), 300, 4000) > 0.75
    # fewer bubbles, less rushing: a small one sounds higher than a wide one
    assert median_of(peak_frequency, "stream", size="small") > 350


def test_bubbles_rise_in_pitch() -> None:
    rising = falling = 0
    for seed in SEEDS:
        x = render("bubbles", seed, speed="slow")
        f, _, z = signal.stft(x, RATE, nperseg=512, noverlap=384)
        power = np.abs(z) ** 2
        ridge, strong = f[power.argmax(0)], power.max(0) > 0.02 * power.max()
        step = np.diff(ridge)[strong[1:] & strong[:-1]]
        rising, falling = rising + int((step > 0).sum()), falling + int((step < 0).sum())
    assert rising > 2 * falling


def test_size_of_bubbles_sets_their_pitch() -> None:
    assert median_of(centroid, "bubbles", size="small") > 1.5 * median_of(centroid, "bubbles", size="large")


def test_a_water_drop_is_a_short_tone() -> None:
    low, high = (median_of(peak_frequency, "water_drops", pitch=p, count=1) for p in ("low", "high"))
    assert 500 < low < 1300
    assert 1500 < high < 3300
    x = render("water_drops", 2, count=1)
    loud = envelope(x)
    assert loud[int(np.argmax(loud)) + 25] < 0.1 * loud.max()


# ------------------------------------------------------------------------------ animals


@pytest.mark.parametrize(
    ("name", "value", "low", "high"),
    [
        ("dog", "low", 110, 300),
        ("dog", "high", 350, 1300),
        ("cat", "low", 260, 480),
        ("cat", "high", 560, 1080),
        ("cow", "low", 65, 135),
        ("cow", "high", 150, 290),
        ("sheep", "low", 125, 240),
        ("sheep", "high", 310, 580),
        ("rooster", "low", 300, 760),
        ("rooster", "high", 520, 1150),
        ("owl", "low", 235, 390),
        ("owl", "high", 410, 680),
    ],
)
def test_pitch_of_voices(name: str, value: str, low: float, high: float) -> None:
    measured = median_of(lambda x: pitch(x, 0.7 * low, 1.4 * high), name, pitch=value)
    assert low < measured < high


@pytest.mark.parametrize(
    ("name", "shortest", "longest"),
    [("dog", 0.08, 0.35), ("cat", 0.35, 1.4), ("cow", 0.8, 2.5), ("sheep", 0.4, 1.5), ("frog", 0.15, 0.7)],
)
def test_length_of_calls(name: str, shortest: float, longest: float) -> None:
    lasting = median_of(lambda x: float((envelope(x) > 0.05 * envelope(x).max()).sum() * 0.01), name, count=1)
    assert shortest < lasting < longest


def test_sheep_tremble_and_cows_do_not() -> None:
    for seed in SEEDS:
        assert 5 <= modulation_peak(loudest(render("sheep", seed, count=1), 0.6), 4, 30) <= 11

    def tremor(x: np.ndarray) -> float:
        loud = envelope(loudest(x, 0.5))
        return float(np.std(loud - signal.savgol_filter(loud, 31, 2)) / loud.mean())

    assert median_of(tremor, "sheep", count=1) > 1.5 * median_of(tremor, "cow", count=1)


def test_rooster_ends_on_a_long_note() -> None:
    for seed in SEEDS:
        x = render("rooster", seed, seconds=2.5)
        loud = envelope(x)
        where = np.flatnonzero(loud > 0.1 * loud.max())
        begin, end = where[0] / 100, where[-1] / 100
        middle = int(0.5 * (begin + end) * RATE)
        assert end - begin > 0.7
        assert np.sum(x[middle:] ** 2) > 0.5 * np.sum(x**2)


def test_birds_whistle_high_with_fast_sweeps() -> None:
    for seed in SEEDS:
        assert share(render("birds", seed), 1200, 8000) > 0.97
    assert median_of(peak_frequency, "birds", pitch="high") > 1.4 * median_of(
        peak_frequency, "birds", pitch="low"
    )


def test_crickets_pulse_on_one_tone() -> None:
    for seed in SEEDS:
        x = render("crickets", seed)
        top = peak_frequency(x)
        assert 2800 < top < 6500
        assert share(x, 0.88 * top, 1.12 * top) > 0.85
        assert 26 <= modulation_peak(x, 20, 80) <= 48
    slow, fast = (
        median_of(lambda x: len(onsets(x, 0.06, 12)), "crickets", speed=s) for s in ("slow", "fast")
    )
    assert fast > 1.4 * slow


def test_frog_rattles() -> None:
    for seed in SEEDS:
        assert 28 <= modulation_peak(loudest(render("frog", seed, count=1), 0.2), 25, 150) <= 130
    assert median_of(peak_frequency, "frog", pitch="high") > 1.8 * median_of(
        peak_frequency, "frog", pitch="low"
    )


def test_owl_is_nearly_a_pure_tone() -> None:
    for seed in SEEDS:
        x = render("owl", seed)
        top = peak_frequency(x)
        assert 230 < top < 680
        assert share(x, 0.85 * top, 1.15 * top) > 0.8


def test_bee_hums_a_note_that_depends_on_its_size() -> None:
    large = median_of(lambda x: pitch(x, 80, 600), "bee", size="large")
    small = median_of(lambda x: pitch(x, 80, 600), "bee", size="small")
    assert 95 < large < 200
    assert 250 < small < 500


# ------------------------------------------------------------------------------ people

STEPS = ("footsteps_wood", "footsteps_gravel", "footsteps_snow")


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_regular_and_obey_their_speed(name: str) -> None:
    for speed, shortest, longest in (("slow", 0.65, 1.02), ("fast", 0.28, 0.46)):
        for seed in SEEDS:
            loud = envelope(render(name, seed, speed=speed))
            loud = np.convolve(loud - loud.mean(), np.hanning(9), "same")
            r = np.correlate(loud, loud, "full")[len(loud) - 1 :] / np.sum(loud**2)
            peaks = signal.find_peaks(r[20:130])[0] + 20  # 0.2 to 1.3 s
            best = peaks[r[peaks] > 0.75 * r[peaks].max()][0]  # left and right foot differ a little
            assert shortest < best / 100 < longest
            assert r[best] > 0.4


def test_the_ground_colours_the_steps() -> None:
    wood, gravel, snow = (median_of(centroid, name) for name in STEPS)
    assert wood < 0.8 * snow
    assert snow < 0.6 * gravel


def test_heart_beats_in_pairs_of_low_thumps() -> None:
    for seed in SEEDS:
        x = render("heartbeat", seed, speed="slow", count=3)
        assert share(x, 0, 250) > 0.95
        thumps = onsets(x, 0.06, 14)
        assert len(thumps) == 6
        assert np.all(np.diff(thumps)[::2] < 0.65 * np.diff(thumps)[1::2].min())  # lub-dub, pause


def test_applause_is_claps_of_one_to_three_khz() -> None:
    for seed in SEEDS:
        x = render("applause", seed)
        assert 900 < centroid(x) < 3200
        assert share(x, 0, 300) < 0.1
    assert median_of(kurtosis, "applause", size="small") > 1.5 * median_of(kurtosis, "applause", size="large")


def test_whistle_is_one_narrow_line() -> None:
    for seed in SEEDS:
        f, _, z = signal.stft(render("whistle", seed), RATE, nperseg=1024)
        power = np.abs(z) ** 2
        loud = power.sum(0) > 0.1 * power.sum(0).max()
        top = f[power.argmax(0)]
        near = np.abs(f[:, None] - top[None]) < 150
        assert np.median((power * near).sum(0)[loud] / power.sum(0)[loud]) > 0.9
        assert 450 < np.median(top[loud]) < 5000
    assert median_of(peak_frequency, "whistle", pitch="high") > 1.5 * median_of(
        peak_frequency, "whistle", pitch="low"
    )


def test_snoring_flaps_and_pauses() -> None:
    slow, fast = (
        median_of(lambda x: modulation_peak(loudest(x, 0.7), 15, 120), "snoring", pitch=p)
        for p in ("low", "high")
    )
    assert 16 < slow < 42
    assert fast > 1.3 * slow
    for seed in SEEDS:
        loud = envelope(render("snoring", seed, seconds=15), 0.1)
        assert np.mean(loud < 0.2 * loud.max()) > 0.25
