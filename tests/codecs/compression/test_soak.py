"""Thousands of odd sound files at encode, prepare and evaluate; ffmpeg tells their lengths."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundloom.codecs.compression import encode_file
from soundloom.codecs.container import ContainerReader
from soundloom.core.audio import AudioError, TruncatedAudioError, read_audio
from soundloom.evaluation.evaluate_sounds import folder_examples
from soundloom.recipes.data.prepare_folder import check_folder
from tests import tiny_codecs

FILES = 2000
SECONDS = 1.0
DATA = Path(__file__).parents[4] / "shared" / "data"
LIMIT = 60  # seconds of ffmpeg for a file
# ffmpeg reads au files to their end, whatever their size field says, and finds mp3 in MAT files.
NOT_COMPARED = (b".snd", b"dns.", b"MATLAB")
LONGEST_FRAME = 4096  # samples, of these formats
# Suffix -> format and encodings, all that libsndfile both writes and reads and can tell without a file name.
FORMATS = {
    ".wav": (
        "WAV",
        ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"],
    ),
    ".gsm.wav": ("WAV", ["GSM610"]),
    ".wavex": ("WAVEX", ["PCM_16", "PCM_32"]),
    ".rf64": ("RF64", ["PCM_16", "FLOAT"]),
    ".w64": ("W64", ["PCM_16", "PCM_24", "FLOAT"]),
    ".aiff": ("AIFF", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "PCM_S8"]),
    ".au": ("AU", ["PCM_16", "PCM_32", "FLOAT", "ULAW"]),
    ".caf": ("CAF", ["PCM_16", "PCM_24", "FLOAT", "ALAW", "ALAC_16"]),
    ".flac": ("FLAC", ["PCM_16", "PCM_24"]),
    ".ogg": ("OGG", ["VORBIS"]),
    ".opus": ("OGG", ["OPUS"]),
    ".mp3": ("MP3", ["MPEG_LAYER_III"]),
    ".avr": ("AVR", ["PCM_16"]),
    ".svx": ("SVX", ["PCM_16", "PCM_S8"]),
    ".ircam": ("IRCAM", ["PCM_16", "FLOAT"]),
    ".nist": ("NIST", ["PCM_16"]),
    ".paf": ("PAF", ["PCM_16"]),
    ".pvf": ("PVF", ["PCM_16"]),
    ".voc": ("VOC", ["PCM_16", "PCM_U8"]),
    ".mat": ("MAT5", ["PCM_16"]),
}
KINDS = (
    *("as it is", "cut", "cut", "joined", "joined with another", "header", "header", "sizes", "junk behind"),
    *("junk before", "holes", "byte", "tags", "first frame lost", "beginning"),
)
COMMON = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".caf", ".au", ".w64")


def clips() -> list[tuple[np.ndarray, int]]:
    """A few short sounds: recordings where there are some, else noise and tones."""
    found = []
    paths = sorted(path for path in DATA.glob("real/*/**/*.*") if path.suffix in (".wav", ".flac", ".ogg"))
    for path in paths[:: max(1, len(paths) // 6)][:6]:
        samples, rate = read_audio(path)
        found.append((samples[:2, : round(SECONDS * rate)].T.numpy(), rate))
    random_numbers = np.random.default_rng(0)
    for rate in (16000, 44100) if found else (8000, 16000, 22050, 44100, 48000):
        time = np.arange(round(SECONDS * rate)) / rate
        tone = 0.3 * np.sin(440 * 2 * np.pi * time) + random_numbers.uniform(-0.1, 0.1, len(time))
        found.append((tone[:, None], rate))
    return found


def write_original(
    folder: Path, number: int, source: random.Random, sounds: list[tuple[np.ndarray, int]]
) -> bytes:
    """The bytes of a whole file of some format."""
    suffix = source.choice([*COMMON, *FORMATS])
    format, subtypes = FORMATS[suffix]
    frames, rate = source.choice(sounds)
    frames = frames[: source.randrange(len(frames) // 4, len(frames))]
    if suffix in (".gsm.wav", ".svx", ".voc", ".mat") or source.random() < 0.5:
        frames = frames[:, :1]
    if suffix == ".mp3" and rate not in (16000, 22050, 24000, 32000, 44100, 48000):
        rate = 16000
    if suffix == ".opus":
        rate = 48000 if rate not in (8000, 12000, 16000, 24000, 48000) else rate
    path = folder / f"original-{number}{suffix}"
    options = {"bitrate_mode": "VARIABLE"} if suffix == ".mp3" and source.random() < 0.5 else {}
    soundfile.write(path, frames, rate, format=format, subtype=source.choice(subtypes), **options)
    data = path.read_bytes()
    path.unlink()
    return data


def mutate(data: bytes, other: bytes, source: random.Random) -> tuple[str, bytes]:
    """A file as it comes to be in people's hands, and what was done to it."""
    kind = source.choice(KINDS)
    changed = bytearray(data)
    if kind == "cut":
        return kind, data[: source.randrange(len(data))]
    if kind == "joined":
        return kind, data + data
    if kind == "joined with another":
        return kind, data + other
    if kind == "header":  # a field somewhere in the first bytes
        for _ in range(source.randint(1, 3)):
            changed[source.randrange(min(len(data), 80))] = source.randrange(256)
    if kind == "sizes":  # of 0, of everything, or of something else
        value = source.choice(
            [0, 0xFFFFFFFF, 0x7FFFF000, source.randrange(1 << 32), source.randrange(1 << 16)]
        )
        names = [
            name
            for name in (b"RIFF", b"data", b"FORM", b"SSND", b"COMM", b"BODY", b"fact")
            if name in data[:400]
        ]
        for name in source.sample(names, min(len(names), 2)):
            place = data.index(name) + 4
            changed[place : place + 4] = struct.pack(source.choice("<>") + "I", value)
        if data[:4] == b"fLaC":
            number = int.from_bytes(data[18:26], "big") >> 36 << 36 | value & 0xFFFFFF
            changed[18:26] = number.to_bytes(8, "big")
        if data[:4] == b".snd":
            changed[8:12] = struct.pack(">I", value)
    if kind == "junk behind":
        return kind, data + source.randbytes(source.randrange(1, 3000))
    if kind == "junk before":
        return kind, source.randbytes(source.randrange(1, 200)) + data
    if kind == "holes":
        place = source.randrange(len(data))
        changed[place : place + 2000] = bytes(len(changed[place : place + 2000]))
    if kind == "byte":
        changed[source.randrange(len(data))] = source.randrange(256)
    if kind == "tags":
        return kind, b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + data + b"TAG" + bytes(125)
    if kind == "first frame lost" and data[:2] in (b"\xff\xfb", b"\xff\xf3"):
        return kind, data[data.find(data[:2], 100) :]
    if kind == "beginning":
        return kind, data[: source.randrange(min(len(data), 200))]
    return kind, bytes(changed)


