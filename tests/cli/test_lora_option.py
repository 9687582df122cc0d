"""`--lora FILE:STRENGTH`: how it is read, and what it does to what is generated."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundloom.cli.lora_option import lora_with_strength
from soundloom.core.audio import read_audio
from soundloom.gen.model.lora import LoRASettings, add_lora, lora_layers
from soundloom.gen.model.lora_file import LoRAWeights
from soundloom.gen.pipeline import AudioGen
from tests.cli.running import refused, run
from tests.conftest import TINY

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(str.strip)
STRENGTHS = st.floats(-10, 10)


def no_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return True
    return False


@given(name=NAMES, strength=STRENGTHS)
def test_name_and_strength_come_back(name: str, strength: float) -> None:
    assert lora_with_strength(f"{name}:{strength!r}") == (name, strength)


def no_adapter(text: str) -> bool:
    """Whether nothing but the whole text can be meant: no hub id, nothing that is there."""
    return "/" not in text and not os.path.exists(text)


@given(
    name=NAMES.filter(
        lambda name: (
            not name.endswith(":")
            and no_number(name.rpartition(":")[2])
            and no_adapter(name.rpartition(":")[0])
        )
    )
)
def test_without_a_number_behind_the_last_colon_all_is_the_name(name: str) -> None:
    assert lora_with_strength(name) == (name, 1.0)


@given(text=st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        name, strength = lora_with_strength(text)
    except argparse.ArgumentTypeError as error:
        assert str(error)
    else:
        assert text.startswith(name)
        assert name.strip()
        assert -10 <= strength <= 10


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bell.safetensors", ("bell.safetensors", 1.0)),
        ("bell.safetensors:0.8", ("bell.safetensors", 0.8)),
        ("bell.safetensors:-1", ("bell.safetensors", -1.0)),
        (r"C:\bell.safetensors", (r"C:\bell.safetensors", 1.0)),
        (r"C:\bell.safetensors:2e-1", (r"C:\bell.safetensors", 0.2)),
        ("me/bell-lora:0.8", ("me/bell-lora", 0.8)),
        ("a:1:0.5", ("a:1", 0.5)),
        ("a.safetensors:b.safetensors", ("a.safetensors:b.safetensors", 1.0)),
    ],
)
def test_usual_forms(text: str, found: tuple[str, float]) -> None:
    assert lora_with_strength(text) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bell.safetensors:", "ends with a colon: give a strength behind it, as in bell.safetensors:0.8"),
        (":0.8", "names no file"),
        ("", "names no file"),
        ("bell.safetensors:11", "the strength of bell.safetensors is 11.0; allowed are -10 to 10"),
        (
            "bell.safetensors:x",
            "the strength of bell.safetensors is 'x', which is no number; give it as in bell",
        ),
        (r"C:\bell.safetensors:0,8", "safetensors is '0,8', which is no number"),
        ("me/bell-lora:half", "the strength of me/bell-lora is 'half', which is no number"),
        ("bell.safetensors:nan", "is nan; allowed are -10 to 10"),
        ("bell.safetensors:inf", "is inf; allowed are -10 to 10"),
    ],
)
def test_what_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        lora_with_strength(text)


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no colon in a name")
def test_a_file_of_the_whole_name_is_that_file(tmp_path: Path) -> None:
    file = tmp_path / "take:2"
    file.touch()
    assert lora_with_strength(str(file)) == (str(file), 1.0)
    assert lora_with_strength(f"{file}:0.5") == (str(file), 0.5)


@pytest.fixture
def adapters(tmp_path: Path) -> list[Path]:
    files = []
    for seed, name in enumerate(("bell", "dog")):
        lm = AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5").lm
        add_lora(lm, LoRASettings(rank=2))
        for _, layer in lora_layers(lm):
            layer.lora_up.data.normal_(0, 0.3 + seed)
        files.append(LoRAWeights.of(lm, "tiny").save(tmp_path / f"{name}.safetensors"))
    return files


def generate(output: Path, *words: object) -> Path:
    words = ("--duration", 0.3, "--seed", 1, "--model", TINY, "--text-encoder", TINY / "t5", "-q", *words)
    assert run("generate", "rain", "-o", output, *words) == 0
    return output


def test_generate_hears_the_adapters_and_their_strengths(
    adapters: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = generate(tmp_path / "plain.wav")
    sounds = [
        generate(tmp_path / "bell.wav", "--lora", adapters[0]),
        generate(tmp_path / "soft.wav", "--lora", f"{adapters[0]}:0.5"),
        generate(tmp_path / "both.wav", "--lora", f"{adapters[0]}:0.5", "--lora", f"{adapters[1]}:0.5"),
    ]
    contents = [read_audio(file)[0].numpy().tobytes() for file in (plain, *sounds)]
    assert len(set(contents)) == len(contents)
    off = generate(tmp_path / "off.wav", "--lora", f"{adapters[0]}:0")
    assert (read_audio(off)[0] == read_audio(plain)[0]).all()

    assert run("info", sounds[2]) == 0
    assert "LoRA  bell 0.5, dog 0.5" in capsys.readouterr().out
    words = ("--model", TINY, "--text-encoder", TINY / "t5", "-q")
    again = tmp_path / "again.wav"
    assert "give --lora bell.safetensors:0.5 --lora dog.safetensors:0.5" in refused(
        capsys, "generate", "--again", sounds[2], "-o", again, *words
    )
    both = ("--lora", f"{adapters[0]}:0.5", "--lora", f"{adapters[1]}:0.5")
    assert run("generate", "--again", sounds[2], "-o", again, *words, *both) == 0
    assert again.read_bytes() == sounds[2].read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no colon in a name")
def test_a_colon_in_a_name_is_no_part_of_the_adapters_name(
    adapters: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = adapters[0].rename(tmp_path / "a:b.safetensors")
    sound = generate(tmp_path / "colon.wav", "--lora", f"{file}:0.5")
    assert run("info", sound) == 0
    assert "LoRA  a_b 0.5" in capsys.readouterr().out


def test_two_of_one_name_and_one_given_twice(
    adapters: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("generate", "rain", "-o", tmp_path / "x.wav", "--model", TINY, "--text-encoder", TINY / "t5")
    (tmp_path / "other").mkdir()
    link = tmp_path / "link.safetensors"
    link.symlink_to(adapters[0])
    for again in (adapters[0], link):
        said = refused(capsys, *words, "--lora", adapters[0], "--lora", f"{again}:0.5")
        assert f"--lora is given {again} twice; give it once" in said
    other = adapters[1].rename(tmp_path / "other" / adapters[0].name)
    said = refused(capsys, *words, "--lora", adapters[0], "--lora", other)
    assert f"'bell' is loaded already: for another strength of it use set_adapters; is {other} " in said


def test_mistakes_are_one_line(
    adapters: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("generate", "rain", "-o", tmp_path / "x.wav", "--model", TINY, "--text-encoder", TINY / "t5")
    assert "no such file" in refused(capsys, *words, "--lora", tmp_path / "none.safetensors")
    assert "allowed are -10 to 10" in refused(capsys, *words, "--lora", f"{adapters[0]}:99")
    adapters[0].write_bytes(b"damaged")
    assert "truncated or damaged" in refused(capsys, *words, "--lora", adapters[0])
    assert not (tmp_path / "x.wav").exists()
