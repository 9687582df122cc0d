"""EnCodec's weights of every kind: ours, Meta's, transformers'."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from soundloom.codecs import EnCodec, load_codec
from soundloom.codecs.container import config_hash
from soundloom.codecs.encodec.coded_segments import Segment
from soundloom.codecs.encodec.convert import PUBLISHED, fold, randomize, transformers_settings
from soundloom.codecs.weights_hash import weights_hash
from soundloom.core._torchaudio import shield_transformers
from tests.codecs.encodec.small import NAMES, noise, original, same_share


def test_saved_and_loaded(small: EnCodec, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small.save_pretrained(tmp_path)
    assert "bandwidth" not in json.loads((tmp_path / "config.json").read_text())
    with caplog.at_level(logging.WARNING):
        loaded = load_codec(tmp_path, bandwidth=12.0)
    assert isinstance(loaded, EnCodec)
    assert loaded.bandwidth == 12.0
    assert "CC BY-NC" not in caplog.text  # whose weights these are is not known
    loaded.bandwidth = 6.0
    audio = noise(small, 5000)
    assert torch.equal(loaded.encode(audio), small.encode(audio))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


@pytest.mark.parametrize("name", NAMES)
def test_transformers_folders(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shield_transformers()
    from transformers import EncodecConfig, EncodecModel

    ours = PUBLISHED[name]
    config = EncodecConfig(
        sampling_rate=ours.get("sample_rate", 24000),
        audio_channels=ours.get("channels", 1),
        target_bandwidths=ours.get("bandwidths", [1.5, 3.0, 6.0, 12.0, 24.0]),
        normalize=ours.get("normalize", False),
        chunk_length_s=ours.get("segment"),
        overlap=ours.get("overlap"),
        norm_type=ours.get("norm", "weight_norm"),
        use_causal_conv=ours.get("causal", True),
        num_filters=4,
        hidden_size=8,
    )
    theirs = EncodecModel(config).eval()
    randomize(theirs)
    theirs.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        codec = load_codec(tmp_path, bandwidth=6.0)
    assert isinstance(codec, EnCodec)
    assert "CC BY-NC 4.0" in caplog.text
    audio = noise(codec, codec.sample_rate)
    with torch.no_grad():
        made = theirs.encode(audio, bandwidth=6.0, return_dict=True)
        expected = theirs.decode(made.audio_codes, made.audio_scales, return_dict=True).audio_values
    segment = next(codec.encode_segments(audio))
    assert len(segment.codes.unique()) > 100
    assert same_share(segment.codes, made.audio_codes[0][..., : segment.codes.shape[-1]]) > 0.999
    found = codec.decode_segment(Segment(made.audio_codes[0], segment.scale))
    count = min(found.shape[-1], expected.shape[-1], codec.segment_stride if codec.segment_length else 10**9)
    torch.testing.assert_close(found[..., :count], expected[..., :count], atol=1e-5, rtol=1e-4)


def test_the_names_in_older_transformers_folders(tmp_path: Path) -> None:
    """The files on the hub call what normalises a weight as torch did in 2023."""
    shield_transformers()
    from transformers import EncodecConfig, EncodecModel

    theirs = EncodecModel(EncodecConfig(num_filters=2, hidden_size=4))
    theirs.save_pretrained(tmp_path)
    new = load_codec(tmp_path).state_dict()  # type: ignore[attr-defined]
    state = load_file(tmp_path / "model.safetensors")
    renamed = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in state.items()
    }
    assert renamed.keys() != state.keys()
    save_file(renamed, tmp_path / "model.safetensors")
    old = load_codec(tmp_path).state_dict()  # type: ignore[attr-defined]
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in new)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_the_same_wherever_it_came_from(name: str, tmp_path: Path) -> None:
    """Files name the codec's configuration, which must not depend on the format of its weights."""
    ours = PUBLISHED[name]
    config = {
        "model_type": "encodec",
        "sampling_rate": ours.get("sample_rate", 24000),
        "audio_channels": ours.get("channels", 1),
        # As JSON of another hand might have them.
        "target_bandwidths": [int(rate) if rate % 1 == 0 else rate for rate in EnCodec(**ours).bandwidths],
        "normalize": ours.get("normalize", False),
        "chunk_length_s": 1 if "segment" in ours else None,
        "overlap": ours.get("overlap"),
        "norm_type": ours.get("norm", "weight_norm"),
        "use_causal_conv": ours.get("causal", True),
        "num_lstm_layers": 2,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings = transformers_settings(tmp_path / "config.json")
    assert config_hash(EnCodec(**settings)) == config_hash(EnCodec(**ours))


@pytest.mark.parametrize("name", NAMES)
def test_original_files(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = original(name)
    file = tmp_path / "unnamed.th"
    torch.save(model.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file.rename(tmp_path / f"encodec_{name[-5:]}-{digest}.th")
    with caplog.at_level(logging.WARNING):
        codec = load_codec(tmp_path)  # the folder
    assert isinstance(codec, EnCodec)
    assert caplog.text.count("CC BY-NC 4.0") == 1
    assert codec.sample_rate == PUBLISHED[name].get("sample_rate", 24000)
    state = fold(model.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in codec.model.state_dict().items())
    # Settings are those of the name, so that both say the same in a file's header.
    assert config_hash(codec) == config_hash(EnCodec(**PUBLISHED[name]))
    codec.save_pretrained(tmp_path / "ours")
    assert weights_hash(load_codec(tmp_path / "ours")) == weights_hash(codec)


def test_damaged_original_files(tmp_path: Path) -> None:
    """A name with a hash is kept to before anything is read."""
    named = tmp_path / "encodec_24khz-d7cc33bc.th"
    torch.save({"a": torch.zeros(3)}, named)
    with pytest.raises(OSError, match="SHA-256"):
        load_codec(named)
    shutil.copy(named, tmp_path / "encodec_other-00000000.th")
    with pytest.raises(FileNotFoundError, match="no single EnCodec model"):
        load_codec(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02K\x01.", b"cos\nsystem\n(S'true'\ntR."])
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.th"
    file.write_bytes(content)
    with pytest.raises((OSError, ValueError), match="model.th"):
        load_codec(file)


def test_files_of_other_models(tmp_path: Path) -> None:
    file = tmp_path / "model.th"
    for content in ({"a": torch.zeros(3)}, [torch.zeros(3)], {"a": 1}):
        torch.save(content, file)
        with pytest.raises(ValueError, match="no EnCodec model"):
            load_codec(file)
    torch.save({"encoder.model.0.conv.conv.weight": torch.zeros(32, 1, 7)}, file)
    with pytest.raises(ValueError, match="not those of its configuration"):
        load_codec(file)
    torch.save({"encoder.model.0.conv.conv.weight_v": torch.zeros(32, 1, 7)}, file)
    with pytest.raises(ValueError, match="without 'encoder.model.0.conv.conv.weight_g'"):
        load_codec(file)


def test_transformers_folders_that_differ(tmp_path: Path) -> None:
    config = {"model_type": "encodec", "kernel_size": 5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors"):
        load_codec(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError, match="kernel_size is 5; only 7"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "encodec"}))
    with pytest.raises(OSError, match="truncated or damaged"):
        load_codec(tmp_path)


@pytest.mark.parametrize("name", ["encodec-24khz", "facebook/encodec_48khz"])
def test_random_weights_only_when_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="facebook/encodec_.*not in the local cache"):
        load_codec(name)
    state = torch.random.get_rng_state()
    codec = load_codec(name, random_weights=True, bandwidth=3.0)
    assert isinstance(codec, EnCodec)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert codec.bandwidth == 3.0
    usual = EnCodec(**PUBLISHED[name.replace("facebook/", "").replace("_", "-")])
    assert config_hash(codec) != config_hash(usual)  # no file of these is taken for one of Meta's
    codec.save_pretrained(tmp_path / "saved")
    assert config_hash(load_codec(tmp_path / "saved")) == config_hash(codec)


def test_random_weights_are_the_same_each_time() -> None:
    a, b = (load_codec("encodec-24khz", random_weights=True).state_dict() for _ in range(2))
    assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(
        ValueError, match="SEANetCodec is not loaded with random_weights; it takes local_files_only"
    ):
        load_codec("seanet-16khz", random_weights=True)


def test_misspelt_names_are_helped() -> None:
    with pytest.raises(ValueError, match="did you mean 'encodec-24khz'"):
        load_codec("encodec-24")
    with pytest.raises(ValueError, match="unknown model"):
        load_codec("nothing.th")
