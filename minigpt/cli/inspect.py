"""What `minigpt inspect-probs`, `inspect-attention` and `inspect-embeddings` share: a view is asked, its answer shown.

The flags of the views, and which of them exclude each other, come from the registry in `minigpt.render.views`.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from minigpt.cli.console import note, print_lines, working
from minigpt.cli.page import check_page, page_title, write_page
from minigpt.cli.remarks import note_boundary, note_checkpoint
from minigpt.errors import ConfigError, named
from minigpt.render.face import Face
from minigpt.render.machine import to_json, write_steps
from minigpt.render.views import faces_of
from minigpt.settings import Settings, require
from minigpt.views.view import Answer, chosen_view, flags_of

Command = TypeVar("Command", bound=Callable[..., None])


def with_views(name: str) -> Callable[[Command], Command]:
    """Give a command's parameter `flags` the settings of the command's views."""

    def typed(command: Command) -> Command:
        command.__annotations__["flags"] = flags_of(face.view for face in faces_of(name))
        return command

    return typed


def _chosen_face(command: str, flags: Settings, csv: bool, html: Path | None) -> Face:
    """The view that is asked for, checked as far as possible before a model is loaded."""
    faces = faces_of(command)
    view = chosen_view([face.view for face in faces], flags)
    face = next(face for face in faces if face.view is view)
    if csv and face.csv is None:
        without = {face.view.asked_by[0] for face in faces if face.csv is None and len(face.view.asked_by) == 1}
        name = next(name for name in view.asked_by if name in without)
        raise ConfigError(f"{named(name)} has no {named('csv')}; {named('json')} has its numbers.")
    check_page(html)
    return face


def inspect(command: str, flags: Settings, json: bool, csv: bool, html: Path | None, **asked: Any) -> None:
    """Ask the view that the flags choose, and show its answer. `asked`: for `minigpt.app.inspect_run.question`."""
    face = _chosen_face(command, flags, csv, html)
    view = face.view
    from minigpt.app import inspect_run

    question = inspect_run.question(view, flags, note=note, **asked)
    if question.model.config.reads_pairs:
        view = inspect_run.view_of_pairs(view, question.model.config)
        face = next(face for face in faces_of(command) if face.view is view)
        require(not csv or face.csv is not None, f"This has no {named('csv')}; {named('json')} has its numbers.")
    if view.runs_model:
        note_checkpoint(question.checkpoint)
        note(inspect_run.window_note(view, question))
        if view.at_end and view.tokens_ahead is not None:
            note_boundary(question.checkpoint, question.text, top=1, show=False)
    with working() as work:
        answer = view.ask(replace(question, stages=work.begin))
    if html is not None:
        shown = answer if view.page is None else replace(answer, records=view.page(question, answer))
        write_page(html, page_title(question.text or view.title), [face.on_page(shown)], question.checkpoint)
    if json:
        _print_json(face, answer, lambda: inspect_run.json_about(view, question))
    elif csv and face.csv is not None:
        face.csv(answer, sys.stdout)
    else:
        print_lines(lambda screen: face.lines(answer, screen))


def _print_json(face: Face, answer: Answer, about: Callable[[], Mapping[str, Any]]) -> None:
    if face.view.key is None:
        (record,) = answer.records
        print(to_json(record, **answer.fields, **about()))
        return
    tally = answer.tally()
    records = tally.watch(answer.records)
    write_steps(records, lambda: {**tally.fields(), **answer.fields, **about()}, sys.stdout, name=face.view.key)
