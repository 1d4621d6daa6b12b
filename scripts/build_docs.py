"""Rewrite what README.md and docs/ show of the program, between markers. Started by scripts/docs.

Markers are HTML comments, which a reader of the page does not see:

    <!-- run -->              the commands (`$ ...`) of the block below are run, and what they print stands under each
    <!-- run: 9+2 lines -->   the same, but of what a command prints only the first nine lines and the last two
    <!-- recorded -->         a block that depends on the clock or on the version of Python: run with --recorded only
    <!-- flags: sample -->    the flags of a command, up to <!-- end -->
    <!-- filters -->          the sampling filters in their order, up to <!-- end -->
    <!-- views -->            the views of the inspect commands, up to <!-- end -->
    <!-- files -->            the files of the repository and what each is for, up to <!-- end -->

Commands run in this process, in a temporary folder with checkpoints/demo, LICENSE, and notes.txt, which is
Python's documentation of its module decimal.
"""

import argparse
import ast
import json
import math
import os
import pydoc
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# What needs no docstring of its own: data, and the parts of pages.
PURPOSES = {
    "law.json": "The numbers of the scaling law, as `scripts/fit` finds them.",
    "measurements.jsonl": "The losses to which the law is fitted, one training a line.",
    "alignment.html": "The frame of the attention from a target to its source.",
    "attention.html": "The frame of the attention of all heads.",
    "inside.html": "The stations of a token on its way through the model.",
    "history.html": "The frame of a training's history.",
    "page.html": "The frame of every page, with the policy that says which script may run.",
    "page.css": "Light, dark, narrow and printed.",
    "gates.html": "The frame of a text in the colours of a recurrent network.",
    "heatmap.html": "The frames of pictures of tables.",
    "panels.html": "The panels of a comparison, drawn.",
    "printed.html": "What a terminal shows.",
    "printed_fragment.html": "What a terminal shows, for notebooks.",
    "text.html": "The frame of a text and its panel.",
    "text_fragment.html": "A text in colours, for notebooks.",
}


def rebuilt(page: str, recorded: bool = False) -> str:
    """The page with what stands between its markers made anew."""
    return TRANSCRIPT.sub(lambda m: again(m) if recorded or m["kind"] == "run" else m[0], with_tables(page))


def with_tables(page: str) -> str:
    """The page with its tables of flags, filters, views and files made anew."""

    def table(found: re.Match[str]) -> str:
        makers = {"flags": lambda: flags(found["command"]), "filters": filters, "views": views, "files": files}
        return f"{found['marker']}\n{makers[found['kind']]()}\n"

    marker = r"(?P<marker><!-- (?P<kind>flags|filters|views|files)(?:: (?P<command>\S+))? -->\n)"
    return re.sub(rf"(?ms)^{marker}.*?^(?=<!-- end -->)", table, page)


# Transcripts

TRANSCRIPT = re.compile(
    r"(?ms)^(?P<marker><!-- (?P<kind>run|recorded)(?:: (?P<first>\d+)\+(?P<last>\d+) lines)? -->\n)"
    r"```console\n(?P<block>.*?)^```\n"
)


def again(transcript: re.Match[str]) -> str:
    """The same block, its commands run anew; as it is where only such numbers differ as a processor or a clock may."""
    first, last = (int(transcript[end] or 1_000) for end in ("first", "last"))
    shown = "".join(f"$ {line}\n{shortened(output(line), first, last)}" for line in commands(transcript["block"]))
    kept = transcript["block"] if not difference(transcript["block"], shown) else shown
    return f"{transcript['marker']}```console\n{kept}```\n"


def commands(block: str) -> list[str]:
    return re.findall(r"(?m)^\$ (.*)$", block)


def shortened(text: str, first: int, last: int) -> str:
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    if len(lines) > first + last:
        lines[first:-last] = ["[...]"]
    return "".join(f"{line}\n" for line in lines)


