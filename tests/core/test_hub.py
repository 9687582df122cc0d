"""Where a model is, by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundloom.core.hub import bundled_names, resolve_model


def make_bundled(root: Path, *names: str) -> Path:
    """A folder of bundled models that have a config.json and no weights."""
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text(json.dumps({"_class_name": "SEANetCodec"}))
    return root


def test_existing_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = make_bundled(tmp_path / "bundled", "foley")
    here = tmp_path / "here"
    make_bundled(here, "foley")
    monkeypatch.chdir(here)
    assert resolve_model("foley", bundled) == Path("foley")
    assert resolve_model(here / "foley", bundled) == here / "foley"


def test_unrelated_folder_does_not_hide_a_bundled_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = make_bundled(tmp_path / "bundled", "foley")
    (tmp_path / "foley").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_model("foley", bundled) == bundled / "foley"
    # A folder that no bundled model is named like is taken at its word.
    (tmp_path / "mine").mkdir()
    assert resolve_model("mine", bundled) == Path("mine")


def test_bundled_names_are_folders_with_a_config(tmp_path: Path) -> None:
    bundled = make_bundled(tmp_path / "bundled", "b", "a")
    (bundled / "empty").mkdir()
    (bundled / "file").write_text("")
    assert bundled_names(bundled) == ["a", "b"]
    assert bundled_names(tmp_path / "absent") == []


def test_unknown_name_lists_the_nearest(tmp_path: Path) -> None:
    bundled = make_bundled(tmp_path, "seanet-16khz", "music2latent2")
    with pytest.raises(ValueError, match=r"'seanet-16k'.*did you mean 'seanet-16khz'\?"):
        resolve_model("seanet-16k", bundled)
    with pytest.raises(ValueError, match=r"music2latent2, seanet-16khz"):
        resolve_model("zzzz", bundled)


@pytest.mark.parametrize("name", ["", "  ", "a/b/c", "../other", "/no/such/folder", "a b/c", "-x/y", "ö"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="hub id"):
        resolve_model(name, make_bundled(tmp_path / "bundled", "foley"))


def test_a_file_is_no_model_folder(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="give the folder"):
        resolve_model(file, tmp_path)


def test_hub_download_gets_every_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def snapshot_download(repo_id: str, **options: object) -> str:
        seen.update(options, repo_id=repo_id)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    found = resolve_model(
        "owner/name", tmp_path, local_files_only=True, revision="abc", allow_patterns=("*.json",)
    )
    assert found == tmp_path
    assert seen == {
        "repo_id": "owner/name",
        "local_files_only": True,
        "revision": "abc",
        "allow_patterns": ["*.json"],
    }


def test_not_in_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(OSError, match=r"'soundloom-test/absent' at revision 'v1'.*connect once"):
        resolve_model("soundloom-test/absent", tmp_path, local_files_only=True, revision="v1")


def test_short_names_of_hub_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    bundled = make_bundled(tmp_path / "bundled", "a")
    short = {"b-24khz": "owner/b_24"}
    with pytest.raises(
        OSError, match=r"'b-24khz' \(owner/b_24 on the hub\).*or use a bundled name \(a\)"
    ) as got:
        resolve_model("b-24khz", bundled, local_files_only=True, short_names=short)
    assert "folder" not in str(got.value)
    assert "did you mean" not in str(got.value)
    with pytest.raises(
        ValueError, match=r"'b-24khz'\?.*bundled name \(a\), one that is fetched.*\(b-24khz\)"
    ):
        resolve_model("b-24kh", bundled, short_names=short)


def test_unknown_and_gated_hub_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import errors

    def failing_with(kind: type[Exception]) -> None:
        def snapshot_download(repo_id: str, **options: object) -> str:
            raise kind.__new__(kind)  # their constructors want an HTTP response, which does not matter here

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)

    failing_with(errors.RepositoryNotFoundError)
    with pytest.raises(ValueError, match="nothing of that name on the hub"):
        resolve_model("owner/name", tmp_path)
    failing_with(errors.GatedRepoError)
    with pytest.raises(PermissionError, match="gated"):
        resolve_model("owner/name", tmp_path)
