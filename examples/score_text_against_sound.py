"""How well do sounds fit their prompts? Score them, and let the score choose the best of several.

    python examples/score_text_against_sound.py

Works offline with the models that ship; takes some seconds on one CPU core.
"""

import torch
from torch import Tensor

from soundloom import AudioGen, AudioTextScorer


def loudest(audio: Tensor, sample_rate: int, prompts: list[str]) -> Tensor:
    """A scorer of your own: any function of audio `[B, C, N]`, rate and prompts that gives B numbers."""
    return audio.square().mean(dim=(1, 2))


def main() -> None:
    """Score sounds against prompts that they were made for, and others."""
    audiogen = AudioGen.from_pretrained()
    prompts = ["heavy rain", "a siren", "an owl hoots"]
    audio = audiogen.generate(prompts, duration=2.0, seed=5)

    # The score is how near a sound is to a prompt, and how probable to a classifier are the classes that the
    # prompt names. Every prompt beside every sound: compare the sounds of one prompt, a column.
    scorer = AudioTextScorer()
    for prompt in prompts:
        print(f"{prompt!r} names the class {', '.join(scorer.classes_of(prompt))}")
    table = torch.stack(
        [scorer(audio.samples, audio.sample_rate, [prompt] * len(prompts)) for prompt in prompts], dim=1
    )  # [sounds, prompts]
    for row, prompt in zip(table.tolist(), prompts, strict=True):
        print(f"made for {prompt!r}: " + "  ".join(f"{score:.2f}" for score in row))

    # A scorer chooses among candidates. The seed that comes back makes the winner again, alone.
    best = audiogen.generate("a siren", duration=1.0, seed=1, candidates=4, rerank=scorer)
    assert best.scores is not None
    print(f"best of 4: score {best.scores[0]:.2f}, seed {best.seeds[0]}")
    loud = audiogen.generate("a siren", duration=1.0, seed=1, candidates=4, rerank=loudest)
    print(f"loudest of 4: seed {loud.seeds[0]}")


if __name__ == "__main__":
    main()
