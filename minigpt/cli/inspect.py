"""`minigpt inspect-probs`, `inspect-attention` and `inspect-embeddings`: each asks one view and shows its answer.

The flags of the views, and which of them exclude each other, come from the registry in `minigpt.render.views`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from minigpt.cli.console import note, print_lines, working
from minigpt.cli.flags import Checkpoint, Given, Json, Top, command, csv_flag
from minigpt.cli.page import Html, check_page, page_title, write_page
from minigpt.cli.remarks import note_boundary, note_checkpoint
from minigpt.errors import ConfigError, named
from minigpt.render.face import Face
from minigpt.render.machine import to_json, write_steps
from minigpt.render.views import faces_of
from minigpt.settings import Machine, Settings, Source, require
from minigpt.views.view import Answer, chosen_view, flags_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True)
class _Output:
    """The flags for how an answer is shown."""

    json: bool
    csv: bool
    html: Path | None


def _with_views(name: str) -> Callable[[Command], Command]:
    """Give a command's parameter `flags` the settings of the command's views."""

    def typed(command: Command) -> Command:
        command.__annotations__["flags"] = flags_of(face.view for face in faces_of(name))
        return command

    return typed


@command
@_with_views("inspect-probs")
def inspect_probs(
    *,
    given: Given,
    source: Source,
    flags: Settings,
    top: Top = 10,
    json: Json = False,
    csv: Annotated[bool, csv_flag("A row per candidate; with --parts, a row per part")] = False,
    html: Html = None,
    machine: Machine,
) -> None:
    """
    [bold]minigpt inspect-probs "To be, or not to"[/bold]
        what may come next
    [bold]minigpt inspect-probs --all --file a.txt[/bold]
        how surprising each token was
    [bold]minigpt inspect-probs "The film was" --choices " good, bad"[/bold]
        which of them fits
    [bold]minigpt inspect-probs "The cat" --corpus run[/bold]
        beside what its own text says
    """
    _inspect("inspect-probs", flags, _Output(json, csv, html), source=source, machine=machine, given=given)


@command
@_with_views("inspect-attention")
def inspect_attention(
    *,
    given: Given,
    source: Source,
    flags: Settings,
    json: Json = False,
    csv: Annotated[
        bool, csv_flag("A row a head; with --layer, a row for each token and each that it looks at")
    ] = False,
    html: Html = None,
    machine: Machine,
) -> None:
    """
    [bold]minigpt inspect-attention "The cat sat on the mat"[/bold]
        what kind of head each is
    [bold]minigpt inspect-attention "The cat sat" --layer 2 --head 1[/bold]
        one head as a grid
    [bold]minigpt inspect-attention "can I have the check?" --with "I check the list"[/bold]
        a word in two texts
    """
    _inspect("inspect-attention", flags, _Output(json, csv, html), source=source, machine=machine, given=given)


@command
@_with_views("inspect-embeddings")
def inspect_embeddings(
    *,
    given: Given,
    tokens: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOKEN...", help="Each exactly one token, such as ' the' with its space, or #262 for the id 262."
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    flags: Settings,
    json: Json = False,
    csv: Annotated[bool, csv_flag("A column for each token")] = False,
    html: Html = None,
    machine: Machine,
) -> None:
    """
    [bold]minigpt inspect-embeddings " the"[/bold]
        its vector and its neighbours
    [bold]minigpt inspect-embeddings " is" " are"[/bold]
        and how near the two are
    [bold]minigpt inspect-embeddings --positions[/bold]
        the table of positions
    """
    output, source = _Output(json, csv, html), Source(checkpoint=checkpoint)
    _inspect("inspect-embeddings", flags, output, source=source, machine=machine, given=given, tokens=tokens or ())


def _chosen_face(command: str, flags: Settings, output: _Output) -> Face:
    """The view that is asked for, checked as far as possible before a model is loaded."""
    require(not (output.json and output.csv), f"{named('json')} and {named('csv')} exclude each other.")
    faces = faces_of(command)
    view = chosen_view([face.view for face in faces], flags)
    face = next(face for face in faces if face.view is view)
    if output.csv and face.csv is None:
        without = {face.view.asked_by[0] for face in faces if face.csv is None and len(face.view.asked_by) == 1}
        name = next(name for name in view.asked_by if name in without)
        raise ConfigError(f"{named(name)} has no {named('csv')}; {named('json')} has its numbers.")
    check_page(output.html)
    return face


def _inspect(command: str, flags: Settings, output: _Output, **asked: Any) -> None:
    """Ask the view that the flags choose, and show its answer. `asked`: for `minigpt.app.inspect_run.question`."""
    face = _chosen_face(command, flags, output)
    view = face.view
    from minigpt.app import inspect_run

    question = inspect_run.question(view, flags, note=note, **asked)
    if view.runs_model:
        note_checkpoint(question.checkpoint)
        if sentence := inspect_run.window_note(view, question):
            note(sentence)
        if view.at_end:
            note_boundary(question.checkpoint, question.text, top=1, show=False)
    with working() as work:
        answer = view.ask(replace(question, stages=work.begin))
    if output.html is not None:
        shown = answer if view.page is None else replace(answer, records=view.page(question, answer))
        write_page(output.html, page_title(question.text or view.title), [face.on_page(shown)], question.checkpoint)
    if output.json:
        _print_json(face, answer, lambda: inspect_run.json_about(view, question))
    elif output.csv and face.csv is not None:
        face.csv(answer, sys.stdout)
    else:
        print_lines(lambda screen: face.lines(answer, screen))


def _print_json(face: Face, answer: Answer, about: Callable[[], "Mapping[str, Any]"]) -> None:
    if face.view.key is None:
        (record,) = answer.records
        print(to_json(record, **answer.fields, **about()))
        return
    tally = answer.tally()
    records = tally.watch(answer.records)
    write_steps(records, lambda: {**tally.fields(), **answer.fields, **about()}, sys.stdout, name=face.view.key)
