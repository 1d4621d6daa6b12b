"""Models of pairs, measured: `evaluate`, `inspect-probs --target` and `--labels`, and what Python gives for them."""

import csv
import io
import json
import math
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import minigpt as library
from minigpt.app import evaluate_pairs
from minigpt.checkpoint.runs import read_run_info
from minigpt.errors import ConfigError
from minigpt.sampling.records import StepRecord
from minigpt.settings import TextFormat
from minigpt.text.pairs import PairSplit, pairs_of, read_pairs

Run = Callable[..., Any]
Lines = Callable[..., list[dict[str, Any]]]
GOOD, BAD = ("good", "great", "lovely", "fine", "bright"), ("bad", "awful", "dull", "poor", "sad")
SOURCE = "the film was very good"
FLAGS = [
    *("--model", "transformer", "--layers", "1", "--width", "32", "--heads", "2", "--batch-size", "32"),
    *("--steps", "100", "--learning-rate", "0.01", "--precision", "float32", "--seed", "1", "--quiet"),
]


def reviews(count: int) -> list[tuple[str, str]]:
    """Distinct sentences with the label that follows from their last word."""
    draw, found = random.Random(1), dict[str, str]()
    while len(found) < count:
        label, words = draw.choice([("positive", GOOD), ("negative", BAD)])
        begin, thing = draw.choice(["the", "this", "my", "our"]), draw.choice(["film", "book", "song", "meal", "trip"])
        found[f"{begin} {thing} was {draw.choice(['very', 'quite', 'so', 'really'])} {draw.choice(words)}"] = label
    return list(found.items())


def write(path: Path, pairs: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, minigpt: Run) -> Path:
    """train.tsv, test.tsv, and the folder `run` of a classifier trained on the first."""
    folder, pairs = tmp_path_factory.mktemp("reviews"), reviews(480)
    write(folder / "test.tsv", pairs[400:])
    result = minigpt("train", write(folder / "train.tsv", pairs[:400]), "--out", str(folder / "run"), *FLAGS)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def translator(folder: Path, empty_folder: Path) -> str:
    """The same model, of a run whose targets are no labels."""
    path = empty_folder / "translator"
    shutil.copytree(folder / "run", path)
    info = json.loads((path / "run.json").read_text("utf-8"))
    info["corpus"]["labels"] = None
    (path / "run.json").write_text(json.dumps(info), "utf-8")
    return str(path)


