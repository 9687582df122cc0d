"""The spectral front end: inverse, streams, phases of tones, the likelihood, and the codec around it."""

from __future__ import annotations

import math

import pytest
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.module import SEANetLosses, SEANetModule
from soundloom.codecs.seanet.short_time_spectrum import ShortTimeSpectrum, overlap_add
from soundloom.codecs.seanet.spectral import (
    FLOOR,
    GATE,
    LOUDEST,
    PIECE,
    PhaseTracker,
    SpectralTransform,
    SynthesisStream,
    rice_loss,
    split_description,
    within_full_scale,
)
from tests.codecs.seanet.tiny import TINY


def tone(frequency: float, samples: int = 16000, level: float = 0.3) -> torch.Tensor:
    """A sine of `frequency` Hz at 16 kHz, `[1, 1, samples]`."""
    return level * torch.sin(2 * math.pi * frequency / 16000 * torch.arange(samples)).view(1, 1, -1)


def describe(magnitude: torch.Tensor, ratio: float) -> torch.Tensor:
    """What a perfect decoder would say of magnitudes: all tone (ratio > 0) or all noise (ratio < 0)."""
    return torch.cat([magnitude.log(), torch.full_like(magnitude, ratio)], dim=1)


@pytest.mark.parametrize("hop", [8, 160])
def test_inverse_is_exact_where_all_frames_are_given(hop):
    spectrum = ShortTimeSpectrum(hop)
    # The last bin is left out: only sound without the highest frequencies comes back exactly.
    audio = torch.cos(0.9 * torch.arange(12 * hop) + torch.rand(2, 1, 1))
    frames = spectrum.windowed(spectrum(audio))
    weight = overlap_add(spectrum.window.square().expand(1, 12, -1), hop)
    restored = overlap_add(frames, hop) / weight.clamp_min(1e-8)
    inside = slice(spectrum.before + 2 * hop, spectrum.before + 10 * hop)
    torch.testing.assert_close(restored[:, inside], audio[:, 0, 2 * hop : 10 * hop], atol=5e-3, rtol=0)


@pytest.mark.parametrize("hop", [0, 1, 3, -2])
def test_an_odd_hop_is_refused(hop):
    with pytest.raises(ValueError, match=f"hop is {hop}; it must be an even number"):
        ShortTimeSpectrum(hop)


def test_white_noise_has_bins_of_mean_square_one():
    power = ShortTimeSpectrum(160)(torch.randn(1, 1, 160 * 400)).abs().square()
    assert float(power[:, 1:, 4:-4].mean()) == pytest.approx(1.0, rel=0.03)


