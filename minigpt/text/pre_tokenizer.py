"""What a tokenizer does to a text before its model sees it: what it adds or drops, and where a cut is safe."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer as Engine

from minigpt.text.blocks import SAFE_CUT, SAFE_WITH_PREFIX_SPACE

_KEEPING = ("ByteLevel", "Digits", "FixedLength", "Punctuation", "Split", "UnicodeScripts")


def layout_of(part: Any) -> dict[str, Any]:
    """A pre-tokenizer, a normalizer, a decoder or a post-processor as in tokenizer.json; empty for none."""
    layout: dict[str, Any] = json.loads(part.__getstate__()) if part else {}
    return layout


def has_prefix_space(engine: Engine) -> bool:
    """Whether a blank is put before a text that does not begin with one."""
    return any(part.get("add_prefix_space", False) for part in parts_of(layout_of(engine.pre_tokenizer)))


def set_prefix_space(layout: Any, prefix_space: bool) -> bool:
    """Set add_prefix_space of every ByteLevel in a pre-tokenizer's `layout`; whether that changes anything."""
    parts = [part for part in parts_of(layout) if part.get("type") == "ByteLevel"]
    wrong = [part for part in parts if part.get("add_prefix_space") is not prefix_space]
    for part in wrong:
        part["add_prefix_space"] = prefix_space
    return bool(wrong)


def safe_cut(engine: Engine) -> re.Pattern[str] | None:
    """Where a text can be cut without changing its ids; None for a tokenizer for which that is not known.

    A normalizer may depend on any part of a text. Without GPT-2's pattern, a word can contain blanks. A cut could
    divide an added token that contains white space, and separate one from the white space that it absorbs.
    """
    words = layout_of(engine.pre_tokenizer)
    if engine.normalizer or words.get("type") != "ByteLevel" or not words.get("use_regex", True):
        return None
    for token in engine.get_added_tokens_decoder().values():
        if not token.special and (token.lstrip or token.rstrip or re.search(r"\s", token.content)):
            return None
    return SAFE_WITH_PREFIX_SPACE if words.get("add_prefix_space") else SAFE_CUT


def keeps_text(engine: Engine) -> bool:
    """Whether every character that enters the pre-tokenizer leaves it, which a split at white space does not."""
    parts = parts_of(layout_of(engine.pre_tokenizer))
    return all(part.get("type") in _KEEPING and part.get("behavior") != "Removed" for part in parts)


def parts_of(layout: Any, within: str = "pretokenizers") -> Iterator[dict[str, Any]]:
    """A pre-tokenizer or a normalizer, if there is one; of a sequence, those `within` it."""
    if isinstance(layout, dict) and within in layout:
        for part in layout[within] or ():
            yield from parts_of(part, within)
    elif isinstance(layout, dict) and layout:
        yield layout
