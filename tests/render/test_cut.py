"""How a cut text is shown, at any width: nothing is left out."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.render.tokenization import cut_table
from minigpt.views.tokenization import CutToken, Merge


def token(position: int, text: str | None, data: str, *merges: tuple[int, str, str]) -> CutToken:
    steps = tuple(Merge(number=n, left=left, right=right) for n, left, right in merges)
    return CutToken(id=500 * position, text=text, bytes=data, position=position, merges=steps)


def spaces(count: int) -> str:
    return "20" * count


TOKENS = [
    token(0, "The", b"The".hex(), (3, b"T".hex(), b"h".hex()), (1700, b"Th".hex(), b"e".hex())),
    token(1, None, "20e280", (115, "e2", "80"), (357, "20", "e280")),
    token(2, "\x1b", "1b"),
    token(3, " " * 64, spaces(64), *((n, spaces(n), spaces(n)) for n in (1, 2, 4, 8, 16, 32))),
    token(4, "速い", "速い".encode().hex(), (20, "速".encode().hex(), "い".encode().hex())),
]


@pytest.mark.parametrize("width", [40, 80])
def test_golden_cut(width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"cut_{width}", "\n".join(map(str, cut_table(TOKENS, (50_257, 50_000), Screen(width)))))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_every_byte_and_merge_is_shown_and_no_line_is_too_wide(width: int, symbols: Symbols) -> None:
    lines = list(map(str, cut_table(TOKENS, (50_257, 50_000), Screen(width, symbols))))
    text = "\n".join(lines)
    assert max(map(cell_len, text.split("\n"))) <= width
    assert [text.count(f"(merge {n:,})") for n in (3, 1700, 115, 357, 20, 4)] == [1] * 6
    assert text.split().count("20") == 64 + 1
    assert "\x1b" not in text
    assert "50,000 merges" in " ".join(text.split())
    assert symbols is UNICODE or all(sign.isascii() or sign in "速い" for sign in text)
