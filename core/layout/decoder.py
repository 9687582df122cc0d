"""libsndfile's decoder, which here reads from the beginning of a file to its end."""

from __future__ import annotations

import soundfile


class Sequential(soundfile.SoundFile):
    """A sound file that is read to its end, wherever its header says that is.

    A soundfile that can seek asks for no more than the header tells of, and goes to a place after each read
    that is inexact in some formats.
    """

    def seekable(self) -> bool:
        """No."""
        return False
