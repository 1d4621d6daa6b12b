"""The benchmark of a GPU, in all but the GPU: tiny sizes on a CPU, and every command in this process."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
MODULES = ("bench_gpu", "bench_gpu_parts", "bench_gpu_work", "bench_cuda_graph", "bench_recipe", "bench_device")
NAMES = [
    "train",
    "train-10MB",
    "train-from",
    "sample-gpt",
    "sample-lstm",
    "bench-6x384",
    "bench-12x768",
    "bench-12x768-compiled",
    "decode-6x384",
    "decode-12x768",
    "bench-6x384-compiled",
    "recipe",
]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield import_module("bench_gpu")
    for name in (*MODULES, "bench_speed"):
        sys.modules.pop(name, None)


@pytest.fixture
def parts(bench: ModuleType) -> ModuleType:
    return import_module("bench_gpu_parts")


@pytest.fixture
def in_process(bench: ModuleType, minigpt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Runs what would be processes here, none of it compiled; returns their arguments."""
    commands = []

    def output_of(command: Sequence[str], seconds: float) -> tuple[str, str]:
        commands.append(list(command[1:]))
        if command[1] == "-c":
            ended = minigpt(*command[3:])
            assert ended.exit_code == 0, ended.stderr
            return ended.stdout, ended.stderr
        name = Path(command[1]).stem
        uncompiled = ["--no-compile"] if name == "bench_device" else []
        with redirect_stdout(io.StringIO()) as out:
            assert import_module(name).main([*command[2:], *uncompiled]) == 0
        return out.getvalue(), ""

    monkeypatch.setattr(import_module("bench_gpu_work"), "output_of", output_of)
    return commands


