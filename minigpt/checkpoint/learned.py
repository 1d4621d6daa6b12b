"""Whether the model of a run has learned anything, as its run.json tells. Loads no torch.

A model counts as untrained while it predicts its text no better than the frequencies of the tokens alone do, without
any context (a unigram model, counted in the training text). It is measured on the validation text, or, where a run has
none or was stopped before it was evaluated, on the training text. A model that was given to the run and is still as it
was is not judged, nor is a run that does not know that loss.
"""

import math
from collections.abc import Mapping
from typing import Any

FINISHED = ("finished", "untrained")  # what the status of a run is that took all its steps, or all its time


def is_untrained(info: Mapping[str, Any]) -> bool:
    """`info`: the contents of run.json."""
    unigram, saved = _number(_part(info, "corpus"), "unigram_loss_nats"), _part(info, "saved")
    if unigram is None:
        return False
    validation = _number(saved, "validation_loss_nats")
    loss = _number(saved, "loss_nats") if validation is None else validation
    if loss is None:  # nothing was saved yet
        return _part(info, "choices").get("base") is None
    return loss >= unigram


def fitted_steps(info: Mapping[str, Any]) -> int:
    """How many steps a run took: those that it says at its end, or that of the model that it keeps; 0 at least."""
    taken = info.get("steps_taken", _part(info, "saved").get("step"))
    return taken if type(taken) is int and taken > 0 else 0


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value: Any = values.get(name)
    return value if type(value) in (int, float) and abs(value) < math.inf else None
