"""`inspect-probs --tokens`: how a text is cut."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

Run = Callable[..., Any]


@pytest.fixture
def cut(minigpt: Run, trained: Path) -> Run:
    def run(*arguments: str, **options: Any) -> Any:
        result = minigpt("inspect-probs", "-c", str(trained), "--tokens", *arguments, **options)
        assert (result.exit_code, result.stderr) == (0, "")
        return result

    return run


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_table_keeps_to_the_screen(cut: Run, columns: int) -> None:
    result = cut("The cat [bold] :smile: \x1b[31m\u202e 速い " + " " * 90, COLUMNS=str(columns))
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert not {"\x1b", "\u202e"} & set(result.stdout)


def test_json_has_every_token_with_its_merges(cut: Run, minigpt: Run, trained: Path) -> None:
    text = "The cat sat, Über\x1b\n" * 9  # beyond the context, of which no model is asked
    tokens = json.loads(cut(text, "--json").stdout)["tokens"]
    assert b"".join(bytes.fromhex(token["bytes"]) for token in tokens) == text.encode()
    every = minigpt("inspect-probs", "-c", str(trained), "--all", "--json", "-q", text)
    assert [token["id"] for token in tokens] == [step["token"]["id"] for step in json.loads(every.stdout)["steps"]]
    for token in tokens:
        assert set(token) == {"id", "text", "bytes", "position", "merges"}
        numbers = [merge["number"] for merge in token["merges"]]
        assert (token["id"] < 256) == (numbers == [])
        assert not numbers or numbers[-1] == token["id"] - 255


def test_the_text_may_come_from_standard_input(cut: Run) -> None:
    assert cut("-", input="the cat\n").stdout == cut("the cat").stdout