def test_rice_loss_is_the_rice_density():
    scipy_stats = pytest.importorskip("scipy.stats")
    r, a, s = torch.tensor([0.2, 1.0, 3.0]), torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0.7, 0.1, 1.5])
    got = rice_loss(r, a.log(), s.log())
    density = scipy_stats.rice.pdf(r.numpy(), a.numpy() / s.numpy(), scale=s.numpy())
    # The constant left out: the density is of r, the loss of log r.
    wanted = -torch.log(torch.tensor(density)) - r.log()
    torch.testing.assert_close(got, wanted.float(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("tonal", "noisy"), [(1.0, 0.05), (0.02, 0.7)])
def test_the_likeliest_description_is_the_true_one(tonal, noisy):
    generator = torch.Generator().manual_seed(1)
    noise = noisy * torch.randn(2, 20000, generator=generator)
    magnitude = torch.complex(tonal + noise[0], noise[1]).abs().clamp_min(FLOOR)
    level, ratio = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([level, ratio], lr=0.05)
    for _ in range(300):
        log_tone, log_noise = split_description(torch.stack([level, ratio]).view(1, 2, 1))
        loss = rice_loss(magnitude, log_tone.flatten(), log_noise.flatten()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    log_tone, log_noise = split_description(torch.stack([level, ratio]).view(1, 2, 1))
    strong = log_tone if tonal > noisy else log_noise
    assert float(strong.exp()) == pytest.approx(max(tonal, noisy), rel=0.05)


@pytest.mark.parametrize("frequency", [110.0, 437.5, 1003.7, 5000.0])
def test_a_tone_stays_one_tone(frequency):
    transform = SpectralTransform(160, 16000)
    made = transform.audio(describe(transform.magnitude(tone(frequency)), 100.0))[0, 0]
    spectrum = torch.fft.rfft(made[4000:12000] * torch.hann_window(8000)).abs().square()
    peak = int(spectrum.argmax())
    assert abs(peak * 2 - frequency) <= 6  # 2 Hz a bin
    near = spectrum[max(0, peak - 5) : peak + 6].sum()
    assert float(near / spectrum.sum()) > 0.9  # one line, and not a band of noise
    assert float(made[4000:12000].std()) == pytest.approx(0.3 / math.sqrt(2), rel=0.1)


def test_noise_stays_noise_of_its_strength():
    transform = SpectralTransform(160, 16000)
    level = torch.full((1, 320, 300), 0.1)
    made = transform.audio(describe(level, -100.0))[0, 0]
    assert float(made.std()) == pytest.approx(0.1, rel=0.05)
    spectrum = torch.fft.rfft(made[:32000]).abs()
    assert float(spectrum.max() / spectrum.mean()) < 6


def test_silence_stays_silent():
    transform = SpectralTransform(160, 16000)
    magnitude = transform.magnitude(torch.zeros(1, 1, 3200))
    assert torch.equal(transform.audio(describe(magnitude, 0.0)), torch.zeros(1, 1, 18 * 160))


def test_phases_do_not_depend_on_how_frames_are_cut():
    levels = torch.randn(2, 16, 30, generator=torch.Generator().manual_seed(0)).cumsum(1)
    whole = PhaseTracker(8)(levels)
    tracker = PhaseTracker(8)
    parts = [tracker(part) for part in levels.split([1, 4, 17, 8], dim=2)]
    assert torch.equal(torch.cat(parts, dim=2), whole)
    flat = PhaseTracker(8)(torch.zeros(1, 16, 3))  # no bin is a peak
    assert torch.isfinite(flat).all()


def frame_power(log_tone: torch.Tensor, log_noise: torch.Tensor) -> torch.Tensor:
    """Mean square of every frame's bins, `[B, T]`."""
    return ((2 * log_tone).exp() + 2 * (2 * log_noise).exp()).mean(1)


@pytest.mark.parametrize("frequency", [110.0, 1003.7, 5000.0])
def test_a_sine_of_full_scale_is_the_loudest_frame_and_is_not_touched(frequency):
    magnitude = SpectralTransform(160, 16000).magnitude(tone(frequency, level=1.0))[..., 4:-4]
    power = magnitude.square().mean(1)
    torch.testing.assert_close(power, torch.full_like(power, LOUDEST), rtol=0.01, atol=0)
    levels = (0.99 * magnitude).log(), torch.full_like(magnitude, FLOOR).log()
    for given, kept in zip(levels, within_full_scale(*levels), strict=True):
        assert torch.equal(given, kept)


@pytest.mark.parametrize("over_db", [0.1, 6.0, 20.0, 40.0])
def test_louder_frames_are_turned_down_as_a_whole_and_others_are_not(over_db):
    generator = torch.Generator().manual_seed(0)
    log_tone, log_noise = torch.randn(2, 2, 320, 5, generator=generator).unbind()
    scale = 0.5 * (LOUDEST / frame_power(log_tone, log_noise)).log()
    scale[:, 1:] -= 1.0  # one frame at the bound, the others 8.7 dB below
    scale[:, 0] += over_db * math.log(10) / 20
    log_tone, log_noise = log_tone + scale[:, None], log_noise + scale[:, None]
    bound_tone, bound_noise = within_full_scale(log_tone, log_noise)
    torch.testing.assert_close(frame_power(bound_tone, bound_noise)[:, 0], torch.full((2,), LOUDEST))
    taken = log_tone - bound_tone
    torch.testing.assert_close(taken[..., 0], torch.full_like(taken[..., 0], over_db * math.log(10) / 20))
    torch.testing.assert_close(log_noise - bound_noise, taken)
    assert not taken[..., 1:].any()


def test_the_codec_is_bound_by_it():
    """However loud the description, tones come out at about full scale before any limiter."""
    transform = SpectralTransform(160, 16000)
    magnitude = transform.magnitude(tone(1003.7))
    made = transform.audio(describe(20 * magnitude, 100.0))[0, 0, 4000:12000]
    assert float(made.abs().max()) == pytest.approx(1.0, rel=0.15)


def test_rounding_does_not_move_the_phases_of_a_flat_peak():
    """The vertex through three values that are equal but for rounding lies anywhere within half a bin."""
    levels = torch.full((1, 16, 40), -2.0)
    levels[:, 8] += 1e-6
    nudged = levels.clone()
    nudged[:, 7] += 9e-7
    _, frequency = PhaseTracker._peaks(levels)
    _, moved = PhaseTracker._peaks(nudged)
    assert float((frequency[:, 8] - moved[:, 8]).abs().max()) < 1e-5
    turned = PhaseTracker(8)(levels)[:, 8] - PhaseTracker(8)(nudged)[:, 8]
    assert float(torch.sin(turned).abs().max()) < 1e-4


def test_bins_that_are_not_heard_have_no_phase_to_go_on_from():
    loud = tone(437.5, 160 * 20)
    silence = torch.full((1, 320, 30), math.log(0.9 * GATE))
    other = silence.clone()
    other[:, 100::7] += 1e-6  # other maxima of silence
    heard = SpectralTransform(160, 16000).magnitude(loud).log()
    for first in (silence, other):
        tracker = PhaseTracker(160)
        tracker(first)
        after = tracker(heard)
        assert torch.equal(after, PhaseTracker(160)(torch.cat([silence, heard], dim=2))[..., 30:])


@pytest.mark.parametrize("sizes", [[1] * 60, [7, 0, 50, 3], [60]])
def test_streamed_features_equal_those_of_the_whole(sizes):
    transform = SpectralTransform(8, 16000)
    audio = torch.randn(2, 1, 60)
    stream = transform.stream_analysis(16)
    parts = [stream.push(part) for part in audio.split(sizes, dim=2)]
    features = torch.cat([*parts, stream.flush()], dim=2)
    whole = transform.features(transform.magnitude(torch.nn.functional.pad(audio, (0, 4))))
    torch.testing.assert_close(features, whole)


@pytest.mark.parametrize("sizes", [[1] * 30, [2, 0, 20, 8], [30]])
def test_streamed_synthesis_equals_that_of_the_whole(sizes):
    transform = SpectralTransform(8, 16000)
    described = torch.randn(2, 32, 30, generator=torch.Generator().manual_seed(0))
    stream = transform.stream_synthesis()
    parts = [stream.push(part) for part in described.split(sizes, dim=2)]
    # Rounding, which phases add up: see "Streams" in docs/compression.md.
    torch.testing.assert_close(torch.cat(parts, dim=2), transform.audio(described), atol=1e-5, rtol=0)
    assert transform.audio(described).shape == (2, 1, 28 * 8)


def test_long_sounds_are_synthesised_piece_by_piece(monkeypatch):
    transform = SpectralTransform(4, 8000, rounds=2)
    described = torch.randn(2, 2 * transform.bins, 2 * PIECE + 5, generator=torch.Generator().manual_seed(1))
    whole = transform.stream_synthesis().push(described)
    pushed, push = [], SynthesisStream.push
    monkeypatch.setattr(
        SynthesisStream, "push", lambda self, *part: (pushed.append(part[0].shape[-1]), push(self, *part))[1]
    )
    torch.testing.assert_close(transform.audio(described), whole, atol=1e-6, rtol=0)
    assert pushed == [PIECE, PIECE, 5]


def test_flush_without_a_push_is_an_error():
    with pytest.raises(ValueError, match="nothing was pushed"):
        SpectralTransform(8, 16000).stream_analysis().flush()


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 400])
def test_the_codec_keeps_its_contract(samples):
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY).eval()
    assert codec.hop_length == 16
    codes = codec.encode(torch.randn(2, 1, samples))
    assert codes.shape == (2, 3, math.ceil(samples / 16))
    assert codec.decode(codes).shape == (2, 1, 16 * codes.shape[2])
    assert codec.decode(codes, length=samples).shape == (2, 1, samples)
    assert torch.equal(codec.decode(codes), codec.decode(codes))


