"""What the models of a training expected after a text in; a section of a page, in which it can be played, out."""

from collections.abc import Sequence

from minigpt.render.html import Section, text_before
from minigpt.render.style import token_label
from minigpt.views.history import HistoryRow


def history_section(title: str, rows: Sequence[HistoryRow], after: str) -> Section:
    """A frame for each of `rows` (one or more), of the tokens that they track. `after`: the text that stands before."""
    data = {
        "after": text_before(after),
        "tokens": [token_label(token) for token in rows[0].tracked],
        "frames": [
            {
                "step": row.step,
                "final": row.final,
                "bitsPerByte": row.validation_bits_per_byte,
                "entropy": row.entropy_bits,
                "divergence": row.divergence_bits,
                "shares": [candidate.raw_prob for candidate in row.tracked],
                "ranks": [candidate.rank for candidate in row.tracked],
            }
            for row in rows
        ],
    }
    return Section("history", title, data, ("history.js",))
