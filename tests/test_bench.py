"""The benchmarks of a device and of decoding, in all but the device and llama.cpp: tiny shapes on a CPU."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from minigpt.models.decoder import decoder_for
from minigpt.settings import ModelConfig

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


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """scripts/bench_speed.py with one tiny shape."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    module = import_module("bench_speed")
    monkeypatch.setattr(module, "DECODE_SHAPES", {"1x32": (2, 257, 1.0)})
    monkeypatch.setattr(module, "LARGEST", "1x32")
    monkeypatch.setattr(import_module("bench_bandwidth"), "LEAST_READ", 100_000)
    yield module
    for name in ("bench_speed", "bench_llama", "bench_bandwidth"):
        sys.modules.pop(name, None)


class StandIn:
    """In the place of llama.cpp: our own steps; with `wrong`, logits that differ by so much."""

    wrong = 0.0

    def __init__(self, model: torch.nn.Module, tokenizer: object, quantize: str, threads: int) -> None:
        self.model, self.options = model, (quantize, threads)

    def sample(self, prompt: int, count: int) -> list[int]:
        return [prompt] * count

    def logits(self, ids: list[int]) -> np.ndarray:
        decoder = decoder_for(self.model)
        rows = [decoder.prefill(ids[:1])[0], *(decoder.step([token])[0] for token in ids[1:])]
        return np.stack(rows) + self.wrong


def run_decode(speed: ModuleType, monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    few = ["--tokens", "3", "--rounds", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["bench", "decode", *few, *flags])
    return speed.main()


@pytest.fixture
def llama(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    monkeypatch.setattr(import_module("bench_llama"), "LlamaCpp", StandIn)
    monkeypatch.setattr(import_module("bench_llama"), "find_spec", lambda name: object())
    monkeypatch.setattr(speed, "version", lambda name: f"of {name}")
    return StandIn


def test_decoding_stands_beside_llama_cpp_and_a_streaming_read(
    speed: ModuleType, llama: type[StandIn], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_decode(speed, monkeypatch, "--llama", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (row,) = told["results"]
    assert (told["llama_cpp_python"], row["baseline"]) == ("of llama-cpp-python", "llama.cpp")
    numbers = 257 * 32 + 1 * (12 * 32 * 32 + 13 * 32) + 2 * 32  # of GPT-2 without its positions
    assert row["bytes_per_token"] == 4 * numbers
    assert row["gigabytes_per_second"] == pytest.approx(1e-9 * 4 * numbers * row["ours_tokens_per_second"])
    assert row["read_share"] == pytest.approx(row["gigabytes_per_second"] / row["read_gigabytes_per_second"])
    assert row["expected_read_share"] == 0.85


def test_int8_stands_beside_q8_0_in_80_columns(
    speed: ModuleType, llama: type[StandIn], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_decode(speed, monkeypatch, "--llama", "--quantize", "int8") == 0
    shown = capsys.readouterr().out
    for part in ("decode in int8", "llama.cpp q8_0", "only reading", "GB/s", ">= 85%"):
        assert part in shown


def test_the_largest_numbers_fit_into_80_columns(
    speed: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ModelConfig(vocab_size=50_257, context=256, layers=12, heads=12, width=768)
    fields = speed.bandwidth(494_613_504, [0.0312], [0.0265])
    assert fields["gigabytes_per_second"] == pytest.approx(15.85, abs=0.01)
    assert fields["read_gigabytes_per_second"] == pytest.approx(18.66, abs=0.01)
    assert fields["read_share"] == pytest.approx(0.0265 / 0.0312)
    row = speed.Result(
        name="12x768", vocab_size=50_257, layers=12, heads=12, width=768, context=256,
        parameters=config.parameter_count(), batch_size=1, tokens=200, baseline="llama.cpp q8_0",
        ours_seconds=(6.24,), baseline_seconds=(62.4,), ours_median_seconds=6.24, baseline_median_seconds=62.4,
        ours_tokens_per_second=200 / 6.24, baseline_tokens_per_second=200 / 62.4, ratio=10.0, expected_ratio=4.5,
        expected_read_share=0.85, **fields,
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["bench", "decode", "--llama"])
    monkeypatch.setattr(speed, "version", lambda name: "0.3.36")
    monkeypatch.setenv("COLUMNS", "80")
    speed.print_table(speed.parse_arguments(), [row])
    ours, theirs, read = [line.split() for line in capsys.readouterr().out.splitlines()[3:6]]
    assert ours == ["12x768", "123,849,984", "ours", "31.20", "32", "15.9", "10.00x", ">=", "4.5x"]
    assert theirs == ["llama.cpp", "q8_0", "312.00", "3"]
    assert read == ["only", "reading", "26.50", "38", "18.7", "85%", ">=", "85%"]


@pytest.mark.parametrize(("quantize", "wrong"), [("none", 0.1), ("int8", 1.0)])
def test_other_logits_are_no_comparison(
    speed: ModuleType, llama: type[StandIn], monkeypatch: pytest.MonkeyPatch, quantize: str, wrong: float
) -> None:
    monkeypatch.setattr(llama, "wrong", wrong)
    with pytest.raises(SystemExit, match=r"llama\.cpp and we differ by .* in our logits"):
        run_decode(speed, monkeypatch, "--llama", "--quantize", quantize)


@pytest.mark.parametrize("missing", ["llama_cpp", "gguf"])
def test_without_llama_cpp_one_line_says_how_to_install_it(
    speed: ModuleType, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(import_module("bench_llama"), "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(SystemExit, match=r"^[^\n]* Install it with: pip install -e '\.\[llama\]'$"):
        run_decode(speed, monkeypatch, "--llama")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--dtype", "bfloat16"], "--llama compares float32, or --quantize int8"),
        (["--vocab-size", "256"], "--llama needs a --vocab-size of 257 or more"),
    ],
)
def test_what_does_not_go_with_llama(
    speed: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    expected: str,
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_decode(speed, monkeypatch, "--llama", *flags)
    assert expected in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("kind", "expected"), [("float32", 494_613_504), ("bfloat16", 247_549_440), ("int8", 124_550_212)]
)
def test_the_bytes_that_a_token_needs(speed: ModuleType, kind: str, expected: int) -> None:
    """GPT-2's shape: 123,532,032 numbers in matrices, 121,344 in vectors, and 133,201 scales with int8."""
    config = ModelConfig(vocab_size=50_257, context=1024, layers=12, heads=12, width=768)
    assert import_module("bench_bandwidth").bytes_per_token(config, kind) == expected


def test_reading_with_and_without_a_compiler(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    bandwidth = import_module("bench_bandwidth")
    numbers = np.arange(384, dtype=np.float32)
    in_c = bandwidth.reader()
    if in_c is not bandwidth.read_in_numpy:  # this machine has a compiler
        assert in_c(numbers, 3) == 3 * sum(range(384))
    monkeypatch.setattr(bandwidth.shutil, "which", lambda name: None)
    bandwidth.reader.cache_clear()
    assert bandwidth.reader() is bandwidth.read_in_numpy
    read = bandwidth.StreamingRead(30_000, threads=3)
    assert read.passes == 4
    read()
