"""Stream encoders and decoders of EnCodec, equal to encoding and decoding the whole sound.

The 24 kHz model is causal, so its layers run on pieces and keep what the next piece needs. It reflects the
sound's first samples to before its beginning, for which the widest layer waits for 7 frames: latency is 7
frames (93 ms) from the first sample on. What comes later waits for one frame (13 ms) in the encoder and for
nothing in the decoder.

The 48 kHz model works on segments of one second: the encoder gives the codes of a segment when it is
complete, the decoder then its samples up to the next one's start. Latency is one segment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ..precision import check_float32, full_precision
from .coded_segments import OverlapAdd
from .segment_codec import SegmentCodec
from .stages import ChainStage, join

# Longer pushes are cut into pieces of so many seconds, which bounds the memory of the activations.
PIECE_SECONDS = 1
# The widest layer at the frame rate has a kernel of 7 and reflects 6 frames, for which it has to see 7.
START_FRAMES = 7


class EnCodecStream(ABC):
    """Takes chunks and gives chunks, as streams.CodecStream says; `latency` is in seconds."""

    latency: float

    def __init__(self, codec: SegmentCodec) -> None:
        self.codec = codec
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next chunk begins a new sound."""
        self._shape: torch.Size | None = None
        self._start()

    @full_precision
    def push(self, chunk: Tensor) -> Tensor:
        """Take the next chunk; return what is new.

        Args:
            chunk: samples float `[B, C, N]`, N >= 0, for an encoder; codes int64 `[B, K, T]`, T >= 0, for a
            decoder.

        Raises:
            ValueError: a chunk that `encode` or `decode` would not take, or with other axes than those
            before.
        """
        if chunk.ndim != 3 or chunk.shape[-1]:
            self._check(chunk)
            if self._shape is not None and self._shape != chunk.shape[:2]:
                raise ValueError(
                    f"this stream has chunks of shape {[*self._shape, 'any']}, not {list(chunk.shape)}; "
                    "flush or reset the stream before another sound"
                )
            self._shape = chunk.shape[:2]
        made = [self._nothing(len(chunk))]
        if chunk.shape[-1]:
            made += [self._run(part) for part in chunk.to(self.codec.device).split(self._piece, dim=-1)]
        return torch.cat(made, dim=-1)

    @full_precision
    def flush(self) -> Tensor:
        """The sound has ended: return the rest; then begin anew."""
        if self._shape is None:
            return self._nothing(1)
        rest = self._end()
        self.reset()
        return rest

    # What a kind of stream has to say.
    _piece: int

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _check(self, chunk: Tensor) -> None: ...

    @abstractmethod
    def _nothing(self, batch: int) -> Tensor: ...

    @abstractmethod
    def _run(self, chunk: Tensor) -> Tensor: ...

    @abstractmethod
    def _end(self) -> Tensor: ...


class StreamEncoder(EnCodecStream):
    """Samples in, codes out. Made by `EnCodec.stream_encoder`."""

    def __init__(self, codec: SegmentCodec, num_codebooks: int | None = None) -> None:
        check_float32(codec)
        super().__init__(codec)
        self._piece = PIECE_SECONDS * codec.sample_rate
        self._codebooks = codec.num_codebooks if num_codebooks is None else num_codebooks

    @full_precision
    def flush(self) -> Tensor:
        """The sound has ended: return the last codes; then begin anew.

        Raises:
            RuntimeError: nothing was pushed.
        """
        if self._shape is None:
            raise RuntimeError("no samples were pushed, so there is nothing to encode")
        return super().flush()

    def _check(self, chunk: Tensor) -> None:
        self.codec.check_audio(chunk)

    def _nothing(self, batch: int) -> Tensor:
        shape = (batch, self._codebooks, 0)
        return torch.zeros(shape, dtype=torch.int64, device=self.codec.device)


class StreamDecoder(EnCodecStream):
    """Codes in, samples out. Made by `EnCodec.stream_decoder`."""

    def __init__(self, codec: SegmentCodec) -> None:
        super().__init__(codec)
        self._piece = PIECE_SECONDS * codec.sample_rate // codec.hop_length

    def _check(self, chunk: Tensor) -> None:
        self.codec.check_codes(chunk)

    def _nothing(self, batch: int) -> Tensor:
        return torch.zeros(batch, self.codec.channels, 0, device=self.codec.device)


