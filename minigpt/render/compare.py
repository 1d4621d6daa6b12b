"""A comparison as a table, with a summary of which model is ahead in what; and its progress."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from operator import attrgetter

from rich.console import Console, Group, RenderableType
from rich.text import Text

from minigpt.contest.records import Comparison, Contender, Points
from minigpt.render.cells import cell_len
from minigpt.render.panels import NAMES, octaves, relative
from minigpt.render.progress import LiveDisplay, progress_row
from minigpt.render.style import Screen, byte_count, compact, duration, safe_text
from minigpt.render.table import Column, Listing, Table

_SHORT = {"window": "window", "no-positions": "no pos", "one-head": "1 head", "no-attention": "no att"}
_SHORT |= {"seq2seq-attention": "attention"}
_GRADIENTS = (16, 64, 255)  # tokens before the one to predict
_RECALLS = (8, 32, 128, 256)
_WHOLE, _THREE, _PERCENT = "{:,.0f}".format, "{:.3f}".format, "{:.1%}".format

_Value = Callable[[Contender], float | None]
_Show = Callable[[float], str]
_Better = Callable[[Sequence[float]], float]  # min or max


@dataclass(frozen=True)
class _Row:
    """One line of the table. `better` is min or max, if values can be better; `short` is its name in a sentence."""

    label: str
    values: tuple[float | None, ...]
    show: _Show
    better: _Better | None = None
    short: str = ""

    def text(self, number: int) -> str:
        """The value of one model as it is shown."""
        value = self.values[number]
        return "-" if value is None else self.show(value)

    def leaders(self) -> tuple[int, ...]:
        """The models with the best value as it is shown, if values can be better and all are known.

        One of them is ahead; several are level.
        """
        known = [value for value in self.values if value is not None]
        if self.better is None or len(known) < len(self.values):
            return ()
        best = self.show(self.better(known))
        return tuple(number for number, value in enumerate(known) if self.show(value) == best)


def comparison_table(comparison: Comparison, screen: Screen) -> Iterator[Text]:
    """One line per measurement, without those still to come. The best value of a row is bold.

    Where there is no room, names are shortened, and then labels get lines of their own.
    """
    listing = comparison_listing(comparison, screen)
    rows, (label, *named) = list(listing.rows), listing.columns
    short = [_SHORT.get(contender.model, NAMES[contender.model]) for contender in comparison.contenders]
    shortened = list(map(_model_column, range(len(short)), short))
    tables = (Table([label, *columns], screen, rows) for columns in (named, shortened))
    table = next((table for table in tables if table.fits), None)
    beside = table is not None
    if table is None:
        wide = [name.rjust((screen.width - 1) // len(short) - 2) for name in short]
        table = Table([Column("", 1, lambda row: ""), *map(_model_column, range(len(wide)), wide)], screen, rows)
    heading = table.heading()
    heading.style = "dim"
    yield heading
    for row in rows:
        if not beside:
            yield Text(f" {row.label}", "dim")
        yield table.line(row)


def comparison_listing(comparison: Comparison, screen: Screen) -> Listing[_Row]:
    """The same rows with full names."""
    rows = list(_rows(comparison))
    names = [NAMES[contender.model] for contender in comparison.contenders]
    label = Column[_Row]("", max(cell_len(row.label) for row in rows) + 2, lambda row: row.label, left=True, gap=1)
    columns = [label, *map(_model_column, range(len(names)), names)]
    return Listing(columns=columns, rows=rows, screen=screen, caption="What was measured of each model")


def _model_column(number: int, name: str) -> Column[_Row]:
    def style(row: _Row) -> str:
        leaders = row.leaders()
        return "bold" if number in leaders and len(leaders) < len(row.values) else ""

    return Column(name, 0, lambda row: row.text(number), style=style)


def _rows(comparison: Comparison) -> Iterator[_Row]:
    """The rows with at least one known value."""
    parts = (_pair_rows,) if comparison.pairs else (_training_rows, _memory_rows, _generation_rows)
    rows = chain.from_iterable(part(comparison) for part in parts)
    return (row for row in rows if any(value is not None for value in row.values))


def _training_rows(comparison: Comparison) -> Iterator[_Row]:
    row = partial(_row, comparison)
    yield from _shape_rows(comparison, "context {:g}".format)
    yield row("memory to train", lambda c: c.peak_bytes or None, lambda size: byte_count(round(size)))
    tokens, time = compact(comparison.tokens or 0), duration(comparison.seconds or 0)
    at_equal = "bits per byte at equal"
    yield row(
        f"best bits/byte in {tokens} tokens", _of("equal_tokens", "bits_per_byte"), _THREE, min, f"{at_equal} tokens"
    )
    yield row("   all of which took", _of("equal_tokens", "seconds"), duration)
    yield row(f"best bits/byte in {time}", _of("equal_time", "bits_per_byte"), _THREE, min, f"{at_equal} time")
    yield row("   tokens seen in it", _of("equal_time", "tokens"), compact)


def _shape_rows(comparison: Comparison, named: _Show) -> Iterator[_Row]:
    """The models' shapes, and their speeds in training at the shortest and the longest length, as these are `named`."""
    row = partial(_row, comparison)
    yield row("parameters", attrgetter("parameters"), compact)
    yield row("layers", attrgetter("layers"), _WHOLE)
    yield row("width", attrgetter("width"), _WHOLE)
    yield row("learning rate", attrgetter("learning_rate"), "{:g}".format)
    for length in _ends(comparison, "training_tokens_per_second"):
        speed, where = _at("training_tokens_per_second", length), named(length)
        yield row(f"trains tokens/s, {where}", speed, _WHOLE, max, f"training speed at {where}")


