"""The guessing game: what is said about a round, and that the score adds up."""

from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.explore.game import SHARES, Round, guess_label, result, rules, score_picture, verdict
from minigpt.render.style import UNICODE, Screen
from minigpt.sampling.records import Candidate
from minigpt.text.records import Token


def candidate(number: int, text: str, share: float) -> Candidate:
    return Candidate(
        id=number, text=text, bytes=text.encode().hex(), logit=0.0, raw_prob=share, after=(), prob=share, rank=number,
        cut_by=None,
    )  # fmt: skip


CAME, OTHER = candidate(1, " the", 0.25), candidate(12, " cat", 0.0123)


def played(guess: Candidate | None, person: float, model: float, drawn: bool = False) -> Round:
    bits = None if guess is None else 6.35
    return Round(
        guess=guess, guess_bits=bits, share=0.5, came=CAME, drawn=drawn, person_bits=person, model_bits=model
    )  # fmt: skip


def test_a_verdict_says_what_came_and_what_the_guess_was_worth() -> None:
    assert verdict(played(OTHER, 3, 2), UNICODE) == (
        "it was “␣the”, rank 1 · you said “␣cat”: rank 12, 1.23 %, 6.35 bits"
    )  # fmt: skip
    assert verdict(played(CAME, 1, 2), UNICODE) == "it was “␣the”, rank 1 · right, with 50 % on it"
    assert verdict(played(None, 2, 2, drawn=True), UNICODE) == "drawn: “␣the”, rank 1 · no guess"


def test_the_score_is_the_mean_of_both() -> None:
    rounds = [played(CAME, 1.0, 2.0), played(OTHER, 5.0, 2.5), played(None, 3.0, 3.0)]
    lines = score_picture(rounds, Screen(28)).plain.split("\n")
    assert lines == [
        " bits        you   model",
        " last       3.00    3.00",
        " a token    3.00    2.50",
        " 3 tokens, 1 right",
    ]
    assert "guess" in score_picture([], Screen(28)).plain
    assert result(rounds) == "3 tokens: you paid 3.00 bits a token, the model 2.50."
    assert result([]) == ""


@pytest.mark.parametrize(("person", "model", "best"), [(3.001, 3.004, []), (3.0, 3.02, ["3.00"] * 2)])
def test_nobody_leads_with_a_cost_that_is_shown_alike(person: float, model: float, best: list[str]) -> None:
    text = score_picture([played(CAME, person, model)], Screen(28))
    marked = [text.plain[s.start : s.end].strip() for s in text.spans if s.style == "bold green" and s.end > s.start]
    assert marked == best


@pytest.mark.parametrize("continues", [True, False])
@pytest.mark.parametrize(("width", "height"), [(40, 14), (80, 8)])
def test_the_rules_fit_on_a_small_screen(continues: bool, width: int, height: int) -> None:
    lines = "\n".join(part.plain for part in rules(Screen(width), continues=continues)).split("\n")
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= height
    assert ("hidden" in " ".join(lines)) == continues


def test_shares_are_probabilities() -> None:
    assert list(SHARES) == sorted(SHARES)
    assert 0 < SHARES[0] < SHARES[-1] < 1


def test_the_token_of_a_guess_is_shown() -> None:
    token = Token(id=1, text=" th", bytes=b" th".hex())
    assert guess_label(" th", token, UNICODE) == "the token “␣th”"
    assert guess_label(" thing", token, UNICODE) == "the token “␣th” alone"
    assert guess_label("", None, UNICODE) == ""


def test_a_guess_that_is_cut_says_which_token_was_taken() -> None:
    cut = replace(played(OTHER, 3, 2), typed=" cats")
    assert verdict(cut, UNICODE) == (
        "it was “␣the”, rank 1 · of “␣cats” the token “␣cat” was taken: rank 12, 1.23 %, 6.35 bits"
    )  # fmt: skip
    right = replace(played(CAME, 1, 2), typed=" then")
    assert verdict(right, UNICODE) == (
        "it was “␣the”, rank 1 · of “␣then” the token “␣the” was taken: right, with 50 % on it"
    )  # fmt: skip
    assert verdict(replace(cut, typed=" cat"), UNICODE) == verdict(played(OTHER, 3, 2), UNICODE)
