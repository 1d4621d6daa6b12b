"""One tiny trained run for all tests of the command line, and commands as processes."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
TINY = ["--layers", "1", "--heads", "1", "--width", "32", "--context", "32", "--batch-size", "4", "--vocab-size", "300"]
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "Über", "dog", "Straße", "is", "not", "[bold]", "here"]


def sentences(count: int = 300) -> str:
    source = random.Random(1)
    return "".join(" ".join(source.choice(WORDS) for _ in range(9)) + ".\n" for _ in range(count))


@pytest.fixture
def tiny() -> list[str]:
    """Flags of a model that trains in no time."""
    return TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, minigpt: Callable[..., Any]) -> Path:
    """The folder of a run of 20 steps, not to be changed; `notes.txt`, its text, lies beside it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "notes.txt").write_text(sentences(), "utf-8")
    flags = [*TINY, "--steps", "20", "--learning-rate", "0.01", "--out", str(folder / "run"), "--quiet"]
    result = minigpt("train", str(folder / "notes.txt"), *flags)
    assert result.exit_code == 0, result.output
    return folder / "run"


@pytest.fixture
def inspect(minigpt: Callable[..., Any], trained: Path) -> Callable[..., Any]:
    """Ask the trained run: inspect("The cat", "--top", "5")."""
    return partial(minigpt, "inspect-probs", "-c", str(trained))


@pytest.fixture
def notes(trained: Path) -> str:
    return str(trained.parent / "notes.txt")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, at 80 columns, without the settings of who runs it."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    variables = [name for name in os.environ if name.startswith("MINIGPT_")]
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "PYTHONIOENCODING", "LC_ALL", *variables):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return folder


@pytest.fixture
def around(trained: Path) -> Callable[[str], list[str]]:
    """What a command needs besides so that it runs, and ends soon."""
    run, notes = str(trained), str(trained.parent / "notes.txt")
    words = {
        "train": [notes, "--steps", "1", "--dry-run"],
        "sample": ["a", "-n", "1", "-c", run],
        "inspect-probs": ["a", "-c", run],
        "explore": ["a", "-c", run],
        "inspect-attention": ["the cat", "-c", run],
        "inspect-embeddings": [" the", "-c", run],
        "evaluate": [notes, "-c", run],
        "plot": [run, "--json"],
        "compare": ["nowhere.txt"],
        "runs": [],
        "export": [run, "out"],
        "import": ["nowhere.pt", "out"],
    }
    return lambda command: words[command]


@pytest.fixture
def start() -> Callable[..., "subprocess.Popen[bytes]"]:
    """Start a command, or a shell line in which $M is minigpt, as a process of its own."""
    begun = []

    def run(*arguments: str, shell: str | None = None, env: dict[str, str] | None = None, **options: Any) -> Any:
        module = [sys.executable, "-m", "minigpt"]
        command = ["bash", "-c", f"{shell}"] if shell is not None else [*module, *arguments]
        # One thread: with more, so small a model waits for those that other programs keep from running.
        whole = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "M": " ".join(module), **(env or {})}
        process = subprocess.Popen(
            command, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
            env=whole,
        )  # fmt: skip
        begun.append(process)
        return process

    yield run
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()
