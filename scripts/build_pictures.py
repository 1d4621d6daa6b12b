"""Draw docs/images/ from real runs of checkpoints/demo. Started by scripts/docs --pictures.

Commands run in a pseudo-terminal; pyte, a terminal emulator, keeps what its screen shows, and rich draws that as SVG.
Chromium photographs the page.
"""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
MINIGPT = [sys.executable, "-m", "minigpt"]
DEMO = ["-c", str(ROOT / "checkpoints" / "demo")]
WAIT = 60  # seconds for a screen to show something
UNKNOWN = re.compile(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z$]+|\x1b\[[0-9;?]*\$[a-zA-Z]|\x1b[_P].*?\x1b\\", re.DOTALL)


class Terminal:
    """A command in a terminal of its own, of so many columns and lines."""

    def __init__(self, arguments: Sequence[str], columns: int = 80, lines: int = 24) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        process, self._file = pty.fork()
        if process == 0:
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT)}
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.execv(arguments[0], list(arguments))
        self._process = process

    def wait_for(self, words: str) -> None:
        """Until the screen shows `words`, and then is quiet for a moment."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            quiet = not select.select([self._file], [], [], 0.1)[0]
            if quiet and words in "\n".join(self.screen.display):
                return
            if not quiet:
                self._stream.feed(UNKNOWN.sub(b"", os.read(self._file, 1 << 16)))
        raise SystemExit(f"no {words!r} on the screen:\n" + "\n".join(self.screen.display))

    def type(self, keys: str) -> None:
        os.write(self._file, keys.encode())

    def close(self) -> None:
        os.kill(self._process, 9)
        os.waitpid(self._process, 0)
        os.close(self._file)

    def shown(self) -> Text:
        """What the screen shows, in its colours, without empty lines at its end."""
        rows = []
        for number in range(self.screen.lines):
            row = Text()
            for column in range(self.screen.columns):
                cell = self.screen.buffer[number][column]
                row.append(cell.data, style_of(cell))
            row.rstrip()
            rows.append(row)
        while rows and not rows[-1].plain:
            rows.pop()
        return Text("\n").join(rows)


def style_of(cell: pyte.screens.Char) -> Style:
    def colour(name: str) -> str | None:
        known = {"default": None, "brown": "yellow"}
        return known.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else name.replace("bright", "bright_"))

    return Style(
        color=colour(cell.fg), bgcolor=colour(cell.bg), bold=cell.bold, italic=cell.italics,
        underline=cell.underscore, reverse=cell.reverse,
    )  # fmt: skip


def draw(text: Text, name: str, title: str) -> None:
    console = Console(record=True, width=81, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(text, no_wrap=True, crop=False)
    svg = console.export_svg(title=title, unique_id=name)
    svg = re.sub(r"(?s)@font-face \{.*?\}\s*", "", svg)  # from a network; the reader's own font will do
    (IMAGES / f"{name}.svg").write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"), "utf-8")


def live() -> None:
    """A sample as it is drawn, in the colours of its probabilities."""
    command = ["sample", "The value of", "--seed", "3", "--top-k", "8", "--heat", "probability", "--pace", "3"]
    terminal = Terminal([*MINIGPT, *command, *DEMO])
    terminal.wait_for("step 28 of")
    draw(terminal.shown(), "live", 'minigpt sample "The value of" --top-k 8 --heat probability')
    terminal.close()


def explorer() -> None:
    """The explorer after a few keys, among branches."""
    terminal = Terminal([*MINIGPT, "explore", "The value of", "--seed", "1", *DEMO])
    terminal.wait_for("quit")
    for key in ("\x1b[B", "\r", "\r", "\x1b[D", "\x1b[B", "\r", "\x1b[D", "\x1b[B", "\r", "h"):
        terminal.type(key)
        time.sleep(0.3)
        terminal.wait_for("quit")
    draw(terminal.shown(), "explorer", 'minigpt explore "The value of"')
    terminal.close()


def photograph(name: str, command: Sequence[str], size: str, fragment: str = "") -> None:
    """The page that a command writes as page.html, at `size`, with a fragment of its address."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("The picture of a page needs Chromium, which is not installed here.")
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([*MINIGPT, *command], check=True, cwd=folder, env=environment, capture_output=True)
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            f"--user-data-dir={folder}/profile",
        ]
        picture = [f"--window-size={size}", f"--screenshot={IMAGES / name}"]
        address = f"{(Path(folder) / 'page.html').as_uri()}#{fragment}"
        subprocess.run([chromium, *flags, *picture, address], check=True, capture_output=True)


def page() -> None:
    """A sample, token by token."""
    command = ["sample", "The value of", "--seed", "5", "-n", "60", "--quiet", "--html", "page.html", *DEMO]
    photograph("page.png", command, "1100,740")


def model_page() -> None:
    """The page in which the model runs."""
    photograph("model-page.png", ["export", DEMO[1], "page.html"], "1100,1000", "text=The%20value%20of&added=267")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for picture in (live, explorer, page, model_page):
        picture()


if __name__ == "__main__":
    main()
