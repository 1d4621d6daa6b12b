"""Carries out a plan: yields the records of a run, and saves the best model and the snapshots."""

import math
import platform
import shlex
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.run_folder import RunFolder, has_state, load_state, save_state, unreadable_state
from minigpt.checkpoint.runs import is_untrained
from minigpt.errors import TrainingError, as_flag, named
from minigpt.models.gpt import GPT
from minigpt.models.kinds import Model, give_positions, new_model
from minigpt.settings import Choices
from minigpt.settings.model import NAMES
from minigpt.text.pairs import labels_of, pairs_within
from minigpt.text.shards import Ids, validation_byte_counts
from minigpt.training.evaluate import unigram_loss
from minigpt.training.finetune import freeze
from minigpt.training.loop import Trainer
from minigpt.training.plan import Plan
from minigpt.training.ranks import ALONE, Ranks
from minigpt.training.schedule import evaluation_steps, is_out_of_patience, snapshot_steps
from minigpt.training.step import merge_parents
from minigpt.versions import version

_SECONDS_BETWEEN_STATES = 15.0
_LAST_SECONDS = 0.7
_LISTED = 20  # sources of the text, in the model card


def build_model(plan: Plan, device: torch.device | str = "cpu") -> Model:
    """The untrained model, frozen where the plan says so. A seed gives the same weights on every device."""
    model = new_model(plan.model).initialise(torch.Generator().manual_seed(plan.train.seed))
    if isinstance(model, GPT):
        model = freeze(give_positions(model, plan.train.positions), plan.train.freeze)
    return model.to(device)


def run(
    plan: Plan,
    model: Model,
    folder: RunFolder,
    stopped: Callable[[], bool],
    *,
    save_every: int | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
) -> Generator[tuple[TrainRecord, bool], None, None]:
    """Train and save; yields each record, and whether the model was saved at it.

    The model at the root is the one with the lowest validation loss, or the latest if nothing is validated; when
    finetuning, it may be the given model. A run stopped or closed before its first evaluation saves its current model.
    With `resume`, it continues bit for bit from the state in the folder. The state is saved every `save_every` steps,
    by default by time. Several `ranks` train and stop together. Raises TrainingError if the loss becomes NaN or
    infinite.
    """
    ranks.check_batch(plan.train.batch_size)
    trainer = _trainer(plan, model, ranks)
    keeper = _StateKeeper(trainer, folder, save_every)
    reported = keeper.restore() if resume else 0
    evaluated = evaluation_steps(plan.train)
    snapshots = snapshot_steps(plan.train.steps, plan.train.snapshots)
    record = None
    keeper.keep()
    early = keeper.is_out_of_patience(reported)
    # If any rank is to stop, all do.
    records = trainer.records(lambda: ranks.highest(stopped()) > 0, before_evaluation=keeper.keep_if_due)
    try:
        for record in () if early else records:
            folder.log(record)
            _check_converges(record, plan, folder, keeper.saved_step)
            loss = record.validation_loss_nats
            # The untrained model is on disk already, and any later one may replace it; a given one is a candidate.
            counts = record.step > 0 or plan.base is not None
            better = counts and (loss < keeper.best if loss is not None else not plan.has_validation)
            save = better and (record.step in evaluated or trainer.is_over) and trainer.is_finite()
            if save:
                keeper.best, keeper.saved_step = (loss if loss is not None else keeper.best), record.step
                folder.save(ranks.whole(model), record)
            if record.step in snapshots or (snapshots and trainer.is_over):
                folder.snapshot(ranks.whole(model), record)
            keeper.keep_if_due()
            early = keeper.is_out_of_patience(record.step)
            yield record, save
            if early:
                break
    except GeneratorExit:  # closed by who reads the records, such as a display whose pipe is closed
        if not early:
            ranks.highest(True)  # answers the other ranks, which ask before their next step
    keeper.keep()
    without_loss = not keeper.saved_step and math.isinf(keeper.best)  # of the saved model
    if record is not None and record.step > keeper.saved_step and (without_loss or not plan.has_validation):
        folder.save(ranks.whole(model), record)
    ended: dict[str, Any] = {"steps_taken": trainer.step, "seconds_taken": trainer.elapsed()}
    if early and not trainer.is_over:
        ended["stopped_early"] = trainer.step
    finished = "untrained" if is_untrained(folder.recorded) else "finished"
    folder.update(status=finished if early or trainer.is_over else "stopped", **ended)


def _trainer(plan: Plan, model: Model, ranks: Ranks) -> Trainer:
    byte_counts = validation_byte_counts(plan.tokenizer, plan.data)
    parents = merge_parents(plan.tokenizer) if plan.train.bpe_dropout else None
    return Trainer(model, plan.data, plan.train, byte_counts, ranks, parents)


