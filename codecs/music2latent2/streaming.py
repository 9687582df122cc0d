"""Stream encoder and decoder of Music2Latent2, equal to encoding and decoding the whole sound.

Letters: B sounds, C channels, N samples, T chunks of S latents of D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.threads import is_small, one_thread
from ..precision import full_precision
from .chunk_decoders import ChunkDecoder
from .consistency_autoencoder import ConsistencyAutoencoder
from .representation import OverlapAdd


class StreamEncoder:
    """Push samples, get latents (or codes) of the chunks that are complete.

    Chunk t needs the samples up to `(t + 1) * chunk_samples` and no look-ahead. Made by
    `Music2Latent2.stream_encoder`.

    Attributes:
        latency: seconds, at most, from a chunk's first sample to the push that returns its latents.
    """

    def __init__(self, model: ConsistencyAutoencoder, *, discrete: bool) -> None:
        self.model, self.discrete = model, discrete
        self.latency = model.settings.chunk_samples / model.sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next samples begin a new sound."""
        self.buffer: Tensor | None = None
        self.received = 0

    @full_precision
    def push(self, audio: Tensor) -> Tensor:
        """Take samples `[B, C, N]`, N >= 0; return what is new, `[B, T, S, D]` or `[B, K, T]`, T >= 0."""
        if audio.ndim != 3 or audio.shape[1] != self.model.channels or audio.shape[2]:
            self.model.check_audio(audio)
        return self._encode(self._extend(audio))

    @full_precision
    def flush(self) -> Tensor:
        """The sound has ended: return the last chunks, filled up with silence; then begin anew.

        Raises:
            RuntimeError: nothing was pushed.
        """
        if self.buffer is None or not self.received:
            raise RuntimeError("no samples were pushed, so there is nothing to encode")
        settings = self.model.settings
        # `edge` more samples complete the last frames; a sound that ends exactly there has no further chunk.
        held = self.buffer.shape[-1] - settings.edge
        chunks = -(-(held + settings.edge) // settings.chunk_samples)
        missing = chunks * settings.chunk_samples - held
        result = self._encode(self._extend(self.buffer.new_zeros(*self.buffer.shape[:2], missing)))
        self.reset()
        return result

    def _extend(self, audio: Tensor) -> Tensor:
        # Frames begin `edge` samples before the sound: silence stands there.
        audio = audio.float().to(self.model.device)
        if self.buffer is None:
            self.buffer = audio.new_zeros(*audio.shape[:2], self.model.settings.edge)
        elif self.buffer.shape[:2] != audio.shape[:2]:
            raise ValueError(
                f"this stream has {list(self.buffer.shape[:2])} sounds and channels, the new samples have "
                f"{list(audio.shape[:2])}; flush or reset it before another sound"
            )
        self.buffer = torch.cat((self.buffer, audio), dim=-1)
        self.received += audio.shape[-1]
        return self.buffer

    def _encode(self, buffer: Tensor) -> Tensor:
        settings = self.model.settings
        size, edge = settings.chunk_samples, settings.edge
        count = (buffer.shape[-1] - edge) // size
        self.buffer = buffer[..., count * size :].clone()
        return self.model.encode_spectrograms(
            (
                self.model.representation.analyse(buffer[..., t * size : (t + 1) * size + edge])
                for t in range(count)
            ),
            batch=len(buffer),
            discrete=self.discrete,
        )


class StreamDecoder:
    """Push latents (or codes), get samples.

    The first chunk gives `chunk_samples - edge` samples, every further one `chunk_samples`; the two-step and
    the parallel procedure hold some chunks back. Made by `Music2Latent2.stream_decoder`.

    Args:
        model: the model.
        decoder: how spectrogram chunks are made.
        exact_edges: drop the faded first and last `edge` samples; see Representation.

    Attributes:
        latency: seconds, at most, by which the samples lag behind the chunks that were pushed.
    """

    def __init__(
        self, model: ConsistencyAutoencoder, decoder: ChunkDecoder, *, exact_edges: bool = True
    ) -> None:
        self.model, self.decoder, self.exact_edges = model, decoder, exact_edges
        lag = decoder.held * model.settings.chunk_samples + (model.settings.edge if exact_edges else 0)
        self.latency = lag / model.sample_rate
        self._small = is_small(model)
        self.reset()

    def reset(self) -> None:
        """Forget everything but the noise source's place: the next latents begin a new sound."""
        self.overlap = OverlapAdd(self.model.representation)
        self.to_drop = self.model.settings.edge if self.exact_edges else 0

    @full_precision
    @torch.no_grad()
    def push(self, latents: Tensor) -> Tensor:
        """Take latents `[B, T, S, D]` or codes `[B, K, T]`, T >= 0; return samples `[B, C, N]`, N >= 0."""
        chunks: list[Tensor] = []
        with one_thread(self._small):
            if not self._empty(latents):
                # [B, T, S, D] -> T chunks of [B, S, D]
                for values in self.model.to_latents(latents).unbind(1):
                    chunks += self.decoder.push(self.model.context(values))
            return self._audio(chunks)

    @full_precision
    @torch.no_grad()
    def flush(self) -> Tensor:
        """The sound has ended: return the last samples; then begin anew."""
        with one_thread(self._small):
            audio = self._audio(self.decoder.flush())
        if self.overlap.tail is not None and not self.exact_edges:
            audio = torch.cat((audio, self.overlap.flush()), dim=-1)
        self.reset()
        return audio

    def _empty(self, latents: Tensor) -> bool:
        """Whether these are well-formed latents or codes of no chunks."""
        config = self.model.settings
        if not isinstance(latents, Tensor):
            return False
        if latents.is_floating_point():
            return latents.ndim == 4 and latents.shape[1:] == (0, config.num_latents, config.latent_dim)
        return self.model.discrete and latents.ndim == 3 and latents.shape[1:] == (config.num_latents, 0)

    def _audio(self, chunks: list[Tensor]) -> Tensor:
        if not chunks:
            shape = self.decoder.shape
            return torch.zeros(shape[0], self.model.channels, 0, device=self.model.device)
        audio = torch.cat([self.overlap.push(chunk) for chunk in chunks], dim=-1)
        dropped = min(self.to_drop, audio.shape[-1])
        self.to_drop -= dropped
        return audio[..., dropped:]
