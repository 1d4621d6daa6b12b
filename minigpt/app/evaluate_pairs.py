"""What `minigpt evaluate` does with a model of pairs: the loss of given targets, and the model's own beside them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import CorpusError, escaped, named
from minigpt.models.device import resolve_precision
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.translate import greedy, target_nats_of_each
from minigpt.sampling.distribution import require_finite
from minigpt.sampling.records import LabelScore, PairScore, perplexity
from minigpt.settings import TextFormat, Windows, require
from minigpt.settings.model import NAMES
from minigpt.text.blocks import Stages
from minigpt.text.corpus import Corpus
from minigpt.text.losses import Losses
from minigpt.text.pairs import PairIds, pairs_of, read_pairs
from minigpt.training.pairs import evaluate_pairs
from minigpt.views.choices import known_labels

_OF_TEXTS = ("stride", "rolling", "no_bos")  # how a continued text is read


@dataclass
class _Measured:
    """The pairs of a file, or of all: what adds up, and the texts that are compared as a whole."""

    too_long: int = 0
    tokens: int = 0
    bytes: int = 0
    nats: float = 0.0
    targets: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)  # by the model, for each of `targets`
    answers: list[str] = field(default_factory=list)  # the most probable label for each, if there are labels

    def add(self, other: "_Measured") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class PairEvaluation:
    """A model of pairs to measure. `losses`: what of the texts has no token.

    Raises ConfigError for a setting that is about a continued text, or a precision that the device lacks.
    """

    def __init__(self, checkpoint: Checkpoint, windows: Windows) -> None:
        config = checkpoint.model.config
        for name in _OF_TEXTS:
            require(
                getattr(windows, name) == getattr(Windows, name),
                f"{named(name)} is for a model that continues a text, and {NAMES[config.model]} reads pairs.",
            )
        self.checkpoint, self._model = checkpoint, cast(EncoderDecoder, checkpoint.torch_model)
        self.losses = Losses(checkpoint.tokenizer)
        self._precision = resolve_precision(windows.precision, self._model.device, config.width)
        self._labels = known_labels(checkpoint) or ()

    def run(self, files: Sequence[str], text: TextFormat, stages: Stages) -> Iterator[str | PairScore]:
        """Yields sentences about what was read and measured, a score for each file, and last that of all together.

        Raises CorpusError if there is nothing to score.
        """
        corpus = read_pairs(files, text, progress=stages("reading", None), to_learn=False)
        yield from filter(None, (corpus.skipped_note, *corpus.notes))
        if not has_sacrebleu() and not self._labels:  # a label is no translation
            yield (
                "chrF and BLEU are left out: they need the package sacrebleu, not installed here. From your clone of "
                "minigpt: pip install -e '.[translation]'"
            )
        whole = _Measured()
        for name, measured in self._by_file(corpus, stages("translating", corpus.documents // 2, "pairs")):
            whole.add(measured)
            yield self._score(name, measured)
        total = self._score(None, whole)
        yield from self._remarks(total)
        yield total

    def _remarks(self, total: PairScore) -> Iterator[str]:
        context = self._model.config.context
        if not total.pairs:
            raise CorpusError(
                f"There is nothing to score: all {total.too_long:,} pairs have more than {context:,} tokens on a side, "
                "the model's context."
            )
        if total.too_long:
            yield (
                f"{total.too_long:,} of {total.too_long + total.pairs:,} pairs have more than {context:,} tokens on a "
                "side, the model's context, and are left out."
            )
        if total.labels and total.labels.unknown:
            yield (
                f"{total.labels.unknown:,} of {total.pairs:,} pairs have a label that training never saw; they count "
                "as wrong."
            )

    def _by_file(self, corpus: Corpus, progress: Callable[[int], None]) -> Iterator[tuple[str, _Measured]]:
        for source, blocks in corpus.by_source():
            try:
                yield source.name, self._measured(list(pairs_of(blocks)), progress)
            except CorpusError as error:
                raise CorpusError(f"{escaped(source.name)}: {error.message}") from error

    def _measured(self, texts: Sequence[tuple[str, str]], progress: Callable[[int], None]) -> _Measured:
        model, tokenizer = self._model, self.checkpoint.tokenizer
        for text in (side for pair in texts for side in pair):
            self.losses.add(text)
        every = PairIds.of(tokenizer.encode_documents([side for pair in texts for side in pair]), model.end)
        pairs, fits = every.within(model.config.context), every.longest <= model.config.context
        progress(pairs.too_long)
        if not len(pairs):
            return _Measured(too_long=pairs.too_long)
        found = evaluate_pairs(model, pairs, tokenizer.byte_lengths(), precision=self._precision)
        assert found is not None
        require_finite(np.array(found.loss_nats))
        targets = [target for (_, target), kept in zip(texts, fits, strict=True) if kept]
        sources = [pairs.source(number).tolist() for number in range(len(pairs))]
        return _Measured(
            too_long=pairs.too_long,
            tokens=found.tokens,
            bytes=sum(len(target.encode()) for target in targets),
            nats=found.loss_nats * found.tokens,
            targets=targets,
            written=[tokenizer.decode(ids).strip() for ids in greedy(model, sources, progress=progress)],
            answers=self._answers(sources),
        )

    def _answers(self, sources: Sequence[Sequence[int]]) -> list[str]:
        """The most probable label after each source; nothing without labels."""
        if not self._labels:
            return []
        labels = [self.checkpoint.tokenizer.encode(label) for label in self._labels]
        best_N = target_nats_of_each(self._model, sources, labels).argmin(axis=1)
        return [self._labels[best] for best in best_N]

    def _score(self, name: str | None, measured: _Measured) -> PairScore:
        pairs, tokens, nats = len(measured.targets), measured.tokens, measured.nats
        exact = sum(map(str.__eq__, measured.written, measured.targets))
        chrf, bleu = translation_scores(measured.written, measured.targets)
        labels = self._label_score(measured) if self._labels and pairs else None
        return PairScore(
            file=name,
            pairs=pairs,
            too_long=measured.too_long,
            tokens=tokens,
            bytes=measured.bytes,
            total_nats=nats,
            nats_per_token=nats / tokens if tokens else None,
            bits_per_byte=nats / math.log(2) / measured.bytes if measured.bytes else None,
            perplexity=perplexity(nats, tokens),
            exact=exact / pairs if pairs else None,
            chrf=chrf,
            bleu=bleu,
            accuracy=labels.correct / pairs if labels else None,
            labels=labels,
        )

    def _label_score(self, measured: _Measured) -> LabelScore:
        numbers = {label: number for number, label in enumerate(self._labels)}
        table = np.zeros((len(numbers), len(numbers)), np.int64)
        for target, answer in zip(measured.targets, measured.answers, strict=True):
            if target in numbers:
                table[numbers[target], numbers[answer]] += 1
        return LabelScore(
            correct=int(table.trace()),
            unknown=len(measured.targets) - int(table.sum()),
            labels=self._labels,
            confusion=tuple(tuple(row) for row in table.tolist()),
        )


def has_sacrebleu() -> bool:
    """Whether the package that computes chrF and BLEU is installed."""
    return find_spec("sacrebleu") is not None


def translation_scores(written: Sequence[str], targets: Sequence[str]) -> tuple[float | None, float | None]:
    """chrF2 (Popović, "chrF", 2015) and BLEU (Papineni et al., 2002) of a corpus, from 0 to 100.

    None without the package sacrebleu, or without texts.
    """
    if not targets or not has_sacrebleu():
        return None, None
    package: Any = import_module("sacrebleu")
    chrf, bleu = package.corpus_chrf(written, [targets]), package.corpus_bleu(written, [targets], force=True)
    return float(chrf.score), float(bleu.score)
