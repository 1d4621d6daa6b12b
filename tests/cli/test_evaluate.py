"""`minigpt evaluate`: texts in, a line for each and a total out."""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import load
from minigpt.text import blocks as blocks_module
from minigpt.text.tokenizer import END_OF_TEXT
from minigpt.training.evaluate import evaluate as validation_loss

Run = Callable[..., Any]
TEXT = "the cat sat on a mat and then Über is not here.\n" * 20


@pytest.fixture
def evaluate(minigpt: Run, trained: Path, empty_folder: Path) -> Run:
    """The command, on the trained run, in a folder with two texts."""
    (empty_folder / "a.txt").write_text(TEXT)
    (empty_folder / "b.txt").write_text("dog Straße\n" * 9)

    def run(*arguments: str, **options: Any) -> Any:
        return minigpt("evaluate", *arguments, "-c", str(trained), **options)

    return run


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_row_a_file_and_the_total(evaluate: Run) -> None:
    result = evaluate("a.txt", "b.txt")
    assert result.exit_code == 0, result.stderr
    heading, first, second, total, *caption = result.stdout.splitlines()
    assert heading.split() == ["file", "tokens", "bytes", "nats/token", "bits/token", "bits/byte", "perplexity"]
    assert [row.split()[0] for row in (first, second, total)] == ["a.txt", "b.txt", "total"]
    assert int(total.split()[1]) == int(first.split()[1]) + int(second.split()[1])
    assert "the first token of each document has no context and is left out" in " ".join(" ".join(caption).split())
    assert "windows of 32 tokens, with a stride of 16" in " ".join(" ".join(caption).split())
    assert "\x1b" not in result.output
    assert result.stderr == ""


def test_one_file_is_its_own_total(evaluate: Run) -> None:
    assert "total" not in evaluate("a.txt").stdout


def test_json_is_an_object_a_file_and_the_total(evaluate: Run) -> None:
    first, second, total = lines(evaluate("a.txt", "b.txt", "--json"))
    assert [line["file"] for line in (first, second, total)] == ["a.txt", "b.txt", None]
    assert [*first, "checkpoint", "version"] == list(total)
    assert total["total_nats"] == pytest.approx(first["total_nats"] + second["total_nats"])
    assert total["documents"] == 2
    assert (first["context"], first["stride"]) == (32, 16)


def test_the_numbers_are_those_of_inspect_probs(evaluate: Run, minigpt: Run, trained: Path) -> None:
    first, _ = lines(evaluate("a.txt", "--json"))
    shown = json.loads(minigpt("inspect-probs", "--all", "--json", "--file", "a.txt", "-c", str(trained), "-q").stdout)
    assert (first["tokens"], first["bytes"]) == (shown["tokens"], shown["bytes"])
    assert first["total_nats"] == pytest.approx(shown["total_nats"], rel=1e-6)


def test_a_stride_of_the_context_gives_the_validation_loss(evaluate: Run, trained: Path) -> None:
    first, _ = lines(evaluate("a.txt", "--stride", "32", "--json"))
    checkpoint = load(trained)
    ids = checkpoint.tokenizer.encode_documents([TEXT])
    expected = validation_loss(checkpoint.model, ids, checkpoint.tokenizer.byte_lengths())
    assert expected is not None
    assert first["nats_per_token"] == pytest.approx(expected.loss_nats, abs=1e-6)
    assert first["bits_per_byte"] == pytest.approx(expected.bits_per_byte, abs=1e-6)


def test_rolling_scores_first_tokens_too_and_says_so(evaluate: Run) -> None:
    plain, rolling = (lines(evaluate("a.txt", "--json", *flags))[0] for flags in ([], ["--rolling"]))
    assert (plain["rolling"], rolling["rolling"]) == (False, True)
    assert rolling["tokens"] == plain["tokens"] + 1
    assert rolling["bytes"] == len(TEXT.encode())
    told = " ".join(evaluate("a.txt", "--rolling").stdout.split())
    assert "windows of 32 tokens, the last of each document extended back to full length" in told
    assert "first tokens follow a bos token or end-of-text" in told


