"""Lines are printed as they are, for the width that there is."""

import pytest
from rich.text import Text

from minigpt.cli.console import print_lines
from minigpt.render.style import Screen


def lines(screen: Screen) -> list[Text]:
    return [Text("[/] " + "x" * 200, "red"), Text(f"{screen.width} columns")]


def test_lines_are_printed_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_lines(lines)
    assert capsys.readouterr().out == "[/] " + "x" * 200 + "\n40 columns\n"
