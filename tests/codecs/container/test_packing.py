"""Bit packing, float16 and int8: exact sizes, known bytes, round trips, bytes that cannot be."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from soundloom.codecs.container import ContainerError
from soundloom.codecs.container.packing import (
    GROUP,
    check_range,
    group_bits,
    pack_codes,
    pack_float16,
    pack_int8,
    packed_size,
    unpack_codes,
    unpack_float16,
    unpack_int8,
)

SIZES = st.one_of(st.integers(2, 64), st.sampled_from([1000, 1024, 2048, 11**4, 2**31 - 1, 2**31]))


# --- codes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "size", "expected"),
    [
        ([1, 0, 1, 1], 2, "b0"),  # first code in the top bit
        ([1, 2, 3], 4, "6c"),
        ([1023, 0, 1], 1024, "ffc00004"),
        ([0x12345678], 2**31, "2468acf0"),  # 31 bits and a 0
        ([2, 1, 0], 3, "a8"),  # 2 * 9 + 1 * 3 = 21 in 5 bits
        ([14640, 1], 11**4, "cc6a231"),  # 14640 * 14641 + 1 in 28 bits, and 4 zeros
        ([], 7, ""),
    ],
)
def test_known_bytes(codes: list[int], size: int, expected: str) -> None:
    data = bytes.fromhex(expected + "0" * (len(expected) % 2))
    assert pack_codes(np.array(codes, np.int64), size) == data
    assert unpack_codes(data, len(codes), size).tolist() == codes


@pytest.mark.parametrize("size", [2, 3, 10, 11, 625, 1000, 1023, 1024, 1025, 11**4, 2**31 - 1, 2**31])
def test_a_code_takes_at_most_a_64th_of_a_bit_more_than_its_logarithm(size: int) -> None:
    bits = group_bits(size, GROUP)
    assert 2 ** (bits - 1) < size**GROUP <= 2**bits
    assert Fraction(bits, GROUP) < Fraction(math.log2(size)) + Fraction(1, GROUP)
    assert Fraction(bits, GROUP) <= math.ceil(math.log2(size))


@settings(max_examples=80, deadline=None)
@given(data=st.data(), size=SIZES, count=st.integers(0, 3 * GROUP))
def test_codes_come_back(data: st.DataObject, size: int, count: int) -> None:
    codes = data.draw(arrays.arrays(np.int64, count, elements=st.integers(0, size - 1)))
    packed = pack_codes(codes, size)
    assert len(packed) == packed_size(count, size)
    assert (unpack_codes(packed, count, size) == codes).all()


@pytest.mark.parametrize("size", [1024, 11**4])
def test_bytes_that_are_too_few_or_too_many(size: int) -> None:
    packed = pack_codes(np.arange(5), size)
    for wrong in (packed[:-1], packed + b"\0"):
        with pytest.raises(ContainerError, match=r"5 codes of \d+ values"):
            unpack_codes(wrong, 5, size)


@pytest.mark.parametrize(("count", "size"), [(3, 4), (3, 1024), (3, 3), (70, 11**4)])
def test_unused_bits_must_be_0(count: int, size: int) -> None:
    packed = bytearray(pack_codes(np.zeros(count, np.int64), size))
    packed[-1] |= 1
    with pytest.raises(ContainerError, match="unused bits"):
        unpack_codes(bytes(packed), count, size)


def test_a_group_beyond_its_range() -> None:
    with pytest.raises(ContainerError, match="beyond"):
        unpack_codes(b"\xff", 5, 3)  # 255 > 3**5 - 1


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), count=st.integers(0, 300), size=SIZES)
def test_any_bytes_give_codes_that_pack_to_them_or_an_error(data: bytes, count: int, size: int) -> None:
    data = data[: packed_size(count, size)].ljust(packed_size(count, size), b"\x5a")
    try:
        codes = unpack_codes(data, count, size)
    except ContainerError:
        return
    assert pack_codes(codes, size) == data


# --- latents -------------------------------------------------------------------------------------------

LATENTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6)),
    elements=st.floats(-29_000, 29_000, width=32),
)


@settings(max_examples=100, deadline=None)
@given(latents=LATENTS)
def test_float16_comes_back_as_numpy_rounds_it(latents: np.ndarray) -> None:
    back = unpack_float16(pack_float16(latents), latents.shape)
    assert back.dtype == np.float32
    assert (back == latents.astype(np.float16).astype(np.float32)).all()


@settings(max_examples=80, deadline=None)
@given(latents=LATENTS)
def test_int8_is_within_half_a_step_and_a_step_is_within_an_eighth_of_an_octave(latents: np.ndarray) -> None:
    packed = pack_int8(latents)
    assert len(packed) == latents.shape[-1] + latents.size
    back = unpack_int8(packed, latents.shape)
    peaks = np.abs(latents).max(axis=(0, 1)).astype(np.float64)
    steps = np.maximum(peaks / 127 * 2**0.125, 2.0**-23.8)
    assert (np.abs(back - latents) <= 0.5001 * steps + 1e-6 * peaks).all()
    assert (back[..., peaks == 0] == 0).all()


@pytest.mark.parametrize(
    ("peak", "exponent", "steps"),
    [(127.0, 192, 127), (-254.0, 200, -127), (1.0, 137, 117), (0.0, 0, 0), (1e-30, 1, 0)],
)
def test_int8_known_steps(peak: float, exponent: int, steps: int) -> None:
    packed = pack_int8(np.full((1, 1, 1), peak, np.float32))
    assert list(np.frombuffer(packed, np.int8)) == [np.uint8(exponent).astype(np.int8), steps]


def test_int8_has_its_own_step_for_every_channel() -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((4, 8, 3)) * [0.001, 1, 100]
    error = np.abs(unpack_int8(pack_int8(latents), latents.shape) - latents).max(axis=(0, 1))
    assert (error / np.abs(latents).max(axis=(0, 1)) < 0.005).all()


@pytest.mark.parametrize(("precision", "largest"), [("float16", 65504.0), ("int8", 29_800.0)])
def test_latents_beyond_the_range(precision: str, largest: float) -> None:
    check_range(np.array([-largest]), precision)
    with pytest.raises(ContainerError, match=f"{precision} holds up to"):
        check_range(np.array([1.001 * largest]), precision)


def test_stored_values_that_no_writer_stores() -> None:
    with pytest.raises(ContainerError, match="infinite"):
        unpack_float16(np.array([1, np.inf], "<f2").tobytes(), (1, 1, 2))
    with pytest.raises(ContainerError, match="NaN"):
        unpack_float16(np.array([1, np.nan], "<f2").tobytes(), (1, 1, 2))
    with pytest.raises(ContainerError, match="not allowed"):
        unpack_int8(b"\xc0\x80", (1, 1, 1))
    with pytest.raises(ContainerError, match="not allowed"):
        unpack_int8(b"\x00\x01", (1, 1, 1))
