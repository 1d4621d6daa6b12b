"""What the live page of a model holds: weights, tokenizer, snapshots, and the settings of sampling."""

from collections.abc import Iterator
from typing import Any

from minigpt.checkpoint.folder import Checkpoint, load
from minigpt.checkpoint.listing import snapshots
from minigpt.checkpoint.packed import packed_config, packed_weights
from minigpt.checkpoint.runs import run_of
from minigpt.errors import ConfigError, named
from minigpt.models.gpt import GPT
from minigpt.models.kinds import gpt_of
from minigpt.text.page_tokenizer import page_tokenizer

_MOST = 50_000_000  # characters of a page, of which weights are almost all
_OF_HISTORY = "int8"  # the type of the snapshots' weights


def page_data(checkpoint: Checkpoint, dtype: str) -> dict[str, Any]:
    """All that the page computes with. Raises ConfigError for a model or a tokenizer that a page cannot hold."""
    model = gpt_of(checkpoint.model, "A page computes with GPT-2's blocks")
    weights = packed_weights(model, dtype)
    size = _size(weights)
    if size > _MOST:
        raise ConfigError(
            f"{checkpoint.path} would make a page of {size / 1e6:,.0f} MB; a page holds {_MOST / 1e6:,.0f} MB.\n"
            f"{named('dtype', 'int8')} needs the least, 1.4 bytes a parameter."
        )
    return {
        "config": packed_config(model),
        "dtype": dtype,
        "weights": weights,
        "tokenizer": page_tokenizer(checkpoint.tokenizer),
        "history": list(_history(checkpoint, model, _MOST - size)),
    }


def _size(weights: dict[str, dict[str, Any]]) -> int:
    """The characters of the weights in a page."""
    return sum(len(tensor["data"]) + len(tensor.get("scales", "")) for tensor in weights.values())


def _history(checkpoint: Checkpoint, model: GPT, room: int) -> Iterator[dict[str, Any]]:
    """As many snapshots as fit into the `room`, spread evenly over the training; the final model, which is there, last.

    Their weights are stored in 8 bits each.
    """
    run = run_of(checkpoint.path)
    if run is None or run != checkpoint.path or not any((run / "snapshots").glob("step-*")):
        return
    *kept, final = snapshots(run)
    each = _size(packed_weights(model, _OF_HISTORY))
    count = min(len(kept), room // each)
    for number in range(count):
        snapshot = kept[round(number * (len(kept) - 1) / max(1, count - 1))]
        weights = packed_weights(gpt_of(load(snapshot.path).model, ""), _OF_HISTORY)
        yield {"step": snapshot.step, "bits_per_byte": snapshot.validation_bits_per_byte, "weights": weights}
    yield {"step": final.step, "bits_per_byte": final.validation_bits_per_byte, "weights": None}
