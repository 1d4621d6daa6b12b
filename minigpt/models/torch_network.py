"""A GPT of torch's as a `Network`: through C on the same weights where that is possible, else through torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models.flat_step import SPLIT_WIDTH, FlatStep
from minigpt.models.functional import as_array
from minigpt.models.gpt import GPT
from minigpt.models.kinds import Model
from minigpt.models.kv_cache import KVCache
from minigpt.models.native import NativeGPT, is_native, shapes_of
from minigpt.models.network import NOT_SCORED, Autocast, Network
from minigpt.models.workers import one_thread


def network(model: GPT) -> Network:
    """A NativeGPT that shares the memory of a plain GPT in float32 on a CPU; for any other, a TorchNetwork."""
    weights = dict(model.state_dict())
    is_plain = {name: tuple(t.shape) for name, t in weights.items()} == shapes_of(model.config)
    at_hand = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in weights.values())
    if is_plain and at_hand and is_native(model.config):
        return NativeGPT(model.config, {name: t.numpy() for name, t in weights.items()})
    return TorchNetwork(model)


class TorchNetwork:
    """A GPT that continues a KVCache in torch."""

    def __init__(self, model: GPT) -> None:
        self.model, self.config = model, model.config
        self._step: FlatStep | None = None
        self._step_kv: Tensor | None = None

    def new_cache(self, sequences: int = 1) -> KVCache:
        """An empty cache."""
        return KVCache(self.config, sequences, device=self.model.device, dtype=self.model.wte.weight.dtype)

    def read(self, ids: Sequence[Sequence[int]], cache: KVCache, *, every: bool = False) -> np.ndarray:
        """Like NativeGPT.read."""
        if len(ids) == len(ids[0]) == cache.kv.size(2) == 1:
            logits_BTV = self._single_step(cache)(ids[0][0]).view(1, 1, -1)
        else:
            logits_BTV = self._forward(torch.tensor(ids, device=self.model.device), cache, last_only=not every)
        found = as_array(logits_BTV)
        return found if every else found[:, -1]

    def nats(self, ids: np.ndarray, targets: np.ndarray, cache: KVCache) -> np.ndarray:
        """Like NativeGPT.nats, of an empty cache."""
        assert not cache.length
        return target_nats(self.model, ids, targets)

    @torch.inference_mode()
    def _forward(self, ids_BT: Tensor, cache: KVCache, *, last_only: bool) -> Tensor:
        every, rows = cache.kv, len(ids_BT)
        cache.kv = every[:, :, :rows]
        try:
            return self.model(ids_BT, cache, last_only=last_only)
        finally:
            cache.kv = every

    def _single_step(self, cache: KVCache) -> FlatStep:
        """The step that writes to this cache; another cache lies elsewhere."""
        if self._step is None or self._step_kv is not cache.kv:
            self._step, self._step_kv = FlatStep(self.model, cache, torch.get_num_threads()), cache.kv
        return self._step


@torch.inference_mode()
def target_nats(model: Model, ids: np.ndarray, targets: np.ndarray, autocast: Autocast | None = None) -> np.ndarray:
    """The loss [B, T] of `targets` in nats, in float64, and 0 for NOT_SCORED."""
    ids_BT, targets_BT = (torch.from_numpy(numbers).to(model.device) for numbers in (ids, targets))
    with nullcontext() if autocast is None else autocast():
        logits_BTV = model(ids_BT)
    return loss_of(logits_BTV, targets_BT)


def loss_of(logits_BTV: Tensor, targets_BT: Tensor) -> np.ndarray:
    """The loss [B, T] of `targets_BT` by these logits, in float64."""
    flat = F.cross_entropy(
        logits_BTV.float().flatten(0, 1), targets_BT.flatten(), reduction="none", ignore_index=NOT_SCORED
    )
    return flat.cpu().double().view(targets_BT.shape).numpy()


@contextmanager
def decoding_threads(model: Model) -> Iterator[None]:
    """Use one thread for a narrow model on a CPU."""
    narrow = model.config.width < SPLIT_WIDTH and model.device.type == "cpu"
    with one_thread() if narrow else nullcontext():
        yield
