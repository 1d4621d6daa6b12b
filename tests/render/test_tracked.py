"""Tracked tokens: their probabilities and ranks in columns, and each as a line."""

from collections.abc import Callable, Sequence

from minigpt.render.style import UNICODE, Screen
from minigpt.render.tracked import tracked_columns, tracked_lines
from minigpt.sampling.records import Candidate
from minigpt.views.history import HistoryRow


def history_row(tracked: Sequence[Candidate]) -> HistoryRow:
    return HistoryRow(
        step=0, final=False, validation_loss_nats=None, validation_bits_per_byte=None, entropy_bits=0.0,
        divergence_bits=0.0, tracked=tuple(tracked),
    )  # fmt: skip


def test_a_column_has_each_rows_share_and_rank(candidate: Callable[..., Candidate]) -> None:
    rows = [
        history_row([candidate(1, " the", 0.5), candidate(20, None, 0.1)]),
        history_row([candidate(300, " the", 0.0), candidate(2, None, 1.0)]),
    ]
    one, other = tracked_columns(rows, UNICODE)
    assert (one.heading, list(map(one.text, rows))) == ("␣the", ["50.00 % #1  ", "0.00 % #300"])
    assert (other.heading, list(map(other.text, rows))) == ("<E2 80>", ["10.00 % #20", "100.00 % #2 "])
    assert one.cells == other.cells == 2 + max(len(str(c.text(row))) for c in (one, other) for row in rows)


def test_a_line_is_scaled_to_its_own_largest_share(candidate: Callable[..., Candidate]) -> None:
    rows = [
        history_row([candidate(1, text, share) for text, share in (("\x1b", 0.0), ("[b]", 0.001))]),
        history_row([candidate(1, text, share) for text, share in (("\x1b", 0.5), ("[b]", 0.0005))]),
    ]
    assert str(tracked_lines(rows, Screen(80))).split("\n") == [
        " <ESC>  ▁█  largest 50.00 %",
        " [b]    █▅  largest 0.10 %",
    ]
