"""A stand-in for YAMNet's network: random weights, no file, no onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from soundloom.evaluation.yamnet import CLASSES, FEATURES


class TinySession:
    """Takes `[1, 1, 96, 64]`; features are a fixed random map of the mean over time, logits one of those."""

    def __init__(self, outputs: Sequence[int] = (CLASSES, FEATURES)) -> None:
        rng = np.random.default_rng(0)
        self.outputs = [SimpleNamespace(name=f"out{i}", shape=[1, size]) for i, size in enumerate(outputs)]
        self.to_features = rng.normal(size=(64, FEATURES)).astype(np.float32) / 8
        self.to_logits = rng.normal(size=(FEATURES, CLASSES)).astype(np.float32) / 32

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="log_mel", shape=[1, 1, 96, 64])]

    def get_outputs(self) -> list[SimpleNamespace]:
        return self.outputs

    def run(self, names: Sequence[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        (patch,) = feeds.values()
        assert list(feeds) == ["log_mel"]
        assert patch.shape == (1, 1, 96, 64)
        assert patch.dtype == np.float32
        features = np.maximum(patch.mean(axis=(1, 2)) @ self.to_features, 0)
        made = {CLASSES: features @ self.to_logits, FEATURES: features}
        by_name = {entry.name: made[entry.shape[1]] for entry in self.outputs}
        return [by_name[name] for name in (names or by_name)]
