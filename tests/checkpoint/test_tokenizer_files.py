"""Whatever files hold a tokenizer, it cuts as transformers' GPT2Tokenizer does; what is none is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.folder import load, save_description, save_weights
from minigpt.checkpoint.tokenizer_files import LARGEST, read_tokenizer
from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer


@pytest.fixture
def old(bpe: Tokenizer, tmp_path: Path) -> Path:
    """vocab.json and merges.txt, as GPT-2 was first published."""
    model = json.loads(bpe.to_json())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"]), ""]
    (tmp_path / "merges.txt").write_text("\n".join(lines), "utf-8")
    return tmp_path


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value), "utf-8")


def theirs(folder: Path) -> transformers.GPT2Tokenizer:
    return transformers.GPT2Tokenizer.from_pretrained(folder, local_files_only=True)


def read_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(folder)
    return str(caught.value)


# vocab.json and merges.txt


def test_vocabulary_and_merges_are_the_tokenizer(old: Path, bpe: Tokenizer, hard_strings: list[str]) -> None:
    tokenizer, reference = read_tokenizer(old), theirs(old)
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (bpe.vocab_size, bpe.end_of_text)
    for text in hard_strings:
        assert tokenizer.encode(text) == bpe.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text
        if END_OF_TEXT not in text:
            assert tokenizer.encode(text) == reference(text)["input_ids"]


def test_windows_line_ends(old: Path, bpe: Tokenizer, corpus: str) -> None:
    merges = (old / "merges.txt").read_text("utf-8")
    (old / "merges.txt").write_bytes(merges.replace("\n", "\r\n").encode())
    assert read_tokenizer(old).encode(corpus) == bpe.encode(corpus)


def test_a_space_before_the_first_word_where_the_folder_says_so(old: Path) -> None:
    write(old, "tokenizer_config.json", {"add_prefix_space": True})
    assert read_tokenizer(old).encode("dog") == theirs(old)("dog")["input_ids"]
    assert read_tokenizer(old).decode(read_tokenizer(old).encode("dog")) == " dog"


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("described", [True, False, None])
@pytest.mark.parametrize("kind", ["GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", None])
def test_who_decides_about_a_space_before_the_first_word(
    bpe: Tokenizer, tmp_path: Path, stored: bool, described: bool | None, kind: str | None
) -> None:
    """In transformers 5.23 GPT2Tokenizer heeds tokenizer_config.json alone, other classes tokenizer.json alone."""
    layout = json.loads(bpe.to_json())
    layout["pre_tokenizer"]["add_prefix_space"] = stored
    write(tmp_path, "tokenizer.json", layout)
    write(tmp_path, "config.json", {"model_type": "gpt2"})
    given = {"add_prefix_space": described, "tokenizer_class": kind}
    write(tmp_path, "tokenizer_config.json", {key: value for key, value in given.items() if value is not None})
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    tokenizer = read_tokenizer(tmp_path)
    for text in ("value of", " value of", "\nvalue of", "the value of a"):
        assert tokenizer.encode(text) == reference(text)["input_ids"]


def test_a_model_with_them_is_loaded(old: Path, model: GPT, bpe: Tokenizer) -> None:
    save_description(old, model.config, bpe, torch.float32)
    save_weights(old, model)
    (old / "tokenizer.json").unlink()
    assert load(old).tokenizer.encode("the fox") == bpe.encode("the fox")


def test_tokenizer_json_comes_first(old: Path, char: Tokenizer, corpus: str) -> None:
    (old / "tokenizer.json").write_text(char.to_json(), "utf-8")
    assert read_tokenizer(old).encode(corpus) == char.encode(corpus)


def test_the_layout_of_the_original_upload(bpe: Tokenizer, tmp_path: Path, hard_strings: list[str]) -> None:
    """The tokenizer.json of openai-community/gpt2 has no `model.type`, and merges as texts (SKaiNET, issue 858)."""
    layout = json.loads(bpe.to_json())
    model = layout["model"]
    layout["model"] = {
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "vocab": model["vocab"],
        "merges": [" ".join(pair) for pair in model["merges"]],
    }
    write(tmp_path, "tokenizer.json", layout)
    write(tmp_path, "tokenizer_config.json", {"model_max_length": 1024})
    tokenizer, library = read_tokenizer(tmp_path), Engine.from_file(str(tmp_path / "tokenizer.json"))
    library.encode_special_tokens = True
    reference = theirs(tmp_path)
    for text in hard_strings:
        assert tokenizer.encode(text) == library.encode(text).ids
        assert tokenizer.encode(text) == reference(text, split_special_tokens=True)["input_ids"]
    assert tokenizer.merges() == bpe.merges()
    assert json.loads(tokenizer.to_json())["model"]["type"] == "BPE"


@pytest.mark.parametrize("parts", [5, True])
def test_parts_of_a_pre_tokenizer_that_are_no_list(bpe: Tokenizer, tmp_path: Path, parts: Any) -> None:
    layout = json.loads(bpe.to_json())
    layout["pre_tokenizer"]["pretokenizers"] = parts
    write(tmp_path, "tokenizer.json", layout)
    assert "is not a tokenizer file, or is damaged" in read_error(tmp_path)


def test_a_file_without_a_type_is_what_its_fields_allow(bpe: Tokenizer, tmp_path: Path) -> None:
    """Without a type, tokenizers 0.23.3 takes a vocabulary with an unk_token, and no merges, for a WordLevel model."""
    layout = json.loads(bpe.to_json())
    layout["model"] = {"vocab": layout["model"]["vocab"], "unk_token": "a"}
    write(tmp_path, "tokenizer.json", layout)
    assert json.loads(read_tokenizer(tmp_path).to_json())["model"]["type"] == "WordLevel"


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("merges.txt", "a b\nabc\n", "merges.txt line 2 is not a merge"),
        ("merges.txt", "a b c\n", "merges.txt line 1 is not a merge"),
        ("merges.txt", "no such\n", "vocab.json cannot be read as a tokenizer"),
        ("merges.txt", b"\xff\xfe", "merges.txt cannot be read"),
        ("merges.txt", None, "merges.txt cannot be read: No such file"),
        ("vocab.json", '{"a": -1}', "vocab.json: the id of 'a' is -1; an id is a whole number"),
        ("vocab.json", '{"a": "b"}', "the id of 'a' is 'b'"),
        ("vocab.json", '{"a": true}', "the id of 'a' is True"),
        ("vocab.json", '{"a": 99999999999999999999}', "vocab.json cannot be read as a tokenizer"),
        ("vocab.json", "[]", "vocab.json does not contain a JSON object"),
        ("vocab.json", '{"a": 1}', "vocab.json"),
        ("vocab.json", "{" * 100_000, "vocab.json is not JSON"),
    ],
)
def test_damaged_files_are_named(old: Path, name: str, contents: str | bytes | None, message: str) -> None:
    (old / name).unlink()
    if contents is not None:
        (old / name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    assert message in read_error(old)


# Added tokens


ADDED: dict[str, Callable[[int], dict[str, Any]]] = {
    "added_tokens.json": lambda n: {
        "added_tokens.json": {"<pad>": n, "FOXES": n + 1},
        "special_tokens_map.json": {"pad_token": "<pad>", "eos_token": END_OF_TEXT},
    },
    "tokenizer_config.json": lambda n: {
        "tokenizer_config.json": {
            "pad_token": {"content": "<pad>", "special": True},
            "added_tokens_decoder": {
                str(n): {"content": "<pad>", "special": True},
                str(n + 1): {"content": "FOXES", "special": False},
            },
        }
    },
}


@pytest.mark.parametrize("where", ADDED)
@pytest.mark.parametrize("layout", ["old", "new"])
def test_added_tokens_have_their_ids(where: str, layout: str, old: Path, bpe: Tokenizer) -> None:
    if layout == "new":
        (old / "tokenizer.json").write_text(bpe.to_json(), "utf-8")
    n = bpe.vocab_size
    for name, value in ADDED[where](n).items():
        write(old, name, value)
    tokenizer = read_tokenizer(old)
    assert tokenizer.vocab_size == n + 2
    assert tokenizer.token_bytes(n) == b"<pad>"
    assert tokenizer.encode("a FOXES b") == [*bpe.encode("a "), n + 1, *bpe.encode(" b")]
    assert tokenizer.encode("a<pad>b") == bpe.encode("a<pad>b")  # a user's letters are letters
    assert tokenizer.decode([n, *bpe.encode("é"), n + 1]) == "<pad>éFOXES"
    # And what is saved has them too.
    again = Tokenizer(Engine.from_str(tokenizer.to_json()))
    assert again.encode("a FOXES b") == tokenizer.encode("a FOXES b")


def test_what_transformers_saves_after_tokens_were_added(old: Path, bpe: Tokenizer) -> None:
    tokenizer = theirs(old)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.add_tokens(["FOXES"])
    tokenizer.save_pretrained(old / "saved")
    ours = read_tokenizer(old / "saved")
    assert ours.vocab_size == len(tokenizer) == bpe.vocab_size + 2
    assert ours.encode("a FOXES b") == tokenizer("a FOXES b")["input_ids"]


@pytest.mark.parametrize("number", [5, 400, 1 << 40])
def test_an_added_token_with_another_id_is_refused(old: Path, number: int) -> None:
    write(old, "added_tokens.json", {"FOXES": number})
    assert f"The added token 'FOXES' is declared with the id {number:,}, but the vocabulary gives it 320" in read_error(
        old
    )


@pytest.mark.parametrize("table", [[1], {"x": {"content": "a"}}, {"1": {}}, {"1": "a"}, {"1": {"content": 3}}, "x"])
def test_a_damaged_table_of_added_tokens(old: Path, table: Any) -> None:
    write(old, "tokenizer_config.json", {"added_tokens_decoder": table})
    assert "tokenizer_config.json: added_tokens_decoder is not a table of ids and tokens" in read_error(old)


def test_another_name_for_the_end_of_a_text(old: Path, bpe: Tokenizer) -> None:
    """As in models that were trained by others from nothing; it is also what a folder of ours then says."""
    vocabulary = json.loads((old / "vocab.json").read_text("utf-8"))
    vocabulary["</s>"] = vocabulary.pop(END_OF_TEXT)
    write(old, "vocab.json", vocabulary)
    assert f"has no {END_OF_TEXT} token" in read_error(old)
    write(old, "special_tokens_map.json", {"eos_token": {"content": "</s>"}})
    tokenizer = read_tokenizer(old)
    assert (tokenizer.end_of_text, tokenizer.end_of_text_name) == (bpe.end_of_text, "</s>")
    assert tokenizer.encode("</s>") != [tokenizer.end_of_text]
    assert tokenizer.encode("the fox") == bpe.encode("the fox")


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", "merges.txt"])
def test_files_of_no_reasonable_size_are_not_read(old: Path, name: str) -> None:
    (old / name).touch()
    os.truncate(old / name, LARGEST + 1)
    assert f"{old / name} has {LARGEST + 1:,} bytes; more than {LARGEST:,} are not read" in read_error(old)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"])
def test_nor_are_the_small_ones(old: Path, name: str) -> None:
    (old / name).touch()
    os.truncate(old / name, (1 << 24) + 1)
    assert f"{old / name} has 16,777,217 bytes" in read_error(old)
