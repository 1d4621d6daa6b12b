"""What came before the Transformer: two LSTMs, of which one reads the source and the other writes the target.

Shapes are named as in encoder_decoder.py.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from minigpt.models.encoder_decoder import PADDING, EncoderDecoder, State
from minigpt.models.functional import dropout
from minigpt.settings import ModelConfig

Self = TypeVar("Self", bound="Recurrent")


class Recurrent(EncoderDecoder):
    """What both have: their initial weights, and dropout on what goes into a network and comes out of it."""

    def initialise(self: Self, generator: torch.Generator) -> Self:
        """As the LSTM of baselines.py: normal with the variance 1 / columns, recurrent matrices orthogonal, forget
        gates open.
        """
        for name, parameter in self.named_parameters():
            values = parameter.detach()
            if parameter.dim() < 2:
                nn.init.zeros_(values)
                if "bias_ih" in name:
                    quarter = len(values) // 4
                    nn.init.ones_(values[quarter : 2 * quarter])
            elif "weight_hh" in name:
                for gate in values.split(parameter.size(1)):
                    nn.init.orthogonal_(gate, generator=generator)
            else:
                nn.init.normal_(values, std=parameter.size(1) ** -0.5, generator=generator)
        return self

    def drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.config.dropout, self.training)

    def embed(self, ids: Tensor) -> Tensor:
        return self.drop(self.wte(ids))


class Seq2Seq(Recurrent):
    """The encoder's last state is all that the decoder knows of the source, which is read backwards.

    Sutskever et al., "Sequence to Sequence Learning with Neural Networks", 2014. Its state: the hidden values and the
    cells [B, L, C] of the decoder.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder = nn.LSTM(config.width, config.width, config.layers, batch_first=True)
        self.decoder = nn.LSTM(config.width, config.width, config.layers, batch_first=True)

    def encode(self, source_BS: Tensor) -> State:
        is_token = source_BS != PADDING
        lengths = is_token.sum(1)
        places = (lengths[:, None] - 1 - torch.arange(source_BS.size(1), device=source_BS.device)).clamp(min=0)
        x_BSC = self.embed(source_BS.gather(1, places))
        if bool(is_token.all()):
            _, (h, c) = self.encoder(x_BSC)
        else:
            packed = pack_padded_sequence(x_BSC, lengths.cpu(), batch_first=True, enforce_sorted=False)
            _, (h, c) = self.encoder(packed)
        return h.transpose(0, 1), c.transpose(0, 1)

    def decode(self, inputs_BT: Tensor, state: State, weights: list[Tensor] | None = None) -> tuple[Tensor, State]:
        before = tuple(part.transpose(0, 1).contiguous() for part in state)
        y_BTC, (h, c) = self.decoder(self.embed(inputs_BT), before)
        return self.drop(y_BTC), (h.transpose(0, 1), c.transpose(0, 1))


class AttentiveSeq2Seq(Recurrent):
    """For each token that it writes, the decoder searches the source for what it needs: additive attention.

    A query, the decoder's last output, and a key for each token of the source are added; what a small dense layer makes
    of the sum is the score. The encoder reads in both directions. Bahdanau et al., "Neural Machine Translation by
    Jointly Learning to Align and Translate", 2015; with LSTMs in place of its GRUs. Its state: the encoded source and
    its keys [B, S, C], which of its tokens are no padding [B, S], and the decoder's hidden values and cells [B, L, C].
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width, layers = config.width, config.layers
        self.encoder = nn.LSTM(width, width // 2, layers, batch_first=True, bidirectional=True)
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)
        cells = [nn.LSTMCell((1 + (layer == 0)) * width, width) for layer in range(layers)]
        self.decoder = nn.ModuleList(cells)
        self.output = nn.Linear(2 * width, width)

    def encode(self, source_BS: Tensor) -> State:
        is_token = source_BS != PADDING
        x_BSC = self.embed(source_BS.clamp(min=0))
        if bool(is_token.all()):
            found_BSC, (h, c) = self.encoder(x_BSC)
        else:
            packed = pack_padded_sequence(x_BSC, is_token.sum(1).cpu(), batch_first=True, enforce_sorted=False)
            found, (h, c) = self.encoder(packed)
            found_BSC, _ = pad_packed_sequence(found, batch_first=True, total_length=source_BS.size(1))
        found_BSC = self.drop(found_BSC)
        # Of each layer, both directions side by side: [2 L, B, C / 2] -> [B, L, C]
        h, c = (part.unflatten(0, (-1, 2)).permute(2, 0, 1, 3).flatten(2) for part in (h, c))
        return found_BSC, self.key(found_BSC), is_token, h, c

    def decode(self, inputs_BT: Tensor, state: State, weights: list[Tensor] | None = None) -> tuple[Tensor, State]:
        source_BSC, keys_BSC, is_token, h_BLC, c_BLC = state
        hidden, cells = list(h_BLC.unbind(1)), list(c_BLC.unbind(1))
        outputs, looks = [], []
        blocked = None if bool(is_token.all()) else ~is_token
        for x_BC in self.embed(inputs_BT).unbind(1):
            scores_BS = self.score((self.query(hidden[-1])[:, None] + keys_BSC).tanh()).squeeze(2)
            if blocked is not None:
                scores_BS = scores_BS.masked_fill(blocked, -torch.inf)
            weights_BS = scores_BS.softmax(dim=1)
            found_BC = torch.bmm(weights_BS[:, None], source_BSC).squeeze(1)
            y_BC = torch.cat([x_BC, found_BC], dim=1)
            for layer, cell in enumerate(self.decoder):
                hidden[layer], cells[layer] = cell(y_BC, (hidden[layer], cells[layer]))
                y_BC = hidden[layer]
            outputs.append(torch.cat([y_BC, found_BC], dim=1))
            looks.append(weights_BS)
        if weights is not None:
            weights.append(torch.stack(looks, dim=1)[:, None])  # as of one head
        y_BTC = self.drop(self.output(torch.stack(outputs, dim=1)))
        return y_BTC, (source_BSC, keys_BSC, is_token, torch.stack(hidden, 1), torch.stack(cells, 1))
