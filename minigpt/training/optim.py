"""A model in; the optimizers that train it out, with the state of each parameter by name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from minigpt.config import TrainConfig
from minigpt.models.device import has_bfloat16
from minigpt.models.gpt import GPT

# Quintics a x + b x³ + c x⁵, one a round. Three that differ (as in Amsel et al., "The Polar Express", 2025), each the
# best uniform approximation of 1 on the interval where the last one leaves the singular values, from [0.001, 1] on,
# cost three fifths of the five equal ones of Jordan et al., "Muon", 2024. They end between 0.14 and 1.86, and teach
# more: tiny Shakespeare by characters, 4 x 128, 400 steps of 12 x 64, 1.946 nats instead of 1.966.
Quintic = tuple[float, float, float]
MINIMAX: tuple[Quintic, ...] = ((8.4703, -25.1081, 18.6293), (4.1828, -3.1087, 0.5806), (3.9619, -2.9541, 0.5630))
JORDAN: tuple[Quintic, ...] = ((3.4445, -4.7750, 2.0315),) * 5
_NORM_MARGIN = 1.02  # the first quintic is made for singular values of 1 at most, rounding included


def build_optimizers(model: GPT, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks and AdamW (Loshchilov and Hutter, 2019) for all else; or AdamW alone.

    Chosen by measurement: `scripts/bench train --recipe` trains with both.

    AdamW's weight decay is on matrices and embeddings, none on biases and norms. The rate at which a group starts is
    its `initial_lr`.
    """
    hidden = {n: p for n, p in model.named_parameters() if n.startswith("h.") and p.dim() == 2}
    if config.optimizer == "adamw":
        hidden = {}
    rest = [p for n, p in model.named_parameters() if n not in hidden]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)
    ]
    if hidden:
        optimizers.append(Muon(hidden, lr=config.muon_learning_rate, weight_decay=config.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal, matrix by matrix (Jordan et al., 2024), all of a shape at once.

    `torch.optim.Muon` takes one matrix after the other, and a fused c_attn [C, 3C] as one matrix; here Q, K and V are
    three, and the Newton-Schulz rounds run on stacks. Weights are [in, out].
    """

    def __init__(
        self,
        matrices: Mapping[str, Tensor],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        rounds: Sequence[Quintic] = MINIMAX,
    ) -> None:
        self.rounds = rounds
        fused = [p for name, p in matrices.items() if name.endswith("c_attn.weight")]
        single = [p for name, p in matrices.items() if not name.endswith("c_attn.weight")]
        groups = [{"params": fused, "parts": 3}, {"params": single, "parts": 1}]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        stacks: dict[tuple[int, int], list[tuple[Tensor, Tensor, float]]] = {}
        for group in self.param_groups:
            for update, weight in self._updates(group):
                rows, columns = update.shape
                rate = group["lr"] * max(1.0, columns / rows) ** 0.5  # as large a change for every width
                if rows > columns:
                    update, weight = update.mT, weight.mT
                stacks.setdefault((update.size(0), update.size(1)), []).append((update, weight, rate))
        for stack in stacks.values():
            updates = orthogonalised(torch.stack([update for update, _, _ in stack]), self.rounds)
            for update, (_, weight, rate) in zip(updates, stack, strict=True):
                weight.add_(update, alpha=-rate)

    def _updates(self, group: dict) -> Iterator[tuple[Tensor, Tensor]]:
        """(update, weight) of each matrix, after Nesterov's momentum and weight decay."""
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            momentum = state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
            update = parameter.grad.lerp(momentum, group["momentum"])
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            yield from zip(update.chunk(group["parts"], 1), parameter.chunk(group["parts"], 1), strict=True)


def orthogonalised(updates: Tensor, rounds: Sequence[Quintic] = MINIMAX) -> Tensor:
    """[N, rows, columns], rows <= columns, every singular value moved near 1; in bfloat16 where the device has it.

    Five rounds at 8 x [256, 1024] take a CPU with bfloat16 33 ms instead of 82, and as much is learned.
    """
    x = updates / (_NORM_MARGIN * updates.norm(dim=(-2, -1), keepdim=True)).clamp(min=1e-7)
    x = x.bfloat16() if has_bfloat16(updates.device) else x
    for a, b, c in rounds:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.to(updates.dtype)


def optimizer_state(
    optimizers: Iterable[torch.optim.Optimizer], parameters: dict[str, Tensor]
) -> Iterator[tuple[str, str, Tensor]]:
    """(key, parameter's name, tensor) of all that the optimizers remember."""
    for optimizer in optimizers:
        for name, parameter in parameters.items():
            for key, value in optimizer.state.get(parameter, {}).items():
                yield key, name, value
