"""What `runs` prints is what every command takes: the name of a run in ./checkpoints, unless a path is there."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.cli import app
from minigpt.cli.completion import complete_corpus, complete_model, complete_resumed

Run = Callable[..., Any]
COMMANDS: dict[str, Any] = {name: app.whole_command(name) for name in app.COMMANDS}

# Every way to name a run; NAME is put in. With --dry-run, nothing is trained.
WAYS = [
    ("sample", "the", "-n", "1", "--quiet", "-c", "NAME"),
    ("inspect-probs", "the", "-c", "NAME"),
    ("inspect-probs", "the", "--against", "NAME"),
    ("inspect-probs", "the", "--history", "NAME"),
    ("inspect-probs", "the", "--corpus", "NAME"),
    ("sample", "the", "-n", "1", "--corpus", "NAME"),
    ("inspect-attention", "the cat", "-c", "NAME"),
    ("inspect-embeddings", " the", "-c", "NAME"),
    ("evaluate", "notes.txt", "-c", "NAME"),
    ("plot", "NAME", "--json"),
    ("export", "NAME", "out"),
    ("train", "--resume", "NAME"),
    ("train", "notes.txt", "--from", "NAME", "--steps", "1", "--dry-run"),
]


@pytest.fixture
def poem(trained: Path, notes: str, empty_folder: Path) -> Path:
    """checkpoints/poem, a run."""
    shutil.copytree(trained, "checkpoints/poem")
    shutil.copy(notes, "notes.txt")
    return Path("checkpoints/poem")


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_every_command_finds_a_run_by_the_name_that_runs_prints(minigpt: Run, poem: Path, way: tuple[str, ...]) -> None:
    listed = json.loads(minigpt("runs", "--json").stdout.splitlines()[0])
    assert listed["name"] == "poem"
    result = minigpt(*(listed["name"] if word == "NAME" else word for word in way))
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_every_command_suggests_the_nearest_name(minigpt: Run, poem: Path, way: tuple[str, ...]) -> None:
    result = minigpt(*("Peom" if word == "NAME" else word for word in way))
    assert result.exit_code == 1
    assert "Did you mean checkpoints/poem?" in result.stderr


def test_every_option_that_completes_runs_is_tried_above() -> None:
    tried = {word for way in WAYS for word in way} | {"run"}  # the argument of plot and export
    for command in COMMANDS.values():
        for parameter in command.params:
            if "poem" in [item.value for item in completed(command, parameter)]:
                assert tried & {*parameter.opts, parameter.name}, f"{command.name} {parameter.opts}"


def completed(command: Any, parameter: Any) -> list[Any]:
    folder = Path("checkpoints/poem")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").touch()
    return parameter.shell_complete(command.make_context("x", [], resilient_parsing=True), "po")


def test_a_path_wins(minigpt: Run, poem: Path, checkpoint_folder: Path) -> None:
    shutil.copytree(checkpoint_folder, "poem")
    assert "vocabularies" in minigpt("inspect-probs", "the", "-c", "poem", "--against", "checkpoints/poem").stderr
    shutil.rmtree("poem")
    assert minigpt("inspect-probs", "the", "-c", "poem", "--against", "checkpoints/poem").exit_code == 0


def test_a_file_of_that_name_is_the_text_of_a_corpus_and_no_checkpoint(minigpt: Run, poem: Path) -> None:
    Path("poem").write_text("the cat sat on the mat.\n" * 20)
    result = minigpt("inspect-probs", "the cat", "-c", "poem", "--corpus", "poem", "--json")
    assert json.loads(result.stdout)["steps"][0]["corpus"]["name"] == "poem"


def test_a_snapshot_is_found_by_the_name_of_its_run(minigpt: Run, poem: Path) -> None:
    name = os.listdir(poem / "snapshots")[0]
    assert minigpt("sample", "the", "-n", "1", "-c", f"poem/snapshots/{name}").exit_code == 0


@pytest.mark.parametrize(
    "flags",
    [
        ["--history", "run"],
        ["--history", "run", "-c", "poem"],
        ["--history", "poem", "-c", "checkpoints/poem"],
        ["--history", "checkpoints/poem", "-c", "SNAPSHOT"],
        ["--history", "run", "-c", "SNAPSHOT"],
    ],
    ids=" ".join,
)
def test_a_history_goes_with_its_own_checkpoint(minigpt: Run, poem: Path, flags: list[str]) -> None:
    snapshot = str(next((poem / "snapshots").iterdir()))
    named = [snapshot if flag == "SNAPSHOT" else flag for flag in flags]
    expected = minigpt("inspect-probs", "the", "--history", str(poem), "--json").stdout
    assert minigpt("inspect-probs", "the", *named, "--json").stdout == expected
    assert expected.startswith('{"rows"')


def test_the_run_of_a_history_is_that_of_the_checkpoint_in_the_environment(minigpt: Run, poem: Path) -> None:
    shutil.copytree(poem, "elsewhere")
    shutil.rmtree("checkpoints")
    result = minigpt("inspect-probs", "the", "--history", "run", MINIGPT_CHECKPOINT="elsewhere")
    assert result.exit_code == 0, result.stderr


def test_a_history_of_another_training_than_the_checkpoint_is_refused(minigpt: Run, poem: Path) -> None:
    shutil.copytree(poem, "checkpoints/other")
    assert minigpt("export", "poem", "exported").exit_code == 0
    for other in ("other", "exported"):
        result = minigpt("inspect-probs", "the", "--history", "poem", "-c", other)
        assert result.exit_code == 2
        assert f"--checkpoint {other} is not a model of the run of --history poem" in " ".join(result.stderr.split())


def test_a_model_that_was_not_trained_here_has_no_history(minigpt: Run, checkpoint_folder: Path) -> None:
    result = minigpt("inspect-probs", "the", "--history", "run", "-c", str(checkpoint_folder))
    assert result.exit_code == 1
    assert "has no history of its training" in " ".join(result.stderr.split())


def test_a_comparison_is_gone_on_with_by_its_name(minigpt: Run, poem: Path) -> None:
    result = minigpt("compare", "--resume", "poem")
    assert "checkpoints/poem contains no comparison" in " ".join(result.stderr.split())
    assert "Did you mean checkpoints/poem?" in minigpt("compare", "--resume", "pome").stderr


def test_runs_elsewhere_say_how_they_are_named(minigpt: Run, poem: Path) -> None:
    assert minigpt("runs").stderr == ""
    os.rename("checkpoints", "old runs")
    assert "-c 'old runs/poem'" in minigpt("runs", "--dir", "old runs").stderr


def test_a_name_is_completed_where_no_path_begins_so(poem: Path) -> None:
    assert complete_model("po") == ["poem"]
    assert complete_model("checkpoints/p") == ["checkpoints/poem"]
    assert complete_resumed("la") == ["latest"]
    assert complete_corpus("") == ["run", "builtin", "checkpoints/", "checkpoints/poem"]
