"""Models of pairs on the command line: trained, asked, stopped and gone on with; what is not for them says so."""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from minigpt.render.views import faces_of

Run = Callable[..., Any]
KINDS = ("transformer", "seq2seq", "seq2seq-attention")
SMALL = ["--layers", "1", "--width", "16", "--batch-size", "8", "--vocab-size", "300"]
SOURCE = "red cat sat"


def write_pairs(path: Path, count: int = 200) -> str:
    source = random.Random(1)
    rows = [
        [source.choice(["red", "cat", "sat", "on", "mat"]) for _ in range(source.randint(1, 5))] for _ in range(count)
    ]
    path.write_text("".join(f"{' '.join(row)}\t{' '.join(row[::-1])}\n" for row in rows), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.tsv")


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, minigpt: Run, pairs: str) -> str:
    """The folder of a run of three steps, not to be changed."""
    folder = tmp_path_factory.mktemp("model") / request.param
    result = minigpt("train", pairs, "--model", request.param, *SMALL, "--steps", "3", "--quiet", "--out", str(folder))
    assert result.exit_code == 0, result.stderr
    return str(folder)


def one_message(result: Any, code: int = 2) -> str:
    """What a command said that was refused: one message, and nothing on standard output."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", SOURCE),
        ("sample", SOURCE, "--check"),
        ("sample", SOURCE, "--corpus", "run", "--verbatim", "3"),
        ("sample", SOURCE, "--num-samples", "3", "--temperature", "1", "--table", "every"),
        ("sample", SOURCE, "--ignore-end-of-text", "--max-tokens", "1000"),
        ("sample", SOURCE, "--beam", "3"),
        ("inspect-probs", SOURCE),
        ("inspect-probs", SOURCE, "--csv"),
        ("inspect-probs", SOURCE, "--choices", "cat,dog"),
    ],
    ids=" ".join,
)
def test_what_a_model_of_pairs_can_be_asked(minigpt: Run, model: str, arguments: tuple[str, ...]) -> None:
    result = minigpt(*arguments, "-c", model)
    assert result.exit_code == 0, result.output
    assert result.stdout


def test_a_sample_is_the_target_alone_and_the_same_each_time(minigpt: Run, model: str) -> None:
    ends = [json.loads(minigpt("sample", SOURCE, "-c", model, "--json").stdout.splitlines()[-1]) for _ in range(2)]
    assert ends[0]["text"] == ends[1]["text"]
    assert (ends[0]["prompt"], ends[0]["top_token_share"]) == (SOURCE, 1)
    assert minigpt("sample", SOURCE, "-c", model, "--raw").stdout == ends[0]["text"]
    assert minigpt("sample", "-c", model, "--raw", input=f"{SOURCE}\n").stdout == ends[0]["text"]


def test_a_trace_is_replayed(minigpt: Run, model: str) -> None:
    assert minigpt("sample", SOURCE, "-c", model, "--trace", "t.jsonl", "--temperature", "1").exit_code == 0
    again = minigpt("sample", "--replay", "t.jsonl")
    assert again.exit_code == 0, again.stderr
    assert "id for id" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sample", SOURCE, "--html", "o.html"), "--html is not for"),
        (("sample", SOURCE, "--dtype", "bfloat16"), "which only a GPT has"),
        (("sample", "  "), "needs a text to begin from"),
        (("sample", "red " * 500), "and this model reads 64 at most"),
        (("inspect-probs", "red " * 500), "and this model reads 64 at most"),
        (("inspect-embeddings", "--positions"), "--positions is not for"),
        (("sample", SOURCE, "--boundary"), "--boundary is not for"),
        (("sample", SOURCE, "--beam", "2", "--num-samples", "2"), "leave out --num-samples"),
        (("sample", SOURCE, "--beam", "2", "--temperature", "1"), "leave out --temperature"),
        (("sample", SOURCE, "--beam", "2", "--top-k", "3"), "leave out --top-k"),
        (("sample", " ", "--beam", "2"), "--beam needs a source"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_it_cannot_be_asked(minigpt: Run, model: str, arguments: tuple[str, ...], message: str) -> None:
    assert message in one_message(minigpt(*arguments, "-c", model))


@pytest.mark.parametrize("command", ["sample", "inspect-probs"])
def test_an_end_inside_a_source_is_refused(minigpt: Run, model: str, command: str) -> None:
    result = minigpt(command, "cat <|endoftext|> dog", "-c", model, "--special")
    assert "The source has <|endoftext|> inside" in one_message(result, 1)


@pytest.mark.parametrize("target", ["out", "out.gguf", "out.html"])
def test_exports_are_of_a_gpt(minigpt: Run, model: str, target: str) -> None:
    assert "of a GPT" in one_message(minigpt("export", model, target)) or "only a GPT has" in one_message(
        minigpt("export", model, target)
    )


def test_it_cannot_be_explored(in_terminal: Run, model: str) -> None:
    code, shown = in_terminal("explore", SOURCE, "-c", model)
    assert code == 2
    assert "which only a GPT has" in " ".join(shown.split())


FLAGS = {"every": "--all", "cut": "--tokens"}  # where they are not the names
VALUES = {"against": "{run}", "history": "{run}", "choices": "cat,dog", "corpus": "run", "without": "layer 1 mlp"}
VALUES |= {"target": "un chat"}
VIEWS = [face.view for face in faces_of("inspect-probs") if face.view.asked_by]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: " ".join(view.asked_by))
def test_every_view_answers_or_says_in_one_line_that_it_is_not_for_pairs(minigpt: Run, model: str, view: Any) -> None:
    flags = []
    for name in view.asked_by:
        flags += [FLAGS.get(name, f"--{name.replace('_', '-')}")]
        flags += [VALUES[name].format(run=model)] if name in VALUES else []
    result = minigpt("inspect-probs", SOURCE, "-c", model, *flags)
    if view.asked_by == ("labels",):
        assert "whose training targets are labels, two or more" in one_message(result)
    elif view.of_pairs or view.for_pairs is not None:
        assert result.exit_code == 0, result.output
    else:
        assert "which reads one text and writes another." in one_message(result)


# --- beam search


def test_a_beam_search_shows_targets_as_table_json_and_bytes(minigpt: Run, model: str) -> None:
    told = json.loads(minigpt("sample", SOURCE, "-c", model, "--beam", "3", "--json").stdout)
    assert (told["prompt"], told["beam"], len(told["targets"])) == (SOURCE, 3, 3)
    assert [each["rank"] for each in told["targets"]] == [1, 2, 3]
    for each in told["targets"]:
        assert each["log_prob_nats_per_token"] == pytest.approx(each["log_prob_nats"] / each["tokens"])
    assert minigpt("sample", SOURCE, "-c", model, "--beam", "3", "--raw").stdout == told["targets"][0]["text"]
    table = minigpt("sample", SOURCE, "-c", model, "--beam", "3").stdout
    assert f"{told['targets'][0]['log_prob_nats']:,.3f}" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_beam_search_is_not_for_a_gpt(minigpt: Run, trained: Path) -> None:
    assert "--beam is for models of pairs" in one_message(minigpt("sample", "The", "-c", str(trained), "--beam", "2"))


# --- training


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "flags",
    [
        ("--compile",),
        ("--gradient-checkpointing",),
        ("--bpe-dropout", "0.1"),
        ("--context-warmup", "0.4"),
        ("--positions", "sinusoidal"),
        ("--preset", "mini"),
        ("--window", "3"),
        ("--field", "x"),
        ("--split-on", "x"),
        ("--freeze", "1"),
    ],
    ids=" ".join,
)
def test_settings_that_do_nothing_for_pairs_are_refused(
    minigpt: Run, pairs: str, kind: str, flags: tuple[str, ...]
) -> None:
    message = one_message(minigpt("train", pairs, "--model", kind, *SMALL, "--steps", "2", *flags))
    assert flags[0] in message
    assert not Path("checkpoints").exists()


def test_it_is_not_a_base_for_another_training(minigpt: Run, pairs: str, model: str) -> None:
    message = one_message(minigpt("train", pairs, "--from", model, "--steps", "2"))
    assert "--from continues the training of blocks, which only a GPT has" in message
    assert "Name the folder of a GPT with --from." in message


@pytest.mark.parametrize("kind", KINDS)
def test_muon_trains_blocks_alone(minigpt: Run, pairs: str, kind: str) -> None:
    result = minigpt("train", pairs, "--model", kind, *SMALL, "--steps", "2", "--optimizer", "muon", "--quiet")
    if kind == "transformer":
        assert result.exit_code == 0, result.stderr
    else:
        assert f"--model {kind} is trained by adamw" in one_message(result)


def test_the_built_in_pairs_need_no_file(minigpt: Run) -> None:
    result = minigpt("train", "--model", "transformer", "--steps", "10", "--dry-run", *SMALL)
    assert result.exit_code == 0, result.stderr
    assert "a Transformer with encoder and decoder" in " ".join(result.stdout.split())


def test_pairs_from_standard_input(minigpt: Run) -> None:
    text = "".join(f"cat {n}\tchat {n}\n" for n in range(50))
    result = minigpt("train", "-", "--model", "seq2seq", *SMALL, "--steps", "1", "--out", "run", "--quiet", input=text)
    assert result.exit_code == 0, result.stderr


def test_a_text_that_is_no_pairs_is_one_message_with_its_line(minigpt: Run, notes: str) -> None:
    message = one_message(minigpt("train", notes, "--model", "transformer", "--steps", "2"), 1)
    assert "notes.txt line 1 has one column, and a pair has two" in message


def test_a_run_that_sigterm_stopped_goes_on_to_the_bit(start: Run, minigpt: Run, pairs: str) -> None:
    flags = ["--model", "transformer", *SMALL, "--steps", "60", "--eval-every", "5", "--dropout", "0.1", "--quiet"]
    flags += ["--threads", "1"]
    process = start("train", pairs, *flags, "--out", "parts")
    log = Path("parts/train.jsonl")
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 5):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() in (143, 0)
    resumed = minigpt("train", "--resume", "parts", "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
    assert minigpt("train", pairs, *flags, "--out", "whole").exit_code == 0
    for name in ("model.safetensors", "resume/state.safetensors"):
        parts, whole = load_file(Path("parts", name)), load_file(Path("whole", name))
        torch.testing.assert_close(parts, whole, atol=0, rtol=0)


# --- again


def test_a_run_goes_on_with_its_samples(minigpt: Run, pairs: str, tmp_path: Path) -> None:
    """A sample is shown at each evaluation: its source is read as one, by a tokenizer that was loaded."""
    folder = str(tmp_path / "run")
    asked = ["--steps", "4", "--eval-every", "2", "--out", folder]
    assert minigpt("train", pairs, "--model", "transformer", *SMALL, *asked).exit_code == 0
    result = minigpt("train", "--resume", folder, "--steps", "8")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("→") == 2  # after steps 6 and 8


def test_the_command_of_a_run_repeats_it(minigpt: Run, model: str, tmp_path: Path) -> None:
    """To the bit, but for an LSTM: by oneDNN on AVX2, its last bits depend on where its tensors lie in memory."""
    command = json.loads((Path(model) / "run.json").read_text("utf-8"))["command"]
    result = minigpt(*command[1:], "--out", str(tmp_path / "again"), "--quiet")
    assert result.exit_code == 0, result.stderr
    first, again = (load_file(Path(folder) / "model.safetensors") for folder in (model, tmp_path / "again"))
    assert first.keys() == again.keys()
    is_exact = "transformer" in model
    for name in first:
        torch.testing.assert_close(again[name], first[name], atol=0 if is_exact else 1e-5, rtol=0)


def test_a_source_that_names_end_of_text_is_shown_whole(minigpt: Run, tmp_path: Path) -> None:
    table = tmp_path / "ends.tsv"
    table.write_text("".join(f"red {n} <|endoftext|> cat\tcat {n} <|endoftext|> red\n" for n in range(40)), "utf-8")
    asked = ["--steps", "2", "--eval-every", "1", "--out", str(tmp_path / "run")]
    result = minigpt("train", str(table), "--model", "transformer", *SMALL, *asked)
    assert result.exit_code == 0, result.stderr
    assert " <|endoftext|> cat → " in result.stderr
    assert " <|endoftext|> cat' -c " in result.stdout


def test_a_first_line_that_names_the_columns_is_no_pair(minigpt: Run, tmp_path: Path) -> None:
    table = tmp_path / "named.tsv"
    table.write_text("source\ttarget\n" + "".join(f"red {n}\t{n}\n" for n in range(40)), "utf-8")
    asked = ["--steps", "1", "--out", str(tmp_path / "run")]
    result = minigpt("train", str(table), "--model", "transformer", *SMALL, *asked)
    assert "in 40 pairs" in " ".join(result.stderr.split())
