"""What codecs make of number types, of autocast around them, and of bytes in memory."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from soundloom.codecs import Codec, Compressed, ContainerError
from tests import tiny_codecs

CODECS = {
    "seanet": tiny_codecs.seanet,
    "latents": tiny_codecs.music2latent2,
    "codes or latents": lambda: tiny_codecs.music2latent2(discrete=True),
}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Iterator[Codec]:
    yield CODECS[request.param]()


def test_autocast_changes_nothing(codec: Codec) -> None:
    audio = tiny_codecs.sound(1, 8000)[None]
    codes, stream = codec.encode(audio), codec.stream_encoder()
    sound = codec.decode(codes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(codec.encode(audio), codes)
        assert torch.equal(codec.decode(codes), sound)
        assert sound.dtype == torch.float32
        streamed = torch.cat([stream.push(audio), stream.flush()], dim=2 if codes.ndim == 3 else 1)
        compressed = codec.compress(audio, 8000)
    torch.testing.assert_close(streamed, codes)
    torch.testing.assert_close(compressed.frames, codec.compress(audio, 8000).frames)


def test_numpy_arrays(codec: Codec) -> None:
    audio = tiny_codecs.sound(0.5, 8000)[None]
    codes = codec.encode(audio)
    assert torch.equal(codec.encode(audio.numpy()), codes)
    assert torch.equal(codec.encode(audio.double().numpy()), codes)
    whole = (audio * 32768).round().to(torch.int16)
    assert torch.equal(codec.encode(whole.numpy()), codec.encode(whole.float() / 32768))
    assert torch.equal(codec.decode(codes.numpy()), codec.decode(codes))
    with pytest.raises(TypeError, match="use a torch.Tensor or a numpy array"):
        codec.encode(audio.tolist())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_works_or_is_refused(codec: Codec, dtype: torch.dtype) -> None:
    audio = tiny_codecs.sound(0.5, 8000)[None]
    codes, sound = codec.encode(audio), codec.decode(codec.encode(audio))
    half = copy.deepcopy(codec)
    assert isinstance(half, torch.nn.Module)
    torch.nn.Module.to(half, dtype)
    decoded = half.decode(codes)
    assert decoded.dtype == torch.float32
    assert decoded.shape == sound.shape
    assert float((decoded - sound).abs().max()) < 0.1 * float(sound.abs().max()) + 0.05
    if codec.latent_shape is None:
        for encode in (lambda: half.encode(audio), half.stream_encoder, lambda: half.compress(audio, 8000)):
            with pytest.raises(ValueError, match=r"call codec\.float\(\) first"):
                encode()
    else:
        assert half.encode(audio).shape == codes.shape


def test_compressed_sounds_in_memory(tmp_path: Path) -> None:
    codec = tiny_codecs.seanet()
    compressed = codec.compress(tiny_codecs.sound(0.5, 16000), 16000)
    expected, rate = codec.decompress(compressed)
    stream = io.BytesIO()
    assert compressed.save(stream) is stream
    data = stream.getvalue()
    assert data == compressed.to_bytes() == compressed.save(tmp_path / "a.loom").read_bytes()
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert torch.equal(Compressed.load(source).frames, compressed.frames)
    with (tmp_path / "a.loom").open("rb") as file:
        assert torch.equal(Compressed.load(file).frames, compressed.frames)
    for content in (data, io.BytesIO(data)):
        restored, found = codec.decompress(content, start=0.1, stop=0.2)
        assert found == rate
        assert torch.equal(restored, codec.decompress(compressed, start=0.1, stop=0.2)[0])
    assert torch.equal(codec.decompress(data)[0], expected)
    with pytest.raises(ContainerError):
        codec.decompress(b"no such file")


@pytest.mark.parametrize("shape", [(48, 2), (1, 48, 2), (64, 1)])
def test_channels_behind_samples_are_refused(shape: tuple[int, ...]) -> None:
    codec = tiny_codecs.seanet()
    for use in (codec.prepare, codec.compress):
        with pytest.raises(ValueError, match="transpose"):
            use(np.zeros(shape, dtype=np.float32), 16000)


def test_the_scale_of_integers_is_refused_in_floats() -> None:
    codec = tiny_codecs.seanet()
    sound = (tiny_codecs.sound(0.5, 8000) * 32768).round()
    for use in (codec.prepare, codec.compress):
        with pytest.raises(ValueError, match=r"divide by 32768\.0"):
            use(sound, 8000)
        use(sound.to(torch.int16), 8000)
