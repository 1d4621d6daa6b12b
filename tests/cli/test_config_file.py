"""A file of settings stands in for flags: the same names, the same refusals, with the file's name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import load

Run = Callable[..., Any]
SHAPE = "layers = 1\nheads = 1\nwidth = 32\ncontext = 32\nbatch-size = 4\nvocab_size = 300\n"


def write(text: str | bytes, name: str = "s.toml") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def info(run: str) -> dict[str, Any]:
    return json.loads(Path(run, "run.json").read_text())


def test_the_file_sets_what_flags_set_and_flags_win(minigpt: Run, notes: str) -> None:
    file = write(f'corpus = ["{notes}"]\nout = "run"\nsteps = 9\nquiet = true\nlearning-rate = 1e-3\n{SHAPE}')
    result = minigpt("train", "--config", file, "--steps", "2")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    train, model = info("run")["train"], info("run")["model"]
    assert (train["steps"], train["learning_rate"], train["batch_size"]) == (2, 1e-3, 4)
    assert (model["width"], model["context"], model["vocab_size"]) == (32, 32, 300)


def test_a_run_from_a_file_is_the_run_from_flags(minigpt: Run, notes: str, tiny: list[str]) -> None:
    file = write(f'corpus = "{notes}"\nsteps = 2\nprecision = "float32"\n{SHAPE}')
    assert minigpt("train", "--config", file, "--out", "a").exit_code == 0
    flags = ["--steps", "2", "--precision", "float32", "--out", "b"]
    assert minigpt("train", notes, *tiny, *flags).exit_code == 0
    a, b = (load(name).model.state_dict() for name in "ab")
    assert all(a[name].equal(b[name]) for name in a)


def test_two_files_are_refused(minigpt: Run, notes: str) -> None:
    one, two = write("steps = 1\n", "a.toml"), write("width = 64\n", "b.toml")
    result = minigpt("train", notes, "--config", one, "--config", two, "--out", "run")
    assert result.exit_code == 2
    assert "Give one file of settings, not several." in result.stderr
    assert not Path("run").exists()


def test_paths_are_those_of_the_current_folder(minigpt: Run, notes: str) -> None:
    Path("settings").mkdir()
    Path("notes.txt").write_bytes(Path(notes).read_bytes())
    file = write(f'corpus = ["notes.txt"]\nsteps = 1\nout = "run"\n{SHAPE}', "settings/s.toml")
    assert minigpt("train", "--config", file).exit_code == 0
    assert Path("run/run.json").exists()


def test_what_the_file_gives_counts_as_given_when_a_run_goes_on(minigpt: Run, notes: str) -> None:
    file = write(f"steps = 2\n{SHAPE}")
    assert minigpt("train", notes, "--config", file, "--out", "run").exit_code == 0
    assert "finished" in minigpt("train", "--resume", "run", "--config", file).stdout
    other = minigpt("train", "--resume", "run", "--config", write("width = 64\n", "other.toml"))
    assert other.exit_code == 2
    assert "--width 64 differs from this run's 32" in other.stderr
    assert "other.toml says width = 64." in other.stderr


def test_the_other_commands_take_a_file_too(minigpt: Run, trained: Path) -> None:
    file = write(f'checkpoint = "{trained}"\ntop = 3\njson = true\n')
    candidates = json.loads(minigpt("inspect-probs", "the", "--config", file).stdout)["steps"][0]["candidates"]
    assert len(candidates) == 3
    lines = minigpt("sample", "the", "--config", file, "-n", "2").stdout.splitlines()
    assert len(json.loads(lines[0])["candidates"]) in (3, 4)
    every = minigpt("inspect-probs", "the cat", "--config", write(f'checkpoint = "{trained}"\nall = true\n'))
    assert "per token" in every.stdout
    curves = minigpt("plot", "--config", write(f'run = ["{trained}"]\njson = true\n'))
    assert json.loads(curves.stdout)
    evaluated = minigpt(
        "evaluate", "--config", write(f'files = ["{trained.parent}/notes.txt"]\ncheckpoint = "{trained}"\n')
    )
    assert evaluated.exit_code == 0, evaluated.stderr
    refused = minigpt("sample", "the", "--config", write(f'checkpoint = "{trained}"\ntop-p = 2.0\n'))
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-1] == "s.toml says top_p = 2.0."


REFUSED = [
    ("steps = 1.5", 2, "'steps' in s.toml: 1.5: Input should be a valid integer"),
    ('steps = "many"', 2, "'steps' in s.toml: many: Input should be a valid integer"),
    ("steps = true", 2, "'steps' in s.toml: true is not one text or number"),
    ("steps = [1]", 2, "'steps' in s.toml: [1] is not one text or number"),
    ("out = 2020-01-01", 2, "'out' in s.toml: 2020-01-01 is not one text or number"),
    ("overwrite = 1", 2, "'overwrite' in s.toml: 1 is not true or false"),
    ("corpus = [true]", 2, "'corpus' in s.toml: [True] is not a list of texts"),
    ("threads = 0", 2, "--threads must lie between 1 and 1,024, not 0. s.toml says threads = 0."),
    ("steps = 0", 2, "--steps must be 1 or more, not 0. s.toml says steps = 0."),
    ("learning-rate = nan", 2, "--learning-rate must be above 0, not nan"),
    ('preset = "huge"', 2, "--preset must be nano, micro"),
    ("width = 33\nheads = 2", 2, "s.toml says width = 33, heads = 2."),
    ("stepz = 3", 2, "s.toml: there is no setting 'stepz'. Did you mean steps?"),
    ("batchsize = 3", 2, "Did you mean batch-size?"),
    ("xyz = 3", 2, "there is no setting 'xyz'. The names are those of the flags."),
    ('"\\u001b[31m" = 3', 2, "there is no setting"),
    ("help = true", 2, "there is no setting 'help'"),
    ('config = "more.toml"', 2, "s.toml: config cannot be set here: a file names no other file"),
    ("batch-size = 3\nbatch_size = 3", 2, "s.toml gives batch_size twice"),
    ("[train]\nsteps = 3", 2, "s.toml: train is a table. Write every setting at the top"),
    ("[[runs]]\nsteps = 3", 2, "s.toml: runs is a table"),
    ("train.steps = 3", 2, "s.toml: train is a table"),
    ("steps = 3\nwidth = = 4", 2, "s.toml is not TOML: Invalid value (at line 2, column 9)"),
    ("steps = ", 2, "s.toml is not TOML: Invalid value (at line 1, column 9)"),
    ("steps = 3\nsteps = 4", 2, "s.toml is not TOML: Cannot overwrite a value (at line 2, column 10)"),
    (b"out = 'caf\xe9'", 2, "s.toml is not UTF-8, as TOML is: byte 0xe9 at 10"),
]


@pytest.mark.parametrize(("text", "code", "part"), REFUSED, ids=[part for _, _, part in REFUSED])
def test_what_is_refused_is_refused_by_name(
    minigpt: Run, notes: str, empty_folder: Path, text: str | bytes, code: int, part: str
) -> None:
    file = write(text)
    result = minigpt("train", notes, "--config", file, COLUMNS="300")
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert part in " ".join(result.stderr.replace("│", " ").split())
    assert not any(ord(c) < 32 and c != "\n" for c in result.stderr)
    assert [path.name for path in empty_folder.iterdir()] == [file]


@pytest.mark.parametrize(("name", "reason"), [("nowhere.toml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read(minigpt: Run, name: str, reason: str) -> None:
    result = minigpt("train", "--config", name, COLUMNS="300")
    assert result.exit_code == 2
    assert f"{name} cannot be read: {reason}." in result.stderr


def test_an_empty_file_and_a_byte_order_mark_change_nothing(minigpt: Run, notes: str, tiny: list[str]) -> None:
    for text in ("", "\ufeff# nothing\r\n"):
        assert minigpt("train", notes, *tiny, "--steps", "1", "--config", write(text)).exit_code == 0


def test_a_flag_that_wins_is_not_blamed_on_the_file(minigpt: Run, notes: str) -> None:
    result = minigpt("train", notes, "--config", write("steps = 5\n"), "--steps", "0")
    assert result.stderr == "minigpt train: --steps must be 1 or more, not 0.\n"