@pytest.fixture
def lines(minigpt: Run) -> Lines:
    """The lines of JSON that a command prints."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        result = minigpt(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


# evaluate


def test_a_classifier_is_accurate_and_its_confusions_add_up(folder: Path, lines: Lines) -> None:
    of_file, total = lines("evaluate", str(folder / "test.tsv"), "-c", str(folder / "run"))
    assert [*of_file, "checkpoint", "version"] == list(total)
    assert (total["file"], total["pairs"], total["too_long"]) == (None, 80, 0)
    assert total["accuracy"] >= 0.95
    assert total["exact"] >= 0.95
    labels, targets = total["labels"], [target for _, target in reviews(480)[400:]]
    assert labels["labels"] == ["negative", "positive"]
    assert [sum(row) for row in labels["confusion"]] == [targets.count("negative"), targets.count("positive")]
    assert labels["correct"] == sum(labels["confusion"][at][at] for at in range(2))
    assert labels["correct"] / 80 == total["accuracy"]
    assert labels["unknown"] == 0
    assert total["bytes"] == sum(len(target) for target in targets)
    assert total["bits_per_byte"] == pytest.approx(total["total_nats"] / math.log(2) / total["bytes"])
    assert total["nats_per_token"] == pytest.approx(total["total_nats"] / total["tokens"])


def test_the_loss_is_the_validation_loss_of_the_training(folder: Path, empty_folder: Path, lines: Lines) -> None:
    corpus = read_pairs([str(folder / "train.tsv")], TextFormat())
    held_out = list(pairs_of(PairSplit(corpus, None, 0.1).validation()))
    assert 20 < len(held_out) < 80
    total = lines("evaluate", write(empty_folder / "held-out.tsv", held_out), "-c", str(folder / "run"))[-1]
    saved = read_run_info(folder / "run" / "run.json").saved
    assert saved is not None
    assert total["nats_per_token"] == pytest.approx(saved.validation_loss_nats, abs=1e-6)
    assert total["bits_per_byte"] == pytest.approx(saved.validation_bits_per_byte, abs=1e-6)


def test_the_table_has_a_row_a_file_the_total_and_the_confusions(
    folder: Path, empty_folder: Path, minigpt: Run
) -> None:
    shutil.copy(folder / "test.tsv", "a.tsv")
    shutil.copy(folder / "test.tsv", "b.tsv")
    result = minigpt("evaluate", "a.tsv", "b.tsv", "-c", str(folder / "run"))
    assert result.exit_code == 0, result.stderr
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["file", "pairs", "tokens", "nats/token", "bits/byte", "exact", "accuracy"]
    assert [row.split()[:2] for row in rows[:3]] == [["a.tsv", "80"], ["b.tsv", "80"], ["total", "160"]]
    at = next(at for at, row in enumerate(rows) if row.split()[:1] == ["true"])
    assert rows[at].split() == ["true", "negative", "positive"]
    counts = [[int(cell) for cell in row.split()[1:]] for row in rows[at + 1 : at + 3]]
    assert sum(map(sum, counts)) == 160
    assert "rows: the true label · columns: the model's answer" in result.stdout


def test_csv_has_the_numbers_and_says_what_it_lacks(folder: Path, lines: Lines, minigpt: Run) -> None:
    command = ("evaluate", str(folder / "test.tsv"), "-c", str(folder / "run"))
    result, total = minigpt(*command, "--csv"), lines(*command)[-1]
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert list(row) == [name for name in total if name not in ("labels", "checkpoint", "version")]
    assert float(row["total_nats"]) == total["total_nats"]
    assert float(row["accuracy"]) == total["accuracy"]
    assert "--csv has no table of confusions; --json has it." in result.stderr


def test_labels_that_training_never_saw_are_counted(folder: Path, empty_folder: Path, minigpt: Run) -> None:
    pairs = [*reviews(480)[400:], (SOURCE, "neutral"), (SOURCE, "mixed")]
    result = minigpt("evaluate", write(empty_folder / "c.tsv", pairs), "-c", str(folder / "run"), "--json")
    labels = json.loads(result.stdout.splitlines()[-1])["labels"]
    assert labels["unknown"] == 2
    assert sum(map(sum, labels["confusion"])) == 80
    assert "2 of 82 pairs have a label that training never saw; they count as wrong." in result.stderr


def test_pairs_beyond_the_context_are_left_out_and_counted(folder: Path, empty_folder: Path, minigpt: Run) -> None:
    long = (f"{SOURCE} " * 60, "positive")
    write(empty_folder / "d.tsv", [(SOURCE, "positive"), long])
    result = minigpt("evaluate", "d.tsv", "-c", str(folder / "run"))
    assert result.exit_code == 0
    told = "1 of 2 pairs have more than 64 tokens on a side, the model's context, and are left out."
    assert told in result.stderr
    assert result.stdout.splitlines()[1].split()[:2] == ["d.tsv", "1"]
    refused = minigpt("evaluate", write(empty_folder / "e.tsv", [long]), "-c", str(folder / "run"))
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "There is nothing to score: all 1 pairs have more than 64 tokens on a side" in refused.stderr


@pytest.mark.parametrize("flags", [["--stride", "8"], ["--rolling"], ["--no-bos"]])
def test_what_is_about_a_continued_text_is_refused(folder: Path, minigpt: Run, flags: list[str]) -> None:
    result = minigpt("evaluate", str(folder / "test.tsv"), "-c", str(folder / "run"), *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    told = "is for a model that continues a text, and a Transformer with encoder and decoder reads pairs."
    assert f"{flags[0]} {told}" in result.stderr


def test_a_text_that_is_no_pairs_is_one_clear_line(folder: Path, notes: str, minigpt: Run) -> None:
    result = minigpt("evaluate", notes, "-c", str(folder / "run"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "line 1 has one column, and a pair has two: source, a tab, target." in result.stderr


def test_without_sacrebleu_two_columns_are_left_out(
    folder: Path, translator: str, minigpt: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_pairs, "has_sacrebleu", lambda: False)
    result = minigpt("evaluate", str(folder / "test.tsv"), "-c", translator)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["file", "pairs", "tokens", "nats/token", "bits/byte", "exact"]
    assert "pip install -e '.[translation]'" in result.stderr
    assert "translation" not in minigpt("evaluate", str(folder / "test.tsv"), "-c", str(folder / "run")).stderr


FAKE = """
class Score:
    def __init__(self, score): self.score = score
