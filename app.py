"""The browser demo: type a sentence, hear the sound, see its spectrogram.

`python app.py` in the clone, or `soundloom demo` from anywhere. It needs no network: fonts are the system's,
nothing is reported to anyone, and the bundled model is used unless another one is named.
"""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported

import gradio as gr
import numpy as np

from soundloom.cli import add_demo_arguments, run_demo, run_guarded, slug

if TYPE_CHECKING:
    from PIL.Image import Image

    from soundloom.gen.pipeline import GeneratedAudio

MAX_DURATION = 30.0  # seconds; longer sounds are made on the command line
MAX_SEED = 2**53 - 1  # what a browser counts exactly
KEEP_SECONDS = 3600  # how long the file of a generated sound can be downloaded

EXAMPLES = (
    "a dog barks, then rain",
    "heavy rain with thunder in the background",
    "an owl hoots twice",
    "footsteps on gravel",
    "a church bell rings in the distance",
    "three knocks on a door",
    "a helicopter flies while a siren wails",
    "a small bird chirps quickly",
)

CSS = """
.gradio-container { max-width: 1120px !important; margin: 0 auto !important; }
#title h1 { font-size: 1.9rem; font-weight: 650; letter-spacing: -0.02em; margin: 0.4rem 0 0 0; }
#title p { margin: 0.15rem 0 0.3rem 0; }
#prompt textarea { font-size: 1.1rem; }
#about { margin-top: 0.5rem; border-top: 1px solid var(--border-color-primary); padding-top: 0.8rem; }
#about p { font-size: 0.9rem; max-width: 80ch; }
"""


class LanguageModel(Protocol):
    """What the demo reads off a language model."""

    @property
    def codebook_size(self) -> int: ...


class Generator(Protocol):
    """What the demo asks of a model: `soundloom.gen.pipeline.AudioGen` is one."""

    guidance_scale: float
    top_k: int

    @property
    def lm(self) -> LanguageModel: ...

    def generate(
        self,
        prompts: str,
        duration: float,
        guidance_scale: float,
        temperature: float,
        top_k: int,
        *,
        seed: int | None,
        progress: Callable[[int, int], None],
    ) -> GeneratedAudio:
        """Return one sound for one prompt."""


def theme() -> gr.themes.Base:
    """Return the look of the demo: quiet colours and the fonts that the reader's machine has."""
    return gr.themes.Soft(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"],
    ).set(
        block_border_width="1px",
        block_border_width_dark="1px",
        block_shadow="none",
        input_border_width="1px",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_padding="0",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_label_shadow="none",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        slider_color="*primary_600",
    )


def spectrogram(samples: np.ndarray, sample_rate: int) -> Image:
    """Draw the short-time spectrum of a sound.

    Args:
        samples: float `[N]`, mono, full scale 1.
        sample_rate: Hz.

    Returns:
        A picture: time in seconds, frequency in kHz, level in dB below the loudest bin (80 dB range).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image
    from scipy.signal import stft

    window = max(64, 2 ** round(np.log2(sample_rate * 0.032)))  # 32 ms: syllables and partials both show
    padded = np.pad(samples.astype(np.float64), (0, max(0, window - len(samples))))
    frequencies, times, spectrum = stft(padded, sample_rate, nperseg=window, noverlap=window * 3 // 4)
    magnitude = np.abs(spectrum)
    level = 20 * np.log10(np.maximum(magnitude, 1e-9) / max(float(magnitude.max()), 1e-9))

    figure = Figure(figsize=(6.8, 3.5), dpi=150, layout="constrained")  # no pyplot: it is not thread-safe
    axes = figure.add_subplot()
    mesh = axes.pcolormesh(
        times, frequencies / 1000, level, vmin=-80, vmax=0, cmap="bone_r", shading="gouraud", rasterized=True
    )
    axes.set_xlim(0, len(samples) / sample_rate)
    axes.set_ylim(0, sample_rate / 2000)
    axes.set_xlabel("time (s)", fontsize=12)
    axes.set_ylabel("frequency (kHz)", fontsize=12)
    axes.set_title("spectrogram", fontsize=12, loc="left")
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, ticks=[0, -20, -40, -60, -80])
    bar.set_label("level (dB)", fontsize=12)
    for part in (axes, bar.ax):
        part.tick_params(labelsize=11)
    picture = BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return Image.open(picture).convert("RGB")


class _Shelf:
    """A temporary folder of generated files; what is older than an hour is thrown away."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="soundloom-"))

    def place(self, name: str) -> Path:
        """Return a fresh path that ends in `name`."""
        for folder in self._folder.iterdir():
            if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._folder)) / name

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self._folder, ignore_errors=True)


