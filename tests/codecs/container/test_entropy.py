"""The adaptive coder: exact round trips, bytes worked out by hand, sizes near what the model promises."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from soundloom.codecs.container import ContainerError
from soundloom.codecs.container.entropy import decode_adaptive, encode_adaptive
from soundloom.codecs.container.packing import packed_size


def promised_bits(codes: np.ndarray, size: int) -> float:
    """Bits that the model of docs/format.md gives codes `[T, K]`, from its formula."""
    bits = 0.0
    for column in codes.T.tolist():
        counts: dict[int, int] = {}
        for done, code in enumerate(column):
            unseen = 5 + 4 * len(counts) if len(counts) < size else 0
            total = 5 * done - 4 * len(counts) + unseen
            if code in counts:
                bits -= math.log2((5 * counts[code] - 4) / total)
            else:
                bits -= math.log2(unseen / total / (size - len(counts)))
            counts[code] = counts.get(code, 0) + 1
    return bits


@pytest.mark.parametrize(
    ("column", "size", "expected"),
    [
        ([], 8, ""),
        ([0], 8, ""),  # the only choice is 1 of 8, which is rank 0: number 0
        ([5], 8, "05"),
        # Backwards from 0. Second 3: weight 1 from 0 of 10, 0 -> 0. First 3: rank 3 of 8, 0 -> 3.
        ([3, 3], 8, "03"),
        # Backwards: 6 is rank 5 of 7 left, 0 -> 5; unseen weighs 9 after 1 of 10, 5 -> 6; 3: 6 * 8 + 3 = 51.
        ([3, 6], 8, "33"),
        ([1, 0, 1, 1], 2, "09"),
    ],
)
def test_known_bytes(column: list[int], size: int, expected: str) -> None:
    codes = np.array(column, np.int64).reshape(-1, 1)
    assert encode_adaptive(codes, size).hex() == expected
    assert (decode_adaptive(bytes.fromhex(expected), len(column), 1, size) == codes).all()


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(0, 40), st.integers(1, 5)),
    size=st.sampled_from([2, 3, 7, 1024, 11**4, 2**31]),
    used=st.sampled_from([1, 2, 5, 2**31]),
)
def test_codes_come_back(data: st.DataObject, shape: tuple[int, int], size: int, used: int) -> None:
    codes = data.draw(arrays.arrays(np.int64, shape, elements=st.integers(0, min(size, used) - 1)))
    back = decode_adaptive(encode_adaptive(codes, size), *shape, size)
    assert back.dtype == np.int64
    assert back.shape == codes.shape
    assert (back == codes).all()


@pytest.mark.parametrize("spread", [1, 3, 30, 1000])
@pytest.mark.parametrize("size", [1024, 11**4])
def test_the_size_is_what_the_model_promises(spread: int, size: int) -> None:
    codes = (np.random.default_rng(spread).standard_exponential((50, 4)) * spread).astype(np.int64) % size
    assert 8 * len(encode_adaptive(codes, size)) <= promised_bits(codes, size) + 16


def test_repeated_codes_take_a_fraction_and_random_codes_hardly_more_than_plain_bits() -> None:
    rng = np.random.default_rng(0)
    plain = packed_size(200, 1024)
    steady = np.repeat(rng.integers(0, 1024, (5, 4)), 10, axis=0)
    assert len(encode_adaptive(steady, 1024)) < 0.4 * plain
    assert plain < len(encode_adaptive(rng.integers(0, 1024, (50, 4)), 1024)) < 1.05 * plain


def test_every_code_of_a_small_codebook_occurs() -> None:
    codes = np.array([[3], [1], [0], [2], [2], [0], [1], [3]])
    assert (decode_adaptive(encode_adaptive(codes, 4), 8, 1, 4) == codes).all()


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60), count=st.integers(0, 30), size=st.sampled_from([2, 3, 1024, 2**31]))
def test_any_bytes_give_codes_that_code_to_them_or_an_error(data: bytes, count: int, size: int) -> None:
    try:
        codes = decode_adaptive(data, count, 2, size)
    except ContainerError:
        return
    assert ((codes >= 0) & (codes < size)).all()
    assert encode_adaptive(codes, size) == data


def test_bytes_that_no_encoder_writes() -> None:
    with pytest.raises(ContainerError, match="needless 0"):
        decode_adaptive(b"\x00\x05", 1, 1, 8)
    with pytest.raises(ContainerError, match="goes on"):
        decode_adaptive(b"\x08", 1, 1, 8)
