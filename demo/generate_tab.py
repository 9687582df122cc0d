"""The Generate tab: a sentence becomes a sound, heard while it is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import gradio as gr
import torch

from ..core.audio import resample
from ..core.slug import slug
from ..evaluation.scorer import JudgeScorer
from ..gen.generation import GenerationCancelled
from ..gen.pipeline import GeneratedAudio
from .input import read_upload
from .live import HUSH, LiveSounds, live_player
from .pictures import spectrogram
from .temporary_files import Shelf, failure
from .working import while_working

MAX_DURATION = 30.0  # seconds; longer sounds are made on the command line
MAX_CANDIDATES = 8
MAX_SEED = 2**53 - 1  # what a browser counts exactly

EXAMPLES = (
    "heavy rain with thunder in the background",
    "footsteps on gravel",
    "a clock ticks, then glass breaks",
    "an acoustic guitar",
    "a police siren",
    "a train passes, then rain",
    "crickets while a fire crackles",
    "a church bell rings in the distance",
)


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

    def generate(self, *args: Any, **settings: Any) -> GeneratedAudio:
        """Return one sound for one prompt."""

    def stream(self, *args: Any, **settings: Any) -> Iterator[GeneratedAudio]:
        """Yield the same sound in chunks, while it is being made."""


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


def join(chunks: list[GeneratedAudio]) -> GeneratedAudio:
    """The whole sound of the chunks that `stream` gave."""
    return GeneratedAudio(
        torch.cat([chunk.samples for chunk in chunks], dim=-1),
        chunks[0].sample_rate,
        torch.cat([chunk.codes for chunk in chunks], dim=-1),
        chunks[0].seeds,
        chunks[0].prompts,
    )


def make_sound(
    model: Generator,
    prompt: str,
    duration: float,
    *,
    candidates: int,
    judge: Callable[[], JudgeScorer],
    heard: Callable[[torch.Tensor], None],
    **settings: Any,
) -> GeneratedAudio:
    """Generate one sound, or the best of several.

    Args:
        model: what generates.
        prompt: the sentence.
        duration: seconds.
        candidates: how many are made; only a single one can be heard meanwhile.
        judge: gives what chooses between candidates.
        heard: called with samples `[C, n]` as they are made.
        settings: the others of `AudioGen.stream`.
    """
    if candidates > 1:
        return model.generate(prompt, duration, candidates=candidates, rerank=judge(), **settings)
    chunks = []
    for chunk in model.stream(prompt, duration, **settings):
        heard(chunk.samples[0])
        chunks.append(chunk)
    return join(chunks)


def generate_tab(demo: gr.Blocks, model: Generator) -> None:
    """Add the tab's content to the page."""
    shelf, cancels = Shelf(), Cancels()
    live = LiveSounds(model.codec.sample_rate)
    size = model.lm.codebook_size
    scorers: list[JudgeScorer] = []

    def judge() -> JudgeScorer:
        if not scorers:  # loaded when it is first asked for
            scorers.append(JudgeScorer())
        return scorers[0]

    def generate(
        prompt: str,
        duration: float,
        listen: bool,
        seed: float | None,
        fresh: bool,
        candidates: float,
        negative: str | None,
        guidance: float,
        temperature: float,
        top_k: float,
        top_p: float,
        source: str | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> Iterator[tuple[Any, ...]]:
        started = time.perf_counter()
        cancel = cancels.begin(request.session_hash)
        count = int(candidates)
        if not prompt.strip():
            gr.Info("The prompt is empty: the model chooses a sound by itself.")
        elif count > 1 and not judge().classes_of(prompt):
            gr.Info("The judge knows none of the sounds in this prompt, so it keeps the first candidate.")
        progress(0, desc="reading the prompt")
        settings: dict[str, Any] = {
            "guidance_scale": guidance,
            "temperature": temperature,
            "top_k": int(top_k),
            "top_p": top_p,
            "seed": None if fresh or seed is None else int(seed),
            "negative_prompt": (negative or "").strip() or None,
            "cancel": cancel.is_set,
            "progress": lambda done, total: progress((done, total), desc="generating", unit="frames"),
        }
        sound = None
        try:
            if source:
                given, rate = read_upload(source, limit=MAX_DURATION)
                given = resample(given, rate, model.codec.sample_rate)
                duration += given.shape[-1] / model.codec.sample_rate
                settings["continue_from"] = (given, model.codec.sample_rate)
            name, sound = live.start(model.count_samples(duration))
            yield (name if listen and count == 1 else "", *[gr.skip()] * 5, "")
            audio = make_sound(
                model, prompt, duration, candidates=count, judge=judge, heard=sound.add, **settings
            )
            number = audio.seeds[0]
            file = shelf.place(f"{slug(prompt)}-seed{number}.wav")
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
        yield (
            gr.skip(),
            str(file),
            gr.update(visible=True),
            picture,
            str(file),
            number,
            describe(audio, time.perf_counter() - started, count),
        )

    with gr.Row(equal_height=True):
        prompt = gr.Textbox(
            label="Prompt",
            placeholder="a dog barks, then rain",
            lines=1,
            max_lines=4,
            autofocus=True,
            scale=5,
            min_width=300,
            elem_id="prompt",
        )
        button = gr.Button(
            "Generate", variant="primary", size="lg", scale=1, min_width=160, elem_id="generate"
        )
        stop = gr.Button("Stop", size="lg", scale=1, min_width=160, visible=False, elem_id="stop")
    gr.Examples([[text] for text in EXAMPLES], inputs=[prompt], label="Try one of these")
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=300):
            player = gr.Audio(
                label="Sound", type="filepath", interactive=False, buttons=["download"], elem_id="player"
            )
            on_air = live_player(live)
            with gr.Column(visible=False) as results:
                picture = gr.Image(
                    show_label=False,
                    alt_text="Spectrogram of the sound",
                    interactive=False,
                    format="png",
                    buttons=[],
                    elem_id="spectrogram",
                )
                download = gr.DownloadButton("Download the sound", elem_id="download")
            status = gr.Markdown(elem_id="status")
        with gr.Column(scale=4, min_width=280):
            duration = gr.Slider(
                0.5, MAX_DURATION, value=5, step=0.5, label="Duration (seconds)", elem_id="duration"
            )
            listen = gr.Checkbox(value=True, label="Play while it is made", elem_id="listen")
            with gr.Accordion("More settings", open=False, elem_id="more"):
                settings = _advanced(model, size)
    seed = settings[0]
    while_working(
        [button.click, prompt.submit],
        generate,
        shown=[stop],
        hidden=[button],
        inputs=[prompt, duration, listen, *settings],
        outputs=[on_air, player, results, picture, download, seed, status],
        show_progress_on=[player],
        api_name="generate",
    )

    def cancel(request: gr.Request) -> None:
        cancels.stop(request.session_hash)

    stop.click(cancel, queue=False, js=HUSH)
    player.play(None, js=HUSH)
    demo.unload(cancel)


