"""A run that is stopped or killed goes on exactly where it was: weights, moments and logged losses to the bit."""

import errno
import json
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from minigpt.checkpoint.claim import claim
from minigpt.checkpoint.folder import load
from minigpt.checkpoint.listing import list_runs
from minigpt.checkpoint.run_folder import RunFolder, load_state, load_tokens, save_state
from minigpt.checkpoint.runs import FINISHED
from minigpt.errors import CheckpointError, ConfigError, CorpusError, OutputError, TrainingError
from minigpt.settings import TrainConfig
from minigpt.text import shards
from minigpt.text.corpus import Corpus
from minigpt.training import loop as loop_module
from minigpt.training import run as run_module
from minigpt.training.plan import Choices, make_plan
from minigpt.training.resume import open_run
from minigpt.training.run import build_model, model_card, run, run_info

CPU = torch.device("cpu")
CHOICES = Choices(
    layers=2, heads=2, width=16, context=16, batch_size=2, vocab_size=300, learning_rate=1e-2, dropout=0.2
)
MODEL = {"vocab_size": 300, "context": 16, "layers": 2, "heads": 2, "width": 16}
SETTINGS = TrainConfig(steps=12, eval_every=4, warmup_steps=2)


def begin(
    text: Corpus, name: str, stopped: Callable[[], bool] = lambda: False, settings: TrainConfig = SETTINGS
) -> Path:
    plan = make_plan(text, None, CHOICES, settings)
    model = build_model(plan, CPU)
    folder = RunFolder(claim("", Path(name), overwrite=False), plan.tokenizer, run_info(plan, CHOICES, CPU))
    folder.start(model, model_card(plan), plan.data)
    list(run(plan, model, folder, stopped))
    return folder.path


def go_on(path: Path, stopped: Callable[[], bool] = lambda: False, steps: int | None = None) -> None:
    plan, folder = open_run(path, {}, steps)
    list(run(plan, build_model(plan, CPU), folder, stopped, resume=True))


def stop_after(questions: int) -> Callable[[], bool]:
    """A stop signal that comes when it has been asked for so many times, in steps and in evaluations."""
    return chain(repeat(False, questions), repeat(True)).__next__


def log(path: Path) -> list[dict[str, Any]]:
    """train.jsonl without what a clock says."""
    file = path / "train.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [{k: v for k, v in r.items() if k not in ("seconds", "tokens_per_second")} for r in records]


def assert_same_run(a: Path, b: Path) -> None:
    assert log(a) == log(b)
    for file in ("model.safetensors", "resume/state.safetensors"):
        left, right = load_file(a / file), load_file(b / file)
        assert left.keys() == right.keys()
        assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert sorted(p.name for p in a.glob("snapshots/*")) == sorted(p.name for p in b.glob("snapshots/*"))


@pytest.mark.parametrize("questions", [0, 1, 2, 3, 5, 9, 14, 20, 25, 33])
def test_a_stopped_run_goes_on_to_the_bit(text: Corpus, questions: int) -> None:
    whole = begin(text, "whole")
    parts = begin(text, "parts", stop_after(questions))
    assert len(log(parts)) < len(log(whole))
    go_on(parts)
    assert_same_run(whole, parts)
    assert json.loads((parts / "run.json").read_text())["status"] in FINISHED


def test_a_run_that_was_stopped_in_shorter_windows_goes_on_in_them(text: Corpus) -> None:
    settings = replace(SETTINGS, context_warmup=0.9)
    whole = begin(text, "whole", settings=settings)
    parts = begin(text, "parts", stop_after(3), settings)
    go_on(parts)
    assert_same_run(whole, parts)
    usual = begin(text, "usual")
    assert not torch.equal(load(whole).model.wte.weight, load(usual).model.wte.weight)


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_positions_that_are_given_stay_as_they_are(text: Corpus, positions: str) -> None:
    settings = replace(SETTINGS, positions=positions, weight_decay=1.0)
    whole = begin(text, "whole", settings=settings)
    parts = begin(text, "parts", stop_after(9), settings)
    go_on(parts)
    assert_same_run(whole, parts)
    given = build_model(open_run(whole, {})[0]).wpe.weight
    assert torch.equal(load(whole).model.wpe.weight, given)
    kept = load_file(whole / "resume/state.safetensors")
    assert torch.equal(kept["model.wpe.weight"], given)
    assert [name for name in kept if name.startswith("optimizer") and "wpe" in name] == []


