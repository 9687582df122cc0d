"""A cache of loaded codecs, by the names in compressed files."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..base import Codec
from ..container import ContainerError
from ..registry import codec_folder, hub_codecs, load_codec

if TYPE_CHECKING:
    from ..encodec.model import EnCodec


class CodecShelf:
    """Finds the codecs of compressed files by the name in their headers, and loads each only once.

    Only what is on this machine is loaded: a file must not make its reader fetch a model.

    Args:
        device: where the codecs go.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._codecs: dict[str, Codec] = {}
        self._lock = threading.Lock()

    def find_encodec(self, name: str, source: str) -> EnCodec:
        """The EnCodec of that name, which made the file `source`; errors as for `find`."""
        from ..encodec.model import EnCodec

        codec = self.find(name, source)
        assert isinstance(codec, EnCodec)
        return codec

    def find(self, name: str, source: str) -> Codec:
        """The codec of that name, which made the file `source`.

        Raises:
            ContainerError: it is not here, or cannot be loaded; the message has the fix.
        """
        with self._lock:
            if name not in self._codecs:
                try:
                    codec = load_codec(name, device=self._device, local_files_only=True)
                except (ValueError, OSError, ImportError) as error:
                    # The name is the file's: guesses at what else may have been meant are of no use.
                    why = f"cannot be loaded ({error})" if _has_folder(name) else "is not here"
                    on_hub = name in hub_codecs() or "/" in name
                    given = f"--codec {name}, which fetches it" if on_hub else "--codec FOLDER or NAME"
                    raise ContainerError(
                        f"{source} was made with the codec {name!r}, which {why}; give it: {given}, in "
                        "Python codec=load_codec(…)"
                    ) from error
                self._codecs[name] = codec
            return self._codecs[name]


def _has_folder(name: str) -> bool:
    """Whether there is anything of that name on this machine."""
    try:
        codec_folder(name, local_files_only=True)
    except (ValueError, OSError):
        return False
    return True
