"""Trains tokenizers on texts, and chooses their size.

Two kinds share one format, and so load elsewhere as ordinary GPT-2 tokenizers:

    bpe   merges learned from the corpus (Sennrich et al., 2016; Radford et al., 2019)
    char  merges only inside each multi-byte character of the corpus: one token per known character, and the bytes, or
          the known beginning of them, for the others

Their ids are GPT-2's: the 256 bytes first, in its order, then the merges, end-of-text last.
"""

import json
import math
from collections.abc import Iterable, Sequence
from itertools import takewhile

from tokenizers import Tokenizer as Engine
from tokenizers import models, processors, trainers

from minigpt.errors import named
from minigpt.settings import RANGES, TOKENIZERS, require, require_choice
from minigpt.text.blocks import short_pieces, utf8_length
from minigpt.text.library_calls import interruptible
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer, byte_level_engine

SMALLEST_VOCABULARY = int(RANGES["vocab_size"].least)


def train_tokenizer(kind: str, documents: Iterable[str], vocab_size: int | None = None) -> Tokenizer:
    """Train a tokenizer of `kind` on the documents, in one pass.

    `vocab_size`: for bpe, all tokens, end-of-text included (a short corpus may give fewer). char needs none: it
    takes the characters of the corpus.
    """
    check_tokenizer(kind, vocab_size)
    if kind == "char":
        return _tokenizer(character_merges(documents))
    assert vocab_size is not None, "default_vocab_size chooses one"
    return _tokenizer(learned_merges(documents, vocab_size - SMALLEST_VOCABULARY))


def ending_texts(tokenizer: Tokenizer) -> Tokenizer:
    """`tokenizer`, whose file tells other programs to put end-of-text after every text, as models of pairs need it."""
    engine = Engine.from_str(tokenizer.to_json())
    engine.post_processor = processors.TemplateProcessing(
        single=f"$A {END_OF_TEXT}", special_tokens=[(END_OF_TEXT, tokenizer.end_of_text)]
    )
    return Tokenizer(engine).of_sources()


def check_tokenizer(kind: str, vocab_size: int | None) -> None:
    """Raise ConfigError if `train_tokenizer` cannot make one of this kind and size."""
    require_choice("tokenizer", kind, TOKENIZERS)
    require(
        kind != "char" or vocab_size is None,
        f"{named('vocab_size')} goes with {named('tokenizer', 'bpe')}: char takes one token per character.",
    )
    if vocab_size is not None:
        RANGES["vocab_size"].check("vocab_size", vocab_size)


def default_vocab_size(utf8_bytes: int) -> int:
    """The power of two nearest to the square root of the corpus's bytes, from 1,024 to 32,768.

    1,024 measured better than 512 on 0.4 MB (2.07 bits per byte against 2.26 after equal steps); a larger text supports
    more tokens.
    """
    return 1 << min(15, max(10, round(math.log2(max(1, utf8_bytes)) / 2)))


def fitting_tokenizers(merges: Sequence[tuple[str, str]], sizes: Sequence[int]) -> dict[int, Tokenizer]:
    """A bpe tokenizer of each of the vocabulary `sizes` with enough `merges`, or one with all of them."""
    most = SMALLEST_VOCABULARY + len(merges)
    return {
        size: _tokenizer(merges[: size - SMALLEST_VOCABULARY])
        for size in [size for size in sizes if size <= most] or [most]
    }


def bytes_per_token(tokenizer: Tokenizer, documents: Sequence[str]) -> float:
    """The compression of the texts, in UTF-8 bytes per token."""
    whole = sum(map(utf8_length, documents))
    return whole / max(1, len(tokenizer.encode_documents(["".join(documents)])))


def learned_merges(documents: Iterable[str], count: int) -> list[tuple[str, str]]:
    """Learn this many merges, or as many as there are, the most frequent pair first."""
    engine = byte_level_engine(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=256 + count, initial_alphabet=list(BYTE_TO_LETTER.values()), show_progress=False
    )
    parts = (part for document in documents for part in short_pieces(document))
    interruptible(lambda left: engine.train_from_iterator(takewhile(lambda _: not left(), parts), trainer))
    return [(left, right) for left, right in json.loads(engine.to_str())["model"]["merges"]]


def character_merges(documents: Iterable[str]) -> list[tuple[str, str]]:
    """Merges that build each multi-byte character from its bytes, left to right, sharing common prefixes."""
    characters = sorted({c for document in documents for c in set(document) if ord(c) > 0x7F})
    merges: dict[tuple[str, str], None] = {}
    for character in characters:
        letters = "".join(BYTE_TO_LETTER[b] for b in character.encode())
        for end in range(1, len(letters)):
            merges[letters[:end], letters[end]] = None
    return list(merges)


def _tokenizer(merges: Sequence[tuple[str, str]]) -> Tokenizer:
    # Two merges can build the same token; it has one id.
    tokens = dict.fromkeys([*BYTE_TO_LETTER.values(), *(left + right for left, right in merges), END_OF_TEXT])
    engine = byte_level_engine(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=list(merges)))
    engine.add_special_tokens([END_OF_TEXT])
    return Tokenizer(engine)
