"""`inspect-probs --by-layer` and `--attribution`: tables, JSON, and what goes with what."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

Run = Callable[..., Any]
HOSTILE = "The cat [bold] :smile: \x1b[31m\u202e 速い"


def document(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def refused(result: Any, *parts: str, code: int = 2) -> None:
    assert (result.exit_code, result.stdout) == (code, "")
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize("columns", [40, 80, 160])
@pytest.mark.parametrize("view", ["--by-layer", "--attribution"])
def test_the_table_keeps_to_the_screen(inspect: Run, columns: int, view: str) -> None:
    result = inspect(HOSTILE, view, COLUMNS=str(columns))
    assert result.exit_code == 0
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert not {"\x1b", "\u202e"} & set(result.stdout)


def test_the_last_layer_is_what_comes_next(inspect: Run) -> None:
    rows = document(inspect("The cat", "--by-layer", "--json"))["rows"]
    (step,) = document(inspect("The cat", "--json"))["steps"]
    assert [row["layer"] for row in rows] == [0, 1]
    for ours, theirs in zip(rows[-1]["candidates"], step["candidates"], strict=True):
        assert ours == {
            **theirs,
            **{name: pytest.approx(theirs[name], rel=1e-5) for name in ("logit", "raw_prob", "prob")},
        }
    assert rows[-1]["other"] == {name: pytest.approx(value, rel=1e-5) for name, value in step["other"].items()}
    assert rows[-1]["entropy_bits"] == pytest.approx(step["entropy_bits"])
    assert rows[-1]["divergence_bits"] == 0
    assert [row["tracked"][0]["id"] for row in rows] == [step["candidates"][0]["id"]] * 2


def test_tokens_may_be_named_by_text_or_number(inspect: Run) -> None:
    rows = document(inspect("The cat", "--by-layer", "--json", "--track", "a", "--track", "#299"))["rows"]
    assert [[token["id"] for token in row["tracked"]] for row in rows] == [[64, 299]] * 2
    record = document(inspect("The cat", "--attribution", "--json", "--track", "#7"))
    assert record["token"]["id"] == 7


def test_an_effect_is_what_asking_without_the_token_shows(inspect: Run) -> None:
    text = "The cat sat"
    record = document(inspect(text, "--attribution", "--json"))
    last = record["effects"][-1]
    shorter = text.encode()[: -len(bytes.fromhex(last["bytes"]))].decode()
    (step,) = document(inspect(shorter, "--json", "--top", "300"))["steps"]
    without = next(c["raw_prob"] for c in step["candidates"] if c["id"] == record["token"]["id"])
    assert last["surprisal_bits"] == pytest.approx(-math.log2(without), abs=1e-4)
    assert last["effect_bits"] == pytest.approx(math.log2(record["token"]["raw_prob"] / without), abs=1e-4)
    assert b"".join(bytes.fromhex(effect["bytes"]) for effect in record["effects"]) == text.encode()


def test_of_a_long_text_the_window_is_looked_at_and_it_is_said(inspect: Run) -> None:
    result = inspect("the cat sat on a mat " * 20, "--attribution")
    assert result.exit_code == 0
    assert "before the model's window have no effect" in " ".join(result.stdout.split())
    assert "read in windows" in result.stderr


def test_quiet_says_nothing_on_standard_error(inspect: Run) -> None:
    assert inspect("the cat sat on a mat " * 20, "--attribution", "-q").stderr == ""


def test_mistakes_are_told_in_a_sentence(inspect: Run) -> None:
    refused(inspect("a b", "--by-layer", "--all"), "--all and --by-layer exclude each other.")
    refused(inspect("a b", "--by-layer", "--tokens"), "--by-layer and --tokens exclude each other.")
    refused(inspect("a b", "--attribution", "--csv"), "--attribution has no --csv; --json has its numbers.")
    refused(
        inspect("a b", "--track", "a"), "--track goes with --history, --by-layer, --attribution, --without or --parts."
    )
    refused(inspect("a b", "--attribution", "--track", "a", "--track", "b"), "explains one token, not 2")
    refused(inspect("a b", "--by-layer", "--track", "qqqq"), '"qqqq" is 4 tokens of this vocabulary', "#ID")
    refused(inspect("a b", "--by-layer", "--track", "#300"), "the ids of this vocabulary go from 0 to 299")
    refused(inspect("a b", "--by-layer", "--track", ""), "not an empty text")
    refused(inspect("a", "--attribution"), "two tokens or more", code=1)
    refused(inspect("", "--by-layer"), "There is no text to look at")