def seconds_between_states(cost_seconds: float) -> float:
    """The interval between two saves of a state that takes this long to save: at most 2 % of the time is for them."""
    return max(_SECONDS_BETWEEN_STATES, 50 * cost_seconds)


class _StateKeeper:
    """Saves the trainer's state with the best loss so far, so often that little is lost, and little time is spent."""

    def __init__(self, trainer: Trainer, folder: RunFolder, every: int | None) -> None:
        self.trainer, self.folder, self.every = trainer, folder, every
        self.best, self.saved_step = float("inf"), 0
        self._kept_step, self._kept_at, self._cost = 0, 0.0, 0.0

    def keep(self) -> None:
        """Write resume/. A state with NaN or infinity never replaces a good one."""
        started = time.perf_counter()
        if not self.trainer.is_finite():
            return
        tensors, values = self.trainer.state()
        best = None if math.isinf(self.best) else self.best
        if self.trainer.ranks.is_main:
            self.folder.sync_log()
            save_state(self.folder.path, tensors, {**values, "best": best, "saved_step": self.saved_step})
        self._kept_step, self._kept_at = self.trainer.step, time.perf_counter()
        self._cost = self._kept_at - started
        self.trainer.reserved_seconds = 2 * self._cost + _LAST_SECONDS  # the state, the model, what the caller shows

    def keep_if_due(self) -> None:
        """Save every `every` steps, or by time."""
        if self.every is not None:
            due = self.trainer.step % self.every == 0 and self.trainer.step != self._kept_step
        else:
            due = time.perf_counter() - self._kept_at >= seconds_between_states(self._cost)
        if self.trainer.ranks.agree(due):  # by the clock of one
            self.keep()

    def is_out_of_patience(self, step: int) -> bool:
        """Whether `patience` ends the run at `step`; counting starts anew when a run is trained longer.

        It depends only on saved steps, so a resumed run ends where it would have ended.
        """
        longer = self.folder.info.get("trained_longer") or [{"from_step": 0}]
        return is_out_of_patience(step, max(self.saved_step, longer[-1]["from_step"]), self.trainer.config)

    def restore(self) -> int:
        """Return to the saved state, drop what was logged after it, and return the last step that was reported."""
        ranks = self.trainer.ranks
        if ranks.agree(has_state(self.folder.path)):
            tensors, values = load_state(self.folder.path) if ranks.is_main else ({}, {})
            if ranks.is_main and (why := self.trainer.misfit(tensors)):
                raise unreadable_state(self.folder.path, why)
        else:  # killed before there was one
            tensors, values = self.trainer.state()
            values |= {"best": None, "saved_step": 0}
        values = ranks.broadcast(values)
        self.trainer.restore(tensors, values)
        self.best = float("inf") if values["best"] is None else values["best"]
        self.saved_step = values["saved_step"]
        later = self.folder.info.get("saved") or {}  # than the state: the run was killed after it
        loss = later.get("validation_loss_nats")
        if loss is not None and later["step"] > self.trainer.step and loss < self.best:
            self.best, self.saved_step = loss, later["step"]
        reported = self.trainer.step - (values["unreported"] is not None)
        self.folder.tidy()
        self.folder.forget_after(reported)
        self.folder.update(status="running", steps_taken=None, seconds_taken=None)
        for part in (self.folder.info.get("trained_longer") or [])[-1:]:
            self.folder.tell(longer_note(part))
        return reported


def _check_converges(record: TrainRecord, plan: Plan, folder: RunFolder, saved_step: int) -> None:
    numbers = (record.loss_nats, record.gradient_norm, record.validation_loss_nats)
    if all(number is None or math.isfinite(number) for number in numbers):
        return
    folder.update(status="diverged")
    raise TrainingError(
        f"At step {record.step:,} the loss is no longer a number: "
        f"{named('learning_rate', f'{plan.train.learning_rate:g}')} is too high.\n"
        f"{folder.path} keeps the model of step {saved_step:,}. Try a tenth of that rate."
    )


