"""Rewrite what README.md and docs/ show of the program, between markers. Started by scripts/docs.

Markers are HTML comments, which a reader of the page does not see:

    <!-- run -->              the commands (`$ ...`) of the block below are run, and what they print stands under each
    <!-- run: 9 lines -->     the same, cut after nine lines
    <!-- recorded -->         a block that depends on the clock or on the version of Python: run with --recorded only
    <!-- flags: sample -->    the flags of a command, up to <!-- end -->
    <!-- files -->            the files of the repository and what each is for, up to <!-- end -->

Commands run in this process, in a temporary folder that holds checkpoints/demo and the license.
"""

import argparse
import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COLUMNS = 80
LEFT_OUT = "[...]"

# What needs no docstring of its own: data, and the parts of pages.
PURPOSES = {
    "law.json": "The numbers of the scaling law, as `scripts/fit` finds them.",
    "measurements.jsonl": "The losses to which the law is fitted, one training a line.",
    "attention.html": "The frame of the attention of all heads.",
    "history.html": "The frame of a training's history.",
    "page.html": "The frame of every page, with the policy that says which script may run.",
    "page.css": "Light, dark, narrow and printed.",
    "panels.html": "The panels of a comparison, drawn.",
    "printed.html": "What a terminal shows.",
    "printed_fragment.html": "What a terminal shows, for notebooks.",
    "step_fragment.html": "The table of one step, for notebooks.",
    "text.html": "The frame of a text and its panel.",
    "text_fragment.html": "A text in colours, for notebooks.",
}


def rebuilt(page: str, recorded: bool = False) -> str:
    """The page with everything between its markers made anew."""
    page = re.sub(r"(?ms)^<!-- flags: (\S+) -->\n.*?^(?=<!-- end -->)", lambda m: m[0].split("\n")[0] + "\n\n" + flags(m[1]) + "\n", page)
    page = re.sub(r"(?ms)^(<!-- files -->\n).*?^(?=<!-- end -->)", lambda m: f"{m[1]}\n{files()}\n", page)
    kinds = "run|recorded" if recorded else "run"

    def transcript(match: re.Match[str]) -> str:
        most = int(match[2] or 1_000)
        return f"{match[1]}```console\n{ran(commands(match[3]), most)}```\n"

    return re.sub(rf"(?ms)^(<!-- (?:{kinds})(?:: (\d+) lines)? -->\n+)```console\n(.*?)^```\n", transcript, page)


# Transcripts


def commands(block: str) -> list[str]:
    return re.findall(r"(?m)^\$ (.*)$", block)


def ran(lines: list[str], most: int = 1_000) -> str:
    """Each of the command lines, and below it what it prints, at most so many lines of it."""
    return "".join(f"$ {line}\n{shortened(output(line), most)}" for line in lines)


def shortened(text: str, most: int) -> str:
    lines = text.rstrip().splitlines()
    kept = lines if len(lines) <= most else [*lines[:most], LEFT_OUT]
    return "".join(f"{line.rstrip()}\n" for line in kept)


