"""How a token, a share and a text look: hostile ones above all."""

from dataclasses import astuple

import pytest
from rich.cells import cell_len

from minigpt.render.style import (
    ASCII,
    UNICODE,
    Symbols,
    bar,
    bytes_label,
    compact,
    duration,
    fit,
    percent,
    quantity,
    quoted,
    safe_text,
    signed_sparkline,
    symbols_for,
    token_label,
    two_sided_bar,
    visible,
)
from minigpt.text.records import Token

HOSTILE = [
    "[/INST]",
    "[bold]x[/bold]",
    ":smile:",
    "\x1b[31m\x00\x07\x7f\x9b",
    "\u202eabc\u2066\u200f\ufeff",
    "a\nb\tc\rd e",
    "\u0301",
    "e\u0301e\u0301",
    "速い茶色の狐は怠け者の犬を飛び越える",
    "😀👩\u200d👩\u200d👧\u200d👦🇩🇪👍🏽",
    "\u2028\u2029\u00ad\u200b",
    "\ud800",
    "\U000e0041\ue000\uffff",
    "x" * 500,
    "",
]


def token(text: str | None, data: bytes = b"") -> Token:
    return Token(id=0, text=text, bytes=(data or (text or "").encode("utf-8", "surrogatepass")).hex())


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("[/INST]", "[/INST]"),
        ("[bold]", "[bold]"),
        (":smile:", ":smile:"),
        (" the", "␣the"),
        ("\n\n", "⏎⏎"),
        ("\t", "⇥"),
        ("\r", "<CR>"),
        ("\x1b[31m", "<ESC>[31m"),
        ("\x00", "<NUL>"),
        ("\x1f", "<U+001F>"),
        ("\x7f", "<DEL>"),
        ("\x85", "<U+0085>"),
        ("\x9b", "<U+009B>"),
        ("\u202e", "<U+202E>"),
        ("\u2066x", "<U+2066>x"),
        ("\u0301", "<U+0301>"),
        ("\u200d", "<U+200D>"),
        ("\u00a0", "<U+00A0>"),
        ("\u3000", "<U+3000>"),
        ("狐", "狐"),
        ("😀", "😀"),
        ("<NUL>", "<NUL>"),
    ],
)
def test_every_character_of_a_token_can_be_seen(text: str, label: str) -> None:
    assert token_label(token(text)) == label


def test_half_a_character_is_shown_by_its_bytes() -> None:
    assert token_label(token(None, b"\xe2\x80")) == "<E2 80>"


def test_ascii_signs_stand_in_for_the_others() -> None:
    assert token_label(token(" a\n\t"), ASCII) == "_a\\n\\t"
    assert all(sign.isascii() for sign in astuple(ASCII))


@pytest.mark.parametrize(
    ("encoding", "symbols"),
    [("utf-8", UNICODE), ("utf-16", UNICODE), ("ascii", ASCII), ("latin-1", ASCII), ("cp437", ASCII), ("no", ASCII)],
)
def test_the_encoding_decides_the_signs(encoding: str, symbols: Symbols) -> None:
    assert symbols_for(encoding) is symbols


def test_running_text_keeps_newlines_tabs_and_joined_characters() -> None:
    assert safe_text("a\n\tb e\u0301 👩\u200d👧 \u00a0") == "a\n\tb e\u0301 👩\u200d👧 \u00a0"


@pytest.mark.parametrize(
    "code", [*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200F, 0xFEFF, 0xD800]
)
def test_running_text_holds_nothing_that_steers_a_terminal(code: int) -> None:
    shown = safe_text(f"a{chr(code)}b")
    assert chr(code) not in shown
    assert shown.isascii()
    assert shown.startswith("a<")
    assert shown.endswith(">b")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_fit_and_quoted_keep_to_the_width(text: str, symbols: Symbols) -> None:
    for width in range(1, 61):
        assert cell_len(fit(visible(text, symbols), width, symbols)) == width
        line = quoted(text, width, symbols)
        assert cell_len(line) <= max(width, 4)  # quotes, and a sign between them
        assert "\n" not in line


