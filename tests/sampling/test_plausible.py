"""What a model says passes; numbers that no step can have do not."""

from dataclasses import replace
from typing import Any

import pytest

from minigpt.records import Misfit
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.sampling.trace import TraceStep, check_id, check_record

VOCABULARY = 320


@pytest.fixture
def record(entries: list[TraceStep | SampleEnd]) -> StepRecord:
    assert isinstance(entries[0], TraceStep)
    return entries[0].record


def test_what_a_model_says_passes(entries: list[TraceStep | SampleEnd]) -> None:
    steps = [entry.record for entry in entries if isinstance(entry, TraceStep)]
    for step in steps:
        check_record(step, VOCABULARY)
    assert len(steps) == 16


@pytest.mark.parametrize("token", [-1, VOCABULARY, 10**30])
def test_an_id_beyond_the_vocabulary(token: int) -> None:
    with pytest.raises(Misfit, match=f"there is no token {token} in a vocabulary of 320"):
        check_id(token, VOCABULARY)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"id": 400}, "there is no token 400"),
        ({"rank": 0}, "a rank is 0"),
        ({"rank": 321}, "a rank is 321"),
        ({"raw_prob": -0.1}, "a probability is -0.1"),
        ({"prob": 1.1}, "a probability is 1.1"),
        ({"after": ()}, "a candidate has 0 probabilities after"),
        ({"bytes": "6"}, 'bytes is "6", which is not hexadecimal'),
        ({"bytes": "zz"}, "not hexadecimal"),
        ({"bytes": "6161"}, "are not the same"),
    ],
)
def test_a_candidate_that_cannot_be(record: StepRecord, change: dict[str, Any], part: str) -> None:
    first = replace(record.candidates[0], **{"text": "a", "bytes": "61", **change})
    with pytest.raises(Misfit, match=part):
        check_record(replace(record, token=first, candidates=(first, *record.candidates[1:])), VOCABULARY)


def test_sums_that_cannot_be(record: StepRecord) -> None:
    assert record.other is not None
    for other in (replace(record.other, count=-1), replace(record.other, count=400), replace(record.other, prob=2.0)):
        with pytest.raises(Misfit):
            check_record(replace(record, other=other), VOCABULARY)
    for stage in (replace(record.stages[0], kept=-3), replace(record.stages[0], mass=-0.5)):
        with pytest.raises(Misfit):
            check_record(replace(record, stages=(stage, *record.stages[1:])), VOCABULARY)
    for missing in ({"other": None}, {"token": None}, {"surprisal_bits": None}):
        with pytest.raises(Misfit, match="it has no token with its numbers"):
            check_record(replace(record, **missing), VOCABULARY)
