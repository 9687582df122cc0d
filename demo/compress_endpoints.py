"""What programs call to compress sounds: one function a task, called as in Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from ..codecs.container import SUFFIX
from ..codecs.frames.storage import choose_storage
from ..core.slug import slug
from .codec_trials import as_data, measure_codecs
from .codecs import Codecs
from .endpoint import endpoint
from .restore import restore
from .roundtrip import round_trip
from .stoppable import Cancel, Stoppable
from .temporary_files import Shelf, failure

Result = TypeVar("Result")


class CompressEndpoints:
    """The functions.

    Args:
        codecs: on offer.
        shelf: where files are written.
        running: runs the work.
    """

    def __init__(self, codecs: Codecs, shelf: Shelf, running: Stoppable) -> None:
        self._codecs, self._shelf, self._running = codecs, shelf, running

    async def compress(
        self,
        sound: str,
        codec: str,
        request: gr.Request,
        bitrate: float | None = None,
        codebooks: int | None = None,
        precision: str | None = None,
    ) -> tuple[str, str, dict[str, Any]]:
        """Compress a sound into a .loom file, and give what comes back from it.

        Args:
            sound: the sound file, up to ten minutes.
            codec: the name of one that is on this machine.
            bitrate: bits per second; the best that the codec has up to that is taken.
            codebooks: in place of a bitrate, how many of a codec's are kept.
            precision: "exact" stores codes, "float16" and "int8" latents.

        Returns:
            The compressed file, what came back as a wav file, and figures: bytes, kbit/s, seconds, distances.
        """

        def work(cancel: Cancel) -> tuple[str, str, dict[str, Any]]:
            model = self._codecs.get(codec)
            storage = choose_storage(model, bitrate=bitrate, codebooks=codebooks, precision=precision or None)
            stem = slug(Path(sound).stem)
            files = self._shelf.place(f"{stem}{SUFFIX}"), self._shelf.place(f"{stem}-{slug(codec)}.wav")
            trip = round_trip(Path(sound), *files, model, storage, lambda share, what: None, cancel)
            told = {
                "codec": trip.codec,
                "bitrate": storage.bitrate,
                "kbps": trip.kbps,
                "seconds": trip.seconds,
                "sample_rate": trip.sample_rate,
                "source_bytes": trip.source_bytes,
                "compressed_bytes": trip.compressed_bytes,
                **{name: value if value == value else None for name, value in trip.metrics.items()},
            }
            return str(files[0]), str(files[1]), told

        return await self._done(sound, request, work)

    async def decompress(self, file: str, request: gr.Request, recover: bool = False) -> str:
        """Decompress a .loom or .ecdc file.

        Args:
            file: the compressed file, of up to ten minutes of sound.
            recover: keep what is intact of a damaged .loom file; what is lost becomes silence.

        Returns:
            The sound as a wav file; where it was recovered, its name says how many seconds of how many.
        """

        def work(cancel: Cancel) -> str:
            target = self._shelf.place(f"{slug(Path(file).stem)}.wav")
            found = restore(
                Path(file), target, self._codecs, lambda share, what: None, cancel, recover=recover
            )
            return str(found.file)

        return await self._done(file, request, work)

    async def compare_codecs(self, sound: str, request: gr.Request) -> list[dict[str, Any]]:
        """Try all codecs that are on this machine at all their rates on the beginning of a sound, and Opus.

        Args:
            sound: the sound file, up to ten minutes.

        Returns:
            A row for each: codec, kbps, mel_distance, log_spectral_distance and si_sdr in dB, and speeds.
        """

        def work(cancel: Cancel) -> list[dict[str, Any]]:
            return as_data(list(measure_codecs(Path(sound), self._codecs, lambda share, what: None, cancel)))

        return await self._done(sound, request, work)

    async def _done(self, path: str, request: gr.Request, work: Callable[[Cancel], Result]) -> Result:
        if not path:
            raise failure("there is no file: give one")
        try:
            return await self._running.run(request, work)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            raise failure(error, path) from error


def compress_endpoints(codecs: Codecs, shelf: Shelf, running: Stoppable) -> None:
    """Add the functions to the page's API."""
    functions = CompressEndpoints(codecs, shelf, running)
    endpoint(
        functions.compress,
        lambda: [
            gr.Audio(label="sound", type="filepath"),
            gr.Textbox(label="codec", value=codecs.names[0]),
            gr.Number(label="bitrate"),
            gr.Number(label="codebooks", precision=0),
            gr.Textbox(label="precision"),
        ],
        lambda: [gr.File(label="compressed"), gr.Audio(label="restored"), gr.JSON(label="figures")],
    )
    endpoint(
        functions.decompress,
        lambda: [gr.File(label="file", type="filepath"), gr.Checkbox(label="recover", value=False)],
        lambda: [gr.Audio(label="sound")],
    )
    endpoint(
        functions.compare_codecs,
        lambda: [gr.Audio(label="sound", type="filepath")],
        lambda: [gr.JSON(label="rows")],
    )
