"""A new setting of a training is one field: its flag, check, key, entry in run.json and comparison follow from it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "minigpt"
FIELD = '    toy_rate: float = setting(0.5, help="Of toys.", panel=OPTIMIZER, range=Range(0, 1, both=True))\n'
SCRIPT = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
from minigpt.cli.app import app

Path("notes.txt").write_text("the cat sat on the mat. " * 200)
Path("toy.toml").write_text("toy-rate = 0.75")
tiny = "notes.txt --layers 1 --heads 1 --width 16 --context 16 --batch-size 2 --vocab-size 260 --steps 1 -q".split()
commands = {
    "help": ["--help"],
    "out of range": [*tiny, "--toy-rate", "2"],
    "file": [*tiny, "--config", "toy.toml", "--out", "run"],
    "same again": ["--resume", "run", "--toy-rate", "0.75"],
    "another": ["--resume", "run", "--toy-rate", "0.25"],
}
told = {}
for name, arguments in commands.items():
    result = CliRunner().invoke(app, ["train", *arguments], env={"COLUMNS": "120"})
    told[name] = [result.exit_code, result.output]
told["run.json"] = json.loads(Path("run/run.json").read_text())
import minigpt
try:
    minigpt.train("notes.txt", steps=1, toy_rate=3.0)
except minigpt.MinigptError as error:
    told["program"] = str(error)
print(json.dumps(told))
"""


def test_a_new_setting_touches_one_place(tmp_path: Path) -> None:
    copy = tmp_path / "minigpt"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "settings" / "training.py"
    source = file.read_text("utf-8")
    place = "    weight_decay: float = setting("
    assert source.count(place) == 1
    file.write_text(source.replace(place, FIELD + place), "utf-8")
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert "Of toys. [default: 0.5]" in told["help"][1]
    assert told["out of range"] == [2, "minigpt train: --toy-rate must lie between 0 and 1, not 2.0.\n"]
    assert told["file"][0] == 0, told["file"][1]
    assert told["run.json"]["train"]["toy_rate"] == 0.75
    command = told["run.json"]["command"]
    assert command[command.index("--toy-rate") + 1] == "0.75"
    assert told["same again"][0] == 0, told["same again"][1]
    code, message = told["another"]
    assert (code, message) == (2, "minigpt train: --toy-rate 0.25 differs from this run's 0.75. Leave it out.\n")
    assert told["program"] == "toy_rate= must lie between 0 and 1, not 3.0."
