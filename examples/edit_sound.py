"""Edit sounds: fill a part anew, make a loop, vary, change the prompt on the way; and draw what came of it.

    python examples/edit_sound.py [FOLDER [MODEL]]

Works offline with the model that ships; takes some seconds on one CPU core. Sounds and pictures go to FOLDER
(outputs/). The pictures of docs/editing.md are these. MODEL is a folder, bundled name or hub id.
"""

import sys
from pathlib import Path

import torch

from soundloom import AudioGen
from soundloom.core.pictures import SHEET, Spectrogram, spectrogram_figure


def draw(path: Path, sounds: dict[str, torch.Tensor], sample_rate: int, lines: list[list[float]]) -> None:
    """Draw sounds `[N]` side by side, under their names, with dashed lines at these seconds of each."""
    shown = [Spectrogram(samples, sample_rate, name) for name, samples in sounds.items()]
    figure = spectrogram_figure(shown, columns=len(shown), range_db=70, style=SHEET)
    for axes, seconds in zip(figure.axes, lines, strict=False):
        for second in seconds:
            axes.axvline(second, color="white", linestyle="--", linewidth=0.8)
    figure.savefig(path, dpi=SHEET.dpi)


def main(folder: Path, model: str | None = None) -> None:
    """Make and draw an edit, a loop, variations and a sequence."""
    folder.mkdir(parents=True, exist_ok=True)
    audiogen = AudioGen.from_pretrained() if model is None else AudioGen.from_pretrained(model)

    # A part of a sound is filled anew. Outside of it no sample changes, whatever the rate and the channels.
    wind = audiogen.generate("wind", duration=3.0, seed=1)
    edited = audiogen.inpaint(wind, [(1.0, 2.0)], "a siren", seed=3)
    edited.save(folder / "wind_with_siren.wav", force=True)
    changed = (edited.samples != wind.samples)[0, 0].nonzero() / wind.sample_rate
    print(f"samples changed from {float(changed.min()):.2f} to {float(changed.max()):.2f} s")
    draw(
        folder / "edited.png",
        {"wind": wind.samples[0, 0], "1 to 2 s: a siren": edited.samples[0, 0]},
        wind.sample_rate,
        [[], [1.0, 2.0]],
    )

    # The end of a loop runs into its beginning; the .wav says so in its smpl chunk.
    loop = audiogen.generate("a siren", duration=1.5, seed=5, loop=True)
    loop.save(folder / "loop.wav", force=True)
    plain = audiogen.generate("a siren", duration=1.5, seed=5)
    draw(
        folder / "looped.png",
        {"a loop, twice": loop.samples[0, 0].repeat(2), "no loop, twice": plain.samples[0, 0].repeat(2)},
        loop.sample_rate,
        [[loop.duration], [plain.duration]],
    )

    # Variations draw a share of the codes again: finer ones first. Strength 0 is the codec's copy.
    bell = audiogen.generate("a church bell", duration=2.0, seed=1)
    varied = {
        f"strength {strength:g}": audiogen.variation(bell, strength, "a church bell", seed=4).samples[0, 0]
        for strength in (0.0, 0.4, 0.8)
    }
    draw(folder / "varied.png", {"a church bell": bell.samples[0, 0], **varied}, bell.sample_rate, [])

    # A prompt may change on the way.
    walk = audiogen.generate(prompts_at=[(0, "heavy rain"), (1, "a dog barks")], duration=2.0, seed=5)
    walk.save(folder / "rain_then_dog.wav", force=True)
    print(f"{walk.prompts[0]!r} lasts {walk.duration:g} s")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"), *sys.argv[2:3])
