"""AudioGen: seeds, batches, durations, continuation, saving, and every bad input."""

from __future__ import annotations

import copy
import logging
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audio import Audio, AudioError, write_audio
from soundloom.gen.loading import show_licence
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.pipeline import AudioGen, GeneratedAudio
from soundloom.gen.text.t5 import T5TextEncoder

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"
RATE, HOP = 16000, 320
PROMPTS = ["a dog barks", "", "heavy rain falls on a tin roof while thunder rumbles far away"]


@pytest.fixture(scope="module")
def model() -> AudioGen:
    return AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5")


def sine(seconds: float, rate: int = RATE, channels: int = 1) -> Tensor:
    time = torch.arange(int(seconds * rate)) / rate
    return (0.5 * torch.sin(2 * math.pi * 440 * time)).expand(channels, -1)


def test_result(model: AudioGen) -> None:
    found = model.generate(["a dog", "rain"], duration=0.2, num_samples=2, seed=5)
    assert isinstance(found, GeneratedAudio)
    assert isinstance(found, Audio)
    assert found.samples.shape == (4, 1, 10 * HOP)
    assert found.samples.dtype == torch.float32
    assert found.codes.shape == (4, 4, 10)
    assert found.codes.dtype == torch.int64
    assert found.sample_rate == RATE
    assert found.duration == pytest.approx(0.2)
    assert found.prompts == ["a dog", "a dog", "rain", "rain"]
    assert found.seeds[0] == found.seeds[2] == 5
    assert not found.samples.is_inference()
    torch.testing.assert_close(found.samples, model.codec.decode(found.codes))


def test_same_seed_same_samples_and_another_seed_others(model: AudioGen) -> None:
    first = model.generate("a dog", duration=0.3, seed=1)
    torch.randn(100)  # the global stream plays no part
    assert torch.equal(first.samples, model.generate("a dog", duration=0.3, seed=1).samples)
    assert not torch.equal(first.codes, model.generate("a dog", duration=0.3, seed=2).codes)


@pytest.mark.parametrize("settings", [{}, {"top_k": 0}, {"top_p": 0.8}, {"temperature": 0.0}], ids=str)
def test_alone_or_in_a_batch_the_same_codes(model: AudioGen, settings: dict[str, Any]) -> None:
    seeds = [4, 5, 6]
    batch = model.generate(PROMPTS, duration=0.6, seed=seeds, **settings)
    for row, (prompt, seed) in enumerate(zip(PROMPTS, seeds, strict=True)):
        alone = model.generate(prompt, duration=0.6, seed=seed, **settings)
        assert torch.equal(alone.codes[0], batch.codes[row])
        torch.testing.assert_close(alone.samples[0], batch.samples[row], atol=1e-5, rtol=0.0)


def test_alone_or_in_a_batch_the_same_codes_across_windows(model: AudioGen) -> None:
    model_short = AudioGen(model.lm, model.text_encoder, model.codec, max_seconds=0.4, extend_stride=0.2)
    batch = model_short.generate(PROMPTS, duration=1.0, seed=3)
    assert batch.codes.shape[-1] == 50
    for row, prompt in enumerate(PROMPTS):
        assert torch.equal(model_short.generate(prompt, duration=1.0, seed=3).codes[0], batch.codes[row])


def test_every_row_can_be_made_again_from_its_seed(model: AudioGen) -> None:
    found = model.generate(["a dog", "rain"], duration=0.3, num_samples=3)
    assert len(set(found.seeds)) == 6
    for row, (prompt, seed) in enumerate(zip(found.prompts, found.seeds, strict=True)):
        assert torch.equal(model.generate(prompt, duration=0.3, seed=seed).codes[0], found.codes[row])


def test_reference_padding_depends_on_the_batch_and_the_default_does_not(model: AudioGen) -> None:
    both = [PROMPTS[0], PROMPTS[2]]
    alone = model.generate_codes(both[:1], frames=20)
    assert torch.equal(alone, model.generate_codes(both[:1], frames=20, reference_padding=True))
    assert torch.equal(alone, model.generate_codes(both, frames=20)[:1])
    assert not torch.equal(alone, model.generate_codes(both, frames=20, reference_padding=True)[:1])


