"""One generation from checked request to codes.

Letters: B rows (prompts x samples), K codebooks, P frames of a sound to continue, T frames in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypedDict

from torch import Tensor

from ..core.progress import Progress
from ..core.threads import is_small, one_thread
from .generation import CodeGenerator
from .request import (
    Guidance,
    Prompts,
    Seeds,
    check_count,
    check_guidance,
    list_negatives,
    plan_windows,
    row_seeds,
    spread_codes,
)
from .sampling import Sampler, check_sampling

if TYPE_CHECKING:
    from .pipeline import AudioGen


class CodeSettings(TypedDict, total=False):
    """Keyword arguments that become `Options`; see `AudioGen.generate` for each."""

    top_k: int | None
    top_p: float
    seed: Seeds
    num_samples: int
    negative_prompt: Prompts | None
    cancel: Callable[[], bool] | None
    extend_stride: float | None
    reference_padding: bool
    progress: Progress | None


class Settings(CodeSettings, total=False):
    """All keyword arguments that become `Options`."""

    guidance_scale: Guidance | None
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to generate; see `AudioGen.generate` for each. None stands for the model's own value."""

    guidance_scale: Guidance | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 0.0
    seed: Seeds = None
    num_samples: int = 1
    negative_prompt: Prompts | None = None
    cancel: Callable[[], bool] | None = None
    extend_stride: float | None = None
    reference_padding: bool = False
    progress: Progress | None = None


@dataclass(kw_only=True)
class Job:
    """A generation that is ready to run.

    Attributes:
        generator: holds the cache; closed at the end.
        sampler: draws the codes.
        codes: int64 `[B, K, T]`, filled on the way.
        given: P, frames of `codes` that are there from the start.
        stride: frames from window to window.
        seeds, prompts: one for each row.
        progress: called after every step.
    """

    generator: CodeGenerator
    sampler: Sampler
    codes: Tensor
    given: int
    stride: int
    seeds: list[int]
    prompts: list[str]
    progress: Progress | None

    @classmethod
    def start(
        cls, model: AudioGen, texts: list[str], frames: int, prompt: Tensor | None, options: Options
    ) -> Self:
        """Check the options, encode the texts and claim the memory.

        Args:
            model: what generates.
            texts: checked prompts.
            frames: T, checked.
            prompt: int64 `[1, K, P]`, or one for each text, to continue; None for nothing.
            options: as the user gave them.

        Raises:
            TypeError, ValueError: an option is of a wrong type or out of range; the message names it.
        """
        rate, size = model.codec.frame_rate, model.lm.codebook_size
        samples = check_count("num_samples", options.num_samples)
        negatives = list_negatives(options.negative_prompt, len(texts))
        guidance = model.guidance_scale if options.guidance_scale is None else options.guidance_scale
        schedule = check_guidance(guidance, negative=bool(negatives))
        top_k = min(model.top_k, size) if options.top_k is None else options.top_k
        check_sampling(options.temperature, top_k, options.top_p, size)
        seeds = row_seeds(options.seed, len(texts), samples)
        stride_seconds = model.extend_stride if options.extend_stride is None else options.extend_stride
        max_frames, stride = plan_windows(frames, rate, model.max_seconds, stride_seconds)
        if prompt is not None:
            prompt = spread_codes(prompt.to(model.device), len(texts), samples, frames, rate)

        # One batch, so that prompts and negative prompts are padded to one length.
        with one_thread(is_small(model.lm, rows=len(texts) + len(negatives))):  # its encoder is small, too
            encoded = model.text_encoder([*texts, *negatives]).repeat(samples)
        rows = len(texts) * samples
        generator = CodeGenerator(
            model.lm,
            encoded.rows(0, rows),
            max_frames=max_frames,
            guidance_scale=schedule,
            negative=encoded.rows(rows, 2 * rows) if negatives else None,
            attend_padding=options.reference_padding,
            cancel=options.cancel,
        )
        codes, given = generator.room(frames, prompt)
        return cls(
            generator=generator,
            sampler=Sampler(
                seeds=seeds,
                num_codebooks=model.lm.num_codebooks,
                temperature=options.temperature,
                top_k=top_k,
                top_p=options.top_p,
            ),
            codes=codes,
            given=given,
            stride=stride,
            seeds=seeds,
            prompts=[text for text in texts for _ in range(samples)],
            progress=options.progress,
        )

    def steps(self) -> Iterator[int]:
        """Fill `codes`; the number of complete frames after every step."""
        total = self.codes.shape[-1] - self.given
        for done in self.generator.extend(self.codes, self.given, self.stride, self.sampler):
            if self.progress is not None:
                self.progress(done - self.given, total)
            yield done

    def run(self) -> Tensor:
        """All codes `[B, K, T]`; the cache's memory is given back, whatever happens."""
        with closing(self.generator):
            for _ in self.steps():
                pass
        return self.codes
