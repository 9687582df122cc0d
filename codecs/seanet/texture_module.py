"""Training of a codec's texture network: encoder, codebooks and decoder stay as they are; see texture.py.

Codes go on meaning the same, so what was encoded before, and a language model over these codes, gains too.

Letters: B sounds, N samples, F bins, T frames.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from ...core.example import AudioFormat, Example
from ...core.exports_model import EXPORT_KEY, ExportsModel, part_of
from ...core.int8_storage import INT8, save_int8
from ...core.spectra import mel_filters, power_spectrum
from ..adversary import ADVERSARY, Adversary, AdversarySettings, take_step, weighted_sum
from ..adversary import adam as discriminator_adam
from ..codec_to_train import codec_to_train, codec_usage, noted_config
from .model import SEANetCodec
from .module import AVERAGES
from .spectral import SpectralTransform
from .texture import TextureNetwork

# Windows in samples, bands, frames that are pooled, weight.
SCALES = ((1024, 48, 1, 0.15), (1024, 48, 5, 0.5), (512, 64, 8, 0.5))


def adam(parameters: Any) -> torch.optim.Optimizer:
    """The optimiser of the network where a recipe names none."""
    return torch.optim.AdamW(parameters, lr=2e-4, betas=(0.8, 0.99))


class PooledMelLoss(nn.Module):
    """L1 of log mel power, most of it pooled over 80 ms: it asks for the envelope and leaves texture free.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for n_fft, bands, _, _ in dict.fromkeys(SCALES):
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)
            bank = mel_filters(sample_rate, n_fft, bands, 50.0, sample_rate / 2)
            self.register_buffer(f"filters_{n_fft}", bank, persistent=False)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Distance of `[B, N]` from `[B, N]`, scalar, nepers of power."""
        total = estimate.new_zeros(())
        for n_fft, _, frames, weight in SCALES:
            window, filters = getattr(self, f"window_{n_fft}"), getattr(self, f"filters_{n_fft}")
            logs = []
            for audio in (estimate, target):
                power = power_spectrum(audio, window) / window.square().sum()
                logs.append((F.avg_pool1d(filters @ power, min(frames, power.shape[-1])) + 1e-6).log())
            total = total + weight * (logs[0] - logs[1]).abs().mean()
        return total


class TextureModule(ExportsModel):
    """Trains the texture network of a codec; a batch is audio `[B, 1, N]` or a dict with key "audio".

    Args:
        init_from: the codec, by bundled name, folder or hub id; if it has a network, that goes on.
        blocks, width: of a new network, see TextureNetwork.
        listener: its features are compared too: a network from audio `[B, N]` to a list of tensors, such as
            `soundloom.evaluation.classifier.ClassifierFeatures`; None: nobody.
        adversary: how much discriminators and listener count.
        mel: weight of PooledMelLoss.
        codebooks: numbers of codebooks of which each batch is given one at random; none: all.
        optimizer, discriminator_optimizer: make the optimisers.
        gradient_clip: maximal norm of both gradients.
        export_to: folder for the codec with its new network when training ends.

    Raises:
        ValueError: a codec without spectral transform, or numbers of codebooks that it does not have.
    """

    def __init__(
        self,
        init_from: str | SEANetCodec,
        *,
        blocks: int = 8,
        width: int = 384,
        listener: nn.Module | None = None,
        adversary: AdversarySettings = ADVERSARY,
        mel: float = 2.0,
        codebooks: tuple[int, ...] = (),
        optimizer: OptimizerCallable = adam,
        discriminator_optimizer: OptimizerCallable = discriminator_adam,
        gradient_clip: float = 20.0,
        export_to: str | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        codec = codec_to_train(init_from, SEANetCodec) if isinstance(init_from, str) else init_from
        self.codec = with_texture(codec, blocks, width)
        self.codec.requires_grad_(False)
        self.texture.requires_grad_(True)
        most = self.codec.num_codebooks
        if not all(1 <= count <= most for count in codebooks):
            raise ValueError(f"codebooks is {list(codebooks)}; the codec has 1 to {most}")
        self.codebooks, self.mel = tuple(codebooks), mel
        self.adversary = Adversary(adversary, self.codec.sample_rate, listener)
        # Functions: weight averaging copies the module, and what a recipe makes of a class_path has no copy.
        self.optimizer = lambda parameters: optimizer(parameters)
        self.discriminator_optimizer = lambda parameters: discriminator_optimizer(parameters)
        self.mel_loss = PooledMelLoss(self.codec.sample_rate)
        self.gradient_clip = gradient_clip
        self.export_to = export_to
        self.steps_taken = 0

    @property
    def spectral(self) -> SpectralTransform:
        assert self.codec.spectral is not None
        return self.codec.spectral

    @property
    def texture(self) -> TextureNetwork:
        assert self.spectral.texture is not None
        return self.spectral.texture

    def train(self, mode: bool = True) -> Self:
        """Set training mode; what is only asked stays as it is."""
        super().train(mode)
        self.codec.eval()
        return self

    def training_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        real = self._audio(batch)[:, 0]
        made = self.with_network(*self.plain(real[:, None], self._drawn_codebooks()))
        optimizers: Any = self.optimizers()
        judged = self.adversary.judgement(real, made)
        take_step(self, optimizers[1], judged, self.gradient_clip)
        losses = {"mel": (self.mel, self.mel_loss(made, real))}
        losses |= self.adversary.losses(real, made, self.steps_taken)
        take_step(self, optimizers[0], weighted_sum(list(losses.values())), self.gradient_clip)
        self.steps_taken += 1
        self.log_dict({f"train/{name}": loss for name, (_, loss) in losses.items()}, prog_bar=True)
        self.log("train/discriminator", judged)

    def _drawn_codebooks(self) -> int:
        choices = self.codebooks or (self.codec.num_codebooks,)
        return choices[int(torch.randint(len(choices), ()))]

    @torch.no_grad()
    def plain(self, audio: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """What the codec makes of sounds `[B, 1, N]` without the network, `[B, N]`, and of which latents."""
        latent = self.codec.quantizer.decode(self.codec.encode(audio)[:, :codebooks])
        return self.codec.decode_latent(latent, texture=False)[:, 0, : audio.shape[-1]].float(), latent

    def with_network(self, plain: Tensor, latent: Tensor) -> Tensor:
        """Sounds `[B, N]`, made of latents `[B, L, T]`, with texture: `[B, N]`."""
        with torch.autocast(plain.device.type, enabled=False):
            spectrum = self.spectral.spectrum(plain[:, None])
        held = latent.repeat_interleave(self.codec.settings.hop, dim=-1)[..., : spectrum.shape[-1]]
        changed = self.texture(spectrum, held)
        with torch.autocast(plain.device.type, enabled=False):
            return self.spectral.spectrum.inverse(changed)[:, : plain.shape[-1]]

    def validation_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        real = self._audio(batch)[:, 0]
        plain, latent = self.plain(real[:, None], self.codec.num_codebooks)
        for name, made in (("", self.with_network(plain, latent)), ("_without", plain)):
            figures = {f"val/mel{name}": self.mel_loss(made, real)}
            if self.adversary.listener is not None:
                figures[f"val/listener{name}"] = self.adversary.heard_distance(real, made)
            self.log_dict(figures, prog_bar=not name, batch_size=len(real))

    def audio_format(self) -> AudioFormat:
        """At least a second, of which every discriminator sees many patches."""
        return AudioFormat("the codec", self.codec.sample_rate, (1,), self.codec.sample_rate)

    @torch.no_grad()
    def examples(self, batch: Tensor | dict[str, Tensor], *, seed: int = 0) -> list[Example]:
        """Sounds, and what comes back from their codes without and with the network."""
        audio = self._audio(batch).float()
        plain, latent = self.plain(audio, self.codec.num_codebooks)
        made = self.with_network(plain, latent)
        rate = self.codec.sample_rate
        return [
            Example({"original": original, "decoded_without": without[None], "decoded": one[None]}, rate)
            for original, without, one in zip(audio, plain, made, strict=True)
        ]

    def usage(self, folder: str) -> list[str]:
        """Compress a sound, and hear it."""
        return codec_usage(folder)

    def _audio(self, batch: Tensor | dict[str, Tensor]) -> Tensor:
        return batch if isinstance(batch, Tensor) else batch["audio"]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            self.optimizer(self.texture.parameters()),
            self.discriminator_optimizer(self.adversary.discriminator.parameters()),
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["steps_taken"] = self.steps_taken

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps_taken = checkpoint["steps_taken"]

    def export_info(self) -> dict[str, Any]:
        """How the codec is built."""
        return {"codec": noted_config(self.codec)}

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint around its codec."""
        codec = SEANetCodec(**checkpoint[EXPORT_KEY]["codec"])
        module = cls(codec)
        module.codec.load_state_dict(part_of(checkpoint["state_dict"], "codec"))
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write a folder for `SEANetCodec.from_pretrained`."""
        stored = copy.deepcopy(self.codec)
        if weights == INT8:
            save_int8(stored, folder, leave_out=AVERAGES)
        else:
            stored.save_pretrained(folder)


def with_texture(codec: SEANetCodec, blocks: int, width: int) -> SEANetCodec:
    """A codec of the same weights that has a texture network: its own, or a new one that changes nothing.

    Raises:
        ValueError: it has no spectral transform.
    """
    if codec.spectral is None:
        raise ValueError(
            "the codec has no spectral transform; a texture network is for those with transform='spectral'"
        )
    if codec.spectral.texture is not None:
        return codec
    changed = SEANetCodec(**asdict(replace(codec.settings, texture_blocks=blocks, texture_width=width)))
    changed.load_state_dict(changed.state_dict() | codec.state_dict())
    return changed.to(codec.device)
