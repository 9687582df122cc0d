"""The page by keyboard, on a small screen, in light and in dark: what axe-core finds, and what it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# The colour of what is drawn around the thing that has the focus; "" if nothing is.
OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 ? style.outlineColor : '';
}"""


def violations(page: Page) -> list[str]:
    """The serious ones: rule, and the beginning of what breaks it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:150]} | {node['failureSummary'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_the_make_tab_has_no_serious_fault(served: str, open_page: Any, width: int, dark: bool) -> None:
    with open_page(served, width) as page:
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.reload()
        page.wait_for_selector("#generate")
        page.fill("#duration input[type=number]", "0.5")
        page.fill("#prompt textarea", "a dog barks")
        page.press("#prompt textarea", "Enter")
        page.wait_for_selector("#keep-1", state="visible")
        page.wait_for_selector(".made", state="visible")
        assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"  # the focus stays
        page.click("#more button")
        page.wait_for_selector("#temperature", state="visible")
        assert not violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # What has the focus is seen, on fields and on sliders.
        for name in ("#prompt textarea", "#generate", "#player-1 .position", "#duration input[type=range]"):
            page.focus("#listen input")
            page.focus(name)
            page.keyboard.press("Shift")  # so that it counts as the keyboard's focus
            assert page.evaluate(OUTLINE), name
        if width > 1000:
            # Above the fold of a small notebook: all that belongs to the sound.
            page.set_viewport_size({"width": 1280, "height": 800})
            page.evaluate("window.scrollTo(0, 0)")
            for name in ("#status", "#facts-1", "#keep-1", "#download-1"):
                box = page.locator(name).bounding_box()
                assert box is not None
                assert box["y"] + box["height"] < 800, name
