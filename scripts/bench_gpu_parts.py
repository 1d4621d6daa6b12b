"""The parts of scripts/bench gpu: the commands that each starts, and what is read from what they say."""

import json
import re
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from bench_device import shape_of
from bench_gpu_work import Ended, Work, minigpt, script
from bench_speed import DEMO, random_model

from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.settings import ModelConfig
from minigpt.text.corpus import python_reference
from minigpt.text.learning import train_tokenizer
from minigpt.training.speed import heads_of

STARTING = 20.0  # seconds in which a process has surely begun and ended its work on a GPU
EXPECTED = {"12x768": (0.5, 1.3)}  # on an H100 or H200: MFU, and times the plain loop

Found = tuple[str, dict[str, Any]]  # a sentence for the table, and values for the JSON


@dataclass(frozen=True)
class Part:
    """`run` is called with the seconds that it may take, at most `most`; with fewer than `least` left it is skipped."""

    name: str
    run: Callable[[Work, float], Found]
    least: float
    most: float


def memory(err: str) -> Found:
    found = re.search(r"peak memory: (\d+)", err)
    return (f", {int(found[1]) / 1e9:.1f} GB", {"peak_memory_bytes": int(found[1])}) if found else ("", {})


def train(arguments: Sequence[str], name: str, work: Work, seconds: float) -> Found:
    """`minigpt train --minutes`: what was planned beside what came."""
    minutes = min(work.sizes.minutes, max(0.01, (seconds - STARTING) / 60))
    out, started = work.folder / name, time.perf_counter()
    command = ["train", *arguments, "--minutes", f"{minutes:.3g}", "--out", str(out)]
    _, err = minigpt(command, work, seconds)
    values = trained(out) | {"planned_seconds": 60 * minutes, "seconds": time.perf_counter() - started}
    told, more = memory(err)
    planned, expected = f"planned {60 * minutes:.0f}", values["expected_bits_per_byte"]
    return (
        f"{values['seconds']:.0f} s ({planned}{', shortened' if minutes < work.sizes.minutes else ''}), "
        f"{values['bits_per_byte']:.3f} bits per byte{'' if expected is None else f' (expected {expected:.3f})'}, "
        f"{values['steps']:,} of {values['planned_steps']:,} steps, {values['tokens_per_second']:,.0f} tokens/s, "
        f"{values['shape']}, {values['precision']}{told}",
        values | more,
    )


