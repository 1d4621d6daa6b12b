"""The model that is kept in the repository: small, and with a training to look back on."""

from pathlib import Path

import pytest

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.listing import snapshots
from minigpt.models.gpt import GPT

DEMO = Path(__file__).parent.parent / "checkpoints" / "demo"


def test_eight_snapshots_and_the_model_load() -> None:
    """The last in the list is the model that is kept."""
    kept = snapshots(DEMO)
    assert [snapshot.path.parent.name for snapshot in kept] == 8 * ["snapshots"] + ["checkpoints"]
    configs = set()
    for snapshot in kept:
        model = load(snapshot.path).model
        assert isinstance(model, GPT)
        configs.add(model.config)
    assert len(configs) == 1


def test_a_training_that_tells_a_story() -> None:
    """From a model that knows nothing to the best of all, step by step."""
    bits = [snapshot.validation_bits_per_byte for snapshot in snapshots(DEMO)]
    assert None not in bits
    assert bits == pytest.approx(sorted(bits, reverse=True), abs=0.01)  # type: ignore[type-var]


def test_all_of_it_is_within_3_mb() -> None:
    assert sum(file.stat().st_size for file in DEMO.rglob("*") if file.is_file()) <= 3_000_000
