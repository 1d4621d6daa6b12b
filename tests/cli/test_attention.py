"""`minigpt inspect-attention`: heads, grids, words in two texts; tables and JSON, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
TEXT = "The cat sat on the mat. The cat"


@pytest.fixture
def attention(minigpt: Run, trained: Path) -> Run:
    def run(*arguments: str, **options: Any) -> Any:
        return minigpt("inspect-attention", *arguments, "-c", str(trained), **options)

    return run


def test_every_head_has_a_line(attention: Run) -> None:
    result = attention(TEXT)
    assert result.exit_code == 0
    assert result.stdout.startswith(" layer head  entropy")
    assert "1 head, on average" in " ".join(result.stdout.split())
    (head,) = json.loads(attention(TEXT, "--json").stdout)["heads"]
    assert set(head) == {"layer", "head", "entropy_bits", "previous", "first", "same", "itself", "kind"}


def test_a_grid_has_a_row_for_each_token(attention: Run) -> None:
    grid = json.loads(attention(TEXT, "--layer", "1", "--head", "1", "--json").stdout)
    assert "".join(token["text"] for token in grid["tokens"]) == TEXT
    assert [len(row) for row in grid["weights"]] == list(range(1, len(grid["tokens"]) + 1))
    assert all(sum(row) == pytest.approx(1) for row in grid["weights"])
    shown = attention(TEXT, "--layer", "1").stdout
    assert "layer 1, head 1" in shown
    assert "before the softmax" in attention(TEXT, "--layer", "1", "--scores").stdout
    assert len(shown.splitlines()) >= len(grid["tokens"]) + 2


@pytest.mark.parametrize("more", [(), ("--head", "1")])
def test_a_page_begins_with_the_head_asked_for(attention: Run, more: tuple[str, ...]) -> None:
    result = attention(TEXT, "--layer", "1", *more, "--html", "page.html")
    assert result.exit_code == 0, result.stderr
    assert '"chosen":[1,1]' in Path("page.html").read_text("utf-8").replace(", ", ",").replace(": ", ":")


def test_a_page_is_said_to_show_weights_where_scores_are_asked_for(attention: Run) -> None:
    said = "the page shows the attention weights, not the scores"
    scores = attention(TEXT, "--layer", "1", "--scores", "--html", "page.html")
    assert said in " ".join(scores.stderr.split())
    assert said not in " ".join(attention(TEXT, "--layer", "1", "--html", "page.html").stderr.split())
    assert said not in " ".join(attention(TEXT, "--layer", "1", "--scores").stderr.split())


def test_a_text_may_come_from_a_file(attention: Run) -> None:
    Path("a.txt").write_text(TEXT)
    assert attention("--file", "a.txt", "--json").stdout == attention(TEXT, "--json").stdout
    assert attention(TEXT, "--file", "a.txt").exit_code == 2


def test_a_word_is_followed_in_two_texts(attention: Run) -> None:
    result = attention("The cat sat.", "--with", "a dog and the cat", "--word", "Cat")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("attends to") == 3
    shared = json.loads(attention("The cat sat.", "--with", "a dog and the cat", "--json").stdout)
    assert [shared[text]["word"] for text in ("first", "second")] == ["The", "the"]
    assert len(shared["cosines"]) == len(shared["first"]["layers"]) == 2


def test_a_long_text_is_read_in_its_last_window(attention: Run) -> None:
    result = attention(TEXT * 10)
    assert result.exit_code == 0
    assert "longer than the context" in result.stderr
    assert attention(TEXT * 10, "-q").stderr == ""


def test_a_context_of_one_token_has_nothing_to_look_at(minigpt: Run, notes: str, tiny: list[str]) -> None:
    assert minigpt("train", notes, *tiny, "--context", "1", "--steps", "1", "--out", "one", "-q").exit_code == 0
    result = minigpt("inspect-attention", TEXT, "-c", "one")
    assert result.exit_code == 1
    assert "the model's context is one token" in " ".join(result.stderr.split())
    assert "give a text" not in result.stderr
    result = minigpt("inspect-attention", TEXT, "-c", "one", "--layer", "1")
    assert result.exit_code == 0, result.stderr
    assert "its last token is shown" in " ".join(result.stderr.split())
    result = minigpt("inspect-probs", TEXT, "-c", "one")
    assert "it is read in windows of one token, as sampling reads it." in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((TEXT, "--head", "1"), "--head needs a --layer"),
        ((TEXT, "--scores"), "--scores needs a --layer"),
        ((TEXT, "--layer", "1", "--with", "a"), "exclude each other"),
        ((TEXT, "--word", "cat"), "--word goes with --with"),
        ((TEXT, "--layer", "9"), "--layer must be 1, not 9: there is one layer of attention."),
        ((TEXT, "--layer", "1", "--head", "2"), "--head must be 1, not 2: this layer has one head."),
        ((TEXT, "--layer", "1", "--head", "0"), "--head must be 1 or more, not 0"),
        (("",), "There is no text"),
        ((TEXT, "--with", ""), "--with needs a text"),
        ((TEXT, "--with", "xyz"), "share no word"),
        (("T",), "two tokens or more"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_message(attention: Run, arguments: tuple[str, ...], said: str) -> None:
    result = attention(*arguments)
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""
