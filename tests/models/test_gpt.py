"""The model alone: its shapes and sizes, both attentions, causality, and the same logits as transformers' GPT-2."""

import math
from collections.abc import Callable

import pytest
import torch
import transformers
from torch import Tensor

from minigpt.checkpoint.hf_gpt2 import PREFIX, config_to_json, weights_to_tensors
from minigpt.errors import ConfigError
from minigpt.models.gpt import GPT, Conv1D, explicit_attention
from minigpt.models.kv_cache import KVCache
from minigpt.settings import PRESETS, ModelConfig

MakeModel = Callable[..., GPT]


def random_ids(vocab_size: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def preset_config(name: str, vocab_size: int = 50_257) -> ModelConfig:
    p = PRESETS[name]
    return ModelConfig(vocab_size=vocab_size, context=p.context, layers=p.layers, heads=p.heads, width=p.width)


# Attention


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 16])
def test_explicit_attention_gives_the_logits_of_the_fused_one(make_model: MakeModel, heads: int, length: int) -> None:
    model, ids = make_model(50, heads=heads), random_ids(50, 3, length)
    with torch.no_grad():
        torch.testing.assert_close(model(ids, weights=[]), model(ids), atol=1e-5, rtol=1e-5)


def test_attention_weights_are_shares_of_what_came_before(make_model: MakeModel) -> None:
    model, weights = make_model(50, layers=3), []
    with torch.no_grad():
        model(random_ids(50, 2, 16), weights=weights)
    assert [tuple(w.shape) for w in weights] == [(2, 2, 16, 16)] * 3
    for layer in weights:
        torch.testing.assert_close(layer.sum(-1), torch.ones(2, 2, 16))
        assert torch.equal(layer, layer.tril())
        assert (layer >= 0).all()
        assert layer[:, :, 1:].max(-1).values.min() < 0.999  # the toy's attention is neither flat nor one-hot
        assert layer[:, :, -1].std() > 0.01


def test_explicit_attention_of_one_query_sees_all_keys() -> None:
    q, k = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 4, 2)
    v = torch.tensor([[[[0.0, 0.0], [4.0, 0.0], [0.0, 8.0], [0.0, 0.0]]]])
    y, weights = explicit_attention(q, k, v)
    assert weights.tolist() == [[[[0.25] * 4]]]
    assert y.tolist() == [[[[1.0, 2.0]]]]


def test_explicit_attention_scales_scores_by_the_head_width() -> None:
    q = k = torch.tensor([[[[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]]])
    _, weights = explicit_attention(q, k, torch.zeros(1, 1, 2, 4))
    share = math.exp(2) / (1 + math.exp(2))  # 2 * 2 / sqrt(4)
    torch.testing.assert_close(weights[0, 0], torch.tensor([[1.0, 0.0], [1 - share, share]]))


@pytest.mark.parametrize("changed", [1, 7, 15])
def test_a_later_token_changes_no_earlier_logit(model: GPT, changed: int) -> None:
    ids = random_ids(model.config.vocab_size, 1, 16)
    other = ids.clone()
    other[0, changed] = (ids[0, changed] + 1) % model.config.vocab_size
    with torch.no_grad():
        before, after = model(ids)[0], model(other)[0]
    torch.testing.assert_close(before[:changed], after[:changed], atol=1e-6, rtol=0)
    assert ((before[changed:] - after[changed:]).abs().amax(-1) > 1e-3).all()


def test_last_only_is_the_last_row(model: GPT) -> None:
    ids = random_ids(model.config.vocab_size, 2, 9)
    with torch.no_grad():
        full, last = model(ids), model(ids, last_only=True)
    assert last.shape == (2, 1, model.config.vocab_size)
    torch.testing.assert_close(last, full[:, -1:])


@pytest.mark.parametrize("last_only", [False, True])
def test_the_stream_is_the_embeddings_then_each_block(make_model: MakeModel, last_only: bool) -> None:
    model, ids, stream = make_model(50, layers=3), random_ids(50, 2, 9), []
    with torch.no_grad():
        logits = model(ids, last_only=last_only, stream=stream)
        x = model.wte.weight[ids] + model.wpe.weight[:9]
        for read, block in zip(stream, [*model.blocks, lambda x: x], strict=True):
            torch.testing.assert_close(read, x)
            x = block(x)
        assert torch.equal(model.unembed(stream[-1][:, -1:] if last_only else stream[-1]), logits)


@pytest.mark.parametrize("known", [0, 1, 6, 15])
def test_by_the_explicit_path_any_number_of_tokens_goes_behind_a_cache(make_model: MakeModel, known: int) -> None:
    model, ids = make_model(50), random_ids(50, 2, 16)
    cache = KVCache(model.config, batch=2)
    with torch.no_grad():
        if known:
            model(ids[:, :known], cache)
        behind = model(ids[:, known:], cache, weights=[])
        torch.testing.assert_close(behind, model(ids)[:, known:], atol=1e-5, rtol=1e-5)
    assert cache.length == 16


def test_rows_of_a_batch_do_not_mix(model: GPT) -> None:
    ids = random_ids(model.config.vocab_size, 3, 12)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), torch.cat([model(row[None]) for row in ids]), atol=1e-5, rtol=1e-5)


def test_the_logits_of_the_toy_are_not_flat(model: GPT) -> None:
    with torch.no_grad():
        probs = model(random_ids(model.config.vocab_size, 1, 16)).softmax(-1)
    assert probs.amax(-1).mean() > 10 / model.config.vocab_size


# Sizes


