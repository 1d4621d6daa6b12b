"""`minigpt inspect-embeddings`: vectors and neighbours as a view, JSON and CSV."""

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from minigpt.checkpoint.folder import load

Run = Callable[..., Any]


@pytest.fixture
def inspect(minigpt: Run, trained: Path) -> Run:
    return partial(minigpt, "inspect-embeddings", "-c", str(trained))


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_view_keeps_to_the_screen(inspect: Run, columns: int) -> None:
    result = inspect("a", "#27", "#280", "\x1b", "--top", "300", COLUMNS=str(columns))
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout


def test_json_and_csv_have_the_numbers_of_the_table(inspect: Run, trained: Path) -> None:
    table = load(trained).model.wte.weight.tolist()
    tokens = json.loads(inspect("a", "#7", "--json", "--top", "3").stdout)["tokens"]
    assert [token["vector"] for token in tokens] == [table[64], table[7]]
    assert [len(token["neighbours"]) for token in tokens] == [3, 3]
    assert tokens[0]["cosines"][1] == pytest.approx(tokens[1]["cosines"][0])
    heading, *rows = csv.reader(io.StringIO(inspect("a", "#7", "--csv").stdout))
    assert heading == ["channel", "#64 a", "#7 ("]
    assert [[float(number) for number in row[1:]] for row in rows] == [
        list(both) for both in zip(table[64], table[7], strict=True)
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ([], 2, "Give a TOKEN to look at, such as ' the' with its space, or #262."),
        (["a", "--positions"], 2, "--positions is about all of the model: leave out TOKEN."),
        (["--positions", "--top", "3"], 2, "--top does not go with --positions."),
        (["--positions", "--csv"], 2, "--positions has no --csv; --json has its numbers."),
        (["zzzz"], 2, '"zzzz" is 4 tokens of this vocabulary: "z" + "z" + "z" + "z"'),
        (["#300"], 2, "from 0 to 299"),
        ([""], 2, "not an empty text"),
        (["\udcff"], 2, "the text on the command line is not UTF-8"),
        (["a", "--json", "--csv"], 2, "--json and --csv exclude each other"),
        (["a", "--top", "-1"], 2, "--top"),
        (["a", "-c", "nowhere"], 1, "nowhere"),
    ],
)
def test_a_bad_argument(inspect: Run, arguments: list[str], code: int, part: str) -> None:
    result = inspect(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert part in " ".join(result.stderr.replace("│", " ").split())


def test_a_missing_space_is_suggested(inspect: Run, trained: Path) -> None:
    tokenizer = load(trained).tokenizer
    words = [tokenizer.token_bytes(token).decode("utf-8", "replace") for token in range(256, 299)]
    word = next(w for w in words if w.startswith(" ") and w.isascii() and len(tokenizer.encode(w[1:])) > 1)
    assert inspect(word).exit_code == 0
    refused = inspect(word[1:])
    assert refused.exit_code == 2
    assert f'"{word}", with a space before it, is one.' in refused.stderr


@pytest.mark.parametrize("columns", [40, 80, 160])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_positions_are_a_picture_on_any_screen(inspect: Run, columns: int, encoding: str) -> None:
    result = inspect("--positions", COLUMNS=str(columns), PYTHONIOENCODING=encoding)
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert "this model's are learned" in " ".join(result.stdout.split())


def test_json_has_every_number_of_the_positions(inspect: Run, trained: Path) -> None:
    model = load(trained).model
    document = json.loads(inspect("--positions", "--json").stdout)
    assert document["kind"] == "learned"
    assert "prompt" not in document
    assert [record["position"] for record in document["positions"]] == list(range(model.config.context))
    assert [record["vector"] for record in document["positions"]] == model.wpe.weight.tolist()  # type: ignore[union-attr, operator]


def test_a_page_shows_the_positions(inspect: Run) -> None:
    result = inspect("--positions", "--html", "page.html")
    assert result.exit_code == 0, result.stderr
    page = Path("page.html").read_text("utf-8")
    assert page.count("<canvas") == 4
    assert "<title>minigpt: The positions, learned and sinusoidal</title>" in page
