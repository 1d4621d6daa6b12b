"""Adding a view touches its file, its table and one line: everything else reads the registry."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "minigpt"

QUESTION = '''"""How many tokens of a text are letters only, and how many are not."""

from __future__ import annotations

from dataclasses import dataclass

from minigpt.records import Record
from minigpt.settings import Settings, setting
from minigpt.views.view import Answer, Question, View


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterCount(Record):
    """The tokens of a text, counted."""

    letters_only: int
    others: int


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """Asks for the count."""

    letters: bool = setting(False, help="Count letters.")


def _ask(question: Question) -> Answer:
    texts = [question.checkpoint.tokenizer.decode([token]) for token in question.ids]
    count = sum(text.strip().isalpha() for text in texts)
    return Answer(records=(LetterCount(letters_only=count, others=len(texts) - count),), text=question.text)


VIEW = View(record=LetterCount, ask=_ask, title="Letters", settings=Flags, asked_by=("letters",), takes=("track",))
'''

TABLE = '''"""The count of letters as a table."""

from collections.abc import Iterator

from rich.text import Text

from minigpt.render.face import Face
from minigpt.render.style import Screen
from minigpt.views import letters
from minigpt.views.view import Answer


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    for record in answer.records:
        yield Text(f"letters only {record.letters_only}, others {record.others}")


FACES = (Face(view=letters.VIEW, table=_table),)
'''

SCRIPT = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
import minigpt
from minigpt.cli.app import app
from minigpt.render.notebook import show
from minigpt.views.letters import LetterCount

def run(*arguments):
    result = CliRunner().invoke(app, ["inspect-probs", *arguments])
    return {"code": result.exit_code, "out": result.stdout, "err": result.stderr}

(model,) = sys.argv[1:]
page = Path("letters.html")
record = LetterCount(letters_only=3, others=1)
found = {
    "package": str(Path(minigpt.__file__).parent),
    "help": run("--help"),
    "table": run("the cat sat.", "--letters", "-c", model, "--html", str(page)),
    "page": page.read_text("utf-8"),
    "json": run("the cat sat.", "--letters", "-c", model, "--json"),
    "csv": run("the cat sat.", "--letters", "-c", model, "--csv"),
    "two": run("the cat sat.", "--letters", "--by-layer", "-c", model),
    "track": run("the cat sat.", "--track", " the", "-c", model),
    "suffix": run("the cat sat.", "--letters", "--suffix", "2", "-c", model),
    "notebook": record._repr_html_(),
    "shown": str(show([record])),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the package with one more view shows."""
    folder = tmp_path_factory.mktemp("copy")
    package = folder / "minigpt"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "views" / "letters.py").write_text(QUESTION, "utf-8")
    (package / "render" / "letters.py").write_text(TABLE, "utf-8")
    registry = package / "render" / "views.py"
    line = '    "attribution",\n'
    text = registry.read_text("utf-8")
    assert text.count(line) == 1
    registry.write_text(text.replace(line, line + '    "letters",\n'), "utf-8")
    command = [sys.executable, "-c", SCRIPT, str(trained)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, "COLUMNS": "80"})
    assert result.returncode == 0, result.stderr
    shown: dict[str, Any] = json.loads(result.stdout)
    assert Path(shown["package"]) == package
    return shown


def test_help_lists_the_flag(found: dict[str, Any]) -> None:
    assert found["help"]["code"] == 0
    assert "--letters" in found["help"]["out"]
    assert re.search(r"--history +RUN ", found["help"]["out"])  # as before, with what its value stands for
    assert "Count letters." in found["help"]["out"]


def test_the_table_is_printed(found: dict[str, Any]) -> None:
    assert found["table"]["code"] == 0, found["table"]["err"]
    assert re.fullmatch(r"letters only \d+, others \d+\n", found["table"]["out"])


def test_json_has_the_record_and_what_it_is_of(found: dict[str, Any]) -> None:
    record = json.loads(found["json"]["out"])
    assert f"letters only {record['letters_only']}, others {record['others']}\n" == found["table"]["out"]
    assert record["prompt"] == "the cat sat."
    assert record.keys() >= {"checkpoint", "version"}


def test_the_page_shows_the_table(found: dict[str, Any]) -> None:
    assert "Letters" in found["page"]
    assert found["table"]["out"].strip() in found["page"]


def test_a_notebook_shows_the_record(found: dict[str, Any]) -> None:
    assert found["shown"] == "letters only 3, others 1"
    assert "letters only 3, others 1" in found["notebook"]


def test_what_it_combines_with_is_known(found: dict[str, Any]) -> None:
    assert found["csv"]["code"] == found["two"]["code"] == found["track"]["code"] == found["suffix"]["code"] == 2
    assert "--letters has no --csv; --json has its numbers." in found["csv"]["err"]
    assert "--by-layer and --letters exclude each other." in found["two"]["err"]
    told = " ".join(found["track"]["err"].split())
    assert "--track goes with --history, --by-layer, --attribution, --letters, --without or --parts." in told
    assert "--suffix goes with --corpus SOURCE." in found["suffix"]["err"]
