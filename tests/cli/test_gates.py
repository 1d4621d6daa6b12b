"""`minigpt inspect-probs TEXT --gates`: the inside of an LSTM or an RNN on any screen, as JSON and as a page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

Run = Callable[..., Any]
SMALL = ["--layers", "2", "--width", "16", "--context", "32", "--batch-size", "4", "--vocab-size", "300"]


@pytest.fixture(scope="module", params=["lstm", "rnn"])
def recurrent(request: pytest.FixtureRequest, minigpt: Run, trained: Path, tmp_path_factory: Any) -> tuple[str, str]:
    """The kind of a model and the folder of its run of three steps."""
    out = tmp_path_factory.mktemp("recurrent") / "run"
    text = str(trained.parent / "notes.txt")
    result = minigpt("train", text, "--model", request.param, *SMALL, "--steps", "3", "--quiet", "--out", str(out))
    assert result.exit_code == 0, result.output
    return request.param, str(out)


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_it_keeps_to_the_screen(minigpt: Run, recurrent: tuple[str, str], columns: int) -> None:
    kind, run = recurrent
    result = minigpt("inspect-probs", "The cat \x1b[31m sat", "--gates", "-c", run, COLUMNS=str(columns))
    assert result.exit_code == 0, result.stderr
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout
    assert result.stdout.count(" unit ") == 5
    assert ("forget" in result.stdout) == (kind == "lstm")


def test_json_has_a_record_for_each_token(minigpt: Run, recurrent: tuple[str, str]) -> None:
    kind, run = recurrent
    arguments = ("--gates", "--layer", "1", "--unit", "3", "--unit", "16", "--unit", "3", "--json")
    document = json.loads(minigpt("inspect-probs", "The cat sat", *arguments, "-c", run).stdout)
    assert (document["layer"], document["layers"], document["width"]) == (1, 2, 16)
    assert document["prompt"] == "The cat sat"
    assert "".join(token["text"] for token in document["tokens"]) == "The cat sat"
    for token in document["tokens"]:
        assert [unit["unit"] for unit in token["units"]] == [3, 16]
        assert (token["forget"] is None) == (kind == "rnn")


def test_a_text_beyond_the_context_is_one_stream(minigpt: Run, recurrent: tuple[str, str]) -> None:
    _, run = recurrent
    result = minigpt("inspect-probs", "The cat sat. " * 120, "--gates", "--json", "-c", run)
    assert "windows" not in result.stderr
    assert len(json.loads(result.stdout)["tokens"]) > 600


def test_a_page_shows_it(minigpt: Run, recurrent: tuple[str, str]) -> None:
    _, run = recurrent
    result = minigpt("inspect-probs", "The cat sat", "--gates", "--html", "page.html", "-c", run)
    assert result.exit_code == 0, result.stderr
    assert 'data-view="gates"' in Path("page.html").read_text("utf-8")
    long = minigpt("inspect-probs", "a b " * 3000, "--gates", "--html", "long.html", "-c", run)
    assert long.exit_code == 2
    assert "a page shows the gates at 5,000 tokens at most, and this text has" in " ".join(long.stderr.split())
    assert not Path("long.html").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--gates", "--layer", "3"], "--layer must be from 1 to 2, not 3."),
        (["--gates", "--unit", "17"], "--unit must be from 1 to 16, not 17."),
        (["--gates", "--unit", "0"], "--unit must be from 1 to 16, not 0."),
        (["--unit", "1"], "--unit goes with --gates."),
        (["--layer", "1"], "--layer goes with --gates."),
        (["--gates", "--csv"], "--gates has no --csv; --json has its numbers."),
        (["--gates", "--all"], "exclude each other"),
    ],
)
def test_a_bad_argument(minigpt: Run, recurrent: tuple[str, str], arguments: list[str], part: str) -> None:
    result = minigpt("inspect-probs", "The cat", *arguments, "-c", recurrent[1])
    assert (result.exit_code, result.stdout) == (2, "")
    assert part in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("arguments", [[], ["--layer", "1"], ["--with", "a cat"]])
def test_who_asks_for_attention_is_told_of_the_gates(
    minigpt: Run, recurrent: tuple[str, str], arguments: list[str]
) -> None:
    kind, run = recurrent
    result = minigpt("inspect-attention", "The cat", *arguments, "-c", run)
    assert result.exit_code == 2
    whose = "an LSTM's gates and state" if kind == "lstm" else "an RNN's state"
    assert f"minigpt inspect-probs TEXT --gates shows {whose}." in " ".join(result.stderr.split())


def test_a_gpt_is_refused(minigpt: Run, trained: Path) -> None:
    result = minigpt("inspect-probs", "The cat", "--gates", "-c", str(trained))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--gates shows the gates of an LSTM or the state of an RNN: this model is a GPT-2." in " ".join(
        result.stderr.split()
    )
