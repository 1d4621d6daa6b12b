"""`inspect-probs --against`: two checkpoints and a text in; what both expect, or what it costs both, out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.cli.page import ViewPage
from minigpt.cli.view import print_view
from minigpt.render.against import compared_next_table, compared_text_caption, compared_text_table
from minigpt.render.machine import write_steps
from minigpt.render.screen import Screen
from minigpt.render.style import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.text import Text

    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.views.against import ComparedSpan


def show_against(
    one: "Checkpoint", other: Path, text: str, top: int, *, every: bool, json: bool, page: ViewPage
) -> None:
    """What may come after `text`, or with `every` each stretch of it."""
    from minigpt.app.opening import described
    from minigpt.checkpoint.folder import load
    from minigpt.views.against import ComparedTally, compare_next, compare_text

    second = load(other, one.model.device)
    names = _names(one.path, second.path)

    def about() -> dict[str, Any]:
        return {**page.about(), "against": described(second.path)}

    if not every:
        record = compare_next(one, second, text, top=top)
        title = "What two models expect"
        page.printed(title, lambda screen: [compared_next_table(record, text, names, screen)])
        print_view(record, lambda screen: [compared_next_table(record, text, names, screen)], json=json, about=about)
        return

    def lines(screen: Screen) -> "Iterator[Text]":
        return _text_lines(compare_text(one, second, text), names, screen)

    page.printed("What a text costs two models", lines)
    if json:
        tally = ComparedTally()
        spans = tally.watch(compare_text(one, second, text))
        write_steps(spans, lambda: {"totals": tally.totals(), **about()}, sys.stdout, name="spans")
    else:
        print_view(None, lines, json=False, about=about)


def _text_lines(spans: "Iterable[ComparedSpan]", names: tuple[str, str], screen: Screen) -> "Iterator[Text]":
    from minigpt.views.against import ComparedTally

    tally = ComparedTally()
    yield from compared_text_table(tally.watch(spans), names, screen)
    yield compared_text_caption(tally.totals(), names, screen)


def _names(one: Path, other: Path) -> tuple[str, str]:
    """The checkpoints', as a table shows them."""
    short = [safe_text(_name(path.resolve())) for path in (one, other)]
    if short[0] == short[1]:
        short = [f"{name} ({number})" for number, name in enumerate(short, 1)]
    return short[0], short[1]


def _name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.name}" if path.parent.name == "snapshots" else path.name
