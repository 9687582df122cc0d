"""Another model can be chosen where the page is this user's own; of each its own card tells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soundloom.core.checkpoint import BUNDLED_MODELS
from soundloom.core.errors import ArgumentError
from soundloom.demo import page as app
from soundloom.demo.codecs import Codecs
from soundloom.demo.model_card import about, licence, model_card
from soundloom.demo.model_choice import ChosenModel, generators
from soundloom.gen.pipeline import AudioGen


def test_the_text_about_a_model_is_that_of_its_card_and_short(tmp_path: Path) -> None:
    text = about("foley")
    assert "Apache-2.0" in text
    assert text.startswith("**The model `foley`.**")
    assert len(text) < 700
    assert about("foley").count("\n\n") <= 2

    folder = tmp_path / "mine"
    folder.mkdir()
    assert "in the folder `mine`" in about(str(folder))
    (folder / "MODEL_CARD.md").write_text(
        "# mine\n\nIt barks.\n\n- more\n\n## What it can't do\n\nIt can't mew. Nor\nsing. Nor fly.\n",
        encoding="utf-8",
    )
    assert about(str(folder)) == "**The model `mine`.** It barks.\n\nIt can't mew. Nor sing."
    (folder / "README.md").write_text(
        "---\nlicense: cc-by-nc-4.0\ntags: [audio]\n---\n# mine\n\nIt roars.\n", encoding="utf-8"
    )
    assert model_card(str(folder)).startswith("# mine")
    assert licence(str(folder)) == "cc-by-nc-4.0"
    assert about(str(folder)) == "**The model `mine`.** It roars.\n\nLicence: cc-by-nc-4.0."


def test_models_without_a_card_have_their_licence_named(tmp_path: Path) -> None:
    assert "CC BY-NC" in about("facebook/audiogen-medium")
    assert "folder" not in about(str(tmp_path / "mymodel"))  # there is no such folder


def test_the_models_that_ship_are_offered() -> None:
    assert "foley" in generators()
    assert all((BUNDLED_MODELS / name / "lm").is_dir() for name in generators())


def test_a_model_that_cannot_be_loaded_leaves_the_old_one(tiny_model: AudioGen) -> None:
    asked: list[tuple[str, str | None]] = []

    def load(name: str, quantization: str | None) -> Any:
        asked.append((name, quantization))
        if name == "broken":
            raise ValueError("no such model")
        return SimpleNamespace(name=name)

    chosen: Any = ChosenModel(tiny_model, "tiny", load)
    for name in ("broken", " ", ""):
        with pytest.raises(ValueError):
            chosen.choose(name, "int8")
        assert (chosen.model, chosen.name) == (tiny_model, "tiny")
    chosen.choose(" other ", "as stored")
    assert (chosen.model.name, chosen.name) == ("other", "other")
    assert asked == [("broken", "int8"), ("other", None)]
    with pytest.raises(ArgumentError, match="quantization is 'int3'"):
        ChosenModel(tiny_model, "tiny").choose("foley", "int3")


def test_only_ones_own_page_offers_the_choice_and_the_chosen_model_makes_the_sounds(
    tiny_model: AudioGen, codecs: Codecs, open_page: Any, tmp_path: Path
) -> None:
    def has_choice(demo: Any) -> bool:
        return any(getattr(block, "elem_id", "") == "load-model" for block in demo.blocks.values()) and any(
            "load-model" in str(getattr(demo.blocks.get(target[0]), "elem_id", ""))
            for function in demo.fns.values()
            for target in function.targets
        )

    strangers = app.build_demo(tiny_model, codecs=codecs)
    assert not has_choice(strangers)

    tiny_model.save_pretrained(tmp_path / "other")
    own = app.build_demo(tiny_model, name="tiny", codecs=codecs, choice=True)
    assert has_choice(own)
    with open_page(own) as page:
        page.click("#choose-model button")
        page.fill("#model input", str(tmp_path / "nothing"))
        page.press("#model input", "Enter")
        page.click("#load-model")
        page.wait_for_selector("#model-status:has-text('nothing')")
        page.fill("#model input", str(tmp_path / "other"))
        page.press("#model input", "Enter")
        page.click("#load-model")
        page.wait_for_selector("#model-status:has-text('Loaded')")
        assert page.inner_text("#model-status").endswith("with its weights as they are, not quantized.")
        page.click("#quantization input")
        page.get_by_role("option", name="int8").click()
        page.click("#load-model")
        page.wait_for_selector("#model-status:has-text('with int8 weights')")
        assert "other" in page.inner_text("#about")
        page.fill("#duration input[type=number]", "1")
        page.fill("#prompt textarea", "rain")
        page.click("#generate")
        page.wait_for_selector("#keep-1", state="visible")
