"""What entropy coding saves in compressed-audio files, and how fast they are written and read.

    python benchmarks/container.py FOLDER                  # every sound in it, at most 30 s of each
    python benchmarks/container.py FOLDER --codec encodec-24khz --chunks 1 5

Prints two Markdown tables. The first: bits per code in the chunks' payloads, plainly packed, by the adaptive
coder and by the compressors of Python's standard library over 16-bit codes, each only where it is smaller
than plain packing; and bits per second of whole files. The second: frames per second of processor time.
"""

from __future__ import annotations

import argparse
import bz2
import io
import lzma
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from soundloom.codecs import load_codec, read_audio
from soundloom.codecs.container import Compressed, ContainerReader, Header
from soundloom.codecs.container.entropy import encode_adaptive
from soundloom.codecs.container.header import MAX_CODED
from soundloom.codecs.container.packing import pack_codes

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 1, "pb": 1}]


def sixteen(codes: Tensor) -> bytes:
    """Codes `[K, T]` as 16-bit numbers, one codebook after the other."""
    return codes.numpy().astype("<u2").tobytes()


# Name -> a chunk's codes `[K, T]` and the codebook size -> bytes.
CODERS: dict[str, Callable[[Tensor, int], bytes]] = {
    "plain": lambda codes, size: pack_codes(codes.T.reshape(-1).numpy(), size),
    "adaptive": lambda codes, size: encode_adaptive(codes.T.numpy(), size),
    "zlib": lambda codes, size: zlib.compress(sixteen(codes), 9, wbits=-15),
    "bz2": lambda codes, size: bz2.compress(sixteen(codes)),
    "lzma": lambda codes, size: lzma.compress(sixteen(codes), format=lzma.FORMAT_RAW, filters=LZMA),
}


def encode(folder: Path, codec_name: str, seconds: float) -> tuple[list[Tensor], Header]:
    """Codes `[K, T]` of every sound in a folder, and a header for them."""
    codec = load_codec(codec_name)
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        samples, rate = read_audio(path)
        with torch.no_grad():
            found.append(codec.encode(codec.prepare(samples[:, : int(seconds * rate)], rate))[0])
    if not found:
        raise SystemExit(f"no sound in {folder}; files wanted: {', '.join(SUFFIXES)}")
    header = Header(
        codec="benchmark",
        config_hash="0" * 16,
        sample_rate=codec.sample_rate,
        channels=codec.channels,
        length=None,
        kind="codes",
        shape=(codec.num_codebooks,),
        codebook_size=codec.codebook_size,
        frame_rate=Fraction(codec.frame_rate).limit_denominator(2**20),
        frames_per_chunk=1,
        precision="exact",
    )
    return found, header


def chunks(sounds: Sequence[Tensor], frames: int) -> Iterator[Tensor]:
    for codes in sounds:
        yield from codes.split(frames, dim=1)


def compress(codes: Tensor, header: Header, frames: int, entropy: str) -> bytes:
    """A whole file of codes `[K, T]`."""
    length = int(codes.shape[1] * header.sample_rate / header.frame_rate)
    if entropy == "adaptive":
        frames = min(frames, MAX_CODED // header.shape[0])
    made = Header(**{**vars(header), "length": length, "frames_per_chunk": frames, "entropy": entropy})
    return Compressed(made, codes).to_bytes()


def sizes_table(sounds: list[Tensor], header: Header, seconds: list[float]) -> None:
    total = sum(codes.numel() for codes in sounds)
    duration = sum(codes.shape[1] for codes in sounds) / header.frame_rate
    print(
        f"\n{len(sounds)} sounds, {float(duration):.0f} s, {total} codes of {header.codebook_size} values\n"
    )
    print("| chunk (s) | " + " | ".join(CODERS) + " | file, none (bit/s) | file, adaptive (bit/s) |")
    print("|---|" + "---|" * (len(CODERS) + 2))
    for each in seconds:
        frames = max(round(each * header.frame_rate), 1)
        spent = dict.fromkeys(CODERS, 0)
        for part in chunks(sounds, frames):
            plain = len(CODERS["plain"](part, header.codebook_size))
            for name, coder in CODERS.items():
                spent[name] += min(len(coder(part, header.codebook_size)), plain)
        cells = [f"{8 * spent[name] / total:.2f}" for name in CODERS]
        for entropy in ("none", "adaptive"):
            stored = sum(len(compress(codes, header, frames, entropy)) for codes in sounds)
            cells.append(f"{float(8 * stored / duration):.0f}")
        print(f"| {each:g} | " + " | ".join(cells) + " |")


def speed_table(sounds: list[Tensor], header: Header, seconds: list[float]) -> None:
    together = torch.cat(sounds, 1)
    hour = int(3600 * header.frame_rate)
    codes = together.repeat(1, hour // together.shape[1] + 1)[:, :hour]
    print(f"\nAn hour, {hour} frames of {header.shape[0]} codes:\n")
    print(
        "| chunk (s) | entropy | write (frames/s) | read (frames/s) | write (s) | read (s) | 10 s of it (s) |"
    )
    print("|---|---|---|---|---|---|---|")
    for each in seconds:
        frames = max(round(each * header.frame_rate), 1)
        for entropy in ("none", "adaptive"):
            times = [time.process_time()]
            data = compress(codes, header, frames, entropy)
            times.append(time.process_time())
            whole = Compressed.from_bytes(data).frames
            times.append(time.process_time())
            start, stop = int(60 * header.frame_rate), int(70 * header.frame_rate)
            part = ContainerReader(io.BytesIO(data)).read(start, stop)
            times.append(time.process_time())
            assert torch.equal(whole, codes)
            assert torch.equal(part, codes[:, start:stop])
            write, read, seek = (after - before for before, after in pairwise(times))
            rates = f"{hour / write:,.0f} | {hour / read:,.0f} | {write:.2f} | {read:.2f}"
            print(f"| {each:g} | {entropy} | {rates} | {seek:.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--codec", default="seanet-16khz")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each sound, at most (%(default)s)")
    parser.add_argument("--chunks", type=float, nargs="+", default=[1.0, 2.0, 5.0, 10.0], help="seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sounds, header = encode(options.folder, options.codec, options.seconds)
    sizes_table(sounds, header, options.chunks)
    speed_table(sounds, header, options.chunks)


if __name__ == "__main__":
    main()
