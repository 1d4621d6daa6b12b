"""Gates and states as a table, and as the text in the colours of a unit."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.render.face import Face
from minigpt.render.gates import FACES, gate_view, unit_course
from minigpt.render.html import page
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.views.gates import Gate, StateStep, UnitState
from minigpt.views.view import Answer

TEXTS = ["The", " cat", "\n", "\x1b[31m", "速い狐", None, "</script>", " " + "y" * 90, " sat"]
FACTS = {"layer": 2, "layers": 2, "width": 48, "chosen": True}


def step(position: int, text: str | None, *, lstm: bool = True) -> StateStep:
    wave = math.sin(position)

    def gate(shift: float) -> Gate | None:
        return Gate(mean=0.5 + shift * wave, closed=0.25, open=0.0625 * (position % 4)) if lstm else None

    def unit(number: int) -> UnitState:
        gates = dict.fromkeys(("input", "forget", "output"), 0.5) if lstm else {}
        return UnitState(unit=number, hidden=wave / number, cell=3 * wave / number if lstm else None, **gates)

    return StateStep(
        id=position,
        text=text,
        bytes="e280" if text is None else text.encode().hex(),
        position=position,
        hidden_norm=2.0 + wave,
        cell_norm=104.5 + wave if lstm else None,
        input=gate(0.1),
        forget=gate(0.4),
        output=gate(-0.2),
        units=(unit(7), unit(12)),
    )


def answer(*, lstm: bool = True) -> Answer:
    return Answer(records=[step(i, text, lstm=lstm) for i, text in enumerate(TEXTS)], facts=FACTS)


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("kind", ["lstm", "rnn"])
def test_golden_gates(width: int, kind: str, golden: Callable[[str, str], None]) -> None:
    lines = gate_view(answer(lstm=kind == "lstm"), Screen(width))
    golden(f"gates_{kind}_{width}", "\n".join(line.plain for line in lines))


def test_a_layer_of_one_unit_is_told_as_that() -> None:
    one = replace(answer(), facts=FACTS | {"width": 1})
    assert "layer 2 of 2, 1 unit ·" in " ".join(" ".join(map(str, gate_view(one, Screen(80)))).split())


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize("lstm", [True, False])
def test_no_line_is_too_wide_and_no_token_steers_the_terminal(symbols: Symbols, coloured: bool, lstm: bool) -> None:
    for width in (*range(40, 101, 4), 160):
        text = "\n".join(line.plain for line in gate_view(answer(lstm=lstm), Screen(width, symbols, coloured)))
        assert max(map(cell_len, text.split("\n"))) <= width
        assert "\x1b" not in text
        assert symbols is UNICODE or all(sign.isascii() or sign in "速い狐" for sign in text)


def test_a_token_has_the_colour_or_the_bar_of_the_unit_after_it() -> None:
    steps = [step(i, text) for i, text in enumerate(["a", "bc", "d"])]
    values = [3 * math.sin(i) / 7 for i in range(3)]
    heading, text, bars = unit_course(steps, 0, Screen(80))
    assert heading.plain == f" unit 7  cell +0.00 to +{values[2]:.2f}"
    assert (text.plain, bars.plain) == (" abcd", " ▅███")
    _, text = unit_course(steps, 0, Screen(80, coloured=True))
    styles = [str(span.style) for span in text.spans]
    assert styles[0] == "black on rgb(238,238,238)"
    assert styles[2] == "black on rgb(0,114,178)"


def test_a_state_of_zeros_has_no_colours() -> None:
    zero = [step(0, "a")]  # sin 0
    assert [line.plain for line in unit_course(zero, 0, Screen(80))][1:] == [" a", " ▄"]


@pytest.mark.parametrize("lstm", [True, False])
def test_a_page_has_all_numbers_and_no_markup_of_a_token(lstm: bool) -> None:
    (face,) = FACES
    assert isinstance(face, Face)
    section = face.on_page(answer(lstm=lstm))
    names = [quantity["name"] for quantity in section.data["quantities"]]
    assert names[:2] == (["unit 7, cell", "unit 12, cell"] if lstm else ["unit 7, hidden", "unit 12, hidden"])
    assert len(names) == (13 if lstm else 3)
    assert all(len(quantity["values"]) == len(TEXTS) for quantity in section.data["quantities"])
    json.dumps(section.data, allow_nan=False)
    html = page("A page", [section])
    assert html.count("</script>") == 2  # the data's and the page's own
