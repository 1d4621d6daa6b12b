"""The command line: `minigpt COMMAND`. The module of a command is imported when it is called."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from inspect import cleandoc, unwrap
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, NoReturn, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import ParameterInfo

from minigpt.cli.signals import release_stderr, write_nowhere
from minigpt.errors import bounded
from minigpt.launch import launched_rank
from minigpt.versions import version

# By name: the function of each command in this folder, and its summary. A command's own --help goes on with the
# examples in the function's docstring.
COMMANDS = {
    "train": ("train:train", "Train a small GPT on a text, and keep the best model."),
    "sample": ("sample:sample", "Continue a text, and watch every token being chosen."),
    "inspect-probs": (
        "inspect_probs:inspect_probs",
        "Show which tokens a model expects after a text, and how strongly.",
    ),
    "explore": (
        "explore:explore",
        "Walk through what a model could write: choose tokens, step back, branch, change the settings, guess.",
    ),
    "inspect-attention": (
        "inspect_attention:inspect_attention",
        "Show which earlier tokens each token of a text attends to, by layer and head.",
    ),
    "inspect-embeddings": (
        "inspect_embeddings:inspect_embeddings",
        "Show a token's embedding vector, and the tokens whose vectors are most similar.",
    ),
    "evaluate": ("evaluate:evaluate", "Measure a model on whole texts: nats per token, bits per byte, perplexity."),
    "plot": ("plot:plot", "Plot the loss curves of one or several runs."),
    "compare": (
        "compare:compare",
        "Compare a GPT with the architectures before it, at equal parameters, on equal text, for equal tokens or time.",
    ),
    "runs": (
        "runs:runs",
        "List the trained models, newest first: size, text, loss, age. Other commands accept these names.",
    ),
    "export": (
        "export:export",
        "Write a model for other programs: as a GGUF file, as a page, "
        "or as a folder without the history of its training.",
    ),
    "import": ("import_model:import_", "Read a model of nanoGPT or llama.cpp, and write it as a GPT-2 folder."),
}


# --- plain values

_NOT_PLAIN = object()
_NUMBERS = {int: r"-?\d{1,15}", float: r"-?\d{1,15}(\.\d{1,15})?"}


def converting_plainly(parameters: list[Any], callback: Callable[..., Any] | None) -> list[Any]:
    """The same `parameters` of typer, which now convert plain values by themselves, to what typer makes of them.

    Plain are a value that is missing or has its type already, a text, the path of a file that can be read or is not
    there, a number in digits, and several of these. Typer converts the others, and refuses what is wrong; for them it
    imports pydantic, which takes longer than an answer. The settings check the range of a number. `callback`: of their
    command, whose annotations are those of its parameters. The flags that typer adds, such as --help, are switches.
    """
    annotations = unwrap(callback).__annotations__ if callback else {}
    for parameter in parameters:
        if "process_value" not in vars(parameter):
            annotation = annotations.get(parameter.name, Annotated[bool, ParameterInfo()])
            kind, about = get_args(annotation)[:2] if get_origin(annotation) is Annotated else (Any, ParameterInfo())
            kinds = {*get_args(kind | None)} - {type(None)}
            parameter.process_value = partial(_processed, parameter, parameter.process_value, kinds, about)
    return parameters


def _processed(parameter: Any, by_typer: Any, kinds: set[Any], about: ParameterInfo, ctx: Any, value: Any) -> Any:
    many = parameter.multiple or parameter.nargs == -1
    plain: Any = _NOT_PLAIN
    if value is None and not parameter.required:
        plain = () if many else None
    elif about.parser is None and len(kinds) == 1:
        (kind,) = kinds
        if not many:
            plain = _plain(value, kind, about)
        elif isinstance(value, list | tuple) and value:
            (inner,) = get_args(kind)
            items = [_plain(item, inner, about) for item in value]
            plain = _NOT_PLAIN if any(item is _NOT_PLAIN for item in items) else items
    if plain is _NOT_PLAIN:
        return by_typer(ctx, value)
    return plain if parameter.callback is None else parameter.callback(ctx, parameter, plain)


def _plain(value: Any, kind: Any, about: ParameterInfo) -> Any:
    """The value as one of this kind, or _NOT_PLAIN."""
    if type(value) is kind:
        return value
    asks_more = about.exists or about.writable or about.resolve_path or not (about.file_okay and about.dir_okay)
    if isinstance(value, str | Path) and kind is Path and not asks_more:
        if "\0" not in str(value) and (os.access(value, os.R_OK) or not os.path.exists(value)):
            return Path(value)
    elif type(value) is str and kind in _NUMBERS and re.fullmatch(_NUMBERS[kind], value, re.ASCII):
        return kind(value)
    return _NOT_PLAIN


class _Group(TyperGroup):
    """A command group whose usage errors shorten an overlong command line."""

    def get_params(self, ctx: Any) -> Any:
        return converting_plainly(super().get_params(ctx), self.callback)

    def make_context(self, *args: Any, **more: Any) -> Any:
        with _bounded():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        with _bounded():
            return super().invoke(ctx)


@contextmanager
def _bounded() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = bounded(message)  # type: ignore[attr-defined]
        raise


class _Command(TyperCommand):
    """A command that converts plain values by itself."""

    def get_params(self, ctx: Any) -> Any:
        return converting_plainly(super().get_params(ctx), self.callback)


class _Deferred(TyperCommand):
    """A command's name and summary, which are all that a list of commands shows; it is imported when it is called."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        assert self.name
        return whole_command(self.name).make_context(*args, **more)


