"""How many clips of a training mix each class of sound gets, and which recordings they are made of.

Classes share the clips evenly, within two bounds: each recording is used at least once (if there are enough
clips), and none more than a number of times, since a model that meets the same one too often learns it by
heart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np


def even_shares(
    recordings: Mapping[str, int], clips: int, *, max_repeats: int, unbounded: Collection[str] = ()
) -> dict[str, int]:
    """Share clips out to classes, as evenly as the bounds allow.

    Args:
        recordings: how many each class has.
        clips: to share out.
        max_repeats: clips that one recording may be in.
        unbounded: classes that can have any number of clips, since they are rendered as well.

    Returns:
        Clips of each class, `clips` in all.

    Raises:
        ValueError: the recordings do not suffice for that many clips.
    """
    if max_repeats < 1:
        raise ValueError(f"max_repeats is {max_repeats}; it must be 1 or more")
    names = sorted(recordings)
    own = np.array([recordings[name] for name in names], dtype=np.int64)
    most = np.array(
        [
            clips if name in unbounded else max_repeats * number
            for name, number in zip(names, own, strict=True)
        ]
    )
    least = np.minimum(own, most) if own.sum() <= clips else np.zeros_like(own)
    if most.sum() < clips:
        raise ValueError(
            f"{clips} clips cannot be made of {own.sum()} recordings in {max_repeats} clips each, only "
            f"{most.sum()}; ask for fewer clips or more repeats"
        )
    # The level at which as many clips are dealt out as there are, whole clips first.
    low, high = 0, clips
    while low < high:
        level = (low + high + 1) // 2
        if np.clip(level, least, most).sum() <= clips:
            low = level
        else:
            high = level - 1
    shares = np.clip(low, least, most)
    for place in np.flatnonzero((shares == low) & (shares < most))[: clips - int(shares.sum())]:
        shares[place] += 1
    return dict(zip(names, shares.tolist(), strict=True))


def deal(rng: np.random.Generator, items: int, times: int) -> np.ndarray:
    """Draw `times` of items 0..items-1, each as often as every other one or once more: int64 `[times]`."""
    rounds = -(-times // items) if items else 0
    order = [rng.permutation(items) for _ in range(rounds)]
    return np.concatenate([*order, np.zeros(0, dtype=np.int64)])[:times].astype(np.int64)
