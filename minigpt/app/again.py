"""A run once more: the entries of run.json that repeat it, and how one that was stopped is continued."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from minigpt.checkpoint.files import storable
from minigpt.checkpoint.runs import FINISHED, RUN, find_run, newest_run, read_run_info
from minigpt.errors import CheckpointError, as_flag
from minigpt.settings import DEFAULT_MINUTES, Choices, Length, Machine, Output, TextSettings, TrainConfig, settings_of
from minigpt.training.finetune import OWN
from minigpt.training.plan import Plan
from minigpt.training.resume import StartedRun, begun_model, open_run

_IMPLIED = ("preset", "dry_run")  # a preset by the shape that it stands for
_DESCRIBED = [
    (name, about)
    for kind in (TextSettings, Choices, Length, TrainConfig, Output)
    for name, about in settings_of(kind).items()
]
# What belongs to a run; any other setting may be given anew at every start.
_KEPT = {name for name, _ in _DESCRIBED} - {name for name, about in _DESCRIBED if about.anew}


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
        return storable(value)
    return [_storable(each) for each in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Finished:
    """A run with nothing left to do."""

    path: Path
    plan: Plan
    info: Mapping[str, Any]


def as_before(run: str, given: Mapping[str, Any], machine: Machine) -> Machine:
    """The CPU threads and device of the first session, unless others are given, so losses repeat bit for bit."""
    try:
        before = read_run_info(_named(run) / RUN)
    except CheckpointError:  # which is reported when the run is opened
        return machine
    if "threads" not in given and before.threads is not None:
        machine = replace(machine, threads=min(before.threads, torch.get_num_threads()))
    return replace(machine, device="cpu") if "device" not in given and before.device == "cpu" else machine


def reopen(run: str, given: Mapping[str, Any], note: Callable[[str], object]) -> StartedRun | Finished:
    """A run that can continue, with its model; `note` receives a sentence about it."""
    path = _named(run)
    kept = {name: given[name] for name in sorted(given.keys() & _KEPT)}
    if "corpus" in kept:
        kept["corpus"] = list(kept["corpus"])  # as JSON has it
    plan, folder = open_run(path, kept, given.get("steps"), given.get("minutes"))
    if folder.info.get("status") in FINISHED:
        return Finished(path, plan, folder.info)
    folder.hold()
    if "save_every" in given:
        folder.info["save_every"] = given["save_every"]  # written as the training begins
    minutes = None if plan.train.steps_suffice else plan.train.minutes
    length = f"{plan.train.steps:,} steps" if minutes is None else f"{minutes:.3g} minutes of training"
    note(f"continuing {path}, which takes {length} in all.")
    return StartedRun(plan, folder, begun_model(path, plan))


def _named(run: str) -> Path:
    """The folder that `run` names."""
    return newest_run("or name a run: minigpt train --resume FOLDER") if run == "latest" else find_run(run)
