"""Every string comes back; ids stand in GPT-2's order; what is no tokenizer is refused by the file's name."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as Engine
from tokenizers import models, pre_tokenizers

from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
from minigpt.errors import CheckpointError, ConfigError
from minigpt.text import blocks
from minigpt.text.learning import default_vocab_size, train_tokenizer
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

GPT2_BYTE_ORDER = [*range(33, 127), *range(161, 173), *range(174, 256), *range(33), *range(127, 161), 173]


def token_list(tokenizer: Tokenizer, text: str) -> list[bytes]:
    return [tokenizer.token_bytes(token) for token in tokenizer.encode(text)]


def whole(tokenizer: Tokenizer, text: str) -> list[int]:
    """What the library makes of the text in one piece."""
    engine = Engine.from_str(tokenizer.to_json())
    engine.encode_special_tokens = True
    return engine.encode(text).ids


def awkward_text(length: int, seed: int = 0) -> str:
    """Lines whose ends and beginnings are all that could make a cut between them go wrong."""
    parts = [
        "\n", "\n", "\n\n", "\r\n", " ", "  ", "\t", "\x1c", "\x1d\n", "\x1f", "\x85", "\x0b", "\x0c", "\u00a0",
        "\u2028", "\u2029", "\u3000", "\u180e", "\u200b", "\ufeff", "'s", "'ll", "'", "word", "Wort", "слово", "犬",
        "12", "½", ".", "!?", "😀", "e\u0301", "\u0301", "\x00", "ü", "<|endoftext|>",
    ]  # fmt: skip
    choose = random.Random(seed).choice
    text, size = [], 0
    while size < length:
        text.append(choose(parts))
        size += len(text[-1])
    return "".join(text)


@pytest.fixture(scope="module")
def awkward() -> Tokenizer:
    """Has learned runs of white space, so that a wrong cut within one shows in the ids."""
    return train_tokenizer("bpe", [awkward_text(50_000, seed=9)], 700)


# Round trips


def test_every_string_comes_back(tokenizer: Tokenizer, hard_string: str) -> None:
    ids = tokenizer.encode(hard_string)
    assert tokenizer.decode(ids) == hard_string
    assert tokenizer.decode_bytes(ids) == hard_string.encode()
    assert tokenizer.byte_lengths()[ids].sum() == len(hard_string.encode())


def test_no_string_holds_the_end_of_text(tokenizer: Tokenizer, hard_string: str) -> None:
    ids = tokenizer.encode(hard_string)
    assert tokenizer.end_of_text not in ids
    assert all(0 <= token < tokenizer.vocab_size for token in ids)


def test_a_file_gives_the_same_tokenizer(tokenizer: Tokenizer, hard_strings: list[str], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json(), "utf-8")
    loaded = tokenizer_from_file(path)
    assert [loaded.encode(s) for s in hard_strings] == [tokenizer.encode(s) for s in hard_strings]
    assert (loaded.vocab_size, loaded.end_of_text) == (tokenizer.vocab_size, tokenizer.end_of_text)
    assert (loaded.byte_lengths() == tokenizer.byte_lengths()).all()


def test_decoding_half_a_character_gives_the_replacement_character(char: Tokenizer) -> None:
    assert char.decode([char.encode("\x00")[0], *[GPT2_BYTE_ORDER.index(0xE2)]]) == "\x00\ufffd"


# Ids


def test_the_ids_begin_with_the_bytes_in_gpt2s_order(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_bytes(token) for token in range(256)] == [bytes([b]) for b in GPT2_BYTE_ORDER]


def test_end_of_text_is_the_last_id(tokenizer: Tokenizer) -> None:
    assert tokenizer.end_of_text == tokenizer.vocab_size - 1
    assert tokenizer.token_bytes(tokenizer.end_of_text) == b"<|endoftext|>"


def test_all_tokens_are_different(tokenizer: Tokenizer) -> None:
    tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    assert len(set(tokens)) == len(tokens)
    assert all(tokens)


def test_byte_lengths_count_end_of_text_as_nothing(tokenizer: Tokenizer) -> None:
    lengths = tokenizer.byte_lengths()
    assert lengths.shape == (tokenizer.vocab_size,)
    assert lengths[tokenizer.end_of_text] == 0
    assert lengths[:256].tolist() == [1] * 256
    assert (lengths[256:-1] >= 2).all()


# char


def test_char_has_one_token_for_each_known_character(char: Tokenizer, corpus: str) -> None:
    assert token_list(char, corpus) == [c.encode() for c in corpus]


def test_char_merges_nothing_but_characters() -> None:
    tokenizer = train_tokenizer("char", ["é€ aaaa bbbb"])
    merged = [tokenizer.token_bytes(token) for token in range(256, tokenizer.vocab_size)]
    assert merged == [b"\xc3\xa9", b"\xe2\x82", b"\xe2\x82\xac", b"<|endoftext|>"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("€", [b"\xe2\x82\xac"]),
        ("₭", [b"\xe2\x82", b"\xad"]),  # shares its first two bytes with €
        ("→", [b"\xe2", b"\x86", b"\x92"]),  # shares one
        ("è", [b"\xc3", b"\xa8"]),
        ("日", [b"\xe6", b"\x97", b"\xa5"]),
        ("é₭€", [b"\xc3\xa9", b"\xe2\x82", b"\xad", b"\xe2\x82\xac"]),
        ("a b", [b"a", b" ", b"b"]),
    ],
)
def test_char_writes_an_unknown_character_by_its_known_beginning(text: str, tokens: list[bytes]) -> None:
    assert token_list(train_tokenizer("char", ["é€"]), text) == tokens


# Pieces


@pytest.mark.parametrize("kind", ["bpe", "char", "awkward"])
def test_pieces_do_not_change_the_ids_of_a_long_text(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    text = awkward_text(220_000)
    assert len(text.encode()) > 200_000
    assert len(blocks.pieces(text)) > 2
    assert tokenizer.encode(text) == whole(tokenizer, text)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_no_place_to_cut_changes_the_ids(awkward: Tokenizer, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(blocks, "_PIECE", size)
    text = awkward_text(20_000, seed=size)
    pieces = blocks.pieces(text)
    assert len(pieces) > 100
    assert "".join(pieces) == text
    assert awkward.encode(text) == whole(awkward, text)


def test_a_long_text_without_lines_is_cut_between_words(bpe: Tokenizer) -> None:
    text = "word " * 30_000
    assert len(blocks.pieces(text)) > 2
    assert bpe.encode(text) == whole(bpe, text)


def test_a_long_text_without_words_stays_whole(bpe: Tokenizer) -> None:
    text = "x" * 30_000 + " " * 30_000
    assert blocks.pieces(text) == [text]
    assert bpe.decode(bpe.encode(text)) == text


# Sizes


@pytest.mark.parametrize("size", [257, 258, 300])
def test_bpe_has_the_size_that_was_asked_for(corpus: str, size: int) -> None:
    assert train_tokenizer("bpe", [corpus], size).vocab_size == size


@pytest.mark.parametrize(("documents", "size"), [([], 257), (["ab"], 258), (["aaaa"], 259)])
def test_a_short_text_cannot_fill_the_vocabulary(documents: list[str], size: int) -> None:
    assert train_tokenizer("bpe", documents, 1000).vocab_size == size


@pytest.mark.parametrize("size", [256, 1, 0, -5])
def test_a_vocabulary_too_small_for_the_bytes_is_refused(size: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"vocab_size= must be 257 \(256 bytes and end-of-text\) or more, not {size}"
    ):
        train_tokenizer("bpe", ["text"], size)


def test_char_takes_no_vocabulary_size() -> None:
    with pytest.raises(ConfigError, match="vocab_size= goes with tokenizer=bpe"):
        train_tokenizer("char", ["text"], 300)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="tokenizer= must be bpe or char, not word"):
        train_tokenizer("word", ["text"])


def test_the_size_is_chosen_by_the_length_of_the_corpus() -> None:
    text = " ".join(f"w{n * 7919 % 99991}" for n in range(3000))
    assert train_tokenizer("bpe", [text], default_vocab_size(len(text))).vocab_size == 1024


@pytest.mark.parametrize(
    ("utf8_bytes", "size"),
    [
        (0, 1024), (1, 1024), (500_000, 1024), (1_000_000, 1024), (3_000_000, 2048), (1 << 22, 2048), (1 << 24, 4096),
        (100_000_000, 8192), (1 << 30, 32768), (1 << 40, 32768),
    ],
)  # fmt: skip
def test_default_vocab_size(utf8_bytes: int, size: int) -> None:
    assert default_vocab_size(utf8_bytes) == size


def test_bpe_learns_the_most_frequent_pair_first() -> None:
    tokenizer = train_tokenizer("bpe", ["xy xy xy ab"], 258)
    assert tokenizer.token_bytes(256) == b"xy"
    assert train_tokenizer("bpe", ["qqqq"], 258).token_bytes(256) == b"qq"


# Documents


def test_documents_are_separated_by_end_of_text(tokenizer: Tokenizer) -> None:
    row = tokenizer.encode_documents(["one", "two", "three"])
    end = [tokenizer.end_of_text]
    assert row.tolist() == [*tokenizer.encode("one"), *end, *tokenizer.encode("two"), *end, *tokenizer.encode("three")]
    assert row.dtype == np.uint16


def test_no_documents_are_no_ids(bpe: Tokenizer) -> None:
    assert bpe.encode_documents([]).shape == (0,)


@pytest.mark.parametrize(("vocab_size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_the_ids_are_as_wide_as_the_vocabulary_asks(bpe: Tokenizer, vocab_size: int, dtype: type) -> None:
    wide = Tokenizer(Engine.from_str(bpe.to_json()))
    wide.vocab_size = vocab_size
    assert wide.encode_documents(["a", "b"]).dtype == dtype


# Files


def bpe_json(**changes: object) -> str:
    layout = json.loads(train_tokenizer("char", ["é"]).to_json())
    layout["model"].update(changes)
    return json.dumps(layout)


def without_end_of_text() -> str:
    engine = Engine(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel()
    return engine.to_str()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "is not a tokenizer file"),
        ("{", "is not a tokenizer file"),
        ("[]", "is not a tokenizer file"),
        ("null", "is not a tokenizer file"),
        ("{}", "is not a tokenizer file"),
        ('{"model": 3}', "is not a tokenizer file"),
        ('{"model": {"type": "BPE"}}', "cannot be read as a tokenizer"),
        (bpe_json(type="Other"), "cannot be read as a tokenizer"),
        (bpe_json(merges=[["no", "such"]]), "cannot be read as a tokenizer"),
        (bpe_json(vocab=None), "cannot be read as a tokenizer"),
        (bpe_json(vocab={"a": "b"}), "cannot be read as a tokenizer"),
        (without_end_of_text(), "has no <|endoftext|> token"),
        (train_tokenizer("char", ["é"]).to_json()[:-200], "is not a tokenizer file"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, contents: str, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(contents, "utf-8")
    with pytest.raises(CheckpointError) as caught:
        tokenizer_from_file(path)
    assert message in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b"\x80\xff\x00")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not a tokenizer file"):
        tokenizer_from_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read: No such file"):
        tokenizer_from_file(tmp_path / "tokenizer.json")


def test_settings_stored_for_batches_do_not_change_the_ids(bpe: Tokenizer, corpus: str, tmp_path: Path) -> None:
    """Fine-tuned models' files often hold the truncation, padding and template of their training."""
    engine = Engine.from_str(bpe.to_json())
    engine.enable_truncation(4)
    engine.enable_padding(length=8)
    layout = json.loads(engine.to_str())
    layout["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {END_OF_TEXT: {"id": END_OF_TEXT, "ids": [bpe.end_of_text], "tokens": [END_OF_TEXT]}},
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(layout), "utf-8")
    assert tokenizer_from_file(path).encode(corpus) == bpe.encode(corpus)


def test_ids_with_a_gap_all_lie_below_the_vocabulary_size(tmp_path: Path) -> None:
    engine = Engine(models.BPE(vocab={"a": 0, "b": 1, END_OF_TEXT: 7}, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    path = tmp_path / "tokenizer.json"
    path.write_text(engine.to_str(), "utf-8")
    tokenizer = tokenizer_from_file(path)
    assert tokenizer.vocab_size == 8
    assert tokenizer.byte_lengths()[tokenizer.end_of_text] == 0


@pytest.mark.parametrize("data", [b" ", b"t", b" th", b"\n", b"\xd0", b"<|endo", b"zzzz"])
def test_longer_tokens_begin_with_the_bytes_and_go_on(tokenizer: Tokenizer, data: bytes) -> None:
    ids = [i for i in range(tokenizer.vocab_size) if i != tokenizer.end_of_text]
    longer = [i for i in ids if tokenizer.token_bytes(i).startswith(data) and tokenizer.token_bytes(i) != data]
    assert tokenizer.longer_tokens(data) == longer
