"""The gates and the state of a recurrent network over a text: a table, the text in the colours of a unit, a page."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from rich.text import Text

from minigpt.render.cells import cell_len, resized
from minigpt.render.face import Face
from minigpt.render.heatmap import heat_colour
from minigpt.render.html import Section, running_text
from minigpt.render.style import Screen, quantity, signed_sparkline, token_label
from minigpt.render.table import Column, Table, token_column
from minigpt.views import gates
from minigpt.views.gates import StateStep
from minigpt.views.view import Answer

_GATES = ("input", "forget", "output")
_SHARE, _NORM = 6, 8  # cells, with a gap


def gate_view(answer: Answer, screen: Screen) -> Iterator[Text]:
    """A line for each token with the gates and the norms of the state, then the text in the colours of each unit."""
    steps = tuple(answer.records)
    yield from Table(_columns(steps, screen), screen, steps).lines(steps)
    for number in range(len(steps[0].units)):
        yield Text()
        yield from unit_course(steps, number, screen)
    yield Text()
    yield screen.caption(*_remarks(steps, answer.facts), "--json has all numbers")


def _columns(steps: Sequence[StateStep], screen: Screen) -> list[Column[StateStep]]:
    columns = [token_column(screen, most=1 + min(20, screen.width // 4), least=10, gap=1)]
    for name in _GATES if steps[0].forget else ():
        columns += [
            Column(name, _SHARE + (name != "input"), _number(f"{name}.mean", "{:.2f}".format)),
            Column("<.1", _SHARE - 1, _number(f"{name}.closed", "{:.0%}".format), drop=1),
            Column(">.9", _SHARE - 1, _number(f"{name}.open", "{:.0%}".format), drop=1),
        ]
    if steps[0].forget:
        columns.append(Column("|cell|", _NORM, lambda step: f"{step.cell_norm:.2f}", drop=2))
    return [*columns, Column("|hidden|", _NORM + 2, lambda step: f"{step.hidden_norm:.2f}", drop=3)]


def _number(path: str, show: Callable[[float], str]) -> Callable[[StateStep], str]:
    number = attrgetter(path)
    return lambda step: show(number(step))


def unit_course(steps: Sequence[StateStep], number: int, screen: Screen) -> Iterator[Text]:
    """The text in the colours of one unit's state; without colours, each line of it has bars below."""
    values = _memory(steps, number)
    limit = max(map(abs, values))
    kind = "hidden" if steps[0].units[number].cell is None else "cell"
    heading = Text(f" unit {steps[0].units[number].unit}", "bold")
    yield heading.append(f"  {kind} {min(values):+.2f} to {max(values):+.2f}", "not bold dim")
    text, bars = Text(" "), Text(" ")
    for step, value in zip(steps, values, strict=True):
        label = token_label(step, screen.symbols)
        label = resized(label, min(cell_len(label), screen.width - 2))
        if cell_len(text.plain + label) > screen.width:
            yield from [text] if screen.coloured else [text, bars]
            text, bars = Text(" "), Text(" ")
        text.append(label, f"black on {heat_colour(value, limit)}" if screen.coloured else "")
        sign = signed_sparkline([value], limit, screen.symbols)
        bars.append(sign * cell_len(label), "cyan" if value > 0 else "magenta")
    yield from [text] if screen.coloured else [text, bars]


def _memory(steps: Sequence[StateStep], number: int) -> list[float]:
    """The cell state of a unit at each token, or its hidden state where there are no cells."""
    units = (step.units[number] for step in steps)
    return [unit.hidden if unit.cell is None else unit.cell for unit in units]


def _remarks(steps: Sequence[StateStep], facts: Any) -> Iterator[str]:
    if "layer" in facts:
        yield f"layer {facts['layer']} of {facts['layers']}, {quantity(facts['width'], 'unit')}"
    if steps[0].forget:
        yield (
            "input: how much of the new content a cell takes in; forget: how much of its state it keeps; output: how "
            "much of that comes out; each the mean over the units, and the shares of gates below 0.1 and above 0.9"
        )
        yield "|cell|, |hidden|: the length of the state's vector"
    else:
        yield "a plain RNN has no gates; |hidden|: the length of the state's vector"
    if facts.get("chosen"):
        yield "the units are those whose state varies most over the text"


def _section(title: str, answer: Answer) -> Section:
    steps: tuple[StateStep, ...] = tuple(answer.records)
    kind = "hidden" if steps[0].cell_norm is None else "cell"
    quantities = []
    for number, unit in enumerate(steps[0].units):
        quantities.append(_quantity(f"unit {unit.unit}, {kind}", _memory(steps, number), signed=True))
    if steps[0].forget:
        for name in _GATES:
            for field, words in (("mean", "mean"), ("closed", "share below 0.1"), ("open", "share above 0.9")):
                values = list(map(attrgetter(f"{name}.{field}"), steps))
                quantities.append(_quantity(f"{name} gate, {words}", values, limit=1.0))
        quantities.append(_quantity("cell, norm", [step.cell_norm or 0.0 for step in steps]))
    quantities.append(_quantity("hidden, norm", [step.hidden_norm for step in steps]))
    tokens = [(token_label(step), running_text(step)) for step in steps]
    data = {"tokens": tokens, "quantities": quantities, "caption": " · ".join(_remarks(steps, answer.facts))}
    return Section("gates", title, data, ("gates.js",))


def _quantity(
    name: str, numbers: Sequence[float], *, signed: bool = False, limit: float | None = None
) -> dict[str, Any]:
    most = max(map(abs, numbers)) if limit is None else limit
    return {"name": name, "signed": signed, "limit": most, "values": [round(number, 4) for number in numbers]}


FACES = (Face(view=gates.VIEW, table=gate_view, section=_section),)
