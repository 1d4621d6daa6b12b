"""A text and the models of one training in; what each of them expected after the text, out."""

from collections.abc import Callable, Iterator, Sequence

import torch

from minigpt.checkpoint.snapshots import Snapshot
from minigpt.errors import named
from minigpt.models.kinds import Model, decoder_for, gpt_of
from minigpt.sampling.distribution import Distribution, best_ids, distribution, step_record
from minigpt.sampling.records import StepRecord
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.divergence import divergence_bits
from minigpt.views.lens import layer_logits
from minigpt.views.records import HistoryRow, LayerHistoryRow

Load = Callable[[Snapshot], Model]


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
    with torch.inference_mode():
        return distribution(decoder_for(model).prefill(ids))


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
