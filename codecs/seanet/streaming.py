"""Stream encoder and decoder of SEANetCodec, equal to encoding and decoding the whole sound.

Every layer passes its state on from chunk to chunk (see layers.py), layers that look ahead emit later, and
the LSTM runs on: streams of causal and of other codecs are equal to the whole sound up to rounding, however
it is cut. A causal codec has the least latency.

Letters: B sounds, C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.threads import is_small, one_thread
from ..precision import check_float32, full_precision
from .layers import StreamState, count_emitted
from .seanet_autoencoder import SEANetAutoencoder

# Longer pushes are cut into pieces of so many samples, which bounds the memory of the activations.
PIECE = 65536


class SEANetStreamEncoder:
    """Push samples, get codes of the frames that are complete. Made by `SEANetCodec.stream_encoder`.

    Args:
        codec: that encodes.
        num_codebooks: how many of its codebooks.

    Attributes:
        latency: seconds, at most, from a frame's first sample to the push that returns its codes.
    """

    def __init__(self, codec: SEANetAutoencoder, num_codebooks: int) -> None:
        check_float32(codec)
        self.codec, self._num_codebooks = codec, num_codebooks
        self._small = is_small(codec)
        self.hop = codec.hop_length
        ahead = 0 if codec.spectral is None else codec.spectral.spectrum.after
        step = 1 if codec.spectral is None else codec.spectral.hop
        layers = list(codec.encoder.model)
        # What the first frame waits for is the most that any waits for.
        needed = next(count for count in range(1, 2**31) if count_emitted(layers, count))
        wanted = needed * step + ahead
        # Samples go in when they complete a frame, a frame at a time: fewer of them would give nothing.
        self._offset = wanted % self.hop
        self.latency = wanted / codec.sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next samples begin a new sound."""
        self._state = StreamState()
        self._analysis = (
            None if self.codec.spectral is None else self.codec.spectral.stream_analysis(self.hop)
        )
        self._waiting: Tensor | None = None
        self._passed = 0

    @full_precision
    @torch.no_grad()
    def push(self, audio: Tensor) -> Tensor:
        """Take samples `[B, C, N]` at the codec's rate, N >= 0; return new codes int64 `[B, K, T]`, T >= 0.

        Raises:
            ValueError: wrong shape, NaN or infinite samples, or another batch size than before.
        """
        if audio.ndim != 3 or audio.shape[2]:
            self.codec.check_audio(audio)
        audio = audio.to(self.codec.device, self.codec.dtype)
        batch = len(audio)
        if self._waiting is not None:
            if self._waiting.shape[:2] != audio.shape[:2]:
                raise ValueError(
                    f"this stream has sounds of shape {list(self._waiting.shape[:2])}, "
                    f"the new samples have shape {list(audio.shape)}; flush or reset it before another sound"
                )
            audio = torch.cat([self._waiting, audio], dim=-1)
        total = self._passed + audio.shape[-1]
        ready = max(0, (total - self._offset) // self.hop * self.hop + self._offset - self._passed)
        self._waiting = audio[..., ready:].clone()
        self._passed += ready
        if ready == 0:
            return self._codes([], batch)
        with one_thread(self._small):
            pieces = audio[..., :ready].split(PIECE, dim=-1)
            return self._codes([self._latent(piece) for piece in pieces], batch)

    @full_precision
    @torch.no_grad()
    def flush(self) -> Tensor:
        """The sound has ended: return the last codes; then begin anew.

        Raises:
            RuntimeError: nothing was pushed.
        """
        rest = self._waiting
        if rest is None or not self._passed + rest.shape[-1]:
            raise RuntimeError("no samples were pushed, so there is nothing to encode")
        self._state.closing = True
        with one_thread(self._small):
            codes = self._codes([self._latent(rest)], len(rest))
        self.reset()
        return codes

    def _latent(self, audio: Tensor) -> Tensor:
        if self._analysis is not None:
            features = self._analysis.push(audio.float())
            if self._state.closing:
                features = torch.cat([features, self._analysis.flush()], dim=-1)
            audio = features.to(self.codec.dtype)
        return self.codec.encoder(audio, self._state)

    def _codes(self, latents: list[Tensor], batch: int) -> Tensor:
        count = self._num_codebooks
        found = [self.codec.quantizer.encode(latent, count) for latent in latents if latent.shape[-1]]
        nothing = torch.zeros(batch, count, 0, dtype=torch.int64, device=self.codec.device)
        return torch.cat([nothing, *found], dim=-1)


class SEANetStreamDecoder:
    """Push codes, get samples. Made by `SEANetCodec.stream_decoder`.

    Attributes:
        latency: seconds, at most, by which the samples lag behind the frames that were pushed.
    """

    def __init__(self, codec: SEANetAutoencoder) -> None:
        self.codec = codec
        self._small = is_small(codec)
        self.hop = codec.hop_length
        layers = list(codec.decoder.model)
        step = 1 if codec.spectral is None else codec.spectral.hop
        behind = 0 if codec.spectral is None else codec.spectral.extra_frames * step
        lags = []
        for frames in range(1, 10_000):
            emitted = max(0, count_emitted(layers, frames) * step - behind)
            lags.append(frames * self.hop - emitted)
            if emitted:  # from here on every frame adds its samples
                break
        self.latency = max(lags) / codec.sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next codes begin a new sound."""
        self._state = StreamState()
        self._synthesis = None if self.codec.spectral is None else self.codec.spectral.stream_synthesis()
        self._last: Tensor | None = None
        self._emitted = 0
        self._frames = 0

    @full_precision
    @torch.no_grad()
    def push(self, codes: Tensor) -> Tensor:
        """Take codes int64 `[B, k, T]`, 1 <= k <= K, T >= 0; return new samples `[B, C, N]`, N >= 0.

        Raises:
            ValueError: wrong shape or type, codes out of range, or another batch size than before.
        """
        if codes.ndim != 3 or codes.shape[2]:
            self.codec.check_codes(codes)
        if self._last is not None and len(self._last) != len(codes):
            raise ValueError(
                f"this stream has {len(self._last)} sounds, the new codes have shape {list(codes.shape)}; "
                "flush or reset it before another sound"
            )
        if codes.shape[-1] == 0:
            return self._nothing(len(codes))
        parts = []
        for piece in codes.to(self.codec.device).split(max(1, PIECE // self.hop), dim=-1):
            latent = self.codec.quantizer.decode(piece).to(self.codec.dtype)
            self._last = latent[..., -1:].clone()
            self._frames += latent.shape[-1]
            parts.append(self._audio(latent))
        audio = torch.cat(parts, dim=-1)
        self._emitted += audio.shape[-1]
        return audio

    @full_precision
    @torch.no_grad()
    def flush(self) -> Tensor:
        """The sound has ended: return the last samples; then begin anew. Nothing pushed gives no samples."""
        if self._last is None:
            return self._nothing(1)
        ends = torch.cat([self._last[..., :0], *[self._last] * self.codec.extra_frames], dim=-1)
        self._state.closing = True
        audio = self._audio(ends)[..., : self._frames * self.hop - self._emitted]
        self.reset()
        return audio

    def _audio(self, latent: Tensor) -> Tensor:
        with one_thread(self._small):
            audio = self.codec.decoder(latent, self._state)
            if self._synthesis is None:
                return audio
            held = latent.repeat_interleave(self.codec.settings.hop, dim=-1)
            return self._synthesis.push(audio.float(), held.float())

    def _nothing(self, batch: int) -> Tensor:
        return torch.zeros(batch, self.codec.channels, 0, device=self.codec.device)
