"""nanoGPT's checkpoints: the same logits and ids as nanoGPT, nothing executed, anything else in one sentence.

The judge is a small nanoGPT in plain torch, written after its model.py, github.com/karpathy/nanoGPT: matrices are
nn.Linear's, [out, in]; biases may be missing everywhere; the head is the token embedding; the GELU is exact since 14
June 2023 (pull request 274), and was GPT-2's, by tanh, before.
"""

import json
import math
import os
import pickle
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.importing import read_model
from minigpt.errors import CheckpointError, ConfigError, CorpusError
from minigpt.text.tokenizer import Tokenizer

Run = Callable[..., Any]

LAYERS, HEADS, WIDTH, CONTEXT = 2, 4, 32, 24
TEXT = "To be, or not to be:\nthat is the question. é, 日本 😀!"
CHARACTERS = sorted(set(TEXT))


def weights(vocab_size: int, *, bias: bool, seed: int = 0) -> dict[str, Tensor]:
    """A state dict of nanoGPT, every number random and large enough that the logits are far from flat."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, mean: float = 0.0) -> Tensor:
        return mean + 0.3 * torch.randn(*shape, generator=generator)

    embedding = random(vocab_size, WIDTH)
    found = {"transformer.wte.weight": embedding, "transformer.wpe.weight": random(CONTEXT, WIDTH)}
    norms = ["ln_f"]
    for layer in (f"h.{number}." for number in range(LAYERS)):
        norms += [f"{layer}ln_1", f"{layer}ln_2"]
        for name, out, of in (("attn.c_attn", 3, 1), ("attn.c_proj", 1, 1), ("mlp.c_fc", 4, 1), ("mlp.c_proj", 1, 4)):
            found[f"transformer.{layer}{name}.weight"] = random(out * WIDTH, of * WIDTH)
            if bias:
                found[f"transformer.{layer}{name}.bias"] = random(out * WIDTH)
    for norm in norms:
        found[f"transformer.{norm}.weight"] = random(WIDTH, mean=1.0)
        if bias:
            found[f"transformer.{norm}.bias"] = random(WIDTH)
    return {**found, "lm_head.weight": embedding}


def logits(state: Mapping[str, Tensor], ids: Sequence[int], approximate: str = "none") -> Tensor:
    """nanoGPT's logits after each of `ids`."""

    def norm(x: Tensor, name: str) -> Tensor:
        name = f"transformer.{name}"
        return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state.get(f"{name}.bias"), 1e-5)

    def product(x: Tensor, name: str) -> Tensor:
        name = f"transformer.{name}"
        return linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    count = len(ids)
    x = state["transformer.wte.weight"][list(ids)] + state["transformer.wpe.weight"][:count]
    for layer in (f"h.{number}." for number in range(LAYERS)):
        parts = product(norm(x, f"{layer}ln_1"), f"{layer}attn.c_attn").split(WIDTH, dim=1)
        q, k, v = (part.view(count, HEADS, WIDTH // HEADS).transpose(0, 1) for part in parts)
        scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        later = torch.ones(count, count).triu(1) == 1
        y = scores.masked_fill(later, -math.inf).softmax(-1) @ v
        x = x + product(y.transpose(0, 1).reshape(count, WIDTH), f"{layer}attn.c_proj")
        inner = gelu(product(norm(x, f"{layer}ln_2"), f"{layer}mlp.c_fc"), approximate=approximate)
        x = x + product(inner, f"{layer}mlp.c_proj")
    return linear(norm(x, "ln_f"), state["lm_head.weight"])


def arguments(vocab_size: int, *, bias: bool) -> dict[str, Any]:
    """model_args, as nanoGPT's train.py saves them."""
    shape = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "block_size": CONTEXT, "vocab_size": vocab_size}
    return {**shape, "bias": bias, "dropout": 0.2}


def checkpoint(state: Mapping[str, Tensor], model_args: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What nanoGPT's train.py saves."""
    group = {"lr": 1e-3, "betas": (0.9, 0.99), "eps": 1e-08, "weight_decay": 0.1, "fused": True, "params": [0, 1]}
    moments = {"step": torch.tensor(9.0), "exp_avg": torch.ones(3, 3), "exp_avg_sq": torch.ones(3, 3)}
    return {
        "model": dict(state),
        "optimizer": {"state": {0: moments}, "param_groups": [group]},
        "model_args": dict(model_args),
        "iter_num": 9,
        "best_val_loss": torch.tensor(1.47),
        "config": {"dataset": "play", "learning_rate": 1e-3, "compile": True, "out_dir": "out-play"},
        **more,
    }


def meta(characters: Sequence[str] = CHARACTERS) -> dict[str, Any]:
    """meta.pkl, as nanoGPT's data/shakespeare_char/prepare.py saves it."""
    back = {character: number for number, character in enumerate(characters)}
    return {"vocab_size": len(characters), "itos": dict(enumerate(characters)), "stoi": back}


def save(folder: Path, saved: Any, table: Any = None) -> Path:
    """ckpt.pt in `folder`, with a meta.pkl beside it if there is a `table`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(saved, folder / "ckpt.pt")
    if table is not None:
        (folder / "meta.pkl").write_bytes(pickle.dumps(table))
    return folder / "ckpt.pt"


def shakespeare(folder: Path, *, bias: bool = False, characters: Sequence[str] = CHARACTERS) -> Path:
    """A character model as nanoGPT leaves it."""
    size = len(characters)
    return save(folder, checkpoint(weights(size, bias=bias), arguments(size, bias=bias)), meta(characters))


def ours(path: Path, ids: Sequence[int], **more: Any) -> Tensor:
    with torch.no_grad():
        return read_model(path, **more).checkpoint.model(torch.tensor([list(ids)]))[0]


IDS = [5, 0, 3, 3, 11, 7, 1, 2, 9, 4, 10, 6]


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-4, rtol=1e-4)


# The model


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("bias", [True, False])
def test_the_logits_are_nanogpts(tmp_path: Path, bias: bool, prefix: str) -> None:
    size = len(CHARACTERS)
    state = weights(size, bias=bias)
    saved = checkpoint({prefix + name: tensor for name, tensor in state.items()}, arguments(size, bias=bias))
    path = save(tmp_path, saved, meta())
    assert close(ours(path, IDS), logits(state, IDS))
    assert not close(ours(path, IDS), logits(state, IDS, "tanh"))  # the difference is large enough to be seen


def test_the_activation_of_older_ones(tmp_path: Path) -> None:
    """A checkpoint from before January 2023 has no `bias`, which is true, and its GELU is surely the older one."""
    size = len(CHARACTERS)
    state, args = weights(size, bias=True), arguments(size, bias=True)
    older = save(tmp_path / "a", checkpoint(state, {k: v for k, v in args.items() if k != "bias"}), meta())
    assert close(ours(older, IDS), logits(state, IDS, "tanh"))
    assert close(ours(older, IDS, activation="gelu"), logits(state, IDS))
    newer = save(tmp_path / "b", checkpoint(state, args), meta())
    assert close(ours(newer, IDS, activation="gelu_new"), logits(state, IDS, "tanh"))


def test_masks_are_left_aside(tmp_path: Path) -> None:
    """With a torch that has no fused attention, nanoGPT saves the causal mask of each layer."""
    size = len(CHARACTERS)
    state = weights(size, bias=False)
    masks = {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, CONTEXT, CONTEXT).tril() for i in range(LAYERS)}
    path = save(tmp_path, checkpoint({**state, **masks}, arguments(size, bias=False)), meta())
    assert close(ours(path, IDS), logits(state, IDS))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_numbers(tmp_path: Path, dtype: torch.dtype) -> None:
    size = len(CHARACTERS)
    state = {name: tensor.to(dtype) for name, tensor in weights(size, bias=False).items()}
    path = save(tmp_path, checkpoint(state, arguments(size, bias=False)), meta())
    assert close(ours(path, IDS), logits({name: tensor.float() for name, tensor in state.items()}, IDS))


def test_a_head_of_its_own(tmp_path: Path) -> None:
    """nanoGPT's is tied. In a fork that has parted the two, both are kept; an equal copy is not."""
    size = len(CHARACTERS)
    state = weights(size, bias=False)
    copied = {**state, "lm_head.weight": state["lm_head.weight"].clone()}
    path = save(tmp_path / "a", checkpoint(copied, arguments(size, bias=False)), meta())
    assert read_model(path).checkpoint.model.config.tied
    parted = {**state, "lm_head.weight": state["lm_head.weight"].flip(0)}
    path = save(tmp_path / "b", checkpoint(parted, arguments(size, bias=False)), meta())
    assert not read_model(path).checkpoint.model.config.tied
    assert close(ours(path, IDS), logits(parted, IDS))


@pytest.mark.parametrize("view", ["transposed", "part", "parameter"])
def test_tensors_that_are_views(tmp_path: Path, view: str) -> None:
    """torch.save keeps strides and offsets, and parameters as such."""
    size = len(CHARACTERS)
    state = weights(size, bias=False)
    name = "transformer.h.1.mlp.c_fc.weight"
    stored = {
        "transposed": state[name].T.contiguous().T,
        "part": torch.cat([torch.ones(7, WIDTH), state[name], torch.ones(3, WIDTH)])[7:-3],
        "parameter": torch.nn.Parameter(state[name]),
    }
    path = save(tmp_path, checkpoint({**state, name: stored[view]}, arguments(size, bias=False)), meta())
    assert close(ours(path, IDS), logits(state, IDS))


def test_other_values_beside_the_model_do_not_matter(tmp_path: Path) -> None:
    size = len(CHARACTERS)
    state = weights(size, bias=False)
    config = {"out_dir": Path("out"), "device": torch.device("cpu"), "lr": np.float32(1.5), "ids": (1, [2.5, None])}
    saved = checkpoint(state, arguments(size, bias=False), best_val_loss=np.float64(1.25), config=config)
    assert close(ours(save(tmp_path, saved, meta()), IDS), logits(state, IDS))


def test_gpt2_in_nanogpts_form_is_gpt2(tmp_path: Path, minigpt: Run, bpe: Tokenizer) -> None:
    """GPT-2's tokens and padded rows, as nanoGPT trains on OpenWebText; the tokenizer comes from a GPT-2's folder."""
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "tokenizer.json").write_text(bpe.to_json())
    size = bpe.vocab_size + 47
    state = weights(size, bias=False)
    path = save(tmp_path, checkpoint(state, arguments(size, bias=False)))
    (tmp_path / "older").mkdir()
    layout = json.loads(bpe.to_json())["model"]
    (tmp_path / "older" / "vocab.json").write_text(json.dumps(layout["vocab"]))
    (tmp_path / "older" / "merges.txt").write_text("\n".join(map(" ".join, layout["merges"])))
    for number, place in enumerate(("gpt2", "gpt2/tokenizer.json", "older")):
        out = str(tmp_path / f"out-{number}")
        result = minigpt("import", str(path), out, "--tokenizer", str(tmp_path / place))
        assert result.exit_code == 0, result.stderr
        for tokenizer in (read_model(path, tokenizer=tmp_path / place).checkpoint.tokenizer, load(out).tokenizer):
            assert tokenizer.encode(TEXT) == bpe.encode(TEXT)
            assert tokenizer.stops == {bpe.end_of_text}
        theirs = transformers.AutoTokenizer.from_pretrained(out)
        assert (theirs(TEXT).input_ids, theirs.eos_token_id) == (bpe.encode(TEXT), bpe.end_of_text)
    assert close(ours(path, IDS, tokenizer=tmp_path / "gpt2"), logits(state, IDS))


def test_a_tokenizer_that_is_far_too_small_is_refused(tmp_path: Path, bpe: Tokenizer) -> None:
    (tmp_path / "tokenizer.json").write_text(bpe.to_json())
    size = bpe.vocab_size + 128
    path = save(tmp_path, checkpoint(weights(size, bias=False), arguments(size, bias=False)))
    with pytest.raises(CheckpointError, match=f"the tokenizer has {bpe.vocab_size} tokens, and the model {size}"):
        read_model(path, tokenizer=tmp_path / "tokenizer.json")


# Its characters


@pytest.mark.parametrize("characters", [CHARACTERS, sorted(c for c in CHARACTERS if c.isascii()), list("日本語")])
def test_ids_are_those_of_the_table(tmp_path: Path, characters: list[str], minigpt: Run) -> None:
    """Also after the import, and for transformers 5.23 on the folder that it writes."""
    path = shakespeare(tmp_path / "out", characters=characters)
    assert minigpt("import", str(path), str(tmp_path / "folder")).exit_code == 0
    text = "".join(c for c in TEXT * 2 + "語本日" if c in characters)
    expected = [characters.index(c) for c in text]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert theirs(text).input_ids == expected
    assert theirs.decode(expected, clean_up_tokenization_spaces=False) == text
    for tokenizer in (read_model(path).checkpoint.tokenizer, load(tmp_path / "folder").tokenizer):
        assert tokenizer.encode(text) == expected
        assert tokenizer.decode(expected) == text
        assert tokenizer.vocab_size == len(characters)


@pytest.mark.parametrize("stranger", ["~", "è", "曜", "😁"])
def test_a_character_that_is_not_in_the_table_is_lost(tmp_path: Path, stranger: str) -> None:
    """Also one that shares its first bytes with those that are: é and è, 日 and 曜, both smileys."""
    tokenizer = read_model(shakespeare(tmp_path)).checkpoint.tokenizer
    text = f"é日{stranger}😀é"
    ids = tokenizer.encode(text)
    assert tokenizer.lost(text) == stranger
    assert ids == tokenizer.encode("é日😀é")
    assert (len(ids), tokenizer.byte_counts(text, ids).sum()) == (4, len(text.encode()))
    with pytest.raises(CorpusError, match=f'has no token for "{stranger}"'):
        tokenizer.encode_whole(text)


def test_a_list_of_characters_or_one_of_the_tables_is_enough(tmp_path: Path) -> None:
    back = {character: number for number, character in enumerate(CHARACTERS)}
    path = shakespeare(tmp_path)
    for table in (
        {"itos": CHARACTERS},
        {"itos": tuple(CHARACTERS)},
        {"stoi": back},
        {"itos": dict(enumerate(CHARACTERS)), "other": None},
    ):
        (tmp_path / "meta.pkl").write_bytes(pickle.dumps(table))
        assert read_model(path).checkpoint.tokenizer.encode(TEXT) == [back[c] for c in TEXT]


def test_where_the_table_is_looked_for(tmp_path: Path) -> None:
    """Beside the checkpoint, then where nanoGPT keeps it, by the dataset's name; an option comes first."""
    path = shakespeare(tmp_path / "out-play")
    place = tmp_path / "data" / "play" / "meta.pkl"
    place.parent.mkdir(parents=True)
    (tmp_path / "out-play" / "meta.pkl").rename(place)
    assert read_model(path).tokenizer == place
    backwards = tmp_path / "backwards.pkl"
    backwards.write_bytes(pickle.dumps(meta(CHARACTERS[::-1])))
    found = read_model(path, meta=backwards)
    assert found.tokenizer == backwards
    assert found.checkpoint.tokenizer.encode("To") == [CHARACTERS[::-1].index(c) for c in "To"]


@pytest.mark.parametrize("dataset", ["../../data/play", "/data/play", "..", "", "a/b", 3])
def test_a_datasets_name_leads_nowhere_else(tmp_path: Path, dataset: Any) -> None:
    size = len(CHARACTERS)
    saved = checkpoint(weights(size, bias=False), arguments(size, bias=False), config={"dataset": dataset})
    path = save(tmp_path / "x" / "out", saved)
    (tmp_path / "data" / "play").mkdir(parents=True)
    (tmp_path / "data" / "play" / "meta.pkl").write_bytes(pickle.dumps(meta()))
    with pytest.raises(CheckpointError, match="does not hold its tokenizer") as told:
        read_model(path)
    assert str(told.value).count("meta.pkl") == 2  # beside it, and in the advice


def test_a_sample_begins_with_a_newline_and_never_ends_by_itself(tmp_path: Path, minigpt: Run) -> None:
    """As nanoGPT's sample.py: start = "\\n", and no token ends a text."""
    assert minigpt("import", str(shakespeare(tmp_path / "out")), str(tmp_path / "folder")).exit_code == 0
    tokenizer = load(tmp_path / "folder").tokenizer
    assert (tokenizer.stops, tokenizer.end_of_text) == (frozenset(), CHARACTERS.index("\n"))
    result = minigpt("sample", "-c", str(tmp_path / "folder"), "-n", "60", "--seed", "3", "--json")
    assert result.exit_code == 0, result.stderr
    *steps, end = map(json.loads, result.stdout.splitlines())
    assert end["tokens"] == 60
    state = weights(len(CHARACTERS), bias=False)
    first = logits(state, [CHARACTERS.index("\n")])[0].double().softmax(0)
    best = steps[0]["candidates"][0]
    assert best["raw_prob"] == pytest.approx(float(first.max()), abs=1e-5)
    assert best["id"] == int(first.argmax())
    written = json.loads((tmp_path / "folder" / "generation_config.json").read_text())
    assert written.get("eos_token_id") is None
    assert written["bos_token_id"] == CHARACTERS.index("\n")


def test_a_newline_is_a_byte_of_text(tmp_path: Path) -> None:
    lengths = read_model(shakespeare(tmp_path)).checkpoint.tokenizer.byte_lengths()
    assert lengths.tolist() == [len(c.encode()) for c in CHARACTERS]


def test_transformers_reads_the_same_model(tmp_path: Path, minigpt: Run) -> None:
    assert minigpt("import", str(shakespeare(tmp_path / "out")), str(tmp_path / "folder")).exit_code == 0
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "folder")
    with torch.no_grad():
        assert close(model(torch.tensor([IDS])).logits[0], logits(weights(len(CHARACTERS), bias=False), IDS))


