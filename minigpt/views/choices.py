"""How probable each of several texts is after a prompt, or each label that a model of pairs was trained to give."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import ConfigError, brief, escaped, named
from minigpt.sampling.records import ScoredToken
from minigpt.settings import Settings, require, setting
from minigpt.text.arguments import joined_choices, running_together, split_choices
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.models.network import AnyModel
    from minigpt.text.tokenizer import Tokenizer

_AT_ONCE = 8  # texts, each with a cache of a whole context


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several continuations of a prompt: its probability, and its share among them."""

    text: str
    tokens: tuple[ScoredToken, ...]
    bytes: int
    raw_prob: float  # of all its tokens, one after the other; exp(-total_nats)
    total_nats: float  # -ln raw_prob, 0 or more
    nats_per_byte: float
    bits_per_byte: float
    share: float  # raw_prob / the sum of all choices' raw_prob
    share_per_byte: float  # the same for exp(-nats_per_byte), which does not fall with length


def weigh(
    model: AnyModel, tokenizer: Tokenizer, ids: Sequence[int], texts: Sequence[str], *, whole: bool = False
) -> tuple[Choice, ...]:
    """Score each of `texts` (none empty) as a continuation of `ids` (one or more), the most probable first.

    A text is tokenized on its own, so the prompt's tokens stay as they are, and its surprisal is the sum over its
    tokens, in the windows of sampling. Longer texts are less probable; `share_per_byte` corrects for length, as in the
    evaluation of language models (Gao, "Multiple Choice Normalization in LM Evaluation", 2021). With `whole`, the text
    ends there: end-of-text is its last token.
    """
    encoded = [[*tokenizer.encode(text), *([tokenizer.end_of_text] if whole else [])] for text in texts]
    groups = [encoded[i : i + _AT_ONCE] for i in range(0, len(encoded), _AT_ONCE)]
    tokens = [tuple(row) for group in groups for row in _scored(model, tokenizer, ids, group)]
    nats = [math.fsum(token.nats for token in row) for row in tokens]
    by_byte = [total / len(text.encode()) for text, total in zip(texts, nats, strict=True)]
    choices = [
        Choice(
            text=text,
            tokens=row,
            bytes=len(text.encode()),
            raw_prob=math.exp(-total),
            total_nats=total,
            nats_per_byte=per_byte,
            bits_per_byte=per_byte / math.log(2),
            share=share,
            share_per_byte=share_per_byte,
        )
        for text, row, total, per_byte, share, share_per_byte in zip(
            texts, tokens, nats, by_byte, _shares(nats), _shares(by_byte), strict=True
        )
    ]
    return tuple(sorted(choices, key=lambda choice: choice.total_nats))


def _scored(
    model: AnyModel, tokenizer: Tokenizer, ids: Sequence[int], texts: Sequence[Sequence[int]]
) -> list[list[ScoredToken]]:
    """Every token of every text: `ids` are read once, then all texts continue as a batch, each until it ends."""
    from minigpt.models.decoder import decoder_for
    from minigpt.sampling.distribution import distribution
    from minigpt.sampling.score import scored

    decoder, found = decoder_for(model, len(texts)), [list[ScoredToken]() for _ in texts]
    logits_BV, rows = decoder.prefill(ids), list(range(len(texts)))
    while True:
        for row, logits_V in zip(rows, logits_BV, strict=True):
            found[row].append(scored(distribution(logits_V), tokenizer, texts[row][len(found[row])]))
        left = [i for i, row in enumerate(rows) if len(found[row]) < len(texts[row])]
        if not left:
            return found
        decoder.keep(left)
        rows = [rows[i] for i in left]
        logits_BV = decoder.step([found[row][-1].id for row in rows])


