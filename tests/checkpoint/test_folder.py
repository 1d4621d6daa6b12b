"""A folder that transformers loads unchanged, that we load strictly, and that no failed write harms."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from minigpt.checkpoint.export import export_folder
from minigpt.checkpoint.files import read_json_object, write_atomically, write_json, write_text
from minigpt.checkpoint.folder import Checkpoint, load, read, save_description, save_weights
from minigpt.checkpoint.hf_gpt2 import weights_to_tensors
from minigpt.checkpoint.run_folder import RunFolder
from minigpt.errors import CheckpointError, OutputError
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

Tensors = dict[str, Tensor]


def logits(model: GPT, ids: list[int]) -> Tensor:
    with torch.no_grad():
        return model(torch.tensor([ids]))[0]


def edit_config(folder: Path, **changes: Any) -> None:
    """Change fields of config.json; an Ellipsis takes one out."""
    values = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def edit_weights(folder: Path, edit: Callable[[Tensors], Tensors | None]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors = edit(tensors) or tensors
    save_file(tensors, path, {"format": "pt"})


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    return str(caught.value)


# Round trip


def test_what_was_saved_is_loaded(checkpoint_folder: Path, model: GPT, bpe: Tokenizer, hard_strings: list[str]) -> None:
    loaded = load(checkpoint_folder)
    assert loaded.path == checkpoint_folder
    assert loaded.model.config == model.config
    assert not loaded.model.training
    assert torch.equal(logits(loaded.model, list(range(16))), logits(model, list(range(16))))
    assert [loaded.tokenizer.encode(s) for s in hard_strings] == [bpe.encode(s) for s in hard_strings]


def test_a_folder_may_be_given_as_text(checkpoint_folder: Path) -> None:
    assert load(str(checkpoint_folder)).path == checkpoint_folder


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_the_size_are_loaded_as_float32(
    checkpoint_folder: Path, model: GPT, dtype: torch.dtype
) -> None:
    save_weights(checkpoint_folder, model, dtype)
    assert {t.dtype for t in load_file(checkpoint_folder / "model.safetensors").values()} == {dtype}
    loaded = load(checkpoint_folder).model
    for name, parameter in loaded.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, model.state_dict()[name].to(dtype).float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_in_c_and_one_in_torch_have_the_same_weights(
    checkpoint_folder: Path, model: GPT, dtype: torch.dtype
) -> None:
    save_weights(checkpoint_folder, model, dtype)
    arrays, loaded = read(checkpoint_folder).weights, load(checkpoint_folder).model.state_dict()
    assert arrays.keys() == loaded.keys()
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        assert array.flags.aligned
        assert array.flags.writeable == (dtype != torch.float32)  # the pages of the file are used as they are
        assert torch.equal(torch.tensor(array), loaded[name])


def test_the_loaded_weights_are_no_view_of_the_file(checkpoint_folder: Path, model: GPT) -> None:
    loaded = load(checkpoint_folder).model
    (checkpoint_folder / "model.safetensors").write_bytes(b"")
    assert torch.equal(loaded.wte.weight, model.wte.weight)
    loaded.wte.weight.data.zero_()  # may be written to


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_transformers_loads_the_folder_unchanged(
    kind: str,
    request: pytest.FixtureRequest,
    make_model: Callable[..., GPT],
    hard_strings: list[str],
    corpus: str,
    tmp_path: Path,
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    model = make_model(tokenizer.vocab_size)
    save_description(tmp_path, model.config, tokenizer, torch.float32)
    save_weights(tmp_path, model)

    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True).eval()
    ids = tokenizer.encode(corpus)[:16]
    with torch.no_grad():
        torch.testing.assert_close(logits(model, ids), theirs(torch.tensor([ids])).logits[0], atol=1e-5, rtol=1e-5)
    assert theirs.config.max_position_embeddings == 16

    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert len(their_tokenizer) == tokenizer.vocab_size
    assert their_tokenizer.eos_token_id == their_tokenizer.bos_token_id == tokenizer.end_of_text
    for text in [corpus, *(s for s in hard_strings if END_OF_TEXT not in s)]:
        assert their_tokenizer(text)["input_ids"] == tokenizer.encode(text), repr(text)
        assert their_tokenizer.decode(tokenizer.encode(text)) == text
    assert their_tokenizer(END_OF_TEXT)["input_ids"] == [tokenizer.end_of_text]  # where ours sees letters


# What lies in it


def test_the_configuration_says_what_others_look_for(checkpoint_folder: Path, bpe: Tokenizer) -> None:
    values = read_json_object(checkpoint_folder / "config.json")
    assert values["model_type"] == "gpt2"
    assert values["architectures"] == ["GPT2LMHeadModel"]
    assert values["n_ctx"] == values["n_positions"] == 16
    assert values["bos_token_id"] == values["eos_token_id"] == bpe.end_of_text
    assert values["dtype"] == "float32"
    assert (values["vocab_size"], values["n_layer"], values["n_head"], values["n_embd"]) == (320, 2, 2, 16)
    generation = read_json_object(checkpoint_folder / "generation_config.json")
    assert generation == {"bos_token_id": bpe.end_of_text, "eos_token_id": bpe.end_of_text, "max_length": 16}
    assert read_json_object(checkpoint_folder / "tokenizer_config.json")["model_max_length"] == 16


def test_the_folder_holds_these_files_and_no_temporary(checkpoint_folder: Path) -> None:
    assert sorted(path.name for path in checkpoint_folder.iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_the_tensors_have_gpt2s_names_and_layout(checkpoint_folder: Path, model: GPT) -> None:
    tensors = load_file(checkpoint_folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    assert len(tensors) == 2 + 2 * 12 + 2
    assert all(name.startswith("transformer.") for name in tensors)
    shapes = {
        name: tuple(tensors[f"transformer.h.0.{name}.weight"].shape)
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert shapes == {"attn.c_attn": (16, 48), "attn.c_proj": (16, 16), "mlp.c_fc": (16, 64), "mlp.c_proj": (64, 16)}


def test_the_header_says_pt_and_what_it_is_given(checkpoint_folder: Path, model: GPT) -> None:
    with safe_open(checkpoint_folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    save_weights(checkpoint_folder, model, metadata={"step": "12"})
    with safe_open(checkpoint_folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "step": "12"}


def test_equal_weights_are_equal_files(tmp_path: Path, model: GPT) -> None:
    words = {letter: letter for letter in "qwertyuiopasdfgh"}
    kept = []
    for number in range(3):
        (folder := tmp_path / str(number)).mkdir()
        save_weights(folder, model, metadata=words)
        kept.append((folder / "model.safetensors").read_bytes())
        with safe_open(folder / "model.safetensors", "pt") as file:
            assert file.metadata() == {"format": "pt", **words}
            for name, tensor in weights_to_tensors(model, torch.float32).items():
                assert torch.equal(file.get_tensor(name), tensor)
    assert kept[0] == kept[1] == kept[2]


# Folders of others


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda t: {name.removeprefix("transformer."): v for name, v in t.items()}, id="no prefix"),
        pytest.param(
            lambda t: t | {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, 16, 16, dtype=torch.bool) for i in (0, 1)},
            id="causal masks",
        ),
        pytest.param(lambda t: t | {"transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}, id="masked bias"),
        pytest.param(lambda t: t | {"lm_head.weight": t["transformer.wte.weight"].clone()}, id="copy of the head"),
    ],
)
def test_older_files_are_loaded(checkpoint_folder: Path, model: GPT, edit: Callable[[Tensors], Tensors]) -> None:
    edit_weights(checkpoint_folder, edit)
    loaded = load(checkpoint_folder).model
    assert torch.equal(logits(loaded, [1, 2, 3]), logits(model, [1, 2, 3]))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_inner": 64},
        {
            "n_inner": ...,
            "n_ctx": ...,
            "tie_word_embeddings": ...,
            "add_cross_attention": ...,
            "layer_norm_epsilon": ...,
        },
        {"something_new": {"a": 1}, "torch_dtype": "float32"},
    ],
)
def test_fields_that_say_the_usual_or_nothing_are_fine(
    checkpoint_folder: Path, model: GPT, changes: dict[str, Any]
) -> None:
    edit_config(checkpoint_folder, **changes)
    assert load(checkpoint_folder).model.config == model.config


def test_a_model_may_have_more_ids_than_its_tokenizer(
    make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path
) -> None:
    """As after padding the vocabulary to a multiple of 64."""
    model = make_model(384)
    save_description(tmp_path, model.config, bpe, torch.float32)
    save_weights(tmp_path, model)
    assert load(tmp_path).model.config.vocab_size == 384


# What is refused: folders and files


def test_a_missing_folder(tmp_path: Path) -> None:
    assert load_error(tmp_path / "none").startswith(f"{tmp_path / 'none'} does not exist; checkpoint= takes")


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert load_error(tmp_path / "file").startswith(f"{tmp_path / 'file'} is a file; checkpoint= takes")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / name).unlink()
    message = load_error(checkpoint_folder)
    assert str(checkpoint_folder / name) in message
    assert "cannot be read: No such file" in message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_instead_of_a_file(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / name).unlink()
    (checkpoint_folder / name).mkdir()
    assert f"{checkpoint_folder / name} cannot be read" in load_error(checkpoint_folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize(
    "contents",
    [b"", b"garbage", b"\x00" * 100, b"\xff\xfe\x80", b"[]", b"null", b"{}", b"[" * 100_000],
    ids=["empty", "garbage", "zeros", "bytes", "list", "null", "object", "nested"],
)
def test_a_damaged_file(checkpoint_folder: Path, name: str, contents: bytes) -> None:
    (checkpoint_folder / name).write_bytes(contents)
    assert str(checkpoint_folder / name) in load_error(checkpoint_folder)


@pytest.mark.parametrize("length", [4, 8, 100, 2000, -1])
def test_truncated_weights(checkpoint_folder: Path, length: int) -> None:
    path = checkpoint_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert f"{path} is damaged or is not a safetensors file" in load_error(checkpoint_folder)


# What is refused: weights


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


def put(name: str, value: Tensor) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: value})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("transformer.wpe.weight", torch.zeros(17, 16)), "wpe.weight has the shape [17, 16], but config.json asks"),
        (put("transformer.wte.weight", torch.zeros(321, 16)), "wte.weight has the shape [321, 16]"),
        (put("transformer.h.0.attn.c_attn.weight", torch.zeros(48, 16)), "c_attn.weight has the shape [48, 16], but"),
        (put("transformer.h.1.ln_1.bias", torch.zeros(1)), "h.1.ln_1.bias has the shape [1]"),
        (put("transformer.ln_f.bias", torch.tensor(0.0)), "ln_f.bias has the shape []"),
        (without("transformer.ln_f.weight"), "lacks the tensor ln_f.weight"),
        (without("transformer.wte.weight"), "lacks the tensor wte.weight"),
        (without("transformer.h.1.mlp.c_fc.bias"), "lacks the tensor h.1.mlp.c_fc.bias"),
        (put("transformer.h.0.attn.extra", torch.zeros(1)), "holds 'h.0.attn.extra', which a GPT-2 does not have"),
        (put("scores.weight", torch.zeros(2, 16)), "holds 'scores.weight', which a GPT-2 does not have"),
        (put("transformer.wte.weight", torch.zeros(320, 16, dtype=torch.int64)), "wte.weight holds int64"),
        (put("transformer.ln_f.bias", torch.zeros(16, dtype=torch.bool)), "ln_f.bias holds bool"),
        (put("transformer.h.2.ln_1.bias", torch.zeros(16)), "has 3 layers, but config.json says n_layer 2"),
        (lambda t: {n: v for n, v in t.items() if ".h.1." not in n}, "has 1 layers, but config.json says n_layer 2"),
        (lambda t: {n.replace(".h.1.", ".h.5."): v for n, v in t.items()}, "lacks the tensor h.1."),
        (put("lm_head.weight", torch.zeros(320, 16)), "lm_head.weight differs from wte.weight"),
        (put("lm_head.weight", torch.zeros(3, 16, dtype=torch.float16)), "lm_head.weight differs from wte.weight"),
        (lambda t: {"x": torch.zeros(1)}, "has 0 layers, but config.json says n_layer 2"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(
    checkpoint_folder: Path, edit: Callable[[Tensors], Tensors | None], message: str
) -> None:
    edit_weights(checkpoint_folder, edit)
    given = load_error(checkpoint_folder)
    assert str(checkpoint_folder / "model.safetensors") in given
    assert message in given


# What is refused: configurations


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": "4"}, "n_layer is '4'; it must be a whole number"),
        ({"n_layer": True}, "n_layer is True; it must be a whole number"),
        ({"n_layer": -1}, "n_layer is -1"),
        ({"n_layer": 0}, "n_layer is 0"),
        ({"n_layer": None}, "n_layer is None"),
        ({"n_layer": 2.0}, "n_layer is 2.0"),
        ({"n_layer": [2]}, "n_layer is [2]"),
        ({"vocab_size": "x"}, "vocab_size is 'x'"),
        ({"n_embd": None}, "n_embd is None"),
        ({"n_head": 3}, "contradicts itself: width=16 cannot be divided among heads=3"),
        ({"model_type": "llama"}, "model_type is 'llama'; a GPT-2 with 'gpt2'"),
        ({"model_type": ...}, "model_type is missing"),
        ({"activation_function": "mish"}, "activation_function is 'mish'; these can be loaded: gelu_new, "),
        ({"activation_function": ["relu"]}, "activation_function is ['relu']"),
        ({"n_inner": 0}, "n_inner is 0; it must be a whole number"),
        ({"n_inner": "64"}, "n_inner is '64'"),
        ({"layer_norm_epsilon": "small"}, "layer_norm_epsilon is 'small'; it must be at least 0 and below 1"),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon is nan"),
        ({"resid_pdrop": 1}, "resid_pdrop is 1; it must be at least 0 and below 1"),
        ({"scale_attn_by_inverse_layer_idx": 1}, "scale_attn_by_inverse_layer_idx is 1; it must be true or false"),
        ({"scale_attn_weights": None}, "scale_attn_weights is None"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
    ],
)
def test_configurations_of_another_model(checkpoint_folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(checkpoint_folder, **changes)
    given = load_error(checkpoint_folder)
    assert str(checkpoint_folder / "config.json") in given
    assert message in given


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("n_layer", "has 2 layers, but config.json says n_layer 12"),
        ("n_positions", "wpe.weight has the shape [16, 16], but config.json asks for [1024, 16]"),
    ],
)
def test_a_field_that_is_left_out_is_gpt2s(checkpoint_folder: Path, field: str, message: str) -> None:
    edit_config(checkpoint_folder, **{field: ...})
    assert message in load_error(checkpoint_folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 3}, "has 2 layers, but config.json says n_layer 3"),
        ({"n_layer": 10**9}, "has 2 layers, but config.json says n_layer 1000000000"),
        ({"n_layer": 10**30}, "but config.json says n_layer 1000000"),
        ({"n_positions": 10**9}, "wpe.weight has the shape [16, 16], but config.json asks for [1000000000, 16]"),
        ({"n_positions": 10**30}, "wpe.weight has the shape [16, 16]"),
        ({"n_inner": 99}, "h.0.mlp.c_fc.weight has the shape [16, 64], but config.json asks for [16, 99]"),
        ({"n_inner": 10**18}, "h.0.mlp.c_fc.weight has the shape [16, 64]"),
        ({"tie_word_embeddings": False}, "lacks the tensor lm_head.weight"),
        ({"n_embd": 32}, "wte.weight has the shape [320, 16], but config.json asks for [320, 32]"),
        ({"n_embd": 2 * 10**9}, "wte.weight has the shape [320, 16]"),
        ({"n_embd": 10**18}, "wte.weight has the shape [320, 16]"),
        ({"vocab_size": 10**30}, "wte.weight has the shape [320, 16]"),
    ],
)
def test_configurations_that_contradict_the_weights(
    checkpoint_folder: Path, changes: dict[str, Any], message: str
) -> None:
    """Also absurd ones, without building a model of that size."""
    edit_config(checkpoint_folder, **changes)
    given = load_error(checkpoint_folder)
    assert str(checkpoint_folder / "model.safetensors") in given
    assert message in given


def test_a_tokenizer_larger_than_the_model(checkpoint_folder: Path) -> None:
    edit_config(checkpoint_folder, vocab_size=319)
    message = load_error(checkpoint_folder)
    assert str(checkpoint_folder) in message
    assert "the tokenizer has 320 tokens, but the model only 319 (vocab_size in config.json)" in message


# Writing


def full_disk(path: Path) -> None:
    path.write_bytes(b"half of it")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_file_untouched(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"model\.safetensors cannot be written: No space left on device"):
        write_atomically(path, full_disk)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_ends_too_early_names_the_disk(tmp_path: Path) -> None:
    def half_of_it(path: Path) -> None:  # as numpy.ndarray.tofile says it
        raise OSError("4096 requested and 512 written")

    with pytest.raises(OutputError, match=r"4096 requested and 512 written \(is the disk full\?\)"):
        write_atomically(tmp_path / "a", half_of_it)


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk: nothing can be written, nor removed, not even what is not there."""

    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    for name in ("write_bytes", "write_text", "unlink", "mkdir"):
        monkeypatch.setattr(Path, name, refuse)


