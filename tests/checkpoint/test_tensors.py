"""Files of tensors that nobody vouches for: what an index, a header or a link says is held against what is there."""

import errno
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.files import INDEX
from minigpt.checkpoint.folder import load
from minigpt.checkpoint.tensors import open_tensors
from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT

WEIGHTS = "model.safetensors"


@pytest.fixture
def sharded(checkpoint_folder: Path) -> Path:
    """The toy's tensors in two files, each every other one, and their index."""
    path = checkpoint_folder / WEIGHTS
    tensors = load_file(path)
    path.unlink()
    placed = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(sorted(tensors))}
    for file in set(placed.values()):
        save_file({name: tensors[name] for name in placed if placed[name] == file}, checkpoint_folder / file)
    write_index(checkpoint_folder, placed)
    return checkpoint_folder


def write_index(folder: Path, placed: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": placed}))


def placed_in(folder: Path) -> dict[str, str]:
    return json.loads((folder / INDEX).read_text())["weight_map"]


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    return str(caught.value)


def write_header(path: Path, header: Any, length: int | None = None, data: bytes = b"") -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


# Shards


def test_shards_are_loaded_as_one_file_is(sharded: Path, model: GPT) -> None:
    loaded = load(sharded).model
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_one_file_comes_before_an_index(checkpoint_folder: Path) -> None:
    write_index(checkpoint_folder, {"x": "none.safetensors"})
    assert open_tensors(checkpoint_folder)[1] == checkpoint_folder / WEIGHTS


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors", "/etc/passwd", "/tmp/x.safetensors", "sub/model.safetensors", "..", "", ".", 3, None,
        "..\\model.safetensors", "pytorch_model.bin", [],
    ],
)  # fmt: skip
def test_an_index_leads_to_no_other_folder(sharded: Path, name: Any) -> None:
    write_index(sharded, {**placed_in(sharded), "transformer.wte.weight": name})
    assert f"{INDEX} names {name!r}; what it may name is a .safetensors file in its own folder" in load_error(sharded)


@pytest.mark.parametrize("placed", [None, [], {}, "x", 3])
def test_an_index_without_a_map(sharded: Path, placed: Any) -> None:
    write_index(sharded, placed)
    assert f"{INDEX} has no weight_map" in load_error(sharded)


@pytest.mark.parametrize("contents", ["", "[]", "{}", "[" * 100_000, '{"weight_map":' * 50_000])
def test_a_damaged_index(sharded: Path, contents: str) -> None:
    (sharded / INDEX).write_text(contents)
    assert str(sharded / INDEX) in load_error(sharded)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors cannot be read: No such file" in load_error(sharded)


def test_a_tensor_that_is_in_another_shard_than_the_index_says(sharded: Path) -> None:
    placed = placed_in(sharded)
    name = next(iter(placed))
    other = next(file for file in placed.values() if file != placed[name])
    write_index(sharded, {**placed, name: other})
    assert f"holds {name!r}, which {INDEX} places in {other}" in load_error(sharded)


def test_a_tensor_twice(sharded: Path) -> None:
    first, second = sorted(sharded.glob("model-*"))
    one = load_file(first)
    name = next(iter(one))
    save_file({**load_file(second), name: one[name]}, second)
    assert f"{second} holds {name!r}, which {INDEX} places in {first.name}" in load_error(sharded)


def test_a_tensor_that_no_shard_has(sharded: Path) -> None:
    write_index(sharded, {**placed_in(sharded), "more": "model-00001-of-00002.safetensors"})
    assert "model-00001-of-00002.safetensors lacks 'more', which" in load_error(sharded)


def test_a_tensor_that_the_index_does_not_know(sharded: Path) -> None:
    placed = placed_in(sharded)
    name = sorted(placed)[0]
    write_index(sharded, {n: file for n, file in placed.items() if n != name})
    assert f"holds {name!r}, which {INDEX} does not name" in load_error(sharded)


# Headers


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 10_000, 1 << 40])
def test_a_header_longer_than_its_file(checkpoint_folder: Path, length: int) -> None:
    write_header(checkpoint_folder / WEIGHTS, {}, length)
    assert f"its header would have {length:,} bytes, and the file has 10" in load_error(checkpoint_folder)


