"""The parts of the screen: at every size, whatever is being done, whatever the tokens are."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

from minigpt.explore.keys import help_picture
from minigpt.explore.panes import Panes
from minigpt.explore.session import Session
from minigpt.render.style import ASCII
from minigpt.sampling.tree import TokenTree
from minigpt.settings import SampleConfig

Press = Callable[..., None]


def everything(session: Session, width: int, height: int, panes: Panes | None = None) -> list[str]:
    """The lines of all parts."""
    panes = panes or Panes(session)
    parts = [panes.text, panes.side, panes.title, panes.table, panes.line, lambda width, _: panes.keys(width)]
    return [line for part in parts for line in part(width, height).plain.split("\n")]


@pytest.mark.parametrize("keys", [(), ("slash", "type:a"), ("s",), ("e",), ("g",), ("g", "type: the", "enter"), ("h",)])
@pytest.mark.parametrize("width", [40, 80, 160])
def test_nothing_is_wider_than_the_screen(session: Session, press: Press, keys: tuple[str, ...], width: int) -> None:
    press("down", "enter", "left", "left", "space", *keys)
    assert max(map(cell_len, everything(session, width, 12))) <= width


@pytest.mark.parametrize("height", [8, 12, 30])
@pytest.mark.parametrize("down", [0, 1, 9, 20, 28])
def test_the_mark_and_the_others_are_always_in_the_table(
    session: Session, press: Press, down: int, height: int
) -> None:
    panes = Panes(session)
    press(*["down"] * down)
    lines = panes.table(80, height).plain.split("\n")
    marked = [line for line in lines if line.startswith("▸")]
    assert len(marked) == 1
    expected = session.page(down, 1)[0].candidates[0]
    assert int(marked[0][1:6]) == expected.rank
    assert any("other (" in line for line in lines)
    assert len(lines) <= height


def test_what_was_cut_says_so(session: Session, press: Press) -> None:
    session.config = SampleConfig(temperature=1.0, top_k=3, top_p=1.0)
    lines = Panes(session).table(80, 14).plain.split("\n")
    assert "▯" in lines[4]
    assert lines[4].endswith("cut")
    assert "top-k 3" in lines[0]
    assert any("tokens left" in line and line.rstrip().endswith(" 3") for line in lines)


def test_the_title_says_where_one_stands(session: Session, press: Press) -> None:
    panes = Panes(session)
    assert " after token 10 of 10 · entropy " in panes.title(80, 1).plain
    press("left", "left")
    assert " after token 8 of 10 · continues with ␣time · entropy " in panes.title(80, 1).plain
    press("slash", "type:time")
    assert panes.title(80, 1).plain == " 1 token with it, the most likely first"


def test_a_colour_is_that_of_the_tokens_step(session: Session, press: Press) -> None:
    panes = Panes(session)
    press("h")
    text = panes.text(80, 5)
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert styles["To"] == "dim"  # nothing predicts the first token
    assert styles[" the"] == "cyan"  # 26 %
    assert styles[" cleverest"] == "magenta"
    assert "over 12.5 %" in panes.line(80, 1).plain
    press("h", "h")
    text = panes.text(80, 5)
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert styles[" the"] == "green"
    assert "rank of the token" in panes.line(80, 1).plain


def test_the_game_hides_what_is_to_be_guessed(session: Session, press: Press) -> None:
    press("home", "right", "g")
    lines = everything(session, 80, 14)
    assert "To date" in lines
    assert not any("cleverest" in line or "was" in line for line in lines)
    assert any("hidden" in line for line in lines)
    press("type: the", "enter")
    lines = everything(session, 80, 14)
    assert any("it was “,”, rank" in line for line in lines)
    assert any("▸" in line and " , " in line for line in lines)
    assert not any("cleverest thinker" in line for line in lines)


def test_what_is_typed_is_visible_and_its_end_in_sight(session: Session, press: Press) -> None:
    panes = Panes(session)
    press("slash", "type: a\u202e")
    session.paste("\x1b[2J[/]")
    assert panes.line(80, 1).plain == " find: ␣a<ESC>[2J[/] "
    session.paste("x" * 200 + "end")
    line = panes.line(40, 1).plain
    assert cell_len(line) <= 40
    assert line.endswith("end ")
    press("escape", "g", "type: the end")
    assert panes.line(80, 1).plain == " your guess, with 50 % on it: ␣the␣end   the token “␣the” alone"


def test_an_answer_is_safe_and_stands_above_what_is_typed(session: Session, press: Press) -> None:
    session.message = "\x1b[31m is written."
    assert Panes(session).line(80, 1).plain == " <ESC>[31m is written."
    press("s", "ctrl+u", "type:taken", "enter")
    lines = Panes(session).line(80, 2).plain.split("\n")
    assert lines == [" taken exists already. Choose another name.", " save the tree as a trace, in: taken "]


def test_ascii_terminals_get_ascii(make_tree: Callable[..., TokenTree], saved: Any) -> None:
    session = Session(make_tree(" the a Sir John", 1), SampleConfig(top_k=3), saved.save)
    for keys in ((), ("slash", "a"), ("escape", "g")):
        for key in keys:
            session.press(key, key)
        panes = Panes(session, ASCII)
        parts = [panes.text(80, 5), panes.side(30, 5), panes.title(80, 1), panes.table(80, 8), panes.line(80, 1)]
        parts += [panes.keys(80), help_picture(panes.screen(80))]
        assert all(part.plain.isascii() for part in parts)


def test_nonsense_keys_break_nothing(make_tree: Callable[..., TokenTree], saved: Any) -> None:
    source = random.Random(1)
    keys = ["enter", "space", "left", "right", "up", "down", "pageup", "pagedown", "home", "end", "tab", "shift+tab"]
    keys += ["slash", "question_mark", "escape", "backspace", "ctrl+u", "f5", *"hgsetTkKpPmMrRq xö[\u202e"]
    for seed in range(4):
        session = Session(make_tree(seed=seed), SampleConfig(), saved.save)
        panes = Panes(session)
        for _ in range(250):
            key = source.choice(keys)
            session.press(key, key if len(key) == 1 else None)
            width, height = source.choice([40, 64, 80, 160]), source.choice([4, 11, 30])
            lines = everything(session, width, height, panes)
            assert max(map(cell_len, lines)) <= width
            assert not any(letter in line for line in lines for letter in "\x1b\u202e")
            assert session.tip == session.tree.leaf(session.tip)
            assert session.here in session.branch()
