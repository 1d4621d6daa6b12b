"""`inspect-probs --without`: tables, JSON, CSV, pages, and what is refused."""

import csv
import io
import json
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
    result = inspect(HOSTILE, "--without", "layer 1 head 1", "--without", "position 2", COLUMNS=str(columns))
    assert result.exit_code == 0, result.stderr
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert not {"\x1b", "\u202e"} & set(result.stdout)


def test_unchanged_is_what_comes_next(inspect: Run) -> None:
    record = document(inspect("The cat", "--without", "layer 1 mlp", "--json", "--top", "300"))
    (step,) = document(inspect("The cat", "--json", "--top", "300"))["steps"]
    usual = {token["id"]: token for token in step["candidates"]}
    assert {token["id"] for token in record["candidates"]} == usual.keys()
    for token in record["candidates"]:  # computed by torch, and the other list by C, where it can
        assert token["logit"] == pytest.approx(usual[token["id"]]["logit"], abs=1e-5)
        assert token["raw_prob"] == pytest.approx(usual[token["id"]]["raw_prob"], rel=1e-5)
    assert record["entropy_bits"] == pytest.approx(step["entropy_bits"])
    assert record["parts"] == [{"kind": "mlp", "layer": 1, "head": None}]
    assert (record["ablation"], record["left_out"], record["prompt"]) == ("zero", [], "The cat")


def test_a_token_is_counted_as_by_the_other_views(inspect: Run) -> None:
    effects = document(inspect("The cat sat", "--attribution", "--track", "#7", "--json"))["effects"]
    for effect in effects:
        asked = ["--without", f"position {effect['position']}", "--track", "#7", "--top", "1", "--json"]
        record = document(inspect("The cat sat", *asked))
        assert [token["id"] for token in record["left_out"]] == [effect["id"]]
        assert record["candidates"][-1]["change_bits"] == pytest.approx(-effect["effect_bits"], abs=1e-4)


def test_parts_of_a_file_of_settings_are_the_flags(inspect: Run) -> None:
    Path("a.toml").write_text('without = ["layer 1 head 1", "position 1"]\nablation = "mean"\n')
    flags = ["--without", "layer 1 head 1", "--without", "position 1", "--ablation", "mean"]
    assert inspect("The cat", "--config", "a.toml").stdout == inspect("The cat", *flags).stdout
    assert inspect("The cat", *flags).stdout != inspect("The cat", *flags[:4]).stdout


def test_csv_has_a_row_for_each_token_and_the_others(inspect: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(inspect("The", "--without", "layer 1 mlp", "--csv", "--top", "3").stdout)))
    assert [row["id"] == "" for row in rows] == [False, False, False, True]
    for name in ("raw_prob", "changed_raw_prob"):
        assert sum(float(row[name]) for row in rows) == pytest.approx(1, abs=1e-9)


def test_a_page_holds_the_table(inspect: Run) -> None:
    result = inspect(HOSTILE, "--without", "layer 1 mlp", "--html", "a.html")
    assert result.exit_code == 0, result.stderr
    text = Path("a.html").read_text("utf-8")
    assert 'data-view="tables"' in text
    assert '<table class="listing">' in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_a_long_text_is_read_in_its_window(inspect: Run) -> None:
    result = inspect("the cat sat on a mat " * 20, "--without", "layer 1 mlp")
    assert "before the model's window are not read" in " ".join(result.stdout.split())
    assert "read in windows" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--without", "layer 1"), 'takes "layer 2 head 3", "layer 2 mlp" or "position 4", not "layer 1".'),
        (("--without", "\x1b[31m"), 'not "\\x1b[31m".'),
        (("--without", "layer 9 mlp"), '--without "layer 9 mlp": the layer must be 1, not 9.'),
        (("--without", "layer 1 head 2"), "the head must be 1, not 2."),
        (("--without", "position 900"), '--without "position 900": the text has positions 0 to '),
        (("--without", "position 1", "--ablation", "mean"), "--ablation is for heads and MLPs"),
        (("--ablation", "mean"), "--ablation goes with --without or --parts."),
        (("--without", "layer 1 mlp", "--ablation", "median"), "--ablation must be zero or mean, not median."),
        (("--without", "layer 1 mlp", "--by-layer"), "exclude each other"),
    ],
)
def test_mistakes_are_told_in_a_sentence(inspect: Run, arguments: tuple[str, ...], said: str) -> None:
    result = inspect("The cat sat", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


def test_where_no_token_would_be_left_it_says_so(inspect: Run) -> None:
    result = inspect("T", "--without", "position 0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "leaves no token to read: keep at least one token of the text." in " ".join(result.stderr.split())
