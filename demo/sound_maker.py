"""Make sounds for a page or a program: heard while they are made, and kept when they are stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch

from ..core.audio import resample
from ..core.errors import ArgumentError
from ..core.slug import slug
from ..evaluation.audio_text_scorer import AudioTextScorer
from ..gen.generated_audio import GeneratedAudio, join_chunks
from ..gen.generation import GenerationCancelled
from ..gen.settings import OPTIONS, GenerationSettings
from ..gen.text.encoder import TextEncoder
from .generator import Generator
from .input import read_upload
from .live import LiveSound, LiveSounds
from .made_sound import MadeSound
from .temporary_files import Shelf
from .tickets import MAX_SECONDS, Ticket

MAX_UPLOAD = 30.0  # seconds of a sound to go on from
# Seconds of a sound: even a model that works on each of them for ten ends within the time of a ticket.
MAX_DURATION = MAX_SECONDS / 10
MAX_VARIATIONS = 4
POLL_SECONDS = 0.3  # from one report of what was made to the next

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Making:
    """How far the work is.

    Attributes:
        names: of the sounds, for players, in their order.
        heard: whether they can be heard while they are made.
        share: of the work that is done, 0 to 1.
        seconds_left: about; None: not known yet.
        stopping: it was called off, and is about to end.
    """

    names: list[str]
    heard: bool
    share: float = 0.0
    seconds_left: float | None = None
    stopping: bool = False


@dataclass
class _Work:
    """Sounds that are being made, as the thread that makes them and the one that reports see them."""

    settings: GenerationSettings
    options: dict[str, Any]
    sounds: list[LiveSound] = field(default_factory=list)
    done: int = 0
    total: int = 0
    started: float = field(default_factory=time.monotonic)

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    def heard(self, chunk: torch.Tensor) -> None:
        """Take samples `[B, C, n]`."""
        for sound, samples in zip(self.sounds, chunk, strict=True):
            sound.add(samples)

    def seconds_left(self) -> float | None:
        took = time.monotonic() - self.started
        return took * (self.total - self.done) / self.done if self.done and took > 0.5 else None


def chosen_settings(values: Mapping[str, Any]) -> GenerationSettings:
    """The settings that controls show; what is empty is left to the default.

    Raises:
        ValueError: a value is out of range.
    """
    filled = {name: value for name, value in values.items() if value not in (None, "")}
    duration = float(filled.get("duration", 1.0))
    if not 0 < duration <= MAX_DURATION:
        raise ArgumentError(
            f"duration is {duration:g}; allowed are 0 to {MAX_DURATION:g} (seconds, at least one frame of "
            "the codec); the command line makes longer ones"
        )
    return GenerationSettings(**{name: OPTIONS[name].kind(value) for name, value in filled.items()})


def make_sounds(
    model: Generator,
    prompt: str,
    settings: GenerationSettings,
    *,
    scorer: Callable[[], AudioTextScorer],
    heard: Callable[[torch.Tensor], None],
    **options: Any,
) -> tuple[GeneratedAudio, bool]:
    """Generate variations of one sound, or of each the best of several candidates.

    Args:
        model: what generates.
        prompt: the sentence.
        settings: how; only without candidates the sounds can be heard while they are made.
        scorer: gives what chooses between candidates.
        heard: called with samples `[B, C, n]` as they are made.
        options: the other arguments of `AudioGen.stream`.

    Returns:
        The sounds, and whether they were stopped before their end.

    Raises:
        GenerationCancelled: stopped before there was any sound.
    """
    if settings.candidates > 1:
        return model.generate(prompt, settings, rerank=scorer(), **options), False
    chunks = []
    try:
        for chunk in model.stream(prompt, settings, **options):
            heard(chunk.samples)
            chunks.append(chunk)
    except GenerationCancelled:
        if not chunks:
            raise
    found = join_chunks(chunks)
    cut_short = found.samples.shape[-1] < model.count_samples(settings.duration)
    if cut_short:
        found = replace(found, changes={**found.changes, "stopped": found.duration})
    return found, cut_short


def in_thread(work: Callable[[], Result]) -> Future[Result]:
    """Begin work in a thread of its own, which does not keep the program from ending."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="soundloom demo", daemon=True).start()
    return future


