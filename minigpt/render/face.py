"""How a view's answer is shown: as a table, as CSV and on a page."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TextIO

from rich.text import Text

from minigpt.render.html import Section
from minigpt.render.printed_page import printed_section
from minigpt.render.screen import WIDEST, Screen
from minigpt.views.view import Answer, View


@dataclass(frozen=True, kw_only=True)
class Face:
    """A view's table, and perhaps its CSV; on a page it has a section of its own, or its table at its widest."""

    view: View
    table: Callable[[Answer, Screen], Iterable[Text]]
    csv: Callable[[Answer, TextIO], None] | None = None
    section: Callable[[str, Answer], Section] | None = None

    def on_page(self, answer: Answer) -> Section:
        """`answer` holds the records of the page, where the view has other ones for it."""
        if self.section is not None:
            return self.section(self.view.title, answer)
        return printed_section(self.view.title, self.table(answer, Screen(WIDEST)))
