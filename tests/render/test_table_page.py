"""Views on a page: each table has a caption, headings and a name for each row, made of what a terminal shows."""

import re
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import NAMES, Browser
from rich.text import Text

from minigpt.render.attribution import attribution_table
from minigpt.render.embeddings import embedding_view
from minigpt.render.html import page
from minigpt.render.style import Screen
from minigpt.render.table import Bar, Column, Course, Listing, Part, lines
from minigpt.render.table_page import tables_section
from minigpt.sampling.records import Candidate
from minigpt.views.attribution import Attribution, TokenEffect
from minigpt.views.embeddings import Neighbour, TokenVector

SCREEN = Screen(40)
UNICODE = SCREEN.symbols


class Tables(HTMLParser):
    """The tables of a page: of each its caption, and rows of cells, a cell being its tag, attributes and text."""

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        self.captions: list[str] = []
        self.rows: list[list[tuple[str, dict[str, str | None], str]]] = []
        self.tags: list[str] = []
        self.shapes: list[dict[str, str | None]] = []  # of drawings
        self.feed(page("A page", [tables_section("A view", parts)]).partition("<main>")[2])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append((tag, dict(attributes), ""))
        elif tag == "caption":
            self.captions.append("")
        elif tag == "rect":
            self.shapes.append(dict(attributes))

    def handle_data(self, data: str) -> None:
        if "caption" in self.tags[-2:] and data.strip():
            self.captions[-1] += data
        elif self.rows and self.tags[-1] in ("td", "th", "bdi") and data.strip():
            tag, attributes, text = self.rows[-1][-1]
            self.rows[-1][-1] = tag, attributes, text + data

    def texts(self) -> list[list[str]]:
        return [[text for _, _, text in row] for row in self.rows]


def listing(**more: Any) -> Listing[str]:
    columns = [
        Column[str]("length", 8, lambda word: str(len(word))),
        Column[str]("word", 6, str, left=True, style="bold"),
        Column[str]("code", 8, lambda word: word.encode().hex(), drop=1, title="code in full"),
    ]
    return Listing(
        **{"columns": columns, "rows": ["a", "incomprehensible"], "screen": SCREEN, "caption": "Some words", **more}
    )


def test_a_table_has_a_caption_headings_and_a_name_for_each_row() -> None:
    tables = Tables([listing()])
    assert tables.captions == ["Some words"]
    assert tables.texts() == [
        ["length", "word", "code in full"],
        ["1", "a", "61"],
        ["16", "incomprehensible", b"incomprehensible".hex()],
    ]
    heading, *rows = tables.rows
    assert [(tag, attributes["scope"]) for tag, attributes, _ in heading] == [("th", "col")] * 3
    for row in rows:
        assert [(tag, attributes.get("scope")) for tag, attributes, _ in row] == [
            ("td", None), ("th", "row"), ("td", None),
        ]  # fmt: skip
        assert row[1][1]["class"] == "bold left"


def test_nothing_is_dropped_or_shortened_for_want_of_room() -> None:
    table = listing(screen=Screen(14))
    assert str(table).split("\n") == ["  length  word", "       1  a", "      16  inc…"]
    assert Tables([table]).texts() == Tables([listing()]).texts()


def test_rows_of_the_rest_have_names_across_the_columns_that_they_lack() -> None:
    columns = [Column[str]("word", 6, str, left=True), Column[str]("code", 8, str, feet=("99", "100"))]
    tables = Tables([listing(columns=columns, feet=((), ("all others", "others")))])
    assert tables.texts()[-1] == ["all others", "100"]
    assert tables.rows[-1][0][:2] == ("th", {"scope": "row", "class": "left", "colspan": "1"})


def test_a_note_stands_in_place_of_a_row_and_what_stands_below_is_a_column() -> None:
    below = Column[str](
        "", 4, lambda word: lambda room: "\n".join([word, word]) if room < 100 else word, left=True, gap=4
    )
    table = listing(note=lambda word: "no code" if word == "a" else "", below=below)
    assert str(table).split("\n")[1] == "       1  no code"
    tables = Tables([table])
    assert tables.texts()[1:] == [
        ["1", "no code"],
        ["16", "incomprehensible", b"incomprehensible".hex(), "incomprehensible"],
    ]
    assert tables.rows[1][1][1]["colspan"] == "3"


def test_a_table_of_blocks_is_one_table() -> None:
    columns = [Column[str]("word", 18, str, left=True), *(Column[str](name, 9, len_text) for name in "abcdef")]
    table = listing(columns=columns, repeats=True)
    assert str(table).count("incomprehensible") > 1
    assert Tables([table]).texts()[2] == ["incomprehensible", *["16"] * 6]


def len_text(word: str) -> str:
    return str(len(word))


def test_bars_are_as_wide_as_their_shares() -> None:
    shares = {"whole": 1.0, "half": 0.5, "less": -0.25}
    columns = [
        Column[str]("word", 6, str, left=True),
        Column[str]("", 12, lambda word: Bar(shares[word], UNICODE, from_middle=word == "less"), left=True),
    ]
    tables = Tables([listing(columns=columns, rows=list(shares))])
    found = [(shape["x"], shape["width"]) for shape in tables.shapes if shape.get("class") != "axis"]
    assert found == [("0", "100.0"), ("0", "50.0"), ("37.5", "12.5")]


