"""What training of AudioLM is given, and what it lowers: the cross entropy of every codebook.

Letters: B items, K codebooks, T frames, V codes a codebook, L text positions, D text width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F

from ...codecs.base import Codec
from ..model.lm import AudioLM
from ..text.encoder import TextStates


@dataclass(frozen=True)
class Objective:
    """What a language model is trained for.

    Args:
        caption_dropout: chance that an item is trained without its caption.
        codebook_weights: relative weights of the K codebooks in the loss that is trained on, such as
            [1, 0.25, 0.1, 0.06]; None: all count alike, as in AudioGen. What is logged as loss stays the
            plain mean, so that runs with other weights compare.
        infill_share: chance that an item is trained with a gap to fill (see infilling.py); wants a model
            whose `infill_frames` is not 0. What is logged for validation stays that of items without a gap;
            that of items with one is "infill_loss".

    Raises:
        ValueError: a chance outside 0 to 1.
    """

    caption_dropout: float = 0.1
    codebook_weights: list[float] | None = None
    infill_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("caption_dropout", "infill_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed are 0 to 1")


class CodeBatch(TypedDict, total=False):
    """What the data module gives: captions, and codes or the sound that the module's codec makes them of.

    Keys:
        prompts: B captions, empty where there is none.
        codes: int64 `[B, K, T]`.
        lengths: int64 `[B]`, frames of each item that are not padding.
        audio: float32 `[B, C, N]`, instead of codes, at the codec's sample rate.
        audio_lengths: int64 `[B]`, samples of each item that are not padding.
        text_states: `[B, L, D]`, captions that were encoded in advance by the (frozen) text encoder.
        text_mask: bool `[B, L]`, true for their real tokens.
    """

    prompts: list[str]
    codes: Tensor
    lengths: Tensor
    audio: Tensor
    audio_lengths: Tensor
    text_states: Tensor
    text_mask: Tensor


def batch_codes(batch: CodeBatch, codec: Codec | None, num_codebooks: int) -> tuple[Tensor, Tensor | None]:
    """The codes of a batch, int64 `[B, K, T]`, and how many frames of each are no padding: `[B]` or None.

    Args:
        batch: with "codes" or "audio".
        codec: for sound: frozen, on the device of the batch.
        num_codebooks: K, the first ones of those that there are.

    Raises:
        ValueError: the batch holds sound, and there is no codec.
    """
    if "codes" in batch:
        return batch["codes"][:, :num_codebooks], batch.get("lengths")
    if codec is None:
        raise ValueError(
            "the data brings sound, but codec is not set; set model.codec to the codec that turns it "
            "into codes, or encode the data in advance: soundloom prepare FOLDER -o OUT --codec NAME"
        )
    # In full precision, as `soundloom prepare` encodes: rounding would choose other codes.
    audio = batch["audio"]
    with torch.no_grad(), torch.autocast(audio.device.type, enabled=False):
        codes = codec.encode(audio.float())[:, :num_codebooks]
    samples = batch.get("audio_lengths")
    if samples is None:
        return codes, None
    # Counted in Python: float32 is too coarse for long sounds, and not every device has float64.
    ratio = codec.frame_rate / codec.sample_rate
    frames = [math.ceil(length * ratio - 1e-6) for length in samples.tolist()]
    return codes, torch.tensor(frames, device=codes.device).clamp_max(codes.shape[-1])


def drop_captions(prompts: Sequence[str], chance: float) -> list[str]:
    """Replace each prompt by none with a chance, item by item, drawn from torch's generator.

    AudioGen draws once for the whole batch. Drawing for each item trains the same two models with the same
    shares, but every batch then holds both, so the gradient of the rare one is less noisy; at the small
    batches used here a whole batch without captions is a step that forgets them.
    """
    kept = torch.rand(len(prompts)) >= chance
    return [prompt if keep else "" for prompt, keep in zip(prompts, kept.tolist(), strict=True)]


def encoded_captions(states: Tensor, mask: Tensor, prompts: Sequence[str]) -> TextStates:
    """Text states that the data brings, but none where the prompt is empty now.

    Args:
        states: `[B, L, D]`.
        mask: bool `[B, L]`, true for real tokens.
        prompts: B captions, of which some were left out after they were encoded.
    """
    said = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=states.device)  # [B]
    mask = mask & said[:, None]
    return TextStates(states.float().masked_fill(~mask.unsqueeze(-1), 0.0), mask)


def summed_entropies(
    lm: AudioLM, codes: Tensor, lengths: Tensor | None, text: TextStates
) -> tuple[Tensor, Tensor]:
    """Cross entropy in nats of each codebook, summed over the codes that are predicted, and their number.

    Padding takes no part: neither its own codes nor the last ones of late codebooks, which the model
    predicts with padding in sight (see `CodePattern.predicted`), so an item's loss is what it would be
    alone.

    Args:
        lm: the language model.
        codes: int64 `[B, K, T]`.
        lengths: int64 `[B]`, frames of each item that are not padding; None: all.
        text: of the B captions.

    Returns:
        Float32 `[K]` twice.
    """
    output = lm(codes, text.states, text.mask)
    # Which codes count: those that the pattern predicts, and of padded items those that they have alone.
    mask = output.mask
    if lengths is not None:
        mask = mask & lm.pattern.predicted(lengths.to(codes.device), codes.shape[-1])
    # [B, K, T, V] -> [B * K * T, V], against as many codes.
    losses = F.cross_entropy(output.logits.flatten(0, 2).float(), codes.flatten(), reduction="none")
    losses = losses.view(codes.shape).masked_fill(~mask, 0.0)
    # Over items and frames: what is left is one number for each codebook.
    return losses.sum(dim=(0, 2)), mask.sum(dim=(0, 2)).float()


def share_weights(weights: Sequence[float] | None, num_codebooks: int) -> list[float] | None:
    """The codebooks' relative weights as shares of the loss, which sum to 1; None where all count alike.

    Raises:
        ValueError: not one weight for each codebook, or weights that are negative, not finite, or all 0.
    """
    if weights is None:
        return None
    shown = f"codebook_weights is {list(weights)}"
    if len(weights) != num_codebooks:
        raise ValueError(f"{shown}; give one number for each of the model's {num_codebooks} codebooks")
    total = sum(weights)
    if not all(0.0 <= weight < math.inf for weight in weights) or not 0.0 < total < math.inf:
        raise ValueError(f"{shown}; every weight must be a number of 0 or more, and one of them above 0")
    return [weight / total for weight in weights]


def mean_entropy(entropies: Tensor, shares: Sequence[float] | None) -> Tensor:
    """The mean of `[K]` under `share_weights`, or the plain one: a scalar."""
    if shares is None:
        return entropies.mean()
    return (entropies * entropies.new_tensor(shares)).sum()  # a dot product would be rounded under autocast


def mean_of_processes(trainer: lightning.Trainer | None, values: Tensor) -> Tensor:
    """The mean over all processes while they train together, so that each item counts alike.

    Gradients are averaged over processes. One whose items are short would otherwise weigh each of its codes
    more, and the result would depend on how items are dealt out.
    """
    if trainer is None or not trainer.training or trainer.world_size == 1:
        return values
    return trainer.strategy.reduce(values, reduce_op="mean")
