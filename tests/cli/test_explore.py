"""`minigpt explore` in a terminal: keys in, a screen and files out, and an orderly end."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minigpt.sampling.trace import read_trace

Run = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[bytes]"]
PATIENCE = 600  # seconds, for a machine that is busy with something else


class Terminal:
    """A process in a terminal of its own."""

    def __init__(self, start: Start, *arguments: str, columns: int = 80, lines: int = 24, **env: str) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {"TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **env}
        self.process = start(*arguments, env=env, stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        self.sent = ""

    def read(self) -> bool:
        """Take what has come; whether more may come."""
        ready, _, _ = select.select([self._leader], [], [], PATIENCE)
        assert ready, self.sent[-2000:]
        try:
            data = os.read(self._leader, 1 << 16)
        except OSError:  # EIO: the other end is closed
            return False
        self.sent += data.decode("utf-8", "replace")
        return bool(data)

    def shown(self) -> str:
        """What was sent, without the letters that steer."""
        return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.sent)

    def wait_for(self, words: str) -> None:
        """Until the screen was sent these words since the last keys."""
        limit = time.monotonic() + PATIENCE
        while words not in self.shown():
            assert time.monotonic() < limit, self.sent[-2000:]
            assert self.read(), self.sent[-2000:]

    def press(self, keys: str, then: str) -> None:
        self.sent = ""
        os.write(self._leader, keys.encode())
        self.wait_for(then)

    def end(self, keys: str = "") -> tuple[int, str]:
        """The exit code, and what was sent from the keys on."""
        self.sent = ""
        os.write(self._leader, keys.encode())
        while self.read():
            pass
        os.close(self._leader)
        return self.process.wait(PATIENCE), self.sent


@pytest.fixture
def explore(start: Start, trained: Path) -> Callable[..., Terminal]:
    def run(*arguments: str, **options: Any) -> Terminal:
        terminal = Terminal(start, "explore", *arguments, "-c", str(trained), "--seed", "1", **options)
        terminal.wait_for("enter append")
        return terminal

    return run


ENTER, BACK, DOWN, ESCAPE = "\r", "\x1b[D", "\x1b[B", "\x1b"


def test_a_tree_is_grown_saved_and_left(explore: Callable[..., Terminal]) -> None:
    terminal = explore("the cat", "--temperature", "0", "--top", "4")
    assert "temperature 0 t T" in terminal.shown()
    (tokens,) = set(re.findall(r"after token (\d+) of", terminal.shown()))
    terminal.press(" ", f"of {int(tokens) + 1}")
    terminal.press(DOWN + ENTER, f"of {int(tokens) + 2}")
    terminal.press(BACK + BACK + BACK + DOWN + DOWN + ENTER, "└")
    terminal.press("s" + ENTER, "tree.jsonl is written.")
    terminal.press("s" + ENTER, "tree.jsonl exists already")
    terminal.press("\x15" + "none/tree" + ENTER, "none/tree cannot be made: No such file or directory.")
    terminal.press(ESCAPE, "enter append")
    terminal.press("e" + ENTER, "branch.txt is written.")
    terminal.press("e" + ENTER, "branch.txt exists already")
    terminal.press(ESCAPE, "enter append")
    code, sent = terminal.end("q")
    assert code == 0
    assert "\x1b[?1049l" in sent  # the screen from before is back, and the cursor
    assert "\x1b[?25h" in sent
    text = Path("branch.txt").read_text("utf-8")
    assert sent.replace("\r\n", "\n").endswith(f"{text}\n")
    assert text.startswith("the")
    trace = read_trace(Path("tree.jsonl"))
    assert trace.header.made_by == "explore"
    assert len(trace.header.prompt_ids) == int(tokens) - 1  # a branch leaves before the prompt's last token
    assert len(trace.steps) == 4
    assert [step.parent for step in trace.steps].count(None) == 2
    assert all(len(step.record.candidates) in (4, 5) for step in trace.steps if step.record.stages)


def test_a_tree_without_a_step_is_not_saved(explore: Callable[..., Terminal]) -> None:
    terminal = explore("the cat")
    terminal.press("s" + ENTER, "There is only the prompt so far")
    assert terminal.end("\x03")[0] == 130
    assert not Path("tree.jsonl").exists()


def test_without_a_text_it_starts_at_the_beginning_of_one(explore: Callable[..., Terminal]) -> None:
    terminal = explore()
    terminal.press(" ", "of 2")
    terminal.press("g", "how much you put on it")
    terminal.press(" the" + ENTER, "rank")
    terminal.press(ESCAPE, "enter append")
    code, sent = terminal.end("q")
    assert code == 0
    assert "<|endoftext|>" not in sent.split("\x1b[?1049l")[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(explore: Callable[..., Terminal], number: int) -> None:
    terminal = explore("the cat")
    terminal.process.send_signal(number)
    code, sent = terminal.end()
    assert code == 128 + number
    assert "\x1b[?1049l" in sent
    assert "Traceback" not in sent


def test_a_terminal_that_goes_away_ends_it(explore: Callable[..., Terminal]) -> None:
    terminal = explore("the cat")
    os.close(terminal._leader)
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.process.wait(PATIENCE) in (1, 128 + signal.SIGHUP)


@contextmanager
def without_textual() -> Iterator[str]:
    """A folder that hides the package."""
    Path("hidden/textual").mkdir(parents=True)
    Path("hidden/textual/__init__.py").write_text("raise ModuleNotFoundError('gone', name='textual')")
    yield str(Path("hidden").absolute())


def test_a_missing_package_is_told_with_what_to_install(start: Start, trained: Path) -> None:
    root = str(Path(__file__).parent.parent.parent)
    with without_textual() as folder:
        terminal = Terminal(start, "explore", "a", "-c", str(trained), PYTHONPATH=f"{folder}:{root}")
        code, sent = terminal.end()
    assert code == 1
    flat = " ".join(sent.split())
    assert "minigpt explore: The explorer needs the package textual, not installed here." in flat
    assert "pip install -e '.[explore]'" in flat


def test_mistakes_are_one_clear_line(in_terminal: Run, trained: Path) -> None:
    for arguments, expected, message in (
        (["a", "-c", "nowhere"], 1, "nowhere does not exist"),
        (["a", "-c", str(trained), "--top-p", "2"], 2, "--top-p must be above 0 and at most 1"),
        (["a", "--file", "b"], 2, "Give the text as an argument or with --file, not both."),
    ):
        code, sent = in_terminal("explore", *arguments)
        assert (code, "Traceback" in sent) == (expected, False)
        assert message in " ".join(sent.split())


def test_it_needs_a_terminal(minigpt: Callable[..., Any], trained: Path) -> None:
    result = minigpt("explore", "a", "-c", str(trained), input="x")
    assert result.exit_code == 2
    assert result.stderr.startswith("minigpt explore: This is a full-screen application")
    assert "minigpt sample --json" in result.stderr


def test_it_needs_a_terminal_that_redraws(in_terminal: Run, trained: Path) -> None:
    code, sent = in_terminal("explore", "a", "-c", str(trained), TERM="dumb")
    assert code == 2
    assert "\x1b" not in sent
    assert "a terminal that can redraw" in " ".join(sent.split())


def test_a_terminal_without_unicode_gets_ascii(explore: Callable[..., Terminal]) -> None:
    terminal = explore("Über", PYTHONIOENCODING="ascii")
    assert "up down choose" in terminal.shown()
    assert terminal.sent.isascii()
    assert terminal.end("q")[0] == 0


@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_help_keeps_to_the_screen(minigpt: Callable[..., Any], columns: str) -> None:
    result = minigpt("explore", "--help", COLUMNS=columns)
    assert result.exit_code == 0
    assert "minigpt explore" in result.stdout
