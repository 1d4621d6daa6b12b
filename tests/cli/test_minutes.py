"""`minigpt train` by the clock: its plan, its end, and how it goes on."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.runs import FINISHED
from minigpt.training.pace import MUON_RATE
from minigpt.training.speed import Speed

Run = Callable[..., Any]
SMALL = ["--layers", "1", "--heads", "1", "--width", "16", "--context", "16", "--batch-size", "2"]


def info(run: str = "run") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(run, "run.json").read_text())
    return loaded


def test_a_short_budget_trains_says_why_and_ends(minigpt: Run, notes: str) -> None:
    result = minigpt("train", notes, "--minutes", "0.1", *SMALL, "--out", "run")
    assert result.exit_code == 0, result.stderr
    said = re.sub(r"\s+", " ", result.stderr)
    assert re.search(r"0:0\d (from the start|of training)", said)
    assert re.search(r"bytes a token: (the text is seen|\d+% of the text)", said)
    assert "1 layer" in said
    assert info()["status"] in FINISHED
    assert info()["minutes"] == 0.1
    assert info()["train"]["muon_learning_rate"] == MUON_RATE
    assert 0 < info()["train"]["seconds"] < 6
    assert info()["seconds_taken"] < 6
    records = [json.loads(line) for line in Path("run/train.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == info()["steps_taken"]
    assert records[-1]["validation_loss_nats"] is not None


def test_settings_from_a_file_hold_by_the_clock_too(minigpt: Run, notes: str) -> None:
    Path("none.toml").write_text('positions = "none"\nmuon-learning-rate = 0.02\n')
    result = minigpt("train", notes, "--minutes", "0.05", *SMALL, "--config", "none.toml", "--out", "run", "-q")
    assert result.exit_code == 0, result.stderr
    assert (info()["train"]["positions"], info()["train"]["muon_learning_rate"]) == ("none", 0.02)
    assert not load(Path("run")).model.wpe.weight.any()
    assert "--positions none" in Path("run/README.md").read_text()
    refused = minigpt("train", "--resume", "run", "--positions", "learned")
    assert "--positions learned differs from this run's none" in refused.stderr


def test_a_finished_run_is_trained_longer_by_minutes_or_by_steps(minigpt: Run, notes: str) -> None:
    assert minigpt("train", notes, *SMALL, "--steps", "4", "--out", "run", "-q").exit_code == 0
    assert minigpt("train", "--resume", "run", "--minutes", "0.03", "-q").exit_code == 0
    taken = info()["steps_taken"]
    assert taken > 4
    assert info()["status"] in FINISHED
    assert "this run is finished" in minigpt("train", "--resume", "run").stdout
    card = Path("run/README.md")
    card.write_text(f"{card.read_text()}\nMine.\n")
    assert minigpt("train", "--resume", "run", "--steps", str(taken + 3), "-q").exit_code == 0
    assert info()["steps_taken"] == taken + 3
    told = card.read_text()
    by_minutes, mine, by_steps = (
        "--resume FOLDER --minutes 0.03",
        "\n\nMine.\n",
        f"--resume FOLDER --steps {taken + 3}\n",
    )
    assert [told.count(part) for part in (by_minutes, mine, by_steps)] == [1, 1, 1]
    assert told.index("from step 4 on") < told.index(by_minutes) < told.index(mine)
    assert told.endswith(by_steps)
    assert "this run is finished" in minigpt("train", "--resume", "run").stdout
    assert card.read_text() == told


def test_a_planned_run_ends_with_what_was_expected_of_it(
    minigpt: Run, notes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minigpt.training.law.Law.has_seen", lambda *_: True)  # also so small a training
    ended = minigpt("train", notes, "--minutes", "0.05", *SMALL, "--out", "run", "-q").stdout
    told = info()
    assert told["expected_bits_per_byte"] > 0
    reached = told["saved"]["validation_bits_per_byte"]
    both = f", expected {told['expected_bits_per_byte']:.2f}, reached {reached:.2f} bits per byte on the last 10 %"
    assert both in ended
    Path("run/run.json").write_text(json.dumps(told | {"status": "running"}))  # as if killed before the end was told
    assert both in minigpt("train", "--resume", "run", "-q").stdout
    assert info()["expected_bits_per_byte"] == told["expected_bits_per_byte"]
    longer = minigpt("train", "--resume", "run", "--steps", str(told["steps_taken"] + 3), "-q")
    assert longer.exit_code == 0, longer.stderr
    assert "planned" not in longer.stdout
    assert re.search(r", \d\.\d{3} bits per byte on the last 10 %", longer.stdout)


@pytest.mark.parametrize("kind", ["by steps", "of a given model", "of a baseline"])
def test_nothing_is_expected_of_a_run(
    kind: str, minigpt: Run, notes: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minigpt.training.law.Law.has_seen", lambda *_: True)
    flags = {
        "by steps": [*SMALL, "--steps", "2"],
        "of a given model": ["--from", str(trained), "--minutes", "0.05"],
        "of a baseline": ["--model", "lstm", "--layers", "1", "--width", "16", "--context", "16", "--minutes", "0.05"],
    }
    result = minigpt("train", notes, *flags[kind], "--out", "run", "-q")
    assert result.exit_code == 0, result.stderr
    assert info()["expected_bits_per_byte"] is None
    assert "planned" not in result.stdout


def test_a_card_says_nothing_of_what_was_refused_and_tells_40_from_4000(minigpt: Run, notes: str) -> None:
    assert minigpt("train", notes, *SMALL, "--steps", "2", "--out", "run", "-q").exit_code == 0
    state, kept = Path("run/resume/state.safetensors"), Path("run/resume/state.safetensors").read_bytes()
    state.write_bytes(b"")
    assert minigpt("train", "--resume", "run", "--steps", "30", "-q").exit_code == 1
    assert "trained longer" not in Path("run/README.md").read_text()
    state.write_bytes(kept)
    card = Path("run/README.md")
    card.write_text(f"{card.read_text()}\nIt was then trained longer, from step 2 on:\n\n"
                    "    minigpt train --resume FOLDER --steps 30\n")  # fmt: skip
    assert minigpt("train", "--resume", "run", "--steps", "3", "-q").exit_code == 0
    assert "--resume FOLDER --steps 3\n" in card.read_text()


def test_a_card_that_is_gone_is_not_missed(minigpt: Run, notes: str) -> None:
    assert minigpt("train", notes, *SMALL, "--steps", "2", "--out", "run", "-q").exit_code == 0
    Path("run/README.md").unlink()
    assert minigpt("train", "--resume", "run", "--steps", "3", "-q").exit_code == 0
    assert not Path("run/README.md").exists()


def test_a_card_tells_once_of_a_longer_training_that_was_killed(minigpt: Run, notes: str) -> None:
    assert minigpt("train", notes, *SMALL, "--steps", "2", "--out", "run", "-q").exit_code == 0
    before = Path("run/run.json").read_bytes()
    assert minigpt("train", "--resume", "run", "--steps", "3", "-q").exit_code == 0
    Path("run/run.json").write_bytes(before)  # as if killed before anything else was written
    assert minigpt("train", "--resume", "run", "--steps", "3", "-q").exit_code == 0
    assert Path("run/README.md").read_text().count("--resume FOLDER --steps 3") == 1


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is as fast at any load."""
    speed = Speed(((64, 60e9), (128, 100e9), (256, 170e9)))
    monkeypatch.setattr("minigpt.training.search.measure_speed", lambda *_: speed)