def output(line: str) -> str:
    """What a terminal without colours, 80 columns wide, would show of `minigpt ...`."""
    from typer.testing import CliRunner

    from minigpt.cli.app import app

    # How long work takes depends on the machine, so its progress is left out.
    with mock.patch("minigpt.render.progress._PATIENCE_SECONDS", math.inf):
        result = CliRunner().invoke(app, shlex.split(line)[1:], env={"COLUMNS": "80"})
    if result.exit_code:
        raise SystemExit(f"{line}\nended with {result.exit_code}:\n{result.output}")
    return result.output


@contextmanager
def workplace() -> Iterator[None]:
    """A temporary folder with what the transcripts are about, as the current one for as long as it is there."""
    with tempfile.TemporaryDirectory() as name, chdir(name):
        shutil.copytree(ROOT / "checkpoints" / "demo", "checkpoints/demo")
        shutil.copy(ROOT / "LICENSE", "LICENSE")
        Path("notes.txt").write_text(pydoc.plain(pydoc.render_doc("decimal")), "utf-8")
        info = Path("checkpoints/demo/run.json")
        two_days_ago = datetime.now(UTC) - timedelta(days=2.5)  # so that its age is the same each time
        info.write_text(json.dumps(json.loads(info.read_text("utf-8")) | {"date": two_days_ago.isoformat()}), "utf-8")
        for variable in [name for name in os.environ if name.startswith("MINIGPT_")]:
            del os.environ[variable]
        yield


# Two transcripts, which may differ as they do between processors

