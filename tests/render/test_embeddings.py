"""How vectors are shown, at any width, and as CSV."""

import csv
import io
import math
from collections.abc import Callable, Sequence

import pytest
from rich.cells import cell_len

from minigpt.render.embeddings import embedding_view, write_vectors
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.views.embeddings import Neighbour, TokenVector

NEAR = [(" a", 0.6651), ("\x1b[31m", 0.5), (None, 0.25), ("速い狐", 0.0), ("x" * 90, -0.125)]


def vector(token: int, text: str | None, numbers: Sequence[float], cosines: Sequence[float | None]) -> TokenVector:
    return TokenVector(
        id=token,
        text=text,
        bytes="e280" if text is None else text.encode().hex(),
        norm=math.hypot(*numbers),
        mean=math.fsum(numbers) / len(numbers),
        vector=tuple(numbers),
        neighbours=tuple(
            Neighbour(id=i, text=near, bytes="e281" if near is None else near.encode().hex(), cosine=cosine)
            for i, (near, cosine) in enumerate(NEAR if any(numbers) else [])
        ),
        cosines=tuple(cosines),
    )


@pytest.fixture
def vectors() -> list[TokenVector]:
    wave = [math.sin(i / 9) * (1 + i / 100) for i in range(100)]
    return [
        vector(262, " the", wave, (1.0, -0.5, None)),
        vector(50_256, "\u202e" + "y" * 60, [-n for n in wave], (-0.5, 1.0, None)),
        vector(7, None, [0.0] * 100, (None, None, None)),
    ]


@pytest.mark.parametrize(("tied", "told"), [(True, "the same vector"), (False, "another one")])
def test_the_caption_says_whether_the_output_has_a_table_of_its_own(
    vectors: list[TokenVector], tied: bool, told: str
) -> None:
    lines = embedding_view(vectors, Screen(80, UNICODE), tied=tied)
    assert f"is the product of {told} with the" in " ".join(" ".join(map(str, lines)).split())


@pytest.mark.parametrize("width", [40, 80])
def test_golden_embeddings(vectors: list[TokenVector], width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"embeddings_{width}", "\n".join(map(str, embedding_view(vectors, Screen(width)))))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_every_cosine_is_shown_and_no_line_is_too_wide(
    vectors: list[TokenVector], width: int, symbols: Symbols
) -> None:
    text = "\n".join(map(str, embedding_view(vectors, Screen(width, symbols))))
    assert max(map(cell_len, text.split("\n"))) <= width
    for _, cosine in NEAR:
        assert text.count(f"{cosine:+.4f}") >= 2
    assert text.count("-0.5000") == 2
    assert "the vector is zero" in " ".join(text.split())
    assert not {"\x1b", "\u202e"} & set(text)
    assert symbols is UNICODE or all(sign.isascii() or sign in "速い狐" for sign in text)


def test_one_token_has_no_table_of_cosines() -> None:
    text = "\n".join(map(str, embedding_view([vector(1, "a", [0.5, -0.5], (1.0,))], Screen(80))))
    assert "\n cosine " not in text
    assert "    0  █▁" in text


def test_a_vector_of_one_number_is_told_as_one() -> None:
    text = "\n".join(map(str, embedding_view([vector(1, "a", [0.5], (1.0,))], Screen(80))))
    assert " 1 number, ▁ -0.500 to █ +0.500" in text


def test_csv_is_the_column_of_numbers_of_each_token(vectors: list[TokenVector]) -> None:
    file = io.StringIO()
    write_vectors(vectors, file)
    heading, *rows = csv.reader(io.StringIO(file.getvalue()))
    assert heading == ["channel", "#262 ␣the", "#50256 <U+202E>" + "y" * 60, "#7 <E2 80>"]
    assert [int(row[0]) for row in rows] == list(range(100))
    for column, token in enumerate(vectors, 1):
        assert [float(row[column]) for row in rows] == list(token.vector)
