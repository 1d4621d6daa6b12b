"""The display of a run: plain lines where nothing can be redrawn, whole pictures where it can."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from minigpt.checkpoint.records import TrainRecord
from minigpt.render.progress import TrainDisplay, overfitting, stopped_early
from minigpt.training.records import Overfitting

RECORD = TrainRecord(
    step=0, tokens=0, epoch=0.0, seconds=0.1, tokens_per_second=0.0, loss_nats=None, learning_rate=0.0,
    gradient_norm=None, validation_loss_nats=5.7, validation_bits_per_byte=2.52,
)  # fmt: skip


def record(step: int, loss: float, validation: float | None = None) -> TrainRecord:
    return TrainRecord(
        step=step, tokens=128 * step, epoch=step / 30, seconds=step * 0.5, tokens_per_second=8390.0, loss_nats=loss,
        learning_rate=1e-3, gradient_norm=1.0, validation_loss_nats=validation,
        validation_bits_per_byte=None if validation is None else validation / 2.2,
    )  # fmt: skip


def console(width: int = 80, *, terminal: bool = False, encoding: str = "utf-8") -> tuple[Console, Callable[[], str]]:
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", write_through=True)
    made = Console(
        file=file, width=width, height=25, force_terminal=terminal, color_system=None, legacy_windows=False,
        highlight=False, markup=False, emoji=False, _environ={"TERM": "xterm"},
    )  # fmt: skip
    return made, lambda: buffer.getvalue().decode(encoding)


OVERFITTING = Overfitting(
    now=record(60, 3.7), best=record(20, 5.0), weight_decay=0.1, dropout=0.0, more_decay=True, more_dropout=True,
    is_plannable=True,
)  # fmt: skip


def run(display: TrainDisplay, steps: int = 60) -> None:
    with display:
        display.update(RECORD)
        display.show_sample("\x1b[31mROMEO:\nWhat [bold]say[/bold] the lord :smile:")
        for step in range(1, steps + 1):
            display.update(record(step, 5.7 - step / 30, 5.6 - step / 40 if step % 20 == 0 else None))
        display.warn_overfitting(OVERFITTING)
        display.warn_overfitting(OVERFITTING)


def test_golden_plain_progress(golden: Callable[[str, str], None]) -> None:
    made, output = console()
    run(TrainDisplay(made, 60))
    golden("train_progress_plain", output().rstrip("\n"))


def test_into_a_pipe_goes_one_line_a_report_and_no_escape() -> None:
    made, output = console(40)
    run(TrainDisplay(made, 60))
    text = output()
    assert "\x1b" not in text
    assert "\r" not in text
    assert sum(line.startswith("step ") for line in text.splitlines()) == 4
    assert text.count("After 2.0 epochs the model is overfitting") == 1
    assert "that of epoch 0.7, is three or more evaluations old" in text
    assert "<ESC>[31mROMEO:⏎What [bold]say[/bold] the lord :smile:" in text


@pytest.mark.parametrize(
    ("seconds", "time"), [(0.6, "0:01/0:01"), (1.4, "0:01/0:01"), (4.0, "0:04, 0:03 over"), (64.0, "1:04, 1:03 over")]
)
def test_more_time_than_there_was_to_be_is_said_to_be_over(seconds: float, time: str) -> None:
    made, output = console()
    with TrainDisplay(made, 1, seconds=1.0) as display:
        display.update(replace(record(1, 3.0, 3.0), seconds=seconds))
    assert output().startswith(f"{time}  step 1  loss 3.000")
    live, shown = console(terminal=True)
    with TrainDisplay(live, 1, seconds=1.0) as display:
        display.update(replace(record(1, 3.0, 3.0), seconds=seconds))
    assert ("over" in shown()) == ("over" in time)
    assert "0:00 left" not in shown() or "over" not in time


def test_what_would_help_against_overfitting_depends_on_what_is_on_already() -> None:
    assert overfitting(OVERFITTING).endswith(
        "This run has weight decay 0.1 and no dropout: more --weight-decay, --dropout, a longer text, a smaller model "
        "or fewer epochs would help; --minutes plans a training that ends before it overfits."
    )
    assert "more --weight-decay, more --dropout, a longer" in overfitting(replace(OVERFITTING, dropout=0.1))
    both = {"weight_decay": 1.6, "dropout": 0.2, "more_decay": False, "more_dropout": False, "is_plannable": False}
    assert overfitting(replace(OVERFITTING, **both)).endswith(
        "This run has weight decay 1.6 and dropout 0.2: a longer text, a smaller model or fewer epochs would help."
    )


def test_an_early_end_is_told_with_steps_and_epochs() -> None:
    now, best = record(90, 3.0), record(60, 3.5)
    assert stopped_early(now, best, 600, 3) == (
        "stopped early, after step 90 of 600 and 3.0 epochs: the last 3 evaluations were no better than that of "
        "step 60, at epoch 2.0."
    )
    assert "the last evaluation was no better" in stopped_early(now, best, 600, 1)


def test_the_last_step_is_reported_without_validation_too() -> None:
    made, output = console()
    with TrainDisplay(made, 3) as display:
        for step in (1, 2, 3):
            display.update(record(step, 3.0))
    assert output().split("\n") == ["step 3/3  loss 3.000  epoch 0.10  8,390 tokens/s", ""]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_in_a_terminal_no_line_is_too_wide(width: int) -> None:
    made, _ = console(width, terminal=True)
    display = TrainDisplay(made, 60)
    for each in (RECORD, record(1, 5.0), record(20, 4.0, 4.1), record(60, 3.0, 3.5)):
        display.update(each)
        display.show_sample("速い茶色の狐 " * 30)
        with made.capture() as capture:
            made.print(display._render())
        assert all(cell_len(line) <= width for line in capture.get().split("\n"))


def test_in_a_terminal_it_shows_the_bar_the_rest_of_the_time_and_the_best() -> None:
    made, output = console(terminal=True)
    run(TrainDisplay(made, 60))
    text = output()
    assert "100%" in text
    assert "0:30, 0:00 left" in text
    assert "best at step 60, saved" in text
    assert "\x1b[31m" not in text


def test_of_a_time_the_steps_are_estimated_by_their_pace_and_its_end_is_the_end() -> None:
    made, output = console(terminal=True)
    with (display := TrainDisplay(made, 20, seconds=240)):
        display.update(RECORD)
        assert "step 0 of about 20" in shown(display, made)
        display.update(record(120, 3.7))  # after a minute
        assert "step 120 of about 480" in shown(display, made)
        assert "25% 1:00, 3:00 left" in shown(display, made)
        display.finish()
    end = output()[output().rindex("100%") :]
    assert end.splitlines()[0].rstrip() == "100% 1:00"
    assert "step 120 · " in end


def shown(display: TrainDisplay, made: Console) -> str:
    """What the display shows just now."""
    with made.capture() as capture:
        made.print(display._render())
    return capture.get()


def test_the_best_step_may_be_of_an_earlier_session() -> None:
    made, output = console(terminal=True)
    with (display := TrainDisplay(made, 60)):
        for earlier in (record(20, 5.0, 4.0), record(30, 5.0), record(40, 5.0, 4.5)):
            display.remember(earlier)
        display.update(record(60, 3.7, 4.2))
    assert "best at step 20, saved" in output()


@pytest.mark.parametrize("terminal", [False, True])
def test_an_ascii_terminal_gets_ascii(terminal: bool) -> None:
    made, output = console(terminal=terminal, encoding="ascii")
    run(TrainDisplay(made, 60))
    assert "step 60" in output()


def test_a_dumb_terminal_is_not_redrawn() -> None:
    file = io.StringIO()
    made = Console(file=file, force_terminal=True, width=80, color_system=None, _environ={"TERM": "dumb"})
    run(TrainDisplay(made, 60))
    assert "\x1b" not in file.getvalue()


def test_the_shown_loss_is_a_mean_and_the_rate_a_median() -> None:
    made, output = console()
    with TrainDisplay(made, 2) as display:
        display.update(record(1, 2.0))
        display.update(replace(record(2, 4.0), tokens_per_second=9.0))
    assert "loss 3.000" in output()
    assert "8,390 tokens/s" in output()


def test_every_line_of_the_sample_has_the_margin_of_the_others() -> None:
    made, _ = console(40, terminal=True)
    display = TrainDisplay(made, 60)
    display.update(RECORD)
    display.show_sample("bars and paths " * 9)
    with made.capture() as capture:
        made.print(display._render())
    *_, first, second, _ = (line.rstrip() for line in capture.get().split("\n"))
    assert (first, second) == (" “… and paths bars and paths bars and", " paths bars and paths bars and paths ”")
