"""Steps from a state give what one pass over the whole text gives, for one text and for several at once."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from minigpt.models.baselines import Baseline
from minigpt.models.state_decoder import StateDecoder, read_stretches

V = 50
MakeBaseline = Callable[..., Baseline]


def drawn(rows: int, length: int) -> list[list[int]]:
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(3)).tolist()


@pytest.mark.parametrize("prompt", [1, 8, 20])
def test_steps_equal_the_full_pass_far_beyond_the_context(make_baseline: MakeBaseline, kind: str, prompt: int) -> None:
    model, (ids,) = make_baseline(kind, V, context=8), drawn(1, 30)
    decoder = StateDecoder(model)
    logits = [decoder.prefill(ids[:prompt])[0], *(decoder.step([token])[0] for token in ids[prompt:])]
    expected = model(torch.tensor([ids]))[0, prompt - 1 :].detach().numpy()
    np.testing.assert_allclose(np.stack(logits), expected, atol=1e-5, rtol=1e-5)
    assert decoder.start == 0


def test_a_prefill_forgets_what_was_read_before(make_baseline: MakeBaseline, kind: str) -> None:
    decoder, (ids,) = StateDecoder(make_baseline(kind, V)), drawn(1, 12)
    fresh = decoder.prefill(ids)[0]
    decoder.step([7])
    np.testing.assert_allclose(decoder.prefill(ids)[0], fresh, atol=1e-5, rtol=1.3e-6)


def test_stretches_go_on_where_the_one_before_ended(make_baseline: MakeBaseline, kind: str) -> None:
    model, (ids,) = make_baseline(kind, V, context=8), drawn(1, 19)
    stretches = [logits_TV for logits_TV, _ in read_stretches(model, ids)]
    assert [len(logits_TV) for logits_TV in stretches] == [8, 8, 3]
    torch.testing.assert_close(torch.cat(stretches), model(torch.tensor([ids]))[0], atol=1e-5, rtol=1e-5)


def test_every_row_is_what_it_is_alone(make_baseline: MakeBaseline, kind: str) -> None:
    model, texts = make_baseline(kind, V), drawn(3, 12)
    batch, alone = StateDecoder(model, 3), [StateDecoder(model) for _ in range(3)]
    np.testing.assert_allclose(
        batch.prefill([5, 6]), np.stack([decoder.prefill([5, 6])[0] for decoder in alone]), atol=1e-5, rtol=1.3e-6
    )
    for column in range(12):
        if column == 4:
            batch.keep([0, 2])
            texts, alone = [texts[0], texts[2]], [alone[0], alone[2]]
        tokens = [text[column] for text in texts]
        expected = np.stack([decoder.step([token])[0] for decoder, token in zip(alone, tokens, strict=True)])
        np.testing.assert_allclose(batch.step(tokens), expected, atol=1e-5, rtol=1e-5)
