"""`inspect-probs --history`: a row for each snapshot, in the terminal and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def history(minigpt: Run, trained: Path) -> Run:
    def run(*arguments: str) -> Any:
        return minigpt("inspect-probs", "The cat", "--history", str(trained), *arguments)

    return run


def test_every_snapshot_has_a_row_and_the_final_model_is_the_last(history: Run, trained: Path) -> None:
    rows = json.loads(history("--json").stdout)["rows"]
    kept = sorted(int(path.name.removeprefix("step-")) for path in (trained / "snapshots").iterdir())
    assert [row["step"] for row in rows[:-1]] == kept
    assert [row["final"] for row in rows] == [False] * len(kept) + [True]
    assert rows[-1]["divergence_bits"] == 0
    assert rows[0]["divergence_bits"] > 0
    assert {len(row["tracked"]) for row in rows} == {4}
    table = history().stdout
    assert table.startswith("    step  bits/byte  entropy  divergence")
    assert "final" in table


def test_the_last_row_is_what_the_run_says_now(history: Run, minigpt: Run, trained: Path) -> None:
    row = json.loads(history("--json", "--top", "3").stdout)["rows"][-1]
    (step,) = json.loads(minigpt("inspect-probs", "The cat", "-c", str(trained), "--top", "3", "--json").stdout)[
        "steps"
    ]
    assert [c["raw_prob"] for c in row["tracked"]] == [c["raw_prob"] for c in step["candidates"]]
    assert row["entropy_bits"] == step["entropy_bits"]


def test_tokens_are_tracked_by_text_or_number(history: Run) -> None:
    rows = json.loads(history("--json", "--track", " ", "--track", "#5", "--track", " ").stdout)["rows"]
    assert {(row["tracked"][0]["bytes"], row["tracked"][1]["id"]) for row in rows} == {("20", 5)}
    assert {len(row["tracked"]) for row in rows} == {2}


def test_by_layer_is_one_token_at_every_depth(history: Run) -> None:
    rows = json.loads(history("--by-layer", "--json").stdout)["rows"]
    assert {len(row["layers"]) for row in rows} == {2}  # the embeddings and one block
    assert len({token["id"] for row in rows for token in row["layers"]}) == 1
    final = json.loads(history("--json", "--top", "1").stdout)["rows"][-1]["tracked"][0]
    assert rows[-1]["layers"][-1]["raw_prob"] == pytest.approx(final["raw_prob"], abs=1e-6)
    assert history("--by-layer", "--track", " ").stdout.startswith("   layer")
    refused = history("--by-layer", "--track", " ", "--track", "#5")
    assert (refused.exit_code, "follows one token" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--track", "xyzxyz"), "tokens of this vocabulary"),
        (("--track", "#99999"), "is not a token"),
        (("--all",), "--all and --history exclude each other"),
        (("--csv",), "--history has no --csv"),
    ],
)
def test_what_does_not_go_with_it_is_refused(history: Run, arguments: tuple[str, ...], said: str) -> None:
    result = history(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_a_folder_without_snapshots_is_refused(minigpt: Run, checkpoint_folder: Path) -> None:
    result = minigpt("inspect-probs", "The", "--history", str(checkpoint_folder))
    assert result.exit_code == 1
    assert "holds no snapshots" in result.stderr


def test_a_folder_without_a_model_is_refused(minigpt: Run, trained: Path) -> None:
    result = minigpt("inspect-probs", "The", "--history", str(trained / "resume"))
    assert result.exit_code == 1
    assert f"{trained / 'resume'} holds no model: it has no config.json and no model.safetensors." in result.stderr


def test_track_alone_is_refused(minigpt: Run, trained: Path) -> None:
    result = minigpt("inspect-probs", "The", "-c", str(trained), "--track", " ")
    assert result.exit_code == 2
    assert "--track goes with --history" in result.stderr
