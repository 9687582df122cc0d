"""Error classes that a program which uses soundloom may want to catch.

Every one is a `SoundloomError`. Each is also the built-in error that fits, so that code which catches
ValueError or OSError goes on working.
"""

from __future__ import annotations


class SoundloomError(Exception):
    """Base of every error class of soundloom; the message names the value, what is allowed and the fix."""


class ArgumentError(SoundloomError, ValueError):
    """An argument of a call is not possible: a duration, a prompt, a temperature."""


class ModelError(SoundloomError, ValueError, OSError):
    """A model can't be found, fetched or read: an unknown name, a damaged file, weights that do not fit."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """A file of a model, or a whole model, is missing."""


class ModelFolderError(ModelError, NotADirectoryError):
    """A file was given where a model's folder belongs."""


class ModelAccessError(ModelError, PermissionError):
    """A model on the hub is gated: its terms have to be accepted first."""
