"""What `POST /v1/audio/generations` takes, named as in Python, and sentences for what it does not take."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import ArgumentError
from ..gen.editing.change_prompts import PromptsAt, plan_prompts
from ..gen.generated_audio import GeneratedAudio
from ..gen.generation import Cancel
from ..gen.pipeline import AudioGen
from ..gen.rerank import Scorer
from ..gen.settings import OPTIONS, GenerationSettings

MAX_PROMPT = 2000  # characters
MAX_PROMPTS = 32  # of one sound
SHOWN = 40  # characters of a wrong value that a message repeats
FORMATS = Literal["wav", "flac", "pcm"]
EXAMPLES: list[Any] = [
    {"prompt": "a dog barks, then rain", "duration": 5, "seed": 7},
    {"prompt": "sea waves", "negative_prompt": "noise", "guidance_scale": [4, 2], "response_format": "flac"},
    {"prompt": "a church bell", "duration": 10, "stream": True, "response_format": "pcm"},
    {"prompts_at": [[0, "rain"], [2, "a dog barks"], [4, "rain"]], "duration": 6, "loop": True},
]


def setting_field(name: str) -> Any:
    """A field for one of the generation settings: its help, default and range are those of Python.

    The range is only described: `GenerationSettings` checks it, in its own words.
    """
    option = OPTIONS[name]
    numbers = {"minimum": option.low, "maximum": option.high}
    known: dict[str, Any] = {
        key: value for key, value in numbers.items() if option.check is None and value < float("inf")
    }
    return Field(option.default, description=option.help, json_schema_extra=known)


class GenerationRequest(BaseModel):
    """A sound to be made."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": EXAMPLES})

    prompt: str = Field(
        "", description=f"what is to be heard, at most {MAX_PROMPT} characters; empty: the model's choice"
    )
    prompts_at: list[list[float | str]] | None = Field(
        None,
        description="in place of prompt: the prompt changes on the way; [seconds, prompt] in the order of "
        f"time, the first at 0, {MAX_PROMPTS} at most",
    )
    model: str | None = Field(None, description="one of GET /v1/models; null: the one that is served")
    response_format: FORMATS = Field(
        "wav", description="wav or flac with 16 bit, or pcm: 16 bit samples, little-endian, without a header"
    )
    stream: bool = Field(
        False, description="send the sound in chunks while it is being made (wav or pcm, one candidate)"
    )
    duration: float = setting_field("duration")
    seed: int | None = setting_field("seed")
    candidates: int = setting_field("candidates")
    loop: bool = setting_field("loop")
    negative_prompt: str | None = setting_field("negative_prompt")
    guidance_scale: float | list[float] | None = setting_field("guidance_scale")
    temperature: float = setting_field("temperature")
    top_k: int | None = setting_field("top_k")
    top_p: float = setting_field("top_p")
    extend_stride: float | None = setting_field("extend_stride")

    @property
    def is_whole(self) -> bool:
        """Whether it is made as a whole by `make`, which an engine does not do."""
        return self.loop or self.prompts_at is not None

    def settings(self) -> GenerationSettings:
        """The settings for `Engine.submit`, or for `make`.

        Raises:
            TypeError, ValueError: a value is out of range, or two do not go together; the message names it.
        """
        check_prompt_lengths({"prompt": self.prompt, "negative_prompt": self.negative_prompt})
        if self.prompts_at is not None:
            self._check_sequence(self.prompts_at)
        if self.stream and self.response_format == "flac":
            raise ArgumentError(
                "response_format is 'flac', which is not made in chunks; use wav or pcm, or stream: false"
            )
        chosen = {name: getattr(self, name) for name in type(self).model_fields if name in OPTIONS}
        if isinstance(self.guidance_scale, list):
            chosen["guidance_scale"] = tuple(self.guidance_scale)
        settings = GenerationSettings(**chosen)
        if self.stream and self.loop:
            settings.refuse_candidates("stream")
        return settings

    def _check_sequence(self, prompts_at: Sequence[Sequence[float | str]]) -> None:
        if self.prompt:
            raise ArgumentError(
                f"prompt is {self.prompt[:SHOWN]!r} beside prompts_at; give the one or the other"
            )
        if self.stream:
            raise ArgumentError(
                "stream is true, but a sound whose prompt changes is made whole here; leave out stream, or "
                "prompts_at"
            )
        if len(prompts_at) > MAX_PROMPTS:
            raise ArgumentError(f"prompts_at has {len(prompts_at)} prompts; at most {MAX_PROMPTS} are taken")
        for entry in prompts_at:
            for text in entry:
                check_prompt_lengths({"prompts_at": text if isinstance(text, str) else None})

    def sequence(self, frame_rate: float) -> PromptsAt | None:
        """The prompts as of `AudioGen.generate`; checked as there, at a codec's frame rate in Hz."""
        if self.prompts_at is None:
            return None
        found: Any = self.prompts_at  # pairs, once they are checked
        plan_prompts(found, self.settings().frames(frame_rate), frame_rate)
        return found

    def make(self, model: AudioGen, *, rerank: Scorer | None, cancel: Cancel) -> GeneratedAudio:
        """The sound, a loop or one whose prompt changes.

        Args:
            model, rerank, cancel: see `AudioGen.generate`.

        Raises:
            TypeError, ValueError, GenerationCancelled: as `AudioGen.generate`, and as `settings`.
        """
        prompts_at = self.sequence(model.codec.frame_rate)
        settings = self.settings()
        return model.generate(self.prompt, settings, prompts_at=prompts_at, rerank=rerank, cancel=cancel)


