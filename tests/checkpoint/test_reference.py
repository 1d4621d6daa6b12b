"""The text that a model is compared with: a run's own ids, its text read again, or any other."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from minigpt.checkpoint.folder import Checkpoint, save_description, save_weights
from minigpt.checkpoint.reference import find_reference
from minigpt.checkpoint.run_folder import save_tokens
from minigpt.errors import CheckpointError, ConfigError, CorpusError
from minigpt.models.gpt import GPT
from minigpt.text.corpus import Split, read_corpus
from minigpt.text.shards import tokenize
from minigpt.text.tokenizer import Tokenizer

FRACTION = 0.25


@pytest.fixture
def notes(tmp_path: Path, corpus: str) -> Path:
    (tmp_path / "notes.txt").write_text(corpus, "utf-8")
    return tmp_path / "notes.txt"


def make_run(folder: Path, model: GPT, tokenizer: Tokenizer, notes: Path, **text: object) -> Checkpoint:
    """A run as training leaves it, of which the last quarter of its text validated."""
    corpus = read_corpus([str(notes)])
    folder.mkdir()
    save_description(folder, model.config, tokenizer, torch.float32)
    save_weights(folder, model)
    (folder / "resume").mkdir()
    save_tokens(folder, tokenize(tokenizer, Split(corpus, fraction=FRACTION)))
    info = {
        "text": {"corpus": [str(notes)], "encoding": "utf-8", "field": "text", "val": None, **text},
        "choices": {"val_fraction": FRACTION},
        "corpus": {"sources": [asdict(source) for source in corpus.sources]},
    }
    (folder / "run.json").write_text(json.dumps(info))
    return Checkpoint(folder, model, tokenizer)


@pytest.fixture
def run(tmp_path: Path, model: GPT, bpe: Tokenizer, notes: Path) -> Checkpoint:
    return make_run(tmp_path / "run", model, bpe, notes)


def training_ids(run: Checkpoint, notes: Path) -> list[int]:
    return tokenize(run.tokenizer, Split(read_corpus([str(notes)]), fraction=FRACTION)).train[:].tolist()


def test_a_run_gives_its_training_tokens_alone(run: Checkpoint, notes: Path) -> None:
    expected = training_ids(run, notes)
    for specs in (["run"], [str(run.path)]):
        found = find_reference(specs, run)
        assert found.ids[:].tolist() == expected
        assert (found.text.name, found.text.part, found.text.tokens) == (str(run.path), "training text", len(expected))
        assert found.note == ""
    assert 1 < found.bytes_per_token < 4


def test_a_snapshot_belongs_to_its_run(run: Checkpoint, model: GPT, bpe: Tokenizer, notes: Path) -> None:
    snapshot = Checkpoint(run.path / "snapshots" / "step-000007", model, bpe)
    assert find_reference(["run"], snapshot).ids[:].tolist() == training_ids(run, notes)


@pytest.mark.parametrize("damage", ["gone", "damaged", "another version"])
def test_a_text_whose_ids_are_gone_is_read_again(run: Checkpoint, notes: Path, damage: str) -> None:
    tokens = run.path / "resume" / "tokens"
    if damage == "gone":
        shutil.rmtree(run.path / "resume")
    elif damage == "damaged":
        (tokens / "train-00000.bin").write_bytes(b"")
    else:
        (tokens / "manifest.json").write_text('{"format": 99}')
    found = find_reference(["run"], run)
    assert found.ids[:].tolist() == training_ids(run, notes)
    assert found.text.part == "training text"
    assert found.note == f"{run.path} keeps no tokens; its text, which is unchanged, was read again."


def test_the_run_of_another_tokenizer_is_read_with_this_one(
    run: Checkpoint, model: GPT, char: Tokenizer, notes: Path
) -> None:
    found = find_reference([str(run.path)], Checkpoint(run.path, model, char))
    assert "keeps tokens of another tokenizer" in found.note
    assert char.decode(found.ids[:].tolist()) == run.tokenizer.decode(training_ids(run, notes))


def test_with_a_text_held_out_all_of_the_corpus_trains(tmp_path: Path, model: GPT, bpe: Tokenizer, notes: Path) -> None:
    run = make_run(tmp_path / "held-out", model, bpe, notes, val="other.txt")
    shutil.rmtree(run.path / "resume")
    assert find_reference(["run"], run).text.tokens == len(bpe.encode(notes.read_text("utf-8")))


def test_a_text_that_has_changed_is_told(run: Checkpoint, notes: Path) -> None:
    shutil.rmtree(run.path / "resume")
    notes.write_text("Another text", "utf-8")
    with pytest.raises(CorpusError, match=r"keeps no tokens, and .*notes.txt is not what it was.\nGive .*corpus=FILE"):
        find_reference(["run"], run)


def test_the_builtin_text_of_another_python_is_told(tmp_path: Path, model: GPT, bpe: Tokenizer, notes: Path) -> None:
    run = make_run(tmp_path / "older", model, bpe, notes, corpus=[])
    shutil.rmtree(run.path / "resume")
    with pytest.raises(CorpusError, match=r"is not what it was.\nEach version of Python .* corpus=builtin"):
        find_reference(["run"], run)


def test_a_text_that_is_gone_is_told(run: Checkpoint, notes: Path) -> None:
    shutil.rmtree(run.path / "resume")
    notes.unlink()
    with pytest.raises(CorpusError, match=r"cannot be read: .*notes.txt does not exist.\nGive .*corpus=FILE"):
        find_reference(["run"], run)


def test_standard_input_cannot_be_read_again(tmp_path: Path, model: GPT, bpe: Tokenizer, notes: Path) -> None:
    run = make_run(tmp_path / "piped", model, bpe, notes, corpus=["-"])
    assert find_reference(["run"], run).note == ""
    shutil.rmtree(run.path / "resume")
    with pytest.raises(CorpusError, match="its text came from standard input"):
        find_reference(["run"], run)


def test_a_run_that_does_not_say_what_it_learned_from(run: Checkpoint) -> None:
    shutil.rmtree(run.path / "resume")
    (run.path / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"does not say what the run learned from.\nGive .*corpus=FILE"):
        find_reference(["run"], run)


def test_a_checkpoint_that_is_no_run(tmp_path: Path, model: GPT, bpe: Tokenizer) -> None:
    with pytest.raises(CheckpointError, match=r"is not a run of minigpt .*\nGive the text: corpus=FILE"):
        find_reference(["run"], Checkpoint(tmp_path, model, bpe))


def test_files_are_taken_whole(run: Checkpoint, notes: Path) -> None:
    found = find_reference([str(notes)], run)
    assert found.ids[:].tolist() == run.tokenizer.encode(notes.read_text("utf-8"))
    assert (found.text.name, found.text.part) == (str(notes), "whole text")
    (notes.parent / "more.txt").write_text("The dog", "utf-8")
    both = find_reference([str(notes), str(notes.parent / "more.txt")], run)
    assert both.text.name == f"{notes} and 1 more"
    assert both.ids[:].tolist() == [*found.ids[:].tolist(), run.tokenizer.end_of_text, *run.tokenizer.encode("The dog")]


def test_what_is_no_text_in_a_folder_is_told(run: Checkpoint, notes: Path) -> None:
    folder = notes.parent / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("The dog", "utf-8")
    (folder / "b.bin").write_bytes(bytes(range(256)))
    found = find_reference([str(folder)], run)
    assert found.ids[:].tolist() == run.tokenizer.encode("The dog")
    assert found.note == f"skipped what is not text, such as {folder / 'b.bin'}."


def test_a_text_of_one_character_is_a_text(run: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert find_reference([str(tmp_path / "a.txt")], run).text.tokens == 1


def test_the_builtin_text(run: Checkpoint) -> None:
    found = find_reference(["builtin"], run)
    assert found.text.name == "Python's language reference (pydoc_data.topics)"
    assert found.text.part == "whole text"


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        (["-"], "takes no standard input"),
        (["run", "notes.txt"], "corpus=run is a run, which cannot be combined"),
        (["builtin", "notes.txt"], "corpus=builtin cannot be combined"),
    ],
)
def test_mixtures_are_refused(run: Checkpoint, specs: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        find_reference(specs, run)


def test_a_missing_file_is_told(run: Checkpoint) -> None:
    with pytest.raises(CorpusError, match=r"nowhere.txt does not exist"):
        find_reference(["nowhere.txt"], run)
