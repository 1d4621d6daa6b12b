"""The text of a measurement of levers, the steps of a training and the tokens that each step reads."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from levers import Changes
from tokenizers import Tokenizer as Engine
from torch import Tensor

from minigpt.text.corpus import Split, read_corpus
from minigpt.text.learning import train_tokenizer
from minigpt.text.shards import tokenize
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.step import epoch_starts, merge_parents, mixed, with_merges_undone

_WHOLE_TOKENS = 0.8  # of the training, from there on


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A training, but for its levers and its text, of which the last `val_fraction` is held out."""

    layers: int = 3
    width: int = 96
    vocab_size: int = 1024
    context: int = 128
    batch_size: int = 8
    dropout: float = 0.1
    weight_decay: float = 0.3
    val_fraction: float = 0.4
    seed: int = 1
    tokens: int

    @property
    def step_tokens(self) -> int:
        return self.context * self.batch_size

    def of_tokens(self, tokens: float) -> "Setting":
        """The same for about so many tokens: whole steps, one at least."""
        return replace(self, tokens=max(1, round(tokens / self.step_tokens)) * self.step_tokens)


@dataclass(frozen=True)
class Text:
    """Ids [N] to train on and to validate on, the bytes of each token [V], and the training text itself."""

    train: np.ndarray
    validation: np.ndarray
    byte_lengths: np.ndarray
    tokenizer: Tokenizer
    characters: str

    def with_merges_left_out(self, share: float) -> np.ndarray:
        """The ids of the training text if each merge is left out as often as `share`.

        BPE dropout (Provilkov et al., 2020) by the tokenizers library, whose random numbers have no seed.
        """
        engine = Engine.from_str(self.tokenizer.to_json())
        engine.model.dropout = share
        return np.array(engine.encode(self.characters, add_special_tokens=False).ids, np.int64)


@lru_cache(maxsize=1)
def read_text(path: str, vocab_size: int, val_fraction: float) -> Text:
    """The text, cut by a bpe tokenizer that is learned from the part to train on."""
    split = Split(read_corpus([path]), None, val_fraction)
    tokenizer = train_tokenizer("bpe", (block.text for block in split.train()), vocab_size)
    data = tokenize(tokenizer, split)
    train, validation = (np.asarray(ids[:]).astype(np.int64) for ids in (data.train, data.validation))
    return Text(train, validation, tokenizer.byte_lengths(), tokenizer, "".join(block.text for block in split.train()))


@dataclass(frozen=True)
class Step:
    """Step 1, 2, ... reads `rows` windows of `context` tokens; `done` tokens are read before it, a share `t` of all."""

    number: int
    rows: int
    context: int
    done: int
    t: float


def longest_context(setting: Setting, changes: Changes) -> int:
    return max(1, round(setting.context * changes.context))


def planned_steps(setting: Setting, changes: Changes) -> list[Step]:
    """Steps of `setting.tokens` tokens together, or a few more where the last step is a large one."""
    longest = longest_context(setting, changes)
    steps: list[Step] = []
    done = 0
    while done < setting.tokens:
        t = done / setting.tokens
        context, size = longest, 1.0
        if changes.short_windows:
            context = max(1, longest // 4 if t < 0.3 else longest // 2 if t < 0.6 else longest)
        if changes.small_batches:
            size = 0.5 if t < 0.5 else 2.0 if t >= 0.85 else 1.0
        rows = max(1, round(size * setting.step_tokens / context))
        steps.append(Step(len(steps) + 1, rows, context, done, t))
        done += rows * context
    return steps


class Windows:
    """Windows [B, T + 1 + future tokens] of each step; unless they are changed, those of training/step.py's Batches."""

    def __init__(self, text: Text, setting: Setting, changes: Changes) -> None:
        self._text, self._setting, self._changes = text, setting, changes
        self._ids, self._version = text.train, -1
        self._queue = np.zeros(0, np.int64)  # starts of windows, of `_queued` tokens
        self._queued, self._epochs = 0, 0

    def of(self, step: Step) -> Tensor:
        if self._changes.bpe_dropout:
            self._cut_anew(step)
        starts = self._drawn(step) if self._changes.replacement else self._next(step)
        positions = starts[:, None] + np.arange(step.context + 1 + self._changes.future)
        # Only the future tokens of a window may lie beyond the end.
        ids = self._ids[np.minimum(positions, len(self._ids) - 1)]
        if self._changes.merges_undone and step.t < _WHOLE_TOKENS:
            random = np.random.default_rng((self._setting.seed, step.number)).random
            ids = with_merges_undone(ids, merge_parents(self._text.tokenizer), self._changes.merges_undone, random)
        return torch.from_numpy(ids)

    def _drawn(self, step: Step) -> np.ndarray:
        generator = torch.Generator().manual_seed(mixed(self._setting.seed, step.number))
        return torch.randint(len(self._ids) - step.context, (step.rows,), generator=generator).numpy()

    def _next(self, step: Step) -> np.ndarray:
        """Starts from a queue to which the windows of another epoch are added where it ends."""
        if self._queued != step.context:
            self._queue, self._queued = self._queue[:0], step.context
        while len(self._queue) < step.rows:
            more = epoch_starts(len(self._ids), step.context, self._setting.seed, self._epochs)
            self._queue = np.concatenate([self._queue, more])
            self._epochs += 1
        starts, self._queue = self._queue[: step.rows], self._queue[step.rows :]
        return starts

    def _cut_anew(self, step: Step) -> None:
        """Another tokenization each epoch, and the usual one for the last fifth."""
        version = -1 if step.t >= _WHOLE_TOKENS else step.done // len(self._text.train)
        if version != self._version:
            share = self._changes.bpe_dropout
            self._ids = self._text.train if version == -1 else self._text.with_merges_left_out(share)
            self._version, self._queued = version, 0


def with_noise(ids_BT: Tensor, text: Text, seed: int, step: Step, changes: Changes) -> Tensor:
    """The input with a share of its tokens replaced."""
    share = changes.strength("noise", step.t)
    if not share:
        return ids_BT
    random = np.random.default_rng((seed, step.number))
    replaced = random.random(ids_BT.shape) < share
    if changes.noise_kind == "mask":
        others = np.full(ids_BT.shape, text.tokenizer.end_of_text)
    elif changes.noise_kind == "uniform":
        others = random.integers(0, len(text.byte_lengths), ids_BT.shape)
    else:
        others = text.train[random.integers(0, len(text.train), ids_BT.shape)]
    return torch.from_numpy(np.where(replaced, others, ids_BT.numpy()))
