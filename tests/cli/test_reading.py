"""How a text is read: --split-on and --encoding-errors, in every command that reads one, and in a run that goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
END = "<|endoftext|>"
SPLIT = ("--split-on", END)


@pytest.fixture
def stories(minigpt: Run) -> str:
    """A file of forty short documents; `minigpt` puts each test into its own folder."""
    Path("stories.txt").write_text(f"\n{END}\n".join(f"the cat {number} sat\nby the fox" for number in range(40)))
    return "stories.txt"


def info(run: str) -> dict[str, Any]:
    return json.loads(Path(run, "run.json").read_text("utf-8"))


def test_a_run_on_documents_and_its_numbers_in_evaluate(minigpt: Run, stories: str, tiny: list[str]) -> None:
    trained = minigpt("train", stories, *SPLIT, *tiny, "--steps", "3", "--out", "run")
    assert trained.exit_code == 0, trained.stderr
    assert "40 documents" in trained.stderr
    assert "ordinary characters" not in trained.stderr
    assert info("run")["text"]["split_on"] == END
    assert info("run")["corpus"]["documents"] == 40
    for number in range(40):
        Path(f"{number:02}.txt").write_text(f"the cat {number} sat\nby the fox")
    together = minigpt("evaluate", stories, *SPLIT, "-c", "run", "--json")
    apart = minigpt("evaluate", "[0-9][0-9].txt", "-c", "run", "--json")
    one, all_of_them = (json.loads(result.stdout.splitlines()[-1]) for result in (together, apart))
    assert one["documents"] == all_of_them["documents"] == 40
    assert (one["tokens"], one["bytes"]) == (all_of_them["tokens"], all_of_them["bytes"])
    assert one["total_nats"] == pytest.approx(all_of_them["total_nats"], rel=1e-6)


def test_a_run_on_documents_is_repeated_resumed_and_read_again(minigpt: Run, stories: str, tiny: list[str]) -> None:
    assert minigpt("train", stories, *SPLIT, *tiny, "--steps", "2", "--out", "run").exit_code == 0
    again = minigpt(*info("run")["command"][1:], "--out", "again")
    assert again.exit_code == 0, again.stderr
    assert info("again")["command"] == info("run")["command"]
    assert info("again")["saved"] == info("run")["saved"]
    assert minigpt("train", "--resume", "run", *SPLIT, "--steps", "3").exit_code == 0
    refused = minigpt("train", "--resume", "run", "--split-on", "</s>", "--steps", "4")
    assert "--split-on </s> differs from this run's <|endoftext|>." in refused.stderr
    asked = ("inspect-probs", "by the fox", "-c", "run", "--corpus", "run", "--json")
    kept = minigpt(*asked)
    assert kept.exit_code == 0, kept.stderr
    shutil.rmtree("run/resume/tokens")
    read_again = minigpt(*asked)
    assert "its text, which is unchanged, was read again" in read_again.stderr
    assert json.loads(read_again.stdout) == json.loads(kept.stdout)


def test_a_run_of_an_older_version_was_not_split(minigpt: Run, stories: str, tiny: list[str]) -> None:
    assert minigpt("train", stories, *tiny, "--steps", "2", "--out", "run").exit_code == 0
    older = info("run")
    del older["text"]["split_on"], older["text"]["encoding_errors"]
    Path("run/run.json").write_text(json.dumps(older))
    assert minigpt("train", "--resume", "run", "--encoding-errors", "strict", "--steps", "3").exit_code == 0
    refused = minigpt("train", "--resume", "run", *SPLIT, "--steps", "4")
    assert "--split-on <|endoftext|> differs from this run's None." in refused.stderr


@pytest.mark.parametrize("command", [("train", "--steps", "1", "--dry-run"), ("evaluate", "-c", "run")])
def test_a_text_full_of_ends_is_noted(minigpt: Run, stories: str, tiny: list[str], command: tuple[str, ...]) -> None:
    assert minigpt("train", stories, *SPLIT, *tiny, "--steps", "1", "--out", "run").exit_code == 0
    result = minigpt(*command, stories)
    assert result.exit_code == 0, result.stderr
    assert (
        f"note: stories.txt contains {END} 39 times, which the model reads as 13 ordinary characters. "
        f"If it separates documents, add --split-on '{END}'."
    ) in result.stderr
    assert "ordinary characters" not in minigpt(*command, stories, *SPLIT).stderr
    assert minigpt(*command, stories, "-q").stderr == ""


@pytest.mark.parametrize("separator", ["---", "-x", "--", "\n", "=", "--steps"])
def test_a_separator_may_look_like_a_flag(minigpt: Run, tiny: list[str], separator: str) -> None:
    Path("a.txt").write_text(separator.join(f"the cat {number} sat by the fox" for number in range(40)))
    result = minigpt("train", "a.txt", f"--split-on={separator}", *tiny, "--steps", "1", "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert info("run")["corpus"]["documents"] == 40
    again = minigpt(*info("run")["command"][1:], "--out", "again")
    assert again.exit_code == 0, again.stderr
    assert info("again")["corpus"]["documents"] == 40


def test_bytes_that_fail_are_left_out_and_the_run_says_so(minigpt: Run, tiny: list[str]) -> None:
    Path("a.txt").write_bytes("все счастливые семьи\n".encode() * 40 + b"\xff\n")
    refused = minigpt("train", "a.txt", *tiny, "--steps", "1", "--out", "run")
    assert refused.exit_code == 1
    assert "--encoding-errors skip leaves such bytes out, --encoding-errors replace puts U+FFFD" in refused.stderr
    assert "latin-1" not in refused.stderr
    skipped = minigpt("train", "a.txt", *tiny, "--steps", "1", "--out", "run", "--encoding-errors", "skip")
    assert skipped.exit_code == 0, skipped.stderr
    assert "note: a.txt: 1 byte that is not UTF-8 was left out." in skipped.stderr
    assert info("run")["text"]["encoding_errors"] == "skip"
    shutil.rmtree("run/resume/tokens")
    read_again = minigpt("inspect-probs", "семьи", "-c", "run", "--corpus", "run")
    assert read_again.exit_code == 0, read_again.stderr
    evaluated = minigpt("evaluate", "a.txt", "-c", "run", "--encoding-errors", "replace")
    assert "note: a.txt: 1 byte that is not UTF-8 was replaced by U+FFFD." in evaluated.stderr
    wrong = minigpt("evaluate", "a.txt", "-c", "run", "--encoding-errors", "ignore")
    assert (wrong.exit_code, "--encoding-errors must be strict, replace or skip" in wrong.stderr) == (2, True)
