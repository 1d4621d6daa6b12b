"""Which words attention links, and how often that is wrong: all by hand."""

import numpy as np
import pytest

from minigpt.sampling.alignment import alignment_error_rate, diagonal, links_of, pooled, tokens_of_words


def test_the_error_rate_counts_links_on_both_sides() -> None:
    truth = {(0, 0), (1, 2), (2, 1)}
    assert alignment_error_rate(truth, truth) == 0
    assert alignment_error_rate({(5, 5)}, truth) == 1
    assert alignment_error_rate({(0, 0), (1, 1)}, truth) == pytest.approx(1 - 2 * 1 / 5)
    assert alignment_error_rate(set(), set()) == 0
    assert pooled([{(0, 1)}, {(0, 1), (2, 3)}]) == {(0, 0, 1), (1, 0, 1), (1, 2, 3)}


def test_a_word_has_the_tokens_that_have_its_bytes() -> None:
    # "la |zo|ne| é|tée": é is two bytes
    assert tokens_of_words("la zone étée", [(0, 2), (3, 7), (8, 12)], [3, 2, 2, 3, 4]) == [[0], [1, 2], [3, 4]]


def test_a_target_word_is_linked_to_the_word_that_it_looks_at_most() -> None:
    weights_TS = np.array([[0.3, 0.3, 0.4, 0.0], [0.1, 0.1, 0.2, 0.6], [0.1, 0.1, 0.8, 0.0]])
    # the first two tokens of the source are one word: 0.6 against 0.4; END (the last) is none
    assert links_of(weights_TS, [[0, 1], [2]], [[0], [1, 2]]) == {(0, 0), (1, 1)}


def test_a_diagonal_goes_from_corner_to_corner() -> None:
    assert diagonal(2, 4) == {(0, 0), (0, 1), (1, 2), (1, 3)}
    assert diagonal(4, 2) == {(0, 0), (2, 1)}