@pytest.mark.usefixtures("laptop")
def test_a_dry_run_shows_the_plan_and_makes_nothing(minigpt: Run, empty_folder: Path) -> None:
    result = minigpt("train", "--minutes", "2", "--dry-run")
    assert result.exit_code == 0
    assert re.search(r"\d:\d\d (from the start|of training)", result.stdout)
    assert re.search(r"about \d\.\d\d bits per byte expected", re.sub(r"\s+", " ", result.stdout))
    assert re.search(r" \d\.\d\d bits/byte\n", result.stdout)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.usefixtures("laptop")
def test_a_dry_run_as_json_is_a_way_a_line_the_chosen_one_first(minigpt: Run) -> None:
    result = minigpt("train", "--minutes", "2", "--dry-run", "--json")
    runs = [json.loads(line) for line in result.stdout.splitlines()]
    expected = [run["expected_bits_per_byte"] for run in runs]
    assert 1 < len(runs) <= 10
    assert [run["chosen"] for run in runs] == [True] + [False] * (len(runs) - 1)
    assert expected == sorted(expected)
    assert expected[-1] < 3.3  # the worst that was measured
    assert len({(run["layers"], run["width"], run["tokenizer"], run["vocab_size"]) for run in runs}) == len(runs)
    assert {"tokenizer", "width", "dropout", "weight_decay", "epochs", "tokens_per_second"} <= runs[0].keys()


