"""Sound in and out: round trips, resampling, mixing, and what bad input is told."""

import logging
import math
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundloom.core import audio as audio_module
from soundloom.core.audio import (
    Audio,
    AudioError,
    TruncatedAudioError,
    as_samples,
    check_destination,
    mix,
    normalize_rms,
    read_audio,
    resample,
    rms_db,
    write_audio,
)
from soundloom.core.limiter import limit

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000]
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tone(length: int, rate: int, channels: int = 1, frequency: float = 440.0) -> torch.Tensor:
    """Sines `[C, N]` of half scale, each channel an octave above the one before."""
    time = torch.arange(length, dtype=torch.float64) / rate
    rows = [0.5 * torch.sin(2 * math.pi * frequency * 2**c * time) for c in range(channels)]
    return torch.stack(rows).float()


# --- files ---------------------------------------------------------------------------------------------


@quick
@given(
    length=st.integers(8, 5000),  # fewer samples than channels are refused
    rate=st.sampled_from(RATES),
    channels=st.integers(1, 8),
    suffix=st.sampled_from([".wav", ".flac"]),
    seed=st.integers(0, 1000),
)
def test_lossless_round_trip(
    tmp_path: Path, length: int, rate: int, channels: int, suffix: str, seed: int
) -> None:
    samples = torch.rand(channels, length, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    path = write_audio(tmp_path / f"sound{suffix}", samples, rate, force=True)
    back, back_rate = read_audio(path)
    assert back_rate == rate
    assert back.dtype == torch.float32
    assert back.shape == samples.shape
    torch.testing.assert_close(back, samples, atol=1 / 32767, rtol=0)


@quick
@given(
    length=st.integers(1, 20000),
    rate=st.sampled_from([16000, 24000, 44100, 48000]),
    channels=st.integers(1, 2),
    suffix=st.sampled_from([".ogg", ".mp3"]),
)
def test_lossy_round_trip_keeps_rate_channels_and_length(
    tmp_path: Path, length: int, rate: int, channels: int, suffix: str
) -> None:
    path = write_audio(tmp_path / f"sound{suffix}", tone(length, rate, channels), rate, force=True)
    back, back_rate = read_audio(path)
    assert back_rate == rate
    assert back.shape == (channels, length)


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_round_trip_sounds_alike(tmp_path: Path, suffix: str) -> None:
    # Longer than one block of WRITE_BLOCK samples, so that the seams are checked too.
    sound = tone(150_000, 16000, 2)
    back, _ = read_audio(write_audio(tmp_path / f"sound{suffix}", sound, 16000))
    error = (back - sound).square().mean() / sound.square().mean()
    assert 10 * math.log10(error) < -20


def test_suffix_chooses_the_format_whatever_its_case(tmp_path: Path) -> None:
    for suffix, expected in ((".WAV", "WAV"), (".Flac", "FLAC"), (".ogg", "OGG"), (".mp3", "MP3")):
        path = write_audio(tmp_path / f"sound{suffix}", tone(1000, 16000), 16000)
        assert soundfile.info(path).format == expected


def test_writes_one_row_arrays_and_gradients(tmp_path: Path) -> None:
    row = tone(100, 16000)[0]
    for number, samples in enumerate([row, row.numpy(), row.double(), row.clone().requires_grad_()]):
        back, _ = read_audio(write_audio(tmp_path / f"{number}.wav", samples, 16000))
        assert back.shape == (1, 100)
        torch.testing.assert_close(back[0], row, atol=1 / 32767, rtol=0)


def test_loud_sound_is_limited_not_clipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loud = 4 * tone(4000, 16000, 2)
    with caplog.at_level(logging.WARNING):
        back, _ = read_audio(write_audio(tmp_path / "loud.wav", loud, 16000))
    assert "loud.wav" in caplog.text
    assert "limited" in caplog.text
    torch.testing.assert_close(back, limit(loud, 16000), atol=1 / 32767, rtol=0)


def test_full_scale_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    back, _ = read_audio(write_audio(tmp_path / "full.wav", torch.tensor([1.0, -1.0, 0.0]), 16000))
    assert not caplog.records
    torch.testing.assert_close(back[0], torch.tensor([1.0, -1.0, 0.0]), atol=1 / 32767, rtol=0)


def test_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    path = write_audio(tmp_path / "sound.wav", tone(100, 16000), 16000)
    assert path.stat().st_mode == plain.stat().st_mode


# --- files: bad input ----------------------------------------------------------------------------------


def test_read_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.wav"):
        read_audio(tmp_path / "nothing.wav")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_audio(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.wav", b"this is no sound at all\n" * 10),
        ("empty.wav", b""),
        ("empty.mp3", b""),
        ("header.wav", b"RIFF"),
        ("headerless.raw", b"\0" * 100),
        ("page.ogg", b"OggS" + b"\0" * 60),
    ],
)
def test_read_what_is_no_sound(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioError, match=name.replace(".", r"\.")) as caught:
        read_audio(path)
    assert "use a wav, flac, ogg or mp3 file" in str(caught.value)