def _pair_rows(comparison: Comparison) -> Iterator[_Row]:
    row, time = partial(_row, comparison), duration(comparison.seconds or 0)
    yield from _shape_rows(comparison, "{:g} a side".format)
    yield row(f"tokens seen in {time}", _of("equal_time", "tokens"), compact)
    yield row("   nats per target token", _of("equal_time", "validation_loss_nats"), _THREE)
    yield row("   bits per byte", _of("equal_time", "bits_per_byte"), _THREE, min, "bits per byte at equal time")
    yield row("exact translations", _of("translations", "exact_matches"), _PERCENT, max, "exact translations")
    for first, last in source_lengths(comparison):
        exact, range_ = _exact(last), f"{first} to {last} tokens" if first < last else f"{last} tokens"
        yield row(f"   source of {range_}", exact, _PERCENT, max, f"exact translations of {range_}")
    yield row("alignment error rate", _of("translations", "alignment_error_rate"), _PERCENT)
    yield row("   in layer", _of("translations", "alignment_layer"), _WHOLE)
    yield row("   of a diagonal", _of("translations", "diagonal_error_rate"), _PERCENT)
    yield row("   the least possible", _of("translations", "least_error_rate"), _PERCENT)
    yield from _generation_rows(comparison)


def source_lengths(comparison: Comparison) -> list[tuple[int, int]]:
    """The ranges of tokens of a source by which exact translations are counted."""
    points = next((c.translations.exact_by_length for c in comparison.contenders if c.translations), ())
    ends = [int(end) for end, _ in points]
    return [(before + 1, end) for before, end in pairwise([0, *ends])]


def _exact(end: float) -> _Value:
    return lambda contender: y_at(getattr(contender.translations, "exact_by_length", None), end)


def _memory_rows(comparison: Comparison) -> Iterator[_Row]:
    """How much of the text a model makes use of."""
    row = partial(_row, comparison)
    for first, last in _stretches(comparison):
        seen = f"{first}" if first == last else f"{first} to {last}"
        yield row(f"nats/token, {seen} seen", _mean_loss(first, last), _THREE, min, f"loss with {seen} tokens seen")
    for distance in _GRADIENTS:
        yield row(f"gradient {distance} back / 1 back", _gradient(distance), small_share)
    for distance in _RECALLS:
        recall, over = _at("recall_by_distance", distance), f"recall over {distance} tokens"
        yield row(f"recalls a key {distance} back", recall, "{:.0%}".format, max, over)


def _generation_rows(comparison: Comparison) -> Iterator[_Row]:
    for number in _ends(comparison, "step_milliseconds"):
        cost, short = _at("step_milliseconds", number), f"cost of generated token {number:,.0f}"
        yield _row(comparison, f"ms for token {number:,.0f}", cost, "{:.2f}".format, min, short)


def _row(
    comparison: Comparison, label: str, value: _Value, show: _Show, better: _Better | None = None, short: str = ""
) -> _Row:
    return _Row(label, tuple(map(value, comparison.contenders)), show, better, short)


def _of(run: str, name: str) -> _Value:
    """A number from one of the two trainings."""
    return lambda contender: getattr(getattr(contender, run), name, None)


def _at(name: str, x: float) -> _Value:
    """A measurement's y at x."""
    return lambda contender: y_at(getattr(contender, name), x)


def _gradient(distance: int) -> _Value:
    return lambda contender: y_at(relative(contender.gradient_by_distance or ()), distance)


def _mean_loss(first: int, last: int) -> _Value:
    def mean(contender: Contender) -> float | None:
        known = [y for x, y in contender.loss_nats_by_position or () if first <= x <= last]
        return sum(known) / len(known) if known else None

    return mean


def y_at(points: Points | None, x: float) -> float | None:
    """The y of the point at x, if there is one."""
    return next((y for at, y in points or () if at == x), None)


def _ends(comparison: Comparison, name: str) -> tuple[float, ...]:
    """The first and the last x of a measurement."""
    points = next((found for c in comparison.contenders if (found := getattr(c, name))), None)
    return (points[0][0], points[-1][0]) if points else ()


