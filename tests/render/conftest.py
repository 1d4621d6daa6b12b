"""Records written by hand, and the comparison with golden files."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minigpt.contest.records import Comparison, Contender, ContenderRun
from minigpt.errors import OutputError
from minigpt.sampling.records import Candidate, Other, Stage, StepRecord
from minigpt.settings import SampleConfig

if TYPE_CHECKING:
    from minigpt.explore.session import Session
    from minigpt.models.gpt import GPT
    from minigpt.sampling.tree import TokenTree

GOLDEN = Path(__file__).parent.parent / "golden"

# The lecture's list: what GPT-2 expects after "To date, the cleverest thinker of all time was".
LECTURE = {
    " the": 0.0882,
    " probably": 0.0437,
    " John": 0.0404,
    " Sir": 0.0366,
    " Albert": 0.0363,
    " Ber": 0.0331,
    " a": 0.0290,
    " Isaac": 0.0201,
}
VOCABULARY = 50_257


def candidate(rank: int, text: str | None, raw: float, *after: float, cut_by: str | None = None) -> Candidate:
    data = b"\xe2\x80" if text is None else text.encode("utf-8", "surrogatepass")
    return Candidate(
        id=rank, text=text, bytes=data.hex(), logit=-float(rank), raw_prob=raw, after=after,
        prob=after[-1] if after else raw, rank=rank, cut_by=cut_by,
    )  # fmt: skip


@pytest.fixture(name="candidate")
def _candidate() -> Callable[..., Candidate]:
    """Rank, text, raw probability, and those after each stage."""
    return candidate


@pytest.fixture
def lecture() -> StepRecord:
    """The list of the lecture as the record of an open question."""
    return StepRecord(
        sample=0,
        position=10,
        token=None,
        candidates=tuple(candidate(i, text, share) for i, (text, share) in enumerate(LECTURE.items(), 1)),
        other=Other(
            count=VOCABULARY - len(LECTURE), raw_prob=1 - sum(LECTURE.values()), prob=1 - sum(LECTURE.values())
        ),
        entropy_bits=8.31,
        surprisal_bits=None,
        stages=(),
    )


@pytest.fixture
def step() -> StepRecord:
    """The fourth step of SCREENS.md: three stages, two of which cut."""
    candidates = (
        candidate(1, " mat", 0.2140, 0.2810, 0.4257, 0.4782),
        candidate(2, " floor", 0.1242, 0.1424, 0.2157, 0.2423),
        candidate(3, " bed", 0.0905, 0.0959, 0.1453, 0.1631),
        candidate(4, " table", 0.0691, 0.0684, 0.1036, 0.1164),
        candidate(5, " roof", 0.0401, 0.0377, 0.0571, 0.0, cut_by="top-p"),
        candidate(6, " rug", 0.0312, 0.0347, 0.0526, 0.0, cut_by="top-p"),
        candidate(7, None, 0.0108, 0.0068, 0.0, 0.0, cut_by="top-k"),
    )
    rest = 1 - sum(c.raw_prob for c in candidates)
    warmer = 1 - sum(c.after[0] for c in candidates)
    return StepRecord(
        sample=0,
        position=5,
        token=candidates[1],
        candidates=candidates,
        other=Other(count=4089, raw_prob=rest, prob=0.0, after=(warmer, 0.0, 0.0)),
        entropy_bits=6.2,
        surprisal_bits=3.01,
        stages=(
            Stage(name="temperature", value=0.8, kept=4096, mass=1.0),
            Stage(name="top-k", value=6, kept=6, mass=0.5691),
            Stage(name="top-p", value=0.9, kept=4, mass=0.4978),
        ),
    )


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME.txt, exactly. MINIGPT_UPDATE_GOLDEN=1 writes it instead: read the diff."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("MINIGPT_UPDATE_GOLDEN") == "1":
            path.write_text(text + "\n", "utf-8")
        assert path.read_text("utf-8") == text + "\n", f"{path} differs: MINIGPT_UPDATE_GOLDEN=1 pytest rewrites it"

    return check


class WordTokenizer:
    """Tokens that a test chooses, in place of the real ones."""

    end_of_text = 0

    def __init__(self, words: Sequence[str | bytes]) -> None:
        self._words = [b"<|endoftext|>", *(word if isinstance(word, bytes) else word.encode() for word in words)]

    def encode(self, text: str) -> list[int]:
        """The longest token first; letters that no token has are left out."""
        data, ids = text.encode(), list[int]()
        while data:
            fitting = [i for i, word in enumerate(self._words) if i and data.startswith(word)]
            best = max(fitting, key=lambda i: len(self._words[i]), default=None)
            ids += [] if best is None else [best]
            data = data[1 if best is None else len(self._words[best]) :]
        return ids

    def token_bytes(self, token: int) -> bytes:
        return self._words[token]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self._words[token] for token in ids).decode("utf-8", "replace")


PROMPT = "To date, the cleverest thinker of all time was"
TRUNK = ("To", " date", ",", " cleverest", " thinker", " of", " all", " time", " was")
HOSTILE = (
    "[/]",
    "\x1b[31mred",
    "\u202eevil",
    "😀",
    b"\xe2\x80",
    b"\x94",
    "\n",
    "\t",
    ":smile:",
    " ",
    "速い茶色の狐は怠",
)


@pytest.fixture
def make_tree(constant_model: "Callable[..., GPT]") -> "Callable[..., TokenTree]":
    """A tree over a model that expects the lecture's list after every text, and the other words hardly ever."""
    from minigpt.sampling.tree import TokenTree

    def make(prompt: str = PROMPT, seed: int = 1) -> TokenTree:
        rest = [*TRUNK, *HOSTILE]
        shares = [1e-6, *LECTURE.values(), *(0.01 * 0.7**i for i in range(len(rest)))]  # softmax makes them whole
        model = constant_model([math.log(share) for share in shares], context=64)
        return TokenTree(model, WordTokenizer([*LECTURE, *rest]), prompt, seed=seed)  # type: ignore[arg-type]

    return make


