"""Temporary files of the demo, and its error messages, which name files without their folders."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

import gradio as gr

from ..gen.settings import OPTIONS

KEEP_SECONDS = 3600  # how long the file of a sound can be downloaded
TOAST_SECONDS = 8


class Shelf:
    """A temporary folder of files that were made; what is older than an hour is thrown away, at exit all.

    Only this user may read it.
    """

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
        atexit.unregister(self.close)


@cache
def upload_folder() -> Path:
    """The folder of what pages send and of what gradio keeps; private to this user, deleted at exit.

    The environment variable GRADIO_TEMP_DIR may name another one, which stays. Call it before a page is
    built: gradio's components look for their folder when they are made.
    """
    if named := os.environ.get("GRADIO_TEMP_DIR"):
        return Path(named)
    folder = Path(tempfile.mkdtemp(prefix="soundloom-uploads-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # gradio has no other way to be told
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def page_words(error: Exception | str, *files: str | os.PathLike[str], by_label: bool = True) -> str:
    """A message as the page shows it: settings by the names of their controls, files without their folders.

    Args:
        error: what is wrong, in the library's words.
        files: paths on this machine that the words may hold.
        by_label: call settings as their controls; programs know them by their own names.
    """
    text = str(error)
    for file in files:
        text = text.replace(os.fspath(file), Path(file).name)
    if not by_label:
        return text
    for name, option in OPTIONS.items():
        if option.label:
            where = rf"\b{name}\b" if "_" in name else rf"\b{name}\b(?= is\b)"
            text = re.sub(where, option.label.partition(" (")[0], text)
    first = text.partition(" ")[0]
    return text if "." in first else text[:1].upper() + text[1:]  # names of files stay as they are


def failure(error: Exception | str, *files: str | os.PathLike[str], by_label: bool = True) -> gr.Error:
    """Return an error to show on the page; arguments as of `page_words`."""
    text = page_words(error, *files, by_label=by_label)
    return gr.Error(text, title="That did not work", print_exception=False, duration=TOAST_SECONDS)
