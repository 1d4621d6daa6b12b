"""A comparison in; its table, and in words who is ahead or level in what, out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rich.cells import cell_len
from rich.text import Text

from minigpt.contest.records import Comparison, Contender, ContenderRun, Points
from minigpt.render.panels import NAMES, octaves, relative
from minigpt.render.screen import Screen
from minigpt.render.style import byte_count, compact, duration, safe_text

_GAP = 2
_SHORT = {"window": "window", "no-positions": "no pos", "one-head": "1 head", "no-attention": "no att"}
_GRADIENTS = (16, 64, 255)  # tokens before the one to predict
_RECALLS = (8, 32, 128, 256)


@dataclass(frozen=True)
class _Row:
    """`better`: min or max, for what can be better; `short` says it within a sentence."""

    label: str
    values: tuple[float | None, ...]
    show: Callable[[float], str]
    better: Callable[[Sequence[float]], float] | None = None
    short: str = ""

    def leaders(self) -> tuple[int, ...]:
        """The numbers of those that have the best value as it is shown, where something can be better and all have a
        value: one is ahead, several are level.
        """
        known = [value for value in self.values if value is not None]
        if self.better is None or len(known) < len(self.values):
            return ()
        best = self.show(self.better(known))
        return tuple(number for number, value in enumerate(known) if self.show(value) == best)


def comparison_table(comparison: Comparison, screen: Screen) -> Iterator[Text]:
    """A line each; what is not measured yet is left out. The best of a row is bold."""
    rows = list(_rows(comparison))
    cells = [[_cell(row, value) for value in row.values] for row in rows]
    names, widths, indent = _columns(comparison, rows, cells, screen)
    yield _line("", names, widths, indent, "dim")
    for row, shown in zip(rows, cells, strict=True):
        if not indent:
            yield Text(f" {row.label}", "dim")
        leaders = row.leaders()
        line = _line(row.label if indent else "", shown, widths, indent)
        for number in leaders if len(leaders) < len(row.values) else ():
            end = indent + 1 + sum(widths[: number + 1]) + _GAP * (number + 1)
            line.stylize("bold", end - len(shown[number]), end)
        yield line


def _columns(
    comparison: Comparison, rows: Sequence[_Row], cells: Sequence[Sequence[str]], screen: Screen
) -> tuple[list[str], list[int], int]:
    """Names, widths, and room for labels before them: 0 where these get lines of their own, as all does not fit."""
    label = max(cell_len(row.label) for row in rows) + 1
    short = [_SHORT.get(contender.model, NAMES[contender.model]) for contender in comparison.contenders]
    for names in ([NAMES[contender.model] for contender in comparison.contenders], short):
        widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
        if 1 + label + sum(widths) + _GAP * len(widths) <= screen.width:
            return names, widths, label
    return short, [max(width, (screen.width - 1) // len(short) - _GAP) for width in widths], 0


def _line(label: str, cells: Sequence[str], widths: Sequence[int], indent: int, style: str = "") -> Text:
    columns = (" " * (_GAP + width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True))
    return Text(f" {label:<{indent}}" + "".join(columns), style)


def _cell(row: _Row, value: float | None) -> str:
    return "-" if value is None else row.show(value)


def _rows(comparison: Comparison) -> Iterator[_Row]:
    """Those of which any value is known."""
    made = (_shape_rows, _speed_rows, _learning_rows, _position_rows, _recall_rows, _generation_rows)
    for rows in made:
        for row in rows(comparison):
            if any(value is not None for value in row.values):
                yield row


def _row(
    comparison: Comparison,
    label: str,
    value: Callable[[Contender], float | None],
    show: Callable[[float], str],
    better: Callable[[Sequence[float]], float] | None = None,
    short: str = "",
) -> _Row:
    return _Row(label, tuple(map(value, comparison.contenders)), show, better, short)


def _shape_rows(comparison: Comparison) -> Iterator[_Row]:
    yield _row(comparison, "parameters", lambda c: c.parameters, compact)
    yield _row(comparison, "layers", lambda c: c.layers, _whole)
    yield _row(comparison, "width", lambda c: c.width, _whole)
    yield _row(comparison, "learning rate", lambda c: c.learning_rate, lambda rate: f"{rate:g}")


def _speed_rows(comparison: Comparison) -> Iterator[_Row]:
    for context in _ends(comparison.contenders, "training_tokens_per_second"):
        yield _row(
            comparison,
            f"trains tokens/s, context {context:g}",
            lambda c, at=context: _at(c.training_tokens_per_second, at),  # type: ignore[misc]
            _whole,
            max,
            f"training speed at context {context:g}",
        )
    yield _row(comparison, "memory to train", lambda c: c.peak_bytes or None, _size)


def _learning_rows(comparison: Comparison) -> Iterator[_Row]:
    tokens, time = compact(comparison.tokens or 0), duration(comparison.seconds or 0)
    bits = partial(_of, name="bits_per_byte")
    yield _row(
        comparison,
        f"best bits/byte in {tokens} tokens",
        lambda c: bits(c.equal_tokens),
        _three,
        min,
        "bits per byte at equal tokens",
    )
    yield _row(comparison, "   all of which took", lambda c: _of(c.equal_tokens, "seconds"), duration)
    yield _row(
        comparison,
        f"best bits/byte in {time}",
        lambda c: bits(c.equal_time),
        _three,
        min,
        "bits per byte at equal time",
    )
    yield _row(comparison, "   tokens seen in it", lambda c: _of(c.equal_time, "tokens"), compact)


def _position_rows(comparison: Comparison) -> Iterator[_Row]:
    for first, last in _stretches(comparison.contenders):
        seen = f"{first}" if first == last else f"{first} to {last}"
        yield _row(
            comparison,
            f"nats/token, {seen} seen",
            lambda c, first=first, last=last: _mean(c.loss_nats_by_position, first, last),  # type: ignore[misc]
            _three,
            min,
            f"loss with {seen} tokens seen",
        )
    for distance in _GRADIENTS:
        yield _row(
            comparison,
            f"gradient {distance} back / 1 back",
            lambda c, at=distance: _at(relative(c.gradient_by_distance or ()), at),  # type: ignore[misc]
            _small,
        )


def _recall_rows(comparison: Comparison) -> Iterator[_Row]:
    for distance in _RECALLS:
        yield _row(
            comparison,
            f"recalls a key {distance} back",
            lambda c, at=distance: _at(c.recall_by_distance, at),  # type: ignore[misc]
            lambda share: f"{share:.0%}",
            max,
            f"recall over {distance} tokens",
        )


def _generation_rows(comparison: Comparison) -> Iterator[_Row]:
    for number in _ends(comparison.contenders, "step_milliseconds"):
        yield _row(
            comparison,
            f"ms for token {number:,.0f}",
            lambda c, at=number: _at(c.step_milliseconds, at),  # type: ignore[misc]
            lambda cost: f"{cost:.2f}",
            min,
            f"cost of generated token {number:,.0f}",
        )


def _of(run: ContenderRun | None, name: str) -> float | None:
    return None if run is None else getattr(run, name)


def _ends(contenders: Sequence[Contender], name: str) -> tuple[float, ...]:
    """The first and the last x of a measurement."""
    points = next((found for c in contenders if (found := getattr(c, name))), None)
    return (points[0][0], points[-1][0]) if points else ()


def _stretches(contenders: Sequence[Contender]) -> list[tuple[int, int]]:
    """Of the number of tokens seen: a few, some, and all."""
    points = next((c.loss_nats_by_position for c in contenders if c.loss_nats_by_position), ())
    found = [(first, last) for first, last, _ in octaves(points)]
    return [found[i] for i in sorted({min(2, len(found) - 1), len(found) // 2, len(found) - 1})] if found else []


def _mean(points: Points | None, first: int, last: int) -> float | None:
    known = [y for x, y in points or () if first <= x <= last]
    return sum(known) / len(known) if known else None


def _at(points: Points | None, x: float) -> float | None:
    return next((y for at, y in points or () if at == x), None)


def _size(value: float) -> str:
    return byte_count(round(value))


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _three(value: float) -> str:
    return f"{value:.3f}"


def _small(value: float) -> str:
    """1.2 %, or as a power of ten where that is too small; 0 is none at all."""
    return "none" if value == 0 else f"{value:.1%}" if value >= 0.001 else f"{value:.0e}"


def comparison_caption(comparison: Comparison, screen: Screen) -> Iterator[Text]:
    """What was equal, on what, and who is ahead or level in what, the baselines too."""
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
    if any(" level" in standing for standing in standings):
        yield screen.caption("level: equal in the digits that are shown")


def _rates(comparison: Comparison) -> str:
    if comparison.ablation:
        return "the whole GPT's learning rate for all, which may not be their best"
    tried = max((len(contender.tried_rates) for contender in comparison.contenders), default=0)
    return (
        f"each at the best of {tried} learning rates" if tried else "no sweep: learning rates that did best elsewhere"
    )


def _standings(comparison: Comparison) -> Iterator[str]:
    """Who is ahead in what, then who share the best number as it is shown, then what all have alike."""
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
