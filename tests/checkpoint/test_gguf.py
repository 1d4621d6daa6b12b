"""A GGUF file, read back by the library that defines the format: the same model and the same tokens."""

import errno
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Engine
from tokenizers import models, pre_tokenizers

from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.gguf import save_gguf
from minigpt.errors import CheckpointError, ConfigError, OutputError, PackageError
from minigpt.models.gpt import GPT
from minigpt.settings import GGUF_DTYPES
from minigpt.text.learning import train_tokenizer
from minigpt.text.tokenizer import Tokenizer

ROOMY = {"layers": 2, "heads": 2, "width": 64}  # rows that q8_0 divides into blocks


@pytest.fixture
def checkpoint(tokenizer: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> Checkpoint:
    """A toy with each kind of tokenizer."""
    return Checkpoint(tmp_path / "toy", make_model(tokenizer.vocab_size, **ROOMY), tokenizer)


@pytest.fixture
def written(checkpoint: Checkpoint, tmp_path: Path) -> gguf.GGUFReader:
    save_gguf(tmp_path / "toy.gguf", checkpoint, "float32")
    return gguf.GGUFReader(tmp_path / "toy.gguf")


def value(reader: gguf.GGUFReader, key: str) -> Any:
    return reader.fields[key].contents()


def read_back(reader: gguf.GGUFReader, like: GPT) -> GPT:
    """The model in the file, by the names that llama.cpp gives to GPT-2's tensors."""
    tensors = {t.name: torch.tensor(gguf.quants.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
    names = {
        "wte": "token_embd",
        "wpe": "position_embd",
        "ln_f": "output_norm",
        "ln_1": "attn_norm",
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down",
    }
    weights = {}
    for name, mine in like.state_dict().items():
        part, _, end = name.rpartition(".")
        _, layer, inner = part.split(".", 2) if part.startswith("h.") else ("", "", part)
        there = tensors.pop(f"blk.{layer}.{names[inner]}.{end}" if layer else f"{names[part]}.{end}")
        weights[name] = there.T if layer and mine.dim() == 2 else there
    assert not tensors
    model = GPT(like.config)
    model.load_state_dict(weights)
    return model.eval()


def logits(model: GPT) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(40, 56)[None])


def test_the_weights_are_all_there(checkpoint: Checkpoint, written: gguf.GGUFReader) -> None:
    assert torch.equal(logits(read_back(written, checkpoint.model)), logits(checkpoint.model))


def test_a_model_without_merges_gets_one_that_is_never_applied(make_model: Callable[..., GPT], tmp_path: Path) -> None:
    """Without any, llama.cpp stops with "cannot find tokenizer merges in model file"."""
    tokenizer = train_tokenizer("char", ["The quick brown fox.\n"])
    assert tokenizer.merges() == []
    checkpoint = Checkpoint(tmp_path / "ascii", make_model(tokenizer.vocab_size, **ROOMY), tokenizer)
    save_gguf(tmp_path / "ascii.gguf", checkpoint, "float32")
    merges = value(gguf.GGUFReader(tmp_path / "ascii.gguf"), "tokenizer.ggml.merges")
    assert merges == ["a Ġ"]
    words = [
        word for word, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("a a  a\ta \u0120a a")
    ]
    assert not any("aĠ" in word for word in words)


def test_the_roles_of_tokens(bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> None:
    engine = Engine.from_str(bpe.to_json())
    engine.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|pad|>"])
    start, end, pad = (engine.token_to_id(name) for name in ("<|im_start|>", "<|im_end|>", "<|pad|>"))
    roles = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    tokenizer = Tokenizer(engine, roles, [[bpe.end_of_text, end]])
    checkpoint = Checkpoint(tmp_path / "chat", make_model(tokenizer.vocab_size, **ROOMY), tokenizer)
    save_gguf(tmp_path / "chat.gguf", checkpoint, "float32")
    reader = gguf.GGUFReader(tmp_path / "chat.gguf")
    ids = [value(reader, f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "eot", "padding")]
    assert ids == [start, end, bpe.end_of_text, pad]
    assert value(reader, "tokenizer.ggml.add_bos_token") is False


def test_the_shape_is_told_by_gpt2s_keys(checkpoint: Checkpoint, written: gguf.GGUFReader) -> None:
    told = {name: value(written, name) for name in written.fields if name.startswith(("general.", "gpt2."))}
    assert told == {
        "general.architecture": "gpt2",
        "general.name": "toy",
        "general.file_type": 0,
        "gpt2.context_length": 16,
        "gpt2.embedding_length": 64,
        "gpt2.block_count": 2,
        "gpt2.feed_forward_length": 256,
        "gpt2.attention.head_count": 2,
        "gpt2.attention.layer_norm_epsilon": pytest.approx(1e-5),
    }


def test_tokens_and_merges_give_the_same_ids(
    checkpoint: Checkpoint, written: gguf.GGUFReader, hard_strings: list[str]
) -> None:
    assert value(written, "tokenizer.ggml.model") == "gpt2"
    assert value(written, "tokenizer.ggml.pre") == "gpt-2"
    tokens, merges = value(written, "tokenizer.ggml.tokens"), value(written, "tokenizer.ggml.merges")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    engine = Engine(models.BPE(vocab=vocabulary, merges=[tuple(merge.split(" ")) for merge in merges]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    for text in hard_strings:
        assert engine.encode(text).ids == checkpoint.tokenizer.encode(text)


def test_end_of_text_is_the_one_control_token(checkpoint: Checkpoint, written: gguf.GGUFReader) -> None:
    end_of_text = checkpoint.tokenizer.end_of_text
    kinds = value(written, "tokenizer.ggml.token_type")
    assert [i for i, kind in enumerate(kinds) if kind != gguf.TokenType.NORMAL] == [end_of_text]
    assert kinds[end_of_text] == gguf.TokenType.CONTROL
    assert value(written, "tokenizer.ggml.bos_token_id") == value(written, "tokenizer.ggml.eos_token_id") == end_of_text
    assert value(written, "tokenizer.ggml.add_bos_token") is False


def test_rows_without_a_token_have_names_of_their_own(
    bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path
) -> None:
    model = make_model(bpe.vocab_size + 2)
    save_gguf(tmp_path / "a.gguf", Checkpoint(tmp_path, model, bpe), "float32")
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert value(reader, "tokenizer.ggml.tokens")[-2:] == [f"[PAD{bpe.vocab_size + i}]" for i in range(2)]
    assert value(reader, "tokenizer.ggml.token_type")[-2:] == [gguf.TokenType.UNUSED] * 2


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2**-11), ("q8_0", 1 / 127)])
def test_smaller_types_round_the_matrices_alone(
    bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path, dtype: str, tolerance: float
) -> None:
    model = make_model(bpe.vocab_size, **ROOMY)
    save_gguf(tmp_path / "a.gguf", Checkpoint(tmp_path, model, bpe), dtype)
    rounded = read_back(gguf.GGUFReader(tmp_path / "a.gguf"), model)
    for name, exact in model.state_dict().items():
        near = rounded.state_dict()[name]
        if exact.dim() == 1 or name.startswith("wpe"):
            assert torch.equal(near, exact)
        else:
            assert 0 < (near - exact).abs().max() <= tolerance * exact.abs().max()


def test_rows_that_are_no_whole_blocks_are_float16(
    bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path
) -> None:
    save_gguf(tmp_path / "a.gguf", Checkpoint(tmp_path, make_model(bpe.vocab_size, width=24), bpe), "q8_0")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "a.gguf").tensors}
    assert kinds["token_embd.weight"] == kinds["blk.0.attn_qkv.weight"] == "F16"
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # its rows are four times as long
    assert kinds["blk.0.ffn_down.bias"] == kinds["position_embd.weight"] == "F32"


