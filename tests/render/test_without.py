"""Both lists side by side at any width, and as a table of a page."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Browser
from rich.cells import cell_len

from minigpt.models.parts import Part
from minigpt.render.html import Section, page
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.render.without import FACES, changed_table
from minigpt.views.view import Answer
from minigpt.views.without import ChangedNext, ChangedOther, ChangedToken, LeftOut

ROWS = [(" mat", 0.214, 0.0612, -1.81), (" <b>", 0.1242, 0.3, 1.27), ("\x1b[31m", 0.05, 0.05, -0.001),
        ("速い狐", 0.0001, 1e-30, -86.37), (None, 0.01, 0.01, 0.0), ("x" * 90, 0.0, 0.2, 123.45)]  # fmt: skip


def record(rows: Sequence[tuple[str | None, float, float, float]] = ROWS, unseen: int = 0) -> ChangedNext:
    return ChangedNext(
        parts=(Part("head", 2, 3), Part("mlp", 1)),
        ablation="mean",
        left_out=(LeftOut(id=3, text=" [the]", bytes=b" [the]".hex(), position=unseen + 4),),
        position=unseen + 9,
        unseen=unseen,
        candidates=tuple(
            ChangedToken(
                id=i, text=text, bytes="e280" if text is None else text.encode().hex(), rank=i + 1,
                changed_rank=50_257 - i, logit=1.0, changed_logit=2.0, raw_prob=usual, changed_raw_prob=changed,
                change_bits=bits,
            )
            for i, (text, usual, changed, bits) in enumerate(rows)
        ),
        other=ChangedOther(
            count=50_251, raw_prob=1 - sum(row[1] for row in rows), changed_raw_prob=1 - sum(row[2] for row in rows)
        ),
        entropy_bits=6.2,
        changed_entropy_bits=5.75,
        divergence_bits=0.512,
        changed_divergence_bits=0.25,
    )  # fmt: skip


def printed(record: ChangedNext, after: str, screen: Screen) -> str:
    return "\n".join(map(str, changed_table(record, after, screen)))


def section(record: ChangedNext, after: str) -> Section:
    return FACES[0].on_page(Answer(records=(record,), text=after))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_golden_without(width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"without_{width}", printed(record(unseen=1200), "The cat sat on the", Screen(width)))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_every_number_is_shown_and_no_line_is_too_wide(width: int, symbols: Symbols) -> None:
    text = printed(record(), "The cat sat on the", Screen(width, symbols))
    assert max(map(cell_len, text.split("\n"))) <= width
    for number in ("21.40 %", "6.12 %", "<0.01 %", "-1.81", "+1.27", "+0.00", "-86.37", "+123.45", "other 50,251"):
        assert number in text.replace("other (50,251 tokens)", "other 50,251")
    assert "-0.00" not in text
    assert "\x1b" not in text
    told = " ".join(text.split())
    assert "changed: layer 2 head 3, layer 1 mlp set to their means over the text; the text without" in told
    assert "at position 4, whose followers move up" in told
    assert "before the model's window" not in told


def test_zero_and_a_token_alone_are_told() -> None:
    told = printed(replace(record(), ablation="zero", left_out=()), "", Screen(100))
    assert "changed: layer 2 head 3, layer 1 mlp set to zero\n" in told
    assert "set to" not in printed(replace(record(), parts=()), "", Screen(100))


def test_where_all_tokens_are_listed_there_are_no_others() -> None:
    whole = replace(record(), other=ChangedOther(count=0, raw_prob=0.0, changed_raw_prob=0.0))
    assert printed(whole, "", Screen(80)).split("\n")[7].startswith(" next token")
    assert "other (" not in page("", [section(whole, "")])


def test_a_page_has_it_as_a_table() -> None:
    text = page("A page", [section(record(), "The <cat>")])
    assert text.count("<tr>") == 1 + len(ROWS) + 1
    assert text.count("<tfoot>") == 1
    cells = [re.sub("<[^>]*>", "|", row) for row in re.findall("<tr>.*?</tr>", text, re.DOTALL)]
    assert re.sub(r"[|\s]+(?=[|])", "", cells[1]) == "|␣mat|21.40 %|#1|6.12 %|#50257|-1.81|"
    assert "next token after “The &lt;cat&gt;”" in text
    assert "␣&lt;b&gt;" in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "style=" not in text


@pytest.mark.parametrize("width", [360, 400, 1280])
def test_the_table_fits_into_a_window(browser: Browser, width: int, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page("A page", [section(record(), "The cat")]), "utf-8")
    for dark in (False, True):
        browser.open(path, width=width, dark=dark)
        assert browser["document.documentElement.scrollWidth"] <= width
        assert browser["(({scrollWidth, clientWidth}) => scrollWidth <= clientWidth)(document.querySelector('.wide'))"]
        bars = browser["[...document.querySelectorAll('svg.drawn')].map(bar => bar.getBoundingClientRect().width)"]
        assert all(bar > 9 for bar in bars) if width > 400 else not any(bars)  # what repeats a number gives way
        assert browser.complaints() == []
        assert browser.requests() == [path.as_uri()]
