"""What is inside a compressed sound: its codes or latents, changed, and decoded to be heard.

Letters: K codebooks, T frames, S summary embeddings of D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr
import torch
from torch import Tensor

from ..codecs.base import Codec
from ..codecs.code_arithmetic import decode_without, shuffle
from ..codecs.music2latent2.latent_arithmetic import interpolate, swap
from ..core.audio import write_audio
from ..core.errors import ArgumentError
from ..core.limiter import limit
from ..core.slug import slug
from .checked_upload import NO_SOUND
from .codecs import Codecs
from .input import read_upload
from .spectrogram_images import PAGE, as_image
from .stoppable import Cancel, Stoppable, check
from .temporary_files import Shelf, failure

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SECONDS = 10.0
MUTE, SHUFFLE, SWAP, BETWEEN = (
    "Mute",
    "Shuffle in time",
    "Swap with the second sound",
    "Between the two sounds",
)
Result = TypeVar("Result")


@dataclass
class Coded:
    """A sound as a codec codes it.

    Attributes:
        codec: that coded it.
        frames: codes int64 `[1, K, T]`, or latents float32 `[1, T, S, D]`.
        length: samples at the codec's rate.
    """

    codec: Codec
    frames: Tensor
    length: int

    @property
    def latents(self) -> bool:
        """Whether it has latents rather than codes."""
        return self.frames.is_floating_point()

    @property
    def parts(self) -> int:
        """K or S."""
        return self.frames.shape[2 if self.latents else 1]

    def decoded(self, frames: Tensor) -> Tensor:
        """Sound `[C, N]` of frames in place of its own."""
        return limit(self.codec.decode(frames, self.length)[0].float(), self.codec.sample_rate)

    def picture(self) -> Image:
        """The frames over time: a row for each codebook, or for each channel of each embedding."""
        from matplotlib.figure import Figure

        seconds = self.length / self.codec.sample_rate
        figure = Figure(figsize=(9.6, 3.0), dpi=PAGE.dpi, layout="constrained")
        axes = figure.subplots()
        parts = self.parts
        if self.latents:
            rows = self.frames[0].permute(1, 2, 0).flatten(0, 1).cpu()  # [T, S, D] -> [S D, T]
            scale: dict[str, Any] = {"cmap": "PuOr", "vmin": -1.0, "vmax": 1.0}
            what, unit = "summary embedding", "value"
        else:
            rows = self.frames[0].cpu()  # [K, T]
            scale = {"cmap": "viridis", "vmin": 0, "vmax": self.codec.codebook_size - 1}
            what, unit = "codebook", "code"
        image = axes.imshow(
            rows.numpy(),
            aspect="auto",
            interpolation="nearest",
            extent=(0, seconds, parts + 0.5, 0.5),
            **scale,
        )
        axes.set_yticks(range(1, parts + 1))
        for edge in range(1, parts):
            axes.axhline(edge + 0.5, color="white", linewidth=1)
        axes.set_xlabel("time (s)", fontsize=PAGE.font)
        axes.set_ylabel(what, fontsize=PAGE.font)
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.set_label(unit, fontsize=PAGE.font)
        return as_image(figure)


class Inside:
    """Codes sounds, changes what they are coded as, and decodes that.

    Args:
        codecs: on offer.
        shelf: where sounds are written.
        running: runs the work.
    """

    def __init__(self, codecs: Codecs, shelf: Shelf, running: Stoppable) -> None:
        self._codecs, self._shelf, self._running = codecs, shelf, running

    def coded(self, path: str, codec: str) -> Coded:
        """Code a sound file: latents where the codec has them, else codes."""
        model = self._codecs.get(codec)
        audio = model.prepare(*read_upload(path, limit=MAX_SECONDS)).to(model.device)  # [1, C, N]
        if model.latent_shape is not None:
            frames: Any = model
            return Coded(model, frames.encode(audio, discrete=False), audio.shape[-1])
        return Coded(model, model.encode(audio), audio.shape[-1])

    async def run(self, path: str, request: gr.Request | None, work: Callable[[Cancel], Result]) -> Result:
        """Do some work on the sound of a file; what is wrong becomes a gr.Error."""
        if not path:
            raise failure(NO_SOUND)
        try:
            return await self._running.run(request, work)
        except (ValueError, OSError, ImportError) as error:
            raise failure(error, path) from error

    # --- one function a task, for programs --------------------------------------------------------------

    async def encode(self, sound: str, codec: str, request: gr.Request) -> dict[str, Any]:
        """Give the codes or latents of a sound.

        Args:
            sound: the sound file, up to 10 seconds.
            codec: the name of one that is on this machine.

        Returns:
            kind (codes or latents), shape ([K, T] or [T, S, D]), frame_rate in Hz, values.
        """

        def work(cancel: Cancel) -> dict[str, Any]:
            found = self.coded(sound, codec)
            return {
                "kind": "latents" if found.latents else "codes",
                "shape": list(found.frames.shape[1:]),
                "frame_rate": float(found.codec.frame_rate),
                "values": found.frames[0].tolist(),
            }

        return await self.run(sound, request, work)

    async def mute(self, sound: str, codec: str, parts: list[int], request: gr.Request) -> str:
        """Decode a sound without some of its codebooks or summary embeddings.

        Args:
            sound: the sound file, up to 10 seconds.
            codec: the name of one that is on this machine.
            parts: numbers of the codebooks or embeddings that are silent, the first is 1.

        Returns:
            The sound as a wav file.
        """
        return await self.change(MUTE, sound, codec, parts, request)

    async def shuffle(self, sound: str, codec: str, parts: list[int], request: gr.Request) -> str:
        """Decode a sound with some of its codebooks or summary embeddings in another order in time.

        Args:
            sound: the sound file, up to 10 seconds.
            codec: the name of one that is on this machine.
            parts: numbers of the codebooks or embeddings that are shuffled, the first is 1.

        Returns:
            The sound as a wav file.
        """
        return await self.change(SHUFFLE, sound, codec, parts, request)

    async def swap(self, sound: str, second: str, codec: str, parts: list[int], request: gr.Request) -> str:
        """Decode a sound with some codebooks or summary embeddings of a second sound in place of its own.

        Args:
            sound: the sound file, up to 10 seconds.
            second: another one; both are cut to the shorter.
            codec: the name of one that is on this machine.
            parts: numbers of the codebooks or embeddings that are taken from the second, the first is 1.

        Returns:
            The sound as a wav file.
        """
        return await self.change(SWAP, sound, codec, parts, request, second=second)

    async def interpolate(
        self, sound: str, second: str, codec: str, request: gr.Request, amount: float = 0.5
    ) -> str:
        """Decode what lies between the latents of two sounds.

        Args:
            sound: the sound file, up to 10 seconds.
            second: another one; both are cut to the shorter.
            codec: the name of one that is on this machine and has latents.
            amount: 0 is the first, 1 the second.

        Returns:
            The sound as a wav file.
        """
        return await self.change(BETWEEN, sound, codec, [], request, second=second, amount=amount)

    async def change(
        self,
        change: str,
        sound: str,
        codec: str,
        parts: Sequence[int],
        request: gr.Request | None,
        *,
        second: str | None = None,
        amount: float = 0.5,
    ) -> str:
        """Write the sound of changed frames; arguments as of the functions above."""

        def work(cancel: Cancel) -> str:
            first = self.coded(sound, codec)
            other = None
            if change in (SWAP, BETWEEN):
                if not second:
                    raise ArgumentError("there is no second sound: drop one")
                other = self.coded(second, codec)
            check(cancel)
            with torch.inference_mode():
                samples = changed(first, change, [number - 1 for number in parts], other, amount)
            file = self._shelf.place(f"{slug(Path(sound).stem)}-changed.wav")
            return str(write_audio(file, samples, first.codec.sample_rate))

        return await self.run(sound, request, work)


def changed(first: Coded, change: str, parts: list[int], other: Coded | None, amount: float) -> Tensor:
    """Sound `[C, N]` of a coded sound of which some parts, counted from 0, were changed.

    Raises:
        ArgumentError: there is no such part, or none was chosen, or the codec has no such change.
    """
    if change != BETWEEN and not parts:
        raise ArgumentError("nothing is chosen; choose at least one codebook or embedding")
    for number in parts:
        if not 0 <= number < first.parts:
            raise ArgumentError(f"there is no part {number + 1}; they are 1 to {first.parts}")
    if other is not None:
        first, other = _cut_alike(first, other)
    frames = first.frames
    if change == MUTE and not first.latents:
        audio = decode_without(first.codec, frames, parts, first.length)[0]
        return limit(audio, first.codec.sample_rate)
    if change == MUTE:
        frames = frames.clone()
        frames[:, :, parts] = 0.0  # the middle of what a latent can be
    elif change == SHUFFLE:
        # Latents [1, T, S, D] are shuffled as codes: T last.
        frames = (
            shuffle(frames.permute(0, 3, 2, 1), parts).permute(0, 3, 2, 1)
            if first.latents
            else shuffle(frames, parts)
        )
    elif change == SWAP and other is not None:
        if first.latents:
            frames, _ = swap(frames, other.frames, parts)
        else:
            frames = frames.clone()
            frames[:, parts] = other.frames[:, parts]
    elif change == BETWEEN and other is not None:
        if not first.latents:
            raise ArgumentError(
                "between codes there is nothing: choose a codec with latents, such as music2latent2"
            )
        frames = interpolate(frames, other.frames, amount)
    else:
        raise ArgumentError(f"change is {change!r}; allowed are {MUTE}, {SHUFFLE}, {SWAP}, {BETWEEN}")
    return first.decoded(frames)


def _cut_alike(first: Coded, other: Coded) -> tuple[Coded, Coded]:
    """Both cut to as many frames as the shorter has."""
    axis = 1 if first.latents else 2
    frames, length = min(first.frames.shape[axis], other.frames.shape[axis]), min(first.length, other.length)
    one, two = (Coded(each.codec, each.frames.narrow(axis, 0, frames), length) for each in (first, other))
    return one, two
