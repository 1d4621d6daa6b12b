"""Pairs: read from every kind of file, split by their sources, and found again among ids."""

import bz2
import gzip
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from minigpt.errors import CorpusError
from minigpt.settings import TextFormat
from minigpt.text.corpus import Corpus
from minigpt.text.pairs import BUILTIN, PairIds, PairSplit, pairs_of, read_pairs
from minigpt.text.translations import translations

THREE = [("a cat", "un chat"), ("a dog", "un chien"), ("the sea", "la mer")]
END = 9


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(*specs: str, **how: Any) -> list[tuple[str, str]]:
    return list(pairs_of(read_pairs(specs, TextFormat(**how)).blocks()))


def write(name: str, text: str) -> str:
    Path(name).write_bytes(text.encode())
    return name


def as_tsv(pairs: Sequence[tuple[str, str]], end: str = "\n") -> str:
    return "".join(f"{source}\t{target}{end}" for source, target in pairs)


# --- reading


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_two_columns_with_a_tab_between_them(end: str) -> None:
    assert read(write("a.tsv", as_tsv(THREE, end))) == THREE


def test_mixed_line_ends_a_byte_order_mark_blank_lines_and_no_final_line_end() -> None:
    text = "\ufeffa cat\tun chat\r\n\n  \t \r\na dog\tun chien\r\rthe sea\tla mer"
    assert read(write("a.txt", text)) == THREE


def test_white_space_around_a_side_is_no_part_of_it() -> None:
    assert read(write("a.tsv", "  a cat \t un chat  \n")) == THREE[:1]


def test_a_table_with_quotes_commas_and_line_breaks_in_fields() -> None:
    text = 'id,source,target\n1,"red, green","rouge, ""vert"""\n\n2,"two\nlines",deux lignes\n'
    assert read(write("a.csv", text)) == [("red, green", 'rouge, "vert"'), ("two\nlines", "deux lignes")]


def test_fields_are_named() -> None:
    named = {"source_field": "en", "target_field": "fr"}
    rows = [{"fr": target, "n": 1, "en": source} for source, target in THREE]
    write("a.csv", "fr,n,en\r\n" + "".join(f"{target},1,{source}\r\n" for source, target in THREE))
    write("a.jsonl", "\n".join(map(json.dumps, rows)))
    write("a.json", json.dumps(rows, indent=2))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "a.parquet")
    write("a.tsv", "fr\tn\ten\n" + "".join(f"{target}\t1\t{source}\n" for source, target in THREE))
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"):
        assert read(name, **named) == THREE, name


