"""The tokenizer of a page in a real browser against the tokenizers library 0.23.3, whose ids decide."""

import json
import pickle
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.importing import read_characters
from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
from minigpt.errors import ConfigError
from minigpt.render.html import _source
from minigpt.text.page_tokenizer import page_tokenizer
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

GPT2S = pre_tokenizers.ByteLevel(add_prefix_space=False)
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
LETTERS = list(BYTE_TO_LETTER.values())
Make = Callable[[], Engine]


def random_merges(count: int, seed: int, letters: Sequence[str] = LETTERS) -> list[tuple[str, str]]:
    """Merges in an order in which nothing was learned: parts may come after what is made of them, and twice."""
    pick = random.Random(seed)
    names, merges = [*"etaoin shrdlu".replace(" ", "Ġ"), *"ĊâĢĻðŁĺ", *letters[:20]], []
    while len(merges) < count:
        left, right = pick.choice(names), pick.choice(names)
        if len(left + right) < 8:
            merges.append((left, right))
            names.append(left + right)
    pick.shuffle(merges)
    return merges


def engine(
    merges: Sequence[tuple[str, str]] = (),
    words: Any = GPT2S,
    normalizer: Any = None,
    *added: AddedToken,
    **options: Any,
) -> Engine:
    """A GPT-2-like tokenizer with these merges."""
    names = dict.fromkeys([*LETTERS, *(left + right for left, right in merges), END_OF_TEXT])
    made = Engine(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=list(merges), **options))
    made.pre_tokenizer, made.decoder = words, decoders.ByteLevel()
    if normalizer is not None:
        made.normalizer = normalizer
    made.add_special_tokens([END_OF_TEXT])
    made.add_tokens(list(added))
    return made


MERGES = random_merges(600, 1)
ADDED = [
    AddedToken("don't", normalized=False), AddedToken("<|im|>"), AddedToken("<|im|>x"),
    AddedToken("is", single_word=True), AddedToken("left", lstrip=True), AddedToken("right", rstrip=True),
    AddedToken("\n both \n", lstrip=True, rstrip=True), AddedToken("caf\u00e9"),
    AddedToken("nai\u0308ve", normalized=False), AddedToken("čas"), AddedToken("a.b*c(d)[e]|/"),
    AddedToken("<|special|>", special=True), AddedToken("cial|>z"), AddedToken("😀!"),
]  # fmt: skip


def with_a_hole(**options: Any) -> Engine:
    """No token for z, nor for the bytes of emoji."""
    names = [letter for letter in LETTERS if letter not in "zðŁ"] + ["<unk>", END_OF_TEXT]
    made = Engine(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[], **options))
    made.pre_tokenizer, made.decoder = GPT2S, decoders.ByteLevel()
    made.add_special_tokens([END_OF_TEXT])
    return made


def with_gaps() -> Engine:
    """Ids that do not count from 0, in an order of their own."""
    made = json.loads(engine(MERGES).to_str())
    made["model"]["vocab"] = {name: 7 + 3 * number for name, number in made["model"]["vocab"].items()}
    made["added_tokens"][0]["id"] = made["model"]["vocab"][END_OF_TEXT]
    return Engine.from_str(json.dumps(made))


def with_merges_as_text() -> Engine:
    """As files of tokenizers before 0.20 spell them."""
    made = json.loads(engine(MERGES).to_str())
    made["model"]["merges"] = [" ".join(pair) for pair in made["model"]["merges"]]
    return Engine.from_str(json.dumps(made))


def with_a_beginning() -> Engine:
    made = engine(MERGES)
    number = made.token_to_id(END_OF_TEXT)
    made.post_processor = processors.TemplateProcessing(
        single=[END_OF_TEXT, "$A"], pair=[END_OF_TEXT, "$A", "$B"], special_tokens=[(END_OF_TEXT, number)]
    )
    return made


