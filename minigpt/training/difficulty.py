"""How hard a text is to predict, as far as a bigram model can tell in a fraction of a second."""

import numpy as np

from minigpt.text.blocks import up_to, utf8_length
from minigpt.text.corpus import Split
from minigpt.text.learning import train_tokenizer

_VOCABULARY = 1024
LEARNED, _PREDICTED = 100_000, 50_000  # characters at most


def bigram_bits_per_byte(split: Split) -> float | None:
    """The bits per byte of the validation text under a bigram model of the training text; None if either is too short.

    A sample of the training text is enough, and without a validation text its second half takes that place. Both are
    cut into BPE tokens of the sample. A pair that was not seen there falls back to how often its second token was seen,
    in proportion to the number of different tokens after the first one (Witten and Bell, 1991).
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
    size = tokenizer.vocab_size
    single = np.bincount(train, minlength=size) + 1.0
    pairs, counts = np.unique(train[:-1] * size + train[1:], return_counts=True)
    after = np.bincount(pairs // size, counts, size)  # tokens seen after each
    kinds = np.bincount(pairs // size, minlength=size)  # different ones
    wanted = ids[:-1] * size + ids[1:]
    places = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    seen = np.where(pairs[places] == wanted, counts[places], 0)
    total = np.maximum(1, after + kinds)[ids[:-1]]
    fallback = np.where(after > 0, kinds, 1)[ids[:-1]] * single[ids[1:]] / single.sum()
    bits = -np.log2((seen + fallback) / total).sum()
    return float(bits / utf8_length(tokenizer.decode(ids[1:].tolist())))
