"""Fixtures of EnCodec's tests."""

from __future__ import annotations

import pytest

from soundloom.codecs import EnCodec
from tests.codecs.encodec.small import NAMES, make_small


@pytest.fixture(scope="module", params=NAMES)
def small(request: pytest.FixtureRequest) -> EnCodec:
    return make_small(request.param)


@pytest.fixture(autouse=True)
def usual_bandwidth(request: pytest.FixtureRequest) -> None:
    """Tests share a codec; each begins with the same bandwidth."""
    if "small" in request.fixturenames:
        request.getfixturevalue("small").bandwidth = 6.0
