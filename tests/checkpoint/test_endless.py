"""A folder that names no end of a text: config.json says so, as in transformers, and not by leaving it out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import models

from minigpt.checkpoint.export import export_folder
from minigpt.checkpoint.files import read_json_object, write_json
from minigpt.checkpoint.folder import load, save_description, save_weights
from minigpt.checkpoint.gguf import save_gguf
from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import Tokenizer, byte_level_engine

LETTERS = [BYTE_TO_LETTER[byte] for byte in b"\nabc "]


@pytest.fixture
def folder(tmp_path: Path, make_model: Callable[..., GPT]) -> Path:
    vocabulary = {letter: number for number, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(byte_level_engine(models.BPE(vocab=vocabulary, merges=[])), {}, endless=True)
    model = make_model(len(LETTERS))
    (tmp_path / "toy").mkdir()
    save_description(tmp_path / "toy", model.config, tokenizer, torch.float32)
    save_weights(tmp_path / "toy", model)
    return tmp_path / "toy"


def test_nothing_ends_a_sample_and_a_newline_separates_documents(folder: Path) -> None:
    tokenizer = load(folder).tokenizer
    assert (tokenizer.stops, tokenizer.end_of_text, tokenizer.beginning) == (frozenset(), 0, 0)
    assert tokenizer.byte_lengths().tolist() == [1] * 5
    assert tokenizer.encode_documents(["ab", "c\n"]).tolist() == [1, 2, 0, 3, 0]


def test_an_export_says_so_too(folder: Path, tmp_path: Path) -> None:
    export_folder(tmp_path / "out", load(folder), "float32")
    assert load(tmp_path / "out").tokenizer.stops == frozenset()
    for file, key in (("config.json", "eos_token_id"), ("tokenizer_config.json", "eos_token")):
        assert read_json_object(tmp_path / "out" / file)[key] is None


def test_llama_cpp_would_take_another_token_for_the_end(folder: Path, tmp_path: Path) -> None:
    """Where a file names none, it takes the token 11 (llama-vocab.cpp: special_eos_id = 11)."""
    with pytest.raises(CheckpointError, match="names no token that ends a text, and llama"):
        save_gguf(tmp_path / "a.gguf", load(folder), "float32")


def test_silence_is_a_mistake(folder: Path) -> None:
    config = read_json_object(folder / "config.json")
    del config["eos_token_id"]
    write_json(folder / "config.json", config)
    with pytest.raises(CheckpointError, match="its folder names no other end of a text"):
        load(folder)
