"""A row a choice, every number under its name; at any width; and the same numbers as CSV."""

import csv
import io
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.render.choices import FACES, choices_table
from minigpt.render.style import ASCII, Screen
from minigpt.sampling.records import ScoredToken
from minigpt.views.choices import Choice
from minigpt.views.view import Answer

Golden = Callable[[str, str], None]
HOSTILE = ["[/INST]", "[bold]", ":smile:", "\x1b[31m", "\x00", "\u202e", "\n\n\n", "\u0301", "速い茶色の狐" * 9]
PROMPT = "I have seen it twice. The film was"


def choice(text: str, nats: float, share: float, share_per_byte: float, tokens: int = 1) -> Choice:
    size = len(text.encode())
    token = ScoredToken(id=1, text="x", bytes="78", raw_prob=0.5, nats=math.log(2))
    return Choice(
        text=text, tokens=(token,) * tokens, bytes=size, raw_prob=math.exp(-nats), total_nats=nats,
        nats_per_byte=nats / size, bits_per_byte=nats / size / math.log(2), share=share, share_per_byte=share_per_byte,
    )  # fmt: skip


@pytest.fixture
def choices() -> list[Choice]:
    return [
        choice(" good", 4.1, 0.7310, 0.2930),
        choice(" bad", 5.1, 0.2689, 0.1858),
        choice(" rather disappointing, to say the least", 14.3, 0.0001, 0.4610, tokens=8),
        choice("!", 2812.5, 0.0, 0.0602),
    ]


def printed(parts: Iterable[object]) -> str:
    return "\n".join(map(str, parts))


@pytest.mark.parametrize("width", [40, 80])
def test_golden_choices(choices: list[Choice], width: int, golden: Golden) -> None:
    golden(f"choices_{width}", printed(choices_table(choices, PROMPT, Screen(width))))


@pytest.mark.parametrize("width", range(28, 101))
def test_lines_keep_to_the_screen(choices: list[Choice], width: int) -> None:
    lines = printed(choices_table(choices, PROMPT, Screen(width))).split("\n")
    assert max(map(cell_len, lines)) <= width
    assert {cell_len(line) for line in lines[1:5]} == {width}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [40, 80])
def test_hostile_choices_stay_in_their_cells(choices: list[Choice], text: str, width: int) -> None:
    found = printed(choices_table([*choices, choice(text, 9.0, 0.0, 0.0)], text, Screen(width)))
    assert not any((ord(c) < 32 and c != "\n") or c in "\x7f\u202e\u0301" for c in found)
    assert max(map(cell_len, found.split("\n"))) <= width


def test_an_ascii_screen_gets_ascii(choices: list[Choice]) -> None:
    assert printed(choices_table(choices, PROMPT, Screen(80, ASCII))).isascii()


def test_the_shares_are_added_up_and_not_promised(choices: list[Choice]) -> None:
    wrong = [replace(choices[0], share=0.5), *choices[1:]]
    assert "shares add up to 76.9 %" in " ".join(printed(choices_table(wrong, PROMPT, Screen(100))).split())


def test_a_share_that_no_float_holds_is_not_nothing(choices: list[Choice]) -> None:
    assert "<0.01 %" in printed(choices_table(choices, PROMPT, Screen(80))).split("\n")[4]


def test_csv_has_every_number(choices: list[Choice]) -> None:
    file = io.StringIO()
    assert FACES[0].csv is not None
    FACES[0].csv(Answer(records=[*choices, choice("\x1b[31m, \n", 3.0, 0.0, 0.0)]), file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert ",".join(rows[0]) == (
        "text,tokens,bytes,raw_prob,total_nats,nats_per_byte,bits_per_byte,share,share_per_byte"
    )
    assert [row["text"] for row in rows] == [*(c.text for c in choices), "<ESC>[31m, \n"]
    for row, record in zip(rows, choices, strict=False):
        assert int(row["tokens"]) == len(record.tokens)
        for name in list(row)[2:]:
            assert float(row[name]) == getattr(record, name)