NUMBER = re.compile(r"[<>#+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
TIME = re.compile(r"\d[\d,.]*\s+(?:a\s+second|tokens/s)|\d+:\d\d")
BAR = re.compile(r"[▁▂▃▄▅▆▇█▉▊▋▌▍▎▏▐▯]+")


def difference(before: str, after: str) -> str:
    """Where two transcripts first differ by more than a processor or a clock may make them; "" where they do not.

    Words, tokens and their order must be the same. A number may differ by two units of its last digit, a bar by one
    cell. How long something took may differ at will, and so may the space between columns and the places where lines
    are broken, which depend on it. A training rounds thousands of times: of what it prints, all numbers may differ,
    and so may the text that the model writes.
    """
    for old, new in zip_longest(by_command(before), by_command(after), fillvalue=""):
        trains = old.startswith("$ minigpt train")
        for left, right in zip_longest(words(old, trains), words(new, trains), fillvalue=""):
            if not alike(left, right, trains):
                return f"{old.partition(chr(10))[0]}: {left!r} is now {right!r}"
    return ""


def by_command(block: str) -> list[str]:
    return re.split(r"(?m)^(?=\$ )", block)


def words(shown: str, trains: bool) -> list[str]:
    written = re.sub(r"(?m)^ *“.*”\n", "", shown) if trains else shown
    return TIME.sub("", written).split()


def alike(before: str, after: str, trains: bool) -> bool:
    if BAR.sub("=", NUMBER.sub("0", before)) != BAR.sub("=", NUMBER.sub("0", after)):
        return False
    bars = zip(BAR.findall(before), BAR.findall(after), strict=True)
    numbers = zip(NUMBER.findall(before), NUMBER.findall(after), strict=True)
    close = all(abs(len(old) - len(new)) <= 1 for old, new in bars) and all(near(*pair) for pair in numbers)
    return trains or close


def near(before: str, after: str) -> bool:
    old, new = (float(number.lstrip("<>#").replace(",", "")) for number in (before, after))
    mantissa, _, power = before.partition("e")
    digits = len(mantissa.partition(".")[2]) - int(power or 0)
    return old == new or ("." in before and abs(old - new) <= 2.001 * 10.0**-digits)


# Flags

UNNAMED = "Options"  # typer's name for the panel of what has none


def flags(name: str) -> str:
    """The flags of a command by the panels of its --help, a table each."""
    panels: dict[str, str] = {}
    for parameter in parameters(name):
        if parameter.opts[0].startswith("-") and not getattr(parameter, "hidden", False) and parameter.help:
            panel = getattr(parameter, "rich_help_panel", None) or UNNAMED
            panels[panel] = panels.get(panel, "") + row(parameter)
    head = "| flag | what it does | default |\n| --- | --- | --- |\n"
    titles = sorted(panels, key=lambda title: title == UNNAMED)  # what all commands share comes last
    return "\n".join(f"**{title}**\n\n{head}{panels[title]}" for title in titles)


def filters() -> str:
    """A table of the sampling filters: flag, what it does, and the value that leaves it out."""
    from minigpt.settings import FILTERS

    helps = {parameter.opts[0]: parameter.help for parameter in parameters("sample")}
    off = {name: "none" if spec.neutral == () else f"{spec.neutral:g}" for name, spec in FILTERS.items()}
    rows = "".join(f"| `--{name}` | {helps[f'--{name}']} | {off[name]} |\n" for name in FILTERS)
    return f"| flag | what it does | off |\n| --- | --- | --- |\n{rows}"


def views() -> str:
    """A table of the views: the command and flags that ask for each, what it shows, and what it combines with."""
    from minigpt.render.views import every_face

    rows = ""
    for face in every_face():
        view = face.view
        flags = {parameter.name: parameter.opts[0] for parameter in parameters(view.command)}
        asked = " ".join([f"minigpt {view.command}", *(flags[name] for name in view.asked_by)])
        combined = [flags[name] for name in view.takes] + ["--csv"] * (face.csv is not None)
        rows += f"| `{asked}` | {view.title} | {', '.join(f'`{flag}`' for flag in combined)} |\n"
    return f"| view | what it shows | combines with |\n| --- | --- | --- |\n{rows}"


def parameters(name: str) -> list[Any]:
    """The flags and arguments of a command, as typer knows them."""
    from minigpt.cli.app import whole_command

    parameters: list[Any] = whole_command(name).params
    return parameters


def row(parameter: Any) -> str:
    names = " ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    help = " ".join(parameter.help.replace("|", "\\|").split())
    default = str(parameter.default)
    shown = parameter.show_default and default not in ("None", "False", "[]") and not callable(parameter.default)
    return f"| {names} | {help} | {f'`{default}`' if shown else ''} |\n"


# Files


def files() -> str:
    """A table for each folder of the package, and one for scripts/: every file, and the first line of what it says."""
    folders: dict[Path, list[Path]] = {}
    for path in [*sorted((ROOT / "minigpt").rglob("*")), *sorted((ROOT / "scripts").iterdir())]:
        made = {"__pycache__", ".so", ".pyd"}  # by Python and by pip
        bare = path.name == "__init__.py" and path.parent.name != "minigpt"
        if path.is_file() and not bare and not made & {*path.parts, path.suffix}:
            folders.setdefault(path.parent, []).append(path)
    return "\n".join(folder_table(folder, paths) for folder, paths in folders.items())


def folder_table(folder: Path, paths: list[Path]) -> str:
    about = folder / "__init__.py"
    title = f"**{folder.relative_to(ROOT)}/**"
    if folder != ROOT / "minigpt" and about.exists() and (said := purpose(about)):
        title += f": {said}"
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
    parser.add_argument(
        "--recorded", action="store_true", help="repeat the recorded transcripts too, which takes minutes"
    )
    parser.add_argument("pages", nargs="*", type=Path, help="these pages only")
    given = parser.parse_args()
    for path in [path.resolve() for path in given.pages] or PAGES:
        before = path.read_text("utf-8")
        with workplace():
            after = rebuilt(before, given.recorded)
        if after != before:
            path.write_text(after, "utf-8")
            print(f"{path.name} rewritten", file=sys.stderr)


if __name__ == "__main__":
    main()
