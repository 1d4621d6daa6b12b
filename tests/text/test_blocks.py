"""Where a long text is cut: at places that no token reaches across, wherever the chunks it comes in end."""

import random

import pytest

from minigpt.text.blocks import Block, beyond, cut, up_to

TEXT = "one two\nthree  four\n\nfive\n six"


def test_the_text_is_cut_before_words_and_lines_and_never_within_white_space() -> None:
    assert list(cut([TEXT], 1, 100)) == ["one", " two\n", "three  four\n\nfive\n six"]


@pytest.mark.parametrize("size", [1, 5, 20, 100])
def test_where_chunks_end_makes_no_difference(size: int) -> None:
    choose = random.Random(size).choice
    text = "".join(choose(["a", "bc", " ", "\n", "  ", "é", "x" * 40]) for _ in range(500))
    whole = list(cut([text], size, 60))
    assert "".join(whole) == text
    assert max(map(len, whole)) <= 60
    for step in (1, 7, 64):
        assert list(cut([text[i : i + step] for i in range(0, len(text), step)], size, 60)) == whole


def test_without_a_safe_place_the_longest_is_cut() -> None:
    assert list(cut(["x" * 25], 5, 10)) == ["x" * 10, "x" * 10, "x" * 5]
    assert list(cut(["x" * 10], 5, 10)) == ["x" * 10]


def test_nothing_is_no_block() -> None:
    assert list(cut(["", ""], 5, 10)) == []


@pytest.mark.parametrize("end", range(-1, 8))
def test_a_text_is_divided_anywhere(end: int) -> None:
    blocks = [Block("ab", True), Block("c", False), Block("def", True)]
    before, after = list(up_to(blocks, end)), list(beyond(blocks, end))
    assert "".join(block.text for block in before) == "abcdef"[: max(0, end)]
    assert "".join(block.text for block in before + after) == "abcdef"
    assert all(block.text for block in before + after)
