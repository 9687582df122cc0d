"""What the models that ship make of one fixed sound and two fixed prompts, and the files that remember it.

    python -m tests.golden --hash            one SHA-256 a tensor: two commits on one machine, bit by bit
    python -m tests.golden --write sound     a decoder was changed on purpose
    python -m tests.golden --write numbers   the weights were replaced

`soundloom` must be importable, as it is in the tests.
"""

from __future__ import annotations

import argparse
import hashlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from soundloom import AudioGen, ClassifierScorer
from soundloom.codecs import load_codec
from tests.fixture_paths import FIXTURES

PROMPTS = ["a dog barks", "heavy rain"]
SEED = 7
FOLDER = FIXTURES / "golden"
# numbers: what must stay as long as the weights do. sound: what a better decoder may change.
KINDS = ("numbers", "sound")


def fixed_sound(rate: int = 16000, seconds: float = 0.75) -> Tensor:
    """A sweep, a knock and noise `[1, 1, N]`, on the grid of 16 bits: the same on every machine."""
    time = np.arange(round(rate * seconds)) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (200 * time + 1500 * time**2))
    knock = 0.5 * np.exp(-60 * np.maximum(time - 0.4, 0)) * (time >= 0.4) * np.sin(2 * np.pi * 700 * time)
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(time))
    samples = np.round(np.clip(sweep + knock + noise, -0.9, 0.9) * 2**15) / 2**15
    return torch.from_numpy(samples.astype(np.float32)).view(1, 1, -1)


@torch.inference_mode()
def compute() -> dict[str, dict[str, Tensor]]:
    """Everything that is remembered, by kind and name."""
    audio = fixed_sound()
    seanet, spoken = load_codec("seanet-16khz"), load_codec("seanet-12hz")
    summary = load_codec("music2latent2")
    audiogen = AudioGen.from_pretrained("foley", codec=spoken)
    codes, spoken_codes, latents = seanet.encode(audio), spoken.encode(audio), summary.encode(audio)
    text = audiogen.text_encoder(PROMPTS)
    known = spoken_codes[:, : audiogen.lm.num_codebooks].repeat(2, 1, 1)
    logits = audiogen.lm(known, text.states, text.mask).logits
    made = audiogen.generate(PROMPTS, duration=1.0, seed=SEED)
    numbers = {
        "seanet_codes": codes,
        "seanet_12hz_codes": spoken_codes,
        "music2latent2_latents": latents,
        "foley_text_states": text.states,
        "foley_logits": logits[:, :, ::8, ::32],
        "foley_codes": made.codes,
        "judge_logits": ClassifierScorer().classifier(audio[:, 0]),
    }
    sound = {
        "seanet": seanet.decode(codes, audio.shape[-1]),
        "seanet_12hz": spoken.decode(spoken_codes, audio.shape[-1]),
        "music2latent2": summary.decode(latents, audio.shape[-1]),
        "foley": made.samples[..., ::2],
    }
    return {"numbers": numbers, "sound": sound}


def main() -> None:
    """Print hashes, or write one of the two files."""
    parser = argparse.ArgumentParser(
        description="What the models that ship make of a fixed sound and prompts."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--hash", action="store_true", help="print one SHA-256 a tensor")
    what.add_argument("--write", choices=KINDS, help="remember what the present code makes")
    options = parser.parse_args()
    found = compute()
    if options.write:
        FOLDER.mkdir(exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in found[options.write].items()}
        save_file(tensors, FOLDER / f"{options.write}.safetensors")
        return
    for kind in KINDS:
        for name, tensor in found[kind].items():
            digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]
            print(f"{kind:8} {name:24} {digest} {list(tensor.shape)}")


if __name__ == "__main__":
    main()
