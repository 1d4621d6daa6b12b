"""Pairs of a source and a target: read from files, split for training and validation, and found again among ids.

In a corpus of pairs, and so in a stream of ids, sources and targets alternate, each a document.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from typing import Any, ClassVar
from zlib import crc32

import numpy as np

from minigpt.errors import CorpusError
from minigpt.settings import TextFormat
from minigpt.text.blocks import Block
from minigpt.text.compression import decompress
from minigpt.text.corpus import Corpus, Split, corpus_of, read_corpus
from minigpt.text.decoding import decode
from minigpt.text.findings import Findings
from minigpt.text.formats import JSON, JSON_LINES, PARQUET, clean, parquet_rows, suffix_of
from minigpt.text.json_texts import array_items, json_lines, no_field, split_lines, text_of, where, whole_characters
from minigpt.text.shards import Ids, TokenData
from minigpt.text.sources import File
from minigpt.text.translations import translations

CSV = ".csv"
_SOME = 20_000  # targets, to know how often each token occurs
BUILTIN = "English phrases with their French"
_SCALE = 1 << 32  # of a checksum
_MOST_LABELS, _FEWEST_PAIRS = 32, 10  # distinct targets, and pairs for each of them, where targets are labels
_FIELDS = ("source_field", "target_field")  # the settings that name them
_USUAL = TextFormat.source_field, TextFormat.target_field
_LONGEST_FIELD = 1 << 20  # characters of a field in .csv

Pair = tuple[str | None, str | None]


# --- reading


def read_pairs(specs: Sequence[str], how: TextFormat, **options: Any) -> Corpus:
    """Like `read_corpus`, with pairs for documents; by default those of `translations`."""
    if specs:
        corpus = read_corpus(specs, how, reader=pair_blocks, **options)
        return replace(corpus, separator_note="")  # documents are pairs already
    texts = [text for pair in translations() for text in (pair.source, pair.target)]
    return corpus_of("translations", texts, BUILTIN, "\n".join(texts).encode())


def pair_blocks(file: File, stored: Iterable[bytes], how: TextFormat, found: Findings) -> Iterator[Block]:
    """Source and target in turn, without white space around them; pairs with an empty side are dropped and counted.

    Raises CorpusError for a row that does not have two columns, or not the two fields.
    """
    for pair in _rows(file, decompress(stored, file.path, file.name, found), how, found):
        source, target = (clean(text or "").strip() for text in pair)
        if source and target:
            yield Block(source, begins=True)
            yield Block(target, begins=True)
        else:
            found.empty_sides += 1


def _rows(file: File, chunks: Iterable[bytes], how: TextFormat, found: Findings) -> Iterator[Pair]:
    fields, suffix = (how.source_field, how.target_field), suffix_of(file)
    if suffix == PARQUET:
        for row in parquet_rows(chunks, file, _FIELDS, how, found):
            yield row[0], row[1]
        return
    decoded = decode(chunks, file, how, found)
    if suffix == CSV:
        yield from _csv_rows(decoded, file.name, fields)
    elif suffix in JSON_LINES:
        yield from _of_objects(json_lines(decoded, file.name), fields)
    elif suffix == JSON:
        items = enumerate(array_items(_array(decoded, file.name), file.name), start=1)
        yield from _of_objects(((where(file.name, number), item) for number, item in items), fields)
    else:
        yield from _columns(decoded, file.name, fields)


def _columns(chunks: Iterable[str], name: str, fields: tuple[str, str]) -> Iterator[Pair]:
    """Columns with a tab between them: the two `fields` if the first line names both, else source and target.

    Other fields than the usual ones must be named there. Blank lines are skipped.
    """
    at, width, expected = [0, 1], 2, "a pair has two: source, a tab, target"
    for number, line in enumerate(split_lines(chunks, name), start=1):
        columns = line.split("\t")
        if number == 1 and (fields != _USUAL or {*fields} <= {*map(str.strip, columns)}):
            at, width = [_column(columns, field, name) for field in fields], len(columns)
            expected = f"the first line has {width}"
        elif line.strip():
            if len(columns) != width:
                has = "one column" if len(columns) == 1 else f"{len(columns)} columns"
                raise CorpusError(f"{name} line {number:,} has {has}, and {expected}.\nCorrect or remove such lines.")
            yield columns[at[0]], columns[at[1]]


def _csv_rows(chunks: Iterable[str], name: str, fields: tuple[str, str]) -> Iterator[Pair]:
    """The two fields of a table whose first row names its columns."""
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(line + "\n" for line in split_lines(chunks, name))
    try:
        header = next(rows, [])
        at = [_column(header, field, name) for field in fields]
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                columns = f"{len(row)} column{'s' if len(row) > 1 else ''}"
                raise CorpusError(
                    f"{name} line {rows.line_num:,} has {columns}, and the first line has {len(header)}.\n"
                    'A comma inside a field needs quotes: "red, green".'
                )
            yield row[at[0]], row[at[1]]
    except csv.Error as error:
        raise CorpusError(f"{name} line {rows.line_num:,} is not valid CSV: {error}.") from error


def _column(header: list[str], field: str, name: str) -> int:
    names = [each.strip() for each in header]
    if field in names:
        return names.index(field)
    raise no_field(f'{name} has no column "{field}" in its first line', "columns", names, [], "source_field")


def _array(chunks: Iterable[str], name: str) -> Iterator[str]:
    parts = iter(chunks)
    first = next(parts, "")
    if not first.lstrip().startswith("["):
        raise CorpusError(f"{name} is not a JSON array of objects.\nGive one, or lines of JSON as .jsonl.")
    return chain((first,), parts)


def _of_objects(items: Iterable[tuple[str, Any]], fields: tuple[str, str]) -> Iterator[Pair]:
    """The two fields of each object, which come with the places where they are."""
    advice = f'Each must be an object, such as {{"{fields[0]}": "a cat", "{fields[1]}": "un chat"}}'
    for place, item in items:
        texts = [text_of(item, place, field, advice, setting) for field, setting in zip(fields, _FIELDS, strict=True)]
        source, target = (whole_characters(text, place) for text in texts)
        yield source, target


def pairs_of(blocks: Iterable[Block]) -> Iterator[tuple[str, str]]:
    """The texts of a corpus of pairs."""
    texts = (block.text for block in blocks)
    return zip(texts, texts, strict=True)


# --- training and validation


class PairSplit(Split):
    """Like Split, for a corpus of pairs: a `fraction` of the sources, with all their targets, is held out.

    A source is chosen by its checksum, so the validation pairs are spread over the corpus, and none of their sources
    is trained on. `part` of the pairs are used.
    """

    pairs: ClassVar[bool] = True

    @property
    def train_characters(self) -> int:
        return self._train_size[0]

    @property
    def train_bytes(self) -> int:
        return self._train_size[1]

    def train(self) -> Iterator[Block]:
        return self._chosen(self.corpus, None if self.held_out else partial(_is_trained, self.fraction))

    def validation(self) -> Iterator[Block]:
        if self.held_out is not None:
            return self._chosen(self.held_out, None)
        return self._chosen(self.corpus, lambda source: not _is_trained(self.fraction, source))

    def sample(self, characters: int) -> Iterator[Block]:
        for block in self.train():
            if characters <= 0:
                return
            yield block
            characters -= len(block.text)

    def _chosen(self, corpus: Corpus, keeps: Callable[[str], bool] | None) -> Iterator[Block]:
        for source, target in pairs_of(corpus.blocks()):
            is_used = self.part == 1 or crc32(f"part {source}".encode()) < self.part * _SCALE
            if is_used and (keeps is None or keeps(source)):
                yield Block(source, begins=True)
                yield Block(target, begins=True)


def _is_trained(fraction: float, source: str) -> bool:
    return crc32(source.encode()) >= fraction * _SCALE


# --- ids


@dataclass(frozen=True)
class PairIds:
    """The pairs among ids that alternate between source and target, with `end` after each but the last target.

    Source number i is ids[starts[i] : middles[i]], and its target ids[middles[i] : stops[i]], each with its `end`.
    `too_long` pairs were left out.
    """

    ids: Ids
    end: int
    starts: np.ndarray
    middles: np.ndarray
    stops: np.ndarray
    too_long: int = 0

    @classmethod
    def of(cls, ids: Ids, end: int) -> "PairIds":
        """All pairs."""
        ends = np.flatnonzero(np.concatenate([ids[:], [end]]) == end) + 1 if len(ids) else np.zeros(0, np.int64)
        begins = np.concatenate([[0], ends])[: len(ends)]
        return cls(ids, end, begins[::2], ends[::2], ends[1::2])

    def within(self, context: int) -> "PairIds":
        """Those of which neither side has more than `context` tokens, its end included."""
        fits = self.longest <= context
        starts, middles, stops = self.starts[fits], self.middles[fits], self.stops[fits]
        return PairIds(self.ids, self.end, starts, middles, stops, self.too_long + int((~fits).sum()))

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def longest(self) -> np.ndarray:
        """[N] tokens of the longer side of each pair."""
        longest: np.ndarray = np.maximum(self.middles - self.starts, self.stops - self.middles)
        return longest

    @property
    def sizes(self) -> np.ndarray:
        """[N] tokens of each pair."""
        sizes: np.ndarray = self.stops - self.starts
        return sizes

    def source(self, number: int) -> np.ndarray:
        """The ids of a source, its end included, int64."""
        return self._between(self.starts[number], self.middles[number])

    def target(self, number: int) -> np.ndarray:
        """The ids of a target, its end included, int64."""
        return np.append(self._between(self.middles[number], self.stops[number] - 1), self.end)

    def some_targets(self) -> np.ndarray:
        """The ids of the targets one after the other, each with its end; of many, about _SOME of them."""
        step = max(1, len(self) // _SOME)
        return np.concatenate([self.target(number) for number in range(0, len(self), step)])

    def _between(self, start: np.integer, stop: np.integer) -> np.ndarray:
        ids: np.ndarray = self.ids[int(start) : int(stop)]
        return ids.astype(np.int64)


def pairs_within(end: int | None, context: int, data: TokenData) -> tuple[PairIds, PairIds]:
    """The pairs for training and for validation that fit a context."""
    assert end is not None
    return PairIds.of(data.train, end).within(context), PairIds.of(data.validation, end).within(context)


def labels_of(pairs: PairIds) -> list[tuple[int, ...]] | None:
    """The distinct targets, without their ends, where they are labels: 2 to 32 of them, with ten pairs each or more.

    None for other pairs, such as translations.
    """
    found = set[tuple[int, ...]]()
    for number in range(len(pairs)):
        found.add(tuple(pairs.target(number)[:-1].tolist()))
        if len(found) > _MOST_LABELS:
            return None
    return list(found) if 2 <= len(found) <= len(pairs) / _FEWEST_PAIRS else None
