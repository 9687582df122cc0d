"""Files of weights that were replaced go on decoding, where what ships now understands their codes."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs import load_codec
from soundloom.codecs.container import Compressed, ContainerError, config_hash
from soundloom.codecs.frames import succession
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.weights_hash import weights_hash
from tests.codecs.seanet.tiny import TINY
from tests.fixture_paths import FIXTURES
from tests.golden import fixed_sound


# The encoder of seanet-16khz is int8 since, and decides otherwise where two codes are nearly as good.
@pytest.mark.parametrize(("name", "same"), [("seanet-12hz", 1.0), ("seanet-16khz", 0.7)])
def test_a_file_of_the_weights_before_is_decoded_by_those_that_ship(name, same):
    codec = load_codec(name)
    old = Compressed.load(FIXTURES / "before" / f"{name}.loom")
    assert old.header.weights != weights_hash(codec)
    samples, rate = codec.decompress(old)
    assert samples.shape == fixed_sound()[0].shape
    assert rate == 16000
    # Codes mean what they meant: those of the same sound are the same.
    again = codec.compress(fixed_sound()[0], 16000, codebooks=old.header.shape[0])
    assert float((again.frames == old.frames).float().mean()) >= same


def test_what_replaces_weights_is_what_ships():
    shipped = {
        (config_hash(codec), weights_hash(codec))
        for codec in map(load_codec, ["seanet-12hz", "seanet-16khz"])
    }
    assert set(succession.SUCCESSORS.values()) == shipped
    assert not shipped & set(succession.SUCCESSORS)


def test_other_weights_are_still_refused(monkeypatch):
    torch.manual_seed(0)
    one = SEANetCodec(**TINY).eval()
    other = SEANetCodec(**TINY, griffin_lim_rounds=1).eval()
    audio = 0.2 * torch.randn(1, 400, generator=torch.Generator().manual_seed(0))
    file = one.compress(audio, 16000, name="tiny", level=False)
    with pytest.raises(ContainerError, match="decode with the codec that made it"):
        other.decompress(file)
    pair = file.header.config_hash, file.header.weights
    monkeypatch.setitem(succession.SUCCESSORS, pair, (config_hash(other), weights_hash(other)))
    assert other.decompress(file)[0].shape == audio.shape
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(ContainerError, match="decode with the codec that made it"):
        other.decompress(file)
