"""Tokenizers of other people's GPT-2s give the ids that the tokenizers library gives for the whole text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.tokenizer_files import Special, tokenizer_from_file
from minigpt.text.blocks import Block, cut
from minigpt.text.corpus import python_reference
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

TEXT = "\n\n".join(python_reference()[1])[:60_000]  # several times as long as the pieces that are encoded at once


def trained(pre_tokenizer: Any, normalizer: Any = None, vocab_size: int = 500) -> Engine:
    engine = Engine(models.BPE())
    engine.pre_tokenizer, engine.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer is not None:
        engine.normalizer = normalizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False, max_token_length=16
    )
    engine.train_from_iterator(TEXT[:20_000].splitlines(keepends=True), trainer)
    engine.add_special_tokens([END_OF_TEXT])
    return engine


def added(*tokens: AddedToken) -> Callable[[], Engine]:
    def make() -> Engine:
        engine = trained(GPT2S)
        engine.add_tokens(list(tokens))
        return engine

    return make


BYTES_ALONE = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2S = pre_tokenizers.ByteLevel(add_prefix_space=False)

ENGINES: dict[str, Callable[[], Engine]] = {
    "gpt2": lambda: trained(GPT2S),
    "prefix_space": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "no_split": lambda: trained(BYTES_ALONE),
    "paragraphs": lambda: trained(pre_tokenizers.Sequence([pre_tokenizers.Split("\n\n", "isolated"), BYTES_ALONE])),
    "digits": lambda: trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2S])),
    "nfkc": lambda: trained(GPT2S, normalizers.NFKC()),
    "strip": lambda: trained(GPT2S, normalizers.Strip()),
    "prepend": lambda: trained(GPT2S, normalizers.Prepend("_")),
    "squeeze": lambda: trained(GPT2S, normalizers.Replace(" the", "X")),
    "added_with_blanks": added(AddedToken(" of the "), AddedToken("\nThe ")),
    "added_lstrip": added(AddedToken("value", lstrip=True)),
    "added_rstrip": added(AddedToken("value", rstrip=True)),
    "added_single_word": added(AddedToken("is", single_word=True)),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]()


def read(engine: Engine, folder: Path, special: Special | None = None) -> Tokenizer:
    (folder / "tokenizer.json").write_text(engine.to_str(), "utf-8")
    return tokenizer_from_file(folder / "tokenizer.json", special)


def whole(engine: Engine, text: str) -> list[int]:
    engine.encode_special_tokens = True
    ids: list[int] = engine.encode(text, add_special_tokens=False).ids
    return ids


def test_long_texts_have_the_ids_of_the_whole(engine: Engine, tmp_path: Path) -> None:
    tokenizer = read(engine, tmp_path)
    for text in (TEXT, " ".join(TEXT.split()), TEXT.replace(" ", "  "), TEXT.replace("\n", "\r\n")):
        assert tokenizer.encode(text) == whole(engine, text)


def test_streamed_documents_have_them_too(engine: Engine, tmp_path: Path) -> None:
    tokenizer = read(engine, tmp_path)
    documents = [TEXT[:30_000], TEXT[30_000:], "the end"]
    streamed = [block for text in documents for block in small_blocks(text)]
    ids = [token for row in tokenizer.encode_blocks(streamed) for token in row.tolist()]
    first, second, third = (whole(engine, text) for text in documents)
    end = tokenizer.end_of_text
    assert ids == [*first, end, *second, end, *third]


def small_blocks(text: str) -> list[Block]:
    """As a corpus is read, in blocks that end where GPT-2's pattern cuts; here in small ones."""
    return [Block(part, number == 0) for number, part in enumerate(cut([text], 5_000, 20_000))]


# Added tokens are text. tokenizers 0.23.3 decodes some of their letters as bytes (findings: added token loses letters).


@pytest.mark.parametrize("name", ["čas", "mögen", "čćö", "Zürich", "Łódź", "<|im_end|>", "Ġword"])
def test_an_added_token_is_the_text_that_was_added(name: str, tmp_path: Path) -> None:
    engine = trained(GPT2S)
    engine.add_tokens([name])
    tokenizer = read(engine, tmp_path)
    ids = tokenizer.encode(f"a {name} b")
    assert tokenizer.decode(ids) == f"a {name} b"
    assert tokenizer.token_bytes(tokenizer.vocab_size - 1) == name.encode()
    assert int(tokenizer.byte_lengths()[ids].sum()) == len(f"a {name} b".encode())


def test_dropout_is_off(tmp_path: Path) -> None:
    engine = trained(GPT2S)
    expected = whole(engine, TEXT[:2_000])
    engine.model.dropout = 0.5
    tokenizer = read(engine, tmp_path)
    assert [tokenizer.encode(TEXT[:2_000]) for _ in range(3)] == [expected] * 3
    assert json.loads(tokenizer.to_json())["model"]["dropout"] is None
