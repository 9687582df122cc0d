"""What a user can get wrong: odd sounds, latents, settings and configurations."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.music2latent2 import Music2Latent2
from soundloom.core.audio import read_audio, write_audio
from tests.codecs.music2latent2.small import DECODINGS, MODELS, MONO, every_model, sound


@pytest.mark.parametrize("samples", [1, 100])
@every_model
def test_very_short_sounds(name: str, samples: int) -> None:
    model = MODELS[name]
    audio = sound(model, samples)
    assert model.decode(model.encode(audio), samples).shape == audio.shape


@every_model
def test_silence_and_clipping(name: str) -> None:
    model = MODELS[name]
    for audio in (torch.zeros(1, model.channels, 200), 10 * sound(model, 200).sign()):
        decoded = model.decode(model.encode(audio), 200)
        assert torch.isfinite(decoded).all()
        assert decoded.abs().max() <= 1


def test_audio_that_is_refused() -> None:
    model = MODELS["music2latent2"]
    cases = {
        r"shape \[1, 1, 0\]": torch.zeros(1, 1, 0),
        r"shape \[1, 8, 100\]; \[B, 1, N\]": torch.zeros(1, 8, 100),
        r"shape \[1, 2, 100\]": torch.zeros(1, 2, 100),
        r"shape \[100\]": torch.zeros(100),
        "NaN or infinite": torch.full((1, 1, 100), torch.nan),
        "nan_to_num": torch.full((1, 1, 100), torch.inf),
    }
    for message, audio in cases.items():
        with pytest.raises(ValueError, match=message):
            model.encode(audio)
        if isinstance(audio, Tensor) and audio.shape == (1, 1, 0):
            continue  # nothing to add to a stream
        with pytest.raises(ValueError, match=message):
            model.stream_encoder().push(audio)
    for other in (torch.zeros(1, 1, 100, dtype=torch.int16), torch.zeros(1, 1, 100).numpy()):
        with pytest.raises(ValueError, match=r"(torch\.int16|ndarray).*prepare"):
            model.stream_encoder().push(other)  # type: ignore[arg-type]


def test_prepare_takes_what_encode_refuses() -> None:
    model = MODELS["music2latent2"]
    stereo = torch.randint(-3000, 3000, (8, 1000), dtype=torch.int16)
    audio = model.prepare(stereo.numpy(), 16000)
    assert model.decode(model.encode(audio), audio.shape[-1]).shape == (1, 1, 500)


def test_a_stereo_file_into_a_mono_model(tmp_path: Path) -> None:
    model = MODELS["music2latent2"]
    left, right = sound(model, 300)[0], sound(model, 300, seed=1)[0]
    write_audio(tmp_path / "stereo.wav", torch.cat((left, right)), 8000)
    stereo, rate = read_audio(tmp_path / "stereo.wav")
    with pytest.raises(ValueError, match=r"shape \[1, 2, 300\]; \[B, 1, N\].*prepare"):
        model.encode(stereo[None])
    audio = model.prepare(stereo, rate)
    torch.testing.assert_close(audio, (left + right)[None] / 2, atol=1e-4, rtol=0)
    assert model.decode(model.encode(audio), 300).shape == (1, 1, 300)
    model.name = "mono"
    decoded, rate = model.decompress(model.compress(stereo, rate))
    assert (decoded.shape, rate) == ((1, 300), 8000), "a mono model stores the mean of both channels"


HOUR = """
import resource, sys
import torch
from tests.codecs.music2latent2.small import MONO, build
from dataclasses import replace
from pathlib import Path

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch.set_num_threads(1)
model = build(replace(MONO, hop=1024, frames_per_chunk=32, strides=((16, 4),), base_channels=4, dim=8))
decoding = sys.argv[2]
piece = 0.3 * torch.randn(1, 1, 10 * 8000)

def stream(pieces):
    encoder, decoder, samples = model.stream_encoder(), model.stream_decoder(decoding=decoding), 0
    for _ in range(pieces):
        samples += decoder.push(encoder.push(piece)).shape[-1]
    samples += decoder.push(encoder.flush()).shape[-1]
    return samples + decoder.flush().shape[-1]

stream(18)
before = peak()
if sys.argv[1] == "stream":
    samples = stream(360)
else:
    hour = piece.repeat(1, 1, 360)
    samples = model.decode(model.encode(hour), hour.shape[-1], decoding=decoding).shape[-1]
