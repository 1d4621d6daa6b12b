"""An export's tokenizer is rebuilt as other programs do it, and must give the same ids; transformers 5.23 is the judge.

transformers.AutoTokenizer reads tokenizer.json for PreTrainedTokenizerFast, and for GPT2Tokenizer only vocabulary,
merges, added tokens and post-processor of it (tokenization_gpt2.py, tokenization_utils_tokenizers.py).
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.export import export_folder
from minigpt.checkpoint.folder import Checkpoint, load, save_description, save_weights
from minigpt.checkpoint.gguf import save_gguf
from minigpt.checkpoint.rebuilt import as_transformers_reads, check_folder
from minigpt.checkpoint.tokenizer_files import read_tokenizer
from minigpt.errors import CheckpointError, OutputError
from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

Change = Callable[[Engine], object]
TEXTS = ("The quick brown fox, 1234 of them, in Zürich", "a  fox\n\n  b", " <|user|>x<|endoftext|>", "हिन्दी 狐 😀\x00")


def set_part(name: str, value: Any) -> Change:
    return lambda engine: setattr(engine, name, value)


def template(single: str, **ids: int) -> Any:
    return processors.TemplateProcessing(single=single, pair="$A $B", special_tokens=list(ids.items()))


CHANGES: dict[str, Change] = {
    "gpt2": lambda engine: None,
    "prefix space": set_part("pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "no split": set_part("pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
    "digits": set_part(
        "pre_tokenizer",
        pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    ),
    "normalizer": set_part("normalizer", normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])),
    "added tokens": lambda engine: engine.add_tokens(
        [AddedToken(" fox", lstrip=True), AddedToken("Zürich", normalized=False), AddedToken("own", single_word=True)]
    ),
    "special tokens": lambda engine: engine.add_special_tokens(["<|user|>", "<|end|>"]),
    "post-processor": set_part("post_processor", processors.RobertaProcessing((END_OF_TEXT, 0), (END_OF_TEXT, 0))),
}


def folder_of(path: Path, bpe: Tokenizer, make_model: Callable[..., GPT], change: Change) -> Path:
    """A GPT-2 whose tokenizer.json is the toy one with a change, read as it is."""
    path.mkdir()
    engine = Engine.from_str(bpe.to_json())
    change(engine)
    (path / "tokenizer.json").write_text(engine.to_str(), "utf-8")
    (path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', "utf-8")
    tokenizer = read_tokenizer(path)
    model = make_model(tokenizer.vocab_size, width=32)
    save_description(path, model.config, tokenizer, torch.float32)
    save_weights(path, model)
    return path


@pytest.mark.parametrize("kind", CHANGES)
def test_it_is_rebuilt_as_transformers_does_it(
    kind: str, bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path, hard_strings: list[str]
) -> None:
    source, out = folder_of(tmp_path / "source", bpe, make_model, CHANGES[kind]), tmp_path / "out"
    export_folder(out, load(source), "float32")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(out, local_files_only=True), as_transformers_reads(out)
    for text in (*TEXTS, *hard_strings):
        for special in (False, True):
            assert ours.encode(text, add_special_tokens=special).ids == theirs.encode(text, add_special_tokens=special)
    original = Engine.from_file(str(source / "tokenizer.json"))
    for text in (*TEXTS, *hard_strings):
        assert theirs.encode(text, add_special_tokens=False) == original.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", ["no split", "digits", "normalizer"])
def test_a_folder_of_another_class_is_not_written(
    kind: str, bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As GPT2Tokenizer, transformers cuts with GPT-2's pattern and without a normalizer: other ids, silently."""
    loaded = load(folder_of(tmp_path / "source", bpe, make_model, CHANGES[kind]))
    monkeypatch.setattr(Tokenizer, "cuts_as_gpt2", True)
    with pytest.raises(OutputError, match=r"read another tokenizer from .*/new/out: .* It is not written"):
        export_folder(tmp_path / "new" / "out", loaded, "float32")
    assert os.listdir(tmp_path / "new") == []
    theirs = saved(tmp_path / "wrong", loaded)
    assert any(theirs.encode(text) != loaded.tokenizer.encode(text) for text in TEXTS)


def saved(folder: Path, loaded: Checkpoint) -> Any:
    folder.mkdir()
    save_description(folder, loaded.model.config, loaded.tokenizer, torch.float32)
    with pytest.raises(OutputError):
        check_folder(folder, loaded.tokenizer)
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def test_an_added_token_with_another_flag_is_noticed(checkpoint_folder: Path) -> None:
    tokenizer = load(checkpoint_folder).tokenizer
    path = checkpoint_folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "the"}), "utf-8")
    with pytest.raises(OutputError, match="with other added tokens"):
        check_folder(checkpoint_folder, tokenizer)  # transformers adds what has a role as a special token
    assert "the" in transformers.AutoTokenizer.from_pretrained(checkpoint_folder).all_special_tokens


