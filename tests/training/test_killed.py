"""Killed at random instants, again and again, a run can be loaded each time and ends as if nothing had happened.

As a program (`python test_killed.py`) it is what is killed and who kills: every start is a fork of a process that has
imported everything, so that ten starts take no longer than one.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.run_folder import load_state
from minigpt.cli.app import app
from minigpt.text.corpus import Corpus
from minigpt.training.run import build_model  # noqa: F401 (before the forks, as it takes long)

STEPS, KILLS, SEED = 400, 13, 20_260_101
NEW = ["notes.txt", "--layers", "2", "--heads", "2", "--width", "16", "--context", "16", "--batch-size", "2",
       "--vocab-size", "300", "--dropout", "0.1", "--steps", str(STEPS), "--eval-every", "40"]  # fmt: skip
TIMES = ("seconds", "tokens_per_second")


def start(*arguments: str) -> int:
    """The id of a process that runs `minigpt train`."""
    pid = os.fork()
    if pid == 0:
        code: object = 1
        try:
            app(["train", "-q", "--threads", "1", *arguments])
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code if isinstance(code, int) else 1)
    return pid


def logged(run: str) -> int:
    path = Path(run, "train.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def killed(pid: int, at_step: int, delay_seconds: float) -> bool:
    """Kill the process a little after it took that step; False if it had ended by itself."""
    while logged("parts") <= at_step and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.001)
    time.sleep(delay_seconds)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def kill_often() -> None:
    """Print a line for each kill: the step of the state that was left, and that of the model."""
    torch.set_num_threads(1)
    chance = random.Random(SEED)
    assert os.waitstatus_to_exitcode(os.waitpid(start(*NEW, "--out", "whole"), 0)[1]) == 0
    arguments = [*NEW, "--out", "parts"]
    for step in sorted(chance.sample(range(1, STEPS - 40), KILLS)):
        if killed(start(*arguments, "--save-every", "7"), step, chance.uniform(0, 0.03)):
            load("parts")
            # At once: what is left in the buffer, the next fork would print again.
            print(json.dumps({"kill_after": step, "state": load_state(Path("parts"))[1]["step"]}), flush=True)
        arguments = ["--resume", "parts"]
    assert os.waitstatus_to_exitcode(os.waitpid(start(*arguments), 0)[1]) == 0


def records(run: str) -> list[dict[str, float]]:
    lines = Path(run, "train.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]


def test_killed_at_random_instants_a_run_can_be_loaded_and_goes_on_to_the_bit(text: Corpus) -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(kills) >= 10
    assert sorted(kill["state"] for kill in kills) == [kill["state"] for kill in kills]  # nothing was lost again
    assert len({kill["state"] for kill in kills}) >= 5
    assert records("whole") == records("parts")
    for file in ("model.safetensors", "resume/state.safetensors"):
        whole, parts = (load_file(Path(run, file)) for run in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    whole, parts = ({str(path.relative_to(run)) for path in Path(run).rglob("*")} for run in ("whole", "parts"))
    assert whole == parts


if __name__ == "__main__":
    kill_often()