def test_a_header_longer_than_any_needs(checkpoint_folder: Path) -> None:
    path = checkpoint_folder / WEIGHTS
    path.write_bytes(struct.pack("<Q", 1 << 25))
    os.truncate(path, 1 << 26)  # of which the disk holds nothing
    assert "its header has 33,554,432 bytes, more than any GPT-2 needs" in load_error(checkpoint_folder)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]},
        {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]},
        {"dtype": "X7", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        {"shape": [1]},
        None,
    ],
)
def test_a_header_whose_sizes_are_not_those_of_the_file(checkpoint_folder: Path, entry: Any) -> None:
    write_header(checkpoint_folder / WEIGHTS, {"transformer.wte.weight": entry}, data=bytes(8))
    assert f"{checkpoint_folder / WEIGHTS} is damaged or is not a safetensors file" in load_error(checkpoint_folder)


def test_numbers_of_a_kind_that_is_not_known(checkpoint_folder: Path) -> None:
    entry = {"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]}
    write_header(checkpoint_folder / WEIGHTS, {"transformer.wte.weight": entry}, data=bytes(8))
    assert "holds F8_E8M0, which cannot be loaded" in load_error(checkpoint_folder)


def claim_tensor(folder: Path, size: int) -> None:
    """A file as large as its header says, of zeros that take no room on the disk."""
    path = folder / WEIGHTS
    write_header(path, {"transformer.h.0.x": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    os.truncate(path, path.stat().st_size + size)


def test_nothing_is_read_before_all_shapes_fit(checkpoint_folder: Path) -> None:
    claim_tensor(checkpoint_folder, 1 << 32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "has 1 layers, but config.json says n_layer 2" in load_error(checkpoint_folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_a_file_that_cannot_be_mapped(checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("minigpt.checkpoint.tensors.mmap", refused)
    expected = f"{checkpoint_folder / WEIGHTS} cannot be read: Cannot allocate memory."
    assert load_error(checkpoint_folder) == expected


@pytest.mark.parametrize("offsets", [[[0, 8], [4, 12]], [[0, 8], [12, 20]], [[4, 12], [12, 20]], [[0, 8], [0, 8]]])
def test_tensors_that_overlap_or_leave_a_gap(checkpoint_folder: Path, offsets: list[list[int]]) -> None:
    entries = {name: {"dtype": "F32", "shape": [2], "data_offsets": at} for name, at in zip("ab", offsets, strict=True)}
    write_header(checkpoint_folder / WEIGHTS, entries, data=bytes(offsets[1][1]))
    assert f"{checkpoint_folder / WEIGHTS} is damaged or is not a safetensors file" in load_error(checkpoint_folder)


def test_a_file_that_is_replaced_while_it_is_opened(checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a training does that saves its best model: what is checked must be what is read."""

    def replacing(path: Path, framework: str) -> Any:
        opened = safe_open(path, framework)
        shutil.copy(path, path.with_name("new"))
        path.with_name("new").rename(path)
        return opened

    monkeypatch.setattr("minigpt.checkpoint.tensors.safe_open", replacing)
    assert load_error(checkpoint_folder) == f"{checkpoint_folder / WEIGHTS} was replaced while it was read. Try again."


# Where the numbers are


def read_all(folder: Path) -> dict[str, np.ndarray]:
    return {name: tensor.read() for name, tensor in open_tensors(folder)[0].items()}


def test_the_numbers_are_those_that_the_library_reads(tmp_path: Path) -> None:
    """Of every type that NumPy has, in an order of the file's own, of which only one is a multiple of 8 long."""
    types = (np.int8, np.float32, np.float64, np.bool_, np.float16, np.int64, np.uint8, np.int16, np.int32)
    made = {
        f"{shape}{dtype.__name__}": np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
        for dtype in types
        for shape in ((3, 5), (7,), (), (0, 3), (1, 1))
    }
    save_numpy(made, tmp_path / WEIGHTS)
    read = read_all(tmp_path)
    assert read.keys() == made.keys()
    for name, array in load_numpy(tmp_path / WEIGHTS).items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert np.array_equal(read[name], array)


def test_numbers_that_are_not_aligned_are_copied(tmp_path: Path) -> None:
    entries = {
        "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [3, 11]},
    }
    write_header(tmp_path / WEIGHTS, entries, data=b"abc" + struct.pack("<2f", 1.5, -2))
    found = read_all(tmp_path)["b"]
    assert found.tolist() == [1.5, -2]
    assert found.flags.aligned


_GROWTH = """
import sys
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage
import numpy
from minigpt.checkpoint.tensors import open_tensors

def resident():
    pages = Path("/proc/self/statm")  # of Linux, where the largest size begins at that of the process before
    return int(pages.read_text().split()[1]) * getpagesize() if pages.exists() else getrusage(RUSAGE_SELF).ru_maxrss

before = resident()
array = open_tensors(Path(sys.argv[1]))[0]["a"].read()
opened = resident() - before
assert array.dtype == numpy.float32 and not array.flags.writeable
array[:: 1024].sum()
print(opened, resident() - before, "torch" in sys.modules)
"""


def test_a_large_file_is_not_in_memory_before_it_is_used(tmp_path: Path) -> None:
    size = 500_000_000
    header = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    header = header.ljust(-(-len(header) // 8) * 8)  # as the library writes it, so that the numbers are aligned
    (tmp_path / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(tmp_path / WEIGHTS, 8 + len(header) + size)
    run = subprocess.run([sys.executable, "-c", _GROWTH, tmp_path], capture_output=True, text=True, check=True)
    opened, used, torch_there = run.stdout.split()
    assert int(opened) < size / 50
    assert int(used) > size / 2
    assert torch_there == "False"


# What is no file


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    other = path.with_name("elsewhere")
    other.write_text("{}")
    path.symlink_to(other)


def a_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("make", [a_pipe, a_link, a_broken_link, a_link_to_a_device])
def test_links_and_special_files_are_not_followed(
    checkpoint_folder: Path, name: str, make: Callable[[Path], None]
) -> None:
    (checkpoint_folder / name).unlink()
    make(checkpoint_folder / name)
    kind = "folder or a special file" if make is a_pipe else "symbolic link. Put the file itself there"
    assert f"{checkpoint_folder / name} cannot be read: it is a {kind}" in load_error(checkpoint_folder)


def test_a_shard_that_is_a_link(sharded: Path, tmp_path: Path) -> None:
    shard = sharded / "model-00001-of-00002.safetensors"
    shard.rename(tmp_path / "moved.safetensors")
    shard.symlink_to(tmp_path / "moved.safetensors")
    assert f"{shard} cannot be read: it is a symbolic link" in load_error(sharded)


def test_a_folder_may_be_reached_through_a_link(checkpoint_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "best").symlink_to(checkpoint_folder)
    assert load(tmp_path / "best").path == tmp_path / "best"


# The Hub's cache, whose snapshots are links


@pytest.fixture
def snapshot(checkpoint_folder: Path, tmp_path: Path) -> Path:
    """models--toy/snapshots/abc, each file of it a link to models--toy/blobs."""
    repository = tmp_path / "models--toy"
    folder = repository / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for path in checkpoint_folder.iterdir():
        path.rename(repository / "blobs" / f"hash-of-{path.name}")
        (folder / path.name).symlink_to(f"../../blobs/hash-of-{path.name}")
    return folder


def test_a_snapshot_in_the_cache_is_loaded(snapshot: Path, model: GPT) -> None:
    assert torch.equal(load(snapshot).model.wte.weight, model.wte.weight)


def test_also_by_a_relative_path(snapshot: Path, model: GPT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(snapshot)
    assert torch.equal(load(".").model.wte.weight, model.wte.weight)


def replace_link(snapshot: Path, target: str | Path) -> str:
    link = snapshot / "config.json"
    link.unlink()
    link.symlink_to(target)
    return load_error(snapshot)


def test_links_of_a_snapshot_lead_to_its_own_blobs_alone(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    other = tmp_path / "models--other" / "blobs"
    other.mkdir(parents=True)
    (other / "x").write_text("{}")
    blob = snapshot.parent.parent / "blobs" / "linked"
    blob.symlink_to(tmp_path / "secret")
    for target in (tmp_path / "secret", "../../../secret", "../../../models--other/blobs/x", "../../blobs/linked"):
        assert "config.json cannot be read: it is a symbolic link" in replace_link(snapshot, target)


def test_blobs_that_are_a_link_themselves(snapshot: Path, tmp_path: Path) -> None:
    blobs = snapshot.parent.parent / "blobs"
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    assert "it is a symbolic link" in load_error(snapshot)
