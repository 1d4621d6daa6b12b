"""Many pairs at once: the targets that a model writes greedily, the loss of given ones, and where they look.

Shapes are named as in encoder_decoder.py.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from minigpt.models.encoder_decoder import PADDING, EncoderDecoder

_AT_ONCE = 64  # sources, sorted by length so that little of a batch is padding

Ids = Sequence[int]


def greedy(
    model: EncoderDecoder, sources: Sequence[Ids], progress: Callable[[int], None] = lambda count: None
) -> list[list[int]]:
    """The target of each source by the most probable token at every step, without its END.

    `sources` end in END; a target ends with its own, or with the model's context. `progress` receives the number of
    sources that are done.
    """
    targets: list[list[int]] = [[] for _ in sources]
    for numbers, source_BS in _batches(model, sources):
        for number, target in zip(numbers, _written(model, source_BS), strict=True):
            targets[number] = target
        progress(len(numbers))
    return targets


@torch.inference_mode()
def _written(model: EncoderDecoder, source_BS: Tensor) -> list[list[int]]:
    """The targets of one batch; a row is dropped as soon as it has ended."""
    targets: list[list[int]] = [[] for _ in source_BS]
    rows, state = list(range(len(source_BS))), model.encode(source_BS)
    last_BT = torch.full((len(rows), 1), model.end, device=model.device)
    for _ in range(model.config.context):
        y_BTC, state = model.decode(last_BT, state)
        found_B = model.head(y_BTC[:, -1]).argmax(dim=-1)
        found = found_B.tolist()
        kept = [at for at, token in enumerate(found) if token != model.end]
        for at in kept:
            targets[rows[at]].append(found[at])
        if not kept:
            break
        if len(kept) < len(rows):
            rows, found_B, state = [rows[at] for at in kept], found_B[kept], tuple(part[kept] for part in state)
        last_BT = found_B[:, None]
    return targets


@torch.inference_mode()
def target_nats_of_each(model: EncoderDecoder, sources: Sequence[Ids], targets: Sequence[Ids]) -> np.ndarray:
    """[N, L], float64: the loss in nats of every one of the same `targets`, with its END, after each of `sources`.

    `sources` end in END, and `targets` do not. Each is within the model's context.
    """
    nats_NL = np.zeros((len(sources), len(targets)))
    for numbers, source_BS in _batches(model, sources):
        state = model.encode(source_BS)
        for column, target in enumerate(targets):
            written_T = torch.tensor([*target, model.end], device=model.device)
            read_T = torch.tensor([model.end, *target], device=model.device)
            y_BTC, _ = model.decode(read_T.expand(len(numbers), -1), state)
            logits_BVT = model.head(y_BTC).float().transpose(1, 2)
            nats_BT = F.cross_entropy(logits_BVT, written_T.expand(len(numbers), -1), reduction="none")
            nats_NL[numbers, column] = nats_BT.cpu().double().sum(dim=1).numpy()
    return nats_NL


@torch.inference_mode()
def source_weights(model: EncoderDecoder, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[list[np.ndarray]]:
    """For each pair, whose texts end in END, the weights [T, S] of each layer with attention over the source.

    They are those with which each token of the target is predicted from the right ones before it, averaged over heads.
    """
    weights: list[Tensor] = []
    inputs = [[model.end, *target[:-1]] for target in targets]
    model.decode(_padded(model, inputs).clamp(min=0), model.encode(_padded(model, sources)), weights)
    means = [layer.mean(dim=1).float().cpu().numpy() for layer in weights]  # [B, T, S]
    lengths = [(len(target), len(source)) for source, target in zip(sources, targets, strict=True)]
    return [[layer[row, :T, :S] for layer in means] for row, (T, S) in enumerate(lengths)]


def _batches(model: EncoderDecoder, sources: Sequence[Ids]) -> Iterator[tuple[list[int], Tensor]]:
    """The numbers of some sources of about the same length, and their ids [B, S], padded."""
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
    for first in range(0, len(order), _AT_ONCE):
        numbers = order[first : first + _AT_ONCE]
        yield numbers, _padded(model, [sources[number] for number in numbers])


def _padded(model: EncoderDecoder, texts: Sequence[Ids]) -> Tensor:
    """[B, T], with PADDING behind the shorter."""
    rows = [torch.tensor(text) for text in texts]
    return pad_sequence(rows, batch_first=True, padding_value=PADDING).to(model.device)
