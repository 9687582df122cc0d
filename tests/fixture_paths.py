"""Where the reference checkpoints with expected outputs are."""

from __future__ import annotations

import os
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent / "fixtures"
# A folder of further fixtures, each in a folder of its own.
EXTRA = "SOUNDLOOM_EXTRA_FIXTURES"

# Kind -> the file that tells a folder of that kind.
KINDS = {"audiogen": "state_dict.bin", "codicodec": "codicodec.pt"}


def fixture_folders(kind: str) -> list[Path]:
    """Every fixture folder of a kind ("audiogen" or "codicodec"), ours first, then those of `EXTRA`.

    Raises:
        ValueError: unknown kind.
        NotADirectoryError: the variable names something that is not a folder.
    """
    if kind not in KINDS:
        raise ValueError(f"fixture kind {kind!r} is unknown; known: {', '.join(KINDS)}")
    roots = [FIXTURES]
    if os.environ.get(EXTRA):
        extra = Path(os.environ[EXTRA]).expanduser()
        if not extra.is_dir():
            raise NotADirectoryError(f"{EXTRA} is {str(extra)!r}, which is not a folder")
        roots.append(extra)
    marker = KINDS[kind]
    return [folder for root in roots for folder in sorted(root.iterdir()) if (folder / marker).is_file()]
