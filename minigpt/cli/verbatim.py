"""`sample --corpus SOURCE`: marks the parts of a sample that occur verbatim in a corpus."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from minigpt.cli.console import note, stderr, working
from minigpt.errors import named
from minigpt.render.corpus import verbatim_caption, verbatim_text
from minigpt.render.screen import Screen
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.settings import require

if TYPE_CHECKING:
    from minigpt.app.verbatim import Verbatim
    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.sampling.engine import Piece


class VerbatimWatch:
    """Records what is sampled, then shows which parts occur in the corpus. Without a corpus it does nothing."""

    def __init__(self, loaded: "Checkpoint", sources: Sequence[str], at_least: int | None) -> None:
        require(at_least is None or bool(sources), f"{named('verbatim')} goes with {named('corpus', 'SOURCE')}.")
        self._verbatim = _opened(loaded, sources, at_least) if sources else None

    def watch(self, pieces: Iterator["Piece"]) -> Iterator["Piece"]:
        """Pass on the same pieces."""
        return pieces if self._verbatim is None else self._verbatim.watch(pieces)

    def fields(self, record: StepRecord | SampleEnd) -> dict[str, Any]:
        """Additional JSON fields for `record`: at the end of a sample, `verbatim`."""
        if self._verbatim is None or not isinstance(record, SampleEnd):
            return {}
        return {"verbatim": self._verbatim.report(record.sample)}

    def tell(self, out: Console, sample: int) -> None:
        """Print the text again with marks, in a terminal; and a summary on standard error."""
        if self._verbatim is None:
            return
        report = self._verbatim.report(sample)
        if out.is_terminal and not out.is_dumb_terminal:
            out.print(verbatim_text(report), soft_wrap=True)
        stderr().print(verbatim_caption(report, Screen.of(stderr())), soft_wrap=True)


def _opened(loaded: "Checkpoint", sources: Sequence[str], at_least: int | None) -> "Verbatim":
    """Open the corpus, with its progress on standard error."""
    from minigpt.app.verbatim import Verbatim

    with working() as work:
        found = Verbatim(loaded, sources, at_least, work.begin)
    if found.note:
        note(found.note)
    return found
