"""Tables as pictures: how they are reduced, and how they look with colours and without."""

import math
from collections.abc import Callable, Sequence

import pytest
from rich.cells import cell_len
from rich.text import Text

from minigpt.render.cells import beside
from minigpt.render.embeddings import position_view
from minigpt.render.heatmap import HeatPicture, Reduction, heat_legend, heat_lines, heat_section, room_for
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.views.embeddings import PositionVector
from minigpt.views.view import Answer


def reduced(rows: Sequence[Sequence[float | None]], most: tuple[int, int], *, means: bool) -> HeatPicture:
    reduction = Reduction(len(rows), len(rows[0]), most, means=means)
    for row in rows:
        reduction.add(row)
    return reduction.picture("a table", "row", "column", 1.0)


def test_a_small_table_stays_as_it_is() -> None:
    picture = reduced([(1.0, None), (-0.5, 0.25)], (2, 2), means=True)
    assert picture.values == ((1.0, 0.0), (-0.5, 0.25))
    assert list(picture.remarks()) == []


def test_rows_are_means_and_columns_are_means_or_chosen() -> None:
    rows = [[float(10 * row + column) for column in range(5)] for row in range(5)]
    means = reduced(rows, (2, 2), means=True)  # of 3 rows and 2, and of 3 columns and 2
    assert means.values == ((11.0, 13.5), (36.0, 38.5))
    assert list(means.remarks())[:2] == ["a row is the mean of 3 rows", "a column is the mean of 3 columns"]
    chosen = reduced(rows, (5, 2), means=False)
    assert chosen.values[0] == (0.0, 3.0)
    assert next(chosen.remarks()) == "one in 3 columns is shown"


def test_a_few_large_numbers_do_not_leave_the_rest_without_colour() -> None:
    reduction = Reduction(10, 10, (10, 10), means=False)
    for row in range(10):
        reduction.add([50.0 if row == column == 3 else 0.1 for column in range(10)])
    picture = reduction.picture("a table", "row", "column")
    assert picture.limit == pytest.approx(0.1)
    assert list(picture.remarks()) == ["a few numbers lie beyond -0.1 and +0.1"]


def test_a_coloured_line_holds_two_rows() -> None:
    picture = reduced([(1.0, -1.0), (0.0, 1.0), (-1.0, 0.0)], (3, 2), means=False)
    _, first, second, axis = heat_lines(picture, 40, Screen(40, coloured=True))
    assert (first.plain, second.plain, axis.plain) == ("    0 ▀▀", "        ", "      01")
    orange, blue, nothing = "rgb(213,94,0)", "rgb(0,114,178)", "rgb(238,238,238)"
    styles = [str(span.style) for line in (first, second) for span in line.spans if "rgb" in str(span.style)]
    assert styles == [
        f"not dim {blue} on {nothing}",
        f"not dim {orange} on {blue}",
        f"not dim on {orange}",
        f"not dim on {nothing}",
    ]


def test_without_colours_a_number_is_the_height_of_a_bar() -> None:
    picture = reduced([(1.0, -1.0, 0.0)], (1, 3), means=False)
    _, line, axis = heat_lines(picture, 40, Screen(40))
    assert line.plain == "    0 █▁▅"
    assert axis.plain == "      0 2"


@pytest.mark.parametrize(("columns", "labels"), [(1, "0"), (2, "01"), (40, "0")])  # of 40, two are left: 0 and 20
def test_the_last_column_has_a_label_where_there_is_room(columns: int, labels: str) -> None:
    picture = reduced([(0.5,) * columns], (1, 2), means=True)
    *_, axis = heat_lines(picture, 40, Screen(40))
    assert axis.plain == "      " + labels


def test_a_table_of_zeros_has_a_picture() -> None:
    for screen in (Screen(40), Screen(40, coloured=True)):
        reduction = Reduction(2, 2, (2, 2), means=False)
        reduction.add([0.0, 0.0])
        reduction.add([None, None])
        picture = reduction.picture("a table", "row", "column")
        assert len(list(heat_lines(picture, 40, screen))) > 2
        assert heat_section("title", [picture], "").data["pictures"][0]["values"] == [[0, 0], [0, 0]]


def test_two_pictures_stand_side_by_side() -> None:
    lines = beside([Text("ab"), Text("c")], [Text("x")], 4)
    assert [line.plain for line in lines] == ["ab  x", "c"]


def positions(context: int, width: int) -> list[PositionVector]:
    table = [[math.sin(row / 3 + column) for column in range(width)] for row in range(context)]
    cosines = [tuple(1 - abs(row - other) / context for other in range(context)) for row in range(context)]
    return [
        PositionVector(
            position=row,
            norm=math.hypot(*table[row]),
            vector=tuple(table[row]),
            cosines=cosines[row],
            sinusoidal=tuple(table[row]),
            sinusoidal_cosines=cosines[row],
        )
        for row in range(context)
    ]


@pytest.mark.parametrize("width", [40, 80])
def test_golden_positions(width: int, golden: Callable[[str, str], None]) -> None:
    answer = Answer(records=positions(64, 48), facts={"kind": "learned"})
    golden(f"positions_{width}", "\n".join(line.plain for line in position_view(answer, Screen(width))))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize(("context", "size"), [(1, 1), (3, 200), (200, 3), (97, 101)])
def test_no_line_is_wider_than_the_screen(symbols: Symbols, coloured: bool, context: int, size: int) -> None:
    answer = Answer(records=positions(context, size), facts={"kind": "none"})
    for width in (40, 69, 70, 80, 100):
        lines = [line.plain for line in position_view(answer, Screen(width, symbols, coloured))]
        assert max(cell_len(line) for text in lines for line in text.split("\n")) <= width
        assert symbols is UNICODE or all(line.isascii() for line in lines)


def test_a_legend_names_the_colours_where_they_are_seen() -> None:
    picture = reduced([(1.0, -1.0)], (1, 2), means=False)
    assert heat_legend([picture], Screen(80, coloured=True)).plain == " a table: orange -1, blue +1 · white 0"
    assert heat_legend([picture], Screen(80)).plain == " a table: ▁ -1, █ +1 · ▅ 0"
    assert room_for(40, Screen(40)) == (17, 34)
