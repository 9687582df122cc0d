"""EnCodec: equal to the `encodec` package and to transformers' port, weights of every kind, streaming."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundloom.codecs import Compressed, EnCodec, load_codec, resample
from soundloom.codecs._torchaudio import import_encodec, shield_transformers
from soundloom.codecs.container import config_hash
from soundloom.codecs.encodec_segments import OverlapAdd, Segment
from soundloom.codecs.encodec_weights import PUBLISHED, fold, randomize, transformers_settings

NAMES = sorted(PUBLISHED)
SMALL: dict[str, Any] = {"n_filters": 4, "dimension": 8}


def make_small(name: str, **settings: Any) -> EnCodec:
    """A published model's shape with few channels, and weights under which codes vary."""
    codec = EnCodec(**PUBLISHED[name], **(SMALL | settings))
    randomize(codec.model)
    return codec.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=NAMES)
def small(request: pytest.FixtureRequest) -> EnCodec:
    return make_small(request.param)


@pytest.fixture(autouse=True)
def usual_bandwidth(request: pytest.FixtureRequest) -> None:
    """Tests share a codec; each begins with the same bandwidth."""
    if "small" in request.fixturenames:
        request.getfixturevalue("small").bandwidth = 6.0


def noise(codec: EnCodec, length: int, batch: int = 1, seed: int = 0) -> Tensor:
    """Noise whose loudness changes, `[B, C, N]`."""
    generator = torch.Generator().manual_seed(seed)
    swell = 0.02 + 0.1 * torch.linspace(0, 25, length).sin().square()
    return torch.randn(batch, codec.channels, length, generator=generator) * swell


@functools.cache
def original(name: str) -> Any:
    """The package's own model of full size, weight-normalised as published, with random weights."""
    models = import_encodec().EncodecModel
    build = {"encodec-24khz": models.encodec_model_24khz, "encodec-48khz": models.encodec_model_48khz}
    model = build[name](pretrained=False)
    randomize(model)
    return model


# --- settings ------------------------------------------------------------------------------------------


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


# --- equal to the package ------------------------------------------------------------------------------


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
    theirs, ours = list(codec.encode_segments(audio, covered=True)), list(codec.encode_segments(audio))
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
    monkeypatch.setattr("soundloom.codecs.encodec.PIECE_SECONDS", 1)
    monkeypatch.setattr("soundloom.codecs.encodec_streaming.PIECE_SECONDS", 1)
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


