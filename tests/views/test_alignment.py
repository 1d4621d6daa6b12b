"""Which words of a source a model of pairs attends to: exact rates, whole rows, and the weights of Marian."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.errors import ConfigError, CorpusError
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.kinds import new_model
from minigpt.settings import ModelConfig
from minigpt.text.learning import ending_texts
from minigpt.text.pairs import BUILTIN
from minigpt.text.tokenizer import Tokenizer
from minigpt.text.translations import EXAMPLE
from minigpt.views.alignment import Side, align, alignment_grid, error_rate, sharpest_layer, with_truth

MakePairs = Callable[..., EncoderDecoder]
CROSSED = {(0, 0), (3, 1), (2, 2), (1, 3)}


@pytest.fixture(scope="module")
def pairs_tokenizer(bpe: Tokenizer) -> Tokenizer:
    return ending_texts(bpe)


@pytest.fixture(scope="module")
def make_pairs(pairs_tokenizer: Tokenizer) -> MakePairs:
    """A toy of a kind, of two layers, with token vectors large enough that its attention is not flat."""

    def make(kind: str = "transformer", context: int = 64) -> EncoderDecoder:
        heads, vocab_size, end = (
            2 if kind == "transformer" else 1,
            pairs_tokenizer.vocab_size,
            pairs_tokenizer.end_of_text,
        )
        config = ModelConfig(
            model=kind, vocab_size=vocab_size, context=context, layers=2, heads=heads, width=16, end=end
        )
        model = new_model(config).initialise(torch.Generator().manual_seed(0))
        with torch.no_grad():
            model.wte.weight.mul_(3)
        return model.eval()

    return make


# The alignment error rate


def test_the_rate_of_the_example_counts_words_by_their_bytes() -> None:
    """A token for each character: all of a word's tokens attend to the first character of its word."""
    source, target = EXAMPLE.source, EXAMPLE.target
    starts = {number: start for number, (start, _) in enumerate(EXAMPLE.source_spans)}
    true = {word: source_word for source_word, word in EXAMPLE.links}
    weights = torch.zeros(len(target) + 1, len(source) + 1)
    for word, (start, stop) in enumerate(EXAMPLE.target_spans):
        weights[start:stop, starts[true[word]]] = 1.0
    counts = [[*(len(c.encode()) for c in text), 0] for text in (source, target)]
    assert error_rate(weights.numpy(), EXAMPLE, *counts) == 0.0
    start, stop = EXAMPLE.target_spans[1]
    weights[start:stop] = 0.0
    weights[start:stop, starts[0]] = 1.0  # `zone` at `the`
    assert error_rate(weights.numpy(), EXAMPLE, *counts) == pytest.approx(0.25)


# The grid


@pytest.mark.parametrize("kind", ["transformer", "seq2seq-attention"])
def test_row_t_is_of_the_step_that_writes_token_t(make_pairs: MakePairs, pairs_tokenizer: Tokenizer, kind: str) -> None:
    model = make_pairs(kind)
    found = align(model, pairs_tokenizer, "the quick fox", "der Fuchs")
    source, target = found.source.ids, found.target.ids
    assert (source[-1], target[-1]) == (model.end, model.end)
    head = 2 if kind == "transformer" else 1
    layer = 2 if kind == "transformer" else 1
    grid = alignment_grid(found, pairs_tokenizer, layer, head)
    assert [token.id for token in grid.target] == target
    assert [len(row) for row in grid.weights] == [len(source)] * len(target)
    assert [sum(row) for row in grid.weights] == pytest.approx([1.0] * len(target), abs=1e-6)
    with torch.no_grad():  # step by step, as a text is generated
        state = model.encode(torch.tensor([source]))
        for token, row in zip([model.end, *target], grid.weights, strict=False):
            weights: list[torch.Tensor] = []
            _, state = model.decode(torch.tensor([[token]]), state, weights)
            assert row == pytest.approx(weights[layer - 1][0, head - 1, 0].tolist(), abs=1e-5)


def test_the_target_is_the_models_own_unless_one_is_given(make_pairs: MakePairs, pairs_tokenizer: Tokenizer) -> None:
    model = make_pairs(context=12)
    found = align(model, pairs_tokenizer, " the fox ")
    ids, own = found.target.ids, [*found.source.ids]
    with torch.no_grad():
        for token in ids:
            assert int(model(torch.tensor([own]))[0, -1].argmax()) == token
            own.append(token)
    assert ids[-1] == model.end or len(ids) == 12
    assert found.source.text == "the fox"
    assert found.weights_LHTS.shape == (2, 2, len(ids), len(found.source.ids))
    given = align(model, pairs_tokenizer, "the fox", "le")
    assert pairs_tokenizer.decode(given.target.ids[:-1]) == "le"


