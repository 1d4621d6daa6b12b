"""Every number that a command takes has a range; what lies far outside ends in one sentence, wherever it is given."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from minigpt.cli.app import COMMANDS, whole_command
from minigpt.errors import ConfigError
from minigpt.render.views import every_face
from minigpt.settings import RANGES, Choices, ModelConfig, Range, SampleConfig, TrainConfig, settings_of

Run = Callable[..., Any]
ABSURD = ("9" * 19 + "9", str(2**63), "-1", "1e300", "nan", "inf", "-inf", "9" * 400)


def numeric(annotation: Any) -> tuple[bool, str | None]:
    """Whether a parameter is a number, or None, and the flag that it is given by where that is not its name."""
    flag = None
    if get_origin(annotation) is Annotated:
        annotation, option = get_args(annotation)[:2]
        names = (option.default, *(option.param_decls or ()))  # typer's Annotated takes the first for a default
        flag = next((name for name in names if isinstance(name, str) and name.startswith("--")), None)
    kinds = set(get_args(annotation) or (annotation,)) - {NoneType}
    return kinds <= {int, float}, flag


def numbers() -> dict[tuple[str, str], str]:
    """(command, parameter) -> flag, of all commands."""
    found = {}
    for name in COMMANDS:
        hints = get_type_hints(inspect.unwrap(whole_command(name).callback), include_extras=True)
        for parameter, annotation in hints.items():
            is_number, flag = numeric(annotation)
            if is_number and parameter != "return":
                found[name, parameter] = flag or f"--{parameter.replace('_', '-')}"
    return found


def ranges() -> dict[str, Range]:
    """Those of all settings, and of the flags of all views."""
    views = [face.view.settings for face in every_face() if face.view.settings]
    declared = {name: about.range for kind in views for name, about in settings_of(kind).items()}
    return RANGES | {name: found for name, found in declared.items() if found}


NUMBERS, KNOWN = numbers(), ranges()
# What a command cannot do without.
ARGUMENTS = {"inspect-embeddings": ["a"], "evaluate": ["notes.txt"], "inspect-attention": ["a"]}


def below(name: str) -> str:
    """A number under the range of a setting: -1, unless it may be negative, as a penalty may."""
    least = KNOWN[name].least
    return "-1" if least >= 0 else f"{least - 1}"


def one_sentence(result: Any, flag: str) -> None:
    assert result.exit_code != 0
    assert result.stdout == ""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    told = re.sub(r"[\s│╭╮╰╯─]+", " ", result.stderr)
    assert flag in told
    assert "Traceback" not in told
    assert len(re.findall(r"must|is not|should be", told)) == 1  # ours, or that of a parser
    assert len(told) < 700


def test_the_walk_finds_them() -> None:
    assert len(NUMBERS) > 50
    assert NUMBERS["sample", "max_tokens"] == "--max-tokens"
    assert NUMBERS["train", "learning_rate"] == "--learning-rate"
    assert ("train", "quiet") not in NUMBERS


@pytest.mark.parametrize(("command", "parameter"), NUMBERS)
def test_every_number_has_a_range(command: str, parameter: str) -> None:
    assert parameter in KNOWN


@pytest.mark.parametrize(("command", "parameter"), NUMBERS)
def test_an_absurd_number_is_one_sentence(minigpt: Run, command: str, parameter: str, empty_folder: Path) -> None:
    flag = NUMBERS[command, parameter]
    for value in (*ABSURD[:2], below(parameter), ABSURD[3]):
        one_sentence(minigpt(command, *ARGUMENTS.get(command, []), f"{flag}={value}"), flag)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(("command", "parameter"), NUMBERS)
def test_so_is_one_in_a_file_of_settings(minigpt: Run, command: str, parameter: str) -> None:
    key = NUMBERS[command, parameter].removeprefix("--")
    for value in ("9" * 20, "nan"):
        Path("a.toml").write_text(f"{key} = {value}\n")
        result = minigpt(command, *ARGUMENTS.get(command, []), "--config", "a.toml")
        assert result.exit_code != 0
        assert result.stdout == ""
        assert key in result.stderr
        assert "a.toml" in result.stderr
        assert "Traceback" not in result.stderr
        assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: value[:20])
def test_so_is_one_in_a_variable(minigpt: Run, value: str) -> None:
    result = minigpt("sample", "a", MINIGPT_THREADS=value)
    one_sentence(result, "--threads")


@pytest.mark.parametrize("kind", [TrainConfig, SampleConfig, Choices])
def test_so_is_one_that_a_program_gives(kind: type) -> None:
    names = [name for name in kind.__dataclass_fields__ if name in RANGES]  # type: ignore[attr-defined]
    assert len(names) > 3
    for name in names:
        for value in (10**400, 2**63, RANGES[name].least - 1, 1e300, float("nan"), float("inf")):
            with pytest.raises(ConfigError, match=rf"{name}= must ") as error:
                kind(**{name: value})
            assert len(str(error.value)) < 150


@pytest.mark.parametrize("name", ["vocab_size", "context", "layers", "heads", "width"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_model_of_no_size_is_refused_and_how_large_one_is_its_weights_decide(name: str, value: float) -> None:
    size = {"vocab_size": 300, "context": 8, "layers": 1, "heads": 1, "width": 8}
    with pytest.raises(ConfigError, match=rf"{name}= must be 1 or more"):
        ModelConfig(**{**size, name: value})


@pytest.mark.parametrize(
    ("range_", "value", "message"),
    [
        (Range(1, 5), 0, "x= must be 1 or more, not 0."),
        (Range(1, 5000), 5001, "x= must be 5,000 or fewer, not 5,001."),
        (Range(0, 5.0, above=True), 0.0, "x= must be above 0, not 0.0."),
        (Range(0, 5.0), 6.0, "x= must be 5.0 or less, not 6.0."),
        (Range(0, 1e15), 2e15, "x= must be 1e15 or less, not 2,000,000,000,000,000.0."),
        (Range(0.001, 1e9), 0.0, "x= must be 0.001 or more, not 0.0."),
        (Range(0.001, 1e9), 1e300, "x= must be 1e9 or less, not 1e+300."),
        (Range(0, 1, below=True, both=True), 1.0, "x= must be at least 0 and below 1, not 1.0."),
        (Range(0, 1, above=True, both=True, most_is="off"), 2, "x= must be above 0 and at most 1 (off), not 2."),
        (Range(0, 10, both=True), -1, "x= must lie between 0 and 10, not -1."),
        (Range(0, 10, least_is="off"), float("nan"), "x= must be 0 (off) or more, not nan."),
        (Range(0, 10), 10**400, "x= must be 10 or fewer, not " + f"{10**400:,}"[:37] + "...."),
    ],
    ids=range(12),
)
def test_what_is_said(range_: Range, value: float, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        range_.check("x", value)
    assert str(error.value) == message


@pytest.mark.parametrize("range_", [Range(1, 5), Range(0.001, 1000, both=True)])
def test_both_ends_are_within(range_: Range) -> None:
    range_.check("x", range_.least)
    range_.check("x", range_.most)


# The ends of the ranges reach torch and do no harm there


@pytest.mark.parametrize(
    "flags",
    [
        ("--learning-rate", "1e-320"),
        ("--muon-learning-rate", "1e-320"),
        ("--weight-decay", "1000"),
        ("--clip-norm", "1e15"),
        ("--clip-norm", "1e-320"),
        ("--warmup-steps", "100000000"),
        ("--eval-every", "100000000"),
        ("--eval-tokens", "1000000000"),
        ("--patience", "100000000"),
        ("--save-every", "100000000"),
        ("--snapshots", "1000"),
        ("--seed", "4294967295"),
        ("--beta1", "0.9999999999999999"),
        ("--beta2", "0.9999999999999999"),
        ("--context", "1000000000"),
        ("--val-fraction", "1e-320"),
    ],
    ids=" ".join,
)
def test_the_ends_of_a_range_train(minigpt: Run, notes: str, tiny: list[str], flags: tuple[str, ...]) -> None:
    result = minigpt("train", notes, *tiny, "--steps", "2", "--out", "run", *flags)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "flags",
    [("--muon-learning-rate", "1e15"), ("--learning-rate", "1e15"), ("--width", "1048576"), ("--part", "1e-320")],
    ids=" ".join,
)
def test_or_end_in_one_message(minigpt: Run, notes: str, tiny: list[str], flags: tuple[str, ...]) -> None:
    result = minigpt("train", notes, *tiny, "--steps", "20", "--clip-norm", "0", "--out", "run", "-q", *flags)
    assert result.exit_code == 1
    assert result.stderr.startswith("minigpt train: ")
    assert "Traceback" not in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "flags",
    [
        ("--temperature", "1e-320"),
        ("--temperature", "1e15"),
        ("--top-k", "1000000000"),
        ("--top-p", "1e-320"),
        ("--min-p", "1e-320"),
        ("--repetition-penalty", "1000"),
        ("--top", "1000000000"),
        ("--pace", "1e9"),
        ("--seed", "4294967295"),
    ],
    ids=" ".join,
)
def test_the_ends_of_a_range_sample(minigpt: Run, trained: Path, flags: tuple[str, ...]) -> None:
    result = minigpt("sample", "the", "-n", "3", "-c", str(trained), *flags)
    assert result.exit_code == 0, result.output
