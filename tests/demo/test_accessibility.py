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
# Rows of buttons that do not stand in one line.
WRAPPED = """() => [...document.querySelectorAll('.do')].filter(row => row.offsetParent).filter(
  row => new Set([...row.children].map(each => Math.round(each.getBoundingClientRect().top))).size > 1
).map(row => 'wraps: ' + row.innerText)"""


def violations(page: Page) -> list[str]:
    """The serious ones: rule, and the beginning of what breaks it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:150]} | {node['failureSummary'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


TABS = {
    "Make": "#generate",
    "Edit": "#edit",
    "Compress": "#compress",
    "Look inside": "#look-inside",
}


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_selector(TABS[name], state="visible")


def use_every_tab(page: Page) -> None:
    """Make a sound, and take it to all other tabs; open what is folded away."""
    page.fill("#duration input[type=number]", "0.5")
    page.fill("#prompt textarea", "a dog barks")
    page.click("#variations label:nth-of-type(4)")
    page.press("#prompt textarea", "Enter")
    page.wait_for_selector("#keep-1", state="visible")
    page.wait_for_selector(".made", state="visible")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"  # the focus stays
    page.click("#more button")
    page.wait_for_selector("#temperature", state="visible")
    for name, taken, sound, result in (
        ("Edit", "Take the sound that was made last", "#to-edit", "#get-edited"),
        ("Compress", "Take the edited sound", "#to-compress", "#get-loom"),
        ("Look inside", "Take the sound that was made last", "#to-look-into", "#hear-inside"),
    ):
        open_tab(page, name)
        page.locator("button:visible", has_text=taken).click()
        page.wait_for_selector(f"{sound} input[type=file]", state="detached")  # the sound is there
        if name == "Edit":
            page.wait_for_selector("#to-edit-spectrogram img")
        page.click(TABS[name])
        page.wait_for_selector(result, state="visible")
    page.click("#hear-inside")
    page.wait_for_selector("#changed", state="visible")
    open_tab(page, "Compress")
    for folded in ("#blind", "#all-codecs"):
        page.locator(f"{folded} button").first.click()
    page.wait_for_selector("#try-all", state="visible")


def test_no_tab_has_a_serious_fault_in_light_or_dark_on_a_large_or_a_small_screen(
    served: str, open_page: Any
) -> None:
    found: dict[str, list[str]] = {}
    with open_page(served) as page:
        use_every_tab(page)
        for dark in (False, True):
            page.emulate_media(color_scheme="dark" if dark else "light")
            page.wait_for_function("dark => document.body.classList.contains('dark') === dark", arg=dark)
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 900})
                for name in TABS:
                    open_tab(page, name)
                    where = f"{name}, {width}, {'dark' if dark else 'light'}"
                    found[where] = violations(page)
                    if page.evaluate("document.documentElement.scrollWidth") > width:
                        found[where].append("something sticks out")
                    found[where] += page.evaluate(WRAPPED)
    faults = [f"{where}: {fault}" for where, each in found.items() for fault in each]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("dark", [False, True])
def test_what_has_the_focus_is_seen_and_what_belongs_to_a_sound_too(
    served: str, open_page: Any, dark: bool
) -> None:
    with open_page(served) as page:
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.wait_for_function("dark => document.body.classList.contains('dark') === dark", arg=dark)
        page.fill("#duration input[type=number]", "0.5")
        page.press("#prompt textarea", "Enter")
        page.wait_for_selector("#keep-1", state="visible")
        # On fields and on sliders.
        for name in ("#prompt textarea", "#generate", "#player-1 .position", "#duration input[type=range]"):
            page.focus("#listen input")
            page.focus(name)
            page.keyboard.press("Shift")  # so that it counts as the keyboard's focus
            assert page.evaluate(OUTLINE), name
        # Above the fold of a small notebook: all that belongs to the sound.
        page.set_viewport_size({"width": 1280, "height": 800})
        page.evaluate("window.scrollTo(0, 0)")
        for name in ("#status", "#facts-1", "#keep-1", "#download-1"):
            box = page.locator(name).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 800, name
