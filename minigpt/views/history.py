"""What the models of one training expected after a text, as they learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import named
from minigpt.sampling.records import Candidate, StepRecord

if TYPE_CHECKING:
    from minigpt.checkpoint.snapshots import Snapshot
    from minigpt.models.kinds import Model
    from minigpt.sampling.distribution import Distribution
    from minigpt.text.tokenizer import Tokenizer

    Load = Callable[[Snapshot], Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """What the model of one step of a training expected after a text."""

    step: int
    final: bool  # the model that the run ended with: the best one
    validation_loss_nats: float | None  # of that model, per token
    validation_bits_per_byte: float | None
    entropy_bits: float
    divergence_bits: float  # D(final || this), what the final model's tokens cost more when coded by this one's
    tracked: tuple[Candidate, ...]  # the same tokens in every row


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerHistoryRow:
    """What each layer of the model of one step of a training would give one token."""

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
    """One row for each of `snapshots`, whose last is the final model, in their order; one model is loaded at a time.

    `tracked`: the tokens whose probability and rank are followed; by default the `top` best of the final model.
    """
    from minigpt.sampling.bits import divergence_bits
    from minigpt.sampling.distribution import best_ids, step_record

    final = _after(load(snapshots[-1]), ids)
    followed = list(tracked) or best_ids(final.logits_V, top)
    for snapshot in snapshots:
        dist = final if snapshot is snapshots[-1] else _after(load(snapshot), ids)
        records = [step_record(dist, tokenizer.token_bytes, position=len(ids), top=1, token=i) for i in followed]
        yield _row(snapshot, records, divergence_bits(final.logits_V, dist.logits_V), final=dist is final)


def history_by_layer(
    snapshots: Sequence[Snapshot], load: Load, tokenizer: Tokenizer, ids: Sequence[int], *, token: int | None = None
) -> Iterator[LayerHistoryRow]:
    """As `history`, for one token at every depth: what each layer of each model would give it (the logit lens).

    `token`: by default the final model's favourite.
    """
    from minigpt.models.inside import layer_logits
    from minigpt.models.kinds import gpt_of
    from minigpt.sampling.distribution import best_ids, distribution, step_record

    if token is None:
        (token,) = best_ids(_after(load(snapshots[-1]), ids).logits_V, 1)
    for snapshot in snapshots:
        dists = map(
            distribution,
            layer_logits(gpt_of(load(snapshot), f"{named('by_layer')} reads the stream from layer to layer"), ids),
        )
        records = [step_record(dist, tokenizer.token_bytes, position=len(ids), top=1, token=token) for dist in dists]
        yield LayerHistoryRow(
            step=snapshot.step,
            final=snapshot is snapshots[-1],
            layers=tuple(record.chosen for record in records if record.chosen),
        )


def _after(model: Model, ids: Sequence[int]) -> Distribution:
    from minigpt.models.decoder import decoder_for
    from minigpt.sampling.distribution import distribution

    return distribution(decoder_for(model).prefill(ids)[0])


def _row(snapshot: Snapshot, records: Sequence[StepRecord], divergence: float, *, final: bool) -> HistoryRow:
    entropy_bits = records[0].entropy_bits
    assert entropy_bits is not None
    return HistoryRow(
        step=snapshot.step,
        final=final,
        validation_loss_nats=snapshot.validation_loss_nats,
        validation_bits_per_byte=snapshot.validation_bits_per_byte,
        entropy_bits=entropy_bits,
        divergence_bits=divergence,
        tracked=tuple(record.chosen for record in records if record.chosen),
    )
