"""How a view's answer is shown: as a table, as CSV and on a page."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, TextIO

from rich.text import Text

from minigpt.render.html import Section
from minigpt.render.style import WIDEST, Screen
from minigpt.render.table import Part, lines
from minigpt.render.table_page import tables_section
from minigpt.views.view import Answer, View

Tables = Callable[[Answer, Screen], Iterable[Part]]


def each(table: Callable[[Any, Answer, Screen], Iterable[Part]]) -> Tables:
    """The tables of all records of an answer, one below the other."""

    @wraps(table)
    def tables(answer: Answer, screen: Screen) -> Iterator[Part]:
        for record in answer.records:
            yield from table(record, answer, screen)

    return tables


@dataclass(frozen=True, kw_only=True)
class Face:
    """How a view is shown: as tables and text, perhaps as CSV, and on a page as its own section, or the same tables."""

    view: View
    table: Tables
    csv: Callable[[Answer, TextIO], None] | None = None
    section: Callable[[str, Answer], Section] | None = None

    def lines(self, answer: Answer, screen: Screen) -> Iterator[Text]:
        """What a terminal shows, as it is computed."""
        return lines(self.table(answer, screen))

    def on_page(self, answer: Answer) -> Section:
        """The section of a page; `answer` holds the page's own records, if the view has any."""
        if self.section is not None:
            return self.section(self.view.title, answer)
        return tables_section(self.view.title, self.table(answer, Screen(WIDEST)))
