"""The spectrogram and its inverse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from soundloom.codecs.music2latent2.music2latent2_config import Companding
from soundloom.codecs.music2latent2.representation import OverlapAdd, Representation

from .small import MONO

TINY = replace(MONO, channels=2)


def sound(samples: int, channels: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, channels, samples, generator=generator) * 1.6 - 0.8


def highest_bin(audio: torch.Tensor, representation: Representation, chunks: int) -> torch.Tensor:
    """The part of a sound that lies in the bin which the spectrogram leaves out."""
    config = representation.config
    device = audio.device
    sign = 1.0 - 2.0 * (torch.arange(config.n_fft) % 2)
    padded = torch.zeros(*audio.shape[:2], chunks * config.chunk_samples + config.edge)
    padded[..., config.edge : config.edge + audio.shape[-1]] = audio
    part = torch.zeros_like(padded)
    for start in range(0, padded.shape[-1] - config.n_fft + 1, config.hop):
        span = slice(start, start + config.n_fft)
        amount = (padded[..., span] * representation.window(device) * sign).mean(-1, keepdim=True)
        part[..., span] += amount * sign * representation.dual_window(device)
    return part[..., config.edge : config.edge + audio.shape[-1]]


@pytest.mark.parametrize("companding", ["parts", "modulus"])
@pytest.mark.parametrize("overlap", [2, 4])
@pytest.mark.parametrize("length", [1, 17, 64, 135])
def test_every_sample_is_restored(companding: Companding, overlap: int, length: int) -> None:
    """All of a sound comes back, first and last sample too, but for the one bin that is left out."""
    config = replace(TINY, companding=companding, overlap=overlap)
    representation = Representation(config)
    audio = sound(length)
    count = representation.chunks(length)
    chunks = representation.analyse_chunks(audio, 0, count)
    assert chunks.shape == (2 * count, 4, config.bins, config.frames_per_chunk)
    restored = representation.synthesise(torch.cat(chunks.split(2), dim=-1))
    restored = restored[..., config.edge : config.edge + length]
    expected = audio - highest_bin(audio, representation, count)
    torch.testing.assert_close(restored, expected.clamp(-1, 1), atol=2e-5, rtol=0)


@pytest.mark.parametrize("companding", ["parts", "modulus"])
def test_silence_is_zero_and_has_a_finite_inverse(companding: Companding) -> None:
    representation = Representation(replace(TINY, companding=companding))
    spectrogram = representation.analyse(torch.zeros(1, 2, 200))
    assert torch.equal(spectrogram, torch.zeros_like(spectrogram))
    assert torch.equal(representation.synthesise(spectrogram), torch.zeros(1, 2, 192 + 0))


def test_companding_variants() -> None:
    """Both make loud parts quieter by the power law; "modulus" keeps the phase, "parts" does not."""
    audio = sound(200)
    linear = Representation(replace(TINY, companding_scale=1.0, companding_power=1.0)).analyse(audio)
    plain = torch.complex(linear[:, 0], linear[:, 1])
    for kind in ("parts", "modulus"):
        compressed = Representation(replace(TINY, companding=kind)).analyse(audio)
        values = torch.complex(compressed[:, 0], compressed[:, 1])
        if kind == "modulus":
            torch.testing.assert_close(values.abs(), 0.34 * plain.abs() ** 0.65, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(
                (values * plain.conj()).imag, torch.zeros_like(plain.real), atol=1e-4, rtol=0
            )
        else:
            expected = 0.34 * plain.real.sign() * plain.real.abs() ** 0.65
            torch.testing.assert_close(values.real, expected, atol=1e-5, rtol=1e-4)


def test_too_few_samples() -> None:
    with pytest.raises(ValueError, match="31 samples are less than one window; give at least 32"):
        Representation(TINY).analyse(torch.zeros(1, 2, 31))


def test_pieces_give_the_same_bits_as_the_whole() -> None:
    for overlap in (2, 4):
        representation = Representation(replace(TINY, overlap=overlap))
        spectrogram = representation.analyse(sound(400))
        whole = representation.synthesise(spectrogram)
        for size in (1, 3, 5):
            overlap_add = OverlapAdd(representation)
            pieces = [overlap_add.push(piece) for piece in spectrogram.split(size, dim=-1)]
            assert torch.equal(torch.cat((*pieces, overlap_add.flush()), dim=-1), whole)
