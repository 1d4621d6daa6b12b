"""The events of a training: its records, and what else a display may show while it runs."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from typing import cast

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.run_folder import RunFolder
from minigpt.checkpoint.runs import TENSORBOARD
from minigpt.models.decoder import decoding_threads
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.kinds import Model
from minigpt.models.translate import greedy
from minigpt.sampling.engine import generate
from minigpt.settings import SampleConfig
from minigpt.text.arguments import few_words, opening_words
from minigpt.text.pairs import BUILTIN, pairs_within
from minigpt.text.translations import EXAMPLE
from minigpt.training.distributed import Ranks
from minigpt.training.evaluate import is_overfitting
from minigpt.training.law import MOST_DECAY, MOST_DROPOUT
from minigpt.training.plan import Plan
from minigpt.training.records import Logged, Overfitting, ShortSample, TrainEvent
from minigpt.training.run import run
from minigpt.training.tensorboard import event_files, is_installed

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