# --- bad input -----------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match=f"{small.max_codebooks}, frames"):
        small.decode(torch.zeros(1, small.max_codebooks + 1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="dtype torch.float32"):
        small.decode(good.float())
    with pytest.raises(ValueError, match="0 frames"):
        small.decode(good[..., :0])
    for value in (-1, 1024):
        with pytest.raises(ValueError, match=r"allowed: 0\.\.1023"):
            small.decode(torch.full_like(good, value))
    if small.model.normalize:
        with pytest.raises(ValueError, match="2 frames"):
            small.decode(good[..., :1])
        with pytest.raises(ValueError, match=r"2\.\.16"):
            small.decode(good[:, :1])


# --- streaming -----------------------------------------------------------------------------------------


def same_share(a: Tensor, b: Tensor) -> float:
    """Share of equal codes; a different rounding may turn one over."""
    assert a.shape == b.shape
    return float((a == b).float().mean())


@pytest.mark.parametrize(
    ("length", "piece"),
    [(1, 1), (5, 2), (320, 100), (2241, 333), (9600, 3200), (47520, 16000), (48000, 11111), (50001, 60000)],
)
def test_streams_are_equal_to_the_whole(small: EnCodec, length: int, piece: int) -> None:
    audio = noise(small, length, batch=2)
    codes = small.encode(audio)
    encoder, decoder = small.stream_encoder(), small.stream_decoder()
    streamed = torch.cat([*map(encoder.push, audio.split(piece, dim=-1)), encoder.flush()], dim=-1)
    assert same_share(streamed, codes) > 0.999
    parts = codes.split(piece // 320 or 1, dim=-1)
    found = torch.cat([*map(decoder.push, parts), decoder.flush()], dim=-1)
    torch.testing.assert_close(found, small.decode(codes), atol=1e-5, rtol=1e-4)


def test_a_stream_begins_anew(small: EnCodec) -> None:
    first, second = noise(small, 60000), noise(small, 50000, seed=1)
    encoder, decoder = small.stream_encoder(), small.stream_decoder()
    codes = []
    for audio in (first, second):
        codes.append(torch.cat([encoder.push(audio), encoder.flush()], dim=-1))
        assert same_share(codes[-1], small.encode(audio)) > 0.999
    decoder.push(codes[0])
    decoder.reset()
    found = torch.cat([decoder.push(codes[1]), decoder.flush()], dim=-1)
    torch.testing.assert_close(found, small.decode(codes[1]), atol=1e-5, rtol=1e-4)


def test_latency_is_as_stated(small: EnCodec) -> None:
    rate, encoder, decoder = small.sample_rate, small.stream_encoder(), small.stream_decoder()
    pushed = given = waited = lag = decoded = 0
    length, size = (2 * rate, 4800) if small.segment_length else (6000, 160)
    for piece in noise(small, length).split(size, dim=-1):
        pushed += piece.shape[-1]
        codes = encoder.push(piece)
        if codes.shape[-1]:
            # The first sample of the first frame that comes now has waited longest.
            waited = max(waited, pushed - int(given / small.frame_rate * rate))
            given += codes.shape[-1]
        for number, frame in enumerate(codes.split(1, dim=-1)):
            decoded += decoder.push(frame).shape[-1]
            frames = given - codes.shape[-1] + number + 1
            lag = max(lag, round(frames / small.frame_rate * rate) - decoded)
    assert waited <= encoder.latency * rate + size
    assert waited > encoder.latency * rate - size
    assert lag <= decoder.latency * rate + 1
    assert lag > decoder.latency * rate - 321


def test_stream_of_nothing_and_of_another_shape(small: EnCodec) -> None:
    encoder, decoder = small.stream_encoder(), small.stream_decoder()
    empty = torch.zeros(1, small.channels, 0)
    assert encoder.push(empty).shape == (1, small.num_codebooks, 0)
    with pytest.raises(RuntimeError, match="nothing to encode"):
        encoder.flush()
    assert decoder.flush().shape == empty.shape
    assert decoder.push(torch.zeros(1, 4, 0, dtype=torch.long)).shape == empty.shape
    encoder.push(noise(small, 500))
    with pytest.raises(ValueError, match="another sound"):
        encoder.push(noise(small, 500, batch=2))
    with pytest.raises(ValueError, match="audio has shape"):
        encoder.push(torch.zeros(1, 5, 10))


# --- .loom files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kbits", [3.0, 24.0])
def test_compressed_at_a_bitrate(name: str, kbits: float, tmp_path: Path) -> None:
    codec = make_small(name)
    codec.name = name
    sound = noise(codec, 44100 * 2)[0]
    compressed = codec.compress(sound, 44100, bitrate=kbits * 1000)
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
    torch.testing.assert_close(found, whole[..., : found.shape[-1]], atol=1e-4, rtol=1e-3)


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


# --- weights -------------------------------------------------------------------------------------------


def test_saved_and_loaded(small: EnCodec, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small.save_pretrained(tmp_path)
    assert "bandwidth" not in json.loads((tmp_path / "config.json").read_text())
    with caplog.at_level(logging.WARNING):
        loaded = load_codec(tmp_path, bandwidth=12.0)
    assert isinstance(loaded, EnCodec)
    assert loaded.bandwidth == 12.0
    assert "CC BY-NC" not in caplog.text  # whose weights these are is not known
    loaded.bandwidth = 6.0
    audio = noise(small, 5000)
    assert torch.equal(loaded.encode(audio), small.encode(audio))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


@pytest.mark.parametrize("name", NAMES)
def test_transformers_folders(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shield_transformers()
    from transformers import EncodecConfig, EncodecModel

    ours = PUBLISHED[name]
    config = EncodecConfig(
        sampling_rate=ours.get("sample_rate", 24000),
        audio_channels=ours.get("channels", 1),
        target_bandwidths=ours.get("bandwidths", [1.5, 3.0, 6.0, 12.0, 24.0]),
        normalize=ours.get("normalize", False),
        chunk_length_s=ours.get("segment"),
        overlap=ours.get("overlap"),
        norm_type=ours.get("norm", "weight_norm"),
        use_causal_conv=ours.get("causal", True),
        num_filters=4,
        hidden_size=8,
    )
    theirs = EncodecModel(config).eval()
    randomize(theirs)
    theirs.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        codec = load_codec(tmp_path, bandwidth=6.0)
    assert isinstance(codec, EnCodec)
    assert "CC BY-NC 4.0" in caplog.text
    audio = noise(codec, codec.sample_rate)
    with torch.no_grad():
        made = theirs.encode(audio, bandwidth=6.0, return_dict=True)
        expected = theirs.decode(made.audio_codes, made.audio_scales, return_dict=True).audio_values
    segment = next(codec.encode_segments(audio))
    assert len(segment.codes.unique()) > 100
    assert same_share(segment.codes, made.audio_codes[0][..., : segment.codes.shape[-1]]) > 0.999
    found = codec.decode_segment(Segment(made.audio_codes[0], segment.scale))
    count = min(found.shape[-1], expected.shape[-1], codec.segment_stride if codec.segment_length else 10**9)
    torch.testing.assert_close(found[..., :count], expected[..., :count], atol=1e-5, rtol=1e-4)


def test_the_names_in_older_transformers_folders(tmp_path: Path) -> None:
    """The files on the hub call what normalises a weight as torch did in 2023."""
    shield_transformers()
    from transformers import EncodecConfig, EncodecModel

    theirs = EncodecModel(EncodecConfig(num_filters=2, hidden_size=4))
    theirs.save_pretrained(tmp_path)
    new = load_codec(tmp_path).state_dict()  # type: ignore[attr-defined]
    state = load_file(tmp_path / "model.safetensors")
    renamed = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in state.items()
    }
    assert renamed.keys() != state.keys()
    save_file(renamed, tmp_path / "model.safetensors")
    old = load_codec(tmp_path).state_dict()  # type: ignore[attr-defined]
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in new)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_the_same_wherever_it_came_from(name: str, tmp_path: Path) -> None:
    """Files name the codec's configuration, which must not depend on the format of its weights."""
    ours = PUBLISHED[name]
    config = {
        "model_type": "encodec",
        "sampling_rate": ours.get("sample_rate", 24000),
        "audio_channels": ours.get("channels", 1),
        # As JSON of another hand might have them.
        "target_bandwidths": [int(rate) if rate % 1 == 0 else rate for rate in EnCodec(**ours).bandwidths],
        "normalize": ours.get("normalize", False),
        "chunk_length_s": 1 if "segment" in ours else None,
        "overlap": ours.get("overlap"),
        "norm_type": ours.get("norm", "weight_norm"),
        "use_causal_conv": ours.get("causal", True),
        "num_lstm_layers": 2,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings = transformers_settings(tmp_path / "config.json")
    assert config_hash(EnCodec(**settings)) == config_hash(EnCodec(**ours))


@pytest.mark.parametrize("name", NAMES)
def test_original_files(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = original(name)
    file = tmp_path / "unnamed.th"
    torch.save(model.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file.rename(tmp_path / f"encodec_{name[-5:]}-{digest}.th")
    with caplog.at_level(logging.WARNING):
        codec = load_codec(tmp_path)  # the folder
    assert isinstance(codec, EnCodec)
    assert caplog.text.count("CC BY-NC 4.0") == 1
    assert codec.sample_rate == PUBLISHED[name].get("sample_rate", 24000)
    state = fold(model.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in codec.model.state_dict().items())
    # Settings are those of the name, so that both say the same in a file's header.
    assert config_hash(codec) == config_hash(EnCodec(**PUBLISHED[name]))


def test_damaged_original_files(tmp_path: Path) -> None:
    """A name with a hash is kept to before anything is read."""
    named = tmp_path / "encodec_24khz-d7cc33bc.th"
    torch.save({"a": torch.zeros(3)}, named)
    with pytest.raises(OSError, match="SHA-256"):
        load_codec(named)
    shutil.copy(named, tmp_path / "encodec_other-00000000.th")
    with pytest.raises(FileNotFoundError, match="no single EnCodec model"):
        load_codec(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02K\x01.", b"cos\nsystem\n(S'true'\ntR."])
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.th"
    file.write_bytes(content)
    with pytest.raises((OSError, ValueError), match="model.th"):
        load_codec(file)


def test_files_of_other_models(tmp_path: Path) -> None:
    file = tmp_path / "model.th"
    for content in ({"a": torch.zeros(3)}, [torch.zeros(3)], {"a": 1}):
        torch.save(content, file)
        with pytest.raises(ValueError, match="no EnCodec model"):
            load_codec(file)
    torch.save({"encoder.model.0.conv.conv.weight": torch.zeros(32, 1, 7)}, file)
    with pytest.raises(ValueError, match="does not fit EnCodec"):
        load_codec(file)
    torch.save({"encoder.model.0.conv.conv.weight_v": torch.zeros(32, 1, 7)}, file)
    with pytest.raises(ValueError, match="without 'encoder.model.0.conv.conv.weight_g'"):
        load_codec(file)


def test_transformers_folders_that_differ(tmp_path: Path) -> None:
    config = {"model_type": "encodec", "kernel_size": 5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors"):
        load_codec(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError, match="kernel_size is 5; only 7"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "encodec"}))
    with pytest.raises(OSError, match="truncated or damaged"):
        load_codec(tmp_path)


@pytest.mark.parametrize("name", ["encodec-24khz", "facebook/encodec_48khz"])
def test_random_weights_only_when_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="facebook/encodec_.*not in the local cache"):
        load_codec(name)
    state = torch.random.get_rng_state()
    codec = load_codec(name, random_weights=True, bandwidth=3.0)
    assert isinstance(codec, EnCodec)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert codec.bandwidth == 3.0
    usual = EnCodec(**PUBLISHED[name.replace("facebook/", "").replace("_", "-")])
    assert config_hash(codec) != config_hash(usual)  # no file of these is taken for one of Meta's
    codec.save_pretrained(tmp_path / "saved")
    assert config_hash(load_codec(tmp_path / "saved")) == config_hash(codec)


def test_random_weights_are_the_same_each_time() -> None:
    a, b = (load_codec("encodec-24khz", random_weights=True).state_dict() for _ in range(2))
    assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(ValueError, match="random_weights is for encodec-24khz"):
        load_codec("seanet-16khz", random_weights=True)


def test_misspelt_names_are_helped() -> None:
    with pytest.raises(ValueError, match="did you mean 'encodec-24khz'"):
        load_codec("encodec-24")
    with pytest.raises(ValueError, match="unknown model"):
        load_codec("nothing.th")
