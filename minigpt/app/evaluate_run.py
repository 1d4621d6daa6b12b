"""What `minigpt evaluate` does: it measures a model on whole texts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.app.opening import Stages, about, open_checkpoint
from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import CorpusError, escaped
from minigpt.models.device import autocast, resolve_precision
from minigpt.sampling.records import FileScore
from minigpt.sampling.score import Part, checked_stride, score, total_score
from minigpt.settings import Machine, TextFormat, Weights, Windows, require
from minigpt.settings.model import NAMES
from minigpt.text.blocks import Block
from minigpt.text.corpus import Corpus, read_corpus
from minigpt.text.losses import Losses


@dataclass(frozen=True)
class Skipped:
    """Files of the corpus that are not text."""

    names: Sequence[str]


@dataclass(frozen=True)
class Remark:
    """A sentence about how the corpus was read."""

    sentence: str


class Evaluation:
    """A model, and the windows in which it reads a text. `losses`: what of the texts has no token.

    Raises ConfigError for a stride that does not fit the model's context, or a precision that its device lacks.
    """

    def __init__(self, checkpoint: Checkpoint, windows: Windows) -> None:
        model, stride = checkpoint.model, windows.stride
        require(
            not model.config.reads_pairs,
            f"evaluate scores texts, and {NAMES[model.config.model]} reads pairs: its run has the loss on its "
            "validation pairs (minigpt plot).",
        )
        if stride is not None or model.config.limit is not None:
            stride = checked_stride(stride, model.config.context)
        self.checkpoint, self._stride, self._rolling = checkpoint, stride, windows.rolling
        self.losses = Losses(checkpoint.tokenizer)
        self._autocast = None
        if windows.precision != "float32":
            device = checkpoint.torch_model.device
            self._autocast = partial(autocast, device, resolve_precision(windows.precision, device, model.config.width))

    @classmethod
    def open(cls, path: Path | None, windows: Windows, weights: Weights, machine: Machine) -> "Evaluation":
        """Load the checkpoint at `path`, or the newest run."""
        rounds = windows.precision != "float32"
        loaded = open_checkpoint(path, machine, weights, reading=windows, needs_torch=rounds)
        return cls(loaded, windows)

    def run(self, files: Sequence[str], text: TextFormat, stages: Stages) -> Iterator[Skipped | Remark | FileScore]:
        """Yields the skipped files, if any, and remarks; a score for each file; last, the score of all files together.

        Raises CorpusError if there is nothing to score.
        """
        progress = stages("reading", None)
        corpus = read_corpus(files, text, progress=progress, to_learn=False)
        if corpus.skipped:
            yield Skipped(corpus.skipped)
        yield from map(Remark, filter(None, (*corpus.notes, corpus.separator_note)))
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

    def about(self) -> dict[str, Any]:
        """What JSON says about the numbers: the weights, and the version of minigpt."""
        return about(self.checkpoint)
