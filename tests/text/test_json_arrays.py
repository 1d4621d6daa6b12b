"""A .json file: an array of objects or of texts is read as documents, one at a time, and other JSON as plain text."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from minigpt.errors import CorpusError
from minigpt.settings import TextFormat
from minigpt.text import json_texts, sources
from minigpt.text.corpus import Corpus, read_corpus


@pytest.fixture(autouse=True, params=[1 << 18, 3], ids=["at once", "in chunks"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test runs in its own folder; where a chunk of a file ends must make no difference."""
    monkeypatch.setattr(sources, "_CHUNK", request.param)
    monkeypatch.chdir(tmp_path)


def put(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8", newline="")
    return path


def texts(corpus: Corpus) -> list[str]:
    documents: list[str] = []
    for block in corpus.blocks():
        if block.begins:
            documents.append("")
        documents[-1] += block.text
    return documents


def message(*paths: str, **how: str) -> str:
    with pytest.raises(CorpusError) as caught:
        read_corpus(paths, TextFormat(**how))
    told = str(caught.value)
    del caught  # whose traceback holds the file that was being read
    return told


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_each_item_is_a_document(indent: int | None, ascii_only: bool) -> None:
    wanted = ["one\ntwo", 'déjà "vu" [1, 2]', "語 \U0001f98a", "last"]
    objects = [{"id": 12, "nested": [{"text": "no"}], "text": text, "score": 1.5} for text in wanted]
    for items in (wanted, objects, [{"text": None}, *wanted, None], [*objects, {"text": " "}]):
        corpus = read_corpus([put("a.json", json.dumps(items, indent=indent, ensure_ascii=ascii_only) + "\n")])
        assert texts(corpus) == wanted
        assert corpus.sources[0].documents == 4
        size = len(Path("a.json").read_bytes())
        assert corpus.sources[0].size == size


def test_the_field_can_be_named_and_null_is_counted() -> None:
    put("a.json", json.dumps([{"story": "one"}, {"story": None}, {"story": "two"}]))
    corpus = read_corpus(["a.json"], TextFormat(field="story"))
    assert (texts(corpus), corpus.notes) == (["one", "two"], ("a.json: 1 text is null and was skipped.",))
    assert message("a.json") == 'a.json item 1 has no field "text". It has the fields "story".\nTry field=story'


def test_an_array_that_is_found_without_the_field_is_skipped() -> None:
    put("texts/a.txt", "one")
    put("texts/b.json", '[{"name": "x"}]')
    corpus = read_corpus(["texts"])
    assert (texts(corpus), corpus.skipped) == (["one"], ("texts/b.json",))


def test_an_array_under_the_name_of_lines() -> None:
    assert texts(read_corpus([put("a.jsonl", '[\n{"text": "one"},\n{"text": "two"}\n]\n')])) == ["one", "two"]


def test_lines_of_json_under_another_name() -> None:
    put("a.json", '{"text": "one", "id": 1}\n{"text": "two"}\n{"text": null}\n')
    assert texts(read_corpus(["a.json"])) == ["one", "two"]
    put("b.json", '{"text": null}\n{"text": "two or three"}\n')
    assert texts(read_corpus(["b.json"])) == ["two or three"]


@pytest.mark.parametrize(
    "other",
    ['{"name": "x",\n "list": [1]}\n', "[1, 2, 3]", '[["text"]]', '"text"', "12", "{}", "[ // no", '{"a": "b"}'],
)
def test_other_json_is_plain_text(other: str) -> None:
    corpus = read_corpus([put("a.json", other), put("b.txt", "xy")])
    assert texts(corpus) == [other, "xy"]
    assert corpus.notes == ("a.json is read as plain text: no array of objects or of texts.",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('["one", 2]', "a.json item 2 is a number, not a JSON object.\nEach item must be an object"),
        ('["one", ["two"]]', "a.json item 2 is a list, not a JSON object."),
        ('["one", "two', "a.json item 2 is not valid JSON: Unterminated string starting at."),
        ('["one"', "a.json item 1 is not valid JSON: Expecting ',' delimiter."),
        ('["one",]', "a.json item 2 is not valid JSON: "),
        ('["one" "two"]', "a.json item 1 is not valid JSON: Expecting ',' delimiter."),
        ('["one", "two"] ["three"]', "a.json goes on after the end of its array."),
        ('["one", ' + "[" * 200_000, "a.json item 2 is not valid JSON: "),
        ('["one", ' + "1" * 5_000 + "]", "a.json item 2 is not valid JSON: "),
        (r'["one", "\ud83e"]', "a.json item 2 contains \\ud83e, half of a surrogate pair."),
        ("[]", "a.json contains no text."),
        ("[null]", "a.json contains no text."),
        ('[{"text": 1}]', 'a.json item 1: field "text" is a number, not a string.'),
    ],
)
def test_what_cannot_be_read(text: str, told: str) -> None:
    assert message(put("a.json", text)).startswith(told)


def test_an_item_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_texts, "_LONGEST", 1000)
    monkeypatch.setattr(sources, "_CHUNK", 100)
    assert "item 2 is not valid JSON: Unterminated string starting at. Longer than 1,000 characters" in message(
        put("a.json", json.dumps(["one", "x" * 5000]))
    )


def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_CHUNK", 1 << 18)
    item: Any = {"text": "a line of a story\n" * 20, "id": 1}
    put("a.json", "[" + ", ".join([json.dumps(item)] * 80_000) + "]")
    tracemalloc.start()
    corpus = read_corpus(["a.json"])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (corpus.documents, corpus.characters) == (80_000, 80_000 * 360)
    assert most < 15_000_000
