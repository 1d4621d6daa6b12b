"""Every --help has examples that exist, there and in the documentation; it shows choices, and cuts no name."""

import inspect
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from minigpt.cli import app
from minigpt.settings import FILTERS

ROOT = Path(__file__).parent.parent.parent
COMMANDS: dict[str, Any] = {name: app.whole_command(name) for name in app.COMMANDS}


def examples(command: Any) -> list[tuple[str, str]]:
    """Each with the line below it, which says what it does."""
    return re.findall(r"\[bold](.*?)\[/bold]\n +(.*)", command.help)


def documented_lines() -> Iterator[str]:
    """What README.md and docs/ tell to type: behind a $, or indented on a line of its own."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in page.read_text("utf-8").splitlines():
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


def test_what_the_documentation_says_can_be_typed() -> None:
    lines = list(documented_lines())
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


# Choices: of options that take one word, those that refuse any other word by naming what they take.

WORDS = [
    (name, parameter)
    for name, command in COMMANDS.items()
    for parameter in command.params
    if get_type_hints(inspect.unwrap(command.callback))[parameter.name] in (str, str | None)
    and any(option.startswith("--") for option in parameter.opts)
]


def completed(command: Any, parameter: Any, incomplete: str = "") -> list[str]:
    context = command.make_context(command.name, [], resilient_parsing=True)
    return [item.value for item in parameter.shell_complete(context, incomplete)]


def refused_choices(minigpt: Callable[..., Any], around: Callable[[str], list[str]], name: str, flag: str) -> list[str]:
    """What `flag` takes, by the message that refuses another word; nothing where that is taken."""
    result = minigpt(name, *around(name), flag, "zzz")
    found = re.search(rf"{flag} must be (.+?)(?: in a folder)?, not zzz\.", " ".join(result.stderr.split()))
    if not found:
        return []
    assert result.exit_code == 2
    return re.split(", | or ", found[1])


@pytest.mark.parametrize(("name", "parameter"), WORDS, ids=[f"{name} {p.opts[0]}" for name, p in WORDS])
def test_a_choice_is_shown_and_completed_and_any_other_word_is_refused_by_naming_it(
    minigpt: Callable[..., Any], around: Callable[[str], list[str]], name: str, parameter: Any
) -> None:
    taken = refused_choices(minigpt, around, name, parameter.opts[0])
    assert set(taken) <= set(completed(COMMANDS[name], parameter))
    for value in taken:
        assert re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", parameter.help)
        assert value in completed(COMMANDS[name], parameter, value[:2])


def test_choices_are_found(minigpt: Callable[..., Any], around: Callable[[str], list[str]]) -> None:
    found = {(name, p.opts[0]) for name, p in WORDS if refused_choices(minigpt, around, name, p.opts[0])}
    train = {f"--{name}" for name in ("tokenizer", "model", "preset", "positions", "optimizer", "precision")}
    assert found == {
        *(("train", flag) for flag in train),
        *(("sample", flag) for flag in ("--table", "--heat", "--dtype", "--quantize")),
        *(("evaluate", flag) for flag in ("--dtype", "--quantize", "--precision")),
        *(("plot", flag) for flag in ("--x", "--y")),
        ("export", "--dtype"),
        *((command, "--encoding-errors") for command in ("train", "evaluate", "compare")),
        ("import", "--activation"),
        ("inspect-probs", "--ablation"),
    }


def test_devices_and_stages_are_shown_and_completed_too() -> None:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if "--device" in parameter.opts:
                assert completed(command, parameter) == ["auto", "cpu", "cuda", "mps"], name
                assert "auto, cpu, cuda or mps" in parameter.help
    (stages,) = [parameter for parameter in COMMANDS["sample"].params if "--stages" in parameter.opts]
    assert all(stage in stages.help for stage in FILTERS)
    assert completed(COMMANDS["sample"], stages, "top-k,t") == [
        "top-k,temperature", "top-k,top-n-sigma", "top-k,typical-p", "top-k,top-p",
    ]  # fmt: skip


# Widths


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [80, 100, 160])
def test_no_name_of_an_option_is_cut(minigpt: Callable[..., Any], name: str, columns: int) -> None:
    shown = set(re.split(r"[\s,│]+", minigpt(name, "--help", COLUMNS=str(columns)).stdout))
    for parameter in COMMANDS[name].params:
        assert {*parameter.opts, *parameter.secondary_opts} <= shown | {parameter.name}