def about(name: str) -> str:
    """Return Markdown that says what the model `name` knows and under which licence it may be used."""
    if name == "foley":
        from soundloom.recipes.foley import FoleyCorpus

        known = ", ".join(word.replace("_", " ") for word in FoleyCorpus().class_names)
        return (
            "**The model `foley`** is small and ships with the package. It was trained only on synthesised "
            "sounds, so it sounds like a sound-effects synthesiser and not like a recording. It was taught "
            f"these sounds, alone or two together: {known}. These weights are an early checkpoint: rain, "
            "applause, typing, trains and drums come out as themselves, most others not yet. It understands "
            "plain English; it cannot speak or sing. \n"
            "Code and weights: Apache-2.0; what you make with it is yours."
        )
    return (
        f"**The model `{name}`.** The licence of the weights is that of whoever published them: Meta's "
        "AudioGen weights are CC BY-NC 4.0, so what they make is for non-commercial use."
    )


def build_demo(model: Generator | None = None, *, name: str = "foley") -> gr.Blocks:
    """Build the demo's page.

    Args:
        model: what generates the sounds; by default the model `name` is loaded.
        name: how the model is called, for the text about it.

    Returns:
        The page; show it with `serve`.
    """
    if model is None:
        from soundloom.gen.pipeline import AudioGen

        model = AudioGen.from_pretrained(name)
    generator: Generator = model
    with gr.Blocks(
        title="soundloom", analytics_enabled=False, delete_cache=(KEEP_SECONDS, KEEP_SECONDS)
    ) as demo:
        gr.Markdown("# soundloom\nType what you want to hear.", elem_id="title")
        with gr.Tab("Generate"):
            _generate_tab(generator, name)
    return demo.queue(default_concurrency_limit=1, max_size=32)


def _generate_tab(model: Generator, name: str) -> None:
    shelf = _Shelf()
    atexit.register(shelf.close)
    size = model.lm.codebook_size

    def generate(
        prompt: str,
        duration: float,
        guidance: float,
        temperature: float,
        top_k: float,
        seed: float | None,
        fresh: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> tuple[Any, ...]:
        if not prompt.strip():
            gr.Info("The prompt is empty: the model chooses a sound by itself.")
        progress(0, desc="reading the prompt")
        started = time.perf_counter()
        try:
            audio = model.generate(
                prompt,
                duration=duration,
                guidance_scale=guidance,
                temperature=temperature,
                top_k=int(top_k),
                seed=None if fresh or seed is None else int(seed),
                progress=lambda done, total: progress((done, total), desc="generating", unit="frames"),
            )
            took = time.perf_counter() - started
            number = audio.seeds[0]
            file = shelf.place(f"{slug(prompt)}-seed{number}.wav")
            audio.save(file)
        except (ValueError, OSError) as error:
            raise gr.Error(str(error), title="That did not work", print_exception=False) from error
        picture = spectrogram(audio.samples[0].mean(0).cpu().numpy(), audio.sample_rate)
        rate = f"{audio.sample_rate / 1000:g} kHz"
        status = f"{audio.duration:.2f} s of sound in {took:.1f} s · seed {number} · {rate}"
        return (
            str(file),
            gr.update(
                value=picture, alt_text=f"Spectrogram of the sound for the prompt: {prompt}", visible=True
            ),
            gr.update(value=str(file), visible=True),
            number,
            status,
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
    gr.Examples([[text] for text in EXAMPLES], inputs=[prompt], label="Try one of these")
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=300):
            player = gr.Audio(
                label="Sound", type="filepath", interactive=False, buttons=["download"], elem_id="player"
            )
            picture = gr.Image(
                show_label=False,
                interactive=False,
                format="png",
                buttons=[],
                visible=False,
                elem_id="spectrogram",
            )
            status = gr.Markdown(elem_id="status")
            download = gr.DownloadButton("Download the sound", visible=False, elem_id="download")
        with gr.Column(scale=4, min_width=280):
            duration = gr.Slider(
                0.5, MAX_DURATION, value=5, step=0.5, label="Duration (seconds)", elem_id="duration"
            )
            guidance = gr.Slider(
                0,
                10,
                value=model.guidance_scale,
                step=0.1,
                label="Guidance",
                info="Higher follows the prompt more closely.",
            )
            temperature = gr.Slider(
                0,
                2,
                value=1,
                step=0.05,
                label="Temperature",
                info="Higher is more varied, 0 always the same.",
            )
            top_k = gr.Slider(
                0,
                size,
                value=min(model.top_k, size),
                step=1,
                label="Top-k",
                info="Draw from the k likeliest codes; 0 is all.",
            )
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
    gr.Markdown(about(name), elem_id="about")
    gr.on(
        [button.click, prompt.submit],
        generate,
        inputs=[prompt, duration, guidance, temperature, top_k, seed, fresh],
        outputs=[player, picture, download, seed, status],
        concurrency_limit=1,
        show_progress_on=[player],
        api_name="generate",
    )


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


def main() -> int:
    """Run `python app.py`."""
    parser = argparse.ArgumentParser(description="Open soundloom's demo in the browser.")
    add_demo_arguments(parser)
    options = parser.parse_args()
    return run_guarded(lambda: run_demo(options), debug=False)


if __name__ == "__main__":
    sys.exit(main())
