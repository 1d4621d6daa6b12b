"""Opens a run that exists: from its folder, to continue it or train it longer, or from rank 0, to train along."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.files import CONFIG, read_json_object, read_own_json
from minigpt.checkpoint.folder import load, read_config
from minigpt.checkpoint.run_folder import OthersFolder, RunFolder, has_state, has_tokens, load_tokens
from minigpt.checkpoint.runs import FINISHED, LOG, RESUME, RUN, RunInfo, near_run
from minigpt.checkpoint.tokenizer_files import read_tokenizer
from minigpt.errors import CheckpointError, ConfigError, CorpusError, brief, named
from minigpt.models.kinds import Model
from minigpt.records import Count, Several, record_of
from minigpt.settings import MOST_STEPS, ModelConfig, TextFormat, TrainConfig, require
from minigpt.text.corpus import Corpus
from minigpt.text.records import TextSource
from minigpt.text.shards import TokenData
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.finetune import Base, begun_with
from minigpt.training.plan import Plan
from minigpt.training.ranks import Ranks
from minigpt.training.run import build_model


class StartedRun(NamedTuple):
    """A run that has its folder. The model is whole, on the CPU."""

    plan: Plan
    folder: RunFolder
    model: Model


@dataclass(frozen=True, kw_only=True)
class _StoredText:
    """The text, as run.json describes it."""

    sources: tuple[TextSource, ...]
    bytes: Count
    validation: str


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """The parts of run.json that are needed to continue."""

    name: str
    choices: Mapping[str, Any]
    model: ModelConfig
    train: TrainConfig
    corpus: _StoredText
    save_every: Several | None = None

    def plan(self, tokenizer: Tokenizer, data: TokenData) -> Plan:
        return Plan(
            corpus=Corpus(self.name, self.corpus.sources, utf8_bytes=self.corpus.bytes),
            tokenizer=tokenizer,
            data=data,
            model=self.model,
            train=self.train,
            validation=self.corpus.validation,
            notes=(),
            base=self.choices.get("base"),
        )


def open_run(
    path: Path, given: Mapping[str, Any], steps: int | None = None, minutes: float | None = None
) -> tuple[Plan, RunFolder]:
    """The plan of the run in `path`, and its folder.

    `given`: settings given explicitly, by their Python names; ConfigError if one differs from the run's. `steps` (in
    total) or `minutes` (additional) train a finished run longer. Raises CorpusError if the text has changed since.
    """
    if not has_tokens(path):
        what = "there is no resume/ in it." if path.is_dir() else f"there is no such folder.{near_run(path)}"
        raise CheckpointError(f"{path} contains no run that can be resumed: {what}")
    info = read_own_json(path / RUN)
    run, stored = record_of(RunInfo, info, path / RUN), record_of(_Stored, info, path / RUN)
    if not has_state(path) and ((path / LOG).exists() or run.saved is not None):
        raise CheckpointError(f"{path} cannot be resumed: its state is gone from {path / RESUME}. Start it again.")
    plan = _read_plan(path, stored)
    given = {name: value for name, value in given.items() if (name, value) != ("out", path)}
    text = {**asdict(TextFormat()), **(info.get("text") or {})}
    known = {**stored.choices, **asdict(stored.model), **asdict(stored.train), **text}
    _refuse_differences(given, known, {**stored.choices, "precision": "auto"})
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


def begun_model(path: Path, plan: Plan) -> Model:
    """The model that the run in `path` continues with.

    A saved state brings its own weights. Without one, because the run was killed earlier, it is the initial model; a
    given model stands at the root of the folder.
    """
    if plan.base is None or has_state(path):
        return build_model(plan)
    return begun_with(Base(plan.base, load(path)), plan.model, plan.train.freeze)


def _read_plan(path: Path, stored: _Stored) -> Plan:
    shape, _ = read_config(path)
    if replace(shape, dropout=stored.model.dropout) != stored.model:
        raise CheckpointError(f"{path / RUN} has another model than {path / CONFIG}: one of them is damaged.")
    tokenizer, data = read_tokenizer(path), load_tokens(path)
    if shape.reads_pairs:
        tokenizer = tokenizer.of_sources()
    fewest = 1 if shape.reads_pairs else stored.model.context
    if tokenizer.vocab_size > stored.model.vocab_size or len(data.train) <= fewest:
        raise CheckpointError(f"{path} cannot be resumed: its tokenizer, its ids and its model do not belong together.")
    return stored.plan(tokenizer, data)


def _longer(info: RunInfo, train: TrainConfig, steps: int | None, minutes: float | None) -> TrainConfig | None:
    """The settings with a later end, if one is asked for; only a finished run may have one."""
    require(steps is None or minutes is None, f"Give {named('steps')} or {named('minutes')}, not both.")
    finished, behind = info.status in FINISHED, train.steps if info.steps_taken is None else info.steps_taken
    asked = next((part.minutes for part in info.trained_longer[-1:] if part.minutes), info.minutes)  # the last time
    same_steps = steps is None or (train.seconds is None and steps == train.steps)
    same_minutes = minutes is None or (not finished and minutes == asked)
    if same_steps and same_minutes:
        return None
    is_timed = train.seconds is not None
    length = named("minutes", f"{asked or train.minutes:.3g}") if is_timed else named("steps", train.steps)
    require(
        finished,
        f"This run ({length}) is not finished: continue without {named('minutes' if same_steps else 'steps')}. "
        "Then it can be trained longer.",
    )
    if steps is not None:
        require(
            steps > behind,
            f"{named('steps', f'{steps:,}')} is the total, of which this run has {behind:,} behind it: "
            "give more than that.",
        )
        return replace(train, steps=steps, seconds=None, steps_suffice=False)
    assert minutes is not None
    taken = info.seconds_taken
    if taken is None:
        raise ConfigError(
            f"{named('minutes')} needs a run that says how long it took so far, as this one does not: {named('steps')}."
        )
    more = max(1, round(60 * minutes * behind / taken))
    seconds = taken + 60 * minutes
    return replace(train, steps=min(behind + more, MOST_STEPS), seconds=seconds, steps_suffice=False)


def _refuse_differences(given: Mapping[str, Any], stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings that differ from the run's, unless they repeat what was `asked`: the text or the
    device may have changed its effect.
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
        if not file.is_file():
            continue
        with file.open("rb") as stream:
            changed = hashlib.file_digest(stream, "sha256").hexdigest() != source.sha256
        if changed:
            raise CorpusError(
                f"{source.name} has changed since this run began, so the run cannot be resumed with it.\n"
                "Put the old text back, or start a new run."
            )


def share_run(ranks: Ranks, begin: Callable[[], StartedRun | None]) -> StartedRun | None:
    """Return on every rank what `begin`, called on rank 0 only, returns: None if there is nothing to do.

    On the other ranks, the folder writes nothing.
    """
    begun = begin() if ranks.is_main else None
    if ranks.size == 1:
        return begun
    received = ranks.broadcast(None if begun is None else _described(begun))
    if received is None:
        return None
    plan, folder, model = begun or _received(received)
    if plan.base is not None:  # whose weights no seed reproduces
        parameters = dict(model.named_parameters())
        for name, tensor in ranks.tensors((name, p.detach()) for name, p in parameters.items()):
            parameters[name].detach().copy_(tensor)
    return StartedRun(replace(plan, data=_shared_ids(ranks, plan.data, folder)), folder, model)


def _described(run: StartedRun) -> dict[str, Any]:
    own = run.plan.tokenizer
    tokenizer = {"json": own.to_json(), "roles": own.roles, "stops": sorted(own.stops)}
    return {"path": str(run.folder.path.resolve()), "info": run.folder.info, "tokenizer": tokenizer}


def _received(run: Mapping[str, Any]) -> StartedRun:
    path, info = Path(run["path"]), run["info"]
    made = run["tokenizer"]
    stops = made["stops"]
    tokenizer = Tokenizer(Engine.from_str(made["json"]), made["roles"], [stops], endless=not stops)
    none = np.zeros(0, np.uint16)
    stored = record_of(_Stored, info, path / RUN)
    tokenizer = tokenizer.of_sources() if stored.model.reads_pairs else tokenizer
    plan = stored.plan(tokenizer, TokenData(none, none))
    return StartedRun(plan, OthersFolder(path, tokenizer, info), build_model(plan))


def _shared_ids(ranks: Ranks, data: TokenData, folder: RunFolder) -> TokenData:
    """Rank 0's ids: mapped from the run's folder if every machine sees it, otherwise broadcast."""
    try:
        date = read_json_object(folder.path / RUN).get("date")  # which tells the run from others of the same name
    except CheckpointError:
        date = None
    if ranks.highest(not ranks.is_main and date != folder.info["date"]):
        validation_bytes = ranks.broadcast(data.validation_bytes)
        return TokenData(ranks.ids(data.train), ranks.ids(data.validation), validation_bytes=validation_bytes)
    return ranks.together(lambda: data if ranks.is_main else load_tokens(folder.path))
