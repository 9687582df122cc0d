"""`.ecdc` files: read and written by both the `encodec` package and soundloom; hostile and damaged ones."""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import json
import struct
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from soundloom.codecs import EnCodec, read_ecdc, write_ecdc
from soundloom.codecs.ecdc import ecdc_codes
from soundloom.codecs.ecdc import read_ecdc as ecdc
from soundloom.codecs.ecdc.ecdc_codes import load_language_model, new_language_model
from soundloom.codecs.ecdc.ecdc_header import EcdcError
from soundloom.codecs.ecdc.read_ecdc import EcdcReader
from soundloom.codecs.ecdc.write_ecdc import dump_ecdc, expected_frames
from soundloom.codecs.encodec.convert import PUBLISHED, randomize
from soundloom.core._torchaudio import import_encodec

NAMES = sorted(PUBLISHED)


class Setup:
    """A small codec, a language model of random weights, and the package made to use both."""

    def __init__(self, name: str) -> None:
        self.codec = EnCodec(**PUBLISHED[name], n_filters=4, dimension=8)
        randomize(self.codec.model)
        self.codec.eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.lm = new_language_model(self.codec)
        import_encodec()
        # `encodec.compress` is a function; the module of that name has to be asked for.
        self.package: Any = importlib.import_module("encodec.compress")

    def sound(self, seconds: float = 0.4, length: int | None = None) -> Tensor:
        """Noise `[1, C, N]`."""
        count = int(seconds * self.codec.sample_rate) if length is None else length
        generator = torch.Generator().manual_seed(count)
        return torch.randn(1, self.codec.channels, count, generator=generator) * 0.1

    def dump(self, audio: Tensor, lm: bool = False) -> bytes:
        """What we write."""
        stream = io.BytesIO()
        dump_ecdc(stream, audio, self.codec, language_model=self.lm if lm else None)
        return stream.getvalue()

    def load(self, data: bytes) -> Tensor:
        """What we read, `[C, N]`."""
        reader = EcdcReader(io.BytesIO(data), self.codec, language_model=self.lm, name="sound.ecdc")
        return torch.cat(list(reader), dim=-1)


@pytest.fixture(scope="module", params=NAMES)
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(request.param)


@pytest.fixture(autouse=True)
def package_without_downloads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package find our models where it would fetch Meta's."""
    if "setup" not in request.fixturenames:
        return
    found: Setup = request.getfixturevalue("setup")
    found.codec.bandwidth = 3.0
    monkeypatch.setitem(found.package.MODELS, found.codec.model.name, lambda: found.codec.model)
    monkeypatch.setattr(type(found.codec.model), "get_lm_model", lambda _: found.lm)


# --- with the package, both directions -----------------------------------------------------------------


@pytest.mark.parametrize("lm", [False, True], ids=["plain", "lm"])
def test_both_directions(setup: Setup, lm: bool) -> None:
    seconds = 0.9 if setup.codec.segment_length is None else 2.5
    audio = setup.sound(0.15 if lm else seconds)
    theirs = setup.package.compress(setup.codec.model, audio[0], use_lm=lm)
    ours = setup.dump(audio, lm)
    assert ours == theirs
    expected, rate = setup.package.decompress(ours)
    assert rate == setup.codec.sample_rate
    assert expected.shape == audio.shape[1:]
    torch.testing.assert_close(setup.load(theirs), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bandwidth", [3.0, 6.0, 12.0, 24.0])
def test_every_bandwidth(setup: Setup, bandwidth: float) -> None:
    audio = setup.sound(0.5)
    setup.codec.bandwidth = bandwidth
    data = setup.dump(audio)
    assert data == setup.package.compress(setup.codec.model, audio[0])
    expected, _ = setup.package.decompress(data)
    torch.testing.assert_close(setup.load(data), expected, atol=1e-5, rtol=1e-4)
    assert 8 * len(data) / 0.5 / 1000 == pytest.approx(bandwidth, rel=0.5)


@pytest.mark.parametrize("lm", [False, True], ids=["plain", "lm"])
def test_lengths_that_the_package_counts_wrong(setup: Setup, lm: bool) -> None:
    """6720 samples are 21 frames; the package writes them, then expects 22."""
    audio = setup.sound(length=6720)
    theirs = setup.package.compress(setup.codec.model, audio[0], use_lm=lm)
    with pytest.raises(EOFError):
        setup.package.decompress(theirs)
    ours = setup.dump(audio, lm)
    assert len(ours) > len(theirs)
    expected = setup.codec.decode(setup.codec.encode(audio), 6720)[0]
    for data in (theirs, ours):
        torch.testing.assert_close(setup.load(data), expected, atol=2e-5, rtol=5e-5)
    found, _ = setup.package.decompress(ours)
    assert found.shape == expected.shape
    if setup.codec.segment_length is None:  # the other network sees the added frame
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 319, 47520, 47521, 47680, 47840, 48000, 48001, 95041])
def test_awkward_lengths(setup: Setup, length: int) -> None:
    audio = setup.sound(length=length)
    found = setup.load(setup.dump(audio))
    assert found.shape == audio.shape[1:]
    assert bool(torch.isfinite(found).all())
    assert torch.equal(found, setup.load(setup.package.compress(setup.codec.model, audio[0])))


