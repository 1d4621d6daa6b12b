"""A view is printed as its lines, asked for the width that there is, or as JSON."""

import json

import pytest
from rich.text import Text

from minigpt.cli.view import print_view
from minigpt.render.screen import Screen


def lines(screen: Screen) -> list[Text]:
    return [Text("[/] " + "x" * 200, "red"), Text(f"{screen.width} columns")]


def test_lines_are_printed_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_view({"rows": 1}, lines, json=False)
    assert capsys.readouterr().out == "[/] " + "x" * 200 + "\n40 columns\n"


def test_json_asks_for_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    def none(screen: Screen) -> list[Text]:
        raise AssertionError("no screen is drawn for")

    print_view({"rows": [1, None]}, none, json=True)
    assert json.loads(capsys.readouterr().out) == {"rows": [1, None]}
