"""The first layers of Whisper's encoder, as features of any sound.

Whisper (Radford et al. 2022, arXiv 2212.04356) learned to write down speech from 680,000 hours of the
internet's sound, and has to know what else it hears: what its layers say of a sound tells well its kind
(Gong et al. 2023, Whisper-AT, arXiv 2307.03183), the lower ones best.

Letters: B sounds, N samples, T mel frames of 10 ms, D width.
"""

from __future__ import annotations

import math
import os
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.checkpoint import BUNDLED_MODELS, fill, read_json
from ..core.errors import ModelError, ModelNotFoundError
from ..core.hub import resolve_model
from ..core.safetensors_files import load_safetensors
from ..core.spectra import mel_filters, power_spectrum

SAMPLE_RATE = 16000
N_FFT, HOP, N_MELS = 400, 160, 80
WINDOW = 1000  # mel frames that attend to each other, 10 s
DROPOUT = 0.3  # of means and deviations, in training
LARGEST = 8.0  # mean or deviation, in standard deviations; clean sounds go further than mixed and masked ones
WEIGHTS = "model.safetensors"
PREFIXES = ("model.encoder.", "encoder.")  # of a whole model, and of one without the head for words


class WhisperLogMel(nn.Module):
    """Waveform `[B, N]` of 16 kHz -> log-mel power `[B, 1, 80, T]`, as Whisper takes it.

    What is more than 80 dB below the loudest band of a sound counts as that.
    """

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        filters = mel_filters(SAMPLE_RATE, N_FFT, N_MELS, 0.0, SAMPLE_RATE / 2, slaney=True)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        audio = F.pad(audio.float(), (0, max(0, N_FFT - audio.shape[-1])))
        with torch.autocast(audio.device.type, enabled=False):
            power = power_spectrum(audio, self.window, hop=HOP, padding="reflect")[..., :-1]
            log = torch.log10((self.filters @ power).clamp_min(1e-10)).unsqueeze(1)
            return (torch.maximum(log, log.amax((1, 2, 3), keepdim=True) - 8.0) + 4.0) / 4.0


