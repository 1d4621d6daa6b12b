"""Finds the parts of samples that occur verbatim in a corpus."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from minigpt.app.opening import Stages
from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.reference import find_reference
from minigpt.sampling.engine import Piece
from minigpt.sampling.records import StepRecord
from minigpt.text.formats import check_argument
from minigpt.views.verbatim import SHORTEST_SPAN, VerbatimReport, verbatim

_USUAL_BYTES = 32  # of text in the shortest span that is marked: about six words of English


class Verbatim:
    """Records what is sampled, then reports which parts occur verbatim in the corpus.

    `at_least`: the fewest tokens of a span, by default about 32 bytes of text. `note`: a remark about the corpus.
    """

    def __init__(self, checkpoint: Checkpoint, sources: Sequence[str], at_least: int | None, stages: Stages) -> None:
        found = find_reference([check_argument(source) for source in sources], checkpoint, stages)
        self.note = found.note
        self._tokenizer, self._corpus = checkpoint.tokenizer, found
        self._at_least = at_least or max(SHORTEST_SPAN, round(_USUAL_BYTES / found.bytes_per_token))
        self._drawn: dict[int, list[StepRecord]] = defaultdict(list)

    def watch(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Pass on the same pieces."""
        for piece in pieces:
            if isinstance(piece.record, StepRecord):
                self._drawn[piece.record.sample].append(piece.record)
            yield piece

    def report(self, sample: int) -> VerbatimReport:
        """Report on a sample that has ended; only once, because its tokens are then dropped."""
        drawn = self._drawn.pop(sample)
        return verbatim(
            self._tokenizer,
            [record.token.id for record in drawn if record.token is not None],
            self._corpus.ids,
            self._corpus.text,
            at_least=self._at_least,
            position=drawn[0].position,
            sample=sample,
        )
