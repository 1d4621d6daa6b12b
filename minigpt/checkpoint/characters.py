"""Reads meta.pkl, nanoGPT's table of characters, as a tokenizer with the same ids.

Read are a table `itos` from ids to characters (or a list of them), a table `stoi` from characters to ids, or both, and
`vocab_size`, in a pickle of at most four MiB that names no class or function.
"""

from itertools import count
from pathlib import Path
from typing import Any

from tokenizers import models

from minigpt.checkpoint.files import check_given_file, reading
from minigpt.checkpoint.pickled import LARGEST, read_pickle, shown
from minigpt.errors import CheckpointError
from minigpt.text.learning import character_merges
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import Tokenizer, byte_level_engine


def read_characters(path: Path, vocab_size: int) -> Tokenizer:
    """The tokenizer of a model with `vocab_size` tokens: one for each character, by the ids in the file at `path`.

    A character of several bytes is merged from them; parts of characters get ids from `vocab_size` on, which the model
    lacks. No token ends a text. Raises CheckpointError.
    """
    check_given_file(path, LARGEST)
    with reading(path):
        values = read_pickle(path.read_bytes(), str(path))
    characters = _characters(values, str(path))
    if len(characters) != vocab_size:
        raise CheckpointError(
            f"{path} has {len(characters):,} characters, but the model {vocab_size:,} tokens: they do not belong "
            "together."
        )
    names = ["".join(BYTE_TO_LETTER[byte] for byte in character.encode()) for character in characters]
    merges = character_merges(characters)
    parts = dict.fromkeys(name for left, right in merges for name in (left, right, left + right))
    ids = {name: number for number, name in enumerate(names)}
    ids |= dict(zip((name for name in parts if name not in ids), count(vocab_size), strict=False))
    tokenizer = Tokenizer(byte_level_engine(models.BPE(vocab=ids, merges=merges)), {}, endless=True)
    if tokenizer.vocab_size > vocab_size:
        tokenizer.limit(vocab_size)
    return tokenizer


def _characters(values: Any, where: str) -> list[str]:
    """The characters in the order of their ids. Raises CheckpointError for anything but a table of characters."""
    tables = values if isinstance(values, dict) else {}
    itos, stoi = tables.get("itos"), tables.get("stoi")
    if isinstance(itos, list | tuple):
        itos = dict(enumerate(itos))
    if itos is None and isinstance(stoi, dict) and all(isinstance(number, int) for number in stoi.values()):
        itos = {number: character for character, number in stoi.items()}
    if not isinstance(itos, dict) or not itos:
        raise CheckpointError(f"{where} has no table of characters, itos or stoi, as nanoGPT's meta.pkl has.")
    characters = []
    for number in range(len(itos)):
        character = itos.get(number)
        if not isinstance(character, str) or len(character) != 1 or 0xD800 <= ord(character) <= 0xDFFF:
            raise CheckpointError(
                f"{where}: the id {number:,} of {len(itos):,} is {shown(character)}, not a character."
            )
        characters.append(character)
    back = {character: number for number, character in enumerate(characters)}
    size = tables.get("vocab_size", len(back))
    if len(back) < len(characters) or stoi not in (None, back) or size != len(back):
        raise CheckpointError(f"{where} contradicts itself: itos, stoi and vocab_size are not of the same characters.")
    return characters
