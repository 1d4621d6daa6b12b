"""Toy models and tokenizers, made here: nothing is downloaded, everything is seeded.

Where torch is not installed, the test files that import it, themselves or through minigpt, are left out, and those of
the command line that run a model in torch; pytest's first line says so.
"""

import ast
import importlib
import os
import signal
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from minigpt.__main__ import main
from minigpt.models.forward_library import has_library
from minigpt.settings import PRESETS, ModelConfig
from minigpt.text.learning import train_tokenizer
from minigpt.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from minigpt.models.baselines import Baseline
    from minigpt.models.gpt import GPT

HAS_TORCH = find_spec("torch") is not None
TORCH = {"torch", "transformers"}
ROOT = Path(__file__).parent.parent
COMMANDS_WITHOUT_TORCH = {"conftest.py", "test_completion.py", "test_given.py", "test_help.py"}
COMMANDS_WITHOUT_TORCH |= {"test_starting.py"} if has_library() else set()  # forward.c in place of torch

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is equal to the bit is so on a CPU

CORPUS = (
    "The quick brown fox jumps over the lazy dog; the dog doesn't mind, and the fox's running on.\n"
    "Der schnelle braune Fuchs springt über den faulen Hund – größer geht's nicht.\n"
    "Быстрая коричневая лиса прыгает через ленивую собаку.\n"
    "速い茶色の狐は怠け者の犬を飛び越える。\n\n"
    "السماء زرقاء والبحر واسع. השמים כחולים.\n"
    "Numbers: 1, 23, 456; signs: € £ ½ → ≤ 😀 👩‍👧 🇩🇪\n"
) * 3

HARD_STRINGS = {
    "empty": "",
    "space": " ",
    "spaces": "     ",
    "newlines": "\n\n\n",
    "whitespace mix": " \t\n \n\t  x  \n ",
    "leading and trailing": "   both ends   ",
    "crlf": "one\r\ntwo\r\n\r\nthree\r",
    "nul": "a\x00b\x00\x00",
    "c0 and c1": "\x01\x1b[31m\x1c\x1f\x7f\x80\x85\x9f",
    "unicode spaces": "a\u00a0b\u2003c\u2028d\u2029e\u3000f\u180eg\u200bh",
    "emoji": "😀😃 👩‍👩‍👧‍👦 🇩🇪 👍🏽",
    "unknown emoji": "🦖🫠",
    "combining": "e\u0301 n\u0303 a\u0308\u0304\u0301 \u0301",
    "rtl": "שלום עולם مرحبا بالعالم",
    "bidi controls": "\u202eabc\u202c \u2066x\u2069",
    "unseen scripts": "ꙮ 𒀀𒁀 𐍈 ᚠᛇᚻ ༀ ไทย हिन्दी",
    "end of text letters": "<|endoftext|>",
    "end of text inside": "a<|endoftext|>b <|endoftext|>\n<|endoftext",
    "byte order mark": "\ufeffbom",
    "replacement character": "\ufffd\ufffd",
    "last code points": "\U0010ffff\uffff\ufffe\ue000",
    "contractions": "I'll don't WE'VE 'S ''s they're",
    "digits": "123 456７８９ ½ ²³",
    "gpt-2 letters": "Ġ Ċ ĉ Ā ġ ¡ ® \xad",
    "long run": "x" * 3000 + " " * 3000,
}


def pytest_report_header() -> str | None:
    return None if HAS_TORCH else "torch is not installed: only the tests of what does not need it are run"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """A folder is left out where its conftest.py needs torch."""
    file = collection_path / "conftest.py" if collection_path.is_dir() else collection_path
    if HAS_TORCH or file.suffix != ".py" or not file.exists():
        return None
    if collection_path.parent.name == "cli" and file.name not in COMMANDS_WITHOUT_TORCH:
        return True
    return True if imports_torch(file) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Left out without torch: what is marked so, and what asks for a model."""
    left_out = [] if HAS_TORCH else [item for item in items if needs_torch(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not needs_torch(item)]


def needs_torch(item: pytest.Item) -> bool:
    makers = {"make_model", "make_baseline", "constant_model", "trained"}  # every model is made by one of these
    return item.get_closest_marker("torch") is not None or not makers.isdisjoint(getattr(item, "fixturenames", ()))


def imports_torch(path: Path) -> bool:
    """Whether the modules that `path` imports at its top cannot be imported without torch."""
    for node in ast.parse(path.read_text("utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [node.module, *filter(is_module, inner)]
        for name in names:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name and error.name.partition(".")[0] in TORCH:
                    return True
                raise
    return False


def is_module(name: str) -> bool:
    """Whether `minigpt.a.b` is a file or a folder of the package, and not a name in one."""
    path = ROOT.joinpath(*name.split("."))
    return name.startswith("minigpt.") and (path.is_dir() or path.with_suffix(".py").exists())


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Toy models gain nothing from more, and lose much where the cores are busy."""
    if HAS_TORCH:
        import torch

        torch.set_num_threads(1)


