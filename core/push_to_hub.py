"""Upload a model's folder to the Hugging Face hub, with a card and with metadata in its weight files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .errors import ArgumentError, ModelAccessError, ModelError, ModelNotFoundError
from .hub import HUB_ID
from .hub_card import CARD_FILE, model_card
from .safetensors_files import add_metadata
from .version import __version__

# What of a model's folder is uploaded; nothing else, so that what lies beside it by chance stays here.
UPLOADED = ("*.json", "*.safetensors", "*.model", "LICENSE*", "ATTRIBUTION*")
# What an earlier upload left and this one does not replace: a mixture of two models must not load.
OUTDATED = ["*.safetensors", "*.safetensors.index.json"]


class PushToHub:
    """Put before diffusers' ModelMixin: a model with `save_pretrained` gets `push_to_hub`, with a card.

    Attributes:
        card_kind: of core.hub_card.KINDS.
    """

    card_kind: ClassVar[str]

    def push_to_hub(
        self,
        repo_id: str,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        create_pr: bool = False,
        *,
        revision: str | None = None,
        license: str | None = None,
        reports: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Upload the model to the Hugging Face hub, with a card; the repository is made if there is none.

        Args:
            repo_id: "owner/name".
            commit_message: of the commit.
            private: make a new repository private.
            token: of the hub; None: the one of `hf auth login`, or the environment variable HF_TOKEN.
            create_pr: propose the upload as a pull request.
            revision: branch to commit to.
            license: of the weights, one of `core.hub_licenses.LICENSES`; None: as the model says.
            reports: of `soundloom evaluate`, for the card's measured values.

        Returns:
            The address of the commit, or of the pull request.

        Raises:
            ArgumentError: no name of a repository, or a licence that the hub does not know.
            ModelAccessError: the token is missing or may not write there.
            ModelError: the hub cannot be reached, or refuses the upload; the message says why.
        """
        check_repository(repo_id)
        with tempfile.TemporaryDirectory() as work:
            saved, staged = Path(work, "saved"), Path(work, "staged")
            self.save_for_hub(saved)
            stage_folder(saved, staged, self.card_kind, repo_id, license=license, reports=reports)
            return upload_folder(
                staged,
                repo_id,
                commit_message=commit_message,
                private=private,
                token=token,
                create_pr=create_pr,
                revision=revision,
            )

    def save_for_hub(self, folder: Path) -> None:
        """Write the model so that it stands on its own."""
        self.save_pretrained(folder)  # type: ignore[attr-defined]


def check_repository(repo_id: str) -> None:
    """Raise ArgumentError unless this can be a repository of the hub."""
    if not HUB_ID.fullmatch(repo_id):
        raise ArgumentError(f"{repo_id!r} is no repository of the hub; give it as owner/name")


def stage_folder(
    source: Path,
    target: Path,
    kind: str,
    repo_id: str,
    *,
    license: str | None = None,
    reports: Sequence[Mapping[str, Any]] = (),
    base_model: str = "",
) -> None:
    """Put what is uploaded of a model into a new folder, with its card.

    Args:
        source: the model's folder, which stays as it is.
        target: a folder that is not there yet.
        kind: of core.hub_card.KINDS.
        repo_id: what the model will be called.
        license, reports: as for `PushToHub.push_to_hub`.
        base_model: of an adapter: what it was trained on.

    Raises:
        ModelError: the card's front matter is not what the hub reads, or the folder holds no weights.
    """
    files = sorted({file for pattern in UPLOADED for file in source.rglob(pattern) if file.is_file()})
    if not any(file.suffix == ".safetensors" for file in files):
        raise ModelNotFoundError(
            f"{source} holds no .safetensors, and other weights are not uploaded; convert the model first "
            "(soundloom convert, or load it and save_pretrained)"
        )
    card = model_card(source, kind, repo_id, license=license, reports=reports, base_model=base_model)
    told = {"soundloom_version": __version__}
    licenses = card.data.to_dict().get("license") or []
    told |= {"license": licenses if isinstance(licenses, str) else ", ".join(licenses)} if licenses else {}
    for file in files:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        if copy.suffix == ".safetensors":
            add_metadata(copy, told)
    (target / CARD_FILE).write_text(str(card), encoding="utf-8")


def upload_folder(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    create_pr: bool = False,
    revision: str | None = None,
) -> str:
    """Upload all of a folder to a repository; arguments, result and errors as of `PushToHub.push_to_hub`."""
    from huggingface_hub import HfApi  # slow to import
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo_id,
            folder_path=os.fspath(folder),
            commit_message=commit_message or "Upload with soundloom",
            delete_patterns=OUTDATED,
            create_pr=create_pr,
            revision=revision,
        )
    except LocalTokenNotFoundError as error:
        raise ModelAccessError(_log_in(repo_id)) from error
    except OfflineModeIsEnabled as error:
        raise ModelError(
            f"cannot upload to {repo_id!r}: HF_HUB_OFFLINE is set, which forbids it; unset it"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ModelAccessError(f"{_log_in(repo_id)} ({_said(error)})") from error
        raise ModelError(f"the hub refuses the upload to {repo_id!r}: {_said(error)}") from error
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"cannot upload to {repo_id!r}: {_said(error)}; try again") from error
    return str(done.pr_url or done.commit_url)


def _log_in(repo_id: str) -> str:
    return (
        f"the hub wants a token that may write to {repo_id!r}: make one there, then run `hf auth login`, or "
        "set HF_TOKEN"
    )


def _said(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join((getattr(error, "server_message", None) or str(error) or type(error).__name__).split())[
        :300
    ]