def run_info(plan: Plan, choices: Choices, device: torch.device) -> dict[str, Any]:
    """The contents of run.json at the start."""
    packages = ("minigpt", "torch", "tokenizers", "safetensors", "numpy")
    return {
        "date": datetime.now(UTC).isoformat(timespec="microseconds"),
        "status": "running",
        "name": plan.corpus.name,
        "choices": asdict(choices.filled()),
        "model": asdict(plan.model),
        "parameters": plan.model.parameter_count(),
        "train": asdict(plan.train),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seed": plan.train.seed,
        "corpus": {
            "sources": [asdict(source) for source in plan.corpus.sources],
            "skipped": len(plan.corpus.skipped),
            "documents": plan.corpus.documents // (2 if plan.model.reads_pairs else 1),
            "bytes": plan.corpus.utf8_bytes,
            "bytes_per_token": plan.bytes_per_token,
            "train_tokens": len(plan.data.train),
            "validation_tokens": len(plan.data.validation),
            "validation": plan.validation,
            "unigram_loss_nats": _unigram_loss(plan),
            "labels": _labels(plan),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
            "torch": torch.__version__,  # with its build, such as +cpu, which a package's version may lack
        },
    }


def _unigram_loss(plan: Plan) -> float:
    """The unigram loss of the validation text, or of the training text if there is no validation."""
    train: Ids = plan.data.train
    measured = plan.data.validation if plan.has_validation else train
    if plan.model.reads_pairs:  # whose loss is that of the targets
        both = pairs_within(plan.model.end, plan.model.context, plan.data)
        train, measured = both[0].some_targets(), both[plan.has_validation].some_targets()
    vocabulary, context = plan.tokenizer.vocab_size, plan.model.context
    return unigram_loss(train, measured, vocabulary, tokens=plan.train.eval_tokens, context=context)


def _labels(plan: Plan) -> list[str] | None:
    """The labels of the training pairs, sorted, if their targets are labels."""
    if not plan.model.reads_pairs:
        return None
    train, _ = pairs_within(plan.model.end, plan.model.context, plan.data)
    labels = labels_of(train)
    return None if labels is None else sorted(plan.tokenizer.decode(ids) for ids in labels)


def model_card(plan: Plan, command: Sequence[str] = ()) -> str:
    """The README.md of the run's folder. `command`: what repeats the run."""
    model, is_gpt, sources = plan.model, plan.model.model == "gpt", plan.corpus.sources
    heads = f"{model.heads} head{'s' * (model.heads != 1)}, "
    inside = {"gpt": heads, "window": f"window {model.window}, "}.get(model.model, "")
    each = " each" if model.reads_pairs else ""  # of encoder and decoder
    auto = {"gpt": "CausalLM", "transformer": "Seq2SeqLM"}.get(model.model)
    kind = NAMES[model.model].replace("a ", "A ", 1).replace("an ", "An ", 1)
    began = "" if plan.base is None else f"which began as {plan.base}, "
    measured = f"The validation loss is measured on {plan.validation}."
    lines = [
        "---",
        *(["library_name: transformers"] if auto else []),
        f"pipeline_tag: {'translation' if model.reads_pairs else 'text-generation'}",
        f"tags: [minigpt, {'gpt2' if is_gpt else model.model}]",
        "---",
        "",
        f"# {plan.corpus.name}",
        "",
        f"{kind} of {model.parameter_count():,} parameters "
        f"({model.layers} layer{'s' * (model.layers != 1)} x {model.width}{each},",
        f"{inside}context {model.context}, vocabulary {model.vocab_size:,}), "
        f"{began}trained {'by' if plan.base is None else 'further by'} minigpt on:",
        "",
        *(f"- {source.name} ({source.size:,} bytes)" for source in sources[:_LISTED]),
        *([f"- and {len(sources) - _LISTED:,} more"] if len(sources) > _LISTED else []),
        "",
        f"{measured if plan.has_validation else 'There is no validation text.'} "
        "How the run went is in `train.jsonl`, its settings in `run.json`.",
        "",
        f"    minigpt sample {'SOURCE ' if model.reads_pairs else ''}--checkpoint FOLDER",
        *([f'    transformers.AutoModelFor{auto}.from_pretrained("FOLDER")'] if auto else []),
        *(["", _repeats(command), "", f"    {shlex.join(command)}"] if command else []),
    ]
    return "\n".join(lines) + "\n"


def _repeats(command: Sequence[str]) -> str:
    text = ", given the same text on standard input again" if "-" in command else ""
    if as_flag("minutes") in command:
        return f"This trains such a model again{text}; how far it gets in the time depends on the machine:"
    return f"This repeats the run{text}; on the same CPU with as many threads and the same versions, to the bit:"


def longer_note(part: Mapping[str, Any]) -> str:
    """The paragraph of a run's README.md about a part for which it was trained longer, as run.json has it."""
    length = as_flag("minutes", f"{part['minutes']:g}") if "minutes" in part else as_flag("steps", part["steps"])
    return (
        f"It was then trained longer, from step {part['from_step']:,} on:\n\n    minigpt train --resume FOLDER {length}"
    )
