"""Tags of a sound in the settings of a header, as docs/format.md specifies it.

Settings are short ASCII texts, which readers that do not know them pass over: so the tags are a JSON object,
deflated, in base64, in as many settings as that takes.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import zlib
from collections.abc import Mapping
from typing import Any

from ...core.sound_tags import MAX_TAG_BYTES, TAGS, clean_tags
from .fields import ContainerError

logger = logging.getLogger(__name__)

PIECE = 255  # characters of a setting
MAX_PIECES = 24
MAX_INFLATED = 2 * MAX_TAG_BYTES  # bytes of JSON: what a hostile file can ask for
_NAME = re.compile(r"tags_\d\d")
_BASE64 = re.compile(r"[A-Za-z0-9_-]*")


def is_tag_setting(name: str) -> bool:
    """Whether a setting holds a piece of the tags."""
    return bool(_NAME.fullmatch(name))


def pack_tags(tags: Mapping[str, str], source: str) -> dict[str, str]:
    """Tags as settings; the longest are left out where all are too many, with a warning.

    Args:
        tags: by name; unknown names are left out.
        source: what messages call the sound.
    """
    kept = clean_tags(tags, source)
    while kept:
        content = json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()
        text = base64.urlsafe_b64encode(zlib.compress(content, 9)).decode().rstrip("=")
        pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
        if len(pieces) <= MAX_PIECES and len(content) <= MAX_INFLATED:
            return {f"tags_{number:02}": piece for number, piece in enumerate(pieces)}
        longest = max(kept, key=lambda name: len(kept[name].encode()))
        del kept[longest]
        logger.warning("%s: the tag %s, which a .loom file has no room for, was left out", source, longest)
    return {}


def unpack_tags(settings: Mapping[str, Any]) -> dict[str, str]:
    """The tags in settings; none where there are none. Unknown names among them are passed over.

    Raises:
        ContainerError: pieces are missing or damaged, or stand for more than a file may hold.
    """
    names = sorted(name for name in settings if is_tag_setting(name))
    if not names:
        return {}
    pieces = [settings[name] for name in names]
    whole = names == [f"tags_{number:02}" for number in range(len(names))] and len(names) <= MAX_PIECES
    if not whole or not all(isinstance(piece, str) and _BASE64.fullmatch(piece) for piece in pieces):
        raise ContainerError(f"the settings tags_00 to {names[-1]} are not the pieces of one text in base64")
    text = "".join(pieces)
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), MAX_INFLATED)
        if not inflater.eof or inflater.unused_data:
            raise ContainerError(f"the tags are cut off, or more than {MAX_INFLATED} bytes")
        found = json.loads(content.decode())
    except (zlib.error, binascii.Error, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ContainerError(f"the tags are damaged ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(found[name], str) for name in TAGS if name in found):
        raise ContainerError("the tags are no JSON object of texts")
    return clean_tags({name: found[name] for name in TAGS if name in found}, "the tags")
