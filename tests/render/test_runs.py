"""How a list of runs looks, at any width and with any name."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.checkpoint.records import RunSummary
from minigpt.render.runs import age, runs_table
from minigpt.render.style import ASCII, UNICODE, WIDEST, Screen, Symbols

RUN = RunSummary(
    name="notes", path="checkpoints/notes", date="2026-05-04T12:00:00+00:00", age_seconds=200.0, status="finished",
    model="gpt", layers=5, width=256, parameters=4_312_345, tokenizer="bpe", vocab_size=2048,
    text="my/diary/notes.txt", steps=1_994, saved_step=1_900,
    validation_loss_nats=3.5, validation_bits_per_byte=1.9142, bytes=31_000_000,
)  # fmt: skip
RUNS = [
    RUN,
    replace(RUN, name="shakespeare-2", text="tiny-shakespeare.txt and 12 more", age_seconds=9e4, status="running"),
    replace(RUN, name="a-very-long-name-that-somebody-gave-to-a-run", layers=48, width=1600, parameters=1_557_611_200,
            steps=250_000, age_seconds=3e7, status="unfinished", validation_bits_per_byte=None),
    replace(RUN, name="state", model="lstm", layers=2, width=212, text="notes.txt"),
    replace(RUN, name="gpt2", text=None, steps=None, validation_bits_per_byte=None, status="model", age_seconds=3e6),
    replace(RUN, name="broken", status="damaged", problem="run.json is not JSON: Expecting value: line 1 column 1 "
            "(char 0); model.safetensors is missing", layers=None, parameters=None, validation_bits_per_byte=None),
    replace(RUN, name="速い[bold]\x1b[31m\n", text="\u202e<b>.txt"),
]  # fmt: skip


def table(width: int, symbols: Symbols = UNICODE) -> str:
    return "\n".join(map(str, runs_table(RUNS, "checkpoints", Screen(width, symbols))))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_golden_runs(width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"runs_{width}", table(min(width, WIDEST)))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_no_line_is_too_wide_and_the_loss_and_the_age_are_always_there(width: int, symbols: Symbols) -> None:
    text = table(width, symbols)
    assert max(map(cell_len, text.split("\n"))) <= width
    assert "1.914" in text
    assert "3 min" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "model.safetensors is missing." in " ".join(text.split())


def test_what_is_damaged_is_said_below_its_line() -> None:
    lines = table(80).split("\n")
    row = next(i for i, line in enumerate(lines) if line.startswith(" broken"))
    assert "damaged" in lines[row]
    assert lines[row + 1].startswith("   run.json is not JSON")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "60 min"),
        (3600, "1 h"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (700 * 86400, "23 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_an_age_is_a_number_and_a_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text
