"""forward.c says what GPT.forward says, however many tokens it reads at once and whatever it is compiled for.

Judged by torch in float64, whose own float32 is beside it: rounding alone may lie between them.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
import torch

from minigpt.models import forward_library as module
from minigpt.models.decoder import CachedDecoder, network_of, target_nats
from minigpt.models.forward_library import forward_library, has_library
from minigpt.models.gpt import GPT
from minigpt.models.native import NativeGPT, as_bfloat16, as_int8, from_bfloat16, in_lines, is_native
from minigpt.models.precision import Int8Product
from minigpt.models.threads import StepThreads
from minigpt.models.torch_network import FlatStep, TorchNetwork
from minigpt.settings import ModelConfig
from minigpt.settings.model import ACTIVATIONS

TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]
SHAPES = {
    "small": {"width": 16, "heads": 2},
    "odd heads": {"width": 48, "heads": 3, "layers": 3},
    "heads of 11": {"width": 176, "heads": 16},
    "as in use": {"width": 128, "heads": 4, "layers": 4},
    "wider than a slice": {"width": 264, "heads": 4, "inner_width": 1100},
    "narrow inside": {"width": 32, "heads": 1, "inner_width": 48},
    "odd": {"width": 33, "heads": 3, "inner_width": 7},
    "one channel": {"width": 1, "heads": 1},
    "another epsilon": {"width": 32, "heads": 2, "layer_norm_epsilon": 1e-3},
    "its own output": {"width": 32, "heads": 2, "tied": False},
    **{name: {"width": 20, "heads": 2, "activation": name} for name in ACTIVATIONS},
}
HOW = {"float32": {}, "bfloat16": {"dtype": "bfloat16"}, "int8": {"quantize": "int8"}}

pytestmark = pytest.mark.skipif(
    not has_library() and shutil.which("cc") is None, reason="forward.c was not compiled, without a C compiler"
)


def make_model(vocab_size: int, *, context: int = 16, layers: int = 2, seed: int = 0, **shape: Any) -> GPT:
    """Every parameter random, and large enough that the logits are far from flat."""
    config = ModelConfig(vocab_size=vocab_size, context=context, layers=layers, **{"width": 16, "heads": 2} | shape)
    model, generator = GPT(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.2, generator=generator)
    return model.eval()


def arrays(model: GPT) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def native_of(model: GPT, **how: Any) -> NativeGPT:
    return NativeGPT(model.config, arrays(model), **how)


@pytest.fixture
def levels() -> Iterator[list[int]]:
    """Those of this processor, the highest of which is in use again afterwards."""
    library = forward_library()
    assert library is not None
    highest = library.forward_level(0)
    yield [level for level in (1, 3, 4) if level <= highest]
    library.forward_level(4)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def use_level(level: int) -> None:
    library = forward_library()
    assert library is not None
    assert library.forward_level(level) == level


def in_parts(model: NativeGPT, ids: np.ndarray, sizes: list[int]) -> np.ndarray:
    """The logits [B, T, V] after each of `ids` [B, T], read in parts of these sizes."""
    cache, ends = model.new_cache(len(ids)), list(accumulate(sizes))
    assert ends[-1] == ids.shape[1]
    parts = [ids[:, end - size : end] for end, size in zip(ends, sizes, strict=True)]
    found = np.concatenate([model.read(part, cache, every=True) for part in parts], axis=1)
    assert cache.length == ids.shape[1]
    return found


@torch.inference_mode()
def of_torch(model: GPT, ids: np.ndarray, dtype: torch.dtype = torch.float64) -> np.ndarray:
    found: np.ndarray = model.to(dtype)(torch.from_numpy(ids)).double().numpy()
    model.float()
    return found


def random_ids(config: ModelConfig, rows: int = 1, tokens: int | None = None) -> np.ndarray:
    return np.random.default_rng(0).integers(config.vocab_size, size=(rows, tokens or config.context))


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Of the largest logit: random weights amplify rounding."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_it_is_there_where_there_is_a_compiler() -> None:
    assert has_library()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("vocab_size", [50, 67])
def test_any_way_to_read_a_text_gives_the_logits_of_a_full_pass(
    shape: dict[str, Any], vocab_size: int, levels: list[int]
) -> None:
    model = make_model(vocab_size, context=70, **shape)
    ids = random_ids(model.config, rows=2)
    expected = of_torch(model, ids)
    for level in levels:
        use_level(level)
        for sizes in ([70], [1] * 70, [5, 30, 1, 17, 8, 9], [33, 37]):
            assert difference(in_parts(native_of(model), ids, sizes), expected) < 2e-5, (level, sizes)


def test_five_hundred_random_models_round_as_torch_does() -> None:
    """Their errors against float64 are of torch's size: of 500 shapes at most twice as large on average, and the token
    that comes next is the same, unless two logits are as near to each other as rounding is."""
    ratios, rng = [], np.random.default_rng(7)
    for seed in range(500):
        heads = int(rng.integers(1, 5))
        model = make_model(
            int(rng.integers(2, 90)),
            context=int(rng.integers(1, 40)),
            layers=int(rng.integers(1, 4)),
            seed=seed,
            heads=heads,
            width=heads * int(rng.integers(1, 20)),
            inner_width=int(rng.integers(1, 120)),
            activation=str(rng.choice(ACTIVATIONS)),
            tied=bool(rng.integers(2)),
        )
        ids = random_ids(model.config)
        expected, of_floats = of_torch(model, ids), of_torch(model, ids, torch.float32)
        sizes = [1] * ids.shape[1] if seed % 2 else [ids.shape[1]]
        found = in_parts(native_of(model), ids, sizes)
        error = difference(found, expected)
        assert error < 1e-5
        ratios.append(error / max(difference(of_floats, expected), 1e-8))
        best, second = np.sort(expected, axis=-1)[..., :-3:-1].transpose(2, 0, 1)
        clear = best - second > 2e-5 * np.abs(expected).max()
        assert (found.argmax(-1) == expected.argmax(-1))[clear].all()
    assert np.median(ratios) < 2


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_up_to_sixteen_tokens_give_the_same_bits_alone_and_together(how: dict[str, Any], levels: list[int]) -> None:
    model = native_of(make_model(67, context=64, width=144, heads=3), **how)
    ids = random_ids(model.config)
    for level in levels:
        use_level(level)
        alone = in_parts(model, ids, [1] * 64)
        assert np.array_equal(in_parts(model, ids, [16] * 4), alone)
        assert np.array_equal(in_parts(model, ids, [2, 3, 5, 7, 11, 13, 1, 15, 7]), alone)
        together = in_parts(model, np.repeat(ids, 8, axis=0), [1, 2] * 21 + [1])
        assert np.array_equal(together, np.repeat(alone, 8, axis=0))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_the_number_of_threads_changes_no_bit(how: dict[str, Any], levels: list[int]) -> None:
    """Of a prompt, of a step, of some tokens at once, of a batch and of a loss."""
    plain = make_model(67, context=90, width=144, heads=3)
    ids = random_ids(plain.config, rows=2)
    for level in levels:
        use_level(level)
        found = []
        for count in (1, 2, 3, 8):
            torch.set_num_threads(count)
            model = native_of(plain, **how)
            cache = model.new_cache(2)
            steps = [model.read(part, cache, every=True) for part in np.split(ids, [40, 41, 43, 44, 80], axis=1)]
            nats = model.nats(ids, np.roll(ids, 1), model.new_cache(2))
            steps += [one_step(model, threads) for threads in (1, count)]
            found.append(np.concatenate([nats.ravel(), *map(np.ravel, steps)]))
        assert all(np.array_equal(numbers, found[0]) for numbers in found[1:])


def test_passes_that_meet_in_time_do_not_meet_in_memory() -> None:
    """Two threads of Python's ask for passes at the same time, and again when the library's own have fallen asleep."""
    plain = make_model(67, context=64, width=144, heads=3)
    ids = random_ids(plain.config)

    def read(_: int) -> np.ndarray:
        model = native_of(plain)
        model._threads = StepThreads(2)
        model._threads.count = 2
        return in_parts(model, ids, [24, *[1] * 40])

    alone = in_parts(native_of(plain), ids, [24, *[1] * 40])
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            assert all(np.array_equal(found, alone) for found in pool.map(read, range(20)))
            time.sleep(0.01)


IN_A_FORK = """
import os
import signal
import numpy as np
from minigpt.models.native import NativeGPT, shapes_of
from minigpt.models.threads import use_threads
from minigpt.settings import ModelConfig

