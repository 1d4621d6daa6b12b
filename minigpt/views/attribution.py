"""A prompt and a next token in; how each token of the prompt, left out, changes that one's log-probability, out."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from minigpt.errors import CorpusError, named
from minigpt.models.device import windows_at_once
from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import KVCache, window_start
from minigpt.sampling.distribution import best_ids, distribution, step_record, token_text
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.probs import surprisal
from minigpt.views.records import Attribution, TokenEffect


def leave_one_out(
    model: GPT,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    *,
    token: int | None = None,
    progress: Callable[[int], None] = lambda tokens: None,
) -> Attribution:
    """Explain `token`, by default the most likely one, after `ids`: one more pass of the model for each of them.

    The effect of token i is log2 p(token | ids) - log2 p(token | ids without i): above 0 where i made it likelier. The
    tokens behind i move up by one position, so that an effect holds the move too. Effects do not add up to a whole:
    tokens act together. Only the model's window is looked at, and keeps its beginning when a token is left out of it.
    `progress` is told of tokens left out. Raises CorpusError where nothing would be left.
    """
    start = window_start(len(ids), model.config.context)
    window = ids[start:]
    if len(window) < 2:
        raise CorpusError(
            f"To leave one out, {named('attribution')} needs a text of two tokens or more, and a context of two."
        )
    cache = KVCache(model.config, device=model.device, dtype=model.wte.weight.dtype)
    with torch.inference_mode():
        dist = distribution(model(torch.tensor([window], device=model.device), cache, last_only=True)[0, 0])
    explained = best_ids(dist.logits_V, 1)[0] if token is None else token
    chosen = step_record(dist, tokenizer.token_bytes, position=len(ids), top=1, token=explained).chosen
    assert chosen is not None
    whole = surprisal(dist.logits_V, explained)
    effects = []
    for index, logits_V in _without_each(model, window, cache):
        data, without = tokenizer.token_bytes(window[index]), surprisal(logits_V, explained)
        effects.append(
            TokenEffect(
                id=window[index],
                text=token_text(data),
                bytes=data.hex(),
                position=start + index,
                surprisal_bits=without,
                effect_bits=without - whole,
            )
        )
        progress(1)
    return Attribution(
        position=len(ids), token=chosen, surprisal_bits=whole, unseen=start, effects=tuple(reversed(effects))
    )


@torch.inference_mode()
def _without_each(model: GPT, ids: Sequence[int], cache: KVCache) -> Iterator[tuple[int, Tensor]]:
    """(i, the logits [V] after `ids` without i), the last i first; `cache` holds all of `ids`.

    Several neighbours at once. What stands before them is in the cache, so only what stands behind it is read again,
    and written over what no later pass needs: half of the work of whole passes.
    """
    ids_T = torch.tensor(ids, device=model.device)
    batch = min(windows_at_once(model.config, model.device), len(ids))
    caches = KVCache(model.config, batch, device=model.device, dtype=cache.kv.dtype)
    caches.kv.copy_(cache.kv)
    for end in range(len(ids), 0, -batch):
        left_out = range(max(0, end - batch), max(batch, end))
        start = min(left_out[0], len(ids) - 2)  # without the last token, the one before it is still to be read
        behind_BT = torch.stack([torch.cat((ids_T[start:i], ids_T[i + 1 :])) for i in left_out])
        caches.length = start
        logits_BV = model(behind_BT, caches, last_only=True)[:, 0]
        yield from reversed([(i, logits_V) for i, logits_V in zip(left_out, logits_BV, strict=True) if i < end])
