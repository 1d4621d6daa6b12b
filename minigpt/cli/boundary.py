"""Warns on standard error when the end of a prompt splits a likely token. The prompt itself is never changed."""

from typing import TYPE_CHECKING

from minigpt.cli.console import note, running, stderr
from minigpt.render.screen import Screen
from minigpt.render.tokenization import boundary_note, boundary_tables
from minigpt.views.boundary import NO_BOUNDARY, boundary
from minigpt.views.probs import next_token

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint


def tell_of_boundary(loaded: "Checkpoint", prompt: str, *, top: int, show: bool) -> None:
    """Print the two distributions on standard error if `show`; else a note if the end is doubtful."""
    if running.quiet and not show:
        return
    console, ids = stderr(quiet=False), loaded.tokenizer.encode(prompt)
    screen, end = Screen.of(console), boundary(loaded.model, loaded.tokenizer, ids, top=top)
    if end is None:
        if show:
            note(NO_BOUNDARY)
    elif show:
        record = next_token(loaded.model, loaded.tokenizer, ids, top=top)
        console.print(boundary_tables(record, end, prompt, screen), soft_wrap=True)
    elif sentence := boundary_note(end, screen.symbols):
        note(sentence)
