"""A new filter is a function in one file and a field in another: everything else finds it there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import minigpt

FIELD = """    even_only: int = _filter(
        0,
        neutral=0,
        range=Range(0, 1, both=True, least_is="off"),
        help="Keep the tokens with even ids; 0 for all.",
        cuts=lambda value: True,
        key="v",
        steps=(0, 1),
    )
"""
FUNCTION = '''@_register
def even_only(logits_V: np.ndarray, history_T: np.ndarray, strength: int) -> np.ndarray:
    """Keep the tokens with even ids."""
    return np.where(np.arange(len(logits_V)) % 2 == 1, CUT, logits_V)


'''
ADDED = {  # by file: what is added, and before which line
    "settings/sampling.py": (FIELD, "    top_k: int = _filter("),
    "sampling/filters.py": (FUNCTION, "@_register\ndef top_k("),
}

# Each face of the program, in one process, since starting one takes long.
LOOK = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
import minigpt
from minigpt.cli.app import app
from minigpt.explore.keys import help_picture
from minigpt.explore.keys import settings_picture
from minigpt.explore.session import Session
from minigpt.render.style import Screen
from minigpt.sampling.tree import TokenTree
from minigpt.settings import SampleConfig

def run(*arguments):
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.stdout

folder = sys.argv[1]
sample = ["sample", "The quick", "-c", folder, "-n", "3", "--seed", "1"]
checkpoint = minigpt.load(folder)
session = Session(TokenTree(checkpoint.model, checkpoint.tokenizer, "The quick"), SampleConfig(), None)
session.press("V", "V")
run(*sample, "--even-only", "1", "--html", "page.html", "--trace", "trace.jsonl")
piece = next(checkpoint.sample("The quick", even_only=1, max_tokens=1))
print(json.dumps({
    "file": minigpt.__file__,
    "help": run("sample", "--help"),
    "explore": run("explore", "--help"),
    "table": run(*sample, "--even-only", "1", "--table", "every"),
    "json": run(*sample, "--even-only", "1", "--json").splitlines()[0],
    "first": run(*sample, "--even-only", "1", "--stages", "even-only,temperature", "--json").splitlines()[0],
    "replay": run("sample", "--replay", "trace.jsonl", "--json"),
    "refusal": CliRunner().invoke(app, [*sample, "--even-only", "2"]).output,
    "pressed": session.config.even_only,
    "listed": [stage.name for stage in session.page(0, 1)[0].stages],
    "keys": settings_picture(session.config, 200).plain,
    "keys_help": help_picture(Screen(200)).plain,
    "page": Path("page.html").read_text("utf-8"),
    "notebook": piece.record._repr_html_(),
}))
"""


def look_at_a_copy(place: Path, checkpoint: Path) -> dict[str, Any]:
    """What a copy of the package with one more filter shows of it."""
    package = place / "minigpt"
    shutil.copytree(Path(minigpt.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (added, before) in ADDED.items():
        text = (package / name).read_text("utf-8")
        assert text.count(before) == 1
        (package / name).write_text(text.replace(before, added + before), "utf-8")
    result = subprocess.run(
        [sys.executable, "-c", LOOK, str(checkpoint)],
        capture_output=True, text=True, encoding="utf-8", cwd=place, env={**os.environ, "PYTHONPATH": str(place)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    seen: dict[str, Any] = json.loads(result.stdout)
    assert Path(seen["file"]).is_relative_to(place)
    return seen


def test_a_filter_that_is_added_in_two_files_is_known_everywhere(tmp_path: Path, checkpoint_folder: Path) -> None:
    seen = look_at_a_copy(tmp_path, checkpoint_folder)

    # Flags, their help and their errors
    for text in (seen["help"], seen["explore"]):
        assert "--even-only" in text
        assert "Keep the tokens with even ids; 0 for all." in text
    assert "top-n-sigma, even-only, top-k" in " ".join(seen["help"].replace("│", " ").split())
    assert "--even-only must lie between 0 (off) and 1, not 2" in " ".join(seen["refusal"].split())

    # The table, JSON, another order, a trace and its replay
    assert "even-only 1" in seen["table"]
    step = json.loads(seen["json"])
    assert [stage["name"] for stage in step["stages"]] == ["temperature", "even-only", "top-p"]
    assert step["token"]["id"] % 2 == 0
    assert {c["cut_by"] for c in step["candidates"] if c["id"] % 2} == {"even-only"}
    assert [stage["name"] for stage in json.loads(seen["first"])["stages"]] == ["even-only", "temperature"]
    assert json.loads(seen["replay"])["same_numbers"]

    # The explorer's keys
    assert seen["pressed"] == 1
    assert seen["listed"] == ["temperature", "even-only", "top-p"]
    assert "even-only 1 v V" in seen["keys"]
    assert "v V: even-only" in seen["keys_help"]

    # The page and the notebook
    (data,) = [
        json.loads(part.split("</script>")[0])
        for part in seen["page"].split('<script type="application/json" class="data">')[1:]
    ]
    assert data["fixed"] == ["even-only"]
    assert [(stage["name"], stage["value"]) for stage in data["steps"][-1]["drawn"]][1] == ("even-only", 1)
    assert "even-only" in seen["notebook"]
