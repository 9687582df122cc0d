"""Spectral front end of SEANet: magnitudes in, tones and noise with synthesised phases out.

A plain SEANet learns its filter bank and the phase of every partial from the waveform, which takes a large
GPU days. Here the encoder sees log magnitudes of a short-time Fourier transform, and the decoder says for
every bin how strong the tonal and the noisy part of the sound is. Their phases need no bits: those of tones
follow from their frequencies, those of noise are free. At 2 kbit/s all codes are then left for what is heard,
and a small codec learns within an hour on a CPU; in return the result is no copy of the waveform (its SI-SDR
is meaningless).

Bins follow the Rice distribution: a tone of amplitude A in complex Gaussian noise of deviation s per
quadrature gives a magnitude r with density r / s^2 exp(-(r^2 + A^2) / 2 s^2) I0(r A / s^2), and training
maximises its likelihood, so that the network itself learns which sounds are tones and which are noise.

Sources: S. O. Rice, "Mathematical analysis of random noise" (1945); the phases of tones after Beauregard,
Harish and Wyse, "Single pass spectrogram inversion" (2015); noise substitution as in MPEG-4 AAC.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.spectra import mel_filters
from .griffin_lim import AROUND, GriffinLimRound
from .short_time_spectrum import ShortTimeSpectrum, overlap_add
from .texture import TextureNetwork, TextureStream

FLOOR = 2e-4  # smallest magnitude told apart from silence
GATE = 1.6 * FLOOR  # amplitude of silence as it is described; its power is taken off every amplitude's
MAX_LOG = 6.0  # natural logarithm of the largest magnitude
FLATTEST = 0.5  # bend of log amplitudes at a peak, nepers, that still is a tone's; a Hann window's is above 1
SILENT = 1e-3  # power of a frame below which a difference of levels hardly counts
PIECE = 256  # frames that are synthesised at once, which bounds the memory of their spectra
LOUDEST = 0.5  # mean square of a frame's magnitudes for a sine of full scale


def rice_loss(magnitude: Tensor, log_tone: Tensor, log_noise: Tensor) -> Tensor:
    """Negative log likelihood of magnitudes, per bin, up to a constant.

    Args:
        magnitude: at least FLOOR.
        log_tone: natural logarithm of the tonal amplitude.
        log_noise: of the noise's deviation per quadrature.
    """
    precision = torch.exp(-2 * log_noise)
    tone = log_tone.exp()
    product = magnitude * tone * precision
    bessel = torch.special.i0e(product).clamp_min(1e-30).log()
    # -log r keeps the figure comparable between loud and soft sounds; it has no gradient.
    return 2 * log_noise - 2 * magnitude.log() + 0.5 * (magnitude - tone).square() * precision - bessel


def split_description(described: Tensor) -> tuple[Tensor, Tensor]:
    """The decoder's output `[B, 2 bins, T]` -> log amplitudes of tones and of noise, `[B, bins, T]` each.

    The noise is kept within 40 dB below the tone: nothing is known more exactly.
    """
    level, ratio = described.float().chunk(2, dim=1)  # [B, bins, T] each
    level = level.clamp(math.log(FLOOR) - 1, MAX_LOG)
    # level is the size of both together; the ratio turns it from noise (-) to tone (+)
    ratio = 4.6 * torch.tanh(ratio / 4.6)
    log_tone = level + 0.5 * F.logsigmoid(2 * ratio)
    log_noise = level + 0.5 * F.logsigmoid(-2 * ratio) - 0.5 * math.log(2)
    return log_tone, torch.logaddexp(log_noise, log_noise.new_tensor(math.log(FLOOR)))


def within_full_scale(log_tone: Tensor, log_noise: Tensor) -> tuple[Tensor, Tensor]:
    """Turn frames `[B, bins, T]` that are louder than a sine of full scale down to it.

    What networks say of tones that are unlike those of their training is at times 20 dB too loud: no sound
    within full scale has such a frame.
    """
    power = ((2 * log_tone).exp() + 2 * (2 * log_noise).exp()).mean(1, keepdim=True)
    over = 0.5 * (power / LOUDEST).log().clamp_min(0.0)
    return log_tone - over, log_noise - over


class PhaseTracker:
    """Gives the bins of tones phases that go on from frame to frame.

    Every local maximum of a frame is taken as a sinusoid; its frequency comes from a parabola through the log
    amplitudes, its phase from the frame before, and the bins around it turn with it. A bin that is not heard
    has no phase to go on from: which of the maxima of silence is the highest is a matter of rounding.

    Args:
        hop: samples from frame to frame; the transform has 2 * hop bins.
    """

    def __init__(self, hop: int) -> None:
        self.turn_per_bin = 2 * math.pi * hop / (4 * hop)
        self._phase: Tensor | None = None
        self._frequency: Tensor | None = None

    def __call__(self, log_tone: Tensor) -> Tensor:
        """Log amplitudes `[B, bins, T]` of the next frames -> phases in radians, same shape."""
        peak, frequency = self._peaks(log_tone)
        heard = log_tone > math.log(GATE)
        bins = torch.arange(log_tone.shape[1], device=log_tone.device, dtype=log_tone.dtype)
        # Frame after frame, [T, B, bins] each.
        peak, frequency, heard = (each.permute(2, 0, 1).contiguous() for each in (peak, frequency, heard))
        kept = torch.where(heard, frequency, bins)  # what the next frame goes on from
        last = torch.cat([frequency[:1] if self._frequency is None else self._frequency[None], kept[:-1]])
        # Each peak turns on by the mean of its frequencies in this frame and the last; its bins turn with it.
        turn = 0.5 * (last.gather(2, peak) + frequency) * self.turn_per_bin
        phase = torch.zeros_like(turn[0]) if self._phase is None else self._phase
        phases = []
        for here, advance, is_heard in zip(peak, turn, heard, strict=True):
            phases.append(torch.remainder(phase.gather(1, here) + advance, 2 * math.pi))
            phase = torch.where(is_heard, phases[-1], 0.0)
        self._phase, self._frequency = phase, kept[-1].clone()
        return torch.stack(phases, dim=-1)

    @staticmethod
    def _peaks(log_tone: Tensor) -> tuple[Tensor, Tensor]:
        """For every bin the nearest local maximum and that one's frequency in bins."""
        bins = log_tone.shape[1]
        padded = F.pad(log_tone.transpose(1, 2), (1, 1), mode="replicate").transpose(1, 2)  # [B, bins + 2, T]
        lower, upper = padded[:, :-2], padded[:, 2:]
        is_peak = (log_tone >= lower) & (log_tone > upper)
        index = torch.arange(bins, device=log_tone.device)[None, :, None].expand_as(log_tone)
        # The nearest maximum below every bin and the nearest above it, and the nearer of both.
        left = torch.where(is_peak, index, -bins).cummax(1).values
        right = torch.where(is_peak, index, 3 * bins).flip(1).cummin(1).values.flip(1)
        nearest = torch.where(index - left <= right - index, left, right)
        nearest = torch.where((nearest < 0) | (nearest >= bins), index, nearest)  # a frame without a peak
        # A window's main lobe bends by more than FLATTEST. The vertex of what is flatter hangs on rounding,
        # and phases would keep the error for good.
        bend = (lower - 2 * log_tone + upper).clamp_max(-FLATTEST)
        offset = (0.5 * (lower - upper) / bend).clamp(-0.5, 0.5)
        return nearest, (index + torch.where(is_peak, offset, 0.0)).gather(1, nearest)