def test_an_empty_prompt_means_unconditional(model: AudioGen) -> None:
    found = model.generate(["", "   \n"], duration=0.4, seed=1)
    assert torch.equal(found.codes[0], found.codes[1])
    ignored = model.generate("a dog", duration=0.4, seed=1, guidance_scale=0.0)
    assert torch.equal(ignored.codes[0], found.codes[0])
    default = model.generate(duration=0.4, seed=1)
    assert torch.equal(default.codes, ignored.codes)


def test_guidance_changes_the_result(model: AudioGen) -> None:
    found = {scale: model.generate_codes("a dog", 30, guidance_scale=scale) for scale in (0.0, 1.0, 3.0)}
    assert not torch.equal(found[0.0], found[1.0])
    assert not torch.equal(found[1.0], found[3.0])
    assert torch.equal(model.generate_codes("a dog", 30), found[3.0])


@pytest.mark.parametrize(
    ("duration", "frames"), [(0.02, 1), (0.03, 1), (0.58, 29), (0.059999, 2), (1, 50), (np.float32(0.5), 25)]
)
def test_durations_are_cut_to_whole_frames(model: AudioGen, duration: float, frames: int) -> None:
    found = model.generate("a", duration=duration, seed=0)
    assert found.codes.shape[-1] == frames
    assert found.samples.shape[-1] == frames * HOP


@pytest.mark.parametrize("seconds", [10.28, 10.54, 11.04])
def test_long_durations_that_round_badly(model: AudioGen, seconds: float) -> None:
    assert model.generate("", duration=seconds, seed=0).codes.shape[-1] == round(seconds * 50)


