"""The benchmark of a device, in all but the device: a tiny shape on a CPU."""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

TINY = [
    "--shape",
    "1x32",
    "--context",
    "32",
    "--batch-size",
    "2",
    "--vocab-size",
    "97",
    "--steps",
    "2",
    "--threads",
    "1",
    "--no-compile",
]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    yield import_module("bench_device")
    for name in ("bench_device", "bench_speed"):
        sys.modules.pop(name, None)


def test_ours_and_a_plain_loop_on_a_cpu_without_a_peak(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--device", "cpu", *TINY, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["device"], told["peak_flops"]) == ("cpu", None)
    assert [result["name"] for result in told["results"]] == ["ours", "transformers"]
    for result in told["results"]:
        assert result["tokens_per_second"] == pytest.approx(2 * 32 * 1000 / result["milliseconds_per_step"])
        assert result["utilisation"] is None


def test_where_the_peak_is_known_its_share_is_told(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "device_name", lambda device: "NVIDIA L4")
    assert bench.main(["--device", "cpu", *TINY]) == 0
    shown = capsys.readouterr().out
    assert "NVIDIA L4" in shown
    assert "121 TFLOPS" in shown
    assert "0.0%" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-40GB", 312.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_peaks_by_the_name_of_the_device(bench: ModuleType, name: str, teraflops: float) -> None:
    assert bench.peak_flops(name) == teraflops * 1e12


def test_what_is_not_known_has_no_peak(bench: ModuleType) -> None:
    assert bench.peak_flops("cpu") is None
    assert bench.peak_flops("NVIDIA GeForce RTX 4090 Laptop GPU") is None


def test_a_device_that_is_not_there_is_told(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--device cuda: this machine has none"):
        bench.main(["--device", "cuda", *TINY])


def test_whole_processes_take_turns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    start = import_module("bench_start")
    named = {each.name: each for each in start.contenders(start.DEMO)}
    assert list(named) == ["pass", "import torch", "--help", "inspect-probs TEXT", "sample TEXT -n 1"]
    assert {name: each.ratio for name, each in named.items() if each.ratio} == {
        "--help": 0.12, "inspect-probs TEXT": 0.35, "sample TEXT -n 1": 0.35,
    }  # fmt: skip
    assert start.main(["--rounds", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [row["name"] for row in rows] == list(named)
    (yardstick,) = [row["seconds"] for row in rows if row["name"] == "import torch"]
    for row in rows:
        assert row["seconds"] == pytest.approx(row["ratio"] * yardstick)
        assert row["megabytes"] > 5
    monkeypatch.setenv("COLUMNS", "80")
    start.print_table([start.Row(**row) for row in rows], 1)
    shown = capsys.readouterr().out
    assert all(name in shown for name in named)
    assert "<= 80" in shown
    assert max(map(len, shown.splitlines())) <= 80
    sys.modules.pop("bench_start")


def test_a_process_that_fails_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    start = import_module("bench_start")
    with pytest.raises(SystemExit, match=r"ended with 3:\nno such thing"):
        start.run(("-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"))
    sys.modules.pop("bench_start")


def test_pages_are_measured_in_a_browser(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "render"))
    page = import_module("bench_page")
    if import_module("browser").CHROMIUM is None:
        pytest.skip("no Chromium here")
    monkeypatch.setattr(page, "SHAPES", {"1x32": 1})
    monkeypatch.setattr("minigpt.settings.PAGE_DTYPES", ("int8",))
    assert page.main(["--rounds", "1", "--json"]) == 0
    demo, random = json.loads(capsys.readouterr().out)
    assert (demo["model"], demo["dtype"], random["model"], random["dtype"]) == ("demo", "int8", "1x32", "bfloat16")
    assert demo["bytes"] <= 3_000_000
    assert 0 < demo["mean_logit_difference"] < 0.1 < demo["largest_logit_difference"] < 1
    assert 0 < demo["mean_divergence_bits"] < 0.01
    for figures in (demo, random):
        assert figures["tokens_per_second"] > 0
        assert figures["first_list_seconds"] > 0
        assert " tokens/s" in page.line(figures)
    assert all(len(line) <= 120 for line in page.line(demo).splitlines())
    sys.modules.pop("bench_page")
