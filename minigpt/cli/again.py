"""What a run was made with, in; what repeats it, out: the command, with every choice as a flag."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from minigpt.settings import DEFAULT_MINUTES, Choices

if TYPE_CHECKING:
    import torch

    from minigpt.training.plan import Plan

_TEXT = ("encoding", "field", "val")
_SHAPE = ("vocab_size", "context", "layers", "heads", "width", "dropout", "model", "window")
_FURTHER = ("context", "dropout")  # what may be said of a model that is given


def again(
    params: Mapping[str, Any], plan: "Plan", choices: Choices, device: "torch.device", base: str | None = None
) -> dict[str, Any]:
    """The entries of run.json that repeat a run: `text`, its flags about the text, and `command`, a list of arguments.

    Paths are as they were given; `base` names the model that the run begins with, if one is given. Where threads and
    device are these too, the weights are the same to the bit on the same CPU.
    """
    import torch

    corpus = [_storable(spec) for spec in params["corpus"] or ()]
    text = {name: value if (value := params[name]) is None else _storable(value) for name in _TEXT}
    shape = {name: getattr(plan.model, name) for name in (_SHAPE if base is None else _FURTHER)}
    shape["vocab_size"] = plan.model.vocab_size if choices.tokenizer == "bpe" else None
    flags = {
        "from": None if base is None else _storable(base),
        **text,
        "val_fraction": choices.val_fraction if text["val"] is None else None,
        "part": choices.part if choices.part < 1 else None,
        "tokenizer": choices.tokenizer,
        **shape,
        **_length(params["minutes"], asdict(plan.train)),
        **_further(plan, base),
        "device": str(device),
        "threads": torch.get_num_threads(),
    }
    # A file's name may begin with a hyphen; - alone is standard input.
    named = [f"./{spec}" if spec.startswith("-") and spec != "-" else spec for spec in corpus]
    return {"text": {"corpus": corpus, **text}, "command": ["minigpt", "train", *named, *_as_flags(flags)]}


def _further(plan: "Plan", base: str | None) -> dict[str, Any]:
    """What is said only, or not at all, of a model that is given."""
    twice = plan.train.gradient_checkpointing
    return {
        "positions": plan.train.positions if base is None else None,
        "freeze": plan.train.freeze or None,
        "no_gradient_checkpointing": base is not None and not twice,  # where it would be chosen again
    }


def _length(minutes: float | None, train: dict[str, Any]) -> dict[str, Any]:
    """How long a run trains: so many minutes, or so many steps."""
    del train["steps_suffice"]
    if train.pop("seconds") is None:
        return train
    return {**train, "steps": None, "minutes": DEFAULT_MINUTES if minutes is None else minutes}


def _as_flags(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if value is not None and value is not False:
            yield f"--{name.replace('_', '-')}"
            if value is not True:
                yield str(value)


def _storable(text: str) -> str:
    """Names may hold bytes that are no UTF-8, which JSON cannot."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
