"""A tree of texts as lines: every branch has one, and the current one is in sight."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from minigpt.explore.panes import tree_picture
from minigpt.render.style import ASCII, UNICODE
from minigpt.sampling.tree import TokenTree
from minigpt.settings import SampleConfig

MakeTree = Callable[..., TokenTree]
CONFIG = SampleConfig()


def grow(tree: TokenTree, node: int, *tokens: int) -> int:
    for token in tokens:
        node = tree.append(node, token, CONFIG)
    return node


def lines(tree: TokenTree, here: int, tip: int | None = None, width: int = 40, height: int = 20) -> list[str]:
    return tree_picture(tree, here, tip or here, width, height, UNICODE).plain.split("\n")


def test_a_text_without_a_fork_is_one_line(make_tree: MakeTree) -> None:
    tree = make_tree(" the a")
    assert lines(tree, 1) == ["▸␣the␣a"]
    assert list(tree.leaves()) == [1]


def test_branches_stand_under_what_they_share(make_tree: MakeTree) -> None:
    tree = make_tree(" the")
    first = grow(tree, 0, 2, 3)
    second = grow(tree, 1, 4)
    third = grow(tree, 0, 5, 6)
    fourth = grow(tree, 0, 7)
    assert lines(tree, first, first) == [
        " ␣the",
        " ├␣probably",
        "▸│├␣John",
        " │└␣Sir",
        " ├␣Albert␣Ber",
        " └␣a",
    ]
    assert list(tree.leaves()) == [first, second, third, fourth]
    assert tree.leaf(0) == fourth
    assert tree.leaf(1) == second


def test_the_current_branch_is_bright(make_tree: MakeTree) -> None:
    tree = make_tree(" the")
    first, _ = grow(tree, 0, 2), grow(tree, 0, 3)
    picture = tree_picture(tree, 0, first, 40, 9, UNICODE)
    styles = {picture.plain[span.start : span.end]: span.style for span in picture.spans}
    assert styles["␣the"] == "bold green"
    assert styles["␣John"] == "dim"
    assert styles.get("␣probably", "") == ""


def test_of_many_branches_those_around_the_mark_are_shown(make_tree: MakeTree) -> None:
    tree = make_tree(" the")
    tips = [grow(tree, 0, token, token) for token in range(1, 25)]
    for tip in tips:
        shown = lines(tree, tip, height=7)
        assert len(shown) == 7
        assert sum(line.startswith("▸") for line in shown) == 1


def test_lines_keep_to_the_width_and_to_whole_tokens(make_tree: MakeTree) -> None:
    tree = make_tree(" the")
    tip = grow(tree, 0, *range(1, 20))
    for token in range(2, 9):
        grow(tree, tip, token)
        tip = grow(tree, tip, 1)
    for width in (8, 26, 60):
        for here in (0, tip):
            shown = lines(tree, here, tip, width)
            assert max(map(cell_len, shown)) <= width
    assert lines(tree, 0, tip, 30)[0] == "▸…␣all␣time␣was[/]<ESC>[31mred"  # of what all share, the end


def test_a_deep_tree_and_a_long_text_are_drawn(make_tree: MakeTree) -> None:
    tree = make_tree(" the")
    tip = 0
    for _ in range(300):
        grow(tree, tip, 2)
        tip = grow(tree, tip, 3)
    shown = lines(tree, tip, height=6)
    assert len(shown) == 6
    assert max(map(cell_len, shown)) <= 40


def test_hostile_tokens_have_visible_names(make_tree: MakeTree) -> None:
    tree = make_tree(" the")
    for token in range(1, tree.next(0, CONFIG).other.count + 10):
        grow(tree, 0, token)
    text = "\n".join(lines(tree, 0, width=60, height=99))
    for name in ("[/]", "<ESC>[31mred", "<U+202E>evil", "😀", "<E2 80>", "⏎", "⇥", ":smile:", "速い"):
        assert name in text
    assert not any(letter in text for letter in "\x1b\u202e\t")


def test_ascii_terminals_get_ascii(make_tree: MakeTree) -> None:
    tree = make_tree(" the")
    grow(tree, 0, 2), grow(tree, 0, 3)
    assert tree_picture(tree, 0, 1, 20, 9, ASCII).plain.isascii()


@pytest.mark.parametrize("height", [0, 1, 2])
def test_there_is_no_height_that_it_cannot_have(make_tree: MakeTree, height: int) -> None:
    tree = make_tree(" the")
    grow(tree, 0, 2), grow(tree, 0, 3)
    assert tree_picture(tree, 0, 1, 20, height, UNICODE).plain.count("\n") <= max(0, height - 1)
