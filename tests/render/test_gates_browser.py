"""A text in the colours of a recurrent network, in a real browser: chosen, pointed at and walked through by keys."""

from pathlib import Path

import pytest
from browser import NAMES, Browser

from minigpt.render.gates import FACES
from minigpt.render.html import page
from minigpt.views.gates import StateStep, UnitState
from minigpt.views.view import Answer

VALUES = [0.0, 0.5, -1.0, 0.25]


@pytest.fixture
def gate_page(tmp_path: Path) -> Path:
    """The hidden state of a unit at four tokens, whose texts are hostile."""
    steps = [
        StateStep(
            id=i, text=name, bytes=name.encode().hex(), position=i, hidden_norm=2.0 + i,
            units=(UnitState(unit=9, hidden=value),),
        )
        for i, (name, value) in enumerate(zip([*NAMES, "a", "b", "c", "d"], VALUES, strict=False))
    ]  # fmt: skip
    path = tmp_path / "page.html"
    path.write_text(page("A page", [FACES[0].on_page(Answer(records=steps))]), "utf-8")
    return path


def shares(browser: Browser) -> list[str]:
    return browser["[...document.querySelectorAll('.text .token')].map(({ style }) => style.backgroundColor)"]


@pytest.mark.parametrize("dark", [False, True])
def test_each_token_has_the_colour_of_the_state_after_it(browser: Browser, gate_page: Path, dark: bool) -> None:
    browser.open(gate_page, dark=dark)
    colours = shares(browser)
    for colour, value in zip(colours, VALUES, strict=True):
        assert f"{70 * abs(value):g}%" in colour  # of at most 70 %, so that letters stay legible
        assert ("rgb(0, 114, 178)" in colour) == (value > 0)  # blue; orange below zero, as on every page
    assert browser.text(".low") == "−1.000"
    browser["document.querySelector('.quantity').selectedIndex = 1"]
    browser["document.querySelector('.quantity').dispatchEvent(new Event('change'))"]
    assert shares(browser) != colours
    assert (browser.text(".low"), browser.text(".high")) == ("0", "5.000")


def test_keys_and_pointer_move_from_token_to_token(browser: Browser, gate_page: Path) -> None:
    browser.open(gate_page)
    for key in ("Tab", "Tab", "Tab", "Tab", "ArrowRight", "ArrowRight"):  # size, theme, colours, then the text
        browser.press(key)
    assert browser.text(".which").endswith("(3)")
    assert browser.text(".values .chosen td") == "−1.000"
    browser.press("End")
    assert browser.text(".which").endswith("(4)")
    browser.mouse(".text .token:nth-child(2)")
    assert browser.text(".which").endswith("(2)")
    assert browser.text(".values .chosen td") == "+0.500"
    assert browser["window.hacked"] is None


def test_it_fits_a_phone(browser: Browser, gate_page: Path) -> None:
    browser.open(gate_page, width=400)
    assert browser["document.documentElement.scrollWidth"] <= 400
