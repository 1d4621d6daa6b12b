"""Two processes on one machine train as one does: losses, states and commands, by DDP and with sharded weights.

Run as a script, this file is one of two such processes.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.claim import claim
from minigpt.checkpoint.run_folder import OthersFolder, RunFolder, load_state
from minigpt.errors import ConfigError
from minigpt.models.gpt import GPT
from minigpt.models.kinds import give_positions
from minigpt.settings import Choices, ModelConfig, TrainConfig
from minigpt.text.corpus import Corpus
from minigpt.text.shards import TokenData
from minigpt.training.distributed import _Replicas, _Shards, join
from minigpt.training.loop import Trainer
from minigpt.training.plan import make_plan
from minigpt.training.ranks import ALONE, Ranks
from minigpt.training.resume import _shared_ids
from minigpt.training.run import build_model, model_card, run, run_info
from minigpt.training.step import random_batch

V = 41
CPU = torch.device("cpu")
KINDS = ("replicas", "shards")
NUMBERS = ("loss_nats", "gradient_norm", "validation_loss_nats", "validation_bits_per_byte", "tokens")


@dataclass(frozen=True)
class Case:
    """A training, to be done by one process and by two."""

    config: TrainConfig
    dropout: float = 0.0


# At Muon's default rate of 0.03 with its steep quintics, weights that differ by one part in ten million lead to losses
# that differ by 2e-3 after 50 steps, in one process too; at 0.01 by 5e-7.
TAME = {"learning_rate": 3e-3, "muon_learning_rate": 0.01, "precision": "float32"}
SETTINGS = TrainConfig(steps=50, batch_size=8, warmup_steps=5, eval_every=10, **TAME)
CASES = {
    "muon": Case(SETTINGS),
    "adamw": Case(replace(SETTINGS, optimizer="adamw")),
    "accumulation": Case(replace(SETTINGS, accumulation=3, batch_size=4, steps=12)),
    "positions": Case(replace(SETTINGS, positions="sinusoidal", steps=12)),
}
DROPOUT = Case(replace(SETTINGS, steps=6), dropout=0.2)


def ids() -> TokenData:
    """Of the validation windows, nine are whole and one is not: two ranks cannot share them equally."""
    walk = (np.random.default_rng(0).integers(0, 4, 1200).cumsum() % V).astype(np.uint16)
    return TokenData(walk[:-151], walk[-151:])


def trainer(case: Case, ranks: Ranks) -> Trainer:
    shape = ModelConfig(vocab_size=V, context=16, layers=2, heads=2, width=24, dropout=case.dropout)
    model = give_positions(GPT(shape).initialise(torch.Generator().manual_seed(1)), case.config.positions)
    return Trainer(ranks.place(model, CPU), ids(), case.config, np.ones(V, dtype=np.int64), ranks)


def half_way(case: Case, folder: Path) -> Path:
    return folder / f"{case.config.steps // 2}.safetensors"


def trained(case: Case, ranks: Ranks, folder: Path) -> dict[str, list[float | None]]:
    """What the records say. The states half way, after an evaluation, and at the end are kept in `folder`."""
    training, records = trainer(case, ranks), []
    for record in training.records():
        records.append(record)
        if record.step in (case.config.steps // 2, case.config.steps):
            tensors, values = training.state()
            if ranks.is_main:
                file = folder / f"{record.step}.safetensors"
                folder.mkdir(parents=True, exist_ok=True)
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
                Path(f"{file}.json").write_text(json.dumps(values))
    return {name: [getattr(record, name) for record in records] for name in NUMBERS}


def gone_on(case: Case, ranks: Ranks, state: Path) -> list[float | None]:
    """The losses after `state`, which another number of processes left."""
    training = trainer(case, ranks)
    training.restore(load_file(state) if ranks.is_main else {}, json.loads(Path(f"{state}.json").read_text()))
    return [record.loss_nats for record in training.records()]


# What each of two processes does


def two_ranks(folder: Path) -> None:
    with join(shard=True) as shards:
        results: dict[str, Any] = {"together": things_together(shards, folder)}
        for kind, ranks in zip(KINDS, (_Replicas(), shards), strict=True):
            results[kind] = {name: trained(case, ranks, folder / kind / name) for name, case in CASES.items()}
            results[kind]["gone on"] = gone_on(CASES["muon"], ranks, half_way(CASES["muon"], folder / "alone" / "muon"))
            results[kind]["dropout"] = [trained(DROPOUT, ranks, folder / "dropout")["loss_nats"] for _ in range(2)]
            draw = float(torch.rand(1))
            results[kind]["draws differ"] = ranks.highest(draw) != -ranks.highest(-draw)
        if shards.is_main:
            (folder / "results.json").write_text(json.dumps(results))


def things_together(ranks: Ranks, folder: Path) -> dict[str, Any]:
    first = ranks.is_main

    def fails_on_the_second() -> None:
        if not first:
            raise ConfigError("no such thing here")

    try:
        ranks.together(fails_on_the_second)
        message = ""
    except ConfigError as error:
        message = str(error)
    whole = ids() if first else TokenData(ids().train[:0], ids().validation[:0])
    unseen = _shared_ids(ranks, whole, OthersFolder(folder / "nowhere", None, {"date": "2026"}))  # type: ignore[arg-type]
    same = all(np.array_equal(getattr(unseen, part)[:], getattr(ids(), part)) for part in ("train", "validation"))
    x, _ = random_batch(unseen.train, 2, 16, torch.Generator().manual_seed(0))
    same = same and x.equal(random_batch(ids().train, 2, 16, torch.Generator().manual_seed(0))[0])
    return {
        "message": message,
        "total": ranks.total(1.5 + ranks.rank),
        "agree": ranks.agree(ranks.rank + 7),
        "broadcast": ranks.broadcast({"ü": [1, None]} if first else None),
        "ids": ranks.total(same and unseen.train.dtype == np.uint16),
        "none": len(ranks.ids(np.zeros(0, np.uint32))),
        "device": str(ranks.device("auto")),
    }


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


Pair = list["subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def pair() -> Iterator[Callable[..., Pair]]:
    """Start a command as two processes that know each other, as torchrun does."""
    begun: Pair = []

    def start(*command: str) -> Pair:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        env |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "CUDA_VISIBLE_DEVICES": ""}
        two = [
            subprocess.Popen(
                [sys.executable, *command], env={**env, "RANK": rank, "LOCAL_RANK": rank}, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for rank in "01"
        ]  # fmt: skip
        begun.extend(two)
        return two

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(two: Pair) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    ends = []
    for process in two:
        out, err = process.communicate(timeout=600)
        ends.append((process.returncode, out, err))
    return ends


# The same numbers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, dict[str, list[float | None]]]:
    """What one process measures in each case."""
    return {name: trained(case, ALONE, folder / "alone" / name) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def together(folder: Path, alone: object, pair: Callable[..., Pair]) -> dict[str, Any]:
    """What two processes measured."""
    assert [(code, out, err) for code, out, err in ended(pair(__file__, str(folder)))] == [(0, "", "")] * 2
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def assert_close(left: Sequence[float | None], right: Sequence[float | None], within: float = 1e-4) -> None:
    assert len(left) == len(right)
    assert [value is None for value in left] == [value is None for value in right]
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    assert pairs
    assert max(abs(a - b) for a, b in pairs) < within


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_measure_what_one_does(kind: str, name: str, alone: Any, together: Any) -> None:
    assert len(alone[name]["loss_nats"]) == CASES[name].config.steps + 1
    for number in NUMBERS:
        assert_close(alone[name][number], together[kind][name][number])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_states_do_not_depend_on_the_number_of_processes(kind: str, name: str, folder: Path, together: Any) -> None:
    for file in sorted((folder / "alone" / name).glob("*.safetensors")):
        one, two = load_file(file), load_file(folder / kind / name / file.name)
        assert one.keys() == two.keys()
        for tensor, value in one.items():
            torch.testing.assert_close(two[tensor], value, atol=1e-4, rtol=1e-3, msg=f"{file.name}: {tensor}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_two_processes_kept_one_goes_on_with(kind: str, folder: Path, alone: Any, together: Any) -> None:
    for name, case in CASES.items():
        losses = gone_on(case, ALONE, half_way(case, folder / kind / name))
        assert_close(losses, alone[name]["loss_nats"][-len(losses) :])
        assert len(losses) == case.config.steps // 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_process_kept_two_go_on_with(kind: str, alone: Any, together: Any) -> None:
    assert_close(together[kind]["gone on"], alone["muon"]["loss_nats"][-25:])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_another_on_each_rank_and_reproducible(kind: str, together: Any) -> None:
    first, again = together[kind]["dropout"]
    assert first == again
    assert together[kind]["draws differ"] is True


def test_what_is_done_together(together: Any) -> None:
    assert together["together"] == {
        "message": "Process 1: no such thing here",
        "total": 4.0,
        "agree": 7.0,
        "broadcast": {"ü": [1, None]},
        "ids": 2.0,
        "none": 0,
        "device": "cpu",
    }


def test_a_process_alone_needs_no_launcher_but_cannot_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    with join() as ranks:
        assert ranks is ALONE
    with pytest.raises(ConfigError, match=r"(?s)shard= .* torchrun"), join(shard=True):
        pass
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    with join(shard=True) as ranks:
        assert ranks is ALONE


# The command

SHAPE = {"layers": 1, "heads": 2, "width": 16, "context": 16, "batch_size": 4, "vocab_size": 300}
STEPS = 60
ASKED = {**SHAPE, "steps": STEPS, "eval_every": 20, **TAME}
TRAIN = ["-m", "minigpt", "train"]
TRAIN += [part for name, value in ASKED.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def one_process(text: Corpus, name: str, stop_after: int = STEPS) -> Path:
    """A run as the command makes it, of this process alone."""
    settings = TrainConfig(steps=STEPS, eval_every=20, **TAME)
    choices = Choices(**SHAPE, learning_rate=TAME["learning_rate"]).filled()
    plan = make_plan(text, None, choices, settings)
    model = build_model(plan)
    path = claim("", Path(name), overwrite=False)
    folder = RunFolder(path, plan.tokenizer, run_info(plan, choices, CPU))
    folder.start(model, model_card(plan), plan.data)
    steps: list[int] = []
    for record, _ in run(plan, model, folder, lambda: stop_after in steps):
        steps.append(record.step)
    return path


def losses(path: Path) -> list[float | None]:
    return [json.loads(line)["loss_nats"] for line in (path / "train.jsonl").read_text().splitlines()]


def until(process: "subprocess.Popen[str]", step: int) -> None:
    """Read what a process shows until it has taken a step."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step ") and int(line.split()[1].split("/")[0].replace(",", "")) >= step:
            return
    raise AssertionError("ended before that step")