def test_progress_ends_complete(model: AudioGen) -> None:
    calls: list[tuple[int, int]] = []
    model.generate("a", duration=0.3, seed=0, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (15, 15)
    calls.clear()
    prompt = torch.zeros(4, 5, dtype=torch.long)
    model.generate_codes("a", 15, prompt_codes=prompt, progress=lambda *call: calls.append(call))
    assert calls[-1] == (10, 10)


def test_continuing_sound_from_any_source(model: AudioGen, tmp_path: Path) -> None:
    stereo = sine(0.3, 44100, 2)
    path = write_audio(tmp_path / "sound.wav", stereo, 44100)
    prepared = model.codec.prepare(stereo, 44100)
    codes = model.codec.encode(prepared)
    expected = model.generate_codes("a dog", 30, prompt_codes=codes)
    sources: list[Any] = [
        (stereo, 44100),
        (stereo.numpy(), 44100),
        (stereo.unsqueeze(0), 44100),
        Audio(stereo.unsqueeze(0), 44100),
    ]
    for source in sources:
        found = model.generate("a dog", duration=0.6, temperature=0.0, continue_from=source)
        assert torch.equal(found.codes, expected)
        assert torch.equal(found.codes[:, :, : codes.shape[-1]], codes)
    for file in (path, str(path)):  # 16 bit samples, so the codes may differ in places
        found = model.generate("a dog", duration=0.6, temperature=0.0, continue_from=file)
        assert found.samples.shape[-1] == 30 * HOP


def test_one_sound_serves_all_prompts_and_a_batch_gives_each_its_own(model: AudioGen) -> None:
    sounds = torch.stack([sine(0.2), sine(0.2) * 0.1])
    codes = model.codec.encode(sounds)
    shared = model.generate(["a", "b"], duration=0.4, seed=0, continue_from=(sounds[0], RATE), num_samples=2)
    assert torch.equal(shared.codes[:, :, :10], codes[:1].expand(4, -1, -1))
    own = model.generate(["a", "b"], duration=0.4, seed=0, continue_from=(sounds, RATE), num_samples=2)
    assert torch.equal(own.codes[:, :, :10], codes.repeat_interleave(2, dim=0))


def test_continuing_more_than_a_window(model: AudioGen) -> None:
    short = AudioGen(model.lm, model.text_encoder, model.codec, max_seconds=0.4, extend_stride=0.2)
    found = short.generate("a", duration=1.5, seed=0, continue_from=(sine(1.0), RATE))
    assert found.codes.shape[-1] == 75
    assert torch.equal(found.codes[:, :, :50], model.codec.encode(sine(1.0).unsqueeze(0)))


@pytest.mark.parametrize("weights", ["float", "int8"])
def test_saved_and_loaded_gives_the_same(model: AudioGen, tmp_path: Path, weights: str) -> None:
    model.save_pretrained(tmp_path, weights=weights, max_shard_bytes=100_000)
    loaded = AudioGen.from_pretrained(tmp_path)
    assert (loaded.max_seconds, loaded.guidance_scale) == (10.0, 3.0)
    prompt = "a dog barks"
    before, after = (each.generate(prompt, duration=0.4, seed=1) for each in (model, loaded))
    if weights == "float":
        assert torch.equal(before.codes, after.codes)
        torch.testing.assert_close(before.samples, after.samples, atol=1e-6, rtol=0.0)
    else:
        again = tmp_path / "again"
        loaded.save_pretrained(again)
        reloaded = AudioGen.from_pretrained(again)
        assert torch.equal(reloaded.generate(prompt, duration=0.4, seed=1).codes, after.codes)
    assert AudioGen.from_pretrained(tmp_path, max_seconds=2.0).max_seconds == 2.0


def test_temperatures_of_codebooks_are_kept_and_change_what_is_drawn(model: AudioGen, tmp_path: Path) -> None:
    surely = [1.0, 0.5, 0.2, 0.01]
    own = AudioGen(model.lm, model.text_encoder, model.codec, codebook_temperatures=surely)
    own.save_pretrained(tmp_path)
    loaded = AudioGen.from_pretrained(tmp_path)
    assert loaded.codebook_temperatures == tuple(surely)
    plain, before, after = (each.generate("a", duration=0.4, seed=1).codes for each in (model, own, loaded))
    assert torch.equal(before, after)
    assert not torch.equal(plain, before)
    with pytest.raises(ValueError, match="codebook_temperatures has 1 entries for 4 codebooks"):
        AudioGen.from_pretrained(tmp_path, codebook_temperatures=[1.0])


def test_a_codec_with_a_name_is_referred_to(model: AudioGen, tmp_path: Path) -> None:
    named = AudioGen(model.lm, model.text_encoder, model.codec, codec_name="seanet-16khz")
    named.save_pretrained(tmp_path)
    assert not (tmp_path / "codec").exists()
    loaded = AudioGen.from_pretrained(tmp_path, codec=model.codec)
    assert loaded.codec is model.codec


def test_the_licence_of_published_weights_is_shown_once(caplog: pytest.LogCaptureFixture) -> None:
    show_licence.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5")
    assert caplog.text.count("CC BY-NC 4.0") == 1


def test_a_model_in_bfloat16_generates(model: AudioGen) -> None:
    half = AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5", dtype=torch.bfloat16)
    assert half.lm.dtype == torch.bfloat16
    found = half.generate("a dog", duration=0.3, seed=0)
    assert found.samples.dtype == torch.float32
    assert bool(torch.isfinite(found.samples).all())


@pytest.mark.parametrize("prompt", ["🐕🔊", "лает собака", "犬が吠える", "rain " * 2000], ids=len)
def test_odd_prompts_are_fine(model: AudioGen, prompt: str, caplog: pytest.LogCaptureFixture) -> None:
    found = model.generate(prompt, duration=0.1, seed=0)
    assert found.samples.shape == (1, 1, 5 * HOP)
    assert ("512 tokens" in caplog.text) == (len(prompt) == 10_000)


BAD = [
    ({"prompts": 7}, TypeError, "prompts is 7"),
    ({"prompts": ["a", None]}, TypeError, "prompt 1 is None"),
    ({"prompts": [b"a"]}, TypeError, "prompt 0 is b'a'"),
    ({"prompts": []}, ValueError, "prompts is empty"),
    ({"duration": 0}, ValueError, "duration is 0; allowed are 0.02 to 3600"),
    ({"duration": -1.0}, ValueError, "duration is -1.0; allowed"),
    ({"duration": 0.01}, ValueError, "duration is 0.01; allowed are 0.02 to 3600"),
    ({"duration": math.nan}, ValueError, "duration is nan; allowed"),
    ({"duration": math.inf}, ValueError, "duration is inf; allowed"),
    ({"duration": 3601}, ValueError, "duration is 3601; allowed are 0 to 3600 .seconds, at least one frame"),
    ({"duration": "5"}, TypeError, "duration is '5'"),
    ({"guidance_scale": -1.0}, ValueError, "guidance_scale is -1.0; allowed are 0 to 100"),
    ({"guidance_scale": math.nan}, ValueError, "guidance_scale is nan"),
    ({"guidance_scale": math.inf}, ValueError, "guidance_scale is inf"),
    ({"temperature": -1.0}, ValueError, "temperature is -1.0; allowed are 0 to 100"),
    ({"temperature": math.nan}, ValueError, "temperature is nan"),
    ({"top_k": -1}, ValueError, "top_k is -1; it must be an integer of at least 0 .0 is off"),
    ({"top_k": 65}, ValueError, "top_k is 65; .*integer from 0 to 64 .0 is off"),
    ({"top_k": 3.0}, TypeError, "top_k is 3.0"),
    ({"top_p": 1.1}, ValueError, "top_p is 1.1; allowed are 0 to 1"),
    ({"seed": -1}, ValueError, "seed is -1; it must be an integer from 0 to"),
    ({"seed": 2**63}, ValueError, "it must be an integer from 0 to 9223372036854775807"),
    ({"seed": 1.5}, TypeError, "seed is 1.5"),
    ({"seed": True}, TypeError, "seed is True"),
    ({"seed": [1, 2]}, ValueError, "seed has 2 entries for 1 prompts"),
    ({"num_samples": 0}, ValueError, "num_samples is 0"),
    ({"continue_from": 7}, TypeError, "continue_from is a int"),
    ({"continue_from": "no/such.wav"}, FileNotFoundError, "such.wav"),
    ({"continue_from": (torch.zeros(1, 0), RATE)}, AudioError, "empty"),
    ({"continue_from": (torch.zeros(2, 1, 100), RATE)}, ValueError, "2 sounds to continue for 1 prompts"),
    ({"continue_from": (torch.zeros(1, RATE), RATE)}, ValueError, "50 frames .* longer duration"),
    ({"extend_stride": 11.0, "duration": 12.0}, ValueError, "extend_stride is 11.0"),
    ({"extend_stride": 0.0, "duration": 12.0}, ValueError, "extend_stride is 0.0"),
    ({"extend_stride": math.nan}, ValueError, "extend_stride is nan"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_named(
    model: AudioGen, changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.generate(**({"prompts": "a dog", "duration": 0.1} | changed))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"frames": 0}, ValueError, "frames is 0; it must be an integer from 1 to 180000"),
        ({"frames": 2.5}, TypeError, "frames is 2.5"),
        ({"prompt_codes": [[1]]}, TypeError, "prompt_codes must be an integer tensor"),
        ({"prompt_codes": torch.zeros(4, 2)}, TypeError, "prompt_codes must be an integer tensor"),
        ({"prompt_codes": torch.zeros(1, 3, 2, dtype=torch.long)}, ValueError, r"must be \[B, 4, P\]"),
        ({"prompt_codes": torch.full((4, 2), 64)}, ValueError, "64 to 64; allowed are 0 to 63"),
        ({"prompt_codes": torch.full((4, 2), -1)}, ValueError, "-1 to -1"),
        ({"prompt_codes": torch.zeros(4, 10, dtype=torch.long)}, ValueError, "takes 10 frames"),
    ],
)
def test_bad_codes_are_named(
    model: AudioGen, changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.generate_codes("a dog", **({"frames": 10} | changed))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ValueError, match="unknown model 'fooley'"):
        AudioGen.from_pretrained("fooley")


