"""JSON that every reader takes, and CSV that a spreadsheet does."""

import csv
import io
import json
import math
from dataclasses import replace

from minigpt.render.machine import CSV_COLUMNS, to_json, write_csv
from minigpt.sampling.records import BareToken, StepRecord

CANDIDATE = {"id", "text", "bytes", "logit", "raw_prob", "after", "prob", "rank", "cut_by"}


def rows(*records: StepRecord) -> list[dict[str, str]]:
    file = io.StringIO()
    write_csv(records, file)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_a_record_becomes_one_line_with_the_names_of_its_fields(lecture: StepRecord) -> None:
    line = to_json(lecture)
    assert line.isascii()
    assert "\n" not in line
    values = json.loads(line)
    assert list(values) == [
        "sample", "position", "token", "candidates", "other", "entropy_bits", "surprisal_bits", "stages",
    ]  # fmt: skip
    assert all(set(c) == CANDIDATE for c in values["candidates"])
    assert set(values["other"]) == {"count", "raw_prob", "prob", "after"}
    assert values["token"] is None


def test_what_is_no_number_becomes_null(lecture: StepRecord) -> None:
    first = replace(lecture.candidates[0], logit=-math.inf, raw_prob=math.nan)
    values = json.loads(to_json(replace(lecture, entropy_bits=math.nan, candidates=(first,)), more=math.inf))
    assert values["entropy_bits"] is None
    assert values["candidates"][0]["logit"] is None
    assert values["candidates"][0]["raw_prob"] is None
    assert values["more"] is None


def test_a_token_without_context_has_the_names_but_no_numbers(lecture: StepRecord) -> None:
    token = json.loads(to_json(replace(lecture, token=BareToken(id=3, text="a", bytes="61"))))["token"]
    assert set(token) == CANDIDATE
    assert (token["id"], token["text"], token["bytes"]) == (3, "a", "61")
    assert [name for name, value in token.items() if value is not None] == ["id", "text", "bytes"]


def test_csv_has_a_row_per_candidate_and_one_for_other(lecture: StepRecord) -> None:
    found = rows(lecture)
    assert tuple(found[0]) == CSV_COLUMNS
    assert [row["text"] for row in found] == [*(c.text for c in lecture.candidates), "other"]
    assert math.isclose(sum(float(row["raw_prob"]) for row in found), 1)
    assert {row["actual"] for row in found} == {""}


def test_csv_marks_the_actual_token(lecture: StepRecord) -> None:
    found = rows(replace(lecture, token=lecture.candidates[2], surprisal_bits=4.6))
    assert [row["actual"] for row in found[:-1]] == ["0", "0", "1", "0", "0", "0", "0", "0"]
    assert {row["surprisal_bits"] for row in found} == {"4.6"}


def test_csv_survives_any_token(lecture: StepRecord) -> None:
    texts = ['"', ",", "\n", "a\r\nb", "\x1b[31m", "\x00", "=1+1", "😀", "other"]
    record = replace(
        lecture, candidates=tuple(replace(lecture.candidates[0], text=t, bytes=t.encode().hex()) for t in texts)
    )
    found = rows(record)[:-1]
    assert [bytes.fromhex(row["bytes"]).decode() for row in found] == texts
    assert found[4]["text"] == "<ESC>[31m"  # a terminal is not steered; `bytes` has the very letters
    assert found[5]["text"] == "<NUL>"
    assert all(row["id"] for row in found)


def test_csv_of_a_first_token_says_that_nothing_is_known(lecture: StepRecord) -> None:
    record = replace(
        lecture, token=BareToken(id=3, text=None, bytes="e2"), candidates=(), other=None, entropy_bits=None
    )
    (row,) = rows(record)
    assert (row["actual"], row["id"], row["text"], row["bytes"], row["raw_prob"]) == ("1", "3", "", "e2", "")
