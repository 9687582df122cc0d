"""The codec contract: preparing audio, loading a codec of the right class."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundloom import codecs
from soundloom.codecs import registry
from soundloom.codecs.base import Codec
from soundloom.codecs.registry import codec_class, load_codec
from soundloom.core.audio import AudioError
from soundloom.gen import AudioGen
from tests.fixture_paths import FIXTURES


class SignCodec(Codec):
    """One bit a sample: the smallest thing that keeps the contract."""

    sample_rate = 16000
    channels = 1
    frame_rate = 16000.0
    num_codebooks = 1
    codebook_size = 2

    def encode(self, audio: Tensor) -> Tensor:
        return (audio > 0).long()

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        return (codes.float() - 0.5)[..., :length]


class StereoCodec(SignCodec):
    sample_rate = 48000
    channels = 2


def make_bundled(root: Path, *names: str) -> Path:
    """A folder of bundled models that have a config.json and no weights."""
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text(json.dumps({"_class_name": "SEANetCodec"}))
    return root


# --- the contract ------------------------------------------------------------------------------------


def test_a_codec_must_have_every_part() -> None:
    class Half(Codec):
        def encode(self, audio: Tensor) -> Tensor:
            return audio

    with pytest.raises(TypeError, match="decode"):
        Half()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("codebooks", "size", "rate", "expected"), [(1, 2, 16000.0, 16000.0), (4, 2048, 50.0, 2200.0)]
)
def test_bitrate(codebooks: int, size: int, rate: float, expected: float) -> None:
    codec = type(
        "Sized", (SignCodec,), {"num_codebooks": codebooks, "codebook_size": size, "frame_rate": rate}
    )()
    assert codec.bitrate == expected


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(8, 2000),  # fewer samples than channels are refused
    channels=st.integers(1, 8),
    batch=st.integers(1, 3),
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    codec=st.sampled_from([SignCodec(), StereoCodec()]),
)
def test_prepare_any_sound(length: int, channels: int, batch: int, rate: int, codec: Codec) -> None:
    audio = torch.rand(batch, channels, length) - 0.5
    prepared = codec.prepare(audio, rate)
    expected = -(-length * codec.sample_rate // rate)
    assert prepared.shape == (batch, codec.channels, expected)
    assert codec.decode(codec.encode(prepared), length=expected).shape == prepared.shape
    torch.testing.assert_close(codec.prepare(audio[0], rate), prepared[:1])


def test_prepare_number_types_and_shapes() -> None:
    codec = SignCodec()
    row = np.array([0, 16384, -32768], dtype=np.int16)
    expected = torch.tensor([[[0.0, 0.5, -1.0]]])
    assert torch.equal(codec.prepare(row, 16000), expected)
    assert torch.equal(codec.prepare(row[None], 16000), expected)
    assert torch.equal(codec.prepare(expected.double(), 16000), expected)


@pytest.mark.parametrize("shape", [(), (0,), (1, 0), (0, 5), (0, 1, 5), (1, 1, 1, 5)])
def test_prepare_refuses_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match="shape"):
        SignCodec().prepare(torch.zeros(shape), 16000)


def test_prepare_notices_transposed_audio() -> None:
    with pytest.raises(AudioError, match="transpose"):
        SignCodec().prepare(torch.zeros(16000, 2), 16000)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_prepare_refuses_nan_and_inf(value: float) -> None:
    with pytest.raises(AudioError, match="NaN or infinite"):
        SignCodec().prepare(torch.tensor([0.0, value]), 16000)


def test_prepare_refuses_bad_rates() -> None:
    with pytest.raises(AudioError, match="^sample_rate is 0; it must be a whole number"):
        SignCodec().prepare(torch.zeros(10), 0)


# --- loading -----------------------------------------------------------------------------------------


def test_every_listed_class_exists() -> None:
    for name in registry.CODECS:
        assert registry.import_class(name).__name__ == name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "not readable JSON"),
        ("[]", "should hold a JSON object, not a list"),
        ("{}", "_class_name None"),
        ('{"_class_name": "UNet2DModel"}', "UNet2DModel.*SEANetCodec"),
    ],
)
def test_config_of_no_codec(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        codec_class(tmp_path)


def test_folder_without_a_codec(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json, or weights.*compression_state_dict\.bin"):
        load_codec(tmp_path)


def test_published_folder_is_a_seanet_codec(tmp_path: Path) -> None:
    (tmp_path / "compression_state_dict.bin").write_bytes(b"")
    assert codec_class(tmp_path) is codecs.SEANetCodec


@pytest.mark.parametrize("config", [None, '{"dim": 32}'])
def test_published_codicodec_is_a_music2latent2(tmp_path: Path, config: str | None) -> None:
    (tmp_path / "codicodec.pt").write_bytes(b"")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert codec_class(tmp_path) is codecs.Music2Latent2
    (tmp_path / "config.json").write_text('{"_class_name": "SEANetCodec"}')
    assert codec_class(tmp_path) is codecs.SEANetCodec, "our own config.json comes first"


def test_the_published_codicodec_of_the_fixtures_loads_and_compresses() -> None:
    codec = load_codec(FIXTURES / "codicodec_tiny")
    assert isinstance(codec, codecs.Music2Latent2)
    assert codec.name == "codicodec_tiny"
    samples = torch.rand(2, 5000) - 0.5
    for precision in ("exact", "float16"):
        decoded, rate = codec.decompress(codec.compress(samples, 44100, precision=precision))
        assert decoded.shape == (2, 5000)
        assert rate == 44100


def test_codecs_are_named_as_they_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = codecs.SEANetCodec(num_codebooks=2, codebook_size=16, dimension=8, n_filters=2, ratios=(4, 2))
    for folder in ("bundled/one", "mine", "odd name"):
        tiny.save_pretrained(tmp_path / folder)
    monkeypatch.setattr(registry, "BUNDLED_MODELS", tmp_path / "bundled")
    assert load_codec("one").name == "one"
    assert load_codec(tmp_path / "mine").name == "mine"
    assert load_codec(tmp_path / "odd name").name == "", "no name that a file may hold"
    monkeypatch.chdir(tmp_path / "mine")
    assert load_codec(".").name == "mine"


def test_saved_codec_loads_and_codes_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = codecs.SEANetCodec(
        num_codebooks=2, codebook_size=16, dimension=8, n_filters=2, ratios=(4, 2)
    ).eval()
    codec.save_pretrained(tmp_path)
    loaded = load_codec(tmp_path)
    assert isinstance(loaded, codecs.SEANetCodec)
    audio = codec.prepare(torch.rand(2, 500) - 0.5, 44100)
    codes = loaded.encode(audio)
    assert codes.dtype == torch.int64
    assert torch.equal(codes, codec.encode(audio))
    length = audio.shape[-1]
    decoded = loaded.decode(codes, length=length)
    assert decoded.shape == audio.shape
    torch.testing.assert_close(decoded, codec.decode(codes, length=length))


def test_load_codec_passes_names_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BUNDLED_MODELS", make_bundled(tmp_path, "seanet-16khz"))
    with pytest.raises(ValueError, match="did you mean 'seanet-16khz'"):
        load_codec("seanet-16")


def test_a_name_of_another_kind_says_what_to_call() -> None:
    with pytest.raises(
        ValueError, match=r"'foley' is of another kind, AudioGen.*AudioGen\.from_pretrained\('foley'\)"
    ):
        load_codec("foley")
    with pytest.raises(
        ValueError,
        match=r"SoundClassifier\.from_pretrained\('foley-classifier'\) \(--classifier foley-classifier\)",
    ):
        load_codec("foley-classifier")
    folder = Path(codecs.__file__).parents[1] / "gen" / "models" / "foley"
    with pytest.raises(ValueError, match=r"no known codec; it is loaded with AudioGen\.from_pretrained"):
        load_codec(folder)
    with pytest.raises(
        ValueError, match=r"'seanet-16khz' is of another kind, a codec.*load_codec\('seanet-16khz'\)"
    ):
        AudioGen.from_pretrained("seanet-16khz")
    with pytest.raises(ValueError, match="kind SEANetCodec, which load_codec loads"):
        AudioGen.from_pretrained(folder.parents[2] / "codecs" / "models" / "seanet-16khz")


# --- the package -------------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    for name in codecs.__all__:
        assert getattr(codecs, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = codecs.nothing_like_it


def test_import_stays_light() -> None:
    heavy = ["diffusers", "lightning", "gradio", "transformers", "huggingface_hub"]
    code = f"import sys, soundloom.codecs; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
