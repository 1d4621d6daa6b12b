"""A text in; what each layer of a model would predict after it, out: the logit lens (nostalgebraist, 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import window_start
from minigpt.sampling.distribution import Distribution, best_ids, distribution, step_record
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.divergence import divergence_bits
from minigpt.views.records import LensRow


def by_layer(
    model: GPT, tokenizer: Tokenizer, ids: Sequence[int], *, tracked: Sequence[int] = (), top: int = 1
) -> list[LensRow]:
    """One row for the embeddings and for each block, of what may come after `ids` (one or more).

    Each is the residual stream of the last token there, through the final layer norm and the output table; so the last
    row is the model's output, to the bit. No layer but the last was trained to be read in this way. `tracked`: tokens
    whose probability and rank are followed; by default the most likely one.
    """
    dists = [distribution(logits_V) for logits_V in layer_logits(model, ids)]
    output = dists[-1]
    followed = list(tracked) or best_ids(output.logits_V, 1)
    return [_row(layer, dist, output, tokenizer, len(ids), followed, top) for layer, dist in enumerate(dists)]


@torch.inference_mode()
def layer_logits(model: GPT, ids: Sequence[int]) -> list[Tensor]:
    """The logits [V] after `ids` that each layer would give, the embeddings first, the model's own last."""
    window = ids[window_start(len(ids), model.config.context) :]
    stream: list[Tensor] = []
    model(torch.tensor([window], device=model.device), last_only=True, stream=stream)
    return [model.unembed(x_BTC[:, -1:])[0, 0] for x_BTC in stream]


def _row(
    layer: int,
    dist: Distribution,
    output: Distribution,
    tokenizer: Tokenizer,
    position: int,
    followed: Sequence[int],
    top: int,
) -> LensRow:
    record = step_record(dist, tokenizer.token_bytes, position=position, top=top)
    each = [step_record(dist, tokenizer.token_bytes, position=position, top=1, token=token) for token in followed]
    assert record.other is not None
    assert record.entropy_bits is not None
    return LensRow(
        layer=layer,
        candidates=record.candidates,
        other=record.other,
        entropy_bits=record.entropy_bits,
        divergence_bits=divergence_bits(output.logits_V, dist.logits_V),
        tracked=tuple(step.chosen for step in each if step.chosen),
    )
