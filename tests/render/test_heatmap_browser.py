"""Tables as pictures in a real browser: every pixel against its number, read by pointer and by keys, at any width."""

from pathlib import Path

import pytest
from browser import Browser

from minigpt.render.heatmap import Reduction, heat_section
from minigpt.render.html import page

ROWS = [[(row - 2) / 2 + column / 10 for column in range(4)] for row in range(5)]


@pytest.fixture
def heat_page(tmp_path: Path) -> Path:
    """A table of 5 rows and 4 columns as a page."""
    reduction = Reduction(5, 4, (5, 4), means=True)
    for row in ROWS:
        reduction.add(row)
    picture = reduction.picture('<b onclick="hacked=1">', "position", "dimension", 1.0)
    path = tmp_path / "page.html"
    path.write_text(page("A page", [heat_section("A table", [picture], "what it shows")]), "utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True])
def test_a_pixel_has_the_colour_of_its_number(browser: Browser, heat_page: Path, dark: bool) -> None:
    browser.open(heat_page, dark=dark)
    data = browser["[...document.querySelector('canvas').getContext('2d').getImageData(0, 0, 4, 5).data]"]
    pixels = [data[i : i + 4] for i in range(0, len(data), 4)]
    for value, (red, _, blue, strength) in zip([x for row in ROWS for x in row], pixels, strict=True):
        assert strength == pytest.approx(255 * min(1, abs(value)), abs=1)
        assert strength < 2 or (blue > red) == (value > 0)  # blue or orange


def test_its_numbers_are_read_by_keys_and_pointer(browser: Browser, heat_page: Path) -> None:
    browser.open(heat_page)
    assert browser.text(".numbers") == "position 0, dimension 0: −1.00"
    for key in ("Tab", "Tab", "Tab", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowRight"):
        browser.press(key)  # past the size and the theme, then in the picture
    assert browser.text(".numbers") == "position 2, dimension 1: +0.100"
    browser.mouse("canvas")  # to its middle
    assert browser.text(".numbers") == "position 2, dimension 2: +0.200"
    assert browser["window.hacked"] is None


def test_it_fits_a_phone(browser: Browser, heat_page: Path) -> None:
    browser.open(heat_page, width=400)
    assert browser["document.documentElement.scrollWidth"] <= 400
    assert browser["document.querySelector('canvas').getBoundingClientRect().width"] > 250


def test_a_number_of_the_scale_is_one_line_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    reduction = Reduction(1, 1, (1, 1), means=True)
    reduction.add([0.0])
    picture = reduction.picture("a table", "position", "dimension", 0.0424)
    path = tmp_path / "page.html"
    path.write_text(page("A page", [heat_section("A table", [picture], "what it shows")]), "utf-8")
    browser.open(path, width=320)
    numbers = "[...document.querySelectorAll('.scale span:not(.ramp)')]"
    assert browser[f"{numbers}.map((number) => number.textContent)"] == ["−0.0424", "+0.0424"]
    line = browser["document.querySelector('.first-column').offsetHeight"]
    assert browser[f"{numbers}.map((number) => number.offsetHeight)"] == [line, line]
