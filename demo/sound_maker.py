"""What the Generate tab's buttons do: make a sound that is heard meanwhile, or stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
import torch

from ..core.audio import resample
from ..core.slug import slug
from ..evaluation.scorer import ClassifierScorer
from ..gen.generated_audio import GeneratedAudio, join_chunks
from ..gen.generation import GenerationCancelled
from ..gen.settings import OPTIONS, GenerationSettings
from .generator import Generator
from .input import read_upload
from .live import LiveSounds
from .spectrogram_images import spectrogram
from .temporary_files import Shelf, failure

MAX_UPLOAD = 30.0  # seconds of a sound to go on from


class Cancels:
    """Which of the pages asked to stop."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    def begin(self, page: str | None) -> threading.Event:
        """Return what will be set when this page asks to stop."""
        event = self._events[page or ""] = threading.Event()
        return event

    def stop(self, page: str | None) -> None:
        """Stop what this page has started, if anything."""
        event = self._events.pop(page or "", None)
        if event is not None:
            event.set()


def chosen_settings(values: Mapping[str, Any]) -> GenerationSettings:
    """The settings that the controls show; what is empty is left to the default.

    Raises:
        ValueError: a value is out of range.
    """
    filled = {name: value for name, value in values.items() if value not in (None, "")}
    return GenerationSettings(**{name: OPTIONS[name].kind(value) for name, value in filled.items()})


def make_sound(
    model: Generator,
    prompt: str,
    settings: GenerationSettings,
    *,
    scorer: Callable[[], ClassifierScorer],
    heard: Callable[[torch.Tensor], None],
    **options: Any,
) -> GeneratedAudio:
    """Generate one sound, or the best of several.

    Args:
        model: what generates.
        prompt: the sentence.
        settings: how; only a single candidate can be heard while it is made.
        scorer: gives what chooses between candidates.
        heard: called with samples `[C, n]` as they are made.
        options: the other arguments of `AudioGen.stream`.
    """
    if settings.candidates > 1:
        return model.generate(prompt, settings, rerank=scorer(), **options)
    chunks = []
    for chunk in model.stream(prompt, settings, **options):
        heard(chunk.samples[0])
        chunks.append(chunk)
    return join_chunks(chunks)


def describe(audio: GeneratedAudio, seconds: float, candidates: int) -> str:
    """One line about a sound that took so many seconds."""
    facts = [
        f"{audio.duration:.2f} s of sound in {seconds:.1f} s",
        f"seed {audio.seeds[0]}",
        f"{audio.sample_rate / 1000:g} kHz",
    ]
    if audio.scores is not None:
        facts.append(f"the best of {candidates}: the classifier gives it {audio.scores[0]:.0%}")
    return " · ".join(facts)


class SoundMaker:
    """Makes the sounds of the pages that are open.

    Args:
        model: what generates.
    """

    def __init__(self, model: Generator) -> None:
        self.model = model
        self.live = LiveSounds(model.codec.sample_rate)
        self._shelf, self._cancels = Shelf(), Cancels()
        self._scorer: ClassifierScorer | None = None

    def scorer(self) -> ClassifierScorer:
        """What chooses between candidates; loaded when it is first asked for."""
        self._scorer = self._scorer or ClassifierScorer()
        return self._scorer

    def stop(self, request: gr.Request) -> None:
        """End what a page has started."""
        self._cancels.stop(request.session_hash)

    def make(
        self,
        prompt: str,
        listen: bool,
        fresh: bool,
        source: str | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
        **values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Make a sound, and say what the page shows: at the beginning, and at the end.

        Args:
            prompt: the sentence.
            listen: play it while it is made.
            fresh: draw a new seed, whatever the field holds.
            source: path of a sound to go on from.
            request, progress: gradio's.
            values: of the controls of the generation settings.

        Yields:
            Name of the sound to play now, file of the finished sound, the results, the picture, file to
            download, seed, status.
        """
        started = time.perf_counter()
        cancel = self._cancels.begin(request.session_hash)
        progress(0, desc="reading the prompt")
        options: dict[str, Any] = {
            "cancel": cancel.is_set,
            "progress": lambda done, total: progress((done, total), desc="generating", unit="frames"),
        }
        sound = None
        try:
            settings = chosen_settings(values | ({"seed": None} if fresh else {}))
            self._warn(prompt, settings.candidates)
            if source:
                settings, options["continue_from"] = self._continue(settings, source)
            name, sound = self.live.start(self.model.count_samples(settings.duration))
            yield (name if listen and settings.candidates == 1 else "", *[gr.skip()] * 5, "")
            audio = make_sound(self.model, prompt, settings, scorer=self.scorer, heard=sound.add, **options)
            seed = audio.seeds[0]
            file = self._shelf.place(f"{slug(prompt)}-seed{seed}.wav")
            audio.save(file)
        except GenerationCancelled:
            yield (*[gr.skip()] * 6, "Stopped before the sound was complete.")
            return
        except (ValueError, OSError) as error:
            raise failure(error, *([source] if source else [])) from error
        finally:
            if sound is not None:
                sound.finish()
        picture = spectrogram(audio.samples[0].mean(0).cpu().numpy(), audio.sample_rate)
        facts = describe(audio, time.perf_counter() - started, settings.candidates)
        yield gr.skip(), str(file), gr.update(visible=True), picture, str(file), seed, facts

    def _warn(self, prompt: str, candidates: int) -> None:
        """Say on the page what a prompt cannot do."""
        if not prompt.strip():
            gr.Info("The prompt is empty: the model chooses a sound by itself.")
        elif candidates > 1 and not self.scorer().classes_of(prompt):
            gr.Info(
                "The classifier knows none of the sounds in this prompt, so it keeps the first candidate."
            )

    def _continue(
        self, settings: GenerationSettings, source: str
    ) -> tuple[GenerationSettings, tuple[torch.Tensor, int]]:
        """Settings that make so much more than the sound of a file, and that sound at the model's rate."""
        rate = self.model.codec.sample_rate
        samples = resample(*read_upload(source, limit=MAX_UPLOAD), rate)
        return replace(settings, duration=settings.duration + samples.shape[-1] / rate), (samples, rate)