def test_a_run_on_mapped_ids_goes_on_to_the_bit(text: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = begin(text, "whole")
    monkeypatch.setattr(shards, "_IN_MEMORY", 0)
    monkeypatch.setattr(shards, "_SHARD", 100)
    parts = begin(text, "parts", stop_after(5))
    assert isinstance(load_tokens(parts).train, shards.Shards)
    go_on(parts)
    assert_same_run(whole, parts)


def test_a_run_may_be_stopped_again_and_again(text: Corpus) -> None:
    whole, parts = begin(text, "whole"), begin(text, "parts", stop_after(1))
    for _ in range(60):
        go_on(parts, stop_after(6))
    assert_same_run(whole, parts)


def test_while_a_run_goes_on_it_has_no_end(text: Corpus) -> None:
    """So that `minigpt runs` takes its steps from the log; a kill leaves run.json like that."""
    path = begin(text, "parts", stop_after(5))
    stopped_at = json.loads((path / "run.json").read_text())["steps_taken"]
    plan, folder = open_run(path, {})
    records = run(plan, build_model(plan, CPU), folder, lambda: False, resume=True)
    reached = max(next(records)[0].step for _ in range(2))
    (listed,) = list_runs(path.parent)
    assert (listed.status, listed.steps) == ("running", reached)
    assert reached > stopped_at
    records.close()
    assert json.loads((path / "run.json").read_text())["steps_taken"] == reached


def test_what_was_logged_after_the_last_state_is_forgotten(text: Corpus) -> None:
    whole, parts = begin(text, "whole"), begin(text, "parts", stop_after(9))
    with (parts / "train.jsonl").open("a") as file:  # as a kill -9 leaves it, whose state is older
        file.write(json.dumps({**json.loads((whole / "train.jsonl").read_text().splitlines()[-1]), "step": 11}) + "\n")
    go_on(parts)
    assert_same_run(whole, parts)


def test_a_run_that_was_killed_before_its_first_state_begins_again(text: Corpus) -> None:
    whole, parts = begin(text, "whole"), begin(text, "parts", stop_after(0))
    (parts / "resume/state.safetensors").unlink()
    go_on(parts)
    assert_same_run(whole, parts)


def test_a_model_that_is_better_than_the_last_state_knew_stays(text: Corpus) -> None:
    path = begin(text, "run", stop_after(9))
    info = json.loads((path / "run.json").read_text())
    saved = {"step": 11, "validation_loss_nats": 0.5, "validation_bits_per_byte": 0.25}
    (path / "run.json").write_text(json.dumps({**info, "saved": saved}))  # as a kill -9 leaves it
    before = (path / "model.safetensors").read_bytes()
    go_on(path)
    assert json.loads((path / "run.json").read_text())["saved"] == saved
    assert (path / "model.safetensors").read_bytes() == before


def test_without_validation_a_stop_keeps_the_latest_model(text: Corpus) -> None:
    plan = make_plan(text, None, replace(CHOICES, val_fraction=0), replace(SETTINGS, steps=40, eval_every=5))
    folder = RunFolder(claim("", Path("run"), overwrite=False), plan.tokenizer, run_info(plan, CHOICES, CPU))
    folder.start(build_model(plan, CPU), model_card(plan), plan.data)
    list(run(plan, build_model(plan, CPU), folder, stop_after(9)))
    assert folder.info["saved"]["step"] == 8
    state, _ = load_state(folder.path)
    assert load(folder.path).model.wte.weight.equal(state["model.wte.weight"])


def test_weights_that_are_no_numbers_are_never_kept(text: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that breaks them tells a loss of before it."""
    steps = iter(range(1, 100))

    class Breaks(run_module.Trainer):
        def _take(self, step: int) -> Any:
            taken = super()._take(step)
            if next(steps) == 8:
                self.model.wte.weight.detach().fill_(float("nan"))
            return taken

    monkeypatch.setattr(run_module, "Trainer", Breaks)
    plan = make_plan(text, None, replace(CHOICES, val_fraction=0), replace(SETTINGS, eval_every=1))
    folder = RunFolder(claim("", Path("run"), overwrite=False), plan.tokenizer, run_info(plan, CHOICES, CPU))
    folder.start(build_model(plan, CPU), model_card(plan), plan.data)
    with pytest.raises(TrainingError, match=r"At step 9 the loss is no longer a number.*\n.*keeps the model of step 7"):
        list(run(plan, build_model(plan, CPU), folder, lambda: False, save_every=1))
    tensors, values = load_state(folder.path)
    assert values["step"] == 7
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    assert load(folder.path).model.wte.weight.isfinite().all()


@pytest.mark.parametrize(
    ("given", "stored"), [({"vocab_size": 5000}, 5000), ({"precision": "auto"}, "auto"), ({"context": 16}, 16)]
)
def test_what_was_asked_for_may_be_given_again(text: Corpus, given: dict[str, Any], stored: object) -> None:
    choices = replace(CHOICES, vocab_size=5000)  # more than the text gives
    plan = make_plan(text, None, choices, replace(SETTINGS, steps=1))
    assert plan.model.vocab_size < 5000
    folder = RunFolder(claim("", Path("run"), overwrite=False), plan.tokenizer, run_info(plan, choices, CPU))
    folder.start(build_model(plan), model_card(plan), plan.data)
    list(run(plan, build_model(plan), folder, lambda: False))
    assert open_run(folder.path, given)[1].info["choices"]["vocab_size"] == 5000
    (name,) = given
    with pytest.raises(ConfigError, match="differs from this run's"):
        open_run(folder.path, {name: "other" if isinstance(stored, str) else 77})


def test_a_finished_run_can_be_trained_longer(text: Corpus) -> None:
    path = begin(text, "run")
    before = log(path)
    go_on(path, steps=18)
    after = log(path)
    assert after[: len(before)] == before
    assert [record["step"] for record in after] == list(range(19))
    assert json.loads((path / "run.json").read_text())["train"]["steps"] == 18


# Losses as if the text were memorised after a while, far from what so small a model would do.
PATIENT = replace(SETTINGS, steps=40, patience=2, learning_rate=1e-2)


def rising_from(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = loop_module.evaluate

    def evaluate(model: Any, *args: Any, **options: Any) -> Any:
        found = measured(model, *args, **options)
        now = rising_from.trainer.step  # type: ignore[attr-defined]
        return found and replace(found, loss_nats=5.0 + (now if now > step else -now) / 100)

    class Watched(run_module.Trainer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            rising_from.trainer = self  # type: ignore[attr-defined]

    monkeypatch.setattr(loop_module, "evaluate", evaluate)
    monkeypatch.setattr(run_module, "Trainer", Watched)


@pytest.mark.parametrize("questions", [5, 14, 20, 25, 33, 40])
def test_a_run_that_goes_on_ends_early_where_it_would_have(
    text: Corpus, monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    rising_from(9, monkeypatch)
    whole = begin(text, "whole", settings=PATIENT)
    parts = begin(text, "parts", stop_after(questions), settings=PATIENT)
    for _ in range(20):
        go_on(parts, stop_after(7))
    assert_same_run(whole, parts)
    for path in (whole, parts):
        info = json.loads((path / "run.json").read_text())
        assert info["status"] in FINISHED
        assert (info["stopped_early"], info["saved"]["step"]) == (16, 9)


def test_killed_just_before_its_early_end_a_run_still_ends_there(text: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    rising_from(9, monkeypatch)
    path = begin(text, "run", settings=PATIENT)
    before = log(path)
    info = json.loads((path / "run.json").read_text())
    del info["stopped_early"]
    (path / "run.json").write_text(json.dumps({**info, "status": "running"}))
    go_on(path)
    assert log(path) == before
    assert json.loads((path / "run.json").read_text())["stopped_early"] == 16


def test_a_run_that_ended_early_can_be_trained_longer_with_new_patience(
    text: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    rising_from(9, monkeypatch)
    path = begin(text, "run", settings=PATIENT)
    with pytest.raises(ConfigError, match=r"steps=16 is the total, of which this run has 16 behind it: give more"):
        open_run(path, {}, 16)
    assert open_run(path, {}, 40)[1].info["status"] in FINISHED  # the same again is no change
    go_on(path, steps=60)
    assert max(record["step"] for record in log(path)) == 24  # 16, and two evaluations more
    info = json.loads((path / "run.json").read_text())
    assert info["trained_longer"] == [{"from_step": 16, "steps": 60}]
    assert (info["train"]["steps"], info["stopped_early"]) == (60, 24)


def test_other_steps_for_a_run_that_is_not_finished_are_refused(text: Corpus) -> None:
    path = begin(text, "run", stop_after(9))
    with pytest.raises(ConfigError, match=r"This run \(steps=12\) is not finished"):
        open_run(path, {}, 18)
    assert open_run(path, {}, 12)[0].train.steps == 12


def test_fewer_steps_for_a_finished_run_are_refused(text: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"steps=5 is the total, of which this run has 12 behind it"):
        open_run(begin(text, "run"), {}, 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 32}, "width=32 differs from this run's 16"),
        ({"batch_size": 4}, "batch_size=4 differs from this run's 2"),
        ({"tokenizer": "char"}, "tokenizer=char differs from this run's bpe"),
        ({"seed": 9}, "seed=9 differs from this run's 1"),
        ({"out": Path("elsewhere")}, "out= does not go with resume="),
    ],
)
def test_changed_flags_are_refused_by_name(text: Corpus, given: dict[str, Any], message: str) -> None:
    path = begin(text, "run", stop_after(9))
    with pytest.raises(ConfigError, match=message):
        open_run(path, given, None)


def test_flags_that_say_the_same_again_are_no_change(text: Corpus) -> None:
    path = begin(text, "run", stop_after(9))
    assert open_run(path, {"width": 16, "seed": 1, "batch_size": 2}, None)[0].model.width == 16


def test_changed_text_is_refused_by_name_and_a_text_that_is_gone_is_not_needed(text: Corpus) -> None:
    whole, path = begin(text, "whole"), begin(text, "run", stop_after(9))
    notes = Path("notes.txt").read_text("utf-8")
    Path("notes.txt").write_text(notes + "more", "utf-8")
    with pytest.raises(CorpusError, match=r"notes.txt has changed since this run began"):
        open_run(path, {}, None)
    Path("notes.txt").unlink()
    go_on(path)
    assert_same_run(whole, path)


def test_the_ids_are_kept_as_they_are(text: Corpus) -> None:
    plan = make_plan(text, None, CHOICES, SETTINGS)
    kept = load_tokens(begin(text, "run", stop_after(0)))
    assert kept.train.dtype == plan.data.train.dtype
    assert (kept.train.tolist(), kept.validation.tolist()) == (plan.data.train.tolist(), plan.data.validation.tolist())


def test_the_state_is_kept_every_so_many_steps(text: Corpus) -> None:
    plan = make_plan(text, None, CHOICES, replace(SETTINGS, steps=30, eval_every=30))
    model = build_model(plan, CPU)
    folder = RunFolder(claim("", Path("run"), overwrite=False), plan.tokenizer, run_info(plan, CHOICES, CPU))
    folder.start(model, "", plan.data)
    kept = []
    for record, _ in run(plan, model, folder, lambda: False, save_every=7):
        kept.append((record.step, load_state(folder.path)[1]["step"]))
    assert [state for step, state in kept if step in (6, 7, 13, 14, 27, 28)] == [0, 7, 7, 14, 21, 28]


@pytest.mark.parametrize("name", ["state.safetensors", "tokens/manifest.json", "tokens/train-00000.bin"])
@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_damaged_files_are_one_clear_error(text: Corpus, name: str, damage: bytes | None) -> None:
    path = begin(text, "run", stop_after(9))
    file = path / "resume" / name
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"go on|be resumed"):
        go_on(path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"parameters": 10**400}, "parameters is a number too large"),
        ({"name": 7}, "name is 7, where a text must be"),
        ({"choices": 1.5}, "choices is 1.5, where an object must be"),
        ({"trained_longer": [{}]}, r"trained_longer\[0\] has no from_step"),
        ({"seconds_taken": 0}, "seconds_taken is 0.0, where a number of seconds above 0"),
        ({"seconds_taken": 1e19}, "seconds_taken is 1e\\+19, where a number of seconds above 0"),
        ({"corpus": {"sources": []}}, "corpus has no bytes"),
        ({"train": {"later": 1}}, 'train has an unknown name, "later"'),
        ({"train": {"steps": 0}}, "steps= must be 1 or more"),
        ({"model": {**MODEL, "inner_width": 0}}, "The MLP's width must be 1 or more"),
        ({"model": {**MODEL, "activation": "x"}}, "The activation must be one of"),
        ({"text": {"corpus": ["\ud800"]}}, "half a character"),
    ],
)
def test_a_damaged_run_json_is_told_with_the_place(text: Corpus, change: dict[str, Any], what: str) -> None:
    path = begin(text, "run", stop_after(5))
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**info, **change}))
    with pytest.raises(CheckpointError, match=rf"^run/run\.json.*{what}"):
        open_run(path, {}, None)


def test_an_empty_list_of_longer_trainings_is_none(text: Corpus) -> None:
    path = begin(text, "run")
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**info, "trained_longer": [], "saved": None}))
    go_on(path, steps=14)
    assert json.loads((path / "run.json").read_text())["trained_longer"] == [{"from_step": 12, "steps": 14}]


def test_another_model_than_that_of_the_folder_is_refused_before_it_is_built(text: Corpus) -> None:
    path = begin(text, "run", stop_after(5))
    info = json.loads((path / "run.json").read_text())
    info["model"]["width"] = 2**30
    (path / "run.json").write_text(json.dumps(info))
    with pytest.raises(CheckpointError, match=r"run/run\.json has another model than run/config\.json"):
        open_run(path, {}, None)


@pytest.mark.parametrize("names", [["model.wte.weight"], ["optimizer.exp_avg.wte.weight"], ["extra"], ["reshaped"]])
def test_a_state_of_other_tensors_is_refused(text: Corpus, names: list[str]) -> None:
    path = begin(text, "run", stop_after(9))
    tensors, values = load_state(path)
    kept = {name: tensor for name, tensor in tensors.items() if name not in names}
    if names == ["extra"]:
        kept["optimizer.exp_avg.nothing"] = torch.zeros(3)
    if names == ["reshaped"]:
        kept["model.ln_f.bias"] = torch.zeros(3)
    save_state(path, kept, values)
    with pytest.raises(
        CheckpointError, match=r"run/resume/state\.safetensors cannot be read, .*be resumed: (model|optim)"
    ):
        go_on(path)


def test_a_folder_without_a_run_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no run that can be resumed"):
        open_run(Path("nowhere"), {}, None)


# A full disk


class FullDisk:
    """From a step on, no file of this name can be put in its place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.name, self.is_full, self.replace = name, False, os.replace
        monkeypatch.setattr(os, "replace", self)

    def __call__(self, old: Any, new: Any) -> None:
        if self.is_full and str(new).endswith(self.name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
        self.replace(old, new)

    def fill_after_7(self, step: int) -> None:
        self.is_full = step >= 7


def go_on_watched(path: Path, watch: Callable[[int], None], save_every: int = 3) -> None:
    plan, folder = open_run(path, {}, None)
    for record, _ in run(plan, build_model(plan, CPU), folder, lambda: False, resume=True, save_every=save_every):
        watch(record.step)


@pytest.mark.parametrize(
    "name",
    ["resume/state.safetensors", "run/model.safetensors", "run/run.json", "step-000020/model.safetensors",
     "step-000020/config.json"],
)  # fmt: skip
def test_a_full_disk_ends_the_run_and_what_was_there_goes_on(
    text: Corpus, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = replace(SETTINGS, steps=20)
    whole = begin(text, "whole", settings=settings)
    path = begin(text, "run", stop_after(14), settings=settings)
    kept, weights = load_state(path)[1], load(path).model.wte.weight
    disk = FullDisk(monkeypatch, name)
    with pytest.raises(OutputError, match=rf"{name} cannot be written: No space left on device. What was saved before"):
        go_on_watched(path, disk.fill_after_7)
    assert load_state(path)[1]["step"] >= kept["step"]
    assert load(path).model.wte.weight.shape == weights.shape
    assert list(path.rglob(".*.tmp")) == []
    disk.is_full = False
    go_on(path)
    assert_same_run(whole, path)


def test_a_disk_that_fills_up_within_a_line_of_the_log(text: Corpus) -> None:
    settings = replace(SETTINGS, steps=20, snapshots=0)
    whole = begin(text, "whole", settings=settings)
    path = begin(text, "run", stop_after(14), settings=settings)
    limits, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(step: int) -> None:
        if step == 17:
            half = (path / "train.jsonl").stat().st_size + 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (half, limits[1]))

    try:
        with pytest.raises(OutputError, match=r"run/train.jsonl cannot be written: File too large"):
            go_on_watched(path, limit, save_every=1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not (path / "train.jsonl").read_text().endswith("\n")
    assert [record.step for record in open_run(path, {}, None)[1].logged()] == list(range(18))
    go_on(path)
    assert_same_run(whole, path)


# The command


def test_resume_refuses_changed_flags_and_says_when_a_run_is_finished(
    text: Corpus, minigpt: Callable[..., Any]
) -> None:
    begin(text, "checkpoints/run")
    command = ("train", "--threads", "1", "-q", "--resume")
    changed = minigpt(*command, "latest", "--width", "32")
    assert (changed.exit_code, changed.stdout) == (2, "")
    assert changed.stderr == "minigpt train: --width 32 differs from this run's 16. Leave it out.\n"
    finished = minigpt(*command, "checkpoints/run")
    assert finished.exit_code == 0
    assert "this run is finished, after 12 steps" in finished.stdout
