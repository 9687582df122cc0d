"""Shards: what is written is read back, as are the tars of others; streams repeat and resume exactly."""

from __future__ import annotations

import http.server
import io
import logging
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.core.audio import AudioError
from soundloom.recipes.data.shard_stream import ShardStream, StreamLoader
from soundloom.recipes.data.shards import (
    Sample,
    ShardWriter,
    describe_shards,
    find_shards,
    holds_shards,
    read_shard,
    split_name,
)
from soundloom.recipes.data.sources import Item

keys = st.text("abcXYZ019_-é/", min_size=1, max_size=12).filter(
    lambda key: not key.startswith("/") and not key.endswith("/") and "//" not in key
)
suffixes = st.sampled_from([".wav", ".json", ".txt", ".a.b", ".safetensors"])


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(keys, st.dictionaries(suffixes, st.binary(max_size=700), min_size=1), max_size=6))
def test_samples_come_back(samples: dict[str, dict[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ShardWriter(folder, max_samples=2) as writer:
            for key, members in samples.items():
                writer.write(key, members)
        shards = sorted(folder.iterdir())
        assert [shard.name for shard in shards] == [
            f"shard-{n:06d}.tar" for n in range((len(samples) + 1) // 2)
        ]
        found = [sample for shard in shards for sample in read_shard(str(shard))]
        assert [(sample.key, sample.members) for sample in found] == list(samples.items())


def test_a_full_shard_is_followed_by_the_next_and_bytes_repeat(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with ShardWriter(tmp_path / name, max_bytes=4000) as writer:
            for number in range(6):
                writer.write(f"{number}", {".wav": bytes(1000)})
        assert writer.counts == [3, 3]
    for shard in ("shard-000000.tar", "shard-000001.tar"):
        assert (tmp_path / "one" / shard).read_bytes() == (tmp_path / "two" / shard).read_bytes()
    with pytest.raises(ValueError, match="key 'a.b'"):
        ShardWriter(tmp_path).write("a.b", {".wav": b""})


def test_names_are_split_at_the_first_dot_of_their_last_part() -> None:
    assert split_name("a.b/c.ogg.json") == ("a.b/c", ".ogg.json")
    assert split_name("c") == ("c", "")
    assert split_name(".hidden.wav") == ("", ".hidden.wav")


def test_tars_of_others(tmp_path: Path) -> None:
    """Folders, links, hidden files, upper case and compression, as tar makes them."""
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("d", None), ("d/a.WAV", b"1"), ("d/._a.wav", b"2"), ("d/a.Json", b"3")):
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content or b""))
        link = tarfile.TarInfo("d/b.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    [sample] = read_shard(str(path))
    assert (sample.key, sample.members) == ("d/a", {".wav": b"1", ".json": b"3"})
    assert str(sample) == f"{path}, sample d/a"


def test_finding(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"s-{number:02d}.tar").touch()
    every = [str(tmp_path / f"s-{number:02d}.tar") for number in (1, 2, 10)]
    assert find_shards(tmp_path) == find_shards(f"{tmp_path}/s-*.tar") == every
    assert find_shards(f"{tmp_path}/s-{{01..02}}.tar") == every[:2]
    assert find_shards(every[2]) == every[2:]
    assert holds_shards(tmp_path)
    assert holds_shards(every[0])
    assert holds_shards("s3://bucket/x")
    assert not holds_shards(tmp_path / "none")
    assert not holds_shards("recordings")
    assert find_shards("https://host/s-{08..10}.tar") == [
        f"https://host/s-{n}.tar" for n in ("08", "09", "10")
    ]
    for place in (tmp_path / "none", f"{tmp_path}/s-{{01..03}}.tar", f"{tmp_path}/t-*.tar"):
        with pytest.raises(FileNotFoundError, match="soundloom prepare"):
            find_shards(place)
    with pytest.raises(ValueError, match="upside down"):
        find_shards("s-{2..1}.tar")
    with pytest.raises(ValueError, match="would run a command"):
        find_shards("pipe:rm -rf x.tar")


def test_other_protocols() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("a.wav")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    memory.pipe("/bucket/s-0.tar", buffer.getvalue())
    memory.pipe("/bucket/prepared.json", b'{"samples": 1}')
    [shard] = find_shards("memory://bucket")
    assert [sample.members for sample in read_shard(shard)] == [{".wav": b"abc"}]
    assert describe_shards("memory://bucket") == {"samples": 1}
    assert describe_shards(shard) == {"samples": 1}
    assert describe_shards("memory://elsewhere") is None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve tmp_path over http."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_over_http(tmp_path: Path, server: str) -> None:
    write(tmp_path, [4, 3])
    shards = find_shards(f"{server}/shard-{{000000..000001}}.tar")
    assert [sample.key for shard in shards for sample in read_shard(shard)] == [str(n) for n in range(7)]
    with pytest.raises(OSError, match="shard-9.tar"):
        list(read_shard(f"{server}/shard-9.tar"))


# ------------------------------------------------------------------ streams


def write(folder: Path, counts: list[int]) -> list[str]:
    """Shards of so many samples, numbered through."""
    folder.mkdir(exist_ok=True)
    number = 0
    for shard, count in enumerate(counts):
        with tarfile.open(folder / f"shard-{shard:06d}.tar", "w") as tar:
            for _ in range(count):
                entry = tarfile.TarInfo(f"{number}.bin")
                entry.size = 1
                tar.addfile(entry, io.BytesIO(bytes([number])))
                number += 1
    return find_shards(folder)


def to_item(sample: Sample, generator: torch.Generator | None) -> Item | None:
    """The sample's number as caption, and a random number as sound. 13 is broken, 14 is none of ours."""
    number = sample.members[".bin"][0]
    if number == 13:
        raise AudioError("thirteen")
    if number == 14:
        return None
    drawn = torch.zeros(1, 1) if generator is None else torch.rand(1, 1, generator=generator)
    return Item(str(number), audio=drawn)


def collate(items: list[Item]) -> list[list[float]]:
    return [[int(item.caption), float(item.audio)] for item in items]  # type: ignore[arg-type]


def stream(shards: list[str], **changed: Any) -> ShardStream:
    options: dict[str, Any] = {"batch_size": 3, "batches": 4, "seed": 5, "buffer": 4} | changed
    return ShardStream(shards, to_item, collate, **options)


def test_one_pass_in_order(tmp_path: Path) -> None:
    shards = write(tmp_path, [5, 3, 8])
    batches = list(stream(shards, batches=None))
    assert [number for batch in batches for number, _ in batch] == [*range(13), 15]
    assert [len(batch) for batch in batches] == [3, 3, 3, 3, 2]
    assert len(list(stream(shards, batches=None, limit=4))) == 2


def test_passes_follow_on_each_other_shuffled(tmp_path: Path) -> None:
    shards = write(tmp_path, [4, 4, 4])
    batches = list(stream(shards, batches=12))
    numbers = [number for batch in batches for number, _ in batch]
    passes = [numbers[i : i + 12] for i in (0, 12, 24)]
    assert all(sorted(one) == list(range(12)) for one in passes)
    assert len({tuple(one) for one in passes}) == 3
    assert sorted(passes[0]) != passes[0]
    assert len({drawn for batch in batches for _, drawn in batch}) == 36


def test_seed_and_epoch_decide(tmp_path: Path) -> None:
    shards = write(tmp_path, [4, 4, 4])
    torch.manual_seed(0)
    first = list(stream(shards))
    torch.manual_seed(1)
    assert list(stream(shards)) == first != list(stream(shards, seed=6))
    loader = StreamLoader(stream(shards), workers=0)
    assert len(loader) == 4
    assert list(loader) == first
    loader.sampler.set_epoch(1)
    assert list(loader) != first


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_where_it_stopped(tmp_path: Path, workers: int) -> None:
    shards = write(tmp_path, [4, 4, 4])
    loader = StreamLoader(stream(shards, batches=5), workers)
    loader.set_epoch(3)
    whole = list(loader)
    assert len(whole) == 5
    part = iter(loader)
    seen = [next(part), next(part)]
    state = loader.state_dict()
    assert state == {"epoch": 3, "batches": 2}
    other = StreamLoader(stream(shards, batches=5), workers)
    other.load_state_dict(state)
    assert seen + list(other) == whole
    assert list(other) == whole  # only the next pass is shorter
    other.load_state_dict(state)
    other.set_epoch(4)  # that epoch was complete
    assert len(list(other)) == 5


@pytest.mark.parametrize("shards", [1, 3, 5])
def test_processes_share_the_samples(tmp_path: Path, shards: int) -> None:
    places = write(tmp_path, [4] * shards)
    parts = [
        [number for batch in stream(places, batches=None, rank=rank, world_size=3) for number, _ in batch]
        for rank in range(3)
    ]
    assert sorted(number for part in parts for number in part) == [
        n for n in range(4 * shards) if n not in (13, 14)
    ]


def test_what_is_broken_is_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards = write(tmp_path, [5, 5, 6])
    data = Path(shards[1]).read_bytes()
    Path(shards[1]).write_bytes(data[: len(data) // 4])  # breaks off inside
    loader = stream([*shards, str(tmp_path / "gone.tar")], batches=10)
    with caplog.at_level(logging.WARNING):
        numbers = {number for batch in loader for number, _ in batch}
    assert set(range(5)) | {10, 11, 12, 15} <= numbers
    assert 9 not in numbers
    for part in ("thirteen", "shard-000001.tar", "gone.tar"):
        assert sum(part in message for message in caplog.messages) == 1, caplog.messages


def test_nothing_of_use_is_an_error(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.tar")
    for batches in (3, None):
        with pytest.raises(AudioError, match=r"nothing in 1 shards .*gone\.tar"):
            list(stream([gone], batches=batches))
