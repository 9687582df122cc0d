"""What a language model in training makes for captions, as sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...core.example import Example
from ..generation import CodeGenerator
from ..model.lm import AudioLM
from ..sampling import Sampler
from ..settings import GenerationSettings
from ..text.encoder import TextStates
from ..text_to_codes import DEFAULT_TOP_K


def generate_codes(lm: AudioLM, text: TextStates, frames: int, *, seed: int = 0) -> Tensor:
    """Codes `[B, K, frames]` generated for encoded prompts, guidance 3; the same for the same seed."""
    generator = CodeGenerator(lm, text, max_frames=frames)
    sampler = Sampler(
        GenerationSettings(top_k=min(DEFAULT_TOP_K, lm.codebook_size)),
        seeds=[seed * 1_000_003 + row for row in range(generator.batch)],
        num_codebooks=lm.num_codebooks,
        codebook_size=lm.codebook_size,
    )
    return generator.generate(frames, sampler)


def decoded_examples(codec: Any, prompts: Sequence[str], codes: Mapping[str, Tensor]) -> list[Example]:
    """Sounds of codes int64 `[B, K, T]` by name, one example a prompt."""
    sounds = {name: codec.decode(part).float() for name, part in codes.items()}  # each [B, C, N]
    return [
        Example({name: sound[row] for name, sound in sounds.items()}, codec.sample_rate, {"text": prompt})
        for row, prompt in enumerate(prompts)
    ]
