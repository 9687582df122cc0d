"""Nothing that runs on a device needs float64, which Apple's MPS does not have; saved files can be shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from soundloom.codecs.encodec.coded_segments import Segment
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audio import as_samples
from soundloom.evaluation.frechet import FrechetAudioDistance
from soundloom.evaluation.kl_divergence import KLDivergence
from soundloom.evaluation.prompt_accuracy import PromptAccuracy
from soundloom.evaluation.spectral_distance import LogSpectralDistance
from soundloom.gen.pipeline import AudioGen


class NoFloat64(TorchDispatchMode):
    """Stands for a device without float64: every operation that makes such a tensor is an error."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
                raise TypeError(f"{func} made float64, which this device does not have")
        return result


def test_generating_and_coding(tiny_model: AudioGen) -> None:
    codec = tiny_model.codec
    assert isinstance(codec, SEANetCodec)
    with torch.no_grad(), NoFloat64():
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(1).double()
        codes = codec.encode(torch.zeros(1, codec.channels, codec.sample_rate))
        assert codec.decode(codes).dtype == torch.float32
        sound = tiny_model.generate("a dog", duration=0.2, seed=1).samples
        assert sound.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_integers_become_floats_as_exactly_as_by_float64(dtype: torch.dtype) -> None:
    limits = torch.iinfo(dtype)
    values = torch.cat(
        [
            torch.tensor([limits.min, limits.min + 1, 0, 1, limits.max - 1, limits.max], dtype=dtype),
            torch.randint(limits.min, limits.max, (10_000,), generator=torch.Generator().manual_seed(1)).to(
                dtype
            ),
        ]
    )
    with NoFloat64():
        found = as_samples(values)
    zero, full = (128.0, 128.0) if dtype == torch.uint8 else (0.0, float(-limits.min))
    exact = ((values.numpy().astype(np.float64) - zero) / full).astype(np.float32)
    assert np.array_equal(found.numpy(), exact)


def test_the_loudness_of_a_segment_survives_to_the_last_bit_of_its_codes() -> None:
    codes = torch.zeros(3, 2, 5, dtype=torch.int64)
    segment = Segment(codes, torch.tensor([[1e-3], [0.5], [2.0]]))
    unpacked = Segment.unpack(segment.pack(1024), 1024)
    assert unpacked.scale is not None
    assert segment.scale is not None
    torch.testing.assert_close(unpacked.scale, segment.scale, rtol=3e-5, atol=0)
    assert torch.equal(Segment.unpack(unpacked.pack(1024), 1024).scale, unpacked.scale)


@pytest.mark.parametrize("kind", [LogSpectralDistance, FrechetAudioDistance, KLDivergence, PromptAccuracy])
def test_metrics_can_be_moved_to_a_device_without_float64(kind: Any) -> None:
    metric = kind()

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return tensor.clone()

    metric._apply(moved)
    sounds = torch.randn(3, 1, 16000, generator=torch.Generator().manual_seed(1)) / 10
    with NoFloat64():
        if kind is LogSpectralDistance:
            metric.update(sounds, sounds / 2)
        elif kind is FrechetAudioDistance:
            metric.update(sounds, 16000, real=True)
            metric.update(sounds.flip(-1), 16000, real=False)
        elif kind is KLDivergence:
            metric.update(sounds, 16000, sounds)
        else:
            metric.update(sounds, 16000, metric.classifier.class_names[:3])
    assert torch.isfinite(metric.compute())