def test_it_can_be_trained_further(tmp_path: Path, minigpt: Run) -> None:
    assert minigpt("import", str(shakespeare(tmp_path / "out")), str(tmp_path / "folder")).exit_code == 0
    (tmp_path / "text.txt").write_text(TEXT * 40, "utf-8")
    flags = ["--from", str(tmp_path / "folder"), "--steps", "2", "--out", str(tmp_path / "run"), "-q"]
    result = minigpt("train", str(tmp_path / "text.txt"), *flags, MINIGPT_THREADS="1")
    assert result.exit_code == 0, result.stderr
    assert load(tmp_path / "run").tokenizer.encode(TEXT) == [CHARACTERS.index(c) for c in TEXT]


# What is refused


def changed(**changes: Any) -> dict[str, Any]:
    """A checkpoint with other model_args."""
    size = len(CHARACTERS)
    return checkpoint(weights(size, bias=False), {**arguments(size, bias=False), **changes})


def without(name: str) -> dict[str, Any]:
    saved = changed()
    del saved["model"][name]
    return saved


def endless() -> list[Any]:
    """Sixty lists, each of which holds the next one twice: written out, a thousand million million."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return value


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (torch.ones(3), "ckpt.pt is not a checkpoint of nanoGPT, which holds a model and its model_args; it holds no"),
        (
            weights(5, bias=True),
            "it holds transformer.wte.weight, transformer.wpe.weight, transformer.h.0.attn.c_attn.weight ...",
        ),
        ({"state_dict": {}, "epoch": 3}, "its model_args; it holds state_dict, epoch."),
        ({}, "its model_args; it is empty."),
        ({"model": {}, "model_args": 3}, "ckpt.pt, model_args: it is not a table"),
        ({"model": 3, "model_args": {}}, "ckpt.pt: its model is not a table of tensors."),
        ({"model": {"a": 3}, "model_args": {}}, "ckpt.pt: a is not a tensor of numbers."),
        ({"model": weights(5, bias=False), "model_args": {}}, "model_args: vocab_size is missing"),
        (changed(use_rmsnorm=True), "model_args: there is use_rmsnorm, which nanoGPT does not have"),
        (changed(n_layer=None), "model_args: n_layer is None; it must be a whole number of 1 or more."),
        (changed(n_layer=3), "has 2 layers, but model_args says n_layer 3."),
        (changed(n_layer=endless()), "model_args: n_layer is 'a list'; it must be a whole number of 1 or more."),
        ({**changed(), "model": {"a": endless()}}, "ckpt.pt: a is not a tensor of numbers."),
        (changed(n_head=5), "model_args contradict each other"),
        (changed(bias="no"), "model_args: bias is 'no'; it must be true or false."),
        (changed(vocab_size=9), f"wte.weight has the shape [{len(CHARACTERS)}, 32], but model_args asks for [9, 32]."),
        (changed(block_size=1 << 60), "wpe.weight has the shape"),
        (changed(bias=True), "has no biases, but its model_args say that it has."),
        (without("transformer.ln_f.weight"), "lacks the tensor"),
        ({**changed(), "extra": Harmful()}, "would call posix.system if it were unpickled, and is not read."),
        ({**changed(), "extra": torch.nn.Linear(2, 2)}, "would call torch.nn.modules.linear.Linear if it were"),
    ],
)
def test_anything_else_is_one_sentence(
    tmp_path: Path, saved: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, saved, meta())
    with pytest.raises(CheckpointError) as told:
        read_model(path)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    assert sorted(os.listdir()) == ["ckpt.pt", "meta.pkl"]


def archive(path: Path, **files: bytes | None) -> None:
    """ckpt.pt with other contents of its files, or without them."""
    with zipfile.ZipFile(path) as before:
        contents = {name: before.read(name) for name in before.namelist()}
    contents = {name: files.get(name.rpartition("/")[2].replace(".", "_"), data) for name, data in contents.items()}
    with zipfile.ZipFile(path, "w") as after:
        for name, data in contents.items():
            if data is not None:
                after.writestr(name, data)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data_pkl": None}, "data.pkl is missing in it"),
        ({"data_pkl": b"no pickle"}, "is damaged, or is not a pickle."),
        ({"data_pkl": bytes(1 << 23)}, "data.pkl in it would have 8,388,608"),
        ({"byteorder": b"big"}, "was written by a big-endian machine"),
        ({"0": b"short"}, "wte.weight has fewer bytes than it needs"),
        ({"0": None}, "data/0 is missing in it"),
    ],
)
def test_a_damaged_archive_is_one_sentence(tmp_path: Path, files: dict[str, bytes | None], message: str) -> None:
    path = shakespeare(tmp_path)
    archive(path, **files)
    with pytest.raises(CheckpointError, match=message) as told:
        read_model(path)
    assert "\n" not in str(told.value)


def test_nothing_is_decompressed(tmp_path: Path) -> None:
    """A gigabyte of zeros takes a megabyte; torch.save compresses nothing."""
    path = shakespeare(tmp_path)
    with zipfile.ZipFile(path) as before:
        contents = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as after:
        for name, data in contents.items():
            after.writestr(name, data)
    with pytest.raises(CheckpointError, match="in it is compressed, or encrypted"):
        read_model(path)


@pytest.mark.parametrize("shape", [[1 << 40, WIDTH], [9, WIDTH]])
def test_a_tensor_is_no_larger_than_what_is_stored(tmp_path: Path, shape: list[int]) -> None:
    """With a stride of 0, a few numbers could stand for any number of them, in all of a machine's memory."""
    size = len(CHARACTERS)
    state = {**weights(size, bias=False), "transformer.wte.weight": torch.ones(1, 1).expand(shape)}
    saved = checkpoint(state, {**arguments(size, bias=False), "vocab_size": shape[0]})
    with pytest.raises(CheckpointError, match=r"transformer\.wte\.weight has more"):
        read_model(save(tmp_path, saved, meta()))