@pytest.mark.parametrize(("name", "head"), [("a.loom", b"\x89LOOM\r\n\x1a"), ("b.ecdc", b"ECDC\0")])
def test_read_what_is_compressed_already(tmp_path: Path, name: str, head: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(head + b"\0" * 60)
    with pytest.raises(AudioError, match=rf"{name} is compressed already.*soundloom decode"):
        read_audio(path)


def test_read_zero_samples(tmp_path: Path) -> None:
    path = tmp_path / "none.wav"
    soundfile.write(path, np.zeros((0, 1), dtype=np.float32), 16000)
    with pytest.raises(AudioError, match="0 samples"):
        read_audio(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_inf_are_refused(tmp_path: Path, value: float) -> None:
    samples = np.zeros(100, dtype=np.float32)
    samples[7] = value
    source = tmp_path / "source.wav"
    soundfile.write(source, samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="1 NaN or infinite"):
        read_audio(source)
    target = tmp_path / "target.wav"
    with pytest.raises(AudioError, match="1 NaN or infinite"):
        write_audio(target, samples, 16000)
    assert not target.exists()


def test_truncated_wav_gives_what_is_there_when_that_is_asked_for(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "sound.wav", tone(1000, 16000), 16000)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 300])
    with pytest.raises(TruncatedAudioError, match=r"tells of 0\.06 s, 0\.02 s are there"):
        read_audio(path)
    back, _ = read_audio(path, allow_truncated=True)
    torch.testing.assert_close(back, tone(1000, 16000)[:, :300], atol=1 / 32767, rtol=0)


def test_existing_file_needs_force(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "sound.wav", tone(100, 16000), 16000)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="force"):
        write_audio(path, tone(200, 16000), 16000)
    assert path.read_bytes() == before
    write_audio(path, tone(200, 16000), 16000, force=True)
    assert read_audio(path)[0].shape == (1, 200)


def test_missing_folder_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mkdir -p"):
        write_audio(tmp_path / "new" / "sound.wav", tone(100, 16000), 16000)
    assert not (tmp_path / "new").exists()


def test_destination_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sound.wav").mkdir()
    for force in (False, True):
        with pytest.raises(IsADirectoryError):
            check_destination(tmp_path / "sound.wav", force=force)


@pytest.mark.parametrize("name", ["sound", "sound.txt", "sound.wav.bak", ".wav"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioError, match=r"\.wav, \.flac, \.ogg, \.mp3"):
        write_audio(tmp_path / name, tone(100, 16000), 16000)


@pytest.mark.parametrize("shape", [(0,), (1, 0), (2, 3, 4), (0, 10), (65, 10), ()])
def test_shapes_that_cannot_be_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError):
        write_audio(tmp_path / "sound.wav", torch.zeros(shape), 16000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "channels", "rate"), [(".mp3", 8, 16000), (".mp3", 1, 96000), (".flac", 9, 16000)]
)
def test_what_a_format_cannot_hold(tmp_path: Path, suffix: str, channels: int, rate: int) -> None:
    with pytest.raises(AudioError, match=f"{channels} channels at {rate} Hz"):
        write_audio(tmp_path / f"sound{suffix}", torch.zeros(channels, 100), rate)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [0, -16000, 16000.5, float("nan"), float("inf"), True, "16000", None])
