"""Measures how much each token of a prompt contributed to the next one by leaving each out in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import CorpusError, named
from minigpt.records import Record
from minigpt.sampling.records import Candidate
from minigpt.settings import Settings, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minigpt.models.gpt import GPT
    from minigpt.models.native import NativeGPT
    from minigpt.text.tokenizer import Tokenizer

_AT_ONCE = 8  # tokens left out in one pass: each is read as often as it comes after one of them
_MOST = 1 << 28  # bytes of their keys and values


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEffect(Token):
    """The change in the surprisal of the explained token when one token is left out of the prompt."""

    position: int  # from 0, in the prompt
    surprisal_bits: float  # of the explained token, without this one
    effect_bits: float  # log2 p(explained | prompt) - log2 p(explained | prompt without this token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution(Record):
    """How leaving out each token of a prompt changes the log-probability of one next token. Effects do not add up."""

    position: int  # from 0, of the token that is explained
    token: Candidate  # the token that is explained
    surprisal_bits: float  # of it, after the whole prompt
    unseen: int  # tokens before the model's window, which have no effect
    effects: tuple[TokenEffect, ...]


def leave_one_out(
    model: GPT | NativeGPT,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    *,
    token: int | None = None,
    progress: Callable[[int], None] = lambda tokens: None,
) -> Attribution:
    """Explain `token`, by default the most likely one, after `ids`, with one more forward pass per token.

    The effect of token i is log2 p(token | ids) - log2 p(token | ids without i): positive if i made it likelier. The
    tokens after i move up by one position, which is part of the effect. Effects do not add up, because tokens act
    together. Only the model's window is considered, and keeps its start when a token is left out. `progress` receives
    the number of tokens left out. Raises CorpusError if nothing would be left.
    """
    from minigpt.models.decoder import network_of
    from minigpt.models.window import window_start
    from minigpt.sampling.distribution import candidates, distribution, surprisal
    from minigpt.sampling.vocabulary import best_ids

    start = window_start(len(ids), model.config.context)
    window = list(ids[start:])
    if len(window) < 2:
        raise CorpusError(
            f"To leave one out, {named('attribution')} needs a text of two tokens or more, and a context of two."
        )
    network, config = network_of(model), model.config
    rows = max(1, min(_AT_ONCE, len(window), _MOST // (8 * config.layers * config.context * config.width)))
    cache = network.new_cache(rows)
    dist = distribution(network.read([window], cache)[0])
    explained = best_ids(dist.logits_V, 1)[0] if token is None else token
    whole = surprisal(dist.logits_V, explained)
    cache.repeat_first()
    effects = []
    # The last token first: those before the ones left out are in the cache, and only those after them are read again.
    for end in range(len(window), 0, -rows):
        left_out = range(max(0, end - rows), end)
        first = cache.length = min(left_out[0], len(window) - 2)  # without the last token, the one before it is read
        logits_BV = network.read([window[first:i] + window[i + 1 :] for i in left_out], cache)
        for index, logits_V in zip(reversed(left_out), reversed(logits_BV), strict=True):
            without = surprisal(logits_V, explained)
            numbers = {"position": start + index, "surprisal_bits": without, "effect_bits": without - whole}
            effects.append(TokenEffect.of(tokenizer, window[index], **numbers))
            progress(1)
    return Attribution(
        position=len(ids),
        token=candidates(dist, [explained], tokenizer.token_bytes)[0],
        surprisal_bits=whole,
        unseen=start,
        effects=tuple(reversed(effects)),
    )


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    attribution: bool = setting(False, help="Leave out each token in turn, to see its effect on the next one.")
    track: tuple[str, ...] = setting(
        (),
        help=f"A token such as ' the' or #262: to follow with {named('history')} and {named('by_layer')}, or to list "
        f"with {named('without')}, several times if you like; to explain with {named('attribution')} or "
        f"{named('parts')}.",
    )


def _ask(question: Question) -> Answer:
    from minigpt.models.decoder import decoding_threads
    from minigpt.models.network import is_gpt
    from minigpt.models.window import window_start

    explained, model = question.only_tracked(f"{named('attribution')} explains"), question.model
    if not is_gpt(model):
        model = question.gpt(f"{named('attribution')} leaves tokens out of the keys and values")
    seen = len(question.ids) - window_start(len(question.ids), model.config.context)
    with decoding_threads(model):
        progress = question.stages("leaving out", seen, "tokens")
        record = leave_one_out(model, question.tokenizer, question.ids, token=explained, progress=progress)
    return Answer(records=(record,), text=question.text)


VIEW = View(
    record=Attribution,
    ask=_ask,
    title="How much each token contributed to the next one",
    settings=_Flags,
    asked_by=("attribution",),
    takes=("track",),
    needs_torch=False,
)
