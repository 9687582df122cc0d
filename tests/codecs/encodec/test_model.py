"""EnCodec: settings, equal to the `encodec` package, `.loom` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom.codecs import Compressed, EnCodec, load_codec, resample
from soundloom.codecs.encodec.coded_segments import OverlapAdd, Segment
from soundloom.core._torchaudio import import_encodec
from soundloom.core.limiter import limit
from tests.codecs.encodec.small import NAMES, SMALL, make_small, noise, original, same_share


@pytest.mark.parametrize(
    ("name", "bandwidth", "codebooks", "bitrate"),
    [
        ("encodec-24khz", 1.5, 2, 1500.0),
        ("encodec-24khz", 3.0, 4, 3000.0),
        ("encodec-24khz", 6.0, 8, 6000.0),
        ("encodec-24khz", 12.0, 16, 12000.0),
        ("encodec-24khz", 24.0, 32, 24000.0),
        # 151 frames for 0.99 s: the overlap and the loudness are paid for too.
        ("encodec-48khz", 3.0, 2, 2 * 10 * 151 / 0.99),
        ("encodec-48khz", 6.0, 4, 4 * 10 * 151 / 0.99),
        ("encodec-48khz", 12.0, 8, 8 * 10 * 151 / 0.99),
        ("encodec-48khz", 24.0, 16, 16 * 10 * 151 / 0.99),
    ],
)
def test_every_bandwidth(name: str, bandwidth: float, codebooks: int, bitrate: float) -> None:
    codec = make_small(name, bandwidth=bandwidth)
    assert codec.num_codebooks == codebooks
    assert codec.bitrate == pytest.approx(bitrate)
    audio = noise(codec, codec.sample_rate * 3)
    codes = codec.encode(audio)
    assert codes.dtype == torch.int64
    assert codes.shape[:2] == (1, codebooks)
    assert codes.shape[-1] / 3 == pytest.approx(codec.frame_rate, rel=0.01)
    assert all(len(row.unique()) > 20 for row in codes[0])
    assert codec.decode(codes, length=audio.shape[-1]).shape == audio.shape


@pytest.mark.parametrize("value", [5.0, 0, True, "6", float("nan"), None])
def test_another_bandwidth_is_refused(value: Any) -> None:
    codec = make_small("encodec-24khz")
    with pytest.raises(ValueError, match="1.5, 3, 6, 12, 24"):
        codec.bandwidth = value
    assert codec.bandwidth == 6.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "layer_norm"}, "norm is 'layer_norm'"),
        ({"norm": "time_group_norm"}, "not causal"),
        ({"causal": False}, "needs segment"),
        ({"normalize": True}, "segment is None"),
        ({"codebook_size": 1000}, "power of two"),
        ({"bandwidths": [0.5]}, "one codebook takes 0.75"),
        ({"bandwidths": []}, "give higher ones"),
        ({"bandwidths": [0.75, 6.0], "normalize": True, "segment": 1.0}, "normalize needs two"),
        ({"bandwidth": 7.0}, "bandwidth is 7.0"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnCodec(**(SMALL | settings))


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_package_at_full_size(name: str, tmp_path: Path) -> None:
    model = original(name)
    torch.save(model.state_dict(), tmp_path / "mine.th")
    codec = load_codec(tmp_path / "mine.th", bandwidth=3.0)
    assert isinstance(codec, EnCodec)
    model.set_target_bandwidth(3.0)
    # Two segments at 48 kHz; the second one is short.
    audio = noise(codec, 50000 if codec.segment_length else 12345)
    with torch.no_grad():
        frames = model.encode(audio)
        expected = model.decode(frames)[..., : audio.shape[-1]]
    segments = list(codec.encode_segments(audio))
    assert len(segments[0].codes.unique()) > 80
    assert len(segments) == len(frames)
    for segment, (codes, scale) in zip(segments, frames, strict=True):
        assert torch.equal(segment.codes, codes)
        assert (segment.scale is None and scale is None) or torch.equal(segment.scale, scale)
    # Loudness is stored in steps of 0.0002 dB, which is all that may differ.
    torch.testing.assert_close(
        codec.decode(codec.encode(audio), audio.shape[-1]), expected, atol=2e-5, rtol=5e-5
    )


@pytest.mark.parametrize("length", [1, 7, 320, 321, 6720, 47521, 48000, 50001])
def test_any_length_comes_back(small: EnCodec, length: int) -> None:
    audio = noise(small, length, batch=2)
    codes = small.encode(audio)
    found = small.decode(codes, length=length)
    assert found.shape == audio.shape
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found[1:], small.decode(small.encode(audio[1:]), length), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [47521, 47680, 47840, 48000, 48001, 95041])
def test_a_last_segment_that_is_covered_is_left_out(length: int) -> None:
    """The package codes up to 480 samples twice; then its last segment but one is no whole one."""
    codec = make_small("encodec-48khz")
    audio = noise(codec, length)
    theirs = [codec.encode_segment(audio[..., start : start + 48000]) for start in range(0, length, 47520)]
    ours = list(codec.encode_segments(audio))
    assert len(theirs) - len(ours) == (length % 47520 <= 480)
    assert all(torch.equal(a.codes, b.codes) for a, b in zip(theirs, ours, strict=False))
    codes = codec.encode(audio)
    assert codes.shape[-1] == sum(segment.codes.shape[-1] + 1 for segment in ours)
    overlap = OverlapAdd(codec.segment_stride)
    whole = torch.cat([*map(overlap.push, map(codec.decode_segment, theirs)), overlap.flush()], dim=-1)
    settled = 47520 * (len(ours) - (len(theirs) == len(ours)))
    found = codec.decode(codes, length)
    torch.testing.assert_close(found[..., :settled], whole[..., :settled], atol=2e-5, rtol=5e-5)


def test_fewer_rows_are_a_lower_bandwidth(small: EnCodec) -> None:
    audio = noise(small, small.sample_rate)
    high = small.encode(audio)
    small.bandwidth = 3.0
    assert torch.equal(small.encode(audio), high[:, : small.num_codebooks])


def test_a_long_sound_is_equal_to_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = make_small("encodec-24khz")
    monkeypatch.setattr("soundloom.codecs.encodec.model.PIECE_SECONDS", 1)
    monkeypatch.setattr("soundloom.codecs.encodec.streaming.PIECE_SECONDS", 1)
    audio = noise(codec, 24000 * 3 + 1000)
    with torch.no_grad():
        (codes, _), *none = codec.model.encode(audio)
        expected = codec.model.decode([(codes, None)])
    assert not none
    assert same_share(codec.encode(audio), codes) > 0.999
    torch.testing.assert_close(codec.decode(codes), expected, atol=1e-5, rtol=1e-4)


def test_loudness_comes_back() -> None:
    codec = make_small("encodec-48khz")
    quiet, loud = noise(codec, 48000) * 1e-3, noise(codec, 48000) * 1e3
    codes = [codec.encode(audio) for audio in (quiet, loud)]
    assert same_share(codes[0][..., 1:], codes[1][..., 1:]) > 0.99
    assert not torch.equal(codes[0][..., :1], codes[1][..., :1])
    ratio = codec.decode(codes[1]).std() / codec.decode(codes[0]).std()
    assert float(ratio) == pytest.approx(1e6, rel=0.01)
    assert float(codec.decode(codec.encode(torch.zeros(1, 2, 48000))).abs().max()) < 1e-6


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 0.1, 1.0, 30.0, 8000.0])
def test_loudness_is_stored_finely(scale: float) -> None:
    segment = Segment(torch.zeros(1, 2, 3, dtype=torch.long), torch.tensor([[scale]]))
    found = Segment.unpack(segment.pack(1024), 1024)
    assert torch.equal(found.codes, segment.codes)
    assert found.scale is not None
    assert float(found.scale) == pytest.approx(scale, rel=2e-5)


@pytest.mark.parametrize("sizes", [(100,), (100, 100, 40), (100, 10), (99, 1)])
def test_overlap_add_is_the_packages(sizes: tuple[int, ...]) -> None:
    pieces = [torch.randn(1, 2, size, generator=torch.Generator().manual_seed(size)) for size in sizes]
    overlap = OverlapAdd(90)
    found = torch.cat([*map(overlap.push, pieces), overlap.flush()], dim=-1)
    # The package wants the last piece to end last.
    end = 90 * (len(pieces) - 1)
    padded = (
        [*pieces[:-1], torch.cat([pieces[-1], torch.zeros(1, 2, 20)], dim=-1)] if sizes[-1] < 10 else pieces
    )
    expected = import_encodec().utils._linear_overlap_add(padded, 90)
    # The zeros that stand in for samples have weights of their own: compare where there are none.
    count = end + sizes[-1] if sizes[-1] < 10 else expected.shape[-1]
    torch.testing.assert_close(found[..., :count], expected[..., :count], atol=1e-6, rtol=1e-5)


def test_bad_sounds(small: EnCodec) -> None:
    channels = small.channels
    for shape in [(channels, 100), (1, 3, 100), (1, channels, 0)]:
        with pytest.raises(ValueError, match="audio has shape"):
            small.encode(torch.zeros(shape))
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="NaN or infinite"):
            small.encode(torch.full((1, channels, 100), value))


def test_bad_codes(small: EnCodec) -> None:
    good = small.encode(noise(small, 2000))
    with pytest.raises(ValueError, match=rf"\.\.{small.max_codebooks}, T\]"):
        small.decode(torch.zeros(1, small.max_codebooks + 1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="type torch.float32"):
        small.decode(good.float())
    with pytest.raises(ValueError, match="1 sound and 1 frame"):
        small.decode(good[..., :0])
    for value in (-1, 1024):
        with pytest.raises(ValueError, match="allowed: 0 to 1023"):
            small.decode(torch.full_like(good, value))
    if small.model.normalize:
        with pytest.raises(ValueError, match="2 frames"):
            small.decode(good[..., :1])
        with pytest.raises(ValueError, match=r"2\.\.16"):
            small.decode(good[:, :1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kbits", [3.0, 24.0])
def test_compressed_at_a_bitrate(name: str, kbits: float, tmp_path: Path) -> None:
    codec = make_small(name)
    codec.name = name
    sound = noise(codec, 44100 * 2)[0]
    compressed = codec.compress(sound, 44100, bitrate=kbits * 1000, level=False)
    codec.bandwidth = kbits
    assert compressed.header.shape == (codec.num_codebooks,)
    assert compressed.header.frames_per_chunk in (75, 151)
    prepared = codec.prepare(sound, 44100)
    assert same_share(compressed.frames, codec.encode(prepared)[0]) > 0.999
    compressed.save(tmp_path / "sound.loom")
    codec.bandwidth = 3.0  # of no matter for decoding
    found, rate = codec.decompress(Compressed.load(tmp_path / "sound.loom"))
    assert (found.shape, rate) == (sound.shape, 44100)
    whole = resample(codec.decode(compressed.frames[None], prepared.shape[-1])[0], codec.sample_rate, 44100)
    whole = limit(whole[..., : found.shape[-1]], 44100, compressed.header.peak)
    torch.testing.assert_close(found, whole, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("start", [0.0, 0.985, 0.9951, 1.5])
def test_a_part_of_a_sound_in_segments(start: float) -> None:
    codec = make_small("encodec-48khz")
    codec.name = "encodec-48khz"
    compressed = codec.compress(noise(codec, 48000 * 3)[0], 48000)
    whole, _ = codec.decompress(compressed)
    found, rate = codec.decompress(compressed, start=start, stop=start + 0.1)
    first = round(start * rate)
    torch.testing.assert_close(found, whole[:, first : first + 4800], atol=1e-6, rtol=1e-5)


def test_a_part_of_a_causal_sound() -> None:
    """Decoding begins a second early; the recurrent layers then remember nearly what they would."""
    codec = make_small("encodec-24khz")
    codec.name = "encodec-24khz"
    compressed = codec.compress(noise(codec, 24000 * 4)[0], 24000)
    whole, _ = codec.decompress(compressed)
    found, _ = codec.decompress(compressed, start=2.5, stop=3.0)
    expected = whole[:, 60000:72000]
    assert float((found - expected).square().mean() / expected.square().mean()) < 1e-6
