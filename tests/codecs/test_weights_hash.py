"""Weights told apart, and freed of weight normalisation."""

from __future__ import annotations

import copy
import hashlib
import math
import struct
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from soundloom.codecs import load_codec
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.weights_hash import fold_weight_norm, weights_hash
from tests.codecs.encodec.small import make_small
from tests.fixture_paths import FIXTURES
from tests.tiny_codecs import codecs, seanet


def by_formula() -> SEANetCodec:
    """A codec whose weights do not depend on any random numbers."""
    codec = SEANetCodec(num_codebooks=2, codebook_size=16, dimension=8, n_filters=2, ratios=(4, 2))
    with torch.no_grad():
        for number, (_, tensor) in enumerate(sorted(codec.state_dict().items())):
            values = (torch.arange(tensor.numel()) * 37 + number) % 101 - 50
            tensor.copy_(values.view(tensor.shape) / 64)
    return codec


def test_digits_that_files_hold_never_change() -> None:
    """Never change these: with other ones, the files that people have would be refused."""
    assert weights_hash(by_formula()) == "57f528b6"
    assert weights_hash(load_codec(FIXTURES / "codicodec_tiny")) == "d4818dec"


@pytest.mark.parametrize("kind", codecs())
def test_every_change_of_the_weights_is_seen(kind: str) -> None:
    codec = copy.deepcopy(codecs()[kind])
    assert isinstance(codec, nn.Module)
    first = weights_hash(codec)
    assert first == weights_hash(codecs()[kind]) == weights_hash(codec)
    seen = {first}
    for tensor in (next(codec.parameters()), list(codec.parameters())[-1]):
        with torch.no_grad():
            tensor.view(-1)[-1] += 0.05
        seen.add(weights_hash(codec))
    assert len(seen) == 3


def test_a_changed_codebook_is_seen_and_its_bookkeeping_is_not() -> None:
    codec = copy.deepcopy(seanet())
    state = codec.state_dict()
    first = weights_hash(codec)
    state["quantizer.vq.layers.1._codebook.cluster_size"].add_(1)
    state["quantizer.vq.layers.1._codebook.embed_avg"].add_(1)
    assert weights_hash(codec) == first
    state["quantizer.vq.layers.1._codebook.embed"].add_(1)
    assert weights_hash(codec) != first


def test_neither_storage_nor_number_type_nor_names_nor_modes_matter(tmp_path: Path) -> None:
    codec = copy.deepcopy(codecs()["latents"])
    assert isinstance(codec, nn.Module)
    first = weights_hash(codec)
    codec.save_pretrained(tmp_path)  # type: ignore[operator]
    assert weights_hash(load_codec(tmp_path)) == first
    assert weights_hash(load_codec(tmp_path, dtype=torch.bfloat16)) == first
    assert weights_hash(codec.train().requires_grad_(False)) == first
    assert weights_hash(nn.ModuleDict({"renamed": codec})) == first
    assert weights_hash(codec.to(torch.bfloat16)) == first
    with torch.inference_mode():
        assert weights_hash(copy.deepcopy(codec)) == first


def test_what_has_no_weights_has_no_digits() -> None:
    assert weights_hash(nn.Identity()) is None


def test_threads_agree() -> None:
    codec, found = copy.deepcopy(seanet()), []
    threads = [threading.Thread(target=lambda: found.append(weights_hash(codec))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [weights_hash(seanet())] * 4


def exact(gain: Tensor, direction: Tensor) -> Tensor:
    """`fold_weight_norm` with sums of squares that are rounded only once."""
    rows = direction.double().reshape(len(direction), -1)
    norms = torch.tensor([math.sqrt(math.fsum((row * row).tolist())) for row in rows], dtype=torch.float64)
    norms = norms.view(-1, *[1] * (direction.ndim - 1))
    return (gain.double() / norms * direction.double()).float()


@pytest.mark.parametrize("shape", [(8, 1, 7), (5, 16, 3), (3, 64, 31), (4, 1)])
def test_weight_norm_is_folded_as_torch_does_it(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(shape, generator=generator)
    gain = torch.rand(shape[0], *[1] * (len(shape) - 1), generator=generator) + 0.5
    folded = fold_weight_norm(gain, direction)
    assert folded.dtype == torch.float32
    torch.testing.assert_close(folded, torch._weight_norm(direction, gain, 0))
    assert (folded != exact(gain, direction)).float().mean() < 1e-3


def test_encodec_has_its_own() -> None:
    assert weights_hash(make_small("encodec-24khz")) == weights_hash(make_small("encodec-24khz"))
    assert weights_hash(make_small("encodec-24khz")) != weights_hash(make_small("encodec-48khz"))


def test_the_digits_are_those_that_the_document_of_the_format_defines() -> None:
    """Written from docs/format.md, without torch's bfloat16."""
    digests = []
    for name, tensor in seanet().state_dict().items():
        if name.endswith(("inited", "cluster_size", "embed_avg")):
            continue
        bits = [struct.unpack("<I", struct.pack("<f", value))[0] for value in tensor.flatten().tolist()]
        rounded = [(value + 0x7FFF + (value >> 16 & 1)) >> 16 for value in bits]
        digests.append(hashlib.sha256(struct.pack(f"<{len(rounded)}H", *rounded)).digest())
    assert weights_hash(seanet()) == hashlib.sha256(b"".join(sorted(digests))).digest()[:4].hex()
