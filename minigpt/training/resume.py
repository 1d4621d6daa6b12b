"""Reads the plan of a run from its folder, and rejects new settings that contradict it."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import CONFIG, read_own_json
from minigpt.checkpoint.folder import load, read_config
from minigpt.checkpoint.run_folder import RunFolder, has_state, has_tokens, load_tokens
from minigpt.checkpoint.runs import FINISHED, LOG, RESUME, RUN, RunInfo, near_run
from minigpt.checkpoint.tokenizer_files import read_tokenizer
from minigpt.errors import CheckpointError, ConfigError, CorpusError, brief, named
from minigpt.models.kinds import Model
from minigpt.records import Count, Several, record_of
from minigpt.settings import MOST_STEPS, ModelConfig, TrainConfig, require
from minigpt.text.corpus import Corpus
from minigpt.text.records import TextSource
from minigpt.training.finetune import Base, begun_with
from minigpt.training.plan import Plan
from minigpt.training.run import build_model


def open_run(
    path: Path, given: Mapping[str, Any], steps: int | None = None, minutes: float | None = None
) -> tuple[Plan, RunFolder]:
    """The plan of the run in `path`, and its folder.

    `given`: settings given explicitly, by their Python names; ConfigError if one differs from the run's. `steps` (in
    total) or `minutes` (additional) train a finished run longer. Raises CorpusError if the text has changed since.
    """
    if not has_tokens(path):
        what = "there is no resume/ in it." if path.is_dir() else f"there is no such folder.{near_run(path)}"
        raise CheckpointError(f"{path} holds no run that can go on: {what}")
    info = read_own_json(path / RUN)
    run, kept = record_of(RunInfo, info, path / RUN), record_of(_Kept, info, path / RUN)
    if not has_state(path) and ((path / LOG).exists() or run.saved is not None):
        raise CheckpointError(f"{path} cannot go on: its state is gone from {path / RESUME}. Start it again.")
    plan = _plan(path, kept, run.choices.base)
    given = {name: value for name, value in given.items() if (name, value) != ("out", path)}
    became = {**kept.choices, **asdict(kept.model), **asdict(kept.train), **(info.get("text") or {})}
    _refuse_differences(given, became, {**kept.choices, "precision": "auto"})
    longer = _longer(run, plan.train, steps, minutes)
    _refuse_changed_text(plan.corpus)
    if longer is not None:
        info.pop("stopped_early", None)
        part: dict[str, Any] = {"from_step": run.steps_taken or 0, "steps": longer.steps}
        if minutes is not None:
            part["minutes"] = minutes
        parts = [*info.get("trained_longer", []), part]
        info = {**info, "train": asdict(longer), "status": "running", "trained_longer": parts}
        plan = replace(plan, train=longer)
    return plan, RunFolder(path, plan.tokenizer, info)


@dataclass(frozen=True, kw_only=True)
class _KeptText:
    """The text, as run.json describes it."""

    sources: tuple[TextSource, ...]
    bytes: Count
    validation: str


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """The parts of run.json that are needed to continue."""

    name: str
    choices: Mapping[str, Any]
    model: ModelConfig
    train: TrainConfig
    corpus: _KeptText
    save_every: Several | None = None


def begun_model(path: Path, plan: Plan) -> Model:
    """The model that the run in `path` continues with.

    A saved state brings its own weights. Without one, because the run was killed earlier, it is the initial model; a
    given model stands at the root of the folder.
    """
    if plan.base is None or has_state(path):
        return build_model(plan)
    return begun_with(Base(plan.base, load(path)), plan.model, plan.train.freeze)


def _longer(info: RunInfo, train: TrainConfig, steps: int | None, minutes: float | None) -> TrainConfig | None:
    """The settings with a later end, if one is asked for; only a finished run may have one."""
    require(steps is None or minutes is None, f"Give {named('steps')} or {named('minutes')}, not both.")
    finished, behind = info.status in FINISHED, train.steps if info.steps_taken is None else info.steps_taken
    asked = next((part.minutes for part in info.trained_longer[-1:] if part.minutes), info.minutes)  # the last time
    length = f"{train.steps:,} steps" if train.seconds is None else f"{asked or train.minutes:.3g} minutes"
    if steps is not None and (train.seconds is not None or steps != train.steps):
        require(
            finished,
            f"This run of {length} is not finished: go on without {named('steps')}. Then it can be trained longer.",
        )
        require(
            steps > behind,
            f"{named('steps', f'{steps:,}')} is the total, of which this run has {behind:,} behind it: "
            "give more than that.",
        )
        return replace(train, steps=steps, seconds=None, steps_suffice=False)
    if minutes is not None and (finished or minutes != asked):
        require(
            finished,
            f"This run of {length} is not finished: go on without {named('minutes')}. Then it can be trained longer.",
        )
        taken = info.seconds_taken
        if taken is None:
            raise ConfigError(
                f"{named('minutes')} needs a run that says how long it took so far, as this one does not: "
                f"{named('steps')}."
            )
        more = max(1, round(60 * minutes * behind / taken))
        seconds = taken + 60 * minutes
        return replace(train, steps=min(behind + more, MOST_STEPS), seconds=seconds, steps_suffice=False)
    return None


def _plan(path: Path, kept: _Kept, base: str | None) -> Plan:
    shape, _ = read_config(path)
    if replace(shape, dropout=kept.model.dropout) != kept.model:
        raise CheckpointError(f"{path / RUN} has another model than {path / CONFIG}: one of them is damaged.")
    tokenizer, data = read_tokenizer(path), load_tokens(path)
    if tokenizer.vocab_size > kept.model.vocab_size or len(data.train) <= kept.model.context:
        raise CheckpointError(f"{path} cannot go on: its tokenizer, its ids and its model do not belong together.")
    return Plan(
        corpus=Corpus(kept.name, kept.corpus.sources, utf8_bytes=kept.corpus.bytes),
        tokenizer=tokenizer,
        data=data,
        model=kept.model,
        train=kept.train,
        validation=kept.corpus.validation,
        notes=(),
        base=base,
    )


def _refuse_differences(given: Mapping[str, Any], stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings that differ from the run's. A setting may be repeated, even if the text or the
    device changed its effect.
    """
    for name, value in given.items():
        require(
            name in stored, f"{named(name)} does not go with {named('resume')}, which keeps what the run began with."
        )
        require(
            value in (stored[name], asked.get(name)),
            f"{named(name, brief(str(value)))} differs from this run's {brief(str(stored[name]))}. Leave it out.",
        )


def _refuse_changed_text(corpus: Corpus) -> None:
    """Raise CorpusError for files that have changed. Missing files do not matter, because the run keeps their ids."""
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
