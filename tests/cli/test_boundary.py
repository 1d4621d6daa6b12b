"""How a prompt ends: a note where it matters, two lists on request, and never another prompt."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from minigpt.checkpoint.folder import load
from minigpt.views.tokenization import boundary

Run = Callable[..., Any]
NOTE = "note: the prompt ends in"


@pytest.fixture
def sample(minigpt: Run, trained: Path) -> Run:
    return partial(minigpt, "sample", "-c", str(trained), "--seed", "3", "-n", "4")


@pytest.mark.parametrize("ending", ["The cat ", "a mat and th"])
def test_a_doubtful_end_is_told_of_by_both_commands(inspect: Run, sample: Run, ending: str) -> None:
    for run in (inspect, sample):
        result = run(ending)
        assert result.exit_code == 0
        assert result.stderr.count(NOTE) == 1
        assert NOTE not in result.stdout
        assert "--boundary shows both" in result.stderr
        assert NOTE not in run(ending, "-q").stderr


def test_whole_words_are_not(inspect: Run, sample: Run) -> None:
    for prompt in ("The cat", "the cat sat on a mat", "a", ""):
        assert NOTE not in sample(prompt).stderr
        assert not prompt or inspect(prompt).stderr == ""


def test_the_note_changes_neither_the_list_nor_the_text(inspect: Run, sample: Run) -> None:
    for run in (inspect, sample):
        plain = run("The cat ", "-q").stdout
        assert run("The cat ").stdout == plain
        assert "The cat " in plain
    assert sample("The cat ", "--boundary").stdout == sample("The cat ").stdout


def test_a_whole_text_that_is_scored_has_no_note(inspect: Run) -> None:
    assert inspect("The cat ", "--all").stderr == ""


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_both_lists_keep_to_the_screen(inspect: Run, columns: int) -> None:
    result = inspect("The cat [bold] :smile: \x1b[31m\u202e 速い ", "--boundary", COLUMNS=str(columns))
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "as given, after" in result.stdout
    assert "earlier, after" in result.stdout
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout


def test_sample_shows_them_on_standard_error(sample: Run) -> None:
    for flags in ([], ["-q"], ["--json"], ["--raw"]):
        result = sample("The cat ", "--boundary", *flags)
        assert result.exit_code == 0
        assert "as given, after" in result.stderr
        assert "one token earlier, after" in result.stderr
        assert "as given" not in result.stdout
        assert NOTE not in result.stderr


def test_json_has_what_the_model_says(inspect: Run, trained: Path) -> None:
    found = json.loads(inspect("The cat ", "--boundary", "--json", "--top", "4").stdout)
    assert set(found) == {"steps", "boundary", "prompt", "checkpoint", "version"}
    assert found["steps"] == json.loads(inspect("The cat ", "--json", "--top", "4").stdout)["steps"]
    loaded = load(trained)
    expected = boundary(loaded.model, loaded.tokenizer, loaded.tokenizer.encode("The cat "), top=4)
    assert expected is not None
    end = found["boundary"]
    assert (end["text"], end["bytes"], end["share"]) == (" ", "20", pytest.approx(expected.share))
    assert set(end["tokens"][0]) == {"id", "text", "bytes", "raw_prob", "nats"}
    parts = [end, *end["longer"], end["other_longer"], end["others"]]
    assert sum(part["raw_prob"] for part in parts) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("columns", [40, 80])
def test_one_token_has_only_what_comes_next(inspect: Run, sample: Run, columns: int) -> None:
    result = inspect("a", "--boundary", COLUMNS=str(columns))
    assert result.stdout == inspect("a", COLUMNS=str(columns)).stdout
    assert "fewer than two tokens" in result.stderr
    assert json.loads(inspect("a", "--boundary", "--json").stdout)["boundary"] is None
    for prompt in ("a", ""):
        assert "fewer than two tokens" in sample(prompt, "--boundary").stderr


@pytest.mark.parametrize("flags", [["--all"], ["--choices", "a,b"], ["--csv"]])
def test_what_does_not_go_together_is_refused(inspect: Run, flags: list[str]) -> None:
    result = inspect("The cat ", "--boundary", *flags)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--boundary" in result.stderr
    assert flags[0] in result.stderr


def test_a_file_of_settings_may_ask_for_it(inspect: Run, sample: Run) -> None:
    Path("s.toml").write_text("boundary = true\n")
    assert "earlier, after" in inspect("The cat ", "--config", "s.toml").stdout
    assert "earlier, after" in sample("The cat ", "--config", "s.toml").stderr
