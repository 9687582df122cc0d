"""Writing compressed-audio files: codes and latents come back, pieces, checks, failures."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundloom.codecs.container import (
    Compressed,
    ContainerError,
    ContainerReader,
    ContainerWriter,
    Header,
)
from tests.codecs.container.samples import (
    SAMPLES,
    formula_codes,
    formula_latents,
    join,
    latent_header,
    make_header,
    sample_bytes,
    split,
)


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    codebooks=st.integers(1, 9),
    size=st.sampled_from([2, 3, 7, 1000, 1024, 11**4, 2**31]),
    frames=st.integers(0, 70),
    per_chunk=st.integers(1, 40),
    entropy=st.sampled_from(["none", "adaptive"]),
    seed=st.integers(0, 2**31),
)
def test_codes_come_back(
    data: st.DataObject, codebooks: int, size: int, frames: int, per_chunk: int, entropy: str, seed: int
) -> None:
    high = data.draw(st.sampled_from([1, min(size, 5), size]))
    codes = torch.randint(0, high, (codebooks, frames), generator=torch.Generator().manual_seed(seed))
    header = make_header(
        shape=(codebooks,),
        codebook_size=size,
        frames_per_chunk=per_chunk,
        entropy=entropy,
        length=frames * 320,
    )
    compressed = Compressed(header, codes)
    back = Compressed.from_bytes(compressed.to_bytes())
    assert back.header == header
    assert back.frames.dtype == torch.int64
    assert torch.equal(back.frames, codes)
    start = data.draw(st.integers(0, frames))
    stop = data.draw(st.integers(start, frames))
    reader = ContainerReader(io.BytesIO(compressed.to_bytes()))
    assert torch.equal(reader.read(start, stop), codes[:, start:stop])
    assert torch.equal(reader.read(start), codes[:, start:])


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(0, 20),
    rows=st.integers(1, 5),
    channels=st.integers(1, 7),
    per_chunk=st.integers(1, 6),
    precision=st.sampled_from(["float16", "int8"]),
    seed=st.integers(0, 2**31),
)
def test_latents_come_back(
    frames: int, rows: int, channels: int, per_chunk: int, precision: str, seed: int
) -> None:
    latents = torch.tanh(
        torch.randn(frames, rows, channels, generator=torch.Generator().manual_seed(seed)) * 2
    )
    header = latent_header(
        shape=(rows, channels), frames_per_chunk=per_chunk, precision=precision, length=frames * 32000
    )
    back = Compressed.from_bytes(Compressed(header, latents).to_bytes())
    assert back.header == header
    assert back.frames.dtype == torch.float32
    assert back.frames.shape == latents.shape
    if precision == "float16":
        assert torch.equal(back.frames, latents.half().float())
    else:
        assert frames == 0 or (back.frames - latents).abs().max() < 0.0044


@settings(max_examples=50, deadline=None)
@given(pieces=st.lists(st.integers(0, 9), max_size=12), per_chunk=st.integers(1, 6))
def test_frames_may_be_written_in_any_pieces(pieces: list[int], per_chunk: int) -> None:
    header = make_header(frames_per_chunk=per_chunk, length=sum(pieces) * 320)
    codes = formula_codes(2, sum(pieces), 1024)
    stream = io.BytesIO()
    with ContainerWriter(stream, header) as writer:
        for part in codes.split(pieces, dim=1) if pieces else []:
            writer.write(part)
    assert stream.getvalue() == Compressed(header, codes).to_bytes()


def test_codes_of_smaller_integer_types_and_latents_of_other_floats_are_taken() -> None:
    codes = formula_codes(2, 10, 100)
    header = make_header(codebook_size=1024)
    wanted = Compressed(header, codes).to_bytes()
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert Compressed(header, codes.to(dtype)).to_bytes() == wanted
    latents = formula_latents(4, 2, 3)
    wanted = Compressed(latent_header(), latents).to_bytes()
    for other in (latents.double(), latents.half(), latents.bfloat16(), latents.requires_grad_()):
        assert Compressed(latent_header(), other).to_bytes() == wanted


@pytest.mark.parametrize("name", SAMPLES)
def test_chunks_are_independent(name: str) -> None:
    """Any chunk can be read when all the others are noise."""
    parts = split(sample_bytes(name))
    whole = list(ContainerReader(io.BytesIO(join(parts))).chunks())
    assert len(whole) == len(parts) - 2 > 2
    for kept, (first, frames) in enumerate(whole):
        noisy = [
            part if number in (0, kept + 1, len(parts) - 1) else part[:-1] + bytes([part[-1] ^ 0x55])
            for number, part in enumerate(parts)
        ]
        data = bytearray(join(noisy))
        place = 15 + len(parts[0])
        for number, part in enumerate(parts[1:-1]):
            place += len(part) + 4
            data[place - 1] ^= number != kept  # the checksum's last byte
        reader = ContainerReader(io.BytesIO(bytes(data)), recover=True)
        found = list(reader.chunks())
        assert [place for place, _ in found] == [first]
        assert torch.equal(found[0][1], frames)
        assert torch.equal(reader.read(first, first + 1), frames[..., :1] if frames.ndim == 2 else frames[:1])


def test_the_coder_is_used_only_where_it_saves_bytes() -> None:
    noise = torch.randint(0, 1024, (2, 40), generator=torch.Generator().manual_seed(0))
    codes = torch.cat([noise, torch.full((2, 40), 7)], 1)
    sizes = {}
    for entropy in ("none", "adaptive"):
        header = make_header(frames_per_chunk=40, entropy=entropy, length=100)
        parts = split(Compressed(header, codes).to_bytes())
        sizes[entropy] = [len(part) for part in parts[1:3]]
        assert [part[2:3] for part in parts[1:3]] == [b"P", b"P" if entropy == "none" else b"C"]
    assert sizes["adaptive"][0] == sizes["none"][0]
    assert sizes["adaptive"][1] < 0.3 * sizes["none"][1]


@pytest.mark.parametrize(
    ("header", "frames", "message"),
    [
        (make_header(), torch.zeros(3, 5, dtype=torch.long), "codes are torch.int64 [3, 5]"),
        (make_header(), torch.zeros(1, 2, 5, dtype=torch.long), "this file wants integers [2, T]"),
        (make_header(), torch.zeros(2, 5), "codes are torch.float32"),
        (make_header(), torch.tensor([[0, 1024], [0, 0]]), "from 0 to 1024; allowed: 0 to 1023"),
        (make_header(), torch.tensor([[-1, 3], [0, 0]]), "from -1 to 3"),
        (latent_header(), torch.zeros(5, 3, 2), "this file wants floats [T, 2, 3]"),
        (latent_header(), torch.zeros(5, 2, 3, dtype=torch.long), "latents are torch.int64"),
        (latent_header(), torch.full((1, 2, 3), math.nan), "NaN or infinite"),
        (latent_header(), torch.full((1, 2, 3), math.inf), "NaN or infinite"),
        (latent_header(), torch.full((1, 2, 3), 1e5), "float16 holds up to 65504"),
        (latent_header(precision="int8"), torch.full((1, 2, 3), 3e4), "int8 holds up to"),
    ],
)
def test_frames_are_checked(header: Header, frames: Tensor, message: str) -> None:
    stream = io.BytesIO()
    writer = ContainerWriter(stream, header)
    before = stream.getvalue()
    with pytest.raises(ContainerError) as caught:
        writer.write(frames)
    assert message in str(caught.value)
    assert stream.getvalue() == before


def test_the_length_is_checked() -> None:
    writer = ContainerWriter(io.BytesIO(), make_header(length=None))
    with pytest.raises(ContainerError, match="give close"):
        writer.close()
    with pytest.raises(ContainerError, match="length is 321 samples, but 0 frames at 50 per second hold"):
        writer.close(321)
    writer.close(320)  # a codec may leave a last, incomplete frame out
    with pytest.raises(ContainerError, match="is finished"):
        writer.write(formula_codes(2, 1, 1024))
    with pytest.raises(ContainerError, match="header says 3200"):
        ContainerWriter(io.BytesIO(), make_header()).close(100)
    with pytest.raises(ContainerError, match="at most 2880 at 16000 Hz"):
        Compressed(make_header(), formula_codes(2, 8, 1024)).to_bytes()


def test_closing_twice_writes_one_end() -> None:
    stream = io.BytesIO()
    with ContainerWriter(stream, make_header()) as writer:
        writer.write(formula_codes(2, 10, 1024))
        writer.close()
    assert Compressed.from_bytes(stream.getvalue()).frames.shape == (2, 10)


def test_a_file_whose_writing_failed_has_no_end() -> None:
    stream = io.BytesIO()
    with pytest.raises(KeyboardInterrupt), ContainerWriter(stream, make_header()) as writer:
        writer.write(formula_codes(2, 10, 1024))
        raise KeyboardInterrupt
    with pytest.raises(ContainerError, match="truncated"):
        ContainerReader(io.BytesIO(stream.getvalue()))


def test_a_writer_whose_stream_failed_cannot_be_closed() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 60:
                raise OSError(28, "No space left on device")
            return super().write(data)

    writer = ContainerWriter(Full(), make_header())
    with pytest.raises(OSError, match="No space"):
        writer.write(formula_codes(2, 10, 1024))
    with pytest.raises(ContainerError, match="cannot be finished"):
        writer.close()
    with pytest.raises(ContainerError, match="start another"):
        writer.write(formula_codes(2, 10, 1024))


def test_streams_that_take_or_give_only_a_little_at_a_time() -> None:
    class Slow(io.RawIOBase):
        data = b""

        def write(self, data: Any, /) -> int:
            self.data += bytes(data[:3])
            return min(len(data), 3)

    slow = Slow()
    with ContainerWriter(slow, make_header()) as writer:  # type: ignore[arg-type]
        writer.write(formula_codes(2, 10, 1024))
    assert slow.data == Compressed(make_header(), formula_codes(2, 10, 1024)).to_bytes()
