"""Loss curves: their unit, their means, and what is said where they do not compare."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.runs import RunLog
from minigpt.errors import CheckpointError, ConfigError
from minigpt.training.curves import cautions, loss_curves


def record(step: int, loss: float | None = None, validation: float | None = None) -> TrainRecord:
    return TrainRecord(
        step=step, tokens=step * 100, epoch=0.0, seconds=step / 2, tokens_per_second=0.0, loss_nats=loss,
        learning_rate=0.0, gradient_norm=None, validation_loss_nats=validation,
        validation_bits_per_byte=None if validation is None else validation / 2,
    )  # fmt: skip


def run(*records: TrainRecord, **changes: object) -> RunLog:
    log = RunLog(name="notes", records=records, bytes_per_token=4.0, text="text", tokenizer="bpe")
    return replace(log, **changes)  # type: ignore[arg-type]


RECORDS = (record(0, None, 6.0), record(1, 4.0), record(2, 2.0, 3.0), record(3, 1.0))


def ys(points: Sequence[tuple[float, float]]) -> list[float]:
    return [y for _, y in points]


def test_bits_per_byte_is_the_default_and_comes_from_the_bytes_of_a_token() -> None:
    (curves,) = loss_curves([run(*RECORDS)])
    assert curves.y == "bits_per_byte"
    assert curves.validation == ((0, 3.0), (2, 1.5))
    assert ys(curves.training) == pytest.approx([nats / math.log(2) / 4 for nats in (4, 2, 1)], abs=1e-12)


def test_nats_are_as_they_were_written() -> None:
    (curves,) = loss_curves([run(*RECORDS)], y="nats")
    assert (curves.training, curves.validation) == (((1, 4.0), (2, 2.0), (3, 1.0)), ((0, 6.0), (2, 3.0)))


@pytest.mark.parametrize(
    ("x", "places"), [("step", [1, 2, 3]), ("tokens", [100, 200, 300]), ("seconds", [0.5, 1, 1.5])]
)
def test_x_is_what_was_asked_for(x: str, places: list[float]) -> None:
    (curves,) = loss_curves([run(*RECORDS)], x=x)
    assert [place for place, _ in curves.training] == places
    assert curves.x == x


def test_a_logarithmic_axis_has_no_zero() -> None:
    (curves,) = loss_curves([run(*RECORDS)], log=True)
    assert curves.validation == ((2, 1.5),)


def test_a_point_is_the_mean_of_the_steps_around_it() -> None:
    losses = [8.0, 1.0, 3.0, 5.0, 7.0, 9.0]
    (curves,) = loss_curves([run(*(record(i, loss) for i, loss in enumerate(losses)))], y="nats", smooth=4)
    # Of four steps one stands before the point and two behind it; the first has none before it, the last none behind.
    assert ys(curves.training) == pytest.approx([8.0, 4.0, 4.0, 6.0, 7.0, 8.0])
    assert curves.smoothed_steps == 4


def test_a_straight_fall_stays_where_it_is() -> None:
    records = [record(i, 100.0 - i) for i in range(100)]
    (curves,) = loss_curves([run(*records)], y="nats", smooth=11)
    assert ys(curves.training)[:90] == pytest.approx([100.0 - i for i in range(90)])


def test_by_default_a_point_is_the_mean_of_a_fiftieth() -> None:
    def steps(count: int) -> int:
        return loss_curves([run(*(record(i, 1.0) for i in range(count)))])[0].smoothed_steps

    assert [steps(count) for count in (1, 40, 150, 1500)] == [1, 1, 3, 30]


def test_losses_that_are_no_numbers_leave_a_gap() -> None:
    (curves,) = loss_curves([run(record(1, 4.0), record(2, None), record(3, 2.0))], y="nats")
    assert curves.training == ((1, 4.0), (3, 2.0))


def test_without_the_bytes_of_a_token_the_training_loss_is_left_out_and_that_is_said() -> None:
    runs = [run(*RECORDS, bytes_per_token=None)]
    curves = loss_curves(runs)
    assert (curves[0].y, curves[0].training) == ("bits_per_byte", ())
    assert [sentence[:40] for sentence in cautions(runs, curves)] == [
        "notes: its run.json does not say how many bytes"[:40]
    ]


def test_nats_are_the_default_where_one_run_has_no_bits() -> None:
    runs = [run(*RECORDS), run(record(1, 2.0), bytes_per_token=None)]
    assert [curves.y for curves in loss_curves(runs)] == ["nats_per_token", "nats_per_token"]
    with pytest.raises(CheckpointError, match=r"notes has no loss in bits per byte to be plotted\.\nTry y=nats\."):
        loss_curves(runs, y="bits-per-byte")


def test_a_run_without_a_loss_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"notes has no loss in nats per token above step 0 to be plotted\.$"):
        loss_curves([run(record(0, None, 6.0))], y="nats", log=True)


def test_what_does_not_compare_is_said() -> None:
    def said(y: str, **changes: object) -> str:
        runs = [run(*RECORDS), run(*RECORDS, **changes)]
        return " ".join(cautions(runs, loss_curves(runs, y=y)))

    assert said("nats") == ""
    assert "different tokenizers" in said("nats", tokenizer="char")
    assert said("bits-per-byte", tokenizer="char") == ""
    assert "different texts" in said("bits-per-byte", text="another")
    assert said("bits-per-byte", text=None) == ""


@pytest.mark.parametrize("given", [{"x": "epochs"}, {"y": "bits"}])
def test_unknown_axes_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        loss_curves([run(*RECORDS)], **given)
