"""Tokenizers that load, but have no token for some texts: one sentence, whoever asks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, normalizers, pre_tokenizers

from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.errors import CorpusError
from minigpt.models.gpt import GPT
from minigpt.sampling.tree import TokenTree
from minigpt.text.arguments import single_token
from minigpt.text.blocks import Block
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

Run = Callable[..., Any]
SENTENCE = 'This model\'s tokenizer has no token for "{}", so the model cannot read the text.'


def made(
    without: str = "", normalizer: Any = None, unknown: str | None = None, *, known: bool = False, added: str = ""
) -> Tokenizer:
    """Bytes alone, but for those of `without`."""
    names = [letter for byte, letter in BYTE_TO_LETTER.items() if chr(byte) not in without] + [END_OF_TEXT]
    names += [unknown] if unknown and known else []
    engine = Engine(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[], unk_token=unknown))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([END_OF_TEXT])
    if added:
        engine.add_tokens([added])
    if normalizer is not None:
        engine.normalizer = normalizer
    return Tokenizer(engine)


TOKENIZERS = {
    "hole": lambda: made("z"),
    "unknown token": lambda: made("z", unknown="<unk>", known=True),
    "unknown token that is missing": lambda: made("z", unknown="<unk>"),
    "strip": lambda: made(normalizer=normalizers.Strip()),
    "remove": lambda: made(normalizer=normalizers.Replace("z", "")),
}
NOTHING = {name: "  " if name == "strip" else "z" for name in TOKENIZERS}  # a text for which each has no token


@pytest.fixture(params=TOKENIZERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_sentence_names_the_text(name: str) -> None:
    tokenizer, text = TOKENIZERS[name](), NOTHING[name]
    with pytest.raises(CorpusError) as caught:
        tokenizer.encode(text)
    assert str(caught.value) == SENTENCE.format(text)
    assert tokenizer.encode("") == []
    assert tokenizer.decode(tokenizer.encode("abc")) == "abc"
    with pytest.raises(CorpusError, match="has no token for"):
        single_token(tokenizer, text)


@pytest.mark.parametrize("name", ["hole", "unknown token"], indirect=True)
def test_a_letter_inside_a_text_is_lost(name: str) -> None:
    tokenizer, text = TOKENIZERS[name](), "a puzzle"
    assert tokenizer.lost(text) == "zz"
    assert tokenizer.byte_counts(text, tokenizer.encode(text)).sum() == len(text)
    rows = list(tokenizer.encode_blocks([Block(text, begins=True)]))
    assert np.concatenate(rows).tolist() == tokenizer.encode(text)
    with pytest.raises(CorpusError, match='no token for "z"'):
        tokenizer.encode_whole(text)


def test_an_unknown_token_that_is_missing_is_an_error() -> None:
    """The library raises one itself."""
    with pytest.raises(CorpusError) as caught:
        TOKENIZERS["unknown token that is missing"]().encode("a puzzle")
    assert str(caught.value) == SENTENCE.format("z")


def test_the_name_of_an_added_token_is_not_lost() -> None:
    tokenizer = made("z", added="z!")
    assert (tokenizer.lost("a z! b"), tokenizer.lost("a zebra")) == ("", "z")


def test_a_long_text_is_shortened() -> None:
    with pytest.raises(CorpusError) as caught:
        made(normalizer=normalizers.Strip()).encode(" " * 10_000)
    assert len(str(caught.value)) < 130


def test_a_normalizer_that_fills_the_hole_is_no_fault() -> None:
    tokenizer = made("ABC", normalizers.Lowercase())
    assert tokenizer.decode(tokenizer.encode("A CAB")) == "a cab"


def test_a_corpus_without_a_token_is_refused_and_a_blank_document_is_not() -> None:
    tokenizer = made(normalizer=normalizers.Strip())
    blank, text = Block("  \n", begins=True), Block("text", begins=True)
    with pytest.raises(CorpusError, match="has no token for"):
        list(tokenizer.encode_blocks([blank, blank]))
    rows = np.concatenate(list(tokenizer.encode_blocks([blank, text])))
    assert tokenizer.decode(rows.tolist()).endswith("text")


@pytest.fixture
def folder(name: str, tmp_path: Path, make_model: Callable[..., GPT]) -> Path:
    tokenizer, folder = TOKENIZERS[name](), tmp_path / "holed"
    folder.mkdir()
    model = make_model(tokenizer.vocab_size)
    save_description(folder, model.config, tokenizer, torch.float32)
    save_weights(folder, model)
    return folder


def test_every_command_says_it(minigpt: Run, folder: Path, name: str, checkpoint_folder: Path, tmp_path: Path) -> None:
    nothing, page, there = NOTHING[name], str(tmp_path / "page.html"), ["-c", str(folder)]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("a puzzle\n", "utf-8")
    probs, attention = ["inspect-probs", nothing], ["inspect-attention", nothing]
    commands = [
        probs, [*probs, "--all"], [*probs, "--tokens"], [*probs, "--choices", "a,b"], [*probs, "--html", page],
        [*probs, "--all", "--html", page], [*probs, "--by-layer"], [*probs, "--attribution"], [*probs, "--boundary"],
        [*probs, "--against", str(folder)], [*probs, "--against", str(checkpoint_folder), "--all"],
        [*probs, "--without", "layer 1 mlp"], [*probs, "--parts"],
        ["inspect-probs", "ab", "--choices", f"{nothing},a"],
        ["inspect-probs", "ab", "--by-layer", "--track", nothing],
        attention, [*attention, "--layer", "1"], ["inspect-attention", "a b", "--with", f"b {nothing}"],
        ["sample", nothing], ["sample", nothing, "--html", page], ["inspect-embeddings", nothing],
    ]  # fmt: skip
    if name != "unknown token that is missing":  # what is left of it is a text
        commands.remove(["inspect-attention", "a b", "--with", f"b {nothing}"])
    for command in commands:
        result = minigpt(*command, *there)
        assert result.exit_code == 1, (command, result.output, result.exception)
        assert SENTENCE.format(nothing) in result.stderr, command
    if name == "unknown token that is missing":
        for command in (["evaluate", str(corpus), *there], ["inspect-probs", "ab", "--corpus", str(corpus), *there]):
            result = minigpt(*command)
            assert result.exit_code == 1, (command, result.output, result.exception)
            assert SENTENCE.format("z") in result.stderr
        trained = minigpt("train", str(corpus), "--from", str(folder), "--steps", "1")
        assert trained.exit_code == 1
        assert SENTENCE.format("z") in trained.stderr


NOTE = 'has no token for 2 characters of the text, such as "z", so the model does not see them.'


@pytest.mark.parametrize("name", ["hole", "unknown token"], indirect=True)
def test_what_is_lost_is_said_and_its_bytes_count(minigpt: Run, folder: Path, tmp_path: Path) -> None:
    text = "a puzzle, " * 20
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(text, "utf-8")
    there = ["-c", str(folder)]
    note = NOTE.replace("2 characters", "40 characters")
    evaluated = minigpt("evaluate", str(corpus), "--json", *there)
    inspected = minigpt("inspect-probs", text, "--all", "--json", *there)
    for result in (evaluated, inspected):
        assert (result.exit_code, note in result.stderr) == (0, True), result.output
        assert json.loads(result.stdout.splitlines()[-1])["bytes"] == len(text) - 1  # all but the first token
    for command in (["sample", "puzz", "-n", "1"], ["inspect-probs", "p", "--choices", "uz,uz "]):
        result = minigpt(*command, *there)
        assert (result.exit_code, NOTE in result.stderr) == (0, True), result.output
    trained = minigpt("train", str(corpus), "--from", str(folder), "--steps", "1", "--out", str(tmp_path / "run"))
    assert (trained.exit_code, note in trained.stderr) == (0, True), trained.output


@pytest.mark.parametrize("name", ["hole", "unknown token"], indirect=True)
def test_one_document_of_many_may_have_no_token(minigpt: Run, folder: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "zz"}\n{"text": "an apple"}\n', "utf-8")
    result = minigpt("evaluate", str(texts), "--json", "-c", str(folder))
    assert (result.exit_code, NOTE in result.stderr) == (0, True), result.output
    assert json.loads(result.stdout.splitlines()[-1])["documents"] == 2


def test_a_corpus_of_nothing_else_is_refused(minigpt: Run, folder: Path, name: str, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": NOTHING[name]}), "utf-8")
    result = minigpt("evaluate", str(texts), "-c", str(folder))
    assert result.exit_code == 1, result.output
    if name == "hole":
        assert "nothing to score: this model's tokenizer has no token for 1 character" in result.stderr


@pytest.mark.parametrize("name", ["hole", "strip", "unknown token that is missing"], indirect=True)
def test_a_guess_without_a_token_is_none(name: str, make_model: Callable[..., GPT]) -> None:
    tokenizer = TOKENIZERS[name]()
    tree = TokenTree(make_model(tokenizer.vocab_size), tokenizer, "ab")
    assert tree.first_token(NOTHING[name]) is None
    assert tree.first_token("a").text == "a"
    with pytest.raises(CorpusError, match="has no token for"):
        TokenTree(make_model(tokenizer.vocab_size), tokenizer, NOTHING[name])