class CausalEncoder(StreamEncoder):
    """The 24 kHz encoder."""

    def __init__(self, codec: SegmentCodec, num_codebooks: int | None = None) -> None:
        super().__init__(codec, num_codebooks)
        self.latency = START_FRAMES * codec.hop_length / codec.sample_rate

    def _start(self) -> None:
        self._chain = ChainStage(self.codec.model.encoder.model)

    @torch.no_grad()
    def _run(self, chunk: Tensor) -> Tensor:
        return self._quantize(self._chain.push(chunk.float(), False))

    @torch.no_grad()
    def _end(self) -> Tensor:
        return self._quantize(self._chain.push(None, True))

    def _quantize(self, latent: Tensor | None) -> Tensor:
        if latent is None:
            assert self._shape is not None
            return self._nothing(self._shape[0])
        return self.codec.quantize(latent, self._codebooks)


class CausalDecoder(StreamDecoder):
    """The 24 kHz decoder."""

    def __init__(self, codec: SegmentCodec) -> None:
        super().__init__(codec)
        self.latency = (START_FRAMES - 1) * codec.hop_length / codec.sample_rate

    def _start(self) -> None:
        self._chain = ChainStage(self.codec.model.decoder.model)

    @torch.no_grad()
    def _run(self, chunk: Tensor) -> Tensor:
        # The package has the codebooks first: [B, K, T] -> [K, B, T] -> latent [B, dimension, T]
        return self._audio(self._chain.push(self.codec.model.quantizer.decode(chunk.transpose(0, 1)), False))

    @torch.no_grad()
    def _end(self) -> Tensor:
        return self._audio(self._chain.push(None, True))

    def _audio(self, audio: Tensor | None) -> Tensor:
        assert self._shape is not None
        return self._nothing(self._shape[0]) if audio is None else audio


class SegmentEncoder(StreamEncoder):
    """The 48 kHz encoder."""

    def __init__(self, codec: SegmentCodec, num_codebooks: int | None = None) -> None:
        super().__init__(codec, num_codebooks)
        assert codec.segment_length is not None
        self._size = codec.segment_length
        self.latency = self._size / codec.sample_rate

    def _start(self) -> None:
        self._held: Tensor | None = None
        self._begun = False

    def _run(self, chunk: Tensor) -> Tensor:
        self._held = join(self._held, chunk)
        return self._encode(self._size - 1)

    def _end(self) -> Tensor:
        # What the last segment covers already is not coded again.
        return self._encode(self.codec.segment_overlap if self._begun else 0)

    def _encode(self, enough: int) -> Tensor:
        """Encode and drop segments as long as more than `enough` samples are held."""
        codec, held = self.codec, self._held
        assert held is not None
        made = [self._nothing(len(held))]
        while held.shape[-1] > enough:
            self._begun, enough = True, max(enough, codec.segment_overlap)
            segment = codec.encode_segment(held[..., : self._size], self._codebooks)
            made.append(segment.pack(codec.codebook_size))
            held = held[..., codec.segment_stride :]
        self._held = held.clone()
        return torch.cat(made, dim=-1)


class SegmentDecoder(StreamDecoder):
    """The 48 kHz decoder; codes have to start where a segment starts."""

    def __init__(self, codec: SegmentCodec) -> None:
        super().__init__(codec)
        self.latency = (codec.frames_per_segment - 1) / codec.frame_rate

    def _start(self) -> None:
        self._held: Tensor | None = None
        self._overlap = OverlapAdd(self.codec.segment_stride)

    def _run(self, chunk: Tensor) -> Tensor:
        self._held = join(self._held, chunk)
        return self._decode(self.codec.frames_per_segment)

    def _end(self) -> Tensor:
        audio = join(self._decode(1), self._overlap.flush())
        assert audio is not None
        return audio

    def _decode(self, least: int) -> Tensor:
        """Decode and drop segments as long as that many frames are held."""
        codec, held = self.codec, self._held
        assert held is not None
        made = [self._nothing(len(held))]
        while held.shape[-1] >= least:
            segment = codec.unpack(held[..., : codec.frames_per_segment])
            made.append(self._overlap.push(codec.decode_segment(segment)))
            held = held[..., codec.frames_per_segment :]
        self._held = held.clone()
        return torch.cat(made, dim=-1)
