"""The end and the beginning of a text, and what is written about a tokenizer, are as transformers has them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.export import export_folder
from minigpt.checkpoint.folder import load, save_description, save_weights
from minigpt.checkpoint.tokenizer_files import read_tokenizer
from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value), "utf-8")


@pytest.fixture
def chat(bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> Path:
    """A GPT-2 with three more special tokens, of whose roles no file says anything yet."""
    engine = Engine.from_str(bpe.to_json())
    engine.add_special_tokens([START, END, PAD])
    model = make_model(engine.get_vocab_size())
    save_description(tmp_path, model.config, Tokenizer(engine), torch.float32)
    save_weights(tmp_path, model)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    write(tmp_path, "config.json", {key: value for key, value in config.items() if not key.endswith("token_id")})
    write(tmp_path, "tokenizer_config.json", FAST)
    (tmp_path / "generation_config.json").unlink()
    return tmp_path


def change(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    write(folder, name, {**(json.loads(path.read_text("utf-8")) if path.exists() else {}), **values})


def number(folder: Path, name: str) -> int:
    token: int | None = Engine.from_file(str(folder / "tokenizer.json")).token_to_id(name)
    assert token is not None
    return token


def stops(folder: Path) -> set[str]:
    tokenizer = load(folder).tokenizer
    return {tokenizer.token_bytes(token).decode() for token in tokenizer.stops}


# The end. transformers 5.23 ends a text at eos_token_id of generation_config.json or, without that file, of config.json
# (generation/utils.py, configuration_utils.py); its tokenizer's eos_token is what lm-eval and chat templates take.


def test_without_a_word_it_is_gpt2s(chat: Path) -> None:
    assert stops(chat) == {END_OF_TEXT}


def test_the_end_by_id_in_generation_config(chat: Path) -> None:
    change(chat, "generation_config.json", eos_token_id=number(chat, END))
    change(chat, "config.json", eos_token_id=number(chat, END_OF_TEXT))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(chat).generation_config.eos_token_id
    assert (stops(chat), theirs) == ({END}, number(chat, END))


def test_several_ends(chat: Path) -> None:
    both = [number(chat, END), number(chat, END_OF_TEXT)]
    change(chat, "generation_config.json", eos_token_id=both)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(chat).generation_config.eos_token_id
    assert (stops(chat), theirs) == ({END, END_OF_TEXT}, both)


def test_the_end_in_config(chat: Path) -> None:
    change(chat, "config.json", eos_token_id=number(chat, END))
    change(chat, "tokenizer_config.json", eos_token=END_OF_TEXT)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(chat).generation_config.eos_token_id
    assert (stops(chat), theirs) == ({END}, number(chat, END))
    assert load(chat).tokenizer.end_of_text == number(chat, END_OF_TEXT)  # which separates documents


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("token", [END, {"content": END, "lstrip": False}])
def test_the_end_by_name(chat: Path, file: str, token: Any) -> None:
    change(chat, file, eos_token=token)
    change(chat, "config.json", eos_token_id=50_256)  # GPT-2's, which this vocabulary lacks
    assert stops(chat) == {END}


def test_a_folder_that_names_its_end_by_id_alone(chat: Path) -> None:
    text = (chat / "tokenizer.json").read_text("utf-8").replace(END_OF_TEXT, "<|stop|>")
    (chat / "tokenizer.json").write_text(text, "utf-8")
    with pytest.raises(CheckpointError, match="and its folder names no other end of a text: eos_token in"):
        load(chat)
    change(chat, "config.json", eos_token_id=number(chat, "<|stop|>"))
    assert stops(chat) == {"<|stop|>"}
    assert load(chat).tokenizer.end_of_text_name == "<|stop|>"


@pytest.mark.parametrize("wrong", [-1, 1 << 40, "<|im_end|>", True, [None], 1.5, {}])
def test_what_is_no_id_ends_nothing(chat: Path, wrong: Any) -> None:
    change(chat, "generation_config.json", eos_token_id=wrong)
    assert stops(chat) == {END_OF_TEXT}


# The beginning. lm-evaluation-harness 0.4 scores the first token after bos or, without one, after eos
# (models/huggingface.py, prefix_token_id).


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({**FAST, "bos_token": START, "eos_token": END}, START),
        ({**FAST, "eos_token": END}, END),
        (FAST, END_OF_TEXT),
        ({"eos_token": END}, END_OF_TEXT),  # GPT2Tokenizer's own bos
        ({"bos_token": None, "eos_token": END}, END),
        ({"bos_token": "<|absent|>", "eos_token": END}, END),
    ],
)
def test_the_beginning(chat: Path, description: dict[str, Any], expected: str) -> None:
    write(chat, "tokenizer_config.json", description)
    assert load(chat).tokenizer.beginning == number(chat, expected)
    if "<|absent|>" not in description.values():  # which transformers adds to the vocabulary
        theirs = transformers.AutoTokenizer.from_pretrained(chat, local_files_only=True)
        bos, eos = theirs.bos_token_id, theirs.eos_token_id
        named = eos if bos is None else bos
        assert named == (number(chat, expected) if description != FAST else None)


# A token beyond the model's table, such as a [PAD] that was added for training, is never asked for.


def test_a_special_token_beyond_the_table(chat: Path) -> None:
    tokenizer = Engine.from_file(str(chat / "tokenizer.json"))
    tokenizer.add_special_tokens(["[PAD]"])
    tokenizer.save(str(chat / "tokenizer.json"))
    change(chat, "tokenizer_config.json", pad_token="[PAD]")
    loaded = load(chat)
    assert loaded.tokenizer.vocab_size == loaded.model.config.vocab_size
    assert max(loaded.tokenizer.encode("a [PAD] b")) < loaded.model.config.vocab_size
    change(chat, "tokenizer_config.json", eos_token="[PAD]")
    with pytest.raises(CheckpointError, match="they do not belong together"):
        load(chat)


def test_a_word_beyond_the_table(chat: Path) -> None:
    tokenizer = Engine.from_file(str(chat / "tokenizer.json"))
    tokenizer.add_tokens(["fox"])
    tokenizer.save(str(chat / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="they do not belong together"):
        load(chat)


# What is written


ROLES = {"bos_token": START, "eos_token": END, "pad_token": PAD, "unk_token": END_OF_TEXT}


def test_an_export_keeps_the_roles(chat: Path, tmp_path: Path) -> None:
    change(chat, "tokenizer_config.json", **ROLES)
    change(chat, "generation_config.json", eos_token_id=[number(chat, END), number(chat, END_OF_TEXT)])
    out = tmp_path / "out"
    export_folder(out, load(chat), "float32")
    theirs = transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)
    assert {role: getattr(theirs, role) for role in ROLES} == ROLES
    assert len(theirs) == load(chat).tokenizer.vocab_size  # none is added
    settings = transformers.AutoModelForCausalLM.from_pretrained(out).generation_config
    assert settings.eos_token_id == [number(chat, END), number(chat, END_OF_TEXT)]
    assert (settings.bos_token_id, settings.pad_token_id) == (number(chat, START), number(chat, PAD))
    again = load(out).tokenizer
    assert (again.stops, again.beginning, again.end_of_text) == (
        load(chat).tokenizer.stops,
        number(chat, START),
        number(chat, END),
    )


def test_an_export_names_no_role_that_was_not_given(chat: Path, tmp_path: Path) -> None:
    """transformers 5.23 gives a GPT2Tokenizer <|endoftext|> for bos, eos and unk wherever its file is silent."""
    change(chat, "tokenizer_config.json", eos_token=END)
    tokenizer, out = load(chat).tokenizer, tmp_path / "out"
    export_folder(out, load(chat), "float32")
    theirs = transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)
    assert (type(theirs).__name__, theirs.bos_token, theirs.eos_token) == ("GPT2Tokenizer", None, END)
    assert load(out).tokenizer.beginning == tokenizer.beginning == number(chat, END)


def engine_with(change: Callable[[Engine], object]) -> Callable[[Engine], Engine]:
    def changed(engine: Engine) -> Engine:
        change(engine)
        return engine

    return changed


def set_pre_tokenizer(value: Any) -> Callable[[Engine], Engine]:
    return engine_with(lambda engine: setattr(engine, "pre_tokenizer", value))


CHANGES: dict[str, Callable[[Engine], Engine]] = {
    "gpt2": lambda engine: engine,
    "prefix_space": set_pre_tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "no_split": set_pre_tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
    "digits": set_pre_tokenizer(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    ),
    "lowercase": engine_with(lambda engine: setattr(engine, "normalizer", normalizers.Lowercase())),
    "added": engine_with(lambda engine: engine.add_tokens([AddedToken(" fox", lstrip=True), AddedToken("Zürich")])),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_transformers_cuts_an_export_as_we_do(
    kind: str, bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path, hard_strings: list[str]
) -> None:
    """transformers 5.23 builds GPT2Tokenizer anew, with GPT-2's split and without a normalizer."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    write(source, "tokenizer_config.json", FAST)
    engine = CHANGES[kind](Engine.from_str(bpe.to_json()))
    (source / "tokenizer.json").write_text(engine.to_str(), "utf-8")
    tokenizer = read_tokenizer(source)
    model = make_model(tokenizer.vocab_size)
    save_description(source, model.config, tokenizer, torch.float32)
    save_weights(source, model)
    export_folder(out, load(source), "float32")
    theirs = transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)
    expected = "GPT2Tokenizer" if kind in ("gpt2", "prefix_space", "added") else "PreTrainedTokenizerFast"
    written = json.loads((out / "tokenizer_config.json").read_text("utf-8"))
    assert written["tokenizer_class"] == expected
    for text in [*hard_strings, "The quick brown fox, 1234 of them, in Zürich", "a  fox"]:
        ids = tokenizer.encode(text)
        assert load(out).tokenizer.encode(text) == ids
        assert theirs.encode(text, split_special_tokens=True) == ids