@dataclass(frozen=True)
class Ended:
    """How a command ended; `exception` is a SystemExit where the code is not 0, or what would have been a traceback."""

    exit_code: int
    exception: BaseException | None
    stdout_bytes: bytes
    stderr_bytes: bytes
    output_bytes: bytes

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def output(self) -> str:
        """Both, in the order in which they were flushed."""
        return self.output_bytes.decode("utf-8", "replace")


@contextmanager
def restored() -> Iterator[None]:
    """Put back what a command may set for the process that it usually has to itself."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    environment, arguments, hook, folder = dict(os.environ), sys.argv, sys.excepthook, os.getcwd()
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.excepthook = arguments, hook
        os.chdir(folder)
        if torch and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def outcome() -> tuple[int, BaseException | None]:
    """Run the entry point; its exit code, and what it ended with unless all went well."""
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0), end if end.code else None
    except Exception as error:
        return 1, error
    return 0, None


def run_command(*arguments: str, input: str | bytes | None = None, **env: str) -> Ended:
    """Run `minigpt ARGUMENTS` in this process, through its entry point, with `input` as its standard input."""
    with restored(), CliRunner().isolation(input, env) as streams:
        sys.argv = ["minigpt", *arguments]
        code, exception = outcome()
        sys.stdout.flush()
        sys.stderr.flush()
        return Ended(code, exception, *(stream.getvalue() for stream in streams))


def run_in_terminal(
    *arguments: str, rows: int = 24, columns: int = 80, stdout: IO[str] | None = None, **env: str
) -> tuple[int, str]:
    """Run a command in this process whose streams are a terminal, but for a `stdout` given; what the terminal shows."""
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    sent: list[bytes] = []

    def read() -> None:
        while data := read_terminal(leader):
            sent.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with (
            restored(),
            open(follower, encoding="utf-8", closefd=False) as keys,
            open(follower, "w", encoding="utf-8", closefd=False) as screen,
            redirect_stdout(stdout or screen),
            redirect_stderr(screen),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "stdin", keys)
            os.environ.update({"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows), **env})
            sys.argv = ["minigpt", *arguments]
            code, exception = outcome()
    finally:
        os.close(follower)
        reader.join()
        os.close(leader)
    assert exception is None or isinstance(exception, SystemExit), exception
    return code, b"".join(sent).decode().replace("\r\n", "\n")


def read_terminal(leader: int) -> bytes:
    """What has come; nothing, once the other end is closed."""
    try:
        return os.read(leader, 1 << 16)
    except OSError:  # EIO
        return b""


@pytest.fixture(scope="session", autouse=True)
def one_tree_of_commands() -> Iterator[None]:
    """Typer reads the signatures of all commands anew each time that one is run; here, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session")
def minigpt() -> Callable[..., Ended]:
    """Run a command in this process: minigpt("sample", "The cat", input=..., MINIGPT_THREADS="1")."""
    return run_command


@pytest.fixture(scope="session")
def in_terminal() -> Callable[..., tuple[int, str]]:
    """Run a command in this process and in a terminal; its exit code, and what the terminal was sent."""
    return run_in_terminal


@pytest.fixture(params=HARD_STRINGS.values(), ids=list(HARD_STRINGS))
def hard_string(request: pytest.FixtureRequest) -> str:
    """Strings on which tokenizers tend to lose something, one a test."""
    return request.param


@pytest.fixture(scope="session")
def hard_strings() -> list[str]:
    """All of them at once."""
    return list(HARD_STRINGS.values())


@pytest.fixture(scope="session")
def corpus() -> str:
    """A few lines in several scripts."""
    return CORPUS


@pytest.fixture(scope="session")
def bpe(corpus: str) -> Tokenizer:
    return train_tokenizer("bpe", [corpus], 320)


@pytest.fixture(scope="session")
def char(corpus: str) -> Tokenizer:
    return train_tokenizer("char", [corpus])


