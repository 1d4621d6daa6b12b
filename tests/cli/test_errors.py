"""Bad input gets one clear line, exit code 1 (2 for wrong usage), and loses nothing."""

# ruff: noqa: E501 (tables read better on one line)

import errno
import inspect
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from minigpt.cli.app import COMMANDS, whole_command

Run = Callable[..., Any]
NOT_UTF8 = os.fsdecode(b"\xff\xfe")


def refused(result: Any, code: int, *parts: str) -> None:
    """One short message on standard error, nothing on standard output."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    message = " ".join(result.stderr.replace("│", " ").split())
    for part in parts:
        assert part in message
    assert "Traceback" not in message
    assert not any(ord(c) < 32 and c != "\n" for c in result.stderr)
    if "─ Error ─" not in result.stderr:  # as typer has it
        assert result.stderr.startswith("minigpt ")
        assert result.stderr.count("\n") <= 3
        assert len(message) < 500


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


# Corpora

CORPORA: dict[str, tuple[Callable[[], object], list[str], str]] = {
    "missing": (lambda: None, ["nowhere.txt"], "nowhere.txt does not exist"),
    "empty": (lambda: Path("a.txt").write_bytes(b""), ["a.txt"], "a.txt is empty"),
    "blank": (lambda: Path("a.txt").write_bytes(b" \n\n\t"), ["a.txt"], "only white space"),
    "binary": (lambda: Path("a.bin").write_bytes(bytes(range(256)) * 9), ["a.bin"], "a.bin looks binary"),
    # Root may read everything, so a link to itself stands for what cannot be read.
    "unreadable": (lambda: Path("a.txt").symlink_to("a.txt"), ["a.txt"], "a.txt cannot be read"),
    "directory without text": (lambda: Path("d/e").mkdir(parents=True), ["d"], "d contains no text"),
    "glob without match": (lambda: None, ["*.txt"], "matches no file"),
    "invalid UTF-8": (lambda: Path("a.txt").write_bytes(b"caf\xe9 au lait\n" * 9), ["a.txt"], "a.txt is not UTF-8: byte 0xe9 at offset 3"),
    "one character": (lambda: Path("a.txt").write_text("aaaa" * 999), ["a.txt"], "a.txt contains only one character, 'a'"),
    "JSON line that is no object": (lambda: Path("a.jsonl").write_text('{"text": "a b"}\n[1]\n'), ["a.jsonl"], "a.jsonl line 2 is a list, not a JSON object"),
    "JSON line that is no JSON": (lambda: Path("a.jsonl").write_text('{"text": "a b"\n'), ["a.jsonl"], "a.jsonl line 1 is not valid JSON"),
    "JSON without the field": (lambda: Path("a.jsonl").write_text('{"body": "a b"}\n'), ["a.jsonl"], "Try --field body"),
    "damaged gzip": (lambda: Path("a.txt.gz").write_bytes(b"\x1f\x8b\x08nonsense"), ["a.txt.gz"], "a.txt.gz"),
    "too short": (lambda: Path("a.txt").write_text("abcdef"), ["a.txt"], "a.txt is too short to learn from"),
    "one of two is missing": (lambda: Path("a.txt").write_text("abc " * 99), ["a.txt", "b.txt"], "b.txt does not exist"),
    "name that is not UTF-8": (lambda: None, [NOT_UTF8], "does not exist"),
    "name that steers": (lambda: None, ["\x1b[31m\u202e.txt"], "matches no file"),
    "empty name": (lambda: None, [""], "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "arguments", "part"), CORPORA.values(), ids=list(CORPORA))
@pytest.mark.parametrize("validation", [False, True], ids=["corpus", "val"])
def test_a_bad_corpus(
    minigpt: Run, tiny: list[str], notes: str, empty_folder: Path, validation: bool,
    make: Callable[[], object], arguments: list[str], part: str,
) -> None:  # fmt: skip
    make()
    before = sorted(os.listdir())
    given = [notes, "--val", arguments[-1]] if validation else arguments
    result = minigpt("train", *given, *tiny, "--steps", "1")
    if validation and "too short" in part:  # a short text may validate
        assert result.exit_code == 0
        return
    refused(result, 1, "minigpt train: ", part)
    assert sorted(os.listdir()) == before


def test_empty_standard_input(minigpt: Run) -> None:
    refused(minigpt("train", "-", input=""), 1, "standard input is empty")


# Flags

TRAIN_FLAGS = [
    (["--steps", "0"], 2, "--steps must be 1 or more"),
    (["--steps", "-5"], 2, "--steps must be 1 or more"),
    (["--steps", "10000000000000000000000"], 2, "--steps must be 100,000,000 or fewer"),
    (["--steps", "many"], 2, "--steps"),
    (["--steps", "1.5"], 2, "--steps"),
    (["--width", "33", "--heads", "2"], 2, "--width 33 cannot be divided among --heads 2"),
    (["--heads", "0"], 2, "--heads must be 1 or more"),
    (["--layers", "0"], 2, "--layers must be 1 or more"),
    (["--context", "0"], 2, "--context must be 1 or more"),
    (["--vocab-size", "256"], 2, "--vocab-size must be 257 (256 bytes and end-of-text) or more"),
    (["--vocab-size", "1000000000"], 2, "--vocab-size must be 1,048,576 or fewer"),
    (["--tokenizer", "char"], 2, "--vocab-size goes with --tokenizer bpe"),
    (["--tokenizer", "words"], 2, "--tokenizer must be bpe or char"),
    (["--preset", "huge"], 2, "--preset must be nano, micro"),
    (["--device", "toaster"], 2, "--device 'toaster' is not a device"),
    (["--device", "meta"], 2, "this machine has none"),
    (["--device", "cuda:77"], 2, "this machine has none"),
    (["--precision", "float8"], 2, "--precision must be auto, float32, mixed or bfloat16"),
    (["--dropout", "1"], 2, "--dropout"),
    (["--dropout", "nan"], 2, "--dropout"),
    (["--batch-size", "0"], 2, "--batch-size must be 1 or more"),
    (["--accumulation", "0"], 2, "--accumulation must be 1 or more"),
    (["--eval-every", "0"], 2, "--eval-every must be 1 or more"),
    (["--learning-rate", "0"], 2, "--learning-rate must be above 0"),
    (["--learning-rate", "nan"], 2, "--learning-rate"),
    (["--learning-rate", "inf"], 2, "--learning-rate"),
    (["--final-learning-rate", "1"], 2, "--final-learning-rate must lie between"),
    (["--final-learning-rate", "nan"], 2, "--final-learning-rate"),
    (["--warmup-steps", "-1"], 2, "--warmup-steps must be 0 or more"),
    (["--weight-decay", "nan"], 2, "--weight-decay"),
    (["--weight-decay", "-1"], 2, "--weight-decay"),
    (["--beta1", "1"], 2, "--beta1"),
    (["--beta2", "nan"], 2, "--beta2"),
    (["--clip-norm", "-1"], 2, "--clip-norm"),
    (["--clip-norm", "nan"], 2, "--clip-norm"),
    (["--seed", "-1"], 2, "--seed must lie between"),
    (["--seed", "4294967296"], 2, "--seed must lie between"),
    (["--val-fraction", "1"], 2, "--val-fraction"),
    (["--val-fraction", "-0.1"], 2, "--val-fraction"),
    (["--val-fraction", "nan"], 2, "--val-fraction"),
    (["--val-fraction", "0.1", "--val", "notes.txt"], 2, "--val-fraction does not go with --val, which is"),
    (["--val-fraction", "0.99999"], 1, "too short to learn from"),
    (["--encoding", "klingon"], 2, "--encoding klingon is not an encoding"),
    (["--encoding", "utf-32"], 1, "does not begin with the byte order mark of UTF-32"),
    (["--overwrite"], 2, "--overwrite goes with --out"),
    (["--threads", "0"], 2, "--threads"),
    (["--threads", "100000"], 2, "--threads"),
    (["--out"], 2, "--out"),
    (["--out", NOT_UTF8], 2, "is not UTF-8"),
    (["--width", "4000000000000", "--heads", "1"], 2, "--width must be 1,048,576 or fewer"),
    (["--width", "1000000", "--heads", "1"], 1, "more memory than the machine has"),
    (["--nonsense"], 2, "No such option: --nonsense"),
    (["--resume"], 2, "--resume"),
    (["--resume", "nowhere"], 1, "nowhere contains no run that can be resumed"),
    (["--save-every", "0"], 2, "--save-every"),
    (["--snapshots", "-1"], 2, "--snapshots must lie between 0 and 1,000, not -1"),
    (["--patience", "-1"], 2, "--patience must be 0 or more"),
    (["--patience", "2", "--val-fraction", "0"], 2, "--patience needs a validation text: give a higher --val-fraction"),
    (["--config"], 2, "--config"),
    (["--config", "nowhere.toml"], 2, "nowhere.toml cannot be read: No such file"),
]


@pytest.mark.parametrize(
    ("flags", "code", "part"),
    TRAIN_FLAGS,
    ids=[" ".join(f[0]).encode("ascii", "replace").decode() for f in TRAIN_FLAGS],
)
def test_a_bad_flag_of_train(
    minigpt: Run, tiny: list[str], notes: str, empty_folder: Path, flags: list[str], code: int, part: str
) -> None:
    refused(minigpt("train", notes, *tiny, "--steps", "1", *flags), code, part)
    assert os.listdir() == []  # no checkpoints/notes either


TIMED_FLAGS = [
    (
        ["--model", "gpt2"],
        "--model must be gpt, lstm, rnn, window, transformer, seq2seq or seq2seq-attention, not gpt2",
    ),
    (["--tokenizer", "words"], "--tokenizer must be bpe or char, not words"),
    (["--tokenizer", "char", "--vocab-size", "500"], "--vocab-size goes with --tokenizer bpe"),
    (["--vocab-size", "0"], "--vocab-size must be 257 (256 bytes and end-of-text) or more"),
    (["--vocab-size", "1000000000"], "--vocab-size must be 1,048,576 or fewer"),
    (["--layers", "0"], "--layers must be 1 or more"),
    (["--heads", "0"], "--heads must be 1 or more"),
    (["--width", "0"], "--width must be 1 or more"),
    (["--context", "0"], "--context must be 1 or more"),
    (["--batch-size", "0"], "--batch-size must be 1 or more"),
    (["--val-fraction", "0.9999999"], "notes.txt left to train on: give a lower --val-fraction"),
    (["--minutes", "1e308"], "--minutes must be 527,040 (a year) or fewer, not 1e+308"),
]


@pytest.mark.parametrize(("flags", "part"), TIMED_FLAGS, ids=[" ".join(flags) for flags, _ in TIMED_FLAGS])
def test_a_bad_flag_of_train_by_the_clock(
    minigpt: Run, notes: str, empty_folder: Path, flags: list[str], part: str
) -> None:
    refused(minigpt("train", notes, "--minutes", "0.01", *flags), 2, part)
    assert os.listdir() == []


def test_a_model_for_which_there_is_no_time_can_be_planned(minigpt: Run, notes: str) -> None:
    result = minigpt("train", notes, "--preset", "gpt2-xl", "--minutes", "0.01", "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[0])["steps"] == 1


SAMPLE_FLAGS = [
    (["--top-p", "2"], 2, "--top-p must be above 0 and at most 1"),
    (["--top-p", "0"], 2, "--top-p"),
    (["--top-p", "nan"], 2, "--top-p"),
    (["--top-p", "much"], 2, "--top-p"),
    (["--temperature", "-1"], 2, "--temperature must be 0"),
    (["--temperature", "nan"], 2, "--temperature"),
    (["--temperature", "inf"], 2, "--temperature"),
    (["--top-k", "-1"], 2, "--top-k must be 0 (off) or more"),
    (["--top-k", "2.5"], 2, "--top-k"),
    (["--min-p", "1.5"], 2, "--min-p"),
    (["--min-p", "nan"], 2, "--min-p"),
    (["--repetition-penalty", "0"], 2, "--repetition-penalty"),
    (["--repetition-penalty", "nan"], 2, "--repetition-penalty"),
    (["--seed", "-1"], 2, "--seed"),
    (["--seed", "99999999999"], 2, "--seed must lie between"),
    (["--max-tokens", "0"], 2, "--max-tokens"),
    (["--num-samples", "0"], 2, "--num-samples"),
    (["--stop", ""], 2, "--stop needs a text"),
    (["--stop", NOT_UTF8], 2, "is not UTF-8: byte 0xff at offset 0"),
    (["--table", "some"], 2, "--table must be live, every or none, not some"),
    (["--table"], 2, "--table"),
    (["--pace", "0"], 2, "--pace must be"),
    (["--pace", "nan"], 2, "--pace must be"),
    (["--pace", "1e-320"], 2, "--pace must be"),
    (["--json", "--raw"], 2, "--json and --raw exclude each other"),
    (["--json", "--table", "every"], 2, "--json shows no table"),
    (["--raw", "--table", "live"], 2, "--raw shows no table"),
    (["--top", "0"], 2, "--top"),
    (["--device", "toaster"], 2, "is not a device"),
    (["another prompt"], 2, "unexpected extra argument"),
]


@pytest.mark.parametrize(
    ("flags", "code", "part"),
    SAMPLE_FLAGS,
    ids=[" ".join(f[0]).encode("ascii", "replace").decode() for f in SAMPLE_FLAGS],
)
def test_a_bad_flag_of_sample(minigpt: Run, trained: Path, flags: list[str], code: int, part: str) -> None:
    refused(minigpt("sample", "a", "-c", str(trained), "-n", "1", *flags), code, part)


INSPECT = [
    (["a", "--json", "--csv"], 2, "--json and --csv exclude each other"),
    (["a", "--file", "b"], 2, "as an argument or with --file, not both"),
    (["--file", "nowhere.txt"], 1, "nowhere.txt does not exist"),
    (["a", "--against", "nowhere"], 1, "nowhere does not exist; --against takes a run folder"),
    (["a", "--history", "nowhere"], 1, "nowhere does not exist; a run's folder is needed, such as checkpoints/NAME."),
    (["a", "--history", "gpt2"], 1, "gpt2 does not exist; a run's folder is needed"),
    (["--file", "."], 1, "is not one file"),
    ([NOT_UTF8], 2, "the text on the command line is not UTF-8: byte 0xff at offset 0"),
    (["a", "--top", "0"], 2, "--top"),
    ([""], 2, "There is no text to look at"),
]


@pytest.mark.parametrize(("arguments", "code", "part"), INSPECT, ids=[p for _, _, p in INSPECT])
def test_a_bad_argument_of_inspect(minigpt: Run, trained: Path, arguments: list[str], code: int, part: str) -> None:
    refused(minigpt("inspect-probs", "-c", str(trained), *arguments), code, part)


def test_standard_input_that_is_not_utf8(minigpt: Run, trained: Path) -> None:
    for command in ("sample", "inspect-probs"):
        refused(minigpt(command, "-c", str(trained), input=b"caf\xe9"), 1, "standard input is not UTF-8: byte 0xe9")


def test_a_text_of_another_encoding_is_told_apart_by_its_mark(minigpt: Run, trained: Path) -> None:
    for encoding, name in (("utf-16", "utf16"), ("utf-32", "utf32"), ("latin-1", "latin1")):
        Path("a.txt").write_bytes("café".encode(encoding))
        refused(minigpt("inspect-probs", "--file", "a.txt", "-c", str(trained)), 1, f"iconv -f {name} -t utf8")


def test_an_unknown_command_is_wrong_usage(minigpt: Run) -> None:
    refused(minigpt("sing"), 2, "No such command 'sing'")


# Checkpoints


def edit_config(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))


def truncate(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])


def edit_tensor(folder: Path, edit: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    changed = edit(tensors.pop("transformer.ln_f.weight"))
    if changed is not None:
        tensors["transformer.ln_f.weight"] = changed
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda f: shutil.rmtree(f), "does not exist; --checkpoint takes a run folder"),
    "a file": (lambda f: (shutil.rmtree(f), f.write_text("")), "is a file; --checkpoint takes a run folder"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors cannot be read"),
    "truncated weights": (truncate, "is damaged or is not a safetensors file"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "is damaged or is not a safetensors file"),
    "wrong shape": (lambda f: edit_tensor(f, lambda t: t[:5].clone()), "ln_f.weight has the shape [5], but config.json asks for [32]"),
    "lacking tensor": (lambda f: edit_tensor(f, lambda t: None), "lacks the tensor ln_f.weight"),
    "not finite": (lambda f: edit_tensor(f, lambda t: t * float("nan")), "not finite"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json cannot be read"),
    "an empty folder": (lambda f: (shutil.rmtree(f), f.mkdir()), "model holds no model: it has no config.json and no model.safetensors. A run's folder has both, such as checkpoints/NAME."),
    "a folder of models": (lambda f: f.rename(f.with_name("one")) and (f.mkdir(), f.with_name("one").rename(f / "one")), f"model is a folder of models: name one of them, such as {Path('model/one')}."),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "does not contain a JSON object"),
    "other layer count": (lambda f: edit_config(f, n_layer=7), "has 1 layers, but config.json says n_layer 7"),
    "other width": (lambda f: edit_config(f, n_embd=64), "config.json asks for"),
    "smaller vocabulary": (lambda f: edit_config(f, vocab_size=270), "the tokenizer has 300 tokens, but the model only 270"),
    "width and heads": (lambda f: edit_config(f, n_head=5), "contradicts itself"),
    "another architecture": (lambda f: edit_config(f, model_type="llama"), "model_type is 'llama'"),
    "no name of an architecture": (lambda f: edit_config(f, model_type=["gpt2"]), "model_type is ['gpt2']"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json cannot be read"),
    "damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "is not a tokenizer file, or is damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "part"), CHECKPOINTS.values(), ids=list(CHECKPOINTS))
@pytest.mark.parametrize("command", ["sample", "inspect-probs"])
def test_a_bad_checkpoint(
    minigpt: Run, trained: Path, empty_folder: Path, command: str, damage: Callable[[Path], object], part: str
) -> None:
    folder = Path("model")
    shutil.copytree(trained, folder)
    damage(folder)
    before = everything(empty_folder)
    result = minigpt(command, "a", "-c", "model", *(["-n", "1", "--json"] if command == "sample" else []))
    refused(result, 1, f"minigpt {command}: ", part)
    assert everything(empty_folder) == before


def test_no_checkpoint_at_all_says_what_to_type(minigpt: Run) -> None:
    for command in ("sample", "inspect-probs"):
        refused(minigpt(command, "a"), 1, "no trained model in ./checkpoints", "minigpt train")


# Output


def test_out_that_holds_something_is_refused_and_nothing_is_touched(
    minigpt: Run, tiny: list[str], notes: str, trained: Path, empty_folder: Path
) -> None:
    shutil.copytree(trained, "run")
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("precious")
    Path("file").write_text("precious")
    before = everything(empty_folder)
    for out, flags, part in (
        ("run", [], "already holds a run"),
        ("mine", [], "not empty and holds no run"),
        ("mine", ["--overwrite"], "not empty and holds no run"),
        ("file", [], "is a file"),
        ("file", ["--overwrite"], "is a file"),
        ("file/run", [], "Not a directory"),
        (".", [], "not empty and holds no run"),
    ):
        refused(minigpt("train", notes, *tiny, "--steps", "1", "--out", out, *flags), 1, part)
    assert everything(empty_folder) == before


def test_a_bad_flag_loses_no_run_that_it_would_have_replaced(
    minigpt: Run, tiny: list[str], notes: str, trained: Path, empty_folder: Path
) -> None:
    shutil.copytree(trained, "run")
    before = everything(empty_folder)
    for flags in (["--width", "33", "--heads", "2"], ["--val", "nowhere"], ["--seed", "-1"], ["--preset", "huge"]):
        result = minigpt("train", notes, *tiny, "--steps", "1", "--out", "run", "--overwrite", *flags)
        assert result.exit_code in (1, 2)
    assert everything(empty_folder) == before


def test_checkpoints_that_cannot_be_made(minigpt: Run, tiny: list[str], notes: str) -> None:
    Path("checkpoints").write_text("")
    refused(minigpt("train", notes, *tiny, "--steps", "1"), 1, "checkpoints cannot be made")


@pytest.mark.parametrize("allowed", [0, 7, 9, 14], ids=["at once", "at run.json", "at a snapshot", "while saving"])
def test_a_full_disk(minigpt: Run, tiny: list[str], notes: str, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    replace, left = os.replace, [allowed]

    def until_full(old: Any, new: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
        replace(old, new)

    monkeypatch.setattr(os, "replace", until_full)
    result = minigpt("train", notes, *tiny, "--steps", "5", "--quiet")
    refused(result, 1, "cannot be written: No space left on device")
    if allowed > 8:  # files that make a run
        monkeypatch.setattr(os, "replace", replace)
        assert minigpt("sample", "a", "-n", "1", "-c", "checkpoints/notes").exit_code == 0
    else:
        assert os.listdir("checkpoints") == []


def test_every_error_of_the_app_goes_through_the_guard() -> None:
    for name in COMMANDS:
        function = inspect.unwrap(whole_command(name).callback)
        assert function.__qualname__ == "command.<locals>.run", f"{name} is not guarded"
