"""What a shell is told when somebody presses tab; nothing heavy is loaded for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minigpt.cli.completion import complete_model

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def runs(empty_folder: Path) -> None:
    """Two models in ./checkpoints, one elsewhere, and folders that are none."""
    for name in ("checkpoints/notes", "checkpoints/poems", "models/deep/gpt2"):
        (empty_folder / name).mkdir(parents=True)
        (empty_folder / name / "config.json").touch()
    (empty_folder / "checkpoints" / ".tokens-1").mkdir()
    (empty_folder / "checkpoints" / "README.md").touch()


@pytest.mark.parametrize(
    ("incomplete", "expected"),
    [
        ("", ["checkpoints/", "checkpoints/notes", "checkpoints/poems", "models/"]),
        ("ch", ["checkpoints/", "checkpoints/notes", "checkpoints/poems"]),
        ("checkpoints/", ["checkpoints/notes", "checkpoints/poems"]),
        ("checkpoints/p", ["checkpoints/poems"]),
        ("./checkpoints/p", ["./checkpoints/poems"]),
        ("mod", ["models/"]),
        ("models/", ["models/deep/"]),
        ("models/deep/g", ["models/deep/gpt2"]),
        ("nowhere/", []),
        ("\x00", []),
    ],
)
def test_models_are_completed_by_their_path(runs: None, incomplete: str, expected: list[str]) -> None:
    assert complete_model(incomplete) == expected


SCRIPT = (
    "import sys\n"
    "from minigpt.cli.app import main\n"
    "try: main()\n"
    "finally: print(*sorted({'torch', 'tokenizers', 'transformers', 'numpy'} & set(sys.modules)), file=sys.stderr)"
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("minigpt ru", {"runs"}),
        ("minigpt sample --checkp", {"--checkpoint"}),
        ("minigpt sample -c checkpoints/n", {"checkpoints/notes"}),
        ("minigpt export checkpoints/p", {"checkpoints/poems"}),
    ],
)
def test_a_shell_is_told_without_loading_anything(runs: None, line: str, expected: set[str]) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "_MINIGPT_COMPLETE": "complete_bash"}
    env |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env)
    assert set(done.stdout.split()) == expected
    assert done.stderr.split() == []


def test_the_script_for_a_shell_is_shown(runs: None) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "_MINIGPT_COMPLETE": "source_bash"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env)
    assert "complete -o default -F _minigpt_completion minigpt" in done.stdout
    assert done.stderr.split() == []


def test_names_of_commands_are_completed_and_listed_without_importing_any(runs: None) -> None:
    script = SCRIPT.replace("{'torch'", "{*minigpt.cli.app.COMMANDS, 'minigpt.settings', 'rich.live', 'torch'")
    script = script.replace("sys.modules)", "{name.removeprefix('minigpt.cli.') for name in sys.modules})")
    script = script.replace("import sys\n", "import sys, minigpt.cli.app\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COMP_WORDS": "minigpt ", "COMP_CWORD": "1"}
    for asked in ({"_MINIGPT_COMPLETE": "complete_bash"}, {}):
        command = [sys.executable, "-c", script, *([] if asked else ["--help"])]
        done = subprocess.run(command, capture_output=True, text=True, env=env | asked)
        assert {"train", "sample", "inspect-probs", "import"} <= set(done.stdout.replace("│", " ").split())
        assert done.stderr.split() == []
