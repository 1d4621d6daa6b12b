"""`inspect-probs --against`: two checkpoints side by side, for what comes next and for a whole text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
TEXT = "The cat sat on the mat"


@pytest.fixture
def against(minigpt: Run, trained: Path) -> Run:
    def run(*arguments: str, other: Path | None = None) -> Any:
        second = other or trained / "snapshots" / "step-000000"
        return minigpt("inspect-probs", TEXT, "-c", str(trained), "--against", str(second), *arguments)

    return run


def test_what_comes_next_in_both(against: Run) -> None:
    result = against("--top", "3")
    assert result.exit_code == 0
    assert "run/step-000000" in result.stdout.splitlines()[0]
    assert "= 100 %" in " ".join(result.stdout.split())
    record = json.loads(against("--top", "3", "--json").stdout)
    assert len(record["tokens"]) == 3
    assert sum(token["raw_prob"] for token in record["tokens"]) + record["rest_raw_prob"] == pytest.approx(1)
    assert record["divergence_bits"] > 0


def test_a_whole_text_in_both(against: Run, minigpt: Run, trained: Path) -> None:
    document = json.loads(against("--all", "--json").stdout)
    alone = json.loads(minigpt("inspect-probs", TEXT, "-c", str(trained), "--all", "--json").stdout)
    costs = [span["surprisal_bits"] for span in document["spans"]]
    assert costs[0] is None
    assert costs[1:] == pytest.approx([step["surprisal_bits"] for step in alone["steps"][1:]])
    assert document["totals"]["bits_per_byte"] == pytest.approx(alone["bits_per_byte"])
    assert "is better" in against("--all").stdout


def test_different_vocabularies_meet_in_a_text_and_are_refused_for_what_comes_next(
    against: Run, checkpoint_folder: Path
) -> None:
    refused = against(other=checkpoint_folder)
    assert refused.exit_code == 1
    assert "different vocabularies" in refused.stderr
    assert refused.stderr.endswith(f" --against {checkpoint_folder} --all\n")
    spans = json.loads(against("--all", "--json", other=checkpoint_folder).stdout)["spans"]
    assert "".join(token["text"] for span in spans for token in span["other_tokens"]) == TEXT
    assert all(span["divergence_bits"] is None for span in spans)


def test_the_same_folder_twice_has_two_names(against: Run, trained: Path) -> None:
    heading = against(other=trained).stdout.splitlines()[0]
    assert "run (1)" in heading
    assert "run (2)" in heading


@pytest.mark.parametrize("flag", ["--boundary", "--csv"])
def test_what_does_not_go_with_it_is_refused(against: Run, flag: str) -> None:
    result = against(flag)
    assert result.exit_code == 2
    assert "--against" in result.stderr
