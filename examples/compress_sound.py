"""Sound to very few numbers and back: codes, a compressed file, a part of it, and how far off it is.

    python examples/compress_sound.py [FOLDER]

Works offline with the codecs that ship; takes a few seconds on one CPU core. Files go to FOLDER (outputs/).
"""

import math
import sys
from pathlib import Path

import torch

from soundloom import Compressed, load_codec, read_audio, write_audio
from soundloom.evaluation.spectral_distance import reconstruction_metrics


def pluck(seconds: float, sample_rate: int) -> torch.Tensor:
    """A plucked string in stereo, `[2, N]`: something to compress."""
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    partials = [(-3.0 * k * time).exp() * (2 * math.pi * 220 * k * time).sin() / k for k in range(1, 9)]
    tone = torch.stack(partials).sum(0)  # [N]
    return 0.3 * torch.stack([tone, 0.8 * tone])


def main(folder: Path) -> None:
    """Compress a sound with two codecs into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_audio(folder / "pluck.wav", pluck(2.0, 44100), 44100, force=True)
    samples, sample_rate = read_audio(folder / "pluck.wav")  # float32 [C, N], Hz

    for name in ("seanet-16khz", "music2latent2"):
        codec = load_codec(name)
        # Any rate and number of channels goes in; how it was is noted in the header.
        compressed = codec.compress(samples, sample_rate)
        path = compressed.save(folder / f"pluck_{name}.loom", force=True)
        restored, rate = codec.decompress(Compressed.load(path))
        assert (restored.shape[-1], rate) == (samples.shape[-1], sample_rate)  # the length comes back exactly
        print(f"{name}: {path.stat().st_size} bytes, {compressed.bitrate / 1000:.2f} kbit/s")

        # A part is decoded without the rest.
        part, _ = codec.decompress(compressed, start=0.5, stop=1.0)
        assert part.shape[-1] == sample_rate // 2

    # Below the files are codes: K small integers a frame. Fewer codebooks are fewer bits and a coarser sound.
    codec = load_codec("seanet-16khz")
    audio = codec.prepare(samples, sample_rate)  # [1, C, N] at the codec's rate and channels
    codes = codec.encode(audio)  # int64 [1, K, T]
    print(f"{list(audio.shape)} samples are {list(codes.shape)} codes, {codec.frame_rate:g} frames a second")
    for kept in codec.codebook_choices:
        decoded = codec.decode(codes[:, :kept], length=audio.shape[-1])
        distance = reconstruction_metrics(decoded[0], audio[0], codec.sample_rate)["mel_distance"]
        print(f"{kept} of {codec.num_codebooks} codebooks: {distance:.1f} dB off on a mel spectrogram")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"))