use_threads(2)
config = ModelConfig(vocab_size=50, context=40, layers=2, heads=2, width=32)
random = np.random.default_rng(0)
weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes_of(config).items()}
model = NativeGPT(config, weights)
ids = random.integers(50, size=(1, 40))
before = model.read(ids, model.new_cache())
child = os.fork()
signal.alarm(50)  # seconds, after which either process ends
same = np.array_equal(model.read(ids, model.new_cache()), before)
if child == 0:
    os._exit(0 if same else 1)
assert same
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_was_forked_has_threads_again() -> None:
    assert subprocess.run([sys.executable, "-c", IN_A_FORK], timeout=60).returncode == 0


def one_step(model: NativeGPT, threads: int) -> np.ndarray:
    """The logits of a step with this number of threads, which it would else choose by the clock."""
    cache = model.new_cache()
    model.read([[1, 2, 3]], cache)
    model._threads = StepThreads(1)
    model._threads.count = threads
    return model.read([[4]], cache)


ON_ONE_CORE = """
import os
import numpy as np
from minigpt.models.native import NativeGPT, shapes_of
from minigpt.settings import ModelConfig

config = ModelConfig(vocab_size=9, context=9, layers=1, heads=1, width=8)
model = NativeGPT(config, {name: np.ones(shape, np.float32) for name, shape in shapes_of(config).items()})
every = os.sched_getaffinity(0)
for allowed in ({min(every)}, every):
    for thread in map(int, os.listdir("/proc/self/task")):
        os.sched_setaffinity(thread, allowed)
    for count in (3, 2, 4):
        cache = model.new_cache()
        model._threads.count = count
        for position in range(9):
            cache.length = position
            model._run(np.ones((1, 1), np.int64), cache)
        assert len(os.listdir("/proc/self/task")) >= count
        for thread in map(int, os.listdir("/proc/self/task")):
            assert os.sched_getaffinity(thread) == allowed
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells on which cores a thread may run")
def test_threads_that_have_looked_for_a_core_may_use_all_of_them_as_before() -> None:
    """Those that the process may use: here one at first."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", ON_ONE_CORE], timeout=60, env=environment, check=False)
    assert ended.returncode == 0