@pytest.mark.parametrize("dtype", GGUF_DTYPES)
def test_progress_ends_at_what_was_told(checkpoint: Checkpoint, tmp_path: Path, dtype: str) -> None:
    told, done = [], []

    def begin(total: int) -> Callable[[int], None]:
        told.append(total)
        return done.append

    save_gguf(tmp_path / "a.gguf", checkpoint, dtype, begin)
    assert told == [sum(done)]
    assert told[0] < (tmp_path / "a.gguf").stat().st_size


def retokenized(checkpoint: Checkpoint, edit: Callable[[dict[str, Any]], None]) -> Checkpoint:
    layout = json.loads(checkpoint.tokenizer.to_json())
    edit(layout)
    return replace(checkpoint, tokenizer=Tokenizer(Engine.from_str(json.dumps(layout))))


LOOSE = {"id": 400, "content": "<x>", "single_word": False, "lstrip": True, "rstrip": False, "normalized": False}
OTHER_TOKENIZERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "prefix space": lambda layout: layout["pre_tokenizer"].update(add_prefix_space=True),
    "no words": lambda layout: layout["pre_tokenizer"].update(use_regex=False),
    "normalizer": lambda layout: layout.update(normalizer={"type": "NFC"}),
    "dropout": lambda layout: layout["model"].update(dropout=0.5),
    "added token that takes blanks": lambda layout: layout["added_tokens"].append({**LOOSE, "special": False}),
}


