"""A sound that is heard while it is being made, and one that comes in while it is being coded.

    python examples/stream_sound.py [FOLDER]

Works offline; takes a few seconds on one CPU core. The sound goes to FOLDER (outputs/).
"""

import sys
import time
from pathlib import Path

import torch

from soundloom import Audio, AudioGen


def main(folder: Path) -> None:
    """Stream a generated sound, then run it through the codec piece by piece."""
    folder.mkdir(parents=True, exist_ok=True)
    audiogen = AudioGen.from_pretrained()

    # `stream` takes what `generate` takes and gives the same sound, in chunks [B, C, n] that are ready to be
    # played while the language model works on the next frames. A short first chunk comes soon.
    started = time.perf_counter()
    chunks = []
    for chunk in audiogen.stream(
        "heavy rain", duration=2.0, seed=3, first_chunk_seconds=0.2, chunk_seconds=0.5
    ):
        chunks.append(chunk.samples)
        seconds = chunk.samples.shape[-1] / chunk.sample_rate
        print(f"after {time.perf_counter() - started:.2f} s: {seconds:.2f} s of sound")
    samples = torch.cat(chunks, dim=-1)
    Audio(samples, audiogen.codec.sample_rate).save(folder / "rain.wav", force=True)

    # A codec streams both ways. The state is an object of its own: push samples, get the codes that are
    # certain by now; flush at the end. Nothing lingers on the codec, so it can serve several streams.
    encoder, decoder = audiogen.codec.stream_encoder(), audiogen.codec.stream_decoder()
    print(f"latency: encoder {encoder.latency * 1000:.0f} ms, decoder {decoder.latency * 1000:.0f} ms")
    codes = []
    pieces = []
    with torch.inference_mode():
        for piece in samples.split(1600, dim=-1):  # 0.1 s at 16 kHz, as a sound card would bring it
            codes.append(encoder.push(piece))  # int64 [1, K, t]; t may be 0
            pieces.append(decoder.push(codes[-1]))  # float32 [1, C, n]
        codes.append(encoder.flush())
        pieces += [decoder.push(codes[-1]), decoder.flush()]
        whole = audiogen.codec.encode(samples)

    # Streamed is the same as whole.
    assert torch.equal(torch.cat(codes, dim=-1), whole)
    print(f"codes {list(whole.shape)} in {len(codes)} pieces, the same as of the whole sound")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"))
