"""Tokenizers that are no byte-level BPE, and those that change a text: their ids, their bytes, and what is counted."""

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from minigpt.checkpoint.folder import load, save_description, save_weights
from minigpt.checkpoint.tokenizer_files import Special, tokenizer_from_file
from minigpt.models.gpt import GPT
from minigpt.text.blocks import Block
from minigpt.text.corpus import python_reference
from minigpt.text.tokenizer import END_OF_TEXT, GPT2_ROLES, Tokenizer

Run = Callable[..., Any]
TEXT = "\n\n".join(python_reference()[1])[:20_000]
SPECIAL = ["[UNK]", END_OF_TEXT]


@cache  # learning is not the same each time
def word_piece() -> Engine:
    """As BERT's."""
    engine = Engine(models.WordPiece(unk_token="[UNK]"))
    engine.normalizer = normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer, engine.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    return learned(engine, trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False))


@cache
def word_level() -> Engine:
    engine = Engine(models.WordLevel(unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    return learned(engine, trainers.WordLevelTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False))


@cache
def unigram() -> Engine:
    """As T5's."""
    engine = Engine(models.Unigram())
    engine.normalizer = normalizers.NFKC()
    engine.pre_tokenizer, engine.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False)
    return learned(engine, trainer)


@cache
def byte_fallback() -> Engine:
    """A BPE as Llama 2's: words begin with ▁, and what the alphabet lacks is spelled by tokens such as <0x0A>."""
    names = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "e", "t", "h", "▁t", "he", "▁the"]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he")]
    model = models.BPE(
        vocab={name: i for i, name in enumerate(names)}, merges=merges, byte_fallback=True, unk_token="[UNK]"
    )
    engine = Engine(model)
    engine.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    engine.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    engine.add_special_tokens(SPECIAL)
    return engine


def byte_level(normalizer: Any = None, *, prefix_space: bool = False, alphabet: bool = True) -> Engine:
    engine = Engine(models.BPE())
    if normalizer is not None:
        engine.normalizer = normalizer
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()) if alphabet else [],
        special_tokens=SPECIAL,
        show_progress=False,
    )
    return learned(engine, trainer)


def learned(engine: Engine, trainer: Any) -> Engine:
    engine.train_from_iterator(TEXT.splitlines(), trainer)
    return engine


OTHERS: dict[str, Callable[[], Engine]] = {
    "word_piece": word_piece,
    "word_level": word_level,
    "unigram": unigram,
    "byte_fallback": byte_fallback,
}
CHANGING: dict[str, Callable[[], Engine]] = {
    "prefix_space": lambda: byte_level(prefix_space=True),
    "lowercase": lambda: byte_level(normalizers.Lowercase()),
    "nfkc": lambda: byte_level(normalizers.NFKC()),
    "accents": lambda: byte_level(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])),
    "strip": lambda: byte_level(normalizers.Strip()),
    "prepend": lambda: byte_level(normalizers.Prepend("_")),
    "replace": lambda: byte_level(normalizers.Replace("the", "þ")),
    "part_of_the_bytes": lambda: byte_level(alphabet=False),
}
ALL = {**OTHERS, **CHANGING}
TEXTS = [
    "The value",
    " of the expression",
    "the ﬁn Ⅳ x²  ẞtraße of\n",
    "Crème brûlée is",
    "日本 the 語 🙂 end",
    TEXT[:3_000],
]


@pytest.fixture
def tokenizer(name: str, tmp_path: Path) -> Tokenizer:
    (tmp_path / "tokenizer.json").write_text(ALL[name]().to_str(), "utf-8")
    return tokenizer_from_file(tmp_path / "tokenizer.json", Special(roles=GPT2_ROLES))