def test_any_damage_ends_in_a_sentence(tmp_path: Path) -> None:
    path = shakespeare(tmp_path)
    whole, choose = path.read_bytes(), random.Random(1)
    pickled = whole.index(b"\x80\x02}")
    places = [range(pickled, pickled + 3000), range(len(whole) - 3000, len(whole)), range(100)]
    told = 0
    for number in range(300):
        data = bytearray(whole)
        for _ in range(choose.randrange(1, 4)):
            data[choose.choice(places[number % 3])] = choose.randrange(256)
        path.write_bytes(data if number % 4 else data[: choose.randrange(len(data))])
        try:
            read_model(path)
        except CheckpointError:
            told += 1
    assert told > 200


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "has no table of characters, itos or stoi, as nanoGPT's meta.pkl has."),
        ({"vocab_size": 3}, "has no table of characters"),
        ({"itos": {}}, "has no table of characters"),
        ({"itos": {0: "a", 1: "the"}}, "the id 1 of 2 is 'the', not a character."),
        ({"itos": {0: "a", 2: "b"}}, "the id 1 of 2 is None, not a character."),
        ({"itos": {0: "a", 1: b"b"}}, "the id 1 of 2 is b'b', not a character."),
        ({"itos": ["a", "\ud800"]}, "the id 1 of 2 is '\\ud800', not a character."),
        ({"itos": ["a", endless()]}, "the id 1 of 2 is a list, not a character."),
        ({"stoi": {"a": endless()}}, "has no table of characters"),
        ({"itos": ["a", "b"], "stoi": endless()}, "contradicts itself"),
        ({"itos": ["a", "a"]}, "contradicts itself: itos, stoi and vocab_size are not of the same characters."),
        ({"itos": ["a", "b"], "stoi": {"a": 1, "b": 0}}, "contradicts itself"),
        ({"itos": ["a", "b"], "vocab_size": 3}, "contradicts itself"),
        ({"itos": ["a", "b"]}, "has 2 characters, but the model "),
        ({"itos": [chr(65 + n) for n in range(60)]}, "has 60 characters, but the model "),
        ({"itos": Harmful()}, "would call posix.system if it were unpickled, and is not read."),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, table: Any, message: str) -> None:
    path = shakespeare(tmp_path)
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(table))
    with pytest.raises(CheckpointError) as told:
        read_model(path)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, bpe: Tokenizer) -> None:
    path = shakespeare(tmp_path)
    (tmp_path / "tokenizer.json").write_text(bpe.to_json())
    with pytest.raises(CheckpointError, match=r"but the model only \d+ \(vocab_size in model_args\): they do not"):
        read_model(path, tokenizer=tmp_path)


def test_without_a_tokenizer_it_is_said_how_to_name_one(tmp_path: Path) -> None:
    path = save(tmp_path, checkpoint(weights(50304 // 512, bias=False), arguments(50304 // 512, bias=False)))
    with pytest.raises(CheckpointError, match="does not hold its tokenizer of 98 tokens") as told:
        read_model(path)
    advice = str(told.value).splitlines()[1]
    assert "meta=data/NAME/meta.pkl" in advice
    assert "a folder with tokenizer.json or with vocab.json and merges.txt by tokenizer=FOLDER" in advice
    with pytest.raises(ConfigError, match="not both"):
        read_model(path, meta=path, tokenizer=path)


def test_the_older_form_of_torch_save_is_refused(tmp_path: Path) -> None:
    torch.save(changed(), tmp_path / "ckpt.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="neither a GGUF file nor a checkpoint of nanoGPT"):
        read_model(tmp_path / "ckpt.pt")


def test_where_a_checkpoint_is_asked_for_the_import_is_named(tmp_path: Path) -> None:
    path = shakespeare(tmp_path)
    for given in (path, tmp_path):
        with pytest.raises(CheckpointError, match=f"minigpt import {path} FOLDER"):
            load(given)