def test_bad_sample_rates(tmp_path: Path, rate: object) -> None:
    with pytest.raises(AudioError, match="whole number"):
        write_audio(tmp_path / "sound.wav", torch.zeros(100), rate)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="from_rate"):
        resample(torch.zeros(100), rate, 16000)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="to_rate"):
        resample(torch.zeros(100), 16000, rate)  # type: ignore[arg-type]


def test_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_audio(tmp_path / "sound.wav", tone(100, 16000), 16000)
    before = path.read_bytes()

    def fail(source: Path, target: Path) -> None:
        assert Path(source).parent == tmp_path
        assert Path(source).stat().st_size > 0
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audio_module.os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_audio(path, tone(5000, 16000), 16000, force=True)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="resource limits are POSIX")
def test_write_cut_short_leaves_nothing(tmp_path: Path) -> None:
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError):
            write_audio(tmp_path / "sound.wav", tone(100_000, 16000), 16000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert list(tmp_path.iterdir()) == []


# --- number types --------------------------------------------------------------------------------------


def test_integer_types_scale_to_full_scale() -> None:
    expected = torch.tensor([-1.0, 0.0, 0.5])
    for array in (
        np.array([-32768, 0, 16384], dtype=np.int16),
        np.array([-32768, 0, 16384], dtype=">i2"),
        np.array([-(2**31), 0, 2**30], dtype=np.int32),
        np.array([0, 128, 192], dtype=np.uint8),
        torch.tensor([-32768, 0, 16384], dtype=torch.int16),
        np.array([-1.0, 0.0, 0.5]),
        np.array([-1.0, 0.0, 0.5], dtype=np.float16),
        np.array([0.5, 0.0, -1.0], dtype=np.float32)[::-1],
    ):
        samples = as_samples(array)
        assert samples.dtype == torch.float32
        assert torch.equal(samples, expected)


def test_arrays_are_copied_and_float_tensors_are_not() -> None:
    array = np.zeros(3, dtype=np.float32)
    as_samples(array)[0] = 1.0
    assert array[0] == 0.0
    tensor = torch.zeros(3)
    assert as_samples(tensor) is tensor


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.bool_, np.complex64])
def test_types_that_hold_no_sound(dtype: type) -> None:
    with pytest.raises(AudioError, match="use float32"):
        as_samples(np.zeros(3, dtype=dtype))
    with pytest.raises(TypeError, match=r"torch\.Tensor"):
        as_samples([0.0, 1.0])  # type: ignore[arg-type]


# --- resampling ----------------------------------------------------------------------------------------


@quick
@given(
    length=st.integers(1, 3000),
    from_rate=st.sampled_from([*RATES, 12345, 96000]),
    to_rate=st.sampled_from([*RATES, 7919, 96000]),
    shape=st.sampled_from([(), (1,), (2,), (2, 3), (1, 2, 1)]),
)
def test_resample_length_is_exact(length: int, from_rate: int, to_rate: int, shape: tuple[int, ...]) -> None:
    result = resample(torch.full((*shape, length), 0.25), from_rate, to_rate)
    assert result.shape == (*shape, math.ceil(length * to_rate / from_rate))
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()
    # There and back never comes out shorter: cutting to the old length restores it.
    assert length <= resample(result, to_rate, from_rate).shape[-1]


