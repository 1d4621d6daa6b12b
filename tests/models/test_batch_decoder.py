"""Several texts at once give what each gives alone, row for row, also far beyond the context."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from minigpt.models.decoder import CachedDecoder
from minigpt.models.gpt import GPT

MakeModel = Callable[..., GPT]


def drawn(rows: int, length: int) -> list[list[int]]:
    return torch.randint(50, (rows, length), generator=torch.Generator().manual_seed(3)).tolist()


@pytest.mark.parametrize("context", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("prompt", [1, 7, 20])
def test_every_row_is_what_it_is_alone(make_model: MakeModel, context: int, prompt: int) -> None:
    model, texts = make_model(50, context), drawn(3, 30)
    begin = texts[0][:prompt]
    batch, alone = CachedDecoder(model, 3), [CachedDecoder(model) for _ in range(3)]
    logits_BV = batch.prefill(begin)
    expected = [decoder.prefill(begin)[0] for decoder in alone]
    for column in range(30):
        np.testing.assert_allclose(logits_BV, np.stack(expected), atol=1e-5, rtol=1e-5)
        tokens = [text[column] for text in texts]
        logits_BV = batch.step(tokens)
        expected = [decoder.step([token])[0] for decoder, token in zip(alone, tokens, strict=True)]
    assert batch.ids == [decoder.ids[0] for decoder in alone]
    assert batch.start == alone[0].start


def test_rows_that_are_kept_go_on_as_before(make_model: MakeModel) -> None:
    model, texts = make_model(50, 8), drawn(4, 16)
    batch, alone = CachedDecoder(model, 4), CachedDecoder(model)
    batch.prefill([5, 6])
    alone.prefill([5, 6])
    for column in range(16):
        if column == 4:
            batch.keep([1, 3])
            texts = [texts[1], texts[3]]
        if column == 10:
            batch.keep([1])  # the last one takes the faster step of a single text
            texts = texts[1:]
        logits_BV = batch.step([text[column] for text in texts])
        expected = alone.step([texts[-1][column]])[0]
        np.testing.assert_allclose(logits_BV[-1], expected, atol=1e-5, rtol=1e-5)
    assert [row[2:] for row in batch.ids][-1] == texts[-1]
    assert len(batch.ids) == batch.step([1]).shape[0] == 1
