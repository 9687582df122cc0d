"""The Generate tab: a sentence becomes a sound, heard while it is made."""

from __future__ import annotations

import gradio as gr

from .generation_controls import control, more_controls
from .generator import Generator
from .live import HUSH, live_player
from .sound_maker import MAX_UPLOAD, SoundMaker
from .working import while_working

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


def generate_tab(demo: gr.Blocks, model: Generator) -> None:
    """Add the tab's content to the page."""
    maker = SoundMaker(model)
    prompt, button, stop = _prompt_row()
    gr.Examples([[text] for text in EXAMPLES], inputs=[prompt], label="Try one of these")
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=300):
            player = gr.Audio(
                label="Sound", type="filepath", interactive=False, buttons=["download"], elem_id="player"
            )
            on_air = live_player(maker.live)
            results, picture, download = _results()
            status = gr.Markdown(elem_id="status")
        with gr.Column(scale=4, min_width=280):
            duration = control("duration", model)
            listen = gr.Checkbox(value=True, label="Play while it is made", elem_id="listen")
            with gr.Accordion("More settings", open=False, elem_id="more"):
                more = more_controls(model)
                source = gr.Audio(
                    label=f"Go on from a sound (up to {MAX_UPLOAD:g} s)",
                    type="filepath",
                    sources=["upload"],
                    buttons=[],
                    elem_id="continue-from",
                )
    while_working(
        [button.click, prompt.submit],
        maker.make,
        shown=[stop],
        hidden=[button],
        inputs_kwargs={"prompt": prompt, "duration": duration, "listen": listen, **more, "source": source},
        outputs=[on_air, player, results, picture, download, more["seed"], status],
        show_progress_on=[player],
        api_name="generate",
    )
    stop.click(maker.stop, queue=False, js=HUSH)
    player.play(None, js=HUSH)
    demo.unload(maker.stop)


def _prompt_row() -> tuple[gr.Textbox, gr.Button, gr.Button]:
    """Add the field for the prompt, and the buttons to begin and to stop."""
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
    return prompt, button, stop


def _results() -> tuple[gr.Column, gr.Image, gr.DownloadButton]:
    """Add what is shown of a finished sound: its spectrogram, and the button that downloads it."""
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
    return results, picture, download