class SoundMaker:
    """Makes the sounds of the pages that are open.

    Args:
        model: gives what generates now.
        name: gives what that is called.
    """

    def __init__(self, model: Callable[[], Generator], name: Callable[[], str] = lambda: "") -> None:
        self._model, self._name = model, name
        self.live, self.shelf = LiveSounds(), Shelf()
        self._scorer: AudioTextScorer | None = None

    @property
    def text_encoder(self) -> TextEncoder | None:
        """What reads prompts now."""
        model: Any = self._model()
        return getattr(getattr(model, "model", model), "text_encoder", None)  # an engine has a model

    def scorer(self) -> AudioTextScorer:
        """What chooses between candidates; loaded when it is first asked for."""
        self._scorer = self._scorer or AudioTextScorer()
        return self._scorer

    def make(
        self, prompt: str, values: Mapping[str, Any], source: str | None, ticket: Ticket
    ) -> Iterator[Making | list[MadeSound]]:
        """Make sounds.

        Args:
            prompt: the sentence.
            values: settings by their names, empty ones left to their defaults.
            source: path of a sound to go on from, for `duration` more seconds; None: none.
            ticket: calls it off. What was made by then is kept.

        Yields:
            How far it is, every `POLL_SECONDS`; at the end the sounds, none if it was called off before there
            was any sound.

        Raises:
            ValueError, OSError: a setting or the source is wrong.
        """
        model = self._model()
        ticket.begin()
        if ticket.ended():
            yield []
            return
        work = self._prepare(model, prompt, values, source, ticket)
        length = model.count_samples(work.settings.duration)
        channels = getattr(model.codec, "channels", 1)
        started = [
            self.live.start(length, model.codec.sample_rate, channels)
            for _ in range(work.settings.num_samples)
        ]
        names, work.sounds = [name for name, _ in started], [sound for _, sound in started]
        heard = work.settings.candidates == 1
        future = in_thread(
            lambda: make_sounds(
                model, prompt, work.settings, scorer=self.scorer, heard=work.heard, **work.options
            )
        )
        try:
            yield Making(names=names, heard=heard)
            while not wait_for([future], POLL_SECONDS).done:
                share = work.done / work.total if work.total else 0.0
                yield Making(
                    names=names,
                    heard=heard,
                    share=share,
                    seconds_left=work.seconds_left(),
                    stopping=ticket.ended(),
                )
            audio, cut_short = future.result()
            yield self._keep(audio, names, work, dict(values), source, cut_short)
        except GenerationCancelled:
            yield []
        finally:
            ticket.call_off()  # where nobody waits for it any more
            for sound in work.sounds:
                if not sound.done:
                    sound.finish()

    def _prepare(
        self, model: Generator, prompt: str, values: Mapping[str, Any], source: str | None, ticket: Ticket
    ) -> _Work:
        """Check and read everything, so that what is wrong is said before anything is made."""
        settings = chosen_settings(values)
        work = _Work(settings, {"cancel": ticket.ended})
        work.options["progress"] = work.progress
        if source:
            rate = model.codec.sample_rate
            samples = resample(*read_upload(source, limit=MAX_UPLOAD), rate)
            work.options["continue_from"] = (samples, rate)
            work.settings = replace(settings, duration=settings.duration + samples.shape[-1] / rate)
        return work

    def _keep(
        self,
        audio: GeneratedAudio,
        names: list[str],
        work: _Work,
        values: dict[str, Any],
        source: str | None,
        cut_short: bool,
    ) -> list[MadeSound]:
        """Write the sounds to files, and give these to their players."""
        found, made = [], time.time()
        for row, (name, sound) in enumerate(zip(names, work.sounds, strict=True)):
            prompt, seed = audio.prompts[row], audio.seeds[row]
            file = self.shelf.place(f"{slug(prompt)}-seed{seed}{'-cut-short' if cut_short else ''}.wav")
            audio.save(file, row)
            sound.finish(file)
            found.append(
                MadeSound(
                    name=name,
                    file=file,
                    prompt=prompt,
                    seed=seed,
                    settings=values | {"seed": seed, "num_samples": 1},
                    source=source,
                    seconds=audio.duration,
                    sample_rate=audio.sample_rate,
                    model=self._name(),
                    cut_short=cut_short,
                    score=None if audio.scores is None else audio.scores[row],
                    made=made,
                )
            )
        return found
