"""The command line: `minigpt COMMAND`. Nothing here, nor in the commands' modules, imports torch until one runs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from minigpt.cli.compare import compare
from minigpt.cli.console import release_stderr, write_nowhere
from minigpt.cli.evaluate import evaluate
from minigpt.cli.explore import explore
from minigpt.cli.export import export
from minigpt.cli.guard import complain_of
from minigpt.cli.import_model import import_
from minigpt.cli.inspect import inspect_attention, inspect_embeddings, inspect_probs
from minigpt.cli.plot import plot
from minigpt.cli.runs import runs
from minigpt.cli.sample import sample
from minigpt.cli.train import train
from minigpt.errors import bounded
from minigpt.settings import launched_rank


class _Group(TyperGroup):
    """A command group whose usage errors shorten an overlong command line."""

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


app = typer.Typer(
    name="minigpt",
    cls=_Group,
    help="Train a small GPT on your own text, and see the probabilities behind every token.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]minigpt train notes.txt[/bold] and [bold]minigpt sample[/bold]; "
    "each command has its own --help. They exit with 0 when done, 2 for wrong usage, 1 for any other error.",
)
app.command()(train)
app.command()(sample)
app.command("inspect-probs")(inspect_probs)
app.command()(explore)
app.command("inspect-attention")(inspect_attention)
app.command("inspect-embeddings")(inspect_embeddings)
app.command()(evaluate)
app.command()(plot)
app.command()(compare)
app.command()(runs)
app.command()(export)
app.command("import")(import_)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

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
    except OSError as error:  # --help and --version have no command around them
        if isinstance(error, BrokenPipeError):
            write_nowhere(sys.stdout, sys.stderr)
        else:
            complain_of(error)
        raise SystemExit(1) from error
    except SystemExit as end:
        if launched_rank() is not None:
            _leave(end.code)
        raise


def _leave(code: object) -> NoReturn:
    """Exit at once: waiting threads could abort an orderly exit."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
