"""A published configuration says what its own text says, and never what the machine or its user knows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from soundloom.codecs.seanet.convert import load_published, parse_settings
from soundloom.core.audiocraft import PublishedConfig

SECRET = "hunter2-of-the-user"

# What OmegaConf would call, or would read from elsewhere, or would put together.
CALLS = (
    "${oc.env:SOUNDLOOM_SECRET}",
    "x${oc.env:SOUNDLOOM_SECRET}y",
    "${oc.env:NOT_THERE,${oc.env:SOUNDLOOM_SECRET}}",
    "${oc.decode:${oc.env:SOUNDLOOM_SECRET}}",
    "${oc.create:{a:1}}",
    "${oc.dict.values:section}",
    "${oc.select:sample_rate}",
    "${.sample_rate}",
    "${section[0]}",
    "${section.${name}}",
    "${sample_rate} Hz",
    r"\${sample_rate}",
)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDLOOM_SECRET", SECRET)


def config(text: str) -> PublishedConfig:
    return PublishedConfig(f"sample_rate: 16000\nsection: {{deep: {{value: 3}}}}\nname: deep\n{text}", "file")


def test_plain_references_are_followed() -> None:
    found = config(
        "a: ${sample_rate}\nb: ${section.deep.value}\nc: ${a}\nd: [1]\ne: ${d}\nf: {x: '${c}', y: ['${b}']}\n"
        "g: ${section}\nh: ${g.deep.value}\n"
    )
    assert found.read("a", None) == found.read("c", None) == 16000
    assert found.read("b", None) == found.read("h", None) == found.read("g.deep.value", None) == 3
    assert found.read("e", None) == [1]
    assert found.read("f", None) == {"x": 16000, "y": [3]}
    assert found.number("a", 1.0) == 16000.0


@pytest.mark.parametrize("value", CALLS)
def test_nothing_else_is_resolved(value: str) -> None:
    found = config(f"a: '{value}'\nb: ${{a}}\nc: [1, '{value}']\n")
    assert found.read("a", "absent") == "absent"
    assert found.read("b", "absent") == "absent"
    assert found.read("c", None) == [1, None]
    for key in ("a", "b", "c"):
        with pytest.raises(ValueError, match="not resolved") as raised:
            found.read(key, None, strict=True)
        assert SECRET not in str(raised.value)
    assert SECRET not in str(found.unknown({"": ""})) + str(found.read("a", None))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: ${nowhere}", "'nowhere', which is not there"),
        ("a: ${b}\nb: ${a}", "refers to itself: b -> a -> b"),
        ("a: {b: '${a}'}", "refers to itself"),
        ("a: ${a.b}", "refers to itself"),
        ("a: loud", "'loud', which is no number"),
        ("a: [1]", "no number"),
        ("a: true", "no number"),
    ],
)
def test_what_leads_nowhere_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"file: a of its configuration .*{words}"):
        config(text).number("a", 1)


@pytest.mark.parametrize(
    "text", ["[1, 2]", "a: [", "a: ${b", "a: '${}'", "a: !!python/object/apply:os.getcwd []"]
)
def test_what_is_no_mapping_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="file: its configuration"):
        PublishedConfig(text, "file")


def test_configurations_that_would_grow_without_end_end() -> None:
    started = time.monotonic()
    lines = ["a{}: [{}]".format(i, ", ".join([f"'${{a{i + 1}}}'"] * 10)) for i in range(12)]
    with pytest.raises(ValueError, match="more than 10000 values"):
        PublishedConfig("\n".join([*lines, "a12: 1"]), "file").read("a0", None)
    aliases = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ValueError, match="cannot be read"):
        PublishedConfig("\n".join(["a0: &a0 [1]", *aliases]), "file")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("key", ["dimension", "lstm", "ratios"])
def test_a_codec_whose_settings_ask_the_environment_is_refused(key: str, tmp_path: Path) -> None:
    text = f"sample_rate: 16000\nseanet: {{{key}: '${{oc.env:SOUNDLOOM_SECRET}}'}}\nrvq: {{n_q: 4}}\n"
    with pytest.raises(ValueError, match=f"seanet.{key}.*not resolved") as raised:
        parse_settings(PublishedConfig(text, "file"))
    torch.save({"xp.cfg": text, "best_state": {}}, tmp_path / "compression_state_dict.bin")
    with pytest.raises(ValueError, match=f"seanet.{key}") as loaded:
        load_published(tmp_path / "compression_state_dict.bin")
    assert SECRET not in str(raised.value) + str(loaded.value)
