"""A run's folder: claimed without overwriting, whole at any moment, loadable from its first second."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from minigpt.checkpoint import run_folder as run_module
from minigpt.checkpoint.claim import Scratch, claim
from minigpt.checkpoint.folder import load
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.run_folder import RunFolder
from minigpt.checkpoint.runs import newest_run
from minigpt.errors import CheckpointError, ConfigError, OutputError
from minigpt.models.gpt import GPT
from minigpt.text.shards import TokenData
from minigpt.text.tokenizer import Tokenizer

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
INFO = {"date": "2026-01-01T00:00:00.000000+00:00", "status": "running"}
RECORD = TrainRecord(
    step=7, tokens=896, epoch=0.5, seconds=1.0, tokens_per_second=900.0, loss_nats=3.5, learning_rate=1e-3,
    gradient_norm=0.9, validation_loss_nats=3.25, validation_bits_per_byte=1.75,
)  # fmt: skip

DATA = TokenData(np.arange(20, dtype=np.uint16), np.arange(5, dtype=np.uint16))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(model: GPT, bpe: Tokenizer) -> RunFolder:
    made = RunFolder(claim("notes", None, overwrite=False), bpe, dict(INFO))
    made.start(model, "a card", DATA)
    return made


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def metadata(folder: Path) -> dict[str, str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return dict(file.metadata())


# claim


def test_a_second_run_of_a_name_gets_a_number() -> None:
    claimed = [claim("notes", None, overwrite=False) for _ in range(3)]
    assert claimed == [Path("checkpoints", name) for name in ("notes", "notes-2", "notes-3")]


def test_two_runs_at_once_never_take_the_same_folder() -> None:
    with ThreadPoolExecutor(16) as pool:
        claimed = list(pool.map(lambda _: claim("notes", None, overwrite=False), range(64)))
    assert len(set(claimed)) == 64


def test_out_may_be_new_deep_or_empty() -> None:
    Path("empty").mkdir()
    assert claim("notes", Path("a/b/c"), overwrite=False).is_dir()
    assert claim("notes", Path("empty"), overwrite=False) == Path("empty")
    assert not Path("checkpoints").exists()


def test_out_that_holds_a_run_is_refused_and_stays_as_it_is(folder: RunFolder) -> None:
    before = contents(folder.path)
    with pytest.raises(OutputError, match=r"already holds a run\. .*overwrite=.*: minigpt train --resume "):
        claim("notes", folder.path, overwrite=False)
    assert contents(folder.path) == before


LOCKS = """
import sys
from pathlib import Path
from minigpt.checkpoint.files import locked
file = locked(Path(sys.argv[1]), "held")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(model: GPT, bpe: Tokenizer) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """The folder of a run that another process is training, and that process."""
    folder = RunFolder(claim("notes", None, overwrite=False), bpe, dict(INFO))
    folder.start(model, "a card", DATA)
    path = folder.path
    del folder
    command = [sys.executable, "-c", LOCKS, str(path / "resume" / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        yield path, other
        other.kill()


def test_a_run_that_another_process_trains_is_left_alone_until_that_ends(
    held: tuple[Path, "subprocess.Popen[bytes]"], bpe: Tokenizer
) -> None:
    path, other = held
    before = contents(path)
    with pytest.raises(OutputError, match="is being trained by another process"):
        RunFolder(path, bpe, dict(INFO)).hold()
    with pytest.raises(OutputError, match="holds a run that another process is training"):
        claim("notes", path, overwrite=True)
    assert contents(path) == before
    other.kill()
    other.wait()
    RunFolder(path, bpe, dict(INFO)).hold()
    assert claim("notes", path, overwrite=True) == path


def test_what_a_killed_process_left_of_a_text_is_removed_and_what_is_in_use_is_not() -> None:
    left, used = Path("checkpoints/.tokens-left/tokens"), Path("checkpoints/.tokens-used/tokens")
    for path in (left, used):
        path.mkdir(parents=True)
        path.with_name("lock").touch()
    command = [sys.executable, "-c", LOCKS, str(used.with_name("lock"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with Scratch() as scratch:
            places = [scratch.new() for _ in range(2)]
            assert [place.parent.is_dir() for place in (*places, used, left)] == [True, True, True, False]
        other.kill()
    assert names(Path("checkpoints")) == {".tokens-used"}


@pytest.mark.parametrize("absolute", [False, True])
def test_the_second_place_for_a_text_leaves_the_first_alone(absolute: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mkdtemp` names an absolute path since Python 3.12, and the one that it was given before."""

    def made(prefix: str, dir: Path) -> str:
        name = tempfile.mkdtemp(prefix=prefix, dir=dir)
        return os.path.abspath(name) if absolute else os.path.relpath(name)

    monkeypatch.setattr("minigpt.checkpoint.claim.mkdtemp", made)
    with Scratch() as scratch:
        first = scratch.new()
        first.mkdir()
        second = scratch.new()
        assert first.is_dir()
        assert second.parent.is_dir()
    assert not Path("checkpoints").exists()


def test_a_disk_without_locks_locks_nothing_and_nothing_is_removed_there(
    monkeypatch: pytest.MonkeyPatch, folder: RunFolder
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.lockf", refuse)
    folder.hold()
    used = Path("checkpoints/.tokens-used/lock")
    used.parent.mkdir()
    used.touch()
    with Scratch() as scratch:
        scratch.new()
        assert used.exists()


def test_overwriting_unlinks_what_is_linked_and_can_be_tried_again(folder: RunFolder) -> None:
    folder.path.joinpath("resume").rename("elsewhere")
    folder.path.joinpath("resume").symlink_to(Path("elsewhere").absolute())
    assert claim("notes", folder.path, overwrite=True) == folder.path
    assert names(folder.path) == set()
    assert Path("elsewhere/tokens").is_dir()


def test_of_two_that_start_in_one_folder_the_second_touches_nothing(
    held: tuple[Path, Any], model: GPT, bpe: Tokenizer
) -> None:
    path, other = held
    before = contents(path)
    with pytest.raises(OutputError, match="is being trained by another process"):
        RunFolder(path, bpe, dict(INFO)).start(model, "a card", DATA)
    other.kill()
    other.wait()
    with pytest.raises(OutputError, match="already holds a run"):
        RunFolder(path, bpe, dict(INFO)).start(model, "a card", DATA)
    assert contents(path) == before


def test_what_was_half_written_is_removed_and_nothing_of_yours(folder: RunFolder) -> None:
    ours = (folder.path / ".model.safetensors.123.tmp", folder.path / "resume" / ".tmpA1b2C3")
    yours = (folder.path / ".notes.tmp", folder.path / ".tmp.driveupload")
    for path in (*ours, *yours):
        path.write_text("")
    (folder.path / ".~tmp~").mkdir()
    (folder.path / ".a.1.tmp").mkdir()
    folder.tidy()
    assert [path.exists() for path in (*ours, *yours)] == [False, False, True, True]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_start_leaves_nothing(
    model: GPT, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    def stop(*_: object) -> None:
        raise interrupt

    monkeypatch.setattr(run_module, "save_tokens", stop)
    made = RunFolder(claim("notes", Path("out"), overwrite=False), bpe, dict(INFO))
    with pytest.raises(interrupt):
        made.start(model, "a card", DATA)
    assert not Path("out").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_touched(overwrite: bool) -> None:
    Path("mine").mkdir()
    Path("mine/model.safetensors").write_text("precious")
    with pytest.raises(OutputError, match="not empty and holds no run"):
        claim("notes", Path("mine"), overwrite=overwrite)
    assert Path("mine/model.safetensors").read_text() == "precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_refused(overwrite: bool) -> None:
    Path("file").write_text("precious")
    for out in ("file", "file/inside"):
        with pytest.raises(OutputError, match="file"):
            claim("notes", Path(out), overwrite=overwrite)
    assert Path("file").read_text() == "precious"


def test_a_name_that_is_not_utf8_is_refused_since_it_could_not_be_loaded() -> None:
    with pytest.raises(ConfigError, match="not UTF-8"):
        claim("notes", Path(os.fsdecode(b"\xff")), overwrite=False)
    assert names(Path()) == set()


def test_checkpoints_that_is_a_file_is_an_error() -> None:
    Path("checkpoints").write_text("")
    with pytest.raises(OutputError, match="checkpoints cannot be made"):
        claim("notes", None, overwrite=False)


def test_overwriting_removes_the_run_and_keeps_what_is_yours(folder: RunFolder, model: GPT) -> None:
    folder.log(RECORD)
    folder.snapshot(model, RECORD)
    Path(folder.path, "notes of mine.txt").write_text("precious")
    Path(folder.path, "snapshots/mine").mkdir()
    assert claim("other", folder.path, overwrite=True) == folder.path
    assert names(folder.path) == {"notes of mine.txt", "snapshots", "resume"}
    assert names(folder.path / "resume") == {"lock"}
    assert names(folder.path / "snapshots") == {"mine"}


def test_what_a_kill_left_of_a_start_is_replaced(folder: RunFolder) -> None:
    (folder.path / "run.json").unlink()
    assert claim("other", folder.path, overwrite=False) == folder.path
    assert names(folder.path) == {"resume"}
    assert names(folder.path / "resume") == {"lock"}


HALF_WRITTEN = (".model.safetensors.123.tmp", ".tmpA1b2C3", "resume/.state.json.77.tmp")


def killed_at_its_start(folder: RunFolder) -> None:
    (folder.path / "run.json").unlink()
    for name in HALF_WRITTEN:
        (folder.path / name).write_text("half")
    (folder.path / "resume/.tokens.123.tmp").mkdir()


def test_of_what_a_kill_left_of_a_start_nothing_is_left_when_it_is_given_again(folder: RunFolder) -> None:
    killed_at_its_start(folder)
    (folder.path / "mine.tmp").write_text("precious")
    assert claim("notes", folder.path, overwrite=False) == folder.path
    assert names(folder.path) == {"resume", "mine.tmp"}
    assert names(folder.path / "resume") == {"lock"}


def test_a_name_whose_start_was_killed_is_taken_again(model: GPT, bpe: Tokenizer) -> None:
    made = RunFolder(claim("notes", None, overwrite=False), bpe, dict(INFO))
    made.start(model, "a card", DATA)
    killed_at_its_start(made)
    path = claim("notes", None, overwrite=False)
    assert path == made.path
    assert names(path) == {"resume"}
    RunFolder(path, bpe, dict(INFO)).start(model, "a card", DATA)
    assert load(path).model.config == model.config
    assert claim("notes", None, overwrite=False) != path


def test_a_name_is_not_taken_again_where_a_run_got_further_or_is_at_work(
    held: tuple[Path, "subprocess.Popen[bytes]"],
) -> None:
    path, other = held
    (path / "run.json").unlink()  # as before it is written
    before = contents(path)
    assert claim("notes", None, overwrite=False) != path
    other.kill()
    other.wait()
    (path / "train.jsonl").write_text("")
    assert claim("notes", None, overwrite=False) != path
    (path / "train.jsonl").unlink()
    assert contents(path) == before
    assert claim("notes", None, overwrite=False) == path


def test_overwriting_may_start_from_nothing() -> None:
    assert claim("notes", Path("new"), overwrite=True).is_dir()


# start, log, save, snapshot


def test_the_folder_can_be_loaded_from_the_start(folder: RunFolder, model: GPT) -> None:
    loaded = load(folder.path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)
    assert metadata(folder.path) == {"format": "pt", "step": "0"}
    assert json.loads((folder.path / "run.json").read_text()) == INFO
    assert names(folder.path) == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
        "README.md", "run.json", "resume",
    }  # fmt: skip


def test_save_puts_the_model_at_the_root_and_the_losses_beside_it(
    folder: RunFolder, model: GPT, make_model: Callable[..., GPT]
) -> None:
    other = make_model(model.config.vocab_size, seed=5)
    folder.save(other, RECORD)
    assert torch.equal(load(folder.path).model.wte.weight, other.wte.weight)
    saved = {"step": 7, "loss_nats": 3.5, "validation_loss_nats": 3.25, "validation_bits_per_byte": 1.75}
    assert json.loads((folder.path / "run.json").read_text())["saved"] == saved
    assert metadata(folder.path) == {"format": "pt", **{name: str(value) for name, value in saved.items()}}


def test_a_snapshot_is_a_checkpoint_of_half_the_size(folder: RunFolder, model: GPT) -> None:
    folder.snapshot(model, RECORD)
    snapshot = folder.path / "snapshots/step-000007"
    assert torch.equal(load(snapshot).model.wte.weight, model.wte.weight.to(torch.bfloat16).float())
    assert metadata(snapshot)["step"] == "7"
    assert metadata(snapshot)["validation_bits_per_byte"] == "1.75"
    assert json.loads((snapshot / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_log_has_one_record_a_line_and_no_nan(folder: RunFolder) -> None:
    folder.log(RECORD)
    nan = float("nan")
    folder.log(TrainRecord(step=8, tokens=1, epoch=0.0, seconds=0.0, tokens_per_second=0.0, loss_nats=nan,
                           learning_rate=1.0, gradient_norm=float("inf")))  # fmt: skip
    first, second = map(json.loads, (folder.path / "train.jsonl").read_text().splitlines())
    assert list(first) == [
        "step", "tokens", "epoch", "seconds", "tokens_per_second", "loss_nats", "learning_rate", "gradient_norm",
        "validation_loss_nats", "validation_bits_per_byte",
    ]  # fmt: skip
    assert first["loss_nats"] == 3.5
    assert second["loss_nats"] is None
    assert second["gradient_norm"] is None


# a full disk


def full(*args: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_older_files_as_they_are(
    folder: RunFolder, make_model: Callable[..., GPT], model: GPT, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder.path)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"model.safetensors cannot be written: No space left on device. What was"):
        folder.save(make_model(model.config.vocab_size, seed=5), RECORD)
    assert contents(folder.path) == before


def test_a_run_that_cannot_start_leaves_nothing(model: GPT, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = claim("notes", None, overwrite=False)
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: full() if "model" in str(new) else replace(old, new))
    with pytest.raises(OutputError):
        RunFolder(path, bpe, dict(INFO)).start(model, "a card", DATA)
    assert names(Path("checkpoints")) == set()


def test_a_folder_that_is_gone_is_an_error(folder: RunFolder, model: GPT) -> None:
    folder.path.rename("elsewhere")
    for write in (lambda: folder.log(RECORD), lambda: folder.save(model, RECORD), lambda: folder.update(status="x")):
        with pytest.raises(OutputError, match=r"cannot be written: .*No such file or directory"):
            write()


# newest_run


def test_the_newest_run_is_the_one_with_the_latest_date(model: GPT, bpe: Tokenizer) -> None:
    for name, date in (("b", "2026-03-01"), ("a", "2026-05-01"), ("c", "2026-04-01")):
        RunFolder(claim(name, None, overwrite=False), bpe, {"date": date}).start(model, "", DATA)
    claim("unfinished", None, overwrite=False)
    Path("checkpoints/README.md").write_text("")
    assert newest_run() == Path("checkpoints/a")


def test_without_a_run_the_error_says_what_to_type() -> None:
    with pytest.raises(CheckpointError, match="minigpt train"):
        newest_run()