@pytest.mark.parametrize("edit", OTHER_TOKENIZERS.values(), ids=list(OTHER_TOKENIZERS))
def test_a_tokenizer_that_cuts_in_another_way_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    with pytest.raises(CheckpointError, match="does not cut a text as GPT-2's does"):
        save_gguf(tmp_path / "a.gguf", retokenized(checkpoint, edit), "float32")
    assert os.listdir(tmp_path) == []


def test_what_llama_cpp_would_compute_differently_is_refused_by_name(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minigpt.checkpoint import gguf as module

    values = module.config_to_json(checkpoint.model.config, 0, torch.float32)
    monkeypatch.setattr(module, "config_to_json", lambda *_: {**values, "activation_function": "relu"})
    with pytest.raises(CheckpointError, match=r"activation_function is 'relu', but llama\.cpp computes"):
        save_gguf(tmp_path / "a.gguf", checkpoint, "float32")


def test_a_context_in_which_llama_cpp_cannot_begin_is_refused(
    bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path
) -> None:
    for context, width, writes in ((1, 32, False), (2, 32, True), (2, 1, True)):
        model = make_model(bpe.vocab_size, context, width=width, heads=1)
        path = tmp_path / f"{context}-{width}.gguf"
        with nullcontext() if writes else pytest.raises(CheckpointError, match=r"context is one token, and llama\.cpp"):
            save_gguf(path, Checkpoint(tmp_path, model, bpe), "float32")
        assert path.exists() == writes


@pytest.mark.parametrize(("dtype", "number"), [("float16", 1e5), ("q8_0", 1e7)])
def test_numbers_beyond_float16_are_refused(checkpoint: Checkpoint, tmp_path: Path, dtype: str, number: float) -> None:
    with torch.no_grad():
        checkpoint.model.wte.weight[0, 0] = number
    with pytest.raises(ConfigError, match="weight holds numbers beyond float16's range"):
        save_gguf(tmp_path / "a.gguf", checkpoint, dtype)
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_not_utf8_is_written_as_one_that_is(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_gguf(tmp_path / "a.gguf", replace(checkpoint, path=tmp_path / os.fsdecode(b"to\xffy")), "float32")
    assert value(gguf.GGUFReader(tmp_path / "a.gguf"), "general.name").startswith("to")


def test_a_full_disk_leaves_the_older_file(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, tensor: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.gguf").write_bytes(b"older")
    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", full)
    with pytest.raises(OutputError, match=r"a.gguf cannot be written: No space left on device"):
        save_gguf(tmp_path / "a.gguf", checkpoint, "float32")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_ctrl_c_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any, tensor: np.ndarray) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_gguf(tmp_path / "a.gguf", checkpoint, "float32")
    assert os.listdir(tmp_path) == []


def test_without_the_library_the_message_says_what_to_install(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(PackageError, match=r"not installed here.\nFrom your clone of minigpt: pip install -e"):
        save_gguf(tmp_path / "a.gguf", checkpoint, "float32")
