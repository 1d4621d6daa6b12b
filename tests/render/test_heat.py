"""Which colour a token has, and which token a character came from."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from minigpt.render.heat import COLOURS, SCALES, HeatedText, heat_legend
from minigpt.render.style import Screen
from minigpt.sampling.records import BareToken, Candidate, StepRecord
from minigpt.settings import HEATS
from minigpt.text.records import Token

Make = Callable[..., Candidate]


def test_every_scale_can_be_asked_for() -> None:
    assert tuple(SCALES) == HEATS


def record_of(step: StepRecord, token: Token, **changes: object) -> StepRecord:
    return replace(step, token=token, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "numbers", "colours"),
    [
        ("probability", (0.0, 0.999, 1.0, 2.999, 3.0, 6.0, 9.0, 40.0), (0, 0, 1, 1, 2, 3, 4, 4)),
        ("entropy", (0.0, 0.999, 1.0, 3.0, 4.999, 5.0, 7.0, 16.0), (0, 0, 1, 2, 2, 3, 4, 4)),
        ("rank", (1, 2, 3, 4, 10, 11, 100, 101), (0, 1, 1, 2, 2, 3, 3, 4)),
    ],
)
def test_each_scale_has_five_colours(
    step: StepRecord, candidate: Make, by: str, numbers: tuple[float, ...], colours: tuple[int, ...]
) -> None:
    for number, colour in zip(numbers, colours, strict=True):
        token = candidate(int(number) or 1, "x", 0.1)
        record = record_of(step, token, surprisal_bits=number, entropy_bits=number)
        assert SCALES[by].style(record) == COLOURS[colour]


@pytest.mark.parametrize("by", SCALES)
def test_the_first_token_of_a_text_has_none_of_them(step: StepRecord, by: str) -> None:
    first = record_of(step, BareToken(id=1, text="a", bytes="61"), surprisal_bits=None, entropy_bits=None)
    assert SCALES[by].style(first) == "dim"


@pytest.mark.parametrize("by", SCALES)
def test_the_legend_names_every_colour(by: str) -> None:
    legend = heat_legend(SCALES[by], Screen(80))
    assert legend.plain.startswith(f" {SCALES[by].name}: █ ")
    shown = {str(span.style).split()[-1]: legend.plain[span.start : span.end] for span in legend.spans}
    for colour, label in zip(COLOURS, SCALES[by].labels, strict=True):
        assert shown[colour] == f" █ {label}"


def test_a_character_has_the_colour_of_the_token_that_completes_it(step: StepRecord, candidate: Make) -> None:
    heat = HeatedText(SCALES["rank"])
    euro = "€".encode()
    for rank, data in ((1, b"a"), (2, euro[:1]), (5, euro[1:] + b"b"), (50, b"cd")):
        heat.add(record_of(step, replace(candidate(rank, None, 0.1), bytes=data.hex())))
    assert heat.released(b"a") == [("a", "green")]
    assert heat.released(euro + b"bc") == [("", "cyan"), ("€b", "yellow"), ("c", "magenta")]
    assert heat.released(b"d") == [("d", "magenta")]
    assert heat.released(b"rest") == [("rest", "")]


def test_bytes_that_are_no_characters_keep_their_place(step: StepRecord, candidate: Make) -> None:
    heat = HeatedText(SCALES["rank"])
    for rank, data in ((1, b"\xff"), (2, b"\xe2"), (5, b"x")):
        heat.add(record_of(step, replace(candidate(rank, None, 0.1), bytes=data.hex())))
    shown = heat.released(b"\xff\xe2x")
    assert "".join(text for text, _ in shown) == "\ufffd\ufffdx"
    assert shown[-1][1] == "yellow"


def test_without_a_scale_there_are_no_colours(step: StepRecord) -> None:
    heat = HeatedText(None)
    heat.add(step)
    assert heat.released("größer".encode()) == [("größer", "")]
