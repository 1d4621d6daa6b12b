"""The help names every key, at any width."""

import pytest
from rich.cells import cell_len

from minigpt.explore.help import help_picture
from minigpt.explore.keys import SETTINGS
from minigpt.render.screen import Screen


@pytest.mark.parametrize("width", [40, 80, 100])
def test_every_key_is_explained(width: int) -> None:
    text = help_picture(Screen(width)).plain
    assert max(map(cell_len, text.split("\n"))) <= width
    flat = " ".join(text.split())
    for words in (
        "up, down",
        "enter:",
        "space:",
        "/:",
        "left, backspace:",
        "home, end:",
        "tab",
        "h:",
        "g:",
        "s:",
        "e:",
    ):
        assert words in flat
    for key in SETTINGS:
        assert f"{key} {key.upper()}:" in flat
    assert "\\n is a newline" in flat
    assert "\\\\n" not in flat