def test_many_blocks(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = setup.sound(1.0)
    data, expected = setup.dump(audio), setup.load(setup.dump(audio))
    monkeypatch.setattr(ecdc, "BLOCK_FRAMES", 4)
    assert setup.dump(audio) == data
    blocks = list(EcdcReader(io.BytesIO(data), setup.codec))
    torch.testing.assert_close(torch.cat(blocks, dim=-1), expected, atol=1e-5, rtol=1e-4)
    if setup.codec.segment_length is None:
        assert max(block.shape[-1] for block in blocks) <= 10 * 320


# --- files and pipes -----------------------------------------------------------------------------------


def test_files(setup: Setup, tmp_path: Path) -> None:
    codec, path = setup.codec, tmp_path / "sound.ecdc"
    audio = np.sin(np.arange(22050) / 20).astype(np.float32)
    assert write_ecdc(path, audio, 44100, codec) == path
    assert list(tmp_path.iterdir()) == [path]
    found = read_ecdc(path, codec)
    prepared = codec.prepare(audio, 44100)
    assert found.sample_rate == codec.sample_rate
    assert found.samples.shape == prepared.shape
    expected = codec.decode(codec.encode(prepared), prepared.shape[-1])
    count = prepared.shape[-1] - 480
    torch.testing.assert_close(found.samples[..., :count], expected[..., :count], atol=2e-5, rtol=5e-5)

    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"sound\.ecdc already exists"):
        write_ecdc(path, audio, 44100, codec)
    with pytest.raises(ValueError, match="NaN"):
        write_ecdc(path, audio * np.nan, 44100, codec, force=True)
    assert path.read_bytes() == before
    write_ecdc(path, audio[:1000], 44100, codec, force=True, language_model=setup.lm)
    assert json.loads(path.read_bytes()[9:].split(b"}")[0] + b"}")["lm"] is True
    assert read_ecdc(path, codec, language_model=setup.lm).samples.shape[-1] < 1500
    assert list(tmp_path.iterdir()) == [path]

    with pytest.raises(FileNotFoundError, match="no such file"):
        read_ecdc(tmp_path / "none.ecdc", codec)
    with pytest.raises(IsADirectoryError):
        read_ecdc(tmp_path, codec)
    with pytest.raises(IsADirectoryError):
        write_ecdc(tmp_path, audio, 44100, codec)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        write_ecdc(tmp_path / "no" / "sound.ecdc", audio, 44100, codec)


def test_a_failure_leaves_nothing(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(ecdc_codes.PlainPacker, "push", fail)
    with pytest.raises(KeyboardInterrupt):
        write_ecdc(tmp_path / "sound.ecdc", setup.sound()[0], setup.codec.sample_rate, setup.codec)
    assert not list(tmp_path.iterdir())


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(size, 7))


def test_pipes(setup: Setup) -> None:
    data = setup.dump(setup.sound())
    found = torch.cat(list(EcdcReader(Pipe(data), setup.codec)), dim=-1)  # type: ignore[arg-type]
    assert torch.equal(found, setup.load(data))
    with pytest.raises(EcdcError, match="<stream>: byte .*truncated"):
        list(EcdcReader(Pipe(data[:-1]), setup.codec))  # type: ignore[arg-type]


