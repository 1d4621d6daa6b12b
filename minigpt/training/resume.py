"""A run's folder in; the plan that it was made from out, if nothing that was given now contradicts it."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import read_json_object
from minigpt.checkpoint.resume import RESUME, has_state, has_tokens, load_tokens
from minigpt.checkpoint.run import RunFolder
from minigpt.checkpoint.runs import LOG, RUN, near_run
from minigpt.checkpoint.tokenizer_files import read_tokenizer
from minigpt.config import ModelConfig, TrainConfig, require
from minigpt.errors import CheckpointError, CorpusError, brief
from minigpt.text.corpus import Corpus, Source
from minigpt.training.plan import Plan


def open_run(
    path: Path, given: Mapping[str, Any], steps: int | None = None, minutes: float | None = None
) -> tuple[Plan, RunFolder]:
    """The plan of the run in `path`, and its folder.

    `given`: settings named now, by their flags' names in Python; one that differs from the run's raises ConfigError.
    `steps`, more of them in all, or `minutes`, so many more, train a finished run longer. Raises CorpusError if the
    text has changed since.
    """
    if not has_tokens(path):
        what = "there is no resume/ in it." if path.is_dir() else f"there is no such folder.{near_run(path)}"
        raise CheckpointError(f"{path} holds no run that can go on: {what}")
    info = read_json_object(path / RUN)
    try:
        if not has_state(path) and (info["choices"].get("base") is not None or (path / LOG).exists()):
            raise CheckpointError(f"{path} cannot go on: its state is gone from {path / RESUME}. Start it again.")
        plan = _plan(path, info)
        given = {name: value for name, value in given.items() if (name, value) != ("out", path)}
        became = {**info["choices"], **info["model"], **info["train"], **info.get("text", {})}
        _refuse_differences(given, became, {**info["choices"], "precision": "auto"})
        longer = _longer(info, plan.train, steps, minutes)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path / RUN} is not of this version of minigpt: {error}.") from error
    _refuse_changed_text(plan.corpus)
    if longer is not None:
        info.pop("stopped_early", None)
        part = {"from_step": info.get("steps_taken", 0), "steps": longer.steps}
        if minutes is not None:
            part["minutes"] = minutes
        told = [*info.get("trained_longer", []), part]
        info = {**info, "train": asdict(longer), "status": "running", "trained_longer": told}
        plan = replace(plan, train=longer)
    return plan, RunFolder(path, plan.tokenizer, info)


def _longer(
    info: Mapping[str, Any], train: TrainConfig, steps: int | None, minutes: float | None
) -> TrainConfig | None:
    """The settings with a later end, where one is asked for; only a finished run may have one."""
    require(steps is None or minutes is None, "Give --steps or --minutes, not both.")
    finished, behind = info.get("status") == "finished", info.get("steps_taken", train.steps)
    asked = info.get("trained_longer", [{}])[-1].get("minutes", info.get("minutes"))  # the last --minutes
    length = f"{train.steps:,} steps" if train.seconds is None else f"{asked or train.minutes:.3g} minutes"
    if steps is not None and (train.seconds is not None or steps != train.steps):
        require(finished, f"--steps {steps:,} is not this run's {length}; first let it finish: leave it out.")
        require(steps > behind, f"--steps must be above the {behind:,} that this run has behind it.")
        return replace(train, steps=steps, seconds=None, steps_suffice=False)
    if minutes is not None and (finished or minutes != asked):
        require(finished, f"--minutes {minutes:g} is not this run's {length}; first let it finish: leave it out.")
        more = max(1, round(60 * minutes * behind / info["seconds_taken"]))
        seconds = info["seconds_taken"] + 60 * minutes
        return replace(train, steps=behind + more, seconds=seconds, steps_suffice=False)
    return None


def _plan(path: Path, info: Mapping[str, Any]) -> Plan:
    sources = tuple(Source(**source) for source in info["corpus"]["sources"])
    return Plan(
        corpus=Corpus(info["name"], sources, utf8_bytes=info["corpus"]["bytes"]),
        tokenizer=read_tokenizer(path),
        data=load_tokens(path),
        model=ModelConfig(**info["model"]),
        train=TrainConfig(**info["train"]),
        validation=info["corpus"]["validation"],
        notes=(),
        base=info["choices"].get("base"),
    )


def _refuse_differences(given: Mapping[str, Any], stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """What was asked for may be given again, whatever the text or the device made of it."""
    for name, value in given.items():
        flag = {"corpus": "CORPUS", "base": "--from"}.get(name, f"--{name.replace('_', '-')}")
        require(name in stored, f"{flag} does not go with --resume, which keeps what the run began with.")
        require(
            value in (stored[name], asked.get(name)),
            f"{flag} {brief(str(value))} differs from this run's {brief(str(stored[name]))}. Leave it out.",
        )


def _refuse_changed_text(corpus: Corpus) -> None:
    """Files that are no longer there are no matter: the run keeps their ids."""
    for source in corpus.sources:
        file = Path(source.name)
        if file.is_file() and _sha256(file) != source.sha256:
            raise CorpusError(
                f"{source.name} has changed since this run began, so the run cannot go on with it.\n"
                "Put the old text back, or start a new run."
            )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
