"""A safetensors file that lies about itself is named and refused, soon; what is written others can read."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from soundloom import AudioGen, ModelError, load_codec
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.safetensors_files import (
    MAX_TENSORS,
    add_metadata,
    check_safetensors,
    load_safetensors,
    read_header,
    save_safetensors,
)
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.gen.text.loader import load_text_encoder

FLOATS = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def packed(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: Any, start: int, stop: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


TOO_MANY = MAX_TENSORS + 1
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "header has 0 bytes, of 0"),
    "no header": (b"\1\0\0", "of 3 in all"),
    "header beyond the end": (packed(b"{}", length=2**60), "header has 1152921504606846976 bytes"),
    "no JSON": (packed(b"{]"), "truncated or damaged"),
    "no text": (packed(b"\xff\xfe{}"), "truncated or damaged"),
    "nested": (packed(b'{"a":' * 50_000 + b"1" + b"}" * 50_000), "truncated or damaged"),
    "a list": (packed([1]), "no JSON object"),
    "many tensors": (
        packed({f"t{i}": entry([1], 4 * i, 4 * i + 4) for i in range(TOO_MANY)}, bytes(4 * TOO_MANY)),
        f"lists {TOO_MANY} tensors; at most {MAX_TENSORS}",
    ),
    "many without values": (
        packed({f"t{i}": entry([0], 0, 0) for i in range(TOO_MANY)}),
        f"lists {TOO_MANY} tensors; at most {MAX_TENSORS}",
    ),
    "a long header": (packed(b'{"__metadata__":{"a":"' + b"x" * 9_000_000 + b'"}}'), "at most 8000000"),
    "twice": (packed(b'{"a":{},"a":{}}'), "same thing twice"),
    "no values, offsets used again": (
        packed({"a": entry([2, 3], 0, 24), "b": entry([0, 7], 0, 0), "c": entry([0], 24, 24)}, bytes(24)),
        r"shape of 'b' is \[0, 7\]",
    ),
    "shape too large": (packed({"a": entry([2, 4], 0, 24)}, bytes(24)), r"'a' has shape \[2, 4\].*\[0, 24\]"),
    "shape too small": (packed({"a": entry([5], 0, 24)}, bytes(24)), "'a' has shape"),
    "product beyond 64 bits": (
        packed({"a": entry([2**32, 2**32, 2**2], 0, 0)}),
        "'a' has shape",
    ),
    "size beyond 64 bits": (packed({"a": entry([2**64], 0, 0)}), "shape of 'a'"),
    "negative size": (packed({"a": entry([-2, -3], 0, 24)}, bytes(24)), "shape of 'a'"),
    "size that is no number": (packed({"a": entry([True, "6"], 0, 24)}, bytes(24)), "shape of 'a'"),
    "many sizes": (packed({"a": entry([1] * 100_000, 0, 4)}, bytes(4)), "shape of 'a'"),
    "backwards": (packed({"a": entry([2, 3], 24, 0)}, bytes(24)), "'a' has shape"),
    "negative place": (packed({"a": entry([2, 3], -24, 0)}, bytes(24)), "place of 'a'"),
    "one offset": (packed({"a": {**FLOATS, "data_offsets": [0]}}, bytes(24)), "place of 'a'"),
    "overlap": (packed({"a": FLOATS, "b": entry([3], 12, 24)}, bytes(24)), "overlap before byte 12"),
    "same place": (packed({"a": FLOATS, "b": FLOATS}, bytes(24)), "overlap before byte 0"),
    "hole": (
        packed({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        "leave a hole before byte 8",
    ),
    "rest": (packed({"a": FLOATS}, bytes(25)), "take 24 bytes, but 25"),
    "cut": (packed({"a": FLOATS}, bytes(23)), "take 24 bytes, but 23"),
    "type": (packed({"a": entry([24], 0, 24, "X8")}, bytes(24)), "'X8'"),
    "no entry": (packed({"a": 3}), "does not describe 'a'"),
    "no shape": (packed({"a": {"dtype": "F32"}}), "does not describe 'a'"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_does_not_fit_together_is_refused(name: str, tmp_path: Path) -> None:
    content, words = DAMAGED[name]
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    started = time.process_time()
    with pytest.raises(ModelError, match=words) as raised:
        check_safetensors(file)
    assert str(file) in str(raised.value)
    assert len(str(raised.value)) < 1000
    with pytest.raises(ModelError, match="sample 7"):
        load_safetensors(content if name != "no values, offsets used again" else content[:-1], "sample 7")
    assert time.process_time() - started < 3


def test_what_the_library_writes_is_whole(tmp_path: Path) -> None:
    kinds = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool]
    tensors = {f"t.{kind}": torch.ones(3, 5).to(kind) for kind in kinds} | {"scalar": torch.tensor(1.0)}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
    found = load_safetensors(tmp_path / "a.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    texts = load_safetensors(save({"text.0": torch.zeros(0, 4), "codes": torch.ones(2, 3)}))
    assert texts["text.0"].shape == (0, 4)


def test_every_shipped_model_passes() -> None:
    root = Path(__file__).resolve().parents[2]
    files = [
        *(root / "codecs" / "models").rglob("*.safetensors"),
        *(root / "gen" / "models").rglob("*.safetensors"),
    ]
    assert len(files) >= 4
    for file in files:
        check_safetensors(file)


def damage_all(folder: Path) -> Path:
    for file in folder.rglob("*.safetensors"):
        file.write_bytes(DAMAGED["many without values"][0])
    return folder


@pytest.mark.parametrize(
    ("save_to", "load"),
    [
        (lambda folder: load_codec().save_pretrained(folder), load_codec),
        (lambda folder: load_codec("music2latent2").save_pretrained(folder), load_codec),
        (
            lambda folder: SoundClassifier.from_pretrained().save_pretrained(folder),
            SoundClassifier.from_pretrained,
        ),
        (lambda folder: load_text_encoder("foley").save_pretrained(folder), load_text_encoder),
        (lambda folder: AudioGen.from_pretrained().save_pretrained(folder), AudioGen.from_pretrained),
    ],
    ids=["seanet", "music2latent2", "classifier", "text", "audiogen"],
)
def test_every_way_of_loading_checks(
    save_to: Callable[[Path], None], load: Callable[[Path], Any], tmp_path: Path
) -> None:
    save_to(tmp_path)
    load(tmp_path)
    with pytest.raises(ModelError, match=f"lists {TOO_MANY} tensors"):
        load(damage_all(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_weight_files_follow_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save_safetensors({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
        codec = SEANetCodec(
            n_filters=4, dimension=8, ratios=(5, 4), lstm=0, num_codebooks=2, codebook_size=16
        )
        codec.save_pretrained(tmp_path / "codec")
        if umask == 0o022:
            AudioGen.from_pretrained().save_pretrained(tmp_path / "model")
            AudioGen.from_pretrained().save_pretrained(tmp_path / "small", weights="int8")
    finally:
        os.umask(before)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {mode}


def test_metadata_is_added_and_tensors_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    tensors = {"b": torch.arange(5), "a": torch.randn(3, 4).half(), "c": torch.tensor([True])}
    save_safetensors(tensors, file)
    before = file.read_bytes()
    add_metadata(file, {"license": "mit", "é": "ü"})
    add_metadata(file, {"license": "cc0-1.0"})
    check_safetensors(file)
    assert read_header(file)[1] == {"format": "pt", "license": "cc0-1.0", "é": "ü"}
    found = load_safetensors(file)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert (8 + int.from_bytes(file.read_bytes()[:8], "little")) % 8 == 0  # tensors may be mapped
    # Those of the file before have moved, as one piece.
    assert file.read_bytes().endswith(before[8 + int.from_bytes(before[:8], "little") :])
    stamp = file.stat().st_mtime_ns
    add_metadata(file, {"license": "cc0-1.0"})
    assert file.stat().st_mtime_ns == stamp  # nothing to change, nothing written
    file.write_bytes(before[:-1])
    with pytest.raises(ModelError, match="truncated or damaged"):
        add_metadata(file, {"license": "mit"})
    assert file.read_bytes() == before[:-1]