@pytest.mark.parametrize("name", ALL)
def test_the_ids_are_the_librarys(name: str, tokenizer: Tokenizer) -> None:
    engine = Engine.from_str(tokenizer.to_json())
    engine.encode_special_tokens = True
    for text in TEXTS:
        assert tokenizer.encode(text) == engine.encode(text, add_special_tokens=False).ids
    rows = list(tokenizer.encode_blocks([Block(text, begins=True) for text in TEXTS[:2]]))
    first, second = (engine.encode(text, add_special_tokens=False).ids for text in TEXTS[:2])
    assert np.concatenate(rows).tolist() == [*first, tokenizer.end_of_text, *second]


@pytest.mark.parametrize("name", ALL)
def test_the_bytes_of_all_tokens_are_those_of_the_text(name: str, tokenizer: Tokenizer) -> None:
    for text in TEXTS:
        ids = tokenizer.encode(text)
        counts = tokenizer.byte_counts(text, ids)
        assert (len(counts), counts.sum(), counts.min() >= 0) == (len(ids), len(text.encode()), True)
        assert tokenizer.encode_prompt(text) == (ids, counts.tolist())


def test_a_token_stands_for_what_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(byte_level(normalizers.NFKC()).to_str(), "utf-8")
    tokenizer = tokenizer_from_file(tmp_path / "tokenizer.json")
    ids = tokenizer.encode("ﬁ x")  # the ligature, of three bytes, is two letters to the tokenizer
    assert [tokenizer.decode([token]) for token in ids[:2]] == ["f", "i"]
    assert tokenizer.byte_counts("ﬁ x", ids).tolist()[:2] == [0, 3]


@pytest.mark.parametrize("name", OTHERS)
def test_the_bytes_of_the_tokens_are_what_the_library_decodes(name: str, tokenizer: Tokenizer) -> None:
    """But for the blank at the start, which a token has wherever others precede it."""
    for text in (TEXTS[0], TEXTS[1], TEXT[:3_000]):
        ids = tokenizer.encode(text)
        theirs = ALL[name]().decode(ids, skip_special_tokens=False)
        assert tokenizer.decode(ids).removeprefix(" ") == theirs.replace(" [UNK]", "[UNK]")


