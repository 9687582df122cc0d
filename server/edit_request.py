"""What `POST /v1/audio/edits` takes: a sound as a form's file, and what is to be done to it."""

from __future__ import annotations

import math
from typing import Any

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..core.errors import ArgumentError
from ..core.progress import Progress
from ..core.sound_reader import open_sound
from ..gen.editing.regions import Span
from ..gen.editing.sound_editor import SoundEditor
from ..gen.generated_audio import GeneratedAudio
from ..gen.generation import Cancel
from ..gen.settings import OPTIONS, GenerationSettings, check_number
from .generation_request import FORMATS, MAX_PROMPT, SHOWN, check_prompt_lengths, setting_field

MAX_REGIONS = 16  # of one request
MAX_VALUES = 1 << 25  # samples of all channels of a sound that is sent: 128 MiB as float32
EXAMPLES: list[Any] = [
    {"file": "@street.wav", "regions": "1.2:2.0", "prompt": "a dog barks", "seed": 7},
    {"file": "@bell.wav", "vary": 0.3, "response_format": "flac"},
    {"file": "@rain.wav", "loop": 1},
]


class EditRequest(BaseModel):
    """A sound to be edited: regions of it filled anew, all of it varied, looped, or made longer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": EXAMPLES})

    file: UploadFile = Field(description="the sound: wav, flac, ogg or mp3")
    regions: list[str] = Field(
        [],
        description="a part to fill anew, START:END in seconds, as 1.2:2.0, :0.5 or 3: ; may be sent "
        f"several times, {MAX_REGIONS} at most",
    )
    vary: float | None = Field(
        None,
        description="in place of regions: the share of the codes to draw again, 0 (the codec's copy) to 1",
        json_schema_extra={"minimum": 0, "maximum": 1},
    )
    loop: float | None = Field(
        None,
        description="in place of regions: so many seconds of its end, at most a third, are filled anew so "
        "that it leads to the beginning; a wav gets the points of the loop",
        json_schema_extra={"exclusiveMinimum": 0},
    )
    extend: float | None = Field(
        None,
        description="in place of regions: make it so many seconds longer, and keep what is there",
        json_schema_extra={"exclusiveMinimum": 0},
    )
    prompt: list[str] = Field(
        [],
        description=f"what is to be heard in it, at most {MAX_PROMPT} characters; empty: what fits; may be "
        "sent once for each of several regions",
    )
    model: str | None = Field(None, description="one of GET /v1/models; null: the one that is served")
    response_format: FORMATS = Field(
        "wav", description="wav or flac with 16 bit, or pcm: 16 bit samples, little-endian, without a header"
    )
    seed: int | None = setting_field("seed")
    negative_prompt: str | None = setting_field("negative_prompt")
    guidance_scale: float | None = setting_field("guidance_scale")
    temperature: float = setting_field("temperature")
    top_k: int | None = setting_field("top_k")
    top_p: float = setting_field("top_p")

    def settings(self) -> GenerationSettings:
        """The settings for an edit.

        Raises:
            TypeError, ValueError: a value is out of range, or two do not go together; the message names it.
        """
        for prompt in self.prompt or [""]:
            check_prompt_lengths({"prompt": prompt, "negative_prompt": self.negative_prompt})
        lengths = {"loop": self.loop, "extend": self.extend}
        ways = [self.regions or None, self.vary, *lengths.values()]
        if sum(way is not None for way in ways) != 1:
            raise ArgumentError(
                "send one of regions, such as 1.2:2.0, vary, such as 0.3, loop, such as 1, or extend, "
                "such as 5"
            )
        if len(self.prompt) > max(1, len(self.regions)):
            raise ArgumentError(
                f"prompt has {len(self.prompt)} parts; send one for all, or one for each of several regions"
            )
        for name, seconds in lengths.items():
            if seconds is not None and not 0 < seconds < math.inf:
                raise ArgumentError(f"{name} is {seconds:g}; it must be a number of seconds above 0")
        if self.vary is not None:
            check_number("vary", self.vary, 0.0, 1.0, "0 is the codec's copy, 1 draws every code again")
        if len(self.regions) > MAX_REGIONS:
            raise ArgumentError(
                f"regions has {len(self.regions)} parts; at most {MAX_REGIONS} are filled at once"
            )
        names = [name for name in type(self).model_fields if name in OPTIONS and name not in lengths]
        chosen = {name: getattr(self, name) for name in names}
        return GenerationSettings(**chosen)

    def spans(self) -> list[Span]:
        """The regions as numbers; ArgumentError where one is none."""
        return [_span(text) for text in self.regions]

    def edit(
        self,
        model: SoundEditor,
        sound: tuple[Tensor, int],
        *,
        max_seconds: float = math.inf,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> GeneratedAudio:
        """The edited sound.

        Args:
            model: that edits it.
            sound: samples `[C, N]` and their rate in Hz.
            max_seconds: of the longest sound that is made.
            progress, cancel: as for `AudioGen.inpaint`.

        Raises:
            TypeError, ValueError, GenerationCancelled: as `AudioGen.inpaint`, and as `settings`.
        """
        settings = self.settings()
        how: dict[str, Any] = {"progress": progress, "cancel": cancel}
        prompt = self.prompt[0] if self.prompt else ""
        if self.vary is not None:
            return model.variation(sound, self.vary, prompt, settings, **how)
        if self.loop is not None:
            return model.loop(sound, self.loop, prompt, settings, **how)
        if self.extend is not None:
            longer = sound[0].shape[-1] / sound[1] + self.extend
            if longer > max_seconds:
                raise ArgumentError(
                    f"extend is {self.extend:g}, which makes {longer:g} s of it; at most {max_seconds:g} s "
                    "are made here"
                )
            return model.extend(sound, self.extend, prompt, settings, **how)
        return model.inpaint(sound, self.spans(), self.prompt or "", settings, **how)


def read_upload(content: bytes, max_seconds: float) -> tuple[Tensor, int]:
    """Samples `[C, N]` and rate in Hz of a file that was sent; no more is decoded than may be taken.

    Args:
        content: of the file.
        max_seconds: of the longest sound that is taken.

    Raises:
        ArgumentError: it is too long.
        AudioError: it is no sound, or a damaged one.
    """
    with open_sound(content, name="the file") as sound:
        longest = int(max_seconds * sound.sample_rate)
        known = longest if sound.about is None else min(sound.about, longest)
        if known * sound.channels > MAX_VALUES:
            raise ArgumentError(
                f"file has {sound.channels} channels at {sound.sample_rate} Hz, more than {MAX_VALUES} "
                "samples; send it with fewer, or at a lower rate"
            )
        samples = sound.read(0, longest + 1)
        if samples.shape[-1] > longest:
            raise ArgumentError(
                f"file is longer than {max_seconds:g} s, the most that is edited here; send a part of it"
            )
        return samples, sound.sample_rate


def _span(text: str) -> Span:
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(start) if start else None, float(end) if end else None
    except ValueError:
        raise ArgumentError(
            f"regions is {text[:SHOWN]!r}; it must be START:END in seconds, such as 1.2:2.0, :0.5 or 3:"
        ) from None
