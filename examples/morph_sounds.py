"""Turn one sound into another, exchange embeddings, average, and compare sounds by their features.

    python examples/morph_sounds.py [FOLDER]

Works offline with the Music2Latent2 that ships; takes a few seconds on one CPU core. Files go to FOLDER
(outputs/).
"""

import math
import sys
from pathlib import Path

import torch

from soundloom import write_audio
from soundloom.codecs import Music2Latent2
from soundloom.codecs.music2latent2.latent_arithmetic import average, interpolate, swap


def hum(seconds: float, sample_rate: int, pitch: float = 110.0) -> torch.Tensor:
    """A hum of eight harmonics, `[1, 1, N]`."""
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    partials = [(2 * math.pi * pitch * k * time).sin() / k for k in range(1, 9)]
    return 0.2 * torch.stack(partials).sum(0)[None, None]


def surf(seconds: float, sample_rate: int) -> torch.Tensor:
    """Noise that swells twice, `[1, 1, N]`."""
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return (0.15 * (1 - (2 * math.pi * time / seconds * 2).cos()) * noise)[None, None]


def main(folder: Path) -> None:
    """Write what lies between a hum and a surf."""
    folder.mkdir(parents=True, exist_ok=True)
    model = Music2Latent2.from_pretrained()  # "music2latent2", which ships
    rate = model.sample_rate
    sounds = [hum(3.0, rate), surf(3.0, rate)]
    samples = sounds[0].shape[-1]
    a, b = (model.encode(sound, discrete=False) for sound in sounds)  # [1, T, S, D] each, in -1 to 1
    print(f"latents {list(a.shape)}: T chunks of S summary embeddings of D values")

    # Halfway between the two, and from the one to the other while time passes.
    chunks = a.shape[1]
    made = {
        "half": interpolate(a, b, 0.5),
        "morph": interpolate(a, b, torch.linspace(0, 1, chunks)),
        "mean": average([a, b], weights=[3, 1]),
    }
    # The second half of the embeddings of every chunk comes from the other sound.
    made["swap"], _ = swap(a, b, range(4, 8))
    for name, latents in made.items():
        audio = model.decode(latents, samples)  # [1, 1, N]
        write_audio(folder / f"{name}.wav", audio[0], rate, force=True)

    # Features are what the encoder knows before the bottleneck; sounds of a kind lie near each other.
    known = [hum(3.0, rate), hum(3.0, rate, pitch=130.0), surf(3.0, rate)]
    vectors = torch.stack([model.features(sound)[0].mean(0).flatten() for sound in known])  # [3, S * W]
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(0), dim=-1)
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    print(f"a hum is like another hum ({near:.2f}), and unlike the surf ({far:.2f})")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"))
