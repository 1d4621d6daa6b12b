"""Sentences on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from minigpt.cli.guard import say


@pytest.mark.parametrize("margin", [0, 1, 2])
def test_every_line_of_a_sentence_has_the_margin_of_the_first(margin: int) -> None:
    sentence = " " * margin + "every model is a run of its own, and each can be sampled from, such as:"
    shown = io.StringIO()
    say(Console(file=shown, width=40, force_terminal=True, color_system=None), sentence)
    lines = shown.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(line) - len(line.lstrip()) == margin and len(line) <= 40 for line in lines)
    assert " ".join(shown.getvalue().split()) == sentence.strip()
    piped = io.StringIO()
    say(Console(file=piped, width=40), sentence)
    assert piped.getvalue() == sentence + "\n"
