"""How a training begins and goes on: text read, plan made, the run's folder claimed; then its records and events.

The command line and `minigpt.train` share this. Nothing here prints: sentences and progress go to functions.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import torch

from minigpt.app.again import Finished, again, as_before, reopen
from minigpt.app.opening import use_device
from minigpt.checkpoint.claim import Scratch, check_out, claim
from minigpt.checkpoint.folder import load
from minigpt.checkpoint.generation import within
from minigpt.checkpoint.hub import pinned
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.run_folder import RunFolder
from minigpt.checkpoint.runs import TENSORBOARD
from minigpt.errors import concerning, named
from minigpt.launch import launched_rank
from minigpt.models.decoder import decoding_threads
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.kinds import Model
from minigpt.models.translate import greedy
from minigpt.sampling.engine import generate
from minigpt.settings import (
    PAIR_MODELS,
    PLANNED,
    Choices,
    Length,
    Machine,
    Output,
    SampleConfig,
    TextSettings,
    TrainConfig,
    TrainMachine,
    require,
)
from minigpt.text.arguments import few_words, opening_words
from minigpt.text.blocks import Stages, no_progress
from minigpt.text.corpus import Corpus, first_names, read_corpus
from minigpt.text.pairs import BUILTIN, pairs_within, read_pairs
from minigpt.text.translations import EXAMPLE
from minigpt.training.evaluate import is_overfitting
from minigpt.training.finetune import Base, begun_with, finetune_settings
from minigpt.training.law import MOST_DECAY, MOST_DROPOUT, SHORTEST_TEXT
from minigpt.training.optim import WITH_MUON
from minigpt.training.pace import READING_SHARE
from minigpt.training.pair_search import choose_pairs
from minigpt.training.plan import Plan, as_tokenized, check_pairs, make_plan
from minigpt.training.ranks import ALONE, Ranks
from minigpt.training.records import Logged, Overfitting, PlannedRun, ShortSample, TrainEvent
from minigpt.training.resume import StartedRun, share_run
from minigpt.training.run import build_model, model_card, run, run_info
from minigpt.training.search import LEAST_TRAINING_SHARE, choose
from minigpt.training.tensorboard import check_installed, event_files, is_installed

_OPENING = 256  # tokens of the text, in which some words are sought to begin with
_SHOWN = 60  # characters of a target, so that its source is seen too
_SOURCES = 20  # of pairs, among which one of a few words is sought
_SAMPLED = 40  # tokens
_TRANSLATED = 500  # validation pairs, at most


@dataclass
class Training:
    """A run trained by several `ranks`, of which the first reports.

    With `resumes`, it continues from the state in its folder, whose log becomes the beginning of `history`.
    `tensorboard` asks for its event files.
    """

    plan: Plan
    folder: RunFolder
    model: Model
    ranks: Ranks
    resumes: bool = False
    tensorboard: bool = False
    history: list[TrainRecord] = field(default_factory=list)
    signal_number: int | None = None

    def events(self, received: Callable[[], int | None], *, looks: bool = True) -> Iterator[TrainEvent]:
        """Train until the end, or until a signal is `received`: `signal_number` is then that of any of the ranks.

        With `looks`, the first rank also samples at every evaluation, and warns of overfitting.
        """

        def stopped() -> bool:
            return received() is not None

        folder, ranks = self.folder, self.ranks
        save_every = folder.info.get("save_every")
        training = run(self.plan, self.model, folder, stopped, save_every=save_every, resume=self.resumes, ranks=ranks)
        with self._event_files() as write, closing(training) as records:
            for record, _ in records:
                if self.resumes and not self.history:
                    self.history += folder.logged()  # what came before, and this record
                    yield from map(Logged, self.history[:-1])
                else:
                    self.history.append(record)
                if write:
                    write(record)
                yield record
                if looks and record.step % self.plan.train.eval_every == 0 and not stopped():
                    yield from self._looks(record)
            self.signal_number = int(ranks.farewell(received() or 0)) or None

    def _event_files(self) -> AbstractContextManager[Callable[[TrainRecord], None] | None]:
        """TensorBoard's event files, if they are asked for, or if the run had them before."""
        folder = self.folder.path / TENSORBOARD
        wanted = self.tensorboard or (self.resumes and is_installed() and folder.is_dir())
        return event_files(folder, self.folder.info) if wanted and self.ranks.is_main else nullcontext()

    def _looks(self, record: TrainRecord) -> Iterator[TrainEvent]:
        if not self.ranks.is_main:
            return
        if not self.ranks.shard:  # a model in parts is too slow to sample from
            yield ShortSample(self._short_sample())
        if is_overfitting(self.history, every=self.plan.train.eval_every):
            yield self._overfitting(record)

    def _overfitting(self, record: TrainRecord) -> Overfitting:
        decay, model = self.plan.train.weight_decay, self.plan.model
        return Overfitting(
            now=record,
            best=self.best(),
            weight_decay=decay,
            dropout=model.dropout,
            more_decay=decay < MOST_DECAY,
            more_dropout=model.dropout < MOST_DROPOUT,
            is_plannable=model.model == "gpt" and self.folder.info.get("minutes") is None,
        )

    def best(self) -> TrainRecord:
        """The record with the lowest validation loss."""
        return min(self.history, key=lambda r: math.inf if r.validation_loss_nats is None else r.validation_loss_nats)

    def opening(self, *, validation: bool = False) -> str:
        """The first words of the training text, or of the validation text; of pairs, a source of a few words."""
        data, tokenizer = self.plan.data, self.plan.tokenizer
        if self.plan.model.reads_pairs:
            if self.plan.corpus.sources[0].name == BUILTIN:
                return EXAMPLE.source
            pairs = pairs_within(self.plan.model.end, self.plan.model.context, data)[validation]
            sources = [pairs.source(number)[:-1].tolist() for number in range(min(_SOURCES, len(pairs)))]
            return few_words(map(tokenizer.decode, sources))
        ids = (data.validation if validation else data.train)[:_OPENING]
        return opening_words(tokenizer.decode(ids.tolist()))

    def exact_share(self) -> float | None:
        """The share of validation pairs, of at most 500, whose target the saved model writes exactly, greedily.

        None for a model that reads no pairs, or without validation.
        """
        config = self.plan.model
        if config.end is None or not self.plan.has_validation:
            return None
        _, pairs = pairs_within(config.end, config.context, self.plan.data)
        numbers = range(0, len(pairs), max(1, -(-len(pairs) // _TRANSLATED)))
        model = cast(EncoderDecoder, load(self.folder.path, self.model.device).torch_model)
        written = greedy(model, [pairs.source(number).tolist() for number in numbers])
        exact = sum(ids == pairs.target(number)[:-1].tolist() for number, ids in zip(numbers, written, strict=True))
        return float(exact / len(numbers))

    def _short_sample(self) -> str:
        """Some tokens of the current model, from the beginning of a line, or the target that it writes for a source.

        It is then in training mode again.
        """
        plan, tokenizer = self.plan, self.plan.tokenizer
        config = SampleConfig(max_tokens=_SAMPLED, top=1, seed=plan.train.seed, ignore_end_of_text=True)
        prompt, before = "\n" if tokenizer.is_lossless else "", ""
        if plan.model.reads_pairs:
            config = replace(config, temperature=0.0, ignore_end_of_text=False)
            prompt = self.opening(validation=plan.has_validation)
            before = f"{prompt} → "
        self.model.eval()
        with decoding_threads(self.model):
            text = "".join(piece.text for piece in generate(self.model, tokenizer, prompt, config))
        self.model.train()
        target = text.strip()
        return before + (f"{target[:_SHOWN]}…" if before and len(target) > _SHOWN else target)


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What is to be trained. `given`: the settings given explicitly, which no plan changes; `note` takes sentences."""

    text: TextSettings
    choices: Choices
    length: Length
    training: TrainConfig
    output: Output
    given: Mapping[str, Any]
    note: Callable[[str], object]
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        require(
            not self.training.freeze or self.choices.base is not None or self.output.resume is not None,
            f"{named('freeze')} goes with {named('base', 'CHECKPOINT')}.",
        )
        require(
            self.choices.model in WITH_MUON or "optimizer" not in self.given or self.training.optimizer == "adamw",
            f"{named('optimizer', 'muon')} is for the matrices of blocks: "
            f"{named('model', self.choices.model)} is trained by adamw.",
        )
        require(
            self.text.val is None or "val_fraction" not in self.given,
            f"{named('val_fraction')} does not go with {named('val')}, which is the whole validation text.",
        )
        if self.choices.model in PAIR_MODELS:
            check_pairs(self.choices.model, self.given)

    def left(self) -> float:
        """The remaining seconds of the budget; a share is always kept for training."""
        seconds = self.length.seconds or 0.0
        return max(LEAST_TRAINING_SHARE * seconds, seconds - (time.perf_counter() - self.started))

    def fit(self, plan: Plan) -> Plan:
        """`plan` for what is left of the budget, if there is one."""
        return plan if self.length.seconds is None else plan.within(self.left())

    @contextmanager
    def together(self, machine: TrainMachine) -> Iterator[tuple[Ranks, torch.device]]:
        """While entered, the processes that torchrun started train together; gives them, and this one's device."""
        with _processes(machine.shard) as ranks:
            if self.output.tensorboard:
                check_installed()
            where: Machine = machine
            if self.output.resume is not None and ranks.size == 1:
                where = as_before(self.output.resume, self.given, machine)
            yield ranks, use_device(where.device, where.threads, ranks.device)

    def begin(
        self, device: torch.device, ranks: Ranks = ALONE, stages: Stages = lambda name, total: no_progress
    ) -> "Prepared":
        """A new run with its folder and its model; for a dry run, only its plan. `stages` shows the progress.

        Raises ConfigError, CorpusError, CheckpointError and OutputError.
        """
        out = self.output.out
        ranks.check_batch(self.choices.batch_size or 0)  # before all the work
        if out is not None:
            check_out(out, overwrite=self.output.overwrite)
        with Scratch(out) as scratch:
            prepared = self._prepare(device, scratch, ranks, stages)
            if prepared.plan is None or self.length.dry_run:
                self._note_length(prepared)
                return prepared
            ranks.check_batch(prepared.plan.train.batch_size)
            plan, folder, model = self._start(prepared, prepared.plan, device)
        self._note_length(prepared)
        if self.length.seconds is not None:
            plan = self.fit(plan)
            folder.update(train=asdict(plan.train))
        return replace(prepared, plan=plan, begun=StartedRun(plan, folder, model))

    def reopen(self) -> StartedRun | Finished:
        """The run to continue, with its model."""
        return reopen(self.output.resume or "latest", self.given, self.note)

    def shared(self, ranks: Ranks, device: torch.device, begin: Callable[[], StartedRun | None]) -> Training | None:
        """What `begin` returns on the first of the ranks, the only one that calls it, shared with all of them."""
        begun = share_run(ranks, begin)
        if begun is None:
            return None
        plan, folder, model = begun
        resumes, tensorboard = self.output.resume is not None, self.output.tensorboard
        return Training(plan, folder, ranks.place(model, device), ranks, resumes=resumes, tensorboard=tensorboard)

    def _prepare(self, device: torch.device, scratch: Scratch, ranks: Ranks, stages: Stages) -> "Prepared":
        """Read the text, measure the machine if there is a time budget, and plan the run."""
        choices, training, length, given = self.choices, self.training, self.length, self.given
        first = None
        if choices.base is not None:
            with concerning("base"):
                first = Base(choices.base, load(choices.base))
            for sentence in first.checkpoint.notes:
                self.note(sentence)
            with concerning("base"):
                choices, training = finetune_settings(first, choices, training, given, device, ranks.size)
        runs: list[PlannedRun] = []
        most_learned = None
        corpus, held_out = self._read(stages)
        if length.seconds is not None:
            stages("measuring this machine", None)
            chooser = choose_pairs if choices.model in PAIR_MODELS else choose
            found = chooser(corpus, held_out, choices, training, self.left(), device, given, ranks.size, first)
            runs, choices, training, most_learned = found.runs, found.choices, found.settings, found.most_learned
            if found.note:
                self.note(found.note)
            if length.dry_run and choices.model in PLANNED:
                return Prepared(choices=choices, runs=runs, train_bytes=found.train_bytes)
        choices = choices.filled()
        plan = make_plan(
            corpus, held_out, choices, training, device, scratch, stages, base=first, most_learned=most_learned
        )
        runs[:1] = [as_tokenized(run, plan) for run in runs[:1]]
        return Prepared(choices=choices, runs=runs, train_bytes=plan.data.train_bytes, plan=plan, base=first)

    def _note_length(self, prepared: "Prepared") -> None:
        """A note about a text, or a part of one, that is too short."""
        if self.choices.base is not None or prepared.train_bytes >= SHORTEST_TEXT:
            return
        text, more = "The text", "more text would help"
        if self.choices.part < 1:
            text, more = "This part of the text", f"a larger {named('part')} would help"
        elif prepared.choices.part < 1:
            text, more = "This part of the text", f"more {named('minutes')} use more of it"
        other = f", or a model that knows the language already ({named('base')})"
        self.note(
            f"{text} has only {prepared.train_bytes:,} bytes to train on, too few to learn more than its letters and "
            f"short words: {more}{'' if self.choices.model in PAIR_MODELS else other}."
        )

    def _read(self, stages: Stages) -> tuple[Corpus, Corpus | None]:
        """The text, and the validation text if it is another one: as much of them as there is time to read."""
        text, seconds = self.text, self.length.seconds
        progress = stages("reading", None)
        most = None if seconds is None else READING_SHARE * seconds

        reading = read_pairs if self.choices.model in PAIR_MODELS else read_corpus

        def read(specs: tuple[str, ...]) -> Corpus:
            return reading(specs, text, progress=progress, seconds=most)

        corpus, held_out = read(text.corpus), None if text.val is None else read((text.val,))
        for each in (corpus, held_out):
            if each is None:
                continue
            for sentence in (*each.notes, each.separator_note, "" if each.whole else _part_was_read(each)):
                if sentence:
                    self.note(sentence)
        trained = {source.sha256 for source in corpus.sources}
        both = [source.name for source in held_out.sources if source.sha256 in trained] if held_out else []
        if both:
            self.note(
                f"{first_names(both)} {'is' if len(both) == 1 else 'are'} both trained on and validated on, so a text "
                f"that is memorised looks well predicted. Without {named('val')}, the end of the text is held out."
            )
        return corpus, held_out

    def _start(self, prepared: "Prepared", plan: Plan, device: torch.device) -> StartedRun:
        """Load the model that the training starts from, and create the run's folder."""
        first, seconds = prepared.base, self.length.seconds
        model = build_model(plan) if first is None else begun_with(first, plan.model, plan.train.freeze)
        plan = self.fit(plan)
        origin = None if first is None else pinned(first.name, first.checkpoint.path)
        info = run_info(plan, prepared.choices, device)
        info |= again(self.text, self.length, plan, prepared.choices, device, origin)
        info |= {
            "minutes": None if seconds is None else seconds / 60,
            "expected_bits_per_byte": prepared.expected_bits_per_byte,
            "save_every": self.output.save_every,
        }
        path = claim(plan.corpus.name, self.output.out, overwrite=self.output.overwrite)
        folder = RunFolder(path, plan.tokenizer, info)
        generation = {}
        if first is not None:
            generation = within(first.checkpoint.generation, plan.model.context, first.config.context)
        folder.start(model, model_card(plan, info["command"]), plan.data, generation)
        return StartedRun(plan, folder, model)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training that can begin: the ways to use a time budget, best first, the plan of the best, and the run.

    A dry run has no run, and no `plan` if only the ways were asked for.
    """

    choices: Choices
    runs: list[PlannedRun]
    train_bytes: int
    plan: Plan | None = None
    base: Base | None = None
    begun: StartedRun | None = None

    @property
    def expected_bits_per_byte(self) -> float | None:
        """What the chosen run is expected to reach, if that is known: the law is one of GPTs and Muon."""
        train = None if self.plan is None else self.plan.train
        is_usual = train is None or (train.optimizer == "muon" and train.positions == "learned")
        known = self.runs and self.choices.model == "gpt" and is_usual
        return self.runs[0].expected_bits_per_byte if known else None


def _processes(shard: bool) -> AbstractContextManager[Ranks]:
    """This process alone, or those that torchrun started, for which more of torch is imported, which takes a second."""
    if launched_rank() is None and not shard:
        return nullcontext(ALONE)
    from minigpt.training.distributed import join

    return join(shard)


def _part_was_read(text: Corpus) -> str:
    return (
        f"to read all of {text.sources[0].name if len(text.sources) == 1 else text.name} again and again would take "
        f"too much of the time: its first {text.utf8_bytes:,} bytes are used. More {named('minutes')} use more."
    )
