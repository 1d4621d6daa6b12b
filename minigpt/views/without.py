"""What comes next if heads or MLPs are switched off, or tokens of the text are left out, beside what usually does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from minigpt.errors import ConfigError, CorpusError, brief, escaped, named
from minigpt.models.parts import ABLATIONS, Part
from minigpt.records import Record
from minigpt.settings import Settings, require, setting, up_to
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minigpt.models.gpt import GPT
    from minigpt.sampling.distribution import Distribution
    from minigpt.text.tokenizer import Tokenizer

ABLATION = "zero"  # the default


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut(Token):
    """A token of the text that the model does not read."""

    position: int  # from 0, in the whole text


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedToken(Token):
    """A token that could come next: its numbers in the unchanged model, and without what is switched off."""

    rank: int
    changed_rank: int
    logit: float
    changed_logit: float
    raw_prob: float
    changed_raw_prob: float
    change_bits: float  # log2(changed_raw_prob / raw_prob): negative for a token that became less likely


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedOther:
    """All tokens that are not listed, summed."""

    count: int
    raw_prob: float
    changed_raw_prob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedNext(Record):
    """What comes after a text, usually and without some parts of the model or of the text (`changed_`).

    candidates + other = 1 in both.
    """

    parts: tuple[Part, ...]  # that are switched off
    ablation: str  # how: zero or mean
    left_out: tuple[LeftOut, ...]
    position: int  # from 0, of the token that is predicted
    unseen: int  # tokens before the model's window, which it does not read
    candidates: tuple[ChangedToken, ...]  # the likeliest in either, the likeliest first; then those that are tracked
    other: ChangedOther
    entropy_bits: float
    changed_entropy_bits: float
    divergence_bits: float  # D(unchanged || changed)
    changed_divergence_bits: float  # D(changed || unchanged)


class Removal(NamedTuple):
    """What is to be switched off, and the positions of the tokens to be left out, each once."""

    parts: tuple[Part, ...]
    positions: tuple[int, ...]


def removal(texts: Sequence[str]) -> Removal:
    """What is given as `layer 2 head 3`, `layer 2 mlp` or `position 4`, each once. Raises ConfigError."""
    parts, positions = dict[Part, None](), dict[int, None]()
    for text in texts:
        found = _PART.fullmatch(text)
        if found is None:
            raise ConfigError(
                f'{named("without")} takes "layer 2 head 3", "layer 2 mlp" or "position 4", not '
                f'"{brief(escaped(text)) if text else ""}".'
            )
        if found["position"]:
            positions[int(found["position"])] = None
        elif found["head"]:
            parts[Part("head", int(found["layer"]), int(found["head"]))] = None
        else:
            parts[Part("mlp", int(found["layer"]))] = None
    return Removal(tuple(parts), tuple(positions))


_PART = re.compile(
    r"\s*(?:layer\s*(?P<layer>\d{1,9})[\s,]*(?:head\s*(?P<head>\d{1,9})|mlp)|position\s*(?P<position>\d{1,9}))\s*",
    re.ASCII | re.IGNORECASE,
)


def next_without(
    model: GPT,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    texts: Sequence[str],
    *,
    ablation: str = ABLATION,
    tracked: Sequence[int] = (),
    top: int = 10,
) -> ChangedNext:
    """Both distributions after `ids` (one or more): the usual one, and the one without what `texts` name.

    A text is such as `layer 2 head 3`, `layer 2 mlp` or `position 4`. A head or MLP is switched off at every position,
    by `ablation`: its output is replaced by zero, or by its mean over the text. A token that is left out is not read,
    and those after it move up by one position. Only the model's window is read, and keeps its start when tokens are
    left out. `tracked`: tokens to list besides the `top` likeliest of both. Raises ConfigError for what the model or
    the text does not have, CorpusError if no token would be left.
    """
    from minigpt.models.ablation import logits_without
    from minigpt.models.functional import as_array
    from minigpt.models.window import window_start
    from minigpt.sampling.distribution import distribution, divergence_bits

    asked = removal(texts)
    start = window_start(len(ids), model.config.context)
    _check(asked, model, len(ids), start)
    read = [token for position, token in enumerate(ids[start:], start) if position not in asked.positions]
    if not read:
        raise CorpusError(f"{named('without')} leaves no token to read: keep at least one token of the text.")
    usual = distribution(as_array(logits_without(model, ids, ())))
    changed = distribution(as_array(logits_without(model, read, asked.parts, ablation)))
    candidates, other = _both(usual, changed, tokenizer, tracked, top)
    return ChangedNext(
        parts=asked.parts,
        ablation=ablation,
        left_out=tuple(LeftOut.of(tokenizer, ids[position], position=position) for position in asked.positions),
        position=len(ids),
        unseen=start,
        candidates=candidates,
        other=other,
        entropy_bits=usual.entropy_bits,
        changed_entropy_bits=changed.entropy_bits,
        divergence_bits=divergence_bits(usual.logits_V, changed.logits_V),
        changed_divergence_bits=divergence_bits(changed.logits_V, usual.logits_V),
    )


def _check(asked: Removal, model: GPT, length: int, start: int) -> None:
    """Raise ConfigError for a part that the model does not have, or a token that it does not read."""
    layers, heads = model.config.layers, model.config.heads
    for part in asked.parts:
        given = named("without", f'"{part.name}"')
        for name, number, most in (("layer", part.layer, layers), ("head", part.head, heads)):
            within = number is None or 1 <= number <= most
            require(within, f"{given}: the {name} must be {up_to(most)}, not {number}.")
    for position in asked.positions:
        given = named("without", f'"position {position}"')
        require(position < length, f"{given}: the text has positions 0 to {length - 1}.")
        require(position >= start, f"{given}: the model does not read it, for its window begins at position {start:,}.")


def _both(
    usual: Distribution, changed: Distribution, tokenizer: Tokenizer, tracked: Sequence[int], top: int
) -> tuple[tuple[ChangedToken, ...], ChangedOther]:
    """The tokens that are likeliest in either, and those tracked; and all others, summed."""
    import numpy as np

    from minigpt.sampling.distribution import all_others, candidates, surprisal
    from minigpt.sampling.vocabulary import best_ids

    listed = list(dict.fromkeys([*best_ids(np.maximum(usual.raw_V, changed.raw_V), top), *tracked]))
    pairs = zip(*(candidates(dist, listed, tokenizer.token_bytes) for dist in (usual, changed)), strict=True)
    tokens = tuple(
        ChangedToken.of(
            tokenizer,
            before.id,
            rank=before.rank,
            changed_rank=after.rank,
            logit=before.logit,
            changed_logit=after.logit,
            raw_prob=before.raw_prob,
            changed_raw_prob=after.raw_prob,
            change_bits=surprisal(usual.logits_V, before.id) - surprisal(changed.logits_V, before.id),
        )
        for before, after in pairs
    )
    rest, changed_rest = all_others(usual, listed), all_others(changed, listed)
    return tokens, ChangedOther(count=rest.count, raw_prob=rest.raw_prob, changed_raw_prob=changed_rest.raw_prob)


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    without: tuple[str, ...] = setting(
        (),
        help='Switch off a part of the model, such as "layer 2 head 3" or "layer 2 mlp", or leave out a token of the '
        'text, such as "position 4", and compare. May be given several times.',
        metavar="PART",
    )
    ablation: str | None = setting(
        None,
        help=f"How heads and MLPs are switched off: {{values}}. By default {ABLATION}.",
        choices=ABLATIONS,
        remarks=ABLATIONS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = removal(self.without).parts  # raises ConfigError
        require(
            self.ablation is None or not self.without or bool(parts),
            f"{named('ablation')} is for heads and MLPs: a token is left out, not replaced.",
        )


def _ask(question: Question) -> Answer:
    from minigpt.models.decoder import decoding_threads

    flags, tracked = question.flags, question.tracked()
    model = question.gpt(f"{named('without')} switches off heads and MLPs")
    with decoding_threads(model):
        record = next_without(
            model,
            question.tokenizer,
            question.ids,
            flags.without,
            ablation=flags.ablation or ABLATION,
            tracked=tracked,
            top=question.top,
        )
    return Answer(records=(record,), text=question.text)


VIEW = View(
    record=ChangedNext,
    ask=_ask,
    title="What comes next without some parts",
    settings=_Flags,
    asked_by=("without",),
    takes=("ablation", "track"),
)