def test_tokens_of_bytes_are_bytes(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(byte_fallback().to_str(), "utf-8")
    tokenizer = tokenizer_from_file(tmp_path / "tokenizer.json")
    ids = tokenizer.encode("the 日")
    assert tokenizer.decode(ids) == " the 日"
    assert tokenizer.token_bytes(ids[-1]) == "日".encode()[-1:]
    assert tokenizer.lost("the 日") == ""


@pytest.mark.parametrize(
    ("name", "lost"), [("word_piece", "🙂"), ("word_level", "日本語🙂"), ("unigram", "日本語🙂"), ("byte_fallback", "")]
)
def test_what_is_unknown_is_lost(name: str, lost: str, tokenizer: Tokenizer) -> None:
    assert set(lost) <= set(tokenizer.lost("日本 the 語 🙂 end"))
    assert (tokenizer.lost("日本 the 語 🙂 end") == "") is (lost == "")
    assert tokenizer.lost(TEXTS[0]) == ""


def test_a_bpe_without_the_byte_alphabet_loses_letters(tmp_path: Path) -> None:
    """The library drops them without a word: for 你好 alone there are no ids."""
    engine = byte_level(alphabet=False)
    (tmp_path / "tokenizer.json").write_text(engine.to_str(), "utf-8")
    tokenizer = tokenizer_from_file(tmp_path / "tokenizer.json")
    assert engine.encode("你好").ids == []
    assert tokenizer.lost("the value 你好 of") == "你好"
    ids = tokenizer.encode("the value 你好 of")
    assert tokenizer.byte_counts("the value 你好 of", ids).sum() == len("the value 你好 of".encode())


@pytest.mark.parametrize("name", ["prefix_space", "nfkc", "word_piece", "unigram", "part_of_the_bytes"])
def test_every_ratio_counts_the_bytes_of_the_text(
    name: str, tokenizer: Tokenizer, make_model: Callable[..., GPT], minigpt: Run, tmp_path: Path
) -> None:
    folder, corpus, text = tmp_path / "model", tmp_path / "corpus.txt", f"x² {TEXT[:2_000].strip()} ﬁn"
    corpus.write_text(text, "utf-8")
    folder.mkdir()
    model = make_model(tokenizer.vocab_size)
    save_description(folder, model.config, tokenizer, torch.float32)
    save_weights(folder, model)
    first = int(tokenizer.byte_counts(text, tokenizer.encode(text))[0])
    command = ["inspect-probs", "--file", str(corpus), "-c", str(folder)]
    read = json.loads(minigpt(*command, "--all", "--json").stdout)
    assert read["bytes"] == len(text.encode()) - first
    assert read["bits_per_byte"] == pytest.approx(read["total_nats"] / math.log(2) / read["bytes"], rel=1e-9)
    scored = json.loads(minigpt("evaluate", str(corpus), "-c", str(folder), "--json").stdout.splitlines()[-1])
    assert (scored["bytes"], scored["total_nats"]) == (read["bytes"], pytest.approx(read["total_nats"], rel=1e-6))
    rolled = minigpt("evaluate", str(corpus), "-c", str(folder), "--rolling", "--json").stdout.splitlines()[-1]
    assert json.loads(rolled)["bytes"] == len(text.encode())
    assert f"{len(text.encode()):,} bytes" in minigpt(*command, "--tokens").stdout.replace("\n", " ")
    pair = json.loads(minigpt(*command, "--all", "--against", str(folder), "--json").stdout)
    assert pair["totals"]["bytes"] == read["bytes"]
    assert minigpt("train", str(corpus), "--from", str(folder), "--steps", "2", "--out", str(tmp_path / "run"),
                   "--learning-rate", "1e-30", "--val", str(corpus), "--dropout", "0").exit_code == 0  # fmt: skip
    records = [json.loads(line) for line in (tmp_path / "run" / "train.jsonl").read_text("utf-8").splitlines()]
    ratios = [r["validation_bits_per_byte"] / r["validation_loss_nats"] for r in records if r["validation_loss_nats"]]
    tokens = len(tokenizer.encode(text))
    assert ratios[-1] == pytest.approx((tokens - 1) / math.log(2) / (len(text.encode()) * (1 - 1 / tokens)), rel=0.01)


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_with_such_a_tokenizer_can_be_asked_and_saved(
    name: str, tokenizer: Tokenizer, make_model: Callable[..., GPT], minigpt: Run, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "model"
    folder.mkdir()
    model = make_model(tokenizer.vocab_size)
    save_description(folder, model.config, tokenizer, torch.float32)
    save_weights(folder, model)
    for command in (["inspect-probs", "the value of"], ["sample", "the value", "-n", "5"],
                    ["inspect-probs", "the value", "--tokens"], ["inspect-probs", "the value of", "--boundary"],
                    ["inspect-attention", "the value of the", "--layer", "1"]):  # fmt: skip
        result = minigpt(*command, "-c", str(folder))
        assert result.exit_code == 0, (command, result.output, result.exception)
    assert load(folder).tokenizer.encode(TEXT) == tokenizer.encode(TEXT)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs(TEXT, add_special_tokens=False)["input_ids"] == tokenizer.encode(TEXT)
    refused = minigpt("export", str(folder), str(tmp_path / "model.gguf"))
    assert (refused.exit_code, "tokenizer" in refused.stderr) == (1, True), refused.output


def test_a_template_does_not_change_the_ids(tmp_path: Path) -> None:
    engine = Engine.from_str(word_piece().to_str())
    plain = engine.encode("the value", add_special_tokens=False).ids
    engine.post_processor = processors.BertProcessing(("[UNK]", 0), (END_OF_TEXT, 1))
    (tmp_path / "tokenizer.json").write_text(engine.to_str(), "utf-8")
    assert tokenizer_from_file(tmp_path / "tokenizer.json").encode("the value") == plain
