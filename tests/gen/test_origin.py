"""What tags tell of a generated sound, and making it again from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.core.errors import ArgumentError
from soundloom.core.sound_description import stored_samples
from soundloom.core.sound_tags import GENERATED, read_tags
from soundloom.gen.again import check_record, make_again
from soundloom.gen.generated_audio import GeneratedAudio
from soundloom.gen.origin import Record, model_name, weights_of
from soundloom.gen.pipeline import AudioGen


def record_of(path: Path) -> Record:
    return check_record(Record.read(read_tags(path), path.name), path.name)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_every_format_tells_the_origin(tiny_model: AudioGen, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    tiny_model.generate("Ein Hund bellt — 犬", duration=0.2, seed=7, temperature=0.9).save(path)
    tags = read_tags(path)
    assert tags["title"] == "Ein Hund bellt — 犬"
    assert tags["comment"].startswith(GENERATED)
    assert tags["software"].startswith("soundloom ")
    assert len(tags["date"]) == len("2026-01-01T00:00:00Z")
    record = record_of(path)
    assert (record.prompt, record.seed, record.model) == ("Ein Hund bellt — 犬", 7, "audiogen_tiny")
    assert record.settings["temperature"] == 0.9
    assert record.settings["guidance_scale"] == tiny_model.guidance_scale, "the model's own"
    assert record.weights == weights_of(tiny_model)()
    assert len(record.weights) == 8
    if suffix in (".wav", ".flac"):
        assert record.samples == stored_samples(path)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"num_samples": 3},
        {"negative_prompt": "wind", "guidance_scale": (3.0, 1.5)},
        {"temperature": 0.0, "top_k": 0},
        {"duration": 0.3, "top_p": 0.5, "extend_stride": 1.0, "reference_padding": True},
    ],
)
def test_again_to_the_last_bit(tiny_model: AudioGen, tmp_path: Path, how: dict[str, Any]) -> None:
    made = tiny_model.generate("a dog", **{"duration": 0.2, "seed": 5, **how})
    for index in range(len(made.seeds)):
        path = tmp_path / f"{index}.wav"
        made.save(path, index)
        again = make_again(record_of(path), tiny_model, name=path.name)
        assert torch.equal(again.samples, made.samples[index : index + 1])
        assert again.seeds == made.seeds[index : index + 1]


def test_again_of_the_best_of_several_and_of_a_batch(tiny_model: AudioGen, tmp_path: Path) -> None:
    last = lambda audio, rate, prompts: torch.arange(len(prompts)).float()  # noqa: E731
    best = tiny_model.generate(
        ["a dog", "rain"], duration=0.2, seed=[3, 4], num_samples=2, candidates=3, rerank=last
    )
    best.save(tmp_path / "a.wav", 3)
    record = record_of(tmp_path / "a.wav")
    assert record.batch == (4, 6, 5)
    assert (record.prompt, record.beside) == ("rain", 1)
    again = make_again(record, tiny_model, name="a.wav")
    assert torch.equal(again.samples, best.samples[3:])


def test_again_of_what_was_changed_afterwards(tiny_model: AudioGen, tmp_path: Path) -> None:
    made = tiny_model.generate("a dog", duration=0.5, seed=5).resampled(22050).at_loudness(-30)
    made.save(tmp_path / "a.flac", subtype="PCM_24")
    record = record_of(tmp_path / "a.flac")
    assert record.changes == {"sample_rate": 22050, "loudness": -30}
    again = make_again(record, tiny_model, name="a")
    assert again.sample_rate == 22050
    again.save(tmp_path / "b.flac", subtype="PCM_24", tags=read_tags(tmp_path / "a.flac"))
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()


def test_again_of_a_stream_and_of_a_continuation(tiny_model: AudioGen) -> None:
    source = tiny_model.generate("rain", duration=0.2, seed=1)
    chunks = list(tiny_model.stream("a dog", duration=0.5, seed=5, continue_from=source, chunk_seconds=0.1))
    whole = replace(chunks[0], samples=torch.cat([chunk.samples for chunk in chunks], -1))
    record = whole.record()
    assert record.streamed == (0.2, 0.1)
    again = make_again(record, tiny_model, name="a", continue_from=source)
    assert torch.equal(again.samples, whole.samples)
    with pytest.raises(ArgumentError, match="goes on from another sound: give it with --continue-from"):
        make_again(record, tiny_model, name="a")
    with pytest.raises(ArgumentError, match="went on from another sound than the one given"):
        other = tiny_model.generate("wind", duration=0.2, seed=9)
        make_again(record, tiny_model, name="a", continue_from=other)
    with pytest.raises(ArgumentError, match="goes on from no other sound"):
        make_again(source.record(), tiny_model, name="a", continue_from=source)


@pytest.mark.parametrize("how", [{}, {"num_samples": 2}, {"loop": True}])
def test_again_of_prompts_that_change(tiny_model: AudioGen, tmp_path: Path, how: dict[str, Any]) -> None:
    at = [(0, "rain"), (0.2, "a dog: barking")]
    made = tiny_model.generate(prompts_at=at, duration=0.5, seed=5, **how)
    made.save(tmp_path / "a.wav", len(made.seeds) - 1)
    record = record_of(tmp_path / "a.wav")
    assert record.edit == {"prompts_at": [[0, "rain"], [0.2, "a dog: barking"]]}
    assert "  edit  prompts_at 0:rain, 0.2:a dog: barking" in record.lines()
    again = make_again(record, tiny_model, name="a.wav")
    assert torch.equal(again.samples, made.samples[-1:])
    with pytest.raises(ArgumentError, match=r"generate --at 0:rain --at '0.2:a dog: barking' --seed"):
        make_again(replace(record, weights="00000000"), tiny_model, name="a.wav")


def test_again_of_a_stream_of_prompts_that_change(tiny_model: AudioGen) -> None:
    source = tiny_model.generate("rain", duration=0.2, seed=1)
    at = [(0, "rain"), (0.3, "a dog")]
    chunks = list(tiny_model.stream(prompts_at=at, duration=0.5, seed=5, continue_from=source))
    whole = replace(chunks[0], samples=torch.cat([chunk.samples for chunk in chunks], -1))
    again = make_again(whole.record(), tiny_model, name="a", continue_from=source)
    assert torch.equal(again.samples, whole.samples)


def test_edits_tell_what_was_done_and_want_their_sound(tiny_model: AudioGen, tmp_path: Path) -> None:
    sound = (torch.rand(1, 16000, generator=torch.Generator().manual_seed(0)) - 0.5, 16000)
    filled = tiny_model.inpaint(sound, [(0.2, 0.4), (0.9, None)], "a dog", seed=3)
    each = tiny_model.inpaint(sound, [(0.9, None), (0.2, 0.4)], ["a dog", ""], seed=3)
    varied = tiny_model.variation(sound, 0.3, num_samples=2, seed=4)
    for made, edit, said in (
        (filled, {"inpaint": [[0.2, 0.4], [0.9, None]]}, "inpaint 0.2:0.4, 0.9:"),
        (each, {"inpaint": [[0.9, None, "a dog"], [0.2, 0.4, ""]]}, "inpaint 0.9::a dog, 0.2:0.4:"),
        (varied, {"variation": 0.3}, "variation 0.3"),
    ):
        path = made.save(tmp_path / "a.wav", len(made.seeds) - 1, force=True)
        record = Record.read(read_tags(path), "a.wav")
        assert record is not None
        assert (record.model, record.weights) == ("audiogen_tiny", weights_of(tiny_model)())
        assert (record.edit, record.seed) == (edit, made.seeds[-1])
        assert "duration" not in record.settings
        assert f"  edit  {said}" in record.lines()
        with pytest.raises(ArgumentError, match=r"a.wav is an edit \(.*\) of another sound: give it with"):
            make_again(record_of(path), tiny_model, name="a.wav")
    varied.save(path, metadata=False, force=True)
    assert Record.read(read_tags(path), "a") == Record(model="audiogen_tiny")


@pytest.mark.parametrize(("samples", "candidates"), [(5000, 1), (667, 2)])
def test_again_of_edits(tiny_model: AudioGen, tmp_path: Path, samples: int, candidates: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sound = (torch.rand(2, samples, generator=generator) - 0.5, 11025)
    part = samples / 11025 / 4
    last = lambda audio, rate, prompts: torch.arange(len(prompts)).float()  # noqa: E731
    how: dict[str, Any] = {"seed": 3, "candidates": candidates, "rerank": last if candidates > 1 else None}
    prompts = ["rain", "a dog"]
    edits = [
        tiny_model.inpaint(sound, [(2 * part, 3 * part), (None, part)], prompts, num_samples=2, **how),
        tiny_model.inpaint(sound, [(2 * part, 3 * part), (None, part)], "rain", **how),
        tiny_model.variation(sound, 0.6, "rain", temperature=0.8, **how),
        tiny_model.loop(sound, 0.1, "rain", **how),
        tiny_model.extend(sound, 0.1, "rain", **how),
    ]
    for made in edits:
        path = made.save(tmp_path / "a.wav", len(made.seeds) - 1, force=True)
        again = make_again(record_of(path), tiny_model, name="a.wav", continue_from=sound)
        assert torch.equal(again.samples, made.samples[-1:])
        assert again.loop == made.loop
        with pytest.raises(ArgumentError, match="made by editing another sound than the one given"):
            make_again(record_of(path), tiny_model, name="a", continue_from=(sound[0].flip(-1), 11025))


@pytest.mark.parametrize(
    ("edit", "command"),
    [
        ({"inpaint": [[1.2, 2.0], [None, 0.5]]}, "--replace 1.2:2 --replace :0.5 --prompt 'a dog'"),
        ({"inpaint": [[3.0, None, "a bell"]]}, "--replace 3: --prompt 'a bell'"),
        ({"variation": 0.3}, "--vary 0.3 --prompt 'a dog'"),
        ({"loop": 1.0}, "--loop 1 --prompt 'a dog'"),
    ],
)
def test_an_edit_by_another_model_names_the_command(
    tiny_model: AudioGen, edit: dict[str, Any], command: str
) -> None:
    sound = (torch.rand(1, 16000 * 4, generator=torch.Generator().manual_seed(0)) - 0.5, 16000)
    record = Record(prompt="a dog", seed=3, edit=edit, settings={"top_k": 9}, weights="00000000")
    with pytest.raises(ArgumentError) as error:
        make_again(record, tiny_model, name="a.wav", continue_from=sound)
    assert str(error.value).endswith(f"For a sound like it: soundloom edit SOUND {command} --seed 3")


def test_another_model_or_version_is_told(tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tiny_model.generate("a dog", duration=0.2, seed=5).record()
    with pytest.raises(ArgumentError, match=r"made by audiogen_tiny \(00000000\), and this is audiogen_tiny"):
        make_again(replace(record, weights="00000000"), tiny_model, name="a")
    old = replace(record, samples=f"WAV PCM_16 {'0' * 64}", by="soundloom 0.0.1", runtime={"torch": "1.0"})
    with pytest.raises(ArgumentError) as caught:
        make_again(old, tiny_model, name="a.wav")
    assert "a.wav could not be made again to the last bit: it was made by soundloom 0.0.1" in str(
        caught.value
    )
    assert "torch was 1.0 and is" in str(caught.value)
    assert "soundloom generate 'a dog' --seed 5" in str(caught.value)


def test_without_metadata_only_the_mark_is_left(tiny_model: AudioGen, tmp_path: Path) -> None:
    made = tiny_model.generate("a secret", duration=0.2, seed=424242, negative_prompt="other secret")
    for suffix in (".wav", ".flac", ".ogg", ".mp3"):
        made.save(tmp_path / f"a{suffix}", metadata=False)
        data = (tmp_path / f"a{suffix}").read_bytes()
        assert b"secret" not in data
        assert b"424242" not in data
        tags = read_tags(tmp_path / f"a{suffix}")
        assert tags["comment"].startswith(GENERATED)
        with pytest.raises(ArgumentError, match="not of which prompt and seed"):
            record_of(tmp_path / f"a{suffix}")


def test_what_else_cannot_be_made_again(tiny_model: AudioGen) -> None:
    with pytest.raises(ArgumentError, match="a does not say how it was made"):
        check_record(Record.read({"comment": "a nice day"}, "a"), "a")
    guided = tiny_model.generate("a dog", duration=0.2, guidance_scale=lambda position: 2.0)
    with pytest.raises(ArgumentError, match="a function gave"):
        check_record(guided.record(), "a")
    stopped = replace(tiny_model.generate("a dog", duration=0.2), changes={"stopped": 0.2})
    told_of = Record.read(stopped.record().tags(), "a")
    with pytest.raises(ArgumentError, match=r"a was stopped after 0\.2 s"):
        check_record(told_of, "a")
    plain = GeneratedAudio(guided.samples, 16000, guided.codes, [3], ["a dog"])
    assert plain.record().tags()["title"] == "a dog"
    with pytest.raises(ArgumentError, match="not of which prompt and seed"):
        check_record(plain.record(), "a")


def told(**changes: Any) -> dict[str, str]:
    content = {"prompt": "a", "seed": 1, "settings": {"duration": 1.0}, **changes}
    return {"comment": f"{GENERATED} {json.dumps(content)}"}


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"comment": f"{GENERATED} {{"}, "makes no sense"),
        ({"comment": f"{GENERATED} []"}, "makes no sense"),
        ({"comment": f"{GENERATED} {'[' * 9000}"}, "makes no sense"),
        (told(seed=-1), "seed is -1"),
        (told(seed="7"), "seed is"),
        (told(batch=[1, 10**9, 0]), "batch is"),
        (told(batch=[1, 2, 2]), "batch is"),
        (told(samples="WAV PCM_16 xyz"), "samples is"),
        (told(samples=f"FLAC FLOAT {'0' * 64}"), "samples is"),
        (told(changes={"rm": 1}), "changes is"),
        (told(streamed=[1]), "streamed is"),
        (told(edit={"rm": [[1, 2]]}), "edit is"),
        (told(edit={"inpaint": [[1, "x"]]}), "edit is"),
        (told(edit={"inpaint": [[1]]}), "edit is"),
        (told(edit={"inpaint": [[1, 2, 3]]}), "edit is"),
        (told(edit={"inpaint": [[1, 2], [3, 4, "a"]]}), "edit is"),
        (told(edit={"extend": 3600}, batch=[1, 4000, 0]), "too many"),
        (told(edit={"variation": True}), "edit is"),
        (told(edit={"variation": float("nan")}), "edit is"),
        (told(edit={"prompts_at": [[10**400, "a"]]}), "edit is"),
        (told(edit={"prompts_at": [["0", "a"]]}), "edit is"),
        (told(edit={"prompts_at": []}), "edit is"),
        (told(edit={"prompts_at": [[0, "a"]], "variation": 1}), "edit is"),
        (told(settings={"duration": 1e9}), "duration is"),
        (told(settings={"duration": 3600}, batch=[1, 4000, 0]), "too many"),
        (told(settings={"duration": "long"}), "settings that cannot be"),
        (told(settings={"mood": 3}), "the setting 'mood', which this version does not know"),
    ],
)
def test_hostile_records(tags: dict[str, str], why: str) -> None:
    with pytest.raises(ArgumentError, match=why):
        check_record(Record.read(tags, "a.wav"), "a.wav")


@settings(max_examples=40, deadline=None)
@given(prompt=st.text(max_size=300), seed=st.integers(0, 2**63 - 1))
def test_any_prompt_comes_back(prompt: str, seed: int) -> None:
    prompt = prompt.encode("utf-8", "replace").decode()
    record = Record(prompt=prompt, seed=seed, settings={"duration": 1.0}, date="2026-01-01")
    tags = record.tags()
    assert Record.read(tags, "a") == record
    assert len(tags.get("title", "")) <= 200


def test_a_prompt_that_is_a_book_leaves_the_mark() -> None:
    tags = Record(prompt="x" * 20000, seed=1, model="foley").tags()
    assert Record.read(tags, "a") == Record(model="foley")


def test_names_of_models(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert model_name(tmp_path / "mine") == "mine"
    assert model_name("foley") == "foley"
    assert model_name("facebook/audiogen-medium") == "facebook/audiogen-medium"


def test_sounds_do_not_keep_their_model(tiny_model: AudioGen) -> None:
    parts = (tiny_model.lm, tiny_model.text_encoder, tiny_model.codec)
    model = AudioGen(*parts, max_seconds=1.0)
    made = model.generate("a", duration=0.1)
    assert made.record().weights
    del model
    assert made.record().weights == ""
