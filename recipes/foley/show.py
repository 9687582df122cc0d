"""Draw spectrograms of corpus classes or of generated prompts on one sheet.

python -m soundloom.recipes.foley.show OUT.png --classes dog rain church_bell
python -m soundloom.recipes.foley.show OUT.png --prompts "a dog barks" "heavy rain" --model foley
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .corpus import FoleyCorpus


def draw_sheet(sounds: Sequence[tuple[str, np.ndarray]], sample_rate: int, *, columns: int = 4) -> Figure:
    """Spectrograms (dB below the loudest point) of titled mono sounds `[N]`, `columns` beside each other."""
    rows = math.ceil(len(sounds) / columns)
    figure = Figure(figsize=(3.2 * columns, 2.3 * rows), layout="constrained")
    grid = np.atleast_2d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
    for axes in grid.flat[len(sounds) :]:
        axes.axis("off")
    for axes, (title, samples) in zip(grid.flat, sounds, strict=False):
        n_fft = 512
        padded = np.pad(samples, (0, max(0, n_fft - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[:: n_fft // 4]
        power = np.abs(np.fft.rfft(frames * np.hanning(n_fft), axis=1)) ** 2
        level = 10 * np.log10(power.T + 1e-12)
        extent = (0, len(padded) / sample_rate, 0, sample_rate / 2000)
        axes.imshow(
            level - level.max(), origin="lower", aspect="auto", extent=extent, vmin=-70, vmax=0, cmap="magma"
        )
        axes.set_title(title, fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("kHz")
    for axes in grid[-1]:
        axes.set_xlabel("s")
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m soundloom.recipes.foley.show", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("out", type=Path, help="picture to write (.png, .pdf or .svg)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--classes", nargs="+", help="classes of the corpus, or 'all'")
    what.add_argument("--prompts", nargs="+", help="prompts to generate")
    parser.add_argument("--model", default="foley", help="AudioGen for --prompts (default: foley)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each sound (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    options = parser.parse_args(argv)
    if not options.out.parent.is_dir():
        parser.error(f"the folder {options.out.parent} does not exist; make it first")
    sounds: list[tuple[str, np.ndarray]]
    if options.classes:
        known = FoleyCorpus().class_names
        names = known if options.classes == ["all"] else options.classes
        if unknown := sorted(set(names) - set(known)):
            parser.error(f"unknown classes: {', '.join(unknown)}; known: {', '.join(known)}")
        sample_rate, sounds = 16000, []
        for name in names:
            corpus = FoleyCorpus(
                sample_rate=sample_rate,
                seconds=options.seconds,
                seed=options.seed,
                compositions={"single": 1.0},
                classes=[name],
            )
            sounds.append((name, corpus[0].audio))
    else:
        from ...gen.pipeline import AudioGen

        model = AudioGen.from_pretrained(options.model)
        audio = model.generate(options.prompts, duration=options.seconds, seed=options.seed)
        sample_rate = audio.sample_rate
        sounds = [(p, s.mean(0).numpy()) for p, s in zip(options.prompts, audio.samples, strict=True)]
    draw_sheet(sounds, sample_rate).savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
