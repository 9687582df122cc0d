"""What an AudioGen does with a sound that is there: fill regions of it anew, loop, extend and vary it.

Letters: C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...core.progress import Progress
from ..continuation import AudioSource
from ..generated_audio import GeneratedAudio
from ..generation import Cancel
from ..rerank import Scorer
from ..settings import GenerationSettings
from ..text.check_prompts import Prompts
from ..text_to_codes import TextToCodes
from .close_loop import SEAM_SECONDS
from .extend_sound import extend_sound
from .inpaint import inpaint
from .loop_sound import loop_sound
from .regions import Span
from .vary import vary


class SoundEditor(TextToCodes):
    """The part of `AudioGen` that edits sounds; what it is made of, see there."""

    def inpaint(
        self,
        audio: AudioSource,
        regions: Sequence[Span],
        prompt: Prompts = "",
        settings: GenerationSettings | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        rerank: Scorer | None = None,
        **overrides: Any,
    ) -> GeneratedAudio:
        """Fill regions of a sound anew: they go on from what is before and arrive at what is after.

        Outside of the regions the samples are those that were given, exactly, at their own sample rate and
        with their channels. Inside is what the model makes, with the level and the balance of channels of
        what is around it. A model without training for gaps (`infill_frames` 0) continues what is before
        eight times, and what meets the other side best is taken.

        Args:
            audio: one sound: a path, an Audio, or samples `[N]`, `[C, N]` or `[1, C, N]` and their rate.
            regions: start and end of each in seconds, such as `[(1.2, 2.0)]`, None for the sound's own; they
                may touch, but not overlap, and each leaves a fifth of the model's window to what is around.
            prompt: what is to be heard in all regions, or a list with one for each.
            settings, progress, cancel, rerank, overrides: as for `generate`, but without a duration and a
                loop; a scorer hears the regions.

        Returns:
            `[num_samples, C, N]` with the codes `[num_samples, K, T]` that the whole would have.

        Raises:
            TypeError, ValueError: as `generate`, or a region that cannot be filled; the message names it.
            OSError, AudioError: the sound cannot be read, is silent, or shorter than a frame of the codec.
            GenerationCancelled: `cancel` said so.
        """
        chosen = GenerationSettings.of_edit(settings, overrides)
        chosen.check_scorer(rerank)
        with torch.inference_mode():
            found = inpaint(
                self, audio, regions, prompt, chosen, progress=progress, cancel=cancel, rerank=rerank
            )
        return found.ordinary()

    def variation(
        self,
        audio: AudioSource,
        strength: float = 0.3,
        prompt: str | None = None,
        settings: GenerationSettings | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        rerank: Scorer | None = None,
        **overrides: Any,
    ) -> GeneratedAudio:
        """Draw a share of a sound's codes again: the finest codebooks first, with more strength coarser ones.

        Args:
            audio: as for `inpaint`.
            strength: the share, 0 (the codec's copy of the sound) to 1 (nothing is left but the length).
            prompt: what the new codes are to be; None: the codes that stay say what it is.
            settings, progress, cancel, rerank, overrides: as for `inpaint`; a scorer hears the whole.

        Returns:
            `[num_samples, C, N]`, as long, at the rate and with the channels of what was given.

        Raises:
            TypeError, ValueError, OSError, AudioError, GenerationCancelled: as `inpaint`.
        """
        chosen = GenerationSettings.of_edit(settings, overrides)
        chosen.check_scorer(rerank)
        with torch.inference_mode():
            found = vary(
                self, audio, strength, prompt or "", chosen, progress=progress, cancel=cancel, rerank=rerank
            )
        return found.ordinary()

    def loop(
        self,
        audio: AudioSource,
        seconds: float = SEAM_SECONDS,
        prompt: str = "",
        settings: GenerationSettings | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        rerank: Scorer | None = None,
        **overrides: Any,
    ) -> GeneratedAudio:
        """Make a loop of a sound: its end is filled anew so that it runs into the beginning.

        All samples before that are those that were given, exactly. A .wav file of it gets loop points.

        Args:
            audio: as for `inpaint`, at least three frames of the codec.
            seconds: of the end that are filled; at most a third of the sound, and what `inpaint` can fill.
            prompt: what is to be heard there.
            settings, progress, cancel, rerank, overrides: as for `inpaint`.

        Returns:
            `[num_samples, C, N]`, as long, at the rate and with the channels of what was given.

        Raises:
            TypeError, ValueError, OSError, AudioError, GenerationCancelled: as `inpaint`.
        """
        chosen = GenerationSettings.of_edit(settings, overrides)
        chosen.check_scorer(rerank)
        with torch.inference_mode():
            found = loop_sound(
                self, audio, seconds, prompt, chosen, progress=progress, cancel=cancel, rerank=rerank
            )
        return found.ordinary()

    def extend(
        self,
        audio: AudioSource,
        seconds: float,
        prompt: str = "",
        settings: GenerationSettings | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        rerank: Scorer | None = None,
        **overrides: Any,
    ) -> GeneratedAudio:
        """Make a sound longer: all that is there stays, exactly, and what is added goes on from it.

        `generate(continue_from=...)` gives the codec's copy of the sound in place of the sound itself.

        Args:
            audio: as for `inpaint`.
            seconds: to add, at least one frame of the codec.
            prompt: what is to be heard in what is added.
            settings, progress, cancel, rerank, overrides: as for `inpaint`; a scorer hears what is added.

        Returns:
            `[num_samples, C, N + seconds * rate]`, at the rate and with the channels of what was given.

        Raises:
            TypeError, ValueError, OSError, AudioError, GenerationCancelled: as `inpaint`.
        """
        chosen = GenerationSettings.of_edit(settings, overrides)
        chosen.check_scorer(rerank)
        with torch.inference_mode():
            found = extend_sound(
                self, audio, seconds, prompt, chosen, progress=progress, cancel=cancel, rerank=rerank
            )
        return found.ordinary()
