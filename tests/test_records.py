"""Every record comes back from JSON as it went, by its annotations alone; anything else is a Misfit that says where."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

import pytest

from minigpt.errors import ConfigError
from minigpt.records import Misfit, Share, from_line, from_plain, to_plain
from minigpt.sampling.records import BareToken, Candidate, Other, SampleEnd, Stage, StepRecord
from minigpt.settings import SampleConfig

CANDIDATE = Candidate(id=7, text=" a", bytes="2061", logit=-1.5, raw_prob=0.1, after=(0.30000000000000004, 5e-324),
                      prob=5e-324, rank=3, cut_by=None)  # fmt: skip


@dataclass(frozen=True)
class Inner:
    numbers: tuple[float, ...]
    name: str | None


@dataclass(frozen=True)
class Outer:
    count: int
    inner: tuple[Inner, ...]
    flag: bool = False


@pytest.mark.parametrize(
    "record",
    [
        CANDIDATE,
        StepRecord(sample=1, position=4, token=CANDIDATE, candidates=(CANDIDATE,), entropy_bits=1 / 3,
                   other=Other(count=2, raw_prob=0.9, prob=0.0), surprisal_bits=0.1,
                   stages=(Stage(name="top-k", value=6, kept=6, mass=1.0),)),
        StepRecord(sample=0, position=0, token=BareToken(id=3, text=None, bytes="e2"), candidates=(), other=None,
                   entropy_bits=None, surprisal_bits=None, stages=()),
        SampleConfig(stop=("\n", "速"), temperature=0.1 + 0.2),
        Outer(count=-(2**63), inner=(Inner(numbers=(), name=None), Inner(numbers=(1e308, -0.0), name="é")), flag=True),
    ],
)  # fmt: skip
def test_there_and_back(record: object) -> None:
    assert from_plain(type(record), from_line(json.dumps(to_plain(record)).encode())) == record


def test_a_sample_end_comes_back_whatever_fields_it_has() -> None:
    values = {str: "a", int: 3, float: 0.1}
    end = SampleEnd(**{field.name: values[field.type] for field in fields(SampleEnd)})
    assert from_plain(SampleEnd, to_plain(end)) == end


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 1, "inner": []}, "has no flag"),
        ({"count": 1, "inner": [], "flag": True, "x": 1}, 'has an unknown name, "x"'),
        ({"count": True, "inner": [], "flag": True}, ".count is true, where a whole number must be"),
        ({"count": 1.0, "inner": [], "flag": True}, ".count is 1.0, where a whole number must be"),
        ({"count": 1, "inner": {}, "flag": True}, ".inner is an object, where a list must be"),
        ({"count": 1, "inner": [3], "flag": True}, ".inner[0] is 3, where an object must be"),
        ({"count": 1, "inner": [], "flag": 1}, ".flag is 1, where true or false must be"),
        ({"count": 1, "inner": [{"numbers": [0, "x" * 99], "name": None}], "flag": True},
         '.inner[0].numbers[1] is "' + "x" * 36 + "..., where a number must be"),
        ({"count": 1, "inner": [{"numbers": [None], "name": None}], "flag": True},
         ".inner[0].numbers[0] is null, where a number must be"),
        ({"count": 1, "inner": [{"numbers": [10**400], "name": None}], "flag": True},
         ".inner[0].numbers[0] is a number too large"),
        ({"count": 2**63, "inner": [], "flag": True}, ".count is a number too large"),
        ({"count": 1, "inner": [{"numbers": [], "name": "\ud83d"}], "flag": True},
         ".inner[0].name is a text with half a character in it"),
    ],
)  # fmt: skip
def test_a_misfit_says_where_and_what(values: object, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        from_plain(Outer, values)
    assert str(caught.value) == message


def test_what_a_record_refuses_itself_comes_as_it_raises_it() -> None:
    with pytest.raises(ConfigError, match="top_p="):
        from_plain(SampleConfig, {**to_plain(SampleConfig()), "top_p": 0})


def test_a_name_given_twice_is_refused_at_any_depth() -> None:
    with pytest.raises(Misfit, match=r'^it gives "a" twice$'):
        from_line(b'{"b": [{"a": 1, "a": 1}]}')


@dataclass(frozen=True)
class Rows:
    pairs: tuple[tuple[float, int | None], ...]
    named: Mapping[str, Share]
    on: datetime | None = None


def test_rows_names_dates_and_ranges() -> None:
    read = from_plain(Rows, {"pairs": [[1, None], [2.5, 3]], "named": {"x": 1}, "on": "2026-05-04"})
    assert read == Rows(((1.0, None), (2.5, 3)), {"x": 1.0}, datetime(2026, 5, 4, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": [[1]]}, ".pairs[0] is a list, where a list of 2 must be"),
        ({"pairs": [[1, 2], [1, 2.5]]}, ".pairs[1][1] is 2.5, where a whole number must be"),
        ({"named": {"a b": 1.5}}, '.named["a b"] is 1.5, where a number from 0 to 1 must be'),
        ({"named": []}, ".named is a list, where an object must be"),
        ({"on": "soon"}, '.on is "soon", where a date must be'),
    ],
)
def test_what_does_not_fit_in_them(change: dict[str, object], message: str) -> None:
    with pytest.raises(Misfit) as caught:
        from_plain(Rows, {"pairs": [], "named": {}, "on": None, **change})
    assert str(caught.value).endswith(message)


def test_what_is_not_read_exactly_may_lack_a_default_and_have_more_but_no_unknown_setting() -> None:
    values = {"count": 1, "inner": [{"numbers": [], "name": None, "later": 1}], "later": 1}
    assert from_plain(Outer, values, exact=False) == Outer(1, (Inner((), None),))
    with pytest.raises(Misfit, match=r"^\.inner\[0\] has no name$"):
        from_plain(Outer, {"count": 1, "inner": [{"numbers": []}]}, exact=False)
    assert from_plain(SampleConfig, {}, exact=False) == SampleConfig()
    with pytest.raises(Misfit, match=r'^has an unknown name, "later"$'):
        from_plain(SampleConfig, {"later": 1}, exact=False)


@pytest.mark.parametrize("line", [b"[]", b"3", b"null", b'"a"', b"", b"{", b"{]", b"\xff", b'{"a": -Infinity}'])
def test_a_line_that_is_no_object(line: bytes) -> None:
    with pytest.raises(Misfit, match=r"^it "):
        from_line(line)
