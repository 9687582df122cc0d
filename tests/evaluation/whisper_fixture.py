"""Writes the fixture whisper_tiny: a small Whisper of random weights, and what transformers makes of a sound.

python -m tests.evaluation.whisper_fixture
"""

from __future__ import annotations

import json

import torch
from safetensors.torch import save_file

from tests.fixture_paths import FIXTURES

FOLDER = FIXTURES / "whisper_tiny"
SIZES = {"d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 24}
EVERY = 25  # frames of spectrogram and states that are kept


def thirty_seconds() -> torch.Tensor:
    """A tone that rises from 100 Hz and grows, with some noise, `[1, 480000]`: as long as Whisper wants."""
    time = torch.arange(480000, dtype=torch.float64) / 16000
    tone = time / 40 * torch.sin(2 * torch.pi * (100 * time + 60 * time.square()))
    noise = ((torch.arange(480000) * 7919) % 1009) / 1009 - 0.5
    return (tone + 0.02 * noise).float()[None]


def main() -> None:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    torch.manual_seed(0)
    small = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8, "vocab_size": 60}
    tokens = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    config = WhisperConfig.from_dict({**SIZES, **small, **tokens, "encoder_layers": 3})
    encoder = WhisperModel(config).eval().encoder
    with torch.no_grad():
        for weight in encoder.parameters():  # far from the zeros and ones that some of them begin with
            weight.add_(0.2 * torch.randn_like(weight) * (weight is not encoder.embed_positions.weight))
    FOLDER.mkdir(exist_ok=True, parents=True)
    kept = ("model_type", "encoder_layers", "num_mel_bins", *SIZES)
    text = json.dumps({key: config.to_dict()[key] for key in kept}, indent=2)
    (FOLDER / "config.json").write_text(text + "\n", encoding="utf-8")
    weights = {f"model.encoder.{name}": value for name, value in encoder.state_dict().items()}
    del weights["model.encoder.embed_positions.weight"]  # sinusoids
    save_file(weights, FOLDER / "model.safetensors", metadata={"format": "pt"})
    [sound] = thirty_seconds().numpy()
    mel = WhisperFeatureExtractor()(sound, sampling_rate=16000, return_tensors="pt")["input_features"]
    with torch.inference_mode():
        states = encoder(mel, output_hidden_states=True).hidden_states
    expected = {"log_mel": mel[..., ::EVERY]} | {f"state_{n}": states[n][:, ::EVERY] for n in (1, 2)}
    save_file({name: value.contiguous() for name, value in expected.items()}, FOLDER / "expected.safetensors")


if __name__ == "__main__":
    main()