class SpectralTransform(nn.Module):
    """What lies between the waveform and the networks: features for the encoder, sound from the decoder.

    Args:
        hop: samples from frame to frame of the transform; the networks see 2 * hop bins.
        sample_rate: Hz; places the mel bands of the loss.
        ahead: frames by which the decoder's output is late, so that it has seen what follows a frame when it
            describes it.
        rounds: rounds of Griffin and Lim's algorithm that make the phases agree; each looks 3 frames ahead.
        texture: a network that gives the sound the texture that codes do not hold, if there is one.
        period: frames after which the noise repeats. It is one fixed piece of white noise, placed by the
            frame's number, so that the same codes always give the same sound.
    """

    noise: Tensor
    filters: Tensor

    def __init__(
        self,
        hop: int,
        sample_rate: int,
        *,
        ahead: int = 0,
        rounds: int = 0,
        texture: TextureNetwork | None = None,
        period: int = 997,
    ) -> None:
        super().__init__()
        if ahead < 0 or rounds < 0:
            raise ValueError(f"ahead is {ahead} and rounds {rounds}; both must be 0 or more")
        self.ahead = ahead
        self.rounds = rounds
        self.texture = texture
        self.spectrum = ShortTimeSpectrum(hop)
        self.hop = hop
        self.bins = self.spectrum.bins
        samples = torch.randn(1, period * hop, generator=torch.Generator().manual_seed(period))
        around = torch.cat([samples, samples[:, : self.spectrum.size - hop]], dim=1)
        noise = torch.view_as_real(self.spectrum.frames(around)[0] * math.sqrt(2))
        self.register_buffer("noise", noise, persistent=False)
        bank = mel_filters(sample_rate, self.spectrum.size, 80, 30.0, sample_rate / 2).T.contiguous()[:-1]
        self.register_buffer("filters", bank / bank.sum(0).clamp_min(1e-3), persistent=False)

    @property
    def extra_frames(self) -> int:
        """Frames of the decoder's output after a block that still reach into it."""
        late = self.ahead + AROUND * self.rounds + 2
        return late if self.texture is None else late + AROUND + self.texture.look_ahead

    def magnitude(self, audio: Tensor) -> Tensor:
        """Waveform `[B, 1, N]` -> magnitudes `[B, bins, ceil(N / hop)]`, at least FLOOR."""
        return self.spectrum(audio).abs().clamp_min(FLOOR)

    @staticmethod
    def features(magnitude: Tensor) -> Tensor:
        """What the encoder sees of magnitudes: their logarithm, about -1 to 1; same shape."""
        return 0.5 * (torch.log10(magnitude) + 2)

    def losses(self, described: Tensor, magnitude: Tensor) -> dict[str, Tensor]:
        """How well the decoder's output `[B, 2 bins, T]` describes magnitudes `[B, bins, T]`; scalars.

        "likelihood": mean negative log likelihood of a bin, nats, most of it weighted by the root of the
        magnitude, or else the few bins of a tone would not count among all those around it. "mel": distance
        of log power in mel bands (nepers), at the transform's own resolution in time and at a quarter of it.
        "level": distance of the log power of all bins together (nepers), of frames, of eight, of the whole.
        """
        log_tone, log_noise = split_description(described)
        root = magnitude.sqrt()
        weight = 0.2 + 0.8 * root / root.mean(1, keepdim=True)
        surprise = rice_loss(magnitude, log_tone, log_noise)  # [B, bins, T]
        # A tone that is missing altogether is astronomically unlikely: above 4 nats the loss grows like the
        # distance of logarithms, lest single bins rule the gradient.
        surprise = torch.where(surprise < 4, surprise, 4 + 4 * torch.log1p((surprise - 4).clamp_min(0) / 4))
        likelihood = (weight * surprise).mean()
        # Power in mel bands, as it was and as it is described, in frames and in fours of them.
        power, expected = magnitude.square(), (2 * log_tone).exp() + 2 * (2 * log_noise).exp()
        distances, levels = [], []
        for frames in (1, 4):
            wanted, made = (F.avg_pool1d(p, frames, frames) for p in (power, expected))
            if wanted.shape[-1]:
                wanted, made = ((self.filters.t() @ p + 1e-7).log() for p in (wanted, made))
                distances.append(0.5 * (wanted - made).abs().mean())
        for frames in (1, min(8, power.shape[-1]), power.shape[-1]):
            wanted, made = (
                (F.avg_pool1d(p.sum(1, keepdim=True), frames, frames) + SILENT).log()
                for p in (power, expected)
            )
            levels.append(0.5 * (wanted - made).abs().mean())
        return {
            "likelihood": likelihood,
            "mel": torch.stack(distances).mean(),
            "level": torch.stack(levels).mean(),
        }

    def drawn_power(self, described: Tensor) -> Tensor:
        """Draw a power `[B, bins, T]` of those that the decoder's output `[B, 2 bins, T]` stands for.

        Tones get random phases in place of those that go on from frame to frame, noise a random place in the
        fixed piece of noise, as sounds have it. Differentiable; for discriminators.
        """
        log_tone, log_noise = split_description(described)
        batch, _, count = log_tone.shape
        first = torch.randint(0, max(1, self.noise.shape[1] - count), (batch, 1), device=described.device)
        places = (first + torch.arange(count, device=described.device)) % self.noise.shape[1]
        # noise [bins, period, 2] -> [B, bins, T, 2]
        real, imaginary = self.noise[:, places].transpose(0, 1).unbind(-1)
        phase = 2 * math.pi * torch.rand_like(log_tone)
        tone, loudness = log_tone.exp(), log_noise.exp()
        return (tone * phase.cos() + loudness * real).square() + (
            tone * phase.sin() + loudness * imaginary
        ).square()

    def synthesise(self, described: Tensor, tracker: PhaseTracker, first_frame: int = 0) -> Tensor:
        """The decoder's output `[B, 2 bins, T]` -> complex spectrum `[B, bins, T]` before any round."""
        log_tone, log_noise = within_full_scale(*split_description(described))
        frames = torch.arange(first_frame, first_frame + described.shape[-1], device=described.device)
        noise = torch.view_as_complex(self.noise[:, frames % self.noise.shape[1]].contiguous())
        # What was learned from silence is a little above it: make it silent again, and keep what is quiet.
        tone, loudness = (
            ((2 * level).exp() - GATE**2).clamp_min(0.0).sqrt() for level in (log_tone, log_noise)
        )
        return torch.polar(tone, tracker(log_tone)) + loudness * noise

    def audio(self, described: Tensor, latent: Tensor | None = None, *, texture: bool = True) -> Tensor:
        """The decoder's output `[B, 2 bins, T]` -> waveform `[B, 1, (T - extra_frames) * hop]`.

        Args:
            described: the decoder's output.
            latent: what it was made of, `[B, L, t]`, each for T / t frames, where a texture network sees it.
            texture: off goes without that network, which gives a little more of the sound.
        """
        stream = self.stream_synthesis(texture=texture)
        parts = described.split(PIECE, dim=-1)
        if latent is None:
            return torch.cat([stream.push(part) for part in parts], dim=-1)
        held = latent.repeat_interleave(described.shape[-1] // latent.shape[-1], dim=-1)
        pairs = zip(parts, held.split(PIECE, dim=-1), strict=True)
        return torch.cat([stream.push(*pair) for pair in pairs], dim=-1)

    def stream_analysis(self, multiple: int | None = None) -> AnalysisStream:
        """Features chunk by chunk; the end is filled up to a multiple of so many samples (one hop)."""
        return AnalysisStream(self, multiple or self.hop)

    def stream_synthesis(self, *, texture: bool = True) -> SynthesisStream:
        """Waveform chunk by chunk from the decoder's output; perhaps without the texture network."""
        return SynthesisStream(self, self.texture if texture else None)


class AnalysisStream:
    """Waveform in, features out; equal to `features(magnitude(audio))` of the whole."""

    def __init__(self, transform: SpectralTransform, multiple: int) -> None:
        self._transform = transform
        self._multiple = multiple
        self._waiting: Tensor | None = None
        self._received = 0

    def push(self, audio: Tensor) -> Tensor:
        """Samples `[B, 1, n]` -> features `[B, bins, t]` of the frames that are complete, t may be 0."""
        spectrum = self._transform.spectrum
        before = audio.new_zeros(audio.shape[0], spectrum.before) if self._waiting is None else self._waiting
        self._received += audio.shape[-1]
        samples = torch.cat([before, audio[:, 0]], dim=1)
        count = max(0, (samples.shape[1] - spectrum.size) // spectrum.hop + 1)
        self._waiting = samples[:, count * spectrum.hop :]
        if not count:
            return audio.new_zeros(audio.shape[0], self._transform.bins, 0)
        magnitude = spectrum.frames(samples).abs().clamp_min(FLOOR)
        return self._transform.features(magnitude)

    def flush(self) -> Tensor:
        """The frames that were still waiting for samples, which are now taken to be silent."""
        if self._waiting is None:
            raise ValueError("nothing was pushed; push at least one sample before flush")
        missing = -self._received % self._multiple + self._transform.spectrum.after
        return self.push(self._waiting.new_zeros(self._waiting.shape[0], 1, missing))


class SynthesisStream:
    """The decoder's output in, waveform out; what it gives lags `extra_frames` behind what it gets."""

    def __init__(self, transform: SpectralTransform, texture: TextureNetwork | None) -> None:
        self._transform = transform
        self._tracker = PhaseTracker(transform.hop)
        self._rounds = [GriffinLimRound(transform.spectrum) for _ in range(transform.rounds)]
        self._texture = None if texture is None else TextureStream(texture)
        if texture is not None:  # it hears the sound as it would be
            self._rounds.append(GriffinLimRound(transform.spectrum, keep_magnitudes=False))
        self._late = transform.ahead  # frames of the decoder's output that describe nothing, still to come
        self._described = 0
        self._recent: Tensor | None = None  # the last three frames, which later ones overlap
        self._held: Tensor | None = None
        self._frames = 0
        self._skip = transform.spectrum.before  # what lies before the sound

    def push(self, described: Tensor, latent: Tensor | None = None) -> Tensor:
        """Push the decoder's output and the latents that it was made of.

        Args:
            described: `[B, 2 bins, t]`.
            latent: `[B, L, t]`, repeated for every frame of the transform that it describes; a texture
                network wants it.

        Returns:
            Samples `[B, 1, N]`: all blocks that no later frame reaches; N may be 0.
        """
        late = min(self._late, described.shape[-1])
        self._late -= late
        described = described[..., late:]
        spectrum = described.new_zeros(len(described), self._transform.bins, 0, dtype=torch.complex64)
        if described.shape[-1]:
            spectrum = self._transform.synthesise(described, self._tracker, self._described)
        self._described += described.shape[-1]
        for phase_round in self._rounds:
            spectrum = phase_round.push(spectrum)
        if self._texture is not None:
            assert latent is not None
            spectrum = self._texture.push(spectrum, latent)
        return self._overlap(spectrum)

    def _overlap(self, spectrum: Tensor) -> Tensor:
        """Complex frames `[B, bins, t]` -> samples `[B, 1, n]` of all blocks that no later frame reaches."""
        transform, hop, (batch, _, count) = self._transform, self._transform.hop, spectrum.shape
        if not count:
            return torch.zeros(batch, 1, 0, device=spectrum.device)
        frames = transform.spectrum.windowed(spectrum)
        recent = frames.new_zeros(batch, 3, frames.shape[2]) if self._recent is None else self._recent
        frames = torch.cat([recent, frames], dim=1)
        exists = torch.arange(self._frames - 3, self._frames + count, device=frames.device) >= 0
        squares = transform.spectrum.window.square() * exists[None, :, None]
        inside = slice(3 * hop, (3 + count) * hop)
        ready = overlap_add(frames, hop)[:, inside] / overlap_add(squares, hop)[:, inside].clamp_min(1e-8)
        self._recent = frames[:, -3:]
        skipped = min(self._skip, ready.shape[1])
        self._skip -= skipped
        ready = ready[:, skipped:] if self._held is None else torch.cat([self._held, ready[:, skipped:]], 1)
        done = max(0, self._frames - 2)
        self._frames += count
        blocks = max(0, self._frames - 2) - done
        self._held = ready[:, blocks * hop :]
        return ready[:, : blocks * hop].unsqueeze(1)
