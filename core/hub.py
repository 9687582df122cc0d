"""Where a model is, by its name: a folder, a bundled model, a model on the Hugging Face hub."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ModelAccessError, ModelError, ModelFolderError

# What is used where no codec is named.
DEFAULT_CODEC = "seanet-16khz"
BUNDLED_MODELS = Path(__file__).resolve().parents[1] / "codecs" / "models"
# Other bundled models, by kind: how a command line names one.
GEN_MODELS = BUNDLED_MODELS.parents[1] / "gen" / "models"
_OPTIONS = {"AudioGen": "--model", "SoundClassifier": "--classifier"}
# Bundled models whose old names are still understood.
RENAMED_MODELS = {"foley-judge": "foley-classifier"}
# A folder with one of these holds a model.
MODEL_FILES = ("config.json", "state_dict.bin", "compression_state_dict.bin", "codicodec.pt")

# What a compressed file may call its codec: a bundled name or a hub id, never a path.
CODEC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def bundled_names(bundled_root: Path) -> list[str]:
    """Names of the models that ship in a folder, sorted."""
    if not bundled_root.is_dir():
        return []
    return sorted(folder.name for folder in bundled_root.iterdir() if (folder / "config.json").is_file())


def resolve_model(
    name: str | os.PathLike[str],
    bundled_root: Path,
    *,
    local_files_only: bool = False,
    revision: str | None = None,
    allow_patterns: Sequence[str] | None = None,
    short_names: Mapping[str, str] | None = None,
) -> Path:
    """Find the folder of a model: an existing folder, else a bundled name, else a hub id ("owner/name").

    A bundled name yields to a folder of that name only if the folder holds a model, so that an unrelated
    folder where the program happens to be started changes nothing.

    Args:
        name: folder, bundled name or hub id.
        bundled_root: folder of the models that ship with the package.
        local_files_only: take hub models from the local cache only.
        revision: branch, tag or commit of a hub model; folders and bundled models have none.
        allow_patterns: the files wanted of a hub model, as shell patterns; all when None.
        short_names: further names that are taken for hub models, and their hub ids.

    Returns:
        The folder, with everything local.

    Raises:
        ValueError: unknown name (the nearest bundled names are listed), or no such model on the hub.
        NotADirectoryError: the name is that of a file.
        OSError: the hub cannot be reached, or the model is not in the local cache.
    """
    text = os.fspath(name)
    text = RENAMED_MODELS.get(text, text)
    short_names = short_names or {}
    known = _known(text, bundled_root, short_names)
    if not text.strip():
        raise ModelError(f"the model name is empty; {known}")
    folder = Path(text).expanduser()
    bundled = bundled_root / text if text in bundled_names(bundled_root) else None
    if folder.is_dir() and (bundled is None or any((folder / file).is_file() for file in MODEL_FILES)):
        return folder
    if bundled is not None:
        return bundled
    if folder.is_file():
        raise ModelFolderError(f"{text} is a file; give the folder that holds the model: {folder.parent}")
    if text in short_names:
        what = f"{text!r} ({short_names[text]} on the hub)"
        return _download(short_names[text], what, known, local_files_only, revision, allow_patterns)
    if not HUB_ID.fullmatch(text):
        _check_kind(text, bundled_root)
        raise ModelError(f"unknown model {text!r}: no such folder and no bundled model; {known}")
    known = f"if it was meant as a folder, there is none of that name; {known}"
    return _download(text, f"the hub model {text!r}", known, local_files_only, revision, allow_patterns)


def _check_kind(name: str, bundled_root: Path) -> None:
    """Raise ModelError where a name is that of a bundled model of another kind, and say how to load that."""
    for root in {BUNDLED_MODELS, GEN_MODELS} - {bundled_root}:
        if name in bundled_names(root):
            kind = json.loads((root / name / "config.json").read_text(encoding="utf-8"))["_class_name"]
            is_codec = root == BUNDLED_MODELS
            call = f"load_codec({name!r})" if is_codec else f"{kind}.from_pretrained({name!r})"
            option = "--codec" if is_codec else _OPTIONS[kind]
            raise ModelError(
                f"{name!r} is of another kind, {'a codec' if is_codec else kind}: it is loaded with {call} "
                f"({option} {name})"
            )


def _known(name: str, bundled_root: Path, short_names: Mapping[str, str]) -> str:
    """The part of an error message that says what a name may be."""
    bundled, fetched = bundled_names(bundled_root), sorted(short_names)
    listed = f"a bundled name ({', '.join(bundled) or 'none'})"
    if name in short_names:
        return f"or use {listed}"
    fitting = [] if name in short_names.values() else [*bundled, *fetched]
    near = difflib.get_close_matches(name, fitting, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(repr(word) for word in near)}? " if near else ""
    apart = f", one that is fetched from the hub ({', '.join(fetched)})" if fetched else ""
    return f"{hint}use a folder, {listed}{apart} or a hub id 'owner/name'"


def _download(
    hub_id: str,
    what: str,
    known: str,
    local_files_only: bool,
    revision: str | None,
    allow_patterns: Sequence[str] | None,
) -> Path:
    """Fetch a hub model into the local cache, or find it there.

    Args:
        hub_id: "owner/name".
        what: what messages call it.
        known: what a name may be, for messages.
        local_files_only, revision, allow_patterns: as in `resolve_model`.
    """
    # Here and not above: what is on disk already should not wait for the hub client's import.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    version = f" at revision {revision!r}" if revision else ""
    try:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=None if allow_patterns is None else list(allow_patterns),
            )
        )
    except GatedRepoError as error:
        raise ModelAccessError(
            f"{what} is gated; accept its terms on its page, then run `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"unknown model, {what}{version}: there is nothing of that name on the hub; {known}"
        ) from error
    except OSError as error:
        raise ModelError(
            f"cannot get {what}{version}: it is not in the local cache and could not be fetched (offline, "
            f"HF_HUB_OFFLINE, or local_files_only); connect once to fetch it; {known}"
        ) from error
