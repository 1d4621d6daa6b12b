"""Several processes that train one model together, as torchrun starts them, and their collective operations.

`_Replicas` hold a copy of the model each (DDP); `_Shards` hold a part of each weight, gradient and moment, and gather a
block when it is needed (FSDP2). Li et al., "PyTorch Distributed", 2020; Zhao et al., "PyTorch FSDP", 2023.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from minigpt.errors import ConfigError, MinigptError, brief, named
from minigpt.launch import launched_rank
from minigpt.models.gpt import GPT
from minigpt.models.kinds import Model, new_model
from minigpt.settings import require
from minigpt.text.shards import Ids
from minigpt.training.ranks import ALONE, Ranks, full

T = TypeVar("T")

# How long ranks wait for each other: rank 0 may tokenize for long. The others notice at once when one ends.
_PATIENCE = timedelta(hours=6)
_IDS_AT_ONCE = 1 << 25


class RankError(MinigptError):
    """Another process of the run has ended."""


class _Replicas(Ranks):
    """Every rank holds a copy of the model (DDP)."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def trained(self, model: Model) -> nn.Module:
        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    def accumulating(self, trained: nn.Module) -> AbstractContextManager[None]:
        assert isinstance(trained, DistributedDataParallel)
        return trained.no_sync()

    def average(self, gradient: Tensor) -> None:
        dist.all_reduce(gradient)
        gradient /= self.size

    def total(self, value: float) -> float:
        return self._reduced(value, dist.ReduceOp.SUM)

    def highest(self, value: float) -> float:
        return self._reduced(value, dist.ReduceOp.MAX)

    def _reduced(self, value: float, operation: Any) -> float:
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(tensor, operation)
        return float(tensor)

    def farewell(self, value: float) -> float:
        try:
            return self.highest(value)
        except RuntimeError:  # the connection is closed
            return value

    def agree(self, value: float) -> float:
        return self._from(0, value)

    def _from(self, rank: int, value: float) -> float:
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(tensor, rank)
        return float(tensor)

    def broadcast(self, value: Any) -> Any:
        return self._broadcast_from(0, value)

    def _broadcast_from(self, rank: int, value: Any) -> Any:
        """The value of `rank`, sent as JSON: no pickle is ever read."""
        text = json.dumps(value).encode()
        size = int(self._from(rank, len(text)))
        data = torch.frombuffer(bytearray(text), dtype=torch.uint8) if rank == self.rank else torch.empty(size).byte()
        dist.broadcast(data, rank)
        return json.loads(data.numpy().tobytes())

    def tensors(self, named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        own = dict(named)
        kinds = {name: [str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in own.items()}
        for name, (dtype, shape) in self.broadcast(kinds).items():
            tensor = own[name].cpu().contiguous() if self.is_main else torch.empty(shape, dtype=getattr(torch, dtype))
            dist.broadcast(tensor, 0)
            yield name, tensor

    def ids(self, ids: Ids) -> Ids:
        dtype, length = self.broadcast([ids.dtype.str, len(ids)])
        if not length:
            return np.zeros(0, dtype)
        copy = None if self.is_main else np.memmap(tempfile.TemporaryFile(), dtype, shape=(length,))  # noqa: SIM115
        for start in range(0, length, _IDS_AT_ONCE):
            stop = min(start + _IDS_AT_ONCE, length)
            part = ids[start:stop].copy() if copy is None else np.empty(stop - start, dtype)
            dist.broadcast(torch.from_numpy(part.view(np.uint8)), 0)
            if copy is not None:
                copy[start:stop] = part
        return ids if copy is None else copy

    def together(self, work: Callable[[], T]) -> T:
        own_message, own_usage, result = "", False, None
        try:
            result = work()
        except MinigptError as error:
            own_message, own_usage = error.message, isinstance(error, ConfigError)
        for rank in range(self.size):
            message, usage = self._broadcast_from(rank, [own_message, own_usage])
            if message:
                kind = ConfigError if usage else MinigptError
                raise kind(message if rank == 0 else f"Process {rank}: {message}")
        return result  # type: ignore[return-value]

    def device(self, name: str) -> torch.device:
        return self.together(lambda: _local_device(name))


class _Shards(_Replicas):
    """Every rank holds some rows of each weight, gradient and moment (FSDP2)."""

    shard = True

    def place(self, model: Model, device: torch.device) -> Model:
        if not isinstance(model, GPT):
            kind = named("model", model.config.model)
            raise ConfigError(f"{named('shard')} divides a model by the blocks of a GPT: leave it out for {kind}.")
        mesh = init_device_mesh(device.type, (self.size,))
        for part in (*model.blocks, model):
            # The default would leave the embeddings whole after an evaluation, without their names and moments.
            fully_shard(part, mesh=mesh, reshard_after_forward=True)
        return model

    def trained(self, model: Model) -> nn.Module:
        return model

    def accumulating(self, trained: nn.Module) -> AbstractContextManager[None]:
        return nullcontext()  # gradients that are not reduced would not be sharded, and may not fit

    def whole(self, model: Model) -> Model:
        tensors = {name: self.kept(p.detach()) for name, p in model.named_parameters()}
        if not self.is_main:
            return model
        with torch.device("meta"):
            whole = new_model(model.config)
        whole.load_state_dict(tensors, assign=True)
        return whole

    def kept(self, tensor: Tensor) -> Tensor:
        gathered = full(tensor)
        return gathered.cpu() if self.is_main else tensor


@contextmanager
def join(shard: bool = False) -> Iterator[Ranks]:
    """Join the processes that torchrun started, while entered; a process that was started alone stays alone.

    Raises ConfigError, and RankError if another process ends too early.
    """
    launched = launched_rank() is not None
    require(
        launched or not shard,
        f"{named('shard')} divides a model among several processes. Start them with:\n"
        "  torchrun --standalone --nproc-per-node 2 -m minigpt train --shard ...",
    )
    if not launched or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    # Both backends, so that the few numbers on which ranks agree never wait for a GPU.
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if has_nccl else "gloo", timeout=_PATIENCE)
    try:
        yield _Shards() if shard else _Replicas()
    except RuntimeError as error:
        text = str(error)
        if "out of memory" in text or not (isinstance(error, dist.DistError) or "gloo" in text):
            raise
        why = f" ({text.splitlines()[0]})" if "nccl" in text.lower() else ""  # which can also fail by itself
        raise RankError(
            f"Another process of this run has ended, or cannot be reached{why}, and so this one ends too.\n"
            f"Its last saved state is there: continue with {named('resume')}, with any number of processes."
        ) from error
    except MinigptError:  # on all of them, or on rank 0
        _outlast_first()
        raise
    with suppress(RuntimeError):  # rank 0 has left already, as it does when nobody reads its output
        dist.all_reduce(torch.zeros(1))
        dist.destroy_process_group()


def _outlast_first() -> None:
    """Wait until rank 0 has reported the error and ended: torchrun stops all processes as soon as one ends."""
    if dist.get_rank() != 0:
        with suppress(RuntimeError):  # the connection is closed
            dist.all_reduce(torch.zeros(1))


def _local_device(name: str) -> torch.device:
    """CUDA device number LOCAL_RANK, or the CPU."""
    require(name in ("auto", "cuda", "cpu"), f"{named('device', brief(name))}: with torchrun, use auto, cuda or cpu.")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    index, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if index >= count:
        raise ConfigError(
            f"This machine has {count} CUDA devices for {os.environ['LOCAL_WORLD_SIZE']} processes. "
            f"Use torchrun --nproc-per-node {count}, or {named('device', 'cpu')}."
        )
    torch.cuda.set_device(index)
    return torch.device("cuda")
