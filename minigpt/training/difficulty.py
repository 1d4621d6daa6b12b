"""How hard a text is to predict, as far as simple models can tell in a fraction of a second."""

import numpy as np

from minigpt.text.blocks import up_to, utf8_length
from minigpt.text.corpus import Split
from minigpt.text.learning import train_tokenizer

_VOCABULARY = 1024
LEARNED, _PREDICTED = 100_000, 50_000  # characters at most
_MATCHES = (8, 4, 2, 1)  # lengths of the matches after which the next token is guessed, the longest first
_WINDOW = 128  # tokens back: what a small GPT sees


def simple_bits_per_byte(split: Split, *, copies: bool) -> float | None:
    """The bits per byte of the validation text under a bigram model of the training text; None if either is too short.

    A sample of the training text is enough, and without a validation text its second half takes that place. Both are
    cut into BPE tokens of the sample. With `copies`, the model is mixed with a guess that the text goes on as it did
    after the same few tokens, because code, for one, repeats what is just before it much more than plays do. A GPT
    learns to make use of that, but not from a few kilobytes.
    """
    texts = [block.text for block in up_to(split.sample(LEARNED), LEARNED)]
    held_out = [block.text for block in up_to(split.validation(), _PREDICTED)]
    if not any(held_out):
        whole = "".join(texts)
        texts, held_out = [whole[: len(whole) // 2]], [whole[len(whole) // 2 :]]
    if not any(texts):
        return None
    tokenizer = train_tokenizer("bpe", texts, _VOCABULARY)
    train, ids = (np.array(tokenizer.encode_documents(["".join(each)]), np.int64) for each in (texts, held_out))
    if len(train) < 2 or len(ids) < 2:
        return None
    probs = _bigram(train, ids, tokenizer.vocab_size)
    probs = _with_copies(ids, probs) if copies else probs
    return float(-np.log2(probs).sum() / utf8_length(tokenizer.decode(ids[1:].tolist())))


def _bigram(train: np.ndarray, ids: np.ndarray, size: int) -> np.ndarray:
    """The probabilities of ids[1:] under a bigram model of `train`.

    A pair that was not seen there falls back to how often its second token was seen, in proportion to the number of
    different tokens after the first one (Witten and Bell, 1991).
    """
    single = np.bincount(train, minlength=size) + 1.0
    pairs, counts = np.unique(train[:-1] * size + train[1:], return_counts=True)
    after = np.bincount(pairs // size, counts, size)  # tokens seen after each
    kinds = np.bincount(pairs // size, minlength=size)  # different ones
    wanted = ids[:-1] * size + ids[1:]
    places = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    seen = np.where(pairs[places] == wanted, counts[places], 0)
    total = np.maximum(1, after + kinds)[ids[:-1]]
    fallback = np.where(after > 0, kinds, 1)[ids[:-1]] * single[ids[1:]] / single.sum()
    probs: np.ndarray = (seen + fallback) / total
    return probs


def _with_copies(ids: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """`probs` of ids[1:], mixed with a guess of each: the token that followed the longest of `_MATCHES` in `_WINDOW`.

    The weight of a guess is the share of the guesses after matches of this length that were right so far.
    """
    tokens, mixed = ids.tolist(), probs.copy()
    last = dict[tuple[int, ...], int]()  # the position of the token that last followed these
    right, tried = dict.fromkeys(_MATCHES, 1), dict.fromkeys(_MATCHES, 2)
    for i in range(1, len(tokens)):
        before = {length: tuple(tokens[i - length : i]) for length in _MATCHES if length <= i}
        for length, match in before.items():
            if i - last.get(match, -_WINDOW) < _WINDOW:
                share, is_right = right[length] / tried[length], tokens[last[match]] == tokens[i]
                mixed[i - 1] = share * is_right + (1 - share) * probs[i - 1]
                right[length] += is_right
                tried[length] += 1
                break
        last.update(dict.fromkeys(before.values(), i))
    return mixed
