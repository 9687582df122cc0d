"""Headers: what may be in them, their bytes, and the hash of a configuration."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.codecs.container import (
    ContainerError,
    config_hash,
)
from soundloom.codecs.container.header import MAX_CODED
from soundloom.codecs.container.header_bytes import pack_header, unpack_header
from tests.codecs.container.samples import (
    latent_header,
    make_header,
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": ""}, "codec is ''"),
        ({"codec": "/etc/passwd"}, "never a path"),
        ({"codec": "../up"}, "never a path"),
        ({"codec": "a/../b"}, "codec is"),
        ({"codec": "a..b"}, "codec is"),
        ({"codec": "a/b/c"}, "never a path"),
        ({"codec": "C:\\x"}, "never a path"),
        ({"codec": "naïve"}, "codec is"),
        ({"codec": "a\n"}, "codec is"),
        ({"codec": "a" * 97}, "at most 96"),
        ({"codec": None}, "codec is None"),
        ({"config_hash": "0123"}, "16 lower-case"),
        ({"config_hash": "0123456789ABCDEF"}, "16 lower-case"),
        ({"sample_rate": 0}, "sample_rate is 0; allowed: 1 to 1000000"),
        ({"sample_rate": 16000.0}, "sample_rate is 16000.0"),
        ({"channels": 10**9}, "channels is 1000000000; allowed: 1 to 2"),
        ({"channels": True}, "channels is True"),
        ({"length": 2**63}, "length is 9223372036854775808"),
        ({"length": -1}, "length is -1"),
        ({"kind": "pickle"}, "kind is 'pickle'; allowed: codes, latents"),
        ({"precision": "int8"}, "precision is 'int8'; allowed: exact"),
        ({"entropy": "zip"}, "entropy is 'zip'; allowed: none, adaptive"),
        ({"shape": (2, 2)}, "(K,)"),
        ({"shape": (0,)}, "shape"),
        ({"shape": (1025,)}, "1 to 1024 codebooks"),
        ({"codebook_size": 1}, "codebook_size is 1"),
        ({"codebook_size": 2**31 + 1}, "codebook_size"),
        ({"frame_rate": 50.0}, "frame_rate is 50.0; it must be a Fraction"),
        ({"frame_rate": Fraction(0)}, "frame_rate"),
        ({"frame_rate": Fraction(10**7)}, "frame_rate"),
        ({"frame_rate": Fraction(1, 2**40)}, "frame_rate"),
        ({"frames_per_chunk": 0}, "frames_per_chunk is 0"),
        ({"frames_per_chunk": 2**19 + 1}, "allowed: 1 to 524288 with frames of shape (2,)"),
        ({"frames_per_chunk": MAX_CODED // 2 + 1, "entropy": "adaptive"}, "allowed: 1 to 2048"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"scale": math.nan}, "scale is nan"),
        ({"scale": math.inf}, "scale is inf"),
        ({"settings": {"Path": 1}}, "a setting's name is 'Path'"),
        ({"settings": {"file": "../x"}}, "setting file is '../x'"),
        ({"settings": {"x": math.inf}}, "setting x is inf"),
        ({"settings": {"x": 2**63}}, "setting x is"),
        ({"settings": {"x": [1]}}, "setting x is"),
        ({"settings": {f"a{number}": 1 for number in range(33)}}, "at most 32"),
        ({"settings": 5}, "settings must be a mapping"),
        ({"settings": {"weights": "00C0FFEE"}}, "setting weights is '00C0FFEE'; it must be 8 lower-case"),
        ({"settings": {"weights": "00c0ffee0"}}, "setting weights is"),
        ({"settings": {"weights": 5}}, "setting weights is 5"),
    ],
)
def test_a_header_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContainerError) as caught:
        make_header(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (3,)}, "(S, D)"),
        ({"shape": (2**20, 2**20)}, "at most 1048576 values"),
        ({"codebook_size": 4}, "codebook_size is 4; allowed: 0"),
        ({"precision": "exact"}, "precision is 'exact'; allowed: float16, int8"),
        ({"entropy": "adaptive"}, "latents are stored with 'none'"),
    ],
)
def test_a_header_of_latents_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContainerError) as caught:
        latent_header(**changes)
    assert message in str(caught.value)


TEXTS = st.text("abcXYZ019 ._+-", max_size=12)
SETTINGS = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=8).map("a".__add__),
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(
    codec=st.sampled_from(["a", "seanet-16khz", "Owner-1/a.model_2", "9" * 96, "x/" + "y" * 94]),
    sample_rate=st.integers(1, 10**6),
    channels=st.integers(1, 2),
    length=st.none() | st.integers(0, 2**48),
    codebooks=st.integers(1, 1024),
    size=st.integers(2, 2**31),
    rate=st.builds(Fraction, st.integers(1, 2**20), st.integers(2, 2**32)),
    scale=st.floats(1e-9, 1e9),
    values=SETTINGS,
)
def test_headers_come_back(
    codec: str,
    sample_rate: int,
    channels: int,
    length: int | None,
    codebooks: int,
    size: int,
    rate: Fraction,
    scale: float,
    values: dict[str, Any],
) -> None:
    header = make_header(
        codec=codec,
        sample_rate=sample_rate,
        channels=channels,
        length=length,
        shape=(codebooks,),
        codebook_size=size,
        frame_rate=rate,
        scale=scale,
        settings=values,
    )
    back = unpack_header(pack_header(header))
    assert back == header
    assert {name: type(value) for name, value in back.settings.items()} == {
        name: type(value) for name, value in values.items()
    }


def test_a_header_is_small() -> None:
    assert len(pack_header(make_header())) <= 64


def test_weights_are_a_setting() -> None:
    assert make_header().weights is None
    header = make_header(settings={"weights": "00c0ffee", "bandwidth": 6.0})
    assert header.weights == unpack_header(pack_header(header)).weights == "00c0ffee"


def test_settings_are_the_headers_own() -> None:
    given_settings = {"bandwidth": 6.0}
    header = make_header(settings=given_settings)
    given_settings["bandwidth"] = 3.0
    assert header.settings == {"bandwidth": 6.0}


class Configured:
    def __init__(self, **config: Any) -> None:
        self.config = config


def test_config_hash() -> None:
    digest = config_hash(Configured(sample_rate=16000, ratios=(8, 5), _name_or_path="here"))
    # sha256 of {"ratios":[8,5],"sample_rate":16000}
    assert digest == "ab5e823ea5d9c071"
    assert digest == config_hash(Configured(_version="1", ratios=[8, 5], sample_rate=16000))
    assert digest != config_hash(Configured(ratios=[8, 4], sample_rate=16000))
    assert make_header(config_hash=digest).config_hash == digest


def test_config_hash_of_things_without_a_configuration() -> None:
    with pytest.raises(TypeError, match="int has no `config` mapping"):
        config_hash(3)
    with pytest.raises(TypeError):
        config_hash(Configured(weights=np.zeros(3)))


def test_a_header_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_header().channels = 2  # type: ignore[misc]
