"""Records written by hand, and the comparison with golden files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt.records import Candidate, Other, Stage, StepRecord

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
