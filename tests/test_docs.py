"""The documents: links lead somewhere, the site shows every page, and the pages that are programs run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.tiny_codecs import write_sound

ROOT = Path(__file__).resolve().parents[1]
# Where documents lie; environments and what trainings wrote may lie beside them.
FOLDERS = (".github", "codecs", "docs", "examples", "gen", "recipes", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))])
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """What `#...` may name in a document: its headings, as GitHub and MkDocs spell them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
    return set(plain)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


FILE = re.compile(r"`((?:\w+/)+[\w.-]+\.(?:py|md|yaml|csv|json))`")
# What the guide adds for practice.
TO_BE_WRITTEN = re.compile(r"NAME|mulaw|loudness")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    named = {name for name in FILE.findall(text) if (ROOT / name.split("/")[0]).is_dir()}
    assert [
        name for name in sorted(named) if not TO_BE_WRITTEN.search(name) and not (ROOT / name).exists()
    ] == []


def test_links_are_looked_at() -> None:
    assert ROOT / "README.md" in DOCUMENTS
    assert "when-something-is-wrong" in anchors(ROOT / "docs" / "generation.md")
    assert len(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))) > 15


def test_the_site_shows_every_page() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert sorted(re.findall(r"\S+\.md", nav)) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def run_page(name: str) -> dict[str, object]:
    """Run all code of a page as one program; what it leaves behind."""
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    found: dict[str, object] = {}
    exec(compile("\n".join(blocks), f"docs/{name}", "exec"), found)
    return found


def test_the_page_on_latents_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, seconds in (("rain.wav", 1.2), ("organ.wav", 1.0)):
        write_sound(tmp_path / name, seconds)
    found = run_page("latents.md")
    assert getattr(found["sound"], "shape", None) == (1, 1, 16000)
    assert getattr(found["features"], "shape", None) == (1, 3, 8, 128)
    assert getattr(found["vectors"], "shape", None) == (1, 3, 2, 64)
    torch.testing.assert_close(found["restored"], found["a"])


def test_the_page_on_the_language_model_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_page("language_model.md")
    assert getattr(found["made"], "shape", None) == (8, 4, 50)
    assert getattr(found["audio"], "shape", None) == (2, 1, 15360)
