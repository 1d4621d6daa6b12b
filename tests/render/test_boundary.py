"""The end of a prompt, as a sentence and as two lists that each add up to 100 %."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.render.style import ASCII, Screen
from minigpt.render.tokenization import DOUBTFUL, boundary_note, boundary_tables
from minigpt.sampling.records import Other, ScoredToken, StepRecord
from minigpt.views.tokenization import Boundary

Golden = Callable[[str, str], None]
PROMPT = "To date, the cleverest thinker of all time was "
HOSTILE = ["[/INST]", "[bold]", ":smile:", "\x1b[31m", "\x00", "\u202e", "\n\n\n", "\u0301", "速い茶色の狐" * 9, None]


def token(text: str | None, raw_prob: float) -> ScoredToken:
    data = b"\xe2\x80" if text is None else text.encode()
    return ScoredToken(id=1, text=text, bytes=data.hex(), raw_prob=raw_prob, nats=1.0)


@pytest.fixture
def space() -> Boundary:
    """The lecture's prompt with a space behind it, seen from before the space."""
    longer = (token(" the", 0.0882), token(" probably", 0.0437), token(" John", 0.0404))
    return Boundary(
        text=" ", bytes="20", position=9, tokens=(token(" ", 0.0021),), raw_prob=0.0021, share=0.0023, longer=longer,
        other_longer=Other(count=31_000, raw_prob=0.7331, prob=0.7331),
        others=Other(count=19_253, raw_prob=0.0925, prob=0.0925),
    )  # fmt: skip


@pytest.fixture
def inside(space: Boundary) -> Boundary:
    """Inside a word of two tokens, no third candidate."""
    return replace(
        space, text=" pro", bytes=b" pro".hex(), tokens=(token(" p", 0.01), token("ro", 0.2)), raw_prob=0.002,
        share=0.04, longer=(token(" probably", 0.0437), token(" pro[bold]", 0.0043)),
        other_longer=Other(count=0, raw_prob=0.0, prob=0.0), others=Other(count=50_255, raw_prob=0.95, prob=0.95),
    )  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 100])
def test_golden_boundary(lecture: StepRecord, space: Boundary, width: int, golden: Golden) -> None:
    golden(f"boundary_{width}", str(boundary_tables(lecture, space, PROMPT, Screen(width))))


def test_golden_boundary_inside_a_word_in_ascii(lecture: StepRecord, inside: Boundary, golden: Golden) -> None:
    found = str(boundary_tables(lecture, inside, "Sir Isaac was pro", Screen(80, ASCII)))
    assert found.isascii()
    golden("boundary_inside_80_ascii", found)


@pytest.mark.parametrize("width", range(36, 101))
def test_lines_keep_to_the_screen(lecture: StepRecord, space: Boundary, width: int) -> None:
    tables = boundary_tables(lecture, space, PROMPT, Screen(width))
    assert max(cell_len(line) for line in str(tables).split("\n")) <= width
    assert ("as given" in str(tables).split("\n")[0]) == ("earlier" in str(tables).split("\n")[0]) or width < 70


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [40, 80])
def test_hostile_tokens_stay_in_their_cells(lecture: StepRecord, space: Boundary, text: str | None, width: int) -> None:
    given = token(text, 0.2)
    end = replace(space, text=given.text, bytes=given.bytes, tokens=(given,), longer=(given, given))
    found = str(boundary_tables(lecture, end, f"a {text or ''}", Screen(width)))
    assert not any((ord(c) < 32 and c != "\n") or c in "\x7f\u202e\u0301" for c in found)
    assert max(cell_len(line) for line in found.split("\n")) <= width
    sentence = boundary_note(end)
    assert sentence is not None
    assert not any(ord(c) < 32 or c in "\u202e" for c in sentence)


def test_the_prompts_own_cut_is_marked_where_it_ranks(lecture: StepRecord, space: Boundary) -> None:
    rows = str(boundary_tables(lecture, space, PROMPT, Screen(40))).split("earlier, after ")[1].split("\n")[2:8]
    assert [row[:3] for row in rows] == ["   ", "   ", "   ", " ▸ ", "   ", "   "]
    first = replace(space, raw_prob=0.5)
    rows = str(boundary_tables(lecture, first, PROMPT, Screen(40))).split("earlier, after ")[1].split("\n")[2:]
    assert rows[0].startswith(" ▸ ␣ ")


def test_the_rows_add_up(lecture: StepRecord, space: Boundary, inside: Boundary) -> None:
    for end in (space, inside):
        table = str(boundary_tables(lecture, end, PROMPT, Screen(60))).split("earlier, after ")[1]
        rows = [float(share) for share in re.findall(r" ([\d.]+) %$", table.split(" of what")[0], re.MULTILINE)]
        assert sum(rows) == pytest.approx(100, abs=0.05)
        assert "= 100 %" in re.sub(r"\s+", " ", table)


def test_where_nothing_goes_on_it_says_so(lecture: StepRecord, space: Boundary) -> None:
    end = replace(space, share=1.0, longer=(), other_longer=Other(count=0, raw_prob=0.0, prob=0.0))
    assert "no longer token begins with “␣”" in str(boundary_tables(lecture, end, PROMPT, Screen(100)))
    assert boundary_note(end) is None


def test_the_note_is_about_doubtful_ends_alone(space: Boundary) -> None:
    assert boundary_note(replace(space, share=DOUBTFUL)) is None
    assert boundary_note(space) == (
        "the prompt ends in “␣”. Of what begins with it, the model expects 99.77 % to be a longer token, most likely "
        "“␣the”, and only 0.23 % to end here, so what follows may make no sense. Leave it out; --boundary shows both."
    )


def test_the_note_inside_a_word_has_other_advice(inside: Boundary) -> None:
    found = boundary_note(inside, ASCII)
    assert found is not None
    assert found.isascii()
    assert '"_pro". Of what' in found
    assert found.endswith("Complete it, or end before it; --boundary shows both.")
