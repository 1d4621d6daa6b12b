"""A sample as it grows: text in a pipe, a table for every step, or a live one in a terminal."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from minigpt.render.live import LiveSample, print_every_table, show_live, stream_text
from minigpt.sampling.records import SampleEnd, StepRecord

TEXTS = [" the", "\n", " [/INST]", "\x1b[31m", " :smile:", " 速い", "\u202e"]


def end(text: str) -> SampleEnd:
    return SampleEnd(
        sample=0, prompt="The\x1b cat", text=text, tokens=7, seconds=1.0, tokens_per_second=7.0, bits_per_token=3.0,
        entropy_bits_per_token=4.0, top_token_share=0.5, stopped_by="max-tokens", seed=1,
    )  # fmt: skip


@pytest.fixture
def pieces(lecture: StepRecord) -> Iterator[tuple[bytes, StepRecord | SampleEnd]]:
    first = lecture.candidates[0]

    def made() -> Iterator[tuple[bytes, StepRecord | SampleEnd]]:
        for text in TEXTS:
            yield text.encode(), replace(lecture, token=replace(first, text=text), surprisal_bits=1.0)
        yield "…".encode(), end("The\x1b cat" + "".join(TEXTS) + "…")

    return made()


def console(width: int = 80, height: int = 25, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    environment = {"TERM": "xterm"}
    made = Console(file=file, width=width, height=height, force_terminal=terminal, color_system=None, highlight=False,
                   markup=False, emoji=False, legacy_windows=False, _environ=environment)  # fmt: skip
    return made, file


SAFE = "The<ESC> cat the\n [/INST]<ESC>[31m :smile: 速い<U+202E>…"


def test_into_a_pipe_goes_the_text_alone(pieces: Iterator[tuple[bytes, StepRecord | SampleEnd]]) -> None:
    made, file = console()
    record = stream_text(made, "The\x1b cat", pieces, 7)
    assert file.getvalue() == SAFE + "\n"
    assert record.tokens == 7


def test_a_table_for_every_step_and_the_text_behind_them(
    pieces: Iterator[tuple[bytes, StepRecord | SampleEnd]],
) -> None:
    made, file = console()
    print_every_table(made, "The\x1b cat", pieces, 7)
    text = file.getvalue()
    assert text.count(" rank  token") == len(TEXTS)
    assert text.startswith(" step 1 of 7 · after “The<ESC>␣cat”\n")
    assert " step 3 of 7 · after “⏎”" in text
    assert text.endswith(SAFE + "\n")
    assert "\x1b" not in text


def visible(text: str) -> str:
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize(("width", "height"), [(80, 25), (40, 25), (10, 5), (1, 1), (200, 60)])
def test_the_live_view_ends_with_the_text_whatever_the_screen(
    pieces: Iterator[tuple[bytes, StepRecord | SampleEnd]], width: int, height: int
) -> None:
    made, file = console(width, height, terminal=True)
    show_live(made, "The\x1b cat", pieces, 7)
    text = file.getvalue()
    assert "\x1b[31m" not in text
    assert "\u202e" not in text
    assert "\x1b[?25h" in text  # the cursor is back
    if width >= 80:
        assert "[/INST]<ESC>[31m :smile: 速い<U+202E>…" in visible(text)
        assert "step 7 of 7 · after “␣速い”" in visible(text)


def test_the_last_frame_has_the_speed_of_the_totals(pieces: Iterator[tuple[bytes, StepRecord | SampleEnd]]) -> None:
    made, file = console(terminal=True)
    show_live(made, "The\x1b cat", pieces, 7)
    *_, last = re.findall(r"step (\d) of 7 .*?([\d,]+) tokens/s", visible(file.getvalue()))
    assert last == ("7", "7")


def test_lines_that_are_full_go_to_the_history() -> None:
    made, file = console(20, 25, terminal=True)
    with LiveSample(made, "one two three four five six\nseven", 3) as view:
        assert view._line.plain == "seven"
    assert re.findall(r"one two three four|five six", visible(file.getvalue())) == ["one two three four", "five six"]


def test_a_long_prompt_on_one_line_is_wrapped_once() -> None:
    made, file = console(80, 25, terminal=True)
    with LiveSample(made, "word " * 20_000, 3):
        pass
    assert file.getvalue().count("word") >= 20_000


def test_a_frame_is_drawn_when_it_is_due_and_shows_all_that_is_new(lecture: StepRecord) -> None:
    seconds, record = [0.0], replace(lecture, token=lecture.candidates[0])
    made, file = console(terminal=True)
    with LiveSample(made, "a", 100, clock=lambda: seconds[0]) as view:
        drawn = []
        for step in range(1, 101):
            seconds[0] = step / 64  # a second has 64 steps and 8 frames
            before = file.tell()
            view.add(f"{step} ".encode(), record)
            if file.tell() > before:
                drawn.append(step)
                assert f"step {step} of 100 · after “␣the”" in visible(file.getvalue()[before:])
        assert drawn == list(range(8, 101, 8))
    assert "step 100 of 100" in visible(file.getvalue())  # what was not yet due is drawn at the end
    numbers = [int(number) for number in re.findall(r"\d+(?= )", view._line.plain)]
    assert numbers == list(range(numbers[0], 101))


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("height", [60, 24, 18, 16])
def test_a_small_screen_costs_rows_and_never_captions(lecture: StepRecord, width: int, height: int) -> None:
    made, _ = console(width, height, terminal=True)
    with LiveSample(made, "some words", 3, clock=lambda: 1.0) as view:
        view.add(b"", lecture)
    with made.capture() as capture:
        made.print(view)
    shown = visible(capture.get())
    assert shown.count("\n") <= height
    assert "= 100 %" in " ".join(shown.split())
    assert "other (" in shown or "other 50" in shown


def test_the_cursor_comes_back_when_the_sample_fails(lecture: StepRecord) -> None:
    made, file = console(terminal=True)

    def broken() -> Iterator[tuple[bytes, StepRecord | SampleEnd]]:
        yield b" the", lecture
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        show_live(made, "a", broken(), 2)
    assert file.getvalue().rstrip().endswith("\x1b[?25h")
