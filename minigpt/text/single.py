"""Finds the one token that the user means: its exact text, or `#12` for the token with id 12."""

import re

from minigpt.errors import ConfigError, CorpusError, brief
from minigpt.text.tokenizer import Tokenizer
from minigpt.text.wording import escaped


def single_token(tokenizer: Tokenizer, text: str) -> int:
    """The id of the token that is exactly `text`. Raises ConfigError, with suggestions, if there is none."""
    if re.fullmatch(r"#\d{1,9}", text):
        token = int(text[1:])
        if token < tokenizer.vocab_size:
            return token
        raise ConfigError(
            f"{brief(text)} is no token: the ids of this vocabulary go from 0 to {tokenizer.vocab_size - 1:,}."
        )
    ids = tokenizer.encode(text)
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise ConfigError("A token is needed, such as ' the' or #262, not an empty text.")
    cut = " + ".join(f'"{brief(escaped(tokenizer.token_bytes(i).decode("utf-8", "replace")))}"' for i in ids[:6])
    hint = (
        f'" {escaped(text)}", with a space before it, is one.'
        if _is_one(tokenizer, f" {text}")
        else "Name one of these, or #ID."
    )
    raise ConfigError(
        f'"{brief(escaped(text))}" is {len(ids)} tokens of this vocabulary: {cut}{" ..." * (len(ids) > 6)}.\n{hint}'
    )


def _is_one(tokenizer: Tokenizer, text: str) -> bool:
    try:
        return len(tokenizer.encode(text)) == 1
    except CorpusError:
        return False
