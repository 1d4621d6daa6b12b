"""The optimizers that train a model, with the state of each parameter by name."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from minigpt.models.kinds import Model
from minigpt.settings import TrainConfig
from minigpt.training.ranks import full, local, own_rows

# Quintics a x + b x³ + c x⁵, one a round. Three that differ (as in Amsel et al., "The Polar Express", 2025), each the
# best uniform approximation of 1 on the interval where the last one leaves the singular values, from [0.001, 1] on,
# cost three fifths of the five equal ones of Jordan et al., "Muon", 2024, and the model learns more (docs/log.md).
Quintic = tuple[float, float, float]
MINIMAX: tuple[Quintic, ...] = ((8.4703, -25.1081, 18.6293), (4.1828, -3.1087, 0.5806), (3.9619, -2.9541, 0.5630))
JORDAN: tuple[Quintic, ...] = ((3.4445, -4.7750, 2.0315),) * 5
_NORM_MARGIN = 1.02  # the first quintic is made for singular values of 1 at most, rounding included
_STACKED_NUMBERS = 1 << 26  # of a larger stack, so many at once: a few of them are in memory together


class Optimizer(ABC):
    """Groups of parameters with their settings, and each parameter's state tensors, as torch's optimizers hold them.

    A group's initial rate is its `initial_lr`. The first optimizer of torch.optim that is made imports the compiler
    behind torch.compile, which takes a second or two of a training's time; these do not.
    """

    remembered: tuple[str, ...]  # the names of the state tensors of each parameter

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, **settings: Any) -> None:
        self.param_groups = [{"lr": lr, "initial_lr": lr, **settings, **group} for group in groups]
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @abstractmethod
    def step(self) -> None:
        """Update every parameter that has a gradient."""


def build_optimizers(model: Model, config: TrainConfig) -> list[Optimizer]:
    """Muon for the matrices inside the blocks and AdamW (Loshchilov and Hutter, 2019) for the rest; or AdamW alone.

    Chosen by measurement: `scripts/bench train --recipe` compares both. AdamW's weight decay applies to matrices and
    embeddings, not to biases and norms. Frozen parameters have no optimizer.
    """
    learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
    hidden = {n: p for n, p in learned.items() if ".h." in f".{n}" and p.dim() == 2}
    if config.optimizer == "adamw":
        hidden = {}
    rest = [p for n, p in learned.items() if n not in hidden]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=1e-8)]
    if hidden:
        rounds_in = torch.bfloat16 if config.precision in ("mixed", "bfloat16") else torch.float32
        optimizers.append(
            Muon(hidden, lr=config.muon_learning_rate, weight_decay=config.weight_decay, rounds_in=rounds_in)
        )
    return optimizers


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), by torch's fused kernel."""

    remembered = ("step", "exp_avg", "exp_avg_sq")

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            learned = [parameter for parameter in group["params"] if parameter.grad is not None]
            states = [self._state(parameter) for parameter in learned]
            beta1, beta2 = group["betas"]
            adamw(
                learned,
                [parameter.grad for parameter in learned],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


WITH_MUON = ("gpt", "transformer")  # which have blocks
_FUSED = {"c_attn": 3, "c_kv": 2}  # matrices that lie side by side in one weight


class Muon(Optimizer):
    """Momentum with orthogonalised updates (Jordan et al., 2024), for all matrices of one shape at once.

    `torch.optim.Muon` takes one matrix at a time, and a fused c_attn [C, 3C] as a single matrix; here Q, K and V are
    three, and the Newton-Schulz iterations run on stacks. Weights are [in, out]. If they are sharded over ranks, so are
    the momenta, and only the matrices being orthogonalised are gathered.
    """

    remembered = ("momentum_buffer",)

    def __init__(
        self,
        matrices: Mapping[str, Tensor],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        rounds: Sequence[Quintic] = MINIMAX,
        rounds_in: torch.dtype = torch.float32,
    ) -> None:
        self.rounds, self.rounds_in = rounds, rounds_in
        found: dict[int, list[Tensor]] = {}
        for name, parameter in matrices.items():
            found.setdefault(_FUSED.get(name.split(".")[-2], 1), []).append(parameter)
        groups = [{"params": found[parts], "parts": parts} for parts in sorted(found, reverse=True)]
        super().__init__(groups, lr=lr, momentum=momentum, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self) -> None:
        stacks: dict[tuple[int, int], list[tuple[Tensor, dict]]] = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    short, long = sorted((parameter.size(0), parameter.size(1) // group["parts"]))
                    stacks.setdefault((short, long), []).append((parameter, group))
        for (short, long), stack in stacks.items():
            size = max(1, _STACKED_NUMBERS // (short * long))
            for start in range(0, len(stack), size):
                self._move(stack[start : start + size])

    def _move(self, stack: list[tuple[Tensor, dict]]) -> None:
        """Update parameters whose matrices, or transposes, have the same shape."""
        updates = [u for p, group in stack for u in full(self._update(p, group)).chunk(group["parts"], 1)]
        moves = iter(
            orthogonalised(
                torch.stack([u.mT if u.size(0) > u.size(1) else u for u in updates]), self.rounds, self.rounds_in
            )
        )
        for parameter, group in stack:
            for weight in local(parameter).chunk(group["parts"], 1):
                rows, columns = parameter.size(0), weight.size(1)
                rate = group["lr"] * max(1.0, columns / rows) ** 0.5  # as large a change for every width
                move = next(moves)
                weight.add_(own_rows(parameter, move.mT if rows > columns else move), alpha=-rate)

    def _update(self, parameter: Tensor, group: dict) -> Tensor:
        """Nesterov momentum, with weight decay."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        return gradient.lerp(momentum, group["momentum"])


def orthogonalised(
    updates: Tensor, rounds: Sequence[Quintic] = MINIMAX, rounds_in: torch.dtype = torch.float32
) -> Tensor:
    """Move every singular value of [N, rows, columns], rows <= columns, close to 1, by iterations in `rounds_in`."""
    norms = (_NORM_MARGIN * updates.norm(dim=(-2, -1), keepdim=True)).clamp(min=1e-7)
    x = torch.div(updates, norms, out=torch.empty_like(updates, dtype=rounds_in))
    for a, b, c in rounds:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def owners(optimizers: Iterable[Optimizer], model: Model) -> dict[str, Optimizer]:
    """The optimizer of each parameter that learns, by the parameter's name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: each for each in optimizers for group in each.param_groups for p in group["params"]}