class WhisperEncoder(nn.Module):
    """Log-mel power -> what each layer makes of it, without Whisper's last norm.

    Args:
        d_model: D.
        encoder_layers: how many; Whisper's own have 4 to 32.
        encoder_attention_heads: heads of a layer.
        encoder_ffn_dim: width of a layer's feed-forward part.

    The names are those of Whisper's config.json.
    """

    def __init__(
        self,
        d_model: int = 384,
        encoder_layers: int = 2,
        encoder_attention_heads: int = 6,
        encoder_ffn_dim: int = 1536,
    ) -> None:
        super().__init__()
        self.settings = {
            "d_model": d_model,
            "encoder_layers": encoder_layers,
            "encoder_attention_heads": encoder_attention_heads,
            "encoder_ffn_dim": encoder_ffn_dim,
        }
        self.conv1 = nn.Conv1d(N_MELS, d_model, 3, padding=1)
        self.conv2 = nn.Conv1d(d_model, d_model, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d_model,
                encoder_attention_heads,
                encoder_ffn_dim,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(encoder_layers)
        )

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str] = "openai/whisper-tiny", *, layers: int = 2
    ) -> Self:
        """The first layers of a published Whisper, in the format of transformers; ready for inference.

        Args:
            name: folder or hub id.
            layers: how many of its layers.

        Raises:
            ValueError: no Whisper model, fewer layers than asked for, or damaged weights.
            FileNotFoundError, OSError: as for `resolve_model`.
        """
        folder = resolve_model(name, BUNDLED_MODELS, allow_patterns=("config.json", WEIGHTS))
        config = read_json(folder / "config.json")
        if config.get("model_type") != "whisper":
            raise ModelError(f"{os.fspath(name)} is no Whisper model; take openai/whisper-tiny, say")
        keys = ("d_model", "encoder_attention_heads", "encoder_ffn_dim")
        if lacking := [key for key in (*keys, "encoder_layers", "num_mel_bins") if key not in config]:
            raise ModelError(f"{folder / 'config.json'} does not say {', '.join(lacking)}; fetch it again")
        if not 1 <= layers <= config["encoder_layers"]:
            raise ModelError(f"{os.fspath(name)} has {config['encoder_layers']} layers, not {layers}")
        if config["num_mel_bins"] != N_MELS:
            raise ModelError(f"{os.fspath(name)} hears {config['num_mel_bins']} mel bands, not {N_MELS}")
        model = cls(encoder_layers=layers, **{key: int(config[key]) for key in keys})
        if not (folder / WEIGHTS).is_file():
            raise ModelNotFoundError(f"{folder / WEIGHTS} is missing; copy or download the model again")
        weights = encoder_weights(load_safetensors(folder / WEIGHTS), layers)
        fill(model, {key: value.float() for key, value in weights.items()}, folder)
        return model.eval()

    def forward(self, log_mel: Tensor) -> list[Tensor]:
        """Log-mel power `[B, 1, 80, T]` -> the state after each layer, `[B, T / 2, D]`, rounded up.

        Parts of 10 s attend to themselves only.
        """
        parts = [self._states(part) for part in log_mel[:, 0].split(WINDOW, dim=-1)]
        return [torch.cat(states, dim=1) for states in zip(*parts, strict=True)]

    def normed(self, log_mel: Tensor) -> list[Tensor]:
        """The states of `forward`, every row of zero mean and unit spread: some channels are huge."""
        return [F.layer_norm(state, state.shape[-1:]) for state in self(log_mel)]

    def _states(self, log_mel: Tensor) -> list[Tensor]:
        x = F.gelu(self.conv2(F.gelu(self.conv1(log_mel)))).transpose(1, 2)
        x = x + sinusoids(x.shape[1], x.shape[2]).to(x)
        states = []
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        return states


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's positional embedding, `[length, channels]`: sines, then cosines."""
    step = math.log(10000) / (channels // 2 - 1)
    phases = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(channels // 2))
    return torch.cat([phases.sin(), phases.cos()], dim=1)


def encoder_weights(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Weights of a Whisper model under the names of `WhisperEncoder`.

    Raises:
        ValueError: one is missing.
    """
    found: dict[str, Tensor] = {}
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}conv1.weight" in weights), PREFIXES[0])
    try:
        for conv in ("conv1", "conv2"):
            for kind in ("weight", "bias"):
                found[f"{conv}.{kind}"] = weights[f"{prefix}{conv}.{kind}"]
        for layer in (f"layers.{index}." for index in range(layers)):
            projections = [weights[f"{prefix}{layer}self_attn.{name}_proj.weight"] for name in "qkv"]
            biases = [weights[f"{prefix}{layer}self_attn.{name}_proj.bias"] for name in "qv"]
            found[f"{layer}self_attn.in_proj_weight"] = torch.cat(projections)
            keys = torch.zeros_like(biases[0])  # of which Whisper has none
            found[f"{layer}self_attn.in_proj_bias"] = torch.cat([biases[0], keys, biases[1]])
            for ours, theirs in (
                ("self_attn.out_proj", "self_attn.out_proj"),
                ("norm1", "self_attn_layer_norm"),
                ("norm2", "final_layer_norm"),
                ("linear1", "fc1"),
                ("linear2", "fc2"),
            ):
                for kind in ("weight", "bias"):
                    found[f"{layer}{ours}.{kind}"] = weights[f"{prefix}{layer}{theirs}.{kind}"]
    except KeyError as error:
        raise ModelError(f"the Whisper model lacks the weight {error.args[0]}; fetch it again") from None
    return found


class PooledWhisper(nn.Module):
    """Log-mel power -> F numbers: mean and standard deviation of the last state over time, a hidden layer.

    Args:
        num_features: F.
        settings: of the WhisperEncoder.
    """

    def __init__(self, *, num_features: int = 512, **settings: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.encoder = WhisperEncoder(**settings)
        width = 2 * self.encoder.conv2.out_channels
        self.norm = nn.BatchNorm1d(width, affine=False, momentum=None)  # the mean of all
        self.drop = nn.Dropout(DROPOUT)
        self.hidden = nn.Linear(width, num_features)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel power `[B, 1, 80, T]` -> `[B, F]`."""
        state = self.encoder(log_mel)[-1].float()
        deviation, mean = torch.std_mean(state, dim=1, correction=0)
        pooled = self.norm(torch.cat([mean, deviation], dim=1)).clamp(-LARGEST, LARGEST)
        return F.gelu(self.hidden(self.drop(pooled)))


class WhisperFeatures(nn.Module):
    """What a Whisper encoder makes of a sound on the way, for losses that compare sounds as they are heard.

    Args:
        name: of the Whisper model, see `WhisperEncoder.from_pretrained`.
        layers: how many of its layers hear.
    """

    def __init__(self, name: str = "openai/whisper-small", *, layers: int = 3) -> None:
        super().__init__()
        self.log_mel = WhisperLogMel()
        self.encoder = WhisperEncoder.from_pretrained(name, layers=layers)

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Audio `[B, N]` of 16 kHz -> the states of its layers, `[B, t, D]` each, every row normed."""
        return self.encoder.normed(self.log_mel(audio))