print(samples, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("way", ["stream", "whole"])
def test_an_hour_in_bounded_memory(way: str, decoding: str) -> None:
    """An hour at 8 kHz is 110 MB. Streams need a small part of that; else it is there as often as it must."""
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run(
        [sys.executable, "-c", HOUR, way, decoding], cwd=root, capture_output=True, text=True, check=True
    )
    samples, growth = run.stdout.split()
    assert int(samples) >= 3600 * 8000
    assert float(growth) < (40 if way == "stream" else 4 * 110), f"{growth} MB more than three minutes take"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_latents_of_any_float_type(dtype: torch.dtype) -> None:
    model = MODELS["music2latent2"]
    latents = model.encode(sound(model, 100)).to(dtype)
    assert torch.equal(model.decode(latents), model.decode(latents.float()))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_codes_of_any_integer_type(dtype: torch.dtype) -> None:
    model = MODELS["codicodec"]
    codes = model.encode(sound(model, 100)) % 100
    assert torch.equal(model.decode(codes.to(dtype)), model.decode(codes))


def test_latents_that_are_no_tensor() -> None:
    model = MODELS["music2latent2"]
    latents = model.encode(sound(model, 100)).numpy()
    with pytest.raises(ValueError, match="the input is ndarray; give a tensor"):
        model.stream_decoder().push(latents)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the input is list; give a tensor"):
        model.decode(latents.tolist())  # type: ignore[arg-type]


def test_latents_that_are_refused() -> None:
    continuous, discrete = MODELS["music2latent2"], MODELS["codicodec"]
    cases: list[tuple[Music2Latent2, str, Tensor]] = [
        (continuous, r"\[1, 3, 4, 2\]; \[B, T, 2, 4\]", torch.zeros(1, 3, 4, 2)),
        (continuous, r"latents have shape \[3, 2, 4\]", torch.zeros(3, 2, 4)),
        (continuous, r"latents have shape \[1, 0, 2, 4\]", torch.zeros(1, 0, 2, 4)),
        (continuous, "NaN or infinite", torch.full((1, 1, 2, 4), torch.nan)),
        (continuous, "has no codes", torch.zeros(1, 2, 3, dtype=torch.int64)),
        (continuous, "torch.bool", torch.zeros(1, 1, 2, 4, dtype=torch.bool)),
        (discrete, r"codes have shape \[1, 3, 2\].*\[B, 2, T\]", torch.zeros(1, 3, 2, dtype=torch.int64)),
        (discrete, "codes span 0 to 400; allowed: 0 to 399", torch.tensor([[[400], [0]]])),
        (discrete, "codes span -1 to 0", torch.tensor([[[-1], [0]]])),
    ]
    for model, message, latents in cases:
        with pytest.raises(ValueError, match=message):
            model.decode(latents)
        if latents.shape == (1, 0, 2, 4):
            assert model.stream_decoder().push(latents).shape == (1, 1, 0)
            continue
        with pytest.raises(ValueError, match=message):
            model.stream_decoder().push(latents)


def test_settings_that_are_refused() -> None:
    model = MODELS["music2latent2"]
    latents = model.encode(sound(model, 100))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("decoding is 'fast'; allowed", {"decoding": "fast"}),
        ("two_step decoding always takes 2", {"steps": 3}),
        ("steps is 0", {"decoding": "autoregressive", "steps": 0}),
        ("steps is -1", {"decoding": "parallel", "steps": -1}),
        ("prompt_time is 2", {"prompt_time": 2}),
        ("length is 1000; 2 chunks hold 0 to 112 samples", {"length": 1000}),
        ("2 seeds for a batch of 1", {"seed": [1, 2]}),
        (r"seed is 1\.5; a whole number", {"seed": 1.5}),
        (r"seed is \['a'\]", {"seed": ["a"]}),
        ("seed is 36893488147419103232", {"seed": 2**65}),
        ("recorded noise", {"noise": iter([])}),
        ("3 generators for a batch of 1", {"noise": [torch.Generator()] * 3}),
    ]
    for message, named in cases:
        with pytest.raises(ValueError, match=message):
            model.decode(latents, **named)
    with pytest.raises(ValueError, match="has no codes"):
        model.encode(sound(model, 100), discrete=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 3}, "channels is 3"),
        ({"dim": 24}, "must equal dim"),
        ({"head_dim": 5}, "head_dim 5 must divide dim 16"),
        ({"strides": ((3, 2),)}, "not a multiple of the frequency strides"),
        ({"strides": ((2, 3),)}, "not a multiple of the time strides"),
        ({"encoder_blocks": (1,)}, "encoder_blocks has 1 entries"),
        ({"fsq_levels": (5, 5)}, "give latent_dim = 4 numbers"),
        ({"layout": "ordered", "num_latents": 4}, "one per time step: 2"),
        ({"layout": "sideways"}, "allowed: summary, ordered"),
        ({"num_latents": 0}, "num_latents is 0"),
        ({"sigma_min": 90.0}, "0 < sigma_min < sigma_max"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MONO, **changes)
