"""`--corpus SOURCE`: the model's list beside what its text holds; of a sample, what stands there verbatim."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console

from minigpt.cli.guard import note, signals_raise, stderr
from minigpt.render.corpus import verbatim_caption, verbatim_text
from minigpt.render.screen import Screen
from minigpt.render.work import WorkDisplay
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.settings import require

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.checkpoint.reference import Reference
    from minigpt.sampling.engine import Piece
    from minigpt.views.corpus import VerbatimReport

_USUAL_BYTES = 32  # of text in the shortest span that is marked: about six words of English


def open_corpus(loaded: "Checkpoint", sources: list[str], *, quiet: bool) -> "Reference":
    """The text to compare with; on standard error, how far reading and tokenizing are."""
    from minigpt.checkpoint.reference import find_reference
    from minigpt.text.prompt import check_argument

    console = stderr()
    console.quiet = console.quiet or quiet
    with signals_raise(), WorkDisplay(console) as work:
        found = find_reference([check_argument(source) for source in sources], loaded, work.begin)
    if found.note:
        note(found.note, quiet=quiet)
    return found


class VerbatimWatch:
    """Watches what is sampled; then says what of it stands in the corpus. Without a corpus it does nothing."""

    def __init__(self, loaded: "Checkpoint", sources: list[str] | None, at_least: int | None, *, quiet: bool) -> None:
        require(at_least is None or bool(sources), "--verbatim goes with --corpus SOURCE.")
        self._loaded, self._quiet = loaded, quiet
        self._corpus = open_corpus(loaded, sources, quiet=quiet) if sources else None
        self._at_least = at_least
        self._drawn: dict[int, list[StepRecord]] = defaultdict(list)

    def watch(self, pieces: Iterator["Piece"]) -> Iterator["Piece"]:
        """The same pieces."""
        for piece in pieces:
            if self._corpus is not None and isinstance(piece.record, StepRecord):
                self._drawn[piece.record.sample].append(piece.record)
            yield piece

    def fields(self, record: StepRecord | SampleEnd) -> dict[str, Any]:
        """What the JSON of `record` has besides: at the end of a sample, `verbatim`."""
        if self._corpus is None or not isinstance(record, SampleEnd):
            return {}
        return {"verbatim": self._report(record.sample)}

    def tell(self, out: Console, sample: int) -> None:
        """The text again with marks, in a terminal; the summary on standard error."""
        if self._corpus is None:
            return
        report = self._report(sample)
        if out.is_terminal and not out.is_dumb_terminal:
            out.print(verbatim_text(report), soft_wrap=True)
        if not self._quiet:
            stderr().print(verbatim_caption(report, Screen.of(stderr())), soft_wrap=True)

    def _report(self, sample: int) -> "VerbatimReport":
        from minigpt.views.corpus import SHORTEST_SPAN, verbatim

        assert self._corpus is not None
        drawn = self._drawn.pop(sample)
        return verbatim(
            self._loaded.tokenizer,
            [record.token.id for record in drawn if record.token is not None],
            self._corpus.ids,
            self._corpus.text,
            at_least=self._at_least or max(SHORTEST_SPAN, round(_USUAL_BYTES / self._corpus.bytes_per_token)),
            position=drawn[0].position,
            sample=sample,
        )
