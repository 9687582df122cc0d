"""A look-ahead peak limiter: what goes out stays within a ceiling, what is within it already stays as it is.

One object for whole sounds and for streams; how a sound is cut makes no difference, to the bit. Its gain is
the usual one of a look-ahead limiter: the gain that a sample needs is held over the look-ahead, let go of
exponentially, and smoothed by a moving average as long as the look-ahead, which reaches its value just when
the peak comes out.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

CEILING = 1.0  # full scale
LOOK_AHEAD = 0.005  # seconds by which the gain goes down before a peak
RELEASE = 0.1  # seconds in which what the limiter takes off falls to 1 / e
FORGOTTEN = 1e-4  # share of a peak's gain reduction below which the peak is forgotten
PIECE = 2**20  # samples that `limit` takes at once


class Limiter:
    """Keeps a sound within a ceiling, with one gain for all its channels.

    What comes out lags `delay` samples behind what goes in, but begins with the first sample and is, together
    with the flush, as long as what went in.

    Args:
        sample_rate: Hz.
        ceiling: largest absolute value of a sample that comes out.
        look_ahead: seconds in which the gain comes down before a peak.
        release: seconds in which the gain reduction then falls to 1 / e.

    Attributes:
        delay: samples.
        memory: samples after which a peak has no effect any more, look-ahead included.
        gain_reduction: dB, the most that was taken off so far, 0 or more.
    """

    def __init__(
        self,
        sample_rate: int,
        ceiling: float = CEILING,
        *,
        look_ahead: float = LOOK_AHEAD,
        release: float = RELEASE,
    ) -> None:
        if not math.isfinite(ceiling) or ceiling <= 0:
            raise ValueError(f"ceiling is {ceiling}; it must be a number above 0, 1.0 for full scale")
        if look_ahead < 0 or release <= 0:
            raise ValueError(
                f"look_ahead is {look_ahead} s and release {release} s; use 0 or more and above 0"
            )
        self.ceiling = ceiling
        self._window = max(1, round(look_ahead * sample_rate))
        self._decay = math.exp(-1 / (release * sample_rate))
        self._held = math.ceil(release * sample_rate * -math.log(FORGOTTEN))
        self.delay = self._window - 1
        self.memory = self._held + 2 * self._window
        self._most = 0.0
        self.reset()

    @property
    def gain_reduction(self) -> float:
        return -20 * math.log10(1 - self._most)

    def reset(self) -> None:
        """Forget the sound: the next samples begin a new one."""
        self._waiting: Tensor | None = None  # samples that have not come out
        self._needs: Tensor | None = None  # of the samples before the next one, what each needs taken off
        self._skip = self.delay

    def push(self, samples: Tensor) -> Tensor:
        """Take samples float32 `[..., C, N]`, N >= 0; return those that are ready, `[..., C, M]`, M >= 0."""
        need = (1 - self.ceiling / samples.abs().amax(-2).clamp_min(self.ceiling)).float()
        if self._waiting is None or self._needs is None:
            self._waiting = samples.new_zeros(*samples.shape[:-1], self.delay)
            # Before the sound nothing was needed.
            self._needs = need.new_zeros(*need.shape[:-1], self.memory)
        needs = torch.cat([self._needs, need], dim=-1)
        waiting = torch.cat([self._waiting, samples], dim=-1)
        count = samples.shape[-1]
        ready = waiting[..., :count]
        if bool(needs.any()):
            reduction = self._reduction(needs)[..., -count:] if count else need
            self._most = max(self._most, float(reduction.max()) if count else 0.0)
            # The clamp takes off what rounding leaves above the ceiling.
            ready = (ready * (1 - reduction).unsqueeze(-2)).clamp(-self.ceiling, self.ceiling)
        self._needs, self._waiting = needs[..., count:].clone(), waiting[..., count:].clone()
        skipped = min(self._skip, count)
        self._skip -= skipped
        return ready[..., skipped:]

    def flush(self) -> Tensor:
        """The sound has ended: return the rest, then begin anew. Nothing pushed gives `[1, 0]`."""
        if self._waiting is None:
            return torch.zeros(1, 0)
        rest = self.push(torch.zeros_like(self._waiting))
        self.reset()
        return rest

    def _reduction(self, needs: Tensor) -> Tensor:
        """What samples `[..., N]` need taken off -> what is taken off `delay` samples earlier, 0 to 1.

        Window by window from sums and maxima of shorter ones: every value is made by the same few operations,
        wherever it lies in the tensor.
        """
        held = _windows(needs, self._window, torch.maximum)
        let_go = _windows(held, self._held, torch.maximum, self._decay)
        return _windows(let_go, self._window, torch.add) / self._window


def _windows(
    values: Tensor, size: int, combine: Callable[[Tensor, Tensor], Tensor], decay: float = 1.0
) -> Tensor:
    """Combine each `size` values in a row, weighted by decay ** age: `[..., N] -> [..., N - size + 1]`."""
    count = values.shape[-1] - size + 1
    total: Tensor | None = None
    done, width = 0, 1  # values of the window that are in the total, from its newest on; width of `values`
    while True:
        if size & width:
            # `values` now combines `width` of them; take those just older than what is in the total.
            first = size - done - width
            part = values[..., first : first + count] * decay**done
            total = part if total is None else combine(total, part)
            done += width
        if done == size:
            assert total is not None
            return total
        values = combine(values[..., width:], values[..., :-width] * decay**width)
        width *= 2


def limit(samples: Tensor, sample_rate: int, ceiling: float = CEILING) -> Tensor:
    """Limit whole sounds `[..., C, N]`, float32, each by itself; see `Limiter`."""
    if samples.shape[-1] == 0 or float(samples.abs().max()) <= ceiling:
        return samples
    limiter = Limiter(sample_rate, ceiling)
    parts = [limiter.push(part) for part in samples.split(PIECE, dim=-1)]
    return torch.cat([*parts, limiter.flush()], dim=-1)


def limit_blocks(blocks: Iterable[Tensor], limiter: Limiter) -> Iterator[Tensor]:
    """Limit a sound that comes in blocks `[C, N]`; yields blocks of at least one sample."""
    for block in blocks:
        ready = limiter.push(block)
        if ready.shape[-1]:
            yield ready
    rest = limiter.flush()
    if rest.shape[-1]:
        yield rest
