"""One round of the Griffin-Lim algorithm as a stream: make the phases of overlapping frames agree.

Frames of a short-time spectrum overlap by three quarters, so their phases are not free: most spectra belong
to no sound, and what comes out when their frames are overlapped has other magnitudes. A round overlaps the
frames, transforms that sound again, and keeps the new phases beside the wanted magnitudes. A frame depends on
the three before and the three after it, so rounds can follow each other in a stream that gives exactly what
the whole sound gives, three frames later.

Source: D. W. Griffin and J. S. Lim, "Signal estimation from modified short-time Fourier transform" (1984).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .short_time_spectrum import ShortTimeSpectrum, overlap_add

AROUND = 3  # frames before and after one that overlap it
SILENT = 1e-20  # magnitude below which a bin has no phase


class GriffinLimRound:
    """One round as a stream: push complex frames, get those `AROUND` earlier with phases that agree better.

    Args:
        spectrum: the transform that the frames belong to.
        keep_magnitudes: give the wanted magnitudes the new phases; or else what comes out is the spectrum of
            the sound as it is.
    """

    def __init__(self, spectrum: ShortTimeSpectrum, *, keep_magnitudes: bool = True) -> None:
        self._spectrum = spectrum
        self._keep_magnitudes = keep_magnitudes
        self._wanted: Tensor | None = None  # the last 2 * AROUND frames as they came
        self._frames = 0

    def push(self, wanted: Tensor) -> Tensor:
        """Complex frames `[B, bins, t]` -> the frames that are complete by now, `[B, bins, t']`, t' >= 0."""
        batch, bins, count = wanted.shape
        before = wanted.new_zeros(batch, bins, 2 * AROUND) if self._wanted is None else self._wanted
        wanted = torch.cat([before, wanted], dim=2)
        first = self._frames - 2 * AROUND  # number of the first frame of `wanted`; negative ones do not exist
        self._frames += count
        self._wanted = wanted[..., -2 * AROUND :]
        hop, window = self._spectrum.hop, self._spectrum.window
        frames = self._spectrum.windowed(wanted)
        exists = torch.arange(first, self._frames, device=wanted.device) >= 0
        weights = overlap_add(window.square() * exists[None, :, None], hop).clamp_min(1e-8)
        sound = overlap_add(frames, hop) / weights
        # The first and the last AROUND hops of samples still miss some of their frames.
        whole = sound[:, AROUND * hop : (2 * AROUND + count) * hop]
        if whole.shape[1] < self._spectrum.size:
            return wanted[..., :0]
        heard = self._spectrum.frames(whole)  # [B, bins, count], beginning with frame first + AROUND
        given = heard
        if self._keep_magnitudes:
            size, magnitude = heard.abs(), wanted[..., AROUND : AROUND + heard.shape[-1]].abs()
            # As `polar` of `heard.angle()`, in a third of its time; what is silent has phase 0.
            given = torch.where(size > SILENT, heard * (magnitude / size.clamp_min(SILENT)), magnitude)
        return given[..., max(0, -(first + AROUND)) :]
