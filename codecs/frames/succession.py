"""Bundled codecs that were made better without changing what their codes mean: old files go on decoding.

A file tells of the configuration and the weights that made it. Where only the decoder is another now, or
there are more codebooks than before behind the same first ones, what it holds is decoded by what ships today.
"""

from __future__ import annotations

from ..container import Header, config_hash
from ..frame_codec import FrameCodec
from ..weights_hash import weights_hash

# Configuration and weights that made a file -> those that ship in their place.
SUCCESSORS: dict[tuple[str, str], tuple[str, str]] = {}


def succeeds(codec: FrameCodec, header: Header) -> bool:
    """Whether a codec ships in the place of the one that made a file, and decodes it as well or better."""
    if header.weights is None:
        return False
    successor = SUCCESSORS.get((header.config_hash, header.weights))
    return successor is not None and successor == (config_hash(codec), weights_hash(codec))