@pytest.mark.parametrize("from_rate", RATES)
@pytest.mark.parametrize("to_rate", [16000, 44100, 48000])
def test_resampled_tone_is_the_tone_at_the_other_rate(from_rate: int, to_rate: int) -> None:
    result = resample(tone(from_rate, from_rate, 2), from_rate, to_rate)
    middle = slice(to_rate // 4, 3 * to_rate // 4)
    torch.testing.assert_close(result[:, middle], tone(to_rate, to_rate, 2)[:, middle], atol=1e-4, rtol=0)


def test_resample_removes_what_the_lower_rate_cannot_hold() -> None:
    result = resample(tone(44100, 44100, frequency=15000.0), 44100, 16000)
    assert rms_db(result[0, 2000:-2000]) < -90


def test_resample_rows_are_independent_and_equal_rates_change_nothing() -> None:
    samples = torch.randn(3, 2, 500, generator=torch.Generator().manual_seed(0))
    together = resample(samples, 44100, 16000)
    alone = resample(samples[1, 1], 44100, 16000)
    assert torch.equal(together[1, 1], alone)
    assert resample(samples, 16000, 16000) is samples


def test_resample_of_nothing() -> None:
    assert resample(torch.zeros(2, 0), 44100, 16000).shape == (2, 0)
    assert resample(torch.zeros(0, 10), 16000, 8000).shape == (0, 5)
    with pytest.raises(AudioError, match="single number"):
        resample(torch.tensor(1.0), 16000, 8000)


# --- channels and loudness -----------------------------------------------------------------------------


def test_mix_rules() -> None:
    eight = torch.randn(2, 8, 100, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mix(eight, 1), eight.mean(dim=1, keepdim=True))
    stereo = mix(eight, 2)
    assert stereo.shape == (2, 2, 100)
    assert torch.equal(stereo[:, 0], stereo[:, 1])
    torch.testing.assert_close(stereo[:, :1], eight.mean(dim=1, keepdim=True))
    one = eight[:, :1]
    assert torch.equal(mix(one, 2), torch.cat([one, one], dim=1))
    assert mix(eight, 8) is eight


@pytest.mark.parametrize(("present", "wanted"), [(1, 3), (2, 6), (8, 3), (1, 0), (2, -1)])
def test_mix_without_a_rule(present: int, wanted: int) -> None:
    with pytest.raises(AudioError, match=f"{present} channels to {wanted}"):
        mix(torch.zeros(present, 10), wanted)


@pytest.mark.parametrize("shape", [(10,), (0, 10)])
def test_mix_without_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match="at least 1 channel"):
        mix(torch.zeros(shape), 1)


def test_rms_db() -> None:
    square = torch.tensor([[1.0, -1.0] * 50, [0.1, -0.1] * 50, [0.0] * 100])
    torch.testing.assert_close(rms_db(square), torch.tensor([0.0, -20.0, -math.inf]))


@quick
@given(db=st.floats(-80, 0), gain=st.floats(1e-4, 10), seed=st.integers(0, 100))
def test_normalize_rms(db: float, gain: float, seed: int) -> None:
    noise = gain * torch.randn(2, 3, 400, generator=torch.Generator().manual_seed(seed))
    noise[0, 0] = 0.0
    result = normalize_rms(noise, db)
    assert torch.equal(result[0, 0], torch.zeros(400))
    levels = rms_db(result).flatten()[1:]
    torch.testing.assert_close(levels, torch.full_like(levels, db), atol=1e-3, rtol=0)


# --- Audio ---------------------------------------------------------------------------------------------


def test_audio_saves_the_sound_asked_for(tmp_path: Path) -> None:
    samples = torch.stack([tone(8000, 16000), 0.5 * tone(8000, 16000)])
    sound = Audio(samples, 16000)
    assert sound.duration == 0.5
    for index in (0, 1, -1):
        path = sound.save(tmp_path / "sound.flac", index=index, force=True)
        torch.testing.assert_close(read_audio(path)[0], samples[index], atol=1 / 32767, rtol=0)
    with pytest.raises(FileExistsError):
        sound.save(tmp_path / "sound.flac")
    for index in (2, -3):
        with pytest.raises(IndexError, match="2 sounds"):
            sound.save(tmp_path / "other.wav", index=index)


def test_audio_checks_its_parts() -> None:
    with pytest.raises(AudioError, match=r"\[B, C, N\]"):
        Audio(torch.zeros(2, 100), 16000)
    with pytest.raises(AudioError, match="sample_rate is 0"):
        Audio(torch.zeros(1, 1, 100), 0)
    assert Audio(torch.zeros(1, 1, 100, dtype=torch.float64), 16000).samples.dtype == torch.float32
