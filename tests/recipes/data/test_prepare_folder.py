"""`soundloom prepare`: everything that is wrong is listed, and what is written is what training reads."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from soundloom.codecs.base import Codec
from soundloom.gen.text.encoder import TextEncoder, TextStates
from soundloom.recipes.data.audiogen_module import AudioGenDataModule, SegmentSettings
from soundloom.recipes.data.encoded_files import FolderSink
from soundloom.recipes.data.encoding import encode_captions, encode_recordings
from soundloom.recipes.data.folder import list_folder
from soundloom.recipes.data.prepare_folder import check_folder, prepare_folder
from soundloom.recipes.data.shards import find_shards, read_shard

RATE = 8000


class PeakCodec(Codec):
    """One frame in 100 samples: codebook 0 holds the frame's peak in percent, codebook 1 the batch size."""

    sample_rate, channels, frame_rate, num_codebooks, codebook_size = RATE, 1, RATE / 100, 2, 128

    def encode(self, audio: Tensor) -> Tensor:
        frames = -(-audio.shape[2] // 100)
        padded = torch.nn.functional.pad(audio[:, 0], (0, frames * 100 - audio.shape[2]))
        codes = (padded.unflatten(1, (-1, 100)).abs().amax(2) * 100).round().long()
        return torch.stack([codes, torch.full_like(codes, len(audio))], dim=1)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        raise NotImplementedError


class LetterEncoder(TextEncoder):
    """States `[B, L, 2]`: a letter's number and its place; says which captions it was asked for."""

    dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def forward(self, prompts: Sequence[str]) -> TextStates:
        self.asked += prompts
        longest = max(map(len, prompts))
        states, mask = (
            torch.zeros(len(prompts), longest, 2),
            torch.zeros(len(prompts), longest, dtype=torch.bool),
        )
        for row, prompt in enumerate(prompts):
            for place, letter in enumerate(prompt):
                states[row, place] = torch.tensor([float(ord(letter)), float(place)])
                mask[row, place] = True
        return TextStates(states, mask)


def tone(path: Path, seconds: float = 1.0, level: float = 0.5, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, (wave * 32767).astype(np.int16), rate)
    return path


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """A folder with one of each problem, and two good files."""
    folder = tmp_path / "messy"
    tone(folder / "good.wav", level=0.4)
    tone(folder / "deep" / "good.flac", level=0.3)
    tone(folder / "zz_copy.wav", level=0.4)
    tone(folder / "mute.wav", level=0.2)
    tone(folder / "short.wav", seconds=0.05)
    soundfile.write(folder / "silent.wav", np.full(RATE, 2, np.int16), RATE)
    (folder / "text.wav").write_text("no sound")
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    ogg = tone(folder / "broken.flac", seconds=3.0)
    ogg.write_bytes(ogg.read_bytes()[: ogg.stat().st_size // 2])
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    rows = [f"{name},sound of {name}" for name in names if name != "mute.wav"]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text", *rows, "gone.wav,x"]) + "\n")
    (folder / "mute.json").write_text("{broken")
    return folder


def test_every_problem_is_listed(messy: Path) -> None:
    progress: list[tuple[int, int]] = []
    report = check_folder(messy, jobs=3, progress=lambda *counts: progress.append(counts))
    kinds = [(problem.file, problem.kind) for problem in report.problems]
    assert kinds == [
        ("broken.flac", "unreadable"),
        ("empty.wav", "unreadable"),
        ("gone.wav", "missing file"),
        ("mute.json", "unreadable captions"),
        ("mute.wav", "no caption"),
        ("nan.wav", "unreadable"),
        ("short.wav", "too short"),
        ("silent.wav", "silent"),
        ("text.wav", "unreadable"),
        ("zz_copy.wav", "duplicate"),
    ]
    details = {problem.file: problem.detail for problem in report.problems}
    assert "good.wav" in details["zz_copy.wav"]
    assert "0.050 s, less than 0.1 s" in details["short.wav"]
    assert "peak -84 dB" in details["silent.wav"]
    assert "NaN" in details["nan.wav"]
    assert [recording.name for recording in report.usable] == ["deep/good.flac", "good.wav"]
    assert (report.files, report.seconds) == (10, 2.0)
    assert report.counts == {
        "duplicate": 1,
        "missing file": 1,
        "no caption": 1,
        "silent": 1,
        "too short": 1,
        "unreadable": 4,
        "unreadable captions": 1,
    }
    assert progress == [(n, 10) for n in range(1, 11)]


def test_limits_can_be_moved(messy: Path) -> None:
    report = check_folder(messy, captions=False, min_seconds=0.0, silence_db=-100.0)
    assert set(report.counts) == {"duplicate", "missing file", "unreadable", "unreadable captions"}
    assert report.settings == {"captions": False, "min_seconds": 0.0, "silence_db": -100.0}


def test_the_same_sound_in_another_format_is_a_duplicate(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    tone(tmp_path / "b.flac")
    tone(tmp_path / "c.wav", rate=16000, seconds=0.5)
    assert [p.file for p in check_folder(tmp_path, captions=False).problems] == ["b.flac"]


def test_every_format_of_ours_passes(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac", ".ogg", ".mp3"):
        tone(tmp_path / f"a{suffix}", rate=16000, seconds=1.234)
    report = check_folder(tmp_path, captions=False)
    assert [p.kind for p in report.problems] == ["duplicate"]
    assert len(report.usable) == 3


def test_the_report_as_text_and_json(messy: Path, tmp_path: Path) -> None:
    report = check_folder(messy)
    lines = report.lines(most=2)
    assert lines[0] == f"{messy}: 2 of 10 sounds usable, 0.0 minutes"
    assert "unreadable: 4" in lines
    assert "  … and 2 more, all in the JSON report (--report FILE)" in lines
    assert "  short.wav  (0.050 s, less than 0.1 s)" in lines
    report.write(tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["usable"] == 2
    assert found["counts"]["unreadable"] == 4
    assert found["problems"][0]["file"] == "broken.flac"
    assert found["problems"][0]["problem"] == "unreadable"
    assert {path.name for path in tmp_path.iterdir()} == {"messy", "report.json"}


def test_folders_and_limits_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no sound file"):
        check_folder(tmp_path)
    for changed in ({"min_seconds": -1.0}, {"silence_db": 3.0}, {"jobs": 0}):
        with pytest.raises(ValueError, match=next(iter(changed))):
            check_folder(tmp_path, **changed)  # type: ignore[arg-type]


# ------------------------------------------------------------------ writing


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """2.55 s, 1 s and 0.333 s; the last at another rate."""
    folder = tmp_path / "sounds"
    tone(folder / "a.wav", 2.55, 0.1)
    tone(folder / "b.wav", 1.0, 0.2)
    tone(folder / "c.flac", 0.333, 0.3, rate=16000)
    (folder / "a.txt").write_text("long\nvery long\n")
    (folder / "b.txt").write_text("long\n")
    (folder / "c.txt").write_text("short\n")
    return folder


EXPECTED = [  # (file_name, start, peak in percent, frames)
    ("a.wav", 0.0, 10, 80),
    ("a.wav", 1.0, 10, 80),
    ("a.wav", 2.0, 10, 44),
    ("b.wav", 0.0, 20, 80),
    ("c.flac", 0.0, 30, 27),
]


def test_an_encoded_folder(sounds: Path, tmp_path: Path) -> None:
    encoder, out = LetterEncoder(), tmp_path / "out"
    prepare_folder(check_folder(sounds), out, codec=PeakCodec(), text_encoder=encoder, seconds=1.0)
    assert sorted(path.name for path in out.iterdir()) == [
        "codes.npy",
        "metadata.jsonl",
        "prepared.json",
        "report.json",
        "text.npy",
    ]
    codes, text = np.load(out / "codes.npy"), np.load(out / "text.npy")
    entries = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert codes.dtype == np.int16
    assert codes.shape == (5, 2, 80)
    assert text.dtype == np.float16
    for row, entry, (file, start, peak, frames) in zip(codes, entries, EXPECTED, strict=True):
        assert (entry["file_name"], entry["start_seconds"], entry["frames"]) == (file, start, frames)
        assert np.median(row[0, :frames]) == pytest.approx(peak, abs=1)
        assert not row[:, frames:].any()
        for caption, (first, last) in zip(entry["captions"], entry["text"], strict=True):
            assert "".join(chr(int(letter)) for letter in text[first:last, 0]) == caption
    assert codes[0, 1, 0] == codes[1, 1, 0] == 2, "equal lengths share a batch"
    assert sorted(encoder.asked) == ["long", "short", "very long"], "every caption is encoded once"
    prepared = json.loads((out / "prepared.json").read_text())
    assert prepared["samples"] == 5
    assert prepared["seconds"] == pytest.approx(3.883, abs=1e-3)
    assert prepared["codec"] == "PeakCodec"
    assert prepared["text_dim"] == 2
    assert prepared["frame_rate"] == 80.0


def test_a_tail_of_silence_follows_each_recording_once(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_folder(check_folder(sounds), out, codec=PeakCodec(), seconds=1.0, tail_seconds=0.25)
    codes = np.load(out / "codes.npy")
    entries = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    tails = [0, 0, 20, 20, 20]  # frames; of a.wav only the last piece has one
    for row, entry, (_, _, peak, frames), tail in zip(codes, entries, EXPECTED, tails, strict=True):
        assert entry["frames"] == pytest.approx(frames + tail, abs=1)
        assert np.median(row[0, :frames]) == pytest.approx(peak, abs=1)
        assert not row[0, frames : entry["frames"]].any()
        assert row[1, : entry["frames"]].all()
    with pytest.raises(ValueError, match="tail_seconds must be 0..600, got -1"):
        prepare_folder(check_folder(sounds), tmp_path / "new", codec=PeakCodec(), tail_seconds=-1)


def test_training_reads_it_at_random_places(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_folder(check_folder(sounds), out, codec=PeakCodec(), text_encoder=LetterEncoder())
    data = AudioGenDataModule(
        [str(out)], val_folders=[str(out)], segment=SegmentSettings(0.5), batch_size=3, sample_rate=RATE
    )
    data.setup()
    captions = set()
    for epoch in range(6):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            assert batch["codes"].shape == (3, 2, 40)
            assert sorted(batch["lengths"].tolist()) == [27, 40, 40]
            for states, mask, prompt in zip(
                batch["text_states"], batch["text_mask"], batch["prompts"], strict=True
            ):
                assert "".join(chr(int(letter)) for letter in states[mask][:, 0]) == prompt
                captions.add(prompt)
    assert captions == {"long", "very long", "short"}


def test_encoded_shards(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_folder(
        check_folder(sounds),
        out,
        codec=PeakCodec(),
        text_encoder=LetterEncoder(),
        shards=True,
        shard_bytes=1,
        seconds=1.0,
    )
    names = [f"shard-{number:06d}.tar" for number in range(5)]
    assert sorted(path.name for path in out.iterdir()) == ["prepared.json", "report.json", *names]
    samples = [sample for shard in find_shards(out) for sample in read_shard(shard)]
    assert [sample.key for sample in samples] == [f"{n}" for n in (
        "00000000-000", "00000000-001", "00000000-002", "00000001-000", "00000002-000"
    )]  # fmt: skip
    assert [json.loads(s.members[".json"])["frames"] for s in samples] == [80, 80, 44, 80, 27]
    data = AudioGenDataModule(
        [str(out)], val_folders=[str(out)], segment=SegmentSettings(1.0), batch_size=5, sample_rate=RATE
    )
    data.setup()
    [batch] = data.val_dataloader()
    assert batch["lengths"].tolist() == [80, 80, 44, 80, 27]
    assert [
        int(row[0, : int(n)].median()) for row, n in zip(batch["codes"], batch["lengths"], strict=True)
    ] == [pytest.approx(peak, abs=1) for _, _, peak, _ in EXPECTED]
    assert batch["text_mask"].sum(1).tolist() == [4, 4, 4, 4, 5]


def test_raw_shards_hold_the_files_as_they_are(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_folder(check_folder(sounds), out, shards=True)
    samples = list(read_shard(str(out / "shard-000000.tar")))
    assert [sorted(sample.members) for sample in samples] == [[".json", ".wav"]] * 2 + [[".flac", ".json"]]
    assert samples[2].members[".flac"] == (sounds / "c.flac").read_bytes()
    assert json.loads(samples[0].members[".json"]) == {
        "file_name": "a.wav",
        "captions": ["long", "very long"],
    }
    prepared = json.loads((out / "prepared.json").read_text())
    assert prepared["codec"] is None
    assert prepared["samples"] == 3


def test_captions_are_normalized_on_request(sounds: Path, tmp_path: Path) -> None:
    (sounds / "a.txt").write_text("A dog is barking\nthe dogs bark\n")
    prepare_folder(check_folder(sounds), tmp_path / "out", shards=True, normalize=True)
    sample = next(read_shard(str(tmp_path / "out" / "shard-000000.tar")))
    assert json.loads(sample.members[".json"])["captions"] == ["dog bark"]


def test_what_breaks_between_check_and_encoding_is_reported(
    sounds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = check_folder(sounds)
    (sounds / "b.wav").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        prepare_folder(report, tmp_path / "out", codec=PeakCodec())
    assert [(p.file, p.kind) for p in report.problems] == [("b.wav", "unreadable")]
    assert ["b.wav" in message for message in caplog.messages] == [True]
    assert np.load(tmp_path / "out" / "codes.npy").shape[0] == 2
    assert json.loads((tmp_path / "out" / "report.json").read_text())["counts"] == {"unreadable": 1}
    for name in ("a.wav", "c.flac"):
        (sounds / name).write_bytes(b"broken")
    other = tmp_path / "other"
    other.mkdir()
    wrong = pytest.raises(ValueError, match=r"none of 3 recordings .*a\.wav")
    with wrong, FolderSink(other) as sink:
        encode_recordings(list_folder(sounds).recordings, sink, PeakCodec())
    assert not list(other.iterdir()), "nothing is left of it"


def test_nothing_half_done_is_left(sounds: Path, tmp_path: Path) -> None:
    class Failing(PeakCodec):
        def encode(self, audio: Tensor) -> Tensor:
            raise RuntimeError("no")

    report = check_folder(sounds)
    with pytest.raises(RuntimeError):
        prepare_folder(report, tmp_path / "out", codec=Failing())
    assert [path.name for path in tmp_path.iterdir()] == ["sounds"]


def test_existing_output(sounds: Path, tmp_path: Path) -> None:
    report, out = check_folder(sounds), tmp_path / "out"
    prepare_folder(report, out, codec=PeakCodec())
    with pytest.raises(FileExistsError, match="--force"):
        prepare_folder(report, out, codec=PeakCodec())
    prepare_folder(report, out, shards=True, force=True)
    assert sorted(path.name for path in out.iterdir()) == ["prepared.json", "report.json", "shard-000000.tar"]
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        prepare_folder(report, out, shards=True, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"sounds", "out"}


def test_what_cannot_be_written_is_explained(sounds: Path, tmp_path: Path) -> None:
    report = check_folder(sounds)
    for out, changed, message in (
        (tmp_path / "out", {}, "nothing to write"),
        (tmp_path / "out", {"shards": True, "text_encoder": LetterEncoder()}, "without a codec"),
        (sounds / "out", {"shards": True}, "among the sounds"),
        (sounds, {"shards": True}, "among the sounds"),
        (tmp_path / "out", {"codec": PeakCodec(), "seconds": 0.01}, r"0\.1\.\.600"),
        (tmp_path / "out", {"codec": PeakCodec(), "batch_size": 0}, "batch_size"),
    ):
        settings: dict[str, Any] = changed  # type: ignore[assignment]
        with pytest.raises(ValueError, match=message):
            prepare_folder(report, out, **settings)
    big = PeakCodec()
    big.codebook_size = 40000
    with pytest.raises(ValueError, match="does not fit"):
        prepare_folder(report, tmp_path / "out", codec=big)
    report.usable = []
    with pytest.raises(ValueError, match="none of the 3 sounds"):
        prepare_folder(report, tmp_path / "out", shards=True)
    assert [path.name for path in tmp_path.iterdir()] == ["sounds"]


def test_captions_are_encoded_without_padding() -> None:
    found = encode_captions(LetterEncoder(), [f"{n}" * (n + 1) for n in range(70)])
    assert [len(found[f"{n}" * (n + 1)]) for n in (0, 9, 69)] == [1, 10, 140]


def test_checking_uses_several_threads(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from soundloom.recipes.data import prepare_folder as prepare

    names, real, together = set(), prepare._decode, threading.Barrier(2, timeout=10)

    def decode(path: Path) -> Any:
        if path.name != "c.flac":
            together.wait()  # passes only if two files are in hand at once
        names.add(threading.current_thread().name)
        return real(path)

    monkeypatch.setattr(prepare, "_decode", decode)
    assert len(check_folder(sounds, jobs=2).usable) == 3
    assert len(names) == 2


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".ogg", ".mp3", ".au", ".caf", ".w64"])
def test_half_a_file_is_listed_as_unreadable_and_not_encoded(tmp_path: Path, suffix: str) -> None:
    folder, sound = tmp_path / "in", np.random.default_rng(0).uniform(-0.3, 0.3, 4 * 16000)
    folder.mkdir()
    soundfile.write(folder / "whole.wav", sound, 16000)
    half = folder / f"half{suffix}"
    soundfile.write(half, sound[::-1], 16000)
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    (folder / "song.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(1000))
    report = check_folder(folder, captions=False)
    assert [recording.name for recording in report.usable] == ["whole.wav"]
    assert report.files == 3
    details = {problem.file: problem.detail for problem in report.problems}
    assert "breaks off early" in details[half.name]
    assert "no decoder" in details["song.m4a"]
    assert "ffmpeg -i song.m4a song.wav" in details["song.m4a"]
    with FolderSink(tmp_path) as sink:
        counts = encode_recordings(list_folder(folder).recordings, sink, PeakCodec())
    assert counts.samples == 1
    assert set(counts.left_out) == {half.name, "song.m4a"}
