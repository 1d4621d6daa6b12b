"""A tree of continuations of one prompt, in which every step costs one token."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from minigpt.errors import CorpusError
from minigpt.models.decoder import CachedDecoder
from minigpt.models.network import Column
from minigpt.models.window import window_start
from minigpt.sampling.distribution import Distribution, distribution, listing, require_finite, step_record
from minigpt.sampling.filters import SeenTokens, build_stages, count_tokens, look_back
from minigpt.sampling.philox import uniform
from minigpt.sampling.records import Candidate, StepRecord
from minigpt.sampling.trace import TraceHeader, TraceStep
from minigpt.sampling.vocabulary import best_ids, log_softmax
from minigpt.settings import SampleConfig
from minigpt.text.records import Token, token_text
from minigpt.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from minigpt.models.gpt import GPT
    from minigpt.models.native import NativeGPT

_KEPT_BYTES = 512 << 20  # of logits, keys and values: about 1,900 nodes of GPT-2's
_RAW = SampleConfig(temperature=1.0, top_p=1.0)


@dataclass(slots=True)
class _Node:
    token: int
    parent: int | None
    depth: int  # tokens from the first one to this one
    children: list[int] = field(default_factory=list)
    step: StepRecord | None = None


class TokenTree:
    """A tree of tokens: texts that share their beginning. A node is a number, in order of creation.

    The prompt's tokens are the first nodes; an empty prompt is one end-of-text. The logits after every node and its
    column of keys and values are kept, so a step from any node feeds one token to the model: whatever the cache lacks
    of the path to the node is copied into it. A full window is read again, as `window_start` requires. Of more than
    `kept_bytes`, what was used least recently is dropped, and recomputed when needed. Raises CheckpointError if the
    model's logits are not finite.
    """

    def __init__(
        self,
        model: GPT | NativeGPT,
        tokenizer: Tokenizer,
        prompt: str = "",
        *,
        seed: int = 1,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self._tokenizer, self._model, self._decoder = tokenizer, model, CachedDecoder(model)
        self._seed, self._draws = seed, 0
        self._prompt, self._nodes, self._texts = prompt, list[_Node](), list[str]()
        self._live: tuple[int, ...] = ()  # the nodes whose columns the decoder's cache holds
        # By node and the start of its window; without logits where the window of the node itself starts earlier.
        self._kept: dict[tuple[int, int], tuple[np.ndarray | None, Column]] = {}
        self._asked: dict[tuple[object, ...], Distribution] = {}
        self._seen: tuple[int | None, SeenTokens] = (None, SeenTokens())  # up to a node
        c = model.config
        self._most_kept = max(c.context, kept_bytes // (4 * c.vocab_size + self._decoder.cache.column_bytes))
        for token in tokenizer.encode_prompt(prompt).ids:
            self._add(token, len(self._nodes) - 1 if self._nodes else None)
        self.prompt_end = len(self._nodes) - 1
        self._logits_after(self.prompt_end)

    # The tree

    def path(self, node: int) -> tuple[int, ...]:
        """The nodes from the root to `node`."""
        nodes: list[int] = []
        at: int | None = node
        while at is not None:
            nodes.append(at)
            at = self._nodes[at].parent
        return tuple(reversed(nodes))

    def children(self, node: int) -> tuple[int, ...]:
        return tuple(self._nodes[node].children)

    def leaf(self, node: int) -> int:
        """The end of the newest branch through `node`."""
        while children := self.children(node):
            node = children[-1]
        return node

    def leaves(self) -> Iterator[int]:
        """The ends of all branches, depth first."""
        waiting = [0]
        while waiting:
            node = waiting.pop()
            waiting += reversed(self.children(node))
            if not self.children(node):
                yield node

    def ids(self, node: int) -> list[int]:
        """The token ids up to and including `node`."""
        return [self._nodes[n].token for n in self.path(node)]

    def text(self, node: int) -> str:
        """The whole text up to and including `node`, without what stands before the prompt."""
        path, ids = self.path(node), self.ids(node)
        if self.prompt_end in path:
            return self._prompt + self._tokenizer.decode(ids[self.prompt_end + 1 :])
        return self._tokenizer.decode(ids[len(self._tokenizer.prefix) :])

    def token(self, node: int) -> Token:
        return Token.of(self._tokenizer, self._nodes[node].token)

    def first_token(self, text: str) -> Token | None:
        """The first token of `text`; None if the text is empty, or if the tokenizer has no token for it."""
        try:
            ids = self._tokenizer.encode_whole(text)
        except CorpusError:
            return None
        return Token.of(self._tokenizer, ids[0]) if ids else None

    # Steps

    def append(self, node: int, token: int, config: SampleConfig) -> int:
        """The child of `node` with this token, created if necessary; `config` is what it was chosen under."""
        for child in self._nodes[node].children:
            if self._nodes[child].token == token:
                return child
        record = self._chosen(node, token, config)
        self._bring_cache_to(node)
        start = self._decoder.start
        logits_V = self._decoder.step([token])[0].copy()
        require_finite(logits_V)
        child = self._add(token, node)
        self._nodes[child].step = record
        reread = self._decoder.start != start
        self._keep(child, {child: logits_V}, first=0 if reread else len(self._live))
        return child

    def draw(self, node: int, config: SampleConfig) -> int:
        """Append a token drawn by the model under `config`.

        Draws are counted over the whole tree: one more from the same node gets another random number.
        """
        token = self._distribution(node, config).draw(uniform(self._seed, self._draws))
        self._draws += 1
        return self.append(node, token, config)

    def as_trace(self, header: TraceHeader) -> tuple[TraceHeader, list[TraceStep]]:
        """The header and the steps of the tree's trace. `header` is the prompt's.

        If a branch leaves in the middle of the prompt, the rest of the prompt becomes steps too, chosen from the raw
        softmax.
        """
        trunk = 0
        while trunk < self.prompt_end and self._nodes[trunk].children == [trunk + 1]:
            trunk += 1
        steps = []
        for node in range(trunk + 1, len(self._nodes)):
            parent, record = self._nodes[node].parent, self.step(node)
            assert record is not None, "only the first node has none"
            steps.append(TraceStep(node=node, parent=None if parent == trunk else parent, record=record))
        return replace(header, prompt=self.text(trunk), prompt_ids=tuple(self.ids(trunk))), steps

    # Records, all from the kept logits: no forward pass

    def step(self, node: int) -> StepRecord | None:
        """The record of how `node`'s token was chosen; None for the first one, which has no context."""
        here = self._nodes[node]
        if here.step is None and here.parent is not None:
            here.step = self._chosen(here.parent, here.token, _RAW)
        return here.step

    def next(self, node: int, config: SampleConfig, *, first: int = 0) -> StepRecord:
        """The distribution after `node`: `config.top` candidates from number `first` on, counted from 0."""
        best = best_ids(self._distribution(node, config).logits_V, first + config.top)
        return self._listing(node, best[first:], config)

    def find(self, node: int, text: str, config: SampleConfig, *, first: int = 0) -> tuple[StepRecord, int]:
        """Like `next`, for the tokens that contain `text`, ignoring case; and how many there are."""
        wanted = text.casefold()
        found = [token for token, own in enumerate(self._vocabulary()) if wanted in own]
        order = (-self._distribution(node, config).logits_V[found]).argsort(kind="stable")
        ids = [found[i] for i in order[first : first + config.top].tolist()]
        return self._listing(node, ids, config), len(found)

    def candidates(self, node: int, tokens: Sequence[int], config: SampleConfig) -> tuple[Candidate, ...]:
        """The given tokens as candidates after `node`, each of them once."""
        return self._listing(node, tokens, config).candidates

    def bits(self, node: int, token: int) -> float:
        """The surprisal of `token` after `node`, in bits of the raw probability."""
        return -float(log_softmax(self._logits_after(node))[token]) / math.log(2)

    def bet_bits(self, node: int, token: int, guess: int, share: float) -> float:
        """The cost in bits of `token` after `node` for a bet that puts `share` (between 0 and 1) on `guess`.

        The rest is spread over all other tokens in the model's proportions, so the bet is a distribution.
        """
        if token == guess:
            return -math.log2(share)
        logits_V = self._logits_after(node).copy()
        logits_V[guess] = -math.inf
        return -math.log2(1 - share) - float(log_softmax(logits_V)[token]) / math.log(2)

    def _vocabulary(self) -> list[str]:
        """The text of every token in lower case; "" for tokens that are not whole characters."""
        if not self._texts:
            names = map(self._tokenizer.token_bytes, range(self._model.config.vocab_size))
            self._texts = [(token_text(name) or "\0").casefold() for name in names]
        return self._texts

    def _listing(self, node: int, tokens: Sequence[int], config: SampleConfig) -> StepRecord:
        dist = self._distribution(node, config)
        return listing(dist, tokens, self._tokenizer.token_bytes, position=self._nodes[node].depth)

    def _chosen(self, node: int, token: int, config: SampleConfig) -> StepRecord:
        dist, position = self._distribution(node, config), self._nodes[node].depth
        return step_record(dist, self._tokenizer.token_bytes, position=position, top=config.top, token=token)

    def _distribution(self, node: int, config: SampleConfig) -> Distribution:
        """The distribution after a node. The last one is cached, because a screen asks for it repeatedly."""
        stages = build_stages(config)
        wanted = (node, *((stage.name, stage.setting) for stage in stages))
        if wanted not in self._asked:
            seen = () if not look_back(stages) else self.ids(node) if count_tokens(stages) else self._seen_by(node)
            self._asked = {wanted: distribution(self._logits_after(node), stages, seen)}
        return self._asked[wanted]

    def _seen_by(self, node: int) -> np.ndarray:
        """The distinct tokens up to and including `node`, extended from those of its parent where possible."""
        last, seen = self._seen
        if last is not None and self._nodes[node].parent == last:
            seen.add(self._nodes[node].token)
        elif last != node:
            seen = SeenTokens(self.ids(node))
        self._seen = node, seen
        return seen.ids

    def _add(self, token: int, parent: int | None) -> int:
        self._nodes.append(_Node(token, parent, 1 if parent is None else self._nodes[parent].depth + 1))
        child = len(self._nodes) - 1
        if parent is not None:
            self._nodes[parent].children.append(child)
        return child

    # The model and its cache

    def _start(self, depth: int) -> int:
        return window_start(depth, self._model.config.context)

    def _logits_after(self, node: int) -> np.ndarray:
        """The logits [V] after a node, float32."""
        start = self._start(self._nodes[node].depth)
        if self._recall(node, start) is None:
            self._read(node)
        logits_V, _ = self._kept[node, start]
        assert logits_V is not None
        return logits_V

    def _bring_cache_to(self, node: int) -> None:
        """Move the decoder behind `node`, by copying kept columns or by reading the window again."""
        path = self.path(node)
        start = self._start(len(path))
        window = path[start:]
        same = takewhile(lambda pair: pair[0] == pair[1], zip(self._live, window, strict=False))
        shared = len(list(same)) if start == self._decoder.start else 0
        columns = [found[1] for n in window[shared:] if (found := self._recall(n, start)) is not None]
        if len(columns) < len(window) - shared:
            self._read(node)  # perhaps on beyond it, in the prompt: what was read begins with the window
            shared, columns = len(window), []
        self._decoder.resume(self.ids(node), shared, columns)
        self._live = window

    def _read(self, node: int) -> None:
        """One pass over `node`'s window, and within the prompt to the window's end; keeps the results of all."""
        start = self._start(self._nodes[node].depth)
        end = node
        while end < self.prompt_end and self._start(self._nodes[end + 1].depth) == start:
            end += 1  # the prompt's nodes are numbered in order
        logits_TV = self._decoder.read(self.ids(end))
        require_finite(logits_TV)
        read = zip(self.path(end)[start:], logits_TV, strict=True)
        self._keep(end, {n: logits_V.copy() for n, logits_V in read if self._start(self._nodes[n].depth) == start})

    def _recall(self, node: int, start: int) -> tuple[np.ndarray | None, Column] | None:
        """The kept logits and column of `node` in the window from `start` on; then they were used last."""
        found = self._kept.pop((node, start), None)
        if found is not None:
            self._kept[node, start] = found
        return found

    def _keep(self, node: int, logits: Mapping[int, np.ndarray], *, first: int = 0) -> None:
        """Keep the columns of the window that ends at `node`, from its token number `first` on, with these logits."""
        start = self._decoder.start
        self._live = self.path(node)[start:]
        for n, column in zip(self._live[first:], self._decoder.cache.columns(first), strict=True):
            self._kept.pop((n, start), None)
            self._kept[n, start] = logits.get(n), column
        while len(self._kept) > self._most_kept:
            del self._kept[next(iter(self._kept))]
