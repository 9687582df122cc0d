"""Mixing of sounds and captions, and what a training does with sound, padding and encoded captions."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.registry import load_codec
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.training.mixing import PEAK, REFERENCE_DB, Clips, Mixing, at_level, join_captions
from soundloom.gen.training.module import AudioGenModule
from soundloom.gen.training.objective import CodeBatch
from soundloom.gen.training.parts import TextSettings

TINY = Path(__file__).resolve().parents[2] / "fixtures" / "audiogen_tiny"


def db(audio: Tensor) -> float:
    return float(10 * audio.square().mean().log10())


def tones(count: int, samples: int = 4000, lengths: list[int] | None = None, channels: int = 1) -> Clips:
    """Clip n is a tone of n + 1 bins, so that its share in a mix can be measured."""
    time = torch.arange(samples) / samples
    audio = torch.stack([torch.sin(2 * math.pi * (n + 1) * 40 * time) * 0.1 * (n + 1) for n in range(count)])
    audio = audio[:, None].repeat(1, channels, 1)
    sizes = torch.tensor(lengths or [samples] * count)
    audio = audio * (torch.arange(samples) < sizes[:, None, None])
    return Clips(audio, sizes, [f"tone {n}" for n in range(count)])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixed(clips: Clips, batch: int, seed: int = 0, **changed: Any) -> Clips:
    return Mixing(**({"probability": 1.0} | changed))(clips, batch, generator(seed))


def parts(caption: str) -> list[int]:
    return [int(word) for word in caption.split() if word != "tone"]


def test_a_mixed_batch_joins_captions_and_shrinks() -> None:
    assert Mixing().clips_to_load(128) == 256
    assert Mixing(keep=0.6).clips_to_load(4) == 7
    mix = mixed(tones(8), 4)
    assert mix.audio.shape == (4, 1, 4000)
    assert mix.lengths.tolist() == [4000] * 4
    spectra = torch.fft.rfft(mix.audio[:, 0, 2000:]).abs()  # where the second one is heard in any case
    for spectrum, caption in zip(spectra, mix.captions, strict=True):
        heard = {round(int(bin_) / 20) - 1 for bin_ in spectrum.topk(2).indices if spectrum[bin_] > 1}
        assert heard == set(parts(caption)), caption


def test_a_clip_that_meets_itself_keeps_its_caption() -> None:
    [mix] = [mixed(tones(1), 1)]
    assert mix.captions == ["tone 0"]
    assert join_captions("a dog", "a dog") == "a dog"
    assert join_captions("a dog", "rain") == "a dog rain"
    assert join_captions("", "rain") == "rain"
    assert join_captions("rain", "") == "rain"


@pytest.mark.parametrize("snr", [-5, 0, 4])
def test_the_ratio_of_the_two_is_the_one_drawn(snr: int) -> None:
    mix = mixed(tones(2), 2, snr_db=(snr, snr + 1), min_overlap=1.0)
    for audio, caption in zip(mix.audio, mix.captions, strict=True):
        first, *second = parts(caption)
        spectrum = torch.fft.rfft(audio[0]).abs()
        if second:
            ratio = 20 * torch.log10(spectrum[40 * (first + 1)] / spectrum[40 * (second[0] + 1)])
            assert float(ratio) == pytest.approx(snr, abs=0.05)


def test_the_second_one_starts_in_the_first_half_and_levels_are_whole_numbers() -> None:
    starts, levels = [], []
    for seed in range(60):
        mix = mixed(tones(2), 1, seed, snr_db=(0, 1))
        _, *second = parts(mix.captions[0])
        if not second:
            continue
        levels.append(db(mix.audio))
        # Before it starts there is only the first tone.
        windows = torch.fft.rfft(mix.audio[0, 0].unfold(0, 200, 100)).abs()[:, 2 * (second[0] + 1)]
        starts.append(int((windows > 0.2 * windows.max()).nonzero()[0]) * 100)
    assert max(starts) <= 2000
    assert min(starts) < 300
    assert len({start // 500 for start in starts}) == 4
    assert all(level == pytest.approx(round(level), abs=1e-3) for level in levels)
    assert {-35 <= round(level) < -15 for level in levels} == {True}
    assert len({round(level) for level in levels}) > 10


def test_shorter_clips_are_mixed_where_they_sound() -> None:
    clips = tones(2, lengths=[1000, 600])
    for seed in range(20):
        mix = mixed(clips, 1, seed)
        length = int(mix.lengths[0])
        first, *second = parts(mix.captions[0])
        sizes = [int(clips.lengths[n]) for n in (first, *(second or [first]))]
        assert sizes[0] <= length <= sizes[0] // 2 + sizes[1] or length == sizes[0]
        assert not mix.audio[..., length:].any()
        assert mix.audio[..., length - 30 : length].any()
        assert db(mix.audio[..., :length]) == pytest.approx(round(db(mix.audio[..., :length])), abs=1e-3)


def test_loud_mixes_are_scaled_down_whole() -> None:
    clips = Clips(torch.zeros(1, 2, 1000), torch.tensor([1000]), ["click"])
    clips.audio[0, :, 500] = torch.tensor([1.0, 0.5])
    mix = mixed(clips, 1, level_db=(-16, -15), min_overlap=1.0)
    assert float(mix.audio.abs().max()) == pytest.approx(PEAK)
    assert float(mix.audio[0, 1, 500] / mix.audio[0, 0, 500]) == pytest.approx(0.5)


def test_silence_stays_silence() -> None:
    assert not at_level(torch.zeros(1, 10), REFERENCE_DB).any()
    assert at_level(torch.zeros(1, 0), REFERENCE_DB).shape == (1, 0)
    silent = Clips(torch.zeros(2, 1, 100), torch.tensor([100, 100]), ["", ""])
    mix = mixed(silent, 1)
    assert not mix.audio.any()
    assert mix.captions == [""]


def test_half_of_the_batches_are_kept_as_they_are() -> None:
    clips, unmixed = tones(4), 0
    for seed in range(200):
        batch = Mixing()(clips, 2, generator(seed))
        if all(len(parts(caption)) == 1 for caption in batch.captions):
            rows = [clips.captions.index(caption) for caption in batch.captions]
            if torch.equal(batch.audio, clips.audio[rows]):
                assert len(set(rows)) == 2
                unmixed += 1
    assert 75 <= unmixed <= 125


def test_the_seed_decides() -> None:
    first, again, other = (mixed(tones(6), 3, seed) for seed in (1, 1, 2))
    assert torch.equal(first.audio, again.audio)
    assert first.captions == again.captions
    assert first.captions != other.captions or not torch.equal(first.audio, other.audio)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"probability": 1.5}, r"probability is 1\.5"),
        ({"keep": 0.0}, r"keep is 0\.0"),
        ({"min_overlap": -0.1}, "min_overlap is -0.1"),
        ({"snr_db": (5, 5)}, r"snr_db is \(5, 5\)"),
        ({"level_db": (-10, -20)}, "level_db"),
    ],
)
def test_bad_settings_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixing(**changed)


def test_too_few_clips_are_an_error() -> None:
    with pytest.raises(ValueError, match="batch of 3 clips cannot be made of 2"):
        mixed(tones(2), 3)


# ------------------------------------------------------------------ what training does with it


@pytest.fixture(scope="module")
def codec() -> SEANetCodec:
    found = load_codec(TINY)
    assert isinstance(found, SEANetCodec)
    return found


def make(codec: Any = None, **changed: Any) -> AudioGenModule:
    lm = AudioLMConfig(**({"codebook_size": 64, "dim": 16, "num_layers": 2, "num_heads": 2} | changed))
    torch.manual_seed(0)
    return AudioGenModule(lm=lm, text=TextSettings(str(TINY / "t5")), codec=codec)


def test_sound_trains_like_the_codes_made_of_it(codec: SEANetCodec) -> None:
    module = make(codec=codec)
    audio = torch.randn(2, 1, 16000, generator=generator()) * 0.1
    audio[1, :, 9000:] = 0
    sound: CodeBatch = {
        "audio": audio,
        "audio_lengths": torch.tensor([16000, 9000]),
        "prompts": ["a dog", "rain"],
    }
    with torch.no_grad():
        codes: CodeBatch = {
            "codes": codec.encode(audio),
            "lengths": torch.tensor([50, 29]),  # 9000 samples are 28.125 frames
            "prompts": ["a dog", "rain"],
        }
        torch.testing.assert_close(
            module.cross_entropies(sound, sound["prompts"]), module.cross_entropies(codes, codes["prompts"])
        )
    module.training_step(sound, 0).backward()
    assert all(parameter.grad is None for parameter in codec.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = module.codes_of(sound)
    assert torch.equal(found, codes["codes"])


def test_the_codec_stays_outside(codec: SEANetCodec) -> None:
    module = make(codec=codec)
    assert module.codec is codec
    assert not any("codec" in name for name in module.state_dict())
    assert copy.deepcopy(module).codec is codec
    assert module.hparams["codec"] is None, "a checkpoint holds no objects"
    assert make(codec=str(TINY)).hparams["codec"] == str(TINY)


def test_sound_without_a_codec_is_explained(codec: SEANetCodec) -> None:
    batch: CodeBatch = {"audio": torch.zeros(1, 1, 640), "prompts": [""]}
    with pytest.raises(ValueError, match=r"set model\.codec .* soundloom prepare"):
        make().cross_entropies(batch, [""])
    with pytest.raises(ValueError, match="codec has 4 codebooks of 64 codes, the language model 4 of 32"):
        make(codec=codec, codebook_size=32)


def padded_batch(module: AudioGenModule, padding: int) -> CodeBatch:
    codes = torch.randint(0, 32, (2, 4, 20), generator=generator(3))
    codes[1, :, 12:] = padding
    return {"codes": codes, "lengths": torch.tensor([20, 12]), "prompts": ["a dog", "rain"]}


def gradients(module: AudioGenModule, batch: CodeBatch) -> dict[str, Tensor]:
    module.zero_grad()
    module.cross_entropies(batch, batch["prompts"]).mean().backward()
    return {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}


def test_padding_gives_no_gradient() -> None:
    module = make(dropout=0.0)
    first, second = (gradients(module, padded_batch(module, padding)) for padding in (40, 63))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    table = first["lm.embedding.weight"].view(4, 65, -1)  # [codebook, code, width]
    assert not table[:, 32:64].any(), "codes 32 and above occur in padding only"
    assert table[:, :32].abs().sum() > 0


@pytest.mark.parametrize("pattern", ["delay", "parallel", "flattened"])
def test_a_padded_clip_counts_as_it_would_alone(pattern: str) -> None:
    module = make(pattern=pattern).eval()
    batch = padded_batch(module, 0)
    with torch.no_grad():
        together = module.cross_entropies(batch, batch["prompts"])
        alone = []
        for row, (length, prompt) in enumerate(zip((20, 12), batch["prompts"], strict=True)):
            one: CodeBatch = {"codes": batch["codes"][row : row + 1, :, :length], "prompts": [prompt]}
            counted = [length - (k if pattern == "delay" else 0) for k in range(4)]
            alone.append((module.cross_entropies(one, [prompt]), torch.tensor(counted)))
        total = sum(loss * count for loss, count in alone) / sum(count for _, count in alone)
    torch.testing.assert_close(together, total)


def test_captions_encoded_in_advance_count_as_if_encoded_now() -> None:
    module = make().eval()
    batch = padded_batch(module, 0)
    text = module.encode_text(["a dog barks loudly", "rain"])
    ready: CodeBatch = {**batch, "text_states": text.states, "text_mask": text.mask}
    with torch.no_grad():
        for prompts in (["a dog barks loudly", "rain"], ["a dog barks loudly", ""], ["", ""]):
            torch.testing.assert_close(
                module.cross_entropies(ready, prompts), module.cross_entropies(batch, prompts)
            )
