"""Edits of a model: joins, clicks, what is heard in filled parts, and loops at their seams.

    python benchmarks/editing.py RECORDINGS [--model foley] [--edits 200] [--loops 40] [--unprompted]

RECORDINGS is a folder of sounds, of which those of at least 2.5 s are taken, spread evenly. What the figures
mean is said in evaluation/edits.py. With `--embedder yamnet:FILE` YAMNet hears the filled parts, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import describe_machine

LEAST_SECONDS, MOST_SECONDS = 2.5, 3.0
MOST_RECORDINGS = 60
# What is asked for: classes that foley was taught, each with the tags that are right for it.
ASKED = (
    ("a dog barks", "dog", ("Dog", "Bark", "Bow-wow", "Domestic animals, pets")),
    ("an owl hoots", "owl", ("Owl", "Hoot")),
    ("a frog croaks", "frog", ("Frog", "Croak")),
    ("a siren", "siren", ("Siren", "Emergency vehicle", "Civil defense siren", "Police car (siren)")),
    ("heavy rain", "rain", ("Rain", "Raindrop", "Rain on surface")),
    ("a piano", "piano", ("Piano", "Keyboard (musical)", "Electric piano")),
    ("a drum beat", "drum_beat", ("Drum", "Drum kit", "Percussion", "Bass drum", "Snare drum")),
    ("knocks on a door", "door_knock", ("Knock", "Door", "Tap")),
)


def read_recordings(folder: Path, count: int) -> list[Any]:
    """Samples and rates of sounds that are long enough, spread evenly over the folder."""
    from soundloom.core.audio import SOUND_SUFFIXES
    from soundloom.core.sound_reader import open_sound
    from soundloom.evaluation.evaluate_sounds import spread

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUND_SUFFIXES)
    found = []
    for file in spread(files, min(len(files), 4 * count) or None):
        with open_sound(file) as sound:
            samples = sound.read(0, round(MOST_SECONDS * sound.sample_rate))
            long = samples.shape[-1] >= LEAST_SECONDS * sound.sample_rate
            if long and float(samples.square().mean()) > 1e-6:
                found.append((samples, sound.sample_rate))
    if len(found) < 2:
        raise SystemExit(f"{folder} holds {len(found)} sounds of {LEAST_SECONDS} s or more; 2 are needed")
    return spread(found, min(count, len(found)))


def say(done: int, total: int) -> None:
    """Tell how far it is."""
    if done % 10 == 0 or done == total:
        print(f"{done} of {total}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS")
    parser.add_argument("--model", default="foley", help="bundled name, folder or hub id (default: foley)")
    parser.add_argument("--embedder", metavar="yamnet:FILE", help="let YAMNet hear the filled parts, too")
    parser.add_argument(
        "--unprompted", action="store_true", help="ask for nothing: parts are to be what fits between"
    )
    parser.add_argument("--edits", type=int, default=200, help="default: 200")
    parser.add_argument("--loops", type=int, default=40, help="default: 40")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON to this file")
    options = parser.parse_args(arguments)

    from soundloom.evaluation.edits import Asked, measure_edits, measure_loops
    from soundloom.evaluation.embedders import NamedClassifier
    from soundloom.evaluation.yamnet import YAMNet
    from soundloom.gen.pipeline import AudioGen

    model = AudioGen.from_pretrained(options.model)
    asked = [Asked("", "")] if options.unprompted else [Asked(*one) for one in ASKED]
    tagger = None
    if options.embedder:
        tagger = YAMNet.from_pretrained(options.embedder.removeprefix("yamnet:"))
    result: dict[str, Any] = {"model": options.model, "gaps trained": bool(model.lm.infill_frames)}
    if options.edits:
        recordings = read_recordings(options.recordings, min(options.edits, MOST_RECORDINGS))
        classifier = NamedClassifier.from_pretrained()
        result |= measure_edits(
            model,
            recordings,
            asked,
            classifier,
            tagger=tagger,
            edits=options.edits,
            seed=options.seed,
            progress=say,
        )
    if options.loops:
        prompts = [prompt for prompt, *_ in ASKED]
        result["loops"] = measure_loops(model, prompts, loops=options.loops, seed=options.seed, progress=say)
    result["machine"] = describe_machine("cpu")
    report = json.dumps(result, indent=2)
    print(report)
    if options.json is not None:
        options.json.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
