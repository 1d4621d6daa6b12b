"""`--html FILE`: the page is written beside what the command prints, or it is said why not."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def run(minigpt: Run, trained: Path) -> Run:
    def run(command: str, *arguments: str, **options: Any) -> Any:
        return minigpt(command, "-c", str(trained), *arguments, **options)

    return run


def sections(path: str = "a.html") -> list[dict[str, Any]]:
    text = Path(path).read_text("utf-8")
    return [
        json.loads(data) for data in re.findall(r'<script type="application/json" class="data">(.*?)</script>', text)
    ]


def text_of(data: dict[str, Any]) -> str:
    rows = [data["tokens"][step["token"]] for step in data["steps"] if step["token"] is not None]
    return "".join(row[-1] for row in rows)


def test_a_text_becomes_a_page_and_the_table_is_printed_as_ever(run: Run) -> None:
    plain = run("inspect-probs", "--all", "The cat sat on a mat")
    result = run("inspect-probs", "--all", "The cat sat on a mat", "--html", "a.html")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == plain.stdout
    assert "note: the page is a.html" in result.stderr
    (data,) = sections()
    assert text_of(data) == "The cat sat on a mat"
    steps = json.loads(run("inspect-probs", "--all", "The cat sat on a mat", "--json").stdout)["steps"]
    assert [step.get("surprisal") for step in data["steps"]] == [step["surprisal_bits"] for step in steps]
    assert data["before"] == ""


def test_one_distribution_has_its_text_before_it(run: Run) -> None:
    result = run("inspect-probs", "The cat", "--html", "a.html", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""
    (data,) = sections()
    assert data["before"] == "The cat"
    (step,) = data["steps"]
    assert step["token"] is None
    assert len(step["logits"]) == 50


def test_a_sample_becomes_a_page_with_its_prompt(run: Run) -> None:
    flags = ["The cat", "-n", "12", "--seed", "3", "--temperature", "0.77", "--top-k", "7"]
    result = run("sample", *flags, "--html", "a.html")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == run("sample", *flags).stdout
    (data,) = sections()
    assert text_of(data) == result.stdout.removesuffix("\n")
    assert len(data["steps"]) == data["given"] + 12
    assert 0.77 in data["temperatures"]
    assert {slider["name"]: slider["used"] for slider in data["sliders"]} == {
        "temperature": 0.77, "top-n-sigma": 0.0, "top-k": 7, "typical-p": 1.0, "top-p": 0.95, "min-p": 0.0,
    }  # fmt: skip
    lines = run("sample", *flags, "--json").stdout.splitlines()
    records = [json.loads(line) for line in lines][:-1]
    drawn = data["steps"][data["given"] :]
    assert [step["surprisal"] for step in drawn] == pytest.approx([record["surprisal_bits"] for record in records])
    kept = [[stage["kept"] for stage in step["used"]] for step in drawn]
    assert kept == [[stage["kept"] for stage in record["stages"]] for record in records]


def test_each_sample_has_a_section(run: Run) -> None:
    result = run("sample", "The", "-n", "5", "--num-samples", "3", "--html", "a.html", "--json")
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    drawn = [[r["token"]["id"] for r in records if r["sample"] == n and "token" in r] for n in range(3)]
    ids = [[data["tokens"][step["token"]][0] for step in data["steps"]] for data in sections()]
    assert [found[-5:] for found in ids] == drawn


def test_check_and_page_go_together(run: Run) -> None:
    result = run("sample", "The", "-n", "5", "--check", "--html", "a.html")
    assert result.exit_code == 0
    assert "check: 5 cached steps" in result.stderr
    assert len(sections()[0]["steps"]) > 5


def test_an_empty_prompt_begins_with_end_of_text(run: Run) -> None:
    assert run("sample", "", "-n", "3", "--ignore-end-of-text", "--html", "a.html").exit_code == 0
    (data,) = sections()
    assert data["given"] == 1
    assert len(data["steps"]) == 4


def test_a_page_is_replaced(run: Run) -> None:
    for text in ("The cat", "The dog"):
        assert run("inspect-probs", text, "--html", "a.html").exit_code == 0
    assert sections()[0]["before"] == "The dog"
    assert [path.name for path in Path().iterdir()] == ["a.html"]


def test_attention_becomes_a_page_of_all_heads(run: Run) -> None:
    result = run("inspect-attention", "The cat sat", "--layer", "1", "--head", "1", "--html", "a.html")
    assert result.exit_code == 0, result.stderr
    (data,) = sections()
    grid = json.loads(run("inspect-attention", "The cat sat", "--layer", "1", "--head", "1", "--json").stdout)
    weights = [[round(1000 * weight) for weight in row] for row in grid["weights"]]
    assert [(grid["layer"], grid["head"]) for grid in data["grids"]] == [(1, 1)]  # one head has no mean of heads
    assert data["grids"][0]["weights"] == weights


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect-probs", "The cat", "--choices", " sat, dog"],
        ["inspect-probs", "The cat", "--boundary"],
        ["inspect-probs", "The cat", "--against", "RUN/snapshots/step-000000"],
        ["inspect-probs", "The cat sat", "--all", "--against", "RUN/snapshots/step-000000"],
        ["inspect-probs", "The cat", "--corpus", "run"],
        ["inspect-probs", "The cat", "--by-layer"],
        ["inspect-probs", "The cat", "--by-layer", "--history", "RUN", "--track", "."],
        ["inspect-probs", "The cat", "--attribution"],
        ["inspect-probs", "The cat sat", "--tokens"],
        ["inspect-attention", "the cat sat", "--with", "a cat is"],
        ["inspect-embeddings", "a", "b", "c"],
    ],
    ids=lambda arguments: " ".join(arguments[2:]),
)
def test_other_views_have_tables_on_their_pages_with_the_same_words(
    run: Run, trained: Path, arguments: list[str]
) -> None:
    """What a terminal shows, up to bars, to names that it shortens, and to the numbers of channels."""
    arguments = [argument.replace("RUN", str(trained)) for argument in arguments]
    result = run(*arguments, "--html", "a.html", COLUMNS="100")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == run(*arguments, COLUMNS="100").stdout
    text = Path("a.html").read_text("utf-8")
    body = text[text.index("<main>") : text.index("</main>")]
    assert '<table class="listing">' in body
    assert "<pre" not in body
    words = unescape(re.sub(r"<[^>]*>", " ", body)).split()
    printed = [word for word in result.stdout.split() if not set(word) & set("…▏▎▍▌▋▊▉█▐▁▂▃▄▅▆▇|") and word != "▸"]
    assert len(printed) > 30
    assert [word for word in printed if word not in words] in ([], ["diverg."])


def test_a_history_becomes_a_page(minigpt: Run, trained: Path) -> None:
    flags = ["inspect-probs", "The cat", "--history", str(trained), "--top", "3"]
    result = minigpt(*flags, "--html", "a.html")
    assert result.exit_code == 0, result.stderr
    (data,) = sections()
    rows = json.loads(minigpt(*flags, "--json").stdout)["rows"]
    assert [frame["step"] for frame in data["frames"]] == [row["step"] for row in rows]
    assert [frame["shares"] for frame in data["frames"]] == [
        [token["raw_prob"] for token in row["tracked"]] for row in rows
    ]
    assert data["after"] == "The cat"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect-attention", "The cat", "--html", "a.txt"], "must end in .html"),
        (["inspect-probs", "The", "--html", "notes.txt"], "--html notes.txt must end in .html"),
        (["inspect-probs", "The", "--html", "no/a.html"], "there is no folder no"),
        (["sample", "The", "--html", "notes"], "--html notes must end in .html"),
        (["sample", "The", "--html", "a.html", "-n", "9000"], "5,000 tokens at most, not 9,0"),
        (
            ["sample", "--html", "a.html", "--repetition-penalty", "2", "--stages", "temperature,repetition-penalty"],
            "--html shows a repetition penalty only as the first of the --stages",
        ),
    ],
)
def test_what_cannot_be_a_page_is_said_before_anything_is_done(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert message in " ".join(result.stderr.split())
    assert list(Path().iterdir()) == []


def test_a_folder_in_its_place_is_an_error(run: Run) -> None:
    Path("a.html").mkdir()
    result = run("inspect-probs", "The", "--html", "a.html")
    assert result.exit_code == 1
    assert "--html a.html cannot be written: it is a folder." in result.stderr
    assert result.stdout == ""