@pytest.mark.parametrize(
    "write",
    [
        lambda path, checkpoint: write_atomically(path, lambda temporary: temporary.write_bytes(b"a picture")),
        lambda path, checkpoint: write_text(path, "a page"),
        lambda path, checkpoint: export_folder(path, checkpoint, "float32"),
    ],
)
def test_a_read_only_disk_is_told_of_the_file_that_was_asked_for(
    tmp_path: Path,
    model: GPT,
    bpe: Tokenizer,
    write: Callable[[Path, Checkpoint], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_read_only(monkeypatch)
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "asked-for", Checkpoint(tmp_path, model, bpe))
    assert str(caught.value).startswith(f"{tmp_path / 'asked-for'} cannot be written: Read-only file system.")
    assert ".tmp" not in str(caught.value)


def test_what_a_killed_write_left_is_no_name_to_tell(
    checkpoint_folder: Path, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoint_folder / ".config.json.77.tmp").write_text("{")
    make_read_only(monkeypatch)
    with pytest.raises(OutputError, match=f"^{checkpoint_folder} cannot be written: Read-only file system"):
        RunFolder(checkpoint_folder, bpe, {}).tidy()


def test_a_failed_first_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_atomically(tmp_path / "new", full_disk)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file_untouched(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", interrupted)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path, seen = tmp_path / "file", []
    path.write_bytes(b"old")

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"new")
        seen.append((path.read_bytes(), temporary.parent))

    write_atomically(path, write)
    assert seen == [(b"old", tmp_path)]  # written beside it, hence on the same file system
    assert path.read_bytes() == b"new"


def test_weights_that_cannot_be_written(checkpoint_folder: Path, model: GPT) -> None:
    with pytest.raises(OutputError, match=r"none/model\.safetensors cannot be written: No such file or directory\. "):
        save_weights(checkpoint_folder / "none", model)


def test_a_description_that_cannot_be_written(tmp_path: Path, bpe: Tokenizer) -> None:
    config = ModelConfig(vocab_size=320, context=8, layers=1, heads=1, width=4)
    with pytest.raises(OutputError, match=r"none/config\.json cannot be written: No such file"):
        save_description(tmp_path / "none", config, bpe, torch.float32)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_holds_no_nan_and_no_infinity(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_json_is_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "größer 😀"})
    assert "größer 😀" in (tmp_path / "x.json").read_text("utf-8")
    assert read_json_object(tmp_path / "x.json") == {"name": "größer 😀"}
