"""What is computed for whole batches of pairs, in torch: greedy translations, and where their tokens look."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from minigpt.models.encoder_decoder import PADDING, EncoderDecoder


def padded(rows: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Rows of ids as a batch [B, T], with PADDING behind the shorter."""
    texts = [torch.from_numpy(np.asarray(row, np.int64)) for row in rows]
    return pad_sequence(texts, batch_first=True, padding_value=PADDING).to(device)


@torch.inference_mode()
def greedy_batch(model: EncoderDecoder, sources: Sequence[np.ndarray], most: int) -> list[list[int]]:
    """The most probable token at each step for each source, until END (left out) or `most` tokens."""
    state = model.encode(padded(sources, model.device))
    written: list[list[int]] = [[] for _ in sources]
    going = list(range(len(sources)))  # the rows of the batch that have not ended
    last = torch.full((len(sources), 1), model.end, device=model.device)
    for _ in range(most):
        y_BTC, state = model.decode(last, state)
        chosen = model.head(y_BTC[:, -1]).argmax(dim=-1)
        on = [at for at, token in enumerate(chosen.tolist()) if token != model.end]
        for at in on:
            written[going[at]].append(int(chosen[at]))
        if not on:
            break
        if len(on) < len(going):
            going, state = [going[at] for at in on], tuple(part[on] for part in state)
        last = chosen[on][:, None]
    return written


@torch.inference_mode()
def source_weights(
    model: EncoderDecoder, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> list[list[np.ndarray]]:
    """For each pair, whose ids include their END, the weights [T, S] of each layer with attention over the source.

    They are those with which a token of the target was predicted from the right ones before it, averaged over heads.
    """
    inputs = [np.insert(target[:-1], 0, model.end) for target in targets]
    weights: list[Tensor] = []
    model.decode(padded(inputs, model.device).clamp(min=0), model.encode(padded(sources, model.device)), weights)
    means = [layer.mean(dim=1).float().cpu().numpy() for layer in weights]  # [B, T, S]
    lengths = [(len(target), len(source)) for source, target in zip(sources, targets, strict=True)]
    return [[layer[row, :T, :S] for layer in means] for row, (T, S) in enumerate(lengths)]
