"""Records in; what a notebook shows of them out: a piece of HTML without script, or text where there is no notebook."""

from collections.abc import Iterable, Sequence

from minigpt.records import StepRecord, Token
from minigpt.render.funnel import step_table
from minigpt.render.heat import SCALES
from minigpt.render.html import fragment, running_text
from minigpt.render.screen import Screen
from minigpt.render.style import percent, quantity, token_label

# From expected to surprising, translucent, so that they go with a light notebook and a dark one.
_TINTS = (0.0, 0.15, 0.35, 0.6, 0.85)


class Shown:
    """Records as they look: `_repr_html_` is what a notebook takes, `str` the tables of a terminal."""

    def __init__(self, records: Sequence[StepRecord]) -> None:
        self._records = records

    def _repr_html_(self) -> str:
        if len(self._records) == 1:
            return step_html(self._records[0])
        return text_html(self._records)

    def __repr__(self) -> str:
        return "\n\n".join(step_table(record, Screen()).plain for record in self._records if record.candidates)


def show(records: StepRecord | Iterable[StepRecord]) -> Shown:
    """One record as its table; several, such as those of `every_token`, as their text in colours.

    Each token of the text says its numbers when the pointer rests on it.
    """
    return Shown((records,) if isinstance(records, StepRecord) else tuple(records))


def step_html(record: StepRecord) -> str:
    """The table of one step: its candidates, all others summed, and both in total."""
    most = max((max(c.raw_prob, c.prob) for c in record.candidates), default=1.0) or 1.0
    rows = [
        {
            "rank": f"{c.rank:,}",
            "chosen": record.token is not None and c.id == record.token.id,
            "label": token_label(c),
            "width": f"{100 * (c.raw_prob if c.cut_by else c.prob) / most:.2f}",
            "raw": percent(c.raw_prob),
            "drawn": f"cut by {c.cut_by}" if c.cut_by else percent(c.prob),
        }
        for c in record.candidates
    ]
    return fragment("step_fragment.html", rows=rows, other=_other(record), stages=_stages(record), **_told(record))


def text_html(records: Sequence[StepRecord]) -> str:
    """The text of the records, each token coloured by its surprisal."""
    tokens = [
        {"text": running_text(record.token), "title": _title(record, record.token), "tint": _tint(record)}
        for record in records
        if record.token is not None
    ]
    return fragment("text_fragment.html", tokens=tokens)


def _told(record: StepRecord) -> dict[str, str]:
    entropy = "" if record.entropy_bits is None else f"entropy {record.entropy_bits:.2f} bits"
    surprisal = "" if record.surprisal_bits is None else f"surprisal {record.surprisal_bits:.2f} bits"
    return {"caption": " · ".join(part for part in (surprisal, entropy) if part) or "no context: not predicted"}


def _other(record: StepRecord) -> dict[str, str] | None:
    if record.other is None or not record.other.count:
        return None
    name = f"other ({quantity(record.other.count, 'token')})"
    return {"label": name, "raw": percent(record.other.raw_prob), "drawn": percent(record.other.prob)}


def _stages(record: StepRecord) -> str:
    return " → ".join(f"{stage.name} {stage.value:g}: {stage.kept:,} left" for stage in record.stages)


def _title(record: StepRecord, token: Token) -> str:
    if record.chosen is None:
        return f"{token_label(token)}: no context, not predicted"
    likely = ", ".join(f"{token_label(c)} {percent(c.raw_prob, 1)}" for c in record.candidates[:3])
    return f"{token_label(token)}: {_told(record)['caption']} · rank {record.chosen.rank:,} · most likely: {likely}"


def _tint(record: StepRecord) -> float:
    bits = record.surprisal_bits
    return 0.0 if bits is None else _TINTS[sum(bits >= limit for limit in SCALES["probability"].limits)]
