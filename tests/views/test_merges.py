"""Merges replayed by hand build the very tokens that the encoder gives."""

import json
from pathlib import Path

import pytest

from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.tokenization import Merge, building_merges, merge_numbers


def replayed(merges: list[Merge], data: bytes) -> list[bytes]:
    """The bytes of `data`, joined as the merges say."""
    parts = [data[i : i + 1] for i in range(len(data))]
    for merge in merges:
        pair = [bytes.fromhex(merge.left), bytes.fromhex(merge.right)]
        at = next(i for i in range(len(parts)) if parts[i : i + 2] == pair)
        parts[at : at + 2] = [b"".join(pair)]
    return parts


def test_the_merges_of_a_token_begin_with_bytes_and_end_with_it(tokenizer: Tokenizer) -> None:
    numbers = merge_numbers(tokenizer)
    assert len(numbers) == tokenizer.vocab_size - 257
    for token in range(tokenizer.vocab_size - 1):
        data = tokenizer.token_bytes(token)
        assert replayed(building_merges(numbers, data), data) == [data]


def test_numbers_are_the_order_of_learning(bpe: Tokenizer) -> None:
    numbers = merge_numbers(bpe)
    for number, (left, right) in enumerate(bpe.merges(), 1):
        *_, last = building_merges(numbers, left + right)
        assert last == Merge(number=number, left=left.hex(), right=right.hex())
        assert bpe.token_bytes(255 + number) == left + right  # ids follow the 256 bytes


def test_a_file_with_merges_as_lines_has_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    layout = json.loads(tokenizer.to_json())
    layout["model"]["merges"] = [" ".join(pair) for pair in layout["model"]["merges"]]  # as GPT-2's own
    (tmp_path / "tokenizer.json").write_text(json.dumps(layout), "utf-8")
    assert tokenizer_from_file(tmp_path / "tokenizer.json").merges() == tokenizer.merges()


def test_what_no_merges_build_has_none(bpe: Tokenizer) -> None:
    numbers = merge_numbers(bpe)
    assert building_merges(numbers, b"x") == []
    assert building_merges(numbers, b"<|endoftext|>") == []
    assert building_merges(numbers, b"") == []


def test_every_token_of_a_text_is_what_its_merges_build(tokenizer: Tokenizer, hard_string: str) -> None:
    numbers = merge_numbers(tokenizer)
    for token in set(tokenizer.encode(hard_string)):
        data = tokenizer.token_bytes(token)
        merges = building_merges(numbers, data)
        assert len(data) == 1 or bytes.fromhex(merges[-1].left + merges[-1].right) == data


@pytest.mark.parametrize("data", [b"aaaa", b"aaaaa", b"abab", b"aabaab"])
def test_the_leftmost_of_equal_pairs_is_joined_first(data: bytes) -> None:
    from tokenizers import models

    from minigpt.text.token_bytes import BYTE_TO_LETTER
    from minigpt.text.tokenizer import END_OF_TEXT, byte_level_engine

    merges = [("a", "a"), ("a", "b"), ("aa", "aa"), ("ab", "ab"), ("aa", "b"), ("aaaa", "a"), ("aab", "aab")]
    names = dict.fromkeys([*BYTE_TO_LETTER.values(), *(a + b for a, b in merges), END_OF_TEXT])
    engine = byte_level_engine(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=merges))
    engine.add_special_tokens([END_OF_TEXT])
    made = Tokenizer(engine)
    (token,) = made.encode(data.decode())
    assert made.token_bytes(token) == data
    assert replayed(building_merges(merge_numbers(made), data), data) == [data]
