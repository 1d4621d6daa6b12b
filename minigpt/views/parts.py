"""What each head and MLP is worth to the next token: what it adds to its logit, and what changes without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import named
from minigpt.models.parts import Part
from minigpt.records import Record
from minigpt.sampling.records import Candidate
from minigpt.settings import Settings, setting
from minigpt.views.view import Answer, Question, View
from minigpt.views.without import ABLATION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minigpt.models.gpt import GPT
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class PartWorth:
    """What one part of a GPT does to one token that may come next. `kind`, `layer` and `head` are those of a `Part`."""

    kind: str
    layer: int | None  # from 1
    head: int | None  # from 1
    contribution: float  # to the logit, directly
    change_bits: float | None  # log2(raw_prob without it / raw_prob); None for what cannot be switched off

    @property
    def part(self) -> Part:
        return Part(self.kind, self.layer, self.head)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsWorth(Record):
    """What all parts of a GPT do to one token that may come next.

    The contributions add up to the logit: `contribution_sum` is their sum in float64, and `token.logit` what the model
    computed in its own precision. The changes do not add up, because parts act together.
    """

    position: int  # from 0, of the token that is predicted
    token: Candidate  # the token that is explained
    surprisal_bits: float  # of it
    unseen: int  # tokens before the model's window, which it does not read
    ablation: str  # how parts are switched off: zero or mean
    parts: tuple[PartWorth, ...]  # heads and MLPs, the largest change first; then the others, as the stream meets them
    contribution_sum: float


def parts_worth(
    model: GPT,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    *,
    token: int | None = None,
    ablation: str = ABLATION,
    progress: Callable[[int], None] = lambda parts: None,
) -> PartsWorth:
    """What each part does to `token`, by default the most likely one, after `ids` (one or more).

    A contribution is direct logit attribution: the part's vector in the residual stream of the last token through the
    final norm, whose mean and scale stay those of the whole stream, and through the output table. It is the logit lens
    (nostalgebraist, 2020) of a single part; Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021.
    A change is that of switching this part off, as `next_without` does, by `ablation`. `progress` receives the number
    of parts switched off. Raises CheckpointError if logits are not finite.
    """
    from minigpt.models.ablation import contributions, logits_without, logits_without_each_part
    from minigpt.models.functional import as_array
    from minigpt.models.window import window_start
    from minigpt.sampling.distribution import candidates, distribution, surprisal
    from minigpt.sampling.vocabulary import best_ids

    dist = distribution(as_array(logits_without(model, ids, ())))
    explained = best_ids(dist.logits_V, 1)[0] if token is None else token
    usual = surprisal(dist.logits_V, explained)
    changes: dict[Part, float] = {}
    for part, logits_V in logits_without_each_part(model, ids, ablation):
        changes[part] = usual - surprisal(as_array(logits_V), explained)
        progress(1)
    direct = contributions(model, ids, explained)
    ranked = sorted(changes, key=lambda part: -abs(changes[part]))
    return PartsWorth(
        position=len(ids),
        token=candidates(dist, [explained], tokenizer.token_bytes)[0],
        surprisal_bits=usual,
        unseen=window_start(len(ids), model.config.context),
        ablation=ablation,
        parts=tuple(
            PartWorth(
                kind=part.kind,
                layer=part.layer,
                head=part.head,
                contribution=direct[part],
                change_bits=changes.get(part),
            )
            for part in [*ranked, *(part for part in direct if part not in changes)]
        ),
        contribution_sum=math.fsum(direct.values()),
    )


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    parts: bool = setting(
        False,
        help="Show what each head and MLP adds to the next token's logit, and how much less likely the token is "
        "without it.",
    )


def _ask(question: Question) -> Answer:
    from minigpt.models.decoder import decoding_threads

    explained = question.only_tracked(f"{named('parts')} explains")
    model, flags = question.gpt(f"{named('parts')} switches off heads and MLPs"), question.flags
    with decoding_threads(model):
        progress = question.stages("switching off", model.config.layers * (model.config.heads + 1), "parts")
        record = parts_worth(
            model,
            question.tokenizer,
            question.ids,
            token=explained,
            ablation=flags.ablation or ABLATION,
            progress=progress,
        )
    return Answer(records=(record,), text=question.text, facts={"top": question.top})


VIEW = View(
    record=PartsWorth,
    ask=_ask,
    title="What each part of the model contributes to the next token",
    settings=_Flags,
    asked_by=("parts",),
    takes=("ablation", "track"),
)
