"""The clips of a training mix, and the encoded folder that holds them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from soundloom.core.audio import AudioError
from soundloom.recipes.data import AudioGenDataModule, ClipDataModule, augmented_folder
from soundloom.recipes.data.audiogen_module import SegmentSettings
from soundloom.recipes.data.augmentation import Augmentation
from soundloom.recipes.data.augmented_clips import AugmentedClips, MixSettings, without_lead
from soundloom.recipes.data.augmented_folder import write_augmented
from soundloom.recipes.data.paraphrases import comparable
from soundloom.recipes.data.recordings import class_of, group_of, held_out, read_recordings
from tests.tiny_codecs import seanet, write_sound

RATE = 8000
SINGLE = {"single": 1.0}
ROWS = [
    # name, caption, split, class, group: classes by table, by caption, and by neither
    *[(f"dog{i}.wav", "a dog barks", "train", "dog", f"dog{i // 2}") for i in range(8)],
    *[(f"door{i}.wav", "a door slams", "train", "", f"door{i}") for i in range(3)],
    *[(f"odd{i}.wav", "a strange thing", "train", "", "") for i in range(4)],
    *[(f"test{i}.wav", "a secret sound", "test", "dog", f"test{i}") for i in range(3)],
]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mysounds")
    for number, row in enumerate(ROWS):
        write_sound(folder / row[0], 0.2 + 0.35 * (number % 4), RATE)
    lines = ["file_name,text,split,sound_class,group", *(",".join(row) for row in ROWS)]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "codec"
    seanet().save_pretrained(folder)
    return str(folder)


def clips_of(sounds: Path, excluded: tuple[str, ...] = (), **settings: Any) -> AugmentedClips:
    settings = {"clips": 30, "seconds": 1.0, "captions": 8} | settings
    return AugmentedClips(
        read_recordings([sounds]), MixSettings(**settings), sample_rate=RATE, excluded=excluded
    )


def test_recordings_of_another_split_are_left_out(sounds: Path) -> None:
    names = {recording.name for recording in read_recordings([sounds])}
    assert len(names) == 15
    assert not any(name.startswith("test") for name in names)
    assert {recording.name for recording in read_recordings([sounds], split="test")} == {
        "test0.wav",
        "test1.wav",
        "test2.wav",
    }
    dogs = read_recordings([sounds], where={"sound_class": "DOG"})
    assert {recording.columns["sound_class"] for recording in dogs} == {"dog"}
    with pytest.raises(ValueError, match=r"no table has a column 'kind'; there are: .*group, sound_class"):
        read_recordings([sounds], where={"kind": "x"})
    with pytest.raises(ValueError, match="none of the 18 recordings is of the split 'other'"):
        read_recordings([sounds], split="other")


def test_folders_without_a_table_are_taken_whole(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", 0.3, RATE)
    (tmp_path / "a.txt").write_text("a dog barks\n")
    assert [recording.name for recording in read_recordings([tmp_path])] == ["a.wav"]


def test_classes_come_from_the_table_or_the_caption(sounds: Path) -> None:
    found = Counter(class_of(recording) for recording in read_recordings([sounds]))
    assert found == {"dog": 8, "door": 3, "other": 4}


def test_pieces_of_one_recording_are_held_out_together(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = read_recordings([sounds])
    assert len({group_of(recording) for recording in recordings}) == 11
    for share in (0.3, 1.0):
        monkeypatch.setattr("soundloom.recipes.data.recordings.HELD_OUT", share)
        groups: dict[str, set[bool]] = {}
        kept = set()
        for recording, held in zip(recordings, held_out(recordings), strict=True):
            groups.setdefault(group_of(recording), set()).add(held)
            kept |= set() if held else {class_of(recording)}
        assert all(len(held) == 1 for held in groups.values())
        assert any(True in held for held in groups.values())
        assert kept == {"dog", "door", "other"}  # none is held out whole


def test_train_and_validation_share_no_recording(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundloom.recipes.data.recordings.HELD_OUT", 0.4)
    parts = {
        part: {source.recording.name for source in clips_of(sounds, part=part).sources}
        for part in ("train", "validation")
    }
    assert parts["train"]
    assert parts["validation"]
    assert not parts["train"] & parts["validation"]
    assert len(parts["train"] | parts["validation"]) == 15
    assert len(clips_of(sounds, part="all").sources) == 15
    monkeypatch.setattr("soundloom.recipes.data.recordings.HELD_OUT", 0.0)
    with pytest.raises(ValueError, match="none of the 15 recordings is of the part 'validation'"):
        clips_of(sounds, part="validation")


def test_classes_are_balanced_and_recordings_in_them(sounds: Path) -> None:
    clips = clips_of(sounds, clips=90, max_repeats=20, compositions=SINGLE)
    made = [clips[index] for index in range(90)]
    assert set(Counter(clip.entry["classes"][0] for clip in made).values()) == {30}
    assert clips.shares == {"dog": 30, "door": 30, "other": 30}
    for name in ("dog", "door", "odd"):
        used = Counter(clip.entry["file_name"] for clip in made if clip.entry["file_name"].startswith(name))
        assert max(used.values()) - min(used.values()) <= 1
    with pytest.raises(ValueError, match="cannot be made of"):
        clips_of(sounds, clips=900, max_repeats=20)


def test_a_clip_is_the_same_whenever_it_is_made(sounds: Path) -> None:
    one, other = clips_of(sounds), clips_of(sounds)
    for index in (3, 0, 17):
        first, second = one[index], other[index]
        assert np.array_equal(first.audio, second.audio)
        assert first.captions == second.captions
    changed = clips_of(sounds, seed=1)
    assert any(not np.array_equal(one[i].audio, changed[i].audio) for i in range(4))


def test_clips_have_one_length_no_peak_beyond_full_scale_and_many_captions(sounds: Path) -> None:
    clips = clips_of(sounds, clips=40, compositions={"single": 1, "while": 1, "background": 1, "then": 1})
    kinds = Counter()
    for index in range(40):
        clip = clips[index]
        kinds[clip.entry["composition"]] += 1
        assert clip.audio.shape == (RATE,)
        assert clip.audio.dtype == np.float32
        assert 0 < np.abs(clip.audio).max() < 1
        assert len(clip.captions) >= 4
        assert len(clip.entry["classes"]) == (1 if clip.entry["composition"] == "single" else 2)
        assert clip.entry["caption"] == clip.captions[0]
        assert not any("secret" in text for text in clip.captions)
    assert len(kinds) == 4


def test_renderings_serve_their_share_and_classes_without_recordings(sounds: Path) -> None:
    clips = clips_of(sounds, clips=120, renderings=0.5, compositions=SINGLE, max_repeats=10)
    assert clips.shares["thunder"] >= 2  # no recording of it is there
    assert max(clips.shares.values()) - min(clips.shares.values()) <= 6  # each dog at least once
    place = next(i for i, (name, number) in enumerate(clips.plan) if name == "thunder" and number < 0)
    made = clips[place]
    assert made.entry["classes"] == ["thunder"]
    assert made.audio.shape == (RATE,)
    assert len(made.captions) == 8
    of_dogs = [number for name, number in clips.plan if name == "dog"]
    assert of_dogs.count(-1) == round(0.5 * len(of_dogs))
    assert not any(number < 0 for name, number in clips.plan if name == "door")


def test_classes_that_are_better_rendered_have_no_recordings_beside_renderings(
    sounds: Path, tmp_path: Path
) -> None:
    rows = ["file_name,text,sound_class", *(f"rain{i}.wav,rain falls,rain" for i in range(4))]
    rows += [f"dog{i}.wav,a dog barks,dog" for i in range(4)]
    for row in rows[1:]:
        shutil.copy(sounds / "dog0.wav", tmp_path / row.partition(",")[0])
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    for share, recorded in ((0.5, {"dog"}), (0.0, {"dog", "rain"})):
        clips = clips_of(tmp_path, clips=120, renderings=share, part="all", compositions=SINGLE)
        assert {name for name, number in clips.plan if number >= 0} == recorded
        assert {"dog", "rain"} <= {name for name, _ in clips.plan}


def test_a_clip_begins_with_its_sound_if_asked(sounds: Path) -> None:
    settings: dict[str, Any] = {"compositions": SINGLE, "augmentation": Augmentation.off()}
    late, trimmed = clips_of(sounds, **settings), clips_of(sounds, **settings, trim_start=True)
    found = 0
    for index in range(len(late)):
        before, after = late[index].audio, trimmed[index].audio
        start = int(np.flatnonzero(before)[0])
        found += start > 0
        assert after[0] != 0
        assert np.array_equal(after, np.concatenate([before[start:], before[:start]]))
    assert found
    assert not without_lead(np.zeros(5, dtype=np.float32)).any()


def test_prompts_of_an_evaluation_never_become_captions(sounds: Path) -> None:
    prompts = ("Dog barking", "a strange thing.", "woof")
    clips = clips_of(sounds, prompts, clips=60)
    free = clips_of(sounds, clips=60)
    keys = {comparable(prompt) for prompt in prompts}
    assert any(keys & set(map(comparable, free[index].captions)) for index in range(60))
    for index in range(60):
        assert not keys & set(map(comparable, clips[index].captions))


def test_a_broken_recording_is_replaced_by_another_of_its_class(sounds: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    shutil.copytree(sounds, folder)
    (folder / "door1.wav").write_bytes(b"no sound")
    clips = clips_of(folder, compositions=SINGLE)
    broken = next(i for i, (_, n) in enumerate(clips.plan) if clips.sources[n].recording.name == "door1.wav")
    assert clips[broken].entry["file_name"] in ("door0.wav", "door2.wav")
    for name in ("door0.wav", "door2.wav"):
        (folder / name).write_bytes(b"no sound")
    with pytest.raises(AudioError, match="recordings cannot be read, the last: door"):
        clips[broken]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clips": 0}, "clips is 0; it must be 1 or more"),
        ({"seconds": 0.1}, "seconds is 0.1; allowed are 0.5 to 600"),
        ({"renderings": 2.0}, "renderings is 2.0; allowed are 0 to 1"),
        ({"part": "test"}, "part is 'test'; it must be train or validation or all"),
        ({"compositions": {"singel": 1.0}}, "compositions is .* give weights of 0 or more to single"),
        ({"seed": -1}, "seed is -1"),
        ({"clips": None, "renderings": 0.5}, "say how many clips there are to be"),
    ],
)
def test_settings_out_of_range_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixSettings(**({"clips": 3} | changed))


# ------------------------------------------------------------------------------------ the folder


def write(sounds: Path, out: Path, codec: str, clips: int = 50, **options: Any) -> dict[str, int]:
    settings = MixSettings(clips=clips, seconds=1.0, captions=6)
    return write_augmented(out, read_recordings([sounds]), settings, codec=codec, **options)


def test_the_folder_is_what_training_reads(sounds: Path, tmp_path: Path, codec: str) -> None:
    seen: list[tuple[int, int]] = []
    shares = write(sounds, tmp_path / "mix", codec, codebooks=2, progress=lambda *counts: seen.append(counts))
    assert sum(shares.values()) == 50
    assert seen == [(32, 50), (50, 50)]
    codes = np.load(tmp_path / "mix" / "codes.npy")
    assert codes.shape == (50, 2, 100)
    assert codes.dtype == np.int16
    prepared = json.loads((tmp_path / "mix" / "prepared.json").read_text())
    assert prepared["num_codebooks"] == 2
    assert prepared["frame_rate"] == 100.0
    assert prepared["samples"] == 50
    assert [path.name for path in tmp_path.iterdir()] == ["mix"]

    data = AudioGenDataModule([str(tmp_path / "mix")], segment=SegmentSettings(seconds=1.0), batch_size=4)
    data.setup()
    torch.manual_seed(0)
    prompts = {data.train_set[0].caption for _ in range(30)}
    assert len(prompts) > 3  # drawn anew each time
    batch = next(iter(data.train_dataloader()))
    assert batch["codes"].shape == (4, 2, 100)
    assert batch["lengths"].tolist() == [100] * 4


def test_an_interrupted_call_goes_on_and_ends_the_same(
    sounds: Path, tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sounds, tmp_path / "whole", codec)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(sounds, tmp_path / "mix", codec, progress=stop)
    assert not (tmp_path / "mix").exists()
    parts = tmp_path / ".mix.parts"
    assert (parts / "00000000.npy").is_file()
    with pytest.raises(FileExistsError, match="of an earlier call with other settings; give the same"):
        write(sounds, tmp_path / "mix", codec, clips=40)

    made: list[range] = []
    make = augmented_folder._make_chunk
    monkeypatch.setattr(
        augmented_folder, "_make_chunk", lambda parts, chunk: made.append(chunk) or make(parts, chunk)
    )
    write(sounds, tmp_path / "mix", codec)
    assert made == [range(32, 50)]
    for name in ("codes.npy", "metadata.jsonl", "prepared.json"):
        assert (tmp_path / "mix" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(FileExistsError, match="is not empty.*--force"):
        write(sounds, tmp_path / "mix", codec)
    write(sounds, tmp_path / "mix", codec, clips=10, force=True)
    assert len(np.load(tmp_path / "mix" / "codes.npy")) == 10


def test_the_order_in_which_chunks_are_made_changes_nothing(
    sounds: Path, tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sounds, tmp_path / "one", codec)
    made = augmented_folder._made
    monkeypatch.setattr(
        augmented_folder, "_made", lambda arguments, chunks, jobs: made(arguments, chunks[::-1], jobs)
    )
    write(sounds, tmp_path / "two", codec)
    for name in ("codes.npy", "metadata.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
def test_two_processes_make_what_one_makes(sounds: Path, tmp_path: Path, codec: str) -> None:
    write(sounds, tmp_path / "one", codec)
    write(sounds, tmp_path / "two", codec, jobs=2)
    for name in ("codes.npy", "metadata.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_sound_for_a_classifier(sounds: Path, tmp_path: Path) -> None:
    settings = MixSettings(clips=70, seconds=1.0, known_classes=True, compositions=SINGLE)
    recordings = read_recordings([sounds])
    shares = write_augmented(tmp_path / "train", recordings, settings, codec=None, sample_rate=RATE)
    assert set(shares) == {"dog", "door"}
    plain = MixSettings(
        clips=None,
        seconds=1.0,
        part="all",
        known_classes=True,
        compositions=SINGLE,
        augmentation=Augmentation.off(),
    )
    counts = write_augmented(tmp_path / "all", recordings, plain, codec=None, sample_rate=RATE)
    assert counts == {"dog": 8, "door": 3}
    data = ClipDataModule(str(tmp_path / "train"), str(tmp_path / "all"), sample_rate=RATE, batch_size=8)
    data.setup()
    assert data.class_names == ["dog", "door"]
    audio, label = next(iter(data.train_dataloader()))
    assert audio.shape == (8, RATE)
    assert label.max() <= 1
    assert len(data.val_set) == 11
    assert not (tmp_path / "train" / "prepared.json").exists()


def test_what_is_in_the_way_is_kept(sounds: Path, tmp_path: Path, codec: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="notes.txt, which was not made here"):
        write(sounds, tmp_path / "mine", codec, force=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    with pytest.raises(ValueError, match="codebooks is 9; .* has 1 to 3"):
        write(sounds, tmp_path / "mix", codec, codebooks=9)