def test_only_a_gpt_is_sharded(make_baseline: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"the blocks of a GPT: leave it out for model=lstm\.$"):
        _Shards.place(Mock(size=2), make_baseline("lstm", 20), torch.device("cpu"))


def test_torchrun_stops_a_sharded_run_that_one_process_goes_on_with(text: Corpus, minigpt: Any) -> None:
    whole = one_process(text, "whole")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    flags = ["notes.txt", "--shard", "--out", "parts", "--eval-every", "5"]
    process = subprocess.Popen(
        [sys.executable, "-m", *launcher, *TRAIN, *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(process, 5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 1  # torchrun's own, whatever its processes say
    assert [name for name in ("RuntimeError", "minigpt train:") if name in err] == []
    assert err.count("stopped by SIGTERM; the run is saved") == 1
    assert out.count("the best model, that of step") == 1
    assert sorted(p.name for p in Path().iterdir()) == ["notes.txt", "parts", "whole"]
    assert load_state(Path("parts"))[0].keys() == load_state(whole)[0].keys()
    assert 5 < len(losses(Path("parts"))) < STEPS + 1
    on = minigpt("train", "-q", "--resume", "parts")
    assert (on.exit_code, on.stderr) == (0, "")
    assert_close(losses(Path("parts")), losses(whole))
    one, two = (load_file(path / "model.safetensors") for path in (whole, Path("parts")))
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-3


def test_two_processes_go_on_with_the_run_of_one_and_only_the_first_shows(text: Corpus, pair: Any) -> None:
    whole, parts = one_process(text, "whole"), one_process(text, "parts", stop_after=30)
    before = len(losses(parts))
    (code, out, err), other = ended(pair("-m", "minigpt", "train", "--resume", "parts"))
    assert (code, other) == (0, (0, "", ""))
    assert "continuing parts" in err
    assert err.count(f"step {STEPS}/{STEPS}") == out.count("parts: ") == 1
    assert before < len(losses(whole)) == len(losses(parts))
    assert_close(losses(parts), losses(whole))
    assert sorted(p.name for p in parts.iterdir()) == sorted(p.name for p in whole.iterdir())


@pytest.mark.parametrize("freeze", ["0", "1"])
@pytest.mark.parametrize("flags", [[], ["--shard"]], ids=KINDS)
def test_two_processes_train_a_given_model_further_as_one_does(
    text: Corpus, minigpt: Any, pair: Any, flags: list[str], freeze: str
) -> None:
    one_process(text, "given")
    command = ["train", "notes.txt", "--from", "given", "-q", "--steps", "6", "--batch-size", "8"]
    command += ["--precision", "float32", "--gradient-checkpointing", "--freeze", freeze]
    assert minigpt(*command, "--out", "whole").exit_code == 0
    (code, _, err), other = ended(pair("-m", "minigpt", *command, *flags, "--out", "parts"))
    assert (code, err, other) == (0, "", (0, "", ""))
    assert_close(losses(Path("parts")), losses(Path("whole")))


def test_a_signal_to_one_process_stops_both(text: Corpus, pair: Any) -> None:
    two = pair(*TRAIN, "notes.txt", "--out", "run", "--steps", "100000")
    until(two[0], 3)
    two[1].send_signal(signal.SIGHUP)
    (code, _, err), other = ended(two)
    assert (code, other) == (128 + signal.SIGHUP, (128 + signal.SIGHUP, "", ""))
    assert err.endswith("note: stopped by SIGHUP; the run is saved. Continue with: minigpt train --resume run\n")


def test_a_process_that_dies_ends_the_other_with_one_clear_line(text: Corpus, pair: Any) -> None:
    two = pair(*TRAIN, "notes.txt", "--out", "run", "--steps", "100000")
    until(two[0], 3)
    two[1].kill()
    (code, _, err), other = ended(two)
    assert (code, other) == (1, (-signal.SIGKILL, "", ""))
    assert "minigpt train: Another process of this run has ended" in err
    assert "--resume" in err


def test_a_mistake_is_told_once(text: Corpus, pair: Any) -> None:
    first, other = ended(pair(*TRAIN, "notes.txt", "--batch-size", "3"))
    told = "--batch-size 3 cannot be shared equally by 2 processes: take a multiple of 2."
    assert first == (2, "", f"minigpt train: {told}\n")
    assert other == (1, "", "")  # as the first has ended
    assert sorted(p.name for p in Path().iterdir()) == ["notes.txt"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    two_ranks(Path(sys.argv[1]))
    os._exit(0)  # as the command does: threads of a process group may abort an orderly end