def _shares(nats: Sequence[float]) -> list[float]:
    """exp(-nats), normalised. The smallest value is subtracted first, so that none underflows."""
    weights = [math.exp(min(nats) - cost) for cost in nats]
    return [weight / math.fsum(weights) for weight in weights]


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    choices: str | None = setting(
        None,
        help="Continuations to compare by probability. Spaces count; quote a comma inside as in CSV.",
        metavar="A,B,...",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.choices is not None:
            split_choices(self.choices)  # raises ConfigError


def _ask(question: Question) -> Answer:
    from minigpt.models.decoder import decoding_threads
    from minigpt.text.losses import loss_note

    texts, of_pairs = split_choices(question.flags.choices), question.model.config.reads_pairs
    if of_pairs:  # whole targets, which have no white space around them
        texts = tuple(dict.fromkeys(text.strip() for text in texts))
    with decoding_threads(question.model):
        choices = weigh(question.model, question.tokenizer, question.ids, texts, whole=of_pairs)
    lost = filter(None, [loss_note(question.tokenizer, *texts)])
    about = () if of_pairs else (*_about_spaces(question.text, texts), *_about_beginnings(choices))
    for sentence in (*lost, *about):
        question.note(sentence)
    return Answer(records=choices, text=question.text)


def _tokens_ahead(question: Question) -> int:
    """The number of tokens of the longest choice that are read before its last one is predicted."""
    encode = question.tokenizer.encode
    return max(len(encode(text)) - 1 for text in split_choices(question.flags.choices))


def _about_spaces(prompt: str, texts: Sequence[str]) -> Iterator[str]:
    """A note about leading spaces, which are kept as given: every choice may need one, or none."""
    together, spaced = running_together(prompt, texts), [text for text in texts if text[0] == " "]
    if together:
        asked = shlex.quote(joined_choices([" " + text if text in together else text for text in texts]))
        end = escaped(prompt[-12:] + together[0])
        begin = f'the text and "{brief(escaped(together[0]))}" run together: "{end}".'
        yield f"{begin} Spaces count: {named('choices', asked)}"
    elif spaced and len(spaced) < len(texts):
        asked = shlex.quote(joined_choices([text.removeprefix(" ") for text in texts]))
        yield f"some choices begin with a space and others do not. Spaces count: {named('choices', asked)}"


def _about_beginnings(choices: Sequence[Choice]) -> Iterator[str]:
    """A note about a choice that begins with another, because a text with the longer one counts for both."""
    ids = {choice.text: [token.id for token in choice.tokens] for choice in choices}
    for short in ids:
        longer = next((text for text in ids if text != short and ids[text][: len(ids[short])] == ids[short]), None)
        if longer is not None:
            part, whole = brief(escaped(short)), brief(escaped(longer))
            yield f'"{part}" is the beginning of "{whole}", so its probability includes that one\'s.'


VIEW = View(
    record=Choice,
    key="choices",
    ask=_ask,
    title="How probable each choice is",
    settings=_Flags,
    asked_by=("choices",),
    tokens_ahead=_tokens_ahead,
    needs_torch=False,
    of_pairs=True,
)


def known_labels(checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """The labels that the checkpoint's run was trained on, if it is one, and if its targets are labels."""
    from minigpt.checkpoint.runs import RUN, read_run_info, run_of

    run = run_of(checkpoint.path)
    return None if run is None else read_run_info(run / RUN).corpus.labels


@dataclass(frozen=True, kw_only=True)
class _LabelFlags(Settings):
    labels: bool = setting(
        False, help="Show how probable each label is; for a model of pairs whose targets are a few labels."
    )


def _ask_labels(question: Question) -> Answer:
    from minigpt.models.decoder import decoding_threads

    flag, choices = named("labels"), named("choices", "A,B,...")
    require(
        question.model.config.reads_pairs,
        f"{flag} goes with a model of pairs; a GPT continues one text: {choices} compares continuations.",
    )
    labels = known_labels(question.checkpoint)
    if not labels:
        raise ConfigError(
            f"{flag} needs a run whose training targets are labels, two or more that recur; this one records none. "
            f"{choices} compares any texts."
        )
    with decoding_threads(question.model):
        found = weigh(question.model, question.tokenizer, question.ids, labels, whole=True)
    return Answer(records=found, text=question.text.strip())


LABELS = View(
    record=Choice,
    key="labels",
    ask=_ask_labels,
    title="How probable each label is",
    settings=_LabelFlags,
    asked_by=("labels",),
    tokens_ahead=None,
    needs_torch=False,
    of_pairs=True,
)
