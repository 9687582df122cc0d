"""Loops: sounds whose end runs into their beginning.

The last part of a sound is a gap between what is before it and the beginning, and is filled as any gap.

Letters: B rows, K codebooks, T frames, N samples.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...codecs.base import Codec
from ...core.errors import ArgumentError
from ...core.progress import Progress
from ..decoding import decode_codes
from ..generated_audio import GeneratedAudio
from ..generation import Cancel
from ..settings import GenerationSettings
from ..text_to_codes import TextToCodes
from .fill_gap import SEAM, Filling, longest_gap, part_seed

SEAM_SECONDS = 1.0  # that are filled anew, at most a third of the sound
LEAST_FRAMES = 3
BLEND_SECONDS = 0.01


def plan_seam(model: TextToCodes, frames: int, known: Tensor | None) -> int:
    """Frames at the end of a sound that are filled anew so that it runs into its beginning.

    Args:
        model: fills them.
        frames: T.
        known: codes `[B, K, P]` at the beginning that must stay; None: there are none.

    Raises:
        ArgumentError: the sound is too short, or too much of it must stay.
    """
    rate, stays = model.codec.frame_rate, 0 if known is None else known.shape[-1]
    if frames < LEAST_FRAMES:
        raise ArgumentError(
            f"duration is {frames / rate:g} s; a loop needs at least {LEAST_FRAMES} frames of the codec, "
            f"{LEAST_FRAMES / rate:g} s"
        )
    seam = max(1, min(round(min(SEAM_SECONDS, longest_gap(model)) * rate), frames // 3))
    if stays > frames - seam:
        raise ArgumentError(
            f"the sound to continue takes {stays / rate:.2f} s of {frames / rate:.2f} s, but the last "
            f"{seam / rate:.2f} s of a loop are made so that they lead to its beginning; ask for a longer "
            "duration, or cut the sound"
        )
    return seam


def close_loop(
    sound: GeneratedAudio,
    seam: int,
    model: TextToCodes,
    settings: GenerationSettings,
    *,
    text: str | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> GeneratedAudio:
    """Let the end of sounds run into their beginnings.

    Args:
        sound: as it was generated; all its codes but those of the seam stay.
        seam: frames at the end that are filled, see `plan_seam`.
        model: fills them.
        settings: that the sound was generated with.
        text: what is to be heard there; None: each row's own prompt.
        progress: called with the frames of the seam that are done and to do.
        cancel: see `AudioGen.generate`.
    """
    rows, frames = len(sound.seeds), sound.codes.shape[-1]
    texts = sound.prompts if text is None else [text] * rows
    # Negative prompts belong to prompts, here every row has its own.
    negatives = settings.negatives()
    each = rows // len(negatives) if len(negatives) > 1 else rows
    settings = replace(settings, negative_prompt=[one for one in negatives for _ in range(each)] or None)
    filling = Filling(model, model.fill_settings(settings), progress, cancel, change=False)
    # Turn the sound until its seam is in the middle, fill that, and turn it back.
    first = (frames - seam) // 2
    turn = first - (frames - seam)
    codes = sound.codes.roll(turn, dims=-1)
    filling.fill(codes, first, first + seam, texts, [part_seed(seed, SEAM) for seed in sound.seeds])
    codes = codes.roll(-turn, dims=-1)
    return replace(sound, samples=decode_loop(model.codec, codes), codes=codes, loop=True)


def decode_loop(codec: Codec, codes: Tensor) -> Tensor:
    """Decode codes `[B, K, T]` as if they were repeated for ever: float32 `[B, C, N]` on the CPU, limited."""
    frames, warm_up = codes.shape[-1], max(1, codec.warm_up_frames)
    # What a decoder hears before the first frame is the end, and after the last one the beginning.
    around = torch.arange(-warm_up, frames + warm_up) % frames
    decoded = decode_codes(codec, codes[:, :, around.to(codes.device)])
    first, length = (round(count * codec.sample_rate / codec.frame_rate) for count in (warm_up, frames))
    samples = decoded[..., first : first + length].clone()
    # A decoder that remembers without end comes back a little different: go on with what it made of the end.
    blend = min(math.ceil(BLEND_SECONDS * codec.sample_rate), length, decoded.shape[-1] - first - length)
    goes_on = decoded[..., first + length : first + length + blend]
    samples[..., :blend] = torch.lerp(goes_on, samples[..., :blend], torch.arange(blend) / blend)
    return samples
