"""Both lists of `--without`, against the distributions of the text and of what is left of it; and what is refused."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from minigpt.errors import ConfigError, CorpusError
from minigpt.models.ablation import logits_without
from minigpt.models.gpt import GPT
from minigpt.models.parts import Part
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.probs import next_token
from minigpt.views.without import next_without, removal

IDS = [5, 9, 40, 301, 77, 9, 9, 120, 3, 254]


def bits(logits: Tensor) -> Tensor:
    return logits.double().log_softmax(-1) / math.log(2)


@pytest.mark.parametrize("to", ["zero", "mean"])
def test_the_numbers_are_those_of_both_distributions(model: GPT, bpe: Tokenizer, to: str) -> None:
    record = next_without(model, bpe, IDS, ["layer 2 head 1", "layer 1 mlp"], ablation=to, tracked=[7], top=4)
    usual = bits(logits_without(model, IDS, ()))
    changed = bits(logits_without(model, IDS, [Part("head", 2, 1), Part("mlp", 1)], to))
    assert (record.parts, record.ablation) == ((Part("head", 2, 1), Part("mlp", 1)), to)
    assert (record.left_out, record.position, record.unseen) == ((), 10, 0)
    best = usual.maximum(changed).topk(4).indices.tolist()
    assert [token.id for token in record.candidates] == [*best, 7]
    for token in record.candidates:
        assert token.raw_prob == pytest.approx(2 ** float(usual[token.id]))
        assert token.changed_raw_prob == pytest.approx(2 ** float(changed[token.id]))
        assert token.change_bits == pytest.approx(float(changed[token.id] - usual[token.id]), abs=1e-9)
        assert token.rank == 1 + int((usual > usual[token.id]).sum())
        assert token.changed_rank == 1 + int((changed > changed[token.id]).sum())
    for name in ("raw_prob", "changed_raw_prob"):
        listed = sum(getattr(token, name) for token in record.candidates)
        assert listed + getattr(record.other, name) == pytest.approx(1, abs=1e-9)
    assert record.other.count == model.config.vocab_size - 5
    p, q = 2**usual, 2**changed
    assert record.entropy_bits == pytest.approx(-float((p * usual).sum()))
    assert record.changed_entropy_bits == pytest.approx(-float((q * changed).sum()))
    assert record.divergence_bits == pytest.approx(float((p * (usual - changed)).sum()))
    assert record.changed_divergence_bits == pytest.approx(float((q * (changed - usual)).sum()))


@pytest.mark.parametrize("positions", [[0], [9], [3, 0, 3], [8, 9]], ids=str)
def test_without_positions_it_is_the_text_without_these_tokens(
    model: GPT, bpe: Tokenizer, positions: list[int]
) -> None:
    record = next_without(model, bpe, IDS, [f"position {position}" for position in positions], top=320)
    left = [token for i, token in enumerate(IDS) if i not in positions]
    for ids, rank, share in ((IDS, "rank", "raw_prob"), (left, "changed_rank", "changed_raw_prob")):
        expected = next_token(model, bpe, ids, top=320).candidates
        found = {token.id: (getattr(token, rank), getattr(token, share)) for token in record.candidates}
        assert found == {c.id: (c.rank, pytest.approx(c.raw_prob, abs=1e-6)) for c in expected}
    once = list(dict.fromkeys(positions))
    assert [(token.position, token.id) for token in record.left_out] == [(i, IDS[i]) for i in once]
    assert record.other.count == 0


def test_a_part_and_a_position_are_gone_together(model: GPT, bpe: Tokenizer) -> None:
    record = next_without(model, bpe, IDS, ["position 4", "layer 1 head 2"], ablation="mean", top=1)
    expected = bits(logits_without(model, [*IDS[:4], *IDS[5:]], [Part("head", 1, 2)], "mean"))
    token = record.candidates[0]
    assert token.changed_raw_prob == pytest.approx(2 ** float(expected[token.id]))


@pytest.mark.parametrize("length", [16, 17, 24, 25, 60])
def test_of_a_long_text_the_window_keeps_its_start(model: GPT, bpe: Tokenizer, length: int) -> None:
    ids = (IDS * 6)[:length]
    last = next_without(model, bpe, ids, [f"position {length - 1}"], top=1)
    window = ids[last.unseen :]
    assert len(window) == length if length <= 16 else 8 < len(window) <= 16
    token = last.candidates[0]
    assert token.raw_prob == pytest.approx(2 ** float(bits(logits_without(model, window, ()))[token.id]))
    without = bits(logits_without(model, window[:-1], ()))
    assert token.changed_raw_prob == pytest.approx(2 ** float(without[token.id]))
    first = next_without(model, bpe, ids, [f"position {last.unseen}"], top=1)
    assert first.left_out[0].id == window[0]
    if last.unseen:
        with pytest.raises(ConfigError, match=f"its window begins at position {last.unseen}"):
            next_without(model, bpe, ids, [f"position {last.unseen - 1}"])


def test_what_changes_nothing_is_no_change(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    record = next_without(constant_model([0.0] * 319 + [3.0]), bpe, IDS, ["layer 1 mlp", "position 2"])
    assert [token.change_bits for token in record.candidates] == [0.0] * 10
    assert (record.divergence_bits, record.changed_divergence_bits) == (0, 0)


def test_numbers_so_small_that_they_underflow_have_a_change(make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    model = make_model(320)
    with torch.no_grad():
        model.ln_f.weight.mul_(1000)
    usual, changed = (bits(logits_without(model, IDS, parts)) for parts in ((), [Part("mlp", 2)]))
    worst = int((usual + changed).argmin())
    token = next_without(model, bpe, IDS, ["layer 2 mlp"], tracked=[worst], top=1).candidates[-1]
    assert token.raw_prob == 0
    assert token.change_bits == pytest.approx(float(changed[worst] - usual[worst]))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("layer 2 head 3", Part("head", 2, 3)),
        (" Layer 12, Head 1\n", Part("head", 12, 1)),
        ("layer2 head3", Part("head", 2, 3)),
        ("LAYER 1 MLP", Part("mlp", 1)),
    ],
)
def test_parts_are_named_as_everywhere(text: str, part: Part) -> None:
    assert removal([text, text]) == ((part,), ())
    assert removal([part.name]) == ((part,), ())
    assert removal(["position 4", text, "Position  0"]) == ((part,), (4, 0))


@pytest.mark.parametrize(
    "text",
    ["", "layer 2", "head 3", "layer 2 head", "layer 2 head 3 mlp", "mlp", "layer -1 mlp", "layer 1.5 mlp", "position",
     "position 4 5", "layer 1 head 1; layer 2 head 2", "layer 1 head " + "9" * 10, "layer ٢ mlp", "x" * 999],
)  # fmt: skip
def test_what_is_no_part_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match='takes "layer 2 head 3", "layer 2 mlp" or "position 4", not "') as caught:
        removal(["layer 1 mlp", text])
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["layer 9 head 1"], "the layer must be from 1 to 2, not 9"),
        (["layer 0 mlp"], "the layer must be from 1 to 2, not 0"),
        (["layer 1 mlp", "layer 2 head 3"], "the head must be from 1 to 2, not 3"),
        (["layer 2 head 0"], "the head must be from 1 to 2, not 0"),
        (["position 10"], "the text has positions 0 to 9"),
    ],
)
def test_what_there_is_not_is_refused(model: GPT, bpe: Tokenizer, texts: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        next_without(model, bpe, IDS, texts)


@pytest.mark.parametrize("length", [1, 3])
def test_a_token_must_be_left(model: GPT, bpe: Tokenizer, length: int) -> None:
    with pytest.raises(CorpusError, match="leaves no token to read"):
        next_without(model, bpe, IDS[:length], [f"position {position}" for position in range(length)])
