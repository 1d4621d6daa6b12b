"""Models by their names on the Hub, from a small server here: what is fetched, what is not, and what goes wrong."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.hub import HubModel, as_hub_model, fetch
from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT

NAME = "someone/toy"
COMMITS = {"main": "a" * 40, "old": "b" * 40}


@dataclass
class FakeHub:
    """Repositories by name, each a folder; revisions are all alike but for their commits. Remembers what was asked."""

    repositories: dict[str, Path] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)  # name -> status, error code
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    address: str = ""

    def files_asked(self) -> set[str]:
        return {path.split("/resolve/")[1].split("/", 1)[1] for path in self.asked if "/resolve/" in path}


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(path)
        self.hub.tokens.add(self.headers.get("Authorization"))
        parts = path.strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if name in self.hub.refused or name not in self.hub.repositories:
            status, code = self.hub.refused.get(name, (404, "RepoNotFound"))
            return self._answer(status, b"{}", {"X-Error-Code": code})
        revision = parts[3] if parts[0] != "api" else parts[5] if len(parts) > 5 else "main"
        commit = COMMITS.get(revision, revision)
        if commit not in COMMITS.values():
            return self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        folder = self.hub.repositories[name]
        if parts[0] != "api":
            return self._file(folder / "/".join(parts[4:]), commit)
        files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        siblings = [{"rfilename": str(p.relative_to(folder))} for p in files]
        return self._json({"_id": "1", "id": name, "sha": commit, "siblings": siblings})

    do_HEAD = do_GET

    def _file(self, path: Path, commit: str) -> None:
        if not path.is_file():
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        return self._answer(200, path.read_bytes(), {"ETag": f'"{_hash(path)}"', "X-Repo-Commit": commit})

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _hash(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture
def hub(checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A server with one model, an empty cache, and a current folder that holds nothing."""
    for name in ("pytorch_model.bin", "tf_model.h5", "modeling.py", "README.md"):
        (checkpoint_folder / name).write_bytes(b"never to be fetched")
    (checkpoint_folder / "onnx").mkdir()
    shutil.copy(checkpoint_folder / "config.json", checkpoint_folder / "onnx")
    fake = FakeHub({NAME: checkpoint_folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": fake}))
    fake.address = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", fake.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", fake.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield fake
    server.shutdown()
    server.server_close()


def fetch_error(name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(name)
    return str(caught.value)


# Names


@pytest.mark.parametrize(
    ("name", "repository", "revision"),
    [
        ("openai-community/gpt2", "openai-community/gpt2", None),
        ("gpt2", "openai-community/gpt2", None),
        ("gpt2-xl@main", "openai-community/gpt2-xl", "main"),
        ("distilgpt2", "distilbert/distilgpt2", None),
        ("a/b@refs/pr/3", "a/b", "refs/pr/3"),
        ("A.b_c-d/e.f@v1.0", "A.b_c-d/e.f", "v1.0"),
    ],
)
def test_names_of_the_hub(name: str, repository: str, revision: str | None) -> None:
    assert as_hub_model(name) == HubModel(repository, revision)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt3",
        "a/b/c",
        "a/..",
        "a/b@../x",
        "/a/b",
        "./a/b",
        "../b",
        "~/b",
        "a b/c",
        "a/b@",
        "a/b@c d",
        "gpt2@",
        "a//b",
        "a/",
        "x.gguf",
        "-a/b",
    ],
)
def test_what_can_only_be_a_path(name: str) -> None:
    assert as_hub_model(name) is None


def test_a_mistyped_path_asks_no_one(hub: FakeHub) -> None:
    Path("checkpoints").mkdir()
    assert fetch_error("checkpoints/dmo").startswith("checkpoints/dmo does not exist; checkpoint= takes a run folder")
    assert fetch_error("gpt3").startswith("gpt3 does not exist")
    assert hub.asked == []


def test_a_folder_here_comes_before_the_hub(hub: FakeHub, model: GPT) -> None:
    shutil.copytree(hub.repositories[NAME], NAME)
    assert load(NAME).path == Path(NAME)
    assert hub.asked == []


# What is fetched


def test_a_model_is_fetched_and_kept(hub: FakeHub, model: GPT, tmp_path: Path) -> None:
    first = load(NAME)
    assert torch.equal(first.model.wte.weight, model.wte.weight)
    assert first.path == tmp_path / "hub" / "models--someone--toy" / "snapshots" / COMMITS["main"]
    assert (first.path / "model.safetensors").is_symlink()  # as the cache of the Hub keeps files
    asked = len(hub.asked)
    assert load(NAME).path == first.path
    assert len(hub.asked) == asked


def test_nothing_but_safetensors_json_and_merges_is_fetched(hub: FakeHub) -> None:
    folder = load(NAME).path
    wanted = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert hub.files_asked() == wanted
    assert {path.name for path in folder.iterdir()} == wanted


def test_a_revision(hub: FakeHub) -> None:
    assert load(f"{NAME}@old").path.name == COMMITS["old"]
    assert load(f"{NAME}@{COMMITS['main']}").path.name == COMMITS["main"]


def test_a_token_is_shown_to_the_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    load(NAME)
    assert hub.tokens == {"Bearer hf_secret"}


def test_another_model_s_weights_are_not_fetched(hub: FakeHub) -> None:
    config = hub.repositories[NAME] / "config.json"
    config.write_text('{"model_type": "llama"}')
    assert "model_type is 'llama'; a GPT-2 with 'gpt2' is what can be loaded" in fetch_error(NAME)
    assert "model.safetensors" not in hub.files_asked()


def test_shards_are_fetched_by_their_index(hub: FakeHub, model: GPT) -> None:
    folder = hub.repositories[NAME]
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    placed = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(sorted(tensors))}
    for shard in set(placed.values()):
        save_file({name: tensors[name] for name in placed if placed[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    (folder / "model-of-nothing.safetensors").write_bytes(b"x")
    assert torch.equal(load(NAME).model.wte.weight, model.wte.weight)
    assert {"part-0.safetensors", "part-1.safetensors"} <= hub.files_asked()
    assert "model-of-nothing.safetensors" not in hub.files_asked()
    asked = len(hub.asked)
    load(NAME)
    assert len(hub.asked) == asked


def test_what_is_half_there_is_fetched(hub: FakeHub) -> None:
    blobs = load(NAME).path.parent.parent / "blobs"
    largest = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    largest.unlink()
    load(NAME)
    assert largest.exists()


# What goes wrong


def test_no_such_model(hub: FakeHub) -> None:
    told = fetch_error("someone/other")
    assert told.startswith("There is no folder someone/other, and no model of that name on the Hub that you may see.\n")
    assert "hf auth login" in told


def test_no_such_revision(hub: FakeHub) -> None:
    assert fetch_error(f"{NAME}@nine") == "someone/toy has no branch, tag or commit nine on the Hub."


def test_a_gated_model(hub: FakeHub) -> None:
    hub.refused[NAME] = (403, "GatedRepo")
    assert "someone/toy is gated: ask for access at https://huggingface.co/someone/toy" in fetch_error(NAME)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_hub_that_does_not_give_it(hub: FakeHub, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library tries again
    hub.refused[NAME] = (status, "")
    told = fetch_error(NAME)
    assert "someone/toy" in told
    assert str(status) in told or "no model of that name" in told


def test_a_model_of_pickles_alone(hub: FakeHub) -> None:
    (hub.repositories[NAME] / "model.safetensors").unlink()
    told = fetch_error(NAME)
    assert "someone/toy has no safetensors on the Hub" in told
    assert "M.from_pretrained('someone/toy').save_pretrained('OUT')" in told


def test_a_repository_that_is_no_model(hub: FakeHub) -> None:
    (hub.repositories[NAME] / "config.json").unlink()
    assert fetch_error(NAME) == "someone/toy has no config.json on the Hub, so it is not a model that can be loaded."


def test_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_error(NAME) == (
        "There is no folder someone/toy, and no such model in the Hub's cache; HF_HUB_OFFLINE forbids downloading it."
    )
    assert hub.asked == []


def leave_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 9 of this machine answers nobody."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")


def test_no_network(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_network(monkeypatch)
    told = fetch_error(NAME)
    assert told.startswith(
        "There is no folder someone/toy, and no such model in the Hub's cache; the Hub cannot be reached: "
    )
    assert "\n" not in told


def test_with_neither_network_nor_leave_what_is_kept_is_enough(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = load(NAME).path
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    leave_network(monkeypatch)
    assert load(NAME).path == folder


def test_a_disk_that_is_full(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(CheckpointError, match=r"someone/toy could not be downloaded: .*No space left on device"):
        fetch(HubModel(NAME))


# The command line


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        places = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "0"}
        environment = {**os.environ, **places, "HF_HUB_OFFLINE": "0", **variables}
        return subprocess.run(
            [sys.executable, "-m", "minigpt", *arguments], capture_output=True, text=True, env=environment
        )

    return command


def test_the_library_s_variables_and_quiet(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    view = ("inspect-probs", "The", "--json", "-c", NAME)
    fetched = run(*view)
    assert fetched.returncode == 0
    assert json.loads(fetched.stdout)["steps"]
    shutil.rmtree(tmp_path / "home")
    quiet = run(*view, "--quiet")
    assert (quiet.returncode, quiet.stderr, quiet.stdout) == (0, "", fetched.stdout)
    kept = run(*view, HF_HUB_OFFLINE="1")
    assert (kept.returncode, kept.stderr, kept.stdout) == (0, "", fetched.stdout)
    absent = run("inspect-probs", "The", "-c", "gpt2", HF_HUB_OFFLINE="1")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr.startswith("minigpt inspect-probs: There is no folder openai-community/gpt2")


def test_a_model_of_the_hub_is_trained_further_and_named_with_its_commit(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("The quick brown fox jumps over the lazy dog. " * 30)
    done = run("train", str(tmp_path / "notes.txt"), "--from", NAME, "--steps", "2", "--out", "run", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    command = json.loads(Path("run/run.json").read_text())["command"]
    assert command[command.index("--from") + 1] == f"{NAME}@{COMMITS['main']}"
    assert f"which began as {NAME}, " in Path("run/README.md").read_text()
