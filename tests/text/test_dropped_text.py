"""What a tokenizer drops on purpose, and what it has no token for: pre-tokenizers that remove text, models that know
words as a whole, and marks that a normalizer joins to their letter.

What is lost is decided by the ids of the tokenizers library 0.23: what they do not spell, and no normalizer removes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
from minigpt.models.gpt import GPT
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

Run = Callable[..., Any]
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
TEXTS = ["the value", " of\n\tthe  end ", "a|b", "Crème brûlée", "日本 the 語 🙂 end", "the \u0915\u093f x"]


def of_bytes(*before: Any) -> Engine:
    """A BPE of bytes, before which a text passes through other pre-tokenizers."""
    engine = Engine(
        models.BPE(vocab={name: i for i, name in enumerate([*BYTE_TO_LETTER.values(), END_OF_TEXT])}, merges=[])
    )
    engine.pre_tokenizer = pre_tokenizers.Sequence([*before, BYTES])
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([END_OF_TEXT])
    return engine


def read(engine: Engine, folder: Path) -> Tokenizer:
    (folder / "tokenizer.json").write_text(engine.to_str(), "utf-8")
    return tokenizer_from_file(folder / "tokenizer.json")


DROPPING: dict[str, tuple[Any, str]] = {
    "white space": (pre_tokenizers.WhitespaceSplit(), ""),
    "words": (pre_tokenizers.Whitespace(), ""),
    "as BERT's": (pre_tokenizers.BertPreTokenizer(), ""),
    "metaspace": (pre_tokenizers.Metaspace(), ""),
    "lines": (pre_tokenizers.Split("\n", "removed"), ""),
    "bars": (pre_tokenizers.CharDelimiterSplit("|"), "|"),
    "bars by a split": (pre_tokenizers.Split("|", "removed"), "|"),
    "punctuation": (pre_tokenizers.Punctuation("removed"), "|"),
    "as CLIP's": (pre_tokenizers.Split(Regex(r"[^\s]+"), "removed", invert=True), ""),
}


@pytest.mark.parametrize("name", DROPPING)
def test_bytes_that_a_pre_tokenizer_drops_count(name: str, tmp_path: Path) -> None:
    part, lost = DROPPING[name]
    tokenizer = read(of_bytes(part), tmp_path)
    for text in TEXTS:
        assert tokenizer.byte_counts(text, tokenizer.encode(text)).sum() == len(text.encode()), text
        assert tokenizer.lost(text) == "".join(char for char in text if char in lost), text


@pytest.mark.parametrize(
    "part", [pre_tokenizers.Digits(), pre_tokenizers.Punctuation(), pre_tokenizers.Split("|", "isolated")]
)
def test_others_drop_nothing(part: Any, tmp_path: Path) -> None:
    tokenizer = read(of_bytes(part), tmp_path)
    assert (tokenizer.is_lossless, tokenizer.decode(tokenizer.encode(TEXTS[1]))) == (True, TEXTS[1])


def word_level() -> Engine:
    names = [*BYTE_TO_LETTER.values(), "[UNK]", "the", "Ġend", END_OF_TEXT]
    return Engine(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))


def word_piece() -> Engine:
    names = [*BYTE_TO_LETTER.values(), "[UNK]", "the", "Ġend", END_OF_TEXT]
    return Engine(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))


def with_suffix() -> Engine:
    """Bytes have other tokens at the end of a word, of which there are a few."""
    names = [*BYTE_TO_LETTER.values(), "[UNK]", *(f"{letter}</w>" for letter in "ednaĠb"), END_OF_TEXT]
    model = models.BPE(
        vocab={name: i for i, name in enumerate(names)}, merges=[], unk_token="[UNK]", end_of_word_suffix="</w>"
    )
    return Engine(model)


@pytest.mark.parametrize("make", [word_level, word_piece, with_suffix], ids=lambda make: make.__name__)
def test_a_byte_level_model_that_does_not_spell_every_word(make: Callable[[], Engine], tmp_path: Path) -> None:
    engine = make()
    engine.pre_tokenizer, engine.decoder = BYTES, decoders.ByteLevel()
    engine.add_special_tokens([END_OF_TEXT])
    tokenizer, text = read(engine, tmp_path), "the 日 end"
    assert engine.token_to_id("[UNK]") in tokenizer.encode(text)
    assert (tokenizer.is_complete, tokenizer.lost(text)) == (False, "日")
    assert tokenizer.byte_counts(text, tokenizer.encode(text)).sum() == len(text.encode())


JOINING = {
    "composed": (normalizers.NFKC(), "abcdefghilmnorstuvxéèû"),
    "without accents": (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "abcdefghilmnorstuvx"),
    "as BERT's": (normalizers.BertNormalizer(), "abcdefghilmnorstuvx"),
}


@pytest.mark.parametrize("name", JOINING)
def test_a_mark_that_is_joined_or_removed_is_not_lost(name: str, tmp_path: Path) -> None:
    normalizer, letters = JOINING[name]
    engine = Engine(
        models.WordLevel({char: i for i, char in enumerate([*letters, "[UNK]", END_OF_TEXT])}, unk_token="[UNK]")
    )
    engine.normalizer = normalizer
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    engine.decoder = decoders.Fuse()
    engine.add_special_tokens([END_OF_TEXT])
    tokenizer = read(engine, tmp_path)
    for text in ("cre\u0300me bru\u0302le\u0301e", "cr\u00e8me br\u00fbl\u00e9e"):
        assert engine.token_to_id("[UNK]") not in tokenizer.encode(text)
        assert tokenizer.lost(text) == ""
    assert tokenizer.lost("the \u0915 end") == "\u0915"


def test_a_decoder_that_drops_repetitions(tmp_path: Path) -> None:
    """CTC shows the same token twice as once; a token stands for what it adds between two others all the same."""
    engine = Engine(models.WordPiece(unk_token="[UNK]"))
    engine.pre_tokenizer, engine.decoder = pre_tokenizers.WhitespaceSplit(), decoders.CTC()
    trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=["[UNK]", END_OF_TEXT], show_progress=False)
    engine.train_from_iterator(["the value of the end"] * 9, trainer)
    tokenizer = read(engine, tmp_path)
    ids = tokenizer.encode("the value of")
    assert tokenizer.decode(ids) == engine.decode(ids)


def test_a_training_shows_samples_where_a_line_break_is_dropped(
    make_model: Callable[..., GPT], minigpt: Run, tmp_path: Path
) -> None:
    engine, folder = of_bytes(), tmp_path / "model"
    engine.normalizer = normalizers.Strip()
    folder.mkdir()
    tokenizer = read(engine, tmp_path)
    model = make_model(tokenizer.vocab_size)
    save_description(folder, model.config, tokenizer, torch.float32)
    save_weights(folder, model)
    (tmp_path / "text.txt").write_text("the value of the end\n" * 50, "utf-8")
    result = minigpt(
        "train", str(tmp_path / "text.txt"), "--from", str(folder), "--steps", "2", "--out", str(tmp_path / "run")
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("make", [word_level, word_piece, models.Unigram], ids=lambda make: make.__name__)
def test_a_byte_level_tokenizer_that_is_no_bpe_is_exported_as_a_folder_only(
    make: Callable[[], Any], make_model: Callable[..., GPT], minigpt: Run, tmp_path: Path
) -> None:
    names = [*BYTE_TO_LETTER.values(), END_OF_TEXT]
    engine = make() if make is not models.Unigram else Engine(models.Unigram([(name, -1.0) for name in names], 0))
    engine.pre_tokenizer, engine.decoder = BYTES, decoders.ByteLevel()
    engine.add_special_tokens([END_OF_TEXT])
    tokenizer, folder = read(engine, tmp_path), tmp_path / "model"
    folder.mkdir()
    model = make_model(tokenizer.vocab_size)
    save_description(folder, model.config, tokenizer, torch.float32)
    save_weights(folder, model)
    result = minigpt("export", str(folder), str(tmp_path / "model.gguf"))
    assert (result.exit_code, "as a folder" in result.stderr) == (1, True), (result.output, result.exception)


def test_the_unknown_token_can_be_asked_for_by_its_name(tmp_path: Path) -> None:
    engine = word_level()
    engine.pre_tokenizer, engine.decoder = BYTES, decoders.ByteLevel()
    engine.add_special_tokens([END_OF_TEXT, "[UNK]"])
    tokenizer = read(engine, tmp_path).reading(special=True, no_bos=False)
    assert tokenizer.lost("the[UNK]") == ""
    assert tokenizer.encode("[UNK]") == [engine.token_to_id("[UNK]")]