def test_another_kind_of_model_is_named() -> None:
    with pytest.raises(ValueError, match="foley-classifier is of the kind SoundClassifier.*not an AudioGen"):
        AudioGen.from_pretrained("foley-classifier")


def test_a_missing_text_encoder_says_what_to_give() -> None:
    with pytest.raises(OSError, match=r"'t5-tiny'.*text_encoder="):
        AudioGen.from_pretrained(TINY, local_files_only=True)


@pytest.mark.parametrize("file", ["state_dict.bin", "compression_state_dict.bin"])
@pytest.mark.parametrize("keep", [None, 0, 5000])
def test_missing_and_truncated_published_files_are_named(tmp_path: Path, file: str, keep: int | None) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if keep is not None:
        (folder / file).write_bytes(content[:keep])
    with pytest.raises((ValueError, OSError), match=file):
        AudioGen.from_pretrained(folder, text_encoder=TINY / "t5")


@pytest.mark.parametrize("file", ["config.json", "lm/config.json", "lm/diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("keep", [None, 20])
def test_missing_and_truncated_own_files_are_named(
    model: AudioGen, tmp_path: Path, file: str, keep: int | None
) -> None:
    model.save_pretrained(tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).unlink()
    if keep is not None:
        (tmp_path / file).write_bytes(content[:keep])
    with pytest.raises((ValueError, OSError), match=Path(file).name):
        AudioGen.from_pretrained(tmp_path)


def test_parts_that_do_not_fit_are_named(model: AudioGen) -> None:
    encoder = model.text_encoder
    assert isinstance(encoder, T5TextEncoder)
    small: dict[str, Any] = {"dim": 16, "num_layers": 1, "num_heads": 2}
    with pytest.raises(ValueError, match="width 48, the language model wants 7"):
        AudioGen(AudioLM(codebook_size=64, text_dim=7, **small), encoder, model.codec)
    with pytest.raises(ValueError, match="4 codebooks of 64, the language model wants 4 of 65"):
        AudioGen(AudioLM(codebook_size=65, text_dim=48, **small), encoder, model.codec)
    narrow = SEANetCodec(num_codebooks=2, codebook_size=64, n_filters=2, dimension=8, lstm=0)
    with pytest.raises(ValueError, match="2 codebooks of 64, the language model wants 4 of 64"):
        AudioGen(AudioLM(codebook_size=64, text_dim=48, **small), encoder, narrow)


def test_a_model_may_use_fewer_codebooks_than_its_codec(model: AudioGen) -> None:
    lm = AudioLM(num_codebooks=2, codebook_size=64, text_dim=48, dim=16, num_layers=1, num_heads=2).eval()
    fewer = AudioGen(lm, model.text_encoder, model.codec)
    found = fewer.generate("a", duration=0.4, seed=0, continue_from=(sine(0.2), RATE))
    assert found.codes.shape == (1, 2, 20)
    assert torch.equal(found.codes[:, :, :10], model.codec.encode(sine(0.2).unsqueeze(0))[:, :2])
    assert found.samples.shape == (1, 1, 20 * HOP)


def test_another_codec_than_it_was_trained_with_is_noticed(
    tiny_model: AudioGen, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_model.save_pretrained(tmp_path / "model")
    AudioGen.from_pretrained(tmp_path / "model")
    assert not caplog.records
    codec = copy.deepcopy(tiny_model.codec)
    with torch.no_grad():
        next(codec.parameters()).add_(1.0)
    codec.save_pretrained(tmp_path / "model" / "codec")
    AudioGen.from_pretrained(tmp_path / "model", codec=codec)  # meant so
    assert not caplog.records
    AudioGen.from_pretrained(tmp_path / "model")
    [record] = caplog.records
    assert "was trained with other weights of its codec" in record.getMessage()
