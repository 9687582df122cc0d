"""Choose what a compressed file stores of a codec (bitrate, codebooks, precision), and make its header."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...core.audio import check_rate
from ...core.errors import ArgumentError
from ..container import Header, config_hash
from ..container.header import MAX_CODED, MAX_VALUES
from ..frame_codec import FrameCodec
from ..weights_hash import weights_hash

# A bitrate that is asked for may be exceeded by this share: nominal rates are rounded.
TOLERANCE = 0.02
BITS = {"float16": 16, "int8": 8}


@dataclass(frozen=True)
class Storage:
    """What of a codec is stored.

    Attributes:
        kind: "codes" or "latents".
        precision: "exact" for codes, else "float16" or "int8".
        shape: of a frame: (K,) or (S, D).
        bitrate: bits per second, before entropy coding.
    """

    kind: str
    precision: str
    shape: tuple[int, ...]
    bitrate: float

    def __str__(self) -> str:
        what = codebooks_in_words(self.shape[0]) if self.kind == "codes" else f"{self.precision} latents"
        return f"{self.bitrate / 1000:.3g} kbit/s ({what})"


def codebooks_in_words(count: int) -> str:
    """So many codebooks in words."""
    return f"{count} codebook{'' if count == 1 else 's'}"


def storages(codec: FrameCodec) -> list[Storage]:
    """Everything that a codec can store, by ascending bitrate."""
    found = []
    rate = codec.sample_rate / codec.samples_per_frame
    if codec.discrete:
        bits = math.ceil(math.log2(codec.codebook_size))
        found = [Storage("codes", "exact", (k,), float(k * bits * rate)) for k in codec.codebook_choices]
    if codec.latent_shape is not None:
        values = math.prod(codec.latent_shape)
        found += [
            Storage("latents", name, codec.latent_shape, float(values * bits * rate))
            for name, bits in BITS.items()
        ]
    return sorted(found, key=lambda storage: storage.bitrate)


def choose_storage(
    codec: FrameCodec,
    *,
    bitrate: float | None = None,
    codebooks: int | None = None,
    precision: str | None = None,
) -> Storage:
    """What to store; the arguments are those of `Codec.compress`.

    Raises:
        ValueError: nothing of the codec's fits; the message lists what there is.
    """
    offered = storages(codec)
    kind = type(codec).__name__
    if precision is not None:
        fitting = [s for s in offered if s.precision == precision]
        if not fitting:
            known = ", ".join(dict.fromkeys(s.precision for s in offered))
            raise ArgumentError(f"precision is {precision!r}; {kind} has: {known}")
        offered = fitting
    if codebooks is not None:
        if bitrate is not None:
            raise ArgumentError("bitrate and codebooks say the same in two ways; give one of them")
        fitting = [s for s in offered if s.kind == "codes" and s.shape == (codebooks,)]
        if not fitting:
            known = ", ".join(str(s.shape[0]) for s in offered if s.kind == "codes")
            raise ArgumentError(f"codebooks is {codebooks}; {kind} has: {known or 'none, only latents'}")
        return fitting[0]
    if bitrate is not None:
        if not math.isfinite(bitrate) or bitrate <= 0:
            raise ArgumentError(f"bitrate is {bitrate}; it is a number of bits per second above 0")
        fitting = [s for s in offered if s.bitrate <= bitrate * (1 + TOLERANCE)]
        if not fitting:
            raise ArgumentError(
                f"bitrate {bitrate / 1000:g} kbit/s is too low for {kind}, which has: "
                + ", ".join(map(str, offered))
            )
        return fitting[-1]
    codes = [s for s in offered if s.kind == "codes"]
    usual = [s for s in codes if s.shape == (codec.num_codebooks,)] or codes
    return usual[0] if usual else next(s for s in offered if s.precision in ("float16", precision))


def kept_channels(codec: FrameCodec, channels: int) -> int:
    """Channels that decoding restores of a sound with `channels`: more than the codec has become one."""
    return channels if channels <= codec.channels else 1


def make_header(
    codec: FrameCodec,
    storage: Storage,
    *,
    sample_rate: int,
    channels: int,
    length: int | None,
    entropy: str = "auto",
    scale: float = 1.0,
    name: str | None = None,
) -> Header:
    """The header of a compressed sound.

    Args:
        codec: that encodes.
        storage: see `choose_storage`.
        sample_rate, channels, length: of the sound; length is None while unknown.
        entropy, scale, name: as in `Codec.compress`.

    Raises:
        ValueError: a value outside of what a file can hold, or a codec without a name.
    """
    if entropy not in ("auto", "none"):
        raise ArgumentError(f"entropy is {entropy!r}; allowed: auto, none")
    name = codec.name if name is None else name
    if not name:
        raise ArgumentError(
            "the codec has no name that decoding could find it by: load it with load_codec, or give name"
        )
    weights = weights_hash(codec)
    rate = codec.sample_rate / codec.samples_per_frame
    coder = "adaptive" if entropy == "auto" and storage.kind == "codes" else "none"
    most = max(1, (MAX_CODED if coder == "adaptive" else MAX_VALUES) // math.prod(storage.shape))
    # About a second, and whole segments where they fit, so that a damaged chunk costs no more of them than it
    # must.
    chunk = min(max(1, round(rate / codec.seek_frames)) * codec.seek_frames, most)
    if chunk > codec.seek_frames:
        chunk -= chunk % codec.seek_frames
    return Header(
        codec=name,
        config_hash=config_hash(codec),
        sample_rate=check_rate(sample_rate),
        channels=kept_channels(codec, channels),
        length=length,
        kind=storage.kind,
        shape=storage.shape,
        codebook_size=codec.codebook_size if storage.kind == "codes" else 0,
        frame_rate=rate,
        frames_per_chunk=chunk,
        precision=storage.precision,
        entropy=coder,
        scale=float(scale),
        settings={} if weights is None else {"weights": weights},
    )