def describe(audio: GeneratedAudio, seconds: float, candidates: int) -> str:
    """One line about a sound that took so many seconds."""
    facts = [
        f"{audio.duration:.2f} s of sound in {seconds:.1f} s",
        f"seed {audio.seeds[0]}",
        f"{audio.sample_rate / 1000:g} kHz",
    ]
    if audio.scores is not None:
        facts.append(f"the best of {candidates}: the judge gives it {audio.scores[0]:.0%}")
    return " · ".join(facts)


def _advanced(model: Generator, size: int) -> list[gr.components.Component]:
    """Add the settings that most people need not see, in the order in which `generate` takes them."""
    with gr.Group():
        seed = gr.Number(
            value=7,
            precision=0,
            minimum=0,
            maximum=MAX_SEED,
            label="Seed",
            info="The same seed gives the same sound.",
            elem_id="seed",
        )
        fresh = gr.Checkbox(value=True, label="New seed every time", elem_id="fresh-seed")
    candidates = gr.Slider(
        1,
        MAX_CANDIDATES,
        value=1,
        step=1,
        label="Best of",
        info="Make several and keep the one in which a classifier hears most of the prompt.",
        elem_id="candidates",
    )
    negative = gr.Textbox(
        label="Negative prompt",
        info="What to lead away from. Needs guidance above 1.",
        placeholder="noise",
        elem_id="negative",
    )
    guidance = gr.Slider(
        0,
        10,
        value=model.guidance_scale,
        step=0.1,
        label="Guidance",
        info="Higher follows the prompt more closely.",
        elem_id="guidance",
    )
    temperature = gr.Slider(
        0,
        2,
        value=1,
        step=0.05,
        label="Temperature",
        info="Higher is more varied, 0 always the same.",
        elem_id="temperature",
    )
    top_k = gr.Slider(
        0,
        size,
        value=min(model.top_k, size),
        step=1,
        label="Top-k",
        info="Draw from the k likeliest codes; 0 is all.",
        elem_id="top-k",
    )
    top_p = gr.Slider(
        0,
        1,
        value=0,
        step=0.01,
        label="Top-p",
        info="Draw from the likeliest codes that sum to p instead; 0 is off.",
        elem_id="top-p",
    )
    source = gr.Audio(
        label=f"Go on from a sound (up to {MAX_DURATION:g} s)",
        type="filepath",
        sources=["upload"],
        buttons=[],
        elem_id="continue-from",
    )
    return [seed, fresh, candidates, negative, guidance, temperature, top_k, top_p, source]
