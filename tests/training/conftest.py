"""A text in an empty folder, in which runs may be made."""

from pathlib import Path

import pytest

from minigpt.text.corpus import Corpus, read_corpus


@pytest.fixture
def text(tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text(corpus, "utf-8")
    return read_corpus(["notes.txt"])
