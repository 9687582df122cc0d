"""Upload a model of any kind as it lies on the disk: a folder, a bundled model, a LoRA adapter."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..codecs.registry import CODECS, load_codec
from ..codecs.registry import codec_folder as find_codec
from ..core.checkpoint import CONFIG_FILE, read_config, read_json
from ..core.errors import ModelError, ModelNotFoundError
from ..core.files import check_folder_destination
from ..core.hub import BUNDLED_MODELS, GEN_MODELS, bundled_names, resolve_model
from ..core.push_to_hub import check_repository, stage_folder, upload_folder
from .loading import note_codec
from .lora_loader import WEIGHT_NAME
from .model.lora_file import SUFFIX, LoRAWeights

# Classes that are no codecs, and what core.hub_card.KINDS calls them.
_KINDS = {"AudioGen": "audiogen", "SoundClassifier": "classifier"}


def push_model(
    name: str | os.PathLike[str],
    repo_id: str,
    *,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    create_pr: bool = False,
    revision: str | None = None,
    license: str | None = None,
    reports: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Upload a model without loading it; quantized ones, too.

    Args:
        name: a folder (of an AudioGen, a codec, a classifier), a bundled name, or the file of a LoRA adapter.
        repo_id, commit_message, private, token, create_pr, revision, license, reports: as for `push_to_hub`
            of a model.

    Returns:
        The address of the commit, or of the pull request; errors as of `push_to_hub`, and where there is no
        such model.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "staged")
        stage_model(name, repo_id, folder, license=license, reports=reports)
        return upload_folder(
            folder,
            repo_id,
            commit_message=commit_message,
            private=private,
            token=token,
            create_pr=create_pr,
            revision=revision,
        )


def stage_model(
    name: str | os.PathLike[str],
    repo_id: str,
    folder: str | os.PathLike[str],
    *,
    license: str | None = None,
    reports: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write what `push_model` uploads to a new or empty folder, and upload nothing.

    An AudioGen that names a bundled codec gets it into its folder: another version of soundloom may bring
    another one.

    Returns:
        The folder.
    """
    check_repository(repo_id)
    target = check_folder_destination(folder, force=None)
    common: dict[str, Any] = {"license": license, "reports": reports}
    path = Path(name).expanduser()
    if path.suffix == SUFFIX:
        _stage_adapter(path, repo_id, target, common)
        return target
    source = _find(name)
    config = read_config(source)
    kind = _KINDS.get(config.get("_class_name", ""), "codec")
    if kind == "codec" and config.get("_class_name") not in CODECS:
        found = f"its {CONFIG_FILE} is of {config.get('_class_name')!r}" if config else f"no {CONFIG_FILE}"
        raise ModelError(
            f"{os.fspath(name)} is no model that soundloom uploads ({found}); what can be: "
            f"{', '.join([*_KINDS, *CODECS])}, LoRA files"
        )
    with tempfile.TemporaryDirectory() as work:
        whole = Path(work, "whole")
        codec = config.get("codec")
        if kind == "audiogen" and codec in bundled_names(BUNDLED_MODELS):
            shutil.copytree(source, whole)
            shutil.copytree(find_codec(codec), whole / "codec")
            text = json.dumps(read_json(whole / CONFIG_FILE) | {"codec": None}, indent=2, sort_keys=True)
            (whole / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
            source = whole
        stage_folder(source, target, kind, repo_id, **common)
    if (target / "codec").is_dir():
        note_codec(target / "lm", load_codec(target / "codec"))
    return target


def _find(name: str | os.PathLike[str]) -> Path:
    """The folder of a model that is on this machine."""
    text = os.fspath(name)
    folder = Path(text).expanduser()
    if folder.is_dir() and text.strip():
        return folder
    for root in (GEN_MODELS, BUNDLED_MODELS):
        if text in bundled_names(root):
            return resolve_model(text, root)
    bundled = ", ".join([*bundled_names(GEN_MODELS), *bundled_names(BUNDLED_MODELS)])
    raise ModelNotFoundError(
        f"there is no model {text!r} on this machine; give its folder, a {SUFFIX} file of LoRA, or a bundled "
        f"name ({bundled})"
    )


def _stage_adapter(path: Path, repo_id: str, target: Path, common: Mapping[str, Any]) -> None:
    """A LoRA file with a card, under the name by which it is found in a repository."""
    adapter = LoRAWeights.load(path)
    with tempfile.TemporaryDirectory() as work:
        shutil.copyfile(path, Path(work, WEIGHT_NAME))
        stage_folder(Path(work), target, "lora", repo_id, base_model=adapter.base_model, **common)
