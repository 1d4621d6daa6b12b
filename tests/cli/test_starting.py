"""What asks a GPT on the CPU only for its logits does not load torch, which takes longer than all else together.

Where forward.c is not compiled, torch is what computes: there, that is what is checked.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from minigpt.checkpoint.files import INDEX, WEIGHTS
from minigpt.checkpoint.tensors import open_tensors
from minigpt.models.forward_library import has_library

DEMO = Path(__file__).parent.parent.parent / "checkpoints" / "demo"
TEXT = "The value of a name is an object.\n" * 9

_RUN = """
import sys
from minigpt.__main__ import main
try:
    main()
finally:
    print("\\ntorch was loaded" if "torch" in sys.modules else "\\ntorch was not loaded", file=sys.__stderr__)
"""
_EXPLORE = """
import sys
from pathlib import Path
from minigpt.explore.app import Exploration
from minigpt.render.style import UNICODE
from minigpt.settings import AskedFilters, Exploring, FileAndModel, Machine

source, machine = FileAndModel(checkpoint=Path(sys.argv[1])), Machine(device="cpu")
exploration = Exploration("The value of", source, AskedFilters(), Exploring(seed=1), machine)
session = exploration._session
for key in ("enter", "left", "enter"):
    session.press(key)
print(exploration.text())
print("torch was loaded" if "torch" in sys.modules else "torch was not loaded", file=sys.stderr)
"""


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in `folder` and in a process of its own, and check that it loaded torch only if it has to."""
    ended = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.endswith("torch was not loaded\n" if has_library() else "torch was loaded\n")
    return ended


def minigpt(folder: Path, *arguments: str, checkpoint: Path = DEMO) -> str:
    """The output of a command about `checkpoint`, on a CPU."""
    return run(folder, _RUN, *arguments, "-c", str(checkpoint), "--device", "cpu").stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text(TEXT)
    return tmp_path


@pytest.mark.parametrize(
    "flags",
    [
        [], ["--all"], ["--choices", " a, the"], ["--tokens"], ["--json"], ["--csv"], ["--html", "page.html"],
        ["--all", "--json"], ["--all", "--html", "page.html"], ["--choices", " a, the", "--html", "page.html"],
        ["--tokens", "--html", "page.html"], ["--threads", "1"], ["--boundary"], ["--corpus", "a.txt"],
        ["--attribution"], ["--attribution", "--track", " a", "--html", "page.html"], ["--history", "run"],
        ["--against", str(DEMO)], ["--against", str(DEMO), "--all"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_questions_about_a_text(folder: Path, flags: Sequence[str]) -> None:
    assert minigpt(folder, "inspect-probs", "The value of", *flags)
    assert (folder / "page.html").exists() == ("--html" in flags)


@pytest.mark.parametrize(
    "flags",
    [
        [], ["--table", "every"], ["--json"], ["--html", "page.html"], ["--num-samples", "2"], ["--check"],
        ["--dtype", "bfloat16"], ["--quantize", "int8"], ["--temperature", "0", "--threads", "2"],
        ["--corpus", "a.txt"], ["--boundary"], ["--raw"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_samples(folder: Path, flags: Sequence[str]) -> None:
    assert minigpt(folder, "sample", "The value of", "-n", "5", "--seed", "1", *flags)
    assert (folder / "page.html").exists() == ("--html" in flags)


def test_a_trace_and_its_replay(folder: Path) -> None:
    minigpt(folder, "sample", "The value of", "-n", "5", "--trace", "t.jsonl")
    assert run(folder, _RUN, "sample", "--replay", "t.jsonl").stdout


@pytest.mark.parametrize("flags", [[], ["--json"], ["--dtype", "bfloat16"], ["--rolling"]], ids=" ".join)
def test_whole_texts(folder: Path, flags: Sequence[str]) -> None:
    assert minigpt(folder, "evaluate", "a.txt", *flags)


def test_exploring(folder: Path) -> None:
    assert run(folder, _EXPLORE, str(DEMO)).stdout.startswith("The value of ")


def in_float32(folder: Path) -> Path:
    """The demo with its weights in float32."""
    copied = Path(shutil.copytree(DEMO, folder / "model", ignore=shutil.ignore_patterns("snapshots")))
    tensors, _ = open_tensors(DEMO)
    save_file({name: tensor.read() for name, tensor in tensors.items()}, copied / WEIGHTS)
    return copied


def in_shards(folder: Path) -> Path:
    """The demo in two files with an index."""
    copied = in_float32(folder)
    arrays = {name: tensor.read().copy() for name, tensor in open_tensors(copied)[0].items()}
    (copied / WEIGHTS).unlink()
    placed = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(sorted(arrays))}
    for file in set(placed.values()):
        save_file({name: arrays[name] for name in placed if placed[name] == file}, copied / file)
    (copied / INDEX).write_text(json.dumps({"weight_map": placed}))
    return copied


def as_gguf(folder: Path) -> Path:
    """The demo as a GGUF file."""
    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.gguf import save_gguf

    save_gguf(folder / "model.gguf", load(DEMO), "float32")
    return folder / "model.gguf"


@pytest.mark.parametrize("make", [in_float32, in_shards, pytest.param(as_gguf, marks=pytest.mark.torch)])
def test_every_kind_of_file(folder: Path, make: Callable[[Path], Path]) -> None:
    expected, same = (minigpt(folder, "inspect-probs", "The value of", checkpoint=of) for of in (DEMO, make(folder)))
    assert same == expected


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("2", "2")])
def test_numpy_starts_no_threads_that_would_take_a_core_from_the_model(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the user asks for them."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
    code = f"import os\n{_RUN}\n    print(os.environ['OPENBLAS_NUM_THREADS'])"
    ended = run(Path(), code, "inspect-probs", "The", "-c", str(DEMO), "--device", "cpu")
    assert ended.stdout.splitlines()[-1] == expected
