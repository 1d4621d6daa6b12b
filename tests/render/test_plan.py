"""Why a plan was chosen, at every width: no line is wider than the terminal, and nothing said is left out."""

from dataclasses import replace

import pytest
from rich.console import Console

from minigpt.render.runs import plan_table, reasons
from minigpt.render.style import Screen
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
    bpe_dropout=0.0,
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


def joined(run: PlannedRun) -> str:
    return " ".join(" ".join(shown(160, [run])).split())


def test_windows_that_grow_are_told() -> None:
    assert "context 128, batch 8" in joined(BEST)
    assert "context 32, 64, then 128, batch 8" in joined(replace(BEST, context_warmup=0.4))
    assert "context 5, then 10, batch 8" in joined(replace(BEST, context=10, context_warmup=0.4))
    assert "context 5, batch 8" in joined(replace(BEST, context=5, context_warmup=0.4))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_it_says_all_at_any_width(width: int) -> None:
    lines = shown(width, RUNS)
    assert max(map(len, lines)) <= width
    said = " ".join(" ".join(lines).split())
    assert "3:00 from the start: 4 × 128 trains at about 14 k tokens/s here, so 1.4 M tokens fit" in said
    assert "tokens fit · about 2.00 bits per byte expected, give or take 20%" in said
    assert "bpe 2,048, 2.94 bytes a token: the text is seen 4.1 times, so weight decay 0.3 and dropout 0.1" in said
    assert "dropout 0.1 keep it from being memorised · characters expected 5.0% worse" in said
    assert "3 × 96 is expected 1.0% worse · 4 × 192 1.5% worse" in said
    assert "…" not in said
    assert "batch 8 · 4 × 192 is expected 1.5% worse" in " ".join(" ".join(shown(width, [BEST, LARGER])).split())


def test_the_table_has_each_shape_and_tokenizer_once_with_what_it_is_expected_to_cost() -> None:
    rows = [line.split() for line in shown(80, RUNS)[-4:]]
    assert [row[-1] for row in rows[1:]] == ["+1.0%", "+1.5%", "+5.0%"]
    assert rows[0] == ["4", "×", "128", "bpe", "2,048", "0.1", "0.3", "1,371", "4.1", "2.00", "bits/byte"]
    narrow = [line.split() for line in shown(40, RUNS)[-4:]]
    assert narrow[0] == ["4", "×", "128", "bpe", "2,048", "4.1", "2.00"]


def test_a_part_of_the_time_and_a_part_of_the_text_are_told() -> None:
    said = joined(replace(BEST, share=0.25, epochs=0.4))
    assert "about 0:45 of training, not 3:00, with 4 × 128: longer training would overfit" in said
    assert "would overfit · about 2.00 bits per byte expected, give or take 20%" in said
    assert "40% of the text is seen, with weight decay 0.3 and dropout 0.1" in said


@pytest.mark.parametrize(
    ("decay", "dropout", "why"),
    [
        (0.1, 0.0, "times 4 layers"),
        (0.0, 0.0, "times 4 layers"),
        (1.6, 0.0, "times, so weight decay 1.6 keeps it from being memorised 4 layers"),
        (0.1, 0.2, "times, so dropout 0.2 keeps it from being memorised 4 layers"),
    ],
)
def test_regularization_is_named_where_there_is_more_than_usual(decay: float, dropout: float, why: str) -> None:
    assert f"the text is seen 4.1 {why}" in joined(replace(BEST, weight_decay=decay, dropout=dropout))


def test_a_part_of_the_text_is_told_as_one() -> None:
    told = " ".join(map(str, reasons(RUNS, 180.0, Screen(80), part=0.5)))
    assert "bytes a token: this part of the text is seen 4.1 times" in " ".join(told.split())


def test_nothing_is_expected_where_nothing_is_known() -> None:
    console = Console(width=80)
    lines = reasons([replace(BEST, expected_bits_per_byte=None)], 180.0, Screen.of(console))
    assert "expected" not in "".join(line.plain for line in lines)
