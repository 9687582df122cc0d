"""/generate: the function that programs call, through Gradio's client, its HTTP interface or MCP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ..gen.settings import OPTIONS
from .made_sound import MadeSound
from .prompt_hints import left_out
from .sound_maker import Making, SoundMaker
from .temporary_files import failure
from .tickets import Tickets

Answer = tuple[str | None, int | None, dict[str, Any] | None]
NOTHING_YET: Answer = (None, None, None)


class SoundApi:
    """Answers programs.

    Args:
        maker: makes the sounds.
        tickets: of all that is asked for.
    """

    def __init__(self, maker: SoundMaker, tickets: Tickets) -> None:
        self.maker, self.tickets = maker, tickets

    def generate(
        self,
        prompt: str,
        duration: float = 5.0,
        seed: int | None = None,
        candidates: int = 1,
        negative_prompt: str = "",
        guidance_scale: float | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 0.0,
        continue_from: str | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[Answer]:
        """Make a sound of a sentence.

        Args:
            prompt: what is to be heard; an empty one leaves it to the model.
            duration: seconds, at most 60; with continue_from those that follow it.
            seed: same seed, prompt and settings, same sound; left out: a new one.
            candidates: sounds that are made, of which the one nearest to the prompt is kept.
            negative_prompt: what to lead away from; needs guidance_scale above 1.
            guidance_scale: how closely to follow the prompt; left out: the model's own.
            temperature: how varied, 1 as trained.
            top_k: draw from the k likeliest codes; left out: the model's own.
            top_p: draw from the likeliest codes up to this probability; 0: off.
            continue_from: sound file of up to 30 s to go on from.

        Returns:
            sound: path of a wav file.
            seed: that it was made with.
            details: duration in seconds, sample_rate in Hz, model, score (where there were
                candidates; see AudioTextScorer) and warnings, a list of sentences.
        """
        values = {
            "duration": duration,
            "seed": seed,
            "candidates": candidates,
            "negative_prompt": negative_prompt,
            "guidance_scale": guidance_scale,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
        }
        ticket = self.tickets.issue(request.session_hash if request else None)
        try:
            for state in self.maker.make(prompt or "", values, continue_from, ticket):
                # An answer every now and then lets gradio end a job that was cancelled.
                yield NOTHING_YET if isinstance(state, Making) else self._answer(prompt or "", state)
        except (ValueError, OSError) as error:
            files = [continue_from] if continue_from else []
            raise failure(str(error), *files, by_label=False) from error
        finally:
            self.tickets.give_back(ticket)

    def _answer(self, prompt: str, sounds: list[MadeSound]) -> Answer:
        if not sounds:
            return NOTHING_YET
        sound = sounds[0]
        warnings = [] if prompt.strip() else ["the prompt is empty, so the model chose a sound by itself"]
        if rest := left_out(self.maker.text_encoder, prompt):
            warnings.append(rest)
        if sound.cut_short:
            warnings.append("the sound was cut short")
        details = {
            "duration": sound.seconds,
            "sample_rate": sound.sample_rate,
            "model": sound.model,
            "score": sound.score,
            "warnings": warnings,
        }
        return str(sound.file), sound.seed, details


def sound_api(maker: SoundMaker, tickets: Tickets, at_once: int) -> None:
    """Add the endpoint to the page; what it takes and gives has components that nobody sees.

    Args:
        maker, tickets: as of `SoundApi`.
        at_once: requests that are answered side by side.
    """
    names = ("seed", "candidates", "negative_prompt", "guidance_scale", "temperature", "top_k", "top_p")
    with gr.Column(visible=False):
        called = gr.Button()
        inputs: list[Any] = [
            gr.Textbox(label="prompt"),
            gr.Number(OPTIONS["duration"].default, label="duration"),
        ]
        for name in names:
            option = OPTIONS[name]
            inputs.append(
                gr.Textbox("", label=name)
                if option.kind is str
                else gr.Number(option.default, precision=0 if option.kind is int else None, label=name)
            )
        inputs.append(gr.Audio(type="filepath", label="continue_from"))
        outputs = [gr.File(label="sound"), gr.Number(label="seed", precision=0), gr.JSON(label="details")]
    called.click(
        SoundApi(maker, tickets).generate,
        inputs=inputs,
        outputs=outputs,
        api_name="generate",
        concurrency_limit=at_once,
        concurrency_id="generate",
    )
