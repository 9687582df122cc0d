"""A user's program, as strict as mypy gets."""

from pathlib import Path

import soundloom
from soundloom import AudioGen, SoundloomError, load_codec
from soundloom.codecs import Compressed
from soundloom.gen import GeneratedAudio


def make(prompt: str, path: Path) -> float:
    model = AudioGen.from_pretrained("foley")
    try:
        audio: GeneratedAudio = model.generate(prompt, duration=2.0, seed=1)
    except SoundloomError as error:
        raise SystemExit(str(error)) from error
    audio.save(path)
    seconds: float = audio.samples.shape[-1] / audio.sample_rate
    return seconds


def squeeze(path: Path) -> Compressed:
    codec = load_codec()
    samples, sample_rate = soundloom.read_audio(path)
    return codec.compress(samples, sample_rate)


print(make("rain", Path("rain.wav")), soundloom.__version__, squeeze(Path("rain.wav")))
