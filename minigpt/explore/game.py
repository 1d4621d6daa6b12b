"""The guessing game: what a guess costs a person and the model, and how the game is explained.

Shannon let people guess a text on, letter by letter ("Prediction and Entropy of Printed English", 1951); Cover and King
let them bet, which turns a guess into a probability ("A Convergent Gambling Estimate of the Entropy of English", 1978).
So it is here: a person puts a share of the probability on one token, and the rest is spread over all others as the
model has them. Both then pay -log2 of what they had put on the token that came.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from minigpt.render.style import Screen, Symbols, percent, quantity, token_label, visible
from minigpt.sampling.records import Candidate
from minigpt.text.records import Token

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)  # what can be put on a guess
FIRST_SHARE = 3


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of the game. A round without a guess costs the person what it costs the model."""

    guess: Candidate | None
    guess_bits: float | None  # what the guess would have cost the model
    share: float
    came: Candidate
    drawn: bool  # by the model, rather than standing in the text
    person_bits: float
    model_bits: float
    typed: str = ""  # of which the guess is the first token

    @property
    def right(self) -> bool:
        return self.guess is not None and self.guess.id == self.came.id


def verdict(last: Round, symbols: Symbols) -> str:
    """What came, and what the guess scored against the model."""
    came = f"{'drawn:' if last.drawn else 'it was'} {_quoted(last.came, symbols)}, rank {last.came.rank:,}"
    if last.guess is None:
        return f"{came} {symbols.dot} no guess"
    taken = ""
    if last.typed and bytes.fromhex(last.guess.bytes) != last.typed.encode():
        taken = f"of {symbols.quote(visible(last.typed, symbols))} the token {_quoted(last.guess, symbols)} was taken"
    if last.right:
        return f"{came} {symbols.dot} {taken and taken + ': '}right, with {percent(last.share, 0)} on it"
    guess = f"rank {last.guess.rank:,}, {percent(last.guess.raw_prob)}, {last.guess_bits:.2f} bits"
    return f"{came} {symbols.dot} {taken or 'you said ' + _quoted(last.guess, symbols)}: {guess}"


def _quoted(token: Token, symbols: Symbols) -> str:
    return symbols.quote(token_label(token, symbols))


def score_picture(rounds: Sequence[Round], screen: Screen) -> Text:
    """The costs of the last token and of all, side by side."""
    if not rounds:
        return Text("\n").join([Text(" the game", "bold"), screen.caption("guess, and press enter")])
    lines = [Text(f" {'bits':<8}{'you':>7}{'model':>8}", "bold")]
    last = rounds[-1]
    for name, costs in (("last", (last.person_bits, last.model_bits)), ("a token", _means(rounds))):
        person, model = (f"{bits:.2f}" for bits in costs)
        better = "" if person == model else "you" if costs[0] < costs[1] else "model"
        line = Text(f" {name:<8}").append(f"{person:>7}", "bold green" if better == "you" else "")
        lines.append(line.append(f"{model:>8}", "bold green" if better == "model" else ""))
    right = sum(each.right for each in rounds)
    lines.append(screen.caption(f"{quantity(len(rounds), 'token')}, {right:,} right"))
    return Text("\n").join(lines)


def result(rounds: Sequence[Round]) -> str:
    """The result of the game in one line; "" if it was not played."""
    if not rounds:
        return ""
    person, model = _means(rounds)
    return f"{quantity(len(rounds), 'token')}: you paid {person:.2f} bits a token, the model {model:.2f}."


def _means(rounds: Sequence[Round]) -> tuple[float, float]:
    """The mean cost in bits for the person, and for the model."""
    person, model = sum(each.person_bits for each in rounds), sum(each.model_bits for each in rounds)
    return person / len(rounds), model / len(rounds)


def rules(screen: Screen, *, continues: bool) -> list[Text]:
    """The rules and the scoring. `continues`: the text has a next token, rather than the model drawing it."""
    comes = (
        "What comes is in the text, and hidden."
        if continues
        else "The model draws what comes. (For a text of yours: start with it, press home, g.)"
    )
    paragraphs = (
        f"Type the next token, with the space before it. {comes}",
        "Up and down say how much of the probability is on your guess. The rest goes to all other tokens as the model "
        "has them: together a distribution, like the model's.",
        "Both pay -log2 of what they had on the token that comes, the model by its raw softmax: half is 1 bit, an "
        "eighth is 3. The lower mean is the better.",
        "No guess: you pay what it pays.",
    )
    return [screen.caption(paragraph) for paragraph in paragraphs]


def guess_label(typed: str, token: Token | None, symbols: Symbols) -> str:
    """The part of the typed text that is the guessed token."""
    if token is None:
        return ""
    return f"the token {_quoted(token, symbols)}" + (" alone" if bytes.fromhex(token.bytes) != typed.encode() else "")
