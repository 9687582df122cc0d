"""Examples that show how a training goes (Example), and checks of data against a network (AudioFormat)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class AudioFormat:
    """The sound that a network takes, for checking data against it.

    Attributes:
        owner: what takes it, for messages, such as "the codec".
        sample_rate: Hz.
        channels: numbers of channels that it takes.
        least_samples: of an item.
    """

    owner: str
    sample_rate: int
    channels: tuple[int, ...]
    least_samples: int = 1

    def check(self, *, sample_rate: int, channels: int, samples: int | None) -> None:
        """Raise ValueError unless data of this kind fits; `samples` of an item, None where it varies."""
        if sample_rate != self.sample_rate:
            raise ValueError(
                f"data.sample_rate is {sample_rate} Hz, but {self.owner} works at {self.sample_rate} Hz; set "
                f"--data.sample_rate {self.sample_rate}"
            )
        if channels not in self.channels:
            wanted = " or ".join(map(str, self.channels))
            raise ValueError(
                f"data.channels is {channels}, but {self.owner} takes {wanted}; set --data.channels "
                f"{self.channels[-1]}"
            )
        if samples is not None and samples < self.least_samples:
            raise ValueError(
                f"data.segment_seconds gives {samples} samples, but {self.owner} wants at least "
                f"{self.least_samples}; set --data.segment_seconds "
                f"{-(-self.least_samples * 100 // self.sample_rate) / 100:.2f} or more"
            )


@dataclass
class Example:
    """One item of a batch.

    Attributes:
        sounds: by what they are, such as "original" and "decoded": float `[C, N]`.
        sample_rate: of all of them, Hz.
        row: what else is to say of it, such as {"text": caption}.
    """

    sounds: Mapping[str, Tensor]
    sample_rate: int
    row: dict[str, Any] = field(default_factory=dict)
