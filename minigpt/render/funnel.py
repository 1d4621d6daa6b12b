"""A table of one sampling step: its candidates and their probabilities after each stage."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.text import Text

from minigpt.render.columns import (
    PERCENT,
    RANK,
    Columns,
    adds_up,
    counted,
    entropy,
    foot,
    heading,
    other_row,
    raw_shown,
    row,
)
from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, percent, token_label
from minigpt.sampling.records import Candidate, Other, Stage, StepRecord
from minigpt.settings import FILTERS

_SHORTEST_TOKEN = 8
_GAP = 2  # cells before a column
_LEAST_DRAWN = len("cut by min-p") + _GAP


def step_table(record: StepRecord, screen: Screen, *, sums: bool = True) -> Text:
    """One sampling step: the candidates, with a column for each stage, and what is left after it.

    A narrow screen shows the first and the last column, and describes the rest in words. Without `sums`, the last
    caption is omitted.
    """
    symbols = screen.symbols
    funnel = _funnel(record, symbols)
    numbers = next((some for some in (funnel, funnel[1:]) if _have_room(some, screen)), None)
    whole = numbers is not None
    numbers = numbers or _both_ends(record)
    labels = [token_label(candidate, symbols) for candidate in record.candidates]
    columns = Columns.fitting(labels, screen, _cells(numbers))
    lines = [heading(columns, *((column.name, column.cells) for column in numbers), bar="bar: raw")]
    for candidate, label in zip(record.candidates, labels, strict=True):
        style = "dim" if candidate.cut_by else ""
        line = row(record, candidate, label, columns, symbols)
        lines.append(line.append("".join(column.of(candidate).rjust(column.cells) for column in numbers), style))
    lines += other_row(record, columns, symbols, "".join(column.other.rjust(column.cells) for column in numbers))
    if whole and record.stages:
        lines.append(foot("tokens left", columns, symbols, "".join(c.kept.rjust(c.cells) for c in numbers)))
        lines.append(foot("raw mass left", columns, symbols, "".join(c.mass.rjust(c.cells) for c in numbers)))
    else:
        lines.append(screen.caption(_stages(record.stages, symbols)))
    raw, prob = (record.other.raw_prob, record.other.prob) if record.other else (0.0, 0.0)
    drawn = "drawn from the last column" if whole else "drawn from"
    total = screen.caption(
        adds_up("raw softmax: shown", raw_shown(record), raw),
        adds_up(f"{drawn}: shown", math.fsum(c.prob for c in record.candidates), prob) if record.stages else "",
        entropy(record),
    )
    return Text("\n").join([*lines, total] if sums else lines)


@dataclass(frozen=True)
class _Column:
    """A column of numbers: its name, its cells with a gap, and its text for a candidate, for the others, and for the
    total.
    """

    name: str
    cells: int
    of: Callable[[Candidate], str]
    other: str = ""
    kept: str = ""
    mass: str = ""


def _funnel(record: StepRecord, symbols: Symbols) -> list[_Column]:
    """The logit, the raw probability, and the probability after each stage."""
    other = record.other or Other(count=0, raw_prob=0.0, prob=0.0)
    raw = _Column(
        "raw",
        PERCENT,
        lambda c: percent(c.raw_prob),
        percent(other.raw_prob),
        f"{counted(record):,}",
        percent(raw_shown(record) + other.raw_prob),
    )
    columns = [_Column("logit", 8, lambda c: f"{c.logit:.2f}"), raw]
    gone = False
    for number, stage in enumerate(record.stages):
        after = other.after[number] if other.after else 0.0
        share = percent(after) if after else symbols.dot if gone else "all cut"
        gone = not after
        name = f"{_short(stage.name)} {_value(stage)}"
        of = partial(_after, number=number, stages=record.stages, symbols=symbols)
        kept, mass = f"{stage.kept:,}", percent(stage.mass)
        columns.append(_Column(name, max(len(name) + 2, len(kept) + 2, PERCENT), of, share, kept, mass))
    return columns


def _after(candidate: Candidate, number: int, stages: Sequence[Stage], symbols: Symbols) -> str:
    """A candidate's probability after stage `number`, up to the stage that cut it."""
    names = [stage.name for stage in stages]
    cut = names.index(candidate.cut_by) if candidate.cut_by else len(names)
    return percent(candidate.after[number]) if number < cut else "cut" if number == cut else symbols.dot


def _have_room(numbers: Sequence[_Column], screen: Screen) -> bool:
    """Whether a short token fits beside them."""
    return screen.width - RANK - _cells(numbers) >= _SHORTEST_TOKEN


def _cells(numbers: Sequence[_Column]) -> int:
    return sum(column.cells for column in numbers)


def _both_ends(record: StepRecord) -> list[_Column]:
    """The raw probability and the one that the token was drawn from, with the stage that cut the others."""
    other = record.other or Other(count=0, raw_prob=0.0, prob=0.0)
    cells = max([_LEAST_DRAWN, *(len(_drawn(candidate)) + _GAP for candidate in record.candidates)])
    return [
        _Column("raw", PERCENT, lambda c: percent(c.raw_prob), percent(other.raw_prob)),
        _Column("drawn from", cells, _drawn, percent(other.prob) if other.prob else "all cut"),
    ]


def fewer_candidates(record: StepRecord, count: int) -> StepRecord:
    """`record` with its `count` best candidates and the chosen token; the rest is added to `other`."""
    chosen = record.token.id if record.token else None
    kept = tuple(c for i, c in enumerate(record.candidates) if i < count or c.id == chosen)
    dropped = [c for c in record.candidates if c not in kept]
    other = record.other or Other(count=0, raw_prob=0.0, prob=0.0)
    other = Other(
        count=other.count + len(dropped),
        raw_prob=math.fsum([other.raw_prob, *(c.raw_prob for c in dropped)]),
        prob=math.fsum([other.prob, *(c.prob for c in dropped)]),
        after=tuple(math.fsum(shares) for shares in zip(other.after, *(c.after for c in dropped), strict=True)),
    )
    return replace(record, candidates=kept, other=other)


def _drawn(candidate: Candidate) -> str:
    return f"cut by {_short(candidate.cut_by)}" if candidate.cut_by else percent(candidate.prob)


def _short(stage: str) -> str:
    return FILTERS[stage].heading if stage in FILTERS else stage


def _value(stage: Stage) -> str:
    return FILTERS[stage.name].shown(stage.value) if stage.name in FILTERS else f"{stage.value:g}"


def _stages(stages: Sequence[Stage], symbols: Symbols) -> str:
    if not stages:
        return "drawn from the raw softmax: no temperature, nothing cut"
    return f" {symbols.arrow} ".join(map(_stage, stages))


def _stage(stage: Stage) -> str:
    cuts = stage.name in FILTERS and FILTERS[stage.name].cuts(stage.value)
    left = f": {stage.kept:,} left, {percent(stage.mass)} of the raw mass" if cuts else ""
    return f"{stage.name} {_value(stage)}{left}"
