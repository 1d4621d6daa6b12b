"""`--corpus`: of inspect-probs, what the text says beside the model; of sample, what stands there verbatim."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

Run = Callable[..., Any]


@pytest.fixture
def sample(minigpt: Run, trained: Path) -> Run:
    return partial(minigpt, "sample", "-c", str(trained), "--seed", "3", "-n", "12")


def step(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (found,) = json.loads(result.stdout)["steps"]
    return found


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_model_beside_its_own_text(inspect: Run, trained: Path) -> None:
    result = inspect("sat on the", "--corpus", "run", "--top", "4")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.split("\n")[0].split() == ["rank", "token", "model", "corpus", "times"]
    info = json.loads((trained / "run.json").read_text())
    assert f"training text of {trained} ({info['corpus']['train_tokens']:,} tokens, validation left out)" in words(
        result.stdout
    )


def test_counts_are_those_of_the_text(inspect: Run, notes: str) -> None:
    text = Path(notes).read_text("utf-8")
    found = step(inspect("The the cat", "--corpus", notes, "--suffix", "2", "--json", "--top", "500"))
    assert found["suffix"]["text"] == " the cat"
    assert found["suffix"]["occurrences"] == text.count(" the cat")
    counts = {c["text"]: c["corpus_count"] for c in found["candidates"] if c["corpus_count"]}
    assert sum(count for token, count in counts.items() if token.startswith(" m")) == text.count(" the cat mat")
    assert sum(counts.values()) == found["suffix"]["followed"]
    assert found["corpus"]["part"] == "whole text"
    assert [s["tokens"] for s in found["suffixes"]] == sorted(s["tokens"] for s in found["suffixes"])


def test_both_columns_of_the_json_add_up(inspect: Run) -> None:
    found = step(inspect("the cat", "--corpus", "run", "--json", "--top", "3"))
    for name in ("raw_prob", "corpus_share"):
        assert sum(c[name] for c in found["candidates"]) + found["other"][name] == pytest.approx(1, abs=1e-9)


def test_the_longest_suffix_is_found(inspect: Run, notes: str) -> None:
    line = Path(notes).read_text("utf-8").splitlines()[3]
    found = step(inspect(line, "--corpus", "run", "--json"))
    assert found["suffix"]["text"].endswith(line[-20:])
    assert found["suffix"]["occurrences"] >= 1
    assert found["suffixes"][-1] == found["suffix"]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_table_keeps_to_the_screen(
    minigpt: Run, trained: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    text = "The [bold] \x1b[31m\u202e the cat"
    result = minigpt("inspect-probs", text, "-c", trained.name, "--corpus", "run", COLUMNS=str(columns))
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if cell_len(line) > columns] == []
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--all", "--corpus", "run"], "--all and --corpus exclude each other"),
        (["--csv", "--corpus", "run"], "--corpus has no --csv"),
        (["--suffix", "2"], "--suffix goes with --corpus SOURCE"),
        (["--corpus", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--corpus", "-"], "--corpus takes no standard input"),
        (["--corpus", ""], "does not exist"),
        (["--corpus", "run", "--corpus", "builtin"], "--corpus run is a run, which cannot be combined"),
    ],
)
def test_nonsense_is_one_clear_line(inspect: Run, flags: list[str], told: str) -> None:
    result = inspect("The cat", *flags)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert told in words(result.stderr)
    assert "Traceback" not in result.stderr


def test_a_checkpoint_that_is_no_run_asks_for_the_text(minigpt: Run, checkpoint_folder: Path) -> None:
    result = minigpt("inspect-probs", "The", "-c", str(checkpoint_folder), "--corpus", "run")
    assert result.exit_code == 1
    assert "Give the text: --corpus FILE" in result.stderr


def test_the_text_of_a_sample_stays_alone_in_a_pipe(sample: Run) -> None:
    plain, marked = sample("the cat"), sample("the cat", "--corpus", "run", "--verbatim", "2")
    assert marked.exit_code == 0
    assert marked.stdout == plain.stdout
    assert "of the 12 sampled tokens occur verbatim in the training text" in words(marked.stderr)
    assert "of 2 tokens or more" in words(marked.stderr)
    assert sample("the cat", "--corpus", "run", "-q").stderr == ""


def test_the_last_line_of_json_says_what_is_verbatim(sample: Run, notes: str) -> None:
    lines = [
        json.loads(line)
        for line in sample("the cat", "--corpus", notes, "--verbatim", "2", "--json").stdout.splitlines()
    ]
    assert [("verbatim" in line) for line in lines] == [False] * 12 + [True]
    end, found = lines[-1], lines[-1]["verbatim"]
    assert end["text"] == "the cat" + "".join(piece["text"] for piece in found["pieces"])
    text = Path(notes).read_text("utf-8")
    assert found["spans"]
    for span in found["spans"]:
        assert span["text"] in text
        assert span["tokens"] >= 2
        mine = [
            line["token"]["bytes"] for line in lines[:-1] if 0 <= line["position"] - span["position"] < span["tokens"]
        ]
        assert "".join(mine) == span["bytes"]


def test_every_sample_has_its_own_report(sample: Run) -> None:
    result = sample("the", "--corpus", "run", "--num-samples", "3", "--json")
    ends = [line for line in map(json.loads, result.stdout.splitlines()) if "verbatim" in line]
    assert sorted(end["verbatim"]["sample"] for end in ends) == [0, 1, 2]
    assert all("".join(p["text"] for p in end["verbatim"]["pieces"]) in end["text"] for end in ends)
    assert (
        words(sample("the", "--corpus", "run", "--num-samples", "3").stderr).count("sampled tokens occur verbatim") == 3
    )


def test_by_default_a_span_has_about_32_bytes(sample: Run, trained: Path) -> None:
    end = json.loads(sample("the", "--corpus", "run", "--json").stdout.splitlines()[-1])
    info = json.loads((trained / "run.json").read_text())
    assert end["verbatim"]["at_least"] == round(32 / info["corpus"]["bytes_per_token"])


def test_verbatim_needs_a_corpus(sample: Run) -> None:
    result = sample("the", "--verbatim", "4")
    assert result.exit_code == 2
    assert "--verbatim goes with --corpus SOURCE" in result.stderr


def test_in_a_terminal_the_text_is_shown_again_with_marks(in_terminal: Run, trained: Path) -> None:
    arguments = ["the cat", "-c", str(trained), "--seed", "3", "-n", "12", "--corpus", "run", "--verbatim", "2"]
    _, shown = in_terminal("sample", *arguments, "--table", "none")
    assert "\x1b[2;4munderlined" in shown
    assert "\x1b[4m" in shown
