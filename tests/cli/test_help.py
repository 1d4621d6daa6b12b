"""Every --help has examples, and every example, there and in the README, is a command that exists."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from minigpt.cli.app import app

ROOT = Path(__file__).parent.parent.parent
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def examples(command: Any) -> list[tuple[str, str]]:
    """Each with the line below it, which says what it does."""
    return re.findall(r"\[bold](.*?)\[/bold]\n +(.*)", command.help)


def readme_lines() -> Iterator[str]:
    """What the README tells to type: behind a $, or indented on a line of its own."""
    for line in (ROOT / "README.md").read_text("utf-8").splitlines():
        found = re.match(r"(?:\$ |    )((?:.* \| )?minigpt .*)", line)
        if found and "..." not in line:
            yield found[1].split("  #")[0]


def parse(line: str) -> None:
    """Raises UsageError where a command or a flag does not exist, or has another kind of value."""
    words = shlex.split(line.rpartition(" | ")[2])
    name, arguments = words[1], words[2:]
    for end in (">", "2>"):
        arguments = arguments[: arguments.index(end)] if end in arguments else arguments
    COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_has_examples_that_can_be_typed(name: str) -> None:
    lines = examples(COMMANDS[name])
    assert 2 <= len(lines) <= 4
    assert len(lines) == COMMANDS[name].help.count("[bold]"), "each has a line below it"
    for line, _ in lines:
        assert f"minigpt {name}" in line
        parse(line)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [40, 80, 160])
def test_examples_stand_on_lines_of_their_own(minigpt: Callable[..., Any], name: str, columns: int) -> None:
    shown = minigpt(name, "--help", COLUMNS=str(columns)).stdout
    assert max(map(len, shown.splitlines())) <= columns
    stripped = "\n".join(line.strip() for line in shown.splitlines())
    for example, meaning in examples(COMMANDS[name]):
        broken = [r"\s".join(map(re.escape, text.split(" "))) for text in (example, meaning)]
        assert re.search(f"^{broken[0]}\n{broken[1]}$", stripped, re.MULTILINE), "broken between words, if at all"


def test_what_the_readme_says_can_be_typed() -> None:
    lines = list(readme_lines())
    assert len(lines) >= 30
    for line in lines:
        parse(line)


@pytest.mark.parametrize("line", ["minigpt sample x --stopp y", "minigpt train --steps many", "minigpt evaluate"])
def test_the_check_finds_what_has_rotted(line: str) -> None:
    with pytest.raises(Exception, match=r"No such option|valid integer|Missing"):
        parse(line)


def test_the_first_help_names_every_command(minigpt: Callable[..., Any]) -> None:
    shown = minigpt("--help").stdout
    assert all(f"│ {name} " in shown for name in COMMANDS)
    assert "Start with minigpt train notes.txt and minigpt sample" in " ".join(shown.split())
