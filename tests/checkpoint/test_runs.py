"""Folders of runs: which is the newest, and what one says of its training."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.runs import RUNS, newest_run, read_log, read_run
from minigpt.errors import CheckpointError

RECORD = TrainRecord(
    step=0, tokens=0, epoch=0.0, seconds=0.1, tokens_per_second=0.0, loss_nats=None, learning_rate=0.0,
    gradient_norm=None, validation_loss_nats=5.5, validation_bits_per_byte=3.5,
)  # fmt: skip
RECORDS = [RECORD, *(replace(RECORD, step=step, loss_nats=5.0 - step, gradient_norm=1.0) for step in (1, 2))]
SOURCE = {"name": "notes.txt", "sha256": "aa", "size": 9, "documents": 1}
LINES = [json.dumps(asdict(record)) for record in RECORDS]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join(LINES) + "\n")
    corpus = {"sources": [SOURCE], "validation": "the last 10 %", "bytes_per_token": 2.5}
    (folder / "run.json").write_text(json.dumps({"corpus": corpus}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


# The log


def test_the_log_is_read_as_it_was_written(run: Path) -> None:
    assert read_log(run) == RECORDS
    assert read_log(run.parent) == []


@pytest.mark.parametrize("tail", ['{"step": 3, "tok', "{", "\x00\x00\x00", '{"step": 3}', '"\\ud8', ""])
def test_a_last_line_that_is_cut_off_is_left_out(run: Path, tail: str) -> None:
    (run / "train.jsonl").write_text("\n".join([*LINES, tail]))
    assert read_log(run) == RECORDS


def test_a_last_line_without_its_newline_counts_when_it_is_whole(run: Path) -> None:
    (run / "train.jsonl").write_text("\n".join(LINES))
    assert read_log(run) == RECORDS


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[1, 2]", "7", "", '{"step": "one"}', LINES[1].replace('"step": 1', '"step": null'),
     LINES[1].replace("4.0", '"four"'), LINES[1].replace('"step": 1', '"step": true'), "[" * 100_000,
     LINES[1].replace('"step": 1', '"step": NaN'), LINES[1].replace("4.0", "1" * 400)],
)  # fmt: skip
def test_a_damaged_line_in_between_is_told(run: Path, line: str) -> None:
    (run / "train.jsonl").write_text("\n".join([LINES[0], line, LINES[2]]) + "\n")
    with pytest.raises(CheckpointError, match=r"train\.jsonl line 2 is not a record"):
        read_log(run)


def test_what_is_no_number_is_none(run: Path) -> None:
    (run / "train.jsonl").write_text("\n".join([LINES[0], LINES[1].replace("4.0", "NaN"), LINES[2]]))
    assert [record.loss_nats for record in read_log(run)] == [None, None, 3.0]


def test_fields_of_a_later_version_do_no_harm(run: Path) -> None:
    (run / "train.jsonl").write_text(LINES[1].replace("{", '{"memory_bytes": 7, "notes": ["x"], ', 1) + "\n")
    assert read_log(run) == [RECORDS[1]]


# A run


def test_a_run_says_what_it_knows(run: Path) -> None:
    log = read_run(run)
    assert (log.name, log.records, log.bytes_per_token) == ("notes", tuple(RECORDS), 2.5)
    assert log.text is not None
    assert log.tokenizer is not None


@pytest.mark.parametrize("info", [{}, {"corpus": {}}, {"corpus": {"sources": [], "later": 1}}, {"later": [[]]}])
def test_what_run_json_does_not_say_is_not_known(run: Path, info: object) -> None:
    (run / "run.json").write_text(json.dumps(info))
    log = read_run(run)
    assert (log.bytes_per_token, log.text) == (None, None)


@pytest.mark.parametrize(
    ("info", "what"),
    [
        ({"corpus": None}, "corpus is null, where an object must be"),
        ({"corpus": {"bytes_per_token": 0}}, "corpus.bytes_per_token is 0.0, where a number above 0"),
        ({"corpus": {"sources": [SOURCE, 1]}}, r"corpus.sources\[1\] is 1, where an object must be"),
        ({"trained_longer": [{"steps": 9}]}, r"trained_longer\[0\] has no from_step"),
        ({"saved": {"step": -1}}, "saved.step is -1, where 0 or more must be"),
        ({"date": "yesterday"}, 'date is "yesterday", where a date must be'),
    ],
)
def test_a_damaged_run_json_is_told_with_the_place(run: Path, info: object, what: str) -> None:
    (run / "run.json").write_text(json.dumps(info))
    with pytest.raises(CheckpointError, match=rf"run\.json is damaged, or is not of this version of minigpt: {what}"):
        read_run(run)


def test_the_log_alone_will_do(run: Path) -> None:
    (run / "run.json").unlink()
    (run / "tokenizer.json").unlink()
    log = read_run(run)
    assert (log.bytes_per_token, log.text, log.tokenizer) == (None, None, None)


def test_a_folder_of_runs_names_them(run: Path) -> None:
    with pytest.raises(CheckpointError, match=r"contains no train\.jsonl with a record .*\nRuns in it: notes\.$"):
        read_run(run.parent)
    for number in range(11):
        shutil.copytree(run, run.parent / f"other-{number:02}")
    with pytest.raises(CheckpointError, match=r"\nRuns in it: notes, other-00, .*, other-08 and 2 more\.$"):
        read_run(run.parent)


@pytest.mark.parametrize("text", ["", "\n", '{"step"'])
def test_a_log_without_a_record_is_told(run: Path, text: str) -> None:
    (run / "train.jsonl").write_text(text)
    with pytest.raises(CheckpointError, match=r"contains no train\.jsonl with a record"):
        read_run(run)


def test_what_is_no_folder_is_told(run: Path) -> None:
    with pytest.raises(CheckpointError, match="is a file; a run's folder is needed"):
        read_run(run / "run.json")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_run(run / "none")


# Which run


def make_run(name: str, date: str | None, weights: bool = True) -> Path:
    folder = RUNS / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({} if date is None else {"date": date}))
    if weights:
        (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("elsewhere")
def test_the_newest_run_is_the_one_with_the_latest_date() -> None:
    make_run("z-first", "2025-01-01T00:00:00+00:00")
    latest = make_run("b", "2025-03-01T12:00:01+00:00")
    make_run("c", "2025-03-01T12:00:00+00:00")
    make_run("zz", None)
    make_run("not-trained-yet", "2026-01-01T00:00:00+00:00", weights=False)
    (RUNS / "stray").mkdir()
    (RUNS / "file").write_text("x")
    assert newest_run() == latest


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("exists", [True, False])
def test_without_a_run_there_is_advice(exists: bool) -> None:
    if exists:
        RUNS.mkdir()
    with pytest.raises(CheckpointError, match=r"no trained model .* yet. Train one with: minigpt train"):
        newest_run()


@pytest.mark.usefixtures("elsewhere")
def test_a_damaged_run_stands_in_nobodys_way() -> None:
    (make_run("a", None) / "run.json").write_text("{")
    good = make_run("b", "2026-01-01T00:00:00.000000+00:00")
    assert newest_run() == good
