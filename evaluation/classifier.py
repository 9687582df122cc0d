"""A small sound classifier, by which generated sounds are measured: its classes, and its features.

Log-mel spectrogram, four stages of residual convolutions, mean and maximum over what is left of time and
frequency; or the first layers of Whisper's encoder, mean and standard deviation over time, a hidden layer.
Neither is trained on generated sound (evaluation/classifier_module.py, evaluation/audio_text_module.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.checkpoint import BUNDLED_MODELS, fill, read_json, read_weights
from ..core.diffusers_classes import ConfigMixin, ModelMixin, register_to_config
from ..core.errors import ModelError
from ..core.hub import resolve_model
from ..core.int8_storage import STORAGE_KEY, is_int8, load_int8
from ..core.push_to_hub import PushToHub
from ..core.safetensors_files import SharedWeights
from ..core.spectra import mel_filters, power_spectrum
from .whisper_encoder import SAMPLE_RATE as WHISPER_RATE
from .whisper_encoder import PooledWhisper, WhisperLogMel

if TYPE_CHECKING:
    from ..gen.text.encoder import TextStates


class LogMel(nn.Module):
    """Waveform `[B, N]` -> log-mel power `[B, 1, n_mels, frames]`, about zero mean and unit spread.

    Args:
        sample_rate: Hz.
        n_fft: window, samples.
        hop: samples between frames.
        n_mels: bands.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, *, sample_rate: int, n_fft: int, hop: int, n_mels: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        band = (30.0, sample_rate / 2)
        filters = mel_filters(sample_rate, n_fft, n_mels, *band, mean=True, dtype=torch.float64)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        audio = F.pad(audio.float(), (0, max(0, self.n_fft - audio.shape[-1])))
        with torch.autocast(audio.device.type, enabled=False):
            power = self.filters @ power_spectrum(audio, self.window, hop=self.hop, padding="reflect")
            return (torch.log10(power + 1e-5).unsqueeze(1) + 1.5) / 2.0


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a 1x1 shortcut; `stride` halves time and frequency."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class SoundClassifier(PushToHub, SharedWeights, ModelMixin, ConfigMixin):
    """Tells which class of sound a clip holds.

    Args:
        class_names: names of the classes, in the order of the logits.
        sample_rate: Hz of the audio it takes.
        widths: channels of the stages; each stage halves time and frequency.
        n_fft: window of the spectrogram, samples.
        hop: samples between its frames.
        n_mels: its bands.
        dropout: share of features dropped in training.
        text_dim: width of a text encoder's states, where the model also tells how near a sound is to a
            caption (`caption_vectors`); 0: it does not.
        whisper: settings of a PooledWhisper, which hears in place of spectrogram and stages; their settings
            have no meaning then. None: the stages.

    Attributes:
        text_mean: `[text_dim]`, the mean of the training captions' vectors, where there is a `text_dim`.

    Raises:
        ValueError: no class names, or doubled ones; or `whisper` at another rate than its 16 kHz.
    """

    text_mean: Tensor

    config_name = "config.json"
    card_kind = "classifier"

    @register_to_config
    def __init__(
        self,
        *,
        class_names: Sequence[str],
        sample_rate: int = 16000,
        widths: Sequence[int] = (20, 40, 80, 128),
        n_fft: int = 1024,
        hop: int = 320,
        n_mels: int = 64,
        dropout: float = 0.1,
        text_dim: int = 0,
        whisper: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        if not class_names or len(set(class_names)) != len(class_names):
            raise ValueError(f"class_names must be distinct and at least one, got {list(class_names)}")
        self.log_mel: LogMel | WhisperLogMel
        self.audio_encoder: PooledWhisper | None = None
        if whisper is None:
            self.log_mel = LogMel(sample_rate=sample_rate, n_fft=n_fft, hop=hop, n_mels=n_mels)
            self._add_stages(widths)
            num_features = 2 * widths[-1]
        else:
            if sample_rate != WHISPER_RATE:
                raise ValueError(f"Whisper hears sound of {WHISPER_RATE} Hz, not of {sample_rate}")
            self.log_mel, self.audio_encoder = WhisperLogMel(), PooledWhisper(**whisper)
            num_features = self.audio_encoder.num_features
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(num_features, len(class_names))
        self.to_text: nn.Linear | None = None
        if text_dim:
            self.to_text = nn.Linear(num_features, text_dim)
            self.register_buffer("text_mean", torch.zeros(text_dim))

    def _add_stages(self, widths: Sequence[int]) -> None:
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        widths_in = (widths[0], *widths[:-1])
        self.stages = nn.Sequential(
            *(
                ResidualBlock(before, after, stride=1 if i == 0 else 2)
                for i, (before, after) in enumerate(zip(widths_in, widths, strict=True))
            )
        )

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name: str | os.PathLike[str] = "foley-classifier",
        *,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load from a folder, a bundled name ("foley-classifier") or a hub id; ready for inference.

        Weights that are stored as int8 run as float32, too.

        Args:
            name: folder, bundled name or hub id.
            revision: of a hub model.
            local_files_only: never go online.

        Raises:
            ValueError: unknown name; the message lists the nearest ones. Or the folder holds another kind of
                model, or a damaged file.
            FileNotFoundError: a file of the folder is missing.
        """
        folder = resolve_model(
            name,
            BUNDLED_MODELS,
            allow_patterns=("*.json", "*.safetensors"),
            revision=revision,
            local_files_only=local_files_only,
        )
        config = read_json(folder / "config.json")
        if (kind := config.get("_class_name", cls.__name__)) != cls.__name__:
            raise ModelError(
                f"{os.fspath(name)} is of the kind {kind}, not a classifier of sounds; the one that "
                "ships is foley-classifier"
            )
        int8 = is_int8(config)
        model = cls.from_config({key: value for key, value in config.items() if key != STORAGE_KEY})
        assert isinstance(model, cls)
        if int8:
            load_int8(model, folder)
        else:
            fill(model, read_weights(folder, torch.float32), folder)
        return model.eval()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return list(self.config["class_names"])

    @property
    def sample_rate(self) -> int:
        """Hz of the audio it takes."""
        return int(self.config["sample_rate"])

    @property
    def text_dim(self) -> int:
        """Width of `caption_vectors`; 0 where it knows no captions."""
        return 0 if self.to_text is None else self.to_text.out_features

    def features(self, audio: Tensor) -> Tensor:
        """Audio `[B, N]` at `sample_rate` -> features `[B, F]`: what the last layer sees.

        Any duration works; below one window the sound is padded with silence.

        Raises:
            ValueError: the audio is not `[B, N]` or is empty.
        """
        if audio.ndim != 2 or audio.shape[1] == 0:
            raise ValueError(
                f"audio must be [B, N] with N above 0, got {list(audio.shape)}; mix it to mono first"
            )
        return self.pooled(self.log_mel(audio))

    def pooled(self, log_mel: Tensor) -> Tensor:
        """Log-mel spectrogram `[B, 1, n_mels, frames]` -> features `[B, F]`."""
        if self.audio_encoder is not None:
            return self.audio_encoder(log_mel)
        x = self.stages(self.stem(log_mel))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)

    def caption_vectors(self, features: Tensor) -> Tensor:
        """Features `[B, F]` -> unit vectors `[B, text_dim]`, near those of captions of such sounds.

        A caption's is the text encoder's mean state less `text_mean`, of unit length: `prompt_vectors`.

        Raises:
            ValueError: the model was trained without captions.
        """
        if self.to_text is None:
            raise ValueError("this classifier knows no captions (its text_dim is 0); take foley-clap")
        return F.normalize(self.to_text(features), dim=-1)

    def prompt_vectors(self, states: TextStates) -> Tensor:
        """Encoded prompts -> unit vectors `[B, text_dim]`, as `caption_vectors`; zeros for an empty one."""
        vectors = F.normalize(states.mean().to(self.text_mean) - self.text_mean, dim=-1)
        return vectors * states.mask.any(dim=1, keepdim=True).to(vectors)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio `[B, N]` at `sample_rate` -> logits `[B, classes]`."""
        return self.head(self.drop(self.features(audio)))


class ClassifierFeatures(nn.Module):
    """What a classifier makes of a sound on the way, for losses that compare sounds as they are heard.

    Args:
        name: of the classifier, see `SoundClassifier.from_pretrained`.
        first_stage: stages before it are too close to the spectrogram to count.
    """

    def __init__(self, name: str = "foley-classifier", *, first_stage: int = 1) -> None:
        super().__init__()
        self.classifier = SoundClassifier.from_pretrained(name)
        self.first_stage = first_stage

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Audio `[B, N]` at its rate -> activations of its stages, `[B, C, bands, frames]` each.

        Of Whisper's layers they are `[B, t, D]`, every row normed.
        """
        log_mel = self.classifier.log_mel(audio)
        if self.classifier.audio_encoder is not None:
            return self.classifier.audio_encoder.encoder.normed(log_mel)
        x = self.classifier.stem(log_mel)
        features = []
        for stage in self.classifier.stages:
            x = stage(x)
            features.append(x)
        return features[self.first_stage :]
