"""The explorer as a whole, driven by keys: what its screen shows, at the sizes that terminals have."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from minigpt.explore.app import Explorer
from minigpt.explore.session import Session
from minigpt.sampling.tree import TokenTree
from minigpt.settings import SampleConfig

Golden = Callable[[str, str], None]
Act = Callable[[Pilot[None]], Awaitable[None]]


def screen(app: Explorer) -> str:
    """What the terminal shows."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def show(session: Session, *keys: str, size: tuple[int, int] = (80, 24), then: Act | None = None) -> tuple[str, Any]:
    """Press `keys`, and do what `then` does: the screen, and the application."""
    app = Explorer(session)

    async def run() -> str:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            for key in keys:
                await pilot.press(*(key.removeprefix("type:") if key.startswith("type:") else [key]))
            if then is not None:
                await then(pilot)
            await pilot.pause()
            return screen(app)

    return asyncio.run(run()), app


TREE = ("enter", "down", "enter", "left", "left", "left", "down", "down", "enter", "space")


@pytest.mark.parametrize(("columns", "lines"), [(40, 24), (80, 24), (160, 40)])
def test_the_screen(session: Session, golden: Golden, columns: int, lines: int) -> None:
    text, _ = show(session, *TREE, size=(columns, lines))
    golden(f"explorer_{columns}", text)


def test_the_screen_while_a_token_is_searched(session: Session, golden: Golden) -> None:
    text, _ = show(session, *TREE, "slash", "type:er", "down")
    golden("explorer_find_80", text)


def test_the_screen_of_the_game(session: Session, golden: Golden) -> None:
    text, _ = show(session, *TREE, "home", "g")
    golden("explorer_rules_80", text)
    text, _ = show(session, "home", "g", "space", "type:date", "enter", "up", "space", "type:the", "enter")
    golden("explorer_game_80", text)


def test_the_rules_of_the_game_at_40_columns(session: Session, golden: Golden) -> None:
    text, _ = show(session, "g", size=(40, 24))
    golden("explorer_rules_40", text)


def test_the_screen_in_colours_and_after_an_answer(session: Session, golden: Golden) -> None:
    text, _ = show(session, *TREE, "h", "k", "k", "k", "p", "m", "M", "M")
    golden("explorer_heat_80", text)
    text, _ = show(session, "s", "enter")
    assert " tree.jsonl is written." in text.split("\n")


@pytest.mark.parametrize("columns", [40, 80])
def test_the_help(session: Session, golden: Golden, columns: int) -> None:
    text, _ = show(session, "question_mark", size=(columns, 24))
    golden(f"explorer_help_{columns}", text)


def test_the_help_scrolls_to_its_end_and_closes(session: Session) -> None:
    text, _ = show(session, "question_mark", *["pagedown"] * 6)
    assert "that text is printed." in text
    text, _ = show(session, "escape")
    assert "choose  enter append" in text


def test_every_line_has_room(session: Session) -> None:
    for columns, lines in ((40, 24), (63, 24), (64, 24), (80, 24), (100, 30), (200, 60)):
        for keys in ((), ("g",), ("escape", "h"), ("s",), ("escape", "slash", "type:zzz")):
            text, _ = show(session, *keys, size=(columns, lines))
            rows = text.split("\n")
            assert len(rows) == lines
            assert max(map(len, rows)) <= columns
            assert "escape" in keys or not rows[-1].endswith("…")
            assert any(name in rows[-1] + rows[-2] for name in ("quit", "leave", "end the game"))


def test_a_small_terminal_is_told_in_words_and_nothing_is_pressed_blindly(session: Session) -> None:
    for size in ((39, 24), (80, 23), (20, 5), (3, 2), (1, 1)):
        text, app = show(session, "enter", "q", size=size)
        assert "rank" not in text
        assert not app._session.left
        assert app._session.here == app._session.tree.prompt_end
    text, _ = show(session, size=(30, 9))
    assert " ".join(text.split()).startswith("This terminal has 30 columns and 9 lines. The explorer needs 40 and 24")
    assert "ctrl+c quit" in text


def test_it_follows_the_terminals_size(session: Session) -> None:
    seen = []

    async def resize(pilot: Pilot[None]) -> None:
        for size in ((30, 9), (160, 50), (40, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            seen.append(screen(pilot.app))  # type: ignore[arg-type]

    show(session, then=resize)
    assert "This terminal has 30 columns" in seen[0]
    assert seen[1].count("\n") == 49
    assert "tokens left" in seen[1]
    assert "other 2" in seen[2]


def test_hostile_tokens_are_shown_and_not_obeyed(make_tree: Callable[..., TokenTree], saved: Any) -> None:
    session = Session(make_tree(), SampleConfig(), saved.save)
    for token in range(17, 29):
        session.here = session.tree.append(session.here, token, session.config)
        session.tip = session.here
    text, _ = show(session, "pagedown", size=(100, 40))
    for name in ("[/]", "<ESC>[31mred", "<U+202E>evil", "😀", "<E2 80>", ":smile:", "速い茶色の狐は怠"):
        assert name in text
    assert not any(letter in text for letter in "\x1b\u202e")
    asked, _ = show(session, "slash", size=(100, 40), then=lambda pilot: paste(pilot, "\x1b[31m\u202e[/]"))
    assert " find: <ESC>[31m<U+202E>[/]" in asked


async def paste(pilot: Pilot[None], text: str) -> None:
    from textual.events import Paste

    pilot.app.post_message(Paste(text))
    await pilot.pause()


@pytest.mark.parametrize(("keys", "code"), [(("q",), 0), (("ctrl+c",), 130), (("slash", "ctrl+c"), 130)])
def test_it_ends_as_commands_do(session: Session, keys: tuple[str, ...], code: int) -> None:
    app = Explorer(session)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(*keys)

    asyncio.run(run())
    assert app.return_code == code


def test_no_token_is_run_again_when_a_setting_changes(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr("minigpt.models.decoder.CachedDecoder.step", forbidden)
    monkeypatch.setattr("minigpt.models.gpt.GPT.forward", forbidden)
    text, _ = show(session, "t", "T", "T", "k", "k", "P", "m", "M", "left", "left", "h", "h", "slash", "type:a")
    assert "rank" in text
