"""A run that could not learn says so: at its end, in its status, in the list, and before its model is used."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minigpt.checkpoint.runs import RunInfo
from minigpt.cli.remarks import note_checkpoint, untrained
from minigpt.records import from_plain

Run = Callable[..., Any]
SHORT = {"steps_suffice": True}  # longer training would overfit
WORDS = "this model is untrained: it predicts no better than the frequencies of the tokens do."


def info(run: str = "run") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(run, "run.json").read_text())
    return loaded


def one_step(minigpt: Run, notes: str, tiny: list[str], *flags: str) -> Any:
    return minigpt("train", notes, *tiny, "--steps", "1", "--out", "run", *flags)


def told(result: Any) -> str:
    return " ".join(result.stderr.split())


def test_it_says_so_in_words_in_its_status_and_in_the_list(minigpt: Run, notes: str, tiny: list[str]) -> None:
    result = one_step(minigpt, notes, tiny)
    assert result.exit_code == 0
    assert f"note: 1 step was taken; {WORDS} Try --steps 600." in told(result)
    assert result.stdout.startswith("run: untrained, the model of step 1, ")
    assert "best" not in result.stdout
    assert info()["status"] == "untrained"
    assert info()["saved"]["validation_loss_nats"] >= info()["corpus"]["unigram_loss_nats"]
    [listed] = [json.loads(line) for line in minigpt("runs", "--dir", ".", "--json").stdout.splitlines()]
    assert listed["status"] == "untrained"
    assert minigpt("runs", "--dir", ".").stdout.splitlines()[1].endswith("untrained")


def test_it_is_said_as_json_is_written_too_and_quiet_keeps_it_in_the_result(
    minigpt: Run, notes: str, tiny: list[str]
) -> None:
    assert WORDS in told(one_step(minigpt, notes, tiny, "--json"))
    result = one_step(minigpt, notes, tiny, "--overwrite", "-q")
    assert result.stderr == ""
    assert result.stdout.startswith("run: untrained, ")


@pytest.mark.parametrize(
    "command",
    [
        ("sample", "the", "-n", "2"),
        ("inspect-probs", "the"),
        ("inspect-attention", "the cat sat"),
        ("inspect-embeddings", "the"),
        ("evaluate", "notes.txt"),
    ],
    ids=lambda command: command[0],
)
def test_it_is_said_before_the_model_is_used(minigpt: Run, notes: str, tiny: list[str], command: list[str]) -> None:
    one_step(minigpt, notes, tiny, "-q")
    Path("notes.txt").write_text("the cat sat on a mat")
    result = minigpt(*command, "-c", "run")
    assert result.exit_code == 0, result.stderr
    assert f"note: 1 step was taken; {WORDS}" in told(result)
    assert minigpt(*command, "-c", "run", "-q").stderr == ""


def test_nothing_is_said_of_a_model_that_has_learned(minigpt: Run, trained: Path) -> None:
    run = info(str(trained))
    assert run["status"] == "finished"
    assert run["saved"]["validation_loss_nats"] < run["corpus"]["unigram_loss_nats"]
    assert "untrained" not in minigpt("sample", "the", "-n", "2", "-c", str(trained)).stderr


def test_a_finetuning_of_few_steps_is_not_untrained(minigpt: Run, notes: str, trained: Path) -> None:
    result = minigpt("train", notes, "--from", str(trained), "--steps", "1", "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert "untrained" not in result.output
    assert info()["status"] == "finished"


def test_it_is_trained_longer_as_any_finished_run_is(minigpt: Run, notes: str, tiny: list[str]) -> None:
    one_step(minigpt, notes, tiny, "--learning-rate", "0.01", "-q")
    assert "this run is finished, after 1 step." in minigpt("train", "--resume", "run").stdout
    assert minigpt("train", "--resume", "run", "--steps", "40", "-q").exit_code == 0
    assert info()["status"] == "finished"


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ({"status": "untrained", "minutes": 0.5, "steps_taken": 1}, "only 1 step fitted; "),
        ({"status": "untrained", "minutes": 0.5, "steps_taken": 1}, "Try --minutes 3."),
        ({"status": "untrained", "minutes": 3.0, "steps_taken": 2}, "Try --minutes 30."),
        ({"status": "untrained", "minutes": 3.0, "steps_taken": 2, "train": SHORT}, "2 steps were taken; "),
        ({"status": "untrained", "minutes": 3.0, "steps_taken": 2, "train": SHORT}, "More text would help."),
        ({"status": "untrained", "minutes": None, "steps_taken": 5}, "Try --steps 600."),
        ({"status": "untrained", "minutes": None, "steps_taken": 5000}, "5,000 steps were taken; "),
        ({"status": "untrained", "minutes": None, "steps_taken": 5000}, "nothing to learn"),
        ({"status": "stopped", "minutes": 3.0, "steps_taken": 2}, "Continue with: minigpt train --resume 'my run'"),
        ({"status": "running"}, "0 steps were taken; "),
    ],
)
def test_the_advice_fits_the_run(values: dict[str, Any], advice: str) -> None:
    assert advice in untrained(from_plain(RunInfo, values, exact=False), Path("my run"))


UNIGRAMS = ("null", '"5"', "true", "[]", "NaN", "{")


@pytest.mark.parametrize(("unigram", "warns"), [("5.0", True), *((unigram, False) for unigram in UNIGRAMS)])
def test_a_damaged_run_json_is_no_reason_to_warn(
    unigram: str, warns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = list[str]()
    monkeypatch.setattr("minigpt.cli.remarks.note", lambda *sentences: notes.extend(sentences))
    (tmp_path / "run.json").write_text(f'{{"corpus": {{"unigram_loss_nats": {unigram}}}}}')
    note_checkpoint(SimpleNamespace(notes=(), path=tmp_path))  # type: ignore[arg-type]
    assert bool(notes) is warns
