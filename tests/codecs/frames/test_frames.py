"""compress and decompress: what comes back, what is stored, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.codecs import AudioError, Codec, Compressed, ContainerError
from soundloom.codecs.container import config_hash
from soundloom.codecs.frames.decode_frames import decode_blocks
from soundloom.codecs.frames.span import plan_span
from soundloom.codecs.frames.storage import choose_storage, make_header, storages
from tests.tiny_codecs import codecs, music2latent2, seanet, sound

CODECS = codecs()
every_codec = pytest.mark.parametrize("kind", CODECS)


@every_codec
@given(
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000, 11999]),
    channels=st.integers(1, 4),
    length=st.integers(1, 3000),
)
@settings(max_examples=12, deadline=None)
def test_rate_length_and_channels_come_back(kind: str, rate: int, channels: int, length: int) -> None:
    codec = CODECS[kind]
    samples = sound(length / rate, rate, channels)
    compressed = codec.compress(samples, rate)
    decoded, restored = codec.decompress(compressed)
    kept = channels if channels <= codec.channels else 1
    assert restored == rate
    assert decoded.shape == (kept, length)
    assert (compressed.header.channels, compressed.header.length) == (kept, length)


@every_codec
def test_what_is_stored_is_what_the_codec_encodes(kind: str) -> None:
    codec = CODECS[kind]
    samples = sound(1.3, 44100, 2)
    frames = codec.compress(samples, 44100).frames
    offline = codec.encode(codec.prepare(samples, 44100))[0]
    if frames.is_floating_point():
        torch.testing.assert_close(frames, offline, atol=1e-5, rtol=0)
    else:
        assert torch.equal(frames, offline)


def test_decoding_equals_the_codec_and_its_resampling() -> None:
    codec = seanet()
    samples = sound(0.7, 8000)
    compressed = codec.compress(samples, 8000, level=False)
    whole = codec.decode(compressed.frames.unsqueeze(0), length=samples.shape[-1])[0]
    torch.testing.assert_close(codec.decompress(compressed)[0], whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["seanet", "stereo"])
@pytest.mark.parametrize("rate", [8000, 44100, 7000])
@pytest.mark.parametrize(("start", "stop"), [(1.0, 1.5), (0.3, None), (None, 0.7), (2.9, 2.901), (2.5, 99.0)])
def test_a_part_equals_the_same_part_of_the_whole(
    kind: str, rate: int, start: float | None, stop: float | None
) -> None:
    codec = CODECS[kind]
    compressed = codec.compress(sound(3, rate, 2), rate)
    whole, _ = codec.decompress(compressed)
    part, _ = codec.decompress(compressed, start=start, stop=stop)
    expected = whole[:, round((start or 0) * rate) : None if stop is None else round(stop * rate)]
    torch.testing.assert_close(part, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["latents", "codes or latents"])
def test_a_part_of_a_model_that_draws_noise_has_its_length_and_place(kind: str) -> None:
    codec = CODECS[kind]
    compressed = codec.compress(sound(0.5, 16000), 16000)
    part, _ = codec.decompress(compressed, start=0.1, stop=0.25)
    assert part.shape == (1, 2400)
    assert torch.isfinite(part).all()


def test_only_what_is_needed_is_decoded() -> None:
    codec = seanet()
    compressed = codec.compress(sound(20, 8000), 8000)
    asked = []

    def frames(first: int) -> object:
        for number in range(first, compressed.frames.shape[1], 50):
            asked.append(number)
            yield number, compressed.frames[:, number : number + 50]

    span = plan_span(codec, compressed.header, 10.0, 11.0, None)
    list(decode_blocks(codec, compressed.header, frames, lambda: 160000, span))
    assert min(asked) >= 800
    assert max(asked) <= 1150


def test_bytes_and_files_keep_everything(tmp_path: object) -> None:
    codec = seanet()
    compressed = codec.compress(sound(0.5, 8000), 8000)
    again = Compressed.from_bytes(compressed.to_bytes())
    assert again.header == compressed.header
    assert torch.equal(codec.decompress(again)[0], codec.decompress(compressed)[0])


def test_scale_is_undone() -> None:
    codec = seanet()
    samples = sound(0.3, 8000)
    plain = codec.compress(0.5 * samples, 8000, level=False)
    scaled = codec.compress(samples, 8000, scale=0.5, level=False)
    assert torch.equal(scaled.frames, plain.frames)
    torch.testing.assert_close(codec.decompress(scaled)[0], 2 * codec.decompress(plain)[0])


def test_sound_in_any_form() -> None:
    codec = seanet()
    samples = sound(0.1, 8000)
    expected = codec.compress(samples, 8000).frames
    for form in (samples[0], samples[None], samples.numpy(), samples.double()):
        assert torch.equal(codec.compress(form, 8000).frames, expected)
    integers = (samples * 32767).to(torch.int16)
    assert codec.compress(integers.numpy(), 8000).frames.shape == expected.shape


# --- what is stored ------------------------------------------------------------------------------------


def test_storages_of_each_kind() -> None:
    assert [(s.shape, s.bitrate) for s in storages(seanet())] == [((1,), 400), ((2,), 800), ((3,), 1200)]
    # 31.25 chunks a second of 2 latents with 4 channels, or of 2 codes of 400 values.
    latents = [("int8", 2000.0), ("float16", 4000.0)]
    assert [(s.precision, s.bitrate) for s in storages(music2latent2())] == latents
    both = [(s.precision, s.bitrate) for s in storages(CODECS["codes or latents"])]
    assert both == [("exact", 562.5), *latents]


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("seanet", {}, ("exact", (3,))),
        ("seanet", {"codebooks": 2}, ("exact", (2,))),
        ("seanet", {"bitrate": 1199.0}, ("exact", (3,))),  # within 2 %
        ("seanet", {"bitrate": 1100.0}, ("exact", (2,))),
        ("seanet", {"bitrate": 1e6}, ("exact", (3,))),
        ("latents", {}, ("float16", (2, 4))),
        ("latents", {"precision": "int8"}, ("int8", (2, 4))),
        ("latents", {"bitrate": 2500}, ("int8", (2, 4))),
        ("codes or latents", {}, ("exact", (2,))),
        ("codes or latents", {"precision": "float16"}, ("float16", (2, 4))),
        ("codes or latents", {"bitrate": 2100}, ("int8", (2, 4))),
        ("codes or latents", {"bitrate": 2100, "precision": "exact"}, ("exact", (2,))),
    ],
)
def test_choice_of_what_is_stored(
    kind: str, settings: dict[str, object], expected: tuple[object, ...]
) -> None:
    codec = CODECS[kind]
    header = codec.compress(sound(0.1, 8000), 8000, **settings).header  # type: ignore[arg-type]
    assert (header.precision, header.shape) == expected


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            "seanet",
            {"bitrate": 300},
            r"0\.3 kbit/s is too low for SEANetCodec, which has: 0\.4 kbit/s \(1 cod",
        ),
        ("seanet", {"bitrate": 0}, "bitrate is 0"),
        ("seanet", {"bitrate": float("nan")}, "bitrate is nan"),
        ("seanet", {"codebooks": 4}, "codebooks is 4; SEANetCodec has: 1, 2, 3"),
        ("seanet", {"codebooks": 0}, "codebooks is 0"),
        ("seanet", {"codebooks": 1, "bitrate": 500}, "give one of them"),
        ("seanet", {"precision": "float16"}, "precision is 'float16'; SEANetCodec has: exact"),
        ("latents", {"precision": "exact"}, "Music2Latent2 has: int8, float16"),
        ("latents", {"codebooks": 2}, "only latents"),
    ],
)
def test_choices_that_are_refused(kind: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_storage(CODECS[kind], **settings)  # type: ignore[arg-type]


def test_entropy_coding_is_lossless_and_chosen_by_default() -> None:
    codec = seanet()
    samples = sound(3, 8000)
    auto, none = codec.compress(samples, 8000), codec.compress(samples, 8000, entropy="none")
    assert (auto.header.entropy, none.header.entropy) == ("adaptive", "none")
    assert torch.equal(Compressed.from_bytes(auto.to_bytes()).frames, none.frames)
    assert codec.compress(samples, 8000, codebooks=1).bits < none.bits
    assert music2latent2().compress(samples, 8000).header.entropy == "none"
    with pytest.raises(ValueError, match="entropy is 'zip'; allowed: auto, none"):
        codec.compress(samples, 8000, entropy="zip")


def test_chunks_last_about_a_second_and_never_hold_too_much() -> None:
    assert seanet().compress(sound(0.1, 8000), 8000).header.frames_per_chunk == 100
    assert music2latent2().compress(sound(0.1, 8000), 8000).header.frames_per_chunk == 31
    fast = seanet(ratios=(2, 1), num_codebooks=3)  # 4000 frames a second
    assert fast.compress(sound(0.1, 8000), 8000).header.frames_per_chunk == 4096 // 3
    assert fast.compress(sound(0.1, 8000), 8000, entropy="none").header.frames_per_chunk == 4000


class Segmented(Codec):
    """Segments of 150 frames at 400 frames a second, 6400 or 160000 codes a second."""

    sample_rate, channels, frame_rate, seek_frames = 8000, 1, 400.0, 150  # type: ignore[assignment]
    num_codebooks, codebook_size, codebook_choices = 16, 4, (16, 400)  # type: ignore[assignment]
    config = {"segmented": True}  # noqa: RUF012
    encode = decode = None  # type: ignore[assignment]


def test_chunks_of_many_codes_a_second_hold_whole_segments_where_they_fit() -> None:
    for entropy, codebooks, frames in (
        ("none", 16, 450),
        ("auto", 16, 150),  # 2400 codes; 4096 are what the adaptive coder takes
        ("auto", 400, 10),  # a segment would have 60000
        ("none", 400, 450),
    ):
        codec = Segmented()  # type: ignore[abstract]
        storage = choose_storage(codec, codebooks=codebooks)
        header = make_header(
            codec, storage, sample_rate=8000, channels=1, length=1, entropy=entropy, name="x"
        )
        assert (header.frames_per_chunk, header.shape) == (frames, (codebooks,))


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (torch.zeros(0), 8000, "0 samples"),
        (torch.zeros(2, 1, 5), 8000, "use one sound"),
        (torch.zeros(()), 8000, "use one sound"),
        (torch.zeros(100, 2), 8000, "channels come first"),
        (torch.full((5,), float("nan")), 8000, "NaN or infinite"),
        (torch.zeros(5), 0, "whole number"),
        (torch.zeros(5), 8000.5, "whole number"),
        (torch.zeros(5), 10, "factor of 256"),
    ],
)
def test_sounds_that_are_refused(audio: torch.Tensor, rate: float, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        seanet().compress(audio, rate)  # type: ignore[arg-type]


def test_a_codec_without_a_name() -> None:
    codec = seanet(codebook_size=8)
    codec.name = ""
    with pytest.raises(ValueError, match="no name"):
        codec.compress(torch.zeros(10), 8000)
    assert codec.compress(torch.zeros(10), 8000, name="owner/name").header.codec == "owner/name"
    with pytest.raises(ContainerError, match="never a path"):
        codec.compress(torch.zeros(10), 8000, name="../evil")


def test_another_codec_is_named_with_both_configurations() -> None:
    one, other = seanet(), seanet(dimension=6)
    compressed = one.compress(sound(0.1, 8000), 8000)
    with pytest.raises(ContainerError) as caught:
        other.decompress(compressed)
    assert config_hash(one) in str(caught.value)
    assert config_hash(other) in str(caught.value)
    assert "'tiny'" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (9,)},
        {"codebook_size": 32},
        {"frame_rate": 2 * 100},
        {"kind": "latents", "shape": (2, 4), "codebook_size": 0, "precision": "int8", "entropy": "none"},
    ],
)
def test_headers_that_do_not_fit_the_codec(changes: dict[str, object]) -> None:
    from fractions import Fraction

    codec = seanet()
    compressed = codec.compress(sound(0.1, 8000), 8000)
    if "frame_rate" in changes:
        changes = {"frame_rate": Fraction(200)}
    header = replace(compressed.header, **changes)  # type: ignore[arg-type]
    with pytest.raises(ContainerError, match="does not make; the file is damaged"):
        codec.decompress(Compressed(header, compressed.frames))


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (-1.0, None, "start is -1.0"),
        (float("nan"), None, "start is nan"),
        (None, float("inf"), "stop is inf"),
        (0.2, 0.2, "not after start"),
        (0.5, None, "the sound ends at 0.5 s"),
    ],
)
def test_parts_that_are_refused(start: float | None, stop: float | None, message: str) -> None:
    codec = seanet()
    compressed = codec.compress(sound(0.5, 8000), 8000)
    with pytest.raises(ValueError, match=message):
        codec.decompress(compressed, start=start, stop=stop)


def test_too_few_frames_for_the_length() -> None:
    codec = seanet()
    compressed = codec.compress(sound(0.5, 8000), 8000)
    with pytest.raises(ContainerError, match="ends 80 samples early"):
        codec.decompress(Compressed(compressed.header, compressed.frames[:, :-1]))


def test_every_codec_keeps_the_contract() -> None:
    for codec in CODECS.values():
        assert isinstance(codec, Codec)
        assert codec.samples_per_frame == pytest.approx(codec.sample_rate / codec.frame_rate)
        assert codec.discrete or codec.latent_shape is not None
        assert codec.warm_up_frames >= 1
        assert codec.seek_frames == 1
        assert np.isfinite(codec.stream_encoder().latency + codec.stream_decoder().latency)
