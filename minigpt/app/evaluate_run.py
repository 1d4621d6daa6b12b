"""What `minigpt evaluate` does: it measures a model on whole texts."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigpt.app.opening import open_checkpoint
from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import CorpusError, escaped
from minigpt.models.device import autocast, resolve_precision
from minigpt.sampling.records import FileScore
from minigpt.sampling.score import Part, checked_stride, score, total_score
from minigpt.settings import Machine, TextFormat, Weights, Windows
from minigpt.text.blocks import Block, Stages
from minigpt.text.corpus import Corpus, read_corpus
from minigpt.text.losses import Losses

if TYPE_CHECKING:
    from minigpt.app.evaluate_pairs import PairEvaluation


class Evaluation:
    """A model, and the windows in which it reads a text. `losses`: what of the texts has no token.

    Raises ConfigError for a stride that does not fit the model's context, or a precision that its device lacks.
    """

    def __init__(self, checkpoint: Checkpoint, windows: Windows) -> None:
        model, stride = checkpoint.model, windows.stride
        if stride is not None or model.config.limit is not None:
            stride = checked_stride(stride, model.config.context)
        self.checkpoint, self._stride, self._rolling = checkpoint, stride, windows.rolling
        self.losses = Losses(checkpoint.tokenizer)
        self._autocast = None
        if windows.precision != "float32":
            device = checkpoint.torch_model.device
            self._autocast = partial(autocast, device, resolve_precision(windows.precision, device, model.config.width))

    @staticmethod
    def open(path: Path | None, windows: Windows, weights: Weights, machine: Machine) -> "Evaluation | PairEvaluation":
        """Load the checkpoint at `path`, or the newest run. One that reads pairs is measured on pairs."""
        rounds = windows.precision != "float32"
        loaded = open_checkpoint(path, machine, weights, reading=windows, needs_torch=rounds)
        if not loaded.model.config.reads_pairs:
            return Evaluation(loaded, windows)
        from minigpt.app.evaluate_pairs import PairEvaluation

        return PairEvaluation(loaded, windows)

    def run(self, files: Sequence[str], text: TextFormat, stages: Stages) -> Iterator[str | FileScore]:
        """Yields sentences about what was read, a score for each file, and last that of all together.

        Raises CorpusError if there is nothing to score.
        """
        progress = stages("reading", None)
        corpus = read_corpus(files, text, progress=progress, to_learn=False)
        yield from filter(None, (corpus.skipped_note, *corpus.notes, corpus.separator_note))
        scores = []
        for each in self._scores(corpus, stages("scoring", corpus.utf8_bytes, "bytes")):
            scores.append(each)
            yield each
        total = total_score(scores)
        if not total.tokens:
            if lost := self.losses.note:
                raise CorpusError(f"There is nothing to score: {lost}")
            raise CorpusError(
                "There is nothing to score: the first token of a document has no context, and there is no other.\n"
                "Give a text of two tokens or more."
            )
        yield total

    def _scores(self, corpus: Corpus, progress: Callable[[int], None]) -> Iterator[FileScore]:
        tokenizer = self.checkpoint.tokenizer
        measure = partial(
            score,
            self.checkpoint.model,
            stride=self._stride,
            prefix_token=tokenizer.beginning if self._rolling else None,
            autocast=self._autocast,
            progress=progress,
        )
        for source, blocks in corpus.by_source():
            try:
                yield measure(map(self._part, tokenizer.whole(blocks)), name=source.name)
            except CorpusError as error:
                raise CorpusError(f"{escaped(source.name)}: {error.message}") from error

    def _part(self, block: Block) -> Part:
        tokenizer, (text, begins) = self.checkpoint.tokenizer, block
        self.losses.add(text)
        ids = tokenizer.encode_any(text)  # one document of many may have no token
        byte_counts = tokenizer.byte_counts(text, ids)
        if begins and not self._rolling:  # which has its own beginning
            ids, byte_counts = [*tokenizer.prefix, *ids], np.concatenate([0 * np.array(tokenizer.prefix), byte_counts])
        return Part(np.array(ids, np.int64), byte_counts, begins)
