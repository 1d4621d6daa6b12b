"""The processes that train one model together, as torchrun starts them, and their collective operations.

`Ranks` is one process alone, whose collective operations do nothing. `_Replicas` hold a copy of the model each (DDP);
`_Shards` hold a part of each weight, gradient and moment, and gather a block when it is needed (FSDP2). Li et al.,
"PyTorch Distributed", 2020; Zhao et al., "PyTorch FSDP", 2023.
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
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from minigpt.errors import ConfigError, MinigptError, brief, named
from minigpt.launch import launched_rank
from minigpt.models.device import resolve_device
from minigpt.models.gpt import GPT
from minigpt.models.kinds import Model, new_model
from minigpt.settings import require
from minigpt.text.shards import Ids

T = TypeVar("T")

# How long ranks wait for each other: rank 0 may tokenize for long. The others notice at once when one ends.
_PATIENCE = timedelta(hours=6)
_IDS_AT_ONCE = 1 << 25


class RankError(MinigptError):
    """Another process of the run has ended."""


class Ranks:
    """The processes of a run, of which this one is number `rank` of `size`. All ranks must make collective calls."""

    rank = 0
    size = 1
    shard = False

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reads standard input, writes files and prints."""
        return self.rank == 0

    def mine(self, count: int) -> slice:
        """This rank's part of `count` rows, a multiple of `size`."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def check_batch(self, batch_size: int) -> None:
        """Raise ConfigError if the ranks cannot share a batch equally."""
        require(
            batch_size % self.size == 0,
            f"{named('batch_size', batch_size)} cannot be shared equally by {self.size} processes: "
            f"take a multiple of {self.size}.",
        )

    def place(self, model: Model, device: torch.device) -> Model:
        """Move this rank's part of `model`, which is whole on the CPU, to the device. Collective."""
        return model.to(device)

    def trained(self, model: Model) -> nn.Module:
        """The module to call in training, so that gradients are averaged over the ranks. Collective."""
        return model

    def accumulating(self, trained: nn.Module) -> AbstractContextManager[None]:
        """A context in which gradients need not be reduced yet, because more will be added to them."""
        return nullcontext()

    def average(self, gradient: Tensor) -> None:
        """Replace a gradient by the mean over the ranks (all-reduce), where no autograd does that. Collective."""

    def whole(self, model: Model) -> Model:
        """On rank 0, the model with all of its weights. Collective."""
        return model

    def kept(self, tensor: Tensor) -> Tensor:
        """On rank 0, the whole tensor. Collective."""
        return tensor

    def total(self, value: float) -> float:
        """The sum over the ranks (all-reduce). Collective."""
        return value

    def highest(self, value: float) -> float:
        """The maximum over the ranks (all-reduce). Collective."""
        return value

    def farewell(self, value: float) -> float:
        """`highest`, as the last collective call; this rank's own value if another one has already left."""
        return value

    def agree(self, value: float) -> float:
        """Rank 0's value (broadcast). Collective."""
        return value

    def broadcast(self, value: Any) -> Any:
        """Rank 0's JSON value. Collective."""
        return value

    def tensors(self, named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """Rank 0's tensors, one after the other (broadcast). Collective."""
        yield from named

    def ids(self, ids: Ids) -> Ids:
        """Rank 0's ids (broadcast); other ranks map them from a temporary file. Collective."""
        return ids

    def together(self, work: Callable[[], T]) -> T:
        """Call `work()`; if it raises a MinigptError on any rank, it is raised on every one. Collective."""
        return work()

    def device(self, name: str) -> torch.device:
        """This process's device. Raises ConfigError. Collective."""
        return resolve_device(name)


ALONE = Ranks()


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


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded over the ranks (all-gather). Collective."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_as(like: Tensor, tensor: Tensor) -> Tensor:
    """Shard `tensor`, the same on every rank, as `like` is sharded, onto the device of `like`."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor.to(like.device, copy=True)
    parts = distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return torch.empty_like(like, dtype=tensor.dtype).copy_(parts)  # its own memory: a part is a view of the whole


def own_rows(like: Tensor, tensor: Tensor) -> Tensor:
    """The rows of `tensor` that correspond to this rank's rows of `like`."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None).to_local()


def local(tensor: Tensor) -> Tensor:
    """This rank's shard of a tensor, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


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