def test_the_loss_is_that_of_the_logits() -> None:
    model = make_model(67, context=60)
    ids = random_ids(model.config, rows=3)
    targets = np.roll(ids, 1, axis=1)
    targets[1, 20:] = -100
    log_probs = torch.from_numpy(of_torch(model, ids)).log_softmax(-1).numpy()
    expected = -np.take_along_axis(log_probs, targets.clip(0)[..., None], axis=-1)[..., 0]
    expected[targets < 0] = 0
    of_c = native_of(model)
    for rows in (1, 3):  # 3 are more than are read as few
        found = of_c.nats(ids[:rows], targets[:rows], of_c.new_cache(rows))
        assert found.dtype == np.float64
        assert np.abs(found - expected[:rows]).max() < 1e-5
    assert np.abs(of_c.nats(ids[:1, :9], targets[:1, :9], of_c.new_cache()) - expected[:1, :9]).max() < 1e-5
    assert np.array_equal(target_nats(model, ids, targets), of_c.nats(ids, targets, of_c.new_cache(3)))


def test_the_cache_of_some_sequences_is_continued() -> None:
    model = native_of(make_model(50, width=24, heads=2))
    ids = random_ids(model.config, rows=3)
    expected = in_parts(model, ids, [1] * 16)
    cache = model.new_cache(3)
    model.read(ids[:, :5], cache)
    cache.keep([2, 0])
    assert np.array_equal(model.read(ids[[2, 0], 5:6], cache), expected[[2, 0], 5])
    cache = model.new_cache(3)
    model.read(ids[1:2, :5], cache)
    cache.repeat_first()
    assert np.array_equal(
        model.read(np.repeat(ids[1:2, 5:6], 3, axis=0), cache), np.repeat(expected[1:2, 5], 3, axis=0)
    )


