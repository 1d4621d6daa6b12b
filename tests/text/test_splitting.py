"""Files that hold several documents, with a separator between them: how they are split, and what is noted."""

import gzip
import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from minigpt.errors import ConfigError
from minigpt.settings import TextFormat
from minigpt.text import sources
from minigpt.text.blocks import split_at
from minigpt.text.corpus import Corpus, read_corpus

END = "<|endoftext|>"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: str, text: str) -> str:
    Path(path).write_bytes(text.encode())
    return path


def texts(corpus: Corpus) -> list[str]:
    documents: list[str] = []
    for block in corpus.blocks():
        if block.begins:
            documents.append("")
        documents[-1] += block.text
    return documents


def split(chunks: Iterable[str], separator: str = END) -> list[str]:
    return ["".join(parts) for parts in split_at(chunks, separator)]


CASES = [
    ("one", ["one"]),
    (f"one{END}two", ["one", "two"]),
    (f"one\n{END}\ntwo\n{END}\n", ["one", "two", ""]),
    (f"{END}one\n\n{END}\n\n two {END}{END}", ["", "one\n", "\n two ", "", ""]),
    (f"one\n{END}\n{END}\n\ntwo\n", ["one", "", "\ntwo\n"]),
    (f"<|endof{END[:-1]} <|endoftext|{END}>", ["<|endof<|endoftext| <|endoftext|", ">"]),
    (END, ["", ""]),
    ("", [""]),
]


@pytest.mark.parametrize(("text", "documents"), CASES)
def test_one_line_break_on_each_side_belongs_to_the_separator(text: str, documents: list[str]) -> None:
    assert split([text]) == documents


@pytest.mark.parametrize(("text", "documents"), CASES)
def test_where_chunks_end_makes_no_difference(text: str, documents: list[str]) -> None:
    for size in range(1, len(text) + 1):
        assert split(text[start : start + size] for start in range(0, len(text), size)) == documents


@pytest.mark.parametrize(
    ("separator", "text", "documents"),
    [
        ("\n\n", "one\n\ntwo\nthree\n\n\n\nfour", ["one", "two\nthree", "four"]),
        ("\n", "one\ntwo\n", ["one", "two"]),
        ("---", "one\r\n---\r\ntwo", ["one", "two"]),
        ("\r\n\r\n", "one\r\n\r\ntwo", ["one", "two"]),
        (".*", "one.*two.three", ["one", "two.three"]),
        ("aa", "1aaaaa2", ["1", "a2"]),
        ("語", "一語二", ["一", "二"]),
        (" ", "one two", ["one", "two"]),
    ],
)
@pytest.mark.parametrize("size", [1 << 18, 1])
def test_any_text_can_separate(
    separator: str, text: str, documents: list[str], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_CHUNK", size)
    corpus = read_corpus([put("a.txt", text)], TextFormat(split_on=separator))
    assert texts(corpus) == documents
    assert corpus.documents == len(documents)


def test_a_byte_order_mark_can_separate() -> None:
    put("a.txt", "one two\ufeffthree")
    assert texts(read_corpus(["a.txt"], TextFormat(split_on="\ufeff"))) == ["one two", "three"]


def test_nothing_cannot() -> None:
    with pytest.raises(ConfigError, match="split_on= must not be empty"):
        TextFormat(split_on="")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_corpus([put("a.txt", "ab")], TextFormat(split_on="\udcff"))


def test_every_reader_splits(tmp_path: Path) -> None:
    how = TextFormat(split_on=END)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(f"one\n{END}\n \n{END}two".encode()))
    put("b.jsonl", json.dumps({"text": f"three{END}four"}) + "\n" + json.dumps({"text": "five"}))
    put("c.json", json.dumps([f"six{END}", "seven"]))
    put("d.txt", "eight")
    corpus = read_corpus(["a.txt.gz", "b.jsonl", "c.json", "d.txt"], how)
    assert texts(corpus) == ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    assert [source.documents for source in corpus.sources] == [2, 3, 2, 1]
    assert corpus.notes == ()
    assert corpus.separator_note == ""


def test_memory_stays_flat(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("w") as file:
        for _ in range(5):
            file.write("a document of many lines\n" * 250_000 + f"{END}\n" + f"a short one\n{END}\n" * 50_000)
    tracemalloc.start()
    corpus = read_corpus(["a.txt"], TextFormat(split_on=END))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.documents == 250_005
    assert corpus.characters == 5 * (25 * 250_000 - 1 + 11 * 50_000)
    assert most < 15_000_000


# --- notes


def test_a_text_full_of_ends_is_noted_unless_it_is_split() -> None:
    put("a.txt", f"one\n{END}\n" * 7)
    corpus = read_corpus(["a.txt"])
    assert texts(corpus) == [f"one\n{END}\n" * 7]
    assert corpus.separator_note == (
        "a.txt contains <|endoftext|> 7 times, which the model reads as 13 ordinary characters. "
        "If it separates documents, add \x02split_on\x1f'<|endoftext|>'\x03."
    )
    put("b.txt", "two </s>" * 3)
    assert (
        "2 files, such as a.txt, contain <|endoftext|> 9 times"
        in read_corpus(["a.txt", put("c.txt", END * 2), "b.txt"]).separator_note
    )
    assert "b.txt contains </s> 3 times, which the model reads as 4 " in read_corpus(["b.txt"]).separator_note
    assert read_corpus([put("d.txt", f"GPT-2 ends a text with {END}.")]).separator_note == ""


def test_a_separator_that_is_nowhere_is_noted() -> None:
    corpus = read_corpus([put("a.txt", "one\ntwo")], TextFormat(split_on="\\n"))
    assert corpus.notes == (
        "\x02split_on\x1f'\\n'\x03 occurs nowhere in the text. In most shells, $'\\n' is a line break.",
    )


def test_where_it_separates_matters_to_the_hash() -> None:
    put("a.txt", f"one{END}two")
    put("b.txt", "onetwo")
    whole, parts = read_corpus(["b.txt"]), read_corpus(["a.txt"], TextFormat(split_on=END))
    assert (whole.characters, whole.sha256 == parts.sha256) == (parts.characters, False)