def test_the_sharpest_layer_has_the_lowest_entropy_before_the_end() -> None:
    flat, sharp = [0.5, 0.5], [0.9, 0.1]
    layers = torch.tensor([[[flat, sharp]], [[sharp, flat]]])  # the last row is of end-of-text
    assert sharpest_layer(layers) == 2
    assert sharpest_layer(layers[:, :, 1:]) == 1  # the only row
    heads = torch.tensor([[[[1.0, 0.0], flat], [[0.0, 1.0], flat]], [[sharp, flat], [sharp, flat]]])
    assert sharpest_layer(heads) == 2  # heads that disagree have a flat mean


def test_words_are_counted_in_tokens() -> None:
    assert Side("the fox", [1, 2, 3, 0], [3, 2, 2, 0]).words == (1, 2, 1)
    assert Side("\ufffd", [1, 0], [1, 0]).words == (1, 1)  # half a character
    assert Side("", [0], [0]).words == (1,)


def test_what_has_no_alignment_says_so(make_pairs: MakePairs, pairs_tokenizer: Tokenizer, model: object) -> None:
    with pytest.raises(ConfigError, match="hands over one vector"):
        align(make_pairs("seq2seq"), pairs_tokenizer, "a")
    with pytest.raises(ConfigError, match="this model is a GPT-2"):
        align(model, pairs_tokenizer, "a")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="target has 5 tokens"):
        align(make_pairs(context=4), pairs_tokenizer, "a", "a\tb!")
    with pytest.raises(ConfigError, match="not empty"):
        align(make_pairs(), pairs_tokenizer, "a", " ")
    found = align(make_pairs(), pairs_tokenizer, "a")
    with pytest.raises(ConfigError, match="from 1 to 2, not 3"):
        alignment_grid(found, pairs_tokenizer, 3)
    with pytest.raises(ConfigError, match="from 1 to 2, not 3"):
        alignment_grid(found, pairs_tokenizer, 1, 3)
    reading = pairs_tokenizer.reading(special=True, no_bos=False)
    with pytest.raises(CorpusError, match="inside, which would end it"):
        align(make_pairs(), reading, "a<|endoftext|>b")


def test_the_truth_is_known_of_the_built_in_pairs_alone(
    make_pairs: MakePairs, pairs_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    found = align(make_pairs(), pairs_tokenizer, EXAMPLE.source, EXAMPLE.target)
    assert with_truth(found, tmp_path).known is None  # no run
    info = '{"corpus": {"sources": [{"name": "%s", "sha256": "", "size": 1, "documents": 2}]}}'
    (tmp_path / "run.json").write_text(info % "mine.tsv", "utf-8")
    assert with_truth(found, tmp_path).known is None
    (tmp_path / "run.json").write_text(info % BUILTIN, "utf-8")
    known = with_truth(found, tmp_path)
    assert known.known == EXAMPLE
    assert alignment_grid(found, pairs_tokenizer).alignment_error_rate is None
    assert 0 <= (alignment_grid(known, pairs_tokenizer).alignment_error_rate or 0) <= 1
    other = align(make_pairs(), pairs_tokenizer, EXAMPLE.source, "la zone")
    assert with_truth(other, tmp_path).known is None


def test_weights_are_those_of_transformers(make_pairs: MakePairs, pairs_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """`cross_attentions` of Marian, loaded from the folder that is saved, of every layer and head."""
    transformers = pytest.importorskip("transformers")
    model = make_pairs()
    save_description(tmp_path, model.config, pairs_tokenizer, torch.float32)
    save_weights(tmp_path, model)
    marian = transformers.MarianMTModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    found = align(model, pairs_tokenizer, "the quick brown fox", "der Fuchs springt")
    source, inputs = (torch.tensor([ids]) for ids in (found.source.ids, [model.end, *found.target.ids[:-1]]))
    with torch.no_grad():
        expected = marian(input_ids=source, decoder_input_ids=inputs, output_attentions=True).cross_attentions
    for layer in (1, 2):
        for head in (None, 1, 2):
            theirs = expected[layer - 1][0]
            wanted = theirs.mean(0) if head is None else theirs[head - 1]
            grid = alignment_grid(found, pairs_tokenizer, layer, head)
            assert torch.allclose(torch.tensor(grid.weights), wanted, atol=1e-5, rtol=0)
