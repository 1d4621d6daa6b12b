"""Models that read one text, the source, and write another, the target: what their kinds share.

A text and its continuation are one sequence for a GPT. Here they are two: an encoder reads all of the source, and a
decoder writes the target token by token. To sampling and scoring, which know only sequences, a pair is its source,
END, and its target so far; END ends the source, and is the first token that the decoder reads.

Shapes are named as in gpt.py; S is the number of tokens of the source with its END, and T that of the target.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models.functional import linear
from minigpt.models.gpt import TokenModel, embedding
from minigpt.settings import ModelConfig, require

PADDING = -100  # in place of an id, where a text of a batch is shorter than the longest
State = tuple[Tensor, ...]  # each [B, ...]: all that a decoder needs of the source and of the target so far


class EncoderDecoder(TokenModel, ABC):
    """`model(ids_BN)` gives the logits [B, N, V] of pairs as sequences; `pair_logits` those of a padded batch."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.end is not None
        self.config, self.end = config, config.end
        self.gradient_checkpointing = False
        self.wte = embedding(config.vocab_size, config.width)  # of source, target and output head (tied)

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> Any:
        """Set the weights at random; returns the model."""

    @abstractmethod
    def encode(self, source_BS: Tensor) -> State:
        """The state before any target, of sources that may end in PADDING."""

    @abstractmethod
    def decode(self, inputs_BT: Tensor, state: State, weights: list[Tensor] | None = None) -> tuple[Tensor, State]:
        """The decoder's outputs [B, T, C] for more of the target, and the state after them.

        A list `weights` receives for each layer with attention over the source its weights [B, H, T, S].
        """

    def forward(self, ids_BN: Tensor, inputs_BT: Tensor | None = None) -> Tensor:
        """Logits [B, N, V] of pairs as sequences whose sources are equally long; those before END are zeros.

        With `inputs_BT`, the ids are the sources of a batch, and the result is `pair_logits`.
        """
        if inputs_BT is not None:
            return self.pair_logits(ids_BN, inputs_BT)
        return self.read(ids_BN, None)[0]

    def pair_logits(self, source_BS: Tensor, inputs_BT: Tensor) -> Tensor:
        """Logits [N, V] at the N positions of `inputs_BT` that are no PADDING, row by row."""
        y_BTC, _ = self.decode(inputs_BT.clamp(min=0), self.encode(source_BS))
        return self.head(y_BTC[inputs_BT != PADDING])

    def read(self, ids_BN: Tensor, state: State | None, *, last_only: bool = False) -> tuple[Tensor, State]:
        """Like `forward`, for ids that continue from `state`, or the logits [B, 1, V] of the last token; also returns
        the new state.
        """
        before = 0
        if state is None:
            before = ids_BN[0].tolist().index(self.end)
            state = self.encode(ids_BN[:, : before + 1])
        y_BTC, state = self.decode(ids_BN[:, before:], state)
        logits_BTV = self.head(y_BTC[:, -1:] if last_only else y_BTC)
        return logits_BTV if last_only else F.pad(logits_BTV, (0, 0, before, 0)), state

    def fitting(self, ids: Sequence[int]) -> int:
        """The length of a pair as a sequence. Raises ConfigError if its source or its target exceeds the context."""
        context, source = self.config.context, list(ids).index(self.end) + 1
        for what, length in (("source", source), ("target", len(ids) + 1 - source)):
            require(length <= context, f"The {what} has {length:,} tokens, and this model reads {context:,} at most.")
        return len(ids)

    def head(self, y: Tensor) -> Tensor:
        """A logit for each token: the product with its vector."""
        return linear(y, self.wte.weight)


@torch.inference_mode()
def look_across(model: EncoderDecoder, source: Sequence[int], inputs: Sequence[int]) -> Tensor:
    """[L, H, T, S]: how much of each token of `source` the decoder takes in where it has read each of `inputs`.

    `source` ends with END, with which `inputs` begin; row t is of the step that writes what follows inputs[t]. Weights
    are in float64; L is 0 for a model without attention. Raises ConfigError if either is longer than the context.
    """
    model.fitting([*source, *inputs[1:]])
    source_BS, inputs_BT = (torch.tensor([ids], device=model.device) for ids in (source, inputs))
    weights = list[Tensor]()
    model.decode(inputs_BT, model.encode(source_BS), weights)
    if not weights:
        return torch.zeros(0, 0, len(inputs), len(source), dtype=torch.float64)
    return torch.cat(weights).double().cpu()  # of each layer [1, H, T, S]
