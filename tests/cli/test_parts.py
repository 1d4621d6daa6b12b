"""`inspect-probs --parts`: tables, JSON, CSV, pages, and what is refused."""

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
HOSTILE = "The cat [bold] :smile: \x1b[31m\u202e 速い"


def document(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return json.loads(line)


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_table_keeps_to_the_screen(inspect: Run, columns: int) -> None:
    result = inspect(HOSTILE, "--parts", COLUMNS=str(columns))
    assert result.exit_code == 0, result.stderr
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert not {"\x1b", "\u202e"} & set(result.stdout)


def test_the_contributions_add_up_to_the_logit_of_the_list(inspect: Run) -> None:
    record = document(inspect("The cat", "--parts", "--json", "--top", "1"))
    (step,) = document(inspect("The cat", "--json"))["steps"]
    (token,) = step["candidates"][:1]
    rounded = ("logit", "raw_prob", "prob")  # torch computes the parts, and C the list, where it can
    assert record["token"] == {**token, **{name: pytest.approx(token[name], rel=1e-5) for name in rounded}}
    assert record["contribution_sum"] == pytest.approx(record["token"]["logit"], abs=1e-4)
    assert math.fsum(part["contribution"] for part in record["parts"]) == pytest.approx(record["contribution_sum"])
    assert [part["kind"] for part in record["parts"][2:]] == [
        "token_embedding", "position_embedding", "attention_bias", "final_norm_bias"
    ]  # fmt: skip
    assert "all parts add up to " in " ".join(inspect("The cat", "--parts").stdout.split())


@pytest.mark.parametrize("how", [(), ("--ablation", "mean")])
def test_a_change_is_what_switching_off_shows(inspect: Run, how: tuple[str, ...]) -> None:
    record = document(inspect("The cat sat", "--parts", "--track", "#7", "--json", *how))
    assert record["token"]["id"] == 7
    for part in record["parts"][:2]:
        name = "layer 1 mlp" if part["kind"] == "mlp" else f"layer {part['layer']} head {part['head']}"
        asked = ["--without", name, "--track", "#7", "--top", "1", "--json", *how]
        (*_, token) = document(inspect("The cat sat", *asked))["candidates"]
        assert part["change_bits"] == pytest.approx(token["change_bits"], abs=1e-4)


def test_csv_has_a_row_for_each_part(inspect: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(inspect("The", "--parts", "--csv").stdout)))
    assert [row["kind"] for row in rows[:2]] in (["head", "mlp"], ["mlp", "head"])
    assert [row["change_bits"] == "" for row in rows] == [False, False, True, True, True, True]


def test_a_page_holds_the_table(inspect: Run) -> None:
    result = inspect(HOSTILE, "--parts", "--html", "a.html")
    assert result.exit_code == 0, result.stderr
    text = Path("a.html").read_text("utf-8")
    assert 'data-view="tables"' in text
    assert "Each part, and what changes without it" in text
    assert "the logit" in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_a_long_text_is_read_in_its_window(inspect: Run) -> None:
    result = inspect("the cat sat on a mat " * 20, "--parts")
    assert "before the model's window are not read" in " ".join(result.stdout.split())
    assert "read in windows" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--parts", "--without", "layer 1 mlp"), "exclude each other"),
        (("--parts", "--by-layer"), "exclude each other"),
        (("--parts", "--track", "a", "--track", "b"), "--parts explains one token, not 2: give --track once."),
        (("--parts", "--track", "qqqq"), '"qqqq" is 4 tokens of this vocabulary'),
        (("--parts", "--ablation", "median"), "--ablation must be zero or mean, not median."),
        (("--ablation", "mean"), "--ablation goes with --without or --parts."),
    ],
)
def test_mistakes_are_told_in_a_sentence(inspect: Run, arguments: tuple[str, ...], said: str) -> None:
    result = inspect("The cat sat", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())
