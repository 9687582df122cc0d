"""Compressed files: there and back, pipes, parts, damage, bounded memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from soundloom.codecs import ContainerError, decode_file, describe_file, encode_file
from soundloom.codecs.audio import AudioError
from soundloom.codecs.container import Compressed, ContainerReader
from soundloom.codecs.container_blocks import pack_chunk
from soundloom.codecs.container_header import header_seed, pack_header
from soundloom.codecs.files import CodecShelf
from soundloom.codecs.soundio import RawFormat
from tests.tiny_codecs import codecs, seanet, sound, write_sound

CODECS = codecs()
every_codec = pytest.mark.parametrize("kind", CODECS)


class Pipe(io.RawIOBase):
    """Bytes that can be read or written only once, in order, a few at a time."""

    name = "<pipe>"

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), 777, len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        return count

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@every_codec
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (8000, 1), (11025, 3)])
def test_there_and_back(tmp_path: Path, kind: str, rate: int, channels: int) -> None:
    codec = CODECS[kind]
    source = write_sound(tmp_path / "a.wav", 0.4, rate, channels)
    packed, back = tmp_path / "a.loom", tmp_path / "b.wav"
    seconds: list[float] = []
    report = encode_file(source, packed, codec, progress=seconds.append)
    kept = channels if channels <= codec.channels else 1
    assert report.seconds == pytest.approx(0.4) and sum(seconds) == pytest.approx(0.4)
    assert report.size == packed.stat().st_size
    assert report.bitrate == pytest.approx(8 * report.size / 0.4)
    assert (report.source_channels, report.header.channels) == (channels, kept)
    decoded = decode_file(packed, back, codec)
    assert decoded.size == back.stat().st_size
    info = soundfile.info(back)
    assert (info.frames, info.samplerate, info.channels) == (round(0.4 * rate), rate, kept)
    assert sorted(os.listdir(tmp_path)) == ["a.loom", "a.wav", "b.wav"], "nothing else is left behind"


@every_codec
def test_files_hold_what_compress_makes(tmp_path: Path, kind: str) -> None:
    codec = CODECS[kind]
    source = write_sound(tmp_path / "a.wav", 0.5, 22050, 2)
    encode_file(source, tmp_path / "a.loom", codec)
    direct = codec.compress(samples(source).T, 22050)
    assert (tmp_path / "a.loom").read_bytes() == direct.to_bytes()
    decode_file(tmp_path / "a.loom", tmp_path / "b.flac", codec)
    expected, _ = codec.decompress(Compressed.load(tmp_path / "a.loom"))
    np.testing.assert_allclose(samples(tmp_path / "b.flac").T, expected.clamp(-1, 1), atol=1e-4)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".aiff"])
def test_sources_of_other_formats(tmp_path: Path, suffix: str) -> None:
    source = write_sound(tmp_path / f"a{suffix}", 0.5, 16000, 2)
    encode_file(source, tmp_path / "a.loom", seanet())
    assert describe_file(tmp_path / "a.loom").length == len(samples(source))


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_destinations_of_other_formats(tmp_path: Path, suffix: str) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 0.5), tmp_path / "a.loom", seanet())
    decode_file(tmp_path / "a.loom", tmp_path / f"b{suffix}", seanet(), sample_rate=24000)
    assert soundfile.info(tmp_path / f"b{suffix}").samplerate == 24000


@every_codec
def test_pipes(tmp_path: Path, kind: str) -> None:
    codec = CODECS[kind]
    source = write_sound(tmp_path / "a.wav", 0.6, 16000, 2)
    encode_file(source, tmp_path / "a.loom", codec)
    decode_file(tmp_path / "a.loom", tmp_path / "b.wav", codec)
    expected = samples(tmp_path / "b.wav")

    packed = Pipe()
    with open(source, "rb") as file:
        report = encode_file(file, packed, codec)  # type: ignore[arg-type]
    assert report.size == len(packed.data)
    assert bytes(packed.data) == (tmp_path / "a.loom").read_bytes()
    out = Pipe()
    report = decode_file(Pipe(bytes(packed.data)), out, codec)  # type: ignore[arg-type]
    assert report.size == len(out.data) == (tmp_path / "b.wav").stat().st_size
    np.testing.assert_array_equal(
        soundfile.read(io.BytesIO(out.data), dtype="float32", always_2d=True)[0], expected
    )
    raw = Pipe()
    decode_file(tmp_path / "a.loom", raw, codec, raw=RawFormat("s16le"))  # type: ignore[arg-type]
    assert bytes(raw.data) == bytes(out.data)[44:]
    described = describe_file(Pipe(bytes(packed.data)))  # type: ignore[arg-type]
    assert replace(described, name="") == replace(describe_file(tmp_path / "a.loom"), name="")


@every_codec
@pytest.mark.parametrize("length", [1, 79, 80, 81, 8001])
def test_a_length_that_is_only_known_at_the_end(tmp_path: Path, kind: str, length: int) -> None:
    codec = CODECS[kind]
    data = (sound(length / 8000, 8000)[0].numpy() * 32767).astype("<i2").tobytes()
    (tmp_path / "raw").write_bytes(data)
    packed = Pipe()
    process = subprocess.Popen(["cat", str(tmp_path / "raw")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    encode_file(process.stdout, packed, codec, raw=RawFormat("s16le", 8000, 1))  # type: ignore[arg-type]
    process.stdout.close()
    assert process.wait() == 0
    reader = ContainerReader(Pipe(bytes(packed.data)))  # type: ignore[arg-type]
    assert reader.header.length is None
    out = Pipe()
    decode_file(Pipe(bytes(packed.data)), out, codec)  # type: ignore[arg-type]
    assert out.data[40:44] == b"\xff" * 4
    assert len(out.data) == 44 + 2 * length
    (tmp_path / "a.loom").write_bytes(packed.data)
    decode_file(tmp_path / "a.loom", tmp_path / "a.wav", codec)
    assert (tmp_path / "a.wav").read_bytes()[44:] == out.data[44:]


def test_a_live_sound_comes_out_while_it_goes_in(tmp_path: Path) -> None:
    codec = seanet()
    packed = Pipe()
    sizes = []
    encode_file(
        write_sound(tmp_path / "a.wav", 10, 8000),
        packed,  # type: ignore[arg-type]
        codec,
        progress=lambda seconds: sizes.append(len(packed.data)),
    )
    assert len(sizes) == 5 and sizes == sorted(set(sizes)), "every block adds to what is written"


class Tap(io.RawIOBase):
    """A pipe that gives everything from byte `hold` on only once `seen` has more than `wanted` bytes."""

    name = "<tap>"

    def __init__(self, data: bytes, hold: int, seen: Pipe, wanted: int) -> None:
        self.data, self.hold, self.seen, self.wanted = memoryview(data), hold, seen, wanted
        self.place = 0
        self.early = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        if self.place >= self.hold and not self.early:
            self.early = len(self.seen.data) > self.wanted
            assert self.early, "nothing has come out of what went in"
        stop = len(self.data) if self.early else self.hold
        count = min(len(buffer), stop - self.place)
        buffer[:count] = self.data[self.place : self.place + count]
        self.place += count
        return count


def test_a_live_sound_goes_through_both_ends_before_it_is_over(tmp_path: Path) -> None:
    codec = seanet()
    data = (sound(6, 8000)[0].numpy() * 32767).astype("<i2").tobytes()
    packed = Pipe()
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as end:
            end.write(data[: 2 * 8000 * 3])  # three seconds
            deadline = time.monotonic() + 60
            while len(packed.data) < 300 and time.monotonic() < deadline:
                time.sleep(0.01)
            early.append(len(packed.data))
            end.write(data[2 * 8000 * 3 :])

    early: list[int] = []
    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        encode_file(stream, packed, codec, raw=RawFormat("s16le", 8000, 1))  # type: ignore[arg-type]
    thread.join()
    assert early[0] >= 300, "two chunks of a second were written while the sound was going on"

    out = Pipe()
    tap = Tap(bytes(packed.data), hold=early[0], seen=out, wanted=44 + 2 * 8000)
    decode_file(tap, out, codec)  # type: ignore[arg-type]
    assert tap.early and len(out.data) == 44 + len(data)


@pytest.mark.parametrize(
    ("start", "stop", "rate"), [(1.25, 2.5, None), (None, 0.5, 44100), (2.9, None, 4000)]
)
def test_parts(tmp_path: Path, start: float | None, stop: float | None, rate: int | None) -> None:
    codec = seanet()
    encode_file(write_sound(tmp_path / "a.wav", 3, 16000), tmp_path / "a.loom", codec)
    decode_file(tmp_path / "a.loom", tmp_path / "whole.wav", codec, sample_rate=rate)
    decode_file(tmp_path / "a.loom", tmp_path / "part.wav", codec, start=start, stop=stop, sample_rate=rate)
    out = Pipe()
    piped = Pipe((tmp_path / "a.loom").read_bytes())
    decode_file(piped, out, codec, start=start, stop=stop, sample_rate=rate)  # type: ignore[arg-type]
    hertz = rate or 16000
    whole = samples(tmp_path / "whole.wav")
    expected = whole[round((start or 0) * hertz) : None if stop is None else round(stop * hertz)]
    np.testing.assert_allclose(samples(tmp_path / "part.wav"), expected, atol=1e-4)
    assert bytes(out.data) == (tmp_path / "part.wav").read_bytes()


def test_a_part_of_a_long_file_reads_only_its_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = seanet()
    encode_file(write_sound(tmp_path / "a.wav", 60, 8000), tmp_path / "a.loom", codec)
    asked = []
    real = ContainerReader.read

    def read(self: ContainerReader, start: int = 0, stop: int | None = None) -> torch.Tensor:
        asked.append((start, stop))
        return real(self, start, stop)

    monkeypatch.setattr(ContainerReader, "read", read)
    decode_file(tmp_path / "a.loom", tmp_path / "a.wav", codec, start=30, stop=31, force=True)
    assert asked[0][0] >= 2800 and asked[-1][1] <= 3500 and len(asked) <= 6


def test_description(tmp_path: Path) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 2, 44100, 2), tmp_path / "a.loom", seanet(), codebooks=2)
    found = describe_file(tmp_path / "a.loom")
    size = (tmp_path / "a.loom").stat().st_size
    assert (found.length, found.frames, found.size) == (88200, 200, size)
    assert found.bitrate == pytest.approx(4 * size)
    text = "\n".join(found.lines())
    for part in ("2.000 s", "44100 Hz, mono", "2 codebooks of 16", "100 a second", f"{size} bytes", "tiny"):
        assert part in text
    record = found.to_dict()
    assert record["codec"] == "tiny" and record["shape"] == [2] and record["seconds"] == 2.0
    assert record["bitrate"] == found.bitrate and record["bytes"] == size


# --- the codec of a file -------------------------------------------------------------------------------


def test_the_codec_is_found_by_the_name_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seanet().save_pretrained(tmp_path / "tiny")
    encode_file(write_sound(tmp_path / "a.wav", 0.2), tmp_path / "a.loom", seanet())
    shelf = CodecShelf()
    decode_file("a.loom", "b.wav", shelf)
    decode_file("a.loom", "c.wav", seanet())
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "c.wav").read_bytes()
    header = describe_file("a.loom").header
    assert shelf.find(header, "a.loom") is shelf.find(header, "a.loom")


@pytest.mark.parametrize("name", ["no-such-codec", "someone/elses-codec"])
def test_a_codec_that_is_not_here_is_not_fetched(tmp_path: Path, name: str) -> None:
    compressed = seanet().compress(sound(0.1, 8000), 8000, name=name)
    path = compressed.save(tmp_path / "a.loom")
    with pytest.raises(
        ContainerError, match=f"a.loom was made with the codec '{name}', which is not here.*--codec"
    ):
        decode_file(path, tmp_path / "a.wav")
    assert os.listdir(tmp_path) == ["a.loom"]


def test_another_codec(tmp_path: Path) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 0.2), tmp_path / "a.loom", seanet())
    with pytest.raises(ContainerError, match="a.loom was made with the codec 'tiny' of configuration"):
        decode_file(tmp_path / "a.loom", tmp_path / "b.wav", seanet(channels=2))


# --- what is refused -----------------------------------------------------------------------------------


def test_existing_files_stay_unless_forced(tmp_path: Path) -> None:
    codec = seanet()
    source = write_sound(tmp_path / "a.wav", 0.2)
    packed = tmp_path / "a.loom"
    packed.write_text("precious")
    with pytest.raises(FileExistsError, match="a.loom already exists"):
        encode_file(source, packed, codec)
    assert packed.read_text() == "precious"
    encode_file(source, packed, codec, force=True)
    before = source.read_bytes()
    with pytest.raises(FileExistsError, match="a.wav already exists"):
        decode_file(packed, source, codec)
    assert source.read_bytes() == before
    decode_file(packed, source, codec, force=True)
    assert source.read_bytes() != before


def test_a_source_is_never_replaced_by_what_it_becomes(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.wav", 0.2)
    os.link(source, tmp_path / "a.loom")  # a sound under the name of a compressed file
    with pytest.raises(FileExistsError, match="a.loom is the source itself"):
        encode_file(source, tmp_path / "a.loom", seanet(), force=True)
    assert samples(source).shape == (3200, 1)


def test_places_that_are_refused(tmp_path: Path) -> None:
    codec = seanet()
    source = write_sound(tmp_path / "a.wav", 0.2)
    packed = tmp_path / "a.loom"
    encode_file(source, packed, codec)
    cases: list[tuple[type[Exception], str, Any, Any, Any]] = [
        (ContainerError, "b.wav does not end in .loom.*b.loom", encode_file, source, tmp_path / "b.wav"),
        (
            FileNotFoundError,
            "folder .*gone does not exist",
            encode_file,
            source,
            tmp_path / "gone" / "b.loom",
        ),
        (FileNotFoundError, "no such file", encode_file, tmp_path / "gone.wav", tmp_path / "b.loom"),
        (AudioError, "unknown sound file suffix '.xyz'", decode_file, packed, tmp_path / "b.xyz"),
        (FileNotFoundError, "no such file", decode_file, tmp_path / "gone.loom", tmp_path / "b.wav"),
        (IsADirectoryError, "is a folder", decode_file, tmp_path, tmp_path / "b.wav"),
        (ContainerError, "a.wav, byte 0: ", decode_file, source, tmp_path / "b.wav"),
    ]
    for kind, message, function, given, wanted in cases:
        with pytest.raises(kind, match=message):
            function(given, wanted, codec)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        describe_file(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.loom", "a.wav"]


@pytest.mark.parametrize("fault", ["empty", "nan", "damaged"])
def test_a_sound_that_fails_leaves_nothing(tmp_path: Path, fault: str) -> None:
    source = tmp_path / "a.wav"
    content = np.zeros(0 if fault == "empty" else 40000, dtype="float32")
    if fault == "nan":
        content[30000] = np.nan
    soundfile.write(source, content, 8000, subtype="FLOAT")
    if fault == "damaged":
        source = write_sound(tmp_path / "a.flac", 5)
        source.write_bytes(source.read_bytes()[:-30000])
    with pytest.raises(AudioError, match=f"{source.name} (holds 0 samples|is (damaged|truncated))|NaN"):
        encode_file(source, tmp_path / "a.loom", seanet())
    assert "a.loom" not in os.listdir(tmp_path) and not list(tmp_path.glob(".*"))


def test_a_stop_beyond_the_end_is_the_end_and_a_start_there_an_error(tmp_path: Path) -> None:
    packed = tmp_path / "a.loom"
    encode_file(write_sound(tmp_path / "a.wav", 0.5, 8000), packed, seanet())
    decode_file(packed, tmp_path / "b.wav", seanet(), start=0.4, stop=9)
    assert len(samples(tmp_path / "b.wav")) == 800
    with pytest.raises(ValueError, match="start is 0.5 s, but the sound ends at 0.5 s"):
        decode_file(packed, tmp_path / "c.wav", seanet(), start=0.5)


# --- damage --------------------------------------------------------------------------------------------


def damaged(tmp_path: Path, codec: Any, first: int, stop: int) -> Path:
    """A file of 4.5 seconds, of which bytes in its middle are destroyed."""
    path = tmp_path / "a.loom"
    codec.compress(sound(4.5, 8000), 8000).save(path, force=True)
    data = bytearray(path.read_bytes())
    place, end = len(data) * first // 6, len(data) * stop // 6
    data[place:end] = bytes(end - place)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["seanet", "latents"])
def test_recovering_puts_silence_where_chunks_are_lost(tmp_path: Path, kind: str) -> None:
    codec = CODECS[kind]
    codec.compress(sound(4.5, 8000), 8000).save(tmp_path / "intact.loom")
    decode_file(tmp_path / "intact.loom", tmp_path / "intact.wav", codec)
    path = damaged(tmp_path, codec, 2, 3)
    with pytest.raises(ContainerError, match=r"a.loom, byte \d+: .*--recover"):
        decode_file(path, tmp_path / "b.wav", codec)
    assert not (tmp_path / "b.wav").exists()
    report = decode_file(path, tmp_path / "b.wav", codec, recover=True)
    intact, found = samples(tmp_path / "intact.wav"), samples(tmp_path / "b.wav")
    (first, count, reason), *more = report.damaged
    assert not more and "byte" in reason
    begin, end = (round(frame * 8000 / codec.frame_rate) for frame in (first, first + count))
    assert len(found) == len(intact) and 7000 <= end - begin <= 24000
    assert not found[begin:end].any()
    # A model that draws noise is not the same after a gap, but it is not silent.
    assert found[end : end + 8000].any() and found[-8000:].any()
    np.testing.assert_allclose(found[: begin - 200], intact[: begin - 200], atol=1e-4)
    if kind == "seanet":
        np.testing.assert_allclose(found[end + 800 :], intact[end + 800 :], atol=1e-4)


def test_a_truncated_file_is_recovered_as_far_as_it_goes(tmp_path: Path) -> None:
    codec = seanet()
    path = tmp_path / "a.loom"
    data = codec.compress(sound(6, 8000), 8000).to_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ContainerError, match="truncated"):
        decode_file(path, tmp_path / "b.wav", codec)
    report = decode_file(path, tmp_path / "b.wav", codec, recover=True)
    assert report.damaged and 1 <= len(samples(tmp_path / "b.wav")) / 8000 <= 4
    out = Pipe()
    decode_file(Pipe(data[: len(data) // 2]), out, codec, recover=True)  # type: ignore[arg-type]
    assert bytes(out.data)[44:] == (tmp_path / "b.wav").read_bytes()[44:]


def test_a_made_up_chunk_number_does_not_make_days_of_silence(tmp_path: Path) -> None:
    codec = seanet()
    compressed = codec.compress(sound(2, 8000), 8000)
    header = pack_header(replace(compressed.header, length=None))
    frames = compressed.frames[:, :100].T.numpy()
    chunks = [pack_chunk(number, frames, compressed.header, header_seed(header)) for number in (0, 2_000_000)]
    path = tmp_path / "a.loom"
    path.write_bytes(header + b"".join(chunks))
    with pytest.raises(ContainerError, match="more than the file can have held"):
        decode_file(path, tmp_path / "a.wav", codec, recover=True)
    assert os.listdir(tmp_path) == ["a.loom"]


def test_every_truncation_and_flipped_bits_are_clear_errors(tmp_path: Path) -> None:
    codec = seanet()
    data = codec.compress(sound(0.3, 8000), 8000).to_bytes()
    whole = tmp_path / "whole.wav"
    (tmp_path / "whole.loom").write_bytes(data)
    decode_file(tmp_path / "whole.loom", whole, codec)
    flipped = [
        bytes(b ^ (1 << (at % 8)) if i == at else b for i, b in enumerate(data)) for at in range(len(data))
    ]
    path, out = tmp_path / "bad.loom", tmp_path / "bad.wav"
    for content in [*(data[:size] for size in range(len(data))), *flipped]:
        path.write_bytes(content)
        with pytest.raises(ContainerError, match=r"bad.loom, byte \d+: "):
            decode_file(path, out, codec)
        assert not out.exists()
        try:
            decode_file(path, out, codec, recover=True)
        except (ContainerError, AudioError) as error:
            assert "bad.loom" in str(error)
            assert not out.exists()
        else:
            assert len(samples(out)) <= 2400
            out.unlink()
    assert {file.name for file in tmp_path.iterdir()} == {"whole.loom", "whole.wav", "bad.loom"}


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from soundloom.codecs import decode_file, encode_file
from tests.tiny_codecs import seanet
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for function, source, destination in ((encode_file, "a.wav", "b.loom"), (decode_file, "a.loom", "b.wav")):
    try:
        function(source, destination, seanet())
    except OSError as error:
        print(error)
"""


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 20, 8000), tmp_path / "a.loom", seanet())
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", FULL, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    encoding, decoding = done.stdout.splitlines()
    assert "File too large" in encoding, "what stands for a full disk here"
    assert "cannot write b.wav: is the disk full?" in decoding
    assert sorted(os.listdir(tmp_path)) == ["a.loom", "a.wav"]