def test_a_tokenizer_without_a_split_sees_documents_whole(
    minigpt: Run, trained: Path, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ByteLevel with use_regex false, a token can reach over the places at which a long file is divided."""
    shutil.copytree(trained, "no_split")
    layout = json.loads(Path("no_split/tokenizer.json").read_text("utf-8"))
    layout["pre_tokenizer"]["use_regex"] = False
    vocabulary = layout["model"]["vocab"]
    vocabulary["eĠ"] = vocabulary.pop(max(set(vocabulary) - {END_OF_TEXT}, key=vocabulary.__getitem__))
    layout["model"]["merges"] = [["e", "Ġ"]]
    Path("no_split/tokenizer.json").write_text(json.dumps(layout), "utf-8")
    Path("long.txt").write_text("one tree the fee " * 400, "utf-8")
    command = ("evaluate", "long.txt", "-c", "no_split", "--json")
    whole = lines(minigpt(*command))[0]
    monkeypatch.setattr(blocks_module, "BLOCK", 1_000)
    divided = lines(minigpt(*command))[0]
    assert whole["tokens"] < 6_800 - 1_000  # one less for each "e "
    assert (divided["tokens"], divided["total_nats"]) == (whole["tokens"], whole["total_nats"])


def test_texts_come_in_every_form_that_train_takes(evaluate: Run, empty_folder: Path) -> None:
    folder = empty_folder / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT)
    (folder / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (folder / "c.jsonl").write_text(json.dumps({"body": TEXT}) + "\n" + json.dumps({"body": "dog"}) + "\n")
    (folder / "d.bin").write_bytes(b"\0\1\2")
    (folder / "e.txt").write_text("")
    result = evaluate("texts", "--field", "body", "--json")
    assert "skipped what is not text: 1 file, such as texts/d.bin." in result.stderr
    a, b, c, total = lines(result)
    assert a["total_nats"] == b["total_nats"]
    assert (c["documents"], total["documents"]) == (2, 4)
    assert len(lines(evaluate("texts/*.gz", "--json"))) == 2
    stdin, _ = lines(evaluate("-", "--json", input=TEXT))
    assert (stdin["file"], stdin["total_nats"]) == ("standard input", a["total_nats"])
    latin = lines(evaluate("-", "--encoding", "latin-1", "--json", input=TEXT.encode("latin-1")))
    assert latin[0]["total_nats"] == a["total_nats"]


def test_bfloat16_only_where_asked_for(evaluate: Run) -> None:
    exact, rough = (lines(evaluate("a.txt", "--json", *flags))[0] for flags in ([], ["--precision", "bfloat16"]))
    assert exact["total_nats"] != rough["total_nats"]
    assert rough["total_nats"] == pytest.approx(exact["total_nats"], rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.txt"], "none.txt does not exist"),
        (["binary"], "binary looks binary"),
        (["empty"], "empty is empty"),
        (["blank"], "blank contains only white space"),
        (["one"], "There is nothing to score: the first token of a document has no context"),
        (["a.txt", "--stride", "33"], "--stride must be from 1 to the model's context, 32, not 33."),
        (["a.txt", "--stride", "0"], "--stride must be 1 or more, not 0."),
        (["a.txt", "--stride", "8", "--rolling"], "--rolling sets its own windows: leave out --stride."),
        (["a.txt", "--precision", "half"], "--precision must be auto, float32, mixed or bfloat16, not half."),
        (["a.txt", "--device", "abacus"], "--device 'abacus' is not a device."),
        (["a.txt", "--encoding", "morse"], "--encoding morse is not an encoding."),
    ],
)
def test_mistakes_are_one_clear_line(evaluate: Run, arguments: list[str], message: str) -> None:
    Path("binary").write_bytes(b"\0\1" * 50)
    Path("empty").write_text("")
    Path("blank").write_text(" \n")
    Path("one").write_text("x")
    result = evaluate(*arguments)
    assert result.exit_code in (1, 2)
    assert re.sub(r"^minigpt evaluate: ", "", result.stderr).startswith(message)
    assert result.stdout == ""


def test_a_missing_checkpoint_says_what_to_type(minigpt: Run, notes: str) -> None:
    assert "There is no trained model" in minigpt("evaluate", notes).stderr
    assert "none does not exist" in minigpt("evaluate", notes, "-c", "none").stderr


def test_a_text_of_one_character_has_a_loss(evaluate: Run) -> None:
    Path("same").write_text("aaaaaa")
    assert lines(evaluate("same", "--json"))[0]["tokens"] == 5


def test_without_files_it_is_wrong_usage(minigpt: Run) -> None:
    assert minigpt("evaluate").exit_code == 2
