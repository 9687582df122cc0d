"""Comparing finished files with what was encoded."""

from __future__ import annotations

import io

import pytest
import torch

from soundloom.codecs.container import ContainerError, ContainerWriter, Header
from soundloom.codecs.container.verify import verify_frames
from tests.codecs.container.samples import formula_codes, latent_header, make_header


def written(header: Header, frames: torch.Tensor) -> io.BytesIO:
    stream = io.BytesIO()
    with ContainerWriter(stream, header) as writer:
        writer.write(frames)
    stream.seek(0)
    return stream


def test_codes_in_any_pieces() -> None:
    codes = formula_codes(2, 10, 1024)
    for size in (1, 3, 10):
        verify_frames(written(make_header(), codes), codes.split(size, dim=1), name="a")


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_latents_as_near_as_they_are_stored(precision: str) -> None:
    latents = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    header = latent_header(precision=precision)
    verify_frames(written(header, latents), [latents], name="a")
    other = latents.clone()
    other[3, 1, 1] += 0.1
    with pytest.raises(ContainerError, match="a holds other frames than were encoded, from frame 2 on"):
        verify_frames(written(header, latents), [other], name="a")


def test_what_is_not_the_same() -> None:
    codes = formula_codes(2, 10, 1024)
    other = codes.clone()
    other[1, 9] ^= 1
    with pytest.raises(ContainerError, match="other frames than were encoded, from frame 8"):
        verify_frames(written(make_header(), codes), [other], name="a")
    with pytest.raises(ContainerError, match="more frames"):
        verify_frames(written(make_header(), codes), [codes[:, :9]], name="a")
    with pytest.raises(ContainerError, match="fewer frames"):
        verify_frames(written(make_header(), codes), [codes, codes[:, :1]], name="a")
