"""`minigpt train`: text in, a run's folder out."""

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.again import again
from minigpt.cli.config_file import Config
from minigpt.cli.flags import Given, from_settings
from minigpt.cli.guard import guarded, note, signals_raise, stderr
from minigpt.cli.introduction import introduce, part_was_read, places, show_plan, show_size
from minigpt.cli.options import Quiet, json_flag
from minigpt.cli.resume import as_before, reopen
from minigpt.cli.training import Manner, watched
from minigpt.errors import named
from minigpt.settings import (
    Choices,
    Length,
    Output,
    TextSettings,
    TrainConfig,
    TrainMachine,
    require,
)

if TYPE_CHECKING:
    from minigpt.training.records import PlannedRun
    from minigpt.training.share import Begun


@dataclass(frozen=True)
class _Budget:
    """Seconds since the command began. However much was spent, `least` of them, a share, are left for training."""

    seconds: float
    started: float
    least: float

    def left(self) -> float:
        return max(self.least * self.seconds, self.seconds - (time.perf_counter() - self.started))


@guarded
@from_settings
def train(
    given: Given,
    text: TextSettings,
    choices: Choices,
    length: Length,
    training: TrainConfig,
    machine: TrainMachine,
    output: Output,
    config: Config = None,
    json: Annotated[bool, json_flag("a line a step")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a small GPT on a text, and keep the best model.

    [bold]minigpt train notes.txt[/bold]
        a book, a diary, a log; about three minutes
    [bold]minigpt train notes.txt --minutes 30[/bold]
        the best model for half an hour of this machine
    [bold]minigpt train poems/ --tokenizer char[/bold]
        a folder of texts, by characters
    [bold]minigpt train notes.txt --from gpt2[/bold]
        GPT-2, trained further on your notes
    """
    started = time.perf_counter()
    from minigpt.app.opening import use_device
    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.hub import pinned
    from minigpt.checkpoint.run import RunFolder, Scratch, check_out, claim
    from minigpt.render.work import WorkDisplay
    from minigpt.text.corpus import read_corpus
    from minigpt.training.distributed import join
    from minigpt.training.finetune import Base, begun_with, gentle
    from minigpt.training.plan import LEAST_TRAINING_SHARE, READING_SHARE, as_it_is, choose, make_plan
    from minigpt.training.run import build_model, model_card, run_info
    from minigpt.training.tensorboard import check_installed

    manner = Manner(tensorboard=output.tensorboard, json=json, quiet=quiet)
    seconds = length.seconds
    budget = None if seconds is None else _Budget(seconds, started, LEAST_TRAINING_SHARE)
    chosen = choices

    def begin() -> "Begun | None":
        """A new run; None for a plan that is only to be shown."""
        settings, choices = training, chosen
        runs: list[PlannedRun] = []  # ways to use the budget, best first
        most_learned: int | None = None
        ranks.check_batch(choices.batch_size or 0)  # before all the work
        if output.out is not None:
            check_out(output.out, overwrite=output.overwrite)
        first = None
        if choices.base is not None:
            first = Base(choices.base, load(choices.base))
            choices, settings = gentle(first, choices, settings, given, target, ranks.size)
        console = stderr()
        console.quiet = quiet
        with signals_raise(), Scratch(output.out) as scratch:
            with WorkDisplay(console) as work:
                progress = work.begin("reading", None)
                most = None if budget is None else READING_SHARE * budget.seconds
                read = partial(read_corpus, encoding=text.encoding, field=text.field, progress=progress, seconds=most)
                corpus = read(text.corpus)
                held_out = read([text.val]) if text.val is not None else None
                for each in (corpus, held_out):
                    if each is not None and not each.whole:
                        note(part_was_read(each), quiet=quiet)
                if budget is not None:
                    work.begin("measuring this machine", None)
                    plans = choose(corpus, held_out, choices, settings, budget.left(), target, given, ranks.size, first)
                    runs, choices, settings = plans.runs, plans.choices, plans.settings
                    most_learned = plans.most_learned
                    if plans.note:
                        note(plans.note, quiet=quiet)
                    if length.dry_run and choices.model == "gpt":
                        show_plan(runs, budget.seconds, json=json)
                        return None
                choices = choices.filled()
                plan = make_plan(corpus, held_out, choices, settings, target, scratch, work.begin, first, most_learned)
                runs[:1] = [as_it_is(run, plan) for run in runs[:1]]
            if length.dry_run:
                show_size(plan, choices, json=json)
                return None
            ranks.check_batch(plan.train.batch_size)
            begun = build_model(plan) if first is None else begun_with(first, plan.model, plan.train.freeze)
            plan = plan.within(budget.left()) if budget is not None else plan
            origin = None if first is None else pinned(first.name, first.checkpoint.path)
            info = run_info(plan, choices, target) | again(
                {**vars(text), "minutes": length.minutes}, plan, choices, target, origin
            )
            info |= {"minutes": None if budget is None else budget.seconds / 60, "save_every": output.save_every}
            path = claim(plan.corpus.name, output.out, overwrite=output.overwrite)
            folder = RunFolder(path, plan.tokenizer, info)
            folder.start(begun, model_card(plan, info["command"]), plan.data)
        if not quiet:
            whole = None if budget is None else budget.seconds
            introduce(plan, choices, runs, whole, folder.path, places(ranks, target), builtin=not text.corpus)
        if budget is not None:
            plan = plan.within(budget.left())
            folder.update(train=asdict(plan.train))
        return plan, folder, begun

    with join(machine.shard) as ranks:
        require(
            not training.freeze or choices.base is not None or output.resume is not None,
            f"{named('freeze')} goes with {named('base', 'CHECKPOINT')}.",
        )
        require(
            choices.model == "gpt" or "optimizer" not in given or training.optimizer == "adamw",
            f"{named('optimizer', 'muon')} is for the matrices of a GPT's blocks: "
            f"{named('model', choices.model)} is trained by adamw.",
        )
        if output.tensorboard:
            check_installed()
        device, threads = machine.device, machine.threads
        if output.resume is not None and ranks.size == 1:
            device, threads = as_before(output.resume, given, device, threads)
        target = use_device(device, threads, ranks.device)
        begins = begin if output.resume is None else partial(reopen, output.resume, given)
        signal_number = watched(begins, target, ranks, manner, resume=output.resume is not None)
    if signal_number is not None:
        raise typer.Exit(128 + signal_number)
