"""A comparison's folder gives back what was kept, and says what is wrong with one that does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt.app.compare_run import new_contest
from minigpt.contest.comparison import COMPARISON, claim_comparison, newest_comparison, open_comparison
from minigpt.contest.contest import Contest
from minigpt.errors import CheckpointError, OutputError
from minigpt.settings import ContestSettings, CorpusSettings, Machine


def test_what_is_kept_comes_back(contest: Callable[..., Contest]) -> None:
    begun = contest()
    comparison, plan = open_comparison(begun.folder)
    assert comparison == begun.comparison
    assert plan.tokenizer.vocab_size == comparison.vocab_size
    assert len(plan.data.train) > len(plan.data.validation) > 1


def test_a_damaged_one_is_refused(contest: Callable[..., Contest]) -> None:
    folder = contest().folder
    (folder / COMPARISON).write_text('{"name": "notes"}')
    with pytest.raises(CheckpointError, match="is damaged, or is not of this version of minigpt"):
        open_comparison(folder)


def test_a_folder_without_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="contains no comparison"):
        open_comparison(tmp_path)
    with pytest.raises(CheckpointError, match="There is no comparison in"):
        newest_comparison(tmp_path)


def test_the_newest_is_the_one_that_was_measured_last(contest: Callable[..., Contest], tmp_path: Path) -> None:
    folder = contest().folder
    assert newest_comparison(tmp_path) == folder


def test_a_folder_that_holds_one_is_not_taken_again(contest: Callable[..., Contest], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"already holds a comparison\. Continue it with: minigpt compare --resume"):
        claim_comparison("notes", contest().folder)
    assert claim_comparison("notes", tmp_path / "new").is_dir()


def test_a_folder_that_holds_a_run_is_refused_before_all_the_work(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    nowhere = CorpusSettings(corpus=("nowhere.txt",))
    with pytest.raises(OutputError, match=r"already holds a run\. Choose another folder\.$"):
        new_contest(nowhere, ContestSettings(out=tmp_path), Machine(), lambda *stage: lambda done: None)
