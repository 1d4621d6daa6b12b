"""A text in; its tokens out, each with the merges that built it."""

from minigpt.sampling.distribution import token_text
from minigpt.text.merges import MergeTable
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.records import CutToken, Merge


def cut(tokenizer: Tokenizer, text: str) -> list[CutToken]:
    """How `text` is cut into tokens."""
    table = MergeTable(tokenizer)
    return [_token(tokenizer, table, position, token) for position, token in enumerate(tokenizer.encode(text))]


def _token(tokenizer: Tokenizer, table: MergeTable, position: int, token: int) -> CutToken:
    data = tokenizer.token_bytes(token)
    return CutToken(
        id=token,
        text=token_text(data),
        bytes=data.hex(),
        position=position,
        merges=tuple(Merge(number=n, left=a.hex(), right=b.hex()) for n, a, b in table.building(data)),
    )
