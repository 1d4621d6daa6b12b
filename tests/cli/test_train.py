"""`minigpt train`: text in, a run's folder out, and what a person, a pipe or a program is told meanwhile."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.runs import FINISHED
from minigpt.text.arguments import opening_words
from minigpt.training.law import SHORTEST_TEXT

Run = Callable[..., Any]
RECORD = [
    "step", "tokens", "epoch", "seconds", "tokens_per_second", "loss_nats", "learning_rate", "gradient_norm",
    "validation_loss_nats", "validation_bits_per_byte",
]  # fmt: skip


@pytest.fixture
def train(minigpt: Run, notes: str, tiny: list[str]) -> Run:
    def run(*arguments: str, steps: int = 3, **options: Any) -> Any:
        given = arguments if arguments and not arguments[0].startswith("--") else (notes, *arguments)
        return minigpt("train", *given, *tiny, "--steps", str(steps), **options)

    return run


def test_a_run_ends_with_the_two_commands_to_type(train: Run, notes: str) -> None:
    result = train("--learning-rate", "0.01", steps=20)
    assert result.exit_code == 0, result.stderr
    first, *commands = result.stdout.splitlines()
    assert first.startswith("checkpoints/notes: the best model, that of step 20, ")
    assert first.endswith(" bits per byte on the last 10 % of the text")
    assert commands == [
        "  minigpt sample -c checkpoints/notes",
        f"  minigpt inspect-probs '{opening_words(Path(notes).read_text('utf-8'))}' -c checkpoints/notes",
    ]
    load("checkpoints/notes")


@pytest.mark.parametrize(
    ("line", "words"),
    [("date,rain\n2024-01-01,3\n", "date,rain"), ("ACGTTGCA" * 9, "ACGTTGCAACGT"), ("Ἄνδρα μοι", "'Ἄνδρα μοι'")],
)
@pytest.mark.parametrize("longer", [False, True])
def test_the_command_to_type_has_words_of_the_text(
    minigpt: Run, train: Run, line: str, words: str, longer: bool
) -> None:
    Path("own.txt").write_text(f"{line}\n" * 50, "utf-8")
    result = train("own.txt", "--out", "run")
    if longer:
        result = minigpt("train", "--resume", "run", "--steps", "4")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"  minigpt inspect-probs {words} -c run"


def test_progress_goes_to_standard_error_as_plain_lines(train: Run) -> None:
    result = train()
    assert "step 3/3  loss " in result.stderr
    assert "validation on the last 10 % of the text" in " ".join(result.stderr.split())
    assert "1 layer × 32, 1 head, context 32" in result.stderr
    assert "\x1b" not in result.output
    assert all(len(line) <= 80 for line in result.stderr.splitlines() if re.match(r" \S", line))


def test_quiet_says_only_where_the_model_is(train: Run) -> None:
    result = train("--quiet")
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 3


def test_json_is_a_record_a_line_and_nothing_else(train: Run) -> None:
    result = train("--json", "--out", "run")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["step"] for record in records] == [0, 1, 2, 3]
    assert all(list(record) == RECORD for record in records)
    assert records[0]["loss_nats"] is None
    assert records[3]["validation_bits_per_byte"] > 0
    assert result.stdout == Path("run/train.jsonl").read_text()


def test_a_second_run_gets_a_name_of_its_own(train: Run) -> None:
    train()
    assert train().stdout.startswith("checkpoints/notes-2: ")
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == ["notes", "notes-2"]


def test_overwrite_replaces_the_run_in_out_and_keeps_what_is_yours(train: Run) -> None:
    train("--out", "run", steps=6)
    Path("run/mine.txt").write_text("precious")
    result = train("--out", "run", "--overwrite")
    assert result.exit_code == 0
    assert Path("run/mine.txt").read_text() == "precious"
    assert json.loads(Path("run/run.json").read_text())["train"]["steps"] == 3
    assert "step-000006" not in {path.name for path in Path("run/snapshots").iterdir()}
    assert len(Path("run/train.jsonl").read_text().splitlines()) == 4


def test_the_same_seed_gives_the_same_model(train: Run) -> None:
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert train("--out", name, "--seed", seed).exit_code == 0
    a, b, c = (load(name).model.state_dict()["wte.weight"] for name in "abc")
    assert a.equal(b)
    assert not a.equal(c)


def test_flags_reach_run_json(train: Run) -> None:
    flags = ["--learning-rate", "0.002", "--warmup-steps", "1", "--accumulation", "2", "--dropout", "0.1",
             "--eval-every", "2", "--clip-norm", "0", "--beta2", "0.95", "--weight-decay", "0"]  # fmt: skip
    assert train("--out", "run", *flags).exit_code == 0
    info = json.loads(Path("run/run.json").read_text())
    assert info["status"] in FINISHED
    settings = info["train"]
    assert (settings["learning_rate"], settings["accumulation"], settings["beta2"]) == (0.002, 2, 0.95)
    assert (settings["clip_norm"], settings["weight_decay"], settings["eval_every"]) == (0.0, 0.0, 2)
    assert info["model"]["dropout"] == 0.1


def test_char_and_validation_on_a_file(minigpt: Run, notes: str) -> None:
    Path("held.txt").write_text("The cat sat here, not there. Ω")
    flags = [
        "--tokenizer",
        "char",
        "--layers",
        "1",
        "--heads",
        "1",
        "--width",
        "32",
        "--context",
        "16",
        "--batch-size",
        "2",
        "--steps",
        "2",
        "--out",
        "run",
    ]
    result = minigpt("train", notes, "--val", "held.txt", *flags)
    assert result.exit_code == 0, result.stderr
    assert "bits per byte on held.txt" in result.stdout


def test_it_says_that_it_validates_on_what_it_trains_on(train: Run, notes: str) -> None:
    Path("texts").mkdir()
    Path("texts/same.txt").write_bytes(Path(notes).read_bytes())
    Path("texts/other.txt").write_text("The dog sat here, not there.\n" * 5)
    said = {val: " ".join(train("--val", val).stderr.split()) for val in (notes, "texts", "texts/other.txt")}
    both = "both trained on and validated on, so a text that is memorised looks well predicted."
    assert f"note: {notes} is {both} Without --val, the end of the text is held out." in said[notes]
    assert f"note: texts/same.txt is {both}" in said["texts"]
    assert both not in said["texts/other.txt"]


def test_without_validation_it_says_that_the_latest_is_kept(train: Run) -> None:
    result = train("--val-fraction", "0", "--learning-rate", "0.01", steps=20)
    assert "the latest model is kept" in result.stderr
    assert result.stdout.startswith("checkpoints/notes: the model of step 20\n")


NEEDED = "too few to learn more than its letters and short words: more text would help"


@pytest.mark.parametrize("length", ["--steps 2", "--minutes 0.05", "--minutes 0.05 --dry-run"])
def test_a_text_that_is_too_short_is_told_what_would_help(minigpt: Run, tiny: list[str], length: str) -> None:
    Path("short.txt").write_text("It rains on 9 days of 10. " * 50, "utf-8")
    result = minigpt("train", "short.txt", *tiny, *length.split())
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count(f"The text has only 1,170 bytes to train on, {NEEDED}") == 1
    assert "or a model that knows the language already (--from)." in result.stderr


def test_a_part_that_is_too_short_is_not_told_of_the_whole_text(train: Run) -> None:
    Path("texts").mkdir()
    for number in range(100):
        Path(f"texts/{number}.txt").write_text("It rains on 9 days of 10. " * 9, "utf-8")
    told = " ".join(train("texts", "--part", "0.1").stderr.split())
    assert "This part of the text has only " in told
    assert "short words: a larger --part would help, or a model that knows the language already" in told


def test_a_text_is_long_enough_if_trainings_on_as_much_were_measured(train: Run, minigpt: Run, trained: Path) -> None:
    Path("long.txt").write_text("It rains on 9 days of 10. " * (SHORTEST_TEXT // 20), "utf-8")
    assert NEEDED not in train("long.txt").stderr
    Path("short.txt").write_text("the cat sat on a mat. " * 50, "utf-8")
    result = minigpt("train", "short.txt", "--from", str(trained), "--steps", "1")
    assert result.exit_code == 0, result.stderr
    assert NEEDED not in result.stderr


def test_standard_input(train: Run, notes: str) -> None:
    result = train("-", input=Path(notes).read_bytes())
    assert result.stdout.startswith("checkpoints/stdin: ")


def test_a_directory_skips_and_counts_what_is_no_text(train: Run, notes: str) -> None:
    Path("texts").mkdir()
    Path("texts/a.txt").write_bytes(Path(notes).read_bytes())
    Path("texts/b.png").write_bytes(b"\x89PNG\x00\x00")
    result = train("texts")
    assert result.exit_code == 0
    assert "1 file that is not text was skipped, such as texts/b.png" in result.stderr or "skipped" in result.stderr
    assert json.loads(Path("checkpoints/texts/run.json").read_text())["corpus"]["skipped"] == 1


@pytest.mark.parametrize(
    "flags",
    [["--context", "1"], ["--vocab-size", "257"], ["--dropout", "0.99"], ["--context", "1000000000"]],
    ids=" ".join,
)
def test_extremes_train(minigpt: Run, notes: str, tiny: list[str], flags: list[str]) -> None:
    result = minigpt("train", notes, *tiny, "--steps", "2", *flags)
    assert result.exit_code == 0, result.stderr
    load("checkpoints/notes")


def test_an_early_end_says_when_and_why(train: Run) -> None:
    flags = ["--patience", "1", "--eval-every", "1", "--learning-rate", "1", "--warmup-steps", "0"]
    result = train(*flags, "--optimizer", "adamw", "--snapshots", "0", steps=60)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"note: stopped early, after step \d+ of 60 and \d+\.\d epochs: the last evaluation was no better "
                     r"than that of step \d+, at epoch \d\.\d\.\n", result.stderr)  # fmt: skip
    assert "model of step " in result.stdout or "the best model, that of step " in result.stdout
    again = train(*flags[:2], "--resume", "latest", steps=60)
    assert re.search(r"this run is finished, early, after \d+ of 60 steps, as --patience 1", again.stdout)
    longer = train("--resume", "latest", steps=61)
    assert longer.exit_code == 0, longer.stderr
    assert "continuing checkpoints/notes, which takes 61 steps" in longer.stderr


def test_a_run_goes_on_with_the_threads_that_it_began_with(
    train: Run, minigpt: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--threads", "1", steps=2).exit_code == 0
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert minigpt("train", "--resume", "latest").exit_code == 0
    assert asked[-1] == 1
    assert minigpt("train", "--resume", "latest", "--threads", "2").exit_code == 0
    assert asked[-1] == 2


def test_a_run_that_is_still_training_is_neither_resumed_nor_overwritten(
    start: Run, minigpt: Run, notes: str, tiny: list[str]
) -> None:
    process = start("train", notes, *tiny, "--steps", "1000000", "--out", "run")
    for line in process.stderr:
        if b"step 0" in line:
            break
    resumed = minigpt("train", "--resume", "run")
    assert resumed.exit_code == 1
    assert "run is being trained by another process" in resumed.stderr
    replaced = minigpt("train", notes, *tiny, "--steps", "1", "--out", "run", "--overwrite")
    assert replaced.exit_code == 1
    assert "--out run holds a run that another process is training" in replaced.stderr
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    assert process.returncode == 143


def test_a_diverging_run_ends_with_one_message(train: Run) -> None:
    result = train("--learning-rate", "1e15", "--clip-norm", "0", steps=10)
    assert result.exit_code == 1
    assert "the loss is no longer a number: --learning-rate 1e+15 is too high" in result.stderr
    assert "Traceback" not in result.stderr
    load("checkpoints/notes")


def test_tensorboard_files_stand_in_the_run_and_go_with_it(train: Run, minigpt: Run) -> None:
    assert train("--out", "run", "--tensorboard", "--quiet").exit_code == 0
    (first,) = Path("run/tensorboard").iterdir()
    assert first.stat().st_size > 500
    assert minigpt("train", "--resume", "run", "--steps", "5", "--tensorboard", "--quiet").exit_code == 0
    assert len(list(Path("run/tensorboard").iterdir())) == 2
    assert train("--out", "run", "--overwrite", "--quiet").exit_code == 0
    assert not Path("run/tensorboard").exists()


def test_without_tensorboard_nothing_is_begun(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigpt.training.tensorboard.find_spec", lambda name: None)
    result = train("--tensorboard")
    assert result.exit_code == 1
    assert result.stderr.startswith("minigpt train: --tensorboard needs the package tensorboard, not installed here.")
    assert not Path("checkpoints").exists()


# Texts larger than memory, with what counts as large made small


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigpt.text.corpus.LARGE", 4000)
    monkeypatch.setattr("minigpt.text.corpus._SAMPLED", 200)
    monkeypatch.setattr("minigpt.text.shards._IN_MEMORY", 0)
    monkeypatch.setattr("minigpt.text.shards._SHARD", 1000)
    monkeypatch.setattr("minigpt.text.tokenizer._BATCH", 1000)
    monkeypatch.setattr("minigpt.text.blocks.BLOCK", 500)


def test_a_large_text_trains_as_a_small_one_does(
    minigpt: Run, notes: str, tiny: list[str], request: pytest.FixtureRequest
) -> None:
    flags = [notes, "--tokenizer", "char", *tiny[:-2], "--steps", "3"]
    assert minigpt("train", *flags, "--out", "small").exit_code == 0
    request.getfixturevalue("large")
    assert minigpt("train", *flags, "--out", "elsewhere/large").exit_code == 0
    assert len(list(Path("elsewhere/large/resume/tokens").glob("train-*.bin"))) > 3
    small, large = (load(name).model.state_dict() for name in ("small", "elsewhere/large"))
    assert all(small[name].equal(large[name]) for name in small)


@pytest.mark.usefixtures("large")
def test_a_large_text_is_tokenized_once_and_from_a_sample_learned(train: Run) -> None:
    first, second = train(), train()
    assert "The tokenizer is learned from about 4,000 of the " in first.stderr
    assert "tokenized before" not in first.stderr
    assert "The same text was tokenized before: the ids are those of checkpoints/notes/resume/tokens" in second.stderr
    name = "resume/tokens/train-00000.bin"
    assert Path("checkpoints/notes", name).samefile(Path("checkpoints/notes-2", name))
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == ["notes", "notes-2"]


@pytest.mark.usefixtures("large")
def test_damaged_ids_are_told_and_made_again(train: Run) -> None:
    train()
    damaged = Path("checkpoints/notes/resume/tokens/train-00001.bin")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-2])
    result = train()
    assert result.exit_code == 0
    assert f"{damaged} has {len(whole) - 2:,} bytes, and should have {len(whole):,}: it is damaged." in result.stderr
    assert "tokenized again" in result.stderr
    assert Path("checkpoints/notes-2/resume/tokens/train-00001.bin").read_bytes() == whole


@pytest.mark.usefixtures("large")
def test_standard_input_may_be_large(train: Run, notes: str) -> None:
    result = train("-", input=Path(notes).read_bytes())
    assert result.exit_code == 0, result.stderr
    assert json.loads(Path("checkpoints/stdin/resume/tokens/manifest.json").read_text())["sources"][0]["name"] == (
        "standard input"
    )


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("flags", [["--out", "notes"], []], ids=["out", "named"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_while_tokenizing_it_leaves_nothing(
    train: Run, flags: list[str], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    monkeypatch.setattr("minigpt.text.shards._write_synced", lambda *_: os.kill(os.getpid(), number))
    try:
        result = train(*flags)
    finally:
        signal.signal(number, before)
    assert result.exit_code == 128 + number
    assert list(Path().iterdir()) == []


# --from


@pytest.fixture
def further(minigpt: Run, notes: str, trained: Path) -> Run:
    """Train the run of all tests further."""

    def run(*arguments: str, **options: Any) -> Any:
        return minigpt("train", notes, "--from", str(trained), "--threads", "1", *arguments, **options)

    return run


def test_a_checkpoint_is_trained_further(further: Run, trained: Path) -> None:
    result = further("--steps", "5", "--freeze", "1", "--out", "run")
    assert result.exit_code == 0, result.stderr
    told = " ".join(result.stderr.split())
    assert f"begins with {trained} · adamw at 0.0059 · the embeddings and 1 of 1 layers frozen" in told
    assert "given vocabulary 300, " in told
    info = json.loads(Path("run/run.json").read_text())
    assert info["choices"]["base"] == str(trained)
    assert (info["train"]["freeze"], info["train"]["optimizer"]) == (1, "adamw")
    assert f"which began as {trained}, trained further by minigpt on:" in Path("run/README.md").read_text()
    old, new = load(trained), load("run")
    assert new.tokenizer.to_json() == old.tokenizer.to_json()
    assert new.model.wte.weight.equal(old.model.wte.weight)
    assert not new.model.ln_f.weight.equal(old.model.ln_f.weight)


@pytest.mark.parametrize(
    "flags", [("--no-gradient-checkpointing",), ("--context", "8", "--gradient-checkpointing", "--dropout", "0.1")]
)
def test_the_command_in_run_json_repeats_it(further: Run, minigpt: Run, flags: tuple[str, ...]) -> None:
    assert further("--steps", "4", "--out", "run", *flags).exit_code == 0
    command = json.loads(Path("run/run.json").read_text())["command"]
    assert {flag for flag in flags if "gradient" in flag} <= {*command}
    assert minigpt(*command[1:], "--out", "again").exit_code == 0
    first, again = (load(folder).model.state_dict() for folder in ("run", "again"))
    assert all(again[name].equal(tensor) for name, tensor in first.items())


def test_a_stopped_run_of_it_is_resumed(further: Run, minigpt: Run) -> None:
    further("--steps", "4", "--out", "run")
    assert minigpt("train", "--resume", "run", "--steps", "6").exit_code == 0
    assert json.loads(Path("run/run.json").read_text())["steps_taken"] == 6
    other = minigpt("train", "--resume", "run", "--from", "another")
    assert other.exit_code == 2
    assert "--from another differs from this run's" in other.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--layers", "2"), "--layers does not go with --from, which keeps the model's own."),
        (("--preset", "nano"), "--preset does not go with --from"),
        (("--vocab-size", "300"), "--vocab-size does not go with --from"),
        (("--tokenizer", "bpe"), "--tokenizer does not go with --from"),
        (("--positions", "none"), "--positions does not go with --from"),
        (("--context", "33"), "--context 33 is more than the 32 of "),
        (("--freeze", "2"), "--freeze 2 is more than its 1 layer."),
    ],
)
def test_what_contradicts_a_given_model(further: Run, flags: tuple[str, ...], message: str) -> None:
    result = further("--steps", "4", *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not Path("checkpoints").exists()


def test_freezing_needs_a_given_model(train: Run) -> None:
    result = train("--freeze", "1")
    assert result.exit_code == 2
    assert "--freeze goes with --from CHECKPOINT." in result.stderr


def test_a_model_that_is_not_there(minigpt: Run, notes: str) -> None:
    result = minigpt("train", notes, "--from", "none")
    assert result.exit_code == 1
    assert result.stderr.startswith("minigpt train: none does not exist; --from takes")


def test_a_model_that_gets_no_better_is_left_as_it_is(further: Run, trained: Path) -> None:
    result = further("--steps", "3", "--learning-rate", "2", "--warmup-steps", "0", "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert f"no step improved on that text, so the model is {trained}, unchanged." in result.stderr
    assert result.stdout.startswith("run: the best model, that of step 0, ")
    assert Path("run/model.safetensors").is_file()
    assert load("run").model.wte.weight.equal(load(trained).model.wte.weight)


def test_a_plan_for_a_given_model_is_shown(further: Run, minigpt: Run) -> None:
    result = further("--minutes", "0.1", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "given vocabulary 300, " in result.stdout
    assert "expected" not in result.stdout
    (line,) = further("--minutes", "0.1", "--dry-run", "--json").stdout.splitlines()
    assert json.loads(line)["expected_bits_per_byte"] is None


@pytest.mark.parametrize(
    ("text", "fits"),
    [("the cat sat on a mat and the dog is not here. " * 40, True), ("Ελλάδα και 日本語 " * 60, False)],
    ids=["like its own", "another script"],
)
def test_a_tokenizer_that_does_not_fit_is_told(minigpt: Run, trained: Path, text: str, fits: bool) -> None:
    Path("text.txt").write_text(text, "utf-8")
    result = minigpt("train", "text.txt", "--from", str(trained), "--steps", "1", "--out", "run")
    assert result.exit_code == 0, result.stderr
    told = " ".join(result.stderr.split())
    words = r"does not fit this text: it cuts it into tokens of 1\.\d bytes, so the model begins far behind"
    assert (re.search(words, told) is None) is fits
