"""Wrong usage ends every command with 2, and what is wrong with a file, a checkpoint or the machine with 1."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.cli import app

Run = Callable[..., Any]
COMMANDS: dict[str, Any] = {name: app.whole_command(name) for name in app.COMMANDS}
RUN, NOTES = "<run>", "<notes>"  # in the tables below, the trained run and its text

# Conflicting flags, bad choices, values out of range and unknown names, with a part of what is told.
WRONG: list[tuple[str, list[str], str]] = [
    ("train", [NOTES, "--steps", "0"], "--steps must be 1 or more"),
    ("train", [NOTES, "--steps", "1", "--minutes", "1"], "not both"),
    ("train", [NOTES, "--steps", "1", "--overwrite"], "--overwrite goes with --out"),
    ("train", [NOTES, "--steps", "1", "--encoding", "klingon"], "klingon is not an encoding"),
    ("train", [NOTES, "--steps", "1", "--preset", "huge"], "--preset must be"),
    ("train", [NOTES, "--minutes", "-1"], "--minutes must be above 0"),
    ("train", [NOTES, "--shard"], "--shard divides a model"),
    ("train", [NOTES, "--gradient-checkpointing", "--no-gradient-checkpointing"], "exclude each other"),
    ("train", ["--resume", RUN, "--width", "3"], "--width 3 differs from this run's 32"),
    ("sample", ["a", "-c", RUN, "--json", "--raw"], "exclude each other"),
    ("sample", ["a", "-c", RUN, "--table", "some"], "--table must be"),
    ("sample", ["a", "-c", RUN, "--stages", "top-q"], "no stage 'top-q'"),
    ("sample", ["a", "-c", RUN, "--stages", "top-k", "--top-p", "0.5"], "--stages leaves top-p out"),
    ("sample", ["a", "-c", RUN, "--top-p", "2"], "--top-p must be above 0"),
    ("sample", ["a", "-c", RUN, "--top", "0"], "--top must be 1 or more, not 0."),
    ("sample", ["a", "-c", RUN, "-n", "-1"], "--max-tokens must be 1 or more, not -1."),
    ("inspect-probs", ["a", "-c", RUN, "--top", "0"], "--top must be 1 or more, not 0."),
    ("sample", ["a", "-c", RUN, "--verbatim", "3"], "--verbatim goes with --corpus"),
    ("sample", ["a", "-c", RUN, "--html", "page.txt"], "must end in .html"),
    ("sample", ["a", "-c", RUN, "--stop", "\udcff"], "is not UTF-8"),
    ("sample", ["a", "-c", RUN, "--device", "toaster"], "is not a device"),
    ("sample", ["--replay", "a.jsonl", "--seed", "1"], "leave out --seed"),
    ("inspect-probs", ["a", "-c", RUN, "--json", "--csv"], "exclude each other"),
    ("inspect-probs", ["a", "-c", RUN, "--all", "--tokens"], "--all and --tokens exclude each other"),
    ("inspect-probs", ["a", "-c", RUN, "--choices", "b"], "compares two texts or more"),
    ("inspect-probs", ["a", "-c", RUN, "--track", "the"], "--track goes with"),
    ("inspect-probs", ["a", "-c", RUN, "--by-layer", "--track", "#999"], "#999 is not a token"),
    ("inspect-probs", ["a", "-c", RUN, "--corpus", "-"], "--corpus takes no standard input"),
    ("inspect-probs", ["a", "-c", RUN, "--file", NOTES], "not both"),
    ("inspect-probs", ["", "-c", RUN], "There is no text to look at"),
    ("explore", ["a", "-c", RUN], "must be a terminal"),
    ("inspect-attention", ["a cat", "-c", RUN, "--head", "1"], "--head needs a --layer"),
    ("inspect-attention", ["a cat", "-c", RUN, "--layer", "9"], "--layer must be 1, not 9"),
    ("inspect-attention", ["a cat", "-c", RUN, "--word", "cat"], "--word goes with --with"),
    ("inspect-attention", ["", "-c", RUN], "There is no text to look at"),
    ("inspect-embeddings", ["the", "-c", RUN, "--json", "--csv"], "exclude each other"),
    ("inspect-embeddings", ["", "-c", RUN], "not an empty text"),
    ("evaluate", [NOTES, "-c", RUN, "--rolling", "--stride", "3"], "leave out --stride"),
    ("evaluate", [NOTES, "-c", RUN, "--stride", "0"], "--stride must be 1 or more, not 0"),
    ("evaluate", [NOTES, "-c", RUN, "--dtype", "float8"], "--dtype must be"),
    ("evaluate", [NOTES, "-c", RUN, "--encoding", "klingon"], "klingon is not an encoding"),
    ("plot", [RUN, "--json", "--out", "a.svg"], "exclude each other"),
    ("plot", [RUN, "--out", "a.gif"], "must end in .svg or .png"),
    ("plot", [RUN, "--x", "hours"], "--x must be"),
    ("compare", [NOTES, "--minutes", "0"], "--minutes must be above 0"),
    ("compare", [NOTES, "--plot", "a.gif"], "must end in .svg or .png"),
    ("compare", [NOTES, "--resume", "latest"], "--resume keeps what the comparison began with"),
    ("runs", ["--dir"], "--dir"),
    ("runs", ["elsewhere"], "unexpected extra argument"),
    ("export", [RUN, "a.gguf", "--dtype", "int3"], "--dtype must be"),
    ("export", [RUN, "a.bin"], "an export is a .gguf file, a page (.html), or a folder"),
    ("import", ["a.gguf", "b.gguf"], "b.gguf: an import is a folder"),
    ("import", ["a.gguf", "b.pt"], "an export is a .gguf file, a page (.html), or a folder"),
]

# What is no fault of the command as it was typed.
NO_FAULT: list[tuple[str, list[str], str]] = [
    ("train", ["nowhere.txt", "--steps", "1"], "nowhere.txt does not exist"),
    ("train", ["--resume", "nowhere"], "nowhere"),
    ("train", [NOTES, "--steps", "1", "--out", NOTES], "is a file"),
    ("sample", ["a", "-c", "nowhere"], "nowhere does not exist"),
    ("sample", ["--replay", "nowhere"], "nowhere cannot be read"),
    ("inspect-probs", ["a", "-c", "nowhere"], "nowhere does not exist"),
    ("inspect-probs", ["-c", RUN], "There is no text to look at"),  # as standard input is empty
    ("inspect-attention", ["a cat", "-c", "nowhere"], "nowhere does not exist"),
    ("inspect-embeddings", ["the", "-c", "nowhere"], "nowhere does not exist"),
    ("evaluate", [NOTES, "-c", "nowhere"], "nowhere does not exist"),
    ("plot", ["nowhere"], "nowhere does not exist"),
    ("compare", ["--resume", "nowhere"], "nowhere"),
    ("compare", [NOTES, "--plot", "nowhere/a.svg"], "there is no folder nowhere"),
    ("runs", ["--dir", "nowhere"], "There is no folder nowhere"),
    ("export", ["nowhere", "a.gguf"], "nowhere does not exist"),
    ("import", ["nowhere", "out"], "nowhere cannot be read: No such file"),
]


def told(result: Any) -> str:
    return " ".join(result.stderr.replace("│", " ").split())


def filled(arguments: list[str], run: Path, notes: str) -> list[str]:
    return [{RUN: str(run), NOTES: notes}.get(argument, argument) for argument in arguments]


@pytest.mark.parametrize(("command", "arguments", "part"), WRONG, ids=[f"{c} {p}" for c, _, p in WRONG])
def test_wrong_usage_ends_with_2(
    minigpt: Run, trained: Path, notes: str, empty_folder: Path, command: str, arguments: list[str], part: str
) -> None:
    result = minigpt(command, *filled(arguments, trained, notes))
    assert result.exit_code == 2, result.output
    assert part in told(result)
    assert result.stdout == ""
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(("command", "arguments", "part"), NO_FAULT, ids=[f"{c} {p}" for c, _, p in NO_FAULT])
def test_what_is_missing_or_in_the_way_ends_with_1(
    minigpt: Run, trained: Path, notes: str, command: str, arguments: list[str], part: str
) -> None:
    result = minigpt(command, *filled(arguments, trained, notes))
    assert result.exit_code == 1, result.output
    assert part in told(result)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_with_2_for_a_flag_that_it_does_not_have(minigpt: Run, command: str) -> None:
    assert command in {name for name, _, _ in WRONG}
    result = minigpt(command, "--nonsense")
    assert result.exit_code == 2
    assert "No such option: --nonsense" in told(result)


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("MINIGPT_DEVICE", "toaster", "MINIGPT_DEVICE is toaster"),
        ("MINIGPT_THREADS", "0", "MINIGPT_THREADS"),
        ("MINIGPT_THREADS", "many", "MINIGPT_THREADS"),
    ],
)
def test_a_bad_variable_is_wrong_usage(minigpt: Run, trained: Path, variable: str, value: str, part: str) -> None:
    result = minigpt("sample", "a", "-n", "1", "-c", str(trained), **{variable: value})
    assert result.exit_code == 2
    assert part in told(result)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("top-p = 2", "--top-p must be above 0"),
        ("table = 'some'", "--table must be"),
        ("temperture = 1", "Did you mean temperature?"),
        ("json = true\nraw = true", "exclude each other"),
        ("seed = 'many'", "seed"),
    ],
)
def test_bad_settings_of_a_file_are_wrong_usage(minigpt: Run, trained: Path, text: str, part: str) -> None:
    Path("a.toml").write_text(text)
    result = minigpt("sample", "a", "-n", "1", "-c", str(trained), "--config", "a.toml")
    assert result.exit_code == 2
    assert part in told(result)
