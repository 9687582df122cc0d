"""The same small EnCodecs as for its other tests."""

from tests.codecs.encodec.conftest import small, usual_bandwidth

__all__ = ["small", "usual_bandwidth"]
