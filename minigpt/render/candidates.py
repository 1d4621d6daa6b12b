"""Lists of candidates for one token: what may come next, alone or side by side, and the stages of a sampling step."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.face import Face, each
from minigpt.render.machine import write_csv
from minigpt.render.style import Screen, Symbols, fit_end, following, percent, quantity, token_label
from minigpt.render.table import Column, Listing, Part, Table, bar_column, token_column
from minigpt.render.text_page import text_section
from minigpt.sampling.records import Candidate, Other, Stage, StepRecord
from minigpt.settings import FILTERS
from minigpt.text.records import Token
from minigpt.views import probs

PERCENT = 9  # cells for `100.00 %` and a gap
_SHORTEST_OTHER = 13  # cells for ` other 50,257`
_NOTHING = Other(count=0, raw_prob=0.0, prob=0.0)


def candidate_columns(
    record: StepRecord, screen: Screen, *, bars: str = "", longest: float = 0.0, least: int = 5
) -> list[Column[Candidate]]:
    """Mark, rank, token and, where there is room, a bar of the raw probability, to stand before the numbers.

    `bars` is the heading of the bars, of which the `longest` stands for this share, by default the top row's. `least`:
    the cells that are kept for the token when columns are dropped.
    """

    def chosen(candidate: Candidate) -> bool:
        return record.token is not None and candidate.id == record.token.id

    def share(candidate: Candidate) -> float:
        return candidate.raw_prob / (longest or record.candidates[0].raw_prob)

    def style(candidate: Candidate) -> str:
        return "bold green" if chosen(candidate) else cut_style(candidate)

    most = max(screen.width // 4, 8) + 2
    return [
        Column("", 1, lambda c: screen.symbols.chosen if chosen(c) else " ", style="bold green"),
        Column("rank", 4, lambda c: f"{c.rank:,}" if c.rank < 10_000 else f"{c.rank}", style=cut_style),
        token_column(screen, least=least + 2, most=most, style=style),
        bar_column(screen, share, bars, hollow=lambda c: c.cut_by is not None, style=lambda c: cut_style(c) or "cyan"),
    ]


def cut_style(candidate: Candidate) -> str:
    """The style of what a stage has cut."""
    return "dim" if candidate.cut_by else ""


def other_names(count: int) -> tuple[str, ...]:
    """What the row for all tokens that are not listed is called, in full and in short; nothing if there are none."""
    return (f"other ({quantity(count, 'token')})", f"other {count:,}") if count else ()


def question(after: str, screen: Screen) -> str:
    """`next token after “...”` as a part of a caption."""
    return f"next token {following(after, screen.width - 20, screen.symbols)}".rstrip()


def counted(record: StepRecord) -> int:
    """The number of tokens listed and not listed."""
    return len(record.candidates) + (record.other.count if record.other else 0)


def explained(token: Candidate, symbols: Symbols) -> str:
    """The token that a table explains as a part of its caption."""
    label = symbols.quote(token_label(token, symbols))
    return f"explained: {label}, {percent(token.raw_prob)} (raw softmax), rank {token.rank:,}"


def entropy(record: StepRecord) -> str:
    """The entropy as a part of a caption."""
    return "" if record.entropy_bits is None else f"entropy {record.entropy_bits:.2f} bits"


def raw_shown(record: StepRecord) -> float:
    """The raw probability of all candidates listed."""
    return math.fsum(candidate.raw_prob for candidate in record.candidates)


def adds_up(name: str, shown: float, other: float) -> str:
    """`shown` is summed over the printed rows, so the total is a result rather than a promise."""
    return f"{name} {percent(shown)} + other {percent(other)} = {100 * (shown + other):.8g} %"


def next_token_table(record: StepRecord, after: str, screen: Screen) -> Iterator[Part]:
    """The candidates for the next token, down to the `other` row. `after`: the preceding text."""
    other = record.other or _NOTHING
    raw = Column[Candidate]("probability", PERCENT, lambda c: percent(c.raw_prob), feet=(percent(other.raw_prob),))
    yield Listing(
        columns=[*candidate_columns(record, screen), raw],
        rows=record.candidates,
        screen=screen,
        caption="The likeliest next tokens",
        feet=(other_names(other.count),),
    )
    yield screen.caption(question(after, screen), "raw softmax")
    yield screen.caption(
        f"vocabulary {counted(record):,}", entropy(record), adds_up("shown", raw_shown(record), other.raw_prob)
    )


# --- two distributions side by side


@dataclass(frozen=True)
class Side:
    """One of two distributions after the same text: its name, and the probability of all tokens that are not listed.

    `prefix`: how the names of its numbers begin, in the record of a token.
    """

    name: str
    prefix: str
    other: float

    def columns(self, tokens: Sequence[Token], longest: float, screen: Screen) -> Iterator[Column[Any]]:
        """A bar, whose full length is `longest`, the raw probability and, where there is room, the rank."""
        share, rank = attrgetter(f"{self.prefix}raw_prob"), attrgetter(f"{self.prefix}rank")
        heading = fit_end(self.name, min(cell_len(self.name), max(13, screen.width // 5)), screen.symbols)
        yield bar_column(screen, lambda token: share(token) / longest)
        yield Column(
            heading,
            max(PERCENT, cell_len(heading) + 2),
            lambda token: percent(share(token)),
            feet=(percent(self.other),),
            title=self.name,
        )
        yield Column("", 0, lambda token: f"#{rank(token)}", drop=1, style="dim", gap=1, title="rank")


def side_by_side(
    tokens: Sequence[Token],
    sides: tuple[Side, Side],
    others: int,
    screen: Screen,
    *,
    caption: str,
    more: Sequence[Column[Any]] = (),
) -> Listing[Any]:
    """A row for each of `tokens`, with its numbers in both distributions, then `more` columns. `others`: not listed."""
    shares = [attrgetter(f"{side.prefix}raw_prob")(token) for side in sides for token in tokens]
    widest = max((cell_len(token_label(token, screen.symbols)) for token in tokens), default=0)
    cells = max(_SHORTEST_OTHER, min(widest + 1, screen.width // 4))
    names = replace(token_column(screen, gap=1, least=_SHORTEST_OTHER), cells=cells)
    numbers = [column for side in sides for column in side.columns(tokens, max(shares, default=0.0) or 1.0, screen)]
    feet = (other_names(others),)
    return Listing(columns=[names, *numbers, *more], rows=tokens, screen=screen, caption=caption, feet=feet)


# --- one sampling step


def step_table(record: StepRecord, screen: Screen, *, sums: bool = True) -> Text:
    """One sampling step: the candidates, with a column for each stage, and what is left after it.

    A narrow screen shows the first and the last column, and describes the rest in words. Without `sums`, the last
    caption is omitted.
    """
    columns = candidate_columns(record, screen, bars="bar: raw", least=8)
    table = Table([*columns, *_stage_columns(record, screen.symbols)], screen, record.candidates)
    whole = table.fits
    if not whole:
        table = Table(
            [*candidate_columns(record, screen, bars="bar: raw"), *_both_ends(record)], screen, record.candidates
        )
    lines, other = list(table.lines(record.candidates)), record.other or _NOTHING
    if other.count:
        lines.append(table.foot(0, *other_names(other.count)))
    if whole and record.stages:
        lines += [table.foot(1, "tokens left"), table.foot(2, "raw mass left")]
    else:
        lines.append(screen.caption(_in_words(record.stages, screen.symbols)))
    if sums:
        drawn = "drawn from the last column" if whole else "drawn from"
        prob = math.fsum(candidate.prob for candidate in record.candidates)
        lines.append(
            screen.caption(
                adds_up("raw softmax: shown", raw_shown(record), other.raw_prob),
                adds_up(f"{drawn}: shown", prob, other.prob) if record.stages else "",
                entropy(record),
            )
        )
    return Text("\n").join(lines)


def _stage_columns(record: StepRecord, symbols: Symbols) -> Iterator[Column[Candidate]]:
    """The logit, the raw probability, and the probability after each stage; with all others, and what is left."""
    other = record.other or _NOTHING
    mass = percent(raw_shown(record) + other.raw_prob)
    yield Column("logit", 8, lambda c: f"{c.logit:.2f}", drop=1, style=cut_style)
    yield Column(
        "raw",
        PERCENT,
        lambda c: percent(c.raw_prob),
        style=cut_style,
        feet=(percent(other.raw_prob), f"{counted(record):,}", mass),
    )
    gone = False
    for number, stage in enumerate(record.stages):
        share = other.after[number] if other.after else 0.0
        feet = (percent(share) if share else symbols.dot if gone else "all cut", f"{stage.kept:,}", percent(stage.mass))
        gone = not share
        name = f"{_short(stage.name)} {_value(stage)}"
        after = partial(_after, number=number, stages=record.stages, symbols=symbols)
        yield Column(name, max(len(name) + 2, len(feet[1]) + 2, PERCENT), after, style=cut_style, feet=feet)


def _after(candidate: Candidate, number: int, stages: Sequence[Stage], symbols: Symbols) -> str:
    """A candidate's probability after stage `number`, up to the stage that cut it."""
    names = [stage.name for stage in stages]
    cut = names.index(candidate.cut_by) if candidate.cut_by else len(names)
    return percent(candidate.after[number]) if number < cut else "cut" if number == cut else symbols.dot


