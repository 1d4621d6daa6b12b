"""What whole continuations cost: by hand, and against a full pass a token."""

import math
from collections.abc import Callable

import pytest
import torch

from minigpt.models.gpt import GPT
from minigpt.models.window import window_start
from minigpt.text.tokenizer import Tokenizer
from minigpt.views import choices
from minigpt.views.choices import weigh

TEXTS = [" dog", " lazy fox", " größer geht's nicht", "😀", "x" * 30, " d"]


def direct_nats(model: GPT, ids: list[int], text: list[int]) -> float:
    """-ln p of every token of `text` after `ids`, each from a pass of its own over what sampling would see."""
    total, whole = 0.0, ids + text
    for position in range(len(ids), len(whole)):
        start = window_start(position, model.config.context)
        with torch.no_grad():
            logits = model(torch.tensor([whole[start:position]]))[0, -1].double()
        total -= float(logits.log_softmax(-1)[whole[position]])
    return total


@pytest.mark.parametrize("prompt", ["The", "The quick brown fox jumps over the", "x" * 200])
def test_the_numbers_against_full_passes(model: GPT, bpe: Tokenizer, prompt: str) -> None:
    ids = bpe.encode(prompt)
    found = {choice.text: choice for choice in weigh(model, bpe, ids, TEXTS)}
    nats = {text: direct_nats(model, ids, bpe.encode(text)) for text in TEXTS}
    least = min(nats.values())
    whole = sum(math.exp(least - cost) for cost in nats.values())
    by_byte = {text: math.exp(-nats[text] / len(text.encode())) for text in TEXTS}
    for text, choice in found.items():
        assert choice.total_nats == pytest.approx(nats[text], rel=1e-4)
        assert choice.share == pytest.approx(math.exp(least - nats[text]) / whole, rel=1e-3)
        assert choice.share_per_byte == pytest.approx(by_byte[text] / sum(by_byte.values()), rel=1e-3)
        assert [token.id for token in choice.tokens] == bpe.encode(text)
        assert choice.bytes == len(text.encode())


def test_a_uniform_model_by_hand(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    """Each token is 1 in 320: one of one token against one of two."""
    assert [len(bpe.encode(text)) for text in (" the", " x")] == [1, 2]
    first, second = weigh(constant_model([0.0] * 320), bpe, [1, 2], [" x", " the"])
    assert (first.text, second.text) == (" the", " x")
    assert (first.raw_prob, second.raw_prob) == (pytest.approx(1 / 320), pytest.approx(1 / 320**2))
    assert first.total_nats == pytest.approx(math.log(320))
    assert first.nats_per_byte == pytest.approx(math.log(320) / 4)
    assert first.bits_per_byte == pytest.approx(math.log2(320) / 4)
    assert (first.share, second.share) == (pytest.approx(320 / 321), pytest.approx(1 / 321))
    ratio = math.exp(math.log(320) / 4 - 2 * math.log(320) / 2)
    assert second.share_per_byte / first.share_per_byte == pytest.approx(ratio)
    assert second.share_per_byte == pytest.approx(ratio / (1 + ratio))


def test_shares_add_up_and_come_in_order(model: GPT, bpe: Tokenizer) -> None:
    found = weigh(model, bpe, bpe.encode("The dog"), TEXTS)
    assert math.fsum(choice.share for choice in found) == pytest.approx(1, abs=1e-12)
    assert math.fsum(choice.share_per_byte for choice in found) == pytest.approx(1, abs=1e-12)
    assert [choice.total_nats for choice in found] == sorted(choice.total_nats for choice in found)
    for choice in found:
        assert choice.total_nats == pytest.approx(math.fsum(token.nats for token in choice.tokens))


def test_the_order_of_the_choices_makes_no_difference(model: GPT, bpe: Tokenizer) -> None:
    ids = bpe.encode("The dog")
    one, other = weigh(model, bpe, ids, TEXTS), weigh(model, bpe, ids, TEXTS[::-1])
    assert [choice.text for choice in one] == [choice.text for choice in other]
    assert [choice.total_nats for choice in one] == pytest.approx([choice.total_nats for choice in other], rel=1e-5)


def test_groups_make_no_difference(model: GPT, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = bpe.encode("The dog")
    together = weigh(model, bpe, ids, TEXTS)
    monkeypatch.setattr(choices, "_AT_ONCE", 2)
    for one, other in zip(weigh(model, bpe, ids, TEXTS), together, strict=True):
        assert one.text == other.text
        assert one.total_nats == pytest.approx(other.total_nats, rel=1e-5)


def test_what_is_next_to_impossible_still_has_shares(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    """Probabilities of exp(-3000) are no floats; their ratio is."""
    logits = [0.0] * bpe.vocab_size
    logits[1] = 1500.0
    first, second = weigh(constant_model(logits), bpe, [1], ["ab", "abc"])
    assert (first.raw_prob, second.raw_prob) == (0.0, 0.0)
    assert first.total_nats == pytest.approx(3000)
    assert (first.share, second.share) == (1.0, 0.0)
    assert first.share_per_byte == pytest.approx(0.5)


def test_the_first_of_equals_comes_first(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    found = weigh(constant_model([0.0] * bpe.vocab_size), bpe, [1], ["b", "a", "c"])
    assert [(choice.text, choice.share) for choice in found] == [(text, pytest.approx(1 / 3)) for text in "bac"]


def test_the_prompt_is_read_once_for_all(model: GPT, bpe: Tokenizer, passes: list[tuple[int, int]]) -> None:
    ids = bpe.encode("The dog")
    lengths = [len(bpe.encode(text)) for text in (" the", " x", " xy", " xz")]
    weigh(model, bpe, ids, [" the", " x", " xy", " xz"])
    assert lengths == [1, 2, 3, 3]
    assert passes == [(1, len(ids)), (3, 1), (2, 1)]  # rows, tokens
