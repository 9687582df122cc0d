"""Temporary files of the demo, and its error messages, which name files without their folders."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path

import gradio as gr

KEEP_SECONDS = 3600  # how long the file of a sound can be downloaded


class Shelf:
    """A temporary folder of files that were made; what is older than an hour is thrown away, at exit all."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="soundloom-"))
        atexit.register(self.close)

    def place(self, name: str) -> Path:
        """Return a fresh path that ends in `name`."""
        for folder in self._folder.iterdir():
            if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._folder)) / name

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self._folder, ignore_errors=True)


def failure(error: Exception | str, *files: str | os.PathLike[str]) -> gr.Error:
    """Return an error to show on the page.

    Args:
        error: what is wrong, in the library's words.
        files: paths on this machine that the words may hold; the page shows their names only.
    """
    text = str(error)
    for file in files:
        text = text.replace(os.fspath(file), Path(file).name)
    return gr.Error(text, title="That did not work", print_exception=False, duration=20)
