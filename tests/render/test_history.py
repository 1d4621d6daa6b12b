"""How a training's expectations are shown, at any width."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.render.style import ASCII, UNICODE, Screen, Symbols, sparkline
from minigpt.render.tracked import history_table, layer_table
from minigpt.sampling.records import Candidate
from minigpt.views.history import HistoryRow, LayerHistoryRow

Make = Callable[..., Candidate]
PROMPT = "To date, the cleverest thinker of all time was"


@pytest.fixture
def rows(candidate: Make) -> list[HistoryRow]:
    texts = [" the", " probably", "\x1b[31m", None, " incomprehensibilities"]
    shares = {0: [0.00002] * 5, 12: [0.03, 0.001, 0.2, 0.00001, 0.1], 1500: [0.5, 0.09, 0.001, 0.0, 0.3]}
    found = [
        HistoryRow(
            step=step, final=False, validation_loss_nats=7.0, validation_bits_per_byte=3.5 if step else None,
            entropy_bits=10.0, divergence_bits=0.25,
            tracked=tuple(candidate(n * 1000 + 1, t, p) for n, (t, p) in enumerate(zip(texts, ps, strict=True))),
        )
        for step, ps in shares.items()
    ]  # fmt: skip
    return [*found, replace(found[-1], final=True, divergence_bits=0.0)]


@pytest.mark.parametrize("width", [40, 80, 100])
def test_golden_history(rows: list[HistoryRow], width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"history_{width}", "\n".join(map(str, history_table(rows, PROMPT, Screen(width)))))


def caption(rows: list[HistoryRow]) -> str:
    return " ".join(" ".join(map(str, history_table(rows, PROMPT, Screen(100)))).split())


def test_a_snapshot_that_differs_from_the_final_model_of_the_same_step_is_explained(rows: list[HistoryRow]) -> None:
    told = "whose snapshot is rounded to bfloat16 and so differs in the last digits"
    assert "final is the model of step 1,500 · bits/byte" in caption(rows)  # both rows are alike
    first, *others = rows[-1].tracked
    final = replace(rows[-1], tracked=(replace(first, raw_prob=first.raw_prob + 1e-6), *others))
    assert f"final is the model of step 1,500, {told}" in caption([*rows[:-1], final])
    assert told not in caption([*rows[:-1], replace(final, step=1400)])  # the best model is of another step
    layers = [
        LayerHistoryRow(step=5, final=f, layers=(replace(first, raw_prob=p),)) for f, p in ((False, 0.1), (True, 0.2))
    ]
    assert told in " ".join(" ".join(map(str, layer_table(layers, PROMPT, Screen(100)))).split())


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101))
def test_every_token_is_shown_and_no_line_is_too_wide(rows: list[HistoryRow], width: int, symbols: Symbols) -> None:
    lines = str("\n".join(map(str, history_table(rows, PROMPT, Screen(width, symbols))))).split("\n")
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    for share in ("50.00 % #1", "9.00 % #1001", "0.10 % #2001", "0.00 % #3001", "30.00 % #4001"):
        assert text.count(share) == 2  # the last snapshot, and the final model
    assert "\x1b" not in text
    assert symbols is UNICODE or text.isascii()


@pytest.mark.parametrize(
    ("values", "line"), [((), ""), ((0.0, 0.0), "▁▁"), ((0.0, 0.5, 1.0), "▁▅█"), ((1e-9, 2e-9), "▅█")]
)
def test_a_sparkline_is_scaled_to_its_largest(values: tuple[float, ...], line: str) -> None:
    assert sparkline(values) == line


@pytest.mark.parametrize("width", [40, 80])
def test_golden_layer_history(candidate: Make, width: int, golden: Callable[[str, str], None]) -> None:
    rows = [
        LayerHistoryRow(
            step=step,
            final=final,
            layers=tuple(candidate(1 + (step < 10 * n), "\x1b the", 0.4 / (1 + step - n) + 0.01 * n) for n in range(5)),
        )
        for step, final in ((4, False), (12, False), (150, False), (2000, False), (150_000, False), (150_000, True))
    ]
    lines = "\n".join(map(str, layer_table(rows, PROMPT, Screen(width)))).split("\n")
    assert max(map(cell_len, lines)) <= width
    golden(f"layer_history_{width}", "\n".join(lines))
