"""A GPT-2 from a GGUF file: what minigpt exports, and what llama.cpp's converter writes; anything else in one sentence.

The package gguf, which defines the format, writes the files here and dequantizes their weights. llama.cpp itself was
asked by hand, in xllamacpp 2026.10.11549: for the demo in float32, float16 and q8_0, it has our ids, and our
probabilities within its own rounding.
"""

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.export import export_folder
from minigpt.checkpoint.folder import Checkpoint, load, read
from minigpt.checkpoint.gguf import save_gguf
from minigpt.checkpoint.gguf_model import GgufFile
from minigpt.errors import CheckpointError, CorpusError
from minigpt.models.gpt import GPT
from minigpt.settings import GGUF_DTYPES, ModelConfig
from minigpt.text.learning import train_tokenizer
from minigpt.text.tokenizer import Tokenizer

WIDTH, CONTEXT = 32, 16
Write = Callable[..., Path]


def logits(model: GPT) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(40, 40 + CONTEXT)[None])


@pytest.fixture
def checkpoint(tokenizer: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> Checkpoint:
    """A toy with each kind of tokenizer."""
    return Checkpoint(tmp_path / "toy", make_model(tokenizer.vocab_size, layers=2, heads=2, width=WIDTH), tokenizer)


# What minigpt exports


def test_an_export_comes_back_as_it_was(checkpoint: Checkpoint, tmp_path: Path, hard_strings: list[str]) -> None:
    save_gguf(tmp_path / "toy.gguf", checkpoint, "float32")
    back = load(tmp_path / "toy.gguf")
    assert back.model.config == checkpoint.model.config
    assert torch.equal(logits(back.model), logits(checkpoint.model))
    assert back.tokenizer.to_json() == checkpoint.tokenizer.to_json()
    for name in ("end_of_text", "stops", "beginning", "roles", "vocab_size"):
        assert getattr(back.tokenizer, name) == getattr(checkpoint.tokenizer, name)
    for text in hard_strings:
        assert back.tokenizer.encode(text) == checkpoint.tokenizer.encode(text)


@pytest.mark.parametrize("dtype", GGUF_DTYPES)
def test_the_weights_are_those_that_the_library_reads(checkpoint: Checkpoint, tmp_path: Path, dtype: str) -> None:
    save_gguf(tmp_path / "toy.gguf", checkpoint, dtype)
    theirs = {
        t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(tmp_path / "toy.gguf").tensors
    }
    ours = GgufFile(tmp_path / "toy.gguf").tensors()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert np.array_equal(tensor.read(), theirs[name])


def test_a_model_without_merges(make_model: Callable[..., GPT], tmp_path: Path) -> None:
    """Its file holds one that is never applied, without which llama.cpp would not load it."""
    tokenizer = train_tokenizer("char", ["The quick brown fox.\n"])
    model = make_model(tokenizer.vocab_size, layers=2, heads=2, width=WIDTH)
    save_gguf(tmp_path / "a.gguf", Checkpoint(tmp_path, model, tokenizer), "float32")
    assert load(tmp_path / "a.gguf").tokenizer.to_json() == tokenizer.to_json()


def test_roles_and_added_tokens(bpe: Tokenizer, make_model: Callable[..., GPT], tmp_path: Path) -> None:
    engine = Engine.from_str(bpe.to_json())
    engine.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|pad|>"])
    engine.add_tokens([AddedToken("Straße", normalized=False)])
    start, end, word = (engine.token_to_id(name) for name in ("<|im_start|>", "<|im_end|>", "Straße"))
    roles = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    tokenizer = Tokenizer(engine, roles, [[end, bpe.end_of_text]])
    model = make_model(tokenizer.vocab_size + 5, layers=2, heads=2, width=WIDTH)  # and rows without a token
    save_gguf(tmp_path / "chat.gguf", Checkpoint(tmp_path, model, tokenizer), "float32")
    back = load(tmp_path / "chat.gguf").tokenizer
    assert (back.beginning, back.end_of_text, back.stops) == (start, end, {end, bpe.end_of_text})
    assert {role: back.roles[role] for role in roles} == roles
    text = "die Straße <|im_end|>"
    assert back.encode(text) == tokenizer.encode(text)
    assert word in back.encode(text)
    assert back.decode([word]) == "Straße"
    assert back.vocab_size == tokenizer.vocab_size


# What others write


def values_of(tokenizer: Tokenizer, context: int = CONTEXT) -> dict[str, Any]:
    """What llama.cpp's convert_hf_to_gguf.py writes about a GPT-2."""
    layout = json.loads(tokenizer.to_json())["model"]
    tokens = sorted(layout["vocab"], key=layout["vocab"].get)
    end = tokenizer.end_of_text
    return {
        "general.architecture": "gpt2",
        "general.type": "model",
        "general.file_type": 0,
        "general.quantization_version": 2,
        "gpt2.block_count": 2,
        "gpt2.context_length": context,
        "gpt2.embedding_length": WIDTH,
        "gpt2.feed_forward_length": 4 * WIDTH,
        "gpt2.attention.head_count": 4,
        "gpt2.attention.layer_norm_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if number == end else 1 for number in range(len(tokens))],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in layout["merges"]],
        "tokenizer.ggml.bos_token_id": end,
        "tokenizer.ggml.eos_token_id": end,
    }


def tensors_of(model: GPT) -> Iterator[tuple[str, np.ndarray]]:
    """The weights as llama.cpp's converter names and lays them out: matrices of a layer [out, in]."""
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
    for name, tensor in model.state_dict().items():
        part, _, end = name.rpartition(".")
        _, layer, inner = part.split(".", 2) if part.startswith("h.") else ("", "", part)
        array = (tensor.T if layer and tensor.dim() == 2 else tensor).contiguous().numpy()
        yield f"{f'blk.{layer}.' if layer else ''}{names[inner]}.{end}", array


@pytest.fixture
def model(bpe: Tokenizer, make_model: Callable[..., GPT]) -> GPT:
    return make_model(bpe.vocab_size, CONTEXT, layers=2, heads=4, width=WIDTH)


@pytest.fixture
def write(bpe: Tokenizer, model: GPT, tmp_path: Path) -> Write:
    """Write a.gguf with the library: `changes` to its values, of which None takes one out, and tensors in `kinds`."""

    def make(
        changes: dict[str, Any] | None = None,
        kinds: dict[str, str] | None = None,
        more: dict[str, np.ndarray] | None = None,
    ) -> Path:
        values = {**values_of(bpe), **(changes or {})}
        writer = gguf.GGUFWriter(tmp_path / "a.gguf", values.pop("general.architecture"))
        for key, value in values.items():
            if value is not None:
                add(writer, key, value)
        for name, array in {**dict(tensors_of(model)), **(more or {})}.items():
            kind = gguf.GGMLQuantizationType[(kinds or {}).get(name, "F32").upper()]
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / "a.gguf"

    return make


def add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_string(key, value)


def test_a_converted_gpt2(write: Write, model: GPT, bpe: Tokenizer, hard_string: str) -> None:
    found = load(write())
    assert torch.equal(logits(found.model), logits(model))
    assert found.tokenizer.encode(hard_string) == bpe.encode(hard_string)


def test_older_files_say_less(write: Write, model: GPT, bpe: Tokenizer) -> None:
    """Before April 2024 there was no pre-tokenizer's name; a head was written though it is the embedding."""
    taken = dict.fromkeys(["tokenizer.ggml.pre", "gpt2.feed_forward_length", "tokenizer.ggml.token_type"])
    head = {"output.weight": dict(tensors_of(model))["token_embd.weight"]}
    found = load(write(taken, more=head))
    assert found.model.config == ModelConfig(vocab_size=bpe.vocab_size, context=CONTEXT, layers=2, heads=4, width=WIDTH)
    assert torch.equal(logits(found.model), logits(model))


def test_a_head_of_its_own(write: Write, model: GPT) -> None:
    head = dict(tensors_of(model))["token_embd.weight"][::-1].copy()
    found = load(write(more={"output.weight": head}))
    assert not found.model.config.tied
    assert torch.equal(logits(found.model), logits(model).flip(-1))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0"])
def test_every_type_of_weights(write: Write, model: GPT, kind: str) -> None:
    arrays = {name: array for name, array in tensors_of(model) if array.ndim == 2}
    path = write(kinds=dict.fromkeys(arrays, kind))
    read = GgufFile(path).tensors()
    for name, array in arrays.items():
        stored = gguf.GGMLQuantizationType[kind]
        expected = gguf.quants.dequantize(gguf.quants.quantize(array, stored), stored)
        assert np.array_equal(read[name].read(), expected)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_a_model_in_c_and_one_in_torch_have_the_same_weights(write: Write, model: GPT, kind: str) -> None:
    path = write(kinds={name: kind for name, array in tensors_of(model) if array.ndim == 2})
    arrays, loaded = read(path).weights, load(path).model.state_dict()
    assert arrays.keys() == loaded.keys()
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        assert torch.equal(torch.tensor(array), loaded[name])


@pytest.mark.parametrize("changes", [{"tokenizer.ggml.eos_token_id": None}, {"tokenizer.ggml.eos_token_id": 1 << 31}])
def test_where_no_end_is_named_it_is_gpt2s(write: Write, bpe: Tokenizer, changes: dict[str, Any]) -> None:
    assert load(write(changes)).tokenizer.stops == {bpe.end_of_text}


@pytest.mark.parametrize("adds", [(), ("bos",), ("bos", "eos")])
def test_tokens_around_a_text_are_those_of_llama_cpp(
    write: Write, bpe: Tokenizer, tmp_path: Path, adds: tuple[str, ...]
) -> None:
    """They are written into tokenizer.json as transformers reads it, and go out to a GGUF again."""
    found = load(write({f"tokenizer.ggml.add_{key}_token": True for key in adds}))
    end, text = bpe.end_of_text, "The quick fox"
    expected = [*[end] * ("bos" in adds), *bpe.encode(text), *[end] * ("eos" in adds)]
    export_folder(tmp_path / "out", found, "float32")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out")(text).input_ids == expected
    save_gguf(tmp_path / "b.gguf", load(tmp_path / "out"), "float32")
    again = GgufFile(tmp_path / "b.gguf").values
    assert {key for key in ("bos", "eos") if again.get(f"tokenizer.ggml.add_{key}_token") is True} == set(adds)


def test_an_end_that_is_a_word_ends_a_sample_and_stays_a_word(write: Write, bpe: Tokenizer) -> None:
    newline = bpe.encode("\n")[0]
    found = load(write({"tokenizer.ggml.eos_token_id": newline})).tokenizer
    assert found.stops == {newline}
    assert found.encode("a\nb") == bpe.encode("a\nb")


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": "llama"}, "holds the architecture llama; gpt2 is what can be loaded."),
        ({"split.count": 3}, "is one of 3 parts of a model; join them with llama.cpp's llama-gguf-split."),
        ({"tokenizer.ggml.model": "llama"}, "holds the tokenizer llama; gpt2 with gpt-2 is what can be loaded."),
        ({"tokenizer.ggml.model": None}, "holds the tokenizer None; gpt2 with gpt-2"),
        ({"tokenizer.ggml.pre": "llama-bpe"}, "holds the tokenizer gpt2 with the pre-tokenizer llama-bpe; gpt2 with"),
        ({"tokenizer.ggml.tokens": None}, "has no list tokenizer.ggml.tokens, which a GPT-2's tokenizer needs."),
        ({"tokenizer.ggml.merges": None}, "has no list tokenizer.ggml.merges"),
        ({"tokenizer.ggml.merges": ["ab"]}, "'ab' is not a merge: two parts with a space between them."),
        ({"tokenizer.ggml.merges": ["q q"]}, "cannot be read as a tokenizer: "),
        ({"tokenizer.ggml.token_type": [1, 2]}, "token_type is not a list with a number for each token."),
        ({"tokenizer.ggml.token_type": "x"}, "token_type is not a list with a number for each token."),
        ({"gpt2.block_count": None}, "block_count is missing; it must be a whole number of 1 or more."),
        ({"gpt2.block_count": 3}, "has 2 layers, but its header says n_layer 3."),
        ({"gpt2.context_length": 1 << 31}, "has the shape [16, 32], but its header asks"),
        ({"gpt2.attention.head_count": 3}, "contradicts itself"),
        ({"gpt2.attention.layer_norm_epsilon": 2.0}, "layer_norm_epsilon is 2.0; it must be at least 0 and below 1."),
        ({"general.alignment": 0}, "general.alignment is not a number of bytes"),
    ],
)
def test_other_files_are_named_in_one_line(write: Write, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError) as told:
        load(write(changes))
    assert message in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_1", "TQ2_0"])
