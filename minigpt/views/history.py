"""What the snapshots of one training predicted after a text, and what each layer of a model would: the logit lens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from minigpt.errors import CheckpointError, concerning, named
from minigpt.sampling.records import Candidate, Other
from minigpt.settings import Settings, require, setting
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from minigpt.checkpoint.listing import Snapshot
    from minigpt.models.gpt import GPT
    from minigpt.models.network import AnyModel
    from minigpt.text.tokenizer import Tokenizer

    Load = Callable[[Snapshot], AnyModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """What the model of one training step predicted after a text."""

    step: int
    final: bool  # the model that the run ended with: the best one
    validation_loss_nats: float | None  # of that model, per token
    validation_bits_per_byte: float | None
    entropy_bits: float
    divergence_bits: float  # D(final || this), what the final model's tokens cost more when coded by this one's
    tracked: tuple[Candidate, ...]  # the same tokens in every row


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerHistoryRow:
    """The probability and rank of one token in each layer of the model of one training step."""

    step: int
    final: bool
    layers: tuple[Candidate, ...]  # the embeddings first, the model's output last


def history(
    snapshots: Sequence[Snapshot],
    load: Load,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    *,
    tracked: Sequence[int] = (),
    top: int = 4,
) -> Iterator[HistoryRow]:
    """One row for each of `snapshots`, in order, the final model last; one model is loaded at a time.

    `tracked`: the tokens whose probability and rank are followed, by default the final model's `top` candidates.
    """
    from minigpt.sampling.distribution import candidates, divergence_bits
    from minigpt.sampling.score import distribution_after
    from minigpt.sampling.vocabulary import best_ids

    final = distribution_after(load(snapshots[-1]), ids)
    followed = tracked or best_ids(final.logits_V, top)
    for snapshot in snapshots:
        dist = final if snapshot is snapshots[-1] else distribution_after(load(snapshot), ids)
        yield HistoryRow(
            step=snapshot.step,
            final=dist is final,
            validation_loss_nats=snapshot.validation_loss_nats,
            validation_bits_per_byte=snapshot.validation_bits_per_byte,
            entropy_bits=dist.entropy_bits,
            divergence_bits=divergence_bits(final.logits_V, dist.logits_V),
            tracked=candidates(dist, followed, tokenizer.token_bytes),
        )


def history_by_layer(
    snapshots: Sequence[Snapshot], load: Load, tokenizer: Tokenizer, ids: Sequence[int], *, token: int | None = None
) -> Iterator[LayerHistoryRow]:
    """Like `history`, for one token at every depth: its probability in each layer of each model (the logit lens).

    `token`: by default the final model's most likely one.
    """
    from minigpt.models.functional import as_array
    from minigpt.models.inside import layer_logits
    from minigpt.models.kinds import gpt_of
    from minigpt.sampling.distribution import candidates, distribution
    from minigpt.sampling.score import distribution_after
    from minigpt.sampling.vocabulary import best_ids

    if token is None:
        (token,) = best_ids(distribution_after(load(snapshots[-1]), ids).logits_V, 1)
    for snapshot in snapshots:
        model = gpt_of(load(snapshot), f"{named('by_layer')} reads the residual stream of every layer")
        dists = (distribution(as_array(logits_V)) for logits_V in layer_logits(cast("GPT", model), ids))
        layers = tuple(candidates(dist, [token], tokenizer.token_bytes)[0] for dist in dists)
        yield LayerHistoryRow(step=snapshot.step, final=snapshot is snapshots[-1], layers=layers)


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    history: Path | None = setting(
        None,
        help="What a run's snapshots predicted as it learned, one row each; run for the checkpoint's own.",
        metavar="RUN",
        completes="model",
    )


def history_run(flags: Any, checkpoint: Path | None, explicit: bool) -> Path:
    """The run of --history: `run` means that of `checkpoint`, or the newest.

    Raises CheckpointError if there is no such folder, and ConfigError if both are given and the checkpoint is not a
    model of that run.
    """
    from minigpt.checkpoint.folder import find_folder
    from minigpt.checkpoint.runs import check_folder, find_run, newest_run, run_of

    run = find_run(flags.history)
    if run.is_dir() or str(flags.history) != "run":
        with concerning("history"):
            check_folder(run)
            find_folder(run)
        if explicit and checkpoint is not None:
            own = run_of(find_folder(checkpoint))
            require(
                own is not None and own.resolve() == run.resolve(),
                f"{named('checkpoint', checkpoint)} is not a model of the run of {named('history', flags.history)}: "
                "leave one of them out.",
            )
        return run
    own = newest_run() if checkpoint is None else run_of(find_folder(checkpoint))
    if own is None:
        raise CheckpointError(f"{checkpoint} is not a run of minigpt, so it has no history of its training.")
    return own


def _asked(question: Question) -> tuple[Sequence[Snapshot], Load, Tokenizer, Sequence[int]]:
    """What `history` and `history_by_layer` are asked about."""
    from minigpt.checkpoint.listing import snapshots

    kept, beside = snapshots(question.checkpoint.path), question.checkpoint.beside
    return kept, lambda snapshot: beside(snapshot.path).model, question.tokenizer, question.ids


def _ask(question: Question) -> Answer:
    rows = history(*_asked(question), tracked=question.tracked(), top=question.top)
    return Answer(records=list(rows), text=question.text)


def _ask_by_layer(question: Question) -> Answer:
    token = question.only_tracked(f"{named('history')} {named('by_layer')} follows")
    with concerning("checkpoint" if str(question.flags.history) == "run" else "history"):
        rows = list(history_by_layer(*_asked(question), token=token))
    return Answer(records=rows, text=question.text)


VIEW = View(
    record=HistoryRow,
    key="rows",
    ask=_ask,
    title="What the snapshots of a training predicted",
    settings=_Flags,
    asked_by=("history",),
    takes=("track",),
    usual_top=4,
    needs_torch=False,
    checkpoint=history_run,
)
BY_LAYER = View(
    record=LayerHistoryRow,
    key="rows",
    ask=_ask_by_layer,
    title="When, and in which layer, a token was learned",
    asked_by=("history", "by_layer"),
    takes=("track",),
    checkpoint=history_run,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LensRow:
    """The prediction of one layer: its residual stream through the final norm and the output table.

    candidates + other = 1. The last layer's row is the model's output.
    """

    layer: int  # 0: the embeddings; n: after block n
    candidates: tuple[Candidate, ...]  # the best by logit
    other: Other
    entropy_bits: float
    divergence_bits: float  # D(output || this layer)
    tracked: tuple[Candidate, ...]  # the same tokens in every row


def by_layer(
    model: GPT, tokenizer: Tokenizer, ids: Sequence[int], *, tracked: Sequence[int] = (), top: int = 1
) -> list[LensRow]:
    """One row for the embeddings and for each block, predicting what follows `ids` (one or more).

    The logit lens (nostalgebraist, 2020): each row is the residual stream of the last token, through the final layer
    norm and the output table, so the last row is the model's output, bit for bit. Only the last layer was trained to be
    read in this way. `tracked`: tokens whose probability and rank are followed, by default the most likely one.
    """
    from minigpt.models.functional import as_array
    from minigpt.models.inside import layer_logits
    from minigpt.sampling.distribution import all_others, candidates, distribution, divergence_bits
    from minigpt.sampling.vocabulary import best_ids

    dists = [distribution(as_array(logits_V)) for logits_V in layer_logits(model, ids)]
    output = dists[-1]
    followed = tracked or best_ids(output.logits_V, 1)
    rows = []
    for layer, dist in enumerate(dists):
        best = best_ids(dist.logits_V, top)
        rows.append(
            LensRow(
                layer=layer,
                candidates=candidates(dist, best, tokenizer.token_bytes),
                other=all_others(dist, best),
                entropy_bits=dist.entropy_bits,
                divergence_bits=divergence_bits(output.logits_V, dist.logits_V),
                tracked=candidates(dist, followed, tokenizer.token_bytes),
            )
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class _LensFlags(Settings):
    by_layer: bool = setting(False, help="Show what each layer would predict: the logit lens.")


def _ask_lens(question: Question) -> Answer:
    tracked, model = question.tracked(), question.gpt(f"{named('by_layer')} reads the residual stream of every layer")
    rows = by_layer(model, question.tokenizer, question.ids, tracked=tracked, top=question.top)
    return Answer(records=rows, text=question.text)


LENS = View(
    record=LensRow,
    key="rows",
    ask=_ask_lens,
    title="What each layer would predict",
    settings=_LensFlags,
    asked_by=("by_layer",),
    takes=("track",),
)