@pytest.mark.parametrize("flags", [("--minutes", "2"), ("--minutes", "0.05", "--preset", "gpt2")], ids=" ".join)
@pytest.mark.usefixtures("laptop")
def test_nothing_is_expected_of_a_plan_whose_like_was_never_measured(
    minigpt: Run, notes: str, flags: tuple[str, ...]
) -> None:
    Path("short.txt").write_text(Path(notes).read_text()[:3000])
    lines = minigpt("train", "short.txt", *flags, "--dry-run", "--json").stdout.splitlines()
    [run] = [json.loads(line) for line in lines]
    assert (run["chosen"], run["expected_bits_per_byte"]) == (True, None)
    shown = minigpt("train", "short.txt", *flags, "--dry-run")
    assert shown.exit_code == 0
    assert "expected" not in shown.stdout


@pytest.mark.parametrize("flags", [["--weight-decay", "0.05"], ["--optimizer", "adamw"]])
@pytest.mark.usefixtures("laptop")
def test_weight_decay_is_chosen_only_where_it_was_measured_and_not_given(minigpt: Run, flags: list[str]) -> None:
    chosen = minigpt("train", "--minutes", "4", "--dry-run", "--json")
    assert max(json.loads(line)["weight_decay"] for line in chosen.stdout.splitlines()) > 0.1
    kept = minigpt("train", "--minutes", "4", "--dry-run", "--json", *flags)
    assert {json.loads(line)["weight_decay"] for line in kept.stdout.splitlines()} == {
        0.05 if "--weight-decay" in flags else 0.1
    }


def test_a_dry_run_by_steps_shows_the_size(minigpt: Run, notes: str, empty_folder: Path) -> None:
    result = minigpt("train", notes, *SMALL, "--steps", "7", "--dry-run")
    assert "1 layer × 16" in result.stdout
    assert "7 steps of 32 tokens" in result.stdout
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--minutes", "1", "--steps", "5"], "Give --minutes or --steps, not both."),
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--minutes", "nan"], "--minutes must be above 0"),
        (["--minutes", "-2"], "--minutes must be above 0"),
    ],
)
def test_contradictions_are_refused(minigpt: Run, notes: str, flags: list[str], message: str) -> None:
    result = minigpt("train", notes, *flags)
    assert result.exit_code == 2
    assert message in result.stderr


def test_other_minutes_are_refused_while_a_run_is_not_finished(minigpt: Run, notes: str) -> None:
    assert minigpt("train", notes, *SMALL, "--steps", "4", "--out", "run", "-q").exit_code == 0
    told = info() | {"status": "stopped", "minutes": 5.0}
    told["train"]["seconds"] = 290.0
    Path("run/run.json").write_text(json.dumps(told))
    result = minigpt("train", "--resume", "run", "--minutes", "6")
    assert result.exit_code == 2
    assert "This run (--minutes 5) is not finished: continue without --minutes." in result.stderr


def test_the_command_in_run_json_says_minutes_and_what_was_chosen(minigpt: Run, notes: str) -> None:
    assert minigpt("train", notes, "--minutes", "0.08", *SMALL, "--out", "run", "-q").exit_code == 0
    command = info()["command"]
    assert command[command.index("--minutes") + 1] == "0.08"
    assert "--steps" not in command
    assert "--seconds" not in command
    assert {"--tokenizer", "--dropout", "--learning-rate"} <= set(command)