def output(line: str) -> str:
    """What a terminal without colours, 80 columns wide, would show of `minigpt ...`, or of `... | minigpt ...`."""
    from typer.testing import CliRunner

    from minigpt.cli.app import app

    before, _, command = line.rpartition(" | ")
    typed = subprocess.run(before, shell=True, capture_output=True, check=True).stdout if before else None
    result = CliRunner().invoke(app, shlex.split(command)[1:], input=typed, env={"COLUMNS": str(COLUMNS)})
    if result.exit_code:
        raise SystemExit(f"{line}\nended with {result.exit_code}:\n{result.output}")
    return result.output


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder with what the transcripts are about; the current one, for as long as it is there."""
    with tempfile.TemporaryDirectory() as name, chdir(name):
        shutil.copytree(ROOT / "checkpoints" / "demo", "checkpoints/demo")
        shutil.copy(ROOT / "LICENSE", "LICENSE")
        for variable in [name for name in os.environ if name.startswith("MINIGPT_")]:
            del os.environ[variable]
        yield Path(name)


# Two transcripts, of which numbers may differ as they do between processors

NUMBER = re.compile(r"[<>#+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
TIMES = re.compile(r"\d[\d,.:]*(?= (?:a second|tokens/s|min|s|h|ms)\b)|\d+:\d\d")
BARS = re.compile(r"[▁▂▃▄▅▆▇█▉▊▋▌▍▎▏▐▯]+")


def differs(shown: str, made: str) -> str:
    """The first line in which two transcripts differ by more than a processor may make them; "" where they do not.

    Words and the order of rows have to be the same. Numbers may differ by two units of their last digit, bars by one
    cell; how long something took may differ at will, and so may the space between columns.
    """
    old, new = shown.splitlines(), made.splitlines()
    for number, (before, after) in enumerate(zip(old, new, strict=False), 1):
        if not alike(before, after):
            return f"line {number}:\n- {before}\n+ {after}"
    return "" if len(old) == len(new) else f"{len(old)} lines, now {len(new)}"


def alike(before: str, after: str) -> bool:
    before, after = (TIMES.sub("0", line) for line in (before, after))
    if words(before) != words(after):
        return False
    pairs = zip(NUMBER.findall(before), NUMBER.findall(after), strict=True)
    bars = zip(BARS.findall(before), BARS.findall(after), strict=True)
    return all(near(*pair) for pair in pairs) and all(abs(len(a) - len(b)) <= 1 for a, b in bars)


def words(line: str) -> list[str]:
    return BARS.sub("=", NUMBER.sub("0", line)).split()


def near(before: str, after: str) -> bool:
    digits = len(before.partition("e")[0].partition(".")[2])
    old, new = (float(re.sub(r"[<>#,]", "", number)) for number in (before, after))
    return abs(old - new) <= 2.001 * 10**-digits if digits else old == new


# Flags


def flags(name: str) -> str:
    """The flags of a command by the panels of its --help, a table each."""
    import typer

    from minigpt.cli.app import app

    command: Any = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    panels: dict[str, list[str]] = {}
    for parameter in command.params:
        if parameter.opts[0].startswith("-") and not getattr(parameter, "hidden", False) and parameter.help:
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            panels.setdefault(panel, []).append(row(parameter))
    return "\n".join(f"**{title}**\n\n| flag | what it does | default |\n| --- | --- | --- |\n{''.join(rows)}" for title, rows in panels.items())


def row(parameter: Any) -> str:
    names = " ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    help = " ".join(parameter.help.replace("|", "\\|").split())
    default = parameter.default
    shown = parameter.show_default and not (default is None or default is False or default == []) and not callable(default)
    return f"| {names} | {help} | {f'`{str(default).lower() if isinstance(default, bool) else default}`' if shown else ''} |\n"


# Files


def files() -> str:
    """A table for each folder of the package, and one for scripts/: every file, and the first line of what it says."""
    folders: dict[Path, list[Path]] = {}
    for path in [*sorted((ROOT / "minigpt").rglob("*")), *sorted((ROOT / "scripts").iterdir())]:
        made = {"__pycache__", ".so", ".pyd"}  # by Python and by pip
        bare = path.name == "__init__.py" and path.parent.name != "minigpt"
        if path.is_file() and not bare and not made & {*path.parts, path.suffix}:
            folders.setdefault(path.parent, []).append(path)
    return "\n".join(table(folder, paths) for folder, paths in folders.items())


def table(folder: Path, paths: list[Path]) -> str:
    about = folder / "__init__.py"
    title = f"**{folder.relative_to(ROOT)}/**"
    if folder != ROOT / "minigpt" and about.exists() and (said := purpose(about)):
        title += f": {said[0].lower()}{said[1:]}"
    rows = "".join(f"| `{path.name}` | {purpose(path)} |\n" for path in paths)
    return f"{title}\n\n| file | what it is for |\n| --- | --- |\n{rows}"


def purpose(path: Path) -> str:
    """The first sentence of a file: of its docstring, or of the comment at its top."""
    if path.name in PURPOSES:
        return PURPOSES[path.name]
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
    else:
        top = [line for line in text.splitlines()[:6] if not line.startswith(("#!", '"use'))]
        said = "\n".join(re.sub(r"^\s*(?:#|//|/\*|\*|<!--|\{#)\s?|\s*(?:\*/|-->|#\})\s*$", "", line) for line in top)
    return " ".join(said.partition("\n\n")[0].split("\n")[0].split()).replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/docs", description=__doc__.partition("\n")[0])
    parser.add_argument("--recorded", action="store_true", help="repeat the recorded transcripts too, which takes minutes")
    parser.add_argument("pages", nargs="*", type=Path, help="these pages only")
    given = parser.parse_args()
    pages = [path.resolve() for path in given.pages] or PAGES
    with workplace():
        for path in pages:
            before = path.read_text("utf-8")
            after = rebuilt(before, given.recorded)
            if after != before:
                path.write_text(after, "utf-8")
                print(f"{path} rewritten", file=sys.stderr)


if __name__ == "__main__":
    main()
