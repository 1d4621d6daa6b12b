"""How surprising each token of a given target is to a model of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from minigpt.errors import named
from minigpt.sampling.records import StepLogits, StepRecord, first_token
from minigpt.settings import Settings, require, setting
from minigpt.views.probs import UNFILTERED, TextTally, every_token
from minigpt.views.view import Answer, Question, Stream, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from minigpt.models.encoder_decoder import EncoderDecoder
    from minigpt.models.network import AnyModel
    from minigpt.text.tokenizer import Encoded, Tokenizer


def with_target(model: AnyModel, tokenizer: Tokenizer, source: Encoded, target: str) -> Encoded:
    """A pair as one sequence: the source with its end-of-text, then the target with its own.

    Raises ConfigError if the model reads no pairs, if the target is empty, or if a side exceeds the model's context.
    """
    require(
        model.config.reads_pairs,
        f"{named('target')} goes with a model of pairs; a GPT continues one text: {named('every')} scores that.",
    )
    target = target.strip()
    require(bool(target), f"{named('target')} is empty: give the text whose tokens are scored.")
    ids = tokenizer.encode(target)
    pair = [*source.ids, *ids, tokenizer.end_of_text]
    cast("EncoderDecoder", model).fitting(pair)
    return type(source)(pair, [*source.byte_counts, *tokenizer.byte_counts(target, ids).tolist(), 0])


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    target: str | None = setting(
        None, help="Score this target of the text, token by token; for a model of pairs.", metavar="TEXT"
    )


def _encoded(question: Question) -> Encoded:
    from minigpt.text.tokenizer import Encoded

    source = Encoded(list(question.ids), list(question.byte_counts))
    return with_target(question.model, question.tokenizer, source, question.flags.target)


def _ask(question: Question) -> Answer:
    from minigpt.text.losses import loss_note

    model, tokenizer, given = question.model, question.tokenizer, len(question.ids)
    ids, byte_counts = _encoded(question)
    if lost := loss_note(tokenizer, question.flags.target):
        question.note(lost)
    return Answer(
        records=Stream(lambda: every_token(model, tokenizer, ids, top=question.top, given=given)),
        text=question.text.strip(),
        tally=partial(TextTally, byte_counts),
        fields={"target": question.flags.target.strip()},
        facts={"tokens": [first_token(tokenizer, token).token for token in set(ids[given:])]},
    )


def _page(question: Question, answer: Answer) -> Iterable[StepRecord | StepLogits]:
    from minigpt.sampling.page_steps import every_step, listed

    ids, given = _encoded(question).ids, len(question.ids)
    return every_step(question.checkpoint, ids, UNFILTERED, listed(len(ids) - given), given=given)


VIEW = View(
    record=StepRecord,
    key="steps",
    ask=_ask,
    title="How surprising each token of the target is",
    settings=_Flags,
    asked_by=("target",),
    page=_page,
    tokens_ahead=None,
    at_end=False,
    needs_torch=False,
    of_pairs=True,
)
