"""`inspect-probs --choices`: which of several continuations fits, as a table, JSON and CSV; and what is refused."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

Run = Callable[..., Any]


@pytest.fixture
def choose(minigpt: Run, trained: Path) -> Run:
    def run(prompt: str, choices: str, *arguments: str, **options: Any) -> Any:
        return minigpt("inspect-probs", "-c", str(trained), prompt, "--choices", choices, *arguments, **options)

    return run


def choices(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return json.loads(line)["choices"]


def test_the_table_has_a_row_for_each(choose: Run) -> None:
    result = choose("the cat sat on", " a mat, the dog, not here")
    assert result.exit_code == 0
    assert result.stderr == ""
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["choice", "share", "by", "byte", "nats", "nats/byte", "tokens"]
    assert {row.split()[0] for row in rows[:3]} == {"␣a␣mat", "␣the␣dog", "␣not␣here"}
    assert "after “the cat sat on”" in rows[3]
    assert "add up to 100 %" in " ".join(result.stdout.split())


def test_a_choice_costs_what_all_says_of_its_tokens(choose: Run, minigpt: Run, trained: Path) -> None:
    """Where prompt and choice are cut alike together and apart."""
    for found in choices(choose("the cat sat on", " a mat, the dog, Straße", "--json")):
        text = "the cat sat on" + found["text"]
        steps = json.loads(minigpt("inspect-probs", "-c", str(trained), text, "--all", "--json").stdout)["steps"]
        own = steps[-len(found["tokens"]) :]
        assert [step["token"]["id"] for step in own] == [token["id"] for token in found["tokens"]]
        bits = sum(step["surprisal_bits"] for step in own)
        assert found["total_nats"] == pytest.approx(bits * math.log(2), rel=1e-5)


def test_json_names_and_sums(choose: Run) -> None:
    found = choices(choose("the cat", " sat, is here,[bold]", "--json"))
    assert list(found[0]) == [
        "text", "tokens", "bytes", "raw_prob", "total_nats", "nats_per_byte", "bits_per_byte", "share",
        "share_per_byte",
    ]  # fmt: skip
    assert sum(choice["share"] for choice in found) == pytest.approx(1, abs=1e-9)
    assert sum(choice["share_per_byte"] for choice in found) == pytest.approx(1, abs=1e-9)
    for choice in found:
        assert b"".join(bytes.fromhex(token["bytes"]) for token in choice["tokens"]) == choice["text"].encode()
        assert choice["raw_prob"] == pytest.approx(math.exp(-choice["total_nats"]))
        assert choice["bits_per_byte"] == pytest.approx(choice["total_nats"] / math.log(2) / choice["bytes"])


def test_csv_has_the_same_numbers(choose: Run) -> None:
    found = choices(choose("the cat", ' "sat", is,"[a, b]"', "--json"))
    rows = list(csv.DictReader(io.StringIO(choose("the cat", ' "sat", is,"[a, b]"', "--csv").stdout)))
    assert [row["text"] for row in rows] == [choice["text"] for choice in found]
    assert {row["text"] for row in rows} == {' "sat"', " is", "[a, b]"}
    assert [float(row["total_nats"]) for row in rows] == [choice["total_nats"] for choice in found]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_table_keeps_to_the_screen(choose: Run, columns: int) -> None:
    hostile = " [/INST], :smile:, \x1b[31m, \u202e, 速い茶色の狐," + " cat" * 30
    result = choose("The cat", hostile, COLUMNS=str(columns))
    assert result.exit_code == 0
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output


SPACES = [
    ("the cat is", "not,here", "run together: \"the cat isnot\". Spaces count: --choices ' not, here'"),
    ("the cat is", " not,here", "Spaces count: --choices ' not, here'"),
    ("the cat is:", "not, here", "Spaces count: --choices ' not, here'"),
    (
        "the cat is\n",
        "not, here",
        "some choices begin with a space and others do not. Spaces count: --choices not,here",
    ),
    ("the cat is", " not, here", None),
    ("the cat is\n", "not,here", None),
    ("the cat is(", "not,here", None),
    ("the cat is", "?,!", None),
]


@pytest.mark.parametrize(("prompt", "given", "part"), SPACES)
def test_what_would_run_together_is_told(choose: Run, prompt: str, given: str, part: str | None) -> None:
    result = choose(prompt, given)
    assert result.exit_code == 0
    notes = result.stderr.splitlines()
    assert [part in line for line in notes if "choices" in line] == ([] if part is None else [True])
    assert "--choices" not in choose(prompt, given, "-q").stderr


def test_a_choice_that_begins_another_is_told(choose: Run) -> None:
    assert '" a" is the beginning of " a mat"' in choose("the cat sat on", " a mat, a").stderr
    assert "beginning" not in choose("the cat sat on", " a mat, a dog").stderr


def test_choices_longer_than_the_context_are_read_in_windows(choose: Run) -> None:
    result = choose("the cat sat on", " a mat," + " the dog" * 60, "--json")
    assert "the model's context 32" in result.stderr
    assert max(len(choice["tokens"]) for choice in choices(result)) > 64


REFUSED = [
    ("good", "two texts or more, separated by commas, not good alone"),
    ("", "two texts or more"),
    ("good,,bad", "has an empty choice"),
    ("a,b,a", 'has "a" twice'),
    ('a,"b', "cannot be read as CSV"),
]


@pytest.mark.parametrize(("given", "part"), REFUSED)
def test_what_cannot_be_compared_is_refused(choose: Run, given: str, part: str) -> None:
    result = choose("The cat", given)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert part in result.stderr


def test_an_empty_prompt_and_other_ways_of_looking_are_refused(choose: Run) -> None:
    assert "There is no text to look at" in choose("", "a,b").stderr
    both = choose("The cat", " a, b", "--all")
    assert both.exit_code == 2
    assert "--all and --choices exclude each other." in both.stderr


def test_a_file_of_settings_may_list_them(minigpt: Run, trained: Path) -> None:
    Path("s.toml").write_text(f'checkpoint = "{trained}"\nchoices = " a, the"\n')
    assert minigpt("inspect-probs", "the cat sat on", "--config", "s.toml").stdout.count("\n") > 3
