"""Measures the time of a token on a device, and what a CUDA graph would gain, as JSON.

A part of scripts/bench gpu. minigpt decodes without CUDA graphs: the keys and values that a step reads grow with the
text, and a graph is of one length. So one is captured of a step at half of the context, and takes the time that such a
step would take if launching its kernels took none.
"""

import argparse
import json
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from bench_device import shape_of, synchronise
from bench_speed import our_text, random_model, timed

from minigpt.models.device import resolve_device
from minigpt.models.torch_network import FlatStep, TorchNetwork
from minigpt.settings import ModelConfig
from minigpt.training.speed import heads_of


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", required=True)
    parser.add_argument("--shape", type=shape_of, required=True, help="layers x width, such as 6x384")
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--vocab-size", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True, help="of a sample")
    parser.add_argument("--rounds", type=int, default=50, help="how often a step is timed (default: 50)")
    print(json.dumps(measure(parser.parse_args(argv))))
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a sampled token, of the bare step in it, and of the same step as a graph (None on a CPU)."""
    device, (layers, width) = resolve_device(arguments.device), arguments.shape
    vocabulary, context, length = arguments.vocab_size, arguments.context, arguments.context // 2
    config = ModelConfig(vocab_size=vocabulary, context=context, layers=layers, heads=heads_of(width), width=width)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    model = random_model(config).to(device)
    draw = our_text(model, arguments.tokens)
    draw()  # warm up
    values: dict[str, Any] = {"shape": f"{layers} x {width}", "length": length}
    values["sampling_milliseconds"] = 1000 * timed(draw) / arguments.tokens
    network = TorchNetwork(model)
    cache = network.new_cache()
    network.read([[0] * length], cache)
    flat = FlatStep(model, cache, 1)

    def step() -> torch.Tensor:
        cache.length = length
        return flat(0)

    values |= {"step_milliseconds": milliseconds(step, device, arguments.rounds), "graph_milliseconds": None}
    if device.type == "cuda":
        graph, logits_V = captured(step)
        values["graph_milliseconds"] = milliseconds(graph.replay, device, arguments.rounds)
        values["graph_difference"] = float((step() - logits_V).abs().max())
        values["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return values


def milliseconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """The median of so many times, each until the device is done, as it must be before a token can be drawn."""

    def waited() -> None:
        work()
        synchronise(device)

    waited()
    return 1000 * median(timed(waited) for _ in range(rounds))


def captured(step: Callable[[], torch.Tensor]) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    """A CUDA graph of a step, and the tensor to which each replay writes, warmed up as torch's documentation says."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits_V = step()
    return graph, logits_V


if __name__ == "__main__":
    sys.exit(main())
