"""No message repeats what is thousands of characters long, whether a flag or a file brings it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.cli import app
from minigpt.errors import bounded, brief

Run = Callable[..., Any]
COMMANDS: dict[str, Any] = {name: app.whole_command(name) for name in app.COMMANDS}
WORD, WORDS, DIGITS = "x" * 3000, "x y " * 1000, "9" * 3000
VALUES = [
    (name, parameter.opts[0])
    for name, command in COMMANDS.items()
    for parameter in command.params
    if parameter.opts[0].startswith("--") and not parameter.is_flag
]


def is_short(result: Any) -> bool:
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)[:500]
    message = " ".join(result.stderr.replace("│", " ").split())
    return len(message) < 2000


def test_a_value_is_cut_at_40_characters() -> None:
    assert brief("x" * 40) == "x" * 40
    assert brief("x" * 41) == "x" * 37 + "..."


def test_a_word_without_end_is_cut_and_a_path_that_can_be_is_not() -> None:
    path = "/" + "/".join(["folder"] * 50)
    assert bounded(f"{path} is a file") == f"{path} is a file"
    assert bounded(f"{WORD} is a file") == "x" * 100 + "..." + "x" * 100 + " is a file"
    assert bounded(WORDS) == WORDS[:600] + "..." + WORDS[-600:]


@pytest.mark.parametrize(("name", "flag"), VALUES, ids=[" ".join(value) for value in VALUES])
def test_a_flag_of_any_length_makes_a_short_message(
    minigpt: Run, around: Callable[[str], list[str]], name: str, flag: str
) -> None:
    result = minigpt(name, *around(name), flag, f"{WORD} {WORDS}")
    assert is_short(result), f"{len(result.stderr):,} characters: {result.stderr[:300]}"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_argument_or_a_flag_that_there_is_not_makes_a_short_message(
    minigpt: Run, around: Callable[[str], list[str]], name: str
) -> None:
    assert is_short(minigpt(name, *around(name), "--" + WORD))
    assert is_short(minigpt(name, *around(name)[1:], WORDS, WORDS, WORDS))
    assert is_short(minigpt("--" + WORD))
    assert is_short(minigpt(WORD))


@pytest.mark.parametrize("flag", ["--steps", "--seed"])
def test_a_number_of_any_length_makes_a_short_message(minigpt: Run, notes: str, flag: str) -> None:
    for sign in ("-", ""):
        result = minigpt("train", notes, "--dry-run", flag, sign + DIGITS)
        assert len(result.stderr) < 2000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", WORD),
        ("model_type", [WORDS]),
        ("activation_function", WORD),
        ("layer_norm_epsilon", WORD),
        ("resid_pdrop", WORD),
        ("n_layer", WORD),
        ("n_head", -int(DIGITS)),
        ("scale_attn_weights", WORD),
        ("tie_word_embeddings", WORD),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 99 else "",
)
def test_a_value_in_a_checkpoint_of_any_length_makes_a_short_message(
    minigpt: Run, trained: Path, key: str, value: Any
) -> None:
    shutil.copytree(trained, "run")
    config = Path("run/config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {key: value}))
    result = minigpt("sample", "a", "-c", "run")
    assert result.exit_code == 1
    assert is_short(result)


@pytest.mark.parametrize(
    "text",
    [
        f"{WORD} = 1",
        f'table = "{WORD}"',
        f'seed = "{WORDS}"',
        f"[{WORD}]",
        f'device = "{WORDS}"',
        f'checkpoint = "{WORD}"',
        f"table = [{DIGITS}]",
    ],
    ids=["name", "choice", "number", "table", "device", "path", "list"],
)
def test_a_setting_of_any_length_in_a_file_makes_a_short_message(minigpt: Run, trained: Path, text: str) -> None:
    Path("a.toml").write_text(text)
    named = [] if text.startswith("checkpoint") else ["-c", str(trained)]
    result = minigpt("sample", "a", "-n", "1", "--config", "a.toml", *named)
    assert result.exit_code != 0
    assert is_short(result)


@pytest.mark.parametrize("variable", ["MINIGPT_DEVICE", "MINIGPT_THREADS", "MINIGPT_CHECKPOINT"])
def test_a_variable_of_any_length_makes_a_short_message(minigpt: Run, trained: Path, variable: str) -> None:
    named = [] if variable == "MINIGPT_CHECKPOINT" else ["-c", str(trained)]
    result = minigpt("sample", "a", "-n", "1", *named, **{variable: WORD})
    assert result.exit_code != 0
    assert is_short(result)


def test_a_field_of_any_length_makes_a_short_message(minigpt: Run) -> None:
    Path("a.jsonl").write_text(json.dumps({name * 3000: "a text" for name in "abcdefgh"}) + "\n")
    assert is_short(minigpt("train", "a.jsonl", "--field", WORDS))
