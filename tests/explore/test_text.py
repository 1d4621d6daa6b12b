"""The text around the current token: in sight, in whole characters, in its colours."""

from collections.abc import Callable, Sequence

import pytest
from rich.cells import cell_len

from minigpt.explore.panes import text_picture
from minigpt.render.style import UNICODE
from minigpt.text.records import Token


def tokens(*words: str | bytes) -> list[Token]:
    made = []
    for number, word in enumerate(words):
        data = word if isinstance(word, bytes) else word.encode()
        try:
            made.append(Token(id=number, text=data.decode(), bytes=data.hex()))
        except UnicodeDecodeError:
            made.append(Token(id=number, text=None, bytes=data.hex()))
    return made


def shown(
    words: Sequence[str | bytes], here: int, width: int = 30, height: int = 5, style: Callable[[int], str] = str
) -> tuple[list[str], str]:
    """The lines, and what is inverted in them."""
    text = text_picture(range(len(words)), here, tokens(*words).__getitem__, style, width, height, UNICODE)
    inverted = "".join(text.plain[span.start : span.end] for span in text.spans if span.style == "reverse")
    return text.plain.split("\n"), inverted


def test_the_current_token_is_inverted_and_what_follows_dim() -> None:
    asked = []
    lines, inverted = shown(["The", " cat", " sat"], 1, style=lambda number: asked.append(number) or "green")
    assert lines == ["The cat sat"]
    assert inverted == " cat"
    assert asked == [0]


def test_lines_break_between_words_and_follow_the_current_token() -> None:
    words = [f" word{i}" for i in range(100)]
    for here in (0, 1, 50, 98, 99):
        lines, inverted = shown(words, here, width=20, height=4)
        assert len(lines) == 4
        assert max(map(cell_len, lines)) <= 20
        assert all(word[4:].isdigit() for line in lines for word in line.split())
        assert inverted.strip() == f"word{here}"


def test_a_long_text_asks_only_for_the_colours_in_sight() -> None:
    asked: list[int] = []
    shown(["x"] * 5000, 4000, style=lambda number: asked.append(number) or "")
    assert len(asked) <= 150


def test_a_newline_is_visible_where_one_stands() -> None:
    assert shown(["a", "\n", "b"], 1) == (["a⏎", "b"], "⏎")
    assert shown(["a", "\n", "b"], 0)[0] == ["a", "b"]
    assert shown(["a", "\n\n"], 1)[0] == ["a⏎", "⏎", ""]


def test_characters_of_several_tokens_are_put_together() -> None:
    words = ["a", b"\xf0\x9f", b"\x98\x80", "b"]
    assert shown(words, 3)[0] == ["a😀b"]
    assert shown(words, 1) == (["a<F0 9F>😀b"], "<F0 9F>")  # half a character has a name where one stands
    assert shown(words[:2], 0)[0] == ["a<F0 9F>"]  # and where nothing completes it
    assert shown([b"\xff", "b"], 1)[0] == ["\ufffdb"]


def test_hostile_tokens_are_shown_and_not_obeyed() -> None:
    lines, _ = shown(["[/]", "\x1b[31m", "\u202e", "\t", ":smile:", "\x00", "[bold]"], 0, width=80)
    assert lines == ["[/]<ESC>[31m<U+202E>⇥   :smile:<NUL>[bold]"]


@pytest.mark.parametrize("height", [0, 1])
@pytest.mark.parametrize("width", [1, 2, 80])
def test_there_is_no_size_that_it_cannot_have(width: int, height: int) -> None:
    lines, _ = shown(["速い", " ", "茶"], 1, width=width, height=height)
    assert len(lines) <= 1
