"""What parts are worth, with bars to both sides, at any width and on a page."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Browser
from rich.cells import cell_len

from minigpt.render.html import Section, page
from minigpt.render.parts import FACES, parts_table
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.render.table import lines
from minigpt.sampling.records import Candidate
from minigpt.views.parts import PartsWorth, PartWorth
from minigpt.views.view import Answer

Make = Callable[..., Candidate]
WORTH = [
    ("mlp", 1, None, 5.073, -18.94), ("head", 12, 11, -0.92, -3.2), ("head", 2, 1, 0.001, 0.44),
    ("mlp", 2, None, 1.5, -0.001), ("head", 1, 2, 0.25, 0.0), ("token_embedding", None, None, -1.11, None),
    ("position_embedding", None, None, 0.13, None), ("attention_bias", 1, None, 0.3, None),
    ("attention_bias", 2, None, -0.05, None), ("final_norm_bias", None, None, -0.18, None),
]  # fmt: skip


def record(candidate: Make, unseen: int = 0, ablation: str = "zero", scale: float = 1.0) -> PartsWorth:
    return PartsWorth(
        position=9,
        token=candidate(3, " <mat>", 0.0614),
        surprisal_bits=4.03,
        unseen=unseen,
        ablation=ablation,
        parts=tuple(
            PartWorth(kind=kind, layer=layer, head=head, contribution=scale * adds, change_bits=bits)
            for kind, layer, head, adds, bits in WORTH
        ),
        contribution_sum=4.99412,
    )


@pytest.mark.parametrize("width", [40, 80, 160])
def test_golden_parts(candidate: Make, width: int, golden: Callable[[str, str], None]) -> None:
    parts = parts_table(record(candidate, 1200, "mean"), "The cat sat on the", Screen(width), top=3)
    golden(f"parts_{width}", "\n".join(map(str, parts)))


def test_the_biases_of_one_layer_are_not_told_of_every_layer(candidate: Make) -> None:
    two = record(candidate)
    one = replace(two, parts=tuple(part for part in two.parts if (part.kind, part.layer) != ("attention_bias", 2)))
    told = ["\n".join(map(str, parts_table(each, "The cat", Screen(80)))) for each in (one, two)]
    assert ["of every layer" in each for each in told] == [False, True]


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_every_number_is_shown_and_no_line_is_too_wide(candidate: Make, width: int, symbols: Symbols) -> None:
    text = "\n".join(map(str, parts_table(record(candidate), "The cat sat on the", Screen(width, symbols))))
    assert max(map(cell_len, text.split("\n"))) <= width
    for number in ("+5.07", "-18.94", "-0.92", "+0.00", "+0.44", "+0.25", "+4.99", "-1.11"):
        assert number in text
    assert "-0.00" not in text
    told = " ".join(text.split())
    assert "all parts add up to 4.9941, and the model's logit is -3.0000" in told
    assert "the final norm with its mean and scale frozen" in told
    assert "set to zero" in told
    assert "do not add up" in told
    assert "other" not in told.partition("next token after")[0]


def test_the_rows_add_up_whatever_is_listed(candidate: Make) -> None:
    for top in (1, 2, 4, 5, 99):
        table = list(map(str, lines(parts_table(record(candidate), "", Screen(40), top))))
        end = next(i for i, line in enumerate(table) if line.startswith(" the logit"))
        numbers = [float(re.findall(r"[+-]\d+\.\d+", line)[0]) for line in table[1:end]]
        assert sum(numbers) == pytest.approx(4.99412, abs=0.005 * len(numbers))
        assert table[end].split()[-1] == "+4.99"
        assert any(f"other ({5 - top} part" in line for line in table) == (top < 5)


def test_bars_stand_on_their_sides_and_only_where_there_is_a_number(candidate: Make) -> None:
    heading, mlp, head, *_, embedding, position, biases, norm, total = map(
        str, list(lines(parts_table(record(candidate), "", Screen(80))))[:11]
    )
    assert heading.split() == ["part", "adds", "bits"]
    adds, bits = (i for i, letter in enumerate(mlp) if letter == "|")
    assert set(mlp[adds + 1 : adds + 9]) == {"█"}
    assert set(mlp[bits - 8 : bits]) == {"█"}
    assert head[adds - 1] in "█▐"
    assert [line.count("|") for line in (embedding, position, biases, norm, total)] == [1, 1, 1, 1, 0]


def section(record: PartsWorth, text: str) -> Section:
    (face,) = FACES
    return face.on_page(Answer(records=[record], text=text))


def test_a_page_has_every_part_in_a_table(candidate: Make) -> None:
    text = page("A page", [section(record(candidate, 7), "The <cat>")])
    rows = [re.sub(r"(<[^>]*>|\n)+", "|", row) for row in re.findall("(?s)<tr.*?</tr>", text)]
    assert rows[1] == "|layer 1 mlp|+5.07|-18.94|"
    assert [row.split("|")[1] for row in rows[6:]] == [
        "token embedding", "position embedding", "layer 1 attention bias", "layer 2 attention bias",
        "final norm bias", "the logit",
    ]  # fmt: skip
    assert rows[-1] == "|the logit|+4.99|"
    assert "The &lt;cat&gt;" in text
    assert "“␣&lt;mat&gt;”, 6.14 %" in text
    assert "style=" not in text
    assert "7 tokens before the model&#39;s window are not read" in " ".join(text.split())


@pytest.mark.parametrize("width", [360, 400, 1280])
def test_the_table_fits_into_a_window(candidate: Make, browser: Browser, width: int, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page("A page", [section(record(candidate), "The cat")]), "utf-8")
    for dark in (False, True):
        browser.open(path, width=width, dark=dark)
        assert browser["document.documentElement.scrollWidth"] <= width
        assert browser[
            "[...document.querySelectorAll('svg.drawn')].every(bar => bar.getBoundingClientRect().width > 9)"
        ]
        assert browser.complaints() == []
        assert browser.requests() == [path.as_uri()]
