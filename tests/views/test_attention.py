"""What heads attend to, against attention written out again, the fused path, and toys whose answer is known."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from minigpt.errors import CheckpointError, ConfigError, CorpusError
from minigpt.models.gpt import GPT
from minigpt.models.inside import Attention
from minigpt.text.tokenizer import Tokenizer
from minigpt.text.words import joined_words
from minigpt.views.attention import attend, attention_grid, head_summaries
from minigpt.views.shared_word import shared_word, word_weights

TEXT = "The quick brown fox"


def toy(*rows: list[float], ids: tuple[int, ...]) -> Attention:
    """One layer of one head with these weights."""
    weights = torch.tensor(rows, dtype=torch.float64)[None, None]
    return Attention(ids, 0, weights, weights.log(), torch.zeros(2, len(ids), 4, dtype=torch.float64))


# attend


def test_the_weights_are_the_softmax_of_the_scores_and_look_only_back(model: GPT, bpe: Tokenizer) -> None:
    found = attend(model, bpe.encode(TEXT))
    layers, heads, tokens = model.config.layers, model.config.heads, len(bpe.encode(TEXT))
    assert found.weights_LHTS.shape == found.scores_LHTS.shape == (layers, heads, tokens, tokens)
    torch.testing.assert_close(found.scores_LHTS.softmax(-1), found.weights_LHTS, atol=1e-6, rtol=0)
    assert found.weights_LHTS.triu(1).abs().max() == 0
    rounding = tokens * torch.finfo(torch.float32).eps  # of as many weights as a row has, each in float32
    torch.testing.assert_close(
        found.weights_LHTS.sum(-1), torch.ones(layers, heads, tokens).double(), atol=rounding, rtol=0
    )


def test_damaged_weights_are_refused(model: GPT, bpe: Tokenizer) -> None:
    damaged = copy.deepcopy(model)
    with torch.no_grad():
        damaged.h[1].mlp.c_fc.weight[0, 0] = math.nan
    with pytest.raises(CheckpointError, match="not finite"):
        attend(damaged, bpe.encode(TEXT))


def test_the_weights_are_those_of_the_fused_path(model: GPT, bpe: Tokenizer) -> None:
    """Values mixed in these shares are what the fused kernel puts into the stream of a pass that keeps nothing."""
    ids, mixed, fused = bpe.encode(TEXT), [], []
    found = attend(model, ids)
    hooks = [b.attn.c_proj.register_forward_pre_hook(lambda _, given: fused.append(given[0])) for b in model.blocks]
    hooks += [
        b.attn.c_attn.register_forward_hook(lambda m, _, qkv: mixed.append(qkv.chunk(3, -1)[2])) for b in model.blocks
    ]
    with torch.inference_mode():
        logits = model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    for weights_HTS, values, expected in zip(found.weights_LHTS, mixed, fused, strict=True):
        by_head = values[0].view(len(ids), model.config.heads, -1).transpose(0, 1).double()
        together = (weights_HTS @ by_head).transpose(0, 1).flatten(1)
        torch.testing.assert_close(together.float(), expected[0], atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        last = F.linear(model.ln_f(found.stream_LTC[-1].float()), model.wte.weight)
    torch.testing.assert_close(last, logits[0], atol=1e-4, rtol=1e-4)


def test_the_stream_begins_with_the_embedding_and_leaves_no_hook(model: GPT, bpe: Tokenizer) -> None:
    ids = bpe.encode(TEXT)
    found = attend(model, ids)
    assert len(found.stream_LTC) == model.config.layers + 1
    embedding = model.wte(torch.tensor(ids)) + model.wpe.weight[: len(ids)]
    torch.testing.assert_close(found.stream_LTC[0].float(), embedding.detach())
    assert not any(block._forward_hooks or block.attn.c_attn._forward_hooks for block in model.blocks)


def test_a_text_beyond_the_context_is_read_in_its_last_window(model: GPT) -> None:
    ids = torch.randint(300, (50,), generator=torch.Generator().manual_seed(1)).tolist()
    found = attend(model, ids)
    assert 8 < len(found.ids) <= 16
    assert found.ids == tuple(ids[found.start :])


# head_summaries


def test_heads_are_named_by_where_half_of_their_attention_goes() -> None:
    one, none, half = 1.0, 0.0, 0.5
    first = head_summaries(toy([1, 0, 0, 0], [one, none, 0, 0], [one, 0, none, 0], [one, 0, 0, none], ids=(1, 2, 3, 4)))
    assert (first[0].kind, first[0].first, first[0].entropy_bits) == ("first-token", 1.0, 0.0)
    (previous,) = head_summaries(toy([1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], ids=(1, 2, 3, 4)))
    assert (previous.kind, previous.previous, previous.first) == ("previous-token", 1.0, 0.0)
    (itself,) = head_summaries(toy([1, 0, 0], [0, 1, 0], [0, 0, 1], ids=(1, 2, 3)))
    assert (itself.kind, itself.itself, itself.same) == ("itself", 1.0, None)
    (same,) = head_summaries(
        toy([1, 0, 0, 0], [half, half, 0, 0], [0.9, 0.1, 0, 0], [0, 0.8, 0.2, 0], ids=(5, 6, 5, 6))
    )
    assert (same.kind, same.same) == ("same-token", pytest.approx(0.85))
    (spread,) = head_summaries(
        toy([1, 0, 0, 0], [half, half, 0, 0], [0.34, 0.33, 0.33, 0], [0.25] * 4, ids=(1, 2, 3, 4))
    )
    assert spread.kind is None
    by_hand = (1 + 0.34 * -math.log2(0.34) + 0.66 * -math.log2(0.33) + 2) / 3
    assert spread.entropy_bits == pytest.approx(by_hand)


def test_in_two_tokens_the_one_before_is_not_counted_as_the_first_too() -> None:
    (head,) = head_summaries(toy([1, 0], [1, 0], ids=(1, 2)))
    assert (head.previous, head.first, head.kind) == (1.0, None, "previous-token")


def test_a_single_token_has_nothing_to_look_at(model: GPT) -> None:
    with pytest.raises(CorpusError, match="two tokens or more"):
        head_summaries(attend(model, [5]))


# attention_grid


def test_a_grid_has_the_rows_of_its_head(model: GPT, bpe: Tokenizer) -> None:
    found = attend(model, bpe.encode(TEXT))
    grid = attention_grid(found, bpe, 2, 1)
    assert b"".join(bytes.fromhex(token.bytes) for token in grid.tokens) == TEXT.encode()
    for t, (weights, scores) in enumerate(zip(grid.weights, grid.scores, strict=True)):
        assert weights == tuple(found.weights_LHTS[1, 0, t, : t + 1].tolist())
        assert scores == tuple(found.scores_LHTS[1, 0, t, : t + 1].tolist())
        assert sum(weights) == pytest.approx(1)
    mean = attention_grid(found, bpe, 1, None)
    assert mean.head is None
    assert mean.weights[-1] == pytest.approx(found.weights_LHTS[0, :, -1].mean(0).tolist())


def test_the_mean_of_one_head_is_that_head(bpe: Tokenizer) -> None:
    found = toy([1.0, 0.0], [0.25, 0.75], ids=(1, 2))
    assert attention_grid(found, bpe, 1, None) == attention_grid(found, bpe, 1, 1)


@pytest.mark.parametrize(
    ("layer", "head", "said"), [(0, 1, "layer="), (3, 1, "layer="), (1, 0, "head="), (1, 3, "head=")]
)
def test_there_is_no_grid_of_what_is_not_there(model: GPT, bpe: Tokenizer, layer: int, head: int, said: str) -> None:
    with pytest.raises(ConfigError, match=f"{said} must be from 1 to 2"):
        attention_grid(attend(model, bpe.encode(TEXT)), bpe, layer, head)


# shared_word


def test_a_word_is_found_in_both_whatever_its_case(model: GPT, bpe: Tokenizer) -> None:
    texts = ("Dog, be lazy?", "A fox is no dog.")
    shared = shared_word(model, bpe, texts, None, top=3)
    assert (shared.first.word, shared.second.word) == ("Dog", "dog")
    for context, text in zip((shared.first, shared.second), texts, strict=True):
        ids = bpe.encode(text)
        before = b"".join(bpe.token_bytes(i) for i in ids[: context.position + 1]).decode()
        assert before.lower().endswith("dog")
        found = attend(model, ids)
        stream = found.stream_LTC[:, context.position + 1 - context.tokens : context.position + 1].mean(1)
        assert [layer.layer for layer in context.layers] == [0, 1, 2]
        assert context.layers[0].cosine_to_embedding == pytest.approx(1)
        assert context.layers[0].moved == 0
        assert context.layers[0].looked_at == ()
        for layer in context.layers[1:]:
            moved = (stream[layer.layer] - stream[0]).norm() / stream[0].norm()
            assert layer.moved == pytest.approx(float(moved))
            weights = found.weights_LHTS[layer.layer - 1, :, context.position].mean(0)
            assert [seen.weight for seen in layer.looked_at] == sorted(weights.tolist(), reverse=True)[:3]
            assert all(float(weights[seen.position]) == seen.weight for seen in layer.looked_at)
    assert len(shared.cosines) == 3


def test_the_same_text_twice_is_the_same(model: GPT, bpe: Tokenizer) -> None:
    shared = shared_word(model, bpe, (TEXT, TEXT), "fox", top=2)
    assert shared.first == shared.second
    assert shared.cosines == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("texts", "word", "said"),
    [
        (("one two", "three four"), None, "share no word"),
        (("the fox", "the dog"), "dog", '"dog" does not occur in "the fox"'),
        (("the fox", "the foxes"), "fox", 'does not occur in "the foxes"'),
        (("dog " + "x y " * 30, "dog"), "dog", "outside the last 16 tokens"),
    ],
)
def test_words_that_are_not_shared_are_said(
    model: GPT, bpe: Tokenizer, texts: tuple[str, str], word: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        shared_word(model, bpe, texts, word, top=2)


# Words


def test_tokens_are_joined_into_words(bpe: Tokenizer) -> None:
    text = "The quick-witted, lazy zyxwv dog."
    ids, byte_counts = bpe.encode_prompt(text)
    words = joined_words(byte_counts, 0, text)
    assert [bpe.decode([ids[i] for i in word]) for word in words] == [
        "The", " quick", "-", "witted", ",", " lazy", " zyxwv", " dog", "."
    ]  # fmt: skip
    assert [i for word in words for i in word] == list(range(len(ids)))
    cut = joined_words(byte_counts, 1, text)
    assert [i for word in cut for i in word] == list(range(len(ids) - 1))


def test_a_words_look_is_the_mean_over_its_tokens_of_the_sum_over_the_others() -> None:
    weights = torch.tensor(
        [[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.5, 0], [0.5, 0.125, 0.125, 0.25]], dtype=torch.float64
    )
    assert word_weights(weights, range(2, 4), [range(2), range(2, 4)]) == [0.5625, 0.4375]
    assert word_weights(weights, range(3, 4), [range(1), range(1, 3), range(3, 4)]) == [0.5, 0.25, 0.25]


def test_a_word_of_several_tokens_is_their_mean_and_the_last_occurrence_is_taken(model: GPT, bpe: Tokenizer) -> None:
    text = "zyxwv a zyxwv"
    shared = shared_word(model, bpe, (text, "zyxwv"), None, top=2)
    found, count = attend(model, bpe.encode(text)), shared.first.tokens
    assert count > 1
    at = shared.first.position
    assert at == len(found.ids) - 1
    stream = found.stream_LTC[:, at + 1 - count :].mean(1)
    for layer in shared.first.layers[1:]:
        assert layer.moved == pytest.approx(float((stream[layer.layer] - stream[0]).norm() / stream[0].norm()))
        assert math.fsum([*(word.weight for word in layer.words), layer.other_weight]) == pytest.approx(1)
        assert len(layer.words) + layer.other_words == 3
        assert layer.looked_at[0].weight == float(found.weights_LHTS[layer.layer - 1, :, at].mean(0).max())
    assert not shared.first.first
    assert shared.second.first
    assert [word.text for word in shared.second.layers[1].words] == ["zyxwv"]