@dataclass
class Written:
    """What the explorer asked to be written."""

    saved: list[Path] = field(default_factory=list)
    exported: list[tuple[Path, int]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        if path.name == "taken":
            raise OutputError("taken exists already.\nChoose another name.")
        self.saved.append(path)

    def export(self, path: Path, node: int) -> None:
        self.exported.append((path, node))


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def session(make_tree: "Callable[..., TokenTree]", written: Written) -> "Session":
    """At the end of the lecture's text, with the default settings."""
    from minigpt.explore.session import Files, Session

    return Session(make_tree(), SampleConfig(), Files(written.save, written.export))


@pytest.fixture
def press(session: "Session") -> Callable[..., None]:
    """Press keys one after the other: names such as enter, or `type:` and letters."""

    def send(*keys: str) -> None:
        for key in keys:
            if key.startswith("type:"):
                for letter in key.removeprefix("type:"):
                    session.press("space" if letter == " " else letter, letter)
            else:
                session.press(key, key if len(key) == 1 else " " if key == "space" else None)

    return send


def _contender(number: int, model: str, layers: int, width: int) -> Contender:
    """Numbers that differ from model to model, and are otherwise of no meaning."""
    worse = 1.5 - 0.1 * number
    curve = ((1000.0, 3.5 * worse), (2000.0, 3.0 * worse), (47_000.0, 2.5 * worse))
    run = ContenderRun(
        folder=f"{model}-tokens",
        tokens=47_000,
        seconds=40.0 + number,
        bits_per_byte=2.5 * worse,
        by_tokens=curve,
        by_seconds=tuple((x / 1000, y) for x, y in curve),
    )
    return Contender(
        model=model,
        layers=layers,
        width=width,
        window=16 if model == "window" else None,
        parameters=957_184 + number,
        learning_rate=0.003,
        tried_rates=((0.001, 2.6), (0.003, 2.5), (0.01, None)),
        training_tokens_per_second=((32.0, 10_000.0 * worse), (512.0, 9000.0 - 1000 * number)),
        step_milliseconds=((1.0, 0.25 + 0.1 * number), (1024.0, 0.3 + 0.1 * number)),
        peak_bytes=70_000_000 + 1_000_000 * number,
        equal_tokens=run,
        equal_time=run,
        loss_nats_by_position=tuple((float(i), 6.0 * worse - 0.2 * math.log2(i)) for i in range(1, 257)),
        gradient_by_distance=tuple((float(i), (0.2 + 0.25 * number) ** (i - 1)) for i in range(1, 257)),
        recall_by_distance=tuple((float(4 * 2**i), min(1.0, 0.1 + number * 0.3)) for i in range(7)),
    )


@pytest.fixture
def comparison() -> Comparison:
    """A whole one, of all four kinds."""
    shapes = (("window", 2, 101), ("rnn", 2, 376), ("lstm", 2, 214), ("gpt", 4, 128))
    return Comparison(
        name="notes",
        text_bytes=374_000,
        validation="the last 10 % of the text",
        vocab_size=1024,
        context=256,
        batch_size=4,
        minutes=30.0,
        quick=False,
        seed=1,
        machine="2 CPU cores",
        spent_seconds=1790.0,
        tokens=47_000,
        seconds=60.0,
        tried_tokens=20_000,
        recall_steps=300,
        contenders=tuple(_contender(number, *shape) for number, shape in enumerate(shapes)),
    )