def test_a_course_has_a_bar_for_each_value_and_its_name() -> None:
    values = (1.0, -0.5, 0.0)
    course = Course(values, 1.0, UNICODE, [str(value) for value in values], signed=True, room=4)
    assert str(course(9)) == "█▃▅"
    text = page(
        "A page", [tables_section("A view", [listing(columns=[Column[str]("", 9, lambda word: course, left=True)])])]
    )
    assert re.findall(r"<title>([^<]*)</title>", text.partition("<main>")[2]) == ["1.0", "-0.5", "0.0"] * 2
    assert 'viewBox="0 0 4 100"' in text
    heights = re.findall(r'y="([0-9.]+)" width="0.8" height="([0-9.]+)"', text)
    assert heights == [("0.0", "50.0"), ("50", "25.0"), ("50.0", "0.0")] * 2


def test_captions_are_paragraphs_bold_lines_headings_and_other_lines_stay_as_printed() -> None:
    caption = SCREEN.caption("a long caption that is wrapped in a terminal", "and goes on")
    text = page("A page", [tables_section("A view", [Text(" Title", "bold"), Text(), caption, Text("  a  b")])])
    assert re.search(r"<h3><span class=\"bold\">\s*Title</span></h3>", text)
    assert text.count('<p class="sums">') == 1
    assert '<pre class="printed" tabindex="0">  a  b\n</pre>' in text


def test_a_terminal_shows_rows_as_they_arrive() -> None:
    arrived: list[str] = []

    def arriving() -> Iterator[str]:
        for word in ("a", "b"):
            arrived.append(word)
            yield word

    shown = lines([listing(rows=arriving()), Text("end")])
    assert [str(next(shown)), arrived] == ["  length  word" + "code".rjust(8), []]
    assert [str(next(shown)).split()[:2], arrived] == [["1", "a"], ["a"]]


def test_what_stands_below_has_room_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    below = Column[str]("", 4, lambda word: " ".join([word] * 30), left=True, gap=4)
    columns = [Column[str]("word", 6, str, left=True), *(Column[str](name, 9, len_text) for name in "abcd")]
    path = tmp_path / "page.html"
    path.write_text(page("A page", [tables_section("A view", [listing(columns=columns, below=below)])]), "utf-8")
    browser.open(path, width=360)
    widths = browser["[...document.querySelectorAll('.below bdi')].map((text) => text.offsetWidth)"]
    assert widths == [pytest.approx(0.75 * browser["document.querySelector('main').clientWidth"], abs=1)] * 2


def hostile(candidate: Callable[..., Candidate]) -> list[Part]:
    """Every bad name in every place that a table has for tokens."""
    effects = tuple(
        TokenEffect(id=i, text=name, bytes=name.encode().hex(), position=i, surprisal_bits=1.0, effect_bits=i - 9.0)
        for i, name in enumerate(NAMES)
    )
    record = Attribution(position=9, token=candidate(3, NAMES[0], 0.1), surprisal_bits=4.0, unseen=0, effects=effects)
    vectors = [
        TokenVector(
            id=i, text=name, bytes=name.encode().hex(), norm=1.0, mean=0.0, vector=(0.5, -0.5) * 96,
            neighbours=(Neighbour(id=0, text=name, bytes=name.encode().hex(), cosine=0.5),),
            cosines=tuple([0.25] * len(NAMES)),
        )
        for i, name in enumerate(NAMES)
    ]  # fmt: skip
    return [*attribution_table(record, Screen(100)), *embedding_view(vectors, Screen(100))]


def test_hostile_tokens_are_letters(candidate: Callable[..., Candidate]) -> None:
    tables = Tables(hostile(candidate))
    assert not {"img", "script", "iframe"} & set(tables.tags[:-1])
    texts = [text for row in tables.texts() for text in row]
    assert NAMES[0].replace(" ", "␣") in texts
    assert "<NUL>" in texts
    assert not set("".join(texts)) & set("\x00\x1b\u202e\u2066\u2028\u2029\ufeff")


@pytest.mark.parametrize("width", [360, 400, 1280])
def test_a_wide_table_scrolls_within_the_page(
    browser: Browser, candidate: Callable[..., Candidate], tmp_path: Path, width: int
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page("A page", [tables_section("A view", hostile(candidate))]), "utf-8")
    browser.open(path, width=width)
    for _ in range(3):
        assert browser["document.documentElement.scrollWidth - document.documentElement.clientWidth"] <= 0
        browser.click("#size")
    tables = "[...document.querySelectorAll('.wide')]"
    assert browser[f"{tables}.every((box) => box.tabIndex === 0 && box.getAttribute('aria-label'))"]
    assert browser[f"{tables}.some((box) => box.scrollWidth > box.clientWidth)"]
    numbers = "[...document.querySelectorAll('.listing td:not(.left)')]"
    assert browser[f"new Set({numbers}.map((cell) => getComputedStyle(cell).textAlign)).size"] == 1
    assert browser["window.hacked"] is None
