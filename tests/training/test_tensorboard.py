"""Event files, read back with TensorBoard's own reader."""

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from minigpt.checkpoint.records import TrainRecord
from minigpt.errors import OutputError, PackageError
from minigpt.training import tensorboard
from minigpt.training.tensorboard import check_installed, event_files

pytestmark = pytest.mark.torch

RECORD = TrainRecord(
    step=0, tokens=0, epoch=0.0, seconds=0.1, tokens_per_second=0.0, loss_nats=None, learning_rate=0.0,
    gradient_norm=None, validation_loss_nats=5.5, validation_bits_per_byte=3.5,
)  # fmt: skip
NEXT = replace(RECORD, step=1, loss_nats=5.25, validation_loss_nats=None, validation_bits_per_byte=None)


def write(folder: Path, *records: TrainRecord) -> None:
    with event_files(folder, {"name": "notes", "seed": 1}) as write_record:
        for record in records:
            write_record(record)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(name)]


def test_each_number_is_a_scalar_under_its_json_name(tmp_path: Path) -> None:
    write(tmp_path, RECORD, NEXT)
    assert scalars(tmp_path, "loss_nats") == [(1, 5.25)]
    assert scalars(tmp_path, "validation_loss_nats") == [(0, 5.5)]
    assert scalars(tmp_path, "validation_bits_per_byte") == [(0, 3.5)]
    assert "gradient_norm" not in read(tmp_path).Tags()["scalars"]  # it was null


def test_run_json_is_there_as_text(tmp_path: Path) -> None:
    write(tmp_path, RECORD)
    (event,) = read(tmp_path).Tensors("run.json/text_summary")
    assert b'    "name": "notes"' in event.tensor_proto.string_val[0]


def test_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, RECORD, replace(NEXT, loss_nats=float("nan")))
    assert "loss_nats" not in read(tmp_path).Tags()["scalars"]


def test_a_run_that_goes_on_replaces_the_steps_that_were_forgotten(tmp_path: Path) -> None:
    write(tmp_path, RECORD, *(replace(NEXT, step=step, loss_nats=float(step)) for step in range(1, 7)))
    write(tmp_path, *(replace(NEXT, step=step, loss_nats=step + 0.5) for step in range(4, 9)))
    assert scalars(tmp_path, "loss_nats") == [(1, 1), (2, 2), (3, 3), (4, 4.5), (5, 5.5), (6, 6.5), (7, 7.5), (8, 8.5)]


def test_nothing_is_made_where_nothing_comes(tmp_path: Path) -> None:
    write(tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(OutputError, match="tensorboard cannot be written"):
        write(tmp_path / "tensorboard", RECORD)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(PackageError, match=r"pip install -e '\.\[tensorboard\]'"):
        check_installed()
