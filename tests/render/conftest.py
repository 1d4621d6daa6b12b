"""Records written by hand, and the comparison with golden files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt.records import Candidate, Other, StepRecord

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


def candidate(rank: int, text: str | None, raw_prob: float, **changes: object) -> Candidate:
    values: dict[str, object] = {
        "id": 1000 + rank,
        "text": text,
        "bytes": "e280" if text is None else text.encode("utf-8", "surrogatepass").hex(),
        "logit": -float(rank),
        "raw_prob": raw_prob,
        "after": (),
        "prob": raw_prob,
        "rank": rank,
        "cut_by": None,
    }
    return Candidate(**{**values, **changes})  # type: ignore[arg-type]


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
def golden() -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME.txt, exactly. MINIGPT_UPDATE_GOLDEN=1 writes it instead: read the diff."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("MINIGPT_UPDATE_GOLDEN") == "1":
            path.write_text(text + "\n", "utf-8")
        assert path.read_text("utf-8") == text + "\n", f"{path} differs: MINIGPT_UPDATE_GOLDEN=1 pytest rewrites it"

    return check
