"""What the Edit tab does to a sound, and what programs call by the names that it has in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ..core.audio import SUBTYPES, write_audio
from ..core.errors import ArgumentError
from ..core.slug import slug
from ..core.sound_description import describe_sound
from ..core.sound_tags import read_tags
from ..gen.editing.sound_editor import SoundEditor
from ..gen.generated_audio import GeneratedAudio
from ..gen.settings import GenerationSettings, check_number
from .checked_upload import NO_SOUND
from .input import read_upload
from .shape_region import shape_region
from .stoppable import Cancel, Stoppable
from .temporary_files import Shelf, failure

# What is done, as the page calls it.
REPLACE, LOOP, EXTEND, VARY, SHAPE = "Replace a part", "Loop", "Go on", "Vary", "Shape a part"
WITH_PART, WITH_PROMPT = (REPLACE, SHAPE), (REPLACE, LOOP, EXTEND, VARY)
MAX_SECONDS = 60.0  # of a sound that is edited here
MAX_MORE = 30.0  # seconds that are added to one at once


class SoundEdits:
    """Edits the sounds of the pages that are open, and of programs.

    Args:
        model: edits them: an AudioGen, or what holds one as its `model`.
        shelf: where edited sounds lie.
        stoppable: runs the work.
    """

    def __init__(self, model: object, shelf: Shelf, stoppable: Stoppable) -> None:
        self._model, self._shelf, self._stoppable = model, shelf, stoppable

    @property
    def editor(self) -> SoundEditor:
        """The model itself, as it is now."""
        found: Any = self._model
        while not isinstance(found, SoundEditor):
            found = found.model
        return found

    async def run(
        self,
        sound: str | None,
        request: gr.Request | None,
        progress: gr.Progress,
        edit: Callable[..., GeneratedAudio | Tensor],
        **settings: Any,
    ) -> tuple[str, int | None]:
        """Read a sound, edit it and write what came of it.

        Args:
            sound: path of the file.
            request, progress: gradio's.
            edit: called with (samples `[C, N]`, sample rate), and of what a model does also with `settings`,
                `progress` and `cancel`.
            settings: generation settings; what is None is left to the default.

        Returns:
            The file, and the seed with which the same edit gives the same sound, if anything was drawn.

        Raises:
            gr.Error: what is wrong.
        """
        if not sound:
            raise failure(NO_SOUND)

        def work(cancel: Cancel) -> tuple[str, int | None]:
            audio = read_upload(sound, limit=MAX_SECONDS)
            found = edit(
                audio,
                GenerationSettings(**{name: value for name, value in settings.items() if value is not None}),
                progress=lambda done, total: progress((done, total), desc="editing", unit="frames"),
                cancel=cancel,
            )
            return self._written(Path(sound), found, audio[1])

        try:
            return await self._stoppable.run(request, work)
        except (ValueError, TypeError, OSError) as error:
            raise failure(error, sound) from error

    async def of_page(
        self,
        what: str,
        sound: str,
        values: Mapping[str, Any],
        request: gr.Request,
        progress: gr.Progress,
    ) -> tuple[str, int | None]:
        """Do what the page asks for; `values` are those of its controls by name."""
        last = request, values["prompt"], _seed(values["seed"]), progress
        match what:
            case "Loop":
                return await self.loop(sound, values["seam"], *last)
            case "Go on":
                return await self.extend(sound, values["more"], *last)
            case "Vary":
                return await self.variation(sound, values["strength"], *last)
            case "Shape a part":
                start, end, gain = values["start"], values["end"], values["gain"]
                fades = values["fade_in"], values["fade_out"]
                return await self.shape(sound, start, end, request, gain, *fades, progress), None
        return await self.inpaint(sound, values["start"], values["end"], *last)

    def _written(
        self, source: Path, found: GeneratedAudio | Tensor, sample_rate: int
    ) -> tuple[str, int | None]:
        """Write an edited sound, with the samples encoded as they were where wav has that."""
        file = self._shelf.place(f"{slug(source.stem)}-edited.wav")
        kept = describe_sound(source).subtype
        subtype = kept if kept in SUBTYPES[".wav"] else None
        if isinstance(found, Tensor):
            write_audio(file, found, sample_rate, subtype=subtype, tags=read_tags(source))
            return str(file), None
        found.save(file, subtype=subtype)
        return str(file), found.seeds[0]

    # --- one function a task, for programs --------------------------------------------------------------

    async def inpaint(
        self,
        sound: str,
        start: float,
        end: float,
        request: gr.Request,
        prompt: str = "",
        seed: int | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> tuple[str, int | None]:
        """Fill a part of a sound anew; every sample outside of it stays as it is.

        Args:
            sound: the sound file, up to a minute.
            start: of the part, seconds.
            end: of the part, seconds.
            prompt: what is to be heard in it; empty: what fits.
            seed: same seed, same sound; none: a new one.

        Returns:
            The edited sound as a wav file, and the seed that it was made with.
        """

        def edit(audio: Any, settings: GenerationSettings, **how: Any) -> GeneratedAudio:
            return self.editor.inpaint(audio, [(start, end)], prompt, settings, **how)

        return await self.run(sound, request, progress, edit, seed=seed)

    async def loop(
        self,
        sound: str,
        seconds: float,
        request: gr.Request,
        prompt: str = "",
        seed: int | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, int | None]:
        """Make a loop of a sound: its end is filled anew so that it runs into the beginning.

        Args:
            sound: the sound file, up to a minute.
            seconds: of the end that are filled anew, at most a third of the sound.
            prompt: what is to be heard there; empty: what fits.
            seed: same seed, same sound; none: a new one.

        Returns:
            The loop as a wav file with loop points, and the seed that it was made with.
        """

        def edit(audio: Any, settings: GenerationSettings, **how: Any) -> GeneratedAudio:
            return self.editor.loop(audio, seconds, prompt, settings, **how)

        return await self.run(sound, request, progress, edit, seed=seed)

    async def extend(
        self,
        sound: str,
        seconds: float,
        request: gr.Request,
        prompt: str = "",
        seed: int | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, int | None]:
        """Make a sound longer: what is there stays as it is, what is added goes on from it.

        Args:
            sound: the sound file, up to a minute.
            seconds: to add, at most 30.
            prompt: what is to be heard in what is added; empty: what fits.
            seed: same seed, same sound; none: a new one.

        Returns:
            The longer sound as a wav file, and the seed that it was made with.
        """

        def edit(audio: Any, settings: GenerationSettings, **how: Any) -> GeneratedAudio:
            check_number("seconds", seconds, 0.0, MAX_MORE, "so many are added at once")
            return self.editor.extend(audio, seconds, prompt, settings, **how)

        return await self.run(sound, request, progress, edit, seed=seed)

    async def variation(
        self,
        sound: str,
        strength: float,
        request: gr.Request,
        prompt: str = "",
        seed: int | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, int | None]:
        """Draw a share of a sound's codes again, the finest first.

        Args:
            sound: the sound file, up to a minute.
            strength: the share, 0 (the codec's copy) to 1 (nothing is left but the length).
            prompt: what the new codes are to be; empty: what the others say.
            seed: same seed, same sound; none: a new one.

        Returns:
            The variation as a wav file, and the seed that it was made with.
        """

        def edit(audio: Any, settings: GenerationSettings, **how: Any) -> GeneratedAudio:
            return self.editor.variation(audio, strength, prompt, settings, **how)

        return await self.run(sound, request, progress, edit, seed=seed)

    async def shape(
        self,
        sound: str,
        start: float,
        end: float,
        request: gr.Request,
        gain: float = 0.0,
        fade_in: float = 0.0,
        fade_out: float = 0.0,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> str:
        """Make a part of a sound louder or quieter, or fade it in or out; no model takes part.

        Args:
            sound: the sound file, up to a minute.
            start: of the part, seconds.
            end: of the part, seconds.
            gain: dB, -60 (silence) to 20; 0 leaves it as it is, and then there must be a fade.
            fade_in: seconds from silence at its start.
            fade_out: seconds to silence at its end.

        Returns:
            The edited sound as a wav file.
        """

        def edit(audio: tuple[Tensor, int], *_: Any, **__: Any) -> Tensor:
            if not (gain or fade_in or fade_out):
                raise ArgumentError("nothing is set, so nothing would change: choose a level or a fade")
            return shape_region(*audio, start, end, gain=gain, fade_in=fade_in, fade_out=fade_out)

        return (await self.run(sound, request, progress, edit))[0]


def _seed(text: str) -> int | None:
    """The seed in a field of the page, which is empty for a new one."""
    try:
        return int(text) if text.strip() else None
    except ValueError:
        raise failure(f"the seed is {text!r}; it must be a whole number, or empty for a new one") from None