def _both_ends(record: StepRecord) -> list[Column[Candidate]]:
    """The raw probability and the one that the token was drawn from, with the stage that cut the others."""

    def drawn(candidate: Candidate) -> str:
        return f"cut by {_short(candidate.cut_by)}" if candidate.cut_by else percent(candidate.prob)

    other = record.other or _NOTHING
    raw, rest = percent(other.raw_prob), percent(other.prob) if other.prob else "all cut"
    widest = max(map(len, ["cut by min-p", *map(drawn, record.candidates)]))  # the same in most steps
    return [
        Column("raw", PERCENT, lambda c: percent(c.raw_prob), style=cut_style, feet=(raw,)),
        Column("drawn from", widest + 2, drawn, style=cut_style, feet=(rest,)),
    ]


def fewer_candidates(record: StepRecord, count: int) -> StepRecord:
    """`record` with its `count` best candidates and the chosen token; the rest is added to `other`."""
    chosen = record.token.id if record.token else None
    kept = tuple(c for i, c in enumerate(record.candidates) if i < count or c.id == chosen)
    dropped = [c for c in record.candidates if c not in kept]
    other = record.other or _NOTHING
    other = Other(
        count=other.count + len(dropped),
        raw_prob=math.fsum([other.raw_prob, *(c.raw_prob for c in dropped)]),
        prob=math.fsum([other.prob, *(c.prob for c in dropped)]),
        after=tuple(math.fsum(shares) for shares in zip(other.after, *(c.after for c in dropped), strict=True)),
    )
    return replace(record, candidates=kept, other=other)


def _short(stage: str) -> str:
    return FILTERS[stage].heading if stage in FILTERS else stage


def _value(stage: Stage) -> str:
    return FILTERS[stage.name].shown(stage.value) if stage.name in FILTERS else f"{stage.value:g}"


def _in_words(stages: Sequence[Stage], symbols: Symbols) -> str:
    if not stages:
        return "drawn from the raw softmax: no temperature, nothing cut"
    return f" {symbols.arrow} ".join(map(_stage, stages))


def _stage(stage: Stage) -> str:
    cuts = stage.name in FILTERS and FILTERS[stage.name].cuts(stage.value)
    left = f": {stage.kept:,} left, {percent(stage.mass)} of the raw mass" if cuts else ""
    return f"{stage.name} {_value(stage)}{left}"


FACES = (
    Face(
        view=probs.NEXT,
        table=each(lambda record, answer, screen: next_token_table(record, answer.text, screen)),
        csv=lambda answer, file: write_csv(answer.records, file),
        section=lambda title, answer: text_section(title, answer.records, before=answer.text),
    ),
)
