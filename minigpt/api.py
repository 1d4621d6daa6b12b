"""minigpt in Python: a checkpoint that answers questions about texts with records, and training without a terminal.

Errors are MinigptErrors, whose messages name arguments as Python spells them: `top=`, not --top.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar, get_type_hints, overload

import torch

from minigpt.app.opening import check_source
from minigpt.app.train_run import TrainRequest
from minigpt.checkpoint import folder as on_disk
from minigpt.checkpoint.listing import snapshots
from minigpt.checkpoint.records import TrainRecord
from minigpt.errors import CheckpointError, ConfigError, CorpusError, brief, concerning, named, spelled
from minigpt.models.device import resolve_device
from minigpt.models.gpt import GPT
from minigpt.models.kinds import gpt_of
from minigpt.models.parts import ABLATIONS
from minigpt.records import Misfit, from_plain
from minigpt.render.notebook import show
from minigpt.sampling.engine import Piece, generate
from minigpt.sampling.filters import token_biases
from minigpt.sampling.records import StepRecord, TextScore
from minigpt.settings import (
    Choices,
    Length,
    Output,
    SampleConfig,
    TextSettings,
    TrainConfig,
    build,
    check_ranges,
    require,
    require_choice,
    settings_of,
)
from minigpt.settings.model import NAMES
from minigpt.text.arguments import single_token
from minigpt.text.tokenizer import Encoded
from minigpt.training.run import run
from minigpt.views.against import ComparedNext, compare_next
from minigpt.views.alignment import AlignmentGrid, align, alignment_grid, with_truth
from minigpt.views.attention import AttentionGrid, HeadSummary, attend, attention_grid, head_summaries
from minigpt.views.attribution import Attribution, leave_one_out
from minigpt.views.choices import Choice, weigh
from minigpt.views.embeddings import PositionVector, TokenVector, position_vectors, token_vectors
from minigpt.views.gates import StateStep, check_place, recurrent, state_steps, telling_units
from minigpt.views.history import HistoryRow, LensRow, by_layer, history
from minigpt.views.parts import PartsWorth, parts_worth
from minigpt.views.probs import every_token, next_token, text_score, with_target
from minigpt.views.shared_word import SharedWord, shared_word
from minigpt.views.tokenization import CutToken, cut
from minigpt.views.without import ABLATION, ChangedNext, next_without

T = TypeVar("T")


class Records(tuple[T, ...]):
    """Records of one kind: a tuple that a notebook shows as its table, and `print` as a terminal does."""

    after: str  # the text that precedes what they are about

    @classmethod
    def of(cls, records: Sequence[T] | Iterator[T], after: str = "") -> "Records[T]":
        result = cls(records)
        result.after = after
        return result

    def _repr_html_(self) -> str:
        return show(self, self.after)._repr_html_()

    def __str__(self) -> str:
        return str(show(self, self.after))


class Checkpoint(on_disk.Checkpoint):
    """A model with its tokenizer. `path` is where it was loaded from.

    Every method takes texts and returns records, whose fields are the names in the command line's JSON.
    """

    def next(self, text: str, *, top: int = 10) -> StepRecord:
        """Return the distribution of the token after `text`: its `top` candidates, and all others summed."""
        _check_top(top)
        return next_token(self.model, self.tokenizer, self._ids(text), top=top)

    def every_token(self, text: str, target: str | None = None, *, top: int = 10) -> Records[StepRecord]:
        """Return the distribution behind each token of `text`; the first has no context, hence no numbers.

        Of a model of pairs, return that behind each token of a `target` of `text`, with its end-of-text.
        """
        _check_top(top)
        read, given = self._scored(text, target)
        return Records.of(every_token(self.model, self.tokenizer, read.ids, top=top, given=given))

    def score(self, text: str, target: str | None = None) -> TextScore:
        """Return what `text` costs the model: nats, bits per byte and perplexity over all tokens but the first.

        Of a model of pairs, return what a `target` of `text` costs, with its end-of-text.
        """
        read, given = self._scored(text, target)
        return text_score(every_token(self.model, self.tokenizer, read.ids, top=1, given=given), read.byte_counts)

    def sample(self, text: str = "", *, count: int = 1, **settings: Any) -> Iterator[Piece]:
        """Continue `text` token by token: a stream of pieces, each with its `text` and its `record`.

        `settings` are the fields of SampleConfig, such as `temperature=0.8`, `top_k=40`, `max_tokens=200`, `seed=1`.
        Biases are given by the tokens' texts, as in `bias={" the": -2}`, or by their ids, as in `bias={"#262": -2}`.
        The names in `stages` may have underscores, as the fields do, or dashes.
        The last piece of each of `count` samples holds its totals, a SampleEnd, whose `text` is the whole. A model of
        pairs writes the target of the source `text`: the most probable one, token by token, unless a temperature is
        given.
        """
        _check_whole("count", count)
        require(count > 0, f"{named('count')} must be 1 or more, not {count}.")
        _check_type("text", text, str)
        if isinstance(bias := settings.get("bias"), Mapping):
            _check_type("bias", dict(bias), Mapping[str, float])
            settings["bias"] = token_biases(self.tokenizer, bias.items())
        known = _known(settings, [field.name for field in fields(SampleConfig)])
        if stages := known.get("stages"):
            known["stages"] = tuple(name.replace("_", "-") for name in stages)
        if self.model.config.reads_pairs:
            check_source(self.model.config, text)
            known = {"temperature": 0.0, **known}
        config = SampleConfig(**known)
        self.tokenizer.encode(text)  # check now, rather than when the first piece is requested
        return generate(self.model, self.tokenizer, text, config, count=count)

    def choose(self, text: str, choices: Sequence[str]) -> Records[Choice]:
        """Return how probable each of `choices` is after `text`, the most probable first. Their spaces count."""
        _check_type("choices", choices, tuple[str, ...])
        require(len(choices) > 0 and all(choices), f"{named('choices')} needs one text or more, none of them empty.")
        return Records.of(weigh(self.model, self.tokenizer, self._ids(text), list(choices)), text)

    @overload
    def attend(self, text: str) -> Records[HeadSummary]: ...
    @overload
    def attend(self, text: str, *, layer: int, head: int | None = None) -> AttentionGrid: ...
    def attend(
        self, text: str, *, layer: int | None = None, head: int | None = None
    ) -> Records[HeadSummary] | AttentionGrid:
        """Return where each attention head looks in `text`.

        With a `layer`, counted from 1, return the whole grid of that layer: the mean of its heads, or one `head`.
        """
        layer, head = _whole_place(layer, head)
        require(
            not self.model.config.reads_pairs,
            f"attend is for a GPT, and this model is {NAMES[self.model.config.model]}: ask align(text).",
        )
        attention = attend(self._gpt("attend shows attention"), self._ids(text))
        if layer is None:
            return Records.of(head_summaries(attention))
        return attention_grid(attention, self.tokenizer, layer, head)

    def align(
        self, text: str, target: str | None = None, *, layer: int | None = None, head: int | None = None
    ) -> AlignmentGrid:
        """Return which words of `text` a model of pairs attends to as it writes each word of its translation.

        `target` is what it writes, by default its own translation. With a `layer`, counted from 1, return the mean of
        its heads, or one `head`; by default, of the layer whose attention has the lowest entropy.
        """
        layer, head = _whole_place(layer, head)
        self._ids(text)
        _check_type("target", target, str | None)
        alignment = with_truth(align(self.torch_model, self.tokenizer, text, target), self.path)
        return alignment_grid(alignment, self.tokenizer, layer, head)

    def shared_word(self, text: str, other_text: str, word: str | None = None) -> SharedWord:
        """Return a word in two texts (by default the longest), layer by layer, and how similar its two vectors are."""
        self._ids(text), self._ids(other_text)
        _check_type("word", word, str | None)
        return shared_word(self._gpt("shared_word shows attention"), self.tokenizer, (text, other_text), word)

    def by_layer(self, text: str, *, track: Sequence[str] = (), top: int = 1) -> Records[LensRow]:
        """Return what each layer would predict after `text`: the logit lens. `track`: tokens to follow."""
        _check_top(top)
        model = self._gpt("by_layer reads the residual stream of every layer")
        return Records.of(by_layer(model, self.tokenizer, self._ids(text), tracked=self._tokens(track), top=top), text)

    def attribution(self, text: str, token: str | None = None) -> Attribution:
        """Return what each token of `text`, left out in turn, contributes to the next (by default the likeliest)."""
        model = self._gpt("attribution leaves tokens out of the keys and values")
        return leave_one_out(model, self.tokenizer, self._ids(text), token=self._token(token))

    def without(
        self, text: str, without: Sequence[str], *, ablation: str = ABLATION, track: Sequence[str] = (), top: int = 10
    ) -> ChangedNext:
        """Return what comes after `text`, and what would `without` some parts, side by side.

        These are such as "layer 2 head 3", "layer 2 mlp" and "position 4"; `ablation` is zero or mean. `track`: tokens
        to list besides the `top` likeliest.
        """
        _check_top(top)
        _check_ablation(ablation)
        model = self._gpt("without switches off heads and MLPs")
        parts = [without] if isinstance(without, str) else without
        _check_type("without", parts, tuple[str, ...])
        ids, tracked = self._ids(text), self._tokens(track)
        return next_without(model, self.tokenizer, ids, parts, ablation=ablation, tracked=tracked, top=top)

    def gates(
        self, text: str, *, layer: int | None = None, units: Sequence[int] = (), top: int = 5
    ) -> Records[StateStep]:
        """Return what an LSTM keeps, forgets and puts out at each token of `text`, or the state of an RNN.

        `layer` counts from 1, by default the last. `units` count from 1, by default the `top` that vary most.
        """
        _check_top(top)
        layer, _ = _whole_place(layer)
        _check_type("units", units, tuple[int, ...])
        model, ids = recurrent(self.torch_model, "gates"), self._ids(text)
        at = check_place(model, layer, units)
        chosen = list(units) or telling_units(model, ids, layer=at, count=top)
        return Records.of(state_steps(model, self.tokenizer, ids, layer=at, units=chosen), text)

    def parts(self, text: str, token: str | None = None, *, ablation: str = ABLATION) -> PartsWorth:
        """Return what each head and MLP contributes to the next token (by default the likeliest) after `text`.

        `ablation`, zero or mean, is how each is switched off in turn.
        """
        _check_ablation(ablation)
        model = self._gpt("parts switches off heads and MLPs")
        return parts_worth(model, self.tokenizer, self._ids(text), token=self._token(token), ablation=ablation)

    def history(self, text: str, *, track: Sequence[str] = (), top: int = 4) -> Records[HistoryRow]:
        """Return what the snapshots of this run expected after `text`, as it learned. `track`: tokens to follow."""
        _check_top(top)

        kept, ids, tracked = snapshots(self.path), self._ids(text), self._tokens(track)
        rows = history(kept, lambda each: self.beside(each.path).model, self.tokenizer, ids, tracked=tracked, top=top)
        return Records.of(rows, text)

    def compare(self, other: on_disk.Checkpoint | str | Path, text: str, *, top: int = 10) -> ComparedNext:
        """Return what this model and `other`, of the same vocabulary, expect after `text`, side by side.

        `other` is a checkpoint, or what `load` opens; its tokenizer then reads special tokens as this one's does.
        """
        _check_top(top)
        self._ids(text)
        if not isinstance(other, on_disk.Checkpoint):
            other = _open(other, self.torch_model.device, "other", **self.tokenizer.reads)
        return compare_next(self, other, text, top=top)

    def embeddings(self, *tokens: str, top: int = 10) -> Records[TokenVector]:
        """Return the vectors of `tokens`, the `top` tokens nearest to each, and the cosines between them."""
        _check_top(top)
        return Records.of(token_vectors(self.torch_model, self.tokenizer, self._tokens(tokens, "tokens"), top=top))

    def positions(self) -> Records[PositionVector]:
        """Return the vector of each position, its cosines to all others, and the sinusoidal one."""
        return Records.of(position_vectors(self._gpt("positions shows the table of positions")))

    def tokenize(self, text: str) -> tuple[CutToken, ...]:
        """Return the tokens of `text`, each with the merges that built it."""
        self._ids(text)
        return tuple(cut(self.tokenizer, text))

    def _ids(self, text: str) -> list[int]:
        return self._read(text).ids

    def _read(self, text: str) -> Encoded:
        _check_type("text", text, str)
        if not text:
            raise CorpusError("There is no text to look at: give one that is not empty.")
        return self.tokenizer.encode_prompt(text)

    def _scored(self, text: str, target: str | None) -> tuple[Encoded, int]:
        """The text, or the pair, to score, and how many of its first tokens are given."""
        read = self._read(text)
        _check_type("target", target, str | None)
        if target is not None:
            return with_target(self.model, self.tokenizer, read, target), len(read.ids)
        kind = NAMES[self.model.config.model]
        require(not self.model.config.reads_pairs, f"This is {kind}, which reads pairs: give a {named('target')}.")
        return read, 0

    def _token(self, text: str | None) -> int | None:
        _check_type("token", text, str | None)
        return None if text is None else single_token(self.tokenizer, text)

    def _tokens(self, texts: Sequence[str], name: str = "track") -> list[int]:
        texts = [texts] if isinstance(texts, str) else texts
        _check_type(name, texts, tuple[str, ...])
        return list(dict.fromkeys(single_token(self.tokenizer, text) for text in texts))

    def _gpt(self, why: str) -> GPT:
        with concerning("path"):
            return gpt_of(self.torch_model, why)


def load(
    path: str | Path, device: str | torch.device = "cpu", *, special: bool = False, no_bos: bool = False
) -> Checkpoint:
    """Load a run's folder, any Hugging Face GPT-2 folder, a GGUF file of one, or a GPT-2 of the Hub by its name.

    With `special`, the names of special tokens in a text are these tokens, not letters; with `no_bos`, the token that
    some tokenizers put before every text is left out.
    Raises CheckpointError, which says what is missing or does not fit. Nothing in a folder is executed.
    """
    return _open(path, resolve_device(str(device)), "path", special=special, no_bos=no_bos)


def _open(path: str | Path, device: torch.device, setting: str, **reading: bool) -> Checkpoint:
    """The checkpoint in a path that this setting gave."""
    _check_path(setting, path)
    try:
        with concerning(setting):
            loaded = on_disk.load(path, device)
    except OSError as error:  # such as a name that is too long for the disk
        raise CheckpointError(f"{brief(str(path))} cannot be opened: {error.strerror}.") from error
    tokenizer = loaded.tokenizer.reading(**reading)
    return Checkpoint(loaded.path, loaded.model, tokenizer, loaded.generation, loaded.notes)


_GROUPS = (TextSettings, Choices, Length, TrainConfig, Output)
_SETTINGS = sorted(
    {name for kind in _GROUPS for name, about in settings_of(kind).items() if about.help}
    - {"corpus", "out", "resume", "dry_run", "tensorboard"}
)
# A group that describes a flag knows best what may be given for it, so it comes last.
_TYPES = {
    name: hint
    for kind in (SampleConfig, TrainConfig, Output, Length, Choices, TextSettings)
    for name, hint in get_type_hints(kind).items()
}


def train(
    corpus: str | Path | Sequence[str | Path] = (),
    *,
    minutes: float | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    base: str | Path | None = None,
    device: str = "auto",
    on_step: Callable[[TrainRecord], object] = lambda record: None,
    on_note: Callable[[str], object] = lambda sentence: None,
    stopped: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Checkpoint:
    """Train a model on `corpus`, as the command does, and return the best one; its run is in the folder `path`.

    `corpus`: files, folders, globs or URLs, one or several; none is Python's own language reference. `minutes`, by
    default 3, or `steps` say how long; `out` is the run's folder, by default checkpoints/NAME; `base` is a checkpoint
    to finetune. `settings` are the command's others under their names in Python, such as `layers=4`, `width=128`,
    `tokenizer="char"`, `seed=1`, `val="held-out.txt"`, `overwrite=True`.

    Nothing is printed and no signal is caught. `on_step` receives the record of each step, `on_note` a sentence about
    each choice that differs from what was asked; the training is saved and ends when `stopped()` is true. An
    interrupted run is continued by `minigpt train --resume` from its last state, which is saved every few minutes, or
    every `save_every` steps. Raises ConfigError, CorpusError and OutputError.
    """
    for name, function in (("on_step", on_step), ("on_note", on_note), ("stopped", stopped)):
        require(callable(function), f"{named(name)} must be a function, not {brief(repr(function))}.")
    own = {"minutes": minutes, "steps": steps, "base": base}
    asked = {**settings, **{name: value for name, value in own.items() if value is not None}}
    given = _known({name: str(value) if isinstance(value, Path) else value for name, value in asked.items()}, _SETTINGS)
    specs = corpus if isinstance(corpus, Sequence) and not isinstance(corpus, str) else [corpus]
    for spec in specs:
        _check_path("corpus", spec)
    if out is not None:
        _check_path("out", out)
    values = {**given, "corpus": tuple(map(str, specs)), "out": None if out is None else Path(out)}
    request = TrainRequest(
        text=build(TextSettings, values),
        choices=build(Choices, values),
        length=build(Length, values),
        training=build(TrainConfig, values),
        output=build(Output, values),
        given=given,
        note=lambda sentence: on_note(spelled(sentence)),
    )
    target = resolve_device(device)
    prepared = request.begin(target)
    assert prepared.begun is not None
    plan, folder, model = prepared.begun
    for sentence in plan.notes:
        request.note(sentence)
    with closing(run(plan, model.to(target), folder, stopped, save_every=request.output.save_every)) as records:
        for record, _ in records:
            on_step(record)
    return load(folder.path, target)


def _known(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    unknown = next((name for name in settings if name not in names), None)
    if unknown is not None:
        raise ConfigError(f"There is no setting {named(unknown)}. There are {', '.join(names)}.")
    known = {name: _own_number(value) for name, value in settings.items()}
    for name, value in known.items():
        _check_type(name, value, _TYPES[name])
    return known


def _own_number(value: Any) -> Any:
    """A number of numpy's as one of Python's; anything else as it is."""
    if isinstance(value, bool | int | float):
        return value
    return int(value) if isinstance(value, Integral) else float(value) if isinstance(value, Real) else value


def _check_type(name: str, value: Any, kind: Any) -> None:
    """Raise ConfigError for a value of another type than the argument's: nothing else checks it before the work."""
    try:
        from_plain(kind, value)
    except Misfit as error:
        what = str(error)  # which begins with the place, if that is inside the value
        raise ConfigError(f"{name}{what}." if what[0] in ".[" else f"{named(name)} {what}.") from error


def _check_path(name: str, value: Any) -> None:
    require(isinstance(value, str | Path), f"{named(name)} must be a path, not {brief(repr(value))}.")


def _check_ablation(ablation: str) -> None:
    _check_type("ablation", ablation, str)
    require_choice("ablation", ablation, ABLATIONS)


def _whole_place(layer: int | None, head: int | None = None) -> tuple[int | None, int | None]:
    """Both as Python's own numbers, which records hold."""
    for name, value in (("layer", layer), ("head", head)):
        if value is not None:
            _check_whole(name, value)
    require(head is None or layer is not None, f"{named('head')} needs a {named('layer')}.")
    return _own_number(layer), _own_number(head)


def _check_top(top: int) -> None:
    _check_whole("top", top)
    check_ranges({"top": int(top)})


def _check_whole(name: str, value: Any) -> None:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    require(is_whole, f"{named(name)} must be a whole number, not {brief(repr(value))}.")
