"""The page of an alignment in a real browser: the grid that was asked for, then others by keys and pointer."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from browser import NAMES, Browser

from minigpt.render.attention import alignment_section
from minigpt.render.html import page
from minigpt.text.records import Token
from minigpt.views.alignment import AlignmentGrid

SOURCE, TARGET = 5, 9
CELLS = "[...document.querySelectorAll('.grid tbody td')]"
Open = Callable[..., Browser]


def grid(layer: int, head: int | None, names: Sequence[str]) -> AlignmentGrid:
    """Random weights of a source that consists of the first names, and a target of others."""
    weights = torch.randn(TARGET, SOURCE, generator=torch.Generator().manual_seed(10 * layer + (head or 0)))
    tokens = tuple(Token(id=i, text=name, bytes=name.encode().hex()) for i, name in enumerate(names))
    return AlignmentGrid(
        layer=layer, head=head, source=tokens[:SOURCE], target=tokens[SOURCE : SOURCE + TARGET],
        weights=tuple(map(tuple, weights.softmax(-1).tolist())), source_words=(1,) * SOURCE, target_words=(1,) * TARGET,
        alignment_error_rate=None if head else 0.125,
    )  # fmt: skip


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Open:
    """The browser with a page of all grids of two layers of two heads, of which layer 2, head 1 is chosen."""

    def opened(names: Sequence[str], **how: object) -> Browser:
        grids = [grid(layer, head, names) for layer in (1, 2) for head in (None, 1, 2)]
        path = tmp_path / "page.html"
        path.write_text(page("A page", [alignment_section("Alignment", grids, (2, 1))]), "utf-8")
        browser.open(path, **how)
        return browser

    return opened


WORDS = [f"word{i}" for i in range(20)]


def numbers(browser: Browser) -> list[int]:
    return browser[f"{CELLS}.map((cell) => Number(cell.textContent.replace('·', '0')))"]


def expected(layer: int, head: int | None) -> list[int]:
    return [round(100 * weight) for row in grid(layer, head, WORDS).weights for weight in row]


def test_the_grid_has_the_source_across_and_the_target_down(opened: Open) -> None:
    browser = opened(WORDS)
    headings = browser["[...document.querySelectorAll('.grid thead th')].map((cell) => cell.textContent)"]
    assert headings == [*WORDS[: SOURCE - 1], "<end>"]  # the last token of a source is end-of-text
    rows = browser["[...document.querySelectorAll('.grid tbody th')].map((cell) => cell.textContent)"]
    assert rows == WORDS[SOURCE : SOURCE + TARGET]
    assert numbers(browser) == pytest.approx(expected(2, 1), abs=1)  # rounded twice
    assert "layer 2, head 1: word5 (1) attends to" in browser.text(".looks")


def test_layers_heads_and_words_are_flipped_through(opened: Open) -> None:
    browser = opened(WORDS)
    browser["document.querySelector('.attention').focus()"]
    browser.press("ArrowLeft")
    assert numbers(browser) == pytest.approx(expected(2, None), abs=1)
    assert browser.text(".looks").endswith("alignment error rate 12.5 %")
    browser.press("ArrowUp")
    assert numbers(browser) == pytest.approx(expected(1, None), abs=1)
    browser.mouse(".grid tbody tr:nth-child(3) td")
    assert "mean of layer 1: word7 (3) attends to" in browser.text(".looks")
    assert browser[f"{CELLS}[10].title"].startswith("word7 attends to word0: ")


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_names_are_text(opened: Open, width: int) -> None:
    browser = opened(NAMES, width=width)
    assert browser["window.hacked"] is None
    assert browser["document.documentElement.scrollWidth - document.documentElement.clientWidth"] <= 0
    assert browser[f"{CELLS}.length"] == SOURCE * TARGET
