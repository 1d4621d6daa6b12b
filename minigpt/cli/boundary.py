"""A prompt in; on standard error, how its end is cut, where that matters or was asked for. It is never changed."""

from typing import TYPE_CHECKING

from minigpt.cli.guard import note, stderr
from minigpt.render.boundary import boundary_note, boundary_tables
from minigpt.render.screen import Screen

if TYPE_CHECKING:
    from rich.console import Console

    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.sampling.records import StepRecord
    from minigpt.views.boundary import Boundary

NO_BOUNDARY = "the prompt has fewer than two tokens: nothing stands before its end, from where --boundary could look."


def tell_of_boundary(loaded: "Checkpoint", prompt: str, *, top: int, show: bool, quiet: bool) -> None:
    """The two distributions on standard error where `show`; else a note, unless `quiet`, if the end is doubtful."""
    if not show and quiet:
        return
    ids = loaded.tokenizer.encode(prompt)
    end = find_boundary(loaded, ids, top)
    if show and end is not None:
        from minigpt.views.probs import next_token

        print_boundary(stderr(), next_token(loaded.model, loaded.tokenizer, ids, top=top), end, prompt)
    elif show:
        note(NO_BOUNDARY, quiet=quiet)
    elif end is not None and (sentence := boundary_note(end, Screen.of(stderr()).symbols)):
        note(sentence)


def find_boundary(loaded: "Checkpoint", ids: list[int], top: int) -> "Boundary | None":
    from minigpt.models.decoder import decoding_threads
    from minigpt.views.boundary import boundary

    with decoding_threads(loaded.model):
        return boundary(loaded.model, loaded.tokenizer, ids, top=top)


def print_boundary(console: "Console", record: "StepRecord", end: "Boundary", prompt: str) -> None:
    console.print(boundary_tables(record, end, prompt, Screen.of(console)), soft_wrap=True)
