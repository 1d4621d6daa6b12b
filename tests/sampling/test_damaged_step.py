"""The steps of a model are read; steps whose numbers contradict each other or the vocabulary are rejected."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minigpt.errors import TraceError
from minigpt.sampling.trace import read_trace

Edit = Callable[[Path, int, Callable[[dict[str, Any]], object]], None]
Reject = Callable[[Callable[[dict[str, Any]], object], str], None]


@pytest.fixture
def reject(trace_file: Path, edit: Edit) -> Iterator[Reject]:
    """Expect that a change to the first step makes the trace damaged, with this in the message."""
    whole = trace_file.read_bytes()

    def check(change: Callable[[dict[str, Any]], object], part: str) -> None:
        edit(trace_file, 1, change)
        with pytest.raises(TraceError) as caught:
            read_trace(trace_file)
        assert "is damaged, in line 2: " in str(caught.value)
        assert part in str(caught.value)
        trace_file.write_bytes(whole)

    yield check
    assert len(read_trace(trace_file).steps) == 16


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"id": -1}, "there is no token -1 in a vocabulary of 320"),
        ({"id": 320}, "there is no token 320 in a vocabulary of 320"),
        ({"id": 10**30}, "id is a number too large"),
        ({"rank": 0}, "rank is 0, where 1 or more must be"),
        ({"rank": 321}, "it counts 321 tokens in a vocabulary of 320"),
        ({"raw_prob": -0.1}, "raw_prob is -0.1, where a number from 0 to 1 must be"),
        ({"prob": 1.1}, "prob is 1.1, where a number from 0 to 1 must be"),
        ({"after": []}, "has 0 probabilities after 4 stages"),
        ({"after": [0.5, 0.5, 2.0, 0.5]}, "after[2] is 2.0, where a number from 0 to 1 must be"),
        ({"bytes": "6"}, 'bytes is "6", which is not hexadecimal'),
        ({"bytes": "zz"}, "not hexadecimal"),
        ({"bytes": "6161"}, "are not the same"),
    ],
)
def test_a_candidate_that_is_impossible(reject: Reject, change: dict[str, Any], part: str) -> None:
    def damage(step: dict[str, Any]) -> None:
        step["candidates"][0] = step["token"] = {**step["candidates"][0], "text": "a", "bytes": "61", **change}

    reject(damage, part)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"count": -1}, "other.count is -1, where 0 or more must be"),
        ({"count": 400}, "it counts 400 tokens"),
        ({"prob": 2.0}, "other.prob is 2.0"),
        ({"raw_prob": -1e-3}, "other.raw_prob is -0.001"),
        ({"after": [0.5]}, "other has 1 probabilities after 4 stages"),
    ],
)
def test_a_sum_over_the_others_that_is_impossible(reject: Reject, change: dict[str, Any], part: str) -> None:
    reject(lambda step: step["other"].update(change), part)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"kept": -3}, "stages[0].kept is -3"),
        ({"kept": 321}, "it counts 321 tokens"),
        ({"mass": -0.5}, "stages[0].mass is -0.5"),
    ],
)
def test_a_stage_that_is_impossible(reject: Reject, change: dict[str, Any], part: str) -> None:
    reject(lambda step: step["stages"][0].update(change), part)


@pytest.mark.parametrize("name", ["other", "token", "entropy_bits", "surprisal_bits"])
def test_a_step_without_its_numbers(reject: Reject, name: str) -> None:
    reject(lambda step: step.update({name: None}), "it has no token with its numbers")


@pytest.mark.parametrize("name", ["entropy_bits", "surprisal_bits"])
def test_less_than_no_bits(reject: Reject, name: str) -> None:
    reject(lambda step: step.update({name: -0.001}), f"{name} is -0.001, where a number of 0 or more must be")


def test_what_rounding_makes_is_read(trace_file: Path, edit: Edit) -> None:
    edit(trace_file, 1, lambda step: step["stages"][0].update(mass=1 + 1e-12))
    edit(trace_file, 1, lambda step: step.update(surprisal_bits=-1e-12))
    assert json.loads(trace_file.read_text().splitlines()[1])["surprisal_bits"] == -1e-12
    read_trace(trace_file)
