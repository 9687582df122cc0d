"""Integrated loudness, ITU-R BS.1770-4, of whole sounds and of sounds that come in blocks.

pyloudnorm measures whole arrays only; files here may be hours long. Letters: C channels, N samples.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .errors import ArgumentError
from .limiter import limit

STEP_SECONDS = 0.1  # gating blocks of 0.4 s begin so far apart
STEPS = 4  # of a gating block
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute gate
LOWEST, HIGHEST = -70.0, 0.0  # LUFS that may be asked for


class LoudnessMeter:
    """Measures the loudness of a sound that comes in blocks; every channel counts alike.

    A sound of less than 0.4 s is measured as if silence followed.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sections = k_weighting(sample_rate)
        self._step = max(1, round(STEP_SECONDS * sample_rate))
        self._state: np.ndarray | None = None
        self._waiting: np.ndarray | None = None
        self._powers: list[float] = []  # of the whole steps, summed over channels

    def push(self, samples: Tensor) -> None:
        """Take the next samples, float `[C, N]`."""
        if not samples.shape[-1]:
            return
        from scipy.signal import sosfilt  # 70 MB, which most processes never need

        sound = samples.detach().cpu().double().numpy()
        if self._state is None or self._waiting is None:
            self._state = np.zeros((len(self._sections), len(sound), 2))
            self._waiting = np.zeros((len(sound), 0))
        weighted, self._state = sosfilt(self._sections, sound, axis=-1, zi=self._state)
        weighted = np.concatenate([self._waiting, weighted], axis=-1)
        whole = weighted.shape[-1] // self._step * self._step
        steps = np.square(weighted[:, :whole]).reshape(len(sound), -1, self._step)
        self._powers += steps.mean(-1).sum(0).tolist()
        self._waiting = weighted[:, whole:].copy()

    def integrated(self) -> float:
        """Loudness of all that was pushed, LUFS; minus infinity for what is silent or below the gate."""
        powers = list(self._powers)
        if len(powers) < STEPS and self._waiting is not None:
            powers.append(float(np.square(self._waiting).sum()) / self._step)
            powers += [0.0] * (STEPS - len(powers))
        if len(powers) < STEPS:
            return -math.inf
        blocks = np.lib.stride_tricks.sliding_window_view(np.array(powers), STEPS).mean(-1)
        heard = blocks[blocks > _power(ABSOLUTE_GATE)]
        if not len(heard):
            return -math.inf
        heard = heard[heard > heard.mean() * 10 ** (RELATIVE_GATE / 10)]
        return float(-0.691 + 10 * np.log10(heard.mean()))


def k_weighting(sample_rate: int) -> np.ndarray:
    """The two filters before the power is taken, second-order sections `[2, 6]`, for any sample rate.

    BS.1770 gives coefficients for 48 kHz; these are the analogue filters behind them.
    """
    k, q = math.tan(math.pi * min(1681.974450955533 / sample_rate, 0.49)), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    over = 1 + k / q + k * k
    shelf = [
        (high + band * k / q + k * k) / over,
        2 * (k * k - high) / over,
        (high - band * k / q + k * k) / over,
    ]
    shelf += [1.0, 2 * (k * k - 1) / over, (1 - k / q + k * k) / over]
    k, q = math.tan(math.pi * min(38.13547087602444 / sample_rate, 0.49)), 0.5003270373238773
    over = 1 + k / q + k * k
    low_cut = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / over, (1 - k / q + k * k) / over]
    return np.array([shelf, low_cut])


def integrated_loudness(samples: Tensor, sample_rate: int) -> float:
    """Integrated loudness of a sound `[C, N]`, LUFS; see `LoudnessMeter`."""
    meter = LoudnessMeter(sample_rate)
    meter.push(samples)
    return meter.integrated()


def check_loudness(lufs: float) -> float:
    """Return a loudness that is asked for; ValueError unless it is from -70 to 0 LUFS."""
    if not LOWEST <= lufs <= HIGHEST:
        raise ArgumentError(f"loudness is {lufs}; use {LOWEST:g} to {HIGHEST:g} LUFS, for example -23")
    return float(lufs)


def loudness_gain(measured: float, wanted: float) -> float:
    """Factor that takes a sound from one loudness in LUFS to another; 1.0 for silence."""
    return 10 ** ((wanted - measured) / 20) if math.isfinite(measured) else 1.0


def normalize_loudness(samples: Tensor, sample_rate: int, lufs: float) -> Tensor:
    """Bring each sound to a loudness, then limit it to full scale, which lowers sounds with high peaks.

    Args:
        samples: float32 `[C, N]` or `[B, C, N]`.
        sample_rate: Hz.
        lufs: integrated loudness, -70 to 0 LUFS.

    Raises:
        ValueError: another loudness.
    """
    check_loudness(lufs)
    if samples.ndim == 3:
        return torch.stack([normalize_loudness(sound, sample_rate, lufs) for sound in samples])
    return limit(samples * loudness_gain(integrated_loudness(samples, sample_rate), lufs), sample_rate)


def _power(lufs: float) -> float:
    return 10 ** ((lufs + 0.691) / 10)
