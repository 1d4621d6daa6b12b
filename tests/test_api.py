"""The public names: found by dir, help and type checkers, loaded late; what they answer is what the parts answer."""

import json
import math
import pydoc
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import minigpt
from minigpt import api
from minigpt.checkpoint import folder as on_disk
from minigpt.checkpoint.records import TrainRecord
from minigpt.errors import CheckpointError, ConfigError, CorpusError, MinigptError, OutputError, named
from minigpt.models.kinds import new_model
from minigpt.models.parts import Part
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.settings import Choices, ModelConfig, TrainConfig
from minigpt.text.learning import ending_texts
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.alignment import align, alignment_grid
from minigpt.views.attention import attend, attention_grid, head_summaries
from minigpt.views.choices import weigh
from minigpt.views.history import by_layer
from minigpt.views.parts import parts_worth
from minigpt.views.probs import every_token, next_token, text_score
from minigpt.views.without import next_without

TEXT = "The quick brown fox"
TINY: dict[str, Any] = {
    "layers": 1, "heads": 1, "width": 32, "context": 16, "batch_size": 4, "vocab_size": 280, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def checkpoint(checkpoint_folder: Path) -> api.Checkpoint:
    return minigpt.load(checkpoint_folder)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notes.txt"
    path.write_text("The quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 60, "utf-8")
    return path


# Names


def test_every_public_name_can_be_had_and_is_listed() -> None:
    assert all(getattr(minigpt, name) is not None for name in minigpt.__all__)
    assert sorted(minigpt.__all__) == sorted(set(minigpt.__all__))
    assert [name for name in dir(minigpt) if name in minigpt._HOMES] == sorted(minigpt.__all__)
    assert {name for name in dir(minigpt) if not name.startswith("_")} >= set(minigpt.__all__)
    assert not {"import_module", "warnings", "Any"} & set(dir(minigpt))


def test_help_says_what_each_name_is_for() -> None:
    assert minigpt.__doc__
    for name in minigpt.__all__:
        assert name in minigpt.__doc__
    asked = [name for name in vars(api.Checkpoint) if not name.startswith("_")]
    assert len(asked) > 10
    for name in asked:
        assert f" {name}(" in minigpt.__doc__
        assert getattr(api.Checkpoint, name).__doc__
    told = pydoc.render_doc(minigpt, renderer=pydoc.plaintext)
    assert "next(self, text: str" in told
    assert "train(" in told


def test_importing_it_loads_nothing_heavy() -> None:
    script = "import sys, minigpt; dir(minigpt); print('torch' in sys.modules, 'numpy' in sys.modules)"
    root = Path(minigpt.__file__).parent.parent
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("name", minigpt._FORMER)
def test_former_names_work_and_say_what_takes_their_place(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"minigpt\.{name} is deprecated: use "):
        former = getattr(minigpt, name)
    assert callable(former)
    assert name not in dir(minigpt)


def test_a_former_function_answers_as_ever(checkpoint: api.Checkpoint) -> None:
    ids = checkpoint.tokenizer.encode(TEXT)
    with pytest.warns(DeprecationWarning, match="use checkpoint.next"):
        record = minigpt.next_token(checkpoint.model, checkpoint.tokenizer, ids, top=5)
    assert record == checkpoint.next(TEXT, top=5)


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = minigpt.nonsense


# A checkpoint


def test_a_checkpoint_is_one_line(checkpoint: api.Checkpoint, checkpoint_folder: Path) -> None:
    assert repr(checkpoint) == repr(on_disk.load(checkpoint_folder))
    assert "\n" not in repr(checkpoint)
    assert f"<Checkpoint {checkpoint_folder}: a GPT-2, " in repr(checkpoint)
    assert "2 × 16, context 16, vocabulary 320, on cpu>" in repr(checkpoint)


def test_it_answers_as_its_parts_do(checkpoint: api.Checkpoint) -> None:
    model, tokenizer, ids = checkpoint.model, checkpoint.tokenizer, checkpoint.tokenizer.encode(TEXT)
    assert checkpoint.next(TEXT, top=4) == next_token(model, tokenizer, ids, top=4)
    assert checkpoint.every_token(TEXT, top=2) == tuple(every_token(model, tokenizer, ids, top=2))
    assert checkpoint.score(TEXT) == text_score(every_token(model, tokenizer, ids, top=1))
    assert checkpoint.choose(TEXT, [" a", " the"]) == weigh(model, tokenizer, ids, [" a", " the"])
    attention = attend(model, ids)
    assert checkpoint.attend(TEXT) == tuple(head_summaries(attention))
    assert checkpoint.attend(TEXT, layer=2) == attention_grid(attention, tokenizer, 2, None)
    assert checkpoint.attend(TEXT, layer=1, head=2) == attention_grid(attention, tokenizer, 1, 2)
    for track in ("#5", ["#5", "#5"]):
        assert checkpoint.by_layer(TEXT, track=track) == tuple(by_layer(model, tokenizer, ids, tracked=[5]))
    assert checkpoint.attribution(TEXT).token.id == checkpoint.next(TEXT, top=1).candidates[0].id
    assert checkpoint.attribution(TEXT, "#7").token.id == 7
    parts, tracked = ["layer 1 head 2", "position 0"], {"tracked": [7], "top": 3}
    expected = next_without(model, tokenizer, ids, parts, ablation="mean", **tracked)
    assert checkpoint.without(TEXT, parts, ablation="mean", track="#7", top=3) == expected
    assert checkpoint.without(TEXT, "layer 1 mlp").parts == (Part("mlp", 1),)
    expected_worth = parts_worth(model, tokenizer, ids, token=7, ablation="mean")
    assert checkpoint.parts(TEXT, "#7", ablation="mean") == expected_worth
    assert checkpoint.parts(TEXT).token.id == checkpoint.next(TEXT, top=1).candidates[0].id
    assert "the logit" in str(minigpt.show(checkpoint.parts(TEXT)))
    assert [vector.id for vector in checkpoint.embeddings("#5", "#9", top=2)] == [5, 9]
    assert [token.id for token in checkpoint.tokenize(TEXT)] == ids
    for other in (checkpoint, checkpoint.path, str(checkpoint.path)):
        assert checkpoint.compare(other, TEXT, top=3).divergence_bits == 0
    assert checkpoint.shared_word("The fox runs", "A fox").first.word == "fox"


def test_a_model_of_pairs_answers_what_it_looks_at(tmp_path: Path, bpe: Tokenizer) -> None:
    tokenizer = ending_texts(bpe)
    shape = {"vocab_size": bpe.vocab_size, "context": 32, "layers": 2, "heads": 2, "width": 16}
    config = ModelConfig(model="transformer", end=tokenizer.end_of_text, **shape)
    model = new_model(config).initialise(torch.Generator().manual_seed(0)).eval()
    on_disk.save_description(tmp_path, config, tokenizer, torch.float32)
    on_disk.save_weights(tmp_path, model)
    checkpoint, found = minigpt.load(tmp_path), align(model, tokenizer, TEXT, "der Fuchs")
    assert checkpoint.align(TEXT, "der Fuchs") == alignment_grid(found, tokenizer)
    assert checkpoint.align(TEXT, "der Fuchs", layer=1, head=2) == alignment_grid(found, tokenizer, 1, 2)
    assert checkpoint.align(TEXT).source == checkpoint.align(TEXT, "a").source
    assert "adds up to" in str(minigpt.show(checkpoint.align(TEXT, "der Fuchs")))
    with pytest.raises(ConfigError, match=r"ask align\(text\)"):
        checkpoint.attend(TEXT)
    with pytest.raises(ConfigError, match="head= needs a layer="):
        checkpoint.align(TEXT, head=1)


def test_a_gpt_has_no_alignment(checkpoint: api.Checkpoint) -> None:
    with pytest.raises(ConfigError, match="this model is a GPT-2, of one text"):
        checkpoint.align(TEXT)


def test_sampling_is_a_stream_of_steps(checkpoint: api.Checkpoint) -> None:
    pieces = list(checkpoint.sample(TEXT, max_tokens=5, seed=3, ignore_end_of_text=True))
    end = pieces[-1].record
    assert isinstance(end, SampleEnd)
    assert (end.tokens, end.seed, len(pieces)) == (5, 3, 6)
    assert end.text == TEXT + b"".join(piece.data for piece in pieces).decode("utf-8", "replace")
    twice = list(checkpoint.sample("", count=2, max_tokens=2))
    assert {piece.record.sample for piece in twice} == {0, 1}


def test_stages_are_named_as_the_fields_or_as_on_the_command_line(checkpoint: api.Checkpoint) -> None:
    for name in ("top_k", "top-k"):
        first = next(checkpoint.sample(TEXT, max_tokens=1, stages=[name], top_k=5)).record
        assert isinstance(first, StepRecord)
        assert [stage.name for stage in first.stages] == ["top-k"]
    with pytest.raises(ConfigError, match="there is no stage 'nonsense'"):
        checkpoint.sample(TEXT, stages=["nonsense"])


def test_a_bias_is_given_by_the_text_of_a_token(checkpoint: api.Checkpoint) -> None:
    (the,) = checkpoint.tokenizer.encode(" the")
    first = next(checkpoint.sample(TEXT, max_tokens=1, bias={" the": 1000, "#7": -3})).record
    assert isinstance(first, StepRecord)
    assert first.token is not None
    assert first.token.id == the
    assert (first.stages[0].name, first.stages[0].value) == ("bias", 2)


def test_records_show_themselves(checkpoint: api.Checkpoint) -> None:
    rows = checkpoint.by_layer(TEXT)
    assert "<pre" in rows._repr_html_()
    assert f"after “{TEXT}”" in str(rows)
    assert "<span" in checkpoint.every_token(TEXT)._repr_html_()
    assert str(checkpoint.attend(TEXT)).startswith(" layer head")


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda c: c.next(""), CorpusError, "There is no text to look at"),
        (lambda c: c.next(5), ConfigError, "^text= is 5, where a text must be"),
        (lambda c: c.next(b"a"), ConfigError, "^text= is .*, where a text must be"),
        (lambda c: c.sample(None), ConfigError, "^text= is null, where a text must be"),
        (lambda c: c.score("a", 5), ConfigError, "^target= is 5, where a text must be"),
        (lambda c: c.next("a", top="5"), ConfigError, "^top= must be a whole number, not '5'"),
        (lambda c: c.next("a", top=True), ConfigError, "^top= must be a whole number, not True"),
        (lambda c: c.attend("a b", layer=True), ConfigError, "^layer= must be a whole number, not True"),
        (lambda c: c.sample("a", count="2"), ConfigError, "^count= must be a whole number, not '2'"),
        (lambda c: c.next("a", top=0), ConfigError, "^top= must be 1 or more, not 0"),
        (lambda c: c.sample("a", top_k=-1), ConfigError, "^top_k= must be 0"),
        (lambda c: c.sample("a", topk=1), ConfigError, "no setting topk=. There are bias, repetition_penalty, "),
        (lambda c: c.sample("a", bias={"zyx": 1}), ConfigError, '^bias=: "zyx" is 3 tokens of this vocabulary'),
        (
            lambda c: c.sample("a", bias={" the": 2000}),
            ConfigError,
            "^bias= must lie between -1,000 and 1,000",
        ),
        (lambda c: c.sample("a", bias={" the": "x"}), ConfigError, r'^bias\[" the"\] is "x", where a number must be'),
        (
            lambda c: c.sample("a", bias={" the": math.nan}),
            ConfigError,
            r"^bias\[.* is NaN, where a finite number must be",
        ),
        (
            lambda c: c.sample("a", bias=((5, math.nan),)),
            ConfigError,
            r"^bias\[.* is NaN, where a finite number must be",
        ),
        (lambda c: c.sample("a", bias={5: 1}), ConfigError, r"^bias\[5\] is 5, where a text must be"),
        (lambda c: c.sample("a", count=0), ConfigError, "^count= must be 1 or more"),
        (lambda c: c.attend("a b", layer=9), ConfigError, "^layer= must be from 1 to 2"),
        (lambda c: c.attend("a b", head=1), ConfigError, "^head= needs a layer="),
        (lambda c: c.attend("a b", layer="1"), ConfigError, "^layer= must be a whole number, not '1'"),
        (lambda c: c.align("a b", layer=1, head=1.5), ConfigError, "^head= must be a whole number, not 1.5"),
        (lambda c: c.gates("a b", units=3), ConfigError, "^units= is 3, where a list must be"),
        (lambda c: c.parts("a b", ablation=5), ConfigError, "^ablation= is 5, where a text must be"),
        (lambda c: c.choose("a", ["", "b"]), ConfigError, "^choices= needs"),
        (lambda c: c.choose("a", "bc"), ConfigError, '^choices= is "bc", where a list must be'),
        (lambda c: c.choose("a", ["b", 5]), ConfigError, r"^choices\[1\] is 5, where a text must be"),
        (lambda c: c.shared_word("a", "a", 5), ConfigError, "^word= is 5, where a text must be"),
        (lambda c: c.without("a", [5]), ConfigError, r"^without\[0\] is 5, where a text must be"),
        (lambda c: c.embeddings(5), ConfigError, r"^tokens\[0\] is 5, where a text must be"),
        (lambda c: c.attribution("a", 5), ConfigError, "^token= is 5, where a text must be"),
        (lambda c: c.compare("nowhere", "a"), CheckpointError, "other= takes a run folder"),
        (lambda c: c.compare(5, "a"), ConfigError, "^other= must be a path, not 5"),
        (lambda c: c.by_layer("a", track=[""]), ConfigError, "A token is needed"),
        (lambda c: c.history("a"), CheckpointError, "holds no snapshots"),
        (lambda c: minigpt.load("nowhere"), CheckpointError, "path= takes a run folder"),
        (lambda c: minigpt.load(c.path, "abacus"), ConfigError, "^device='abacus' is not a device"),
        (lambda c: minigpt.train("x", minutes=0), ConfigError, "^minutes= must be above 0"),
        (lambda c: minigpt.train("x", minutes=1, steps=1), ConfigError, "^Give minutes= or steps=, not both"),
        (lambda c: minigpt.train(5, steps=1), ConfigError, "^corpus= must be a path, not 5"),
        (lambda c: minigpt.train(["x", None], steps=1), ConfigError, "^corpus= must be a path, not None"),
        (lambda c: minigpt.train("x", steps=1, out=5), ConfigError, "^out= must be a path, not 5"),
        (lambda c: minigpt.train("x", steps=0), ConfigError, "^steps= must be 1 or more"),
        (lambda c: minigpt.train("x", steps=1, lr=1), ConfigError, "no setting lr=. There are accumulation, "),
        (lambda c: minigpt.train("x", steps=1, freeze=1), ConfigError, "^freeze= goes with base="),
        (lambda c: minigpt.train("x", steps=1, save_every=0), ConfigError, "^save_every= must be 1 or more"),
        (lambda c: minigpt.train("x", overwrite=True), ConfigError, "^overwrite= goes with out="),
        (lambda c: minigpt.train("x", steps=1, out=c.path), OutputError, "is not empty"),
        (lambda c: minigpt.train("nowhere.txt", steps=1), CorpusError, "nowhere.txt does not exist"),
        (lambda c: minigpt.train("x", steps=1, base=c.path, width=8), ConfigError, "^width= does not go with base="),
    ],
)
def test_errors_name_arguments_as_python_has_them(
    checkpoint: api.Checkpoint, ask: Callable[[api.Checkpoint], Any], error: type[MinigptError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        ask(checkpoint)
    assert "--" not in str(caught.value)


def test_command_lines_in_messages_stay_as_they_are_typed() -> None:
    error = ConfigError(f"{named('top_k', 3)} is more than {named('min_p')}.\nGo on: minigpt train --resume run")
    assert str(error) == "top_k=3 is more than min_p=.\nGo on: minigpt train --resume run"
    assert error.settings == ("top_k", "min_p")
    assert repr(ConfigError(f"{named('top_k', 3)} is odd.")) == "ConfigError('top_k=3 is odd.')"


def test_the_folder_of_a_model_is_named_as_load_names_it(
    checkpoint: api.Checkpoint, make_baseline: Callable[..., Any]
) -> None:
    asked = replace(checkpoint, model=make_baseline("lstm", checkpoint.tokenizer.vocab_size))
    with pytest.raises(ConfigError, match=r"Name the folder of a GPT with path=\.$"):
        asked.attend(TEXT)


# Training


def test_training_returns_the_best_model_and_says_nothing(notes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    steps: list[TrainRecord] = []
    told: list[str] = []
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    handlers = []

    def watch(record: TrainRecord) -> None:
        steps.append(record)
        handlers.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])

    trained = minigpt.train(
        "notes.txt", steps=4, eval_every=2, out="run", learning_rate=0.01, on_step=watch, on_note=told.append, **TINY
    )
    assert capfd.readouterr() == ("", "")
    assert [record.step for record in steps] == [0, 1, 2, 3, 4]
    assert all(seen == before for seen in handlers)
    assert trained.path == Path("run")
    assert trained.model.config.width == 32
    assert not trained.model.training
    assert trained.next("The quick").candidates
    assert [row.final for row in trained.history("The")][-1]
    assert all("." in sentence for sentence in told)


def test_numbers_of_numpy_are_numbers(notes: Path, checkpoint: api.Checkpoint) -> None:
    grid = checkpoint.attend("a b", layer=np.int64(2), head=np.int32(1))
    assert (type(grid.layer), type(grid.head)) == (int, int)
    plain = {"max_tokens": 3, "seed": 1, "temperature": 0.5}
    given = {"max_tokens": np.int32(3), "seed": np.int64(1), "temperature": np.float32(0.5)}
    assert [p.text for p in checkpoint.sample("The", **given)] == [p.text for p in checkpoint.sample("The", **plain)]
    minigpt.train(notes, out="run", **{**TINY, "steps": np.int64(1), "width": np.int64(32)})
    assert json.loads(Path("run/run.json").read_text())["train"]["steps"] == 1
    with pytest.raises(ConfigError, match=r"max_tokens= is 1\.5, where a whole number must be"):
        checkpoint.sample("The", max_tokens=np.float32(1.5))


def test_a_note_says_that_it_validates_on_what_it_trains_on(notes: Path) -> None:
    told: list[str] = []
    minigpt.train(notes, steps=1, val=str(notes), on_note=told.append, **TINY)
    (note,) = [sentence for sentence in told if "both trained on and validated on" in sentence]
    assert note.endswith("Without val=, the end of the text is held out.")


def test_the_run_is_the_commands_own(notes: Path, request: pytest.FixtureRequest) -> None:
    here = minigpt.train(notes, steps=3, out="here", seed=5, **TINY)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    there = ["train", str(notes), "--steps", "3", "--out", "there", "--seed", "5", "--quiet", *flags]
    assert request.getfixturevalue("minigpt")(*there).exit_code == 0
    weights = [Path(run, "model.safetensors").read_bytes() for run in ("here", "there")]
    assert weights[0] == weights[1]
    assert minigpt.load("there").next("The") == here.next("The")


def test_a_given_model_is_trained_further(notes: Path, checkpoint: api.Checkpoint) -> None:
    further = minigpt.train([notes], steps=2, base=checkpoint.path, out="further", device="cpu")
    assert further.model.config.width == checkpoint.model.config.width
    assert further.tokenizer.to_json() == checkpoint.tokenizer.to_json()


def test_a_training_can_be_stopped(notes: Path) -> None:
    steps: list[TrainRecord] = []
    stopped = minigpt.train(
        notes, steps=50, out="run", on_step=steps.append, stopped=lambda: len(steps) > 3, eval_every=1, **TINY
    )
    assert 3 < len(steps) < 50
    assert stopped.next("The").candidates


def test_what_a_watcher_raises_passes_and_the_run_is_kept(notes: Path) -> None:
    def watch(record: TrainRecord) -> None:
        if record.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minigpt.train(notes, steps=50, out="run", on_step=watch, **TINY)
    assert minigpt.load("run").next("The").candidates


def test_minutes_plan_the_training(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigpt.training import run

    monkeypatch.setattr(run, "_LAST_SECONDS", 0.0)
    given = {name: value for name, value in TINY.items() if name != "vocab_size"}
    trained = minigpt.train(notes, minutes=0.05, out="run", **given)
    assert trained.path == Path("run")


def test_the_settings_are_the_commands() -> None:
    names = {field.name for kind in (Choices, TrainConfig) for field in fields(kind)}
    assert names - set(api._SETTINGS) == {"seconds", "steps_suffice"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": "x"}, 'steps= is "x", where a whole number must be.'),
        ({"steps": 1.5}, "steps= is 1.5, where a whole number must be."),
        ({"steps": 1, "dropout": "0.1"}, 'dropout= is "0.1", where a number must be.'),
        ({"minutes": "3"}, 'minutes= is "3", where a number must be.'),
        ({"steps": 1, "tokenizer": 7}, "tokenizer= is 7, where a text must be."),
        ({"steps": 1, "save_every": True}, "save_every= is true, where a whole number must be."),
        ({"steps": 1, "on_step": "x"}, "on_step= must be a function, not 'x'."),
        ({"steps": 1, "on_note": None}, "on_note= must be a function, not None."),
        ({"steps": 1, "stopped": True}, "stopped= must be a function, not True."),
    ],
)
def test_a_setting_of_another_type_is_refused_before_anything_is_written(
    setting: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("some text " * 100)
    with pytest.raises(ConfigError) as error:
        minigpt.train(tmp_path / "a.txt", out=tmp_path / "run", **setting)
    assert str(error.value) == message
    assert not (tmp_path / "run").exists()


def test_a_name_that_no_disk_takes_is_no_checkpoint() -> None:
    with pytest.raises(minigpt.MinigptError) as error:
        minigpt.load("x" * 5000)
    assert len(str(error.value)) < 200
