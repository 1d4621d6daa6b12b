"""How a view's answer is shown: as a table, as CSV and on a page."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TextIO

from rich.text import Text

from minigpt.render.html import Section, printed_section
from minigpt.render.screen import WIDEST, Screen
from minigpt.views.view import Answer, View


@dataclass(frozen=True, kw_only=True)
class Face:
    """How a view is shown: a table, perhaps a CSV, and on a page its own section, or the table at its widest."""

    view: View
    table: Callable[[Answer, Screen], Iterable[Text]]
    csv: Callable[[Answer, TextIO], None] | None = None
    section: Callable[[str, Answer], Section] | None = None

    def on_page(self, answer: Answer) -> Section:
        """The section of a page; `answer` holds the page's own records, if the view has any."""
        if self.section is not None:
            return self.section(self.view.title, answer)
        return printed_section(self.view.title, self.table(answer, Screen(WIDEST)))
