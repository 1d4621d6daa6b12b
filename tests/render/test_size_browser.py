"""The switch for the size of a page's text, in a real browser: remembered, and no wider than the screen."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser

from minigpt.render.html import page
from minigpt.render.text_page import text_section
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.page_steps import step_logits


def spelled(token: int) -> bytes:
    return f" w{token}".encode()


@pytest.fixture
def text_page(tmp_path: Path) -> Path:
    """A text of 30 tokens, each with its sliders and its list."""
    logits = np.linspace(5, 0, 40)
    steps = [
        step_logits(
            logits, (), [0], spelled, best=30,
            step=step_record(distribution(logits), spelled, position=1, top=3, token=token),
        )
        for token in range(30)
    ]  # fmt: skip
    path = tmp_path / "page.html"
    path.write_text(page("A page", [text_section("A text", steps)]), "utf-8")
    return path


@pytest.fixture
def sized(browser: Browser) -> Iterator[Browser]:
    """A browser that forgets the size of the text at the end."""
    yield browser
    browser["localStorage.clear()"]


SMALLEST = """(() => {
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  const shown = [...document.querySelectorAll('body *')].filter((node) => node.checkVisibility() && hasText(node));
  return Math.min(...shown.map((node) => parseFloat(getComputedStyle(node).fontSize)));
})()"""


def reload(browser: Browser) -> None:
    browser.events.clear()
    browser("Page.reload")
    while not any(event["method"] == "Page.loadEventFired" for event in browser.events):
        browser["1"]


def test_the_text_grows_to_what_the_back_row_can_read_and_stays_so(sized: Browser, text_page: Path) -> None:
    sized.open(text_page)
    size = "document.documentElement.dataset.size"
    assert (sized[size], sized[SMALLEST]) == ("normal", 14)
    sized.click("#size")
    assert (sized[size], sized[SMALLEST]) == ("large", 17.5)
    sized.press("Tab")  # to the theme
    sized.click("#size")
    assert (sized[size], sized[SMALLEST]) == ("projector", 22.75)
    assert "projector. Switch to normal" in sized["document.getElementById('size').getAttribute('aria-label')"]
    sized.open(text_page)
    assert (sized[size], sized[SMALLEST]) == ("projector", 22.75)
    sized.click("#size")
    assert (sized[size], sized[SMALLEST]) == ("normal", 14)


@pytest.mark.parametrize("stored", ["get localStorage() { throw new DOMException('denied', 'SecurityError'); }", None])
def test_a_browser_that_remembers_nothing_or_nonsense_shows_the_usual_size(
    sized: Browser, text_page: Path, stored: str | None
) -> None:
    sized.open(text_page)
    if stored:
        source = f"Object.defineProperties(window, Object.getOwnPropertyDescriptors({{ {stored} }}))"
        sized("Page.addScriptToEvaluateOnNewDocument", source=source)
    else:
        sized["localStorage.setItem('minigpt-size', 'constructor')"]
    reload(sized)
    assert sized[SMALLEST] == 14
    sized.click("#size")
    assert sized[SMALLEST] == 17.5
    assert sized.complaints() == []
    sized.open(text_page)  # where it may remember


@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize("width", [360, 400, 800, 1600])
def test_no_width_needs_scrolling_sideways(sized: Browser, text_page: Path, width: int, size: int) -> None:
    sized.open(text_page, width=width)
    for _ in range(size):
        sized.click("#size")
    assert sized["document.documentElement.scrollWidth - document.documentElement.clientWidth"] <= 0
    for name in (".panel", ".sliders input", "#theme"):
        assert sized[f"document.querySelector('{name}').getBoundingClientRect().right"] <= width
