"""The models that came before the transformer: a state carries what they know from token to token.

A dense network over the last few tokens, an Elman RNN and an LSTM, under the protocol of the GPT. Shapes are named as
in gpt.py; N is the number of tokens in a window. The output head is tied to the embeddings, as a GPT's is, so that all
of them spend their weights alike.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.models.functional import dropout
from minigpt.models.gpt import TokenModel, embedding
from minigpt.settings import ModelConfig

State = tuple[Tensor, ...]  # each [B, ...]: all that a model knows of the tokens so far
Self = TypeVar("Self", bound="Baseline")


class Baseline(TokenModel, ABC):
    """`model(ids_BT)` gives the logits [B, T, V] from an empty state; `read` continues from a given state."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.wte = embedding(config.vocab_size, config.width)  # token -> vector; also the output head (tied)

    def initialise(self: Self, generator: torch.Generator) -> Self:
        """Biases are 0; everything else is normal with the variance 1 / columns.

        Token vectors then have a length of about 1, and a matrix keeps the scale of its input.
        """
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=parameter.size(1) ** -0.5, generator=generator)
            else:
                nn.init.zeros_(parameter)
        return self

    def forward(self, ids_BT: Tensor, *, last_only: bool = False, stream: list[Tensor] | None = None) -> Tensor:
        """Logits [B, T, V], or [B, 1, V] for the last token; a list `stream` receives the token vectors [B, T, C]."""
        return self.read(ids_BT, None, last_only=last_only, stream=stream)[0]

    def read(
        self, ids_BT: Tensor, state: State | None, *, last_only: bool = False, stream: list[Tensor] | None = None
    ) -> tuple[Tensor, State]:
        """Like `forward`, for ids that continue from `state`; also returns the new state."""
        x_BTC = dropout(self.wte(ids_BT), self.config.dropout, self.training)
        if stream is not None:
            stream.append(x_BTC)
        y_BTC, state = self.advance(x_BTC, state)
        y_BTC = dropout(y_BTC, self.config.dropout, self.training)
        return F.linear(y_BTC[:, -1:] if last_only else y_BTC, self.wte.weight), state

    @abstractmethod
    def advance(self, x_BTC: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The output for the token vectors [B, T, C], and the state after the last of them."""


class WindowNet(Baseline):
    """Dense layers over the concatenated vectors of the last N tokens; the state is the last N - 1 of them.

    Bengio et al., "A Neural Probabilistic Language Model", 2003.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        assert config.window is not None
        inner = 4 * config.width
        sizes = [config.window * config.width, *[inner] * config.layers, config.width]
        self.dense = nn.ModuleList(nn.utils.skip_init(nn.Linear, *pair) for pair in pairwise(sizes))

    def advance(self, x_BTC: Tensor, state: State | None) -> tuple[Tensor, State]:
        before = self.config.window - 1  # type: ignore[operator]
        seen = F.pad(x_BTC, (0, 0, before, 0)) if state is None else torch.cat([*state, x_BTC], 1)
        h = seen.unfold(1, before + 1, 1).flatten(2)  # [B, T, C N]
        for layer in self.dense[:-1]:
            h = F.gelu(layer(h), approximate="tanh")
        return self.dense[-1](h), (seen[:, seen.size(1) - before :],)


class RNN(Baseline):
    """h' = tanh(W x + U h + b), layer upon layer: Elman, "Finding Structure in Time", 1990."""

    new_cells: ClassVar[type[nn.RNN] | type[nn.LSTM]] = nn.RNN

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.cells = self.new_cells(config.width, config.width, config.layers, batch_first=True)

    def initialise(self: Self, generator: torch.Generator) -> Self:
        """As in Baseline, but recurrent matrices start orthogonal, which neither shrinks nor amplifies the state."""
        super().initialise(generator)
        for name, parameter in self.named_parameters():
            if "weight_hh" in name:
                for gate in parameter.detach().split(parameter.size(1)):
                    nn.init.orthogonal_(gate, generator=generator)
        return self

    def advance(self, x_BTC: Tensor, state: State | None) -> tuple[Tensor, State]:
        y_BTC, h_LBC = self._through_cells(x_BTC, None if state is None else _layers_first(state[0]))
        return y_BTC, (h_LBC.transpose(0, 1),)

    def _through_cells(self, x_BTC: Tensor, before: Any) -> Any:
        if x_BTC.device.type != "cuda":
            return self.cells(x_BTC, before)
        # Autocast would run cuDNN in float16, whatever precision is asked for, and gradients vanish.
        with torch.autocast("cuda", enabled=False):
            return self.cells(x_BTC.float(), before)


class LSTM(RNN):
    """Gates decide what a cell keeps, takes in and outputs: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997.

    The forget gate: Gers et al., "Learning to Forget", 2000.
    """

    new_cells = nn.LSTM

    def initialise(self: Self, generator: torch.Generator) -> Self:
        """As an RNN, with the forget gates open at first.

        Jozefowicz et al., "An Empirical Exploration of Recurrent Network Architectures", 2015.
        """
        super().initialise(generator)
        width = self.config.width
        for name, parameter in self.named_parameters():
            if "bias_ih" in name:
                nn.init.ones_(parameter.detach()[width : 2 * width])
        return self

    def advance(self, x_BTC: Tensor, state: State | None) -> tuple[Tensor, State]:
        if state is not None and x_BTC.size(1) == 1:
            return self._step(x_BTC[:, 0], *state)
        before = None if state is None else tuple(map(_layers_first, state))
        y_BTC, after = self._through_cells(x_BTC, before)
        return y_BTC, tuple(part.transpose(0, 1) for part in after)

    def _step(self, x_BC: Tensor, h_BLC: Tensor, c_BLC: Tensor) -> tuple[Tensor, State]:
        """One token, cell by cell: 0.24 ms at 2 layers x 214 on a CPU; nn.LSTM rearranges its weights and takes 0.6."""
        states = []
        for layer, weights in enumerate(self.cells.all_weights):
            x_BC, c_BC = torch.lstm_cell(x_BC, (h_BLC[:, layer], c_BLC[:, layer]), *weights)
            states.append((x_BC, c_BC))
        return x_BC[:, None], tuple(torch.stack(parts, 1) for parts in zip(*states, strict=True))


def _layers_first(part_BLC: Tensor) -> Tensor:
    return part_BLC.transpose(0, 1).contiguous()
