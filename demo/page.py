"""The browser demo: type a sentence, hear the sound; drop a sound, see how few numbers it fits into.

`python app.py` in the clone, or `soundloom demo` from anywhere. It needs no network and no ffmpeg: fonts are
the system's, nothing is reported to anyone, and the bundled models are used unless others are named. Each tab
has a file beside this one.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported

import gradio as gr

from .temporary_files import KEEP_SECONDS
from .theme import CSS, theme

if TYPE_CHECKING:
    from .codecs import Codecs
    from .generator import Generator

MAX_UPLOAD = "512mb"  # ten minutes of the largest usual format fit


def model_card(name: str) -> str:
    """The card of a model's folder or of a bundled model; empty if it has none here."""
    from ..core.checkpoint import BUNDLED_MODELS
    from ..core.hub_card import card_text

    return next(filter(None, map(card_text, (Path(name).expanduser(), BUNDLED_MODELS / name))), "")


def about(name: str) -> str:
    """Return Markdown that says what the model `name` is, what it can't do, and under which licence it is.

    All of it is the model's own card, where there is one: its first paragraph and its section "What it can't
    do".
    """
    if card := model_card(name):
        sections = card.split("\n## ")
        first = sections[0].strip().split("\n\n")[1:2]  # below the title
        limits = [text.partition("\n")[2] for text in sections[1:] if text.startswith("What it can't do")]
        called = Path(name).expanduser().resolve().name if Path(name).expanduser().is_dir() else name
        return "\n\n".join(text.strip() for text in (f"**The model `{called}`.**", *first, *limits))
    if Path(name).is_dir():
        return (
            f"**The model in the folder `{Path(name).resolve().name}`.** The licence of its weights is that "
            "of whoever made them. What was fine-tuned from Meta's AudioGen stays under CC BY-NC 4.0, for "
            "non-commercial use."
        )
    return (
        f"**The model `{name}`.** The licence of the weights is that of whoever published them: Meta's "
        "AudioGen weights are CC BY-NC 4.0, so what they make is for non-commercial use."
    )


def build_demo(
    model: Generator | None = None, *, name: str = "foley", codecs: Codecs | None = None
) -> gr.Blocks:
    """Build the demo's page.

    Args:
        model: what generates the sounds; by default the model `name` is loaded.
        name: how the model is called, for the text about it.
        codecs: what the Compress tab offers; by default what is on this machine.

    Returns:
        The page; show it with `serve`.
    """
    # Not above: --help should not wait for torch.
    from .codecs import Codecs
    from .compress_tab import compress_tab
    from .generate_tab import generate_tab

    if model is None:
        from ..gen.pipeline import AudioGen

        model = AudioGen.from_pretrained(name)
    generator: Generator = model
    with gr.Blocks(
        title="soundloom", analytics_enabled=False, delete_cache=(KEEP_SECONDS, KEEP_SECONDS)
    ) as demo:
        gr.Markdown("# soundloom\nText to sound, and sound to very few numbers.", elem_id="title")
        with gr.Tab("Generate"):
            generate_tab(demo, generator)
            gr.Markdown(about(name), elem_id="about")
            if card := model_card(name):
                with gr.Accordion("The whole model card", open=False):
                    gr.Markdown(card)
        with gr.Tab("Compress"):
            compress_tab(Codecs() if codecs is None else codecs)
    return demo.queue(default_concurrency_limit=1, max_size=32)


def serve(
    demo: gr.Blocks,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    open_browser: bool = True,
    block: bool = True,
) -> str:
    """Show a page that `build_demo` made, and print its address.

    Args:
        demo: the page.
        host: address to listen on; "0.0.0.0" lets other machines in.
        port: port to listen on; None takes 7860 or the next one that is free.
        share: also open a public link through Gradio's servers.
        open_browser: open the page in the browser of this machine.
        block: wait until the demo is stopped; else return at once (stop it with `demo.close()`).

    Returns:
        The address of the page.

    Raises:
        OSError: the port is taken.
    """
    demo.enable_monitoring = False  # launch does so too, but only after the first requests could have come
    try:
        _, address, _ = demo.launch(
            server_name=host,
            server_port=port,
            share=share,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            theme=theme(),
            css=CSS,
            max_file_size=MAX_UPLOAD,
            run_history=False,
            enable_monitoring=False,
        )
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}, port {port or '7860 to 7959'} ({error}): give another --port, "
            "or none to take a free one"
        ) from error
    sys.stdout.write(f"soundloom is listening on {address}  (stop it with Ctrl+C)\n")
    if demo.share_url:
        sys.stdout.write(f"and publicly on {demo.share_url}\n")
    sys.stdout.flush()
    if block:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.stdout.write("stopped\n")
        finally:
            demo.close(verbose=False)
    return address
