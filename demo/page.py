"""The browser demo: type a sentence, hear the sound; drop a sound, see how few numbers it fits into.

`python app.py` in the clone, or `soundloom demo` from anywhere. It needs no network and no ffmpeg: fonts are
the system's, nothing is reported to anyone, and the bundled models are used unless others are named. Each tab
has a file beside this one.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported

import gradio as gr
from starlette.middleware import Middleware

from .page_guard import PageGuard
from .tab_styles import PAGE_CSS
from .temporary_files import KEEP_SECONDS, upload_folder
from .theme import theme

if TYPE_CHECKING:
    from .codecs import Codecs
    from .generator import Generator

MAX_UPLOAD = "512mb"  # ten minutes of the largest usual format fit
MAX_WAITING = 64  # requests; more are told to come back
PUBLIC_LINKS = ".gradio.live"  # names of the links that gradio makes with `share`


def build_demo(
    model: Generator | None = None,
    *,
    name: str = "foley",
    codecs: Codecs | None = None,
    choice: bool = False,
) -> gr.Blocks:
    """Build the demo's page.

    Args:
        model: what generates the sounds; by default the model `name` is loaded.
        name: how the model is called, for the text about it.
        codecs: what the Compress tab offers; by default what is on this machine.
        choice: let the page load other models, from folders of this machine or the hub; not for a page that
            strangers can open.

    Returns:
        The page; show it with `serve`.
    """
    # Not above: --help should not wait for torch.
    from .codecs import Codecs
    from .compress_tab import compress_tab
    from .edit_tab import edit_tab
    from .generate_tab import generate_tab
    from .inside_tab import inside_tab
    from .model_choice import ChosenModel, model_section

    upload_folder()
    if model is None:
        from ..gen.pipeline import AudioGen

        model = AudioGen.from_pretrained(name)
    chosen = ChosenModel(model, name)
    with gr.Blocks(
        title="soundloom", analytics_enabled=False, delete_cache=(KEEP_SECONDS, KEEP_SECONDS)
    ) as demo:
        gr.Markdown("# soundloom\nText to sound, and sound to very few numbers.", elem_id="title")
        with gr.Tab("Make"):
            generate_tab(demo, chosen)
            model_section(chosen, choice=choice)
        with gr.Tab("Edit"):
            edit_tab(demo, chosen)
        with gr.Tab("Compress"):
            on_offer = Codecs() if codecs is None else codecs
            compress_tab(demo, on_offer)
        with gr.Tab("Look inside"):
            inside_tab(demo, on_offer)
    return demo.queue(default_concurrency_limit=1, max_size=MAX_WAITING)


def serve(
    demo: gr.Blocks,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    open_browser: bool = True,
    block: bool = True,
    auth: tuple[str, str] | None = None,
    hosts: Sequence[str] = (),
) -> str:
    """Show a page that `build_demo` made, and print its address.

    Args:
        demo: the page.
        host: address to listen on; "0.0.0.0" lets other machines in.
        port: port to listen on; None takes 7860 or the next one that is free.
        share: also open a public link through Gradio's servers.
        open_browser: open the page in the browser of this machine.
        block: wait until the demo is stopped, by Ctrl+C or SIGTERM; else return at once (stop it with
            `demo.close()`).
        auth: name and password that the page asks for; None: nobody is asked.
        hosts: names that the page may be addressed by, beside localhost, IP addresses and `host`.

    Returns:
        The address of the page.

    Raises:
        OSError: the port is taken.
    """
    names = [*hosts, host, *([PUBLIC_LINKS] if share else [])]
    guard = Middleware(PageGuard, folder=upload_folder(), hosts=names)
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
            css=PAGE_CSS,
            max_file_size=MAX_UPLOAD,
            run_history=False,
            enable_monitoring=False,
            strict_cors=True,
            auth=auth,
            app_kwargs={"middleware": [guard]},
            # Else Gradio asks the page for its head, and where the machine is too busy to answer within
            # seconds, it ends with the advice to share the page publicly.
            _frontend=False,
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
            _wait_for_end()
        except KeyboardInterrupt:
            sys.stdout.write("stopped\n")
        finally:
            demo.close(verbose=False)
    return address


def is_private(host: str) -> bool:
    """Whether an address lets only this machine in."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wait_for_end() -> None:
    """Wait for SIGTERM, after which the program ends as usual and deletes its files; or for Ctrl+C."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = signal.signal(signal.SIGTERM, end)
    try:
        ended.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
