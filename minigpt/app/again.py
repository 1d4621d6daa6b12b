"""The entries of run.json that repeat a run: how its text was named, and the command with every choice as a flag."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch

from minigpt.errors import as_flag
from minigpt.settings import DEFAULT_MINUTES, Choices, Length, Machine, TextSettings, TrainConfig, settings_of
from minigpt.training.finetune import OWN
from minigpt.training.plan import Plan

_IMPLIED = ("preset", "dry_run")  # a preset by the shape that it stands for


def again(
    text: TextSettings, length: Length, plan: Plan, choices: Choices, device: torch.device, base: str | None = None
) -> dict[str, Any]:
    """`text`, the arguments that named a run's text, and `command`, the arguments that repeat the run.

    Paths are as they were given; `base` names the model that the run starts from, if one is given. With the same
    threads and device, a CPU gives the same weights bit for bit.
    """
    text_settings = {name: _storable(value) for name, value in asdict(text).items()}
    corpus = list(text_settings.pop("corpus"))
    values = {
        **asdict(choices),
        **asdict(plan.model),
        **asdict(plan.train),
        **text_settings,
        "base": None if base is None else _storable(base),
        "vocab_size": plan.model.vocab_size if choices.tokenizer == "bpe" else None,
        "val_fraction": choices.val_fraction if text.val is None else None,
        "part": choices.part if choices.part < 1 else None,
        "freeze": plan.train.freeze or None,
        # Where it would be chosen again.
        "no_gradient_checkpointing": base is not None and not plan.train.gradient_checkpointing,
        "minutes": None if plan.train.seconds is None else length.minutes or DEFAULT_MINUTES,
        "steps": plan.train.steps if plan.train.seconds is None else None,
        "device": str(device),
        "threads": torch.get_num_threads(),
    }
    if base is not None:
        values.update(dict.fromkeys(OWN))
    # A file's name may begin with a hyphen; - alone is standard input.
    files = [f"./{spec}" if spec.startswith("-") and spec != "-" else spec for spec in corpus]
    return {"text": {"corpus": corpus, **text_settings}, "command": ["minigpt", "train", *files, *_as_flags(values)]}


def _as_flags(values: Mapping[str, Any]) -> Iterator[str]:
    """Every setting of a training that has a flag, unless its value is that of the flag's absence."""
    for kind in (TextSettings, Choices, Length, TrainConfig, Machine):
        for name, about in settings_of(kind).items():
            for each in (name, f"no_{name}") if about.off else (name,):
                value = values.get(each)
                if about.help and each not in _IMPLIED and value is not None and value is not False and value != ():
                    yield f"--{about.flag}" if about.flag else as_flag(each)
                    if value is not True:
                        yield str(value)


def _storable(value: Any) -> Any:
    """Replace bytes in names that are not UTF-8, which JSON cannot hold."""
    if isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    return [_storable(each) for each in value] if isinstance(value, list | tuple) else value
