"""How a replay went, in words; where two models differ, as a table. Golden files hold whole ones."""

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from minigpt.render.replay import replay_caption, replay_finding, rescoring_table
from minigpt.render.style import ASCII, UNICODE, Screen
from minigpt.sampling.records import Candidate, Change, Divergence, Replay, RescoredToken, Rescoring

Golden = Callable[[str, str], None]
Make = Callable[..., Candidate]
TEXTS = (" mat", "\x1b[31m", None, " 速い", " incomprehensibilities", "[/bold]")
BEFORE = (
    "The cat sat on the",
    "[bold]:smile:\x1b[0m\n\n\t",
    "",
    "とても速い茶色の狐は怠け者の犬を飛び越える",
    "a\u202eb",
    " ",
)


def row(number: int, **changes: object) -> RescoredToken:
    text = TEXTS[number]
    values: dict[str, object] = {
        "id": 100 + number, "text": text, "bytes": "e280" if text is None else text.encode().hex(), "sample": 0,
        "node": None, "position": 5 + 7 * number, "before": BEFORE[number], "surprisal_bits": 0.4 + number,
        "other_surprisal_bits": 14.5 - number, "rank": 1 + number, "other_rank": 40_312 // (number + 1),
    }  # fmt: skip
    return RescoredToken(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def rescoring() -> Rescoring:
    return Rescoring(
        checkpoint="checkpoints/demo", other_checkpoint="checkpoints/demo/snapshots/step-000039", tokens=1_234,
        bits_per_token=2.83, other_bits_per_token=6.6, most_different=tuple(map(row, range(6))),
    )  # fmt: skip


@pytest.fixture
def same() -> Replay:
    return Replay(tokens=60, drawn=True, divergence=None, agrees=True, same_numbers=True, largest_difference=0.0,
                  largest_difference_bits=0.0, changes=())  # fmt: skip


def screen_of(width: int) -> Screen:
    return Screen.of(Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), width=width))


def table(rescoring: Rescoring, width: int) -> str:
    return "\n".join(map(str, rescoring_table(rescoring, screen_of(width))))


# The table


@pytest.mark.parametrize("width", [40, 80, 160])
def test_golden_rescoring_table(rescoring: Rescoring, width: int, golden: Golden) -> None:
    golden(f"rescoring_table_{width}", table(rescoring, width))


def test_golden_rescoring_table_of_a_tree(rescoring: Rescoring, golden: Golden) -> None:
    rows = tuple(replace(row, node=3 * row.position) for row in rescoring.most_different)
    golden("rescoring_table_tree_80", table(replace(rescoring, most_different=rows), 80))


@pytest.mark.parametrize("samples", [False, True])
@pytest.mark.parametrize("width", [*range(40, 84), 100, 160])
def test_it_fits_at_any_width_and_steers_nothing(rescoring: Rescoring, width: int, samples: bool) -> None:
    rows = tuple(replace(r, sample=r.position if samples else 0) for r in rescoring.most_different)
    lines = table(replace(rescoring, most_different=rows), width).split("\n")
    numbers = lines[2 : 2 + len(rows)]
    assert all(cell_len(line) <= width for line in lines if "/" not in line or " of " in line)
    assert len({cell_len(line) for line in numbers}) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", "\n".join(lines))
    assert "[/bo" in "".join(numbers)


def test_columns_go_where_there_is_no_room(rescoring: Rescoring) -> None:
    assert "after" in table(rescoring, 80)
    assert "rank" in table(rescoring, 80)
    assert "after" not in table(rescoring, 55)
    assert "rank" in table(rescoring, 55)
    assert "rank" not in table(rescoring, 40)


def test_all_tokens_are_said_to_be_all(rescoring: Rescoring) -> None:
    assert "the 6 of 1,234 tokens at which A and B differ most" in " ".join(table(rescoring, 80).split())
    assert "all tokens, those first" in " ".join(table(replace(rescoring, tokens=6), 80).split())


def test_the_same_numbers_are_said_to_be_the_same(rescoring: Rescoring) -> None:
    rows = tuple(replace(row, other_surprisal_bits=row.surprisal_bits) for row in rescoring.most_different)
    said = " ".join(table(replace(rescoring, most_different=rows), 80).split())
    assert "A and B differ at no token" in said
    assert "differ most" not in said


def test_the_number_of_a_sample_is_shown_where_there_are_several(rescoring: Rescoring) -> None:
    assert "sample" not in table(rescoring, 80)
    several = replace(rescoring, most_different=(*rescoring.most_different, row(0, sample=3)))
    assert " sample  position" in table(several, 80)


def test_the_name_of_a_checkpoint_steers_nothing(rescoring: Rescoring) -> None:
    assert "a<ESC>[2Jb" in table(replace(rescoring, checkpoint="a\x1b[2Jb"), 80)


# In words


@pytest.mark.parametrize("width", [40, 80])
def test_golden_replay_caption(same: Replay, width: int, golden: Golden) -> None:
    changed = (Change(name="torch", then="2.11.0", now="2.13.0+cpu"), Change(name="device", then="cuda:0", now="cpu"))
    apart = replace(same, same_numbers=False, largest_difference=3.2e-9, largest_difference_bits=1e-6, changes=changed)
    both = [str(replay_caption(replay, screen_of(width))) for replay in (same, apart)]
    golden(f"replay_caption_{width}", "\n\n".join(both))


def test_one_token_is_not_many(same: Replay) -> None:
    assert "the same 1 token, scored again" in str(replay_caption(replace(same, tokens=1, drawn=False), screen_of(80)))


def test_a_finding_names_the_step_and_both_tokens(same: Replay, candidate: Make) -> None:
    one, two = replace(candidate(1, " the", 0.3), id=262), replace(candidate(2, "\x1b", 0.2), id=27)
    found = replace(
        same, agrees=False, tokens=4, divergence=Divergence(sample=2, step=5, expected=one, drawn=two),
        changes=(Change(name="torch", then="2.11", now="2.13"),),
    )  # fmt: skip
    assert replay_finding("cat.jsonl", found, UNICODE).split("\n") == [
        "cat.jsonl is not reproduced: step 5 of sample 2 was “␣the” (262), and now it is “<ESC>” (27).",
        "The 4 tokens before are the same; the largest difference in a probability is 0.",
        "Changed since then: torch 2.11 then and 2.13 now.",
    ]
    ended = replace(found, tokens=0, changes=(), divergence=Divergence(sample=0, step=1, expected=None, drawn=one))
    assert replay_finding("c", ended, ASCII).split("\n") == [
        'c is not reproduced: step 1 of sample 0 was the end, and now it is "_the" (262).',
        "It is the first one.",
        "Versions, machine and device are unchanged.",
    ]


def test_numbers_too_far_apart_are_a_finding(same: Replay) -> None:
    found = replace(same, agrees=False, same_numbers=False, largest_difference=0.25)
    assert replay_finding("c", found, UNICODE).startswith(
        "c is not reproduced: the largest difference in a probability is 0.25, in a surprisal or entropy 0 bits, "
        "more than rounding explains.\n"
    )
