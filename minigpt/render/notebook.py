"""How a notebook shows a record: as HTML without scripts, or as text outside a notebook."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.text import Text

from minigpt.records import Record
from minigpt.render.candidates import entropy, step_table
from minigpt.render.heat import SCALES
from minigpt.render.html import fragment, printed_parts, running_text
from minigpt.render.style import Screen, percent, token_label
from minigpt.render.views import every_face
from minigpt.sampling.records import StepRecord
from minigpt.text.records import Token
from minigpt.views.view import Answer

# From expected to surprising, translucent, so that they go with a light notebook and a dark one.
_TINTS = (0.0, 0.15, 0.35, 0.6, 0.85)


class Shown:
    """Records ready to show: `_repr_html_` for a notebook, `str` for the tables of a terminal."""

    def __init__(self, records: Sequence[Any], after: str = "") -> None:
        self._records, self._after = records, after

    def _repr_html_(self) -> str:
        if len(self._records) > 1 and all(isinstance(record, StepRecord) for record in self._records):
            return text_html(self._records)
        return fragment("printed_fragment.html", parts=list(printed_parts(self._lines())))

    def __repr__(self) -> str:
        return "\n".join(line.plain for line in self._lines())

    def _lines(self) -> Iterable[Text]:
        """The lines that a terminal shows."""
        if not self._records:
            return []
        kind = type(self._records[0])
        if kind is StepRecord and self._records[0].token is not None:
            return [part for record in self._records for part in _step(record, Screen())]
        face = next((face for face in every_face() if face.view.record is kind), None)
        if face is None:
            raise TypeError(f"there is no table for a {kind.__name__}")
        return face.lines(Answer(records=self._records, text=self._after), Screen())


def show(records: Any, after: str = "") -> Shown:
    """Show the result of an inspection in a notebook or a terminal: one record, or a list of one kind.

    The StepRecords of `every_token` are shown as coloured text, with each token's numbers in a tooltip. `after`: the
    text before the prediction, for views that mention it.
    """
    one = not isinstance(records, Iterable)
    return Shown((records,) if one else tuple(records), after)


def _as_html(record: Record) -> str:
    return show(record)._repr_html_()


Record.as_html = _as_html


def _step(record: StepRecord, screen: Screen) -> Iterator[Text]:
    """The table of a token that was drawn or read, and its surprisal."""
    yield step_table(record, screen)
    if record.surprisal_bits is not None:
        yield screen.caption(_surprisal(record))


def text_html(records: Sequence[StepRecord]) -> str:
    """The text of the records, each token coloured by its surprisal."""
    tokens = [
        {"text": running_text(record.token), "title": _title(record, record.token), "tint": _tint(record)}
        for record in records
        if record.token is not None
    ]
    return fragment("text_fragment.html", tokens=tokens)


def _surprisal(record: StepRecord) -> str:
    return f"surprisal {record.surprisal_bits:.2f} bits"


def _title(record: StepRecord, token: Token) -> str:
    if record.chosen is None:
        return f"{token_label(token)}: no context, not predicted"
    likely = ", ".join(f"{token_label(c)} {percent(c.raw_prob, 1)}" for c in record.candidates[:3])
    about = " · ".join(filter(None, (_surprisal(record), entropy(record), f"rank {record.chosen.rank:,}")))
    return f"{token_label(token)}: {about} · most likely: {likely}"


def _tint(record: StepRecord) -> float:
    bits = record.surprisal_bits
    return 0.0 if bits is None else _TINTS[sum(bits >= limit for limit in SCALES["probability"].limits)]
