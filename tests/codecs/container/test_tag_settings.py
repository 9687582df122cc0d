"""Tags in the header of a .loom file: what fits, what does not, and what hostile files say."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.codecs.container import ContainerError
from soundloom.codecs.container.header_bytes import pack_header, unpack_header
from soundloom.codecs.container.tag_settings import MAX_INFLATED, MAX_PIECES, PIECE, pack_tags, unpack_tags
from soundloom.core.sound_tags import TAGS, clean_tags
from tests.codecs.container.samples import make_header


def pieces(content: bytes) -> dict[str, str]:
    text = base64.urlsafe_b64encode(content).decode().rstrip("=")
    return {
        f"tags_{number:02}": text[start : start + PIECE]
        for number, start in enumerate(range(0, len(text), PIECE))
    }


def packed(found: Any) -> dict[str, str]:
    return pieces(zlib.compress(json.dumps(found).encode()))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(TAGS), st.text(max_size=60)))
def test_any_tags_come_back_through_a_header(tags: dict[str, str]) -> None:
    header = make_header(settings={"level": 3}).with_tags(tags, "a.wav")
    again = unpack_header(pack_header(header))
    assert again == header
    assert again.tags == clean_tags(tags, "a.wav")
    assert again.settings["level"] == 3
    assert again.with_tags({}, "a.wav") == make_header(settings={"level": 3})


def test_a_header_without_tags_is_as_it_was() -> None:
    assert pack_header(make_header().with_tags({}, "x")) == pack_header(make_header())
    assert make_header().tags == {}


def test_what_has_no_room_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    noise = "".join(chr(0x4E00 + (n * n * 7919 + n * 104729) % 20000) for n in range(4000))
    with caplog.at_level(logging.WARNING):
        found = pack_tags({"comment": noise, "title": "kept", "artist": "x" * 9000}, "a.wav")
    assert unpack_tags(found) == {"title": "kept", "artist": "x" * 9000}
    assert "a.wav: the tag comment, which a .loom file has no room for, was left out" in caplog.text
    many = {f"setting_{number}": number for number in range(8)}
    full = pack_tags({"comment": noise[:1400]}, "a.wav")
    assert len(full) <= MAX_PIECES
    make_header(settings={**many, **full})


def test_names_of_later_versions_are_passed_over() -> None:
    assert unpack_tags(packed({"title": "a", "mood": "sad", "cover": [1, 2]})) == {"title": "a"}


@pytest.mark.parametrize(
    "found",
    [
        packed([1]),
        packed({"title": 3}),
        packed({"title": None}),
        pieces(b"no zlib"),
        pieces(zlib.compress(b"no json")),
        pieces(zlib.compress(b"\xff\xfe")),
        pieces(zlib.compress(b"[" * 30000)),
        pieces(zlib.compress(b"{}")[:-3]),
        pieces(zlib.compress(b"{}") + b"more"),
        pieces(zlib.compress(b" " * (MAX_INFLATED + 1))),
        pieces(zlib.compress(b" " * 50_000_000)[:4000]),
        {"tags_00": "!"},
        {"tags_00": "a"},
        {"tags_00": 3},
        {"tags_01": "eJyrrgUAAXUA-Q"},
        {"tags_00": "eJyrrgUAAXUA-Q", "tags_02": ""},
        {f"tags_{number:02}": "A" for number in range(MAX_PIECES + 1)},
    ],
)
def test_hostile_tags_are_an_error_of_the_file(found: dict[str, Any]) -> None:
    with pytest.raises(ContainerError, match="tags"):
        make_header(settings=found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abcXYZ019-_", max_size=PIECE), min_size=1, max_size=5))
def test_any_texts_are_read_or_refused(texts: list[str]) -> None:
    found = {f"tags_{number:02}": text for number, text in enumerate(texts)}
    with contextlib.suppress(ContainerError):
        assert set(unpack_tags(found)) <= set(TAGS)


def test_surrogates_of_json_do_no_harm() -> None:
    found = unpack_tags(pieces(zlib.compress(rb'{"title": "\ud800\u0000a"}')))
    assert found == {"title": "?a"}