def corpus_chrf(written, references):
    return Score(100 * sum(a == b for a, b in zip(written, references[0], strict=True)) / len(written))
def corpus_bleu(written, references, force=False):
    return Score(float(len(references[0])))
"""


def test_with_sacrebleu_its_numbers_are_shown(
    folder: Path, translator: str, minigpt: Run, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "packages").mkdir()
    (empty_folder / "packages" / "sacrebleu.py").write_text(FAKE)
    monkeypatch.syspath_prepend(empty_folder / "packages")
    monkeypatch.delitem(sys.modules, "sacrebleu", raising=False)
    command = ("evaluate", str(folder / "test.tsv"), "-c", translator)
    total = json.loads(minigpt(*command, "--json").stdout.splitlines()[-1])
    result = minigpt(*command)
    monkeypatch.delitem(sys.modules, "sacrebleu")
    assert (total["chrf"], total["bleu"]) == (100 * total["exact"], 80.0)
    assert (total["accuracy"], total["labels"]) == (None, None)
    assert result.stdout.splitlines()[0].split()[-3:] == ["exact", "chrF", "BLEU"]
    assert "sacrebleu" not in result.stderr


# inspect-probs --target


def test_a_given_target_is_scored_to_its_end(folder: Path, lines: Lines, empty_folder: Path) -> None:
    command = ("inspect-probs", SOURCE, "-c", str(folder / "run"), "--target", "negative")
    (found,) = lines(*command)
    steps = found["steps"]
    assert [step["token"]["text"] for step in steps] == ["negative", "<|endoftext|>"]
    assert [step["position"] for step in steps] == [steps[0]["position"], steps[0]["position"] + 1]
    assert (found["tokens"], found["bytes"], found["target"]) == (2, 8, "negative")
    nats = math.log(2) * sum(step["surprisal_bits"] for step in steps)
    assert found["total_nats"] == pytest.approx(nats)
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / 8)
    assert found["perplexity"] == pytest.approx(math.exp(nats / 2))
    scored = lines("evaluate", write(empty_folder / "one.tsv", [(SOURCE, "negative")]), "-c", str(folder / "run"))[-1]
    assert scored["total_nats"] == pytest.approx(nats, rel=1e-5)


def test_the_first_step_is_what_comes_next(folder: Path, lines: Lines) -> None:
    run = str(folder / "run")
    (scored,) = lines("inspect-probs", SOURCE, "-c", run, "--target", "positive")
    (following,) = lines("inspect-probs", SOURCE, "-c", run)
    first, (next_step,) = scored["steps"][0], following["steps"]
    assert first["position"] == next_step["position"]
    shares = [[candidate["raw_prob"] for candidate in step["candidates"]] for step in (first, next_step)]
    assert shares[0] == pytest.approx(shares[1], rel=1e-4)


def test_a_target_has_a_table_csv_and_a_page(folder: Path, minigpt: Run) -> None:
    command = ("inspect-probs", SOURCE, "-c", str(folder / "run"), "--target", "positive")
    result = minigpt(*command, "--html", "t.html")
    assert result.exit_code == 0, result.stderr
    rows = result.stdout.splitlines()
    assert [row.split()[0] for row in rows[:3]] == ["token", "positive", "<|endoftext|>"]
    assert f"after “{SOURCE}”" in result.stdout
    assert "end-of-text is scored, and has no bytes" in result.stdout
    assert f"{SOURCE} →" in json.loads(
        f'"{Path("t.html").read_text("utf-8").split(chr(34) + "before" + chr(34))[1].split(chr(34))[1]}"'
    )
    actual = [row for row in csv.DictReader(io.StringIO(minigpt(*command, "--csv").stdout)) if row["actual"] == "1"]
    assert [row["text"] for row in actual] == ["positive", "<|endoftext|>"]


def test_a_target_that_cannot_be_scored_is_one_clear_line(folder: Path, trained: Path, minigpt: Run) -> None:
    run = str(folder / "run")
    long = minigpt("inspect-probs", SOURCE, "-c", run, "--target", "positive " * 70)
    assert "tokens, and this model reads 64 at most." in long.stderr
    empty = minigpt("inspect-probs", SOURCE, "-c", run, "--target", " ")
    assert "--target is empty" in empty.stderr
    of_gpt = minigpt("inspect-probs", SOURCE, "-c", str(trained), "--target", "positive")
    assert "--target goes with a model of pairs; a GPT continues one text: --all scores that." in of_gpt.stderr
    every = minigpt("inspect-probs", SOURCE, "-c", run, "--all")
    assert "--target TEXT scores a target that you give." in every.stderr
    both = minigpt("inspect-probs", SOURCE, "-c", run, "--all", "--target", "positive")
    assert "--all and --target exclude each other." in both.stderr
    for result in (long, empty, of_gpt, every, both):
        assert (result.exit_code, result.stdout) == (2, "")


# inspect-probs --labels


def test_labels_have_shares_that_add_up(folder: Path, lines: Lines, minigpt: Run) -> None:
    command = ("inspect-probs", SOURCE, "-c", str(folder / "run"), "--labels")
    labels = lines(*command)[0]["labels"]
    assert [label["text"] for label in labels] == ["positive", "negative"]
    assert sum(label["share"] for label in labels) == pytest.approx(1, abs=1e-9)
    assert 0.9 < sum(label["raw_prob"] for label in labels) <= 1
    (scored,) = lines("inspect-probs", SOURCE, "-c", str(folder / "run"), "--target", "negative")
    assert labels[1]["total_nats"] == pytest.approx(scored["total_nats"], rel=1e-4)
    result = minigpt(*command, "--html", "l.html")
    assert result.stdout.splitlines()[0].split()[0] == "label"
    assert "the 2 labels have together" in " ".join(result.stdout.split())
    assert "negative" in Path("l.html").read_text("utf-8")
    rows = csv.DictReader(io.StringIO(minigpt(*command, "--csv").stdout))
    assert [row["text"] for row in rows] == ["positive", "negative"]


def test_labels_need_a_run_that_has_them(translator: str, trained: Path, minigpt: Run) -> None:
    without = minigpt("inspect-probs", SOURCE, "-c", translator, "--labels")
    assert "--labels needs a run whose training targets are labels" in without.stderr
    of_gpt = minigpt("inspect-probs", SOURCE, "-c", str(trained), "--labels")
    assert "--labels goes with a model of pairs" in of_gpt.stderr
    for result in (without, of_gpt):
        assert (result.exit_code, result.stdout) == (2, "")


def test_a_run_records_its_labels(folder: Path, trained: Path) -> None:
    assert read_run_info(folder / "run" / "run.json").corpus.labels == ("negative", "positive")
    assert read_run_info(trained / "run.json").corpus.labels is None


# Python


def test_python_translates_greedily_and_scores_targets(folder: Path, trained: Path) -> None:
    checkpoint = library.load(folder / "run")
    once, again = ("".join(piece.text for piece in checkpoint.sample(SOURCE, seed=seed)) for seed in (1, 2))
    assert once == again == "positive"
    drawn = list(checkpoint.sample(SOURCE, temperature=30.0, seed=1))
    assert any(isinstance(piece.record, StepRecord) and piece.record.chosen.rank > 1 for piece in drawn)  # type: ignore[union-attr]
    records = checkpoint.every_token(SOURCE, "positive")
    assert [record.token.text for record in records if record.token] == ["positive", "<|endoftext|>"]
    assert checkpoint.score(SOURCE, "positive").total_nats < checkpoint.score(SOURCE, "negative").total_nats
    with pytest.raises(ConfigError, match="reads pairs: give a target="):
        checkpoint.score(SOURCE)
    with pytest.raises(ConfigError, match="needs a text to begin from"):
        checkpoint.sample(" ")
    with pytest.raises(ConfigError, match="target= goes with a model of pairs"):
        library.load(trained).score(SOURCE, "positive")