def judged(path: Path) -> tuple[int, int, int] | None:
    """Samples, rate and channels that ffmpeg makes of a file; None if it finds anything wrong with it."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0", "-c:a", "pcm_s16le"]
    try:
        result = subprocess.run([*command, "-f", "wav", "-"], capture_output=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return None
    wav = result.stdout
    if result.returncode or result.stderr or b"data" not in wav[:400]:
        return None
    channels, rate = struct.unpack_from("<HI", wav, 22)
    return (len(wav) - wav.index(b"data") - 8) // 2 // channels, rate, channels


@pytest.mark.slow
def test_odd_files_harm_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, sounds = random.Random(0), clips()
    folder, counts = tmp_path / "odd", Counter[str]()
    folder.mkdir()
    kinds: dict[str, str] = {}
    for number in range(FILES):
        data, other = (write_original(tmp_path, number, source, sounds) for _ in range(2))
        kind, odd = mutate(data, other, source)
        suffix = source.choice(COMMON)  # most have a name that is not theirs
        if source.random() < 0.5:
            suffix = {b"RIFF": ".wav", b"OggS": ".ogg", b"fLaC": ".flac", b"FORM": ".aiff"}.get(
                data[:4], ".mp3"
            )
        name = f"{number:04d}{suffix}"
        (folder / name).write_bytes(odd)
        kinds[name] = kind
        counts[f"made: {kind}"] += 1
        if number % 20 == 0:  # neighbours that nothing is wrong with
            soundfile.write(
                folder / f"{number:04d}-fine.wav", sounds[0][0] * (0.1 + number / 4000), sounds[0][1]
            )
    fine = {path.name for path in folder.glob("*-fine.wav")}
    paths, codec = sorted(folder.iterdir()), tiny_codecs.seanet()
    pool = ThreadPoolExecutor(2)
    judgements = {path: pool.submit(judged, path) for path in paths if shutil.which("ffmpeg")}
    refused: list[str] = []
    unread: list[str] = []

    lengths: dict[str, tuple[int, int] | str] = {}
    for path in paths:
        loom = tmp_path / "out.loom"
        try:
            encode_file(path, loom, codec, force=True)
            counts["encode: done"] += 1
        except TruncatedAudioError:
            counts["encode: breaks off early"] += 1
            assert path.name not in fine
        except AudioError as error:  # any other exception fails the test
            counts["encode: refused"] += 1
            assert path.name not in fine
            assert str(path) in str(error)
        except Exception as error:
            unread.append(f"{path.name} ({kinds.get(path.name)}): encode raises {error!r}")
        try:
            samples, rate = read_audio(path, allow_truncated=True)
            lengths[path.name] = samples.shape[1], rate
        except AudioError as error:
            lengths[path.name] = f"refused: {str(error).removeprefix('cannot read sound from ')}"
        except Exception as error:
            lengths[path.name] = "refused"
            unread.append(f"{path.name} ({kinds.get(path.name)}): read_audio raises {error!r}")
        if loom.exists():
            with loom.open("rb") as file:
                length = ContainerReader(file).length
            expected = lengths[path.name]
            assert not isinstance(expected, str), path.name
            assert length == expected[0], path.name
            loom.unlink()

    report = check_folder(folder, captions=False, min_seconds=0.0)
    usable = {recording.name for recording in report.usable}
    problems = {problem.file: problem.kind for problem in report.problems}
    assert fine <= usable
    assert usable | set(problems) == {path.name for path in folder.iterdir()}
    counts["prepare: usable"] = len(usable)
    counts.update(f"prepare: {kind}" for kind in problems.values())

    for example in folder_examples(folder, seconds=1.0):
        try:
            samples, _ = example.read()
            counts["evaluate: read"] += 1
            assert samples.shape[1] > 0
        except AudioError:
            counts["evaluate: refused"] += 1
        except Exception as error:
            unread.append(f"{example.name}: evaluate raises {error!r}")

    for path, waiting in judgements.items():
        found, own = waiting.result(), lengths[path.name]
        if found is None or found[0] == 0:
            counts["ffmpeg: errors or nothing"] += 1
        elif isinstance(own, str):
            counts["ffmpeg: reads what is refused here"] += 1
            refused.append(f"{path.name} ({kinds.get(path.name)}): ffmpeg {found}, here {own}")
        elif path.read_bytes().startswith(NOT_COMPARED) or path.read_bytes().count(b"fLaC") > 1:
            # Of joined FLAC files it loses the shorter last block of all but the last one.
            counts["ffmpeg: not compared"] += 1
        elif abs(found[0] / found[1] - own[0] / own[1]) <= LONGEST_FRAME / found[1]:
            counts["ffmpeg: same length"] += 1
        else:
            unread.append(f"{path.name} ({kinds.get(path.name)}): ffmpeg {found}, here {own}")
    with capsys.disabled():
        print()
        for what, count in sorted(counts.items()):
            print(f"  {count:5d}  {what}")
        print("\n".join([*refused, *unread]))
    assert not unread
    assert len(refused) <= FILES // 33, "more than 3 % of the files are refused that ffmpeg reads"
