"""Heads, grids and words in two texts, at any width, with hostile tokens."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.render.attention import grid_table, head_table, shared_word_table
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.text.records import Token
from minigpt.views.attention import AttentionGrid, HeadSummary
from minigpt.views.shared_word import LookedAt, LookedAtWord, SharedWord, WordInContext, WordLayer

Golden = Callable[[str, str], None]
TEXTS = ["The", " cat", "\x1b[31m", None, " incomprehensibilities", "[/INST]"]


def named(i: int, text: str | None) -> Token:
    return Token(id=i, text=text, bytes="e2" if text is None else text.encode().hex())


def grid(count: int) -> AttentionGrid:
    """Each token gives half to itself, and the rest in equal parts."""
    rows = [tuple([0.5 / t] * t + [0.5]) if t else (1.0,) for t in range(count)]
    tokens = tuple(named(i, TEXTS[i % len(TEXTS)]) for i in range(count))
    return AttentionGrid(
        layer=2, head=3, tokens=tokens, weights=tuple(rows), scores=tuple(tuple(-10 * w for w in row) for row in rows)
    )


HEADS = [
    HeadSummary(
        layer=layer, head=head, entropy_bits=1.5 * layer, previous=0.1 * head, first=0.75 / layer, same=None,
        itself=0.015, kind="first-token" if layer == 1 else None,
    )
    for layer in (1, 2) for head in (1, 2)
]  # fmt: skip


def word(text: str) -> WordInContext:
    looked = tuple(LookedAt(position=i, token=named(i, t), weight=0.5 / (i + 1)) for i, t in enumerate(TEXTS))
    words = tuple(LookedAtWord(position=2 * i, tokens=2, text=t, weight=0.3 / (i + 1)) for i, t in enumerate(WORDS))
    layers = tuple(
        WordLayer(
            layer=n, cosine_to_embedding=1 - n / 4, moved=3.0 * n, looked_at=looked if n else (),
            words=words if n else (), other_words=2 if n else 0, other_weight=0.375 if n else 0.0,
        )
        for n in range(3)
    )  # fmt: skip
    return WordInContext(
        text=text, word="server", position=4, token=named(4, " server"), layers=layers, tokens=2, first="check" in text
    )  # fmt: skip


WORDS = ("The", " cat", "\x1b[31m", " sat")


SHARED = SharedWord(
    first=word("Server, can I have the check?"), second=word("Looks like I just crashed the server.\x1b"),
    cosines=(0.5, 0.25, -0.125),
)  # fmt: skip


def shown(screen: Screen) -> dict[str, list[str]]:
    return {
        "heads": str(head_table(HEADS, screen)).split("\n"),
        "short": "\n".join(map(str, grid_table(grid(6), screen))).split("\n"),
        "long": "\n".join(map(str, grid_table(grid(120), screen))).split("\n"),
        "scores": "\n".join(map(str, grid_table(grid(12), screen, scores=True))).split("\n"),
        "word": "\n".join(map(str, shared_word_table(SHARED, screen))).split("\n"),
    }


@pytest.mark.parametrize("width", [40, 80])
def test_golden_attention(width: int, golden: Golden) -> None:
    tables = shown(Screen(width))
    golden(f"attention_{width}", "\n\n".join("\n".join(tables[n]) for n in ("heads", "short", "scores", "word")))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_no_line_is_too_wide_nor_steers_the_terminal(width: int, symbols: Symbols) -> None:
    for lines in shown(Screen(width, symbols)).values():
        assert max(map(cell_len, lines)) <= width
        assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("width", [40, 80])
def test_a_share_that_no_token_has_is_a_dash_with_its_reason(width: int) -> None:
    def shown(**shares: float | None) -> tuple[list[str], str]:
        _, row, *caption = str(head_table([replace(HEADS[0], **shares)], Screen(width))).split("\n")  # type: ignore[arg-type]
        return row.split(), " ".join(" ".join(caption).split())

    row, caption = shown(first=None)
    assert row.count("-") == 2
    assert caption.endswith("- where no token occurs twice or there is no third token")
    row, caption = shown(first=None, same=0.5)
    assert row.count("-") == 1
    assert caption.endswith("- where there is no third token")
    assert "- where" not in shown(same=0.5)[1]


def test_a_grid_that_fits_has_a_number_for_every_token() -> None:
    heading, *rows = shown(Screen(80))["short"][:7]
    assert heading.split() == ["1", "2", "3", "4", "5", "6"]
    assert rows[0].split()[-1] == "100"
    assert rows[5].split()[-6:] == ["10"] * 5 + ["50"]


def test_a_grid_that_does_not_fit_says_what_the_others_got() -> None:
    lines = shown(Screen(80))["long"]
    assert "older" in lines[0]
    hidden = 120 - max(len(line) for line in lines[1:121]) + lines[0].index("older ") + len("older ")
    assert lines[120].split()[2] == f"{100 * hidden * 0.5 / 119:.0f}"
    assert f"the first {hidden} tokens have no column" in " ".join(" ".join(lines[121:]).split())


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_what_a_word_looks_at_adds_up(width: int) -> None:
    lines = [line for line in shown(Screen(width))["word"] if re.search(r"\d%", line)]
    assert len(lines) == 4
    for line in lines:
        assert "The 30%" in line
        assert "other" in line or "rest" in line
        assert sum(int(share) for share in re.findall(r"(\d+)%", line)) == pytest.approx(100, abs=2)


def test_a_word_says_that_its_tokens_are_joined_and_that_nothing_stands_before_it() -> None:
    told = " ".join(" ".join(shown(Screen(80))["word"]).split())
    assert told.count("tokens 4 to 5: server · its 2 tokens joined: the mean of their vectors and attention") == 2
    assert told.count("nothing comes before it: the model reads from left to right") == 1
