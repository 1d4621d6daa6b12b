"""The page of attention in a real browser: the grid and its colours, the lines over the text, layers and heads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import NAMES, Browser

from minigpt.render.attention import attention_section
from minigpt.render.html import page
from minigpt.render.style import visible
from minigpt.text.records import Token
from minigpt.views.attention import AttentionGrid


def attention_grid(layer: int, head: int | None, count: int, names: Sequence[str] = NAMES) -> AttentionGrid:
    weights = torch.randn(count, count, generator=torch.Generator().manual_seed(10 * layer + (head or 0)))
    rows = tuple(tuple(weights[i, : i + 1].softmax(-1).tolist()) for i in range(count))
    tokens = tuple(Token(id=i, text=names[i], bytes=names[i].encode().hex()) for i in range(count))
    return AttentionGrid(layer=layer, head=head, tokens=tokens, weights=rows, scores=rows)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Callable[..., Browser]:
    """The browser with a page of grids."""

    def opened(grids: Sequence[AttentionGrid], chosen: tuple[int, int | None] | None = None, **how: Any) -> Browser:
        path = tmp_path / "page.html"
        path.write_text(page("A page", [attention_section("Attention", grids, chosen)]), "utf-8")
        browser.open(path, **how)
        return browser

    return opened


CELLS = "[...document.querySelectorAll('.grid tbody td')]"
WORDS = [f" word{i}" for i in range(40)]


def numbers(browser: Browser) -> list[int]:
    return browser[f"{CELLS}.map((cell) => Number(cell.textContent.replace('·', '0')))"]


def expected(grid: AttentionGrid) -> list[int]:
    return [round(100 * weight) for row in grid.weights for weight in row]


def test_layers_and_heads_are_flipped_through(opened: Callable[..., Browser]) -> None:
    grids = {(layer, head): attention_grid(layer, head, 9) for layer in (1, 2) for head in (None, 1, 2)}
    browser = opened(list(grids.values()))
    assert numbers(browser) == pytest.approx(expected(grids[1, None]), abs=1)  # rounded twice
    for _ in range(9):  # size, theme, layer, head, by row, three heads, grid
        browser.press("Tab")
    browser.press("ArrowRight")
    assert numbers(browser) == pytest.approx(expected(grids[1, 1]), abs=1)
    browser.press("ArrowDown")
    assert numbers(browser) == pytest.approx(expected(grids[2, 1]), abs=1)
    assert "layer 2, head 1" in browser.text(".looks")
    browser.press("ArrowDown")
    browser.press("ArrowLeft")
    assert numbers(browser) == pytest.approx(expected(grids[2, None]), abs=1)
    browser.mouse(".grid tbody tr:nth-child(3) td")
    largest = max(range(3), key=lambda key: grids[2, None].weights[2][key])
    assert f"attends to {visible(NAMES[largest])} ({largest + 1}) " in browser.text(".looks")
    assert browser["document.querySelector('.head').value"] == "mean"
    assert browser["window.hacked"] is None


@pytest.mark.parametrize("head", [None, 2])
def test_the_chosen_head_is_shown_first(opened: Callable[..., Browser], head: int | None) -> None:
    grids = {(layer, head): attention_grid(layer, head, 9) for layer in (1, 2) for head in (None, 1, 2)}
    browser = opened(list(grids.values()), (2, head))
    assert numbers(browser) == pytest.approx(expected(grids[2, head]), abs=1)  # rounded twice
    assert browser["document.querySelector('.layer').value"] == "2"
    assert browser["document.querySelector('.head').value"] == str(head or "mean")


def width_of(browser: Browser, selector: str) -> float:
    return browser[f"document.querySelector('{selector}').getBoundingClientRect().width"]


@pytest.mark.parametrize(("count", "least"), [(3, 250), (12, 950), (32, 1100)])
def test_the_cells_grow_to_the_room_there_is_and_have_numbers(
    opened: Callable[..., Browser], count: int, least: int
) -> None:
    grid = attention_grid(1, None, count, WORDS)
    browser = opened([grid])
    assert least <= width_of(browser, ".grid") <= width_of(browser, ".wide") <= 1280
    assert numbers(browser) == pytest.approx(expected(grid), abs=1)


def test_many_tokens_have_colours_and_titles_instead_of_numbers(opened: Callable[..., Browser]) -> None:
    browser = opened([attention_grid(1, None, 30)], width=360)
    assert browser["document.documentElement.scrollWidth"] <= 360
    cells = browser[f"{CELLS}.map((cell) => [cell.textContent, cell.title])"]
    assert len(cells) == 30 * 31 // 2
    assert {text for text, _ in cells} == {""}
    assert cells[0][1].endswith("100.0 %")


def test_on_request_each_row_is_coloured_by_its_own_largest_weight(opened: Callable[..., Browser]) -> None:
    """On an absolute scale, the colours of later rows are all faint, since a row adds up to 100 %."""
    grid = attention_grid(1, None, 32, WORDS)
    browser = opened([grid])
    strengths = f"{CELLS}.map((cell) => parseFloat(cell.style.backgroundColor.split(/accent[)] /)[1]))"
    whole = [100 * weight for row in grid.weights for weight in row]
    assert browser[strengths] == pytest.approx(whole, abs=0.06)
    assert "largest" not in browser.text(".shades")
    browser.click(".by-row")
    of_row = [100 * weight / max(row) for row in grid.weights for weight in row]
    assert browser[strengths] == pytest.approx(of_row, abs=1)
    assert browser.text(".shades") == "0 %25 %50 %75 %100 % of the row's largest"


CONTRASTS = """(() => {
  const light = (channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const scale = colour.startsWith("rgb") ? 255 : 1;
    const [red, green, blue] = colour.match(/[0-9.e-]+/g).map((number) => light(Number(number) / scale));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  return [...document.querySelectorAll(".grid tbody td, .shades li")].map((cell) => {
    const { color, backgroundColor } = getComputedStyle(cell);
    const [dark, bright] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  });
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_can_be_read_on_every_shade(opened: Callable[..., Browser], dark: bool) -> None:
    """A contrast of at least 4.5, as WCAG 2.2 asks for in success criterion 1.4.3, with its definition of luminance."""
    row = tuple(i / 1000 for i in range(0, 1001, 26))
    rows = [row[: i + 1] for i in range(39)]
    tokens = tuple(Token(id=i, text="a", bytes="61") for i in range(39))
    grid = AttentionGrid(layer=1, head=None, tokens=tokens, weights=tuple(rows), scores=tuple(rows))
    contrasts = opened([grid], dark=dark)[CONTRASTS]
    assert len(contrasts) == 39 * 40 // 2 + 5
    assert min(contrasts) >= 4.5


# Lines over the text

PATHS = "[...document.querySelectorAll('.lines path')]"


def lines(browser: Browser) -> list[float]:
    return browser[f"{PATHS}.map((path) => Number(path.dataset.weight))"]


def drawn(grid: AttentionGrid, row: int) -> list[float]:
    return [weight for weight in grid.weights[row] if round(weight, 3) >= 0.01]


def test_lines_lead_from_the_chosen_token_to_those_that_it_looks_at(opened: Callable[..., Browser]) -> None:
    grid = attention_grid(1, None, 20, WORDS)
    browser = opened([grid])
    assert lines(browser) == pytest.approx(drawn(grid, 19), abs=0.0006)
    browser.click("[data-token='6']")
    assert lines(browser) == pytest.approx(drawn(grid, 6), abs=0.0006)
    assert "word6 (7) attends to" in browser.text(".looks")
    assert browser["document.querySelector('.grid tr.shown').dataset.row"] == "6"
    widths = browser[f"{PATHS}.map((path) => parseFloat(path.style.strokeWidth))"]
    assert widths.index(max(widths)) == lines(browser).index(max(lines(browser)))
    ends = browser[
        f"""{PATHS}.map((path, i) => {{
          const token = document.querySelector(`[data-token='${{i}}']`).getClientRects()[0];
          const svg = path.ownerSVGElement.getBoundingClientRect();
          const end = path.getPointAtLength(path.getTotalLength());
          return Math.hypot(end.x + svg.left - token.left - token.width / 2, end.y + svg.top - token.top);
        }})"""
    ]
    assert max(ends) < 1.5


def test_lines_of_several_heads_have_colours_of_their_own(opened: Callable[..., Browser]) -> None:
    grids = [attention_grid(1, head, 8, WORDS) for head in (None, 1, 2)]
    browser = opened(grids)
    browser.click(".also input[value='2']")
    assert lines(browser) == pytest.approx(drawn(grids[0], 7) + drawn(grids[2], 7), abs=0.0006)
    assert browser[f"new Set({PATHS}.map((path) => getComputedStyle(path).stroke)).size"] == 2
    browser.click(".also input[value='2']")
    assert lines(browser) == pytest.approx(drawn(grids[0], 7), abs=0.0006)


@pytest.mark.parametrize("width", [360, 400, 1280])
@pytest.mark.parametrize("names", [WORDS, NAMES], ids=["words", "hostile"])
def test_lines_follow_a_text_of_several_lines_and_nothing_is_wider_than_the_screen(
    opened: Callable[..., Browser], width: int, names: Sequence[str]
) -> None:
    browser = opened([attention_grid(1, None, 30, names)], width=width)
    for _ in range(3):
        assert browser["document.documentElement.scrollWidth - document.documentElement.clientWidth"] <= 0
        right = browser["document.querySelector('.lines').getBoundingClientRect().right"]
        assert browser[f"Math.max(...{PATHS}.map((path) => path.getBoundingClientRect().right))"] <= right + 16
        browser.click("#size")
    assert browser["window.hacked"] is None
