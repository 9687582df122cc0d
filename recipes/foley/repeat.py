"""Groups of repeated events: close together or spread out, anywhere in the time."""

from __future__ import annotations

from collections.abc import Callable

from .events import between, place
from .granular import scatter
from .synth import Array, Rng, length_of


def repeated(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    number: int,
    length: float,
    one: Callable[[float], Array],
    *,
    gap: float = 0.3,
    jitter: float = 0.25,
    spacing: float | None = None,
) -> Array:
    """Render exactly `number` separated occurrences of an event, as one group somewhere in the time; `[N]`.

    Args:
        length: wanted duration of one occurrence, seconds; shortened when `number` of them would not fit.
        one: renders one occurrence, given the duration that is left for it.
        gap: least silence between two, seconds.
        jitter: irregularity of the spacing, 0..1 (see `granular.schedule`).
        spacing: seconds from one start to the next; None draws it between as close as possible and spread out
            over the whole time.
    """
    if number * (length + gap) > seconds:  # shorten the events before the silences between them
        room = seconds / number
        length = min(length, max(room - gap, 0.6 * room))
        gap = min(gap, room - length)
    slot = length + gap
    if spacing is None:
        spacing = between(rng, slot, max(slot, seconds / number))
    span = min(seconds, number * max(spacing, slot))
    group = place(rng, sample_rate, span, number, length, one, gap=gap, jitter=jitter)
    offset = rng.uniform(0, seconds - span)
    return scatter(length_of(seconds, sample_rate), sample_rate, (offset,), (group,))
