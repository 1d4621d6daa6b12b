"""A tokenizer as the live page needs it."""

import json
from typing import Any

from minigpt.text.token_bytes import letters_to_bytes
from minigpt.text.tokenizer import Tokenizer


def page_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """Interim: a byte-level BPE's tokens and merges as hexadecimal bytes."""
    merges = json.loads(tokenizer._engine.to_str())["model"]["merges"]
    return {
        "tokens": [tokenizer.token_bytes(token).hex() for token in range(tokenizer.vocab_size)],
        "merges": [" ".join(letters_to_bytes(part).hex() for part in pair) for pair in merges],
        "endOfText": tokenizer.end_of_text,
    }
