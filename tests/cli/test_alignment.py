"""`minigpt inspect-attention SOURCE` of models of pairs: the grid, JSON, CSV, a page, and what is refused."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

Run = Callable[..., Any]
SMALL = ["--layers", "2", "--width", "16", "--context", "24", "--batch-size", "8", "--vocab-size", "280"]
PAIRS = [
    ("the cat", "le chat"),
    ("the dog", "le chien"),
    ("the red cat", "le chat rouge"),
    ("a red dog", "un chien rouge"),
]


@pytest.fixture(scope="module")
def of_kind(minigpt: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """By kind, the command about a run of three steps on a few pairs."""
    folder, made = tmp_path_factory.mktemp("pairs"), dict[str, str]()
    (folder / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in 10 * PAIRS), "utf-8")

    def of(kind: str) -> Run:
        if kind not in made:
            made[kind] = str(folder / kind)
            flags = [*SMALL, "--heads", "2" if kind == "transformer" else "1", "--steps", "3", "--quiet"]
            result = minigpt("train", str(folder / "pairs.tsv"), "--model", kind, *flags, "--out", made[kind])
            assert result.exit_code == 0, result.output
        return lambda *arguments, **env: minigpt("inspect-attention", *arguments, "-c", made[kind], **env)

    return of


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_it_keeps_to_the_screen(of_kind: Callable[[str], Run], columns: int) -> None:
    result = of_kind("transformer")("the red \x1b[31m cat", "--target", "le chat rouge", COLUMNS=str(columns))
    assert result.exit_code == 0, result.stderr
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout
    rows = [line.split()[0] for line in result.stdout.splitlines()[1:5]]
    assert rows == ["le", "chat", "rouge", "<end>"]
    assert "the layer whose rows have the lowest entropy" in " ".join(result.stdout.split())


@pytest.mark.parametrize("kind", ["transformer", "seq2seq-attention"])
def test_json_and_csv_have_the_tokens(of_kind: Callable[[str], Run], kind: str) -> None:
    command = of_kind(kind)
    arguments = ("the red cat", "--target", "le chat rouge", "--layer", "1", "--head", "1")
    document = json.loads(command(*arguments, "--json").stdout)
    assert "".join(token["text"] for token in document["source"]) == "the red cat<|endoftext|>"
    assert "".join(token["text"] for token in document["target"]) == "le chat rouge<|endoftext|>"
    assert (document["layer"], document["head"], document["alignment_error_rate"]) == (1, 1, None)
    assert document["prompt"] == "the red cat"
    assert len(document["source_words"]) == len(document["target_words"]) == 4
    assert all(sum(row) == pytest.approx(1) for row in document["weights"])
    rows = list(csv.DictReader(io.StringIO(command(*arguments, "--csv").stdout)))
    assert [float(row["weight"]) for row in rows] == [weight for row in document["weights"] for weight in row]


def test_the_target_is_what_sampling_writes(of_kind: Callable[[str], Run], minigpt: Run) -> None:
    command = of_kind("transformer")
    document = json.loads(command("the cat", "--json").stdout)
    run = document["checkpoint"]["path"]
    written = [json.loads(line) for line in minigpt("sample", "the cat", "-c", run, "--json").stdout.splitlines()]
    assert [token["id"] for token in document["target"]] == [step["token"]["id"] for step in written if "token" in step]


def test_a_page_shows_every_head_and_begins_with_the_one_asked_for(of_kind: Callable[[str], Run]) -> None:
    result = of_kind("transformer")("the cat", "--layer", "2", "--head", "1", "--html", "page.html")
    assert result.exit_code == 0, result.stderr
    text = Path("page.html").read_text("utf-8")
    assert 'data-view="alignment"' in text
    assert '"chosen": [2, 1]' in text or '"chosen":[2,1]' in text


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("transformer", ("a", "--layer", "1", "--scores"), "--scores is for a GPT"),
        ("transformer", ("a", "--with", "a b"), "--with is not for a Transformer"),
        ("transformer", ("a", "--with", "a b", "--target", "b"), "--target does not go with --with"),
        ("transformer", ("a", "--head", "1"), "--head needs a --layer"),
        ("transformer", ("a", "--layer", "3"), "--layer must be from 1 to 2, not 3"),
        ("transformer", ("a", "--layer", "1", "--head", "3"), "--head must be from 1 to 2, not 3"),
        ("transformer", ("a", "--target", " "), "--target needs a text that is not empty"),
        ("transformer", ("a", "--target", "le " * 30), "this model reads 24 at most"),
        ("transformer", ("  ",), "no source to look at"),
        ("seq2seq-attention", ("a", "--layer", "2"), "--layer must be 1, not 2: there is one layer of attention."),
        ("seq2seq", ("a",), "hands over one vector"),
        ("seq2seq", ("a", "--layer", "1"), "hands over one vector"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    of_kind: Callable[[str], Run], kind: str, arguments: tuple[str, ...], said: str
) -> None:
    result = of_kind(kind)(*arguments, "-q")
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("more", [(), ("--layer", "1")])
def test_a_target_is_not_for_a_gpt(minigpt: Run, trained: Path, more: tuple[str, ...]) -> None:
    result = minigpt("inspect-attention", "the cat", "--target", "a", *more, "-c", str(trained))
    assert result.exit_code == 2
    assert "--target is for a model of pairs" in result.stderr
