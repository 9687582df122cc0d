"""This package's codecs as contenders, and lists of them on the command line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.music2latent2.model import Music2Latent2
from soundloom.evaluation.bench.contenders import CodecContender, codec_contenders, parse_codecs, parse_rates
from soundloom.evaluation.bench.run import run_bench
from tests.evaluation.bench.stand_ins import RATE, Toy, sounds
from tests.tiny_codecs import MONO

LATENTS: dict[str, Any] = {
    **MONO,
    "sample_rate": RATE,
    "channels": 1,
    "hop": 16,
    "base_channels": 8,
    "dim": 16,
}


def test_a_codec_that_loses_samples_is_named() -> None:
    class Short(Toy):
        def decompress(self, *args: Any, **settings: Any) -> tuple[Tensor, int]:
            samples, rate = super().decompress(*args, **settings)
            return samples[:, 1:], rate

    with pytest.raises(
        RuntimeError, match="toy failed on s0: toy returned 1599 samples at 16000 Hz, not 1600"
    ):
        run_bench([CodecContender(Short(), "toy")], sounds(0.1), RATE)


def test_the_rates_of_a_codec_can_be_chosen() -> None:
    assert [contender.name for contender in codec_contenders("toy", Toy(), [10.0])] == ["toy 8"]
    assert [contender.name for contender in codec_contenders("toy", Toy(), [17.0, 8.0])] == [
        "toy 8",
        "toy 16",
    ]
    with pytest.raises(ValueError, match="bitrate 5 kbit/s is too low for Toy"):
        codec_contenders("toy", Toy(), [5.0])


def test_latents_are_stored_at_both_precisions() -> None:
    torch.manual_seed(0)
    codec = Music2Latent2(**LATENTS).eval()
    contenders = codec_contenders("m2l2", codec)
    assert [contender.name.split()[-1] for contender in contenders] == ["int8", "float16"]
    small, large = run_bench(contenders, sounds(0.02), RATE).rows
    assert small.kbps < large.kbps


def test_lists_on_the_command_line() -> None:
    assert parse_rates("6,12.5") == [6.0, 12.5]
    assert parse_codecs("a, b:3:6,me/c") == [("a", None), ("b", [3.0, 6.0]), ("me/c", None)]
    for text in ("", "a,,b", "a,a", "a:x", "a:-1", "a:0", "a:nan", "a:inf", "a:3:3"):
        with pytest.raises(ValueError, match="kbit/s|name"):
            parse_codecs(text)
