"""How a view's answer is shown: as a table, as CSV and on a page."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from rich.text import Text

from minigpt.render.html import Section
from minigpt.render.listing import Part, lines
from minigpt.render.screen import WIDEST, Screen
from minigpt.render.table_page import tables_section
from minigpt.views.view import Answer, View


@dataclass(frozen=True, kw_only=True)
class Face:
    """How a view is shown: as tables and text, perhaps as CSV, and on a page as its own section, or the same tables."""

    view: View
    table: Callable[[Answer, Screen], Iterable[Part]]
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