ENGINES: dict[str, Make] = {
    "GPT-2's": lambda: engine(MERGES),
    "prefix space": lambda: engine(MERGES, pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "no words": lambda: engine(MERGES, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
    "a sequence of one": lambda: engine(
        MERGES, pre_tokenizers.Sequence([GPT2S]), normalizers.Sequence([normalizers.NFC()])
    ),
    "whole words first": lambda: engine(MERGES, ignore_merges=True),
    "merges as text": with_merges_as_text,
    "gaps": with_gaps,
    "a beginning": with_a_beginning,
    "added": lambda: engine(MERGES, GPT2S, None, *ADDED),
    "added, prefix space": lambda: engine(MERGES, pre_tokenizers.ByteLevel(add_prefix_space=True), None, *ADDED),
    **{form: lambda form=form: engine(MERGES, GPT2S, getattr(normalizers, form)(), *ADDED) for form in FORMS},
    "a hole": with_a_hole,
    "unknown": lambda: with_a_hole(unk_token="<unk>"),
    "unknown together": lambda: with_a_hole(unk_token="<unk>", fuse_unk=True),
}  # fmt: skip


def read(made: Engine, folder: Path) -> Tokenizer:
    (folder / "tokenizer.json").write_text(made.to_str(), "utf-8")
    return tokenizer_from_file(folder / "tokenizer.json")


def whole(tokenizer: Tokenizer, texts: Iterable[str], *, special: bool = False) -> list[list[int]]:
    """What the library makes of each text in one piece."""
    library = Engine.from_str(tokenizer.to_json())
    library.encode_special_tokens = not special
    return [library.encode(text, add_special_tokens=False).ids for text in texts]


PARTS = [
    "\n", "\n\n", "\r\n", " ", "  ", "\t", "\x1c", "\x1f", "\x85", "\x0b", "\u00a0", "\u2028", "\u3000", "\u180e",
    "\u200b", "\u200d", "\ufeff", "'s", "'ll", "'LL", "'", "’s", "word", "the", "Wort", "слово", "犬", "ไทย",
    "हिन्दी", "12", "½", "٣", "१२", "Ⅳ", "²", ".", "!?", "😀", "👩\u200d👧", "🇩🇪", "👍🏽", "e\u0301", "\u0301", "\u0345",
    "ö", "o\u0308", "ﬁ", "각", "\u1100\u1161\u11a8", "\x00", "ü", "\U0010ffff", "\ue000", "_", "<|endoftext|>",
    "<|special|>", "<|special|>z", "<|im|>", "<|im|>x", "don't", "is", "this", "left", "right", "\n both \n",
    "café", "cafe\u0301", "naïve", "nai\u0308ve", "čas", "a.b*c(d)[e]|/", "😀!", "z", "\u1acf", "\u088f",
    "\U00011de0", "\U0001e6e3", "\u08ca", "\U000105d2\u0307", "\U00016d67\U00016d67",
]  # fmt: skip


@pytest.fixture(scope="module")
def texts(hard_strings: list[str], corpus: str) -> list[str]:
    """Every hard string of the tests, the corpus, and parts of texts on which tokenizers differ in random order."""
    choose = random.Random(5).choices
    return [*hard_strings, corpus, *PARTS, *("".join(choose(PARTS, k=1 + n % 40)) for n in range(400))]


def put(browser: Browser, folder: Path, tokenizer: Tokenizer) -> None:
    """A blank page with the tokenizer, as `tokenizer`."""
    path = folder / "blank.html"
    path.write_text('<!doctype html><meta charset="utf-8">', "utf-8")
    browser.open(path)
    browser[_source("model/tokenizer.js")]
    browser[f"var tokenizer = new Tokenizer({json.dumps(page_tokenizer(tokenizer))})"]


def encoded(browser: Browser, texts: Sequence[str], how: str = "encode") -> list[list[int]]:
    return browser[f"{json.dumps(texts)}.map((text) => tokenizer.{how}(text))"]


def compare(browser: Browser, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    expected = whole(tokenizer, texts, special=tokenizer.reads["special"])
    expected = [[token for token in ids if token < tokenizer.vocab_size] for ids in expected]
    wrong = [
        (text, found, ids)
        for text, found, ids in zip(texts, encoded(browser, texts), expected, strict=True)
        if found != ids
    ]
    assert wrong == []


# Ids


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_what_is_learned_here(
    kind: str, browser: Browser, tmp_path: Path, texts: list[str], request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(kind)
    put(browser, tmp_path, tokenizer)
    compare(browser, tokenizer, texts)
    decoded = browser[f"{json.dumps(texts)}.map((text) => tokenizer.decode(tokenizer.encode(text)))"]
    assert decoded == texts
    assert browser["[tokenizer.size, tokenizer.endOfText, tokenizer.stops]"] == [
        tokenizer.vocab_size, tokenizer.end_of_text, sorted(tokenizer.stops),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ENGINES)
def test_tokenizers_of_others(name: str, browser: Browser, tmp_path: Path, texts: list[str]) -> None:
    tokenizer = read(ENGINES[name](), tmp_path)
    put(browser, tmp_path, tokenizer)
    compare(browser, tokenizer, texts)
    ids = [*range(tokenizer.vocab_size), tokenizer.vocab_size + 5]
    found = browser[f"{ids}.map((id) => Array.from(tokenizer.bytes(id)))"]
    assert list(map(bytes, found)) == list(map(tokenizer.token_bytes, ids))
    rows = whole(tokenizer, texts)
    assert browser[f"{rows}.map((ids) => tokenizer.decode(ids))"] == list(map(tokenizer.decode, rows))
    assert browser[f"{json.dumps(texts)}.map((text) => tokenizer.lost(text))"] == list(map(tokenizer.lost, texts))


def test_a_table_of_characters(browser: Browser, tmp_path: Path, texts: list[str]) -> None:
    """nanoGPT's: the model has the characters alone, and the bytes that make them up have no ids."""
    characters = [*"\n !abcdehilnorstu", "é", "ö", "犬", "😀"]
    path = tmp_path / "meta.pkl"
    path.write_bytes(pickle.dumps({"itos": dict(enumerate(characters))}))
    tokenizer = read_characters(path, len(characters))
    put(browser, tmp_path, tokenizer)
    compare(browser, tokenizer, texts)
    assert encoded(browser, ["ö😀z犬"]) == [[18, 20, 19]]
    assert browser["[tokenizer.size, tokenizer.stops, tokenizer.lost('ö😀z犬х')]"] == [21, [], "zх"]


def test_a_prompt(browser: Browser, tmp_path: Path) -> None:
    prompts = ["", " ", "the", "<|endoftext|>", "😀"]
    for name in ("GPT-2's", "prefix space", "a beginning", "added"):
        for tokenizer in read(ENGINES[name](), tmp_path).readings():
            put(browser, tmp_path, tokenizer)
            assert encoded(browser, prompts, "encodePrompt") == [tokenizer.encode_prompt(text).ids for text in prompts]
            compare(browser, tokenizer, ["a<|endoftext|>b", "<|special|>z <|special|>"])


def test_half_a_surrogate_pair_is_no_character(browser: Browser, tmp_path: Path, bpe: Tokenizer) -> None:
    put(browser, tmp_path, bpe)
    given = ["a\ud83d", "\udc00b", "\ud83d\ude00", "x\udc00\ud83dy", "\ud83d"]
    expected = [bpe.encode(text) for text in ("a\ufffd", "\ufffdb", "\U0001f600", "x\ufffd\ufffdy", "\ufffd")]
    assert encoded(browser, given) == expected


def test_bytes_that_are_no_text(browser: Browser, tmp_path: Path, bpe: Tokenizer) -> None:
    """The Encoding Standard and Python replace the same bytes, whatever tokens they are in."""
    put(browser, tmp_path, bpe)
    choose = random.Random(2).choices
    rows = [choose(range(bpe.vocab_size), k=12) for _ in range(500)]
    assert browser[f"{rows}.map((ids) => tokenizer.decode(ids))"] == list(map(bpe.decode, rows))


# Unicode, in all planes in which anything is assigned

CHARACTERS = [
    chr(number) for number in range(0xE0200) if not (0xD800 <= number < 0xE000 or 0x34000 <= number < 0xE0000)
]


def test_every_character_is_in_the_same_class_as_in_the_library(browser: Browser, tmp_path: Path) -> None:
    """The library cuts by Unicode 16, Chromium 156 by Unicode 17, whose letters and digits are not assigned there."""
    put(browser, tmp_path, read(engine(), tmp_path))
    for start in range(0, len(CHARACTERS), 1 << 10):  # the library converts places in long texts slowly
        text = "".join(before + character for character in CHARACTERS[start : start + (1 << 10)] for before in "a1\n.")
        library = [text[first:last] for _, (first, last) in GPT2S.pre_tokenize_str(text)]
        assert browser[f"[...tokenizer.words({json.dumps(text)})]"] == library


@pytest.mark.parametrize("form", FORMS)
def test_every_character_is_normalized_as_in_the_library(form: str, browser: Browser, tmp_path: Path) -> None:
    """The library normalizes by Unicode 9: it moves and joins no mark that is newer."""
    normalizer = getattr(normalizers, form)()
    put(browser, tmp_path, read(engine((), GPT2S, normalizer), tmp_path))
    for before, after in (("", ""), ("a\u0301", "\u0334\u0301\u0345"), ("\u0f71", "\u0f71"), ("\u0345", "\u0334")):
        text = "\n".join(before + character + after for character in CHARACTERS)
        assert browser[f"tokenizer.normalize({json.dumps(text)})"] == normalizer.normalize_str(text)
    composed = "\n".join(normalizers.NFD().normalize_str("\n".join(CHARACTERS)).split("\n") + PARTS)
    assert browser[f"tokenizer.normalize({json.dumps(composed)})"] == normalizer.normalize_str(composed)


# Long words


def test_long_words(browser: Browser, tmp_path: Path, bpe: Tokenizer) -> None:
    """One word of 100,000 letters takes as many steps as there are merges, not their square."""
    made = read(engine(MERGES), tmp_path)
    pick = random.Random(3)
    mixed = "".join(pick.choices("etaoinshrdlu", k=100_000))
    texts = [
        "x" * 100_000,
        " " * 100_000 + "x",
        mixed,
        "犬" * 40_000,
        "e" * 100_000,
        "😀" * 20_000,
        "!" * 100_000,
        "\u0301" * 50_000,
    ]
    for tokenizer in (bpe, made):
        put(browser, tmp_path, tokenizer)
        compare(browser, tokenizer, texts)


# What a page cannot compute


def described(**model: Any) -> Engine:
    made = json.loads(engine(MERGES).to_str())
    made["model"].update(model)
    return Engine.from_str(json.dumps(made))


REFUSED: dict[str, tuple[Make, str]] = {
    "unigram": (
        lambda: other(models.Unigram([("<unk>", 0.0), *((letter, -1.0) for letter in LETTERS)], 0)),
        "it is a Unigram, not a byte-level BPE",
    ),
    "word piece": (
        lambda: other(models.WordPiece({name: i for i, name in enumerate([*LETTERS, "[UNK]"])}, unk_token="[UNK]")),
        "it is a WordPiece, not a byte-level BPE",
    ),
    "white space": (
        lambda: engine(MERGES, pre_tokenizers.Whitespace()),
        "it cuts words by Whitespace, not by GPT-2's ByteLevel alone",
    ),
    "no words": (lambda: with_nothing("pre_tokenizer"), "it cuts words by nothing, not by GPT-2's ByteLevel alone"),
    "digits": (
        lambda: engine(MERGES, pre_tokenizers.Sequence([pre_tokenizers.Digits(), GPT2S])),
        "it cuts words by Digits and ByteLevel, not by GPT-2's ByteLevel alone",
    ),
    "another pattern": (
        lambda: engine(MERGES, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\d+"), "isolated"), GPT2S])),
        "it cuts words by Split and ByteLevel, not by GPT-2's ByteLevel alone",
    ),
    "lower case": (
        lambda: engine(MERGES, GPT2S, normalizers.Lowercase()),
        "it changes a text by Lowercase, which is none of NFC, NFD, NFKC, NFKD",
    ),
    "two forms": (
        lambda: engine(MERGES, GPT2S, normalizers.Sequence([normalizers.NFC(), normalizers.NFKD()])),
        "it normalizes a text more than once",
    ),
    "suffix": (
        lambda: described(end_of_word_suffix="</w>"), "its tokens have another spelling at the end of a word",
    ),
    "byte fallback": (lambda: with_a_hole(byte_fallback=True), "it spells unknown bytes by other tokens"),
    "unknown token that is missing": (lambda: with_a_hole(unk_token="<none>"), "its unknown token is missing"),
    "tokens read alike": (
        lambda: engine(MERGES, GPT2S, normalizers.NFC(), AddedToken("caf\u00e9"), AddedToken("cafe\u0301")),
        "two of its added tokens are read alike",
    ),
}  # fmt: skip


def other(model: Any) -> Engine:
    made = Engine(model)
    made.pre_tokenizer, made.decoder = GPT2S, decoders.ByteLevel()
    made.add_special_tokens([END_OF_TEXT])
    return made


def with_nothing(part: str) -> Engine:
    made = json.loads(engine(MERGES).to_str())
    made[part] = None
    return Engine.from_str(json.dumps(made))


@pytest.mark.parametrize("name", REFUSED)
def test_another_tokenizer_is_refused(name: str, tmp_path: Path) -> None:
    make, fault = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        page_tokenizer(read(make(), tmp_path))
    assert str(caught.value) == f"A page cannot compute this model's tokenizer exactly: {fault}."


def test_the_description_is_small() -> None:
    """Four kilobytes for Unicode, and beside that some twenty bytes a token."""
    few, many = (Tokenizer(engine(random_merges(count, 4))) for count in (0, 600))
    sizes = [len(json.dumps(page_tokenizer(each), separators=(",", ":"))) for each in (few, many)]
    assert sizes[0] < 8_000
    assert sizes[1] - sizes[0] < 600 * 25
