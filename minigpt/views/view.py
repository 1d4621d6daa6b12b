"""What a view is: a question about a model, the flags that ask it, and the records that answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from minigpt.errors import ConfigError, named
from minigpt.settings import Settings, one_of, require, settings_of

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.models.gpt import GPT
    from minigpt.models.kinds import Model
    from minigpt.models.network import AnyModel
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Question:
    """A text (for inspect-embeddings: some tokens, or neither), the model to ask about it, and the flags given."""

    checkpoint: Checkpoint
    text: str
    ids: Sequence[int]
    byte_counts: Sequence[int]  # of the text, that each of `ids` stands for
    flags: Any  # the settings of the command's views, by their names
    top: int
    note: Callable[[str], None]  # called with a sentence about anything done differently from what was asked
    # Begins the display of long work, by name, size and unit; the result is called with units done.
    stages: Callable[..., Callable[[int], None]] = lambda name, total, unit="": lambda done: None

    @property
    def model(self) -> AnyModel:
        return self.checkpoint.model

    @property
    def torch_model(self) -> Model:
        """The model in torch, for a view that `needs_torch`."""
        return self.checkpoint.torch_model

    @property
    def tokenizer(self) -> Tokenizer:
        return self.checkpoint.tokenizer

    def gpt(self, what: str, instead: Mapping[str, str] = MappingProxyType({})) -> GPT:
        """The model, which must be a GPT for `what`, a phrase for the message. Raises ConfigError.

        `instead`: by the kind of another model, a sentence about what can be asked of it.
        """
        from minigpt.models.kinds import gpt_of

        return gpt_of(self.torch_model, what, instead.get(self.model.config.model, ""))

    def tracked(self) -> list[int]:
        """The tokens that are given with `track`, each once. Raises ConfigError for a text that is not one token."""
        from minigpt.text.arguments import single_token

        return list(dict.fromkeys(single_token(self.tokenizer, text) for text in self.flags.track))

    def only_tracked(self, does: str) -> int | None:
        """The one token that is given with `track`, if any. Raises ConfigError for several; `does` is its subject."""
        count = len(self.flags.track)
        require(count < 2, f"{does} one token, not {count}: give {named('track')} once.")
        return next(iter(self.tracked()), None)


class Tally:
    """Adds up records as they pass through. This one has no totals."""

    def watch(self, records: Iterable[Any]) -> Iterator[Any]:
        """Pass on the same records."""
        yield from records

    def fields(self) -> Mapping[str, Any]:
        """The totals so far, which JSON adds after the records."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Records of one kind, with what is shown beside them."""

    records: Iterable[Any]
    text: str = ""  # before what the records are about
    tally: Callable[[], Tally] = Tally
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the JSON, after the records
    facts: Mapping[str, Any] = field(default_factory=dict)  # that only the table or the page needs


class Stream:
    """Records that are computed anew on each iteration, so that they need not be held in memory."""

    def __init__(self, compute: Callable[[], Iterator[Any]]) -> None:
        self._compute = compute

    def __iter__(self) -> Iterator[Any]:
        return self._compute()


@dataclass(frozen=True, kw_only=True)
class View:
    """One kind of question. Its file holds its record, its flags and the function that answers it; its table is in
    render/.

    `asked_by` names the settings that, given together, ask for it; a command's default view has none. `takes` names the
    other settings that it uses, declared by this or another view.
    """

    record: type
    ask: Callable[[Question], Answer]
    title: str  # of its page
    command: str = "inspect-probs"
    settings: type[Settings] | None = None
    asked_by: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    key: str | None = None  # of the records in the JSON; without one the only record is the whole
    page: Callable[[Question, Answer], Iterable[Any]] | None = None  # the page's own records, where it has others
    usual_top: int = 10
    # How many tokens the model reads after those of the text; None where a text is not read in windows.
    tokens_ahead: Callable[[Question], int] | None = lambda question: 0
    at_end: bool = True  # whether it matters how the end of a text is tokenized that is read in windows
    runs_model: bool = True
    needs_torch: bool = True  # whether it looks inside the model, or at its weights, and not only at its logits
    of_tokens: bool = False  # asked about tokens rather than a text
    of_model: bool = False  # asked about the model alone
    of_pairs: bool = False  # whether a model that reads a source and writes a target can be asked
    for_pairs: View | None = None  # the view that answers in its place for such a model
    advice_for_pairs: str = ""  # if none does: a sentence about what can be asked of such a model
    # Chooses the checkpoint, by the flags and the one that is named, explicitly or by the environment.
    checkpoint: Callable[[Any, Path | None, bool], Path | None] = lambda flags, named, explicit: named


def flags_of(views: Iterable[View]) -> type[Settings]:
    """The settings of all views as one group, in their order."""
    groups = dict.fromkeys(view.settings for view in views if view.settings)
    return dataclass(frozen=True, kw_only=True)(type("ViewFlags", (*reversed(groups), Settings), {}))


def chosen_view(views: Sequence[View], flags: Settings) -> View:
    """The view that the flags ask for.

    Raises ConfigError for flags that ask for several views, or that the view does not take.
    """
    names = dict.fromkeys(name for view in views for name in view.asked_by)
    asked = tuple(name for name in names if _is_given(flags, name))
    view = next((view for view in views if set(view.asked_by) == set(asked)), None)
    if view is None:
        raise ConfigError(f"{' and '.join(map(named, asked))} exclude each other.")
    for name in settings_of(flags).keys() - names.keys() - {*view.takes}:
        require(not _is_given(flags, name), _misplaced(views, name, asked, flags))
    return view


def _misplaced(views: Sequence[View], name: str, asked: Sequence[str], flags: Settings) -> str:
    """The message about a setting that the view which is asked for does not take."""
    takers = [view for view in views if name in view.takes]
    openers = [view.asked_by[0] for view in takers if len(view.asked_by) == 1]
    if not openers or not all(view.asked_by for view in takers):  # it belongs to the command's default view
        return f"{named(name)} does not go with {' and '.join(map(named, asked))}."
    metavar = settings_of(flags)[openers[0]].metavar if len(openers) == 1 else None
    return f"{named(name)} goes with {one_of(named(opener, metavar) for opener in openers)}."


def _is_given(flags: Settings, name: str) -> bool:
    """Whether a setting differs from its default."""
    return bool(getattr(flags, name) != getattr(type(flags), name))
