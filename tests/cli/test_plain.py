"""What flags make of values, beside what typer makes of them: the same, or the same refusal. Typer decides.

Only the bounds of a number are left to the settings, whose messages say what is allowed.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from minigpt.cli.app import converting_plainly

ROOT = Path(__file__).parent.parent.parent

VALUES = (
    *("", "0", "5", "-5", "+5", "007", "1_000", " 5", "5 ", "５", "٥", "1.5", ".5", "5.", "1e3", "nan", "inf", "0x5"),
    *(
        "9" * 15,
        "9" * 30,
        "0.1",
        "123456789.123456789",
        "true",
        "no",
        "a text",
        "a folder/",
        "poem.txt",
        "nowhere",
        "-",
    ),
    *("\x00", "\udcff", "ä"),
)


KINDS = {
    "text": (Annotated[str, typer.Option()], "x"),
    "text or none": (Annotated[str | None, typer.Option()], None),
    "number": (Annotated[int, typer.Option()], 3),
    "fraction": (Annotated[float, typer.Option()], 0.5),
    "usual path": (Annotated[Path, typer.Option()], Path("poem.txt")),
    "path": (Annotated[Path | None, typer.Option()], None),
    "existing path": (Annotated[Path, typer.Option(exists=True)], "poem.txt"),
    "file": (Annotated[Path, typer.Option(dir_okay=False)], "poem.txt"),
    "switch": (Annotated[bool, typer.Option()], False),
    "texts": (Annotated[list[str] | None, typer.Option()], None),
    "paths": (Annotated[list[Path] | None, typer.Option()], None),
    "numbers": (Annotated[list[int] | None, typer.Option()], None),
    "parsed": (Annotated[str | None, typer.Option(parser=lambda value: f"parsed {value}")], None),
    "with a callback": (Annotated[str | None, typer.Option(callback=lambda value: f"called with {value}")], None),
    "argument": (Annotated[Path | None, typer.Argument()], None),
    "needed argument": (Annotated[str, typer.Argument()], ...),
    "needed arguments": (Annotated[list[str], typer.Argument()], ...),
    "arguments": (Annotated[list[str] | None, typer.Argument()], None),
}


def command_of(annotation: Any, default: Any) -> Any:
    """A command with one parameter, `given`."""

    def function(given: Any) -> None:
        pass

    function.__annotations__["given"] = annotation
    if default is not ...:
        function.__defaults__ = (default,)
    alone = typer.Typer(add_completion=False)
    alone.command()(function)
    return typer.main.get_command(alone)


def outcome(command: Any, parameter: Any, value: Any) -> Any:
    """What a parameter makes of a value, with its type, or the message of its refusal."""
    context = command.context_class(command, info_name="command")
    try:
        made = parameter.process_value(context, value)
    except typer.BadParameter as error:
        return type(error), error.format_message()
    except (OSError, ValueError) as error:
        return type(error), str(error)
    return type(made), repr(made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_becomes_what_typer_makes_of_it(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("poem.txt").touch()
    Path("a folder").mkdir()
    theirs, ours = command_of(*KINDS[kind]), command_of(*KINDS[kind])
    (expected,), (parameter,) = theirs.params, ours.params
    assert converting_plainly(ours.params, ours.callback) == [parameter]
    many = parameter.multiple or parameter.nargs == -1
    for value in (
        None,
        *(([text] if many else text) for text in VALUES),
        *[("5", "6"), ("5", "x"), ()][: 3 * many],
        *KINDS[kind][1:],
        True,
        3,
        0.5,
    ):
        if value is not ...:
            assert outcome(ours, parameter, value) == outcome(theirs, expected, value), value


@pytest.mark.parametrize("kind", [int, float])
def test_a_number_out_of_bounds_reaches_the_settings_that_check_it(kind: type) -> None:
    command = command_of(Annotated[kind | None, typer.Option(min=1, max=500)], None)
    (parameter,) = converting_plainly(command.params, command.callback)
    for value in ("-1", "0", "501"):
        assert outcome(command, parameter, value) == (kind, repr(kind(value)))
    assert outcome(command, parameter, "many")[0] is typer.BadParameter


def test_a_file_that_cannot_be_read_is_refused_by_typer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "poem.txt").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    command = command_of(*KINDS["path"])
    (parameter,) = converting_plainly(command.params, command.callback)
    error, message = outcome(command, parameter, str(tmp_path / "poem.txt"))
    assert error is typer.BadParameter
    assert "is not readable" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect-probs", "a", "--top", "5", "-c", "nowhere"],
        ["evaluate", "a", "b"],
        ["runs"],
        ["sample", "a", "-n", "1", "--temperature", "0.5"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_plain_values_need_no_pydantic(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from minigpt.cli.app import whole_command, app\n"
        "import typer\n"
        "group = typer.main.get_command(app)\n"
        "context = group.make_context('minigpt', sys.argv[1:])\n"
        "whole_command(sys.argv[1]).make_context(sys.argv[1], sys.argv[2:], parent=context)\n"
        "print('pydantic' in sys.modules)"
    )
    command = [sys.executable, "-c", script, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, check=True)
    assert done.stdout == "False\n"
