"""What a training asks of the processes that share it, and parts of tensors: here, one process alone holds all.

distributed.py has the processes that torchrun starts.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from minigpt.errors import named
from minigpt.models.device import resolve_device
from minigpt.models.kinds import Model
from minigpt.settings import require
from minigpt.text.shards import Ids

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

T = TypeVar("T")


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


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded over the ranks (all-gather). Collective."""
    return tensor.full_tensor() if _is_sharded(tensor) else tensor


def _is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether a tensor is a DTensor, whose module takes a second to import."""
    return hasattr(tensor, "device_mesh")


def _sharded_as(like: "DTensor", tensor: Tensor) -> "DTensor":
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def divided_as(like: Tensor, tensor: Tensor) -> Tensor:
    """Shard `tensor`, the same on every rank, as `like` is sharded, onto the device of `like`."""
    if not _is_sharded(like) or tensor.shape != like.shape:
        return tensor.to(like.device, copy=True)
    parts = _sharded_as(like, tensor.to(like.device))
    return torch.empty_like(like, dtype=tensor.dtype).copy_(parts)  # its own memory: a part is a view of the whole


def own_rows(like: Tensor, tensor: Tensor) -> Tensor:
    """The rows of `tensor` that correspond to this rank's rows of `like`."""
    return _sharded_as(like, tensor).to_local() if _is_sharded(like) else tensor


def local(tensor: Tensor) -> Tensor:
    """This rank's shard of a tensor, sharing its memory."""
    return tensor.to_local() if _is_sharded(tensor) else tensor