def test_the_first_line_of_two_columns_may_name_them_in_any_order() -> None:
    for names in ("source\ttarget\n", " source \t target \n"):
        assert read(write("a.tsv", names + as_tsv(THREE))) == THREE
    assert read(write("b.tsv", "target\tsource\n" + as_tsv([(b, a) for a, b in THREE]))) == THREE
    assert read(write("c.tsv", "source\tother\n" + as_tsv(THREE))) == [("source", "other"), *THREE]
    with pytest.raises(CorpusError, match=r'c\.tsv has no column "en" in its first line'):
        read("c.tsv", source_field="en")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "en,fr\nx,y\n",
            'a.csv has no column "source" in its first line. It has the columns "en", "fr".',
        ),
        ("a.csv", "\n", 'a.csv has no column "source" in its first line. It has no columns.'),
        ("a.csv", "source,target\na,b,c\n", "a.csv line 2 has 3 columns, and the first line has 2."),
        ("a.csv", "source,target\na\n", "a.csv line 2 has 1 column, and the first line has 2."),
        ("a.tsv", "a\tb\na cat\n", "a.tsv line 2 has one column, and a pair has two: source, a tab, target."),
        ("a.tsv", "n\tsource\ttarget\na\tb\n", "a.tsv line 2 has 2 columns, and the first line has 3."),
        ("a.tsv", "a\tb\tc\n", "a.tsv line 1 has 3 columns, and a pair has two: source, a tab, target."),
        ("a.json", '{"source": "a", "target": "b"}', "a.json is not a JSON array of objects."),
        ("a.tsv", "\n \n", "a.tsv"),
    ],
)
def test_a_row_that_is_no_pair_is_named_with_file_and_line(name: str, text: str, message: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read(write(name, text))
    assert caught.value.message.splitlines()[0].startswith(message)


def test_an_object_without_the_field_is_named_with_its_line() -> None:
    write("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "a"}\n')
    with pytest.raises(
        CorpusError,
        match=re.escape(
            'a.jsonl line 2 has no field "target". It has the fields "source".\nName the two with source_field= and '
        ),
    ):
        read("a.jsonl")
    write("b.jsonl", '["a", "b"]\n')
    with pytest.raises(CorpusError, match=re.escape("b.jsonl line 1")):
        read("b.jsonl")


def test_a_parquet_file_without_the_column_names_those_that_it_has() -> None:
    pyarrow.parquet.write_table(pyarrow.table({"source": ["a"], "fr": ["b"]}), "a.parquet")
    with pytest.raises(
        CorpusError,
        match=re.escape(
            'no column "target". It has the columns "source", "fr".\nName the two with source_field= and target_field=.'
        ),
    ):
        read("a.parquet")


def test_pairs_with_an_empty_side_are_skipped_counted_and_told() -> None:
    text = as_tsv([*THREE, ("", "rien"), ("nothing", "  ")])
    corpus = read_pairs([write("a.tsv", text)], TextFormat())
    assert list(pairs_of(corpus.blocks())) == THREE
    assert any("2 pairs have an empty side and were skipped" in note for note in corpus.notes)


def test_null_fields_are_empty_sides() -> None:
    rows = [{"source": "a", "target": None}, {"source": None, "target": "b"}, {"source": "c", "target": "d"}]
    write("a.jsonl", "\n".join(map(json.dumps, rows)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        corpus = read_pairs([name], TextFormat())
        assert list(pairs_of(corpus.blocks())) == [("c", "d")]
        assert any("2 pairs have an empty side" in note for note in corpus.notes), name


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_files_are_read_as_they_are(suffix: str, compress: Callable[[bytes], bytes]) -> None:
    Path(f"a.tsv{suffix}").write_bytes(compress(as_tsv(THREE).encode()))
    Path(f"a.csv{suffix}").write_bytes(compress(b"source,target\na cat,un chat\n"))
    assert read(f"a.tsv{suffix}") == THREE
    assert read(f"a.csv{suffix}") == THREE[:1]


def test_a_folder_and_a_glob_are_read_whole() -> None:
    Path("many").mkdir()
    for number, pair in enumerate(THREE):
        write(f"many/{number}.tsv", as_tsv([pair]))
    assert read("many") == THREE
    assert read("many/*.tsv") == THREE
    assert read("many/2.tsv", "many/0.tsv") == [THREE[2], THREE[0]]


def test_nothing_is_lost_of_many_pairs_over_several_chunks() -> None:
    pairs = [(f"source {number} {(number % 97) * chr(120)}.", f"cible {number}") for number in range(20_000)]
    pairs[7] = ("source 7", "x" * 300_000)
    write("a.tsv", as_tsv(pairs))
    write("a.jsonl", "".join(json.dumps({"source": s, "target": t}) + "\n" for s, t in pairs))
    assert read("a.tsv") == pairs
    assert read("a.jsonl") == pairs


def test_without_files_the_built_in_translations_are_read() -> None:
    corpus = read_pairs([], TextFormat())
    assert corpus.sources[0].name == BUILTIN
    assert list(pairs_of(corpus.blocks())) == [(each.source, each.target) for each in translations()]


# --- training and validation


def many() -> Corpus:
    """A thousand pairs of 500 sources, two targets each."""
    write("many.tsv", as_tsv([(f"source {number % 500}", f"target {number}") for number in range(1000)]))
    return read_pairs(["many.tsv"], TextFormat())


def sides(split: PairSplit) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return list(pairs_of(split.train())), list(pairs_of(split.validation()))


def test_a_source_is_trained_on_or_validates_and_nothing_is_lost() -> None:
    corpus = many()
    train, validation = sides(PairSplit(corpus, fraction=0.1))
    assert {source for source, _ in train}.isdisjoint(source for source, _ in validation)
    assert sorted(train + validation) == sorted(pairs_of(corpus.blocks()))
    assert (len(train), len(validation)) == (870, 130)  # by checksums, and so the same everywhere


def test_a_higher_fraction_moves_sources_to_validation_alone() -> None:
    corpus = many()
    small, large = (set(sides(PairSplit(corpus, fraction=fraction))[1]) for fraction in (0.1, 0.3))
    assert small < large


def test_without_a_fraction_all_pairs_are_trained_on() -> None:
    corpus = many()
    assert sides(PairSplit(corpus)) == (list(pairs_of(corpus.blocks())), [])


def test_a_file_that_validates_leaves_all_pairs_for_training() -> None:
    corpus, held_out = many(), read_pairs([write("val.tsv", as_tsv(THREE))], TextFormat())
    assert sides(PairSplit(corpus, held_out, 0.1)) == (list(pairs_of(corpus.blocks())), THREE)


def test_a_part_is_a_share_of_both_sides() -> None:
    corpus = many()
    whole, part = sides(PairSplit(corpus, fraction=0.2)), sides(PairSplit(corpus, fraction=0.2, part=0.5))
    for all_pairs, some in zip(whole, part, strict=True):
        assert set(some) < set(all_pairs)
    assert 0.4 < sum(map(len, part)) / 1000 < 0.6


def test_the_sizes_are_those_of_the_training_pairs() -> None:
    split = PairSplit(many(), fraction=0.1)
    texts = [text for pair in sides(split)[0] for text in pair]
    assert split.train_characters == sum(map(len, texts))
    assert split.train_bytes == sum(len(text.encode()) for text in texts)


# --- ids

IDS = np.array([1, 2, END, 3, END, 4, END, 5, 6, 7, END, 8, END, 1], np.uint16)  # the last target has no END


def test_pairs_are_found_among_ids() -> None:
    pairs = PairIds.of(IDS, END)
    assert len(pairs) == 3
    assert [pairs.source(i).tolist() for i in range(3)] == [[1, 2, END], [4, END], [8, END]]
    assert [pairs.target(i).tolist() for i in range(3)] == [[3, END], [5, 6, 7, END], [1, END]]
    assert pairs.longest.tolist() == [3, 4, 2]
    assert pairs.sizes.tolist() == [5, 6, 4]
    assert pairs.source(0).dtype == np.int64


def test_no_ids_hold_no_pairs() -> None:
    assert len(PairIds.of(IDS[:0], END)) == 0


def test_pairs_that_are_too_long_are_left_out_and_counted() -> None:
    pairs = PairIds.of(IDS, END).within(3)
    assert [pairs.target(i).tolist() for i in range(len(pairs))] == [[3, END], [1, END]]
    assert pairs.too_long == 1
    assert len(pairs.within(1)) == 0
    assert pairs.within(1).too_long == 3
