"""The benchmark of a training step: what it counts as products, and one turn of each."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield import_module("bench_step")
    sys.modules.pop("bench_step", None)


@pytest.mark.torch
def test_the_products_are_those_of_a_step(bench: ModuleType) -> None:
    tokens, layers, width = 8 * 128, 4, 128
    weights = layers * 12 * width**2 + 1024 * width
    attention = layers * 6 * 2 * 128 * width  # operations a token, over the whole square of scores
    assert bench.gflop("4x128", 8) == pytest.approx(1e-9 * tokens * (6 * weights + attention))


@pytest.mark.torch
def test_every_contender_takes_its_turns(tmp_path: Path) -> None:
    # With one thread, torch's steps need no second core, which may have other work.
    flags = ["--shape", "2x64", "--batch-size", "16", "--threads", "1", "--rounds", "1", "--busy", "--json"]
    command = [sys.executable, "scripts/bench_step.py", *flags, "--beside", str(ROOT)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["shape"], row["batch_size"]) == ("2x64", 16)
    assert row["precision"] in ("float32", "mixed", "bfloat16")
    for name in ("products_ms", "ours_ms", "transformers_ms", "earlier_ms", "busy_ms"):
        assert row[name] > 0
    assert row["tokens_per_second"] == pytest.approx(1000 * 16 * 128 / row["ours_ms"])


def test_the_table_fits_into_80_columns(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = bench.Row(
        shape="6x384", batch_size=16, precision="bfloat16", gflop=150.0, products_ms=4000.0, ours_ms=5000.0,
        transformers_ms=7000.0, earlier_ms=8000.0, busy_ms=9000.0,
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["bench_step.py", "--busy", "--beside", "."])
    monkeypatch.setenv("COLUMNS", "80")
    bench.print_table([row], bench.parse_arguments())
    line = next(line for line in capsys.readouterr().out.splitlines() if "6x384" in line)
    assert line.split() == ["6x384,", "16", "bfloat16", "410", "30", "5,000.0", "1.25", "1.40", "1.60", "1.80"]