def test_the_parameter_count_is_the_configurations(make_model: MakeModel) -> None:
    model = make_model(37, 11, layers=3, heads=2, width=10)
    assert model.parameter_count() == model.config.parameter_count() == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_the_parameter_count_of_a_preset_is_that_of_its_model(name: str) -> None:
    config = preset_config(name)
    with torch.device("meta"):
        assert GPT(config).parameter_count() == config.parameter_count()


@pytest.mark.parametrize(
    ("name", "blocks", "total"),
    [
        ("nano", 793_344, 7_242_624),
        ("micro", 3_949_312, 16_847_872),
        ("mini", 10_647_552, 30_044_544),
        ("gpt2", 85_056_000, 124_439_808),
        ("gpt2-medium", 302_311_424, 354_823_168),
        ("gpt2-large", 708_390_400, 774_030_080),
        ("gpt2-xl", 1_475_561_600, 1_557_611_200),
    ],
)
def test_the_presets_have_the_sizes_of_their_names(name: str, blocks: int, total: int) -> None:
    config = preset_config(name)
    assert config.parameter_count() == total
    assert total - config.width * (config.vocab_size + config.context) == blocks


@pytest.mark.parametrize("name", PRESETS)
def test_the_heads_of_a_preset_are_32_or_64_wide(name: str) -> None:
    assert preset_config(name).width / preset_config(name).heads in (32, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 10, "heads": 3}, "width=10 cannot be divided among heads=3"),
        ({"layers": 0}, "layers= must be 1 or more, not 0"),
        ({"context": -1}, "context= must be 1 or more"),
        ({"vocab_size": 0}, "vocab_size= must be 1 or more"),
        ({"dropout": 1.0}, "dropout= must be at least 0 and below 1"),
        ({"dropout": float("nan")}, "dropout="),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes: dict[str, float], message: str) -> None:
    shape = {"vocab_size": 10, "context": 8, "layers": 1, "heads": 2, "width": 4}
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**{**shape, **changes})


def test_the_output_head_is_the_token_embedding(make_model: MakeModel) -> None:
    model = make_model(20)
    assert not any("head" in name for name in model.state_dict())
    ids = random_ids(20, 1, 5)
    with torch.no_grad():
        before = model(ids)
        unused = next(token for token in range(20) if token not in ids)
        model.wte.weight[unused] *= 2
        after = model(ids)
    torch.testing.assert_close(after[..., unused], before[..., unused] * 2)
    others = [token for token in range(20) if token != unused]
    torch.testing.assert_close(after[..., others], before[..., others])


# Initialisation


def test_initialisation_is_gpt2s() -> None:
    config = ModelConfig(vocab_size=1000, context=128, layers=8, heads=4, width=128)
    model = GPT(config).initialise(torch.Generator().manual_seed(0))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "ln_" in name:
            assert (parameter == 1).all(), name
        else:
            std = 0.02 / 4 if name.endswith("c_proj.weight") else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.03), name
            assert abs(parameter.mean().item()) < std / 20, name


def test_initialisation_depends_on_the_seed_alone() -> None:
    config = ModelConfig(vocab_size=50, context=8, layers=1, heads=2, width=8)
    first, same, other = (GPT(config).initialise(torch.Generator().manual_seed(s)).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["wte.weight"], other["wte.weight"])


def test_an_untrained_model_is_nearly_uniform() -> None:
    config = ModelConfig(vocab_size=500, context=32, layers=4, heads=4, width=64)
    model = GPT(config).initialise(torch.Generator().manual_seed(0)).eval()
    ids = random_ids(500, 8, 33)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(500), abs=0.1)


# Parity


@pytest.mark.parametrize(("layers", "heads", "width", "length"), [(1, 1, 8, 16), (3, 4, 32, 16), (2, 2, 16, 1)])
def test_the_logits_are_those_of_transformers(
    make_model: MakeModel, layers: int, heads: int, width: int, length: int
) -> None:
    model = make_model(99, layers=layers, heads=heads, width=width, seed=layers)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config_to_json(model.config, 98, torch.float32)))
    missing = theirs.load_state_dict(weights_to_tensors(model, torch.float32), strict=False)
    assert missing.unexpected_keys == []
    assert missing.missing_keys in ([], ["lm_head.weight"])
    ids = random_ids(99, 4, length)
    with torch.no_grad():
        expected = theirs.eval()(ids).logits
        torch.testing.assert_close(model(ids), expected, atol=1e-5, rtol=1e-5)


def test_the_names_and_layout_are_those_of_transformers(model: GPT) -> None:
    config = transformers.GPT2Config(**config_to_json(model.config, 0, torch.float32))
    theirs = {name: tuple(t.shape) for name, t in transformers.GPT2Model(config).state_dict().items()}
    ours = {name: tuple(t.shape) for name, t in weights_to_tensors(model, torch.float32).items()}
    assert ours == {PREFIX + name: shape for name, shape in theirs.items()}


def test_conv1d_is_a_product_and_a_sum() -> None:
    layer = Conv1D(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]))
        layer.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
        assert layer(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])).tolist() == [[[1.5, 2.0, 2.5], [10.5, 20.0, 29.5]]]


def test_dropout_acts_in_training_only() -> None:
    config = ModelConfig(vocab_size=30, context=8, layers=2, heads=2, width=16, dropout=0.5)
    model, ids = GPT(config).initialise(torch.Generator().manual_seed(0)), random_ids(30, 2, 8)
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(ids), model(ids))
        model.train()
        torch.manual_seed(0)
        assert not torch.equal(model(ids), model(ids))