@pytest.fixture(scope="session", params=["bpe", "char"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Both kinds, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def make_model() -> "Callable[..., GPT]":
    """A toy GPT, every parameter random and large enough that its logits are far from flat; in eval mode."""
    import torch

    from minigpt.models.gpt import GPT

    def make(
        vocab_size: int, context: int = 16, *, layers: int = 2, heads: int = 2, width: int = 16, seed: int = 0
    ) -> "GPT":
        model = GPT(ModelConfig(vocab_size=vocab_size, context=context, layers=layers, heads=heads, width=width))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.4, generator=generator)
        return model.eval()

    return make


@pytest.fixture(params=["lstm", "rnn", "window"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of model that are no GPT, one a test."""
    return request.param


@pytest.fixture(scope="session")
def make_baseline() -> "Callable[..., Baseline]":
    """A toy of another kind, initialised as ever, but with token vectors large enough that its logits are not flat."""
    import torch

    from minigpt.models.kinds import new_model

    def make(
        kind: str, vocab_size: int, context: int = 8, *, layers: int = 2, width: int = 16, window: int = 5
    ) -> "Baseline":
        seen = window if kind == "window" else None
        config = ModelConfig(
            model=kind, vocab_size=vocab_size, context=context, layers=layers, heads=1, width=width, window=seen
        )
        model = new_model(config).initialise(torch.Generator().manual_seed(0))
        with torch.no_grad():
            model.wte.weight.mul_(3)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def model(bpe: Tokenizer, make_model: "Callable[..., GPT]") -> "GPT":
    """The toy model of `bpe`, context 16; not to be changed."""
    return make_model(bpe.vocab_size)


@pytest.fixture(scope="session")
def constant_model() -> "Callable[..., GPT]":
    """A model that answers every text with the very logits it is given."""
    import torch

    from minigpt.models.gpt import GPT

    def make(logits: Sequence[float], context: int = 16) -> "GPT":
        model = GPT(ModelConfig(vocab_size=len(logits), context=context, layers=1, heads=1, width=2))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            model.wte.weight[:, 0] = torch.tensor(logits)
            model.ln_f.bias[0] = 1.0
        return model.eval()

    return make


@pytest.fixture
def checkpoint_folder(tmp_path: Path, model: "GPT", bpe: Tokenizer) -> Path:
    """`model` and `bpe` as a saved GPT-2 folder, a fresh one for each test."""
    import torch

    from minigpt.checkpoint.folder import save_description, save_weights

    folder = tmp_path / "toy"
    folder.mkdir()
    save_description(folder, model.config, bpe, torch.float32)
    save_weights(folder, model)
    return folder


@pytest.fixture
def small_contest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons of tiny models, with speeds that need no measuring."""
    from minigpt.contest import comparison, contest, lengths, recall
    from minigpt.training import run

    monkeypatch.setitem(PRESETS, "nano", replace(PRESETS["nano"], layers=1, heads=1, width=32))
    monkeypatch.setattr(comparison, "CONTEXT", 16)
    monkeypatch.setattr(comparison, "_CPU_STEP_TOKENS", 64)
    monkeypatch.setattr(recall, "SHAPE", replace(recall.SHAPE, layers=1, heads=1, width=32))
    monkeypatch.setattr(recall, "_BATCH", 2)
    monkeypatch.setattr(recall, "recalled", partial(recall.recalled, distances=(4, 8), count=8))
    monkeypatch.setattr(contest, "LOSS_WINDOWS", 16)
    monkeypatch.setattr(recall, "seconds_a_step", lambda config, device: 1.0)
    monkeypatch.setattr(lengths, "FEWEST_SECONDS", 0.1)
    monkeypatch.setattr(run, "_LAST_SECONDS", 0.0)
    monkeypatch.setattr(contest, "training_rates", lambda *arguments: ((16.0, 10_000.0), (512.0, 5000.0)))
    monkeypatch.setattr(contest, "step_costs", lambda *arguments: ((1.0, 0.5), (8.0, 0.75)))
    monkeypatch.setattr(contest, "peak_bytes", lambda *arguments: 12_345)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME.txt, exactly. MINIGPT_UPDATE_GOLDEN=1 writes it instead: read the diff."""

    def check(name: str, text: str) -> None:
        path = ROOT / "tests/golden" / f"{name}.txt"
        if os.environ.get("MINIGPT_UPDATE_GOLDEN") == "1":
            path.write_text(text + "\n", "utf-8")
        assert path.read_text("utf-8") == text + "\n", f"{path} differs: MINIGPT_UPDATE_GOLDEN=1 pytest rewrites it"

    return check


@pytest.fixture(scope="session")
def lecture_shares() -> dict[str, float]:
    """The lecture's list: what GPT-2 expects after "To date, the cleverest thinker of all time was"."""
    return {
        " the": 0.0882,
        " probably": 0.0437,
        " John": 0.0404,
        " Sir": 0.0366,
        " Albert": 0.0363,
        " Ber": 0.0331,
        " a": 0.0290,
        " Isaac": 0.0201,
    }
