"""Score candidates by how near they sound to their prompt, beside what a sound classifier hears in them.

Letters: B sounds, C channels, N samples, D width of the text encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..gen.text.embedded import EmbeddedTextEncoder
from .classifier import SoundClassifier
from .scorer import ClassifierScorer, sound_for

BUNDLED = "foley-clap"
SIMILARITY_WEIGHT = 20.0  # what a cosine counts beside the logarithm of a probability
LEAST_PROBABILITY = 1e-3  # below it, it makes no difference how unlikely a class is


class AudioTextScorer(ClassifierScorer):
    """Scores a sound by how near it is to the prompt, and by the classes that the prompt names.

    Sound and prompt become unit vectors of one space, as in CLAP (Elizalde et al. 2022, arXiv 2206.04769);
    their cosine tells how near they are. It is added to the logarithm of what `ClassifierScorer` gives:

        log(probability + 0.001) + weight * cosine

    Prompts that name no class of the classifier are scored by the cosine alone, so that it chooses for them
    too. An empty prompt has no cosine either: all its sounds score 0, and the first candidate stays.

    Scores choose between sounds of the same prompt. They are no probabilities, and those of different prompts
    can't be compared.

    Args:
        classifier: gives the probabilities; None: the one that ships, "foley-classifier".
        text_encoder: the one with whose states `clap` was trained; None: that of the model that ships.
        clap: a classifier with `caption_vectors`, which makes vectors of sounds (recipes/audio_text.yaml);
            None: the one that ships, "foley-clap".
        threshold: least cosine, -1 to 1, at which a part of a prompt names a class.
        weight: what the cosine counts.

    Raises:
        ValueError: `clap` was trained without captions, or with a text encoder of another width.
    """

    def __init__(
        self,
        classifier: SoundClassifier | None = None,
        text_encoder: EmbeddedTextEncoder | None = None,
        clap: SoundClassifier | None = None,
        *,
        threshold: float = 0.3,
        weight: float = SIMILARITY_WEIGHT,
    ) -> None:
        super().__init__(classifier, text_encoder, threshold=threshold)
        self.clap = SoundClassifier.from_pretrained(BUNDLED) if clap is None else clap
        self.weight = weight
        if self.clap.text_dim != self.text_encoder.dim:
            raise ValueError(
                f"clap gives vectors of {self.clap.text_dim} numbers, but the text encoder of "
                f"{self.text_encoder.dim}; give the two that were trained together, such as {BUNDLED} and "
                "the text encoder of foley"
            )

    @torch.inference_mode()
    def __call__(self, audio: Tensor, sample_rate: int, prompts: list[str]) -> Tensor:
        """Score sounds.

        Args:
            audio: float `[B, C, N]`.
            sample_rate: Hz.
            prompts: B of them.

        Returns:
            Float32 `[B]`, higher is better; from log(0.001) - weight to weight.
        """
        named = self._named(prompts)
        probability = self._probability(audio, sample_rate, prompts, named)
        known = torch.tensor([bool(named[prompt]) for prompt in prompts])
        heard = torch.where(known, (probability + LEAST_PROBABILITY).log(), 0.0)
        return heard + self.weight * self.similarity(audio, sample_rate, prompts)

    @torch.inference_mode()
    def similarity(self, audio: Tensor, sample_rate: int, prompts: list[str]) -> Tensor:
        """How near sounds are to their prompts; arguments as for a call.

        Returns:
            Float32 `[B]`, cosines; 0 for an empty prompt.
        """
        heard = self.clap.features(sound_for(self.clap, audio, sample_rate))
        different = list(dict.fromkeys(prompts))
        wanted = self.clap.prompt_vectors(self.text_encoder(different))  # [prompts, D]
        rows = [different.index(prompt) for prompt in prompts]
        return (self.clap.caption_vectors(heard) * wanted[rows]).sum(dim=1).cpu()
