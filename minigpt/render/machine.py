"""Records as JSON and CSV for other programs, under their own field names; JSON has null in place of NaN."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TextIO

from minigpt.records import to_plain
from minigpt.render.style import safe_text
from minigpt.sampling.records import StepRecord
from minigpt.text.records import Token
from minigpt.views.alignment import AlignmentGrid
from minigpt.views.attention import AttentionGrid


def to_json(record: Any, **more: Any) -> str:
    """One line of JSON, in ASCII, so that no character can control a terminal and any encoding can carry it."""
    return json.dumps({**to_plain(record), **to_plain(more)}, allow_nan=False)


def write_steps(records: Iterable[Any], totals: Callable[[], dict[str, Any]], file: TextIO, *, name: str) -> None:
    """Write one JSON document: the records under `name` as they arrive, then the totals, computed after the last."""
    file.write(f'{{"{name}": [')
    for i, record in enumerate(records):
        file.write((", " if i else "") + to_json(record))
    file.write(
        "]" + "".join(f", {json.dumps(name)}: {json.dumps(to_plain(v))}" for name, v in totals().items()) + "}\n"
    )


CSV_COLUMNS = (
    "position",
    "actual",  # 1 for the token that stands in the text, 0 for another that could; empty where nothing is known
    *("rank", "id", "text", "bytes", "logit", "raw_prob"),
    *("entropy_bits", "surprisal_bits"),
)


def write_csv(records: Iterable[StepRecord], file: TextIO) -> None:
    """A header, then a row per candidate; `other` has a row without id. Control characters in `text` have visible
    names.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for record in records:
        writer.writerows(_csv_rows(record))


def _csv_rows(record: StepRecord) -> Iterator[list[Any]]:
    tail = [record.entropy_bits, record.surprisal_bits]
    if record.token is not None and record.chosen is None:
        yield [record.position, 1, None, record.token.id, _text(record.token), record.token.bytes, None, None, *tail]
    for c in record.candidates:
        actual = None if record.token is None else int(c.id == record.token.id)
        yield [record.position, actual, c.rank, c.id, _text(c), c.bytes, c.logit, c.raw_prob, *tail]
    if record.other is not None and record.other.count:
        yield [record.position, None, None, None, "other", None, None, record.other.raw_prob, *tail]


def _text(token: Token) -> str | None:
    return None if token.text is None else safe_text(token.text)


def write_rows(kind: type[Any], records: Iterable[Any], file: TextIO, *, without: Sequence[str] = ()) -> None:
    """A header with the fields of `kind`, `without` some, then a row per record.

    None is an empty cell, True is 1 and False 0; of a field with several values, only their number is written.
    """
    names = [field.name for field in fields(kind) if field.name not in without]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(getattr(record, name)) for name in names] for record in records)


GRID_COLUMNS = (
    *("layer", "head"),  # no head for the mean of the layer's
    *("position", "id", "text", "bytes"),  # of the token that looks
    *("at_position", "at_id", "at_text", "at_bytes"),  # of the one that it attends to
    *("weight", "score"),
)


def write_grid(grid: AttentionGrid, file: TextIO) -> None:
    """A header, then a row for each pair of a token and one that it attends to."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(GRID_COLUMNS)
    tokens = _numbered(grid.tokens)
    for token, weights, scores in zip(tokens, grid.weights, grid.scores, strict=True):
        for looked_at, weight, score in zip(tokens, weights, scores, strict=False):
            writer.writerow([grid.layer, grid.head, *token, *looked_at, weight, score])


def write_alignment(grid: AlignmentGrid, file: TextIO) -> None:
    """Like `write_grid`, without scores: a row for each pair of a token of the target and one of the source."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(GRID_COLUMNS[:-1])
    for token, weights in zip(_numbered(grid.target), grid.weights, strict=True):
        for looked_at, weight in zip(_numbered(grid.source), weights, strict=True):
            writer.writerow([grid.layer, grid.head, *token, *looked_at, weight])


def _numbered(tokens: Sequence[Token]) -> list[tuple[Any, ...]]:
    return [(position, token.id, _text(token), token.bytes) for position, token in enumerate(tokens)]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, tuple):
        return len(value)
    return int(value) if isinstance(value, bool) else value