# --- memory --------------------------------------------------------------------------------------------

MEASURE = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from soundloom.codecs import decode_file, encode_file
from tests.tiny_codecs import seanet
codec = seanet(sample_rate=4000, ratios=(8, 5))
what, source, destination = sys.argv[2:]
(encode_file if what == "encode" else decode_file)(source, destination, codec)
try:  # what Linux says of a child with getrusage has the parent's memory in it
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0])
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    peaks: dict[tuple[str, int], int] = {}
    for minutes in (1, 60):
        wav, packed, back = (tmp_path / name for name in ("a.wav", "a.loom", "b.wav"))
        minute = sound(60, 8000, 2).T.numpy()
        with soundfile.SoundFile(wav, "w", 8000, 2) as file:
            for _ in range(minutes):
                file.write(minute)
        for what, source, destination in (("encode", wav, packed), ("decode", packed, back)):
            command = [sys.executable, "-c", MEASURE, str(root), what, str(source), str(destination)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks[what, minutes] = int(done.stdout)
        assert soundfile.info(back).frames == minutes * 60 * 8000
        for path in (wav, packed, back):
            path.unlink()
    print(peaks)
    for what in ("encode", "decode"):
        assert peaks[what, 60] <= 1.3 * peaks[what, 1]
        assert peaks[what, 60] <= peaks[what, 1] + 20_000, "kB; an hour of this sound alone would be 115 MB"