def test_columns_bring_a_cache_back_to_where_it_was() -> None:
    model = native_of(make_model(50, width=24, heads=2))
    ids = random_ids(model.config)
    cache = model.new_cache()
    model.read(ids[:, :9], cache)
    columns = cache.columns(4)
    assert len(columns) == 5
    cache.length = 4
    model.read(ids[:, :8] * 0, cache)  # overwrites them
    cache.length = 4
    cache.put(columns)
    assert cache.length == 9
    assert np.array_equal(model.read(ids[:, 9:10], cache)[0], in_parts(model, ids, [1] * 16)[0, 9])


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_a_step_wider_than_a_stack_is_taken(how: dict[str, Any]) -> None:
    """Whoever made a checkpoint chooses its widths, and 8 MiB are the usual stack."""
    model = native_of(make_model(3, context=40, layers=1, inner_width=2_000_000), **how)
    assert np.isfinite(in_parts(model, random_ids(model.config), [17, 1, 22])).all()


def test_weights_in_8_bits_are_whole_numbers_times_their_scale() -> None:
    """Against the same numbers in float32: what is left is the rounding of what meets them, to 12 bits or more."""
    plain = make_model(50, width=32, tied=False)
    ids = random_ids(plain.config)
    found = in_parts(native_of(plain, quantize="int8"), ids, [1] * 16)
    assert difference(found, of_torch(plain, ids)) > 3e-3
    with torch.no_grad():
        plain.unembedding.copy_(rounded(plain.unembedding))
        for block in plain.blocks:
            for part in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj):
                part.weight.copy_(rounded(part.weight.T).T)
    expected = of_torch(plain, ids)
    assert difference(found, expected) < 2.5e-3
    assert difference(in_parts(native_of(plain, quantize="int8"), ids, [16]), found) < 1e-6


def rounded(weight: torch.Tensor) -> torch.Tensor:
    whole, scale = as_int8(weight.detach().numpy())
    assert whole.dtype == np.int8
    assert whole.min() >= -127
    of_torch = Int8Product(weight.detach().contiguous())
    assert np.array_equal(of_torch.weight.numpy(), whole)
    assert np.array_equal(of_torch.scale.float().numpy(), scale)
    return torch.from_numpy(whole * scale[:, None])


def test_bfloat16_is_rounded_as_torch_rounds() -> None:
    bits = np.random.default_rng(0).integers(1 << 32, size=100_000, dtype=np.uint32)
    numbers = np.concatenate([bits.view(np.float32), np.float32([0, -0.0, np.inf, -np.inf, np.nan])])
    expected = torch.from_numpy(numbers).to(torch.bfloat16).float().numpy()
    assert np.array_equal(from_bfloat16(as_bfloat16(numbers)), expected, equal_nan=True)


def test_weights_in_bfloat16_are_used_as_they_are() -> None:
    """Matrices and embeddings that are bfloat16 numbers already lose nothing."""
    model = make_model(50, width=32, heads=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    ids = random_ids(model.config)
    assert difference(in_parts(native_of(model, dtype="bfloat16"), ids, [1] * 16), of_torch(model, ids)) < 2e-6


@pytest.mark.parametrize("damage", [float("nan"), float("inf")])
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.parametrize("sizes", [[1] * 16, [16]])
def test_damaged_weights_show_in_the_logits(damage: float, how: dict[str, Any], sizes: list[int]) -> None:
    model = make_model(50)
    with torch.no_grad():
        model.h[0].mlp.c_fc.bias[3] = damage
    assert not np.isfinite(in_parts(native_of(model, **how), random_ids(model.config), sizes)).all()


@pytest.mark.parametrize("sizes", [[1] * 40, [40]])
def test_large_numbers_do_not_overflow(sizes: list[int]) -> None:
    model = make_model(50, context=40)
    with torch.no_grad():
        model.h[0].attn.c_attn.weight.mul_(1e4)
        model.h[0].mlp.c_fc.weight.mul_(1e4)
    ids = random_ids(model.config)
    expected = of_torch(model, ids)
    assert np.isfinite(expected).all()
    assert difference(in_parts(native_of(model), ids, sizes), expected) < 1e-3


def test_nothing_beyond_the_vocabulary_or_the_context_is_read() -> None:
    model = native_of(make_model(50))
    cache = model.new_cache()
    for token in (-1, 50):
        with pytest.raises(IndexError, match=f"no token {token} in a vocabulary of 50"):
            model.read([[token]], cache)
        with pytest.raises(IndexError, match=f"no token {token} in a vocabulary of 50"):
            model.read([[1, token, 2]], cache)
    for _ in range(16):
        model.read([[49]], cache)
    with pytest.raises(AssertionError, match="a full cache takes no more"):
        model.read([[49]], cache)


def test_weights_are_used_in_place_and_may_be_read_only() -> None:
    weights = arrays(make_model(50))
    for array in weights.values():
        array.flags.writeable = False
    config = make_model(50).config
    before = in_parts(NativeGPT(config, weights), random_ids(config), [16])
    assert np.array_equal(in_parts(native_of(make_model(50)), random_ids(config), [16]), before)
    unaligned = {name: np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:] for name, array in weights.items()}
    moved = {name: unaligned[name].view(np.float32).reshape(array.shape) for name, array in weights.items()}
    assert np.array_equal(in_parts(NativeGPT(config, moved), random_ids(config), [16]), before)