def test_all_parts_on_a_cpu(
    bench: ModuleType, in_process: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    assert bench.main(["--device", "cpu", "--quick", "--out", str(out)]) == 0
    found = json.loads(out.read_text("utf-8"))
    assert (found["bench"], found["device"], found["peak_flops"], found["quick"]) == ("gpu", "cpu", None, True)
    rows = {row["name"]: row for row in found["parts"]}
    assert list(rows) == NAMES
    assert {row["status"] for row in found["parts"][:-1]} == {"done"}
    assert rows["recipe"]["status"] == "skipped"
    assert rows["recipe"]["told"] == "skipped: give its text with --recipe TEXT"
    for name in NAMES[:3]:
        values = rows[name]["values"]
        assert values["planned_seconds"] == pytest.approx(1.2)
        assert values["planned_steps"] >= 1
        assert values["steps"] >= 1
        assert values["bits_per_byte"] > 0
    assert rows["train-10MB"]["values"]["text_bytes"] == pytest.approx(100_000, rel=0.05)
    assert rows["train-from"]["values"]["model"]["width"] == 64
    for name in NAMES[3:5]:
        assert rows[name]["values"]["largest_difference"] <= 1e-4
    for name in ("bench-6x384", "bench-12x768-compiled"):
        ours, theirs = rows[name]["values"]["results"]
        assert rows[name]["values"]["ratio"] == pytest.approx(ours["tokens_per_second"] / theirs["tokens_per_second"])
    assert rows["decode-12x768"]["values"]["graph_milliseconds"] is None
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    beginnings = [line[1:].partition(" ")[0] for line in shown.splitlines()]
    assert [name for name in beginnings if name in NAMES] == NAMES
    trainings = [command for command in in_process if command[0] == "-c" and command[2] == "train"]
    assert all(command[-2:] == ["--device", "cpu"] for command in in_process)
    assert ["--minutes" in command for command in trainings] == [True, True, True, False]
    compiled = [
        Path(command[0]).stem for command in in_process if "--no-compile" not in command and "--json" in command
    ]
    assert compiled.count("bench_device") == 2


def test_what_fails_does_not_stop_the_rest(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(work: object, seconds: float) -> object:
        raise KeyError("no [bold]such[/bold] value")

    def crashed(work: object, seconds: float) -> object:
        raise bench.Ended("CUDA error: an illegal memory access", "many lines\nand more")

    def fine(work: object, seconds: float) -> object:
        return "2.5 GB", {"peak_memory_bytes": 2_500_000_000}

    names = ("train", "sample-gpt", "decode-6x384")
    made = tuple(bench.Part(name, run, 0, 60) for name, run in zip(names, (broken, crashed, fine), strict=True))
    monkeypatch.setattr(bench, "PARTS", made)
    out = tmp_path / "gpu.json"
    assert bench.main(["--device", "cpu", "--out", str(out)]) == 1
    rows = json.loads(out.read_text("utf-8"))["parts"]
    assert [(row["name"], row["status"]) for row in rows] == [
        ("train", "failed"),
        ("sample-gpt", "failed"),
        ("decode-6x384", "done"),
        ("recipe", "skipped"),
    ]
    assert "Traceback" in rows[0]["error"]
    assert rows[1]["error"] == "CUDA error: an illegal memory access\nmany lines\nand more"
    assert rows[2]["values"] == {"peak_memory_bytes": 2_500_000_000}
    shown = capsys.readouterr().out
    assert "failed: KeyError: 'no [bold]such[/bold] value'" in shown
    assert "failed: CUDA error: an illegal memory access" in shown
    assert bench.main(["--device", "cpu", "--out", str(out), "--part", "decode-6x384"]) == 0


def test_the_file_holds_what_was_found_before_an_interruption(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(work: object, seconds: float) -> object:
        raise KeyboardInterrupt

    done = bench.Part("train", lambda work, seconds: ("done", {"steps": 7}), 0, 60)
    monkeypatch.setattr(bench, "PARTS", (done, bench.Part("train-from", interrupted, 0, 60)))
    with pytest.raises(KeyboardInterrupt):
        bench.main(["--device", "cpu", "--out", str(tmp_path / "gpu.json")])
    (row,) = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["parts"]
    assert row["values"] == {"steps": 7}


def test_eight_minutes_by_a_clock_that_the_parts_advance(bench: ModuleType) -> None:
    now, given = [1000.0], list[float]()

    def taking(seconds: float, fails: bool = False) -> Callable[[object, float], object]:
        def run(work: object, most: float) -> object:
            given.append(most)
            now[0] += min(seconds, most)
            if fails:
                raise bench.Ended("broken")
            return "done", {}

        return run

    made = [
        bench.Part("all of its time", taking(999), 40, 300),
        bench.Part("fails late", taking(100, fails=True), 40, 150),
        bench.Part("no longer fits", taking(100), 120, 150),
        bench.Part("has what is left", taking(999), 20, 110),
        bench.Part("after the end", taking(5), 1, 10),
    ]
    rows = list(bench.run_parts(made, None, bench.SECONDS, clock=lambda: now[0]))
    assert bench.SECONDS < 8 * 60
    assert given == [300, 150, bench.SECONDS - 400]
    assert [row.status for row in rows] == ["done", "failed", "skipped", "done", "skipped"]
    assert [row.seconds for row in rows] == [300, 100, 0, bench.SECONDS - 400, 0]
    assert rows[2].told == f"skipped: {bench.SECONDS - 400} s are left, and it needs 120"
    assert rows[4].told == "skipped: 0 s are left, and it needs 1"
    assert now[0] == 1000 + bench.SECONDS


def test_a_training_is_shortened_to_what_is_left(
    bench: ModuleType, parts: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = []

    def output_of(command: Sequence[str], seconds: float) -> tuple[str, str]:
        said.append(command[command.index("--minutes") + 1])
        return "", "peak memory: 2500000000\n"

    values = {"expected_bits_per_byte": 2.0, "bits_per_byte": 2.25, "steps": 90, "planned_steps": 100}
    values |= {"tokens_per_second": 1e6, "shape": "2 x 64", "precision": "bfloat16"}
    monkeypatch.setattr(import_module("bench_gpu_work"), "output_of", output_of)
    monkeypatch.setattr(parts, "trained", lambda folder: dict(values))
    work = bench.Work(device="cuda", folder=tmp_path, sizes=bench.Sizes())
    shorter, found = parts.train([], "train", work, parts.STARTING + 24)
    whole, _ = parts.train([], "train", work, 90.0)
    assert said == ["0.4", "0.6"]
    assert "(planned 24, shortened), 2.250 bits per byte (expected 2.000), 90 of 100 steps" in shorter
    assert "shortened" not in whole
    assert shorter.endswith("2.5 GB")
    assert found["peak_memory_bytes"] == 2_500_000_000


def test_what_a_graph_would_gain(parts: ModuleType, bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 ms a token, 4 are the step; as a graph it takes 1: 5 ms become 2."""
    values = {"shape": "6 x 384", "sampling_milliseconds": 5.0, "step_milliseconds": 4.0, "graph_milliseconds": 1.0}
    values |= {"peak_memory_bytes": 1_000_000_000}
    monkeypatch.setattr(parts, "script", lambda *arguments: dict(values))
    told, found = parts.decode("6x384", bench.Work(device="cuda", folder=Path(), sizes=bench.Sizes()), 60.0)
    assert found["possible_gain"] == 2.5
    assert "2.50 times as fast would be possible, 1.0 GB" in told


def test_a_process_by_what_it_says(bench: ModuleType) -> None:
    output_of = import_module("bench_gpu_work").output_of
    speak = "import sys; print('out'); print('err', file=sys.stderr)"
    assert output_of([sys.executable, "-c", speak], 60) == ("out\n", "err\n")
    with pytest.raises(bench.Ended, match=r"^ValueError: too hot$") as caught:
        output_of([sys.executable, "-c", "raise ValueError('too hot\\nand advice')"], 60)
    assert "and advice" in caught.value.said
    complaint = "import sys; sys.exit('minigpt train: no such text.\\nGive another.')"
    with pytest.raises(bench.Ended, match=r"^minigpt train: no such text\.$"):
        output_of([sys.executable, "-c", complaint], 60)
    with pytest.raises(bench.Ended, match=r"^ended with -9$"):
        output_of([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], 60)


def test_a_process_that_hangs_is_ended_with_its_own_processes(bench: ModuleType) -> None:
    """The one that it started holds its output open, so this test would take as long as that if it lived on."""
    wait = "import time; time.sleep(99)"
    hang = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{wait}']); {wait}"
    with pytest.raises(bench.Ended, match=r"^ended after 1 s, all that it may take$"):
        import_module("bench_gpu_work").output_of([sys.executable, "-c", hang], 1)


def test_a_device_that_is_not_there_is_told(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--device cuda: this machine has none"):
        bench.main(["--out", str(tmp_path / "gpu.json")])


@pytest.mark.parametrize("seconds", [None, 1.0])
def test_the_recipe_has_a_time_of_its_own(
    bench: ModuleType,
    in_process: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    corpus: str,
    seconds: float | None,
) -> None:
    """Both ways in which ours is told when to end: by steps, as for a laptop, and by time, as for a GPU."""
    recipes = import_module("bench_recipe")
    shape = replace(recipes.GPU.shape, context=8, layers=1, heads=1, width=16)
    ours = replace(recipes.GPU.ours, seconds=seconds, steps=2, batch_size=2, warmup_steps=1, precision="float32")
    tiny = replace(recipes.GPU, shape=shape, steps=3, batch_size=2, batches=1, share=0.5, fused=False, ours=ours)
    monkeypatch.setattr(recipes, "LAPTOP", tiny)
    monkeypatch.setattr(recipes, "WARMUP", 1)
    monkeypatch.setattr(recipes, "EVERY", 2)
    text, out = tmp_path / "text.txt", tmp_path / "gpu.json"
    text.write_text(corpus * 3, "utf-8")
    flags = ["--device", "cpu", "--quick", "--out", str(out), "--part", "--recipe", str(text)]
    assert bench.main(flags) == 0
    (row,) = json.loads(out.read_text("utf-8"))["parts"]
    assert (row["name"], row["status"]) == ("recipe", "done")
    values = row["values"]
    assert (values["goal_nats"], values["share"]) == (1.4697, 0.5)
    assert 0 < values["plain_training"] < values["plain_total"]
    assert min(values["loss_nats"], values["plain_best"], values["plain_loss"], values["seconds"]) > 0
    assert "(to reach: 1.4697 in 0.50)" in row["told"]
    assert bench.main([*flags, "--recipe-minutes", "0.5"]) == 0
    (row,) = json.loads(out.read_text("utf-8"))["parts"]
    assert row["told"] == "skipped: 30 s are left, and it needs 60"


@pytest.mark.parametrize(
    ("arguments", "script"),
    [
        (["gpu", "--help"], "bench_gpu.py --help"),
        (["train", "--device", "cuda"], "bench_device.py --device cuda"),
        (["train", "--recipe", "text", "--device", "cuda"], "bench_recipe.py text --device cuda"),
    ],
)
def test_the_command_starts_its_script(tmp_path: Path, arguments: list[str], script: str) -> None:
    (tmp_path / "scripts").mkdir()
    command = shutil.copy(ROOT / "scripts" / "bench", tmp_path / "scripts")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n', "utf-8")
    python.chmod(0o755)
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "scripts" / script)