def _stretches(comparison: Comparison) -> list[tuple[int, int]]:
    """Ranges of the number of tokens seen: few, some, and all."""
    points = next((c.loss_nats_by_position for c in comparison.contenders if c.loss_nats_by_position), ())
    found = [(first, last) for first, last, _ in octaves(points)]
    return [found[i] for i in sorted({min(2, len(found) - 1), len(found) // 2, len(found) - 1})] if found else []


def small_share(value: float) -> str:
    """`1.2 %`, or a power of ten for smaller shares; 0 only for none at all."""
    return "none" if value == 0 else f"{value:.1%}" if value >= 0.001 else f"{value:.0e}"


def comparison_caption(comparison: Comparison, screen: Screen) -> Iterator[Text]:
    """What was equal, on which text, and which model is ahead or level in what, baselines included."""
    yield screen.caption(
        f"{safe_text(comparison.name)}: {byte_count(comparison.text_bytes)}, vocabulary {comparison.vocab_size:,}",
        f"context {comparison.context}, batch {comparison.batch_size}",
        f"validation on {safe_text(comparison.validation)}",
    )
    yield screen.caption(
        "AdamW in float32 for all",
        _rates(comparison),
        f"{comparison.machine}, whose speeds hold while nothing else runs",
        f"{comparison.minutes:g} minutes in all",
    )
    standings = list(_standings(comparison))
    yield from map(screen.caption, standings)
    level = any(" level" in standing for standing in standings)
    if comparison.pairs:
        yield screen.caption(
            "exact: the model's first choices are the target, to the letter",
            "alignment: each target word with the source word it attends to most, in the layer that errs least",
        )
    yield screen.caption(
        "every model is trained once, so a small lead may be chance",
        "level: equal in the digits that are shown" if level else "",
    )


def _rates(comparison: Comparison) -> str:
    if comparison.ablation:
        return "the whole GPT's learning rate for all, which may not be their best"
    tried = max((len(contender.tried_rates) for contender in comparison.contenders), default=0)
    return (
        f"each at the best of {tried} learning rates" if tried else "no sweep: learning rates that did best elsewhere"
    )


def _standings(comparison: Comparison) -> Iterator[str]:
    """Who is ahead in what, then who shares the best number as shown, then what is equal for all."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for row in _rows(comparison):
        if leaders := row.leaders():
            groups.setdefault(leaders, []).append(row.short)
    names = [NAMES[contender.model] for contender in comparison.contenders]
    for leaders, what in sorted(groups.items(), key=lambda group: (len(group[0]), group[0])):
        *others, last = (names[number] for number in leaders)
        if not others:
            who = f"{last} is ahead"
        elif len(leaders) == len(names):
            who = "all are level"
        else:
            who = f"{', '.join(others)} and {last} are level, ahead of the rest,"
        yield f"{who} in {', '.join(what)}"


# --- progress

_WORDS = {
    "training_tokens_per_second": "training speed at five contexts",
    "step_milliseconds": "cost of generated tokens",
    "peak_bytes": "memory of a training step",
    "equal_tokens": "training, with as many tokens as the others",
    "equal_time": "training, with as much time as the others",
    "loss_nats_by_position": "loss and gradient by position",
    "recall_by_distance": "learning to recall a key",
    "translations": "translating, and where it looks",
}
_PAIR_WORDS = _WORDS | {"training_tokens_per_second": "training speed at four lengths"}


class ComparingDisplay(LiveDisplay):
    """Shows what is being measured and the table as it fills; without a live terminal, a line for each measurement."""

    def __init__(
        self, console: Console, total: int, minutes: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console, transient=True)
        self._total, self._minutes, self._clock = total, minutes, clock
        self._number, self._what, self._share, self._loss = 0, "", 0.0, ""
        self._comparison: Comparison | None = None
        self._began = clock()
        self._before = 0.0  # seconds that were spent before this process

    def begin(self, number: int, model: str, what: str, comparison: Comparison) -> None:
        """Begin measurement `number` of all; `comparison` holds those before it."""
        if self._comparison is None:
            self._before = comparison.spent_seconds
        self._number, self._share, self._loss, self._comparison = number, 0.0, "", comparison
        words = _PAIR_WORDS if comparison.pairs else _WORDS
        self._what = f"{NAMES[model]}: {words.get(what, f'trying the learning rate {what}')}"
        if not self._live:
            spent, whole = duration(self._spent()), duration(60 * self._minutes)
            self._print(f"{spent}/{whole}  {number} of {self._total}  {self._what}")

    def advance(self, step: int, steps: int, loss_nats: float | None) -> None:
        """Report a step of the current measurement."""
        self._share = step / steps
        self._loss = "" if loss_nats is None else f"loss {loss_nats:.3f}"

    def _spent(self) -> float:
        return self._before + self._clock() - self._began

    def _render(self) -> RenderableType:
        if self._comparison is None:
            return Text(" starting", "dim")
        screen = Screen.of(self._console)
        whole = 60 * self._minutes
        share = min(1.0, self._spent() / whole)
        times = f"{duration(self._spent())}, {duration(max(0.0, whole - self._spent()))} left"
        done = f"{self._share:.0%}" if self._share else ""
        caption = screen.caption(f"{self._number} of {self._total}", self._what, done, self._loss)
        lines = list(comparison_table(self._comparison, screen))
        room = max(0, self._console.height - 5)
        return Group(*lines[:1], *lines[1:][-room:], Text(), progress_row(share, times, screen), caption)
