"""The command as a process: signals, pipes, terminals, encodings."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import load

Run = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[bytes]"]
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
HEAVY = ("torch", "tokenizers", "transformers", "numpy", "safetensors")
PATIENCE = 600  # seconds, for a machine that is busy with something else


def end(process: "subprocess.Popen[bytes]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, (out or b"").decode(), (err or b"").decode()


def wait_for(path: Path, lines: int) -> None:
    """Until a run has logged so many steps."""
    limit = time.monotonic() + PATIENCE
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < limit, f"{path} did not grow"
        time.sleep(0.02)


# Signals


def test_a_stopped_run_saves_what_it_has_learned(start: Start, notes: str, tiny: list[str]) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    runs = {
        number: start("train", notes, *tiny, "--steps", "1000000", "--eval-every", "999999", "--out", number.name)
        for number in numbers
    }
    for number, process in runs.items():
        wait_for(Path(number.name, "train.jsonl"), 30)
        process.send_signal(number)
    for number, process in runs.items():
        code, out, err = end(process)
        assert code == 128 + number, err
        assert f"stopped by {number.name}" in err
        assert "Traceback" not in err
        assert out.startswith(f"{number.name}: the best model, that of step ")
        info = json.loads(Path(number.name, "run.json").read_text())
        assert info["status"] == "stopped"
        assert info["saved"]["step"] > 0
        load(number.name)


def test_signals_that_were_ignored_stay_ignored(start: Start, notes: str, tiny: list[str]) -> None:
    process = start(shell=f"trap '' INT HUP; exec $M train {notes} {' '.join(tiny)} --steps 150 --out run")
    wait_for(Path("run/train.jsonl"), 5)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert code == 0, err
    assert out.startswith("run: the best model, that of step ")
    assert json.loads(Path("run/run.json").read_text())["status"] == "finished"


def test_ctrl_c_while_sampling_is_130_without_a_traceback(start: Start, trained: Path) -> None:
    process = start("sample", "a", "-c", str(trained), "-n", "1000000")
    assert process.stdout is not None
    assert process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert code == 130
    assert "Traceback" not in err


# Pipes and closed descriptors


def test_a_closed_pipe_ends_quietly(start: Start, trained: Path, notes: str, tiny: list[str]) -> None:
    lines = [
        f"$M sample a -c {trained} -n 100000 --json -q | head -1",
        f"$M inspect-probs --all --file {notes} -c {trained} --csv -q | head -1",
        f"$M train {notes} {' '.join(tiny)} --steps 1000000 --eval-every 999999 --json -q --out run | head -1",
    ]
    processes = [start(shell=f"{line}; exit ${{PIPESTATUS[0]}}") for line in lines]
    for process, expected in zip(processes, (0, 0, 141), strict=True):
        code, out, err = end(process)
        assert code == expected
        assert out.count("\n") == 1
        assert err == ""
    info = json.loads(Path("run/run.json").read_text())
    assert info["status"] == "stopped"
    assert info["saved"]["step"] > 0
    load("run")


def test_closed_and_full_outputs(start: Start, trained: Path) -> None:
    closed, no_input, full = (
        start(shell=f"$M sample a -c {trained} -n 2 -q >&-"),
        start(shell=f"$M sample -c {trained} -n 2 -q <&-"),
        start(shell=f"$M sample a -c {trained} -n 2 -q >/dev/full"),
    )
    assert end(closed) == (0, "", "")
    assert end(no_input)[0] == 0
    assert end(full) == (1, "", "minigpt sample: standard output cannot be written: No space left on device.\n")


def test_a_training_goes_on_where_its_progress_cannot_be_written(start: Start, notes: str, tiny: list[str]) -> None:
    done = start(shell=f"$M train {notes} {' '.join(tiny)} --steps 20 --learning-rate 0.01 --out run 2>/dev/full")
    code, out, _ = end(done)
    assert code == 0
    assert out.startswith("run: the best model, that of step 20, ")
    assert json.loads(Path("run/run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("arguments", ["--version", "--help", "sample --help"])
def test_help_that_nobody_reads_on_is_no_error(start: Start, arguments: str) -> None:
    lines = [f"$M {arguments} | {reader}; exit ${{PIPESTATUS[0]}}" for reader in ("true", "head -1 >/dev/null")]
    for done in [start(shell=line) for line in lines]:
        assert end(done) == (0, "", "")


def test_an_error_that_nobody_reads_is_still_one(start: Start) -> None:
    lines = [f"$M {arguments} 2>&1 | true; exit ${{PIPESTATUS[0]}}" for arguments in ("--nope", "sample a -c nowhere")]
    for done in [start(shell=line) for line in lines]:
        assert end(done) == (1, "", "")


@pytest.mark.parametrize("arguments", ["--version", "--help", "sample --help"])
def test_help_onto_a_full_disk_says_so(start: Start, arguments: str) -> None:
    done = start(shell=f"$M {arguments} >/dev/full")
    assert end(done) == (1, "", "minigpt: standard output cannot be written: No space left on device.\n")


def test_a_file_that_may_not_grow_leaves_nothing_behind(start: Start, notes: str, tiny: list[str]) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    process = start("train", notes, *tiny, "--steps", "3", "-q", "--out", "run", preexec_fn=limit)
    code, out, err = end(process)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "run/model.safetensors cannot be written" in err
    assert os.listdir() == []


def test_prompts_from_a_shell(minigpt: Run, trained: Path) -> None:
    sample = ("sample", "-c", str(trained), "-n", "1", "--json", "-q")
    echo, printf = minigpt(*sample, input="The cat\n"), minigpt(*sample, "-", input="The cat\n\n")
    prompts = [json.loads(result.stdout.splitlines()[-1])["prompt"] for result in (echo, printf)]
    assert prompts == ["The cat", "The cat\n"]


# Encodings


def test_an_ascii_locale_gets_ascii_and_reads_utf8(start: Start, trained: Path) -> None:
    table = start(
        "sample", "Straße 狐", "-c", str(trained), "-n", "2", "--table", "every", "--seed", "1", env=ASCII_LOCALE
    )
    raw = start("sample", "Straße 狐", "-c", str(trained), "-n", "2", "--raw", "-q", env={"PYTHONIOENCODING": "ascii"})
    code, out, err = end(table)
    assert code == 0, err
    assert (out + err).isascii()
    assert "rank  token" in out
    assert "#" in out
    assert r"\u2423" not in out  # the sign for a space
    assert r"Stra\xdfe \u72d0" in out
    assert raw.communicate(timeout=PATIENCE)[0].startswith("Straße 狐".encode())


# Terminals


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)


def test_a_terminal_gets_the_live_table(in_terminal: Run, trained: Path) -> None:
    code, sent = in_terminal("sample", "The cat", "-c", str(trained), "-n", "6", "--seed", "1")
    assert code == 0
    assert "\x1b[" in sent
    assert "The cat" in plain(sent)
    assert " step 6 of 6 · after “" in plain(sent)
    assert "drawn from" in plain(sent)
    assert "▸" in sent
    assert "again: --seed 1" in " ".join(plain(sent).split())
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")  # the cursor is shown again


def test_small_terminals_no_color_and_dumb_ones(in_terminal: Run, trained: Path) -> None:
    arguments = ("sample", "The cat", "-c", str(trained), "-n", "4", "--seed", "1")
    code, sent = in_terminal(*arguments, rows=5, columns=10, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", sent)
    code, sent = in_terminal(*arguments, TERM="dumb")
    assert code == 0
    assert "\x1b" not in sent
    assert sent.startswith("The cat")


def test_training_in_a_terminal_shows_a_bar(in_terminal: Run, notes: str, tiny: list[str]) -> None:
    code, sent = in_terminal("train", notes, *tiny, "--steps", "30", "--eval-every", "10", "--out", "run")
    assert code == 0
    assert "100%" in plain(sent)
    assert "step 30 of 30" in plain(sent)
    assert "minigpt sample -c run" in plain(sent)
    assert "Traceback" not in sent


def test_json_goes_to_its_file_while_the_terminal_shows_a_bar(in_terminal: Run, notes: str, tiny: list[str]) -> None:
    arguments = ("train", notes, *tiny, "--steps", "3", "--out", "run", "--json")
    with open("records.jsonl", "w", encoding="utf-8") as file:
        code, sent = in_terminal(*arguments, stdout=file)
    assert code == 0
    assert "100%" in plain(sent)
    assert '"step"' not in sent
    assert [json.loads(line)["step"] for line in Path("records.jsonl").read_text().splitlines()] == [0, 1, 2, 3]


# Help


def test_help_loads_nothing_heavy(start: Start) -> None:
    script = (
        "import sys; sys.argv = ['minigpt', *sys.argv[1:]]\n"
        "from minigpt.cli.app import main\n"
        "try: main()\n"
        f"finally: print(*sorted(set({HEAVY!r}) & set(sys.modules)), 'end', file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    for arguments in (["--help"], ["train", "--help"], ["sample", "-h"], ["inspect-probs", "--help"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=env)
        assert done.returncode == 0
        assert done.stderr.split() == ["end"]
        assert "minigpt" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["sample", "--help"], ["inspect-probs", "--help"]]
)
@pytest.mark.parametrize("columns", ["40", "80"])
def test_help_keeps_to_the_screen(minigpt: Callable[..., Any], arguments: list[str], columns: str) -> None:
    result = minigpt(*arguments, COLUMNS=columns)
    assert result.exit_code == 0
    assert "Usage: minigpt" in result.stdout
    assert "[bold]" not in result.stdout


def test_no_command_shows_the_help(minigpt: Callable[..., Any]) -> None:
    assert "Usage: minigpt" in minigpt().output


def test_no_width_is_no_reason_to_show_nothing(minigpt: Run, trained: Path) -> None:
    result = minigpt("inspect-probs", "The cat", "-c", str(trained), COLUMNS="0")
    assert "next token after" in result.stdout
    assert result.exit_code == 0


def test_ctrl_c_leaves_the_seed(start: Start, trained: Path) -> None:
    process = start("sample", "The cat", "-c", str(trained), "-n", "5000", "--pace", "20", "--seed", "41")
    assert process.stdout.read(7) == b"The cat"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert b"again: --seed 41" in err


# Ctrl-C while modules are imported


def test_until_a_command_runs_ctrl_c_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigpt import __main__ as entry
    from minigpt.cli import app
    from minigpt.cli.guard import guarded

    found: list[object] = []

    def main() -> None:
        found.append(signal.getsignal(signal.SIGINT))
        with guarded("sample", {}, {}):
            found.append(signal.getsignal(signal.SIGINT))

    monkeypatch.setattr(app, "main", main)
    before = signal.getsignal(signal.SIGINT)
    try:
        for given in (signal.default_int_handler, signal.SIG_IGN):  # nohup and a shell's & have it ignored
            signal.signal(signal.SIGINT, given)
            entry.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [signal.SIG_DFL, signal.default_int_handler, signal.SIG_IGN, signal.SIG_IGN]
