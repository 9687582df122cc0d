"""Variations of a sound: some of its codes are drawn again, the finer ones first.

A residual codec's first codebooks say what a sound is, the later ones how exactly. Drawing the last again
leaves the sound what it is; the more of the first are drawn again, the less is left of it.

Letters: B rows, K codebooks, T frames, N samples.
"""

from __future__ import annotations

from contextlib import closing

import torch
from torch import Tensor

from ...core.progress import Progress
from ..continuation import AudioSource
from ..decoding import decode_codes
from ..generated_audio import GeneratedAudio
from ..generation import Cancel, Sample, plan_windows
from ..origin import Origin
from ..rerank import Scorer
from ..sampling import row_seeds
from ..settings import GenerationSettings, check_number
from ..text_to_codes import TextToCodes
from .sound_to_edit import read_sound_to_edit
from .step_filler import StepFiller


def vary(
    model: TextToCodes,
    audio: AudioSource,
    strength: float,
    prompt: str,
    settings: GenerationSettings,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    rerank: Scorer | None = None,
) -> GeneratedAudio:
    """Variations of a sound; see `AudioGen.variation`."""
    check_number("strength", strength, 0.0, 1.0, "0 is the codec's copy, 1 draws every code again")
    sound = read_sound_to_edit(audio, model)
    settings = model.fill_settings(settings)
    seeds = row_seeds(settings.seed, 1, settings.num_samples * settings.candidates)
    codes = sound.codes.repeat(len(seeds), 1, 1)  # [B, K, T]
    drawn = codes_to_draw(codes, strength, seeds)
    if bool(drawn.any()):
        frames, rate = codes.shape[-1], model.codec.frame_rate
        longest, stride = plan_windows(frames, rate, model.max_seconds, settings.extend_stride)
        generator = model.code_generator(
            StepFiller, [prompt], settings, repeats=len(seeds), max_frames=longest, cancel=cancel
        )
        with closing(generator):
            draw_again(generator, codes, drawn, stride, model.sampler(settings, seeds), progress)
    samples = sound.in_its_form(decode_codes(model.codec, codes), model.codec)
    origin = Origin.of(model, settings, seeds, sound.codes, {"variation": float(strength)})
    found = GeneratedAudio(samples, sound.sample_rate, codes, seeds, [prompt] * len(seeds), origin=origin)
    return found if rerank is None else found.best(rerank, settings.candidates)


def codes_to_draw(codes: Tensor, strength: float, seeds: list[int]) -> Tensor:
    """Which of codes `[B, K, T]` a variation draws again: bool `[B, K, T]`.

    They are `strength` of all codes: whole codebooks from the finest on, and of the next one a share of its
    frames, which are the same ones for a row and a greater strength, and more.
    """
    codebooks, frames = codes.shape[1:]
    shares = (strength * codebooks - torch.arange(codebooks).flip(0)).clamp(0.0, 1.0)  # [K], the finest last
    places = torch.stack(
        [torch.rand(frames, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )  # [B, T]
    return (places[:, None] < shares[:, None]).to(codes.device)


def draw_again(
    generator: StepFiller,
    codes: Tensor,
    drawn: Tensor,
    stride: int,
    sample: Sample,
    progress: Progress | None = None,
) -> None:
    """Draw some of the codes of sounds again, in windows, each of which keeps what the one before it drew.

    Args:
        generator: for the rows.
        codes: int64 `[B, K, T]`, changed in place.
        drawn: bool `[B, K, T]`, which to draw.
        stride: frames from window to window.
        sample: see `CodeGenerator.generate`.
        progress: called with the number of frames done and to do.
    """
    pattern, frames = generator.lm.pattern, codes.shape[-1]
    start = done = 0
    while done < frames:
        end = min(start + generator.max_frames, frames)
        unknown = drawn[:, :, start:end].clone()
        unknown[:, :, : done - start] = False
        window = codes[:, :, start:end].masked_fill(unknown, -1)
        sequence = pattern.build(window, special=generator.lm.special_token)  # [B, K, S]
        first = pattern.first_step_after(done - start)
        newest = [start + max(0, pattern.newest_frame(step)) for step in range(sequence.shape[-1])]
        places = [min(1.0, frame / max(1, frames - 1)) for frame in newest]
        for step in generator.run(sequence, first, sample, places.__getitem__):
            if progress is not None:
                progress(max(done, min(frames, start + pattern.complete_frames(step + 1))), frames)
        codes[:, :, start:end] = pattern.revert(sequence, end - start)
        done, start = end, start + stride
