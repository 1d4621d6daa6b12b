"""Keys in a session: where they lead, and that no mistake loses anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.explore.game import result
from minigpt.explore.keys import SETTINGS
from minigpt.explore.session import Session
from minigpt.sampling.tree import TokenTree
from minigpt.settings import FilterSpec, SampleConfig

Press = Callable[..., None]


def text(session: Session) -> str:
    return session.tree.text(session.here)


def appended(session: Session) -> str:
    return text(session).removeprefix(session.tree.text(session.tree.prompt_end))


# Tokens


def test_any_token_can_be_chosen_and_appended(session: Session, press: Press) -> None:
    everything = session.page(0, 100)[0].candidates
    for number in (0, 3, 12, len(everything) - 1):
        session.rows = 5
        press(*["down"] * number)
        record, at = session.marked_page()
        assert record.candidates[at].id == everything[number].id
        press("enter")
        assert session.tree.token(session.here).id == everything[number].id
        assert session.cursor == 0


def test_the_mark_stays_in_the_list(session: Session, press: Press) -> None:
    count = session.page(0, 1)[1]
    press("up")
    assert session.cursor == 0
    session.rows = 7
    press("pagedown", "pagedown", "pageup")
    assert session.cursor == 7
    press(*["pagedown"] * 50)
    assert session.cursor == count - 1


def test_space_draws_what_the_settings_allow(session: Session, press: Press) -> None:
    session.config = SampleConfig(temperature=0.0)
    press("space", "space")
    assert appended(session) == " the the"


def test_steps_back_and_forward_stay_on_the_branch(session: Session, press: Press) -> None:
    end = session.here
    press("enter", "left", "left")
    assert session.here == session.tree.path(end)[-2]
    press("right", "right", "right", "right")
    assert session.here == session.tip != end
    press("home", "left", "backspace")
    assert session.here == 0
    press("shift+right")
    assert session.here == session.tip
    press("shift+left", "right")
    assert session.here == 1
    press("end")
    assert session.here == session.tip


def test_another_token_in_the_middle_makes_a_branch(session: Session, press: Press) -> None:
    old = session.tip
    press("left", "left", "down", "enter")
    assert session.here == session.tip
    assert session.tree.path(session.here)[-2] == session.tree.path(old)[-3]
    assert old not in session.branch()
    press("tab")
    assert session.here == session.tip == old
    press("shift+tab")
    assert session.here != old


def test_the_branches_own_token_goes_on_along_it(session: Session, press: Press) -> None:
    press("enter", "enter")
    tip = session.tip
    press("left", "left", "enter")
    assert session.tip == tip
    assert session.here == session.tree.path(tip)[-2]


# Settings


@pytest.mark.parametrize(("key", "spec"), SETTINGS.items())
def test_every_setting_goes_down_and_up_and_off(session: Session, press: Press, key: str, spec: FilterSpec) -> None:
    field = spec.setting
    start = getattr(session.config, field)
    seen = {start}
    for letter in (key, key.upper()):
        for _ in range(25):
            press(letter)
            seen.add(getattr(session.config, field))
    assert spec.neutral in seen
    assert len(seen) >= 10


def test_a_setting_changes_the_list_at_once(session: Session, press: Press) -> None:
    before, _ = session.page(0, 5)
    press("k", "k")
    after, _ = session.page(0, 5)
    assert session.config.top_k == 500
    assert [stage.name for stage in after.stages] == ["temperature", "top-k", "top-p"]
    assert [c.raw_prob for c in after.candidates] == [c.raw_prob for c in before.candidates]


def test_other_letters_do_nothing(session: Session, press: Press) -> None:
    config, here = session.config, session.here
    press(*"xyzXYZ0123ß", "f1", "ctrl+a", "escape", "delete")
    assert (session.config, session.here, session.mode, session.message) == (config, here, "browse", "")


def test_heat_goes_round(session: Session, press: Press) -> None:
    seen = []
    for _ in range(4):
        press("h")
        seen.append(session.heat)
    assert seen == ["probability", "entropy", "rank", None]


# Search


def test_a_token_is_found_and_appended(session: Session, press: Press) -> None:
    press("slash", "type:THINK")
    record, count = session.page(0, 5)
    assert [(c.text, count) for c in record.candidates] == [(" thinker", 1)]
    press("enter")
    assert appended(session) == " thinker"
    assert session.mode == "browse"


def test_a_search_can_be_corrected_and_left(session: Session, press: Press) -> None:
    press("slash", "type:the", "backspace", "backspace", "type:im")
    assert session.typed == "tim"
    assert [c.text for c in session.page(0, 5)[0].candidates] == [" time"]
    press("ctrl+u", "type:nothing has this", "enter", "down", "enter")
    assert (session.mode, session.page(0, 5)[1]) == ("find", 0)
    press("escape")
    assert (session.mode, session.typed, appended(session)) == ("browse", "", "")


def test_a_newline_and_a_space_can_be_searched(session: Session, press: Press) -> None:
    press("slash", "type:\\n")
    assert [c.text for c in session.page(0, 5)[0].candidates] == ["\n"]
    press("ctrl+u", "type:␣Sir")
    assert [c.text for c in session.page(0, 5)[0].candidates] == [" Sir"]


def test_pasted_text_goes_where_something_is_typed(session: Session, press: Press) -> None:
    session.paste("q")
    assert (session.typed, session.left) == ("", False)
    press("slash")
    session.paste(" Sir\n")
    assert session.typed == " Sir"


# Files


def test_the_tree_and_the_branch_are_written_where_one_says(
    session: Session, press: Press, saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    press("s", "ctrl+u", "type:my tree", "enter")
    assert (saved.paths, session.mode, session.message) == ([Path("my tree")], "browse", "my tree is written.")
    press("left", "e", "enter")
    assert Path("branch.txt").read_text("utf-8") == text(session)
    press("left", "e", "enter")
    assert session.message == "branch.txt exists already: choose another name."
    assert Path("branch.txt").read_text("utf-8") != text(session)


def test_a_file_that_cannot_be_written_is_told_and_another_name_taken(
    session: Session, press: Press, saved: Any
) -> None:
    press("s", "ctrl+u", "type:taken", "enter")
    assert session.message == "taken exists already. Choose another name."
    assert (session.mode, session.typed) == ("save", "taken")
    press("ctrl+u", "enter")
    assert (session.mode, session.message) == ("save", "")  # without a name, nothing is written
    press("escape")
    assert (session.mode, saved.paths) == ("browse", [])


# The game


def test_a_guess_costs_what_was_put_on_it(session: Session, press: Press) -> None:
    prompt_end = session.here
    press("home", "g", "up", "type: date", "enter")
    (first,) = session.rounds
    assert (first.person_bits, first.drawn) == (pytest.approx(0.415, abs=1e-3), False)  # three quarters
    assert first.model_bits == pytest.approx(session.tree.bits(0, first.came.id))
    press("down", "down", "type: Sir", "enter")
    second = session.rounds[1]
    expected = session.tree.bet_bits(session.tree.path(session.here)[1], second.came.id, second.guess.id, 0.25)
    assert second.person_bits == expected
    assert second.guess.text == " Sir"
    assert session.tip == prompt_end
    press("escape")
    assert session.message == result([first, second])
    assert (session.mode, session.tree.path(session.here)[-1]) == ("browse", session.here)


def test_no_guess_costs_what_the_model_pays(session: Session, press: Press) -> None:
    press("g", "enter")
    (only,) = session.rounds
    assert (only.guess, only.guess_bits, only.drawn) == (None, None, True)
    assert only.person_bits == only.model_bits > 0


def test_at_the_tip_the_model_draws(make_tree: Callable[..., TokenTree], session: Session, press: Press) -> None:
    press("g", "type: the", "enter", "type: the", "enter")
    alone = make_tree()
    node = alone.draw(alone.draw(alone.prompt_end, SampleConfig()), SampleConfig())
    assert text(session) == alone.text(node)


def test_the_share_stays_between_nothing_and_all(session: Session, press: Press) -> None:
    press("g", *["up"] * 20)
    assert session.share == 0.95
    press(*["down"] * 20)
    assert session.share == 0.05


def test_settings_keys_are_letters_where_one_types(session: Session, press: Press) -> None:
    config = session.config
    press("g", "type:tTkKpPmMq", "escape", "slash", "type:tTkKpPmMq", "escape", "s", "type:q", "escape")
    assert session.config == config
    assert not session.left


# The end


def test_help_and_leaving(session: Session, press: Press) -> None:
    press("question_mark", "down", "x")
    assert session.mode == "help"
    press("q")
    assert (session.mode, session.left) == ("browse", False)
    press("q")
    assert session.left
