"""Two models side by side, at any width, with hostile tokens."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.render.against import compared_next_table, compared_text_caption, compared_text_table
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.text.records import Token
from minigpt.views.against import ComparedNext, ComparedSpan, ComparedText, ComparedToken

NAMES = ("notes", "shakespeare/step-001500")
Golden = Callable[[str, str], None]


def token(number: int, text: str | None, share: float, other: float) -> ComparedToken:
    data = "e280" if text is None else text.encode().hex()
    return ComparedToken(
        id=number, text=text, bytes=data, raw_prob=share, other_raw_prob=other, rank=number, other_rank=number * 7000
    )


@pytest.fixture
def following() -> ComparedNext:
    tokens = (
        token(1, " the", 0.4, 0.05), token(2, "\x1b[31m", 0.1, 0.2), token(3, None, 0.0, 0.1),
        token(4, " incomprehensibilities", 0.00001, 0.05),
    )  # fmt: skip
    return ComparedNext(
        tokens=tokens, moved=tokens[:2], rest=50_253, rest_raw_prob=0.49999, rest_other_raw_prob=0.6,
        entropy_bits=4.0, other_entropy_bits=9.25, divergence_bits=1.5, other_divergence_bits=2.25,
    )  # fmt: skip


@pytest.fixture
def spans() -> list[ComparedSpan]:
    def span(texts: list[str | None], bits: float | None, other: float | None, diverged: float | None) -> ComparedSpan:
        tokens = tuple(
            Token(id=i, text=text, bytes="e2" if text is None else text.encode().hex()) for i, text in enumerate(texts)
        )
        return ComparedSpan(
            tokens=tokens, other_tokens=tokens, bytes=sum(len(t.bytes) // 2 for t in tokens), surprisal_bits=bits,
            other_surprisal_bits=other, divergence_bits=diverged,
        )  # fmt: skip

    return [
        span(["The"], None, None, None), span([" mat"], 0.5, 3.25, 1.0), span(["\x1b", "[31m"], 20.0, 2.0, None),
        span([None, None, " 速い", " incomprehensibilities"], 3.0, 3.5, 12.5),
    ]  # fmt: skip


TOTALS = ComparedText(
    bytes=43, tokens=5, other_tokens=7, bits_per_byte=0.5465, other_bits_per_byte=0.2035, divergence_bits_per_token=6.75
)


def printed(parts: Iterable[object]) -> str:
    return "\n".join(map(str, parts))


def shown(following: ComparedNext, spans: list[ComparedSpan], screen: Screen) -> list[str]:
    parts = [
        *compared_next_table(following, "To date, the cleverest\x1b thinker", NAMES, screen),
        compared_text_table(spans, NAMES, screen),
        *compared_text_caption(TOTALS, NAMES, screen),
    ]
    return printed(parts).split("\n")


@pytest.mark.parametrize("width", [40, 80, 100])
def test_golden_against(following: ComparedNext, spans: list[ComparedSpan], width: int, golden: Golden) -> None:
    golden(f"against_{width}", "\n".join(shown(following, spans, Screen(width))))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101))
def test_no_line_is_too_wide_nor_steers_the_terminal(
    following: ComparedNext, spans: list[ComparedSpan], width: int, symbols: Symbols
) -> None:
    lines = shown(following, spans, Screen(width, symbols))
    assert max(map(cell_len, lines)) <= width
    assert not any("\x1b" in line for line in lines)
    whole = " ".join(" ".join(lines).split())
    assert "notes: shown 50.00 % + other 50.00 % = 100 %" in whole
    assert "shown 40.00 % + other 60.00 % = 100 %" in whole
    assert "#28000" in whole or width < 50
    assert "other 50,253" in whole or "other (50,253 tokens)" in whole


def test_models_that_agree_have_no_line_of_what_moved(following: ComparedNext) -> None:
    same = tuple(replace(each, other_raw_prob=each.raw_prob) for each in following.tokens)
    text = printed(compared_next_table(replace(following, tokens=same, moved=same), "To", NAMES, Screen(80)))
    assert "moved most" not in text
    assert text.split("\n")[-1].strip()


def test_a_text_without_totals_says_so() -> None:
    none = ComparedText(
        bytes=0, tokens=0, other_tokens=0, bits_per_byte=None, other_bits_per_byte=None, divergence_bits_per_token=None
    )
    assert "there is no total" in printed(compared_text_caption(none, NAMES, Screen(80)))


def test_totals_that_are_shown_alike_are_level() -> None:
    assert TOTALS.bits_per_byte is not None
    near = replace(TOTALS, other_bits_per_byte=TOTALS.bits_per_byte + 1e-6)
    told = " ".join(printed(compared_text_caption(near, NAMES, Screen(80))).split())
    assert "the two are level" in told
    assert "is better" not in told
    apart = replace(TOTALS, other_bits_per_byte=TOTALS.bits_per_byte + 1e-3)
    assert f"{NAMES[0]} is better" in " ".join(printed(compared_text_caption(apart, NAMES, Screen(80))).split())
