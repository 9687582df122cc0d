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


class AudioTextScorer(ClassifierScorer):
    """Scores a sound by the classes that its prompt names, or else by how near it is to the prompt.

    Where a prompt names classes of the classifier, the score is their probability, as `ClassifierScorer`
    gives it. Where it names none, sound and prompt become unit vectors of one space, as in CLAP (Elizalde et
    al. 2022, arXiv 2206.04769), and the score is their cosine. An empty prompt has none: all its sounds score
    0, and the first candidate stays.

    Of four candidates for each of 245 prompts, 47 of which name no class, this chose sounds that YAMNet heard
    rightly (first / among five) for 11.4 / 29.4 %, the probability alone for 11.4 / 28.6 %, the cosine alone
    for 9.4 / 31.8 %, chance for 9.3 / 26.6 %; sums of both were no better. Such figures move by 2 to 3 points
    from seed to seed.

    Scores choose between sounds of the same prompt. They are no probabilities, and those of different prompts
    can't be compared.

    Args:
        classifier: gives the probabilities; None: the one that ships, "foley-classifier".
        text_encoder: the one with whose states `clap` was trained; None: that of the model that ships.
        clap: a classifier with `caption_vectors`, which makes vectors of sounds (recipes/audio_text.yaml);
            None: `classifier` if it has them, or else the one that ships, "foley-clap".
        threshold: least cosine, -1 to 1, at which a part of a prompt names a class.

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
    ) -> None:
        super().__init__(classifier, text_encoder, threshold=threshold)
        if clap is None:
            both = self.classifier.text_dim > 0
            clap = self.classifier if both else SoundClassifier.from_pretrained(BUNDLED)
        self.clap = clap
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
            Float32 `[B]`, higher is better: probabilities, or cosines of -1 to 1.
        """
        named = self._named(prompts)
        known = torch.tensor([bool(named[prompt]) for prompt in prompts])
        scores = torch.zeros(len(prompts))
        if known.any():
            scores = self._probability(audio, sample_rate, prompts, named)
        return (
            scores
            if known.all()
            else torch.where(known, scores, self.similarity(audio, sample_rate, prompts))
        )

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
