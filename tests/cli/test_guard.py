"""What stands around every command: memory that runs out, standard error that cannot be written, and sentences."""

import errno
import io
import os
import signal
import sys
from contextlib import redirect_stderr
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.console import Console
from rich.live import Live

from minigpt.cli import console, signals
from minigpt.cli.console import note, say, stderr
from minigpt.cli.guard import guarded, importing
from minigpt.cli.signals import release_stderr
from minigpt.render.progress import WorkDisplay

MEMORY = [
    # oneDNN's own words, as the library of torch 2.13 holds them
    RuntimeError("could not create a memory object"),
    RuntimeError("could not create a memory"),
    RuntimeError("could not create a primitive"),
    RuntimeError("could not execute a primitive"),
    RuntimeError("could not create a primitive descriptor for the matmul primitive. Run workload with environment ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_memory_that_runs_out_is_one_message(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as end, guarded("train", {}, {}):
        raise error
    assert end.value.exit_code == 1
    told = capsys.readouterr().err
    assert told.startswith("minigpt train: This needs more memory than the machine has.\n")
    assert "--batch-size" in told


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_while_torch_is_imported_ctrl_c_ends_the_process_at_once(handler: Any) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with importing():
            assert signal.getsignal(signal.SIGINT) is (handler if handler is signal.SIG_IGN else signal.SIG_DFL)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("message", ["mat1 and mat2 shapes cannot be multiplied", "could not create a graph", ""])
def test_a_mistake_of_ours_is_not_taken_for_memory(message: str) -> None:
    with pytest.raises(RuntimeError), guarded("train", {}, {}):
        raise RuntimeError(message)


class FullDisk:
    """A standard error behind which the disk is full, until it is not."""

    encoding, full = "utf-8", errno.ENOSPC

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        if self.full:
            raise OSError(self.full, os.strerror(self.full))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    stream = FullDisk()
    for module in (console, signals):
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=stream, stdout=sys.stdout))
    return stream


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_what_cannot_be_said_ends_nothing(full: FullDisk, number: int) -> None:
    full.full = number
    note("first")
    stderr().print("second")
    full.full = 0
    note("third")
    assert full.text == "note: first\nsecond\nnote: third\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_note_stands_above_a_display_that_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal, seconds = Terminal(), iter([0.0, 2.0])
    with redirect_stderr(terminal), WorkDisplay(stderr(), lambda: next(seconds)) as work:
        work.begin("tokenizing", 2)(1)
        assert "tokenizing" in terminal.getvalue()
        note("first")
    assert "\r\x1b[2Knote: first\n" in terminal.getvalue(), "the line of the bar is cleared before"


def test_a_note_goes_to_its_file_while_the_terminal_redraws() -> None:
    terminal, file = Terminal(), io.StringIO()
    with redirect_stderr(file), Live(console=Console(file=terminal, force_terminal=True), auto_refresh=False):
        note("first")
    assert file.getvalue() == "note: first\n"
    assert "first" not in terminal.getvalue()


def test_a_closed_pipe_is_told(full: FullDisk) -> None:
    full.full = errno.EPIPE
    with pytest.raises(BrokenPipeError):
        note("first")


def test_at_the_end_standard_error_leads_nowhere_where_it_cannot_be_written(
    full: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[tuple[Any, ...]] = []
    monkeypatch.setattr(os, "dup2", lambda *numbers: moved.append(numbers))
    monkeypatch.setattr(FullDisk, "fileno", lambda self: 2, raising=False)
    release_stderr()
    assert [target for _, target in moved] == [2]
    full.full = 0
    release_stderr()
    assert len(moved) == 1


@pytest.mark.parametrize("margin", [0, 1])
def test_every_line_of_a_sentence_has_the_margin_of_the_first(margin: int) -> None:
    sentence = " " * margin + "every model is a run of its own, and each can be sampled from, such as:"
    shown = io.StringIO()
    say(Console(file=shown, width=40, force_terminal=True, color_system=None), sentence)
    lines = shown.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(line) - len(line.lstrip()) == margin and len(line) <= 40 for line in lines)
    assert " ".join(shown.getvalue().split()) == sentence.strip()
    piped = io.StringIO()
    say(Console(file=piped, width=40), sentence)
    assert piped.getvalue() == sentence + "\n"


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (
            "  minigpt sample 'the  European Economic Area' -c checkpoints/translations",
            ["  minigpt sample 'the  European Economic Area' -c checkpoints/translations"],
        ),
        (
            "note: stopped by SIGINT; the run is saved. Continue with: minigpt train --resume 'my runs/a first try'",
            [
                "note: stopped by SIGINT; the run is",
                "saved. Continue with:",
                "  minigpt train --resume 'my runs/a first try'",
            ],
        ),
        ("There is none. Make one: minigpt train a.txt", ["There is none. Make one:", "  minigpt train a.txt"]),
        ("Make one with: minigpt train notes.txt", ["Make one with: minigpt train notes.txt"]),
        (
            "a.pt is a file. If nanoGPT saved it, this converts it:\n  minigpt import 'a  folder of all/a.pt' DIR",
            [
                "a.pt is a file. If nanoGPT saved it,",
                "this converts it:",
                "  minigpt import 'a  folder of all/a.pt' DIR",
            ],
        ),
        (
            "minigpt train: there is no file of that name here",
            ["minigpt train: there is no file of that", "name here"],
        ),
    ],
)
def test_a_command_to_copy_is_not_broken(message: str, lines: list[str]) -> None:
    shown = io.StringIO()
    say(Console(file=shown, width=40, force_terminal=True, color_system=None), message)
    assert shown.getvalue().splitlines() == lines
