"""Why a plan was chosen, at every width: no line is wider than the terminal, and nothing said is left out."""

from dataclasses import replace

import pytest
from rich.console import Console

from minigpt.render.runs import plan_table, reasons
from minigpt.render.screen import Screen
from minigpt.training.records import PlannedRun

BEST = PlannedRun(
    tokenizer="bpe",
    vocab_size=2048,
    bytes_per_token=2.94,
    layers=4,
    heads=4,
    width=128,
    context=128,
    dropout=0.1,
    weight_decay=0.3,
    batch_size=8,
    steps=1371,
    tokens=1_404_000,
    tokens_per_second=14_130.0,
    epochs=4.1,
    share=1.0,
    expected_bits_per_byte=2.0,
)
SMALLER = replace(BEST, layers=3, width=96, expected_bits_per_byte=2.02)
LARGER = replace(BEST, layers=4, width=192, expected_bits_per_byte=2.03)
CHARACTERS = replace(BEST, tokenizer="char", vocab_size=257, bytes_per_token=1.0, expected_bits_per_byte=2.1)
RUNS = [BEST, SMALLER, LARGER, CHARACTERS, replace(SMALLER, dropout=0.2, expected_bits_per_byte=2.2)]


def shown(width: int, runs: list[PlannedRun], seconds: float = 180.0) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        for line in (*reasons(runs, seconds, Screen.of(console)), *plan_table(runs, Screen.of(console))):
            console.print(line)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [40, 80, 160])
def test_it_says_all_at_any_width(width: int) -> None:
    lines = shown(width, RUNS)
    assert max(map(len, lines)) <= width
    said = " ".join(" ".join(lines).split())
    assert "3:00 from the start: 4 × 128 trains at about 14,130 tokens/s here, so 1.4 M tokens fit" in said
    assert "bpe 2,048, 2.94 bytes a token: the text is seen 4.1 times · dropout 0.1 · weight decay 0.3" in said
    assert "characters expected 5.0% worse" in said
    assert "3 × 96 is expected 1.0% worse · 4 × 192 1.5% worse" in said
    assert "…" not in said


def test_the_table_has_each_shape_and_tokenizer_once_with_what_it_is_expected_to_cost() -> None:
    rows = [line.split() for line in shown(80, RUNS)[-4:]]
    assert [row[-1] for row in rows] == ["best", "+1.0%", "+1.5%", "+5.0%"]
    assert rows[0] == ["4", "×", "128", "bpe", "2,048", "0.1", "0.3", "1,371", "4.1", "best"]


def test_a_part_of_the_time_and_a_part_of_the_text_are_told() -> None:
    said = " ".join(" ".join(shown(160, [replace(BEST, share=0.25, epochs=0.4)])).split())
    assert "about 0:45 of training, not 3:00, with 4 × 128: longer training would overfit" in said
    assert "40% of the text is seen" in said
