"""The section of a history: a frame for each model."""

import json

from minigpt.render.tracked import history_section
from minigpt.sampling.records import Candidate
from minigpt.views.history import HistoryRow


def row(step: int, *tracked: Candidate, final: bool = False) -> HistoryRow:
    return HistoryRow(
        step=step, final=final, validation_loss_nats=None, validation_bits_per_byte=None, entropy_bits=1.0,
        divergence_bits=0.0, tracked=tracked,
    )  # fmt: skip


def test_each_row_is_a_frame_of_the_same_tokens(candidate: object) -> None:
    a, b = candidate(1, " the\u202e", 0.5), candidate(2, None, 0.25)
    rows = [row(0, a, b), row(9, b, a, final=True)]
    data = json.loads(json.dumps(history_section("A history", rows, "so\x00far").data, allow_nan=False))
    assert data["after"] == "so<NUL>far"
    assert data["tokens"] == ["␣the<U+202E>", "<E2 80>"]
    assert [frame["shares"] for frame in data["frames"]] == [[0.5, 0.25], [0.25, 0.5]]
    assert [frame["ranks"] for frame in data["frames"]] == [[1, 2], [2, 1]]
    assert [(frame["step"], frame["final"]) for frame in data["frames"]] == [(0, False), (9, True)]
