"""Train a codec on a folder of your own sounds, from Python: data module, module, trainer, exported folder.

    python examples/train_tiny_codec.py [FOLDER [SOUNDS]]

SOUNDS is a folder of sound files of any rate; without it, a few tones are made. The codec is far too small
and trains far too short to be of use: seconds on one CPU core. What a real run takes, and how `lightning fit`
does it from a YAML file, is in docs/training.md. The model goes to FOLDER/tiny-codec (outputs/tiny-codec).
"""

import logging
import math
import sys
import warnings
from functools import partial
from pathlib import Path

import lightning
import torch

from soundloom import load_codec, write_audio
from soundloom.codecs import SEANetCodec
from soundloom.codecs.seanet.module import DiscriminatorSettings, SEANetLosses, SEANetModule
from soundloom.recipes.data import AudioDataModule

SAMPLE_RATE = 8000


def make_sounds(folder: Path) -> Path:
    """Tones that fade, in place of your own sounds."""
    folder.mkdir(parents=True, exist_ok=True)
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    for index in range(24):
        pitch = 200.0 * 2 ** (index / 12)
        tone = 0.5 * (-2.0 * time).exp() * (2 * math.pi * pitch * time).sin()
        write_audio(folder / f"tone_{index:02d}.wav", tone[None], SAMPLE_RATE, force=True)
    return folder


def main(folder: Path, sounds: Path | None = None) -> None:
    """Train for a few steps and use the result."""
    # Of what Lightning says, only warnings; and not that about a name of PyTorch's that it still uses.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec")
    torch.manual_seed(0)
    sounds = make_sounds(folder / "tones") if sounds is None else sounds

    # Crops [B, C, N] of all files, resampled and mixed; every 20th file is kept for validation.
    data = AudioDataModule(
        folders=[str(sounds)],
        sample_rate=SAMPLE_RATE,
        segment_seconds=0.4,
        batch_size=8,
        samples_per_epoch=400,
    )
    # The network is a plain nn.Module; the LightningModule around it has the losses and the optimiser.
    codec = SEANetCodec(
        sample_rate=SAMPLE_RATE,
        num_codebooks=4,
        codebook_size=64,
        dimension=16,
        n_filters=4,
        ratios=(5, 4, 2, 2),  # their product, 80 samples, is a frame: 100 a second
        lstm=0,
        causal=True,
    )
    target = folder / "tiny-codec"
    module = SEANetModule(
        codec,
        optimizer=partial(torch.optim.Adam, lr=3e-3, betas=(0.5, 0.9)),
        losses=SEANetLosses(quantizer_start=15),
        discriminator=DiscriminatorSettings(n_filters=0),  # none
        export_to=str(target),
    )
    trainer = lightning.Trainer(
        max_steps=40,
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    (before,) = trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    (after,) = trainer.validate(module, data, verbose=False)
    print(
        f"distance of mel spectrograms: {before['val/mel']:.2f} before, {after['val/mel']:.2f} after 40 steps"
    )

    # What was exported is a codec like any other: a folder with config.json and safetensors.
    trained = load_codec(target)
    tone = (2 * math.pi * 440 * torch.arange(44100) / 44100).sin()[None]
    compressed = trained.compress(0.5 * tone, 44100)
    print(f"{type(trained).__name__} from {target}: {compressed.bitrate / 1000:.1f} kbit/s")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"), *map(Path, sys.argv[2:3]))
