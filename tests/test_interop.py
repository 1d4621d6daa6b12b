"""The script that asks other tools, with those that are always there: what agrees, what differs, what is missing."""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from rich.console import Console

from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import Tokenizer

ROOT = Path(__file__).parent.parent


@pytest.fixture
def interop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for folder in (ROOT, ROOT / "scripts"):
        monkeypatch.syspath_prepend(str(folder))
    yield import_module("interop_checks")
    sys.modules.pop("interop_checks", None)


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Tokenizer, make_model: Callable[..., GPT]) -> Path:
    """A checkpoint with each kind of tokenizer, whose context holds the prompt and what follows it."""
    model = make_model(tokenizer.vocab_size, 80)
    (tmp_path / "toy").mkdir()
    save_description(tmp_path / "toy", model.config, tokenizer, torch.float32)
    save_weights(tmp_path / "toy", model)
    return tmp_path / "toy"


@pytest.fixture
def subject(interop: ModuleType, folder: Path, tmp_path: Path) -> object:
    return interop.Subject("toy", interop.load(folder), tmp_path)


def test_transformers_and_gguf_agree(interop: ModuleType, subject: object) -> None:
    found = list(interop.findings(subject, ["transformers", "gguf"]))
    assert [(finding.check, finding.passed) for finding in found] == [
        ("ids of hard strings", True),
        ("logits (< 0.0001)", True),
        ("continuation", True),
        ("logits, bfloat16 (< 0.0001)", True),
        ("tokens, each another", True),
        ("float32 weights, to the bit", True),
    ]


def test_what_differs_is_told(interop: ModuleType, subject: object) -> None:
    wrong = interop.same_ids("tool", subject, lambda text: [1, 2, 3])
    far = interop.near("tool", "logits", subject, [1.0, 2.0], [1.0, 2.5], 0.1)
    short = interop.same_text("tool", "continuation", subject, [1, 2, 4], [1, 2, 3])
    assert [finding.passed for finding in (wrong, far, short)] == [False] * 3
    assert (far.measured, short.measured) == ("5.0e-01", "2 of 3")
    console = Console(width=80, record=True, quiet=False, file=sys.stderr)
    console.print(interop.table([wrong, far, short]))
    assert console.export_text().count("DIFFERS") == 3


@pytest.mark.parametrize(("tool", "install"), [("llama_cpp", "llama-cpp-python"), ("lm_eval", "lm-eval[hf]")])
def test_a_tool_that_is_missing_is_no_failure_but_named(
    interop: ModuleType, subject: object, monkeypatch: pytest.MonkeyPatch, tool: str, install: str
) -> None:
    def missing(subject: object) -> object:
        raise ModuleNotFoundError(name=tool)

    monkeypatch.setitem(interop.CHECKS, tool, missing)
    [finding] = interop.findings(subject, [tool])
    assert (finding.check, finding.measured, finding.passed) == ("not run", f"pip install '{install}'", None)


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (None, 0), (False, 1)])
def test_the_exit_code_tells_whether_all_agree(
    interop: ModuleType, subject: object, monkeypatch: pytest.MonkeyPatch, passed: bool | None, code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(interop, "subjects", lambda checkpoint, scratch: [subject])
    monkeypatch.setitem(
        interop.CHECKS, "gguf", lambda subject: [interop.Finding("gguf", "a check", "toy", "[7] of 9", passed)]
    )
    monkeypatch.setattr(interop, "quieten", lambda: None)  # the tests' own filters stay
    assert interop.main(["--only", "gguf"]) == code
    shown = capsys.readouterr().out
    assert "[7] of 9" in shown
    assert "transformers 5" in shown


def test_documents_end_where_windows_do(interop: ModuleType, subject: object, folder: Path) -> None:
    lengths = {len(subject.checkpoint.tokenizer.encode(text)) for text in interop.documents(subject)}
    assert {79, 80, 81, 160} & lengths
    assert max(lengths) > 400


def test_the_count_is_that_of_the_command(interop: ModuleType, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "the dog"}) + "\n" + json.dumps({"text": "a fox"}) + "\n")
    total = interop.evaluate(str(tmp_path / "a.jsonl"), "--rolling", "-c", str(folder))
    assert (total["documents"], total["bytes"], total["rolling"]) == (2, 12, True)