def test_sounds_that_cannot_be_written(setup: Setup) -> None:
    with pytest.raises(ValueError, match="holds 1 sound, not 2"):
        setup.dump(torch.zeros(2, setup.codec.channels, 100))
    other = EnCodec(sample_rate=16000, n_filters=2, dimension=8)
    with pytest.raises(ValueError, match="cannot hold what encodec_16khz made"):
        dump_ecdc(io.BytesIO(), torch.zeros(1, 1, 100), other)
    wrong = Setup(next(name for name in NAMES if name[8:10] != setup.codec.model.name[8:10]))
    with pytest.raises(ValueError, match="load that codec"):
        EcdcReader(io.BytesIO(setup.dump(setup.sound())), wrong.codec)


# --- damaged and hostile files -------------------------------------------------------------------------


def forge(**fields: Any) -> Callable[[Setup], bytes]:
    """A file of a real sound whose header has other fields."""

    def make(setup: Setup) -> bytes:
        data = setup.dump(setup.sound())
        (size,) = struct.unpack("!I", data[5:9])
        header = json.dumps(json.loads(data[9 : 9 + size]) | fields).encode()
        return b"ECDC\x00" + struct.pack("!I", len(header)) + header + data[9 + size :]

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: b"", "byte 0: the file ends"),
        (lambda _: b"RIFF" + bytes(40), "byte 0: it begins with b'RIFF'"),
        (lambda _: b"ECDC\x01" + bytes(40), "byte 4: the format's version is 1"),
        (lambda _: b"ECDC\x00\xff\xff\xff\xff{}", "byte 5: the header has 4294967295 bytes"),
        (lambda _: b"ECDC\x00\x00\x00\x00\x04nope", "byte 9: the header is not JSON"),
        (lambda _: b"ECDC\x00\x00\x00\x0f\xa0" + b"[" * 4000, "byte 9: the header is not JSON"),
        (lambda _: b"ECDC\x00\x00\x00\x00\x02[]", "byte 9: the header lacks"),
        (lambda _: b"ECDC\x00\x00\x00\x00\x02\xff\xfe", "byte 9: the header is not JSON"),
        (forge(m="../../etc/passwd"), "the model is '../../etc/passwd'"),
        (forge(m=["encodec_24khz"]), "the header lacks"),
        (forge(al=0), "the length is 0"),
        (forge(al=-5), "the length is -5"),
        (forge(al=2**63), "the length is 9.223e\\+18"),
        (forge(al=10**300), "the length is 1e\\+300"),
        (forge(al=2**47), "bytes more"),
        (forge(al=1.5), "the header lacks"),
        (forge(al=True), "the header lacks"),
        (forge(nc=0), "there are 0 codebooks"),
        (forge(nc=10**9), "there are 1000000000 codebooks"),
        (forge(nc="4"), "the header lacks"),
        (forge(lm=1), "the header lacks"),
        (forge(lm=True, al=2**47), "max_seconds is 14400"),
        (lambda setup: setup.dump(setup.sound()) + b"\x00", "data is left after the last frame"),
    ],
)
def test_hostile_files(make: Callable[[Setup], bytes], message: str, setup: Setup) -> None:
    with pytest.raises(EcdcError, match=message) as caught:
        setup.load(make(setup))
    assert "sound.ecdc: " in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0, -1.0, 1e30])
def test_hostile_loudness(scale: float) -> None:
    setup = Setup("encodec-48khz")
    data = bytearray(setup.dump(setup.sound()))
    (size,) = struct.unpack("!I", data[5:9])
    data[9 + size : 13 + size] = struct.pack("!f", scale)
    with pytest.raises(EcdcError, match=f"byte {9 + size}: a segment's loudness is"):
        setup.load(bytes(data))


@pytest.mark.parametrize("lm", [False, True], ids=["plain", "lm"])
def test_truncated_at_every_byte(setup: Setup, lm: bool) -> None:
    data = setup.dump(setup.sound(0.03), lm)
    expected = setup.load(data)
    for size in range(len(data)):
        try:
            found = setup.load(data[:size])
        except EcdcError as error:
            assert "sound.ecdc: byte" in str(error)
        else:
            # The arithmetic coder's last bits may all be implied by those before.
            assert lm
            assert size >= len(data) - 4
            assert found.shape == expected.shape


