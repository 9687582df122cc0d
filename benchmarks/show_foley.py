"""Draw spectrograms of corpus classes or of generated prompts on one sheet.

python benchmarks/show_foley.py OUT.png --classes dog rain church_bell
python benchmarks/show_foley.py OUT.png --prompts "a dog barks" "heavy rain" --model foley
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from soundloom.recipes.foley.corpus import FoleyCorpus
from soundloom.recipes.foley.show import draw_sheet


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
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
        from soundloom.gen.pipeline import AudioGen

        model = AudioGen.from_pretrained(options.model)
        audio = model.generate(options.prompts, duration=options.seconds, seed=options.seed)
        sample_rate = audio.sample_rate
        sounds = [(p, s.mean(0).numpy()) for p, s in zip(options.prompts, audio.samples, strict=True)]
    draw_sheet(sounds, sample_rate).savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
