"""Followed tokens: their probabilities and ranks in columns, and each as a line."""

from collections.abc import Callable

from minigpt.render.blocks import tracked_columns, tracked_lines
from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE
from minigpt.sampling.records import Candidate


def test_a_column_has_each_rows_share_and_rank(candidate: Callable[..., Candidate]) -> None:
    rows = [
        [candidate(1, " the", 0.5), candidate(20, None, 0.1)],
        [candidate(300, " the", 0.0), candidate(2, None, 1.0)],
    ]
    one, other = tracked_columns(rows, UNICODE)
    assert (one.heading, one.texts) == ("␣the", ("50.00 % #1  ", "0.00 % #300"))
    assert (other.heading, other.texts) == ("<E2 80>", ("10.00 % #20", "100.00 % #2 "))
    assert one.cells == other.cells == 2 + max(map(len, (*one.texts, *other.texts)))


def test_a_line_is_scaled_to_its_own_largest_share(candidate: Callable[..., Candidate]) -> None:
    rows = [
        [candidate(1, text, share) for text, share in (("\x1b", 0.0), ("[b]", 0.001))],
        [candidate(1, text, share) for text, share in (("\x1b", 0.5), ("[b]", 0.0005))],
    ]
    assert list(map(str, tracked_lines(rows, Screen(80)))) == [
        " <ESC>  ▁█  largest 50.00 %",
        " [b]    █▅  largest 0.10 %",
    ]
