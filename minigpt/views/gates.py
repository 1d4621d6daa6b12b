"""The gates and the state of an LSTM, or the state of an RNN, at each token of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import ConfigError, named
from minigpt.settings import Range, Settings, require, setting, up_to
from minigpt.settings.model import NAMES
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, Stream, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from minigpt.models.baselines import RNN
    from minigpt.models.inside import LayerState
    from minigpt.models.kinds import Model
    from minigpt.text.tokenizer import Tokenizer

CLOSED, OPEN = 0.1, 0.9  # as Karpathy et al., 2015, call a gate saturated
_UNITS = 5  # shown where none are named
_MOST_ON_PAGE = 5000  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate of a layer at one token, over all units."""

    mean: float
    closed: float  # the share of units whose gate is below 0.1
    open: float  # the share of units whose gate is above 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """One unit of a layer after one token; gates and cell are None in an RNN."""

    unit: int  # from 1
    hidden: float
    cell: float | None = None
    input: float | None = None
    forget: float | None = None
    output: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStep(Token):
    """One layer after a token of a text; gates and cell are None in an RNN."""

    position: int  # from 0
    hidden_norm: float
    cell_norm: float | None = None
    input: Gate | None = None  # how much of the new content is taken in
    forget: Gate | None = None  # how much of the cell state is kept
    output: Gate | None = None  # how much of the cell state comes out
    units: tuple[UnitState, ...]


def state_steps(
    model: RNN, tokenizer: Tokenizer, ids: Sequence[int], *, layer: int, units: Sequence[int]
) -> Iterator[StateStep]:
    """A record for each of `ids`: `layer` and some of its `units`, both from 1, after the model has read it."""
    from minigpt.models.inside import layer_states

    position = 0
    for state in layer_states(model, ids, layer):
        for row in range(len(state.hidden_TC)):
            yield _step(state, row, units, tokenizer, ids[position], position)
            position += 1


def _step(
    state: LayerState, row: int, units: Sequence[int], tokenizer: Tokenizer, token: int, position: int
) -> StateStep:
    known: dict[str, Tensor] = {"hidden": state.hidden_TC[row].double().cpu()}
    if state.gates is not None and state.cell_TC is not None:
        known |= {"cell": state.cell_TC[row].double().cpu()}
        known |= {
            name: getattr(state.gates, f"{name}_TC")[row].double().cpu() for name in ("input", "forget", "output")
        }
    chosen = (UnitState(unit=unit, **{name: float(row_C[unit - 1]) for name, row_C in known.items()}) for unit in units)
    numbers = {f"{name}_norm": float(known[name].norm()) for name in ("hidden", "cell") if name in known}
    gates = {name: _gate(known[name]) for name in ("input", "forget", "output") if name in known}
    return StateStep.of(tokenizer, token, position=position, units=tuple(chosen), **numbers, **gates)


def _gate(values_C: Tensor) -> Gate:
    return Gate(
        mean=float(values_C.mean()),
        closed=float((values_C < CLOSED).double().mean()),
        open=float((values_C > OPEN).double().mean()),
    )


def telling_units(model: RNN, ids: Sequence[int], *, layer: int, count: int = _UNITS) -> list[int]:
    """The units of a layer, from 1, whose cell state (in an RNN, hidden state) varies most over a text."""
    import torch

    from minigpt.models.inside import layer_states
    from minigpt.sampling.vocabulary import best_ids

    sum_C, square_C = torch.zeros(2, model.config.width, dtype=torch.float64)
    for state in layer_states(model, ids, layer):
        memory_TC = state.memory_TC.double().cpu()
        sum_C += memory_TC.sum(0)
        square_C += memory_TC.square().sum(0)
    variance_C = square_C / len(ids) - (sum_C / len(ids)).square()
    return [unit + 1 for unit in best_ids(variance_C.numpy(), min(count, len(variance_C)))]


def recurrent(model: Model, what: str) -> RNN:
    """The model, which must be an LSTM or an RNN for `what`, the subject of the message. Raises ConfigError."""
    from minigpt.models.baselines import RNN

    if isinstance(model, RNN):
        return model
    name = NAMES[model.config.model]
    instead = "\nSee its attention with minigpt inspect-attention." if model.config.model == "gpt" else ""
    raise ConfigError(f"{what} shows the gates of an LSTM or the state of an RNN: this model is {name}.{instead}")


def check_place(model: RNN, layer: int | None, units: Sequence[int]) -> int:
    """The layer, by default the last. Raises ConfigError if the model has no such layer or unit."""
    layers, width = model.config.layers, model.config.width
    require(layer is None or 1 <= layer <= layers, f"{named('layer')} must be {up_to(layers)}, not {layer}.")
    wrong = next((unit for unit in units if not 1 <= unit <= width), None)
    require(wrong is None, f"{named('unit')} must be {up_to(width)}, not {wrong}.")
    return layers if layer is None else layer


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    gates: bool = setting(False, help="Show the gates and the state of an LSTM, or the state of an RNN, at each token.")
    layer: int | None = setting(
        None, help=f"With {named('gates')}: the layer to show, from 1; by default the last.", range=Range(1, 10_000)
    )
    unit: tuple[int, ...] = setting(
        (),
        help=f"With {named('gates')}: a unit of the layer to follow, from 1; may be given several times. By default "
        "those that vary most.",
    )


def _ask(question: Question) -> Answer:
    model, flags, ids = recurrent(question.torch_model, named("gates")), question.flags, question.ids
    layer = check_place(model, flags.layer, flags.unit)
    units = list(dict.fromkeys(flags.unit)) or telling_units(model, ids, layer=layer)
    about = {"layer": layer, "layers": model.config.layers, "width": model.config.width}
    return Answer(
        records=Stream(lambda: state_steps(model, question.tokenizer, ids, layer=layer, units=units)),
        text=question.text,
        fields=about,
        facts={**about, "chosen": not flags.unit},
    )


def _page(question: Question, answer: Answer) -> tuple[StateStep, ...]:
    count = len(question.ids)
    require(
        count <= _MOST_ON_PAGE,
        f"{named('html')}: a page shows the gates at {_MOST_ON_PAGE:,} tokens at most, and this text has {count:,}: "
        "give a shorter one.",
    )
    return tuple(answer.records)


VIEW = View(
    record=StateStep,
    key="tokens",
    ask=_ask,
    title="What a recurrent network keeps, forgets and puts out",
    settings=_Flags,
    asked_by=("gates",),
    takes=("layer", "unit"),
    page=_page,
    at_end=False,
)
