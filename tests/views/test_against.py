"""Two models on one text, against what each says alone; different vocabularies meet where both end a token."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import CheckpointError
from minigpt.models.decoder import position_logits
from minigpt.models.gpt import GPT
from minigpt.sampling.distribution import divergence_bits
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.against import ComparedTally, compare_next, compare_text, same_vocabulary
from minigpt.views.probs import every_token, next_token

TEXT = "The quick brown fox – größer geht's nicht. 速い茶色の狐 😀\n\nDer dog's running on."
MakeModel = Callable[..., GPT]


@pytest.fixture
def one(make_model: MakeModel, bpe: Tokenizer) -> Checkpoint:
    return Checkpoint(Path("one"), make_model(bpe.vocab_size), bpe)


@pytest.fixture
def other(make_model: MakeModel, bpe: Tokenizer) -> Checkpoint:
    """Of the same vocabulary, with another context."""
    return Checkpoint(Path("other"), make_model(bpe.vocab_size, 9, seed=4), bpe)


@pytest.fixture
def foreign(make_model: MakeModel, char: Tokenizer) -> Checkpoint:
    """Of another vocabulary."""
    return Checkpoint(Path("foreign"), make_model(char.vocab_size, 12, seed=5), char)


def test_a_next_token_is_what_both_say_alone(one: Checkpoint, other: Checkpoint) -> None:
    record = compare_next(one, other, TEXT, top=6)
    ids, size = one.tokenizer.encode(TEXT), one.tokenizer.vocab_size
    first, second = (next_token(c.model, c.tokenizer, ids, top=size) for c in (one, other))
    alone = [{c.id: c for c in record.candidates} for record in (first, second)]
    for token in (*record.tokens, *record.moved):
        assert token.raw_prob == pytest.approx(alone[0][token.id].raw_prob)
        assert token.other_raw_prob == pytest.approx(alone[1][token.id].raw_prob)
        assert (token.rank, token.other_rank) == (alone[0][token.id].rank, alone[1][token.id].rank)
    likeliest = sorted(alone[0], key=lambda i: -max(a[i].raw_prob for a in alone))[:6]
    assert [token.id for token in record.tokens] == likeliest
    moved = sorted(alone[0], key=lambda i: -abs(alone[0][i].raw_prob - alone[1][i].raw_prob))[:3]
    assert [token.id for token in record.moved] == moved
    assert record.rest == size - 6
    assert sum(t.raw_prob for t in record.tokens) + record.rest_raw_prob == pytest.approx(1, abs=1e-9)
    assert sum(t.other_raw_prob for t in record.tokens) + record.rest_other_raw_prob == pytest.approx(1, abs=1e-9)
    assert (record.entropy_bits, record.other_entropy_bits) == (first.entropy_bits, second.entropy_bits)
    by_hand = math.fsum(c.raw_prob * math.log2(c.raw_prob / alone[1][c.id].raw_prob) for c in first.candidates)
    assert record.divergence_bits == pytest.approx(by_hand)
    assert record.other_divergence_bits != pytest.approx(record.divergence_bits)


def test_a_model_does_not_differ_from_itself(one: Checkpoint) -> None:
    record = compare_next(one, one, TEXT, top=5)
    assert record.divergence_bits == record.other_divergence_bits == 0
    assert all(token.raw_prob == token.other_raw_prob for token in record.tokens)
    assert all(span.divergence_bits in (0, None) for span in compare_text(one, one, TEXT))


def test_next_tokens_of_different_vocabularies_are_refused(one: Checkpoint, foreign: Checkpoint) -> None:
    assert not same_vocabulary(one.tokenizer, foreign.tokenizer)
    two_words = dataclasses.replace(foreign, path=Path("a folder"))
    with pytest.raises(CheckpointError, match=r"different vocabularies.*\n.* --against 'a folder' --all$"):
        compare_next(one, two_words, TEXT, top=5)


def test_every_token_of_one_vocabulary_costs_what_it_does_alone(one: Checkpoint, other: Checkpoint) -> None:
    spans = list(compare_text(one, other, TEXT))
    ids = one.tokenizer.encode(TEXT)
    alone = [[r.surprisal_bits for r in every_token(c.model, c.tokenizer, ids, top=1)] for c in (one, other)]
    assert [span.surprisal_bits for span in spans] == pytest.approx(alone[0], nan_ok=True)
    assert [span.other_surprisal_bits for span in spans] == pytest.approx(alone[1], nan_ok=True)
    assert all(span.tokens == span.other_tokens and len(span.tokens) == 1 for span in spans)
    pairs = zip(position_logits(one.model, ids), position_logits(other.model, ids), strict=True)
    expected = [divergence_bits(logits, others) for (_, logits), (_, others) in pairs]
    assert [span.divergence_bits for span in spans[1:]] == pytest.approx(expected)


def test_different_vocabularies_meet_where_both_end_a_token(one: Checkpoint, foreign: Checkpoint) -> None:
    tally = ComparedTally()
    spans = list(tally.watch(compare_text(one, foreign, TEXT)))
    for span in spans:
        assert "".join(t.bytes for t in span.tokens) == "".join(t.bytes for t in span.other_tokens)
        assert min(len(span.tokens), len(span.other_tokens)) >= 1
        assert span.divergence_bits is None
    assert b"".join(bytes.fromhex(t.bytes) for s in spans for t in s.tokens) == TEXT.encode()
    assert [span.surprisal_bits is None for span in spans] == [True, *[False] * (len(spans) - 1)]
    for number, checkpoint in enumerate((one, foreign)):
        ids = checkpoint.tokenizer.encode(TEXT)
        alone = [r.surprisal_bits for r in every_token(checkpoint.model, checkpoint.tokenizer, ids, top=1)]
        skipped = len((spans[0].tokens, spans[0].other_tokens)[number])
        costs = [(span.surprisal_bits, span.other_surprisal_bits)[number] for span in spans[1:]]
        assert math.fsum(c for c in costs if c is not None) == pytest.approx(
            math.fsum(bits for bits in alone[skipped:] if bits is not None)
        )
    totals = tally.totals()
    assert totals.bytes == len(TEXT.encode()) - len(spans[0].tokens[0].bytes) // 2 * len(spans[0].tokens)
    assert totals.divergence_bits_per_token is None
    assert totals.bits_per_byte == pytest.approx(
        math.fsum(s.surprisal_bits for s in spans if s.surprisal_bits is not None) / totals.bytes
    )


@pytest.mark.parametrize("text", ["", "T"])
def test_a_text_without_a_context_has_no_totals(
    one: Checkpoint, other: Checkpoint, foreign: Checkpoint, text: str
) -> None:
    for second in (other, foreign):
        tally = ComparedTally()
        assert len(list(tally.watch(compare_text(one, second, text)))) == len(text)
        totals = dataclasses.asdict(tally.totals())
        assert totals["bits_per_byte"] is None
        assert totals["other_bits_per_byte"] is None
        assert totals["bytes"] == 0