@pytest.mark.parametrize("lm", [False, True], ids=["plain", "lm"])
def test_each_bit_flipped(setup: Setup, lm: bool) -> None:
    """There is no checksum: another sound may come out, or a clear error, nothing else."""
    data = setup.dump(setup.sound(0.01), lm)
    outcomes = set()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = setup.load(bytes(damaged))
        except (EcdcError, ValueError) as error:
            # A header may turn into that of the other model, which is no damage that could be seen.
            assert "sound.ecdc" in str(error)
            outcomes.add("error")
        else:
            assert bool(torch.isfinite(found).all())
            outcomes.add("sound")
    assert outcomes == {"error", "sound"}


@functools.cache
def shared_codec() -> EnCodec:
    """One for all examples."""
    return EnCodec(n_filters=2, dimension=8).eval().requires_grad_(False)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), header=st.booleans())
def test_random_bytes(data: bytes, header: bool) -> None:
    codec = shared_codec()
    if header:
        text = b'{"m": "encodec_24khz", "al": 900, "nc": 2, "lm": false}'
        data = b"ECDC\x00" + struct.pack("!I", len(text)) + text + data
    try:
        blocks = list(EcdcReader(io.BytesIO(data), codec))
    except EcdcError:
        return
    assert sum(block.shape[-1] for block in blocks) == 900


# --- language models -----------------------------------------------------------------------------------


def test_language_models_are_loaded(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, file = setup.codec, tmp_path / "lm.th"
    torch.save(setup.lm.state_dict(), file)
    loaded = load_language_model(codec, file)
    state = setup.lm.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    assert not loaded.training

    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="no language model for encodec"):
        load_language_model(codec, file)

    # Without a file: torch.hub's cache first, then the address that the package uses.
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    asked = []

    def offline(url: str, *_: Any, **kwargs: Any) -> None:
        asked.append((url, kwargs["hash_prefix"]))
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(OSError, match="cannot fetch the language model"):
        read = setup.dump(setup.sound(0.02), lm=True)
        EcdcReader(io.BytesIO(read), codec)
    name = ecdc_codes.LANGUAGE_MODELS[codec.model.name]
    assert asked == [(f"https://dl.fbaipublicfiles.com/encodec/v0/{name}", name[-11:-3])]
    cached = tmp_path / "checkpoints" / name
    torch.save(setup.lm.state_dict(), cached)
    with pytest.raises(OSError, match="SHA-256"):
        load_language_model(codec)
    digest = hashlib.sha256(cached.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(ecdc_codes.LANGUAGE_MODELS, codec.model.name, f"lm-{digest}.th")
    cached.rename(tmp_path / "checkpoints" / f"lm-{digest}.th")
    assert isinstance(load_language_model(codec), nn.Module)


def test_the_names_are_the_packages() -> None:
    """The package keeps the names of its weight files inside functions: look into these."""
    source = Path(sys.modules[import_encodec().EncodecModel.__module__].__file__ or "").read_text()
    assert all(name in source for name in ecdc_codes.LANGUAGE_MODELS.values())
    assert ecdc_codes.LANGUAGE_MODEL_URL in source


def test_the_coder_keeps_no_history(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    coders = []
    ac = import_encodec().quantization.ac

    class Watched(ac.ArithmeticCoder):  # type: ignore[misc, name-defined]
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            coders.append(self)

    monkeypatch.setattr(ac, "ArithmeticCoder", Watched)
    setup.dump(setup.sound(0.1), lm=True)
    assert coders
    assert not any(coder._dbg or coder._dbg2 for coder in coders)


def test_the_package_expects_as_many_frames_as_we_say() -> None:
    codec = EnCodec(n_filters=2, dimension=8)
    more = [size for size in range(1, 70_000) if expected_frames(codec, size) != -(-size // 320)]
    assert more[:3] == [6720, 13440, 16320]
    assert all(expected_frames(codec, size) == size // 320 + 1 for size in more)
