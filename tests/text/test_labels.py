"""Which targets are labels: few, and many pairs for each."""

import numpy as np
import pytest

from minigpt.text.pairs import PairIds, labels_of

END = 99


def pairs(targets: list[list[int]]) -> PairIds:
    """Pairs with the same source and these targets."""
    ids = [token for target in targets for token in [7, END, *target, END]]
    return PairIds.of(np.array(ids[:-1]), END)


@pytest.mark.parametrize(
    ("distinct", "each", "are_labels"),
    [(2, 10, True), (2, 9, False), (1, 50, False), (32, 10, True), (33, 20, False)],
)
def test_labels_are_few_and_recur(distinct: int, each: int, are_labels: bool) -> None:
    targets = [[number, number] for number in range(distinct)]
    found = labels_of(pairs(targets * each))
    assert (None if found is None else sorted(found)) == ([tuple(t) for t in targets] if are_labels else None)


def test_no_pairs_have_no_labels() -> None:
    assert labels_of(pairs([]).within(4)) is None
