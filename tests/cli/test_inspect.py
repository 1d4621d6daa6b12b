"""`minigpt inspect-probs`: the list of what may come next, and what every token of a text cost."""

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
ABOUT = ("prompt", "checkpoint", "version")


def document(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def test_the_list_of_what_may_come_next(inspect: Run) -> None:
    result = inspect("The cat", "--top", "5")
    assert result.exit_code == 0
    assert result.stderr == ""
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["rank", "token", "probability"]
    assert [row.split()[0] for row in rows[:6]] == ["1", "2", "3", "4", "5", "other"]
    assert "next token after “The cat” · raw softmax" in result.stdout
    assert "= 100 %" in result.stdout


@pytest.mark.parametrize("columns", [40, 80, 160])
@pytest.mark.parametrize("all_", [[], ["--all"]], ids=["next", "all"])
def test_the_table_keeps_to_the_screen(inspect: Run, columns: int, all_: list[str]) -> None:
    result = inspect("The cat [bold] :smile: \x1b[31m\u202e 速い", *all_, COLUMNS=str(columns))
    assert result.exit_code == 0
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_json_is_one_document(inspect: Run) -> None:
    found = document(inspect("The cat", "--json"))
    assert set(found) == {"steps", *ABOUT}
    (step,) = found["steps"]
    assert step["token"] is None
    assert step["surprisal_bits"] is None
    assert len(step["candidates"]) == 10
    assert sum(c["raw_prob"] for c in step["candidates"]) + step["other"]["raw_prob"] == pytest.approx(1, abs=1e-9)


def test_json_of_all_adds_up(inspect: Run) -> None:
    text = "The cat sat on a mat, Über and not here.\n" * 8
    result = inspect(text, "--all", "--json", "--top", "3")
    found = document(result)
    assert set(found) == {"steps", "total_nats", "bits_per_byte", "perplexity", "bytes", "tokens", *ABOUT}
    first, *rest = found["steps"]
    assert first["candidates"] == []
    assert first["surprisal_bits"] is None
    assert first["entropy_bits"] is None
    assert b"".join(bytes.fromhex(step["token"]["bytes"]) for step in found["steps"]) == text.encode()
    bits = sum(step["surprisal_bits"] for step in rest)
    assert found["tokens"] == len(rest)
    assert found["bytes"] == len(text.encode()) - len(first["token"]["bytes"]) // 2
    assert found["total_nats"] == pytest.approx(bits * math.log(2))
    assert found["bits_per_byte"] == pytest.approx(bits / found["bytes"])
    assert found["perplexity"] == pytest.approx(2 ** (bits / len(rest)))
    assert result.stderr.count("the text has") == 1  # longer than the context of 32
    for step in rest:
        assert step["token"] in step["candidates"]
        assert step["surprisal_bits"] == pytest.approx(-math.log2(step["token"]["raw_prob"]))


def test_all_and_next_agree_at_the_end(inspect: Run) -> None:
    every = document(inspect("The cat sat", "--all", "--json"))["steps"]
    last = every[-1]
    prefix = b"".join(bytes.fromhex(step["token"]["bytes"]) for step in every[:-1]).decode()
    (single,) = document(inspect(prefix, "--json"))["steps"]
    assert single["entropy_bits"] == pytest.approx(last["entropy_bits"], abs=1e-5)
    assert [c["id"] for c in single["candidates"]] == [c["id"] for c in last["candidates"][:10]]


def test_csv_has_the_same_numbers_as_json(inspect: Run) -> None:
    for flags in ([], ["--all"]):
        rows = list(csv.DictReader(io.StringIO(inspect("The cat\x1b sat", "--csv", *flags).stdout)))
        steps = document(inspect("The cat\x1b sat", "--json", *flags))["steps"]
        shown = [float(row["raw_prob"]) for row in rows if row["raw_prob"] and row["id"]]
        assert shown == [c["raw_prob"] for step in steps for c in step["candidates"]]
        for step in steps:
            total = [float(r["raw_prob"]) for r in rows if r["position"] == str(step["position"]) and r["raw_prob"]]
            assert not total or math.isclose(sum(total), 1, abs_tol=1e-9)


def test_the_table_of_all_has_a_line_per_token_and_totals(inspect: Run) -> None:
    result = inspect("The cat", "--all")
    tokens = len(document(inspect("The cat", "--all", "--json"))["steps"])
    lines = result.stdout.splitlines()
    assert lines[0].startswith(" token  surprisal   rank  entropy")
    assert "not predicted" in lines[1]
    assert f"over {tokens - 1} token" in lines[tokens + 1]
    assert "perplexity" in result.stdout


def test_one_token_has_no_total(inspect: Run) -> None:
    assert "there is no total" in inspect("a", "--all").stdout
    found = document(inspect("a", "--all", "--json"))
    assert (found["tokens"], found["total_nats"], found["bits_per_byte"], found["perplexity"]) == (0, 0.0, None, None)


def test_top_of_everything_leaves_no_other(inspect: Run) -> None:
    found = document(inspect("a", "--json", "--top", "1000000"))["steps"][0]
    assert len(found["candidates"]) == 300
    assert found["other"]["count"] == 0
    assert "other (" not in inspect("a", "--top", "1000000").stdout


def test_the_text_may_come_from_a_file_or_standard_input(inspect: Run, empty_folder: Path) -> None:
    (empty_folder / "poem.txt").write_bytes(b"\xef\xbb\xbfThe\r\ncat")
    expected = document(inspect("The\ncat", "--json"))
    assert document(inspect("--file", "poem.txt", "--json")) == expected
    assert document(inspect("--json", input="The\ncat\n")) == expected
    assert document(inspect("-", "--json", input="The\r\ncat\r\n")) == expected


@pytest.mark.parametrize("arguments", [[""], ["-"], [], ["--all"], ["--json"]])
def test_an_empty_text_says_what_is_missing(inspect: Run, arguments: list[str]) -> None:
    result = inspect(*arguments, input="\n")
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert "There is no text to look at" in result.stderr
    assert 'inspect-probs "Once upon a"' in result.stderr


def test_end_of_text_letters_are_letters(inspect: Run) -> None:
    steps = document(inspect("<|endoftext|>", "--all", "--json"))["steps"]
    assert len(steps) > 1