def check_prompt_lengths(prompts: Mapping[str, str | None]) -> None:
    """Raise ArgumentError where one of the prompts, by name, is too long."""
    for name, text in prompts.items():
        if len(text or "") > MAX_PROMPT:
            raise ArgumentError(f"{name} has {len(text or '')} characters; at most {MAX_PROMPT} are taken")


def field_of(message: str, kind: type[BaseModel] = GenerationRequest) -> str | None:
    """The field of a kind of request that a message of the library is about; None where it names none."""
    found = re.match(r"(?:the )?(\w+) (?:is|has|holds|\S+\.\.\S+ s) ", message)
    name = {"region": "regions"}.get(found[1], found[1]) if found else None
    if re.match(r"the (?:first )?prompt,? ['\"]", message):  # of several
        name = "prompts_at"
    return name if name in kind.model_fields else None


def explain(
    errors: Sequence[Mapping[str, Any]], kind_of_request: type[BaseModel] = GenerationRequest
) -> tuple[str, str | None]:
    """A sentence about the first of pydantic's errors, and the field that it is about."""
    error = errors[0]
    where = [str(part) for part in error["loc"] if part != "body"]
    kind, value = error["type"], error.get("input")
    if kind == "json_invalid":
        return f"the body is no JSON ({error['ctx']['error']}, at character {error['loc'][-1]})", None
    if not where:
        return 'the body must be a JSON object, such as {"prompt": "a dog barks", "duration": 5}', None
    field = where[0]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(field, kind_of_request.model_fields, n=1)
        known = ", ".join(kind_of_request.model_fields)
        hint = f"did you mean {near[0]}?" if near else f"there are {known}"
        return f"there is no field {field[:SHOWN]!r}; {hint}", field
    if kind == "missing":
        return f"{field} is missing; {kind_of_request.model_fields[field].description}", field
    if isinstance(value, UploadFile):
        return f"{field} is a file; send it as plain text", field
    if field == "file":
        return "file is no file; send it as one, with curl as -F file=@street.wav", field
    shown = repr(value)
    shown = f"{shown[:SHOWN]}…" if len(shown) > SHOWN else shown
    if field == "guidance_scale" and kind_of_request is GenerationRequest:
        return f"{field} is {shown}; it must be a number, or two for its start and end, or null", field
    return f"{field} is {shown}; {error['msg'].replace('Input', 'it', 1)}", field