def test_a_text_that_is_read_token_by_token_has_its_weights_copied_where_that_is_allowed() -> None:
    model = make_model(50)
    ids, weights = random_ids(model.config), arrays(model)
    apart = {name: np.frombuffer(b"1234" + array.tobytes(), np.float32)[1:] for name, array in weights.items()}
    assert any(array.ctypes.data % 64 for array in apart.values())
    unaligned = {name: apart[name].reshape(array.shape) for name, array in weights.items()}
    before, first = native_of(model), NativeGPT(model.config, unaligned, copies=True)
    at = first.at
    assert np.array_equal(in_parts(first, ids, [8, 8]), in_parts(before, ids, [8, 8]))
    cache, expected = first.new_cache(), in_parts(before, ids, [1, 1, 14])
    assert np.array_equal(first.read(ids[:, :1], cache)[0], expected[0, 0])
    assert first.at == at, "a first token and passes over several copy nothing"
    assert np.array_equal(first.read(ids[:, 1:2], cache)[0], expected[0, 1])
    assert first.at != at
    assert not first._to_copy
    assert np.array_equal(in_parts(first, ids, [8] + [1] * 8), in_parts(before, ids, [8] + [1] * 8))
    several = NativeGPT(model.config, unaligned, copies=True)
    cache = several.new_cache(2)
    several.read(np.repeat(ids[:, :1], 2, axis=0), cache)
    assert several._to_copy
    rows = several.read(np.repeat(ids[:, 1:2], 2, axis=0), cache)
    assert not several._to_copy
    assert np.array_equal(rows, expected[:, 1].repeat(2, axis=0))


def test_weights_that_are_not_large_are_copied_to_where_a_line_of_the_cache_begins() -> None:
    room = np.zeros(2_000_000, np.float32)
    begin = -room.ctypes.data % 64 // 4
    aligned, unaligned, large = (
        room[begin:][:100],
        room[begin + 2 :][:100].reshape(4, 25),
        room[begin + 2 :][:1_100_000],
    )
    assert in_lines(aligned) is aligned
    assert in_lines(large) is large
    moved = in_lines(unaligned)
    assert moved.ctypes.data % 64 == 0
    assert np.array_equal(moved, unaligned)


def test_a_model_of_torchs_on_the_cpu_lends_its_weights() -> None:
    model = make_model(50)
    network = network_of(model)
    assert isinstance(network, NativeGPT)
    before = network.read([[1, 2]], network.new_cache())
    with torch.no_grad():
        model.wte.weight.mul_(2)
    assert not np.array_equal(network.read([[1, 2]], network.new_cache()), before)


def test_what_it_does_not_know_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_native(make_model(50).config)
    assert not is_native(ModelConfig(vocab_size=9, context=9, layers=1, heads=1, width=8, model="lstm"))
    other = make_model(50)
    other.h[0].attn = torch.nn.Identity()
    for model in (make_model(50).to("meta"), make_model(50).double(), other):
        assert isinstance(network_of(model), TorchNetwork)
    monkeypatch.setattr(module, "forward_library", lambda: None)
    decoder = CachedDecoder(make_model(50))
    decoder.prefill([1])
    decoder.step([2])
    assert isinstance(decoder.network, TorchNetwork)
    assert isinstance(decoder.network._step, FlatStep)


def test_a_library_of_another_age_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(module.Model):
        _fields_ = (("more", module.ctypes.c_long),)

    monkeypatch.setattr(module, "Model", Longer)
    forward_library.cache_clear()
    assert not has_library()
    monkeypatch.undo()
    forward_library.cache_clear()
    assert has_library()
