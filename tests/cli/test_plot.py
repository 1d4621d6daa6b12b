"""`minigpt plot`: runs in, curves out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_a_plot_is_as_wide_as_the_screen(minigpt: Run, trained: Path) -> None:
    for width in (40, 80, 160):
        result = minigpt("plot", str(trained), COLUMNS=str(width))
        assert result.exit_code == 0, result.stderr
        lines = result.stdout.splitlines()
        assert max(map(len, lines)) == width
        assert "run: ⠒⠒ training · ● validation, lowest" in " ".join(result.stdout.split())
        assert "\x1b" not in result.output
        assert result.stderr == ""


def test_the_newest_run_is_the_default(minigpt: Run, trained: Path) -> None:
    assert "or name the folder of a run." in minigpt("plot").stderr
    shutil.copytree(trained, "checkpoints/notes")
    assert " notes: " in minigpt("plot").stdout


def test_a_terminal_without_unicode_gets_ascii(start: Run, trained: Path) -> None:
    process = start("plot", str(trained), env={"PYTHONIOENCODING": "ascii"})
    out, _ = process.communicate(timeout=600)
    assert out.isascii()
    assert b"o validation" in out


def test_json_is_a_line_a_run(minigpt: Run, trained: Path) -> None:
    shutil.copytree(trained, "other")
    result = minigpt("plot", str(trained), "other", "--json", "--x", "tokens", "--y", "nats", "--smooth", "1")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["run"], second["run"]) == ("run", "other")
    assert (first["x"], first["y"], first["smoothed_steps"]) == ("tokens", "nats_per_token", 1)
    log = [json.loads(line) for line in (trained / "train.jsonl").read_text().splitlines()]
    assert first["training"] == [[r["tokens"], r["loss_nats"]] for r in log[1:]]
    assert first["validation"][0] == [0, log[0]["validation_loss_nats"]]


def test_bits_per_byte_of_training_come_from_run_json(minigpt: Run, trained: Path) -> None:
    (curves,) = map(json.loads, minigpt("plot", str(trained), "--json").stdout.splitlines())
    assert curves["y"] == "bits_per_byte"
    assert len(curves["training"]) == 20
    # Of the same text and model, both losses fall alike.
    assert curves["training"][-1][1] == pytest.approx(curves["validation"][-1][1], rel=0.2)


@pytest.mark.parametrize("name", ["losses.svg", "losses.PNG"])
def test_out_writes_a_picture(minigpt: Run, trained: Path, name: str) -> None:
    result = minigpt("plot", str(trained), "--out", name, "--log")
    assert (result.exit_code, result.stdout) == (0, f"{name}\n")
    assert Path(name).read_bytes()[:5] in (b"<?xml", b"\x89PNG\r")


def test_a_run_that_is_being_written_is_plotted(minigpt: Run, trained: Path) -> None:
    log = (trained / "train.jsonl").read_bytes()
    Path("run").mkdir()
    Path("run/train.jsonl").write_bytes(log[: len(log) // 2])
    result = minigpt("plot", "run", "--y", "nats")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none does not exist; a run's folder is needed"),
        (["file"], "file is a file"),
        (["empty"], "empty contains no train.jsonl"),
        (["RUN", "--out", "a.gif"], "--out a.gif must end in .svg or .png."),
        (["RUN", "--out", "none/a.svg"], "none/a.svg cannot be written: No such file or directory."),
        (["RUN", "--out", "a.svg", "--json"], "--json and --out exclude each other."),
        (["RUN", "--x", "epoch"], "--x must be step, tokens or seconds, not epoch."),
        (["RUN", "--y", "bits"], "--y must be bits-per-byte or nats, not bits."),
    ],
)
def test_mistakes_are_one_clear_line(minigpt: Run, trained: Path, arguments: list[str], message: str) -> None:
    Path("file").write_text("x")
    Path("empty").mkdir()
    result = minigpt("plot", *(str(trained) if word == "RUN" else word for word in arguments))
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith(f"minigpt plot: {message}")
    assert result.stdout == ""
