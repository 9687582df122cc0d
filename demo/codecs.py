"""The codecs that the demo offers: those on this machine, so that no page waits for a download."""

from __future__ import annotations

import threading

from ..codecs.base import Codec
from ..codecs.frames.storage import Storage, choose_storage, storages
from ..codecs.registry import hub_codecs, is_local, load_codec
from ..core.hub import BUNDLED_MODELS, DEFAULT_CODEC, bundled_names


class Codecs:
    """The codecs on offer; each is loaded when it is first used, and kept.

    Args:
        loaded: codecs that are there already, by the name under which they are offered.
    """

    def __init__(self, loaded: dict[str, Codec] | None = None) -> None:
        self._loaded = dict(loaded or {})
        bundled = sorted(bundled_names(BUNDLED_MODELS), key=lambda name: name != DEFAULT_CODEC)
        here = [*bundled, *filter(is_local, hub_codecs())]
        self.names = list(dict.fromkeys([*self._loaded, *here]))
        self._lock = threading.Lock()

    def get(self, name: str) -> Codec:
        """Return a codec.

        Raises:
            ValueError: one that is not on offer.
        """
        if name not in self.names:
            raise ValueError(
                f"this needs the codec {name!r}, which this machine does not have; it has: "
                f"{', '.join(self.names) or 'none'}"
            )
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_codec(name, local_files_only=True)
            return self._loaded[name]

    def storages(self, name: str) -> dict[str, Storage]:
        """What a codec can store, by what it is called on the page, from few bits to many."""
        offered = storages(self.get(name))
        most = max((storage.shape[0] for storage in offered if storage.kind == "codes"), default=0)
        return {_label(storage, most): storage for storage in offered}

    def usual_storage(self, name: str) -> str:
        """The one of `storages` that the codec takes unless it is told otherwise."""
        usual = choose_storage(self.get(name))
        return next(label for label, storage in self.storages(name).items() if storage == usual)


def _label(storage: Storage, most: int) -> str:
    """What a storage is called, for example "1.5 kbit/s, 3 of 4 codebooks"."""
    rate = f"{storage.bitrate / 1000:.4g} kbit/s"
    if storage.kind == "codes":
        return f"{rate}, {storage.shape[0]} of {most} codebooks" if most > 1 else rate
    return f"{rate}, {storage.precision}"