def test_earlier_samples_do_not_depend_on_later_codes():
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY).eval()
    codes = codec.encode(torch.randn(1, 1, 320))
    changed = codes.clone()
    changed[..., 12:] = (changed[..., 12:] + 1) % 16
    before, after = codec.decode(codes), codec.decode(changed)
    # The samples before a changed frame overlap with it.
    assert torch.equal(before[..., : 12 * 16 - 12], after[..., : 12 * 16 - 12])
    assert not torch.equal(before[..., 12 * 16 :], after[..., 12 * 16 :])


def test_training_lowers_the_losses():
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY).train()
    audio = 0.3 * torch.randn(4, 1, 320)
    optimizer = torch.optim.Adam(codec.parameters(), lr=3e-3)
    totals = []
    for _ in range(30):
        output = codec.describe(audio, quantize=False)
        assert output.codes is None
        total = output.losses["likelihood"] + output.losses["mel"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.6 * totals[0]


def test_the_module_refuses_what_a_spectral_codec_cannot_use():
    with pytest.raises(ValueError, match=r"unknown weights \['waveform'\]; allowed: .*'likelihood', 'mel'\]"):
        SEANetModule(SEANetCodec(**TINY), losses=SEANetLosses(weights={"waveform": 1.0}))
    for choices in ([0, 3], [4]):
        with pytest.raises(ValueError, match=r"codebook_choices are .*between 1 and 3"):
            SEANetModule(SEANetCodec(**TINY), losses=SEANetLosses(codebook_choices=choices))


def test_drawn_powers_are_those_of_the_sound_that_is_made():
    torch.manual_seed(0)
    transform = SpectralTransform(160, 16000)
    for ratio in (-2.0, 0.0, 2.0):
        described = describe(torch.full((8, 320, 200), 0.05), ratio)
        drawn = transform.drawn_power(described)
        assert drawn.shape == (8, 320, 200)
        assert float(drawn.mean()) == pytest.approx(0.05**2, rel=0.05)
        spread = float(drawn.std() / drawn.mean())  # 1 for noise, 0 for tones
        assert spread == pytest.approx({-2.0: 1.0, 0.0: 0.87, 2.0: 0.19}[ratio], abs=0.06)


def test_the_level_is_a_loss_of_its_own():
    transform = SpectralTransform(160, 16000)
    magnitude = transform.magnitude(torch.randn(1, 1, 16000))
    louder = transform.losses(describe(magnitude * 10 ** (6 / 20), 0.0), magnitude)
    assert float(louder["level"]) == pytest.approx(6 / 8.686, rel=0.02)


def test_unknown_transforms_are_refused():
    with pytest.raises(ValueError, match="'dct'.*'spectral'"):
        SEANetCodec(transform="dct")
    with pytest.raises(ValueError, match="1 channel"):
        SEANetCodec(transform="spectral", channels=2)
