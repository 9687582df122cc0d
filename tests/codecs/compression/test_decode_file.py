"""Decoding: parts, other codecs, damaged files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from soundloom.codecs import ContainerError, decode_file, encode_file
from soundloom.codecs.container import Compressed, ContainerReader, ContainerWriter, Header
from soundloom.codecs.container.blocks import pack_chunk, pack_end
from soundloom.codecs.container.header import MAX_CODED
from soundloom.codecs.container.header_bytes import header_seed, pack_header
from soundloom.core.audio import AudioError
from tests.codecs.compression.pipe import Pipe, samples
from tests.tiny_codecs import codecs, seanet, sound, write_sound

CODECS = codecs()
every_codec = pytest.mark.parametrize("kind", CODECS)


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
    assert asked[0][0] >= 2800
    assert asked[-1][1] <= 3500
    assert len(asked) <= 6


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
    assert not more
    assert "byte" in reason
    begin, end = (round(frame * 8000 / codec.frame_rate) for frame in (first, first + count))
    assert len(found) == len(intact)
    assert 7000 <= end - begin <= 24000
    assert not found[begin:end].any()
    # A model that draws noise is not the same after a gap, but it is not silent.
    assert found[end : end + 8000].any()
    assert found[-8000:].any()
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
    assert report.damaged
    assert 1 <= len(samples(tmp_path / "b.wav")) / 8000 <= 4
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
    report = decode_file(path, tmp_path / "a.wav", codec, recover=True)
    (first, count, _), _, (silent_until, left_out, reason) = report.damaged
    assert (first, count) == (100, 199_999_900)
    assert silent_until + left_out == first + count
    assert "more than the file can have held" in reason
    found = samples(tmp_path / "a.wav")
    assert 8000 * 62 <= len(found) <= 8000 * 75, "the two chunks, a minute and what so many bytes can hold"
    assert found[:8000].any()
    assert found[-8000:].any()
    assert not found[9000:-9000].any()
    with path.open("rb") as stream:
        reader = ContainerReader(stream, recover=True)
        assert [number for number, _ in reader.chunks()] == [0, 200_000_000]
        with pytest.raises(
            ContainerError, match="199999900 of the frames 0 to 200000100 are lost, more than"
        ):
            reader.read()
        assert reader.read(200_000_000).shape == (3, 100)
    out = Pipe()
    decode_file(Pipe(path.read_bytes()), out, codec, recover=True)  # type: ignore[arg-type]
    assert out.data[44:] == (tmp_path / "a.wav").read_bytes()[44:]


@pytest.mark.parametrize("intact", [0, 1])
def test_chunks_that_stand_for_minutes_do_not_make_hours_of_silence(tmp_path: Path, intact: int) -> None:
    """A file of some bytes whose end tells of many large chunks, none or one of which is there."""
    codec = seanet()
    header = codec.compress(sound(2, 8000), 8000).header
    header = replace(header, length=None, frames_per_chunk=MAX_CODED // 3)
    frames = 1000 * header.frames_per_chunk
    start = pack_header(header)
    codes = np.zeros((header.frames_per_chunk, 3), np.int64)
    chunk = pack_chunk(0, codes, header, header_seed(start)) if intact else b"." * 9
    end = pack_end([len(chunk), *[9] * 999], frames, frames * 80, header_seed(start))
    path = tmp_path / "a.loom"
    path.write_bytes(start + chunk + b"." * 9 * 999 + end)
    if not intact:
        with pytest.raises(ContainerError, match="a.loom: nothing of it is intact"):
            decode_file(path, tmp_path / "a.wav", codec, recover=True)
        assert os.listdir(tmp_path) == ["a.loom"]
        return
    report = decode_file(path, tmp_path / "a.wav", codec, recover=True)
    assert report.damaged[0][:2] == (header.frames_per_chunk, 999 * header.frames_per_chunk)
    held = path.stat().st_size * 8 / 1200  # seconds
    seconds = len(samples(tmp_path / "a.wav")) / 8000
    assert 40 + 2 * held <= seconds <= 75 + 2 * held, "a tenth of 999 chunks of 13.65 s"


def bomb(chunks: int) -> tuple[Header, bytes]:
    """Chunks of 13.65 s, each of 10 bytes: code 0 that never changes."""
    header = replace(seanet().compress(sound(2, 8000), 8000).header, length=None)
    header = replace(header, entropy="adaptive", frames_per_chunk=MAX_CODED // 3)
    stream = io.BytesIO()
    writer = ContainerWriter(stream, header)
    for _ in range(chunks):
        writer.write(torch.zeros(3, header.frames_per_chunk, dtype=torch.long))
    writer.close(chunks * header.frames_per_chunk * 80)
    return header, stream.getvalue()


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, codec = tmp_path / "a.loom", seanet()
    data = bomb(400)[1]
    path.write_bytes(data)
    assert len(data) < 5_000
    message = r"a.loom: \d+ bytes stand for 1.5 hours of sound"
    with pytest.raises(ContainerError, match=message):
        decode_file(path, tmp_path / "a.wav", codec)
    with pytest.raises(ContainerError, match=message):
        Compressed.load(path)
    assert os.listdir(tmp_path) == ["a.loom"]
    decode_file(path, tmp_path / "a.wav", codec, start=5_000, stop=5_001)
    assert len(samples(tmp_path / "a.wav")) == 8000
    # While it goes on, where nothing is known of the end.
    monkeypatch.setattr("soundloom.codecs.container.reader.LONG_SECONDS", 60)
    with pytest.raises(ContainerError, match="<pipe>: .* stand for 0.0 hours of sound"):
        decode_file(Pipe(data), Pipe(), codec)  # type: ignore[arg-type]
    path.write_bytes(data[:150])
    with pytest.raises(ContainerError, match="a.loom: 150 bytes stand for 0.0 hours of sound"):
        decode_file(path, tmp_path / "b.wav", codec, recover=True)


def test_the_memory_that_a_file_may_ask_for_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundloom.codecs.container.compressed.MUCH_MEMORY", 2**20)
    header, _ = bomb(1)
    header = replace(header, frame_rate=header.frame_rate * 10_000, length=1)  # it lasts less than a second
    small, large = (
        Compressed(header, torch.zeros(3, 1000 * n, dtype=torch.long)).to_bytes() for n in (40, 80)
    )
    assert Compressed.from_bytes(small).frames.shape == (3, 40_000)
    with pytest.raises(ContainerError, match="would take 1 MB of memory"):
        Compressed.from_bytes(large)


def test_a_rate_that_nothing_can_be_resampled_to_is_named_with_its_file(tmp_path: Path) -> None:
    made = seanet().compress(sound(1.2, 8000), 8000)
    path = Compressed(replace(made.header, sample_rate=1, length=1), made.frames).save(tmp_path / "a.loom")
    with pytest.raises(AudioError, match="a.loom: cannot resample 8000 to 1 Hz"):
        decode_file(path, tmp_path / "a.wav", seanet())
    assert os.listdir(tmp_path) == ["a.loom"]


def test_what_was_cut_out_becomes_silence(tmp_path: Path) -> None:
    """Bytes are missing, not only wrong: a minute of them is filled up all the same."""
    codec = seanet()
    data = codec.compress(sound(40, 8000), 8000).to_bytes()
    places = [at for at in range(len(data)) if data[at : at + 3] in (b"\x9aLP", b"\x9aLC")]
    path = tmp_path / "a.loom"
    path.write_bytes(data[: places[5]] + data[places[30] :])
    report = decode_file(path, tmp_path / "a.wav", codec, recover=True)
    assert [(first, count) for first, count, _ in report.damaged] == [(500, 2500)]
    found = samples(tmp_path / "a.wav")
    assert len(found) == 40 * 8000
    assert found[:40000].any()
    assert not found[41000:239000].any()
    assert found[240000:].any()


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
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", FULL, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    encoding, decoding = done.stdout.splitlines()
    assert "File too large" in encoding, "what stands for a full disk here"
    assert "cannot write b.wav: is the disk full?" in decoding
    assert sorted(os.listdir(tmp_path)) == ["a.loom", "a.wav"]
