"""Each token's effect, against the model asked again without it."""

import math
from collections.abc import Callable

import pytest
import torch

from minigpt.errors import CorpusError
from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import Tokenizer
from minigpt.views import attribution
from minigpt.views.attribution import leave_one_out

IDS = [5, 9, 40, 301, 77, 9, 9, 120, 3, 254]


def bits(model: GPT, ids: list[int], token: int) -> float:
    """log2 p(token | ids), by a whole pass."""
    with torch.no_grad():
        return float(model(torch.tensor([ids]))[0, -1].double().log_softmax(-1)[token]) / math.log(2)


@pytest.mark.parametrize("length", [2, 3, 10])
@pytest.mark.parametrize("layers", [1, 3])
def test_an_effect_is_the_difference_of_two_whole_passes(
    make_model: Callable[..., GPT], bpe: Tokenizer, layers: int, length: int
) -> None:
    model, ids = make_model(bpe.vocab_size, layers=layers), IDS[:length]
    record = leave_one_out(model, bpe, ids, token=200)
    assert (record.token.id, record.position, record.unseen) == (200, length, 0)
    assert record.surprisal_bits == pytest.approx(-bits(model, ids, 200), abs=1e-5)
    assert [(effect.position, effect.id) for effect in record.effects] == list(enumerate(ids))
    for i, effect in enumerate(record.effects):
        without = bits(model, ids[:i] + ids[i + 1 :], 200)
        assert effect.surprisal_bits == pytest.approx(-without, abs=1e-4)
        assert effect.effect_bits == pytest.approx(bits(model, ids, 200) - without, abs=1e-4)
    assert max(abs(effect.effect_bits) for effect in record.effects) > 0.1


@pytest.mark.parametrize("batch", [1, 2, 3, 9, 10, 99])
def test_effects_do_not_depend_on_how_many_are_found_at_once(
    model: GPT, bpe: Tokenizer, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "_AT_ONCE", batch)
    record = leave_one_out(model, bpe, IDS, token=200)
    assert [(effect.position, effect.id) for effect in record.effects] == list(enumerate(IDS))
    expected = [-bits(model, IDS[:i] + IDS[i + 1 :], 200) for i in range(len(IDS))]
    assert [effect.surprisal_bits for effect in record.effects] == pytest.approx(expected, abs=1e-4)


def test_without_a_choice_the_most_likely_token_is_explained(model: GPT, bpe: Tokenizer) -> None:
    with torch.no_grad():
        best = int(model(torch.tensor([IDS]))[0, -1].argmax())
    record = leave_one_out(model, bpe, IDS)
    assert record.token.id == best
    assert record.token.rank == 1


@pytest.mark.parametrize("length", [16, 17, 24, 25, 60])
def test_only_the_window_is_looked_at(model: GPT, bpe: Tokenizer, length: int) -> None:
    ids = (IDS * 6)[:length]
    record = leave_one_out(model, bpe, ids, token=4)
    start = record.effects[0].position
    assert record.unseen == start
    assert len(record.effects) == length - start <= 16
    window = ids[start:]
    assert record.effects[-1].surprisal_bits == pytest.approx(-bits(model, window[:-1], 4), abs=1e-4)
    assert record.effects[0].surprisal_bits == pytest.approx(-bits(model, window[1:], 4), abs=1e-4)


def test_tokens_that_change_nothing_have_no_effect(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    record = leave_one_out(constant_model([0.0] * 319 + [3.0]), bpe, IDS)
    assert [effect.effect_bits for effect in record.effects] == [0.0] * len(IDS)


def test_progress_is_told_of_every_token(model: GPT, bpe: Tokenizer) -> None:
    told: list[int] = []
    leave_one_out(model, bpe, IDS, progress=told.append)
    assert sum(told) == len(IDS)


@pytest.mark.parametrize(("context", "ids"), [(16, [5]), (1, [5, 9, 40])])
def test_where_nothing_would_be_left_it_says_so(
    make_model: Callable[..., GPT], bpe: Tokenizer, context: int, ids: list[int]
) -> None:
    with pytest.raises(CorpusError, match="two tokens or more"):
        leave_one_out(make_model(bpe.vocab_size, context), bpe, ids)