def test_a_vocabulary_with_holes_is_checked_on_what_it_can_spell(
    make_model: Callable[..., GPT], tmp_path: Path
) -> None:
    engine = Engine(models.BPE(vocab={"a": 0, "b": 1, "Ġ": 2, "ab": 3, END_OF_TEXT: 4}, merges=[("a", "b")]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.add_special_tokens([END_OF_TEXT])
    checkpoint = Checkpoint(tmp_path, make_model(5, width=32), Tokenizer(engine))
    export_folder(tmp_path / "out", checkpoint, "float32")
    save_gguf(tmp_path / "out.gguf", checkpoint, "float32")
    assert load(tmp_path / "out").tokenizer.encode("ab a") == [3, 2, 0]


# GGUF


def test_overlapping_added_tokens_are_refused(bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> None:
    """llama.cpp looks for the longest added token in the whole text first (tokenizer_st_partition in llama-vocab.cpp);
    the tokenizers library takes the one that begins first."""
    engine = Engine.from_str(bpe.to_json())
    engine.add_tokens(["xqz", "qzwv"])
    tokenizer = Tokenizer(engine)
    checkpoint = Checkpoint(tmp_path / "toy", make_model(tokenizer.vocab_size, width=32), tokenizer)
    with pytest.raises(OutputError, match=r"llama\.cpp would read other tokens from .*/toy: 'xqzwv' would be cut diff"):
        save_gguf(tmp_path / "a.gguf", checkpoint, "float32")
    assert not (tmp_path / "a.gguf").exists()
    export_folder(tmp_path / "out", checkpoint, "float32")


def test_added_tokens_that_do_not_overlap(bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> None:
    engine = Engine.from_str(bpe.to_json())
    engine.add_tokens(["<tool>", "</tool>", "čö", "two words"])
    tokenizer = Tokenizer(engine)
    save_gguf(
        tmp_path / "a.gguf", Checkpoint(tmp_path, make_model(tokenizer.vocab_size, width=32), tokenizer), "float32"
    )
    assert (tmp_path / "a.gguf").exists()


AROUND: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]] = {
    "none": (None, (), ()),
    "ByteLevel": (processors.ByteLevel(), (), ()),
    "bos": (template("<s>:0 $A:0", **{"<s>": 5}), (5,), ()),
    "both": (template("<s> $A </s>", **{"<s>": 5, "</s>": 6}), (5,), (6,)),
    "two": (template("<s> </s> $A", **{"<s>": 5, "</s>": 6}), (5, 6), ()),
    "Bert": (processors.BertProcessing(("[SEP]", 7), ("[CLS]", 8)), (8,), (7,)),
    "Roberta": (processors.RobertaProcessing(("</s>", 7), ("<s>", 8)), (8,), (7,)),
    "sequence": (processors.Sequence([processors.ByteLevel(), template("<s> $A", **{"<s>": 5})]), (5,), ()),
}


@pytest.mark.parametrize("kind", AROUND)
def test_what_a_post_processor_adds(kind: str, bpe: Tokenizer) -> None:
    processor, before, after = AROUND[kind]
    engine = Engine.from_str(bpe.to_json())
    if processor is not None:
        engine.post_processor = processor
    tokenizer = Tokenizer(Engine.from_str(engine.to_str()))
    assert (tokenizer.prefix, tokenizer.suffix) == (before, after)
    ids = engine.encode("The fox", add_special_tokens=False).ids
    assert engine.encode("The fox").ids == [*before, *ids, *after]


def keys(path: Path) -> dict[str, Any]:
    fields = gguf.GGUFReader(path).fields
    return {name: fields[f"tokenizer.ggml.{name}"].contents() for name in ("bos_token_id", "add_bos_token")}


def test_a_gguf_adds_the_beginning_that_the_tokenizer_adds(
    bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path
) -> None:
    def adds(engine: Engine) -> None:
        engine.add_special_tokens(["<s>"])
        engine.post_processor = template("<s> $A", **{"<s>": engine.token_to_id("<s>")})

    source = load(folder_of(tmp_path / "source", bpe, make_model, adds))
    save_gguf(tmp_path / "a.gguf", source, "float32")
    start = source.tokenizer.vocab_size - 1
    assert keys(tmp_path / "a.gguf") == {"bos_token_id": start, "add_bos_token": True}
    save_gguf(tmp_path / "b.gguf", load(folder_of(tmp_path / "other", bpe, make_model, CHANGES["gpt2"])), "float32")
    assert keys(tmp_path / "b.gguf") == {"bos_token_id": bpe.end_of_text, "add_bos_token": False}


def test_more_than_a_gguf_can_say(bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> None:
    change = set_part("post_processor", template("<s> <s> $A", **{"<s>": 5}))
    with pytest.raises(CheckpointError, match=r"puts more around a text .*\nExport it as a folder"):
        save_gguf(tmp_path / "a.gguf", load(folder_of(tmp_path / "source", bpe, make_model, change)), "float32")
