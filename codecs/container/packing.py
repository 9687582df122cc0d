"""Codes and latents as few bytes: mixed-radix bit packing, float16, int8 with a step per channel.

The layout of the bits is specified in docs/format.md. Letters: T frames, K codebooks, V codebook size, S
latents per frame, D channels of a latent.
"""

from __future__ import annotations

import numpy as np

from .fields import ContainerError

# Codes that share one whole number of bits; more of them save less than 1/64 bit per code.
GROUP = 64
BLOCK = 16384  # codes that are packed at once, for little memory; they end on a whole byte
# int8 latents: step = 2 ** ((exponent - STEP_ORIGIN) / STEPS_PER_OCTAVE); exponent 0 is a silent channel.
STEP_ORIGIN = 192
STEPS_PER_OCTAVE = 8


def group_bits(size: int, count: int) -> int:
    """Bits that hold any `count` codes of `size` values: `ceil(count * log2(size))`, exactly."""
    return (size**count - 1).bit_length()


def packed_size(count: int, size: int) -> int:
    """Bytes of `count` packed codes of `size` values each."""
    groups, rest = divmod(count, GROUP)
    return (groups * group_bits(size, GROUP) + group_bits(size, rest) + 7) // 8


def pack_codes(codes: np.ndarray, size: int) -> bytes:
    """Pack codes in groups of 64, each group one number in base `size`, most significant code and bit first.

    Args:
        codes: integers `[M]` from 0 to size - 1; the caller has checked them.
        size: V, 2 to 2**31.

    Returns:
        `packed_size(M, size)` bytes; unused bits of the last one are 0.
    """
    width = (size - 1).bit_length()
    if size == 1 << width:  # groups of whole bits are just bits: no long numbers needed
        shifts = np.arange(width - 1, -1, -1)
        return b"".join(
            np.packbits((codes[start : start + BLOCK, None] >> shifts & 1).astype(np.uint8)).tobytes()
            for start in range(0, len(codes), BLOCK)
        )
    stream = _BitWriter()
    for start in range(0, len(codes), GROUP):
        group = codes[start : start + GROUP].tolist()
        number = 0
        for value in group:
            number = number * size + value
        stream.write(number, group_bits(size, len(group)))
    return stream.finish()


def unpack_codes(data: bytes, count: int, size: int) -> np.ndarray:
    """Undo `pack_codes`.

    Args:
        data: exactly `packed_size(count, size)` bytes.
        count: M.
        size: V.

    Returns:
        int64 `[M]`.

    Raises:
        ContainerError: not that many bytes, a group beyond its range, or unused bits that are not 0.
    """
    if len(data) != packed_size(count, size):
        raise ContainerError(
            f"{len(data)} bytes for {count} codes of {size} values, which take {packed_size(count, size)}"
        )
    codes = np.empty(count, np.int64)
    width = (size - 1).bit_length()
    if size == 1 << width:
        stored = np.frombuffer(data, np.uint8)
        weights = np.int64(1) << np.arange(width - 1, -1, -1)
        for start in range(0, count, BLOCK):
            part = codes[start : start + BLOCK]
            bits = np.unpackbits(stored[start * width // 8 :], count=len(part) * width)
            np.matmul(bits.reshape(-1, width), weights, out=part)
        if count * width % 8 and stored[-1] & (0xFF >> count * width % 8):
            raise ContainerError("unused bits at the end of the codes are not 0")
        return codes
    stream = _BitReader(data)
    for start in range(0, count, GROUP):
        group = codes[start : start + GROUP]
        number = stream.read(group_bits(size, len(group)))
        for place in range(len(group) - 1, -1, -1):
            number, group[place] = divmod(number, size)
        if number:
            raise ContainerError(f"a group of codes is beyond {size}**{len(group)} - 1")
    stream.finish()
    return codes


class _BitWriter:
    """Collects numbers of any bit width, first bit in the top bit of the first byte."""

    def __init__(self) -> None:
        self._done = bytearray()
        self._pending = 0
        self._width = 0

    def write(self, number: int, width: int) -> None:
        self._pending = self._pending << width | number
        self._width += width
        keep = self._width % 8
        self._done += (self._pending >> keep).to_bytes(self._width // 8, "big")
        self._pending &= (1 << keep) - 1
        self._width = keep

    def finish(self) -> bytes:
        if self._width:
            self.write(0, 8 - self._width)
        return bytes(self._done)


class _BitReader:
    """Gives numbers back that `_BitWriter` collected; the caller knows that there are enough bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, width: int) -> int:
        first = self._position // 8
        self._position += width
        last = (self._position + 7) // 8
        number = int.from_bytes(self._data[first:last], "big")
        return number >> (last * 8 - self._position) & (1 << width) - 1

    def finish(self) -> None:
        if self.read(len(self._data) * 8 - self._position):
            raise ContainerError("unused bits at the end of the codes are not 0")


def check_range(latents: np.ndarray, precision: str) -> None:
    """Raise ContainerError if finite latents are too large for "float16" or "int8"."""
    largest = 65504.0 if precision == "float16" else 127 * float(_steps(np.array(255)))
    peak = float(np.abs(latents).max(initial=0.0))
    if peak > largest:
        raise ContainerError(
            f"a latent is {peak:g}; {precision} holds up to {largest:g}: divide the latents before"
        )


def pack_float16(latents: np.ndarray) -> bytes:
    """Latents of any shape, checked by `check_range`, as little-endian float16 in C order."""
    return latents.astype("<f2").tobytes()


def unpack_float16(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Undo `pack_float16`: float32 of `shape`.

    Raises:
        ContainerError: infinite values or NaN.
    """
    values = np.frombuffer(data, "<f2").astype(np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise ContainerError("the latents hold infinite values or NaN")
    return values


def pack_int8(latents: np.ndarray) -> bytes:
    """Latents `[T, S, D]` as one exponent byte per channel, then whole steps from -127 to 127 in C order.

    A channel's step is about the least `2 ** ((exponent - 192) / 8)` by which its largest value fits.
    `check_range` was passed.
    """
    peaks = np.abs(latents).max(axis=(0, 1)).astype(np.float64)
    octaves = np.log2(np.maximum(peaks, 1e-300) / 127)
    exponents = np.clip(np.ceil(STEPS_PER_OCTAVE * octaves + STEP_ORIGIN), 1, 255)
    exponents[peaks == 0] = 0
    steps = _steps(exponents)
    # Rounding of the logarithm may leave the peak a hair above 127 steps.
    whole = np.clip(np.rint(latents / np.where(steps > 0, steps, 1)), -127, 127)
    return exponents.astype(np.uint8).tobytes() + whole.astype(np.int8).tobytes()


def unpack_int8(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Undo `pack_int8`: float32 of `shape`, `[T, S, D]`.

    Raises:
        ContainerError: a value of -128, or values other than 0 in a channel of exponent 0.
    """
    exponents = np.frombuffer(data, np.uint8, count=shape[-1])
    whole = np.frombuffer(data, np.int8, offset=shape[-1]).reshape(shape)
    if (whole == -128).any() or whole[..., exponents == 0].any():
        raise ContainerError("the latents hold steps that are not allowed")
    return (whole * _steps(exponents)).astype(np.float32)


def _steps(exponents: np.ndarray) -> np.ndarray:
    """Steps of the exponents, float64."""
    powers = np.exp2((exponents.astype(np.float64) - STEP_ORIGIN) / STEPS_PER_OCTAVE)
    return np.where(exponents > 0, powers, 0.0)