@cache
def whole_command(name: str) -> Any:
    """A command as typer runs it, with all its flags and its help."""
    home, summary = COMMANDS[name]
    function = resolve_name(f"minigpt.cli.{home}")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name, cls=_Command, help=f"{summary}\n\n{cleandoc(function.__doc__)}")(function)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="minigpt",
    cls=_Group,
    help="Train a small GPT on your own text, and see the probabilities behind every token.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]minigpt train notes.txt[/bold] and [bold]minigpt sample[/bold]; "
    "each command has its own --help. Exit codes: 0 for success, 2 for wrong usage, 1 for any other error, 130 after "
    "Ctrl-C.",
)
for _name, (_, _summary) in COMMANDS.items():
    app.command(_name, cls=_Deferred, help=_summary)(lambda: None)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"minigpt {version('minigpt')} (torch {version('torch')}, tokenizers {version('tokenizers')})")
        raise typer.Exit


@app.callback()
def _minigpt(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point of the `minigpt` command."""
    # Read when torch is imported, by the OpenMP library of its Linux builds, whose threads wait for each other by
    # spinning. Where something else wanted a core too, a training step took 0.65 to 0.98 of the time with this
    # shorter wait; on an idle machine 0.99 to 1.03.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if os.environ.get("COLUMNS", "").strip("0") == "":  # no width at all is no width to draw for
        os.environ.pop("COLUMNS", None)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # started with a closed descriptor, as by >&-
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    if launched_rank():  # of several processes, the first has the results
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A letter that the terminal's encoding lacks is written as \u2026 rather than raising an error.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="minigpt")
        finally:
            sys.stdout.flush()
            release_stderr()
    # --help, --version and wrong usage have no command around them.
    except BrokenPipeError as error:  # of the flush, if typer has ended with a code
        write_nowhere(sys.stdout, sys.stderr)
        raise SystemExit(getattr(error.__context__, "code", 1)) from error
    except OSError as error:
        from minigpt.cli.guard import complain_of

        complain_of(error)
        raise SystemExit(1) from error
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError) and end.__context__.__context__ is None:
            raise SystemExit(0) from end  # of --help; where an error could not be written, that is the inner context
        if launched_rank() is not None:
            _leave(end.code)
        raise


def _leave(code: object) -> NoReturn:
    """Exit at once: waiting threads could abort an orderly exit."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