def test_a_quote_keeps_the_end() -> None:
    assert quoted("The cleverest thinker of all time was", 20) == "“… of all time was”"
    assert quoted("short", 20) == "“short”"
    assert quoted("a\nb\x1b", 20) == "“a⏎b<ESC>”"


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0.00 %"),
        (1.0, "100.00 %"),
        (0.0882, "8.82 %"),
        (1e-9, "<0.01 %"),
        (5e-324, "<0.01 %"),
        (0.0001, "0.01 %"),
        (0.99999, ">99.99 %"),
        (0.9999, "99.99 %"),
        (1 - 1e-15, "100.00 %"),
        (0.5, "50.00 %"),
    ],
)
def test_what_is_neither_nothing_nor_all_never_looks_like_it(share: float, shown: str) -> None:
    assert percent(share) == shown


def test_percent_with_fewer_decimals() -> None:
    assert [percent(p, 0) for p in (0.0, 0.001, 0.333, 0.999, 1.0)] == ["0 %", "<1 %", "33 %", ">99 %", "100 %"]
    assert percent(0.005, 1) == "0.5 %"


def test_bars_have_eighths() -> None:
    assert bar(1.0, 4) == "████"
    assert bar(0.5, 4) == "██  "
    assert [bar(n / 8, 1) for n in range(1, 9)] == list("▏▎▍▌▋▊▉█")
    assert bar(0.0, 3) == "   "
    assert bar(1e-12, 3) == "▏  "  # there is something
    assert bar(0.5, 0) == ""
    assert bar(7.0, 2) == "██"
    assert bar(-1.0, 2) == "  "


def test_bars_that_were_cut_are_hollow_and_ascii_ones_ascii() -> None:
    assert bar(0.6, 4, hollow=True) == "▯▯▯ "
    assert bar(0.6, 4, ASCII, hollow=True) == "... "
    assert bar(0.6, 4, ASCII) == "##  "
    assert bar(0.65, 4, ASCII) == "##- "


def test_bars_have_their_width() -> None:
    for width in range(30):
        for n in range(101):
            for symbols in (UNICODE, ASCII):
                assert cell_len(bar(n / 100, width, symbols)) == width
                assert cell_len(bar(n / 100, width, symbols, hollow=True)) == width


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (812, "812"), (999, "999"), (1000, "1.0 k"), (427_000, "427 k"), (4.3e6, "4.3 M"), (1.5e9, "1.5 G")],
)
def test_compact(count: float, shown: str) -> None:
    assert compact(count) == shown


def test_no_count_reads_a_thousand_of_the_smaller_unit() -> None:
    for exponent in (3, 6, 9):
        for count in (10**exponent - 1, 10**exponent * 0.9996, 10**exponent - 0.5):
            assert len(compact(count).split()[0]) <= 3


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (750, "12:30"), (3599.7, "1:00:00")]
)
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_quantity() -> None:
    assert [quantity(n, "token") for n in (0, 1, 4090)] == ["0 tokens", "1 token", "4,090 tokens"]


@pytest.mark.parametrize(
    ("data", "label"),
    [("20", "␣"), ("e282ac", "€"), ("e282", "<E2 82>"), ("1b", "<ESC>"), ("", ""), ("205b625d", "␣[b]")],
)
def test_bytes_have_the_label_of_a_token_of_them(data: str, label: str) -> None:
    assert bytes_label(data) == label
    if data:
        text = None if label.startswith("<E2") else bytes.fromhex(data).decode()
        assert token_label(Token(id=0, text=text, bytes=data)) == label


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, "    |    "),
        (1.0, "    |████"),
        (2.0, "    |████"),
        (0.28125, "    |█▏  "),
        (-1.0, "████|    "),
        (-7.0, "████|    "),
        (-0.375, "  ▐█|    "),
        (-1e-9, "   ▐|    "),
        (1e-9, "    |▏   "),
    ],
)
def test_a_bar_goes_to_both_sides(share: float, expected: str) -> None:
    assert two_sided_bar(share, 4) == expected
    assert two_sided_bar(share, 4, ASCII).isascii()


@pytest.mark.parametrize(
    ("values", "most", "line"),
    [([-1.0, 0.0, 1.0], 1.0, "▁▅█"), ([-0.5, 0.5], 1.0, "▃▆"), ([0.0, 0.0], 0.0, "▄▄"), ([], 1.0, "")],
)
def test_a_signed_sparkline_goes_from_minus_the_most_to_the_most(values: list[float], most: float, line: str) -> None:
    assert signed_sparkline(values, most) == line
