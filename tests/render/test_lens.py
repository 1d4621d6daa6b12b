"""How a model's layers are shown, at any width."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.render.tracked import lens_table
from minigpt.sampling.records import Candidate, Other
from minigpt.views.history import LensRow

Make = Callable[..., Candidate]
PROMPT = "To date, the cleverest thinker of all time was"
TOPS = [(" was", 0.9997), ("\x1b[31m", 0.2), (None, 0.04), (" incomprehensibilities", 0.31), (" the", 0.0882)]
TRACKED = {" the": (1e-7, 0.001, 0.01, 0.05, 0.0882), "速い": (0.3, 0.2, 0.1, 0.0, 0.00001)}


def rows(candidate: Make, tracked: int) -> list[LensRow]:
    followed = list(TRACKED.items())[:tracked]
    return [
        LensRow(
            layer=layer,
            candidates=(candidate(1, text, share),),
            other=Other(count=50_256, raw_prob=1 - share, prob=1 - share),
            entropy_bits=layer + 0.256,
            divergence_bits=12.5 - 3.125 * layer,
            tracked=tuple(candidate(50_000 // (layer + 1), text, p[layer]) for text, p in followed),
        )
        for layer, (text, share) in enumerate(TOPS)
    ]


@pytest.mark.parametrize("width", [40, 80, 100])
def test_golden_lens(candidate: Make, width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"lens_{width}", "\n".join(map(str, lens_table(rows(candidate, 2), PROMPT, Screen(width)))))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_every_number_is_shown_and_no_line_is_too_wide(candidate: Make, width: int, symbols: Symbols) -> None:
    text = "\n".join(map(str, lens_table(rows(candidate, 2), PROMPT, Screen(width, symbols))))
    assert max(map(cell_len, text.split("\n"))) <= width
    for number in ("99.97 %", "12.50", "4.26", "8.82 % #10000", "30.00 % #50000"):
        assert number in text
    assert "\x1b" not in text
    assert "trained to be read this way" in " ".join(text.split())
    assert symbols is UNICODE or text.replace("速い", "").isascii()
