"""The Make tab: a sentence becomes sounds, heard while they are made."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ..core.checkpoint import BUNDLED_MODELS
from .generation_controls import VARIATIONS, control, more_controls, variations
from .generator import Generator
from .history_view import CHANGES_HISTORY, history_view
from .in_browser import IN_BROWSER, STOP, STOPPING, stop_hidden, stop_pressed, stop_shown, values
from .input import read_upload
from .left_pages import LeftPages
from .made_sound import History, MadeSound, added, keep
from .messages import wrong
from .model_choice import ChosenModel
from .presets import presets
from .prompt_hints import hint
from .sound_api import sound_api
from .sound_cards import KEEP, KEPT, Card, Updates, clear_cards, show_made, show_making, sound_cards
from .sound_maker import MAX_UPLOAD, Making, SoundMaker
from .sound_player import HUSH
from .temporary_files import page_words
from .tickets import Tickets
from .working import answered_first, press

FOCUS = "() => { if (document.activeElement === document.body) document.querySelector('#generate').focus(); }"
WHERE_KEPT = "<p>Kept: it is in the list below, and in its zip, for an hour. Download keeps it for good.</p>"
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


class GenerateTab:
    """The tab's components, and what they do.

    Args:
        chosen: the model.
    """

    def __init__(self, chosen: ChosenModel) -> None:
        self.chosen = chosen
        self.maker = SoundMaker(lambda: chosen.model, lambda: chosen.name)
        self.tickets, self.left = Tickets(), LeftPages()

    def build(self, demo: gr.Blocks) -> None:
        """Add the tab's content to the page."""
        model = self.chosen.model
        self.ticket = gr.Textbox(visible="hidden", elem_id="ticket")  # the browser's own: it draws the key
        self.history, self.shown = gr.State([]), gr.State([])
        with gr.Row(equal_height=True, elem_id="ask"):
            self.prompt = gr.Textbox(
                label="What do you want to hear?",
                placeholder=presets()[0].prompt,
                lines=1,
                max_lines=4,
                autofocus=True,
                scale=5,
                min_width=260,
                elem_id="prompt",
            )
            self.button = gr.Button(
                "Make", variant="primary", size="lg", scale=1, min_width=140, elem_id="generate"
            )
        heard = gr.HTML(elem_id="hint")
        examples = gr.Examples(
            [[preset.prompt] for preset in presets()], inputs=[self.prompt], label="Or try one of these"
        )
        with gr.Row(equal_height=True, elem_id="working-on"):
            self.status = gr.HTML(elem_id="status", scale=5)
            self.stop = gr.Button(STOP, scale=0, min_width=120, visible=False, elem_id="stop")
            self.leave = gr.Button(STOP, scale=0, min_width=120, visible=False, elem_id="stop-waiting")
        self.cards = sound_cards(self.maker.live)
        with gr.Row(equal_height=True, elem_id="main-settings"):
            self.duration = control("duration", model, info=False, scale=3, min_width=260)
            self.variations = variations()
            self.listen = gr.Checkbox(
                value=True, label="Play while it is made", elem_id="listen", scale=2, min_width=190
            )
        with gr.Accordion("More settings", open=False, elem_id="more"):
            self.more = more_controls(model)
        with gr.Accordion("Go on from a sound", open=False, elem_id="go-on") as self.go_on:
            self.source = gr.Audio(
                label=f"The sound (up to {MAX_UPLOAD:g} s) is continued for the duration that is set",
                type="filepath",
                sources=["upload"],
                buttons=[],
                elem_id="continue-from",
            )
        history_view(
            self.maker.live,
            self.maker.shelf,
            self.history,
            self.button,
            again=self.again,
            start=self.start_from,
            controls=self.controls,
        )
        self._wire(demo, examples, heard)
        sound_api(self.maker, self.tickets, at_once(model))

    @property
    def working(self) -> list[Any]:
        """All that says whether something is being made."""
        return [self.ticket, self.status, self.stop, self.leave]

    @property
    def controls(self) -> list[Any]:
        """All that says what is to be made."""
        settings = [self.duration, self.variations, *self.more.values()]
        return [self.prompt, *settings, self.source, self.go_on, self.status]

    def _wire(self, demo: gr.Blocks, examples: Any, heard: gr.HTML) -> None:
        cards = [block for card in self.cards for block in card.blocks]
        asked = self._ask([self.button.click], cards)
        self.prompt.submit(js=press("generate"), **IN_BROWSER)
        settings = {"duration": self.duration, VARIATIONS: self.variations, **self.more}
        job = asked.success(
            self.make,
            inputs_kwargs={
                "key": self.ticket,
                "history": self.history,
                "prompt": self.prompt,
                "listen": self.listen,
                "source": self.source,
                **settings,
            },
            outputs=[*self.working, *cards, self.history, self.shown],
            show_progress_on=[self.status],
            concurrency_limit=at_once(self.chosen.model),
            concurrency_id="generate",
            api_visibility="private",
            trigger_mode="multiple",  # else one that is still being cancelled would keep this one back
        )
        job.success(None, js=FOCUS)
        self._stop(job)
        examples.load_input_event.success(None, js=press("generate"))
        typed: dict[str, Any] = {"trigger_mode": "always_last", **QUIET}
        self.prompt.change(self.say_what_is_heard, [self.prompt], [heard], **typed)
        checked = {"inputs": [self.source], "outputs": [self.source, self.status], **QUIET}
        answered_first(self.button, [self.source.upload], self.check_source, **checked)
        for number, card in enumerate(self.cards):
            self._wire_card(number, card)
        demo.unload(self.leave_page)

    def _ask(self, triggers: list[Any], cards: list[Block]) -> Any:
        """Draw a key and say that the work waits, at once; clear away what belongs to another prompt."""
        outputs = [*self.working, *cards]
        waits: Updates = {
            self.status: "<p>Waiting for its turn …</p>",
            self.leave: stop_shown(),
            self.stop: stop_hidden(),
            **clear_cards(self.cards),
        }
        return gr.on(
            triggers,
            inputs=[self.ticket],
            outputs=outputs,
            js=f"""ticket => {{
                if (ticket) return {values(outputs, {})};  // something is being made
                ({HUSH})();
                const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), each => each.toString(36));
                return [key.join('-'), ...{values(outputs[1:], waits)}];
            }}""",
            **IN_BROWSER,
        )

    def _stop(self, job: Any) -> None:
        """Answer the Stop of what is being made, and that of what waits; clear up after what failed."""
        both = [self.stop, self.status]
        pressed = values(both, {self.stop: stop_pressed(), self.status: f"<p>{STOPPING}</p>"})
        self.stop.click(outputs=both, js=f"() => {{ ({HUSH})(); return {pressed}; }}", **IN_BROWSER)
        self.stop.click(self.tickets.call_off, [self.ticket], **QUIET)
        left = values(self.working, self.idle("Stopped before it began."))
        page = "document.body.dataset"
        self.leave.click(
            inputs=[self.ticket],
            outputs=self.working,
            js=f"ticket => {{ {page}.left = ticket; {page}.failures = 2; return {left}; }}",
            **IN_BROWSER,
        ).success(None, js=FOCUS)
        key = f"() => {page}.left"
        self.leave.click(self.tickets.call_off, [self.ticket], cancels=[job], js=key, **QUIET)
        # What Gradio cancels fails twice, when it has heard of it and when the server has; by then somebody
        # may have asked for the next.
        job.failure(
            inputs=[self.ticket],
            outputs=self.working,
            js=f"""ticket => {{
                if (!({page}.failures > 0)) return {values(self.working, self.idle())};
                {page}.failures -= 1;
                return ticket ? {values(self.working, {})} : {left};
            }}""",
            **IN_BROWSER,
        ).success(None, js=FOCUS)

    def _wire_card(self, number: int, card: Card) -> None:
        def keep_it(history: History, shown: list[str]) -> tuple[Any, Any, Any]:
            made = keep(history, shown[number])
            if any(each.kept and each.name == shown[number] for each in made):
                return made, KEPT, WHERE_KEPT
            return made, KEEP, ""

        def use_it(history: History, shown: list[str]) -> Updates:
            return self.start_from(next(each for each in history if each.name == shown[number]))

        both = [self.history, self.shown]
        card.keep.click(keep_it, both, [self.history, card.keep, self.status], **CHANGES_HISTORY)
        used = {"inputs": both, "outputs": self.controls, **QUIET}
        answered_first(self.button, [card.start.click], use_it, **used)

    # --- what the buttons do -----------------------------------------------------------------------------

    def idle(self, said: str = "") -> Updates:
        """Nothing is being made any more."""
        return {
            self.ticket: "",
            self.status: f"<p>{escape(said)}</p>" if said else "",
            self.stop: stop_hidden(),
            self.leave: stop_hidden(),
        }

    def leave_page(self, request: gr.Request) -> None:
        """The page was closed: nobody waits for what it asked for."""
        self.left.leave(request)
        self.tickets.leave(request.session_hash)

    def make(
        self,
        key: str,
        history: History,
        prompt: str,
        listen: bool,
        source: str | None,
        request: gr.Request,
        **values: Any,
    ) -> Iterator[Updates]:
        """Make sounds, and say what the page shows meanwhile and at the end."""
        ticket = self.tickets.take(key, request.session_hash)
        if ticket is None:
            yield {self.status: gr.skip()}  # without any answer Gradio would empty everything
            return
        if self.left.unwanted(request):
            ticket.call_off()
        heard = True
        try:
            for number, state in enumerate(self.maker.make(prompt, values, source, ticket)):
                if isinstance(state, Making):
                    heard = state.heard
                    yield {
                        self.status: f"<p>{how_far(state)}</p>",
                        **({} if number else show_making(self.cards, state, listen)),
                        **({} if number else {self.stop: stop_shown(), self.leave: stop_hidden()}),
                    }
                elif state:
                    yield {
                        **self.idle(self.say_what_was_made(prompt, state, ticket.late)),
                        **show_made(self.cards, state, heard),
                        self.history: added(history, state),
                        self.shown: [sound.name for sound in state],
                    }
                else:
                    yield self.idle("Stopped before there was any sound.") | clear_cards(self.cards)
        except (ValueError, OSError) as error:
            said = page_words(error, *([source] if source else []))
            yield self.idle() | clear_cards(self.cards) | {self.status: wrong(said)}
        finally:
            self.tickets.give_back(ticket)

    def say_what_was_made(self, prompt: str, sounds: list[MadeSound], late: bool) -> str:
        """One line about sounds that are finished."""
        many = f"{len(sounds)} sounds are" if len(sounds) > 1 else "The sound is"
        if sounds[0].cut_short:
            why = "the time for one request is over" if late else "it was stopped"
            return f"Cut short, because {why}: {sounds[0].seconds:.2f} s were made, and are kept below."
        if not prompt.strip():
            return f"{many} ready. The prompt was empty, so the model chose by itself."
        return f"{many} ready."

    def say_what_is_heard(self, prompt: str) -> str:
        """What the page says below the prompt while it is typed."""
        known = (BUNDLED_MODELS / self.chosen.name).is_dir()
        return hint(prompt, self.maker.text_encoder, self.maker.scorer if known else None)

    def check_source(self, source: str) -> Updates:
        """Refuse at once what cannot be gone on from."""
        try:
            read_upload(source, limit=MAX_UPLOAD)
        except (ValueError, OSError) as error:
            return {self.source: None, self.status: wrong(page_words(error, source))}
        return {self.status: ""}

    def again(self, sound: MadeSound) -> Updates:
        """Show the prompt, seed and settings of a sound."""
        controls = {"duration": self.duration, VARIATIONS: self.variations, **self.more}
        return {
            self.prompt: sound.prompt,
            self.source: sound.source,
            self.go_on: gr.update(open=bool(sound.source)),
            self.status: "<p>Prompt, seed and settings are those of this sound. Change what you like.</p>",
            **{controls[name]: value for name, value in sound.settings.items() if name in controls},
        }

    def start_from(self, sound: MadeSound) -> Updates:
        """Make the next sound go on from this one."""
        return {
            self.source: str(sound.file),
            self.go_on: gr.update(open=True),
            self.status: "<p>The next sound goes on from this one. Say what follows, and press Make.</p>",
        }


def at_once(model: Generator) -> int:
    """How many requests a model serves side by side: an engine several, an `AudioGen` one."""
    return int(getattr(model, "max_batch", 1))


def how_far(state: Making) -> str:
    """What is said while sounds are being made."""
    if state.stopping:
        return STOPPING
    left = "" if state.seconds_left is None else f", about {max(1, round(state.seconds_left))} s left"
    return f"Making: {state.share:.0%}{left}"


def generate_tab(demo: gr.Blocks, chosen: ChosenModel) -> None:
    """Add the tab's content to the page."""
    GenerateTab(chosen).build(demo)
