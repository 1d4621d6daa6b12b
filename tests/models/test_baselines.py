"""Each baseline counts its weights, reads a text in one pass or token by token alike, and memorises it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.errors import ConfigError
from minigpt.models.baselines import Baseline
from minigpt.models.kinds import new_model
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.shards import TokenData
from minigpt.training.loop import train

V = 12
MakeBaseline = Callable[..., Baseline]


@pytest.mark.parametrize("layers", [1, 3])
def test_the_weights_are_as_many_as_the_configuration_says(make_baseline: MakeBaseline, kind: str, layers: int) -> None:
    model = make_baseline(kind, V, layers=layers)
    assert model.parameter_count() == model.config.parameter_count()
    assert model.config.limit is None


def test_no_token_is_seen_before_it_comes(make_baseline: MakeBaseline, kind: str) -> None:
    model, ids = make_baseline(kind, V), torch.arange(10)[None]
    changed = ids.clone()
    changed[0, 6] = 11
    torch.testing.assert_close(model(ids)[:, :6], model(changed)[:, :6])
    assert not torch.allclose(model(ids)[:, 6:], model(changed)[:, 6:])


def test_a_state_says_all_of_what_came_before(make_baseline: MakeBaseline, kind: str) -> None:
    model, ids = make_baseline(kind, V), torch.randint(V, (2, 30), generator=torch.Generator().manual_seed(1))
    whole = model(ids)
    first, state = model.read(ids[:, :13], None)
    rest, _ = model.read(ids[:, 13:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(ids, last_only=True), whole[:, -1:])


def test_a_window_ends_the_memory_of_a_dense_network(make_baseline: MakeBaseline) -> None:
    model, ids = make_baseline("window", V, window=4), torch.randint(V, (1, 9), generator=torch.Generator())
    changed = ids.clone()
    changed[0, 4] = (changed[0, 4] + 1) % V  # five before the end
    torch.testing.assert_close(model(ids)[0, -1], model(changed)[0, -1])
    assert not torch.allclose(model(ids)[0, -2], model(changed)[0, -2])


def test_the_vectors_of_the_ids_are_given_to_who_asks(make_baseline: MakeBaseline, kind: str) -> None:
    model, stream, ids = make_baseline(kind, V), list[Tensor](), torch.arange(5)[None]
    model(ids, stream=stream)
    torch.testing.assert_close(stream[0], model.wte(ids))


def test_a_seed_makes_the_same_weights(kind: str) -> None:
    config = ModelConfig(
        model=kind, vocab_size=V, context=8, layers=2, heads=1, width=8, window=3 if kind == "window" else None
    )
    one, same, other = (new_model(config).initialise(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    ids = torch.arange(8)[None]
    torch.testing.assert_close(one(ids), same(ids), atol=0, rtol=0)
    assert not torch.allclose(one(ids), other(ids))


def test_a_deterministic_text_is_learned_to_near_zero(kind: str) -> None:
    config = ModelConfig(
        model=kind, vocab_size=V, context=16, layers=1, heads=1, width=24, window=4 if kind == "window" else None
    )
    model = new_model(config).initialise(torch.Generator().manual_seed(0))
    ids = np.tile(np.array([1, 2, 3, 1, 2, 4, 1, 5], np.uint16), 60)  # what follows 1 and 2 needs three tokens
    settings = TrainConfig(steps=250, batch_size=8, learning_rate=1e-2, optimizer="adamw", warmup_steps=5, snapshots=0)
    for _ in train(model, TokenData(ids, ids[:0]), settings, np.ones(V, np.int64)):
        pass
    window = torch.from_numpy(ids[:17].astype(np.int64))
    loss = F.cross_entropy(model.eval()(window[None, :-1])[0, 3:], window[4:])  # before that, it has seen too little
    assert loss < 0.03


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": "gru"},
            "model= must be gpt, lstm, rnn, window, transformer, seq2seq or ",
        ),
        ({"model": "lstm", "heads": 2}, "heads=2 does not go with model=lstm"),
        ({"model": "rnn", "window": 3}, "window= goes with model=window, not with model=rnn."),
        ({"model": "window"}, "window= goes with model=window, not with model=window."),
        ({"model": "window", "window": 0}, "window= must be 1 or more, not 0."),
        ({"model": "window", "window": 9}, "window=9 is more than the context=8 that it is trained on."),
    ],
)
def test_contradictions_are_named(changes: dict[str, object], message: str) -> None:
    values = {"vocab_size": V, "context": 8, "layers": 1, "heads": 1, "width": 8, **changes}
    with pytest.raises(ConfigError, match=f"^{message}"):
        ModelConfig(**values)  # type: ignore[arg-type]
