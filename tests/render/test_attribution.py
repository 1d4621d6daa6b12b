"""Bars to both sides of a prompt's tokens, scaled to the largest effect, at any width."""

from collections.abc import Callable, Sequence

import pytest
from rich.cells import cell_len

from minigpt.render.attribution import attribution_table
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.sampling.records import Candidate
from minigpt.views.attribution import Attribution, TokenEffect

Make = Callable[..., Candidate]
EFFECTS = [("The", 0.004), (" cat", 7.25), ("\x1b[31m", -0.001), ("速い狐", -3.0), (None, 0.0), ("x" * 90, -0.9)]


def record(candidate: Make, effects: Sequence[tuple[str | None, float]] = EFFECTS, unseen: int = 0) -> Attribution:
    return Attribution(
        position=unseen + len(effects),
        token=candidate(3, " mat", 0.0614),
        surprisal_bits=4.0,
        unseen=unseen,
        effects=tuple(
            TokenEffect(
                id=i, text=text, bytes="e280" if text is None else text.encode().hex(), position=unseen + i,
                surprisal_bits=4 + bits, effect_bits=bits,
            )
            for i, (text, bits) in enumerate(effects)
        ),
    )  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 100])
def test_golden_attribution(candidate: Make, width: int, golden: Callable[[str, str], None]) -> None:
    lines = attribution_table(record(candidate, unseen=1200), Screen(width))
    golden(f"attribution_{width}", "\n".join(map(str, lines)))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_every_effect_is_shown_and_no_line_is_too_wide(candidate: Make, width: int, symbols: Symbols) -> None:
    text = "\n".join(map(str, attribution_table(record(candidate), Screen(width, symbols))))
    assert max(map(cell_len, text.split("\n"))) <= width
    for number in ("+0.00", "+7.25", "-3.00", "-0.90"):
        assert number in text
    assert "-0.00" not in text
    assert "\x1b" not in text
    told = " ".join(text.split())
    assert "leave-one-out" in told
    assert "do not add up" in told
    assert "before the model's window" not in told


def test_bars_stand_on_their_sides(candidate: Make) -> None:
    table, *_ = attribution_table(record(candidate, [("a", 2.0), ("b", -2.0), ("c", 0.0)]), Screen(60))
    _, up, down, none = str(table).split("\n")
    middle = up.index("|")
    assert down.index("|") == none.index("|") == middle
    assert set(up[middle + 1 :]) == {"█"}
    assert len(up[middle + 1 :]) == down[:middle].count("█") > 9
    assert "█" not in up[:middle] + down[middle:] + none
