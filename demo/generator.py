"""What the demo asks of a model, so that tests can put another one in its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from ..gen.generated_audio import GeneratedAudio


class LanguageModel(Protocol):
    """What the demo reads off a language model."""

    @property
    def codebook_size(self) -> int: ...


class GeneratorCodec(Protocol):
    """What the demo reads off a generator's codec."""

    @property
    def sample_rate(self) -> int: ...


class Generator(Protocol):
    """What the demo asks of a model: `soundloom.gen.pipeline.AudioGen` is one."""

    guidance_scale: float
    top_k: int

    @property
    def lm(self) -> LanguageModel: ...

    @property
    def codec(self) -> GeneratorCodec: ...

    def count_samples(self, duration: float) -> int:
        """Samples of a sound of so many seconds."""

    def generate(self, *args: Any, **options: Any) -> GeneratedAudio:
        """Return one sound for one prompt."""

    def stream(self, *args: Any, **options: Any) -> Iterator[GeneratedAudio]:
        """Yield the same sound in chunks, while it is being made."""
