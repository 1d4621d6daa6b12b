"""JSON says what it is about: what was asked, of which weights, by which version; CSV has the same numbers."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.records import RunSummary
from minigpt.cli import app
from minigpt.render.machine import GRID_COLUMNS
from minigpt.sampling.records import FileScore
from minigpt.views.attention import HeadSummary

Run = Callable[..., Any]
COMMANDS: dict[str, Any] = {name: app.whole_command(name) for name in app.COMMANDS}
TEXT = "the cat sat on the mat"

# Those that look at a text. Each gives one document.
VIEWS = [
    ("inspect-probs",),
    ("inspect-probs", "--all"),
    ("inspect-probs", "--choices", " a, and"),
    ("inspect-probs", "--boundary"),
    ("inspect-probs", "--by-layer"),
    ("inspect-probs", "--attribution"),
    ("inspect-probs", "--without", "layer 1 mlp"),
    ("inspect-probs", "--parts"),
    ("inspect-probs", "--tokens"),
    ("inspect-probs", "--history", "RUN"),
    ("inspect-probs", "--history", "RUN", "--by-layer"),
    ("inspect-probs", "--against", "RUN"),
    ("inspect-probs", "--against", "RUN", "--all"),
    ("inspect-probs", "--corpus", "NOTES"),
    ("inspect-attention",),
    ("inspect-attention", "--layer", "1"),
    ("inspect-attention", "--with", "a cat"),
]


@pytest.fixture
def checkpoint(trained: Path) -> dict[str, str]:
    weights = (trained / "model.safetensors").read_bytes()
    return {"path": str(trained), "sha256": hashlib.sha256(weights).hexdigest()}


def ran(minigpt: Run, trained: Path, *words: str) -> str:
    places = {"RUN": str(trained), "NOTES": str(trained.parent / "notes.txt")}
    result = minigpt(*(places.get(word, word) for word in words), "--quiet")
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
def test_a_view_says_which_text_it_is_of_and_which_weights(
    minigpt: Run, trained: Path, checkpoint: dict[str, str], view: tuple[str, ...]
) -> None:
    command, *flags = view
    found = json.loads(ran(minigpt, trained, command, TEXT, *flags, "-c", "RUN", "--json"))
    assert (found["prompt"], found["checkpoint"], found["version"]) == (TEXT, checkpoint, version("minigpt"))
    assert found.get("against", checkpoint) == checkpoint
    assert ("against" in found) == ("--against" in flags)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("sample", TEXT, "-n", "2", "-c", "RUN"), 3),
        (("evaluate", "NOTES", "-c", "RUN"), 2),
        (("inspect-embeddings", " the", "-c", "RUN"), 1),
        (("export", "RUN", "out"), 1),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_the_last_line_of_others_says_it(
    minigpt: Run, trained: Path, checkpoint: dict[str, str], words: tuple[str, ...], lines: int
) -> None:
    found = [json.loads(line) for line in ran(minigpt, trained, *words, "--json").splitlines()]
    assert len(found) == lines
    assert (found[-1]["checkpoint"], found[-1]["version"]) == (checkpoint, version("minigpt"))
    assert all("checkpoint" not in line for line in found[:-1])


def test_a_replay_says_it(minigpt: Run, trained: Path, checkpoint: dict[str, str]) -> None:
    ran(minigpt, trained, "sample", TEXT, "-n", "2", "-c", "RUN", "--trace", "a.jsonl")
    found = json.loads(ran(minigpt, trained, "sample", "--replay", "a.jsonl", "--json"))
    assert (found["prompt"], found["checkpoint"], found["version"]) == (TEXT, checkpoint, version("minigpt"))


def test_curves_say_whose_they_are(minigpt: Run, trained: Path) -> None:
    assert json.loads(ran(minigpt, trained, "plot", "RUN", "--json"))["path"] == str(trained)


def test_weights_in_several_files_have_the_hash_of_their_hashes(tmp_path: Path) -> None:
    from minigpt.checkpoint.files import sha256_of

    hashes = []
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        hashes.append(hashlib.sha256(name.encode()).hexdigest())
    assert sha256_of([tmp_path / "a"]) == hashes[0]
    assert sha256_of([tmp_path / "a", tmp_path / "b"]) == hashlib.sha256("".join(hashes).encode()).hexdigest()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "explore"])
def test_help_says_whether_json_is_one_document_or_lines(name: str) -> None:
    (flag,) = [parameter for parameter in COMMANDS[name].params if "--json" in parameter.opts]
    assert re.search(r": (one document|a line a \w+)\b", flag.help)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def plain(value: Any) -> str:
    """A value of JSON as a cell."""
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("words", "kind", "rows"),
    [
        (("evaluate", "NOTES", "-c", "RUN"), FileScore, lambda out: [json.loads(out.splitlines()[0])]),
        (("evaluate", "NOTES", "NOTES2", "-c", "RUN"), FileScore, lambda out: list(map(json.loads, out.splitlines()))),
        (("inspect-attention", TEXT, "-c", "RUN"), HeadSummary, lambda out: json.loads(out)["heads"]),
        (("runs", "--dir", "runs"), RunSummary, lambda out: list(map(json.loads, out.splitlines()))),
    ],
    ids=["evaluate", "evaluate two", "inspect-attention", "runs"],
)
def test_csv_has_the_numbers_of_json(
    minigpt: Run, trained: Path, words: tuple[str, ...], kind: type[Any], rows: Callable[[str], list[dict[str, Any]]]
) -> None:
    Path("NOTES2").write_text("a cat is not a dog\n" * 9)
    Path("runs").symlink_to(trained.parent)
    expected = rows(ran(minigpt, trained, *words, "--json"))
    found = table(ran(minigpt, trained, *words, "--csv"))
    names = [field.name for field in fields(kind) if field.name != "age_seconds"]
    assert len(found) == len(expected) > 0
    assert [[row[name] for name in names] for row in found] == [[plain(e[name]) for name in names] for e in expected]


def test_a_grid_as_csv_has_a_row_for_each_token_and_each_that_it_looks_at(minigpt: Run, trained: Path) -> None:
    words = ("inspect-attention", TEXT, "-c", "RUN", "--layer", "1", "--head", "1")
    grid = json.loads(ran(minigpt, trained, *words, "--json"))
    found = table(ran(minigpt, trained, *words, "--csv"))
    count = len(grid["tokens"])
    assert tuple(found[0]) == GRID_COLUMNS
    assert len(found) == count * (count + 1) // 2
    for row in found:
        at, looked_at = int(row["position"]), int(row["at_position"])
        assert (row["layer"], row["head"], row["id"]) == ("1", "1", str(grid["tokens"][at]["id"]))
        assert row["at_bytes"] == grid["tokens"][looked_at]["bytes"]
        assert float(row["weight"]) == grid["weights"][at][looked_at]
        assert float(row["score"]) == grid["scores"][at][looked_at]


@pytest.mark.parametrize("words", [("evaluate", "NOTES"), ("inspect-attention", TEXT), ("runs",)], ids=lambda w: w[0])
def test_json_and_csv_exclude_each_other(minigpt: Run, words: tuple[str, ...]) -> None:
    result = minigpt(*words, "--json", "--csv")
    assert result.exit_code == 2
    assert "--json and --csv exclude each other" in result.stderr


def test_a_word_in_two_texts_has_no_csv(minigpt: Run, trained: Path) -> None:
    result = minigpt("inspect-attention", TEXT, "--with", "a cat", "--csv", "-c", str(trained))
    assert result.exit_code == 2
    assert "--with has no --csv; --json has its numbers." in result.stderr