def trained(folder: Path) -> dict[str, Any]:
    """What a run's folder tells."""
    run = json.loads((folder / "run.json").read_text("utf-8"))
    steps = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    shape, settings, text = run["model"], run["train"], run["corpus"]
    step_tokens = settings["batch_size"] * settings["accumulation"] * shape["context"]
    return {
        "shape": f"{shape['layers']} x {shape['width']}",
        "model": shape,
        "precision": settings["precision"],
        "step_tokens": step_tokens,
        "text_bytes": text["bytes"],
        "planned_steps": settings["steps"],
        "steps_suffice": settings["steps_suffice"],  # then a part of the minutes was planned
        "steps": run["steps_taken"],
        "training_seconds": run["seconds_taken"],
        "tokens_per_second": median(step["tokens_per_second"] for step in steps[-len(steps) // 2 :]),
        "expected_bits_per_byte": run.get("expected_bits_per_byte"),
        "bits_per_byte": run["saved"]["validation_bits_per_byte"],
        "saved_step": run["saved"]["step"],
    }


def train_large(work: Work, seconds: float) -> Found:
    """On the Python files of Python's own library: other text than the built-in one, without repeats."""
    text, started = work.text, time.perf_counter()
    if text is None:
        text = work.folder / "python.txt"
        library, left = Path(sysconfig.get_path("stdlib")), work.sizes.text_bytes
        with text.open("w", encoding="utf-8") as file:
            for source in sorted(library.rglob("*.py")):
                if left > 0 and not {"site-packages", "test", "tests"} & set(source.relative_to(library).parts):
                    left -= file.write(source.read_text("utf-8", "replace")[:left])
    return train([str(text)], "train-10MB", work, seconds - (time.perf_counter() - started))


def train_from(work: Work, seconds: float) -> Found:
    """From GPT-2's configuration with random weights, and a small tokenizer, as its own needs a download."""
    folder, started, sizes = work.folder / "gpt2", time.perf_counter(), work.sizes
    layers, width = shape_of(dict(sizes.shapes)["12x768"])
    config = ModelConfig(
        vocab_size=sizes.gpt2_vocab_size, context=sizes.context, layers=layers, heads=heads_of(width), width=width
    )
    folder.mkdir()
    tokenizer = train_tokenizer("bpe", python_reference()[1], min(1024, config.vocab_size))
    save_description(folder, config, tokenizer, torch.float32)
    save_weights(folder, random_model(config))
    left = seconds - (time.perf_counter() - started)
    return train(["--from", str(folder), "--snapshots", "0"], "train-from", work, left)


def sample(checkpoint: Path, work: Work, seconds: float) -> Found:
    """`minigpt sample --check`."""
    flags = ["--max-tokens", str(work.sizes.tokens), "--seed", "1", "--ignore-end-of-text", "--check", "--json"]
    out, err = minigpt(["sample", "The", "-c", str(checkpoint), *flags], work, seconds)
    found = re.search(r"largest difference of two logits is\s+([-+.\de]*\d)", err)
    if not found:
        raise Ended("no comparison was told", err)
    end = json.loads(out.splitlines()[-1])
    values = {"largest_difference": float(found[1]), "tokens_per_second": end["tokens_per_second"]}
    told, more = memory(err)
    speed = f"{end['tokens_per_second']:,.0f} tokens/s of {checkpoint.name}"
    return f"cached steps and full passes differ by {found[1]} at most, {speed}{told}", values | more


def sample_gpt(work: Work, seconds: float) -> Found:
    run = work.folder / "train"
    return sample(run if (run / "config.json").exists() else DEMO, work, seconds)


def sample_lstm(work: Work, seconds: float) -> Found:
    run, started = work.folder / "lstm", time.perf_counter()
    minigpt(["train", "--model", "lstm", *work.sizes.lstm, "--out", str(run)], work, seconds)
    return sample(run, work, max(1.0, seconds - (time.perf_counter() - started)))


def bench(shape: str, compiles: bool, work: Work, seconds: float) -> Found:
    """scripts/bench train --device, ours beside the plain transformers loop."""
    flags = [*work.shape(shape), *work.sizes.bench, "--json", *([] if compiles else ["--no-compile"])]
    values = script("bench_device.py", flags, work, seconds)
    ours, theirs = values["results"]
    ratio = ours["tokens_per_second"] / theirs["tokens_per_second"]
    told = "; ".join(
        f"{one['name']} {one['tokens_per_second']:,.0f} tokens/s"
        + ("" if one["utilisation"] is None else f", MFU {one['utilisation']:.1%}")
        + ("" if one["peak_memory_bytes"] is None else f", {one['peak_memory_bytes'] / 1e9:.1f} GB")
        for one in (ours, theirs)
    )
    told = f"{ours['shape']}, {ours['batch_size']} x {ours['context']:,}: {told}; {ratio:.2f} times"
    if shape in EXPECTED:
        mfu, times = EXPECTED[shape]
        told += f" (to reach on an H100 or H200: MFU {mfu:.0%}, {times:g} times)"
        values |= {"expected_utilisation": mfu, "expected_ratio": times}
    return told, values | {"ratio": ratio}


def decode(shape: str, work: Work, seconds: float) -> Found:
    """What a CUDA graph would gain."""
    flags = [*work.shape(shape), "--tokens", str(work.sizes.tokens), *work.sizes.decode]
    values = script("bench_cuda_graph.py", flags, work, seconds)
    sampling, step, graph = (values[f"{name}_milliseconds"] for name in ("sampling", "step", "graph"))
    told = f"{values['shape']}: {sampling:.2f} ms a sampled token, {step:.2f} of it the step"
    if graph is None:
        return f"{told}; no CUDA graph on this device", values
    gain, gigabytes = sampling / (sampling - step + graph), values["peak_memory_bytes"] / 1e9
    told += f"; a CUDA graph of the step, which minigpt does not use, takes {graph:.2f}: {gain:.2f} times as fast"
    return f"{told} would be possible, {gigabytes:.1f} GB", values | {"possible_gain": gain}


def recipe(work: Work, seconds: float) -> Found:
    """scripts/bench train --recipe, with the recipe for a GPU."""
    values = script("bench_recipe.py", [str(work.recipe), "--json"], work, seconds)
    share = values["seconds"] / values["plain_training"]
    return (
        f"{values['loss_nats']:.4f} nats per character in {values['seconds']:.1f} s, {share:.2f} of the plain loop's "
        f"{values['plain_training']:.1f}, whose best is {values['plain_best']:.4f} (to reach: "
        f"{values['goal_nats']} in {values['share']:.2f})",
        values,
    )


PARTS = (
    Part("train", partial(train, [], "train"), 40, 90),
    Part("train-10MB", train_large, 40, 110),
    Part("train-from", train_from, 40, 100),
    Part("sample-gpt", sample_gpt, 15, 40),
    Part("sample-lstm", sample_lstm, 25, 60),
    Part("bench-6x384", partial(bench, "6x384", False), 20, 60),
    Part("bench-12x768", partial(bench, "12x768", False), 20, 60),
    Part("bench-12x768-compiled", partial(bench, "12x768", True), 60, 150),
    Part("decode-6x384", partial(decode, "6x384"), 15, 40),
    Part("decode-12x768", partial(decode, "12x768"), 15, 40),
    Part("bench-6x384-compiled", partial(bench, "6x384", True), 60, 150),
)
RECIPE = Part("recipe", recipe, 60, 3600)