def test_other_quantizations_are_named(write: Write, kind: str) -> None:
    wide = np.zeros((2, 256), np.float32)
    with pytest.raises(
        CheckpointError, match=f"blk.9 is in {kind.lower()}; float32, float16, bfloat16 and q8_0 are read"
    ):
        load(write(kinds={"blk.9": kind}, more={"blk.9": wide}))


def test_a_tensor_that_a_gpt2_lacks_is_named(write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"holds 'blk\.0\.ffn_gate\.weight', which a GPT-2 does not have\."):
        load(write(more={"blk.0.ffn_gate.weight": np.zeros((4, 4), np.float32)}))


def test_a_token_that_is_there_twice_is_named(write: Write, bpe: Tokenizer) -> None:
    tokens = values_of(bpe)["tokenizer.ggml.tokens"]
    with pytest.raises(CheckpointError, match=r"the token '\$' is there twice\."):
        load(write({"tokenizer.ggml.tokens": [*tokens[:9], tokens[3], *tokens[10:]]}))


def header(*parts: bytes | int, version: int = 3, tensors: int = 0, values: int = 1) -> bytes:
    """The beginning of a file; numbers in `parts` are of 32 bits."""
    numbers = (part if isinstance(part, bytes) else struct.pack("<I", part) for part in parts)
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values) + b"".join(numbers)


