"""`minigpt runs`: what is in ./checkpoints."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def checkpoints(trained: Path) -> Path:
    """A whole run and a damaged one in ./checkpoints."""
    shutil.copytree(trained, "checkpoints/notes")
    shutil.copytree(trained, "checkpoints/hurt")
    Path("checkpoints/hurt/run.json").write_text("{")
    return Path("checkpoints")


def test_a_line_a_run(minigpt: Run, checkpoints: Path) -> None:
    result = minigpt("runs", COLUMNS="100")
    assert result.exit_code == 0, result.stderr
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["name", "model", "weights", "text", "steps", "bits/byte", "on", "disk", "age", "status"]
    notes = next(row for row in rows if row.startswith(" notes"))
    assert notes.split()[1:6] == ["1", "×", "32", "23", "k"]
    assert "notes.txt" in notes
    assert notes.endswith("finished")
    assert any("run.json is not JSON" in row for row in rows)
    assert "2 models in checkpoints" in result.stdout
    assert result.stderr == ""


def test_json_is_a_line_a_run(minigpt: Run, checkpoints: Path) -> None:
    result = minigpt("runs", "--json", "--dir", str(checkpoints.absolute()))
    lines = {line["name"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert lines.keys() == {"notes", "hurt"}
    assert (lines["notes"]["status"], lines["notes"]["steps"], lines["notes"]["problem"]) == ("finished", 20, None)
    assert lines["hurt"]["status"] == "damaged"
    assert "run.json is not JSON" in lines["hurt"]["problem"]


def test_nothing_there_is_said_with_what_to_type(minigpt: Run) -> None:
    os.mkdir("checkpoints")
    result = minigpt("runs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no model is in checkpoints yet. Train one with: minigpt train YOUR-TEXT.txt" in result.stderr
    assert minigpt("runs", "--json").stdout == ""
    assert minigpt("runs", "-q").stderr == ""


def test_a_folder_that_is_not_there_is_an_error(minigpt: Run) -> None:
    result = minigpt("runs", "--dir", "nowhere")
    assert result.exit_code == 1
    assert result.stderr.startswith("minigpt runs: There is no folder nowhere.")


def test_it_loads_no_torch(checkpoints: Path) -> None:
    script = (
        "import sys; sys.argv = ['minigpt', 'runs']\n"
        "from minigpt.cli.app import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "False\n")
