"""Traces of the toy model, and what damages one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import Checkpoint, load
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.engine import generate
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.sampling.trace import TraceHeader, TraceStep, TraceWriter
from minigpt.sampling.vocabulary import best_ids
from minigpt.settings import SampleConfig

PROMPT = "The quick"
SETTINGS = SampleConfig(max_tokens=8, top_k=40, stop=("never there",), repetition_penalty=1.1, top=3, seed=5)


@pytest.fixture
def toy(checkpoint_folder: Path) -> Checkpoint:
    return load(checkpoint_folder)


@pytest.fixture
def entries(toy: Checkpoint) -> list[StepRecord | SampleEnd]:
    """What two samples are made of, in the order in which it comes."""
    return [piece.record for piece in generate(toy.model, toy.tokenizer, PROMPT, SETTINGS, count=2)]


@pytest.fixture
def header(toy: Checkpoint) -> TraceHeader:
    return TraceHeader.of(toy, PROMPT, SETTINGS, num_samples=2)


@pytest.fixture
def trace_file(tmp_path: Path, header: TraceHeader, entries: list[StepRecord | SampleEnd]) -> Path:
    with TraceWriter.open(tmp_path / "toy.jsonl", header) as writer:
        for entry in entries:
            writer.write(entry)
    return tmp_path / "toy.jsonl"


def tree_steps(toy: Checkpoint) -> Iterator[TraceStep]:
    """Two branches of two twigs each, three levels deep: nodes by levels, as nobody would draw them."""
    decoder_ids = {None: toy.tokenizer.encode(PROMPT)}
    level: list[int | None] = [None]
    for _ in range(3):
        parents, level = level, []
        for parent in parents:
            ids = decoder_ids[parent]
            logits_V = toy.model(toy.model.wte.weight.new_tensor([ids[-16:]]).long())[0, -1].detach().numpy()
            for token in best_ids(logits_V, 2):
                record = step_record(
                    distribution(logits_V), toy.tokenizer.token_bytes, position=len(ids), top=4, token=token
                )
                node = len(decoder_ids) - 1
                decoder_ids[node] = [*ids, token]
                level.append(node)
                yield TraceStep(node=node, parent=parent, record=record)


@pytest.fixture
def tree(toy: Checkpoint) -> list[TraceStep]:
    return list(tree_steps(toy))


@pytest.fixture
def tree_file(tmp_path: Path, toy: Checkpoint, tree: list[TraceStep]) -> Path:
    with TraceWriter.open(tmp_path / "tree.jsonl", TraceHeader.of(toy, PROMPT, SETTINGS, made_by="explore")) as writer:
        for step in tree:
            writer.write(step.record, step)
    return tmp_path / "tree.jsonl"


@pytest.fixture
def edit() -> Callable[[Path, int, Callable[[dict[str, Any]], object]], None]:
    """Change the JSON object in a line of a file, counted from 0; a negative one from the end."""

    def change(path: Path, line: int, how: Callable[[dict[str, Any]], object]) -> None:
        lines = path.read_text("utf-8").splitlines()
        values = json.loads(lines[line])
        how(values)
        lines[line] = json.dumps(values)
        path.write_text("\n".join(lines) + "\n", "utf-8")

    return change