def text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


HUGE = struct.pack("<Q", (1 << 64) - 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGUF", "damaged GGUF file: its header would have 8 bytes or more."),
        (header(version=1), "is a GGUF file of version 1; those of versions 2 and 3, little-endian, are read."),
        (header(version=3 << 24), "is a GGUF file of a big-endian machine; those of versions 2 and 3"),
        (header(values=1 << 60), "damaged GGUF file: its header would have 32 bytes or more."),
        (header(HUGE), "damaged GGUF file: its header would have 18,446,744,073,709,551,647 bytes or more."),
        (header(text(b"\xff"), 4, 1), "damaged GGUF file: a text in it is not UTF-8."),
        (header(text(b"a"), 77, 1), "damaged GGUF file: a value has the type 77."),
        (header(text(b"a"), 9, 4, HUGE), "damaged GGUF file: its header would have"),  # an array of numbers
        (header(text(b"a"), 9, 8, HUGE), "damaged GGUF file: its header would have"),  # one of texts
        (header(text(b"a"), 9, 9, HUGE), "damaged GGUF file: an array has the type 9."),
        (header(text(b"a"), 4, 1, text(b"a"), 4, 1, values=2), "damaged GGUF file: a is there twice."),
        (header(values=0), "holds the architecture None; gpt2 is what can be loaded."),
    ],
)
def test_damaged_headers(tmp_path: Path, data: bytes, message: str) -> None:
    """The package gguf 0.19.0 never ends on an array that is longer than its file."""
    (tmp_path / "a.gguf").write_bytes(data)
    with pytest.raises(CheckpointError) as told:
        load(tmp_path / "a.gguf")
    assert message in str(told.value)


def test_any_damage_ends_in_a_sentence(write: Write) -> None:
    path = write()
    whole, choose = path.read_bytes(), random.Random(1)
    start = whole.index(b"token_embd.weight")
    told = 0
    for number in range(400):
        data = bytearray(whole)
        for _ in range(choose.randrange(1, 4)):
            data[choose.randrange(3000) if number % 2 else start - 200 + choose.randrange(2000)] = choose.randrange(256)
        path.write_bytes(data if number % 4 else data[: choose.randrange(len(data))])
        try:
            load(path).tokenizer.encode("The quick brown fox")
        except (CheckpointError, CorpusError):
            told += 1
    assert told > 200
