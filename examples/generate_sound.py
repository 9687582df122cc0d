"""Text to sound: the whole way of a prompt in five lines, then what each setting does.

    python examples/generate_sound.py [FOLDER]

Works offline with the model that ships; takes a few seconds on one CPU core. Sounds go to FOLDER (outputs/).
"""

import sys
from pathlib import Path

from soundloom import ArgumentError, AudioGen, GenerationSettings


def main(folder: Path) -> None:
    """Generate a few sounds into a folder."""
    folder.mkdir(parents=True, exist_ok=True)

    # A model is a text encoder, a language model over codes, and a codec that turns codes into sound.
    # The name may also be a folder of your own, or a hub id such as "facebook/audiogen-medium".
    audiogen = AudioGen.from_pretrained("foley")

    # Two prompts are one batch. Each row has a random stream of its own, so that it is the sound that its
    # prompt and seed give alone.
    audio = audiogen.generate(["a dog barks", "heavy rain"], duration=1.0, seed=[7, 8])
    print(f"samples {list(audio.samples.shape)} at {audio.sample_rate} Hz, codes {list(audio.codes.shape)}")
    for index, prompt in enumerate(audio.prompts):
        path = audio.save(folder / f"{prompt.replace(' ', '_')}.wav", index=index, force=True)
        print(f"{prompt!r} with seed {audio.seeds[index]} is in {path}")

    # Temperature 0 takes the likeliest code at every step; top_k and top_p cut the unlikely ones off; a
    # guidance scale above 1 follows the prompt more closely than the model was trained to.
    # All settings are one object; what is said beside it goes before it.
    settings = GenerationSettings(duration=1.0, temperature=0.7, top_k=50, guidance_scale=2.0)
    calm = audiogen.generate("heavy rain", settings, seed=8)

    # A sound can be gone on from. The duration counts both, the beginning comes back as the codec renders it.
    longer = audiogen.generate("a dog barks", duration=2.0, seed=9, continue_from=calm)
    longer.save(folder / "rain_then_dog.wav", force=True)

    # What cannot be done is an error that says what can.
    try:
        audiogen.generate("rain", duration=0.0)
    except ArgumentError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"))
