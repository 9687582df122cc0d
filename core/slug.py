"""Make a file name of a prompt."""

from __future__ import annotations

import re


def slug(prompt: str) -> str:
    """Return a file name stem for a prompt: lower-case words joined by dashes, at most 60 characters."""
    return re.sub(r"[\W_]+", "-", prompt.lower()).strip("-")[:60].rstrip("-") or "sound"
